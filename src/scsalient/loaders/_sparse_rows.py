"""Sparse rows, for work in which zeros need no part."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import sparse
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


@dataclass(frozen=True, eq=False)
class SparseRows:
    """A matrix of which most is zero, on the CPU: the other entries, row by row.

    Parameters
    ----------
    values, columns
        Value and column of each entry, shape ``(n_entries,)``.
    ends
        Where each row begins, and where the last one ends, shape ``(n_rows + 1,)``.
    n_columns
        Number of columns of the matrix.
    """

    values: Tensor
    columns: Tensor
    ends: Tensor
    n_columns: int

    @classmethod
    def of_csr(cls, block: Any) -> SparseRows:
        """A CSR matrix that stores no entry twice."""
        values, columns, ends = map(torch.from_numpy, (block.data, block.indices, block.indptr))
        rows = cls(values, columns, ends, n_columns=block.shape[1])
        rows.__dict__["_csr"] = block
        return rows

    @classmethod
    def of_dense(cls, x: Tensor) -> SparseRows:
        """A tensor, shape ``(n_rows, n_columns)``."""
        n_rows, n_columns = x.shape
        # NumPy finds them several times as fast as PyTorch does.
        flat = np.flatnonzero(x.detach().numpy() != 0)
        starts = np.arange(n_rows + 1) * n_columns
        ends = np.searchsorted(flat, starts)
        columns = flat - np.repeat(starts[:-1], np.diff(ends))
        values = x.reshape(-1).index_select(0, torch.from_numpy(flat))
        return cls(values, torch.from_numpy(columns), torch.from_numpy(ends), n_columns)

    def __len__(self) -> int:
        return len(self.ends) - 1

    @property
    def dtype(self) -> torch.dtype:
        """Type of the values."""
        return self.values.dtype

    @property
    def density(self) -> float:
        """Share of the matrix that is not zero."""
        return len(self.values) / max(1, len(self) * self.n_columns)

    def dense(self) -> Tensor:
        """The matrix with its zeros, shape ``(n_rows, n_columns)``."""
        return torch.from_numpy(self._csr.toarray())

    def dense_rows(self, rows: Tensor) -> Tensor:
        """As :meth:`dense`, of a few rows."""
        values, columns = self.values.numpy(), self.columns.numpy()
        found = np.zeros((len(rows), self.n_columns), values.dtype)
        ends = self.ends.tolist()
        for i, row in enumerate(rows.tolist()):
            entries = slice(ends[row], ends[row + 1])
            found[i, columns[entries]] = values[entries]
        return torch.from_numpy(found)

    @cached_property
    def _csr(self) -> sparse.csr_matrix:
        parts = (self.values.numpy(), self.columns.numpy(), self.ends.numpy())
        return sparse.csr_matrix(parts, shape=(len(self), self.n_columns))

    def without_zeros(self) -> SparseRows:
        """The same matrix, in which no zero is stored."""
        if bool(self.values.all()):
            return self
        found = self._csr.copy()
        found.eliminate_zeros()
        return SparseRows.of_csr(found)

    def map(self, function: Callable[[Tensor], Tensor]) -> SparseRows:
        """The matrix with a function, which keeps zero, applied to each value."""
        return replace(self, values=function(self.values))

    @cached_property
    def flat(self) -> Tensor:
        """Places of the entries in the matrix written as one row, shape ``(n_entries,)``."""
        starts = np.arange(len(self)) * self.n_columns
        return torch.from_numpy(np.repeat(starts, np.diff(self.ends)) + self.columns.numpy())

    @cached_property
    def transposed(self) -> SparseRows:
        """The transposed matrix."""
        return SparseRows.of_csr(self._csr.tocsc().T)

    def times(self, matrix: Tensor) -> Tensor:
        """Product with a matrix of shape ``(n_columns, n)``, of shape ``(n_rows, n)``.

        Without a gradient.
        """
        # A bag of rows of the matrix for each row: a kernel twice as fast as the sparse product's
        return functional.embedding_bag(
            self.columns,
            matrix.detach(),
            self.ends,
            mode="sum",
            per_sample_weights=self.values.to(matrix.dtype),
            include_last_offset=True,
        )

    def sums(self, values: Tensor | None = None) -> Tensor:
        """Sum of each row, shape ``(n_rows,)``, or of other values in the place of the entries."""
        values = self.values if values is None else values
        return torch.segment_reduce(values, "sum", offsets=self.ends.long(), unsafe=True)


def dense(x: Tensor | SparseRows) -> Tensor:
    """A matrix with its zeros, however it is written."""
    return x.dense() if isinstance(x, SparseRows) else x
