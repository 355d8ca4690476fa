import numpy as np
import pytest

from scsalient import _random


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
def test_each_purpose_has_a_stream_of_its_own(seed):
    # Also of `[seed, 0]`, which is the same stream to NumPy as `seed`
    streams = [
        np.random.default_rng(seed),
        _random.generator(seed, "split"),
        _random.generator(seed, "epoch 0"),
        _random.generator(seed, "epoch 1"),
        _random.generator(seed + 1, "split"),
    ]
    draws = np.array([stream.random(1000) for stream in streams])
    assert np.abs(np.corrcoef(draws) - np.eye(len(streams))).max() < 0.15


def test_same_seed_and_purpose_give_the_same_numbers():
    first, second = (_random.generator(3, "split").random(5) for _ in range(2))
    np.testing.assert_array_equal(first, second)
