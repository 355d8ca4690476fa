"""Training."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from scsalient._arguments import check_flag, check_integer
from scsalient.loaders import RoleDataSplitter
from scsalient.model._base import LatentModel
from scsalient.train import (
    InterruptibleTrainRunner,
    ResumableCheckpoint,
    VAETrainingPlan,
    check_plan_arguments,
)

if TYPE_CHECKING:
    import os

# Longer training overfits small data: silhouettes of a known response fall (docs/benchmarks.md)
MAX_EPOCHS = 50
MIN_STEPS = 200
MAX_STEPS = 8000


def default_max_epochs(n_steps_per_epoch: int) -> int:
    """Epochs of a training: enough steps for small data, not more than needed for large ones.

    Parameters
    ----------
    n_steps_per_epoch
        Minibatches in an epoch.

    Returns
    -------
    50 epochs, but at least 200 and at most about 8,000 optimiser steps, and never fewer than 10
    epochs.
    """
    epochs = max(MAX_EPOCHS, math.ceil(MIN_STEPS / n_steps_per_epoch))
    return max(10, min(epochs, math.ceil(MAX_STEPS / n_steps_per_epoch)))


class TrainingMixin(LatentModel):
    """Training on groups of cells."""

    _training_plan_cls = VAETrainingPlan

    def _groups(self) -> list[np.ndarray]:
        """Positions of the cells of each group to train on."""
        raise NotImplementedError

    def train(
        self,
        max_epochs: int | None = None,
        *,
        accelerator: str = "auto",
        devices: int | list[int] | str = "auto",
        train_size: float | None = None,
        validation_size: float | None = None,
        shuffle_set_split: bool = True,
        batch_size: int = 128,
        early_stopping: bool = False,
        checkpoint_path: str | os.PathLike[str] | None = None,
        datasplitter_kwargs: dict[str, Any] | None = None,
        plan_kwargs: dict[str, Any] | None = None,
        **trainer_kwargs: Any,
    ) -> None:
        """Train the model.

        One epoch shows every cell of the larger group once. All schedules count in fractions of
        ``max_epochs``. Ctrl-C ends training and keeps what the model has learned so far.

        Parameters
        ----------
        max_epochs
            Epochs; `None` for 50, but at least 200 and at most about 8,000 optimiser steps.
        accelerator, devices
            As in :class:`lightning.pytorch.Trainer`.
        train_size
            Share of the cells of each group to train on; `None` for 0.9.
        validation_size
            Share of the cells of each group to validate on; `None` for all others.
        shuffle_set_split
            Whether to shuffle before the split.
        batch_size
            Cells **of each group** in a minibatch.
        early_stopping
            Whether to stop when the ELBO of the validation cells no longer improves; see
            :class:`scvi.train.Trainer` for its settings.
        checkpoint_path
            File to keep the whole state of training in, written after each epoch. A later
            ``train(..., ckpt_path=...)`` of a model with the same arguments goes on from it.
        datasplitter_kwargs
            ``storage``: where data in memory stay during training, ``"device"``, ``"host"``, or
            ``"auto"``, the default, for the device if it is an accelerator with room for them.
        plan_kwargs
            Arguments of the training plan, for instance ``lr`` or ``kl_warmup``.
        **trainer_kwargs
            Further arguments of :class:`scvi.train.Trainer`, for instance ``callbacks``,
            ``check_val_every_n_epoch``, or ``ckpt_path`` to go on from a Lightning checkpoint.

        Raises
        ------
        TypeError
            When an argument is of the wrong type, or the training plan does not know it.
        ValueError
            When sizes are out of range, or early stopping has no validation cells.
        RuntimeError
            When training diverged.
        """
        if max_epochs is not None:
            check_integer("max_epochs", max_epochs, low=1)
        check_flag("early_stopping", early_stopping)
        splitter = RoleDataSplitter(
            self.adata_manager,
            self._groups(),
            train_size=train_size,
            validation_size=validation_size,
            shuffle_set_split=shuffle_set_split,
            batch_size=batch_size,
            **(datasplitter_kwargs or {}),
        )
        if early_stopping and splitter.n_val == 0:
            msg = (
                "`early_stopping=True` watches the ELBO of validation cells, found none with "
                f"`train_size={train_size}` and `validation_size={validation_size}`. Lower "
                "`train_size`, for example to 0.9."
            )
            raise ValueError(msg)
        check_plan_arguments(self._training_plan_cls, {} if plan_kwargs is None else plan_kwargs)
        # scvi-tools asks cuDNN to try out algorithms; fixed ones keep runs reproducible.
        trainer_kwargs.setdefault("benchmark", False)
        trainer_kwargs.setdefault("log_every_n_steps", min(10, splitter.n_steps_per_epoch))
        if checkpoint_path is not None:
            callbacks = list(trainer_kwargs.pop("callbacks", []))
            trainer_kwargs["callbacks"] = [*callbacks, ResumableCheckpoint(checkpoint_path)]
        runner = InterruptibleTrainRunner(
            self,
            training_plan=self._training_plan_cls(self.module, **(plan_kwargs or {})),
            data_splitter=splitter,
            max_epochs=max_epochs or default_max_epochs(splitter.n_steps_per_epoch),
            accelerator=accelerator,
            devices=devices,
            early_stopping=early_stopping,
            **trainer_kwargs,
        )
        runner()
        self._check_not_diverged()

    def _check_not_diverged(self) -> None:
        elbo = self.history["elbo_train"].to_numpy(dtype=float)
        if len(elbo) and not np.isfinite(elbo[-1]).all():
            self.is_trained_ = False
            msg = (
                "Training diverged: the ELBO is no longer finite, and the model is of no use. Make "
                "a new one and train it with a lower learning rate, for instance "
                "`plan_kwargs={'lr': 1e-4}`, or look for extreme values in the data."
            )
            raise RuntimeError(msg)
