"""The entries of a sparse minibatch, for work in which zeros need no part."""

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
class NonZeros:
    """Entries of a matrix that are not zero, row by row, on the CPU.

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
    def of_csr(cls, block: Any) -> NonZeros:
        """Entries of a CSR matrix that stores none twice."""
        values, columns, ends = map(torch.from_numpy, (block.data, block.indices, block.indptr))
        return cls(values, columns, ends, n_columns=block.shape[1])

    @classmethod
    def of_dense(cls, x: Tensor) -> NonZeros:
        """Entries of a tensor, shape ``(n_rows, n_columns)``."""
        n_rows, n_columns = x.shape
        # NumPy finds them several times as fast as PyTorch does.
        flat = np.flatnonzero(x.detach().numpy() != 0)
        starts = np.arange(n_rows + 1) * n_columns
        ends = np.searchsorted(flat, starts)
        columns = flat - np.repeat(starts[:-1], np.diff(ends))
        values = x.reshape(-1).index_select(0, torch.from_numpy(flat))
        return cls(values, torch.from_numpy(columns), torch.from_numpy(ends), n_columns)

    @property
    def density(self) -> float:
        """Share of the matrix that is not zero."""
        return len(self.values) / max(1, (len(self.ends) - 1) * self.n_columns)

    def map(self, function: Callable[[Tensor], Tensor]) -> NonZeros:
        """The matrix with a function, which keeps zero, applied to each value."""
        return replace(self, values=function(self.values))

    @cached_property
    def lengths(self) -> Tensor:
        """Number of entries of each row, shape ``(n_rows,)``."""
        return self.ends.diff().long()

    @cached_property
    def flat(self) -> Tensor:
        """Places of the entries in the matrix written as one row, shape ``(n_entries,)``."""
        starts = np.arange(len(self.lengths)) * self.n_columns
        return torch.from_numpy(np.repeat(starts, self.lengths.numpy()) + self.columns.numpy())

    @cached_property
    def transposed(self) -> NonZeros:
        """Entries of the transposed matrix."""
        parts = (self.values.numpy(), self.columns.numpy(), self.ends.numpy())
        columns = sparse.csr_matrix(parts, shape=(len(parts[2]) - 1, self.n_columns)).tocsc()
        return NonZeros.of_csr(columns.T)

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

    def sums(self, values: Tensor) -> Tensor:
        """Sum of each row, shape ``(n_rows,)``, with these values in the place of the entries."""
        return torch.segment_reduce(values, "sum", offsets=self.ends.long(), unsafe=True)
