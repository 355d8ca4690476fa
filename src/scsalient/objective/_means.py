"""Means over the rows that a term belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def group_weights(mask: Tensor, *, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Weights with which a sum over all rows is the mean over a group of them.

    Parameters
    ----------
    mask
        Rows of the first group, boolean, shape ``(n_rows,)``.
    dtype
        Type of the weights.

    Returns
    -------
    Weights for the mean over the rows of the mask, and over the others, each of shape
    ``(n_rows,)``; zeros for a group without rows.
    """
    first = mask.to(dtype)
    n_first = first.sum()
    second = 1.0 - first
    n_second = len(mask) - n_first
    return first / n_first.clamp(min=1.0), second / n_second.clamp(min=1.0)


def group_contrast(first: Tensor, second: Tensor) -> Tensor:
    """Weights with which a sum over all rows is the difference of the means of two groups.

    Parameters
    ----------
    first, second
        Weights of both groups, as :func:`group_weights` gives them.

    Returns
    -------
    Shape ``(n_rows,)``; zeros when either group has no rows.
    """
    return (first - second) * (first.sum() * second.sum())
