"""Training."""

from __future__ import annotations

import copy
import inspect
import math
import tempfile
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from scvi import settings

from scsalient._arguments import check_flag, check_integer, check_names, check_number
from scsalient._random import generator
from scsalient._wording import counted
from scsalient.loaders import RoleDataSplitter, common_shares, fingerprint_of_cells
from scsalient.model._base import LatentModel
from scsalient.model._columns import column_of, strata_of
from scsalient.model._fields import registered_categories
from scsalient.train import (
    InterruptibleTrainRunner,
    ResumableCheckpoint,
    SilhouetteMonitor,
    VAETrainingPlan,
    check_plan_arguments,
    check_trainer_arguments,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    import lightning.pytorch as pl

# Longer training overfits small data: silhouettes of a known response fall (docs/defaults.md)
USUAL_EPOCHS = 50
MIN_STEPS = 200
MAX_STEPS = 8000
MAX_PASSES = 100
MAX_SILHOUETTE_CELLS = 2000
# Of a cell of a rare category in an epoch of balanced draws, beyond which there is a warning
_MAX_REPEATS = 20
# Of a group, below which little is learned of it
_FEW_CELLS = 10
_SPLITTER_ARGUMENTS = ("storage", "steps_at_once", "external_indexing")
# Which cells were trained on; by the names that scvi-tools saves
_OF_THE_SPLIT = (
    "cells_",
    "trained_categories_",
    "train_indices",
    "validation_indices",
    "test_indices",
)


def default_max_epochs(n_steps_per_epoch: int, n_passes: float = 1.0) -> int:
    """Epochs of a training: enough steps for small data, not more than needed for large ones.

    Parameters
    ----------
    n_steps_per_epoch
        Minibatches in an epoch.
    n_passes
        How often an epoch shows each target cell: cells of the largest group over target cells.

    Returns
    -------
    50 epochs, but at least 200 and at most about 8,000 optimiser steps, and never fewer than 10
    epochs. Where that would show each target cell more than 100 times, fewer, down to 200 steps.
    """
    fewest = math.ceil(MIN_STEPS / n_steps_per_epoch)
    epochs = max(USUAL_EPOCHS, fewest)
    epochs = max(10, min(epochs, math.ceil(MAX_STEPS / n_steps_per_epoch)))
    return min(epochs, max(fewest, math.ceil(MAX_PASSES / n_passes)))


class TrainingMixin(LatentModel):
    """Training on groups of cells."""

    _training_plan_cls = VAETrainingPlan

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
        balance_keys: str | Sequence[str] | None = None,
        silhouette_key: str | None = None,
        checkpoint_path: str | os.PathLike[str] | None = None,
        datasplitter_kwargs: dict[str, Any] | None = None,
        plan_kwargs: dict[str, Any] | None = None,
        **trainer_kwargs: Any,
    ) -> None:
        """Train the model.

        One epoch shows every cell of the larger group once (with ``balance_keys`` as many cells,
        some of them more often and some not at all). All schedules count in fractions of
        ``max_epochs``. Ctrl-C ends training and keeps what the model has learned so far.

        Parameters
        ----------
        max_epochs
            Epochs. `None` for 50; more if that is fewer than 200 optimiser steps, fewer if it is
            more than about 8,000, but never fewer than 10 epochs. Where the background is much
            larger than the target, fewer, so that each target cell comes 100 times at most, or as
            often as 200 steps need.
        accelerator
            As in :class:`lightning.pytorch.Trainer`.
        devices
            As in :class:`lightning.pytorch.Trainer`. Several devices share each minibatch out, and
            need ``scvi.settings.seed``.
        train_size
            Share of the cells of each group to train on; `None` for 0.9.
        validation_size
            Share of the cells of each group to validate on; `None` for all others.
        shuffle_set_split
            Whether to shuffle before the split.
        batch_size
            Cells **of each group** in a minibatch, on each device; all of a group that has fewer.
        early_stopping
            Whether to stop when the ELBO of the validation cells no longer improves; see
            :class:`scvi.train.Trainer` for its settings.
        balance_keys
            Column or columns of ``.obs`` with categories, such as cell types or donors, of which
            target and background should have the same shares while the model is trained; `None`
            leaves the shares as they are. What is frequent in one group is then drawn more rarely,
            what is rare more often: a category that makes the share ``p`` of the target and ``q``
            of the background comes in proportion to ``sqrt(p * q)`` in both. Otherwise different
            shares count as a difference between the groups, and blur the response. Several columns
            count by their combinations. A category that one group lacks keeps its share in the
            other. Validation cells come as they are. Only a contrastive model has two groups.
        silhouette_key
            Column of ``.obs`` with a label, for instance the treatment. Its silhouette in the
            latents (of a contrastive model: in the salient latents of target cells, at most 2,000)
            is logged as ``silhouette_validation`` after each epoch, for a search over settings or
            as ``early_stopping_monitor``. The label takes no part in training. In
            ``model.history`` only if the first training of the model had it, like all that is
            logged of validation cells.
        checkpoint_path
            File to keep the whole state of training in, written after each epoch. A later
            ``train(..., ckpt_path=...)`` of a model with the same arguments goes on from it.
        datasplitter_kwargs
            ``storage``: where data in memory stay during training, ``"device"``, ``"host"``, or
            ``"auto"``, the default, for the device if it is an accelerator with room for them.
            ``steps_at_once``: how many minibatches Lightning counts as one of its batches where
            the data lie in the memory of the device; by default 32 for a contrastive model, whose
            steps a CUDA device then replays as graphs, and else 1. Callbacks are called once for
            all of them, and a learning rate that one changes has no effect on a graph: with 1
            there are none. ``external_indexing``: positions of the cells to train on, to validate
            on and of the test set, as in scvi-tools, for instance to hold out whole donors.
        plan_kwargs
            Arguments of the training plan: ``lr`` (1e-3); ``weight_decay`` (0) and ``eps`` (1e-8)
            of Adam; ``kl_warmup`` (0.1), the share of the training over which the KL terms reach
            their weight; ``weight_averaging`` (0.3), the share at its end over which the weights
            are averaged, 0 to keep the last ones; ``dispersion_lr`` (0.03), the learning rate of
            the dispersions of ``"nb"`` and ``"zinb"``; ``optimizer`` and ``optimizer_creator`` as
            in :class:`scvi.train.TrainingPlan`. A contrastive model also has ``penalty_warmup``
            (0), the share over which the other terms reach their weight, and ``discriminator_lr``
            (1e-3). Only :class:`~scsalient.StandardVAE` has ``reduce_lr_on_plateau`` and what
            belongs to it (``lr_factor``, ``lr_patience``, ``lr_threshold``,
            ``lr_scheduler_metric``, ``lr_min``), as in scvi-tools.
        **trainer_kwargs
            Further arguments of :class:`scvi.train.Trainer`, for instance ``callbacks``,
            ``check_val_every_n_epoch``, ``precision="bf16-mixed"``, ``strategy="ddp"``,
            ``gradient_clip_val``, or ``ckpt_path`` to go on from a Lightning checkpoint. With a
            ``logger`` of your own the terms are there and not in ``model.history``.

        Raises
        ------
        KeyError
            When there is no column ``silhouette_key``, or of ``balance_keys``.
        TypeError
            When an argument is of the wrong type, or the training plan does not know it.
        ValueError
            When sizes are out of range, early stopping or a silhouette has no validation cells,
            the label has missing values or a single category, or ``balance_keys`` has missing
            values, more than 50 different numbers, or no category that both groups have.
        RuntimeError
            When training diverged.

        Warns
        -----
        UserWarning
            When a group has fewer than ten cells to train on, a batch or category of a covariate
            none, or a group none of a category of ``balance_keys``, or so few that each of them
            comes more than 20 times in an epoch. When a checkpoint has all epochs already.
        """
        if max_epochs is not None:
            check_integer("max_epochs", max_epochs, low=1)
            max_epochs = int(max_epochs)
        check_flag("early_stopping", early_stopping)
        check_flag("shuffle_set_split", shuffle_set_split)
        check_trainer_arguments(trainer_kwargs, ours=inspect.signature(self.train).parameters)
        # Lightning takes no numbers of NumPy
        trainer_kwargs = {
            name: value.item() if isinstance(value, np.generic) else value
            for name, value in trainer_kwargs.items()
        }
        # As they were registered for this model, and as they are now
        self._check_data(self._validated(None, new_categories=True))
        datasplitter_kwargs = {} if datasplitter_kwargs is None else datasplitter_kwargs
        splitter = self._splitter(
            datasplitter_kwargs,
            balance_keys,
            train_size=train_size,
            validation_size=validation_size,
            shuffle_set_split=shuffle_set_split,
            batch_size=batch_size,
        )
        if splitter.n_val == 0:
            _check_needs_no_validation(
                {
                    "early_stopping=True` watches the ELBO of": early_stopping,
                    "silhouette_key` is looked at along with": silhouette_key is not None,
                    "reduce_lr_on_plateau` watches a term of": _watches_validation(plan_kwargs),
                },
                _no_validation(datasplitter_kwargs, train_size, validation_size),
            )
        check_plan_arguments(self._training_plan_cls, {} if plan_kwargs is None else plan_kwargs)
        # scvi-tools asks cuDNN to try out algorithms; fixed ones keep runs reproducible.
        trainer_kwargs.setdefault("benchmark", False)
        n_batches = -(-splitter.n_steps_per_epoch // splitter.steps_at_once)
        trainer_kwargs.setdefault("log_every_n_steps", min(10, n_batches))
        callbacks = trainer_kwargs.pop("callbacks", None) or []
        callbacks = [callbacks] if isinstance(callbacks, Callback) else list(callbacks)
        if silhouette_key is not None:
            callbacks.append(self._silhouette_monitor(silhouette_key))
            trainer_kwargs.setdefault("check_val_every_n_epoch", 1)
        trainer_kwargs["callbacks"] = callbacks
        # The groups are named from the target on
        n_train = [len(cells) for cells in splitter.train_idx_of.values()]
        n_passes = max(n_train) / n_train[0]
        # With a strategy for several devices scvi-tools passes the history on in a file.
        plan = self._training_plan_cls(self.module, **(plan_kwargs or {}))
        _clip_in_plan(plan, trainer_kwargs)
        with tempfile.TemporaryDirectory() as folder:
            if "strategy" in trainer_kwargs:
                trainer_kwargs.setdefault("log_save_dir", folder)
            runner = InterruptibleTrainRunner(
                self,
                training_plan=plan,
                data_splitter=splitter,
                max_epochs=max_epochs or default_max_epochs(splitter.n_steps_per_epoch, n_passes),
                accelerator=accelerator,
                devices=devices,
                early_stopping=early_stopping,
                **trainer_kwargs,
            )
            if max_epochs is None and runner.trainer.world_size > 1:
                n_steps = math.ceil(splitter.n_steps_per_epoch / runner.trainer.world_size)
                runner.trainer.fit_loop.max_epochs = default_max_epochs(n_steps, n_passes)
            if checkpoint_path is not None:
                # Last: what other callbacks know after an epoch belongs to its state
                runner.trainer.callbacks.append(ResumableCheckpoint(checkpoint_path))
            self._run(runner, splitter)
        self._check_not_diverged(runner.trainer)

    def _run(self, runner: InterruptibleTrainRunner, splitter: RoleDataSplitter) -> None:
        """Train; where it fails before the first step, the model is as it was."""
        before = self._what_training_changes()
        self._remember_split(splitter, before)
        # After an earlier training the networks are in the mode of evaluation
        self.module.train()
        try:
            runner()
        except BaseException:
            if not runner.trainer.global_step:
                # Nothing was trained on these cells, though a checkpoint may have been read
                self._restore(before)
            raise
        finally:
            self.module.eval()
            # Which Lightning leaves out where training ended in an error
            for part in (splitter, runner.training_plan):
                part.teardown("fit")
        if runner.ckpt_path is not None and not runner.training_plan.has_begun:
            msg = (
                f"`ckpt_path` has all {counted(runner.trainer.current_epoch, 'epoch')} that were "
                "planned: nothing was trained. Raise `max_epochs` to go on."
            )
            warnings.warn(msg, UserWarning, stacklevel=settings.warnings_stacklevel)
        # A checkpoint has a split of its own
        self._remember_split(splitter, before)
        for frame in self.history_.values():
            # Strings of pandas 3 in a saved model would be nothing to an older one
            frame.columns = frame.columns.astype(object)

    def _splitter(
        self, arguments: dict[str, Any], balance_keys: str | Sequence[str] | None, **kwargs: Any
    ) -> RoleDataSplitter:
        """Split of the cells of each group, with a warning of what will not be learned from it."""
        check_names("datasplitter_kwargs", arguments, _SPLITTER_ARGUMENTS)
        steps_at_once = self._training_plan_cls.steps_at_once
        groups = self._groups()
        strata, categories = self._strata(balance_keys, groups)
        splitter = RoleDataSplitter(
            self.adata_manager,
            groups,
            strata=strata,
            **({"steps_at_once": steps_at_once} | arguments | kwargs),
        )
        if splitter.steps_at_once > steps_at_once == 1:
            msg = (
                f"`steps_at_once` should be 1 for {type(self).__name__}, found "
                f"{splitter.steps_at_once}."
            )
            raise ValueError(msg)
        stacklevel = settings.warnings_stacklevel + 1
        for name, cells in splitter.train_idx_of.items():
            if len(cells) < _FEW_CELLS <= len(groups[name]):
                msg = (
                    f"Only {len(cells)} {name} cells to train on: too few to learn from. Raise "
                    "`train_size`."
                )
                warnings.warn(msg, UserWarning, stacklevel=stacklevel)
        self._warn_of_unseen_categories(splitter.train_idx, stacklevel=stacklevel + 1)
        if strata is not None:
            _check_strata(strata, categories, splitter.train_idx_of, stacklevel=stacklevel + 1)
        return splitter

    def _strata(
        self, keys: str | Sequence[str] | None, groups: Mapping[str, np.ndarray]
    ) -> tuple[np.ndarray | None, list[Any]]:
        """Stratum of each cell by the columns to balance, and the category of each stratum."""
        if keys is None:
            return None, []
        if len(groups) == 1:
            msg = (
                "`balance_keys` gives target and background the same shares, found "
                f"{type(self).__name__}, which knows no groups. Leave it out."
            )
            raise ValueError(msg)
        return strata_of(self.adata, "balance_keys", keys, np.concatenate(list(groups.values())))

    def _what_training_changes(self) -> dict[str, Any]:
        """Weights, the cells that they were trained on, and their categories."""
        kept = {name: getattr(self, name, None) for name in _OF_THE_SPLIT}
        weights = {name: value.clone() for name, value in self.module.state_dict().items()}
        return kept | {"categories_": copy.deepcopy(self.categories_), "weights": weights}

    def _restore(self, before: dict[str, Any]) -> None:
        self.module.load_state_dict(before["weights"])
        self.categories_ = before["categories_"]
        for name in _OF_THE_SPLIT:
            setattr(self, name, before[name])

    def _remember_split(self, splitter: RoleDataSplitter, before: Mapping[str, Any]) -> None:
        """Keep which cells are trained on, and their categories; a checkpoint has them, too."""
        self.cells_ = fingerprint_of_cells(self.adata)
        self.train_indices = splitter.train_idx
        self.validation_indices = splitter.val_idx
        self.test_indices = splitter.test_idx
        trained = copy.deepcopy(before["trained_categories_"])
        if trained is None:
            trained = {field: [[] for _ in columns] for field, columns in self.categories_.items()}
        for field, i, _, _ in registered_categories(self.registry):
            codes = np.unique(self._category_codes(field)[splitter.train_idx, i]).tolist()
            self.categories_[field][i] = sorted({*before["categories_"][field][i], *codes})
            trained[field][i] = sorted({*trained[field][i], *codes})
        self.trained_categories_ = trained

    def _warn_of_unseen_categories(self, train_idx: np.ndarray, *, stacklevel: int) -> None:
        """Warn of batches and categories of covariates of which no cell is trained on."""
        for field, i, key, categories in registered_categories(self.registry):
            codes = self._category_codes(field)[:, i]
            unseen = [categories[code] for code in np.setdiff1d(codes, codes[train_idx])]
            if unseen:
                msg = (
                    f"`adata.obs[{key!r}]` has categories of which no cell is trained on, "
                    f"{unseen}: latents and evidence of their cells are arbitrary. Train on some "
                    "of them, or do not register the column."
                )
                warnings.warn(msg, UserWarning, stacklevel=stacklevel)

    def _silhouette_monitor(self, key: str) -> SilhouetteMonitor:
        column = column_of(self.adata, "silhouette_key", key)
        # Salient latents of target cells, or the only latents of all cells
        kind, cells = next(iter(self.module.n_latent)), next(iter(self._groups().values()))
        if len(cells) > MAX_SILHOUETTE_CELLS:
            cells = generator(0, "silhouette").choice(cells, MAX_SILHOUETTE_CELLS, replace=False)
        labels = column.iloc[cells]
        if labels.isna().any() or not 2 <= labels.nunique() < len(labels):
            msg = (
                f"`silhouette_key` column {key!r} should have a label for each cell and two "
                "different ones at least, but fewer than cells, found "
                f"{int(labels.isna().sum())} missing and "
                f"{labels.nunique()} different ones among {len(cells)} "
                f"{'target ' if kind == 'salient' else ''}cells."
            )
            raise ValueError(msg)

        @torch.inference_mode()
        def latent() -> np.ndarray:
            batches = self._minibatches(self.adata, cells, None)
            means = [self.module.posteriors(tensors)[kind].mean.cpu() for tensors in batches]
            return torch.cat(means).numpy()

        return SilhouetteMonitor(latent, labels.astype(str).to_numpy())

    def _check_not_diverged(self, trainer: pl.Trainer) -> None:
        # Not in the history: other loggers than scvi-tools' have none, and only one device has it.
        elbo = trainer.callback_metrics.get("elbo_train")
        if elbo is not None and not torch.isfinite(elbo):
            self.is_trained_ = False
            msg = (
                "Training diverged: the ELBO is no longer finite, and the model is of no use. Make "
                "a new one and train it with a lower learning rate, for instance "
                "`plan_kwargs={'lr': 1e-4}`, or look for extreme values in the data."
            )
            raise RuntimeError(msg)


def _check_needs_no_validation(wanted: Mapping[str, bool], why: str) -> None:
    for argument, is_wanted in wanted.items():
        if is_wanted:
            msg = f"`{argument} validation cells, found none with {why}"
            raise ValueError(msg)


def _no_validation(splitter_kwargs: Any, train_size: Any, validation_size: Any) -> str:
    """End of a message on validation cells that are wanted and not there."""
    if splitter_kwargs.get("external_indexing") is not None:
        return "`external_indexing`. Give them as its second array."
    return (
        f"`train_size={train_size}` and `validation_size={validation_size}`. Lower `train_size`, "
        "for example to 0.9."
    )


def _clip_in_plan(plan: VAETrainingPlan, trainer_kwargs: dict[str, Any]) -> None:
    """Leave gradients to be clipped by a plan that takes its steps itself.

    Raises
    ------
    ValueError
        When such a plan is asked to take a step for several minibatches.
    """
    if plan.automatic_optimization:
        return
    if trainer_kwargs.pop("accumulate_grad_batches", 1) not in (1, None):
        msg = (
            "`accumulate_grad_batches` should be 1 for a contrastive model, whose loss compares "
            "the cells of a minibatch. Raise `batch_size`."
        )
        raise ValueError(msg)
    largest = trainer_kwargs.pop("gradient_clip_val", None)
    algorithm = trainer_kwargs.pop("gradient_clip_algorithm", None)
    if largest is not None:
        check_number("gradient_clip_val", largest, low=0, low_included=False)
        if algorithm not in (None, "norm", "value"):
            msg = f"`gradient_clip_algorithm` should be 'norm' or 'value', found {algorithm!r}."
            raise ValueError(msg)
        plan.gradient_clip = (float(largest), algorithm)


def _watches_validation(plan_kwargs: Any) -> bool:
    """Whether the learning rate falls when a term of validation cells does not."""
    arguments = plan_kwargs if isinstance(plan_kwargs, dict) else {}
    metric = str(arguments.get("lr_scheduler_metric", "elbo_validation"))
    return bool(arguments.get("reduce_lr_on_plateau")) and "validation" in metric


def _check_strata(
    strata: np.ndarray,
    categories: list[Any],
    train_idx_of: Mapping[str, np.ndarray],
    *,
    stacklevel: int,
) -> None:
    """Refuse strata that no two groups share, and warn of those that one of them lacks."""
    has = {name: set(strata[cells].tolist()) for name, cells in train_idx_of.items()}
    if not set.intersection(*has.values()):
        msg = (
            "`balance_keys` should have a category with target and background cells to train on, "
            "found none: it coincides with the condition. Name columns that both groups share."
        )
        raise ValueError(msg)
    few = _often_drawn(strata, categories, train_idx_of)
    if few:
        msg = (
            "`balance_keys` has categories of so few cells in one group that they come many times "
            f"in an epoch: {', '.join(few)}. The model may learn them by heart. Remove these cells "
            "if they are mislabelled, or leave the column out."
        )
        warnings.warn(msg, UserWarning, stacklevel=stacklevel)
    anywhere = set.union(*has.values())
    lacks = {name: sorted(anywhere - mine) for name, mine in has.items()}
    found = [
        f"no {name} cells of {[categories[stratum] for stratum in missing]}"
        for name, missing in lacks.items()
        if missing
    ]
    if found:
        msg = (
            f"`balance_keys` has categories that one group lacks: {' and '.join(found)} to train "
            "on. They keep their share in the other group, and differ between the groups."
        )
        warnings.warn(msg, UserWarning, stacklevel=stacklevel)


def _often_drawn(
    strata: np.ndarray, categories: list[Any], train_idx_of: Mapping[str, np.ndarray]
) -> list[str]:
    """Cells of which balanced draws show each many times in an epoch, in words."""
    codes = [strata[cells] for cells in train_idx_of.values()]
    found = []
    for name, mine, shares in zip(train_idx_of, codes, common_shares(codes), strict=True):
        n = np.bincount(mine, minlength=len(shares))
        times = shares * len(mine) / np.maximum(n, 1)
        found += [
            f"{counted(int(n[i]), f'{name} cell')} of {categories[i]!r} {times[i]:.0f} times"
            for i in np.flatnonzero(times > _MAX_REPEATS)
        ]
    return found
