"""Checks of what a user passes, whatever it is for."""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from anndata import AnnData

if TYPE_CHECKING:
    from collections.abc import Iterable


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


def check_names(argument: str, value: Any, known: Iterable[str]) -> None:
    """Check that an argument holds others by name, and only such as there are.

    Parameters
    ----------
    argument
        Its name.
    value
        Its value.
    known
        Names that it may have.

    Raises
    ------
    TypeError
        When it is no dict, or has another name.
    """
    names = list(known)
    if not isinstance(value, dict) or not set(value) <= set(names):
        msg = f"`{argument}` should be a dict with names among {names}, found {value!r}."
        raise TypeError(msg)


def check_anndata(argument: str, value: Any, *, advice: str) -> None:
    """Check that an argument is an AnnData, and not the model or an array.

    Parameters
    ----------
    argument
        Its name.
    value
        Its value.
    advice
        What to pass instead, a sentence.

    Raises
    ------
    TypeError
        When it is something else.
    """
    if not isinstance(value, AnnData):
        msg = f"`{argument}` should be an AnnData, found {type(value).__name__}. {advice}"
        raise TypeError(msg)
