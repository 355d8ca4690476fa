from __future__ import annotations

import threading

import anndata
import h5py
import numpy as np
import pytest
import torch
import zarr
from scipy import sparse
from scvi import REGISTRY_KEYS

from factories import make_counts, make_model
from scsalient.loaders import (
    BatchLoader,
    ConsecutiveBatches,
    PairedBatches,
    Rows,
    RowsOnDevice,
    _rows,
    dense,
)
from scsalient.loaders._batches import _reads

CELLS = np.array([7, 3, 59, 3, 0, 41, 42, 40])
COLUMNS = {"role": torch.arange(60.0)[:, None]}


def _counts(dtype=np.float32):
    rng = np.random.default_rng(0)
    return (rng.poisson(2.0, size=(60, 9)) * (rng.random((60, 9)) < 0.3)).astype(dtype)


def _in_file(counts, path, kind):
    x = sparse.csr_matrix(counts) if kind.endswith("csr") else counts
    adata = anndata.AnnData(x)
    if kind.startswith("zarr"):
        adata.write_zarr(path)
        stored = zarr.open(path, mode="r")["X"]
        return anndata.io.sparse_dataset(stored) if kind.endswith("csr") else stored
    adata.write_h5ad(path)
    stored = h5py.File(path, "r")["X"]
    return anndata.io.sparse_dataset(stored) if kind.endswith("csr") else stored


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8])
@pytest.mark.parametrize(
    "form", [np.asarray, sparse.csr_matrix, sparse.csr_array, sparse.csc_array]
)
def test_rows_in_memory(form, dtype):
    counts = _counts(dtype)
    found = Rows(form(counts), COLUMNS).tensors(CELLS)
    assert found[REGISTRY_KEYS.X_KEY].dtype == torch.float32
    np.testing.assert_array_equal(dense(found[REGISTRY_KEYS.X_KEY]), counts[CELLS])
    np.testing.assert_array_equal(found["role"].ravel(), CELLS)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_rows_on_a_device_are_those_in_memory(form):
    rows = Rows(form(_counts()), COLUMNS)
    resident = RowsOnDevice(rows, torch.device("cpu"))
    found = resident.tensors(CELLS)
    for key, value in found.items():
        torch.testing.assert_close(dense(rows.tensors(CELLS)[key]), value)
    assert found.keys() == {REGISTRY_KEYS.X_KEY, *COLUMNS}


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_rows_on_a_device_with_room_have_their_zeros_there(dtype, monkeypatch):
    monkeypatch.setattr(_rows, "has_room", lambda *_, **__: True)
    monkeypatch.setattr(_rows, "_ROWS_AT_ONCE", 7)
    counts = sparse.csr_matrix(_counts(dtype))
    resident = RowsOnDevice(Rows(counts, COLUMNS), torch.device("cpu"))
    np.testing.assert_array_equal(resident.tensors(CELLS)["X"], counts[CELLS].toarray())


def test_entries_stored_twice_count_as_their_sum_on_a_device():
    x = sparse.csr_matrix((np.array([1.0, 2.0, 4.0], np.float32), [2, 2, 5], [0, 2, 3]), (2, 6))
    found = RowsOnDevice(Rows(x, {}), torch.device("cpu")).tensors(np.array([1, 0]))["X"]
    np.testing.assert_array_equal(found, x[[1, 0]].toarray())
    assert x.nnz == 3


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("storage", ["host", "device"])
def test_eight_bits_stay_eight_bits_until_a_minibatch(form, storage):
    x = form(np.random.default_rng(0).integers(0, 256, (60, 9), dtype=np.uint8))
    rows = Rows(x, COLUMNS, scale=255.0)
    if storage == "device":
        n_entries = x.nnz if sparse.issparse(x) else x.size
        per_entry = 1 + (x.indices.itemsize if sparse.issparse(x) else 0)
        assert RowsOnDevice.n_bytes(rows) == n_entries * per_entry
        kept = RowsOnDevice(rows, torch.device("cpu"))
        owners = (kept, kept._values)
        held = {v.dtype for o in owners for v in vars(o).values() if isinstance(v, torch.Tensor)}
        assert torch.uint8 in held
        assert torch.float32 not in held
    else:
        kept = rows
        assert kept.x is x
    found = kept.tensors(CELLS)[REGISTRY_KEYS.X_KEY]
    assert found.dtype == torch.float32
    expected = (x.toarray() if sparse.issparse(x) else x)[CELLS].astype(np.float32) / 255
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    # Cut once more, nothing is divided twice
    np.testing.assert_array_equal(kept.tensors(CELLS)[REGISTRY_KEYS.X_KEY], found)


@pytest.mark.parametrize("kind", ["h5ad-dense", "h5ad-csr"])
def test_eight_bits_in_a_file(tmp_path, kind):
    x = np.random.default_rng(0).integers(0, 256, (60, 9), dtype=np.uint8)
    rows = Rows(_in_file(x, tmp_path / "data", kind), COLUMNS, scale=255.0)
    assert rows.load(CELLS).x.dtype == np.uint8
    found = rows.tensors(CELLS)[REGISTRY_KEYS.X_KEY]
    np.testing.assert_allclose(found, x[CELLS].astype(np.float32) / 255, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:Writing zarr v2 data:UserWarning")
@pytest.mark.parametrize("kind", ["h5ad-csr", "h5ad-dense", "zarr-csr", "zarr-dense"])
def test_rows_in_a_file_come_in_the_order_asked_for(tmp_path, kind):
    counts = _counts()
    rows = Rows(_in_file(counts, tmp_path / "data", kind), COLUMNS)
    assert rows.on_disk
    found = rows.tensors(CELLS)
    np.testing.assert_array_equal(dense(found[REGISTRY_KEYS.X_KEY]), counts[CELLS])
    np.testing.assert_array_equal(found["role"].ravel(), CELLS)


def test_every_registered_field_is_there():
    adata = make_counts()
    adata.obs["factor"] = np.linspace(0.5, 2.0, adata.n_obs)
    setup = {
        "batch_key": "batch",
        "size_factor_key": "factor",
        "categorical_covariate_keys": ["batch"],
        "continuous_covariate_keys": ["score"],
    }
    model = make_model(adata, setup=setup)
    found = Rows.of(model.adata_manager).tensors(CELLS)
    assert set(found) == set(model.adata_manager.data_registry)
    expected = adata.obs.iloc[CELLS]
    np.testing.assert_array_equal(found[REGISTRY_KEYS.BATCH_KEY].ravel(), expected["_scvi_batch"])
    assert found[REGISTRY_KEYS.BATCH_KEY].dtype == torch.int64
    np.testing.assert_allclose(
        found[REGISTRY_KEYS.SIZE_FACTOR_KEY].ravel(), expected["factor"], rtol=1e-6
    )
    np.testing.assert_allclose(
        found[REGISTRY_KEYS.CONT_COVS_KEY].ravel(), expected["score"], rtol=1e-6
    )


@pytest.mark.parametrize("storage", ["auto", "host", "device"])
def test_batches_follow_the_sampler(storage):
    counts = _counts()
    order = ConsecutiveBatches(CELLS, batch_size=3)
    loader = BatchLoader(Rows(sparse.csr_matrix(counts), COLUMNS), order, storage=storage)
    assert len(loader) == 3
    for _ in range(2):
        found = [dense(tensors[REGISTRY_KEYS.X_KEY]) for tensors in loader]
        assert [len(x) for x in found] == [3, 3, 2]
        np.testing.assert_array_equal(torch.cat(found), counts[CELLS])


def test_reading_ahead_gives_the_same_and_ends_its_thread(tmp_path):
    counts = np.tile(_counts(), (20, 1))
    columns = {"role": torch.arange(1200.0)[:, None]}
    order = PairedBatches(
        [np.arange(700), np.arange(700, 1200)],
        batch_size=8,
        seed=0,
        block_size=4,
        n_together=32,
    )
    cells = list(order)
    order.set_epoch(0)
    loader = BatchLoader(Rows(_in_file(counts, tmp_path / "data", "h5ad-csr"), columns), order)
    n_threads = threading.active_count()
    for tensors, expected in zip(loader, cells, strict=True):
        np.testing.assert_array_equal(tensors["role"].ravel(), expected)
        np.testing.assert_array_equal(dense(tensors[REGISTRY_KEYS.X_KEY]), counts[expected])
    some = iter(loader)
    next(some)
    some.close()
    assert threading.active_count() == n_threads


def test_an_error_in_the_reading_thread_reaches_the_caller():
    class Broken:
        shape = (60, 9)

        def __getitem__(self, rows):
            msg = "the disk is gone"
            raise OSError(msg)

    loader = BatchLoader(Rows(Broken(), COLUMNS), ConsecutiveBatches(CELLS, batch_size=3))
    with pytest.raises(OSError, match="the disk is gone"):
        list(loader)


def test_large_minibatches_are_read_few_at_a_time():
    sizes = [4000, 4000, 4000, 9000, 10] + [1] * 40
    reads = list(_reads(np.zeros(size) for size in sizes))
    assert [len(batch) for read in reads for batch in read] == sizes
    assert [len(read) for read in reads] == [2, 1, 1, 32, 9]


def test_eight_bits_of_which_most_are_zero_are_scaled_too():
    counts = _counts(np.uint8)
    rows = Rows(sparse.csr_matrix(counts), {}, scale=255.0)
    found = dense(rows.tensors(CELLS)[REGISTRY_KEYS.X_KEY])
    np.testing.assert_allclose(found, counts[CELLS] / np.float32(255))


def test_data_that_should_stay_where_they_are():
    rows = Rows(_counts(), COLUMNS)
    BatchLoader(rows, ConsecutiveBatches(CELLS, batch_size=4), storage="host")
    assert not rows.kept
    BatchLoader(rows, ConsecutiveBatches(CELLS, batch_size=4), storage="device")
    assert list(rows.kept) == [torch.device("cpu")]
