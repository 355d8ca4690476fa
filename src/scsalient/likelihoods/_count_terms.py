"""Log-probabilities of counts that spend special functions on non-zero counts only.

Most counts of single cells are zero, and there the gamma functions of the negative binomial cancel:
what remains is a logarithm. Values and gradients are those of scvi-tools' distributions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.function import once_differentiable

from scsalient.loaders import SparseRows

if TYPE_CHECKING:
    from torch import Tensor

# As in scvi-tools, against the logarithm of zero
_EPS = 1e-8


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
        reciprocal = (mean + theta).reciprocal_()
        by_theta = None
        if ctx.needs_input_grad[1]:
            by_theta = (mean * reciprocal).sub_(log_ratio).mul_(gradient).sum(0)
        return reciprocal.mul_(-theta).mul_(gradient), by_theta


class _Excess(torch.autograd.Function):
    """``x log(mean / (mean + theta)) + lgamma(x + theta) - lgamma(x + 1)``; zero has no part."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mean: Tensor, theta: Tensor) -> Tensor:
        ctx.save_for_backward(x, mean, theta)
        ratio = (mean + _EPS).div_(mean + theta + _EPS)
        gamma = (x + theta).lgamma_().sub_((x + 1.0).lgamma_())
        return gamma.add_(ratio.log_().mul_(x))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor | None, Tensor | None]:
        x, mean, theta = ctx.saved_tensors
        by_mean = by_theta = None
        reciprocal = (mean + theta + _EPS).reciprocal_()
        if ctx.needs_input_grad[2]:
            by_theta = (x + theta).digamma_().addcmul_(x, reciprocal, value=-1.0).mul_(gradient)
            by_theta = by_theta.sum_to_size(theta.shape)
        if ctx.needs_input_grad[1]:
            by_mean = (mean + _EPS).reciprocal_().sub_(reciprocal).mul_(x).mul_(gradient)
        return None, by_mean, by_theta


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


def negative_binomial_excess(x: Tensor | SparseRows, mean: Tensor, theta: Tensor) -> Tensor:
    """What the log-probability of each row has beyond that of zeros everywhere.

    Parameters
    ----------
    x
        Counts, shape ``(n_rows, n_vars)``.
    mean, theta
        As in :func:`zero_log_prob`.

    Returns
    -------
    Shape ``(n_rows,)``.
    """
    found = _found(x)
    log_gamma, theta = found.of_columns(theta.lgamma()), found.of_columns(theta)
    return found.row_sums(_Excess.apply(found.x, found.of(mean), theta) - log_gamma)


def poisson_excess(x: Tensor | SparseRows, rate: Tensor) -> Tensor:
    """What the Poisson log-probability of each row has beyond that of zeros everywhere.

    Parameters
    ----------
    x, rate
        Counts and their means, shape ``(n_rows, n_vars)``.

    Returns
    -------
    Shape ``(n_rows,)``.
    """
    found = _found(x)
    counts = found.x
    return found.row_sums(counts * found.of(rate).log() - (counts + 1.0).lgamma())


class _Entries:
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

    def row_sums(self, values: Tensor) -> Tensor:
        return self._rows.sums(values)


class _AllEntries:
    """Every entry. On an accelerator this is faster than to wait for the number of non-zeros."""

    def __init__(self, x: Tensor) -> None:
        self.x = x

    def of(self, matrix: Tensor) -> Tensor:
        return matrix

    def of_columns(self, vector: Tensor) -> Tensor:
        return vector

    def row_sums(self, values: Tensor) -> Tensor:
        return values.sum(-1)


def _found(x: Tensor | SparseRows) -> _Entries | _AllEntries:
    if isinstance(x, SparseRows):
        return _Entries(x)
    return _Entries(SparseRows.of_dense(x)) if x.device.type == "cpu" else _AllEntries(x)
