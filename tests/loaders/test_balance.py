import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scsalient.loaders import PairedBatches
from scsalient.loaders._balance import common_shares

# At least one cell of each of three strata
COUNTS = st.lists(st.integers(min_value=1, max_value=40), min_size=3, max_size=3)


def strata_of(counts):
    return np.repeat(np.arange(len(counts)), counts)


def test_shares_are_in_proportion_to_the_geometric_mean():
    target, background = common_shares([strata_of([40, 20, 40]), strata_of([10, 80, 10])])
    np.testing.assert_allclose(target, background)
    np.testing.assert_allclose(target, [1 / 4, 1 / 2, 1 / 4])


def test_a_stratum_that_one_group_lacks_keeps_its_share():
    target, background = common_shares([strata_of([40, 40, 20]), strata_of([90, 10])])
    np.testing.assert_allclose(target[2], 0.2)
    np.testing.assert_allclose(background[2], 0)
    np.testing.assert_allclose(target[:2] / 0.8, background[:2])
    np.testing.assert_allclose(background[0] / background[1], 3)


def test_groups_of_the_same_shares_keep_them():
    for shares in common_shares([strata_of([10, 20]), strata_of([30, 60])]):
        np.testing.assert_allclose(shares, [1 / 3, 2 / 3])


@settings(deadline=None, max_examples=60)
@given(
    target=COUNTS,
    background=COUNTS,
    batch_size=st.integers(min_value=1, max_value=40),
    block_size=st.sampled_from([1, 4]),
)
def test_an_epoch_has_the_common_shares(target, background, batch_size, block_size):
    codes = strata_of(target), strata_of(background)
    n_target, n_background = map(len, codes)
    groups = [np.arange(n_target), n_target + np.arange(n_background)]
    batches = PairedBatches(
        groups, batch_size=batch_size, strata=np.concatenate(codes), seed=0, block_size=block_size
    )
    n_largest = max(n_target, n_background)
    found = list(batches)
    assert len(found) == -(-n_largest // batch_size)
    cells = np.concatenate(found)
    assert np.isin(cells, np.concatenate(groups)).all()
    for group, of_group, shares in zip(groups, codes, common_shares(codes), strict=True):
        drawn = cells[np.isin(cells, group)]
        if len(group) < n_largest:
            continue
        # One round: a stratum as often as expected, up to one cell, and its cells equally often
        assert len(drawn) == len(group)
        n_drawn = np.bincount(of_group[drawn - group[0]], minlength=3)
        assert np.abs(n_drawn - shares * len(group)).max() < 1 + 1e-9
        times = np.bincount(drawn - group[0], minlength=len(group))
        for stratum in range(3):
            assert np.ptp(times[of_group == stratum]) <= 1


def test_batches_of_the_smaller_group_have_the_common_shares_too():
    codes = strata_of([900, 100]), strata_of([20, 80])
    groups = [np.arange(1000), 1000 + np.arange(100)]
    batches = PairedBatches(groups, batch_size=50, strata=np.concatenate(codes), seed=0)
    every = np.concatenate([np.concatenate(list(batches)) for _ in range(10)])
    strata = np.concatenate(codes)[every]
    assert np.bincount(every < 1000).tolist() == [10_000, 10_000]
    expected = common_shares(codes)[0][1]
    for is_target in (True, False):
        share = (strata[(every < 1000) == is_target] == 1).mean()
        assert share == pytest.approx(expected, abs=0.01)


def test_balanced_epochs_differ_and_follow_the_seed():
    groups, strata = [np.arange(50), np.arange(50, 80)], np.arange(80) % 3

    def epochs():
        batches = PairedBatches(groups, batch_size=16, strata=strata, seed=3)
        return [np.concatenate(list(batches)) for _ in range(2)]

    first, second = epochs()
    np.testing.assert_array_equal([first, second], epochs())
    assert (first != second).any()
