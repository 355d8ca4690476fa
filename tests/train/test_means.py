from __future__ import annotations

import pytest
import torch

from scsalient.train._means import RunningMeans


def test_means_are_weighted_and_start_anew():
    means = RunningMeans()
    means.add({"a": torch.tensor(1.0), "b": 4.0}, weight=3)
    means.add({"a": torch.tensor(5.0), "b": 8.0}, weight=1)
    found = means.pop()
    assert {name: float(value) for name, value in found.items()} == {"a": 2.0, "b": 5.0}
    assert means.pop() == {}
    means.add({"c": torch.tensor(7.0)}, weight=2)
    assert float(means.pop()["c"]) == pytest.approx(7.0)


def test_no_graph_is_kept():
    means = RunningMeans()
    means.add({"a": torch.tensor(1.0, requires_grad=True) * 2}, weight=1)
    assert not means.pop()["a"].requires_grad
