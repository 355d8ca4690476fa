"""Train the models of a trial."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scsalient.experiments._presets import PRESETS
from scsalient.model import ContrastiveVAE, StandardVAE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData
    from scvi.model.base import BaseModelClass


def fit_contrastive(
    adata: AnnData,
    settings: Mapping[str, Any],
    *,
    condition_key: str,
    background: str,
    layer: str | None = None,
) -> ContrastiveVAE:
    """Contrastive VAE with the preset and the other settings of a trial, trained."""
    ContrastiveVAE.setup_anndata(adata, condition_key, background, layer=layer)
    model = ContrastiveVAE(adata, **PRESETS[settings["preset"]].contrastive(dict(settings)))
    _train(model, settings)
    return model


def fit_standard(
    adata: AnnData, settings: Mapping[str, Any], *, layer: str | None = None
) -> StandardVAE:
    """Standard VAE with the same settings, trained on the target cells that it is given."""
    StandardVAE.setup_anndata(adata, layer=layer)
    model = StandardVAE(adata, **PRESETS[settings["preset"]].standard(dict(settings)))
    _train(model, settings)
    return model


def _train(model: ContrastiveVAE | StandardVAE, settings: Mapping[str, Any]) -> None:
    model.train(
        settings["max_epochs"],
        enable_progress_bar=False,
        **PRESETS[settings["preset"]].train,
    )
    check_trained_to_the_end(model)


def check_trained_to_the_end(model: ContrastiveVAE | StandardVAE) -> None:
    """Ctrl-C ends a training early without an error; half a training is nothing to compare.

    Raises
    ------
    KeyboardInterrupt
        When the training was interrupted.
    """
    if n_epochs(model) < model.trainer.max_epochs:
        raise KeyboardInterrupt


def forget(model: BaseModelClass) -> None:
    """Let go of the data of a model that is no longer used.

    scvi-tools keeps all data that were registered, also when neither they nor the model are used.
    """
    model.deregister_manager(model.adata)


def n_epochs(model: ContrastiveVAE | StandardVAE) -> int:
    """Epochs that a model was trained for."""
    return int(np.size(model.history["train_loss"]))
