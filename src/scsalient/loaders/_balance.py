"""Draws of cells in which two groups are made of the same kinds of cells in the same shares."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence


def common_shares(strata: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Share of each stratum among the draws of each group.

    Parameters
    ----------
    strata
        Stratum of each cell of each group, from 0 on.

    Returns
    -------
    For each group shape ``(n_strata,)``. Strata that all groups have come in proportion to the
    geometric mean of their shares, so that a stratum is drawn more often than it is frequent in
    one of two groups by the same factor as more rarely in the other. A stratum that a group lacks
    keeps its share in the others.
    """
    n_strata = 1 + max(int(codes.max()) for codes in strata)
    own = np.array([np.bincount(codes, minlength=n_strata) / len(codes) for codes in strata])
    shared = (own > 0).all(axis=0)
    mean = np.where(shared, np.exp(np.log(np.where(own > 0, own, 1.0)).mean(axis=0)), 0.0)
    total = mean.sum()
    if total == 0:
        return list(own)
    return [np.where(shared, mean / total * group[shared].sum(), group) for group in own]


class StratifiedDraws:
    """Draws of as many cells as a group has, with given shares of its strata.

    A draw takes the cells of a stratum as evenly as their number allows.

    Parameters
    ----------
    cells
        Positions of the cells.
    strata
        Stratum of each, shape ``(n_cells,)``.
    shares
        Share of each stratum, shape ``(n_strata,)``; zero for those without cells.
    """

    def __init__(self, cells: np.ndarray, strata: np.ndarray, shares: np.ndarray) -> None:
        self._n_cells = len(cells)
        present = np.unique(strata)
        self._cells = [cells[strata == code] for code in present]
        self._ends = np.cumsum(shares[present])
        # Rounding must not lose a cell
        self._ends = self._ends / self._ends[-1] * self._n_cells

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Positions of the cells drawn, shape ``(n_cells,)``; strata side by side."""
        # Systematic, so that a stratum gets its expected number up to one cell
        ends = np.floor(self._ends + rng.random()).astype(int)
        ends[-1] = self._n_cells
        parts = []
        for cells, n in zip(self._cells, np.diff(ends, prepend=0), strict=True):
            n_whole, n_rest = divmod(int(n), len(cells))
            parts += [cells] * n_whole + [rng.permutation(cells)[:n_rest]]
        return np.concatenate(parts)
