"""Kullback-Leibler term of the ELBO."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


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
    return 0.5 * (mean.square() + variance - variance.log() - 1.0).sum(-1)
