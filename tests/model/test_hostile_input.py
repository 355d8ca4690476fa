"""What people pass by mistake: each case ends in a message that says what to do."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData, read_h5ad
from lightning.pytorch.callbacks import Timer
from scipy import sparse

from factories import QUIET, make_counts, make_model, make_trained
from scsalient import ContrastiveVAE, StandardVAE

SETUP = partial(ContrastiveVAE.setup_anndata, condition_key="condition", background="control")


@pytest.fixture(scope="module")
def trained():
    adata = make_counts(kit=np.resize(["v2", "v2", "v3"], 100))
    return make_trained(adata, setup={"batch_key": "batch", "categorical_covariate_keys": ["kit"]})


def query(**obs):
    return make_counts(seed=1, **({"kit": "v2"} | obs))


@pytest.mark.parametrize("adata", [None, "cells.h5ad", make_counts().to_df()])
@pytest.mark.parametrize("setup", [SETUP, StandardVAE.setup_anndata])
def test_what_is_no_anndata(adata, setup):
    with pytest.raises(TypeError, match="`adata` should be an AnnData, found"):
        setup(adata)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (None, ValueError, r"values in `adata.X`, found shape \(100, 0\) and no values"),
        (np.ones((100, 0)), ValueError, r"found shape \(100, 0\)"),
        (np.full((100, 3), "a", dtype=object), TypeError, "`adata.X` should hold real numbers"),
        (np.ones((100, 3), dtype=complex), TypeError, "found values of type complex128"),
    ],
)
def test_what_is_no_matrix_of_numbers(x, error, message):
    with pytest.raises(error, match=message):
        SETUP(AnnData(x, obs=make_counts().obs))


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"condition_key": ["condition"]}, KeyError, "`condition_key` should name a column"),
        ({"condition_key": None}, KeyError, "`condition_key` should name a column"),
        ({"background": {"control": 1}}, TypeError, "`background` should be a category"),
        ({"background": [["control"]]}, TypeError, "`background` should be a category"),
        ({"batch_key": ["batch"]}, TypeError, r"`batch_key` .* by text, found \['batch'\]"),
        (
            {"categorical_covariate_keys": ["batch", "batch"]},
            ValueError,
            r"name each column once, found \['batch'\]",
        ),
        ({"layer": 3}, KeyError, "`layer` should name a layer"),
        ({"batch": "batch"}, TypeError, r"has no arguments \['batch'\]"),
    ],
)
def test_wrong_setup(kwargs, error, message):
    with pytest.raises(error, match=message):
        SETUP(make_counts(), **kwargs)


def test_covariates_may_come_in_a_tuple():
    assert make_trained(setup={"categorical_covariate_keys": ("batch",)}).is_trained


def test_columns_of_one_name():
    adata = make_counts()
    adata.obs = pd.concat([adata.obs, adata.obs[["batch"]]], axis=1)
    with pytest.raises(ValueError, match="found several called 'batch'"):
        SETUP(adata, batch_key="batch")


def test_a_warning_does_not_list_hundreds_of_batches():
    adata = make_counts(batch=[f"b{i}" for i in range(100)])
    with (
        pytest.warns(UserWarning, match=r"'... 52 more'\] have only target cells"),
        pytest.warns(UserWarning, match="fewer than 3 cells"),
    ):
        SETUP(adata, batch_key="batch")


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"n_salient_latent": 2.5}, "`n_salient_latent` should be an integer"),
        ({"n_salient_latent": "a"}, "`n_salient_latent` should be an integer"),
        ({"n_hidden": True}, "`n_hidden` should be an integer"),
        ({"tc_weight": "a"}, "`tc_weight` should be a finite number"),
        ({"mmd_weight": None}, "`mmd_weight` should be a finite number"),
        ({"dropout_rate": "a"}, "`dropout_rate` should be a number"),
        ({"use_bias": "no"}, "`use_bias` should be True or False"),
        ({"use_batch_norm": None}, "`use_batch_norm` should be True or False"),
        ({"use_layer_norm": "auto"}, "`use_layer_norm` should be True or False"),
        ({"n_layers_encoder": 1.5}, "`n_layers_encoder` should be an integer"),
    ],
)
def test_arguments_of_the_wrong_type(kwargs, message):
    with pytest.raises(TypeError, match=message):
        make_model(**kwargs)


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"train_size": 2}, ValueError, r"`train_size` should be a number in \(0, 1\]"),
        ({"train_size": "a"}, TypeError, "`train_size` should be a number"),
        ({"validation_size": "a"}, TypeError, "`validation_size` should be a number"),
        ({"batch_size": 2.5}, TypeError, "`batch_size` should be an integer"),
        ({"batch_size": None}, TypeError, "`batch_size` should be an integer"),
        ({"max_epochs": 2.5}, TypeError, "`max_epochs` should be an integer"),
        ({"early_stopping": "yes"}, TypeError, "`early_stopping` should be True or False"),
        ({"plan_kwargs": {"learning_rate": 1}}, TypeError, "`plan_kwargs` .*'lr'.*learning_rate"),
        (
            {"plan_kwargs": {"lr_patience": 1}},
            TypeError,
            "no `lr_patience` here. Only `StandardVAE",
        ),
        ({"plan_kwargs": [1]}, TypeError, "`plan_kwargs` should be a dict"),
        ({"plan_kwargs": {"lr": -1}}, ValueError, "`lr` should be a finite number above 0"),
        ({"plan_kwargs": {"kl_warmup": 2}}, ValueError, r"`kl_warmup` .* in \[0, 1\]"),
        ({"plan_kwargs": {"penalty_warmup": "a"}}, TypeError, "`penalty_warmup` should be"),
    ],
)
def test_wrong_training(kwargs, error, message):
    with pytest.raises(error, match=message):
        make_model().train(**({"max_epochs": 1} | QUIET | kwargs))


@pytest.mark.filterwarnings("ignore:Only [68]")
def test_batches_of_one_cell_train():
    assert make_trained(make_counts(8, 6), train={"batch_size": 1}).is_trained


def test_divergence_is_told():
    model = make_model(likelihood="gaussian")
    with pytest.raises(RuntimeError, match="Training diverged"):
        model.train(5, plan_kwargs={"lr": 1e12}, **QUIET)
    assert not model.is_trained


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a[:, :8].copy(), r"found 4 of 12 missing: \['gene_10', 'gene_11', 'gene_8'"),
        (lambda a: a[:, ::-1].copy(), "another order. Take `adata\\[:, names"),
    ],
)
def test_query_data_with_other_variables(trained, change, message):
    with pytest.raises(ValueError, match=message):
        trained.get_latent_representation(change(query()))


def test_query_data_with_more_variables_as_the_message_says(trained):
    more = make_counts(n_vars=15, kit="v2")
    with pytest.raises(ValueError, match="found others too"):
        trained.embed(more)
    assert "X_cvae_salient" not in more.obsm
    fewer = more[:, trained.get_var_names()].copy()
    trained.embed(fewer)
    assert fewer.obsm["X_cvae_salient"].shape == (100, 2)


@pytest.mark.parametrize(
    ("obs", "message"),
    [
        ({"batch": "zz"}, r"`adata.obs\['batch'\]` .* \['a', 'b'\], found \['zz'\]"),
        ({"kit": "v9"}, r"`adata.obs\['kit'\]` .* \['v2', 'v3'\], found \['v9'\]"),
        ({"batch": [None] * 3 + ["a"] * 97}, "'batch' should have a value .* found 3 missing"),
        ({"condition": [None] * 3 + ["control"] * 97}, "`condition_key` .* found 3 missing"),
    ],
)
def test_query_data_with_other_categories(trained, obs, message):
    with pytest.raises(ValueError, match=message):
        trained.get_latent_representation(query(**obs))


@pytest.mark.parametrize("key", ["batch", "kit"])
def test_query_data_with_a_category_that_had_no_cells(key):
    categories = ["a", "b", "never"]
    adata = make_counts(kit=pd.Categorical(["a", "b"] * 50, categories))
    adata.obs["batch"] = adata.obs["batch"].astype(pd.CategoricalDtype(categories))
    setup = {"batch_key": "batch", "categorical_covariate_keys": ["kit"]}
    model = make_trained(adata, setup=setup)
    new = adata.copy()
    new.obs.loc[new.obs_names[:5], key] = "never"
    with pytest.raises(
        ValueError, match=rf"'{key}'\]. .* trained on, \['a', 'b'\], found \['never'\]"
    ):
        model.embed(new)


def test_a_column_may_be_batch_and_covariate():
    setup = {"batch_key": "batch", "categorical_covariate_keys": ["kit", "batch"]}
    model = make_trained(make_counts(kit=["v2", "v3"] * 50), setup=setup)
    model.embed(query())
    with pytest.raises(ValueError, match=r"'batch'\]. .* \['a', 'b'\], found \['zz'\]"):
        model.embed(query(batch="zz"))


@pytest.mark.parametrize("column", ["batch", "kit", "condition"])
def test_query_data_without_a_column(trained, column):
    adata = query()
    del adata.obs[column]
    with pytest.raises(KeyError, match=f"found '{column}', which is not among"):
        trained.get_latent_representation(adata)


def test_query_data_that_are_no_anndata(trained):
    with pytest.raises(TypeError, match="`adata` should be an AnnData, found csr_matrix"):
        trained.get_latent_representation(sparse.csr_matrix(np.ones((3, 12))))


@pytest.mark.parametrize("indices", ["a", [0.5], [], 5, np.zeros(100, dtype=bool)])
def test_indices_that_are_none(trained, indices):
    with pytest.raises(ValueError, match="`indices` .* at least one cell, found"):
        trained.get_latent_representation(indices=indices)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: m.get_latent_representation(batch_size=0), ValueError, "`batch_size` should"),
        (lambda m: m.get_latent_representation(n_samples="a"), TypeError, "`n_samples` should"),
        (lambda m: m.get_elbo(n_samples=0), ValueError, "`n_samples` should"),
        (lambda m: m.denoise(library_size=None), ValueError, "`library_size` should"),
        (lambda m: m.denoise(library_size=np.inf), ValueError, "`library_size` .* found inf"),
        (lambda m: m.sweep(limits=1), ValueError, "`limits` should be two finite numbers"),
        (lambda m: m.sweep(limits=("a", "b")), ValueError, "`limits` should be two"),
        (lambda m: m.sweep(n_steps=2.5), TypeError, "`n_steps` should be an integer"),
        (lambda m: m.generate(2, give_mean="no"), TypeError, "`give_mean` should be True or False"),
        (lambda m: m.get_elbo(return_mean="no"), TypeError, "`return_mean` should be True or"),
        (lambda m: m.get_latent_representation(give_mean=1), TypeError, "`give_mean` should be"),
        (lambda m: m.get_latent_representation(return_dist="a"), TypeError, "`return_dist`"),
        (lambda m: m.denoise(library_size=np.ones(3)), ValueError, "`library_size` .* found array"),
        (lambda m: m.evidence(seed=-1), ValueError, "`seed` should be an integer"),
        (lambda m: m.generate(2.5), TypeError, "`n` should be an integer"),
        (lambda m: m.generate(True), TypeError, "`n` should be an integer .* found True"),
    ],
)
def test_wrong_requests(trained, call, error, message):
    with pytest.raises(error, match=message):
        call(trained)


def test_nothing_is_changed_in_the_data():
    adata = make_counts(n_vars=20)
    adata.layers["counts"] = adata.X.copy()
    adata.raw = adata.copy()
    before = adata.copy()
    make_trained(adata, setup={"batch_key": "batch", "layer": "counts"}).embed()
    assert (adata.X != before.X).nnz == 0
    assert (adata.layers["counts"] != before.layers["counts"]).nnz == 0
    pd.testing.assert_frame_equal(adata.obs[before.obs.columns], before.obs)
    pd.testing.assert_frame_equal(adata.var, before.var)
    new = set(adata.obs) - set(before.obs)
    assert all(column.startswith("_scvi_") for column in new)


def test_columns_in_a_file(tmp_path):
    adata = make_counts()
    adata.X = sparse.csc_matrix(adata.X)
    adata.write_h5ad(tmp_path / "csc.h5ad")
    backed = read_h5ad(tmp_path / "csc.h5ad", backed="r")
    with pytest.raises(TypeError, match=r"`adata.X` in a file should be .* adata.to_memory\(\)`"):
        SETUP(backed)
    adata = backed.to_memory()
    adata.X = adata.X.tocsr()
    SETUP(adata)


def test_a_view_of_a_file(tmp_path):
    make_counts().write_h5ad(tmp_path / "cells.h5ad")
    view = read_h5ad(tmp_path / "cells.h5ad", backed="r")[:80]
    with pytest.raises(ValueError, match=r"Run `adata = adata.to_memory\(\)` first"):
        SETUP(view)
    SETUP(view.to_memory())


@pytest.mark.parametrize("as_list", [pd.Categorical, pd.array, np.asarray, pd.Index])
def test_lists_of_other_types(as_list):
    adata = make_counts(kit="v2")
    ContrastiveVAE.setup_anndata(
        adata,
        "condition",
        as_list(["control"]),
        target=as_list(["treated"]),
        categorical_covariate_keys=np.array(["kit"]),
        continuous_covariate_keys=pd.Index(["score"]),
    )
    model = ContrastiveVAE(adata, n_hidden=8)
    model.train(1, callbacks=None, **QUIET)
    assert model.roles.target == ("treated",)
    model.train(1, callbacks=Timer(), **QUIET)


@pytest.mark.parametrize("precision", ["64-true", "bf16-true", "16-true", 64])
def test_precision_of_the_weights(precision):
    with pytest.raises(ValueError, match="`precision` should be one of"):
        make_model().train(1, precision=precision, **QUIET)


def test_values_that_changed_before_training():
    model = make_model()
    model.adata.X = np.log1p(model.adata.X)
    with pytest.raises(ValueError, match="integer"):
        model.train(1, **QUIET)


def test_a_model_without_data(tmp_path):
    make_trained().save(tmp_path / "model")
    model = ContrastiveVAE.load(tmp_path / "model", adata=False, accelerator="cpu")
    for call in (model.embed, model.get_latent_representation, model.get_elbo, model.denoise):
        with pytest.raises(ValueError, match="`adata` is needed, for the model was loaded without"):
            call()
    for call in (partial(model.train, 1, **QUIET), model.evidence):
        with pytest.raises(ValueError, match="`adata` is needed"):
            call()
