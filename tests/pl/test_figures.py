from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from factories import make_counts, make_trained
from scsalient import pl


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


def test_salient_leaves_the_data_as_they_were(embedded):
    before = (list(embedded.obsm), list(embedded.obs), list(embedded.uns))
    pl.salient(embedded, "batch", show=False)
    assert (list(embedded.obsm), list(embedded.obs), list(embedded.uns)) == before


def test_salient_without_latents():
    with pytest.raises(KeyError, match=r"run `model.embed\(\)` first"):
        pl.salient(make_counts())


def test_salient_bad_arguments(embedded):
    with pytest.raises(KeyError, match="`color` should name"):
        pl.salient(embedded, "nope")
    with pytest.raises(ValueError, match="`components` should be two dimensions from 1 to 3"):
        pl.salient(embedded, components=(1, 4))
    with pytest.raises(ValueError, match="`cells` should be"):
        pl.salient(embedded, cells="some")
    embedded.obsm["one"] = np.ones((100, 1))
    with pytest.raises(ValueError, match="at least 2 dimensions"):
        pl.salient(embedded, key="one")
    del embedded.uns["cvae"]
    with pytest.raises(KeyError, match="which cells are targets"):
        pl.salient(embedded)


def test_training_draws_a_panel_for_each_term():
    model = make_trained(max_epochs=3, train={"check_val_every_n_epoch": 1})
    figure = pl.training(model)
    titles = [axis.get_title() for axis in figure.axes]
    assert "total correlation (nats)" in titles
    assert len(titles) == 11
    elbo = figure.axes[titles.index("negative ELBO (nats per cell)")]
    assert [line.get_label() for line in elbo.lines] == ["training", "validation"]
    np.testing.assert_allclose(
        elbo.lines[0].get_ydata(), model.history["elbo_train"].to_numpy(dtype=float).ravel()
    )
    plt.close(figure)


def test_training_of_chosen_terms():
    history = {"mmd_train": pd.DataFrame({"mmd_train": [2.0, 1.0]})}
    figure = pl.training(history, terms=["mmd"])
    assert [axis.get_title() for axis in figure.axes] == ["MMD of z between groups"]
    with pytest.raises(ValueError, match="`terms` should be among"):
        pl.training(history, terms=["nope"])


def test_training_of_an_untrained_model():
    with pytest.raises(ValueError, match=r"Run `model.train\(\)` first"):
        pl.training({})
