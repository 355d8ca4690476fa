"""Log-likelihoods against those of scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import special, stats

from scsalient.likelihoods import build_likelihood

N, N_VARS = 7, 5


@pytest.fixture
def drawn():
    rng = np.random.default_rng(0)
    heads = [torch.as_tensor(rng.normal(size=(N, N_VARS)), dtype=torch.float32) for _ in range(2)]
    library = torch.as_tensor(rng.uniform(5, 500, (N, 1)), dtype=torch.float32)
    counts = rng.poisson(rng.gamma(0.5, 20, (N, N_VARS)))
    assert (counts == 0).any()
    return counts, heads, library


def found(likelihood, x, heads, library):
    outputs = dict(zip(likelihood.heads, heads, strict=False))
    with torch.no_grad():
        return likelihood.log_prob(torch.as_tensor(x).float(), outputs, library).numpy()


def test_poisson(drawn):
    counts, heads, library = drawn
    rate = special.softmax(heads[0].numpy().astype(float), axis=1) * library.numpy()
    expected = stats.poisson.logpmf(counts, rate).sum(1)
    likelihood = build_likelihood("poisson", n_vars=N_VARS)
    np.testing.assert_allclose(found(likelihood, counts, heads, library), expected, rtol=1e-4)


@pytest.mark.parametrize("name", ["nb", "zinb"])
def test_negative_binomial(drawn, name):
    counts, heads, library = drawn
    likelihood = build_likelihood(name, n_vars=N_VARS)
    theta = likelihood.log_inverse_dispersion.exp().detach().numpy().astype(float)
    rate = special.softmax(heads[0].numpy().astype(float), axis=1) * library.numpy()
    # scipy counts failures before `theta` successes
    log_pmf = stats.nbinom.logpmf(counts, theta, theta / (theta + rate))
    if name == "zinb":
        lost = special.expit(heads[1].numpy().astype(float))
        log_pmf = np.log((1 - lost) * np.exp(log_pmf) + lost * (counts == 0))
    expected = log_pmf.sum(1)
    np.testing.assert_allclose(
        found(likelihood, counts, heads, library), expected, rtol=1e-3, atol=1e-3
    )


def test_size_factors_scale_an_exponential(drawn):
    counts, heads, library = drawn
    rate = np.exp(heads[0].numpy().astype(float)) / N_VARS * library.numpy()
    likelihood = build_likelihood("poisson", n_vars=N_VARS, library_is_size_factor=True)
    expected = stats.poisson.logpmf(counts, rate).sum(1)
    np.testing.assert_allclose(found(likelihood, counts, heads, library), expected, rtol=1e-4)


@pytest.mark.parametrize("variance", ["fixed", "learned"])
def test_gaussian(drawn, variance):
    _, heads, library = drawn
    likelihood = build_likelihood("gaussian", n_vars=N_VARS, gaussian_variance=variance)
    log_variance = np.zeros(N_VARS)
    if variance == "learned":
        log_variance = np.linspace(-2, 2, N_VARS)
        with torch.no_grad():
            likelihood.log_variance.copy_(torch.as_tensor(log_variance))
    x = np.random.default_rng(1).normal(size=(N, N_VARS))
    scale = np.sqrt(np.exp(log_variance) + 1e-4)
    expected = stats.norm.logpdf(x, heads[0].numpy(), scale).sum(1)
    np.testing.assert_allclose(found(likelihood, x, heads, library), expected, rtol=1e-4)


def test_bernoulli(drawn):
    counts, heads, library = drawn
    x = (counts > 3).astype(int)
    expected = stats.bernoulli.logpmf(x, special.expit(heads[0].numpy().astype(float))).sum(1)
    likelihood = build_likelihood("bernoulli", n_vars=N_VARS)
    np.testing.assert_allclose(found(likelihood, x, heads, library), expected, rtol=1e-4)
