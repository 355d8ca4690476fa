"""Training with target and background of the same composition."""

import anndata
import numpy as np
import pandas as pd
import pytest
import scvi
from scipy import sparse

import scsalient as sal
from factories import QUIET, make_counts, make_model, make_standard
from scsalient.model._columns import strata_of


@pytest.fixture
def typed():
    """60 target and 40 background cells, of two types in other shares."""
    types = np.resize(["a", "a", "a", "b"], 100)
    types[60:] = np.resize(["a", "b", "b", "b"], 40)
    return make_counts(cell_type=types)


@pytest.mark.slow
def test_a_response_is_found_although_cell_types_differ_in_frequency():
    adata = sal.datasets.simulate(n_cells=1000, n_genes=150, n_cell_types=3, seed=1)
    is_target, types = adata.obs["condition"] == "treated", adata.obs["cell_type"]
    rare = (is_target & (types == "type0")) | (~is_target & (types == "type1"))
    kept = ~rare.to_numpy() | (np.random.default_rng([1, 5]).random(1000) < 0.15)
    adata = adata[kept].copy()
    found = {}
    for balance_keys in (None, "cell_type"):
        scvi.settings.seed = 1
        sal.ContrastiveVAE.setup_anndata(adata, "condition", "control")
        model = sal.ContrastiveVAE(adata, n_salient_latent=2)
        model.train(balance_keys=balance_keys, **QUIET)
        target = adata.obs["condition"] == "treated"
        latent = model.get_latent_representation(indices=target.to_numpy())
        labels = adata.obs.loc[target]
        found[balance_keys] = (
            sal.metrics.silhouette(latent, labels["response"]),
            sal.metrics.leakage(latent, labels["cell_type"]),
        )
    (plain, leaked), (balanced, left) = found.values()
    assert balanced > 0.5
    assert balanced > plain + 0.15
    assert left < 0.3 < leaked


def test_without_columns_nothing_changes_and_with_them_something(typed):
    latents = []
    for balance_keys in (None, "cell_type", np.array(["cell_type"])):
        scvi.settings.seed = 0
        model = make_model(typed)
        model.train(2, balance_keys=balance_keys, **QUIET)
        latents.append(model.get_latent_representation())
    assert not np.allclose(latents[0], latents[1])
    np.testing.assert_array_equal(latents[1], latents[2])


@pytest.mark.parametrize("kind", [pd.Categorical, list, lambda v: np.asarray(v) == "a"])
def test_columns_of_every_kind_count_alike(typed, kind):
    latents = []
    for values in (typed.obs["cell_type"].to_numpy(), kind(typed.obs["cell_type"])):
        typed.obs["made"] = values
        scvi.settings.seed = 0
        model = make_model(typed)
        model.train(1, balance_keys="made", **QUIET)
        latents.append(model.get_latent_representation())
    np.testing.assert_array_equal(*latents)


def test_several_columns_count_by_their_combinations(typed):
    typed.obs["one"] = np.resize(["x", "x", "y"], 100)
    strata, names = strata_of(typed, "balance_keys", ["one", "cell_type"], np.arange(90))
    assert set(names) == {("x", "a"), ("x", "b"), ("y", "a"), ("y", "b")}
    for cell in range(90):
        assert names[strata[cell]] == tuple(typed.obs[["one", "cell_type"]].iloc[cell])
    assert (strata[90:] == -1).all()
    make_model(typed).train(1, balance_keys=["one", "cell_type"], **QUIET)


def test_cells_of_neither_group_need_no_category(typed):
    typed.obs["condition"] = typed.obs["condition"].astype(str)
    typed.obs.iloc[:5, typed.obs.columns.get_loc("condition")] = "other"
    typed.obs["gap"] = typed.obs["cell_type"].astype(object)
    typed.obs.iloc[:5, typed.obs.columns.get_loc("gap")] = None
    model = make_model(typed, setup={"target": "treated"})
    model.train(1, balance_keys="gap", **QUIET)
    assert model.is_trained


def test_data_in_a_file(typed, tmp_path):
    typed.X = sparse.csr_matrix(typed.X)
    typed.write_h5ad(tmp_path / "typed.h5ad")
    backed = anndata.read_h5ad(tmp_path / "typed.h5ad", backed="r")
    model = make_model(backed)
    model.train(2, balance_keys="cell_type", batch_size=16, **QUIET)
    assert np.isfinite(model.get_latent_representation()).all()


def test_a_category_that_one_group_lacks_is_named(typed):
    types = typed.obs["cell_type"].astype(str).to_numpy()
    types[:10], types[60:70] = "tumour", "stroma"
    typed.obs["cell_type"] = types
    expected = r"no target cells of \['stroma'\] and no background cells of \['tumour'\]"
    with pytest.warns(UserWarning, match=expected):
        make_model(typed).train(1, balance_keys="cell_type", **QUIET)


def test_cells_that_would_come_all_the_time_are_named():
    adata = make_counts(300, 300)
    donors = np.repeat(["d2", "d1"], 300)
    donors[0], donors[300] = "d1", "d2"
    adata.obs["donor"] = donors
    expected = r"1 target cell of 'd1' 150 times, 1 background cell of 'd2' 150 times"
    with pytest.warns(UserWarning, match=expected):
        make_model(adata).train(1, balance_keys="donor", train_size=1.0, **QUIET)


def test_columns_that_cannot_be_balanced(typed):
    typed.obs["gap"] = typed.obs["cell_type"].where(np.arange(100) > 3)
    typed.obs["depth"] = np.linspace(0, 1, 100)
    cases = [
        ("nope", KeyError, "`balance_keys` should name columns of `adata.obs`, found 'nope'"),
        (3, TypeError, "`balance_keys` should be a column or a list of columns, found 3"),
        ([3], TypeError, "`balance_keys` should name columns of `adata.obs` by text, found 3"),
        ([], ValueError, "`balance_keys` should name columns of `adata.obs`, found none"),
        ("gap", ValueError, "'gap' should have a category for each .* found 4 missing"),
        ("depth", ValueError, "'depth' should hold categories, found 100 different numbers"),
        ("condition", ValueError, "found none: it coincides with the condition"),
    ]
    for keys, kind, message in cases:
        with pytest.raises(kind, match=message):
            make_model(typed).train(1, balance_keys=keys, **QUIET)


def test_a_standard_vae_has_no_groups(typed):
    with pytest.raises(ValueError, match="`balance_keys` .* found StandardVAE, which knows no"):
        make_standard(typed).train(1, balance_keys="cell_type", **QUIET)


def test_a_checkpoint_goes_on_with_the_same_columns(typed, tmp_path):
    path = tmp_path / "last.ckpt"
    typed.obs["half"] = np.resize(["x", "y"], 100)
    make_model(typed).train(1, balance_keys="cell_type", checkpoint_path=path, **QUIET)
    make_model(typed).train(2, balance_keys="cell_type", ckpt_path=path, **QUIET)
    for other in (None, "half"):
        with pytest.raises(ValueError, match="a training with other `balance_keys`"):
            make_model(typed).train(2, balance_keys=other, ckpt_path=path, **QUIET)
