"""Which cells go into which minibatch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import Sampler

from scsalient._random import generator
from scsalient.loaders._balance import StratifiedDraws, common_shares

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# How much larger a batch may be so that it has cells of the smallest group
_MAX_TIMES = 16


class PairedBatches(Sampler[np.ndarray]):
    """Random minibatches of target and background cells, one epoch an iteration.

    Every cell of the larger group comes once an epoch; nothing is dropped, and the batches
    differ in size by one cell at most, so that no epoch ends with a tiny one. The smaller group
    gives as many cells to each batch, or all it has, and is reshuffled each time it starts over.
    The order depends on the seed and the epoch alone, so that a run can be resumed.

    With `strata` each epoch has as many cells, but those of a stratum as often as
    :func:`common_shares` says, some of them more than once.

    Parameters
    ----------
    groups
        Positions of the cells of each group; empty groups are left out.
    batch_size
        Cells of each group in a batch, at most.
    strata
        Stratum of every cell of the data, such as its type, so that the groups have the same
        shares of each; `None` leaves the shares as they are.
    seed
        Seed of the order; `None` draws one from PyTorch's generator.
    block_size
        For data in a file: cells that lie side by side and stay together until they are in
        memory, where they are shuffled with the other blocks of one read. 1 shuffles cell by
        cell.
    n_together
        Minibatches that are read together.
    rank, world_size
        Which part of each minibatch to give, of how many. The parts share no cell and together
        are the minibatch; `batch_size` counts the cells of a part.
    """

    def __init__(
        self,
        groups: Sequence[np.ndarray],
        *,
        batch_size: int,
        strata: np.ndarray | None = None,
        seed: int | None = None,
        block_size: int = 1,
        n_together: int = 1,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.groups = [np.asarray(group) for group in groups if len(group)]
        if block_size > 1:
            self.groups = [np.sort(group) for group in self.groups]
        self.batch_size = batch_size * world_size
        self._block_size, self._n_read = block_size, n_together * self.batch_size
        self._rank, self._world_size = rank, world_size
        if seed is None:
            seed = int(torch.randint(2**31, ()).item())
        self._seed = seed
        self._epoch = 0
        self._n_largest = max(len(group) for group in self.groups)
        self._draws: list[StratifiedDraws] | None = None
        if strata is not None:
            codes = [strata[group] for group in self.groups]
            self._draws = [
                StratifiedDraws(*of_group)
                for of_group in zip(self.groups, codes, common_shares(codes), strict=True)
            ]

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        return -(-self._n_largest // self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        """Go to an epoch; Lightning calls this at the start of each."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[np.ndarray]:
        """Positions of the cells of each batch, one group after the other."""
        rng = generator(self._seed, f"epoch {self._epoch}")
        self._epoch += 1
        sizes = np.diff(np.linspace(0, self._n_largest, len(self) + 1).round().astype(int))
        parts = [self._cut(i, sizes, rng) for i in range(len(self.groups))]
        for batch in zip(*parts, strict=True):
            yield np.concatenate([part[self._rank :: self._world_size] for part in batch])

    def _cut(self, i: int, sizes: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
        order, start = self._round(i, rng), 0
        for size in sizes:
            n = min(int(size), len(self.groups[i]))
            batch = order[start : start + n]
            n_missing = n - len(batch)
            if n_missing:
                order = self._round(i, rng)
                if self._draws is None:
                    # The new round must not repeat a cell that this batch already has.
                    fresh = order[~np.isin(order, batch)][:n_missing]
                    order = np.concatenate([fresh, order[~np.isin(order, fresh)]])
                batch, start = np.concatenate([batch, order[:n_missing]]), n_missing
            else:
                start += n
            yield batch

    def _round(self, i: int, rng: np.random.Generator) -> np.ndarray:
        """Each cell of a group once, or as many by their strata, in random order."""
        if self._draws is None:
            return self._shuffled(self.groups[i], rng)
        drawn = self._draws[i].draw(rng)
        return self._shuffled(drawn if self._block_size == 1 else np.sort(drawn), rng)

    def _shuffled(self, group: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if self._block_size == 1:
            return rng.permutation(group)
        # Blocks begin elsewhere each time, so that no two cells always come together.
        ends = np.arange(rng.integers(1, self._block_size + 1), len(group), self._block_size)
        blocks = np.split(group, ends)
        order = np.concatenate([blocks[i] for i in rng.permutation(len(blocks))])
        reads = np.split(order, np.arange(self._n_read, len(order), self._n_read))
        return np.concatenate([rng.permutation(read) for read in reads])


class UnpairedBatches(Sampler[np.ndarray]):
    """Minibatches in a fixed order in which every cell of every group comes exactly once.

    For validation: each batch has its share of each group, so that the terms that compare the
    groups are defined in every batch, and the ELBO counts each cell once. With few cells of one
    group batches are up to 16 times as large as asked for; where that is not enough, some have
    none of it.

    Parameters
    ----------
    groups
        Positions of the cells of each group; empty groups are left out.
    batch_size
        Cells of each group in a batch, at most.
    rank, world_size
        As in :class:`PairedBatches`.
    """

    def __init__(
        self,
        groups: Sequence[np.ndarray],
        *,
        batch_size: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.groups = [np.asarray(group) for group in groups if len(group)]
        self._rank, self._world_size = rank, world_size
        sizes = [len(group) for group in self.groups]
        wanted = -(-max(sizes) // (batch_size * world_size))
        fewest = -(-max(sizes) // (_MAX_TIMES * batch_size * world_size))
        # As many for every device, none without cells, and each with cells of each group
        n_batches = min(wanted, max(min(sizes) // world_size, fewest))
        self._n_batches = max(1, min(n_batches, max(sizes) // world_size))

    def __len__(self) -> int:
        """Number of batches."""
        return self._n_batches

    def __iter__(self) -> Iterator[np.ndarray]:
        """Positions of the cells of each batch."""
        parts = [np.array_split(group, self._n_batches) for group in self.groups]
        for batch in zip(*parts, strict=True):
            yield np.concatenate([part[self._rank :: self._world_size] for part in batch])


class ConsecutiveBatches(Sampler[np.ndarray]):
    """Cells in a given order, a few at a time.

    Parameters
    ----------
    positions
        Positions of the cells.
    batch_size
        Cells in a batch.
    """

    def __init__(self, positions: np.ndarray, *, batch_size: int) -> None:
        self._batches = np.split(positions, np.arange(batch_size, len(positions), batch_size))

    def __len__(self) -> int:
        """Number of batches."""
        return len(self._batches)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Positions of the cells of each batch."""
        return iter(self._batches)
