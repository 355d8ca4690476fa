from __future__ import annotations

import re
import warnings

import numpy as np
import pandas as pd
import pytest
import scvi
from scipy import sparse
from scvi.model import SCVI

from factories import QUIET, make_counts, make_model, make_trained
from scsalient import ContrastiveVAE, StandardVAE
from scsalient.data import Role, resolve_roles

SETUP = ContrastiveVAE.setup_anndata


@pytest.mark.parametrize(
    ("args", "error", "message"),
    [
        (("nope", "control"), KeyError, "`condition_key` should name a column"),
        (("condition", "nope"), ValueError, "`background` should name categories"),
        (("condition", []), ValueError, "`background` should name at least one"),
        (("condition", ["control", "treated"]), ValueError, "no target cells are left"),
    ],
)
def test_bad_conditions(args, error, message):
    with pytest.raises(error, match=message):
        SETUP(make_counts(), *args)


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"target": "nope"}, ValueError, "`target` should name categories"),
        ({"target": "control"}, ValueError, "no category in common"),
        ({"layer": "nope"}, KeyError, "`layer` should name a layer"),
        ({"batch_key": "nope"}, KeyError, "`batch_key` should name columns"),
        ({"size_factor_key": "batch"}, ValueError, "should hold numbers"),
        ({"size_factor_key": "score"}, ValueError, "should be positive"),
        ({"categorical_covariate_keys": "batch"}, TypeError, "should be a list of columns"),
        ({"continuous_covariate_keys": ["nope"]}, KeyError, "`continuous_covariate_keys` should"),
    ],
)
def test_bad_columns(kwargs, error, message):
    with pytest.raises(error, match=message):
        SETUP(make_counts(), "condition", "control", **kwargs)


def test_missing_conditions_are_counted():
    adata = make_counts()
    adata.obs.loc[adata.obs_names[:3], "condition"] = np.nan
    with pytest.raises(ValueError, match="found 3 missing"):
        SETUP(adata, "condition", "control")


def test_category_of_another_type_gets_a_hint():
    adata = make_counts()
    adata.obs["dose"] = (adata.obs["condition"] == "treated").astype(int)
    with pytest.raises(ValueError, match=r"Did you mean \[0\] \(of type int\)"):
        SETUP(adata, "dose", "0")


def test_a_near_miss_gets_a_hint_and_another_name_what_to_do():
    adata = make_counts()
    for name in ("Control", "control ", "contol"):
        with pytest.raises(ValueError, match=r"found \['.*'\]. Did you mean 'control'\?$"):
            SETUP(adata, "condition", name)
    with pytest.raises(ValueError, match=r"found \['x'\]. Choose among these categories.$"):
        SETUP(adata, "condition", "x")
    with pytest.raises(KeyError, match=r"Did you mean 'condition'\?"):
        SETUP(adata, "Condition ", "control")
    with pytest.raises(KeyError, match=r"Did you mean 'batch'\?"):
        SETUP(adata, "condition", "control", batch_key="Batch")


def test_columns_of_scvi_tools_are_not_named():
    adata = make_counts()
    SETUP(adata, "condition", "control")
    assert "_scvi_role" in adata.obs
    for kwargs in ({"condition_key": "x"}, {"condition_key": "condition", "batch_key": "x"}):
        with pytest.raises(KeyError, match="which is not among") as error:
            SETUP(adata, background="control", **kwargs)
        assert "_scvi" not in str(error.value)


def test_views_are_refused():
    with pytest.raises(ValueError, match="found a view"):
        SETUP(make_counts()[:50], "condition", "control")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-1, "non-negative counts"),
        (0.5, "fractions such as 0.5"),
        (np.nan, "1 NaN or infinite value in cells 0 to 99, first in cell 'cell_5' and variable "),
        (np.inf, "and variable 'gene_5'. Remove or impute it first"),
    ],
)
@pytest.mark.parametrize("dense", [True, False])
def test_values_that_are_no_counts(value, message, dense):
    adata = make_counts()
    x = adata.X.toarray()
    x[5, 5] = value
    adata.X = x if dense else sparse.csr_matrix(x)
    with pytest.raises(ValueError, match=message):
        make_model(adata)


def test_empty_cells_are_refused_for_counts_only():
    adata = make_counts()
    x = adata.X.toarray()
    x[7] = 0
    adata.X = x
    with pytest.raises(ValueError, match="found 1 empty cell in `adata.X`. Remove it, "):
        make_model(adata)
    make_model(adata, likelihood="gaussian")


def test_bernoulli_wants_values_from_zero_to_one():
    with pytest.raises(ValueError, match="values from 0 to 1"):
        make_model(likelihood="bernoulli")


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"likelihood": "normal"}, "`likelihood` should be one of"),
        ({"n_salient_latent": 0}, "`n_salient_latent` should be an integer"),
        ({"dropout_rate": 1.0}, "`dropout_rate` should be a number in"),
        ({"use_bias": False, "use_batch_norm": True}, "`use_bias=False`"),
        ({"discriminator": "svm"}, "`discriminator` should be"),
        ({"network": "cnn"}, r"`network` should be one of \['dense', 'conv'\], found 'cnn'"),
        ({"network": "conv"}, "`likelihood` should be 'gaussian' or 'bernoulli', found 'nb'"),
        ({"mmd_weight": -1.0}, "`mmd_weight` should be a finite number"),
        ({"tc_weight": float("nan")}, "`tc_weight` should be a finite number"),
        ({"gaussian_variance": "free"}, "`gaussian_variance` should be one of"),
    ],
)
def test_bad_architecture(kwargs, message):
    with pytest.raises(ValueError, match=message):
        make_model(**kwargs)


def test_roles_follow_the_categories():
    adata = make_counts()
    adata.obs["group"] = np.resize(["a", "b", "c"], adata.n_obs)
    SETUP(adata, "group", "a", target=["b"])
    roles = ContrastiveVAE(adata).roles
    assert [roles.role_of(c) for c in ("a", "b", "c", "new")] == [
        Role.BACKGROUND,
        Role.TARGET,
        Role.NEITHER,
        Role.TARGET,
    ]
    expected = adata.obs["group"].map({"a": 0, "b": 1, "c": 2})
    np.testing.assert_array_equal(adata.obs["_scvi_role"], expected)


def test_cells_of_neither_group_stay_out_of_training_and_are_embedded():
    adata = make_counts(condition=["treated"] * 50 + ["other"] * 10 + ["control"] * 40)
    model = make_trained(adata, setup={"target": "treated"})
    used = np.concatenate([model.train_indices, model.validation_indices, model.test_indices])
    assert sorted(used) == [*range(50), *range(60, 100)]
    model.embed()
    assert np.isfinite(adata.obsm["X_cvae_salient"]).all()


def test_a_batch_that_coincides_with_the_condition_warns():
    adata = make_counts(batch=["x"] * 60 + ["y"] * 40)
    with pytest.warns(UserWarning, match=r"`batch_key` column 'batch' coincides.*\['x'\].*\['y'\]"):
        SETUP(adata, "condition", "control", batch_key="batch")


def test_a_covariate_that_coincides_with_the_condition_warns():
    adata = make_counts(score=np.r_[np.arange(60.0), np.arange(100.0, 140.0)])
    with pytest.warns(UserWarning, match="'score' coincides"):
        SETUP(adata, "condition", "control", continuous_covariate_keys=["score"])


def test_a_batch_with_both_groups_does_not_warn():
    SETUP(make_counts(), "condition", "control", batch_key="batch")


def test_few_cells_warn():
    with pytest.warns(UserWarning, match="Only 5 background cells"):
        SETUP(make_counts(n_background=5), "condition", "control")


@pytest.mark.filterwarnings("ignore:Only 1 background")
def test_a_single_background_cell_trains():
    model = make_trained(make_counts(n_background=1))
    assert np.isfinite(model.get_latent_representation()).all()


@pytest.mark.parametrize(
    "as_format",
    [
        lambda x: x.toarray(),
        lambda x: x.toarray().astype(np.int64),
        lambda x: x.astype(np.float64),
        lambda x: x.astype(np.int32),
        lambda x: np.asfortranarray(x.toarray()),
    ],
    ids=["dense", "int64", "float64", "csr_int32", "fortran"],
)
def test_matrix_formats_give_the_same_latents(as_format):
    adata = make_counts()
    other = adata.copy()
    other.X = as_format(adata.X)
    model = make_trained(adata)
    np.testing.assert_allclose(
        model.get_latent_representation(other), model.get_latent_representation(), atol=1e-5
    )


@pytest.mark.filterwarnings("ignore:Training will be faster")
def test_csc_trains():
    adata = make_counts()
    adata.X = sparse.csc_matrix(adata.X)
    assert make_trained(adata).is_trained


def test_backed_data_train_and_embed(tmp_path):
    import anndata

    path = tmp_path / "backed.h5ad"
    make_counts().write_h5ad(path)
    backed = anndata.read_h5ad(path, backed="r")
    model = make_trained(backed)
    in_memory = model.get_latent_representation(make_counts())
    np.testing.assert_allclose(model.get_latent_representation(), in_memory, atol=1e-5)


@pytest.mark.filterwarnings("ignore:Observation names are not unique")
@pytest.mark.filterwarnings("ignore:Variable names are not unique")
def test_duplicate_names_do_no_harm():
    adata = make_counts()
    adata.obs_names = ["cell"] * adata.n_obs
    model = make_trained(adata)
    model.embed()
    assert adata.obsm["X_cvae_salient"].shape == (100, 2)


@pytest.mark.parametrize("values", [pd.Categorical, np.asarray, list])
def test_condition_column_types(values):
    adata = make_counts()
    adata.obs["condition"] = values(adata.obs["condition"])
    assert make_model(adata).roles.background == ("control",)


def test_boolean_conditions():
    adata = make_counts()
    adata.obs["treated"] = (adata.obs["condition"] == "treated").to_numpy()
    SETUP(adata, "treated", False)
    assert (adata.obs["_scvi_role"] == adata.obs["treated"].astype(int)).all()


def test_a_second_registration_leaves_the_first_model_alone():
    def trained(*, disturb):
        scvi.settings.seed = 0
        adata = make_counts(three=np.resize(["x", "y", "z"], 100))
        model = make_model(adata)
        if disturb:
            ContrastiveVAE.setup_anndata(adata, "three", "x", batch_key="batch")
        model.train(3, **QUIET)
        if disturb:
            SCVI.setup_anndata(adata, batch_key="three")
        return model.generate(20).X, model.sweep(n_steps=3).X, model.get_latent_representation()

    for mine, theirs in zip(trained(disturb=True), trained(disturb=False), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_categories_may_be_renamed_later():
    adata = make_counts()
    adata.obs["condition"] = adata.obs["condition"].astype("category")
    model = make_trained(adata)
    adata.obs["condition"] = adata.obs["condition"].cat.rename_categories({"control": "untreated"})
    model.embed()
    assert list(adata.uns["cvae"]["background"]) == ["untreated"]
    assert list(adata.uns["cvae"]["target"]) == ["treated"]
    assert len(model.generate(3, role="background")) == 3
    StandardVAE.setup_anndata(adata)
    model.train(1, **QUIET)
    model.embed()
    assert list(adata.uns["cvae"]["background"]) == ["untreated"]


def test_a_changed_condition_is_not_embedded():
    adata = make_counts()
    model = make_trained(adata)
    adata.obs["condition"] = np.resize(["treated", "control"], 100)
    with pytest.raises(ValueError, match="should be as it was registered, found target and backg"):
        model.embed()


@pytest.mark.parametrize("names", [{"treated": "t", "control": "c"}, {"control": "c"}])
def test_data_with_other_categories_and_no_background(names, tmp_path):
    adata = make_counts()
    make_trained(adata).save(tmp_path / "model")
    renamed = adata.copy()
    renamed.obs["condition"] = renamed.obs["condition"].replace(names)
    with pytest.warns(UserWarning, match="were not registered and count as targets"):
        ContrastiveVAE.load(tmp_path / "model", adata=renamed, accelerator="cpu")


@pytest.mark.parametrize(
    ("column", "background"), [(np.arange(100) >= 60, 1), (np.repeat([2.0, 0.0], [60, 40]), 0)]
)
def test_roles_are_told_in_the_words_of_the_column(column, background):
    adata = make_counts(dose=column)
    ContrastiveVAE.setup_anndata(adata, "dose", background)
    model = ContrastiveVAE(adata, n_hidden=8)
    model.train(1, **QUIET)
    model.embed()
    told = adata.uns["cvae"]
    text = adata.obs["dose"].astype(str)
    assert text.isin(told["background"]).sum() == 40
    assert text.isin(told["target"]).sum() == 60


@pytest.mark.parametrize("cls", [ContrastiveVAE, StandardVAE])
def test_counts_are_not_gaussian(cls):
    adata = make_counts()
    adata.layers["log"] = np.log1p(adata.X.toarray())
    adata.layers["binary"] = (adata.X.toarray() > 3).astype(int)
    for layer, warns in ((None, True), ("log", False), ("binary", False)):
        columns = ("condition", "control") if cls is ContrastiveVAE else ()
        cls.setup_anndata(adata, *columns, layer=layer)
        for likelihood in ("gaussian", "nb") if layer is None else ("gaussian",):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                cls(adata, likelihood=likelihood)
            found = [w for w in caught if "look like raw counts" in str(w.message)]
            assert bool(found) is (warns and likelihood == "gaussian")
            assert all(w.filename == __file__ for w in found)


@pytest.mark.parametrize(("shift", "warns"), [(0.5, False), (1.5, True)])
def test_a_covariate_that_differs_much_between_the_groups_warns(shift, warns):
    rng = np.random.default_rng(0)
    adata = make_counts(score=rng.normal(size=100) + shift * (np.arange(100) < 60))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ContrastiveVAE.setup_anndata(
            adata, "condition", "control", continuous_covariate_keys=["score"]
        )
    found = any("'score' differs much between the groups" in str(w.message) for w in caught)
    assert found is warns


def test_cells_of_neither_role_do_not_hide_that_a_batch_coincides():
    adata = make_counts(60, 40)
    adata.obs["condition"] = np.repeat(["treated", "other", "control"], [40, 20, 40])
    adata.obs["batch"] = np.concatenate([["x"] * 40, ["x", "y"] * 10, ["y"] * 40])
    with pytest.warns(UserWarning, match="`batch_key` column 'batch' coincides"):
        ContrastiveVAE.setup_anndata(
            adata, "condition", "control", target=["treated"], batch_key="batch"
        )


def test_a_category_that_is_named_twice():
    adata = make_counts()
    assert resolve_roles(adata, "condition", ["control", "control"]).background == ("control",)


def test_the_advice_on_empty_cells_looks_at_the_layer():
    adata = make_counts(20, 20)
    adata.layers["counts"] = adata.X.toarray()
    adata.layers["counts"][3] = 0
    adata.X = sparse.csr_matrix(adata.X.toarray() - 3.0)
    with pytest.raises(ValueError, match="found 1 empty cell") as caught:
        make_model(adata, setup={"layer": "counts"})
    advice = re.search(r"`adata = (.*)`", str(caught.value)).group(1)
    left = eval(advice, {"adata": adata, "np": np})
    assert left.obs_names.tolist() == adata.obs_names.delete(3).tolist()


def test_a_batch_column_of_text_and_numbers():
    adata = make_counts()
    adata.obs["donor"] = pd.Series([1, 2, "3A", "4B"] * 25, index=adata.obs_names, dtype=object)
    expected = r"`batch_key` column 'donor' should hold values of one type, found numbers and .*str"
    with pytest.raises(ValueError, match=expected):
        make_model(adata, setup={"batch_key": "donor"})


@pytest.mark.parametrize("wrong", [np.nan, 0.0, np.inf])
def test_size_factors_that_have_changed(wrong):
    adata = make_counts()
    adata.obs["factor"] = np.asarray(adata.X.sum(1)).ravel()
    model = make_trained(adata, setup={"size_factor_key": "factor"})
    adata.obs["factor"] = wrong
    for ask in (model.get_elbo, model.denoise, lambda: model.train(1, **QUIET)):
        with pytest.raises(ValueError, match="`size_factor_key` column 'factor' should "):
            ask()


@pytest.mark.parametrize("key", ["batch", "kind"])
def test_loading_with_unknown_categories_names_the_column(tmp_path, key):
    adata = make_counts(kind=["x", "y"] * 50)
    setup = {"batch_key": "batch", "categorical_covariate_keys": ["kind"]}
    make_trained(adata, setup=setup).save(tmp_path / "model")
    other = adata.copy()
    other.obs[key] = "new"
    expected = rf"`adata.obs\['{key}'\]` should have categories that the model was trained on"
    with pytest.raises(ValueError, match=expected):
        ContrastiveVAE.load(tmp_path / "model", adata=other)


def test_generated_cells_keep_a_batch_called_role():
    adata = make_counts()
    adata.obs["role"] = adata.obs["batch"]
    model = make_trained(adata, setup={"batch_key": "role"})
    made = model.generate(10, role="background")
    assert set(made.obs["role"]) <= {"a", "b"}
    assert np.isfinite(model.get_latent_representation(made)).all()


def test_a_role_takes_the_place_of_no_condition():
    adata = make_counts()
    is_control = adata.obs["condition"] == "control"
    adata.obs["role"] = adata.obs["condition"].where(~is_control, "control " + adata.obs["batch"])
    SETUP(adata, "role", ["control a", "control b"])
    model = ContrastiveVAE(adata, n_salient_latent=2, n_hidden=8)
    model.train(1, **QUIET)
    # Which of the two they are is not known
    assert "role" not in model.generate(10, role="background").obs
    assert set(model.generate(10, role="target").obs["role"]) == {"treated"}
