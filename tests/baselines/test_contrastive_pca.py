from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from anndata import AnnData
from scipy import sparse
from sklearn.decomposition import PCA

from factories import make_counts, make_trained
from scsalient import datasets
from scsalient.baselines import contrastive_pca
from scsalient.metrics import silhouette


def make_planted(seed: int = 0) -> AnnData:
    """Axis 0 is large in both groups; axis 1 splits the target cells in two."""
    rng = np.random.default_rng(seed)
    x = 0.1 * rng.normal(size=(300, 6))
    x[:, 0] += 3 * rng.normal(size=300)
    label = np.repeat([0, 1, 2], 100)
    x[label == 1, 1] += 2
    obs = pd.DataFrame(
        {"condition": np.where(label == 2, "control", "treated"), "label": label.astype(str)},
        index=[str(i) for i in range(300)],
    )
    return AnnData(x, obs=obs)


def test_alpha_zero_is_pca_of_the_target_cells():
    adata = make_planted()
    contrastive_pca(adata, "condition", "control", alpha=0)
    target = (adata.obs["condition"] == "treated").to_numpy()
    expected = PCA(2).fit_transform(adata.X[target])
    found = adata.obsm["X_cpca"][target]
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-5)


def test_agrees_with_a_full_eigendecomposition():
    adata = make_planted()
    contrastive_pca(adata, "condition", "control", alpha=1.7, n_components=3)
    target = (adata.obs["condition"] == "treated").to_numpy()
    contrast = np.cov(adata.X[target].T) - 1.7 * np.cov(adata.X[~target].T)
    values, vectors = np.linalg.eigh(contrast)
    np.testing.assert_allclose(adata.uns["cpca"]["eigenvalues"], values[::-1][:3], rtol=1e-6)
    overlap = np.abs(np.diag(adata.varm["cPCs"].T @ vectors[:, ::-1][:, :3]))
    np.testing.assert_allclose(overlap, 1, rtol=1e-6)


def test_auto_finds_what_pca_does_not():
    adata = make_planted()
    contrastive_pca(adata, "condition", "control", n_components=1)
    assert adata.uns["cpca"]["alpha"] > 0
    assert abs(adata.varm["cPCs"][1, 0]) > 0.95
    target = (adata.obs["condition"] == "treated").to_numpy()
    labels = adata.obs["label"][target]
    assert silhouette(adata.obsm["X_cpca"][target], labels) > 0.7
    contrastive_pca(adata, "condition", "control", n_components=1, alpha=0)
    assert silhouette(adata.obsm["X_cpca"][target], labels) < 0.1


def test_the_best_of_a_list_is_taken():
    adata = make_planted()
    contrastive_pca(adata, "condition", "control", alpha=[0, 10], n_components=1)
    assert adata.uns["cpca"]["alpha"] == 10
    assert len(adata.uns["cpca"]["candidates"]["score"]) == 2


def test_matrix_formats_agree():
    dense = make_planted()
    other = dense.copy()
    other.X = sparse.csc_matrix(dense.X)
    for adata in (dense, other):
        contrastive_pca(adata, "condition", "control", alpha=2)
    np.testing.assert_allclose(dense.obsm["X_cpca"], other.obsm["X_cpca"], atol=1e-6)


def test_counts_warn():
    adata = make_planted()
    adata.X = np.rint(np.abs(adata.X) * 100)
    with pytest.warns(UserWarning, match="looks like raw counts"):
        contrastive_pca(adata, "condition", "control", alpha=1)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"alpha": -1}, "`alpha` should be finite and not negative"),
        ({"alpha": "best"}, "`alpha` should be a number"),
        ({"alpha": []}, "`alpha` should have at least one candidate"),
        ({"n_components": 7}, r"`n_components` should be an integer from 1 to 6"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        contrastive_pca(make_planted(), "condition", "control", **kwargs)


def test_missing_values():
    adata = make_planted()
    adata.X[3, 3] = np.nan
    with pytest.raises(ValueError, match="1 NaN or infinite"):
        contrastive_pca(adata, "condition", "control", alpha=1)


def test_missing_values_are_named_among_all_genes():
    adata = make_planted()
    adata.var["highly_variable"] = np.arange(adata.n_vars) >= 3
    adata.X[3, 5] = np.nan
    with pytest.raises(ValueError, match=f"variable '{adata.var_names[5]}'"):
        contrastive_pca(adata, "condition", "control", alpha=1)


def test_a_model_is_no_data():
    with pytest.raises(TypeError, match="`adata` should be an AnnData"):
        contrastive_pca(make_trained(), "condition", "control")


@pytest.mark.parametrize(("argument", "used"), [(None, True), (True, True), (False, False)])
def test_whether_highly_variable_genes_were_used(argument, used):
    adata = make_planted()
    adata.var["highly_variable"] = True
    contrastive_pca(adata, "condition", "control", alpha=1, use_highly_variable=argument)
    assert adata.uns["cpca"]["params"]["use_highly_variable"] is used
    with pytest.raises(TypeError, match="`use_highly_variable` should be True or False"):
        contrastive_pca(adata, "condition", "control", alpha=1, use_highly_variable="no")


def test_on_kang_it_reaches_its_known_level(kang_subset):
    adata = sc.read_h5ad(kang_subset)
    adata = adata[adata.obs["sample_id"].isin(["ctrl101", "stim101", "ctrl107"])].copy()
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    sc.pp.highly_variable_genes(adata, n_top_genes=500)
    adata = adata[:, adata.var["highly_variable"]].copy()
    contrastive_pca(adata, "sample_id", "ctrl107", alpha=30)
    target = (adata.obs["sample_id"] != "ctrl107").to_numpy()
    found = silhouette(adata.obsm["X_cpca"][target], adata.obs["group_id"][target])
    assert found == pytest.approx(0.58, abs=0.02)


@pytest.mark.parametrize("values", [[True, None], ["True", "False"], [1.0, np.nan]])
def test_variable_genes_that_are_neither_true_nor_false(values):
    adata = make_planted()
    adata.var["highly_variable"] = np.resize(np.array(values, dtype=object), adata.n_vars)
    with pytest.raises(ValueError, match="should be true or false for every gene"):
        contrastive_pca(adata, "condition", "control", alpha=1.0)


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"seed": None}, TypeError, "`seed` should be an integer"),
        ({"seed": 2**32}, ValueError, "`seed` should be"),
        ({"n_clusters": "x"}, TypeError, "`n_clusters` should be an integer"),
        ({"key_added": "a/b"}, ValueError, "`key_added` should be a name for `.obsm`"),
        ({"key_added": None}, ValueError, "`key_added` should be a name for `.obsm`"),
    ],
)
def test_bad_arguments_leave_the_data_alone(kwargs, error, message):
    adata = make_counts()
    adata.X = adata.X.log1p()
    with pytest.raises(error, match=message):
        contrastive_pca(adata, "condition", "control", alpha=1.0, **kwargs)
    assert not adata.obsm
    assert not adata.varm


@pytest.mark.parametrize("alpha", [np.array(1.0), pd.Series([1.0])])
def test_alpha_in_an_array(alpha):
    adata = make_counts()
    adata.X = adata.X.log1p()
    contrastive_pca(adata, "condition", "control", alpha=alpha)
    assert adata.uns["cpca"]["alpha"] == 1.0


def test_outlying_cells_leave_few_contrasts_to_choose_among():
    adata = datasets.simulate(300, n_genes=60, seed=0)
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    # Warnings are errors: here there is none
    contrastive_pca(adata, "condition", "control")
    cells = np.flatnonzero(adata.obs["condition"] == "treated")[:4]
    values = adata.X.toarray()
    values[cells, :30] += 6
    adata.X = values
    with pytest.warns(UserWarning, match="of 41 contrasts, clusters .* Look for outliers"):
        contrastive_pca(adata, "condition", "control")
