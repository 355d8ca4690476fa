from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scsalient.loaders import PairedBatches, RoleDataSplitter, UnpairedBatches

SIZES = st.integers(min_value=1, max_value=70)


@settings(deadline=None, max_examples=60)
@given(n_large=SIZES, n_small=SIZES, batch_size=st.integers(min_value=1, max_value=40))
def test_an_epoch_shows_every_cell_of_the_larger_group_once(n_large, n_small, batch_size):
    n_large, n_small = max(n_large, n_small), min(n_large, n_small)
    large, small = np.arange(n_large), np.arange(n_large, n_large + n_small)
    batches = list(PairedBatches([large, small], batch_size=batch_size))
    cells = np.concatenate(batches)
    assert sorted(cells[cells < n_large]) == list(range(n_large))
    for batch in batches:
        assert len(set(batch)) == len(batch)
        assert (batch < n_large).sum() <= batch_size
        assert (batch >= n_large).sum() == min((batch < n_large).sum(), n_small)
    counts = np.bincount(cells[cells >= n_large] - n_large, minlength=n_small)
    assert counts.max() - counts.min() <= 2


def test_batches_differ_in_size_by_one_cell_at_most():
    sizes = [len(b) for b in PairedBatches([np.arange(130)], batch_size=128)]
    assert sizes == [65, 65]


def test_epochs_differ_and_follow_the_seed():
    groups = [np.arange(50), np.arange(50, 80)]
    batches = PairedBatches(groups, batch_size=16, seed=3)
    first, second = np.concatenate(list(batches)), np.concatenate(list(batches))
    batches = PairedBatches(groups, batch_size=16, seed=3)
    again = np.concatenate(list(batches))
    batches.set_epoch(1)
    np.testing.assert_array_equal(np.concatenate(list(batches)), second)
    assert (first != second).any()
    np.testing.assert_array_equal(first, again)


@settings(deadline=None, max_examples=40)
@given(n=SIZES, m=SIZES, batch_size=st.integers(min_value=1, max_value=40))
def test_validation_shows_every_cell_once(n, m, batch_size):
    batches = UnpairedBatches([np.arange(n), np.arange(n, n + m)], batch_size=batch_size)
    cells = np.concatenate(list(batches))
    assert sorted(cells) == list(range(n + m))
    assert len(list(batches)) == len(batches)


def test_splits_are_stratified_disjoint_and_complete():
    groups = {"target": np.arange(100), "background": np.arange(100, 140)}
    splitter = RoleDataSplitter(None, groups, train_size=0.7, validation_size=0.2)
    assert (splitter.train_idx < 100).sum() == 70
    assert (splitter.train_idx >= 100).sum() == 28
    assert (splitter.val_idx < 100).sum() == 20
    assert (splitter.val_idx >= 100).sum() == 8
    parts = [splitter.train_idx, splitter.val_idx, splitter.test_idx]
    assert sorted(np.concatenate(parts)) == list(range(140))


def test_a_single_cell_goes_into_training():
    groups = {"target": np.arange(10), "background": np.array([10])}
    assert 10 in RoleDataSplitter(None, groups).train_idx


def test_a_group_without_cells():
    groups = {"target": np.arange(10), "background": np.array([], dtype=int)}
    with pytest.raises(ValueError, match="`adata` should have cells of each .* no background"):
        RoleDataSplitter(None, groups)


def test_each_validation_batch_has_cells_of_a_small_group():
    batches = list(UnpairedBatches([np.arange(300), np.arange(300, 320)], batch_size=8))
    assert len(batches) == 20
    assert all((batch >= 300).any() for batch in batches)
    # but no batch is too large for it
    huge = list(UnpairedBatches([np.arange(2_000), np.arange(2_000, 2_001)], batch_size=32))
    assert [len(batch) for batch in huge] == [501, 500, 500, 500]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"train_size": 0.0}, r"`train_size` should be a number in \(0, 1\]"),
        ({"train_size": 0.9, "validation_size": 0.3}, "`validation_size` should lie between"),
        ({"batch_size": 0}, "`batch_size` should be an integer of at least 1"),
    ],
)
def test_sizes_out_of_range(kwargs, message):
    with pytest.raises(ValueError, match=message):
        RoleDataSplitter(None, {"target": np.arange(10)}, **kwargs)


@settings(deadline=None, max_examples=40)
@given(
    n=st.integers(20, 90),
    m=st.integers(20, 90),
    batch_size=st.integers(3, 20),
    block_size=st.integers(1, 9),
    world_size=st.integers(1, 4),
)
def test_the_parts_of_an_epoch_share_no_cell_and_lose_none(
    n, m, batch_size, block_size, world_size
):
    groups = [np.arange(n), np.arange(n, n + m)]
    options = {"batch_size": batch_size, "seed": 5, "block_size": block_size, "n_together": 2}
    parts = [
        list(PairedBatches(groups, rank=rank, world_size=world_size, **options))
        for rank in range(world_size)
    ]
    large = groups[0] if n >= m else groups[1]
    seen = np.concatenate([cells for part in parts for cells in part])
    assert sorted(seen[np.isin(seen, large)]) == list(large)
    for batch in zip(*parts, strict=True):
        together = np.concatenate(batch)
        assert len(set(together)) == len(together)
        assert max(map(len, batch)) <= 2 * batch_size


def test_blocks_keep_neighbours_in_one_read():
    batches = list(
        PairedBatches([np.arange(800)], batch_size=10, seed=0, block_size=8, n_together=8)
    )
    for start in range(0, 80, 8):
        cells = np.sort(np.concatenate(batches[start : start + 8]))
        assert (np.diff(cells) > 1).sum() <= 12
    assert (np.diff(np.concatenate(batches)) == 1).mean() < 0.1


def test_sizes_that_add_up_to_all_cells():
    groups = {"target": np.arange(20)}
    both = RoleDataSplitter(None, groups, train_size=0.9, validation_size=0.1)
    assert (both.n_train, both.n_val, len(both.test_idx)) == (18, 2, 0)
    only_validation = RoleDataSplitter(None, groups, validation_size=0.2)
    assert (only_validation.n_train, only_validation.n_val) == (16, 4)
    assert not len(only_validation.test_idx)


def test_blocks_begin_elsewhere_each_time():
    batches = PairedBatches([np.arange(40)], batch_size=4, block_size=4, seed=0)
    epochs = [{tuple(sorted(batch)) for batch in batches} for _ in range(4)]
    assert any(epoch != epochs[0] for epoch in epochs)


def _given(*sets, n_cells: int = 12, **kwargs):
    manager = SimpleNamespace(
        adata=SimpleNamespace(n_obs=n_cells, obs_names=map(str, range(n_cells)))
    )
    groups = {"target": np.arange(6), "background": np.arange(6, 12)}
    return RoleDataSplitter(manager, groups, external_indexing=sets, **kwargs)


def test_sets_of_cells_that_are_given():
    splitter = _given([0, 1, 7, 8], np.array([9, 2]), [3])
    assert {name: len(cells) for name, cells in splitter.train_idx_of.items()} == {
        "target": 2,
        "background": 2,
    }
    assert set(splitter.train_idx) == {0, 1, 7, 8}
    assert set(splitter.val_idx) == {2, 9}
    assert set(splitter.test_idx) == {3}
    assert splitter.state_dict()["sizes"] == {"target": [2, 1, 1], "background": [2, 1, 0]}
    assert _given([0, 7]).n_val == 0


@pytest.mark.parametrize(
    ("sets", "kwargs", "error", "message"),
    [
        (([0, 7],), {"train_size": 0.5}, ValueError, "tells all cells to train on"),
        (([0, 7], [1.5]), {}, TypeError, "up to three arrays with positions"),
        (([0, 7], [], [], []), {}, TypeError, "up to three arrays with positions"),
        (([0, 12],), {}, ValueError, "positions from 0 to 11, found 0 to 12"),
        (([0, 7], [7]), {}, ValueError, "should have each cell once, found 1 again"),
        (([0, 1],), {}, ValueError, "found no background cells among its first"),
    ],
)
def test_sets_of_cells_that_cannot_be(sets, kwargs, error, message):
    with pytest.raises(error, match=message):
        _given(*sets, **kwargs)
