"""Maximum mean discrepancy between the background latents of both groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.function import once_differentiable

from scsalient.nn import full_precision
from scsalient.objective._means import group_contrast, group_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

DEFAULT_BANDWIDTHS = (0.25, 0.5, 1.0, 2.0)


class _Discrepancy(torch.autograd.Function):
    """``sum_ij w_i w_j k(x_i, x_j)`` with a mean of Gaussian kernels, and its gradient.

    PyTorch's own gradient passes through every kernel matrix once more; in closed form it takes
    one product. In full precision, since the terms nearly cancel.
    """

    @staticmethod
    def forward(ctx: Any, latent: Tensor, weights: Tensor, scales: Sequence[float]) -> Tensor:
        with full_precision(latent):
            gram = latent @ latent.T
        norms = gram.diagonal()
        distances = torch.add(norms[:, None], norms).sub_(gram, alpha=2.0).clamp_(min=0.0)
        first, *others = scales
        kernel = torch.mul(distances, first).exp_()
        slope = kernel * first
        for scale in others:
            part = torch.mul(distances, scale).exp_()
            kernel.add_(part)
            slope.add_(part, alpha=scale)
        shares = weights / len(scales)
        # By vectors: the matrix of the pairs' weights is never made
        with full_precision(latent):
            value = shares @ kernel @ weights
        ctx.save_for_backward(latent, slope, weights, shares, value)
        # A squared norm in feature space: rounding can take the difference just below zero.
        return value.clamp(min=0.0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        latent, slope, weights, shares, value = ctx.saved_tensors
        with full_precision(latent):
            sums = (slope @ weights)[:, None]
            by_latent = sums * latent - slope @ (weights[:, None] * latent)
        return by_latent * shares[:, None] * (4.0 * gradient * (value >= 0)), None, None


def maximum_mean_discrepancy(
    x: Tensor, y: Tensor, *, bandwidths: Sequence[float] = DEFAULT_BANDWIDTHS
) -> Tensor:
    r"""Squared maximum mean discrepancy of two samples (Gretton et al. 2012, eq. 5).

    The kernel is a mean of Gaussian kernels :math:`\exp(-\|x - y\|^2 / 2 \sigma^2)`. Two draws
    from the prior lie at a squared distance of about :math:`2 d` in :math:`d` dimensions, so the
    bandwidths are multiples of :math:`\sigma^2 = d`, and the kernel neither saturates nor vanishes
    whatever the number of dimensions. A difference in one of them weighs less the more there are.

    Parameters
    ----------
    x, y
        Samples, shapes ``(n, n_latent)`` and ``(m, n_latent)``.
    bandwidths
        Multiples of ``n_latent`` for :math:`\sigma^2`.

    Returns
    -------
    The biased (V-statistic) estimate, a scalar from 0 to 2: zero for equal samples, positive
    otherwise, also for two of the same distribution, the more the smaller they are. Zero when
    either sample is empty.
    """
    in_x = torch.arange(len(x) + len(y), device=x.device) < len(x)
    latent = torch.cat([x, y])
    # Far from zero, squares of values hide their differences
    latent = latent - latent.detach().mean(0)
    contrast = group_contrast(*group_weights(in_x, dtype=latent.dtype))
    return group_discrepancy(latent, contrast, bandwidths=bandwidths)


def group_discrepancy(
    latent: Tensor, contrast: Tensor, *, bandwidths: Sequence[float] = DEFAULT_BANDWIDTHS
) -> Tensor:
    """Squared maximum mean discrepancy of some rows and the others.

    Parameters
    ----------
    latent
        Both samples, shape ``(n_rows, n_latent)``.
    contrast
        Weights of the difference of their means, shape ``(n_rows,)``; see
        :func:`scsalient.objective.group_contrast`.
    bandwidths
        As in :func:`maximum_mean_discrepancy`.

    Returns
    -------
    As there.
    """
    scales = [-0.5 / (latent.shape[1] * b) for b in bandwidths]
    return _Discrepancy.apply(latent, contrast, scales)
