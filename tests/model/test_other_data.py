"""Models that are asked about other data than those they were made with."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scvi
from scvi.train import SaveCheckpoint

from factories import QUIET, make_counts, make_model, make_trained
from scsalient import ContrastiveVAE

QUERY_BATCHES = {"batch": np.tile(["a", "c"], 50)}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "model"


def with_unused_batch(seed=0):
    """Counts whose batch has a third category without cells."""
    adata = make_counts(seed=seed)
    adata.obs["batch"] = pd.Categorical(adata.obs["batch"], categories=["a", "b", "c"])
    return adata


def test_genes_of_data_that_take_the_place_of_the_models():
    model = make_trained()
    with pytest.raises(ValueError, match="another order"):
        model.adata = model.adata[:, ::-1].copy()
    other = make_counts(seed=1)
    expected = model.get_latent_representation(other.copy())
    model.adata = other
    np.testing.assert_array_equal(model.get_latent_representation(), expected)
    assert model.get_var_names().tolist() == make_counts().var_names.tolist()


def test_batches_of_data_that_a_model_is_loaded_with(folder):
    make_trained(with_unused_batch(), setup={"batch_key": "batch"}).save(folder)
    query = with_unused_batch(seed=1)
    query.obs["batch"] = pd.Categorical(QUERY_BATCHES["batch"], categories=["a", "b", "c"])
    loaded = ContrastiveVAE.load(folder, query)
    for ask in (loaded.get_latent_representation, lambda: loaded.generate(4)):
        with pytest.raises(ValueError, match=r"trained on, \['a', 'b'\], found \['c'\]"):
            ask()
    loaded.train(1, **QUIET)
    assert loaded.get_latent_representation().shape == (100, 2)
    assert loaded.get_latent_representation(query[:20].copy()).shape == (20, 2)
    assert loaded.generate(4, batch="c").n_obs == 4


def test_a_look_with_another_model_leaves_a_registration_as_it_is(folder):
    make_trained().save(folder)
    adata = make_counts(seed=1)
    ContrastiveVAE.setup_anndata(adata, "condition", "treated", batch_key="batch")
    ContrastiveVAE.load(folder, adata=False).embed(adata)
    model = ContrastiveVAE(adata, n_salient_latent=2, n_hidden=8)
    assert model.roles.background == ("treated",)
    assert model.summary_stats.n_batch == 2
    model.train(1, **QUIET)
    assert len(model._groups()["background"]) == 60


def test_columns_that_are_mended_count():
    model = make_trained(setup={"batch_key": "batch"})
    query = make_counts(seed=1)
    before = model.get_latent_representation(query, kind="background")
    query.obs["batch"] = "a"
    after = model.get_latent_representation(query, kind="background")
    assert np.abs(after - before).max() > 1e-4
    np.testing.assert_array_equal(
        after, model.get_latent_representation(query.copy(), kind="background")
    )
    model.embed(query)
    query.obs["condition"] = "control"
    model.embed(query)
    assert query.uns["cvae"]["target"] == []


def test_a_model_without_its_data_takes_copies(folder, tmp_path):
    make_trained().save(folder)
    model = ContrastiveVAE.load(folder, adata=False)
    query = make_counts(seed=1)
    expected = model.get_latent_representation(query)
    query.write_h5ad(tmp_path / "query.h5ad")
    for other in (query.copy(), query, sc.read_h5ad(tmp_path / "query.h5ad")):
        np.testing.assert_array_equal(model.get_latent_representation(other), expected)
    part = model.get_latent_representation(query[:30].copy())
    np.testing.assert_allclose(part, expected[:30], rtol=1e-4, atol=1e-6)
    assert model.adata is None


def test_a_checkpoint_knows_what_it_was_trained_on(tmp_path):
    adata = make_counts(200, 200)
    model = make_model(adata)
    keep = SaveCheckpoint(dirpath=tmp_path, monitor="elbo_validation", save_top_k=-1)
    scvi.settings.seed = 0
    model.train(2, check_val_every_n_epoch=2, callbacks=[keep], **QUIET)
    (kept,) = [path for path in tmp_path.iterdir() if path.is_dir()]
    loaded = ContrastiveVAE.load(kept, adata)
    assert loaded.evidence().p_value == model.evidence().p_value
    with pytest.raises(ValueError, match="not trained on, found 360"):
        loaded.evidence(adata.copy())
    # With other data in their place only the names of the cells are left
    query = make_counts(200, 200, seed=1)
    query.obs_names = [f"other_{i}" for i in range(400)]
    other = ContrastiveVAE.load(kept, query)
    with pytest.raises(ValueError, match="not trained on, found 400"):
        other.evidence(adata.copy())


def test_genes_that_are_filtered_after_the_registration():
    adata = make_counts()
    ContrastiveVAE.setup_anndata(adata, "condition", "control")
    adata._inplace_subset_var(np.arange(10))
    with pytest.raises(ValueError, match="found 2 of 12 missing"):
        ContrastiveVAE(adata)


@pytest.mark.filterwarnings("ignore:Variable names are not unique:UserWarning")
def test_genes_that_stand_twice():
    model = make_trained()
    query = make_counts(seed=1)[:, np.r_[0:12, 0]].copy()
    with pytest.raises(ValueError, match=r"found \['gene_0'\] more than once"):
        model.embed(query)


def test_categories_of_another_type():
    adata = make_counts(plate=np.tile([1, 2], 50))
    model = make_trained(adata, setup={"batch_key": "plate"})
    query = make_counts(plate=np.tile(["1", "2"], 50))
    expected = r"trained on, \[1, 2\], found \['1', '2'\]. They are of type str; convert .* to int"
    with pytest.raises(ValueError, match=expected):
        model.embed(query)


def test_errors_tell_where_the_model_looks():
    adata = make_counts()
    adata.layers["counts"] = adata.X.copy()
    model = make_trained(adata, setup={"layer": "counts", "batch_key": "batch"})
    with pytest.raises(KeyError) as caught:
        model.embed(make_counts(seed=1))
    places = "`adata.layers['counts']`, `adata.obs['condition']`, `adata.obs['batch']`"
    assert places in caught.value.__notes__[0]


def test_new_cells_of_a_role_that_the_data_lack(folder):
    make_trained().save(folder)
    model = ContrastiveVAE.load(folder, make_counts(condition=["treated"] * 100))
    with pytest.raises(ValueError, match="from background cells of the model's data, found none"):
        model.generate(4, role="background")


def test_sparse_data_of_dask():
    dask_array = pytest.importorskip("dask.array")
    model = make_trained()
    query = make_counts(seed=1)
    expected = model.get_latent_representation(query.copy())
    chunks = dask_array.from_array(query.X.toarray(), chunks=(40, 12))
    query.X = chunks.map_blocks(type(query.X))
    np.testing.assert_array_equal(model.get_latent_representation(query), expected)
