"""Images, sweeps and denoised images as figures."""

from __future__ import annotations

import re
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from anndata import AnnData
from scipy import sparse

from factories import make_model, make_trained
from scsalient import images, pl
from scsalient.pl._shortened import shortened


def make_images(n: int = 6, height: int = 4, width: int = 5, channels: int = 0) -> np.ndarray:
    """Images of one grey value each, from 0 to 1."""
    shape = (n, height, width) + ((channels,) if channels else ())
    levels = np.linspace(0, 1, n).reshape(n, *[1] * (len(shape) - 1))
    return np.broadcast_to(levels, shape).copy()


def tiles(axis) -> np.ndarray:
    """Grey value in the middle of every tile of a picture of images of 4 x 5 pixels, as rows."""
    picture = np.ma.filled(axis.images[0].get_array().astype(float), np.nan)
    if picture.ndim == 3:
        picture = picture[..., 0]
    is_image = ~np.isnan(picture)
    rows = np.flatnonzero(np.diff(is_image.any(axis=1).astype(int), prepend=0) == 1)
    columns = np.flatnonzero(np.diff(is_image.any(axis=0).astype(int), prepend=0) == 1)
    return picture[np.ix_(rows + 1, columns + 1)]


def test_image_grid_goes_row_by_row():
    axis = pl.image_grid(make_images(), ncols=4, show=False)
    expected = [[0, 0.2, 0.4, 0.6], [0.8, 1, np.nan, np.nan]]
    np.testing.assert_allclose(tiles(axis), expected)


def test_image_grid_scales_from_black_to_white():
    bytes_ = (make_images() * 100).astype(np.uint8)
    drawn = partial(pl.image_grid, ncols=6, show=False)
    np.testing.assert_allclose(tiles(drawn(bytes_))[0, -1], 100 / 255)
    np.testing.assert_allclose(tiles(drawn(make_images() / 2))[0, -1], 0.5)
    np.testing.assert_allclose(tiles(drawn(make_images() * 3 - 1))[0], make_images()[:, 0, 0])
    np.testing.assert_allclose(tiles(drawn(make_images(), vmin=0.5, vmax=0.6))[0, 2:4], [0, 1])


def test_image_grid_of_colours_is_clear_between_the_images():
    colours = make_images(3, channels=3)
    colours[..., 1:] = 0
    axis = pl.image_grid(colours, ncols=2, show=False)
    picture = axis.images[0].get_array()
    assert picture.shape[-1] == 4
    assert set(np.unique(picture[..., 3])) == {0, 1}
    assert (picture[..., 3] == 1).sum() == 3 * 4 * 5
    np.testing.assert_allclose(np.unique(picture[..., 0]), [0, 0.5, 1])
    assert picture[..., 1].max() == 0


@pytest.mark.parametrize("scale", [1, 255], ids=["floats", "bytes"])
def test_images_with_opacity_keep_it(scale):
    rgba = make_images(3, channels=4)
    rgba[..., 3] = 0.6
    rgba = np.rint(rgba * scale).astype(np.uint8) if scale > 1 else rgba
    picture = pl.image_grid(rgba, ncols=3, vmin=0, vmax=scale / 2, show=False).images[0].get_array()
    np.testing.assert_allclose(
        picture[1, [1, 7, 13]], [[0, 0, 0, 0.6], [1, 1, 1, 0.6], [1, 1, 1, 0.6]]
    )
    picture = pl.denoised(rgba, rgba / scale, stretch=True, show=False).images[0].get_array()
    np.testing.assert_allclose(picture[[1, 6], 1], [[0, 0, 0, 0.6]] * 2)


def test_floats_as_labels_have_three_digits():
    labels = [0.123456, np.float32(2), 3]
    axis = pl.image_grid(make_images(3), labels, show=False)
    assert [text.get_text() for text in axis.texts] == ["0.123", "2", "3"]


def test_image_grid_of_data_with_labels():
    adata = images.to_anndata(make_images(), list("abcdef"), layers={"half": make_images() / 2})
    axis = pl.image_grid(adata, "label", n_images=4, key="half", show=False)
    np.testing.assert_allclose(tiles(axis), [[0, 0.1], [0.2, 0.3]])
    assert [text.get_text() for text in axis.texts] == list("abcd")
    axis = pl.image_grid(make_images(), range(6), n_images=2, show=False)
    assert [text.get_text() for text in axis.texts] == ["0", "1"]


def test_image_grid_bad_arguments():
    for wrong in (np.zeros((3, 4)), np.zeros((3, 4, 5, 2)), np.zeros((0, 4, 5))):
        with pytest.raises(ValueError, match="`images` should be images of shape"):
            pl.image_grid(wrong)
    with pytest.raises(ValueError, match="one label per image, found 2 for 6"):
        pl.image_grid(make_images(), ["a", "b"])
    with pytest.raises(KeyError, match="The columns: no AnnData"):
        pl.image_grid(make_images(), "label")
    with pytest.raises(ValueError, match="`n_images`"):
        pl.image_grid(make_images(), n_images=0)
    with pytest.raises(ValueError, match="`ncols`"):
        pl.image_grid(make_images(), ncols=0)


@pytest.mark.parametrize("kwargs", [{}, {"labels": "label"}, {"labels": ["a"]}, {"key": "a"}])
def test_image_grid_of_a_model(kwargs):
    message = r"`images` should be an array of images or an AnnData, found ContrastiveVAE\."
    with pytest.raises(TypeError, match=message):
        pl.image_grid(make_model(), **kwargs)


@pytest.fixture
def swept():
    """Grid of 3 x 2 over two latents; each image is as light as its first latent says."""
    grid = [(x, y) for x in (-1.0, 0.0, 1.0) for y in (0.0, 0.5)]
    values = np.array([np.full(20, (x + 1) / 2 + y / 5) for x, y in grid]) / 1.2
    obs = pd.DataFrame(grid, columns=["salient_0", "salient_3"], index=list("abcdef"))
    adata = AnnData(values, obs=obs)
    adata.uns["image"] = images.to_anndata(np.zeros((1, 4, 5))).uns["image"]
    return adata


def test_sweep_of_images_runs_to_the_right_and_upwards(swept):
    axis = pl.sweep(swept, show=False)
    bottom = np.array([0, 0.5, 1]) / 1.2
    np.testing.assert_allclose(tiles(axis), [bottom + 0.1 / 1.2, bottom])
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("salient1", "salient4")
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["-1", "0", "1"]
    assert [tick.get_text() for tick in axis.get_yticklabels()] == ["0.5", "0"]


def test_sweep_of_images_over_one_latent(swept):
    one = swept[::2].copy()
    del one.obs["salient_3"]
    axis = pl.sweep(one, show=False)
    np.testing.assert_allclose(tiles(axis), [np.array([0, 0.5, 1]) / 1.2])
    assert axis.get_ylabel() == ""


def make_expression(two: bool) -> AnnData:
    """Gene ``up`` doubles with the first latent, ``down`` halves, ``flat`` stays."""
    xs, ys = (-1.0, 0.0, 1.0), (0.0, 1.0) if two else (0.0,)
    grid = [(x, y) for x in xs for y in ys]
    values = np.array([[4 * 2**x - 1, 7.0, 16 * 2 ** (-2 * x - y) - 1] for x, y in grid])
    columns = {"salient_0": [x for x, _ in grid], "salient_1": [y for _, y in grid]}
    obs = pd.DataFrame(columns, index=[str(i) for i in range(len(grid))])
    adata = AnnData(values, obs=obs, var=pd.DataFrame(index=["up", "flat", "down"]))
    return adata if two else AnnData(values, obs=obs[["salient_0"]], var=adata.var)


def test_sweep_of_expression_shows_what_changes_most():
    axis = pl.sweep(make_expression(two=False), n_genes=2, show=False)
    assert [tick.get_text() for tick in axis.get_yticklabels()] == ["up", "down"]
    np.testing.assert_allclose(axis.images[0].get_array(), [[-1, 0, 1], [2, 0, -2]], atol=1e-6)
    axis = pl.sweep(make_expression(two=False), genes=["up"], log=False, show=False)
    np.testing.assert_allclose(axis.images[0].get_array(), [[-2, 0, 4]])


def test_sweep_of_expression_over_two_latents_has_a_panel_for_each_gene():
    axes = pl.sweep(make_expression(two=True), genes=["down", "flat"], show=False)
    assert [axis.get_title() for axis in axes] == ["down", "flat"]
    # The second latent runs upwards, so its first value is the first row
    np.testing.assert_allclose(axes[0].images[0].get_array(), [[2, 0, -2], [1, -1, -3]], atol=1e-6)
    assert np.ptp(axes[1].images[0].get_array()) < 1e-6
    assert axes[0].images[0].norm.vmax == axes[1].images[0].norm.vmax


@pytest.mark.parametrize("two", [False, True])
@pytest.mark.parametrize("log", [False, True])
def test_sweep_of_few_genes_has_room_for_the_label_of_its_colour_bar(two, log):
    for n_genes in (1, 2, 3):
        figure = pl.sweep(make_expression(two), n_genes=n_genes, log=log, return_fig=True)
        figure.draw_without_rendering()
        label = figure.axes[-1].yaxis.label.get_window_extent()
        assert label.y0 >= 0
        assert label.y1 <= figure.bbox.y1


def test_sweep_of_a_model():
    model = make_trained()
    axis = pl.sweep(model.sweep(dims=(1,), n_steps=3), show=False)
    assert axis.get_xlabel() == "salient2"
    assert axis.images[0].get_array().shape == (12, 3)


def test_sweep_of_what_was_not_swept():
    message = r"an AnnData, as `model.sweep\(\)` returns it, found ContrastiveVAE\."
    with pytest.raises(TypeError, match=message):
        pl.sweep(make_model())


def test_sweep_bad_arguments(swept):
    with pytest.raises(ValueError, match="`swept` should be a grid over one or two latents"):
        pl.sweep(swept[:5].copy())
    with pytest.raises(ValueError, match="`swept` should be a grid over one or two latents"):
        pl.sweep(AnnData(np.zeros((2, 2))))
    with pytest.raises(KeyError, match="found no \\['nope'\\]"):
        pl.sweep(make_expression(two=False), genes=["nope"])
    below = make_expression(two=False)
    below.X -= 10
    with pytest.raises(ValueError, match="Pass `log=False`"):
        pl.sweep(below)
    _, axis = plt.subplots()
    with pytest.raises(ValueError, match="`ax` takes one panel, found 3 genes"):
        pl.sweep(make_expression(two=True), ax=axis)


def test_denoised_has_a_row_for_each():
    inputs, flat = make_images(), make_images().reshape(6, -1)
    adata = images.to_anndata(inputs, layers={"clean": inputs / 4})
    axis = pl.denoised(adata, {"zero": flat / 2, "difference": flat - 0.5}, "clean", show=False)
    assert [t.get_text() for t in axis.get_yticklabels()] == [
        "input",
        "zero",
        "difference",
        "truth",
    ]
    level = np.linspace(0, 1, 6)
    # Only the difference leaves the range of 0 to 1, and gets its own
    np.testing.assert_allclose(tiles(axis), [level, level / 2, level, level / 4])


def test_denoised_stretches_each_image():
    inputs = make_images()
    inputs[:, :2] /= 2
    axis = pl.denoised(inputs, inputs / 3, n_images=3, stretch=True, show=False)
    picture = axis.images[0].get_array()
    assert tiles(axis).shape == (2, 3)
    # The first image is of one value
    assert picture[:4, :5].max() == 0
    assert picture[:4, 6:].min() == 0
    np.testing.assert_allclose(picture[5:, 6:].max(), 1)


def test_denoised_bad_arguments():
    with pytest.raises(ValueError, match=r"`denoised` should have the shape of the images"):
        pl.denoised(make_images(), make_images()[:5])
    with pytest.raises(ValueError, match=r"`truth` should have the shape of the images"):
        pl.denoised(make_images(), make_images(), np.zeros((6, 7)))
    with pytest.raises(KeyError, match=r"`truth` should be one of the layers \[\], found 'nope'"):
        pl.denoised(images.to_anndata(make_images()), make_images(), "nope")


def test_denoised_of_a_model():
    model, inputs = make_model(), make_images()
    with pytest.raises(TypeError, match=r"`images` should be .* found ContrastiveVAE\."):
        pl.denoised(model, inputs)
    for argument, args in {"denoised": (model,), "truth": (inputs, model)}.items():
        message = rf"`{argument}` should be an array of images, found ContrastiveVAE\."
        with pytest.raises(TypeError, match=message):
            pl.denoised(inputs, *args)


@pytest.mark.parametrize("name", ["image_grid", "denoised", "sweep"])
def test_image_figures_follow_the_rules_of_scanpy(name, swept, tmp_path, monkeypatch):
    monkeypatch.setattr(plt, "show", lambda: shown.append(1))
    shown: list[int] = []
    draw = {
        "image_grid": partial(pl.image_grid, make_images()),
        "denoised": partial(pl.denoised, make_images(), make_images()),
        "sweep": partial(pl.sweep, swept),
    }[name]
    _, axis = plt.subplots()
    assert draw(ax=axis, show=False) is axis
    assert len(draw(return_fig=True).axes) == 1
    assert draw(show=True) is None
    assert shown == [1]
    before = sc.settings.figdir
    try:
        sc.settings.figdir = tmp_path
        draw(save="_mine.png", show=False)
    finally:
        sc.settings.figdir = before
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}_mine.png"]


def test_sweep_does_not_depend_on_the_order_of_the_rows(swept):
    other = swept[[5, 0, 3, 1, 4, 2]].copy()
    np.testing.assert_allclose(
        tiles(pl.sweep(other, show=False)), tiles(pl.sweep(swept, show=False))
    )
    twice = swept.copy()
    twice.obs.iloc[1] = twice.obs.iloc[0]
    with pytest.raises(ValueError, match="`swept` should be a grid"):
        pl.sweep(twice, show=False)


def test_a_layer_of_an_array():
    images_ = make_images()
    with pytest.raises(KeyError, match="`images` should be an AnnData where a layer is named, 'a'"):
        pl.image_grid(images_, key="a", show=False)
    with pytest.raises(KeyError, match="`truth` should be an AnnData"):
        pl.denoised(images_, images_, "clean", show=False)
    with pytest.raises(ValueError, match=r"other than \['input'\]"):
        pl.denoised(images_, {"input": images_}, show=False)


def test_black_above_white():
    with pytest.raises(ValueError, match="`vmin` should not be above `vmax`, found 1 and 0"):
        pl.image_grid(make_images(), vmin=1, vmax=0, show=False)


def test_labels_of_wide_images_do_not_cover_the_row_above():
    axis = pl.image_grid(make_images(5, 8, 40), list("abcde"), ncols=2, show=False)
    axis.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in axis.texts]
    _, bottom = axis.transData.transform((0, 7.5))
    assert boxes[2].y1 <= bottom


def test_long_labels_are_written_small_and_cut_short():
    images = np.zeros((3, 8, 8))
    texts = pl.image_grid(images, ["0", "1", "2"], ncols=3, show=False).texts
    assert [text.get_fontsize() for text in texts] == [8.0] * 3
    texts = pl.image_grid(images, ["0", "a label", "word " * 12], ncols=3, show=False).texts
    assert [text.get_fontsize() for text in texts] == [5.0] * 3
    assert texts[1].get_text() == "a label"
    assert re.fullmatch(r"word .+\N{HORIZONTAL ELLIPSIS}.+word ", texts[2].get_text())


def test_long_labels_cut_short_still_differ():
    names = [f"long label name {i}" for i in range(12)]
    labels = [t.get_text() for t in pl.image_grid(np.zeros((12, 8, 8)), names, show=False).texts]
    assert "\N{HORIZONTAL ELLIPSIS}" in labels[0]
    assert len(set(labels)) == 12


@pytest.mark.parametrize(
    ("n_letters", "expected"), [(2, "…g"), (3, "a…g"), (4, "a…fg"), (6, "ab…efg"), (7, "abcdefg")]
)
def test_text_is_shortened_in_the_middle(n_letters, expected):
    assert shortened("abcdefg", n_letters) == expected


def test_labels_are_no_formulas(tmp_path):
    axis = pl.image_grid(np.zeros((2, 8, 8)), ["a$b^$", "$c_"], show=False)
    axis.figure.savefig(tmp_path / "grid.png")
    assert [text.get_text() for text in axis.texts] == ["a$b^$", "$c_"]


def test_sparse_sweeps_of_genes():
    swept = make_trained().sweep(dims=[0], n_steps=5)
    expected = pl.sweep(swept, show=False).images[0].get_array()
    swept.X = sparse.csr_matrix(swept.X)
    np.testing.assert_allclose(pl.sweep(swept, show=False).images[0].get_array(), expected)
    with pytest.raises(ValueError, match="`vmin` and `vmax` are of images"):
        pl.sweep(swept, vmin=-1, show=False)
