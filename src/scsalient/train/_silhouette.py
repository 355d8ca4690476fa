"""Silhouette of a label in the latents, salient ones where there are such, in training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from lightning.pytorch.callbacks import Callback
from sklearn.metrics import silhouette_score

if TYPE_CHECKING:
    from collections.abc import Callable

    import lightning.pytorch as pl

SILHOUETTE = "silhouette_validation"


class SilhouetteMonitor(Callback):
    """Log the silhouette of a label whenever the validation cells have been looked at.

    The label takes no part in training, so that training and validation cells both count.

    Parameters
    ----------
    latent
        Gives the latents of the cells in question, shape ``(n_cells, n_latent)``.
    labels
        Their labels, shape ``(n_cells,)``.
    """

    def __init__(self, latent: Callable[[], np.ndarray], labels: np.ndarray) -> None:
        self._latent, self._labels = latent, labels

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the silhouette."""
        latent = self._latent()
        # Of a training that has diverged; `train` says so at its end
        is_finite = bool(np.isfinite(latent).all())
        value = float(silhouette_score(latent, self._labels)) if is_finite else float("nan")
        # Every device has the same cells and weights.
        pl_module.log(SILHOUETTE, value, batch_size=1, sync_dist=trainer.world_size > 1)
