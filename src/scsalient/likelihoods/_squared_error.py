"""Squared errors of a Gaussian likelihood, with few passes over the entries of a minibatch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.function import once_differentiable

from scsalient.nn import full_precision

if TYPE_CHECKING:
    from torch import Tensor

    from scsalient.loaders import SparseRows


class ScaledSquares(torch.autograd.Function):
    """``(x - mean)^2 @ precision``, shape ``(n_rows,)``, and its gradient in closed form."""

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


class ScaledSquaresOfMap(torch.autograd.Function):
    r"""As :class:`ScaledSquares`, where the mean is a linear map of few hidden units.

    The means themselves are not needed. With weights :math:`W`, offsets :math:`b`, hidden units
    :math:`h` and the precisions on the diagonal of :math:`P`, the sum of a row is

    .. math::
        (x - Wh - b)^\top P (x - Wh - b)
        = x^\top P (x - 2b) + h^\top (W^\top P W) h - 2 h^\top W^\top P (x - b) + b^\top P b,

    in which only products of sparse rows and a matrix as wide as the hidden layer are left, and
    likewise in the gradient. Where most of :math:`x` is zero and the hidden layer is not wider
    than the minibatch is long, that is half the work.
    """

    @staticmethod
    def forward(
        ctx: Any,
        rows: SparseRows,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        precision: Tensor,
    ) -> Tensor:
        scaled = weight * precision.unsqueeze(-1)
        # Half of the gradient by the hidden units, with one of the rows' weights
        by_hidden = hidden @ (scaled.T @ weight)
        linear = rows.times(scaled)
        values, precisions = rows.values.to(weight.dtype), precision.index_select(0, rows.columns)
        offset = values
        constant = hidden.new_zeros(())
        if bias is not None:
            linear = linear.sub_(bias @ scaled)
            offset = torch.sub(values, bias.index_select(0, rows.columns), alpha=2)
            constant = bias @ (precision * bias)
        by_hidden -= linear
        squares = rows.sums(precisions.mul_(values).mul_(offset))
        squares += torch.linalg.vecdot(hidden, by_hidden - linear)
        ctx.rows = rows
        ctx.save_for_backward(hidden, weight, bias, precision, by_hidden)
        return squares + constant

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, gradient: Tensor
    ) -> tuple[None, Tensor, Tensor, Tensor | None, Tensor | None]:
        hidden, weight, bias, precision, by_hidden = ctx.saved_tensors
        columns = ctx.rows.transposed
        weighted = gradient.unsqueeze(-1) * hidden
        total = weighted.sum(0)
        values = gradient.index_select(0, columns.columns).mul_(columns.values)
        # Sums over the rows of the data, and of what the means exceed them by; the first beside
        # the hidden units, the second beside a unit that is always one
        data, data_alone = columns.times(weighted), columns.sums(values)
        excess = weight @ (hidden.T @ weighted)
        excess_alone = weight @ total
        if bias is not None:
            excess.addr_(bias, total)
            excess_alone.add_(bias * gradient.sum())
        excess -= data
        excess_alone -= data_alone

        by_precision = None
        if ctx.needs_input_grad[4]:
            by_precision = columns.sums(values.mul_(columns.values))
            by_precision += torch.linalg.vecdot(excess - data, weight)
            if bias is not None:
                by_precision += bias * (excess_alone - data_alone)
        twice = 2 * precision
        by_weight = excess.mul_(twice.unsqueeze(-1))
        by_bias = None if bias is None else excess_alone.mul_(twice)
        return None, by_hidden * (2 * gradient).unsqueeze(-1), by_weight, by_bias, by_precision
