"""Scatter of the latents."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
import scanpy as sc

from factories import make_counts
from scsalient import pl

N_TARGET, N_BACKGROUND = 60, 40


def make_embedded(n_dims: int = 3, **obs):
    """Data as ``model.embed()`` leaves them; no training needed for a figure."""
    adata = make_counts(N_TARGET, N_BACKGROUND, **obs)
    rng = np.random.default_rng(1)
    adata.obsm["X_cvae_salient"] = rng.normal(size=(adata.n_obs, n_dims))
    adata.obsm["X_cvae_background"] = rng.normal(size=(adata.n_obs, 4))
    adata.uns["cvae"] = {
        "condition_key": "condition",
        "background": ["control"],
        "target": ["treated"],
    }
    return adata


def points(ax) -> np.ndarray:
    return np.asarray(ax.collections[0].get_offsets())


def legend(ax) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_draws_the_first_two_latents_of_the_target_cells():
    adata = make_embedded()
    ax = pl.salient(adata, show=False)
    np.testing.assert_allclose(points(ax), adata.obsm["X_cvae_salient"][:N_TARGET, :2])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("salient 1", "salient 2")


def test_components_choose_the_dimensions():
    adata = make_embedded()
    ax = pl.salient(adata, components=(3, 1), show=False)
    np.testing.assert_allclose(points(ax), adata.obsm["X_cvae_salient"][:N_TARGET][:, [2, 0]])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("salient 3", "salient 1")


@pytest.mark.parametrize(
    ("key", "label"), [("X_cvae_background", "background 1"), ("X_vae", "vae 1")]
)
def test_key_names_the_axes(key, label):
    adata = make_embedded()
    adata.obsm["X_vae"] = adata.obsm["X_cvae_salient"]
    assert pl.salient(adata, key=key, show=False).get_xlabel() == label


def test_one_panel_per_column_or_gene():
    adata = make_embedded()
    axes = pl.salient(adata, ["condition", "gene_2", "score"], show=False)
    assert [ax.get_title() for ax in axes] == ["condition", "gene_2", "score"]
    values = adata[:N_TARGET, "gene_2"].X.toarray().ravel()
    drawn = axes[1].collections[0].get_array()
    np.testing.assert_array_equal(np.sort(drawn), np.sort(values))


def test_gene_comes_from_the_layer():
    adata = make_embedded()
    adata.layers["negative"] = -adata.X
    ax = pl.salient(adata, "gene_2", layer="negative", show=False)
    assert ax.collections[0].get_array().min() == -adata[:N_TARGET, "gene_2"].X.max()


def test_legend_has_the_categories_of_target_cells_only():
    adata = make_embedded()
    assert legend(pl.salient(adata, "condition", show=False)) == ["treated"]
    assert legend(pl.salient(adata, "condition", others="show", show=False)) == [
        "control",
        "treated",
    ]


def test_categories_keep_their_colours():
    adata = make_embedded()
    adata.obs["condition"] = adata.obs["condition"].astype("category")
    adata.uns["condition_colors"] = ["#ff0000", "#00ff00"]
    ax = pl.salient(adata, "condition", show=False)
    np.testing.assert_array_equal(ax.collections[0].get_facecolors()[0], [0, 1, 0, 1])


def test_writes_the_colours_that_scanpy_would_choose():
    adata, other = make_embedded(), make_embedded()
    pl.salient(adata, "condition", show=False)
    sc.pl.embedding(other, "X_cvae_salient", color="condition", show=False)
    assert list(adata.uns["condition_colors"]) == list(other.uns["condition_colors"])


@pytest.mark.parametrize("color", ["batch", "response", "score", "gene_0", "dose", None])
def test_grey_draws_the_others_below(color):
    adata = make_embedded(dose=np.arange(N_TARGET + N_BACKGROUND))
    ax = pl.salient(adata, color, others="grey", na_color="#010203", show=False)
    drawn = ax.collections[0]
    ax.figure.canvas.draw()
    grey = np.all(np.isclose(drawn.get_facecolors()[:, :3] * 255, [1, 2, 3]), axis=1)
    others = adata.obsm["X_cvae_salient"][N_TARGET:, :2]
    assert grey.sum() == N_BACKGROUND
    assert {tuple(p) for p in points(ax)[grey].round(6)} == {tuple(p) for p in others.round(6)}
    assert grey[:N_BACKGROUND].all()


def test_one_dimension_is_spread_at_random_the_same_way_each_time():
    adata = make_embedded(n_dims=1)
    first, second = (pl.salient(adata, show=False) for _ in range(2))
    np.testing.assert_allclose(points(first)[:, 0], adata.obsm["X_cvae_salient"][:N_TARGET, 0])
    np.testing.assert_array_equal(points(first), points(second))
    assert (first.get_xlabel(), first.get_ylabel()) == ("salient 1", "random spread")


def test_integer_conditions():
    adata = make_embedded()
    adata.obs["condition"] = np.repeat([1, 0], [N_TARGET, N_BACKGROUND])
    adata.uns["cvae"] |= {"background": ["0"], "target": ["1"]}
    assert len(points(pl.salient(adata, show=False))) == N_TARGET


def test_data_stay_as_they_are():
    adata = make_embedded()
    before = adata.obs.copy()
    pl.salient(adata, ["condition", "batch"], show=False)
    assert adata.obs.equals(before)
    assert adata.obs["condition"].dtype == before["condition"].dtype


def test_draws_in_given_axes_and_passes_arguments_on():
    fig, ax = plt.subplots()
    drawn = pl.salient(make_embedded(), "batch", ax=ax, title="mine", show=False)
    assert drawn is ax
    assert ax.get_title() == "mine"
    assert pl.salient(make_embedded(), return_fig=True) is not fig


def test_show_returns_nothing(monkeypatch):
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(True))
    assert pl.salient(make_embedded(), show=True) is None
    assert shown == [True]


@pytest.mark.parametrize(
    ("save", "name"), [(".svg", "salient.svg"), ("_x.png", "salient_x.png"), (True, "salient.pdf")]
)
def test_saves_in_the_figure_folder_of_scanpy(save, name, tmp_path, monkeypatch):
    monkeypatch.setattr(sc.settings, "figdir", tmp_path / "figures")
    monkeypatch.setattr(sc.settings, "file_format_figs", "pdf")
    pl.salient(make_embedded(), show=False, save=save)
    assert [path.name for path in (tmp_path / "figures").iterdir()] == [name]


def test_missing_latents():
    with pytest.raises(KeyError, match=r"no 'X_cvae_salient'.*Run `model.embed\(\)` first"):
        pl.salient(make_counts())
    with pytest.raises(KeyError, match="no 'X_mine'.*as `key`"):
        pl.salient(make_counts(), key="X_mine")


def test_missing_roles():
    adata = make_embedded()
    del adata.uns["cvae"]
    with pytest.raises(KeyError, match=r"Which cells are target cells.*others='show'"):
        pl.salient(adata)
    assert len(points(pl.salient(adata, others="show", show=False))) == adata.n_obs


def test_missing_condition_column():
    adata = make_embedded()
    del adata.obs["condition"]
    with pytest.raises(KeyError, match="column 'condition'.*missing"):
        pl.salient(adata)


def test_no_target_cells():
    with pytest.raises(ValueError, match="should have target cells.*'treated'.*none"):
        pl.salient(make_embedded()[N_TARGET:].copy())


def test_unknown_colours_are_named():
    with pytest.raises(KeyError, match=r"found \['nope', 'neither'\]"):
        pl.salient(make_embedded(), ["batch", "nope", "gene_1", "neither"])


@pytest.mark.parametrize("components", [(1, 4), (0, 1), (1,), (1, 2, 3)])
def test_components_out_of_range(components):
    with pytest.raises(ValueError, match="`components` should be two numbers from 1 to 3"):
        pl.salient(make_embedded(), components=components)


def test_unknown_others():
    with pytest.raises(ValueError, match="`others` should be one of.*'blue'"):
        pl.salient(make_embedded(), others="blue")
