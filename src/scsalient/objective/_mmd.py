"""Maximum mean discrepancy between the background latents of both groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

DEFAULT_BANDWIDTHS = (0.25, 0.5, 1.0, 2.0)


def maximum_mean_discrepancy(
    x: Tensor, y: Tensor, *, bandwidths: Sequence[float] = DEFAULT_BANDWIDTHS
) -> Tensor:
    r"""Squared maximum mean discrepancy of two samples (Gretton et al. 2012, eq. 5).

    The kernel is a mean of Gaussian kernels :math:`\exp(-\|x - y\|^2 / 2 \sigma^2)`. Two draws
    from the prior lie at a squared distance of about :math:`2 d` in :math:`d` dimensions, so the
    bandwidths are multiples of :math:`\sigma^2 = d`: the term then means the same thing, and
    needs the same weight, whatever the number of dimensions.

    Parameters
    ----------
    x, y
        Samples, shapes ``(n, n_latent)`` and ``(m, n_latent)``.
    bandwidths
        Multiples of ``n_latent`` for :math:`\sigma^2`.

    Returns
    -------
    The biased (V-statistic) estimate, a scalar from 0 to 2: zero for equal samples, positive
    otherwise. Zero when either sample is empty.
    """
    if x.shape[0] == 0 or y.shape[0] == 0:
        return x.sum() * 0.0 + y.sum() * 0.0
    both = torch.cat([x, y])
    gram = both @ both.T
    norms = gram.diagonal()
    distances = (norms[:, None] + norms[None, :] - 2.0 * gram).clamp(min=0.0)
    scale = -0.5 / both.shape[1]
    kernel = torch.stack([(distances * (scale / b)).exp() for b in bandwidths]).mean(0)
    n = x.shape[0]
    # A squared norm in feature space: rounding can take the difference just below zero.
    estimate = kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2.0 * kernel[:n, n:].mean()
    return estimate.clamp(min=0.0)
