"""Checkpoints that training can go on from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightning.pytorch.callbacks import Checkpoint

if TYPE_CHECKING:
    import os

    import lightning.pytorch as pl


class ResumableCheckpoint(Checkpoint):
    """Write the whole state of training to one file after each epoch.

    scvi-tools' own checkpoints hold the model alone, without optimisers and epoch. By its class
    Lightning knows that other callbacks, early stopping among them, should have had their turn.

    Parameters
    ----------
    path
        File to write, each time anew.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = path

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the file."""
        trainer.save_checkpoint(self.path, weights_only=False)
