"""The silhouette of a label during training."""

from __future__ import annotations

import numpy as np
import pytest
import scvi
import torch

from factories import QUIET, make_counts, make_model, make_standard, make_trained
from scsalient import metrics


def test_the_last_silhouette_is_that_of_the_model():
    model = make_trained(max_epochs=3, train={"silhouette_key": "response"})
    logged = model.history["silhouette_validation"].to_numpy(dtype=float).ravel()
    assert len(logged) == 3
    target = np.flatnonzero(model.adata.obs["condition"] == "treated")
    latent = model.get_latent_representation(indices=target)
    expected = metrics.silhouette(latent, model.adata.obs["response"].iloc[target])
    assert logged[-1] == pytest.approx(expected, abs=1e-6)


def test_looking_does_not_change_what_is_learned():
    latents = []
    for train in ({"silhouette_key": "response"}, {"check_val_every_n_epoch": 1}):
        scvi.settings.seed = 0
        latents.append(make_trained(max_epochs=3, train=train).get_latent_representation())
    np.testing.assert_array_equal(*latents)


def test_training_stops_when_the_silhouette_no_longer_rises():
    model = make_model(make_counts())
    model.train(
        300,
        silhouette_key="response",
        early_stopping=True,
        early_stopping_monitor="silhouette_validation",
        early_stopping_mode="max",
        early_stopping_patience=3,
        **QUIET,
    )
    values = model.history["silhouette_validation"].to_numpy(dtype=float).ravel()
    assert len(values) < 300
    assert values[:-3].max() >= values[-3:].max()


def test_the_standard_model_uses_all_cells():
    adata = make_counts()
    model = make_standard(adata)
    model.train(1, silhouette_key="condition", **QUIET)
    expected = metrics.silhouette(model.get_latent_representation(), adata.obs["condition"])
    assert model.history["silhouette_validation"].iloc[-1, 0] == pytest.approx(expected, abs=1e-6)


def test_labels_that_cannot_be_used():
    adata = make_counts(gap=[None, "a"] * 50)
    with pytest.raises(KeyError, match="`silhouette_key` should name columns"):
        make_model(adata).train(1, silhouette_key="nope", **QUIET)
    with pytest.raises(ValueError, match="found 30 missing and 1 different"):
        make_model(adata).train(1, silhouette_key="gap", **QUIET)
    with pytest.raises(ValueError, match="1 different ones among 60 target cells"):
        make_model(adata).train(1, silhouette_key="condition", **QUIET)
    adata.obs["each"] = adata.obs_names
    with pytest.raises(ValueError, match="but fewer than cells, found 0 missing and 60 different"):
        make_model(adata).train(1, silhouette_key="each", **QUIET)
    with pytest.raises(ValueError, match="`silhouette_key` is looked at along with validation"):
        make_model(adata).train(1, silhouette_key="response", train_size=1.0, **QUIET)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_training_that_diverges_says_so():
    model = make_model()
    with torch.no_grad():
        model.module.decoder.heads["proportion"].weight[0] = torch.nan
    with pytest.raises(RuntimeError, match="Training diverged"):
        model.train(2, silhouette_key="response", **QUIET)
