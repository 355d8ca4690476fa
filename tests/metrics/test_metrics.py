from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from scsalient import metrics

RNG = np.random.default_rng(0)
LABELS = np.repeat(["a", "b"], 200)


def test_silhouette_of_two_points_apart_is_one():
    latent = np.where(LABELS == "a", 0.0, 1.0)[:, None]
    assert metrics.silhouette(latent, LABELS) == pytest.approx(1)


def test_silhouette_of_a_sample_is_near_that_of_all():
    latent = RNG.normal(size=(400, 2)) + (LABELS == "a")[:, None]
    whole = metrics.silhouette(latent, LABELS)
    assert metrics.silhouette(latent, LABELS, max_cells=300) == pytest.approx(whole, abs=0.05)


def test_a_sample_has_every_label():
    latent = RNG.normal(size=(100, 2))
    labels = ["rare"] + ["other"] * 99
    for seed in range(5):
        assert np.isfinite(metrics.silhouette(latent, labels, max_cells=10, seed=seed))
    with pytest.raises(ValueError, match="`max_cells` should be an integer of at least 3"):
        metrics.silhouette(latent, labels, max_cells=2)
    with pytest.raises(ValueError, match="`labels` should be shared by some cells"):
        metrics.silhouette(latent, np.arange(100))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x, y: metrics.silhouette(x, y, seed=-1), ValueError, "`seed` should be"),
        (lambda x, y: metrics.leakage(x, y, seed="a"), TypeError, "`seed` should be"),
        (lambda x, y: metrics.leakage(x, y, seed=2**32), ValueError, "`seed` .* found 4294967296"),
        (lambda x, y: metrics.leakage(x, y, n_splits=1), ValueError, "`n_splits` should be"),
        (lambda x, y: metrics.leakage(x, y, n_splits="5"), TypeError, "`n_splits` should be"),
        (lambda x, _: metrics.independence(x, x, seed=-1), ValueError, "`seed` .* found -1"),
    ],
)
def test_wrong_numbers(call, error, message):
    latent = np.random.default_rng(0).normal(size=(20, 2))
    with pytest.raises(error, match=message):
        call(latent, np.resize(["a", "b"], 20))


def test_leakage_is_one_for_a_label_in_the_open_and_zero_for_noise():
    noise = RNG.normal(size=(400, 3))
    assert abs(metrics.leakage(noise, LABELS)) < 0.2
    shown = noise + 20 * (LABELS == "a")[:, None]
    assert metrics.leakage(shown, LABELS) == pytest.approx(1)


def test_independence_sees_nonlinear_dependence():
    s = RNG.normal(size=(500, 1))
    assert metrics.independence(s, s) == pytest.approx(1)
    assert metrics.independence(s, s**2) > 0.1
    assert abs(metrics.independence(s, RNG.normal(size=(500, 2)))) < 0.02


def test_independence_is_unbiased_for_independent_latents():
    values = [
        metrics.independence(RNG.normal(size=(50, 3)), RNG.normal(size=(50, 3))) for _ in range(200)
    ]
    assert abs(np.mean(values)) < 4 * np.std(values) / 200**0.5


@pytest.mark.parametrize(
    ("latent", "labels", "message"),
    [
        (np.ones(4), list("aabb"), r"`latent` should have shape"),
        (np.full((4, 1), np.nan), list("aabb"), "`latent` should be finite"),
        (np.ones((4, 1)), list("aab"), "one label per cell"),
        (np.ones((4, 1)), list("aaaa"), "at least two different labels"),
        (np.ones((4, 1)), ["a", None, "b", "b"], "no missing value, found 1"),
    ],
)
def test_bad_input(latent, labels, message):
    for metric in (metrics.silhouette, metrics.leakage):
        with pytest.raises(ValueError, match=message):
            metric(latent, np.asarray(labels, dtype=object))


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (sparse.csr_matrix, r"found csr_matrix\. Pass `latent\.toarray\(\)`"),
        (AnnData, r"found AnnData\. Pass a column of `\.obsm`"),
    ],
    ids=["sparse", "anndata"],
)
@pytest.mark.parametrize("metric", [metrics.silhouette, metrics.leakage])
def test_latents_are_an_array(metric, form, message):
    with pytest.raises(TypeError, match=f"`latent` should be an array, {message}"):
        metric(form(np.eye(12)), list("ab") * 6)


@pytest.mark.parametrize("metric", [metrics.silhouette, metrics.leakage])
def test_labels_are_in_the_order_of_the_latents(metric):
    latent = pd.DataFrame(RNG.normal(size=(12, 2)), index=[f"cell_{i}" for i in range(12)])
    labels = pd.Series(list("ab") * 6, index=latent.index)
    expected = metric(latent, labels)
    # Without the names of the cells there is the position alone
    assert metric(latent, labels.reset_index(drop=True)) == expected
    with pytest.raises(ValueError, match="`labels` should have the index of `latent`"):
        metric(latent, labels[::-1])


def test_leakage_needs_cells_of_each_label():
    with pytest.raises(ValueError, match="at least `n_splits` = 5 cells"):
        metrics.leakage(np.ones((6, 1)), list("aaaaab"))


def test_independence_of_what_is_not_finite_or_too_few():
    latent = RNG.normal(size=(100, 2))
    broken = latent.copy()
    broken[3, 1] = np.nan
    with pytest.raises(ValueError, match="should be finite"):
        metrics.independence(latent, broken)
    with pytest.raises(ValueError, match="`max_cells` should be an integer of at least 4"):
        metrics.independence(latent, latent, max_cells=3)


def test_independence_bad_shapes():
    with pytest.raises(ValueError, match="of the same four or more cells"):
        metrics.independence(np.ones((5, 1)), np.ones((6, 1)))


@pytest.mark.parametrize("form", [list, pd.Series, np.array])
def test_missing_labels_are_told_in_any_form(form):
    latent = np.random.default_rng(0).normal(size=(12, 2))
    labels = ["a"] * 5 + ["b"] * 5 + [None] * 2
    with pytest.raises(ValueError, match="`labels` should have no missing value, found 2"):
        metrics.silhouette(latent, form(labels))
    with pytest.raises(ValueError, match="`labels` should have one axis, found 2"):
        metrics.silhouette(latent, pd.DataFrame({"x": labels}).to_numpy())


def test_leakage_does_not_depend_on_units_or_on_how_many_have_a_label():
    noise = RNG.normal(size=(1000, 2))
    rare = np.arange(1000) < 100
    assert abs(metrics.leakage(noise, rare)) < 0.2
    shifted = noise + 1.5 * rare[:, None]
    # 2.1 standard deviations apart, of which a balanced classifier tells 86% of either label
    assert metrics.leakage(shifted, rare) == pytest.approx(0.71, abs=0.12)
    assert metrics.leakage(shifted * 1e-3, rare) == pytest.approx(metrics.leakage(shifted, rare))
    assert metrics.leakage(noise[:10], np.repeat(["a", "b"], 5)) < 1


def test_independence_of_a_sample_of_constants_and_in_any_unit():
    x = RNG.normal(size=(200, 2))
    assert metrics.independence(x, x, max_cells=50) == pytest.approx(1)
    assert metrics.independence(np.ones((10, 2)), x[:10]) == 0
    for scale in (1e160, 1e-170):
        assert metrics.independence(x * scale, x) == pytest.approx(1)
