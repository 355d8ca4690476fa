"""Train, validation and test sets, stratified by role."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import numpy as np
import torch
from scvi import settings
from torch.utils.data import DataLoader

from scsalient._arguments import check_integer, check_number
from scsalient.loaders._pairing import PairedBatches, UnpairedBatches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scvi.data import AnnDataManager
    from torch.utils.data import Sampler

_DEFAULT_TRAIN_SIZE = 0.9


class RoleDataSplitter(pl.LightningDataModule):
    """Split each group into train, validation and test cells and load them in pairs.

    Parameters
    ----------
    adata_manager
        Manager of the registered data.
    groups
        Positions of the cells of each group, for instance target and background.
    train_size
        Share of the cells of each group to train on, in (0, 1]; `None` for 0.9.
    validation_size
        Share to validate on; `None` for the rest. What remains is the test set.
    shuffle_set_split
        Whether to shuffle before the split, by ``scvi.settings.seed``.
    batch_size
        Cells of each group in a minibatch.
    **loader_kwargs
        Further arguments of :class:`torch.utils.data.DataLoader`.

    Raises
    ------
    ValueError
        When sizes are out of range, or a group is left without training cells.
    """

    def __init__(
        self,
        adata_manager: AnnDataManager,
        groups: Sequence[np.ndarray],
        *,
        train_size: float | None = None,
        validation_size: float | None = None,
        shuffle_set_split: bool = True,
        batch_size: int = 128,
        **loader_kwargs: Any,
    ) -> None:
        super().__init__()
        check_integer("batch_size", batch_size, low=1)
        if validation_size is not None:
            check_number("validation_size", validation_size, low=0, high=1, high_included=False)
        if train_size is None:
            train_size = _DEFAULT_TRAIN_SIZE if validation_size is None else 1.0 - validation_size
        check_number("train_size", train_size, low=0, high=1, low_included=False)
        if validation_size is not None and not 0 <= validation_size <= 1 - train_size + 1e-9:
            msg = (
                f"`validation_size` should lie between 0 and 1 - `train_size` = "
                f"{1 - train_size:g}, found {validation_size}."
            )
            raise ValueError(msg)
        self.adata_manager = adata_manager
        self.batch_size = batch_size
        self.loader_kwargs = loader_kwargs

        # A generator of its own, so that the split depends on the seed alone.
        rng = np.random.default_rng(settings.seed)
        train, validation, test = [], [], []
        for group in groups:
            order = rng.permutation(group) if shuffle_set_split else np.asarray(group)
            n_train = max(1, int(np.floor(train_size * len(order) + 1e-9)))
            n_rest = len(order) - n_train
            n_validation = (
                n_rest
                if validation_size is None
                else min(n_rest, int(np.ceil(validation_size * len(order) - 1e-9)))
            )
            train.append(order[:n_train])
            validation.append(order[n_train : n_train + n_validation])
            test.append(order[n_train + n_validation :])
        self._train, self._validation, self._test = train, validation, test
        self.train_idx = np.concatenate(train)
        self.val_idx = np.concatenate(validation)
        self.test_idx = np.concatenate(test)
        self.n_train, self.n_val = len(self.train_idx), len(self.val_idx)

    @property
    def n_steps_per_epoch(self) -> int:
        """Number of minibatches in an epoch."""
        return len(PairedBatches(self._train, batch_size=self.batch_size, seed=0))

    def train_dataloader(self) -> DataLoader:
        """Random pairs, every cell of the largest group once."""
        batches = PairedBatches(self._train, batch_size=self.batch_size, seed=settings.seed)
        return self._loader(batches)

    def val_dataloader(self) -> DataLoader | list:
        """Every validation cell once."""
        if self.n_val == 0:
            return []
        return self._loader(UnpairedBatches(self._validation, batch_size=self.batch_size))

    def _loader(self, batches: Sampler[np.ndarray]) -> DataLoader:
        # The sampler gives whole batches, so PyTorch's own batching is off.
        kwargs = {"num_workers": settings.dl_num_workers} | self.loader_kwargs
        dataset = self.adata_manager.create_torch_dataset()
        # A generator of its own: an iterator would else draw from the one that the model uses.
        generator = torch.Generator().manual_seed(0)
        return DataLoader(dataset, sampler=batches, batch_size=None, generator=generator, **kwargs)
