from __future__ import annotations

from itertools import combinations

import anndata
import numpy as np
import pytest
import scvi
import torch
from anndata import AnnData
from scipy import sparse

from factories import make_counts, make_model, make_trained
from scsalient import ContrastiveVAE
from scsalient.model._evidence import (
    SalientEvidence,
    _exchanges,
    _groups_within,
    _p_value,
    _scores,
    _strata,
    _weights,
)

ONE_BATCH = np.zeros(8, dtype=int)
# About 900 steps
LONG = {"max_epochs": 100, "train": {"batch_size": 32}}


@pytest.fixture(scope="module")
def with_response():
    scvi.settings.seed = 0
    return make_trained(make_counts(300, 300, 20), **LONG)


def _evidence(target_gains, background_gains, p_value, n_exchangeable=None):
    n = n_exchangeable or (len(target_gains), len(background_gains))
    return SalientEvidence(
        target_gains, background_gains, p_value, 0.01, n_exchangeable=n, smallest_p_value=1e-4
    )


def _statistics(gains, every):
    """Larger of the standardised means of both scores for each choice of target cells."""
    scores = np.stack([gains, np.log(0.9 + 0.1 * np.exp(gains))])
    means = np.array([scores[:, list(cells)].mean(1) for cells in every])
    return ((means - means.mean(0)) / means.std(0)).max(1)


@pytest.mark.parametrize(
    "gains", [[3.0, 1.0, 2.5, 0.0, -1.0, 0.5, 0.2, 1.5], [6.0, -0.5, -0.2, 0.8, 0.4, 0.1, 0.9, 0.3]]
)
def test_p_value_against_all_exchanges(gains):
    gains, is_target = np.array(gains), np.arange(8) < 3
    every = list(combinations(range(8), 3))
    statistics = _statistics(gains, every)
    exact = np.mean(statistics >= statistics[0] - 1e-6)
    estimate = _p_value(gains, is_target, ONE_BATCH, n_permutations=20_000, seed=0)
    assert estimate == pytest.approx(exact, abs=4 * np.sqrt(exact / 20_000))


def test_few_responders_are_found_among_noise():
    rng = np.random.default_rng(0)
    gains, is_target = rng.normal(0, 2, 200), np.arange(200) < 100
    gains[:100] -= gains[:100].mean() - gains[100:].mean()
    gains[:9] = 6
    # In the mean of 100 they are lost: their difference is less than twice its standard error
    assert gains[:100].mean() - gains[100:].mean() < 2 * np.sqrt(2 * 2**2 / 100)
    batches = np.zeros(200, dtype=int)
    p_value = _p_value(gains, is_target, batches, n_permutations=9999, seed=0)
    assert p_value < 0.01
    assert _evidence(gains[:100], gains[100:], p_value).found
    # Nor does it matter that salient latents do harm to the others
    harmed = np.where(gains[:100] == 6, 6, gains[:100] - 2)
    assert harmed.mean() < 0
    assert _evidence(harmed, gains[100:], 0.001).found
    assert not _evidence(harmed[9:], gains[100:], 0.001).found


def test_p_value_of_equal_cells_is_uniform():
    rng = np.random.default_rng(0)
    batches = np.repeat([0, 1], [30, 50])
    p_values = []
    for _ in range(300):
        # The batches differ in both the gains and the share of targets: no reason to find any
        gains = rng.standard_t(2, 80) + 5 * batches
        is_target = rng.random(80) < np.where(batches, 0.8, 0.3)
        p_values.append(_p_value(gains, is_target, batches, n_permutations=199, seed=1))
    for level in (0.05, 0.2, 0.5):
        share = np.mean(np.array(p_values) <= level)
        assert share == pytest.approx(level, abs=4 * np.sqrt(level * (1 - level) / 300))


def test_p_value_where_batch_and_role_coincide():
    gains, is_target = np.arange(8.0), np.arange(8) > 3
    assert _p_value(gains, is_target, is_target.astype(int), n_permutations=99, seed=0) == 1
    assert _p_value(gains, is_target, ONE_BATCH, n_permutations=999, seed=0) < 0.05
    assert _p_value(gains, np.ones(8, dtype=bool), ONE_BATCH, n_permutations=99, seed=0) == 1


def test_a_response_is_found(with_response):
    evidence = with_response.evidence()
    assert evidence.found
    assert evidence.verdict.startswith("Found")
    assert evidence.p_value < 0.001
    assert evidence.target_gain > 0.3
    assert evidence.target_gain > evidence.background_gain + 0.3
    assert len(evidence.target_gains) == len(evidence.background_gains) == 30


def test_nothing_is_found_where_nothing_is():
    adata = make_counts(300, 300, 20)
    order = np.random.default_rng(0).permutation(adata.n_obs)
    adata.obs["condition"] = adata.obs["condition"].to_numpy()[order]
    model = make_trained(adata, **LONG)
    evidence = model.evidence()
    assert not evidence.found
    assert evidence.verdict.startswith("Nothing found")


def test_a_response_tells_nothing_in_a_batch_that_coincides():
    adata = make_counts(300, 300, 20, batch=["x"] * 300 + ["y"] * 300)
    with pytest.warns(UserWarning, match="coincides"):
        ContrastiveVAE.setup_anndata(adata, "condition", "control", batch_key="batch")
    model = ContrastiveVAE(adata, n_salient_latent=2, n_background_latent=3, n_hidden=16)
    model.train(1, accelerator="cpu", enable_progress_bar=False)
    evidence = model.evidence()
    assert evidence.p_value == evidence.smallest_p_value == 1
    assert evidence.n_exchangeable == (0, 0)
    assert evidence.verdict.startswith("Cannot tell: roles can be exchanged only among")


def test_roles_are_exchanged_among_cells_of_the_same_covariates():
    rng = np.random.default_rng(0)
    is_target = np.repeat([True, False], 200)
    donor = np.where(rng.random(400) < np.where(is_target, 0.9, 0.1), 1, 0)
    # What differs is the donor alone
    gains = rng.normal(size=400) + 2 * donor
    codes = np.stack([np.zeros(400, dtype=int), donor], axis=1)
    p_values = [
        _p_value(gains, is_target, _strata(some), n_permutations=999, seed=0)
        for some in (codes, codes[:, :1])
    ]
    assert p_values[0] > 0.05 > 0.001 == p_values[1]


@pytest.fixture(scope="module")
def other_mix():
    """No response, but another mix of two cell types, which is as one of depth."""
    rng = np.random.default_rng(0)
    is_target = np.arange(600) < 300
    is_rare = rng.random(600) < np.where(is_target, 0.2, 0.8)
    adata = make_counts(300, 300, 20, cell_type=np.where(is_rare, "rare", "usual"))
    rate = np.where(np.arange(20) < 8, 1 + 5 * is_rare[:, None], 3.0)
    adata.X = sparse.csr_matrix(rng.poisson(rate).astype(np.float32) + (np.arange(20) == 19))
    adata.obs["marker"] = adata.X[:, :8].toarray().sum(1) + rng.uniform(0, 0.1, 600)
    scvi.settings.seed = 0
    return make_trained(adata, **LONG)


@pytest.mark.parametrize("within", ["cell_type", ["cell_type", "batch"], "marker"])
def test_a_difference_of_mix_is_not_found_within_it(other_mix, within):
    assert other_mix.evidence().p_value < 0.01
    evidence = other_mix.evidence(within=within)
    assert evidence.p_value > 0.02
    assert sum(evidence.n_exchangeable) <= 60


def test_numbers_of_donors_are_categories_and_depths_are_not():
    adata = make_counts(120, 120)
    adata.obs["donor"] = np.resize(np.arange(30), 240)
    adata.obs["depth"] = np.arange(240)
    adata.obs["dose"] = np.resize(np.arange(10.0), 240)
    few = np.arange(0, 240, 2)
    for within, n in (("donor", 15), ("depth", 10), ("dose", 5)):
        codes = _groups_within(adata, within, few)
        assert len(np.unique(codes)) == n
    # However few cells there are, their depths are cut
    assert len(np.unique(_groups_within(adata[:30], "depth", np.arange(30)))) == 10
    as_text = adata.obs["donor"].astype(str)
    expected = as_text.iloc[few].to_numpy()
    same = _groups_within(adata, "donor", few)
    assert len({*zip(expected, same[:, 0].tolist(), strict=True)}) == 15


def test_a_response_is_found_within_cell_types(with_response):
    adata = with_response.adata
    adata.obs["type"] = np.resize(["a", "b", "c"], adata.n_obs)
    assert with_response.evidence(within="type").found
    # What coincides with the roles leaves nothing to exchange
    assert with_response.evidence(within="condition").p_value == 1


def test_columns_to_exchange_within(with_response):
    with pytest.raises(KeyError, match="`within` should name columns of `adata.obs`"):
        with_response.evidence(within="nothing")
    with pytest.raises(TypeError, match="`within` should be a column or a list of columns"):
        with_response.evidence(within=3)
    with_response.adata.obs["partly"] = [np.nan, *range(with_response.adata.n_obs - 1)]
    held_out = with_response.validation_indices[0]
    with_response.adata.obs.iloc[held_out, -1] = np.nan
    with pytest.raises(ValueError, match="`within` column 'partly' should have a value for each"):
        with_response.evidence(within=["batch", "partly"])


def test_a_covariate_that_coincides_leaves_nothing_to_exchange():
    adata = make_counts(300, 300, 20)
    adata.obs["donor"] = adata.obs["condition"].to_numpy()
    with pytest.warns(UserWarning, match="coincides"):
        ContrastiveVAE.setup_anndata(
            adata, "condition", "control", categorical_covariate_keys=["donor"]
        )
    model = ContrastiveVAE(adata, n_salient_latent=2, n_background_latent=3, n_hidden=16)
    model.train(1, accelerator="cpu", enable_progress_bar=False)
    assert model.evidence().verdict.startswith("Cannot tell: roles can be exchanged")


def test_what_can_be_exchanged():
    is_target = np.array([1, 1, 0, 1, 0, 0, 0, 1], dtype=bool)
    counts, n_exchanges = _exchanges(is_target, np.array([0, 0, 0, 1, 1, 1, 2, 3]))
    assert counts == (3, 3)
    # Three choose two, and three choose one
    assert n_exchanges == pytest.approx(9)


def test_gains_are_compared_within_strata():
    n = 200
    strata = np.repeat([0, 1, 2], [n, n, 50])
    is_target = np.concatenate([np.arange(n) < 160, np.arange(n) < 40, np.ones(50, dtype=bool)])
    rng = np.random.default_rng(0)
    # Cells of the second batch gain more, and so do target cells; the third has no others
    gains = np.choose(strata, [0.3, 6.0, 50.0]) + 0.8 * is_target + rng.normal(0, 0.1, len(strata))
    weights = _weights(is_target, strata)
    evidence = SalientEvidence(
        gains[is_target],
        gains[~is_target],
        1e-4,
        0.01,
        n_exchangeable=(200, 200),
        smallest_p_value=1e-4,
        target_weights=weights[is_target],
        background_weights=weights[~is_target],
    )
    assert evidence.found
    assert evidence.target_gain == pytest.approx(0.8 * 1.1 + 0.2 * 6.8, abs=0.05)
    assert evidence.target_gain - evidence.background_gain == pytest.approx(0.8, abs=0.05)
    assert weights[strata == 2].sum() == 0
    assert np.isnan(_evidence(np.array([]), np.array([]), 1.0).target_gain)


def test_one_exchangeable_target_cell_tells_nothing():
    one = SalientEvidence(
        np.full(60, 9.0),
        np.zeros(60),
        1 / 61,
        0.01,
        n_exchangeable=(1, 60),
        smallest_p_value=1 / 61,
    )
    assert not one.found
    assert "1 target and 60 background cells" in one.verdict
    assert "p is at least 0.016" in one.verdict


@pytest.mark.parametrize(
    ("n_exchangeable", "cells"),
    [
        ((30, 25), "30 of 40 and 25 cells"),
        ((40, 25), "40 and 25 cells"),
        ((0, 0), "40 and 25 cells"),
    ],
)
def test_the_cells_of_the_means_are_told(n_exchangeable, cells):
    evidence = _evidence(np.ones(40), np.zeros(25), 0.001, n_exchangeable)
    assert f"; {cells}, p = 0.001." in str(evidence)


def test_other_cells_are_held_out_as_a_whole(with_response):
    evidence = with_response.evidence(make_counts(100, 80, 20, seed=1))
    assert (len(evidence.target_gains), len(evidence.background_gains)) == (100, 80)
    assert evidence.found


def test_gains_are_zero_where_salient_latents_are():
    model = make_trained(max_epochs=1)
    with torch.no_grad():
        for parameter in model.module.salient_encoder.moments.parameters():
            parameter[:2] = 0
    evidence = model.evidence()
    assert not evidence.target_gains.any()
    assert evidence.p_value == 1


def test_gains_are_differences_of_the_log_likelihood():
    model = make_trained(likelihood="gaussian", gaussian_variance="fixed", max_epochs=5)
    adata = make_counts(1, 40, seed=2)
    gain = model.evidence(adata, n_permutations=99).target_gains[0]
    x = adata.X[0].toarray()
    whole = model.denoise(adata, keep="background", indices=[0])
    whole = whole + model.denoise(adata, keep="salient", method="difference", indices=[0])
    without = model.denoise(adata, keep="background", indices=[0])
    errors = [((x - mean) ** 2).sum() / 2 for mean in (without, whole)]
    assert gain == pytest.approx(errors[0] - errors[1], rel=1e-2)


def test_too_few_cells_are_not_judged():
    few = make_trained(make_counts(100, 100)).evidence()
    assert not few.enough_cells
    assert not few.found
    assert few.verdict.startswith("Cannot tell")
    none = make_trained(train={"train_size": 1.0}).evidence()
    assert len(none.target_gains) == 0
    assert none.p_value == 1
    assert str(none) == none.verdict


def test_same_seed_same_p_value(with_response):
    assert with_response.evidence(seed=3).p_value == with_response.evidence(seed=3).p_value


def test_it_prints_a_sentence_with_numbers(with_response):
    evidence = with_response.evidence()
    for part in ("Found", f"{evidence.target_gain:.2f} nats per target cell", "30 and 30", "p = "):
        assert part in str(evidence)
    assert repr(evidence) == str(evidence)


def test_held_out_cells_survive_saving(with_response, tmp_path):
    with_response.save(str(tmp_path / "model"))
    path, adata = str(tmp_path / "model"), with_response.adata
    loaded = ContrastiveVAE.load(path, adata=adata, accelerator="cpu")
    np.testing.assert_allclose(
        loaded.evidence().target_gains, with_response.evidence().target_gains, rtol=1e-4, atol=1e-4
    )
    other = ContrastiveVAE.load(path, adata=make_counts(50, 50, 20), accelerator="cpu")
    with pytest.raises(ValueError, match="needs the data that the model was trained on, found 100"):
        other.evidence()


def test_bad_requests(with_response):
    with pytest.raises(RuntimeError, match="needs a trained model"):
        make_model().evidence()
    for level in (0, 1, 2.0):
        with pytest.raises(ValueError, match=r"`level` should be a number in \(0, 1\)"):
            with_response.evidence(level=level)
    with pytest.raises(ValueError, match="`n_permutations` should be an integer of at least 99"):
        with_response.evidence(n_permutations=10)
    with pytest.raises(ValueError, match="`n_permutations` should be at least 99999 for a `level`"):
        with_response.evidence(level=1e-5)


def test_cells_in_another_order(with_response, tmp_path):
    with_response.save(tmp_path / "model")
    adata = with_response.adata[::-1].copy()
    model = ContrastiveVAE.load(tmp_path / "model", adata=adata, accelerator="cpu")
    with pytest.raises(ValueError, match="found cells of other names or in another order"):
        model.evidence()
    same = ContrastiveVAE.load(
        tmp_path / "model", adata=with_response.adata.copy(), accelerator="cpu"
    )
    assert same.evidence().p_value == with_response.evidence().p_value


def test_cells_without_a_finite_likelihood(with_response, monkeypatch):
    log_prob = with_response.module.likelihood.log_prob

    def broken(*args, **kwargs):
        values = log_prob(*args, **kwargs)
        values[0] = -torch.inf
        return values

    monkeypatch.setattr(with_response.module.likelihood, "log_prob", broken)
    with pytest.raises(RuntimeError, match="`evidence` needs finite likelihoods, found 1 of"):
        with_response.evidence()


def test_cells_that_were_trained_on_are_refused(with_response):
    own = with_response.evidence()
    assert with_response.evidence(with_response.adata).p_value == own.p_value
    copy = with_response.adata.copy()
    for adata in (copy, copy[with_response.train_indices[:5]].copy()):
        with pytest.raises(ValueError, match="`adata` should have cells .* not trained on, found"):
            with_response.evidence(adata)
    renamed = copy.copy()
    renamed.obs_names += "-1"
    with pytest.raises(ValueError, match="`adata` should have cells .* not trained on, found"):
        with_response.evidence(renamed)
    found = with_response.evidence(copy[np.sort(with_response.validation_indices)].copy())
    np.testing.assert_allclose(found.target_gains, own.target_gains, rtol=1e-4, atol=1e-4)
    # Others of the same names
    others = make_counts(300, 300, 20, seed=7)
    with_response.evidence(others)
    # A few under other names
    others.obs_names += "-new"
    some = renamed[with_response.train_indices[:30]]
    with pytest.warns(UserWarning, match="`adata` has 30 cells with the values of cells that"):
        with_response.evidence(anndata.concat([others, some]))
    with_response.evidence(anndata.concat([others, some[:3]]))


def test_a_model_without_its_data_asks_those_that_it_is_given(with_response, tmp_path):
    with_response.save(tmp_path / "model")
    model = ContrastiveVAE.load(tmp_path / "model", adata=False, accelerator="cpu")
    other = make_counts(100, 80, 20, seed=1)
    model.embed(other)
    expected = with_response.evidence(other.copy())
    np.testing.assert_allclose(
        model.evidence(other).target_gains, expected.target_gains, rtol=1e-4, atol=1e-4
    )
    # They are not its own for that
    assert model.adata is None
    with pytest.raises(ValueError, match="`adata` is needed, for the model was loaded without"):
        model.evidence()
    with pytest.raises(ValueError, match="`adata` should have cells .* not trained on, found 600"):
        model.evidence(with_response.adata.copy())


def test_copies_cannot_be_held_out():
    adata = make_counts(300, 60, 20)
    copies = np.concatenate([np.arange(300), np.tile(np.arange(300, 360), 5)])
    obs = adata.obs.iloc[copies].set_axis([f"cell_{i}" for i in range(len(copies))])
    filled = AnnData(adata.X[copies], obs=obs, var=adata.var)
    model = make_trained(filled, max_epochs=1)
    with pytest.warns(UserWarning, match="held-out cells that are no copies of others, found"):
        model.evidence()


def test_validation_and_test_cells_are_asked():
    train = {"train_size": 0.5, "validation_size": 0.2}
    evidence = make_trained(make_counts(60, 40), max_epochs=1, train=train).evidence()
    assert (len(evidence.target_gains), len(evidence.background_gains)) == (30, 20)


def test_cells_of_neither_role_are_not_asked():
    adata = make_counts(60, 40)
    adata.obs["condition"] = np.repeat(["treated", "other", "control"], [40, 20, 40])
    model = make_trained(adata, setup={"target": ["treated"]}, max_epochs=1)
    new = make_counts(60, 40, seed=1)
    new.obs["condition"] = np.repeat(["treated", "other", "control"], [30, 30, 40])
    evidence = model.evidence(new)
    assert (len(evidence.target_gains), len(evidence.background_gains)) == (30, 40)


def test_found_at_its_limits():
    ones, zeros = np.ones(20), np.zeros(20)
    assert _evidence(ones, zeros, 0.01).found
    assert not _evidence(ones[1:], zeros, 0.01).enough_cells
    # A mixture of which a tenth has the salient part
    np.testing.assert_allclose(_scores(np.array([3.0])), [[3.0, np.log(0.9 + 0.1 * np.exp(3))]])
