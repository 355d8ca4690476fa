"""Curves of the training."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from factories import make_model, make_trained
from scsalient import pl


def make_history(n_epochs: int = 5, **curves):
    epochs = pd.RangeIndex(n_epochs, name="epoch")
    curves = {
        "elbo_train": 100.0 - np.arange(n_epochs),
        "elbo_validation": 110.0 - np.arange(n_epochs),
        "mmd_train": np.linspace(1, 0, n_epochs),
        "kl_global_train": np.zeros(n_epochs),
        "kl_weight": np.ones(n_epochs),
    } | curves
    return {k: pd.DataFrame({k: v}, index=epochs, dtype=object) for k, v in curves.items()}


def test_train_and_validation_share_a_panel():
    history = make_history()
    axes = pl.training(history, show=False)
    assert [ax.get_title() for ax in axes] == ["elbo", "mmd"]
    train, validation = axes[0].lines
    np.testing.assert_array_equal(train.get_ydata(), 100 - np.arange(5))
    np.testing.assert_array_equal(validation.get_ydata(), 110 - np.arange(5))
    assert [t.get_text() for t in axes[0].get_legend().get_texts()] == ["train", "validation"]
    assert axes[0].get_xlabel() == "epoch"


def test_terms_choose_and_order_the_panels():
    axes = pl.training(make_history(), terms=["mmd", "kl_global"], show=False)
    assert [ax.get_title() for ax in axes] == ["mmd", "kl global"]
    assert pl.training(make_history(), terms="elbo", show=False).get_title() == "elbo"


def test_validation_on_some_epochs_only():
    every_other = [5.0, np.nan, 3.0, np.nan, 1.0]
    ax = pl.training(make_history(elbo_validation=every_other), terms="elbo", show=False)
    np.testing.assert_array_equal(ax.lines[1].get_xdata(), [0, 2, 4])


def test_skip_epochs():
    ax = pl.training(make_history(), terms="elbo", skip_epochs=3, show=False)
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), [3, 4])
    with pytest.raises(ValueError, match="`skip_epochs` should lie between 0 and 4, found 5"):
        pl.training(make_history(), skip_epochs=5)


def test_empty_panels_are_taken_away():
    fig = pl.training(make_history(), ncols=3, terms=["elbo", "mmd"], return_fig=True)
    assert len(fig.axes) == 2


def test_a_trained_model():
    model = make_trained(train={"train_size": 0.8, "check_val_every_n_epoch": 1})
    axes = {ax.get_title(): ax for ax in pl.training(model, show=False)}
    assert {"loss", "elbo", "total correlation", "mmd", "discriminator loss"} <= set(axes)
    np.testing.assert_allclose(
        axes["elbo"].lines[0].get_ydata(), model.history["elbo_train"].iloc[:, 0].astype(float)
    )
    assert len(axes["elbo"].lines) == 2


def test_untrained():
    with pytest.raises(ValueError, match=r"no loss terms. Run `model.train\(\)` first"):
        pl.training(make_model())
    with pytest.raises(ValueError, match="no loss terms"):
        pl.training({})


def test_unknown_terms_are_named():
    with pytest.raises(KeyError, match=r"`terms` should be among .*'elbo'.*found \['nope'\]"):
        pl.training(make_history(), terms=["elbo", "nope"])
    with pytest.raises(ValueError, match="`terms` should name at least one"):
        pl.training(make_history(), terms=[])
