"""Means over the rows that a term belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of the values of some rows; zero when there is none.

    Parameters
    ----------
    values
        One value per row, shape ``(n_rows,)``.
    mask
        Rows to count, boolean, shape ``(n_rows,)``.

    Returns
    -------
    The mean, a scalar. Rows outside the mask have no effect on it or on its gradient.
    """
    weights = mask.to(values.dtype)
    return values.where(mask, values.new_zeros(())).sum() / weights.sum().clamp(min=1.0)
