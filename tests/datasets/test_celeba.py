from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from scsalient import datasets, images

ATTRIBUTES = [
    "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs",
    "Big_Lips", "Big_Nose", "Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows",
    "Chubby", "Double_Chin", "Eyeglasses", "Goatee", "Gray_Hair", "Heavy_Makeup",
    "High_Cheekbones", "Male", "Mouth_Slightly_Open", "Mustache", "Narrow_Eyes", "No_Beard",
    "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline", "Rosy_Cheeks", "Sideburns",
    "Smiling", "Straight_Hair", "Wavy_Hair", "Wearing_Earrings", "Wearing_Hat",
    "Wearing_Lipstick", "Wearing_Necklace", "Wearing_Necktie", "Young",
]  # fmt: skip
N = 12
GLASSES, HATS = (1, 4, 7), (4, 9)


def make_attributes():
    rng = np.random.default_rng(0)
    names = [f"{i + 1:06d}.jpg" for i in range(N)]
    table = pd.DataFrame(rng.choice([-1, 1], (N, len(ATTRIBUTES))), names, ATTRIBUTES)
    for column, rows in (("Eyeglasses", GLASSES), ("Wearing_Hat", HATS)):
        table[column] = np.where(np.isin(np.arange(N), rows), 1, -1)
    return table


def write_txt(path, table, n=None):
    # The publishers' form: the names' line ends in a space, numbers are padded to two characters.
    lines = [str(len(table) if n is None else n), " ".join(table.columns) + " "]
    for name, row in zip(table.index, table.to_numpy(), strict=True):
        lines.append(f"{name} " + " ".join(f"{value:2d}" for value in row))
    path.write_text("\n".join(lines) + "\n")


def write_csv(path, table):
    table.rename_axis("image_id").to_csv(path)


def write_photographs(folder, names, size=(178, 218)):
    """Photographs of a grey of their own, with a coloured square of 100 pixels in the middle."""
    folder.mkdir(parents=True)
    for i, name in enumerate(names):
        photograph = Image.new("RGB", size, (10 * i, 10 * i, 10 * i))
        left, top = (size[0] - 100) // 2, (size[1] - 100) // 2
        photograph.paste((250, 20 * i, 0), (left, top, left + 100, top + 100))
        photograph.save(folder / name, quality=95)


@pytest.fixture
def root(tmp_path):
    table = make_attributes()
    write_txt(tmp_path / "list_attr_celeba.txt", table)
    write_photographs(tmp_path / "img_align_celeba", table.index)
    return tmp_path


def read(root, **kwargs):
    return datasets.celeba(root, **{"progressbar": False, "n_jobs": 1} | kwargs)


def positions(adata):
    return [int(name.removesuffix(".jpg")) - 1 for name in adata.obs_names]


def test_target_has_the_attribute_and_background_not(root):
    adata = read(root, n_background=5)
    assert positions(adata)[:3] == list(GLASSES)
    assert len(set(positions(adata))) == 8
    assert not set(positions(adata)[3:]) & set(GLASSES)
    assert adata.obs["condition"].tolist() == ["target"] * 3 + ["background"] * 5
    expected = make_attributes().loc[adata.obs_names] == 1
    pd.testing.assert_frame_equal(adata.obs[ATTRIBUTES], expected, check_names=False)


def test_several_attributes(root):
    adata = read(root, attribute=["Eyeglasses", "Wearing_Hat"])
    either = sorted({*GLASSES, *HATS})
    assert positions(adata)[:4] == either
    # As many background faces as target faces
    assert len(adata) == 8
    assert not set(positions(adata)[4:]) & set(either)


def test_photographs_are_cropped_and_scaled(root):
    adata = read(root)
    pixels = images.from_anndata(adata).astype(float)
    assert pixels.shape == (6, 64, 64, 3)
    assert adata.X.dtype == np.uint8
    # The square of 100 pixels takes 100 / 148 of the crop.
    edge = 64 * (1 - 100 / 148) / 2
    for i, image in zip(positions(adata), pixels, strict=True):
        inside = image[int(edge) + 3 : -int(edge) - 3, int(edge) + 3 : -int(edge) - 3]
        np.testing.assert_allclose(inside.mean((0, 1)), (250, 20 * i, 0), atol=4)
        np.testing.assert_allclose(image[: int(edge) - 2].mean((0, 1)), 10 * i, atol=4)
    row = pixels[0, 32, :, 0]
    middle = (row.max() + row.min()) / 2
    assert np.flatnonzero(row > middle)[[0, -1]].tolist() == [10, 53]


def test_crop_and_size(root):
    wide = images.from_anndata(read(root, crop=178, image_size=178)).astype(float)
    # Nothing is scaled: rows 20 to 198 of the photograph
    original = Image.open(root / "img_align_celeba" / "000002.jpg")
    np.testing.assert_array_equal(wide[0], np.asarray(original)[20:198])


def test_draws_follow_the_seed(root):
    drawn = [positions(read(root, n_target=2, n_background=4, seed=s)) for s in (0, 0, *range(9))]
    assert drawn[0] == drawn[1]
    assert len({tuple(d) for d in drawn}) > 3
    for d in drawn:
        assert set(d[:2]) <= set(GLASSES)
        assert d[:2] == sorted(d[:2])


def test_threads_give_the_same(root):
    np.testing.assert_array_equal(read(root, n_jobs=2).X, read(root).X)


@pytest.mark.parametrize(
    ("photographs", "table"),
    [
        ("img_align_celeba", "list_attr_celeba.csv"),
        ("img_align_celeba/img_align_celeba", "list_attr_celeba.csv"),
        ("Img/img_align_celeba", "Anno/list_attr_celeba.txt"),
    ],
)
def test_other_copies_give_the_same(root, tmp_path, photographs, table):
    other = tmp_path / "other"
    attributes = make_attributes()
    write_photographs(other / photographs, attributes.index)
    (other / table).parent.mkdir(exist_ok=True)
    (write_csv if table.endswith("csv") else write_txt)(other / table, attributes)
    one, two = read(root), read(other)
    np.testing.assert_array_equal(one.X, two.X)
    pd.testing.assert_frame_equal(one.obs, two.obs)


def spoil(root):
    """A missing, a cut, a foreign and a small photograph; gives their names and reasons."""
    folder = root / "img_align_celeba"
    (folder / "000002.jpg").unlink()
    cut = (folder / "000005.jpg").read_bytes()
    (folder / "000005.jpg").write_bytes(cut[: len(cut) // 2])
    (folder / "000001.jpg").write_text("<html>sorry</html>")
    Image.new("RGB", (64, 64)).save(folder / "000003.jpg")
    return ("000002.jpg (missing)", "000005.jpg (", "000001.jpg (", "000003.jpg (64 x 64 pixels")


def test_unreadable_photographs_are_named(root):
    spoiled = spoil(root)
    with pytest.raises(ValueError, match="found 4 that are not") as error:
        read(root, n_background=9)
    assert all(name in str(error.value) for name in spoiled)
    assert str(root) not in str(error.value)


def test_unreadable_photographs_may_be_left_out(root):
    complete = read(root, n_background=9)
    spoil(root)
    with pytest.warns(UserWarning, match="Left out 4 photographs"):
        adata = read(root, n_background=9, skip_unreadable=True)
    assert positions(adata) == [7, 3, 5, 6, 8, 9, 10, 11]
    np.testing.assert_array_equal(adata.X, complete[adata.obs_names].X)
    pd.testing.assert_frame_equal(adata.obs, complete.obs.loc[adata.obs_names])


@pytest.mark.parametrize("condition", ["target", "background", None])
def test_a_group_of_which_nothing_is_readable_is_an_error(root, condition):
    adata = read(root, n_background=9)
    lost = adata.obs_names[(adata.obs["condition"] == condition) | (condition is None)]
    for name in lost:
        next((root / "img_align_celeba").glob(f"{name}*")).write_bytes(b"")
    with pytest.raises(ValueError, match="readable photographs"):
        read(root, n_background=9, skip_unreadable=True)


@pytest.mark.parametrize(
    ("name", "found"), [("img_align_celeba", "img_align_celeba/"), ("", "list_attr_celeba.txt")]
)
def test_missing_folder_or_table(tmp_path, name, found):
    (tmp_path / name).mkdir(exist_ok=True)
    if name == "":
        (tmp_path / "img_align_celeba").mkdir()
    else:
        write_txt(tmp_path / "list_attr_celeba.txt", make_attributes())
        (tmp_path / name).rmdir()
    with pytest.raises(FileNotFoundError, match=f"found no {found}"):
        read(tmp_path)


def test_incomplete_tables(root):
    table = root / "list_attr_celeba.txt"
    write_txt(table, make_attributes(), n=N + 1)
    with pytest.raises(ValueError, match="as many photographs as its first line says"):
        read(root)
    write_txt(table, make_attributes())
    table.write_text(table.read_text()[:-9])
    with pytest.raises(ValueError, match="should give 1 or -1"):
        read(root)
    table.write_text("<html>sorry</html>\n")
    message = "list_attr_celeba.txt' should be .* first line, '<html>sorry</html>', is no number"
    with pytest.raises(ValueError, match=message):
        read(root)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"attribute": "Monocle"}, "`attribute` should be one or several of .*'Eyeglasses'"),
        ({"attribute": []}, "`attribute` should be one or several"),
        ({"n_target": 4}, "`n_target` should be at most .* 3, found 4"),
        ({"n_background": 10}, "`n_background` should be at most .* 9, found 10"),
        ({"crop": 200}, "`crop` should be an integer from 8 to 178"),
    ],
)
def test_bad_arguments(root, kwargs, message):
    with pytest.raises(ValueError, match=message):
        read(root, **kwargs)


def test_an_attribute_that_nobody_has(root):
    table = make_attributes()
    table["Bald"] = -1
    write_txt(root / "list_attr_celeba.txt", table)
    with pytest.raises(ValueError, match="`n_target` should be at most .* 0, found None"):
        read(root, attribute="Bald")


def test_a_table_with_a_name_too_few(root):
    table = root / "list_attr_celeba.txt"
    number, names, *rows = table.read_text().splitlines()
    table.write_text("\n".join([number, names.rsplit(maxsplit=1)[0], *rows]) + "\n")
    with pytest.raises(ValueError, match="should be CelebA's table of attributes, found otherwise"):
        read(root)
