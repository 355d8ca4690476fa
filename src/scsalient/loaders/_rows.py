"""Rows of the registered data as tensors, wherever the data lie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import sparse
from scvi import REGISTRY_KEYS

from scsalient.data import CATEGORY_KEYS, image_from_registry, in_memory
from scsalient.loaders._sparse_rows import SparseRows

if TYPE_CHECKING:
    from scvi.data import AnnDataManager
    from torch import Tensor

# Rows that nobody asked for are read along when the gap between two runs is at most this long:
# one longer read is quicker than two.
_MAX_GAP = 8
# Share of the free memory of an accelerator up to which zeros may lie there, too
_MAX_SHARE_OF_ZEROS = 0.1
_ROWS_AT_ONCE = 4096
# Share of entries up to which products that leave zeros out are the faster ones
_MAX_DENSITY = 0.3


class Rows:
    """Cells as they lie in memory or on disk, cut into minibatches by position.

    Nothing is copied, save a CSC matrix, whose rows cannot be cut.

    Parameters
    ----------
    x
        Data, shape ``(n_cells, n_vars)``: an array, a scipy matrix, or AnnData's or h5py's or
        zarr's view of a file.
    columns
        Other registered fields by tensor name, each of shape ``(n_cells, n_columns)``.
    scale
        What the values of a minibatch are divided by: 255 for 8-bit images, which stay 8-bit where
        they lie.
    """

    def __init__(self, x: Any, columns: dict[str, Tensor], *, scale: float = 1.0) -> None:
        if sparse.issparse(x) and x.format != "csr":
            x = x.tocsr()
        self.x = x
        self.columns = columns
        self.scale = scale
        # By device, so that one copy there serves all
        self.kept: dict[torch.device, RowsOnDevice] = {}
        # Once: an entry that is stored twice would count as two
        self._distinct = sparse.issparse(x) and x.has_canonical_format

    @classmethod
    def of(cls, adata_manager: AnnDataManager) -> Rows:
        """Rows of registered data with all their fields."""
        columns = {}
        for key in adata_manager.data_registry:
            if key == REGISTRY_KEYS.X_KEY:
                continue
            values = np.asarray(adata_manager.get_from_registry(key))
            dtype = np.int64 if key in CATEGORY_KEYS else np.float32
            values = values.reshape(len(values), -1).astype(dtype)
            columns[key] = torch.from_numpy(values)
        fields = adata_manager.registry["field_registries"]
        image = image_from_registry(fields[REGISTRY_KEYS.X_KEY]["state_registry"])
        return cls(
            adata_manager.get_from_registry(REGISTRY_KEYS.X_KEY),
            columns,
            scale=1.0 if image is None else image.scale,
        )

    @property
    def on_disk(self) -> bool:
        """Whether each access reads a file."""
        return not (isinstance(self.x, np.ndarray) or sparse.issparse(self.x))

    def load(self, positions: np.ndarray) -> Rows:
        """The rows at these positions, in memory and in this order."""
        columns = {key: values[positions] for key, values in self.columns.items()}
        if not self.on_disk:
            return Rows(self.x[positions], columns, scale=self.scale)
        wanted, inverse = np.unique(positions, return_inverse=True)
        breaks = np.flatnonzero(np.diff(wanted) > _MAX_GAP) + 1
        runs = [(run[0], run[-1] + 1) for run in np.split(wanted, breaks)]
        blocks = [in_memory(self.x[int(start) : int(stop)]) for start, stop in runs]
        read = np.concatenate([np.arange(*run) for run in runs])
        stack = sparse.vstack(blocks, "csr") if sparse.issparse(blocks[0]) else np.vstack(blocks)
        rows = stack[np.searchsorted(read, wanted)[inverse]]
        return Rows(rows, columns, scale=self.scale)

    def tensors(self, positions: np.ndarray) -> dict[str, Any]:
        """Minibatch of these rows by tensor name; data scaled, float32.

        Data of which few are not zero are :class:`SparseRows`.
        """
        if self.on_disk:
            return self.load(positions).tensors(np.arange(len(positions)))
        block = self.x[positions]
        index = torch.from_numpy(positions)
        columns = {key: values[index] for key, values in self.columns.items()}
        return {REGISTRY_KEYS.X_KEY: self._data(block)} | columns

    def _data(self, block: Any) -> Tensor | SparseRows:
        if sparse.issparse(block):
            block = block.astype(np.float32, copy=False)
            if self._distinct and self.scale == 1:
                rows = SparseRows.of_csr(block)
                if rows.density <= _MAX_DENSITY:
                    return rows
            block = block.toarray()
        x = torch.from_numpy(np.ascontiguousarray(block, dtype=np.float32))
        if self.scale != 1:
            x /= self.scale
        return x

    def at(self, positions: Tensor) -> dict[str, Any]:
        """As :meth:`tensors`, of positions in a tensor."""
        return self.tensors(positions.numpy())


class RowsOnDevice:
    """Cells kept on an accelerator, so that a step waits for no transfer.

    Sparse data stay CSR unless there is room in plenty, and 8-bit data 8-bit.

    Parameters
    ----------
    rows
        Cells in memory.
    device
        Where to keep them.
    """

    def __init__(self, rows: Rows, device: torch.device) -> None:
        self.device = device
        self._scale = rows.scale
        self._columns = {key: values.to(device) for key, values in rows.columns.items()}
        self._values: Tensor | _SparseOnDevice
        if sparse.issparse(rows.x):
            few = _SparseOnDevice(rows.x, device)
            n_bytes = _kept(rows.x).itemsize * rows.x.shape[0] * rows.x.shape[1]
            roomy = has_room(device, n_bytes, share=_MAX_SHARE_OF_ZEROS)
            self._values = few.to_dense() if roomy else few
        else:
            self._values = torch.from_numpy(rows.x.astype(_kept(rows.x))).to(device)

    @staticmethod
    def n_bytes(rows: Rows) -> int:
        """Memory that the rows would take on the device."""
        if sparse.issparse(rows.x):
            return rows.x.nnz * (_kept(rows.x).itemsize + rows.x.indices.itemsize)
        return _kept(rows.x).itemsize * rows.x.size

    def tensors(self, positions: np.ndarray) -> dict[str, Tensor]:
        """As :meth:`Rows.tensors`, on the device."""
        return self.at(torch.from_numpy(positions).to(self.device))

    def at(self, positions: Tensor) -> dict[str, Tensor]:
        """As :meth:`tensors`, of positions on the device, without waiting for it."""
        x = self._values[positions].float()
        if self._scale != 1:
            x /= self._scale
        return {REGISTRY_KEYS.X_KEY: x} | {k: v[positions] for k, v in self._columns.items()}


class _SparseOnDevice:
    """A CSR matrix of which rows become dense.

    All shapes depend on the number of rows alone, so that the host need not know how many
    entries they have: each row is taken to be as long as the longest one.
    """

    def __init__(self, x: Any, device: torch.device) -> None:
        if not x.has_canonical_format:
            x = x.copy()
            x.sum_duplicates()
        lengths = np.diff(x.indptr)
        self._n_columns = x.shape[1]
        self._starts = torch.from_numpy(x.indptr[:-1].astype(np.int64)).to(device)
        self._lengths = torch.from_numpy(lengths).to(device)
        self._places = torch.arange(int(lengths.max(initial=0)), device=device)
        self._columns = torch.from_numpy(x.indices).to(device)
        self._values = torch.from_numpy(x.data.astype(_kept(x))).to(device)

    def to_dense(self) -> Tensor:
        """All rows, with their zeros."""
        n_rows = len(self._starts)
        dense = self._values.new_empty(n_rows, self._n_columns)
        for rows in torch.arange(n_rows, device=dense.device).split(_ROWS_AT_ONCE):
            dense[rows] = self[rows]
        return dense

    def __getitem__(self, rows: Tensor) -> Tensor:
        # What lies beyond the end of a row goes to a column that is cut off
        outside = self._places >= self._lengths[rows, None]
        entries = (self._starts[rows, None] + self._places).masked_fill_(outside, 0)
        columns = self._columns[entries].long().masked_fill_(outside, self._n_columns)
        dense = self._values.new_zeros(len(rows), self._n_columns + 1)
        return dense.scatter_(1, columns, self._values[entries])[:, :-1].contiguous()


def has_room(device: torch.device, n_bytes: int, *, share: float) -> bool:
    """Whether something takes at most a share of the free memory of a CUDA device."""
    return device.type == "cuda" and n_bytes <= share * torch.cuda.mem_get_info(device)[0]


def _kept(x: Any) -> np.dtype:
    """Type in which values lie on a device."""
    return np.dtype(np.uint8 if x.dtype == np.uint8 else np.float32)
