"""Which rows of a minibatch are of target cells, in every form that the objective needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scsalient.objective import group_contrast, group_weights

if TYPE_CHECKING:
    import torch
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
    in_target, in_background
        Weights of a mean over the rows of each group, shape ``(n_rows,)``.
    contrast
        Weights of the discrepancy between both groups, shape ``(n_rows,)``.
    """

    is_target: Tensor
    target_rows: Tensor
    background_rows: Tensor
    in_target: Tensor
    in_background: Tensor
    contrast: Tensor

    @classmethod
    def of(cls, is_target: Tensor, *, dtype: torch.dtype) -> Groups:
        """Groups of the rows; an accelerator is waited for, which counts them."""
        in_target, in_background = group_weights(is_target, dtype=dtype)
        return cls(
            is_target=is_target,
            target_rows=is_target.nonzero().squeeze(1),
            background_rows=(~is_target).nonzero().squeeze(1),
            in_target=in_target,
            in_background=in_background,
            contrast=group_contrast(in_target, in_background),
        )
