from __future__ import annotations

from functools import partial
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from lightning.pytorch.loggers import CSVLogger
from matplotlib.colors import to_hex, to_rgba

from factories import QUIET, make_counts, make_model, make_standard, make_trained
from scsalient import ContrastiveVAE, baselines, pl


@pytest.fixture
def embedded():
    adata = make_counts()
    rng = np.random.default_rng(0)
    adata.obsm["X_cvae_salient"] = rng.normal(size=(100, 3))
    adata.uns["cvae"] = {
        "condition_key": "condition",
        "background": ["control"],
        "target": ["treated"],
    }
    return adata


def test_salient_draws_the_target_cells_on_named_axes(embedded):
    axis = pl.salient(embedded, "batch", show=False)
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("salient1", "salient2")
    points = axis.collections[0].get_offsets()
    np.testing.assert_allclose(
        np.sort(points[:, 0]), np.sort(embedded.obsm["X_cvae_salient"][:60, 0])
    )


def test_salient_draws_all_cells_and_other_components(embedded):
    axis = pl.salient(embedded, cells="all", components=(3, 1), show=False)
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("salient3", "salient1")
    assert len(axis.collections[0].get_offsets()) == 100


def test_salient_has_a_panel_for_each_colour(embedded):
    axes = pl.salient(embedded, ["batch", "gene_0"], show=False)
    assert [axis.get_title() for axis in axes] == ["batch", "gene_0"]


@pytest.mark.parametrize("n_categories", [2, 20, 40])
@pytest.mark.parametrize(("letter", "fontsize"), [("i", None), ("W", None), ("x", 18)])
def test_salient_legends_are_not_covered(embedded, n_categories, letter, fontsize):
    names = [letter * 20 + str(i % n_categories) for i in range(100)]
    embedded.obs["long"] = pd.Categorical(names)
    colors = ["long", "batch", "long", "gene_0"]
    axes = pl.salient(embedded, colors, cells="all", legend_fontsize=fontsize, show=False)
    axes[0].figure.draw_without_rendering()
    for axis, after in pairwise(axes):
        assert axis.get_legend().get_window_extent().x1 < after.get_tightbbox().x0


def test_salient_panels_are_as_far_apart_as_asked_for(embedded):
    def width(**kwargs):
        return pl.salient(embedded, ["batch", "batch"], return_fig=True, **kwargs).get_figwidth()

    assert width(wspace=0) < width(legend_loc="on data") < width() < width(wspace=1)


@pytest.mark.parametrize("components", [None, 1])
@pytest.mark.parametrize("cells", ["target", "contrast"])
@pytest.mark.parametrize("mask", ["first", np.arange(100) < 30])
def test_salient_greys_what_a_mask_leaves_out(embedded, components, cells, mask):
    embedded.obs["first"] = np.arange(100) < 30
    axis = pl.salient(
        embedded, "batch", components=components, cells=cells, mask_obs=mask, show=False
    )
    drawn = [c for c in axis.collections if len(c.get_offsets())]
    colours = np.concatenate([c.get_facecolors() for c in drawn])
    grey = np.isclose(colours, to_rgba("lightgray")).all(1)
    assert (~grey).sum() == 30
    assert len(grey) == (60 if cells == "target" else 100)


@pytest.mark.parametrize("color", [np.array(["batch", "score"]), pd.Index(["batch", "score"])])
def test_salient_takes_colours_in_arrays(embedded, color):
    axes = pl.salient(embedded, color, show=False)
    assert [axis.get_title() for axis in axes] == ["batch", "score"]


@pytest.mark.parametrize("components", [None, 1])
def test_salient_has_panels_without_a_colour(embedded, components):
    axes = pl.salient(embedded, ["batch", None], components=components, show=False)
    assert [axis.get_title() for axis in axes] == ["batch", ""]


@pytest.mark.parametrize("components", [None, 1])
def test_salient_takes_no_column_for_the_roles(embedded, components):
    embedded.obs["cells"] = ["A", "B"] * 50
    axis = pl.salient(embedded, components=components, cells="contrast", show=False)
    legend = axis.get_legend()
    assert legend is None or [text.get_text() for text in legend.texts] == ["target"]
    pl.salient(embedded, components=components, show=False)


def test_dates_are_conditions_too():
    adata = make_counts()
    dates = ["2020-01-01", "2021-06-30"]
    adata.obs["day"] = pd.to_datetime(np.where(adata.obs["condition"] == "treated", *dates))
    ContrastiveVAE.setup_anndata(adata, "day", pd.Timestamp(dates[1]))
    model = ContrastiveVAE(adata, n_hidden=8)
    model.train(1, **QUIET)
    model.embed()
    axis = pl.salient(adata, show=False)
    assert len(axis.collections[0].get_offsets()) == 60


def test_salient_leaves_the_data_as_they_were(embedded):
    before = (list(embedded.obsm), list(embedded.obs), list(embedded.uns))
    pl.salient(embedded, "batch", show=False)
    assert (list(embedded.obsm), list(embedded.obs), list(embedded.uns)) == before


def test_salient_greys_background_cells_behind_the_target_cells(embedded):
    embedded.obs["batch"] = embedded.obs["batch"].astype("category")
    embedded.uns["batch_colors"] = ["#ff0000", "#00ff00"]
    axis = pl.salient(embedded, "batch", cells="contrast", show=False)
    colours = axis.collections[0].get_facecolors()
    grey = to_rgba("lightgray")
    is_grey = (np.abs(colours - grey) < 0.01).all(axis=1)
    assert is_grey.tolist() == [True] * 40 + [False] * 60
    assert {to_hex(c) for c in colours[40:]} == {"#ff0000", "#00ff00"}
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["a", "b"]


def drawn_colours(axis) -> np.ndarray:
    """Colour of every cell, in the order of the data for categories."""
    points = axis.collections[0]
    points.update_scalarmappable()
    return points.get_facecolors()


@pytest.mark.parametrize("components", [None, 1])
@pytest.mark.parametrize("dtype", ["bool", "boolean", "category"])
def test_salient_draws_booleans_as_categories(embedded, components, dtype):
    embedded.obs["even"] = pd.Series(np.arange(100) % 2 == 0, embedded.obs_names).astype(dtype)
    embedded.uns["even_colors"] = ["#ff0000", "#00ff00"]
    axis = pl.salient(embedded, "even", components=components, cells="contrast", show=False)
    names, n_cells = np.unique([to_hex(c) for c in drawn_colours(axis)], return_counts=True)
    assert dict(zip(names, n_cells, strict=True)) == {"#ff0000": 30, "#00ff00": 30, "#d3d3d3": 40}
    labels = axis.get_xticklabels() if components else axis.get_legend().get_texts()
    assert [text.get_text() for text in labels][:2] == ["False", "True"]


@pytest.mark.parametrize("components", [None, 1])
def test_salient_draws_missing_booleans_in_grey(embedded, components):
    even = pd.array(np.arange(100) % 2 == 0, dtype="boolean")
    even[:10] = pd.NA
    embedded.obs["even"] = even
    axis = pl.salient(embedded, "even", components=components, show=False)
    assert (drawn_colours(axis) == to_rgba("lightgray")).all(1).sum() == 10


@pytest.mark.parametrize("components", [None, 1])
@pytest.mark.parametrize("dtype", ["int64", "uint8", "Int64"])
def test_salient_greys_background_cells_of_integer_columns(embedded, components, dtype):
    embedded.obs["age"] = pd.Series(np.arange(100), embedded.obs_names).astype(dtype)
    axis = pl.salient(embedded, "age", components=components, cells="contrast", show=False)
    values = np.ma.filled(axis.collections[0].get_array().astype(float), np.nan)
    np.testing.assert_array_equal(np.sort(values)[:60], np.arange(60))
    assert (drawn_colours(axis) == to_rgba("lightgray")).all(1).sum() == 40
    assert embedded.obs["age"].dtype == dtype


@pytest.mark.parametrize("place", ["X", "raw", "layer"])
@pytest.mark.parametrize("dtype", ["int64", "bool"])
def test_salient_greys_background_cells_of_integer_genes(embedded, place, dtype):
    counts = embedded.X.astype(dtype)
    expected = counts[:60, 2].toarray().ravel().astype(float)
    if place == "layer":
        embedded.layers["counts"] = counts
    else:
        embedded.X = counts
    if place == "raw":
        embedded.raw = embedded.copy()
    layer = "counts" if place == "layer" else None
    axis = pl.salient(embedded, "gene_2", cells="contrast", layer=layer, show=False)
    values = np.ma.filled(axis.collections[0].get_array().astype(float), np.nan)
    np.testing.assert_array_equal(np.sort(values)[:60], np.sort(expected))
    assert (drawn_colours(axis) == to_rgba("lightgray")).all(1).sum() == 40


def test_salient_legend_leaves_out_what_only_grey_cells_have(embedded):
    axis = pl.salient(embedded, "condition", cells="contrast", show=False)
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["treated"]


def test_salient_contrast_without_a_column_colours_the_target_cells(embedded):
    axis = pl.salient(embedded, cells="contrast", show=False)
    assert len(np.unique(axis.collections[0].get_facecolors(), axis=0)) == 2
    assert "cells" not in embedded.obs


@pytest.mark.parametrize("components", [None, 1])
@pytest.mark.parametrize("cells", ["target", "contrast", "all"])
def test_salient_takes_a_size_for_each_cell(embedded, cells, components):
    sizes = np.where(np.arange(embedded.n_obs) < 60, 30.0, 10.0)
    axis = pl.salient(embedded, size=sizes, cells=cells, components=components, show=False)
    # Not that of a legend
    drawn = [c.get_sizes() for c in axis.collections if len(c.get_offsets())]
    n_background = 0 if cells == "target" else 40
    assert sorted(np.concatenate(drawn).tolist()) == [10.0] * n_background + [30.0] * 60


def test_salient_contrast_takes_no_groups(embedded):
    with pytest.raises(ValueError, match="`groups` should be left out with `cells='contrast'`"):
        pl.salient(embedded, "condition", cells="contrast", groups=["treated"], show=False)


def test_salient_contrast_leaves_out_cells_of_neither(embedded):
    embedded.obs["condition"] = ["treated"] * 50 + ["other"] * 10 + ["control"] * 40
    for cells, n in (("target", 50), ("contrast", 90), ("all", 100)):
        axis = pl.salient(embedded, cells=cells, show=False)
        assert len(axis.collections[0].get_offsets()) == n


def test_one_latent_is_a_strip_for_each_category(embedded):
    embedded.obsm["one"] = embedded.obsm["X_cvae_salient"][:, :1]
    axis = pl.salient(embedded, "batch", key="one", cells="contrast", show=False)
    assert [text.get_text() for text in axis.get_xticklabels()] == ["a", "b", "background"]
    assert axis.get_ylabel() == "one1"
    points = axis.collections[0].get_offsets()
    np.testing.assert_allclose(np.sort(points[:, 1]), np.sort(embedded.obsm["one"][:, 0]))
    strips, counts = np.unique(np.rint(points[:, 0]), return_counts=True)
    assert dict(zip(strips, counts, strict=True)) == {0: 30, 1: 30, 2: 40}


def test_one_of_several_latents(embedded):
    axes = pl.salient(embedded, ["score", "gene_0", "batch"], components=2, show=False)
    assert [axis.get_ylabel() for axis in axes] == ["salient2"] * 3
    assert [axis.get_title() for axis in axes] == ["score", "gene_0", "batch"]


@pytest.mark.parametrize("n_categories", [2, 10, 25])
@pytest.mark.parametrize("name", ["", "a category with a long name ", "and so on " * 8])
def test_strips_are_as_tall_with_any_names(embedded, n_categories, name):
    embedded.obs["named"] = [f"{name}{i % n_categories}" for i in range(100)]
    colors = ["named", "batch"]
    axes = pl.salient(embedded, colors, components=1, ncols=1, show=False)
    axes[0].figure.draw_without_rendering()
    _, height = plt.rcParams["figure.figsize"]
    for axis in axes:
        assert axis.get_window_extent().height > 0.75 * height * axis.figure.dpi
    labels = axes[0].get_xticklabels()
    assert len({label.get_text() for label in labels}) == n_categories
    assert all(label.get_window_extent().y0 >= 0 for label in axes[-1].get_xticklabels())


def test_strip_shows_cells_without_a_category(embedded):
    embedded.obs["batch"] = embedded.obs["batch"].astype("category")
    embedded.obs.loc[embedded.obs_names[:5], "batch"] = np.nan
    axis = pl.salient(embedded, "batch", components=1, show=False)
    assert [text.get_text() for text in axis.get_xticklabels()] == ["a", "b", "NA"]


@pytest.mark.parametrize("components", [(1, 2), 1], ids=["scatter", "strip"])
def test_lists_have_an_entry_for_each_panel(embedded, components):
    axes = pl.salient(
        embedded,
        ["gene_0", "gene_1"],
        components=components,
        title=["one", "two"],
        vmin=[0, 1],
        vmax=[5],
        show=False,
    )
    assert [axis.get_title() for axis in axes] == ["one", "two"]
    assert [axis.collections[0].get_clim() for axis in axes] == [(0, 5), (1, 5)]


@pytest.mark.parametrize("name", ["title", "vmin", "vmax", "vcenter", "norm"])
def test_lists_of_another_length_than_the_panels(embedded, name):
    message = f"`{name}` should have one entry for each panel, 2, or one for all, found 3"
    with pytest.raises(ValueError, match=message):
        pl.salient(embedded, ["gene_0", "gene_1"], components=1, **{name: [None] * 3})


@pytest.mark.parametrize("components", [None, 1])
@pytest.mark.parametrize("palette", ["uns", "argument", "none"])
def test_target_cells_without_a_category_are_not_grey_as_background_cells(
    embedded, components, palette
):
    values = np.where(embedded.obs["condition"] == "treated", "x", "y").astype(object)
    values[:10] = None
    embedded.obs["found"] = pd.Categorical(values)
    if palette == "uns":
        embedded.uns["found_colors"] = ["#ff0000", "#00ff00"]
    kwargs = {"palette": {"x": "#ff0000"}} if palette == "argument" else {}
    axis = pl.salient(
        embedded, "found", components=components, cells="contrast", show=False, **kwargs
    )
    drawn = pd.Series([to_hex(colour) for colour in drawn_colours(axis)]).value_counts()
    cycle = plt.rcParams["axes.prop_cycle"].by_key()["color"]
    x = to_hex(cycle[0]) if palette == "none" else "#ff0000"
    assert drawn.to_dict() == {x: 50, to_hex("lightgray"): 40, to_hex("dimgray"): 10}
    if components == 1:
        ticks = [label.get_text() for label in axis.get_xticklabels()]
        assert ticks == ["x", "NA", "background"]
    else:
        assert [text.get_text() for text in axis.get_legend().get_texts()] == ["x", "NA"]


def test_a_strip_for_a_category_of_that_name_and_cells_without_one(embedded):
    values = np.array(["x", "NA"] * 50, dtype=object)
    values[:10] = None
    embedded.obs["found"] = pd.Categorical(values)
    for cells, others in (("all", []), ("contrast", ["background"])):
        axis = pl.salient(embedded, "found", components=1, cells=cells, show=False)
        assert [label.get_text() for label in axis.get_xticklabels()] == ["NA", "x", *others]


def test_salient_draws_one_or_two_dimensions_of_its_own_arguments(embedded):
    with pytest.raises(ValueError, match="`projection` should be '2d', found '3d'"):
        pl.salient(embedded, projection="3d")
    with pytest.raises(TypeError, match="`dimensions` should not be passed.* Pass `components`"):
        pl.salient(embedded, dimensions=(0, 1))
    with pytest.raises(TypeError, match="`basis` should not be passed.* Pass `key`"):
        pl.salient(embedded, basis="X_pca")


@pytest.mark.parametrize("components", [None, 1])
def test_salient_finds_genes_of_raw(embedded, components):
    embedded.raw = embedded.copy()
    fewer = embedded[:, 3:].copy()
    axis = pl.salient(fewer, "gene_0", components=components, show=False)
    colours = np.asarray(axis.collections[0].get_array())
    expected = embedded.X[:60, 0].toarray().ravel()
    np.testing.assert_allclose(np.sort(colours), np.sort(expected))


@pytest.mark.parametrize("components", [None, 1])
def test_salient_follows_the_rules_of_scanpy(embedded, components, tmp_path, monkeypatch):
    monkeypatch.setattr(plt, "show", lambda: shown.append(1))
    shown: list[int] = []
    figure, axis = plt.subplots()
    draw = partial(pl.salient, embedded, "batch", components=components)
    assert draw(ax=axis, show=False) is axis
    assert len(draw(return_fig=True).axes) == 1
    assert draw(show=True) is None
    assert shown == [1]
    before = sc.settings.figdir
    try:
        sc.settings.figdir = tmp_path / "new"
        draw(save="_mine.pdf", show=False)
        draw(save=True, show=False)
    finally:
        sc.settings.figdir = before
    files = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert files == ["salient.pdf", "salient_mine.pdf"]
    with pytest.raises(ValueError, match="`ax` takes one panel"):
        pl.salient(embedded, ["batch", "score"], ax=axis)
    assert len(figure.axes) == 1


@pytest.mark.parametrize("components", [None, 1])
def test_many_points_are_pixels_in_vector_graphics(embedded, components, monkeypatch):
    draw = partial(pl.salient, embedded, ["batch", "score"], components=components, show=False)
    assert not any(axis.collections[0].get_rasterized() for axis in draw())
    monkeypatch.setattr("scsalient.pl._salient._MAX_VECTOR_CELLS", 50)
    assert all(axis.collections[0].get_rasterized() for axis in draw())


def test_salient_without_latents():
    with pytest.raises(KeyError, match=r"run `model.embed\(\)` first"):
        pl.salient(make_counts())


@pytest.mark.parametrize("key", ["X_cpca", "mine"])
def test_salient_draws_contrastive_pca_by_its_own_roles(key):
    adata = make_counts()
    sc.pp.log1p(adata)
    baselines.contrastive_pca(adata, "condition", "control", alpha=1, key_added=key)
    axis = pl.salient(adata, key=key, cells="contrast", show=False)
    assert len(axis.collections[0].get_offsets()) == 100
    # Other latents may have other roles
    adata.uns["cvae"] = {"condition_key": "batch", "background": ["a"], "target": ["b"]}
    adata.obsm["X_cvae_salient"] = adata.obsm[key]
    for latents, n_target in ((key, 60), ("X_cvae_salient", 50)):
        axis = pl.salient(adata, key=latents, show=False)
        assert len(axis.collections[0].get_offsets()) == n_target


def test_salient_of_a_model():
    message = r"found ContrastiveVAE\. Pass the data after `model.embed\(\)`\."
    with pytest.raises(TypeError, match=message):
        pl.salient(make_model())


def test_salient_bad_arguments(embedded):
    with pytest.raises(KeyError, match="`color` should name"):
        pl.salient(embedded, "nope")
    for components in ((1, 4), (0, 1), (1, 2, 3), (), 4, (1, "2")):
        with pytest.raises(ValueError, match="`components` should be one or two dimensions from 1"):
            pl.salient(embedded, components=components)
    with pytest.raises(ValueError, match="`cells` should be"):
        pl.salient(embedded, cells="some")
    del embedded.uns["cvae"]
    with pytest.raises(KeyError, match="which cells are targets"):
        pl.salient(embedded)


@pytest.fixture(scope="module")
def trained():
    return make_trained(max_epochs=3, train={"check_val_every_n_epoch": 1})


def test_training_draws_terms_of_one_unit_together(trained):
    axes = pl.training(trained, show=False)
    labels = {a.get_title(): [line.get_label() for line in a.lines] for a in axes}
    assert labels["negative ELBO (nats per cell)"] == ["training", "validation"]
    assert labels["reconstruction (nats per cell)"] == [
        f"{group} cells, {mode}"
        for group in ("target", "background")
        for mode in ("training", "validation")
    ]
    assert len(labels) == 7
    (elbo,) = (a for a in axes if "ELBO" in a.get_title())
    for line, mode in zip(elbo.lines, ("train", "validation"), strict=True):
        expected = trained.history[f"elbo_{mode}"].to_numpy(dtype=float).ravel()
        np.testing.assert_allclose(line.get_ydata(), expected)


def test_training_has_whole_epochs_on_its_axis(trained):
    figure = pl.training(trained, return_fig=True)
    for axis in figure.axes:
        ticks = axis.get_xticks()
        np.testing.assert_array_equal(ticks, np.rint(ticks))


def test_training_skips_epochs(trained):
    axis = pl.training(trained, terms=["mmd"], skip_epochs=1, show=False)
    expected = trained.history["mmd_train"].to_numpy(dtype=float).ravel()[1:]
    np.testing.assert_allclose(axis.lines[0].get_ydata(), expected)
    np.testing.assert_array_equal(axis.lines[0].get_xdata(), [1, 2])
    for skip_epochs in (-1, 3):
        with pytest.raises(ValueError, match="`skip_epochs` should be from 0 to 2"):
            pl.training(trained, skip_epochs=skip_epochs)


def test_training_and_validation_of_one_epoch_look_different(trained):
    axis = pl.training(trained, terms=["elbo"], skip_epochs=2, show=False)
    assert [line.get_marker() for line in axis.lines] == ["o", "o"]
    assert [line.get_fillstyle() for line in axis.lines] == ["full", "none"]


def test_training_has_its_legends_beside_the_curves(trained):
    figure = pl.training(trained, return_fig=True)
    figure.draw_without_rendering()
    legends = [axis.get_legend().get_window_extent() for axis in figure.axes]
    for legend in legends:
        texts = [axis.get_window_extent() for axis in figure.axes]
        texts += [axis.xaxis.label.get_window_extent() for axis in figure.axes]
        texts += [other for other in legends if other is not legend]
        assert not any(legend.overlaps(text) for text in texts)
        assert figure.bbox.x0 <= legend.x0 < legend.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= legend.y0


def test_training_groups_terms_as_asked(trained):
    figure = pl.training(trained, terms=["elbo", ["kl_salient", "mmd"]], return_fig=True)
    assert [a.get_title() for a in figure.axes] == [
        "negative ELBO (nats per cell)",
        "kl_salient, mmd",
    ]
    assert len(figure.axes[1].lines) == 4


def test_training_of_chosen_terms():
    history = {"mmd_train": pd.DataFrame({"mmd_train": [2.0, 1.0]})}
    for terms in ("mmd", ["mmd"]):
        axis = pl.training(history, terms=terms, show=False)
    assert axis.get_title() == "MMD of z between groups"
    for terms in (["nope"], [["mmd", "nope"]], [], [[]]):
        with pytest.raises(ValueError, match="`terms` should be among"):
            pl.training(history, terms=terms)


def test_training_draws_on_given_axes(trained):
    _, axis = plt.subplots()
    assert pl.training(trained, terms=["elbo"], ax=axis, show=False) is axis
    with pytest.raises(ValueError, match="`ax` takes one panel, found 7"):
        pl.training(trained, ax=axis)


def test_training_of_a_standard_vae():
    model = make_standard(n_hidden=16)
    model.train(2, **QUIET)
    titles = [a.get_title() for a in pl.training(model, show=False)]
    assert titles == [
        "negative ELBO (nats per cell)",
        "reconstruction (nats per cell)",
        "KL from the prior (nats per cell)",
    ]


def test_training_of_an_untrained_model():
    with pytest.raises(ValueError, match=r"Run `model.train\(\)` first"):
        pl.training({})


def test_trials_draws_a_box_and_every_point_of_each_method():
    table = pd.DataFrame({"method": ["A", "B", "A", "A"], "silhouette": [0.1, 0.4, 0.3, 0.2]})
    axis = pl.trials(table, show=False)
    assert [label.get_text() for label in axis.get_xticklabels()] == ["A", "B"]
    points = [np.sort(c.get_offsets()[:, 1]) for c in axis.collections]
    np.testing.assert_allclose(np.concatenate(points), [0.1, 0.2, 0.3, 0.4])
    axis = pl.trials(table, order=["B"], ylabel="score", show=False)
    assert (axis.get_ylabel(), len(axis.collections)) == ("score", 1)


@pytest.mark.parametrize(
    "names",
    [
        ["contrastive VAE without biases", "standard VAE of four dimensions"],
        ["Extraordinarily_long_names", "Incomprehensibilities"],
    ],
    ids=["words", "one_word"],
)
def test_long_names_of_methods_do_not_overlap(names):
    table = pd.DataFrame({"method": names * 2, "silhouette": [0.1, 0.2, 0.3, 0.4]})
    axis = pl.trials(table, show=False)
    axis.figure.draw_without_rendering()
    labels = axis.get_xticklabels()
    assert [label.get_text().replace("\n", " ") for label in labels] == names
    if not labels[0].get_rotation():
        left, right = (label.get_window_extent() for label in labels)
        assert left.x1 < right.x0


def test_trials_bad_arguments():
    with pytest.raises(TypeError, match="`metric` should name a column of numbers, found 'A'"):
        pl.trials(pd.DataFrame({"method": ["A"], "other": ["A"]}), "other")
    table = pd.DataFrame({"method": ["A"], "silhouette": [np.nan]})
    with pytest.raises(KeyError, match="found no \\['nope'\\]"):
        pl.trials(table, "nope")
    with pytest.raises(ValueError, match="no trial at all"):
        pl.trials(table)
    with pytest.raises(ValueError, match="found \\['A'\\]"):
        pl.trials(table, order=["A"])


def test_a_gene_may_be_drawn_twice(embedded):
    assert len(pl.salient(embedded, ["gene_1", "gene_1"], show=False)) == 2


def test_other_latents_have_their_own_names_on_the_axes(embedded):
    embedded.obsm["X_cvae_background"] = embedded.obsm["X_cvae_salient"]
    axis = pl.salient(embedded, key="X_cvae_background", show=False)
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("background1", "background2")


def test_genes_of_the_same_name_do_not_matter_unless_asked_for(embedded):
    embedded.var_names = ["twice", "twice", *embedded.var_names[2:]]
    axes = pl.salient(embedded, ["batch", "gene_5"], show=False)
    assert [axis.get_title() for axis in axes] == ["batch", "gene_5"]


def test_a_palette_of_fewer_categories_is_made_anew(embedded):
    embedded.obs["type"] = pd.Categorical(["x", "y"] * 50)
    embedded.uns["type_colors"] = ["#f00"]
    pl.salient(embedded, "type", show=False)
    assert embedded.uns["type_colors"] == ["#f00"]


def test_without_target_cells_there_is_nothing_to_draw(embedded):
    with pytest.raises(ValueError, match="`adata` should have target cells to draw"):
        pl.salient(embedded[embedded.obs["condition"] == "control"], show=False)


@pytest.mark.parametrize("with_raw", [False, True])
def test_genes_by_their_symbols(embedded, with_raw):
    embedded.var["symbol"] = [f"SYM{i}" for i in range(embedded.n_vars)]
    if with_raw:
        embedded.raw = embedded.copy()
    axis = pl.salient(embedded, "SYM3", gene_symbols="symbol", show=False)
    drawn = axis.collections[0].get_array()
    expected = embedded[embedded.obs["condition"] == "treated", "gene_3"].X.toarray().ravel()
    np.testing.assert_allclose(np.sort(drawn), np.sort(expected))
    with pytest.raises(KeyError, match="gene_3"):
        pl.salient(embedded, "gene_3", gene_symbols="symbol", show=False)


def test_a_mask_is_of_all_cells(embedded):
    mask = np.arange(100) % 3 == 0
    axis = pl.salient(embedded, "gene_0", mask_obs=mask, show=False)
    grey = to_rgba("lightgray")
    colours = np.asarray(axis.collections[0].get_facecolors())
    assert (~np.isclose(colours, grey, atol=0.01).all(1)).sum() <= mask[:60].sum()


def test_training_in_no_columns():
    with pytest.raises(ValueError, match="`ncols` should be an integer of at least 1"):
        pl.training(make_trained(), ncols=0)


def test_sweep_of_one_gene_and_of_none():
    swept = make_trained().sweep(dims=[0], n_steps=3)
    axis = pl.sweep(swept, genes="gene_3", show=False)
    assert [text.get_text() for text in axis.get_yticklabels()] == ["gene_3"]
    with pytest.raises(ValueError, match="`genes` should name at least one gene, found none"):
        pl.sweep(swept, genes=[], show=False)


def test_sweep_with_genes_of_the_same_name():
    swept = make_trained().sweep(dims=[0], n_steps=3)
    swept.var_names = ["twice", "twice", *swept.var_names[2:]]
    axis = pl.sweep(swept, n_genes=12, show=False)
    assert len(axis.get_yticklabels()) == 12
    with pytest.raises(ValueError, match=r"found several called \['twice'\]"):
        pl.sweep(swept, genes=["twice"], show=False)


def test_terms_that_another_logger_has(tmp_path):
    model = make_model()
    model.train(1, logger=CSVLogger(tmp_path), **QUIET)
    with pytest.raises(ValueError, match="Its `logger=` has the terms"):
        pl.training(model)
