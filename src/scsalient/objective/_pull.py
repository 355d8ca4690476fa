"""The pull of the background cells' salient posterior to zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def expected_squared_norm(mean: Tensor, variance: Tensor) -> Tensor:
    r"""Expected squared norm of a latent, :math:`E_{q(s|b)} \|s\|^2`.

    Background cells have ``s = 0`` by definition (paper eq. 2), yet nothing in the ELBO asks
    their salient posterior to say so. This term does; without it the salient encoder is free to
    write into ``s`` what both groups share.

    Parameters
    ----------
    mean, variance
        Mean and variance of the posterior, shape ``(n_rows, n_latent)``.

    Returns
    -------
    One value per row, shape ``(n_rows,)``.
    """
    return (mean.square() + variance).sum(-1)
