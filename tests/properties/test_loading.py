"""Pairing of the groups and splits, for any sizes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scsalient.loaders import PairedBatches, RoleDataSplitter, UnpairedBatches

SIZES = st.integers(1, 60)
SEEDS = st.integers(0, 2**31 - 1)


@st.composite
def two_groups(draw):
    """Positions of target and background cells, which no one else has."""
    n_target, n_background = draw(SIZES), draw(SIZES)
    order = np.random.default_rng(draw(SEEDS)).permutation(n_target + n_background)
    return [order[:n_target], order[n_target:]]


@given(two_groups(), st.integers(1, 40), SEEDS)
def test_an_epoch_shows_each_cell_of_the_larger_group_once(groups, batch_size, seed):
    sampler = PairedBatches(groups, batch_size=batch_size, seed=seed)
    for _ in range(3):
        cells = np.concatenate(list(sampler))
        for group in groups:
            times = np.array([(cells == cell).sum() for cell in group])
            if len(group) == max(map(len, groups)):
                assert (times == 1).all()
            else:
                # Each round of the smaller group shows all of it before the next one starts
                assert times.max() - times.min() <= 1


@given(two_groups(), st.integers(1, 40), SEEDS)
def test_batches_are_paired_even_and_without_repeats(groups, batch_size, seed):
    sampler = PairedBatches(groups, batch_size=batch_size, seed=seed)
    batches = list(sampler)
    assert len(batches) == len(sampler)
    counts = np.array([[np.isin(batch, group).sum() for group in groups] for batch in batches])
    assert counts.min() >= 1
    assert counts.max() <= batch_size
    assert (np.ptp(counts, axis=0) <= 1).all()
    assert all(len(set(batch)) == len(batch) for batch in batches)


@given(two_groups(), st.integers(1, 40), SEEDS, st.integers(0, 5))
def test_the_order_depends_on_seed_and_epoch_alone(groups, batch_size, seed, epoch):
    one, other = (PairedBatches(groups, batch_size=batch_size, seed=seed) for _ in range(2))
    for _ in range(epoch):
        list(one)
    other.set_epoch(epoch)
    for batch, same in zip(one, other, strict=True):
        np.testing.assert_array_equal(batch, same)


@given(two_groups(), st.integers(1, 40))
def test_validation_shows_each_cell_of_both_groups_once(groups, batch_size):
    cells = np.concatenate(list(UnpairedBatches(groups, batch_size=batch_size)))
    assert sorted(cells) == sorted(np.concatenate(groups))


@given(two_groups(), st.floats(0.05, 1.0), st.floats(0.0, 1.0), st.booleans())
def test_splits_neither_overlap_nor_lose_a_cell(groups, train_size, share, shuffle):
    validation_size = share * (1 - train_size)
    split = RoleDataSplitter(
        None,
        dict(enumerate(groups)),
        train_size=train_size,
        validation_size=min(validation_size, 0.99),
        shuffle_set_split=shuffle,
    )
    parts = [split.train_idx, split.val_idx, split.test_idx]
    assert sorted(np.concatenate(parts)) == sorted(np.concatenate(groups))
    for group in groups:
        n_train = np.isin(split.train_idx, group).sum()
        assert n_train == max(1, np.floor(train_size * len(group) + 1e-9))
