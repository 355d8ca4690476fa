from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scsalient import images


def test_pixels_of_a_row_are_its_image_row_by_row():
    array = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
    adata = images.to_anndata(array)
    np.testing.assert_array_equal(adata.X[1], array[1].ravel())
    at = (adata.var["row"] == 2) & (adata.var["column"] == 1) & (adata.var["channel"] == 2)
    assert adata.X[0, at.to_numpy()] == array[0, 2, 1, 2]
    assert adata.var_names[at][0] == "pixel_2_1_2"
    assert adata.uns["image"]["channel_order"] == "hwc"


def test_range_follows_from_the_values():
    def found(array):
        return images.describe(images.to_anndata(np.asarray(array))).value_range

    assert found(np.zeros((1, 2, 2), dtype=np.uint8)) == (0, 255)
    assert found(np.full((1, 2, 2), 0.5)) == (0, 1)
    assert found(np.array([[[-1.0, 3.0]]])) == (-1, 3)
    assert found(np.full((1, 2, 2), 7.0)) == (7, 8)


@pytest.mark.parametrize("shape", [(3, 3, 8, 8), (2, 1, 8, 6), (2, 4, 2, 2)])
def test_channels_before_the_height_warn(shape):
    message = r"looks like \(n, channels, .* pass `np.moveaxis\(images, 1, -1\)`"
    with pytest.warns(UserWarning, match=message):
        images.to_anndata(np.zeros(shape))


@pytest.mark.parametrize("shape", [(3, 3, 8, 3), (2, 8, 8, 2), (2, 1, 8)])
def test_channels_behind_the_width_do_not_warn(shape):
    images.to_anndata(np.zeros(shape))


def test_only_eight_bits_are_scaled():
    assert images.ImageDescription((2, 2), (0, 255)).scale == 255
    assert images.ImageDescription((2, 2), (0, 1)).scale == 1
    assert images.ImageDescription((2, 2), (-255, 255)).scale == 1


def test_labels():
    array = np.zeros((3, 2, 2))
    one = images.to_anndata(array, ["a", "b", "a"]).obs
    assert list(one["label"].cat.categories) == ["a", "b"]
    named = images.to_anndata(array, pd.Series([5, 6, 5], name="digit", index=[9, 8, 7])).obs
    assert list(named["digit"]) == [5, 6, 5]
    table = pd.DataFrame({"kind": list("xyx"), "age": [1.5, 2.5, 3.5]}, index=[7, 8, 9])
    both = images.to_anndata(array, table, names=["p", "q", "r"]).obs
    assert list(both.index) == ["p", "q", "r"]
    assert list(both["age"]) == [1.5, 2.5, 3.5]
    mapped = images.to_anndata(array, {"kind": list("xyx")}).obs
    assert list(mapped["kind"]) == list("xyx")


@pytest.mark.filterwarnings("ignore:Writing zarr v2 data:UserWarning")
@pytest.mark.parametrize("file", ["x.h5ad", "x.zarr"])
def test_file_and_back(tmp_path, file):
    array = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), dtype=np.uint8)
    adata = images.to_anndata(array, list("abab"), layers={"half": array / np.float32(2)})
    if file.endswith("h5ad"):
        adata.write_h5ad(tmp_path / file)
        again = anndata.read_h5ad(tmp_path / file)
    else:
        adata.write_zarr(tmp_path / file)
        again = anndata.read_zarr(tmp_path / file)
    back = images.from_anndata(again)
    assert back.dtype == np.uint8
    np.testing.assert_array_equal(back, array)
    np.testing.assert_array_equal(images.from_anndata(again, "half"), array / np.float32(2))
    assert images.describe(again) == images.describe(adata)


def test_backed_and_sparse():
    array = np.random.default_rng(0).integers(0, 3, (4, 5, 6), dtype=np.uint8)
    adata = images.to_anndata(array)
    adata.X = sparse.csr_matrix(adata.X)
    np.testing.assert_array_equal(images.from_anndata(adata[1:3]), array[1:3])


def test_backed(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (4, 5, 6), dtype=np.uint8)
    images.to_anndata(array).write_h5ad(tmp_path / "x.h5ad")
    backed = anndata.read_h5ad(tmp_path / "x.h5ad", backed="r")
    np.testing.assert_array_equal(images.from_anndata(backed), array)
    backed.file.close()


def make(**entry):
    adata = images.to_anndata(np.zeros((2, 2, 3)))
    adata.uns["image"] |= entry
    return adata


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: images.to_anndata(np.zeros((2, 3))), ValueError, r"`images` should have shape"),
        (lambda: images.to_anndata(np.zeros((0, 3, 3))), ValueError, r"found \(0, 3, 3\)"),
        (lambda: images.to_anndata(np.zeros((2, 3, 3), int)), TypeError, "found int64"),
        (lambda: images.to_anndata(np.full((2, 3, 3), np.nan)), ValueError, "finite numbers"),
        (
            lambda: images.to_anndata(np.zeros((2, 3, 3)), ["a"]),
            ValueError,
            "`labels` should have one value for each of the 2 images, found 1 in 'label'",
        ),
        (
            lambda: images.to_anndata(np.zeros((2, 3, 3)), names=["a"]),
            ValueError,
            "`names` should have one name",
        ),
        (
            lambda: images.to_anndata(np.zeros((2, 3, 3)), layers={"a": np.zeros((2, 3, 4))}),
            ValueError,
            r"`layers` should have the shape of `images`, \(2, 3, 3\), found \(2, 3, 4\) for 'a'",
        ),
        (
            lambda: images.to_anndata(np.zeros((2, 3, 3)), layers={"a": np.zeros((2, 3, 3), int)}),
            TypeError,
            "`layers` should hold uint8",
        ),
        (
            lambda: images.to_anndata(np.ones((2, 3, 3)), value_range=(0, 0.5)),
            ValueError,
            "`value_range` should hold all values of `images`, 1 to 1",
        ),
        (
            lambda: images.to_anndata(np.ones((2, 3, 3)), value_range=(1, 0)),
            ValueError,
            "two finite numbers that rise",
        ),
        (
            lambda: images.to_anndata(np.ones((2, 3, 3)), value_range=255),
            TypeError,
            r"`value_range` should be two finite numbers .*, such as \(0, 255\), found 255",
        ),
        (
            lambda: images.to_anndata([np.ones((3, 3)), np.ones((3, 4))]),
            ValueError,
            "`images` should be an array, found images that do not fit into one",
        ),
        (
            lambda: images.from_anndata(np.zeros((2, 9))),
            TypeError,
            "`adata` should be an AnnData, found ndarray",
        ),
        (
            lambda: images.from_anndata(anndata.AnnData(np.zeros((2, 3)))),
            ValueError,
            r"described in `adata.uns\['image'\]`",
        ),
        (lambda: images.from_anndata(make(), "other"), KeyError, "`key` should name a layer"),
        (lambda: images.from_anndata(make()[:, :5]), ValueError, "found 5 variables"),
        (lambda: images.describe(make(shape="many")), ValueError, "should have a `shape`"),
        (lambda: images.describe(make(channel_order="chw")), ValueError, "order 'chw'"),
        (lambda: images.describe(make(value_range=[1, 1])), ValueError, "range 1 to 1"),
        (lambda: images.describe(make(shape=[6])), ValueError, r"found shape \(6,\)"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    ("values", "advised"),
    [([0, 200], "uint8"), ([0, 256], "float32"), ([-1, 9], "float32"), ([0, 1], "float32")],
)
def test_integers_are_told_the_type_that_keeps_their_range(values, advised):
    with pytest.raises(TypeError, match=rf"found int64. .* with `.astype\('{advised}'\)`"):
        images.to_anndata(np.array(values).reshape(1, 1, 2))


def test_data_without_an_entry_are_no_images():
    assert images.describe(anndata.AnnData(np.zeros((2, 3)))) is None


def test_arrays_and_data_do_not_share_memory():
    array = np.random.default_rng(0).random((6, 8, 8)).astype(np.float32)
    before = array.copy()
    adata = images.to_anndata(array, layers={"raw": array})
    adata.X *= 2
    np.testing.assert_array_equal(array, before)
    np.testing.assert_array_equal(adata.layers["raw"].reshape(array.shape), before)
    images.from_anndata(adata)[:] = 0
    assert adata.X.max() > 0


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 3)])
def test_pixels_in_another_order_are_no_images(shape):
    adata = images.to_anndata(np.random.default_rng(0).random((5, *shape)))
    mixed = adata[:, np.random.default_rng(1).permutation(adata.n_vars)].copy()
    with pytest.raises(ValueError, match="found the variables in another order. Run `adata = "):
        images.describe(mixed)
    names = ["row", "column", "channel"][: len(shape)]
    sorted_again = mixed[:, mixed.var.sort_values(names).index].copy()
    np.testing.assert_array_equal(images.from_anndata(sorted_again), images.from_anndata(adata))
