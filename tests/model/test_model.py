from __future__ import annotations

import pickle
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import scvi
import torch
from anndata import read_h5ad
from lightning.pytorch.callbacks import Callback
from scipy import sparse

from factories import QUIET, make_counts, make_model, make_standard, make_trained
from scsalient import ContrastiveVAE, StandardVAE, metrics


@pytest.fixture(scope="module")
def trained():
    return make_trained(max_epochs=3, setup={"batch_key": "batch"})


def test_embed_writes_both_latents_and_the_roles(trained):
    adata = trained.adata
    trained.embed()
    np.testing.assert_array_equal(adata.obsm["X_cvae_salient"], trained.get_latent_representation())
    np.testing.assert_array_equal(
        adata.obsm["X_cvae_background"], trained.get_latent_representation(kind="background")
    )
    assert adata.uns["cvae"] == {
        "condition_key": "condition",
        "background": ["control"],
        "target": ["treated"],
    }


def test_embed_other_data_leaves_the_models_own_alone(trained):
    query = make_counts(seed=1)
    trained.embed(query)
    assert query.obsm["X_cvae_salient"].shape == (100, 2)


def test_a_condition_that_is_new_in_query_data_is_a_target(trained):
    query = make_counts(condition=["new"] * 60 + ["control"] * 40)
    trained.embed(query)
    assert query.uns["cvae"]["target"] == ["new"]


def test_query_data_are_checked(trained):
    query = make_counts()
    query.X = query.X * 0.5
    with pytest.raises(ValueError, match="fractions such as"):
        trained.get_latent_representation(query)


def test_posterior_draws_are_independent_and_match_the_posterior(trained):
    n = 400
    draws = trained.get_latent_representation(give_mean=False, n_samples=n)
    mean, variance = trained.get_latent_representation(return_dist=True)
    assert draws.shape == (n, *mean.shape)
    assert not np.isclose(draws[0], draws[1]).any()
    z = (draws.mean(0) - mean) / np.sqrt(variance / n)
    assert np.abs(z).max() < 5
    np.testing.assert_allclose((draws.var(0) / variance).mean(), 1, rtol=0.03)


def test_five_draws_differ(trained):
    draws = trained.get_latent_representation(give_mean=False, n_samples=5)
    for i in range(5):
        for j in range(i):
            assert not np.isclose(draws[i], draws[j]).all(axis=1).any()


def test_draws_follow_the_seed(trained):
    scvi.settings.seed = 7
    one = trained.get_latent_representation(give_mean=False)
    two = trained.get_latent_representation(give_mean=False)
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"kind": "noise"}, "`kind` should be"),
        ({"n_samples": 0, "give_mean": False}, "`n_samples` should be an integer of at least 1"),
        ({"n_samples": 2}, "asks for draws from the posterior"),
        ({"indices": [1000]}, "`indices` should lie between"),
        ({"indices": np.ones(3, dtype=bool)}, "`indices` as a mask"),
    ],
)
def test_bad_requests_for_latents(trained, kwargs, message):
    with pytest.raises(ValueError, match=message):
        trained.get_latent_representation(**kwargs)


def test_indices_and_masks_agree(trained):
    mask = (trained.adata.obs["condition"] == "control").to_numpy()
    whole = trained.get_latent_representation()
    by_mask = trained.get_latent_representation(indices=mask)
    np.testing.assert_allclose(by_mask, whole[mask], atol=1e-5)


def test_untrained_models_warn():
    with pytest.warns(UserWarning, match="[Tt]rain"):
        make_model().get_latent_representation()


def test_same_seed_same_latents():
    def latents():
        scvi.settings.seed = 11
        return make_trained().get_latent_representation()

    np.testing.assert_array_equal(latents(), latents())


def test_save_and_load_round_trip(trained, tmp_path):
    trained.save(str(tmp_path / "model"))
    loaded = ContrastiveVAE.load(str(tmp_path / "model"), adata=trained.adata, accelerator="cpu")
    assert loaded.roles == trained.roles
    for kind in ("salient", "background"):
        np.testing.assert_array_equal(
            loaded.get_latent_representation(kind=kind),
            trained.get_latent_representation(kind=kind),
        )


def test_load_in_another_process(tmp_path):
    model = make_trained()
    expected = model.get_latent_representation()
    model.save(str(tmp_path / "model"), save_anndata=True)
    script = (
        "import sys, numpy as np\n"
        "from scsalient import ContrastiveVAE\n"
        "m = ContrastiveVAE.load(sys.argv[1], accelerator='cpu')\n"
        "assert m.roles.background == ('control',), m.roles\n"
        "np.save(sys.argv[2], m.get_latent_representation())\n"
    )
    out = tmp_path / "latents.npy"
    command = [sys.executable, "-c", script, str(tmp_path / "model"), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.load(out), expected, atol=1e-6)


def test_repr_names_roles_and_sizes(trained, capsys):
    print(trained)
    text = capsys.readouterr().out + repr(trained)
    for part in ("2 salient", "3 background", "'condition'", "60 target", "40 background"):
        assert part in text


@pytest.mark.parametrize("likelihood", ["gaussian", "poisson", "nb", "zinb"])
def test_every_likelihood_trains_and_the_elbo_rises(likelihood):
    scvi.settings.seed = 0
    model = make_trained(likelihood=likelihood, max_epochs=60)
    history = model.history["elbo_train"].to_numpy(dtype=float).ravel()
    assert np.isfinite(history).all()
    assert history[-5:].mean() < history[5:10].mean()


def test_bernoulli_trains():
    adata = make_counts()
    adata.X = (adata.X > 3).astype(np.float32)
    assert np.isfinite(make_trained(adata, likelihood="bernoulli").get_elbo())


def test_elbo_is_likelihood_minus_divergence(trained):
    z_mean, z_var = trained.get_latent_representation(kind="background", return_dist=True)
    kl = 0.5 * (z_mean**2 + z_var - np.log(z_var) - 1).sum(1)
    background = (trained.adata.obs["condition"] == "control").to_numpy()
    scvi.settings.seed = 3
    elbo = trained.get_elbo(return_mean=False)
    assert elbo.shape == (100,)
    error = trained.get_reconstruction_error(return_mean=False)
    np.testing.assert_allclose((-error - elbo)[background], kl[background], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "setup",
    [
        {"batch_key": "batch"},
        {"categorical_covariate_keys": ["batch"]},
        {"continuous_covariate_keys": ["score"]},
    ],
)
def test_covariates_reach_encoders_and_decoder(setup):
    adata = make_counts()
    model = make_trained(adata, setup=setup)
    changed = adata.copy()
    changed.obs["batch"] = np.where(adata.obs["batch"] == "a", "b", "a")
    changed.obs["score"] = adata.obs["score"] + 3
    for kind in ("salient", "background"):
        one = model.get_latent_representation(kind=kind)
        assert np.abs(one - model.get_latent_representation(changed, kind=kind)).max() > 1e-3
    one, other = (model.denoise(a, keep="background") for a in (adata, changed))
    assert np.abs(one - other).max() > 1e-3


def test_size_factor_replaces_the_library():
    adata = make_counts(depth=np.linspace(0.5, 2, 100))
    model = make_trained(adata, setup={"size_factor_key": "depth"})
    one = model.denoise(library_size="observed", keep="background")
    of_one = float(adata.X.sum()) / np.linspace(0.5, 2, 100).sum()
    twice = model.denoise(library_size=of_one, keep="background")
    np.testing.assert_allclose(one, twice * np.linspace(0.5, 2, 100)[:, None], rtol=1e-4)


def test_denoise_decodes_with_the_other_latent_at_zero(trained):
    s = torch.as_tensor(trained.get_latent_representation())
    background = (trained.adata.obs["condition"] == "control").to_numpy()
    s[torch.tensor(background)] = 0
    codes = torch.as_tensor((trained.adata.obs["batch"] == "b").to_numpy(dtype=int))[:, None]
    from scsalient.nn import Covariates

    with torch.no_grad():
        outputs = trained.module.decode({"salient": s}, Covariates((codes,)))
        expected = trained.module.likelihood.expected(outputs, torch.full((100, 1), 1e4))
    np.testing.assert_allclose(trained.denoise(), expected, rtol=1e-4, atol=1e-3)


def test_denoise_difference_of_background_cells_is_zero(trained):
    background = (trained.adata.obs["condition"] == "control").to_numpy()
    difference = trained.denoise(method="difference")
    np.testing.assert_allclose(difference[background], 0, atol=1e-2)
    assert np.abs(difference[~background]).max() > 1


def test_denoise_in_another_batch(trained):
    in_a, in_b = trained.denoise(batch="a"), trained.denoise(batch="b")
    own = trained.denoise()
    is_a = (trained.adata.obs["batch"] == "a").to_numpy()
    np.testing.assert_allclose(own, np.where(is_a[:, None], in_a, in_b), rtol=1e-4, atol=1e-3)
    with pytest.raises(ValueError, match="`batch` should be one of"):
        trained.denoise(batch="z")


@pytest.mark.filterwarnings("ignore:Trying to query inferred values from an untrained model")
@pytest.mark.parametrize("make", [make_model, make_standard])
def test_sweep_of_a_single_latent(make):
    name = "n_salient_latent" if make is make_model else "n_latent"
    swept = make(**{name: 1}).sweep(n_steps=3)
    assert swept.n_obs == 3


def test_sweep_covers_the_grid(trained):
    grid = trained.sweep(limits=(-1, 1), n_steps=3)
    assert grid.shape == (9, 12)
    np.testing.assert_array_equal(grid.obs["salient_0"], np.repeat([-1, 0, 1], 3))
    np.testing.assert_array_equal(grid.obs["salient_1"], np.tile([-1, 0, 1], 3))
    assert list(grid.var_names) == list(trained.adata.var_names)
    np.testing.assert_allclose(grid.X.sum(1), 1e4, rtol=1e-4)
    with pytest.raises(ValueError, match="`dims` should be an integer from 0 to 1, found 5"):
        trained.sweep(dims=(0, 5))
    with pytest.raises(ValueError, match="`dims` should be distinct"):
        trained.sweep(dims=(1, 1))
    for dims in ([True], [0.0]):
        with pytest.raises(TypeError, match="`dims` should be an integer"):
            trained.sweep(dims=dims)
    for limits in ((1, 1), (2, 1), (0, np.inf)):
        with pytest.raises(ValueError, match="`limits` should be two finite numbers that rise"):
            trained.sweep(limits=limits)
    near = trained.sweep(dims=[0], limits=iter((1e6, 1e6 + 0.1)), n_steps=5)
    assert near.obs["salient_0"].nunique() == 5


def test_new_cells_have_columns_and_variables_as_the_data():
    adata = make_counts(plate=np.resize([1, 2], 100))
    adata.obs["batch"] = adata.obs["batch"].astype("category")
    adata.var["symbol"] = [f"symbol_{i}" for i in range(adata.n_vars)]
    for key, batch in (("batch", "b"), ("plate", 1.0), ("plate", True)):
        model = make_trained(adata, setup={"batch_key": key})
        made = model.generate(4, batch=batch)
        assert made.obs[key].dtype == model.generate(4).obs[key].dtype == adata.obs[key].dtype
        assert made.obs[key].tolist() == [batch] * 4
        pd.testing.assert_frame_equal(made.var, adata.var)
        assert model.get_latent_representation(made[:, adata.var_names]).shape == (4, 2)


def test_new_cells_can_be_asked_about():
    adata = make_counts()
    adata.layers["counts"] = adata.X.copy()
    model = make_trained(adata, setup={"layer": "counts"})
    made = model.generate(4, role="background")
    assert made.obs["condition"].tolist() == ["control"] * 4
    assert model.get_latent_representation(made).shape == (4, 2)
    assert model.get_latent_representation(model.generate(4)).shape == (4, 2)


def test_new_cells_of_a_batch_have_its_totals_and_say_what_they_were_given():
    adata = make_counts(plate=np.tile(["p", "q", "q"], 100)[:100])
    thin = (adata.obs["batch"] == "a").to_numpy()
    adata.X = sparse.csr_matrix(adata.X.toarray() * np.where(thin, 1, 50)[:, None])
    setup = {"batch_key": "batch", "categorical_covariate_keys": ["plate"]}
    model = make_trained(adata, setup=setup)
    totals = np.asarray(adata.X.sum(1)).ravel()
    for batch, theirs in (("a", totals[thin]), ("b", totals[~thin])):
        made = model.generate(50, batch=batch)
        assert theirs.min() / 3 < np.asarray(made.X.sum(1)).mean() < theirs.max() * 3
        assert set(made.obs["batch"]) == {batch}
        assert set(made.obs["plate"]) == {"p", "q"}
        assert list(made.obs) == ["batch", "plate", "role", "condition"]
    assert set(model.generate(50).obs["batch"]) == {"a", "b"}


def test_generate_draws_counts_with_the_libraries_of_the_data(trained):
    scvi.settings.seed = 0
    made = trained.generate(500)
    assert made.shape == (500, 12)
    assert (made.X == np.rint(made.X)).all()
    target = trained.adata[trained.adata.obs["condition"] == "treated"]
    assert made.X.sum(1).mean() == pytest.approx(target.X.sum(1).mean(), rel=0.15)
    assert made.obsm["X_cvae_salient"].shape == (500, 2)
    assert set(made.obs["role"]) == {"target"}


def test_generated_background_has_no_salient_part(trained):
    made = trained.generate(5, role="background", give_mean=True)
    assert "X_cvae_salient" not in made.obsm
    with pytest.raises(ValueError, match="`role` should be"):
        trained.generate(5, role="other")


def test_generate_does_not_disturb_the_global_generator(trained):
    scvi.settings.seed = 5
    expected = torch.rand(3)
    scvi.settings.seed = 5
    trained.generate(4)
    torch.testing.assert_close(torch.rand(3), expected)


def test_salient_latents_find_a_strong_response_that_background_latents_lack():
    scvi.settings.seed = 0
    adata = make_counts(n_target=200, n_background=150, n_vars=20)
    model = make_trained(adata, max_epochs=200, train={"batch_size": 64})
    target = (adata.obs["condition"] == "treated").to_numpy()
    response = adata.obs["response"].to_numpy()[target]
    from sklearn.metrics import silhouette_score

    salient = model.get_latent_representation(indices=target)
    background = model.get_latent_representation(indices=target, kind="background")
    assert silhouette_score(salient, response) > 0.4
    assert silhouette_score(background, response) < 0.1


@pytest.fixture(scope="module")
def standard():
    adata = make_counts()
    StandardVAE.setup_anndata(adata, batch_key="batch")
    model = StandardVAE(adata, n_latent=2, n_hidden=16)
    model.train(5, **QUIET)
    return model


class TestStandardVAE:
    def test_embeds(self, standard):
        standard.embed()
        np.testing.assert_array_equal(
            standard.adata.obsm["X_vae"], standard.get_latent_representation()
        )

    def test_generates_and_sweeps(self, standard):
        assert standard.generate(4).obsm["X_vae"].shape == (4, 2)
        assert standard.sweep(n_steps=2).shape == (4, 12)

    def test_elbo_agrees_with_its_parts(self, standard):
        scvi.settings.seed = 0
        elbo = standard.get_elbo(return_mean=False)
        error = standard.get_reconstruction_error(return_mean=False)
        mean, variance = standard.get_latent_representation(return_dist=True)
        kl = 0.5 * (mean**2 + variance - np.log(variance) - 1).sum(1)
        np.testing.assert_allclose(-error - elbo, kl, rtol=1e-3, atol=1e-4)

    def test_round_trip(self, standard, tmp_path):
        standard.save(str(tmp_path / "model"))
        loaded = StandardVAE.load(str(tmp_path / "model"), adata=standard.adata, accelerator="cpu")
        np.testing.assert_array_equal(
            loaded.get_latent_representation(), standard.get_latent_representation()
        )


def test_elbo_is_comparable_with_that_of_scvi():
    """The ELBO that training logs is per cell and in nats, as scVI logs it."""
    adata = make_counts(n_target=300, n_background=200)
    scvi.settings.seed = 0
    StandardVAE.setup_anndata(adata)
    ours = StandardVAE(adata, n_latent=3, n_hidden=16)
    ours.train(60, **QUIET)
    scvi.model.SCVI.setup_anndata(adata)
    theirs = scvi.model.SCVI(adata, n_latent=3, n_hidden=16, gene_likelihood="nb")
    theirs.train(60, plan_kwargs={"n_epochs_kl_warmup": 6}, **QUIET)
    values = [float(m.history["elbo_train"].iloc[-1, 0]) for m in (ours, theirs)]
    assert values[0] == pytest.approx(values[1], rel=0.15)


def few_counts():
    """Counts of which most are zero, as they are in cells."""
    adata = make_counts(n_vars=60)
    kept = np.random.default_rng(0).random(adata.shape) < 0.1
    kept[:, 0] = True
    adata.X = sparse.csr_matrix(adata.X.toarray() * kept)
    assert adata.X.nnz < 0.15 * kept.size
    return adata


@pytest.mark.parametrize("standard", [False, True])
def test_everything_works_with_few_counts(standard):
    adata = few_counts()
    if standard:
        StandardVAE.setup_anndata(adata, batch_key="batch")
        model = StandardVAE(adata, n_latent=2, n_hidden=8)
    else:
        model = make_model(adata, setup={"batch_key": "batch"})
    model.train(2, **QUIET)
    assert model.generate(7).shape == (7, 60)
    assert model.sweep(n_steps=3).shape == (9, 60)
    model.embed()
    dense = adata.copy()
    dense.X = adata.X.toarray()
    assert np.isfinite(model.get_reconstruction_error())
    calls = [model.get_latent_representation]
    if not standard:
        calls.append(model.denoise)
        assert model.evidence(n_permutations=99).p_value > 0
    for call in calls:
        np.testing.assert_allclose(call(adata), call(dense), rtol=1e-4, atol=1e-5)


def test_size_factors_of_genes_with_large_counts():
    adata = make_counts()
    adata.X = adata.X.toarray()
    adata.X[:, 2] = 150
    adata.obs["factor"] = 1.0
    model = make_model(adata, setup={"size_factor_key": "factor"})
    share = model.module.decoder.heads["proportion"].bias.exp() / adata.n_vars
    start = share * model.module.counts_per_factor
    np.testing.assert_allclose(start.detach(), adata.X.mean(0), rtol=1e-4)
    model.train(2, **QUIET)


def test_size_factors_do_not_hide_an_effect():
    adata = make_counts(200, 150, 40)
    total = np.asarray(adata.X.sum(1)).ravel()
    adata.obs["factor"] = total / np.median(total)
    model = make_model(adata, setup={"size_factor_key": "factor"}, n_hidden=64)
    model.train(60, batch_size=64, **QUIET)
    responds = adata.obs["response"].to_numpy()
    target = (adata.obs["condition"] == "treated").to_numpy()
    latent = model.get_latent_representation(indices=target)
    assert metrics.silhouette(latent, responds[target]) > 0.5
    without = model.denoise(keep="background", library_size="observed")
    both = without + model.denoise(method="difference", library_size="observed")
    assert (both[responds, :3] / without[responds, :3]).mean() > 2
    # The total is asked for in counts, whatever the unit of the factors
    made = model.generate(200, library_size=500, give_mean=True)
    assert made.X.sum(1).mean() == pytest.approx(500, rel=0.1)
    assert model.sweep(n_steps=3).X[4].sum() == pytest.approx(1e4, rel=0.3)


def test_units_of_a_covariate_do_not_matter():
    def latents(scale, shift):
        scvi.settings.seed = 0
        adata = make_counts()
        adata.obs["score"] = adata.obs["score"] * scale + shift
        model = make_model(adata, setup={"continuous_covariate_keys": ["score"]})
        model.train(3, **QUIET)
        return model.get_latent_representation(), model

    usual, _ = latents(1.0, 0.0)
    other, model = latents(1000.0, 3000.0)
    np.testing.assert_allclose(other, usual, atol=1e-3)
    # Other data are brought to the same units, not to their own
    query = make_counts()
    query.obs["score"] = 3000.0
    tensors = next(model._minibatches(model._validated(query), None, None))
    expected = -float(make_counts().obs["score"].mean() / make_counts().obs["score"].std(ddof=0))
    np.testing.assert_allclose(model.module.covariates(tensors).continuous, expected, atol=1e-3)


def test_size_factors_without_offsets_start_at_the_total():
    adata = make_counts(n_vars=200)
    adata.obs["factor"] = 1.0
    model = make_model(adata, setup={"size_factor_key": "factor"}, use_bias=False)
    model.is_trained_ = True
    total = model.generate(50, give_mean=True).X.sum(1)
    np.testing.assert_allclose(total, adata.X.sum() / adata.n_obs, rtol=0.5)


def test_a_constant_covariate_is_harmless():
    # The standard deviation of many 0.1 is not quite zero
    adata = make_counts(score=0.1)
    model = make_trained(adata, setup={"continuous_covariate_keys": ["score"]})
    usual = model.get_elbo()
    query = make_counts(score=0.2)
    assert model.get_elbo(query) == pytest.approx(usual, rel=0.1)


def test_a_covariate_with_a_large_offset():
    adata = make_counts()
    adata.obs["score"] += 1.7e9
    with pytest.raises(ValueError, match=r"`continuous_covariate_keys`.* less in .'score'.*offset"):
        make_model(adata, setup={"continuous_covariate_keys": ["score"]})


def test_batches_without_cells_are_not_decoded():
    adata = make_counts()
    adata.obs["batch"] = pd.Categorical(adata.obs["batch"], categories=["a", "b", "gone"])
    model = make_trained(adata, setup={"batch_key": "batch"})
    with pytest.raises(ValueError, match="`batch` should be one of those trained on"):
        model.denoise(batch="gone")


@pytest.mark.parametrize("standard", [False, True])
def test_trained_models_can_be_pickled(standard):
    adata = make_counts()
    if standard:
        model = make_standard(adata)
        model.train(4, **QUIET)
    else:
        model = make_trained(adata, max_epochs=4)
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(
        copy.get_latent_representation(), model.get_latent_representation()
    )


def test_noise_of_generated_values_has_nothing_of_their_latents():
    scvi.settings.seed = 0
    adata = make_counts(200, 200, 24)
    adata.X = adata.X.log1p()
    model = make_trained(adata, likelihood="gaussian", n_salient_latent=12, n_background_latent=12)
    drawn, mean = model.generate(200), model.generate(200, give_mean=True)
    latents = np.hstack([drawn.obsm[f"X_cvae_{kind}"] for kind in ("salient", "background")])
    np.testing.assert_array_equal(latents[:, :12], mean.obsm["X_cvae_salient"])
    noise = (drawn.X - mean.X).ravel()
    for values in (latents, *np.hsplit(latents, 2)):
        values = values.ravel()
        assert abs(np.corrcoef(noise[: len(values)], values)[0, 1]) < 0.1


@pytest.mark.filterwarnings("ignore:.var_names. for the loaded:UserWarning")
@pytest.mark.parametrize("genes", [slice(None, None, -1), slice(8)], ids=["order", "fewer"])
def test_a_model_is_not_loaded_with_other_variables(trained, tmp_path, genes):
    trained.save(str(tmp_path / "model"))
    with pytest.raises(ValueError, match="`adata` should have the variables .* trained on, in the"):
        ContrastiveVAE.load(
            str(tmp_path / "model"), trained.adata[:, genes].copy(), accelerator="cpu"
        )


@pytest.mark.parametrize("is_trained", [False, True])
def test_looking_at_latents_changes_nothing(is_trained):
    class Fails(Callback):
        def on_train_epoch_end(self, *_args):
            msg = "as asked"
            raise ValueError(msg)

    model = make_model(dropout_rate=0.5, use_batch_norm=True)
    if is_trained:
        model.train(2, **QUIET)
        with pytest.raises(ValueError, match="as asked"):
            model.train(2, callbacks=[Fails()], **QUIET)
    before = {k: v.clone() for k, v in model.module.state_dict().items()}
    state = torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Trying to query inferred values")
        latents = [model.get_latent_representation() for _ in range(2)]
    np.testing.assert_array_equal(*latents)
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in model.module.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize("likelihood", ["nb", "bernoulli", "gaussian"])
@pytest.mark.parametrize("own", [True, False])
def test_values_that_changed_since_are_refused(likelihood, own):
    adata = make_counts()
    if likelihood != "nb":
        adata.X = adata.X / adata.X.max()
    model = make_trained(adata, likelihood=likelihood)
    data = adata if own else adata.copy()
    model.embed(data)
    data.X.data[3:5] = {"nb": 0.5, "bernoulli": 3.0, "gaussian": np.inf}[likelihood]
    expected = {"nb": "expects integer counts", "bernoulli": "expects values from 0 to 1"}
    message = expected.get(likelihood, "should hold finite numbers, found 2 NaN")
    for use in (model.embed, model.get_elbo):
        with pytest.raises(ValueError, match=message):
            use(data)


def test_batches_that_were_seen_in_training_are_those_that_count(tmp_path):
    adata = make_counts(other=["x", "y"] * 50)
    adata.obs["batch"] = pd.Categorical(adata.obs["batch"], categories=["a", "b", "never"])
    model = make_trained(adata, setup={"batch_key": "batch"})
    query = make_counts(seed=1)
    expected = model.get_latent_representation(query)
    # Whatever else the data are registered for meanwhile
    StandardVAE.setup_anndata(adata, batch_key="other")
    model.denoise(batch="b")
    np.testing.assert_array_equal(model.get_latent_representation(query), expected)
    # Whatever data the model is loaded with, if any
    model.save(str(tmp_path / "model"))
    some = adata[adata.obs["batch"] == "a"].copy()
    for data in (some, False):
        loaded = ContrastiveVAE.load(str(tmp_path / "model"), adata=data, accelerator="cpu")
        np.testing.assert_allclose(loaded.get_latent_representation(query), expected, rtol=1e-5)
        if data is some:
            assert loaded.denoise(batch="b").shape == some.shape
        unseen = query.copy()
        unseen.obs["batch"] = ["a"] * 90 + ["never"] * 10
        with pytest.raises(ValueError, match=r"trained on, \['a', 'b'\], found \['never'\]"):
            loaded.get_latent_representation(unseen)


def test_cells_emptied_since_are_refused():
    adata = make_counts()
    model = make_trained(adata)
    adata.X = sparse.csr_matrix(adata.X.toarray() * (np.arange(100) != 5)[:, None])
    with pytest.raises(ValueError, match="at least one count, found 1 empty cell"):
        model.get_elbo()


def test_a_view_of_a_file_is_refused(tmp_path):
    make_counts().write_h5ad(tmp_path / "cells.h5ad")
    model = make_trained()
    backed = read_h5ad(tmp_path / "cells.h5ad", backed="r")
    with pytest.raises(ValueError, match="view of one that lies in a file. Run `adata = adata.to"):
        model.get_latent_representation(backed[:20])


def test_positions_of_cells_end_with_the_last(trained):
    with pytest.raises(ValueError, match="`indices`"):
        trained.get_latent_representation(indices=[trained.adata.n_obs])


def test_every_draw_of_the_posterior_counts(trained):
    scvi.settings.seed = 0
    errors = {
        n: np.array(
            [trained.get_reconstruction_error(n_samples=n, indices=[0, 1]) for _ in range(2)]
        )
        for n in (1, 50)
    }
    # With a seed each call draws the same, and the first of fifty is not their mean
    np.testing.assert_array_equal(errors[50][0], errors[50][1])
    assert errors[50][0] != errors[1][0]


def test_draws_of_both_latents_are_independent_where_a_seed_is_set(trained):
    scvi.settings.seed = 0
    noise = {}
    for kind in ("salient", "background"):
        draw = trained.get_latent_representation(kind=kind, give_mean=False)
        mean, variance = trained.get_latent_representation(kind=kind, return_dist=True)
        noise[kind] = ((draw - mean) / np.sqrt(variance))[:, :2].ravel()
        again = trained.get_latent_representation(kind=kind, give_mean=False)
        np.testing.assert_array_equal(draw, again)
    assert abs(np.corrcoef(noise["salient"], noise["background"])[0, 1]) < 0.3
    background = trained.generate(50, role="background").obsm["X_cvae_background"]
    target = trained.generate(50).obsm["X_cvae_salient"]
    assert not np.array_equal(background[:, :2], target[:, :2])


def test_variables_that_changed_since(trained):
    adata = make_counts()
    model = make_trained(adata, max_epochs=1)
    adata._inplace_subset_var(np.arange(adata.n_vars)[::-1])
    with pytest.raises(ValueError, match="should have the variables that the model was trained on"):
        model.get_latent_representation()


def test_embedding_without_the_condition():
    model = make_trained(max_epochs=1)
    del model.adata.obs["condition"]
    with pytest.raises(KeyError, match="`condition_key` should name a column"):
        model.embed()


def test_a_batch_where_none_was_registered():
    with pytest.raises(ValueError, match="`batch` needs a `batch_key` in `setup_anndata`"):
        make_trained(max_epochs=1).denoise(batch="x")
