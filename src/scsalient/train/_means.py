"""Means of the terms of the loss over an epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor


class RunningMeans:
    """Weighted means of named scalars, kept in one tensor on their device."""

    def __init__(self) -> None:
        self._names: tuple[str, ...] = ()
        self._sums: Tensor | None = None
        self._weight: float | Tensor = 0.0

    def add(self, values: dict[str, Tensor | float], *, weight: float | Sequence[float]) -> None:
        """Count some values in.

        Parameters
        ----------
        values
            Scalars by name; the same names in each call until :meth:`pop`.
        weight
            How much they count, for instance their number of rows; one number, or one for each.
        """
        row = self.row(values)
        weights = weight if isinstance(weight, int | float) else row.new_tensor(weight)
        self.add_row(tuple(values), row, weight=weights)

    @staticmethod
    def row(values: dict[str, Tensor | float]) -> Tensor:
        """The values in one tensor, shape ``(n_values,)``, without a gradient."""
        device = next(v.device for v in values.values() if isinstance(v, torch.Tensor))
        return torch.stack(
            [torch.as_tensor(v, dtype=torch.float32, device=device) for v in values.values()]
        ).detach()

    def add_row(self, names: tuple[str, ...], row: Tensor, *, weight: float | Tensor) -> None:
        """As :meth:`add`, of what :meth:`row` gives, with weights on its device."""
        if self._sums is None:
            self._names, self._sums = names, torch.zeros_like(row)
        if isinstance(weight, torch.Tensor):
            self._sums.add_(row * weight)
        else:
            self._sums.add_(row, alpha=weight)
        self._weight = self._weight + weight

    def pop(self, reduce: Callable[..., Tensor] | None = None) -> dict[str, Tensor]:
        """The means by name, and a new start; without those of which nothing was counted.

        Parameters
        ----------
        reduce
            Sums a tensor over devices, with ``reduce_op="sum"``; `None` for this one alone.
        """
        if self._sums is None:
            return {}
        totals = torch.stack([self._sums, torch.zeros_like(self._sums) + self._weight])
        if reduce is not None:
            totals = reduce(totals, reduce_op="sum")
        means = dict(zip(self._names, (totals[0] / totals[1]).unbind(), strict=True))
        counted = dict(zip(self._names, (totals[1] > 0).tolist(), strict=True))
        self._sums, self._weight = None, 0.0
        return {name: mean for name, mean in means.items() if counted[name]}
