"""Likelihoods of values that are not counts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch
from torch import distributions, nn
from torch.nn import functional

from scsalient.likelihoods._base import Likelihood
from scsalient.likelihoods._squared_error import ScaledSquares, ScaledSquaresOfMap
from scsalient.loaders import dense
from scsalient.nn import at_least_single

if TYPE_CHECKING:
    from torch import Tensor
    from torch.distributions import Distribution

    from scsalient.loaders import SparseRows

_MIN_VARIANCE = 1e-4
# Sums of squares are not taken as differences of others that are so many times as large
_MAX_LOST = 10.0


class Gaussian(Likelihood):
    """Gaussian with one variance per variable, fixed at 1 (squared error, the paper) or learned.

    Parameters
    ----------
    n_vars
        Number of variables.
    variance
        ``"fixed"`` or ``"learned"``.
    """

    heads = ("mean",)
    support = "real"

    def __init__(self, n_vars: int, *, variance: Literal["fixed", "learned"] = "learned") -> None:
        super().__init__()
        if variance == "learned":
            self.log_variance = nn.Parameter(torch.zeros(n_vars))
        else:
            # One, with the least variance that there may be
            logarithm = torch.full((n_vars,), math.log1p(-_MIN_VARIANCE))
            self.register_buffer("log_variance", logarithm)

    def distribution(self, outputs: dict[str, Tensor], library: Tensor) -> Distribution:
        """Normal distribution of each value."""
        return distributions.Normal(
            at_least_single(outputs["mean"]), self._variance().sqrt(), validate_args=False
        )

    def _variance(self) -> Tensor:
        return self.log_variance.exp() + _MIN_VARIANCE

    def log_prob(
        self, x: Tensor | SparseRows, outputs: dict[str, Tensor], library: Tensor
    ) -> Tensor:
        """As in :class:`Likelihood`, with few passes over the entries."""
        variance = self._variance()
        mean = at_least_single(outputs["mean"])
        squares = ScaledSquares.apply(dense(x), mean, variance.reciprocal())
        return self._of_squares(squares, variance)

    def log_prob_of_map(self, x: SparseRows, hidden: Tensor, head: nn.Module) -> Tensor:
        """As :meth:`log_prob`, without the means; less work where hidden layers are narrow.

        Parameters
        ----------
        x
            Data.
        hidden
            Units of which the mean is a linear map, shape ``(n_rows, n_hidden)``.
        head
            The map, a :class:`torch.nn.Linear`.
        """
        variance = self._variance()
        precision = variance.reciprocal()
        squares = ScaledSquaresOfMap.apply(x, hidden, head.weight, head.bias, precision)
        weights = precision.detach()
        whole = weights.index_select(0, x.columns) @ x.values.square()
        if isinstance(head.bias, torch.Tensor):
            whole = whole + len(x) * (weights @ head.bias.detach().square())
        if whole > _MAX_LOST * squares.detach().sum():
            # Some variable is much larger than it varies
            library = hidden.new_ones(len(x), 1)
            return self.log_prob(x, {"mean": head(hidden)}, library)
        return self._of_squares(squares, variance)

    @staticmethod
    def _of_squares(squares: Tensor, variance: Tensor) -> Tensor:
        return -0.5 * (squares + (2 * math.pi * variance).log().sum())

    def expected(self, outputs: dict[str, Tensor], library: Tensor) -> Tensor:
        """The mean itself."""
        return outputs["mean"]


class Bernoulli(Likelihood):
    """Bernoulli for values in [0, 1], such as pixels; fractions count as soft labels.

    Parameters
    ----------
    n_vars
        Number of variables.
    """

    heads = ("logits",)
    support = "unit"

    def __init__(self, n_vars: int) -> None:
        super().__init__()

    def distribution(self, outputs: dict[str, Tensor], library: Tensor) -> Distribution:
        """Bernoulli distribution of each value."""
        logits = at_least_single(outputs["logits"])
        return distributions.Bernoulli(logits=logits, validate_args=False)

    def expected(self, outputs: dict[str, Tensor], library: Tensor) -> Tensor:
        """Probability of one."""
        return functional.sigmoid(outputs["logits"])

    def moved(self, x: Tensor, *, before: Tensor, after: Tensor) -> Tensor:
        """Fractions moved by the difference, within [0, 1]."""
        return super().moved(x, before=before, after=after).clamp(0.0, 1.0)
