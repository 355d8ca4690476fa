"""How well the salient encoder finds again what was put into background cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def surprise(value: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    r"""Negative log density of a known latent under a diagonal Gaussian posterior.

    With background cells that were given the effect of a known ``s``, this is the loss of the
    sleep phase of the wake-sleep algorithm (Hinton et al. 1995, doi 10.1126/science.7761831),
    but on cells that are real in everything else.

    Parameters
    ----------
    value
        Latents that the posterior should find, shape ``(n_rows, n_latent)``.
    mean, variance
        Mean and variance of the posterior, of the same shape.

    Returns
    -------
    One value per row in nats, up to a constant, shape ``(n_rows,)``.
    """
    return 0.5 * ((value - mean).square() / variance + variance.log()).sum(-1)
