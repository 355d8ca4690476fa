"""Checks of the arguments of the data sets."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np


def check_number(argument: str, value: Any, *, low: float, high: float = np.inf) -> None:
    """Raise unless ``value`` is a finite number from ``low`` to ``high``."""
    if isinstance(value, bool) or not isinstance(value, Real):
        msg = f"`{argument}` should be a number, found {value!r} of type {type(value).__name__}."
        raise TypeError(msg)
    number = float(value)
    if not (np.isfinite(number) and low <= number <= high):
        msg = f"`{argument}` should be {_span(low, high)}, found {value}. Pass such a number."
        raise ValueError(msg)


def check_integer(argument: str, value: Any, *, low: int, high: int | None = None) -> None:
    """Raise unless ``value`` is an integer from ``low`` to ``high``."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        msg = f"`{argument}` should be an integer, found {value!r} of type {type(value).__name__}."
        raise TypeError(msg)
    number = int(value)
    if number < low or (high is not None and number > high):
        limits = _span(low, np.inf if high is None else high)
        msg = f"`{argument}` should be {limits}, found {value}. Pass such a number."
        raise ValueError(msg)


def _span(low: float, high: float) -> str:
    return f"at least {low:g} and finite" if np.isinf(high) else f"from {low:g} to {high:g}"
