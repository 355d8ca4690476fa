"""Schedules in fractions of the planned training."""

from __future__ import annotations


def linear_warmup(progress: float, fraction: float) -> float:
    """Weight that rises from 0 to 1 over the first part of training.

    Parameters
    ----------
    progress
        Share of the planned training that is done, from 0 to 1.
    fraction
        Share of the training over which the weight rises; 0 for full weight from the start.

    Returns
    -------
    Weight from 0 to 1.
    """
    if fraction <= 0:
        return 1.0
    return min(1.0, progress / fraction)
