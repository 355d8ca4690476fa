from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scsalient import datasets


@pytest.fixture(scope="module")
def pbmc():
    return datasets.pbmc_response(seed=0)


def test_pbmc_are_integer_counts(pbmc):
    assert pbmc.shape == (700, 765)
    assert (pbmc.X.data == np.rint(pbmc.X.data)).all()
    assert pbmc.X.data.min() >= 0
    assert (pbmc.layers["counts"] != pbmc.X).nnz == 0
    assert pbmc.X.sum(1).min() > 0


def test_pbmc_groups_are_balanced(pbmc):
    table = pd.crosstab(pbmc.obs["response"], pbmc.obs["batch"])
    assert table.to_numpy().min() >= 87
    assert table.to_numpy().max() <= 176
    assert (table.max(axis=1) - table.min(axis=1) <= 1).all()
    treated = pbmc.obs["response"] != "control"
    assert (treated == (pbmc.obs["condition"] == "treated")).all()


def test_pbmc_planted_changes_are_the_ones_recorded(pbmc):
    x = pbmc.X.toarray()
    responder = (pbmc.obs["response"] == "responder").to_numpy()
    other = (pbmc.obs["response"] == "non-responder").to_numpy()
    genes = pbmc.var["response_gene"].to_numpy()
    mean = x.mean(0)
    seen = genes & (mean > 0.5)
    found = np.log(x[responder].mean(0)[seen] / x[other].mean(0)[seen])
    planted = pbmc.var["response_lfc"].to_numpy()[seen]
    assert np.corrcoef(found, planted)[0, 1] > 0.9
    assert genes.sum() == 60
    assert not (genes & pbmc.var["batch_gene"].to_numpy()).any()


def test_pbmc_without_effects_are_the_real_cells():
    plain = datasets.pbmc_response(effect=0, batch_effect=0, seed=1)
    other = datasets.pbmc_response(effect=0, batch_effect=0, seed=2)
    assert (plain.X != other.X).nnz == 0


def test_pbmc_follow_the_seed(pbmc):
    assert (datasets.pbmc_response(seed=0).X != pbmc.X).nnz == 0
    assert (datasets.pbmc_response(seed=1).X != pbmc.X).nnz > 0


def test_pbmc_bad_arguments():
    with pytest.raises(ValueError, match=r"`effect` should be a number in \[0, 10\], found -1"):
        datasets.pbmc_response(effect=-1)
    with pytest.raises(ValueError, match="`effect` should be a number"):
        datasets.pbmc_response(effect=np.nan)
    with pytest.raises(TypeError, match="`n_response_genes` should be an integer"):
        datasets.pbmc_response(n_response_genes=2.5)
    with pytest.raises(ValueError, match="should together be at most 765"):
        datasets.pbmc_response(n_response_genes=700)


def test_simulated_means_and_dispersion_match_theory():
    adata = datasets.simulate(
        20_000, n_genes=4, n_cell_types=1, n_batches=1, n_background_factors=0, effect=0,
        batch_effect=0, library_size=40, inverse_dispersion=3, seed=0,
    )  # fmt: skip
    x = adata.X.toarray()
    mean = x.mean(0)
    # The library is log-normal with a scale of 0.3.
    assert x.sum(1).mean() == pytest.approx(40 * np.exp(0.3**2 / 2), rel=4 * 0.6 / 20_000**0.5)
    library = np.exp(0.3**2) - 1
    variance = mean + mean**2 * ((1 + library) * (1 + 1 / 3) - 1)
    np.testing.assert_allclose(x.var(0), variance, rtol=0.08)


def test_simulated_response_is_in_responders_only():
    adata = datasets.simulate(3000, n_genes=200, effect=1.5, seed=0)
    x = adata.X.toarray()
    x = x / x.sum(1, keepdims=True)
    response, condition = adata.obs["response"], adata.obs["condition"]
    groups = [(response == g).to_numpy() for g in ("responder", "non-responder")]
    control = (condition == "control").to_numpy()
    lfc = adata.var["response_lfc"].to_numpy()
    changed = [np.log(x[g].mean(0) / x[control].mean(0)) for g in groups]
    assert np.corrcoef(changed[0], lfc)[0, 1] > 0.9
    assert abs(np.corrcoef(changed[1], lfc)[0, 1]) < 0.4
    assert (adata.obsm["true_salient"][~groups[0]] == 0).all()


def test_simulation_follows_the_seed_across_chunks():
    one = datasets.simulate(5000, n_genes=20, seed=3)
    two = datasets.simulate(5000, n_genes=20, seed=3)
    assert (one.X != two.X).nnz == 0
    assert one.X.format == "csr"


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"n_genes": 0}, "`n_genes` should be an integer of at least 1"),
        ({"target_fraction": 2}, r"`target_fraction` should be a number in \[0, 1\]"),
        ({"library_size": 0}, "`library_size` should be a finite number above 0"),
        ({"effect": np.nan}, "`effect` should be a finite number of at least 0"),
        ({"n_background_factors": -1}, "`n_background_factors` should be an integer of at least"),
    ],
)
def test_simulate_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        datasets.simulate(10, **kwargs)


def _write_kang(path, *, columns=("label", "cell_type", "replicate"), value=1.0):
    obs = pd.DataFrame({c: ["a", "b"] for c in columns}, index=["c1", "c2"])
    anndata.AnnData(sparse.csr_matrix([[value, 0.0], [2.0, 3.0]]), obs=obs).write_h5ad(path)


def test_kang_downloads_into_the_cache(tmp_path, monkeypatch):
    asked = {}

    def retrieve(url, known_hash, fname, path, progressbar):
        asked.update(url=url, progressbar=progressbar)
        path.mkdir(exist_ok=True)
        _write_kang(path / fname)
        return str(path / fname)

    monkeypatch.setattr("pooch.retrieve", retrieve)
    adata = datasets.kang_2018(cache_dir=tmp_path / "cache")
    assert adata.shape == (2, 2)
    assert asked == {"url": "https://figshare.com/ndownloader/files/34464122", "progressbar": True}


def test_kang_failed_download(tmp_path, monkeypatch):
    def retrieve(*args, **kwargs):
        raise ConnectionRefusedError

    monkeypatch.setattr("pooch.retrieve", retrieve)
    with pytest.raises(ConnectionError, match="pass `path=`"):
        datasets.kang_2018(cache_dir=tmp_path)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"columns": ("label",)}, r"found no \['cell_type', 'replicate'\]"),
        ({"value": 0.5}, "should hold raw counts"),
        ({"value": np.inf}, "should hold raw counts .* infinite"),
    ],
)
def test_kang_checks_what_arrived(tmp_path, monkeypatch, kwargs, message):
    _write_kang(tmp_path / "kang_2018.h5ad", **kwargs)
    monkeypatch.setattr("pooch.retrieve", lambda *a, **k: str(tmp_path / "kang_2018.h5ad"))
    with pytest.raises(ValueError, match=message):
        datasets.kang_2018(cache_dir=tmp_path)


def test_kang_removes_what_is_no_h5ad(tmp_path, monkeypatch):
    file = tmp_path / "kang_2018.h5ad"
    file.write_text("<html>sorry</html>")
    monkeypatch.setattr("pooch.retrieve", lambda *a, **k: str(file))
    with pytest.raises(ValueError, match=r"no \.h5ad file and was removed"):
        datasets.kang_2018(cache_dir=tmp_path)
    assert not file.exists()


def test_kang_reads_a_local_file(kang_subset):
    assert datasets.kang_2018(path=kang_subset).shape == (1556, 1267)


def test_kang_missing_local_file():
    with pytest.raises(FileNotFoundError, match="`path` should name"):
        datasets.kang_2018(path="nowhere.h5ad")


def test_a_download_that_is_locked_stays(tmp_path, monkeypatch):
    file = tmp_path / "kang_2018.h5ad"
    _write_kang(file)

    def locked(_):
        msg = "unable to lock file"
        raise BlockingIOError(11, msg)

    monkeypatch.setattr(anndata, "read_h5ad", locked)
    with pytest.raises(BlockingIOError):
        datasets.kang_2018(cache_dir=tmp_path)
    assert file.exists()


def test_simulated_cells_do_not_respond_to_nothing():
    adata = datasets.simulate(100, n_genes=20, effect=0.0, n_batches=3)
    assert set(adata.obs["response"]) == {"control", "non-responder"}
    assert not adata.obs["response_strength"].any()
    truth = adata.uns["truth"]
    assert (truth["n_cells"], truth["n_batches"], truth["responder_fraction"]) == (100, 3, 0.5)
