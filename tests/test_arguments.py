from __future__ import annotations

import math

import numpy as np
import pytest

from scsalient._arguments import check_flag, check_integer, check_number


@pytest.mark.parametrize("value", [1, 3, np.int64(2)])
def test_integers_within_bounds(value):
    check_integer("n", value, low=1, high=3)


@pytest.mark.parametrize(
    ("value", "error"), [(0, ValueError), (4, ValueError), (2.0, TypeError), (True, TypeError)]
)
def test_other_integers(value, error):
    message = r"`n` should be an integer from 1 to 3 \(cells\), found " + repr(value)
    with pytest.raises(error, match=message):
        check_integer("n", value, low=1, high=3, meaning="cells")


@pytest.mark.parametrize("value", [0, 0.5, np.float32(0.1), np.int8(0)])
def test_numbers_within_bounds(value):
    check_number("share", value, low=0, high=1, high_included=False)


@pytest.mark.parametrize(
    ("value", "error"),
    [(1, ValueError), (-1e-9, ValueError), (math.nan, ValueError), ("0", TypeError)]
    + [(None, TypeError), (True, TypeError), (math.inf, ValueError), ([0.5], TypeError)],
)
def test_other_numbers(value, error):
    with pytest.raises(error, match=r"`share` should be a number in \[0, 1\), found "):
        check_number("share", value, low=0, high=1, high_included=False)


@pytest.mark.parametrize(
    ("bounds", "text"),
    [
        ({"low": 0}, "finite number of at least 0"),
        ({"low": 0, "low_included": False}, "finite number above 0"),
        ({}, "finite number,"),
    ],
)
def test_bounds_in_words(bounds, text):
    with pytest.raises(ValueError, match=text):
        check_number("x", math.nan, **bounds)


def test_flags():
    check_flag("flag", True)
    check_flag("flag", np.bool_(False))
    for value in (0, None, "no"):
        with pytest.raises(TypeError, match="`flag` should be True or False, found "):
            check_flag("flag", value)
