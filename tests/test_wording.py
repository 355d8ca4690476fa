"""What messages have in common."""

from __future__ import annotations

import pandas as pd
import pytest

from scsalient._wording import counted, did_you_mean, own_columns


@pytest.mark.parametrize(("n", "text"), [(0, "0 cells"), (1, "1 cell"), (2, "2 cells")])
def test_one_is_singular(n, text):
    assert counted(n, "cell") == text


def test_columns_of_scvi_tools_are_left_out():
    assert own_columns(pd.DataFrame(columns=["a", "_scvi_batch", 3, "_mine"])) == ["a", 3, "_mine"]


@pytest.mark.parametrize(
    ("name", "question"),
    [
        ("Ctrl", " Did you mean 'ctrl '?"),
        ("ctrl", " Did you mean 'ctrl '?"),
        ("stmi", " Did you mean 'stim'?"),
        ("10", " Did you mean 10?"),
        ("nope", ""),
        (None, ""),
    ],
)
def test_what_may_have_been_meant(name, question):
    assert did_you_mean(name, ["ctrl ", "stim", 10]) == question
