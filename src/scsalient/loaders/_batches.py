"""Minibatches in the order of a sampler, read ahead where that saves time."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import torch

from scsalient.loaders._rows import Rows, RowsOnDevice, has_room
from scsalient.loaders._sparse_rows import dense

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Future

    from torch import Tensor
    from torch.utils.data import Sampler

Storage = Literal["auto", "host", "device"]
STORAGES: tuple[str, ...] = ("auto", "host", "device")

_In = TypeVar("_In")
_Out = TypeVar("_Out")

# Share of the free memory of an accelerator that data may take
_MAX_SHARE = 0.5
# Minibatches that are read from a file in one go, and so many ahead
READ_AT_ONCE = 32
# ... unless they are large: so many cells are enough
_MAX_ROWS_AT_ONCE = 8192


@dataclass(frozen=True)
class Minibatches:
    """Minibatches for several steps of an optimiser, of cells that lie where it trains.

    Parameters
    ----------
    rows
        The cells.
    positions
        Positions of the cells of each minibatch, on the device.
    first, n_in_epoch
        How many minibatches of the epoch came before these, and how many it has.
    """

    rows: Rows | RowsOnDevice
    positions: Sequence[Tensor]
    first: int
    n_in_epoch: int

    def progress(self) -> Iterator[float]:
        """Share of the epoch that is done before each minibatch."""
        for i in range(len(self.positions)):
            yield (self.first + i) / self.n_in_epoch


class BatchLoader:
    """Minibatches of tensors; lightning takes it as a data loader.

    No minibatch is kept: each is made when it is asked for, or, with an accelerator or a file,
    by a thread while the one before is trained on.

    Parameters
    ----------
    rows
        The cells.
    sampler
        Positions of the cells of each minibatch.
    device
        Device that trains; `None` for the CPU.
    storage
        Where the data stay: ``"device"``, ``"host"``, or ``"auto"`` for the device if it is
        an accelerator with room for them.
    steps_at_once
        How many minibatches to give at once, as :class:`Minibatches`, where the data lie in the
        memory of the device. With 1, and where they do not, one comes after the other.
    """

    def __init__(
        self,
        rows: Rows,
        sampler: Sampler[np.ndarray],
        *,
        device: torch.device | None = None,
        storage: Storage = "auto",
        steps_at_once: int = 1,
    ) -> None:
        # By these names lightning sets the epoch, as with PyTorch's loader without batching.
        self.sampler = sampler
        self.batch_sampler = None
        self._rows = rows
        self._device = torch.device("cpu") if device is None else device
        self._at_hand: Rows | RowsOnDevice | None = _on_device(rows, self._device, storage)
        if self._at_hand is None and self._device.type == "cpu" and not rows.on_disk:
            self._at_hand = rows
        self._n_together = 1 if self._at_hand is None else steps_at_once

    def release(self) -> None:
        """Forget the copy of the data on the device; the loader gives nothing any more."""
        self._at_hand = None
        self._rows.kept.clear()
        # Of a CSC matrix they are a copy
        del self._rows

    def __len__(self) -> int:
        """How often an epoch gives something."""
        return -(-self._n_batches // self._n_together)

    @property
    def _n_batches(self) -> int:
        return len(self.sampler)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        """Tensors of each minibatch by name, on the device, or several minibatches."""
        if self._at_hand is not None and self._n_together > 1:
            yield from self._together(self._at_hand)
        elif self._at_hand is not None:
            yield from map(self._at_hand.tensors, self.sampler)
        elif self._rows.on_disk:
            parts = _ahead(self._read, _reads(self.sampler))
            for rows, batches in parts:
                yield from (self._moved(rows.tensors(batch)) for batch in batches)
        else:
            yield from _ahead(lambda batch: self._moved(self._rows.tensors(batch)), self.sampler)

    def _together(self, rows: Rows | RowsOnDevice) -> Iterator[Minibatches]:
        batches, first = iter(self.sampler), 0
        while some := list(islice(batches, self._n_together)):
            # One transfer for all
            positions = torch.from_numpy(np.concatenate(some)).to(self._device)
            yield Minibatches(
                rows, positions.split([len(batch) for batch in some]), first, self._n_batches
            )
            first += len(some)

    def _read(self, chunk: list[np.ndarray]) -> tuple[Rows, list[np.ndarray]]:
        rows = self._rows.load(np.concatenate(chunk))
        ends = np.cumsum([len(batch) for batch in chunk])
        return rows, np.split(np.arange(ends[-1]), ends[:-1])

    def _moved(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        if self._device.type == "cpu":
            return tensors
        # Products on an accelerator are faster with the zeros.
        tensors = {key: dense(value) for key, value in tensors.items()}
        if self._device.type == "cuda":
            # From pinned memory the copy runs beside the computation.
            tensors = {key: value.pin_memory() for key, value in tensors.items()}
        return {key: value.to(self._device, non_blocking=True) for key, value in tensors.items()}


def _on_device(rows: Rows, device: torch.device, storage: Storage) -> RowsOnDevice | None:
    if storage == "host" or rows.on_disk:
        return None
    if device not in rows.kept:
        n_bytes = RowsOnDevice.n_bytes(rows)
        if storage == "auto" and not has_room(device, n_bytes, share=_MAX_SHARE):
            return None
        rows.kept[device] = RowsOnDevice(rows, device)
    return rows.kept[device]


def _reads(batches: Iterable[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """Minibatches that are read together."""
    read: list[np.ndarray] = []
    for batch in batches:
        n_rows = sum(map(len, read)) + len(batch)
        if read and (len(read) == READ_AT_ONCE or n_rows > _MAX_ROWS_AT_ONCE):
            yield read
            read = []
        read.append(batch)
    if read:
        yield read


def _ahead(function: Callable[[_In], _Out], items: Iterable[_In]) -> Iterator[_Out]:
    """Results in order, computed by one thread one item ahead."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        waiting: deque[Future[_Out]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > 1:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
