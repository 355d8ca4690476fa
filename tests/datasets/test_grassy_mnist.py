from __future__ import annotations

import gzip
import sys

import numpy as np
import pytest
from PIL import Image

from scsalient import datasets, images
from scsalient.datasets._digits import _bundled, read_idx
from scsalient.datasets._grass import grass_patches

SMALL = {"n_target": 40, "n_background": 50}


def write_idx(path, values, *, magic=None):
    head = np.array([magic or 2048 + values.ndim, *values.shape], dtype=">i4").tobytes()
    content = head + values.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_mnist(folder, *, part="t10k", labels=(0, 1, 2, 0, 1, 2, 7), end=".gz", fill=None):
    labels = np.asarray(labels)
    values = np.broadcast_to(labels[:, None, None] if fill is None else fill, (len(labels), 28, 28))
    write_idx(folder / f"{part}-images-idx3-ubyte{end}", values)
    write_idx(folder / f"{part}-labels-idx1-ubyte{end}", labels)
    return folder


def write_photographs(folder, levels, *, side=40):
    from PIL import Image

    folder.mkdir(exist_ok=True)
    for i, level in enumerate(levels):
        Image.fromarray(np.full((side, side), level, dtype=np.uint8)).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def grassy():
    return datasets.grassy_mnist(n_target=300, n_background=200, seed=0)


def groups(adata):
    is_target = (adata.obs["condition"] == "target").to_numpy()
    return is_target, ~is_target


def test_images_are_digit_plus_grass(grassy):
    target, background = groups(grassy)
    assert target.sum() == 300
    assert background.sum() == 200
    assert grassy.X.dtype == np.float32
    grass = (grassy.X - grassy.layers["clean"]) / 2
    # Stretched: each patch reaches both ends
    np.testing.assert_allclose(grass.min(1), 0, atol=1e-6)
    np.testing.assert_allclose(grass.max(1), 1, atol=1e-6)
    assert (grassy.layers["clean"][background] == 0).all()
    assert (grassy.layers["clean"][target].max(1) > 0.8).all()
    assert set(grassy.obs["digit"][target]) == {"0", "1", "2"}
    assert set(grassy.obs["digit"][background]) == {"none"}


def test_images_are_described(grassy):
    assert images.from_anndata(grassy).shape == (500, 28, 28)
    assert images.describe(grassy).value_range == (0, 3)
    truth = grassy.uns["truth"]
    assert truth["digits_source"].startswith("scikit-learn's bundled digits")
    assert truth["amplitude"] == 2


def test_labels_belong_to_their_digits(grassy):
    # A one has no ink beside its stroke, a zero none in its middle
    clean = images.from_anndata(grassy, "clean")
    middle = clean[:, 12:16, 13:15].mean((1, 2))
    digit = grassy.obs["digit"].to_numpy()
    assert middle[digit == "1"].mean() > 0.8
    assert middle[digit == "0"].mean() < 0.2


def test_groups_have_grass_of_different_halves():
    # Whatever the seed, a patch of one group is none of the other
    adata = datasets.grassy_mnist(amplitude=1, stretch=False, crop_sizes=(28, 28), **SMALL)
    from skimage.data import grass

    photograph = grass() / 255
    halves = np.array_split(photograph, 2, axis=0)
    target, background = groups(adata)
    patches = images.from_anndata(adata) - images.from_anndata(adata, "clean")
    for group, half in ((target, halves[0]), (background, halves[1])):
        windows = np.lib.stride_tricks.sliding_window_view(half, (28, 28))
        for patch in patches[group][:5]:
            corner = np.abs(windows[:, :, 0, 0] - patch[0, 0]) < 1e-5
            distance = np.abs(windows[corner] - patch).max((1, 2))
            assert distance.min() < 1e-5


def test_follows_the_seed(grassy):
    again = datasets.grassy_mnist(n_target=300, n_background=200, seed=0)
    other = datasets.grassy_mnist(n_target=300, n_background=200, seed=1)
    np.testing.assert_array_equal(again.X, grassy.X)
    assert (other.X != grassy.X).any()


def test_one_setting_changes_nothing_but_what_it_is_about():
    plain = datasets.grassy_mnist(**SMALL)
    faint = datasets.grassy_mnist(**SMALL, amplitude=0.5)
    np.testing.assert_array_equal(plain.layers["clean"], faint.layers["clean"])
    grass = [(a.X - a.layers["clean"]) for a in (plain, faint)]
    np.testing.assert_allclose(grass[0] / 2, grass[1] / 0.5, atol=1e-6)


def test_without_grass_the_digits_are_left():
    adata = datasets.grassy_mnist(amplitude=0, **SMALL)
    np.testing.assert_array_equal(adata.X, adata.layers["clean"])


def test_noise_is_on_the_background_only():
    plain = datasets.grassy_mnist(**SMALL)
    noisy = datasets.grassy_mnist(**SMALL, background_noise=0.5)
    target, background = groups(plain)
    np.testing.assert_array_equal(plain.X[target], noisy.X[target])
    noise = (noisy.X - plain.X)[background]
    assert noise.std() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(2 * noise.size))
    assert noise.mean() == pytest.approx(0, abs=4 * 0.5 / np.sqrt(noise.size))
    assert images.describe(noisy).value_range[0] == noisy.X.min()


def test_shares_of_the_other_group():
    adata = datasets.grassy_mnist(
        n_target=40, n_background=50, share_background_in_target=0.25,
        share_target_in_background=0.2,
    )  # fmt: skip
    target, background = groups(adata)
    none = (adata.obs["digit"] == "none").to_numpy()
    assert (none & target).sum() == 10
    assert (~none & background).sum() == 10
    assert (adata.layers["clean"][none] == 0).all()
    assert (adata.layers["clean"][~none].max(1) > 0).all()


def test_digits_on_the_background_are_not_those_of_the_target():
    adata = datasets.grassy_mnist(n_target=40, n_background=50, share_target_in_background=1)
    target, background = groups(adata)
    clean = adata.layers["clean"]
    assert not {row.tobytes() for row in clean[target]} & {
        row.tobytes() for row in clean[background]
    }
    # All digits are on the target images, so the background has to repeat some
    adata = datasets.grassy_mnist(n_background=600, share_target_in_background=1)
    assert (adata.obs["digit"] != "none").all()


def test_folder_with_both_parts_of_mnist(tmp_path):
    write_mnist(tmp_path, part="train", end="")
    write_mnist(tmp_path, part="t10k", end=".gz", labels=(2, 2))
    adata = datasets.grassy_mnist(mnist=tmp_path, n_background=5)
    assert (adata.obs["condition"] == "target").sum() == 8
    assert adata.uns["truth"]["digits_source"] == "MNIST, train and t10k"
    digits = adata.obs["digit"].to_numpy()
    for value in (0, 1, 2):
        np.testing.assert_allclose(adata.layers["clean"][digits == str(value)], value / 255)


def test_real_mnist_as_in_the_paper(kang_subset):
    folder = kang_subset.parent
    if not (folder / "t10k-images-idx3-ubyte.gz").is_file():
        pytest.skip("MNIST is not here")
    adata = datasets.grassy_mnist(mnist=folder, n_target=600, n_background=1)
    x, clean = adata.X[:600], adata.layers["clean"][:600]
    correlations = [np.corrcoef(a, b)[0, 1] for a, b in zip(x, clean, strict=True)]
    assert np.median(correlations) == pytest.approx(0.59, abs=0.02)


def test_openml(monkeypatch):
    class Fetched:
        data = np.full((6, 784), 255.0)
        target = np.array(list("012012"), dtype=object)

    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda *a, **k: Fetched)
    adata = datasets.grassy_mnist(mnist="openml", n_background=2, digits=[1])
    assert list(adata.obs["digit"]) == ["1", "1", "none", "none"]
    assert (adata.layers["clean"][:2] == 1).all()


def test_openml_fails(monkeypatch):
    def fetch(*args, **kwargs):
        raise ConnectionRefusedError

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
    with pytest.raises(ConnectionError, match="pass a folder with the IDX files"):
        datasets.grassy_mnist(mnist="openml")


def test_photographs_are_dealt_out(tmp_path):
    folder = write_photographs(tmp_path / "grass", [10, 60, 110, 160, 210])
    adata = datasets.grassy_mnist(grass=folder, amplitude=1, stretch=False, **SMALL)
    grass = np.rint((adata.X - adata.layers["clean"]) * 255).astype(int)
    levels = [set(grass[group].ravel()) for group in groups(adata)]
    assert levels[0] | levels[1] == {10, 60, 110, 160, 210}
    assert not levels[0] & levels[1]


def test_a_flat_patch_stretches_to_zero():
    flat = [np.full((30, 30), 200, dtype=np.uint8)]
    rng = np.random.default_rng(0)
    patches = grass_patches(flat, 3, side=28, crop_sizes=(6, 9), stretch=True, rng=rng)
    assert (patches == 0).all()


def test_large_crops_are_smoothed_before_they_shrink():
    stripes = np.tile(np.array([0, 255], dtype=np.uint8), (112, 56))
    rng = np.random.default_rng(0)
    patches = grass_patches([stripes], 2, side=28, crop_sizes=(112, 112), stretch=False, rng=rng)
    np.testing.assert_allclose(patches[:, 4:-4, 4:-4], 0.5, atol=0.05)


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"digits": []}, ValueError, "`digits` should be a list of distinct digits"),
        ({"digits": 3}, ValueError, "`digits` should be a list of distinct digits"),
        ({"digits": [1, 1]}, ValueError, "`digits` should be a list of distinct digits"),
        ({"digits": [10]}, ValueError, "`digits` should be an integer from 0 to 9"),
        ({"amplitude": -1}, ValueError, "`amplitude`"),
        ({"n_target": 0}, ValueError, "`n_target`"),
        ({"n_target": 10_000}, ValueError, r"ask for 10000 images of \[0, 1, 2\], found 537"),
        ({"n_background": 0}, ValueError, "`n_background`"),
        ({"crop_sizes": 6}, ValueError, "`crop_sizes` should be two integers"),
        ({"crop_sizes": (20, 6)}, ValueError, "`crop_sizes` should be an integer of at least 20"),
        ({"crop_sizes": (6, 257)}, ValueError, "smaller photographs: .'half of skimage"),
        ({"stretch": 1}, TypeError, "`stretch`"),
        ({"background_noise": -1}, ValueError, "`background_noise`"),
        ({"share_background_in_target": 1.5}, ValueError, "`share_background_in_target`"),
        ({"share_target_in_background": -0.5}, ValueError, "`share_target_in_background`"),
        ({"mnist": "nowhere"}, FileNotFoundError, "`mnist` should be a folder"),
        ({"grass": "nowhere"}, FileNotFoundError, "`grass` should be a folder with photographs"),
    ],
)
def test_bad_arguments(kwargs, error, message):
    with pytest.raises(error, match=message):
        datasets.grassy_mnist(**kwargs)


def test_missing_digits_are_named(tmp_path):
    write_mnist(tmp_path, labels=(0, 1))
    with pytest.raises(ValueError, match=r"none of \[2\]"):
        datasets.grassy_mnist(mnist=tmp_path)


def test_folder_without_mnist(tmp_path):
    with pytest.raises(FileNotFoundError, match="found neither in"):
        datasets.grassy_mnist(mnist=tmp_path)


def test_folder_without_labels(tmp_path):
    write_mnist(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match="without 't10k-labels-idx1-ubyte'"):
        datasets.grassy_mnist(mnist=tmp_path)


def test_counts_of_images_and_labels_must_agree(tmp_path):
    write_mnist(tmp_path)
    write_idx(tmp_path / "t10k-labels-idx1-ubyte.gz", np.zeros(3))
    with pytest.raises(ValueError, match="one for each of the 3 labels"):
        datasets.grassy_mnist(mnist=tmp_path)


def test_idx_values(tmp_path):
    values = np.arange(24).reshape(2, 3, 4)
    write_idx(tmp_path / "x.gz", values)
    np.testing.assert_array_equal(read_idx(tmp_path / "x.gz", n_dims=3), values)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cut off after 0 bytes"),
        (b"\0\0\x08\x01\0\0\0\0", "magic number 2051, found 2049"),
        (b"\0\0\x08\x03\0\0", "x' should be an IDX file, found it cut off after 6 bytes"),
        (b"\0\0\x08\x03" + 3 * b"\0\0\0\2" + b"1234567", r"shape \(2, 2, 2\) says, found 7"),
    ],
)
def test_idx_is_checked(tmp_path, content, message):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_idx(tmp_path / "x", n_dims=3)


def test_damaged_gzip(tmp_path):
    (tmp_path / "x.gz").write_bytes(gzip.compress(b"0123456789")[:-9])
    with pytest.raises(ValueError, match="should be a gzip file"):
        read_idx(tmp_path / "x.gz", n_dims=3)


def test_unreadable_photograph_is_named(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"cannot be read, .*broken\.jpg"):
        datasets.grassy_mnist(grass=tmp_path, **SMALL)


def test_missing_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.transform", None)
    monkeypatch.setattr("scsalient.datasets._digits._bundled", _bundled.__wrapped__)
    with pytest.raises(
        ImportError, match=r"needs 'skimage'.*pip install \"\.\[images\]\"` in a clone"
    ):
        datasets.grassy_mnist(**SMALL)


def test_photographs_of_16_bits_keep_their_contrast(tmp_path):
    values = np.add.outer(np.arange(60), np.arange(60)) * 500
    Image.fromarray(values.astype(np.uint16)).save(tmp_path / "deep.png")
    Image.fromarray((values / 257).round().astype(np.uint8)).save(tmp_path / "usual.png")
    deep, usual = (
        datasets.grassy_mnist(n_target=5, n_background=20, grass=_alone(tmp_path, name)).X
        for name in ("deep", "usual")
    )
    np.testing.assert_allclose(deep, usual, atol=0.02)


def _alone(folder, name):
    (folder / name).mkdir()
    (folder / f"{name}.png").rename(folder / name / f"{name}.png")
    return folder / name


def test_photographs_of_floating_point_values_are_refused(tmp_path):
    Image.fromarray(np.random.default_rng(0).random((60, 60), dtype=np.float32)).save(
        tmp_path / "a.tiff"
    )
    with pytest.raises(ValueError, match="cannot be read, .*a.tiff.*floating point"):
        datasets.grassy_mnist(n_target=5, n_background=5, grass=tmp_path)
