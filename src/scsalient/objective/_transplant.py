"""How well the salient encoder finds again what was put into background cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def surprise(value: Tensor, mean: Tensor, variance: Tensor, *, tolerance: float = 0.0) -> Tensor:
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
    tolerance
        Variance that is added to that of the posterior: how precisely the latent needs to be
        found. A posterior that is much more certain gains nothing.

    Returns
    -------
    One value per row in nats, up to a constant, shape ``(n_rows,)``.
    """
    tolerated = variance + tolerance
    return 0.5 * ((value - mean).square() / tolerated + tolerated.log()).sum(-1)
