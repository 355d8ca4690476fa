"""Likelihoods of values that are not counts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import distributions, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from scsalient.likelihoods._base import Likelihood
from scsalient.nn import at_least_single, full_precision

if TYPE_CHECKING:
    from torch import Tensor
    from torch.distributions import Distribution

    from scsalient.loaders import NonZeros

_MIN_VARIANCE = 1e-4


class _ScaledSquares(torch.autograd.Function):
    """``(x - mean)^2 @ precision``, with few passes over the entries forward and back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mean: Tensor, precision: Tensor) -> Tensor:
        residual = x - mean
        squares = residual.square()
        ctx.save_for_backward(residual, squares, precision)
        with full_precision(x):
            return squares @ precision

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, Tensor | None]:
        residual, squares, precision = ctx.saved_tensors
        by_mean = (residual * precision).mul_(gradient.unsqueeze(-1) * -2.0)
        if not ctx.needs_input_grad[2]:
            return None, by_mean, None
        with full_precision(squares):
            return None, by_mean, gradient @ squares


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
        start = torch.zeros(n_vars)
        if variance == "learned":
            self.log_variance = nn.Parameter(start)
        else:
            self.register_buffer("log_variance", start)

    def distribution(self, outputs: dict[str, Tensor], library: Tensor) -> Distribution:
        """Normal distribution of each value."""
        return distributions.Normal(
            at_least_single(outputs["mean"]), self._variance().sqrt(), validate_args=False
        )

    def _variance(self) -> Tensor:
        return self.log_variance.exp() + _MIN_VARIANCE

    def _log_prob(
        self, x: Tensor, outputs: dict[str, Tensor], library: Tensor, nonzeros: NonZeros | None
    ) -> Tensor:
        variance = self._variance()
        mean = at_least_single(outputs["mean"])
        squares = _ScaledSquares.apply(x, mean, variance.reciprocal())
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
