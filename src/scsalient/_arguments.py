"""Checks of numbers and flags that a user passes."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import numpy as np


def check_integer(
    argument: str, value: Any, *, low: int, high: int | None = None, meaning: str = ""
) -> None:
    """Check that an argument is an integer within bounds.

    Parameters
    ----------
    argument
        Its name.
    value
        Its value.
    low, high
        Bounds, both included; `None` for no upper one.
    meaning
        What the upper bound is.

    Raises
    ------
    TypeError
        When it is no integer.
    ValueError
        When it is out of bounds.
    """
    bounds = f"of at least {low}" if high is None else f"from {low} to {high}"
    bounds += f" ({meaning})" if meaning else ""
    msg = f"`{argument}` should be an integer {bounds}, found {value!r}."
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(msg)
    if value < low or (high is not None and value > high):
        raise ValueError(msg)


def check_number(
    argument: str,
    value: Any,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    low_included: bool = True,
    high_included: bool = True,
) -> None:
    """Check that an argument is a finite number within bounds.

    Parameters
    ----------
    argument
        Its name.
    value
        Its value.
    low, high
        Bounds; infinite for none.
    low_included, high_included
        Whether the bounds themselves are allowed.

    Raises
    ------
    TypeError
        When it is no number.
    ValueError
        When it is out of bounds, infinite or NaN.
    """
    if math.isfinite(low) and math.isfinite(high):
        left, right = "[" if low_included else "(", "]" if high_included else ")"
        bounds = f"number in {left}{low:g}, {high:g}{right}"
    elif math.isfinite(low):
        bounds = f"finite number {'of at least' if low_included else 'above'} {low:g}"
    else:
        bounds = "finite number"
    msg = f"`{argument}` should be a {bounds}, found {value!r}."
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(msg)
    number = float(value)
    above = number >= low if low_included else number > low
    below = number <= high if high_included else number < high
    if not (math.isfinite(number) and above and below):
        raise ValueError(msg)


def check_flag(argument: str, value: Any) -> None:
    """Check that an argument is true or false.

    Parameters
    ----------
    argument
        Its name.
    value
        Its value.

    Raises
    ------
    TypeError
        When it is neither.
    """
    if not isinstance(value, bool | np.bool_):
        msg = f"`{argument}` should be True or False, found {value!r}."
        raise TypeError(msg)
