"""Kullback-Leibler term of the ELBO."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.function import once_differentiable

if TYPE_CHECKING:
    from torch import Tensor


class _Divergence(torch.autograd.Function):
    """The divergence, with a gradient that takes as few operations as the formula."""

    @staticmethod
    def forward(ctx: Any, mean: Tensor, variance: Tensor) -> Tensor:
        ctx.save_for_backward(mean, variance)
        terms = torch.addcmul(variance, mean, mean).sub_(variance.log())
        return terms.sum(-1).sub_(mean.shape[-1]).mul_(0.5)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        mean, variance = ctx.saved_tensors
        gradient = gradient.unsqueeze(-1)
        by_variance = variance.reciprocal().neg_().add_(1.0).mul_(0.5 * gradient)
        return mean * gradient, by_variance


def kl_to_standard_normal(mean: Tensor, variance: Tensor) -> Tensor:
    r"""KL divergence of a diagonal Gaussian from the prior, :math:`KL(q(s|x)\,\|\,N(0, I))`.

    Parameters
    ----------
    mean, variance
        Mean and variance of the posterior, shape ``(..., n_latent)``.

    Returns
    -------
    Divergence of each row in nats, shape ``(...)`` (paper eq. 3 and 4).
    """
    return _Divergence.apply(mean, variance)
