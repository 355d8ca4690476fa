"""Dependence between the two latents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.distance import pdist, squareform

from scsalient._arguments import check_integer
from scsalient._random import generator

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def independence(
    salient: ArrayLike, background: ArrayLike, *, max_cells: int = 2000, seed: int = 0
) -> float:
    """Bias-corrected squared distance correlation of two latents (Szekely and Rizzo 2014).

    It sees dependence of any form, not only linear one.

    Parameters
    ----------
    salient, background
        Latents of the same cells, shapes ``(n_cells, n_salient)`` and
        ``(n_cells, n_background)``; four cells at least.
    max_cells
        A random sample of so many cells is used if there are more (memory grows with its
        square).
    seed
        Seed of the sample.

    Returns
    -------
    Near 0, on either side, for independent latents, and at most 1, for latents between which all
    distances are the same up to a factor; less where one determines the other in a curve.

    Raises
    ------
    TypeError
        When `max_cells` or `seed` is no integer.
    ValueError
        When shapes do not fit, values are not finite, or ``max_cells`` is below 4.
    """
    s, z = (np.asarray(latent, dtype=np.float64) for latent in (salient, background))
    if s.ndim != 2 or z.ndim != 2 or len(s) != len(z) or len(s) < 4:
        msg = (
            "`salient` and `background` should be latents of the same four or more cells, found "
            f"shapes {s.shape} and {z.shape}."
        )
        raise ValueError(msg)
    if not (np.isfinite(s).all() and np.isfinite(z).all()):
        msg = "`salient` and `background` should be finite, found NaN or infinite values."
        raise ValueError(msg)
    check_integer("max_cells", max_cells, low=4)
    check_integer("seed", seed, low=0)
    if len(s) > max_cells:
        rows = generator(seed, "independence").choice(len(s), max_cells, replace=False)
        s, z = s[rows], z[rows]
    a, b = _u_centred(s), _u_centred(z)
    scale = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / scale) if scale > 0 else 0.0


def _u_centred(x: np.ndarray) -> np.ndarray:
    n = len(x)
    # Their unit does not matter, and squares of squares of extreme ones would not be numbers
    largest = np.abs(x - x.mean(axis=0)).max()
    d = squareform(pdist((x - x.mean(axis=0)) / (largest if largest > 0 else 1.0)))
    rows = d.sum(axis=0)
    centred = d - rows[:, None] / (n - 2) - rows[None, :] / (n - 2)
    centred += d.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(centred, 0.0)
    return centred
