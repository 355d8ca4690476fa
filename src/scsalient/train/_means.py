"""Means of the terms of the loss over an epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


class RunningMeans:
    """Weighted means of named scalars, kept in one tensor on their device."""

    def __init__(self) -> None:
        self._names: tuple[str, ...] = ()
        self._sums: Tensor | None = None
        self._weight = 0.0

    def add(self, values: dict[str, Tensor | float], *, weight: float) -> None:
        """Count some values in.

        Parameters
        ----------
        values
            Scalars by name; the same names in each call until :meth:`pop`.
        weight
            How much they count, for instance their number of rows.
        """
        self.add_row(tuple(values), self.row(values), weight=weight)

    @staticmethod
    def row(values: dict[str, Tensor | float]) -> Tensor:
        """The values in one tensor, shape ``(n_values,)``, without a gradient."""
        device = next(v.device for v in values.values() if isinstance(v, torch.Tensor))
        return torch.stack(
            [torch.as_tensor(v, dtype=torch.float32, device=device) for v in values.values()]
        ).detach()

    def add_row(self, names: tuple[str, ...], row: Tensor, *, weight: float) -> None:
        """As :meth:`add`, of what :meth:`row` gives."""
        if self._sums is None:
            self._names, self._sums = names, torch.zeros_like(row)
        self._sums.add_(row, alpha=weight)
        self._weight += weight

    def pop(self, reduce: Callable[..., Tensor] | None = None) -> dict[str, Tensor]:
        """The means by name, and a new start; empty when nothing was counted.

        Parameters
        ----------
        reduce
            Sums a tensor over devices, with ``reduce_op="sum"``; `None` for this one alone.
        """
        if self._sums is None:
            return {}
        totals = torch.cat([self._sums, self._sums.new_tensor([self._weight])])
        if reduce is not None:
            totals = reduce(totals, reduce_op="sum")
        means = dict(zip(self._names, (totals[:-1] / totals[-1]).unbind(), strict=True))
        self._sums, self._weight = None, 0.0
        return means
