"""Data that stay in a file."""

from __future__ import annotations

import anndata
import numpy as np
import pytest
import scvi
import zarr

from factories import QUIET, make_counts, make_model


def _h5ad(adata, path):
    adata.write_h5ad(path)
    return anndata.read_h5ad(path, backed="r")


def _zarr(adata, path):
    adata.write_zarr(path)
    stored = zarr.open(path, mode="r")
    lazy = anndata.AnnData(obs=adata.obs.copy(), var=adata.var.copy())
    lazy.X = anndata.io.sparse_dataset(stored["X"])
    return lazy


@pytest.mark.filterwarnings("ignore:Writing zarr v2 data:UserWarning")
@pytest.mark.parametrize("open_", [_h5ad, _zarr])
def test_a_model_trains_on_a_file_and_embeds_it(tmp_path, open_):
    in_memory = make_counts(n_target=120, n_background=90)
    stored = open_(in_memory, tmp_path / "data")
    scvi.settings.seed = 0
    model = make_model(stored)
    model.train(3, batch_size=16, **QUIET)
    assert np.isfinite(model.history["elbo_train"].to_numpy(dtype=float)).all()
    for kind in ("salient", "background"):
        latents = model.get_latent_representation(kind=kind, batch_size=50)
        expected = model.get_latent_representation(in_memory, kind=kind, batch_size=64)
        np.testing.assert_allclose(latents, expected, atol=1e-5)
    # Not in the order of the file, and one cell twice
    some = [-1, 7, 3, 100, 3]
    np.testing.assert_allclose(
        model.get_latent_representation(indices=some),
        model.get_latent_representation(in_memory)[some],
        atol=1e-5,
    )
    model.embed()
    assert stored.obsm["X_cvae_salient"].shape == (210, 2)


def test_a_file_trains_as_well_as_memory(tmp_path):
    in_memory = make_counts(n_target=200, n_background=200)
    elbos = []
    for adata in (in_memory, _h5ad(in_memory.copy(), tmp_path / "data")):
        scvi.settings.seed = 1
        model = make_model(adata)
        model.train(10, train_size=1.0, batch_size=32, **QUIET)
        elbos.append(model.get_elbo(in_memory, n_samples=20))
    assert elbos[0] == pytest.approx(elbos[1], rel=0.02)
