"""Log-probabilities of counts that spend special functions on non-zero counts only.

Most counts of single cells are zero, and there the gamma functions of the negative binomial cancel:
what remains is a logarithm. Values and gradients are those of scvi-tools' distributions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional

from scsalient.loaders import SparseRows

if TYPE_CHECKING:
    from torch import Tensor

# As in scvi-tools, against the logarithm of zero
_EPS = 1e-8
# Counts up to which gamma functions are looked up; nearly all counts of single cells
_MAX_TABLED = 8


class _ZeroTerm(torch.autograd.Function):
    """``-theta * log(1 + mean / theta)``; its two gradients share one reciprocal."""

    @staticmethod
    def forward(ctx: Any, mean: Tensor, theta: Tensor) -> Tensor:
        log_ratio = (mean / theta).log1p_()
        ctx.save_for_backward(mean, theta, log_ratio)
        return log_ratio * -theta

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        mean, theta, log_ratio = ctx.saved_tensors
        needs_theta = ctx.needs_input_grad[1]
        return _by_mean_and_theta(mean, theta, log_ratio, gradient, needs_theta=needs_theta)


def _by_mean_and_theta(
    mean: Tensor, theta: Tensor, log_ratio: Tensor, gradient: Tensor, *, needs_theta: bool
) -> tuple[Tensor, Tensor | None]:
    """Gradients of ``-theta * log(1 + mean / theta)``, of which the logarithm is at hand."""
    reciprocal = (mean + theta).reciprocal_()
    by_theta = None
    if needs_theta:
        by_theta = (mean * reciprocal).sub_(log_ratio).mul_(gradient).sum(0)
    return reciprocal.mul_(-theta).mul_(gradient), by_theta


class _Excess(torch.autograd.Function):
    """``x log(mean / (mean + theta))`` and a term of gamma functions; zero has no part."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, mean: Tensor, theta: Tensor, gamma: Tensor, slope: Tensor
    ) -> Tensor:
        ctx.save_for_backward(x, mean, theta, slope)
        ratio = (mean + _EPS).div_(mean + theta + _EPS)
        return ratio.log_().mul_(x).add_(gamma)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, gradient: Tensor
    ) -> tuple[None, Tensor | None, Tensor | None, None, None]:
        x, mean, theta, slope = ctx.saved_tensors
        by_mean = by_theta = None
        reciprocal = (mean + theta + _EPS).reciprocal_()
        if ctx.needs_input_grad[2]:
            by_theta = torch.addcmul(slope, x, reciprocal, value=-1.0).mul_(gradient)
            by_theta = by_theta.sum_to_size(theta.shape)
        if ctx.needs_input_grad[1]:
            by_mean = (mean + _EPS).reciprocal_().sub_(reciprocal).mul_(x).mul_(gradient)
        return None, by_mean, by_theta, None, None


class _ZeroInflated(torch.autograd.Function):
    """What a row has beside the excess of :func:`negative_binomial_excess`, and its gradient.

    A zero is lost or drawn; any other count has been drawn.
    """

    @staticmethod
    def forward(ctx: Any, found: Entries, mean: Tensor, theta: Tensor, logits: Tensor) -> Tensor:
        log_ratio = (mean / theta).log1p_()
        kept = logits.neg()
        drawn = torch.addcmul(kept, log_ratio, theta, value=-1.0)
        log_prob = found.replace_(functional.softplus(drawn), drawn)
        ctx.found = found
        ctx.save_for_backward(mean, theta, log_ratio, drawn, kept)
        return log_prob.sub_(functional.softplus(kept)).sum(-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, Tensor | None, Tensor | None]:
        mean, theta, log_ratio, drawn, kept = ctx.saved_tensors
        gradient = gradient.unsqueeze(-1)
        by_logits = None
        is_drawn = ctx.found.fill_(drawn.sigmoid(), 1.0)
        if ctx.needs_input_grad[3]:
            by_logits = kept.sigmoid().sub_(is_drawn).mul_(gradient)
        by_mean, by_theta = _by_mean_and_theta(
            mean, theta, log_ratio, is_drawn.mul_(gradient), needs_theta=ctx.needs_input_grad[2]
        )
        return None, by_mean, by_theta, by_logits


def zero_log_prob(mean: Tensor, theta: Tensor) -> Tensor:
    """Log-probability of a count of zero under a negative binomial.

    Parameters
    ----------
    mean
        Mean of each count, shape ``(n_rows, n_vars)``.
    theta
        Inverse dispersion of each variable, shape ``(n_vars,)``.

    Returns
    -------
    Shape ``(n_rows, n_vars)``.
    """
    return _ZeroTerm.apply(mean, theta + _EPS)


def zero_inflated_log_prob(counts: Entries, mean: Tensor, theta: Tensor, logits: Tensor) -> Tensor:
    """Log-probability of each row but for :func:`negative_binomial_excess`.

    Parameters
    ----------
    counts
        Entries of the counts; see :func:`entries`.
    mean, theta
        As in :func:`zero_log_prob`.
    logits
        Logit of the probability that a count is lost, shape ``(n_rows, n_vars)``.

    Returns
    -------
    Shape ``(n_rows,)``.
    """
    return _ZeroInflated.apply(counts, mean, theta + _EPS, logits)


def negative_binomial_excess(counts: Entries, mean: Tensor, theta: Tensor) -> Tensor:
    """What the log-probability of each row has beyond that of zeros everywhere.

    Parameters
    ----------
    counts
        Entries of the counts; see :func:`entries`.
    mean, theta
        As in :func:`zero_log_prob`.

    Returns
    -------
    Shape ``(n_rows,)``.
    """
    gamma, slope = counts.gamma(theta.detach())
    return counts.row_sums(
        _Excess.apply(counts.x, counts.of(mean), counts.of_columns(theta), gamma, slope)
    )


def poisson_excess(counts: Entries, rate: Tensor) -> Tensor:
    """What the Poisson log-probability of each row has beyond that of zeros everywhere.

    Parameters
    ----------
    counts
        Entries of the counts; see :func:`entries`.
    rate
        Mean of each count, shape ``(n_rows, n_vars)``.

    Returns
    -------
    Shape ``(n_rows,)``.
    """
    x = counts.x
    return counts.row_sums(x * counts.of(rate).log() - (x + 1.0).lgamma())


class Entries(Protocol):
    """Entries of a matrix of counts in which a term is not that of a zero."""

    @property
    def x(self) -> Tensor:
        """Their counts."""

    def of(self, matrix: Tensor) -> Tensor:
        """Values of a matrix of the same shape at the entries."""

    def of_columns(self, vector: Tensor) -> Tensor:
        """Values of a vector at the columns of the entries."""

    def gamma(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """:func:`_gamma` of each entry, with the ``theta`` of its column."""

    def replace_(self, matrix: Tensor, values: Tensor) -> Tensor:
        """A matrix with another's values at the entries; it may be changed in place."""

    def fill_(self, matrix: Tensor, value: float) -> Tensor:
        """As :meth:`replace_`, with the same value everywhere."""

    def row_sums(self, values: Tensor) -> Tensor:
        """Sum over each row of a value for each entry."""


class _NonZero:
    """Non-zero entries of a matrix, one after the other."""

    def __init__(self, rows: SparseRows) -> None:
        self._rows = rows

    @property
    def x(self) -> Tensor:
        return self._rows.values

    def of(self, matrix: Tensor) -> Tensor:
        return matrix.reshape(-1).index_select(0, self._rows.flat)

    def of_columns(self, vector: Tensor) -> Tensor:
        return vector.index_select(0, self._rows.columns)

    def gamma(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        # Those of small counts, which most are, are looked up
        x, columns = self.x, self._rows.columns
        dtype = torch.promote_types(x.dtype, theta.dtype)
        if len(x) < _MAX_TABLED * len(theta):
            return _gamma_in_double(x, self.of_columns(theta), dtype)
        counts = x.long()
        is_other = (x != counts) | (x > _MAX_TABLED)
        # A count of n has a product of n factors, theta + 0 to theta + n - 1
        factors = theta.to(dtype) + torch.arange(_MAX_TABLED, dtype=dtype).unsqueeze(1)
        places = counts.clamp_(0, _MAX_TABLED).mul_(len(theta)).add_(columns)
        of_one = torch.arange(_MAX_TABLED + 1.0, dtype=dtype).add_(1.0).lgamma_()
        value, slope = (
            functional.pad(steps.cumsum(0), (0, 0, 1, 0)) for steps in (factors.log(), 1 / factors)
        )
        value -= of_one.unsqueeze(1)
        found = [table.reshape(-1).index_select(0, places) for table in (value, slope)]
        # NumPy finds them several times as fast as PyTorch does.
        others = torch.from_numpy(np.flatnonzero(is_other.numpy()))
        exact = _gamma_in_double(x[others], theta[columns[others]], dtype)
        return found[0].index_copy_(0, others, exact[0]), found[1].index_copy_(0, others, exact[1])

    def replace_(self, matrix: Tensor, values: Tensor) -> Tensor:
        matrix = matrix.contiguous()
        matrix.view(-1).index_copy_(0, self._rows.flat, self.of(values))
        return matrix

    def fill_(self, matrix: Tensor, value: float) -> Tensor:
        matrix = matrix.contiguous()
        matrix.view(-1).index_fill_(0, self._rows.flat, value)
        return matrix

    def row_sums(self, values: Tensor) -> Tensor:
        return self._rows.sums(values)


class _All:
    """Every entry. On an accelerator this is faster than to wait for the number of non-zeros."""

    def __init__(self, x: Tensor) -> None:
        self.x = x

    def of(self, matrix: Tensor) -> Tensor:
        return matrix

    def of_columns(self, vector: Tensor) -> Tensor:
        return vector

    def gamma(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        if self.x.device.type == "mps":
            # Which has no double precision
            return _gamma(self.x, theta)
        return _gamma_in_double(self.x, theta, torch.promote_types(self.x.dtype, theta.dtype))

    def replace_(self, matrix: Tensor, values: Tensor) -> Tensor:
        return torch.where(self.x > 0, values, matrix)

    def fill_(self, matrix: Tensor, value: float) -> Tensor:
        return matrix.masked_fill_(self.x > 0, value)

    def row_sums(self, values: Tensor) -> Tensor:
        return values.sum(-1)


def _gamma(x: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
    """``lgamma(x + theta) - lgamma(theta) - lgamma(x + 1)`` and its derivative by ``theta``."""
    total = x + theta
    value = total.lgamma().sub_((x + 1.0).lgamma_()).sub_(theta.lgamma())
    return value, total.digamma_().sub_(theta.digamma())


def _gamma_in_double(x: Tensor, theta: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """As :func:`_gamma`, whose terms nearly cancel where ``theta`` is large."""
    value, slope = _gamma(x.double(), theta.double())
    return value.to(dtype), slope.to(dtype)


def entries(x: Tensor | SparseRows) -> Entries:
    """Entries of counts, shape ``(n_rows, n_vars)``, that the terms of this module look at."""
    if isinstance(x, SparseRows):
        return _NonZero(x.without_zeros())
    return _NonZero(SparseRows.of_dense(x)) if x.device.type == "cpu" else _All(x)
