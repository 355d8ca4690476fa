"""Which rows of a minibatch are of target cells, in every form that the objective needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from scsalient.objective import group_contrast, group_weights

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Groups:
    """Target and background rows of a minibatch.

    Parameters
    ----------
    is_target
        Boolean, shape ``(n_rows,)``.
    target_rows, background_rows
        Positions of the rows of each group.
    weights
        Weights of a mean over the target rows, and over the background rows, shape
        ``(2, n_rows)``.
    contrast
        Weights of the discrepancy between both groups, shape ``(n_rows,)``.
    """

    is_target: Tensor
    target_rows: Tensor
    background_rows: Tensor
    weights: Tensor
    contrast: Tensor

    @classmethod
    def of(cls, is_target: Tensor, *, dtype: torch.dtype) -> Groups:
        """Groups of the rows; an accelerator is waited for, which counts them."""
        weights = group_weights(is_target, dtype=dtype)
        return cls(
            is_target=is_target,
            target_rows=is_target.nonzero().squeeze(1),
            background_rows=(~is_target).nonzero().squeeze(1),
            weights=torch.stack(weights),
            contrast=group_contrast(*weights),
        )

    def means(self, *terms: Tensor) -> Tensor:
        """Mean over the target rows, and over the background rows, of terms of each row.

        Shape ``(2, n_terms)``. Sums of many rows by few operations; not a matrix product, which
        may be in low precision.
        """
        return (self.weights.unsqueeze(-1) * torch.stack(terms, dim=-1)).sum(1)
