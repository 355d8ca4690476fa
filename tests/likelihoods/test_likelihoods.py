from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from scsalient.likelihoods import LIKELIHOODS, build_likelihood
from scsalient.loaders import SparseRows


def _case(name: str):
    generator = torch.Generator().manual_seed(0)
    likelihood = build_likelihood(name, n_vars=3)
    outputs = {head: torch.randn(4, 3, generator=generator) for head in likelihood.heads}
    return likelihood, outputs, torch.tensor([[10.0], [20.0], [5.0], [40.0]])


COUNTS = torch.tensor([[0.0, 1, 2], [5, 0, 9], [1, 1, 3], [0, 30, 4]])


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_batch_equals_row_by_row(name):
    likelihood, outputs, library = _case(name)
    x = COUNTS if likelihood.support == "counts" else COUNTS / 30
    whole = likelihood.log_prob(x, outputs, library)
    rows = [
        likelihood.log_prob(x[i : i + 1], {k: v[i : i + 1] for k, v in outputs.items()}, library[i])
        for i in range(4)
    ]
    torch.testing.assert_close(whole, torch.cat(rows))


def test_gaussian_agrees_with_scipy():
    likelihood = build_likelihood("gaussian", n_vars=3, gaussian_variance="fixed")
    _, outputs, library = _case("gaussian")
    expected = stats.norm.logpdf(COUNTS, outputs["mean"]).sum(1)
    np.testing.assert_allclose(
        likelihood.log_prob(COUNTS, outputs, library).detach(), expected, rtol=1e-5
    )


@pytest.mark.parametrize("variance", ["fixed", "learned"])
def test_gradients_of_gaussian_are_those_of_torch(variance):
    generator = torch.Generator().manual_seed(1)
    likelihood = build_likelihood("gaussian", n_vars=3, gaussian_variance=variance)
    mean = torch.randn(4, 3, generator=generator, requires_grad=True)
    rows = torch.randn(4, generator=generator)
    parameters = [mean, *likelihood.parameters()]
    outputs, library = {"mean": mean}, torch.ones(4, 1)
    mine = (likelihood.log_prob(COUNTS, outputs, library) * rows).sum()
    theirs = likelihood.distribution(outputs, library).log_prob(COUNTS).sum(-1) @ rows
    for found, expected in zip(
        torch.autograd.grad(mine, parameters), torch.autograd.grad(theirs, parameters), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("variance", ["fixed", "learned"])
def test_a_map_of_hidden_units_gives_what_its_means_give(variance, bias):
    generator = torch.Generator().manual_seed(2)
    n_rows, n_vars, n_hidden = 6, 9, 4
    x = torch.randn(n_rows, n_vars, generator=generator, dtype=torch.double)
    x *= torch.rand(x.shape, generator=generator) < 0.4
    # An empty cell, and a gene without counts
    x[2], x[:, 3] = 0, 0
    likelihood = build_likelihood("gaussian", n_vars=n_vars, gaussian_variance=variance).double()
    for parameter in likelihood.parameters():
        torch.nn.init.normal_(parameter, generator=generator)
    head = torch.nn.Linear(n_hidden, n_vars, bias=bias, dtype=torch.double)
    hidden = torch.randn(n_rows, n_hidden, generator=generator, dtype=torch.double)
    hidden.requires_grad_()
    mine = likelihood.log_prob_of_map(SparseRows.of_dense(x), hidden, head)
    theirs = likelihood.log_prob(x, {"mean": head(hidden)}, torch.ones(n_rows, 1))
    torch.testing.assert_close(mine, theirs)

    rows = torch.randn(n_rows, generator=generator, dtype=torch.double)
    parameters = [hidden, *head.parameters(), *likelihood.parameters()]
    for found, expected in zip(
        torch.autograd.grad(mine @ rows, parameters),
        torch.autograd.grad(theirs @ rows, parameters),
        strict=True,
    ):
        torch.testing.assert_close(found, expected)


def test_a_map_of_hidden_units_is_exact_where_a_variable_is_much_larger_than_it_varies():
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(40, 20, generator=generator) * (torch.rand(40, 20, generator=generator) < 0.1)
    x[:, 0] = 1e4 + torch.randn(40, generator=generator)
    likelihood, head = build_likelihood("gaussian", n_vars=20), torch.nn.Linear(4, 20)
    torch.nn.init.constant_(head.bias[:1], 1e4)
    hidden = torch.randn(40, 4, generator=generator)
    mine = likelihood.log_prob_of_map(SparseRows.of_dense(x), hidden, head)
    theirs = likelihood.log_prob(x, {"mean": head(hidden)}, torch.ones(40, 1))
    assert torch.equal(mine, theirs)


def test_fixed_variance_is_no_parameter():
    likelihood = build_likelihood("gaussian", n_vars=3, gaussian_variance="fixed")
    assert not list(likelihood.parameters())
    learned = build_likelihood("gaussian", n_vars=3, gaussian_variance="learned")
    assert [p.shape for p in learned.parameters()] == [(3,)]


def test_poisson_agrees_with_scipy():
    likelihood, outputs, library = _case("poisson")
    rate = torch.softmax(outputs["proportion"], -1) * library
    expected = stats.poisson.logpmf(COUNTS, rate).sum(1)
    found = likelihood.log_prob(COUNTS, outputs, library)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_negative_binomial_agrees_with_scipy():
    likelihood, outputs, library = _case("nb")
    mean = torch.softmax(outputs["proportion"], -1) * library
    theta = likelihood.log_inverse_dispersion.exp().detach()
    expected = stats.nbinom.logpmf(COUNTS, theta, theta / (theta + mean)).sum(1)
    found = likelihood.log_prob(COUNTS, outputs, library).detach()
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_zero_inflation_adds_zeros():
    likelihood, outputs, library = _case("zinb")
    outputs["dropout_logits"] = torch.full((4, 3), 50.0)
    found = likelihood.log_prob(torch.zeros(4, 3), outputs, library).detach()
    np.testing.assert_allclose(found, np.zeros(4), atol=1e-3)


def test_bernoulli_takes_soft_labels():
    likelihood, outputs, library = _case("bernoulli")
    x = torch.full((4, 3), 0.25)
    p = torch.sigmoid(outputs["logits"])
    expected = (x * p.log() + (1 - x) * (1 - p).log()).sum(-1)
    torch.testing.assert_close(likelihood.log_prob(x, outputs, library), expected)


@pytest.mark.parametrize("name", ["poisson", "nb", "zinb"])
def test_expected_counts_sum_to_the_library(name):
    likelihood, outputs, library = _case(name)
    torch.testing.assert_close(likelihood.expected(outputs, library).sum(1, keepdim=True), library)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_mean_of_draws_is_the_expected_value(name):
    if name == "zinb":
        pytest.skip("`expected` leaves out the dropouts")
    torch.manual_seed(0)
    likelihood, outputs, library = _case(name)
    n = 4000
    draws = torch.stack([likelihood.distribution(outputs, library).sample() for _ in range(n)])
    tolerance = 4.5 * draws.std(0) / n**0.5 + 1e-3
    assert ((draws.mean(0) - likelihood.expected(outputs, library)).abs() < tolerance).all()


def test_counts_move_to_the_new_mean_and_stay_counts():
    torch.manual_seed(0)
    likelihood = build_likelihood("poisson", n_vars=3)
    before, after = torch.tensor([[4.0, 4.0, 0.2]]), torch.tensor([[1.0, 4.0, 0.9]])
    x = torch.poisson(before.expand(20_000, 3))
    moved = likelihood.moved(x, before=before, after=after)
    assert (moved >= 0).all()
    assert (moved == moved.round()).all()
    torch.testing.assert_close(moved.mean(0), after[0], atol=0.05, rtol=0)
    # What does not change is not touched
    torch.testing.assert_close(moved[:, 1], x[:, 1])


def test_real_values_move_by_the_difference_and_fractions_stay_fractions():
    x, before, after = torch.tensor([[0.9]]), torch.tensor([[0.2]]), torch.tensor([[0.5]])
    moved = {
        name: float(build_likelihood(name, n_vars=1).moved(x, before=before, after=after))
        for name in ("gaussian", "bernoulli")
    }
    assert moved["gaussian"] == pytest.approx(1.2)
    assert moved["bernoulli"] == 1.0


def test_genes_that_nothing_is_expected_of_stay_numbers():
    likelihood, zeros = build_likelihood("poisson", n_vars=3), torch.zeros(2, 3)
    assert torch.equal(likelihood.moved(zeros, before=zeros, after=zeros), zeros)
    # An exponential of 200 is none in single precision
    by_factor = build_likelihood("nb", n_vars=3, library_is_size_factor=True)
    expected = by_factor.expected({"proportion": torch.full((2, 3), 200.0)}, torch.ones(2, 1))
    assert expected.isfinite().all()
