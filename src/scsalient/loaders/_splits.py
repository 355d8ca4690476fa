"""Train, validation and test sets, stratified by role."""

from __future__ import annotations

import functools
import hashlib
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import numpy as np
import torch
from scvi import settings

from scsalient._arguments import check_integer, check_number
from scsalient._random import generator
from scsalient.loaders._batches import READ_AT_ONCE, STORAGES, BatchLoader
from scsalient.loaders._pairing import PairedBatches, UnpairedBatches
from scsalient.loaders._rows import Rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData
    from numpy.typing import ArrayLike
    from scvi.data import AnnDataManager
    from torch import Tensor
    from torch.utils.data import Sampler

    from scsalient.loaders._batches import Storage

_DEFAULT_TRAIN_SIZE = 0.9
# Neighbouring cells of a file that are read together
_BLOCK_SIZE = 32


class RoleDataSplitter(pl.LightningDataModule):
    """Split each group into train, validation and test cells and load them in pairs.

    A checkpoint keeps the split, so that a training which goes on from it sees no other cells.

    Parameters
    ----------
    adata_manager
        Manager of the registered data.
    groups
        Positions of the cells of each group, for instance target and background, by its name.
    train_size
        Share of the cells of each group to train on, in (0, 1]; `None` for 0.9.
    validation_size
        Share to validate on; `None` for the rest. What remains is the test set.
    shuffle_set_split
        Whether to shuffle before the split, by ``scvi.settings.seed`` if it is set.
    batch_size
        Cells of each group in a minibatch.
    storage
        Where data in memory stay during training: ``"device"``, ``"host"``, or ``"auto"`` for
        the device if it is an accelerator with room for them.
    steps_at_once
        How many minibatches to train on at once, where data stay on the device.
    external_indexing
        Positions of the cells to train on, to validate on and of the test set, as in scvi-tools,
        instead of random ones. Cells that are in none of them are not used.
    strata
        Stratum of every cell, such as its type, that both groups should have equal shares of
        during training, shape ``(n_obs,)``; see :class:`PairedBatches`.

    Raises
    ------
    TypeError
        When `external_indexing` has no positions.
    ValueError
        When sizes are out of range, a group has no cells, or sets of positions are out of range or
        overlap.
    """

    def __init__(
        self,
        adata_manager: AnnDataManager,
        groups: Mapping[str, np.ndarray],
        *,
        train_size: float | None = None,
        validation_size: float | None = None,
        shuffle_set_split: bool = True,
        batch_size: int = 128,
        storage: Storage = "auto",
        steps_at_once: int = 1,
        external_indexing: Sequence[ArrayLike] | None = None,
        strata: np.ndarray | None = None,
    ) -> None:
        super().__init__()
        if storage not in STORAGES:
            msg = f"`storage` should be one of {list(STORAGES)}, found {storage!r}."
            raise ValueError(msg)
        check_integer("batch_size", batch_size, low=1)
        check_integer("steps_at_once", steps_at_once, low=1)
        if external_indexing is not None and (train_size, validation_size) != (None, None):
            msg = (
                "`external_indexing` tells all cells to train on, found `train_size="
                f"{train_size}` and `validation_size={validation_size}` beside it. Leave them out."
            )
            raise ValueError(msg)
        if validation_size is not None:
            check_number("validation_size", validation_size, low=0, high=1, high_included=False)
        if train_size is None:
            train_size = _DEFAULT_TRAIN_SIZE if validation_size is None else 1.0 - validation_size
        check_number("train_size", train_size, low=0, high=1, low_included=False)
        if validation_size is not None and validation_size > 1 - train_size + 1e-9:
            msg = (
                f"`validation_size` should lie between 0 and 1 - `train_size` = "
                f"{1 - train_size:g}, found {validation_size}."
            )
            raise ValueError(msg)
        empty = [name for name, group in groups.items() if not len(group)]
        if empty:
            msg = (
                f"`adata` should have cells of each group to train on, found no {empty[0]} cells. "
                "Train on data with both groups."
            )
            raise ValueError(msg)
        self.adata_manager = adata_manager
        self.batch_size = batch_size
        self.storage = storage
        self.steps_at_once = steps_at_once

        # Kept, for processes that are started later do not know of scvi-tools' setting.
        self._is_seeded = settings.seed is not None
        self._seed = int(settings.seed if self._is_seeded else torch.randint(2**31, ()).item())
        self._made: Rows | None = None
        self._loaders: list[BatchLoader] = []
        self._groups = groups
        self._strata = strata
        self._external = None
        if external_indexing is not None:
            self._external = _sets(external_indexing, adata_manager.adata.n_obs)
        self._train_size, self._validation_size = train_size, validation_size
        self._shuffle = shuffle_set_split
        self._split()

    def _split(self) -> None:
        parts = self._chosen() if self._external is None else self._given(self._external)
        self._train, self._validation, self._test = parts
        self.train_idx, self.val_idx, self.test_idx = map(np.concatenate, parts)
        self.n_train, self.n_val = len(self.train_idx), len(self.val_idx)

    def _given(self, sets: Sequence[np.ndarray]) -> list[list[np.ndarray]]:
        parts = [
            [group[np.isin(group, cells)] for group in map(np.asarray, self._groups.values())]
            for cells in sets
        ]
        for name, cells in zip(self._groups, parts[0], strict=True):
            if not len(cells):
                msg = (
                    "`external_indexing` should have cells of each group to train on, found no "
                    f"{name} cells among its first positions."
                )
                raise ValueError(msg)
        return parts

    def _chosen(self) -> list[list[np.ndarray]]:
        # Of its own, so that held-out cells depend on nothing else that was drawn by this seed
        rng = generator(self._seed, "split")
        train, validation, test = [], [], []
        for group in self._groups.values():
            order = rng.permutation(group) if self._shuffle else np.asarray(group)
            n_train = max(1, int(np.floor(self._train_size * len(order) + 1e-9)))
            n_rest = len(order) - n_train
            n_validation = (
                n_rest
                if self._validation_size is None
                else min(n_rest, int(np.ceil(self._validation_size * len(order) - 1e-9)))
            )
            train.append(order[:n_train])
            validation.append(order[n_train : n_train + n_validation])
            test.append(order[n_train + n_validation :])
        return [train, validation, test]

    def state_dict(self) -> dict[str, Any]:
        """What the split and the order of the cells depend on."""
        parts = zip(self._train, self._validation, self._test, strict=True)
        sizes = {
            name: [len(cells) for cells in split]
            for name, split in zip(self._groups, parts, strict=True)
        }
        return {
            "seed": self._seed,
            "shuffled": self._shuffle,
            "sizes": sizes,
            "cells": self._fingerprint,
            "strata": self._digest_of_strata,
        }

    @functools.cached_property
    def _digest_of_strata(self) -> str | None:
        if self._strata is None:
            return None
        return hashlib.sha256(self._strata.astype("<i8").tobytes()).hexdigest()

    @functools.cached_property
    def _fingerprint(self) -> str:
        # Once, for a checkpoint may be written after each epoch
        return fingerprint_of_cells(self.adata_manager.adata, self._external or ())

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Split as before; lightning calls this with the state in a checkpoint.

        Raises
        ------
        ValueError
            When the cells, their strata or the sizes of the sets are not those of the checkpoint.
        """
        mine = self.state_dict()
        remedy = (
            "Go on with the same data, `train_size`, `validation_size`, `shuffle_set_split` and "
            "`external_indexing`."
        )
        if any(mine[name] != state_dict[name] for name in ("shuffled", "sizes")):
            names = ("training", "validation", "test")
            expected, found = (
                "; ".join(
                    f"{group}: " + ", ".join(f"{n} {k}" for n, k in zip(split, names, strict=True))
                    for group, split in state["sizes"].items()
                )
                for state in (state_dict, mine)
            )
            msg = (
                f"`ckpt_path` is of a training with these cells ({expected}), found ({found}). "
                f"{remedy}"
            )
            raise ValueError(msg)
        if mine["cells"] != state_dict["cells"]:
            msg = (
                "`ckpt_path` is of a training with as many cells, but found others, by their names "
                f"in `adata.obs_names` or by `external_indexing`. {remedy}"
            )
            raise ValueError(msg)
        if mine["strata"] != state_dict["strata"]:
            msg = (
                "`ckpt_path` is of a training with other `balance_keys`, or other values in their "
                "columns. Go on with the same."
            )
            raise ValueError(msg)
        self._seed = state_dict["seed"]
        self._split()

    def teardown(self, stage: str) -> None:
        """Let go of copies of the data on the device that trained."""
        for loader in self._loaders:
            loader.release()
        self._loaders, self._made = [], None

    @property
    def train_idx_of(self) -> dict[str, np.ndarray]:
        """Positions of the cells of each group to train on."""
        return dict(zip(self._groups, self._train, strict=True))

    @property
    def n_steps_per_epoch(self) -> int:
        """Number of minibatches in an epoch."""
        return len(PairedBatches(self._train, batch_size=self.batch_size, seed=0))

    def train_dataloader(self) -> BatchLoader:
        """Random pairs, every cell of the largest group once, dealt out among the devices."""
        rank, world_size = self._place()
        rows = self._rows()
        batches = PairedBatches(
            self._train,
            batch_size=self.batch_size,
            strata=self._strata,
            seed=self._seed,
            block_size=_BLOCK_SIZE if rows.on_disk else 1,
            n_together=READ_AT_ONCE,
            rank=rank,
            world_size=world_size,
        )
        # Several devices exchange gradients at each step
        free = world_size == 1 and not self._counts_steps
        return self._loader(rows, batches, steps_at_once=self.steps_at_once if free else 1)

    @property
    def _counts_steps(self) -> bool:
        """Whether a limit on steps, or an interval of them, counts each."""
        if self.trainer is None:
            return False
        # 1.0 are all, 1 is one
        shares = self.trainer.limit_train_batches, self.trainer.val_check_interval
        return self.trainer.max_steps >= 0 or not all(
            isinstance(share, float) and share == 1.0 for share in shares
        )

    def val_dataloader(self) -> BatchLoader | list:
        """Every validation cell once."""
        if self.n_val == 0:
            return []
        rank, world_size = self._place()
        if max(len(group) for group in self._validation) < world_size:
            # Too few to share out: every device takes them all, which gives the same means.
            rank, world_size = 0, 1
        rows = self._rows()
        batches = UnpairedBatches(
            # A file is read from its beginning to its end
            [np.sort(group) for group in self._validation] if rows.on_disk else self._mixed(),
            batch_size=self.batch_size,
            rank=rank,
            world_size=world_size,
        )
        return self._loader(rows, batches)

    def _mixed(self) -> list[np.ndarray]:
        """Validation cells in an order that has nothing to do with that of the data."""
        rng = generator(self._seed, "validation")
        return [rng.permutation(group) for group in self._validation]

    def transfer_batch_to_device(
        self, batch: dict[str, Tensor], device: torch.device, dataloader_idx: int
    ) -> dict[str, Tensor]:
        """The minibatch as it is: the loader has put it there."""
        return batch

    def _rows(self) -> Rows:
        if self._made is None:
            self._made = Rows.of(self.adata_manager)
        return self._made

    def _place(self) -> tuple[int, int]:
        """Which device this process trains on, of how many."""
        if self.trainer is None or self.trainer.world_size == 1:
            return 0, 1
        n_devices = self.trainer.world_size
        if not self._is_seeded:
            msg = (
                "`devices` above 1 needs one order of the cells for all of them, found no seed. "
                "Set `scvi.settings.seed = 0` first."
            )
            raise ValueError(msg)
        smallest = min(len(group) for group in self._train)
        if smallest < n_devices:
            msg = (
                f"`devices` should be at most {smallest}, the number of training cells of the "
                f"smallest group, found {n_devices}."
            )
            raise ValueError(msg)
        return self.trainer.global_rank, n_devices

    def _loader(
        self, rows: Rows, batches: Sampler[np.ndarray], *, steps_at_once: int = 1
    ) -> BatchLoader:
        device = None if self.trainer is None else self.trainer.strategy.root_device
        loader = BatchLoader(
            rows, batches, device=device, storage=self.storage, steps_at_once=steps_at_once
        )
        self._loaders.append(loader)
        return loader


def fingerprint_of_cells(adata: AnnData, sets: Sequence[np.ndarray] = ()) -> str:
    """Names of the cells, their order and sets of positions among them, as a short text.

    Parameters
    ----------
    adata
        Data of the cells.
    sets
        Positions of some of them, whose order does not matter.
    """
    digest = hashlib.sha256("\0".join(map(str, adata.obs_names)).encode())
    for cells in sets:
        digest.update(b"\0\0" + np.sort(cells).astype("<i8").tobytes())
    return digest.hexdigest()


def _sets(external_indexing: Sequence[ArrayLike], n_cells: int) -> list[np.ndarray]:
    """Positions of the three sets, checked."""
    sets = [np.asarray(cells) for cells in external_indexing]
    sets += [np.empty(0, dtype=np.int64)] * (3 - len(sets))
    if len(sets) > 3 or any(c.ndim != 1 or (len(c) and c.dtype.kind not in "iu") for c in sets):
        msg = (
            "`external_indexing` should be up to three arrays with positions of cells, to train "
            "on, to validate on and of the test set, found "
            f"{[f'{c.dtype} of shape {c.shape}' for c in sets]}."
        )
        raise TypeError(msg)
    sets = [cells.astype(np.int64) for cells in sets]
    every = np.concatenate(sets)
    if len(every) and not 0 <= every.min() <= every.max() < n_cells:
        msg = (
            f"`external_indexing` should have positions from 0 to {n_cells - 1}, found "
            f"{every.min()} to {every.max()}."
        )
        raise ValueError(msg)
    n_repeated = len(every) - len(np.unique(every))
    if n_repeated:
        msg = f"`external_indexing` should have each cell once, found {n_repeated} again."
        raise ValueError(msg)
    return sets
