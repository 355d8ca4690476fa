"""Which cells are copies of others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scsalient.loaders import Rows

_ROWS_AT_ONCE = 8192


def signatures(rows: Rows, positions: np.ndarray) -> np.ndarray:
    """A number for each cell by its values: the same for copies, and else another.

    Two sums of the values with random weights, one its real and one its imaginary part. In single
    precision, so that the order of the sums does not show.

    Parameters
    ----------
    rows
        Cells.
    positions
        Positions of the cells.

    Returns
    -------
    Shape ``(n_cells,)``, complex; zero for a cell without values.
    """
    weights = np.random.default_rng(0).standard_normal((rows.x.shape[1], 2))
    parts = [
        np.asarray(
            rows.load(positions[start : start + _ROWS_AT_ONCE]).x.astype(np.float32) @ weights
        )
        for start in range(0, len(positions), _ROWS_AT_ONCE)
    ]
    sums = np.concatenate([np.empty((0, 2)), *parts]).astype(np.float32)
    return sums[:, 0] + 1j * sums[:, 1]
