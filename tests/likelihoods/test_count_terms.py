from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse, stats

from scsalient.likelihoods import _count_terms, _counts, build_likelihood
from scsalient.loaders import SparseRows

# So many that gamma functions are looked up where an eighth of the counts is not zero
N_ROWS = 80


def _case(name: str, *, density: float, library: float, size_factor: bool, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    likelihood = build_likelihood(name, n_vars=30, library_is_size_factor=size_factor)
    if name != "poisson":
        # Inverse dispersions from 0.02 to 50
        theta = torch.empty(30).uniform_(-4.0, 4.0, generator=generator)
        likelihood.log_inverse_dispersion.data = theta
    outputs = {
        head: torch.randn(N_ROWS, 30, generator=generator).mul_(2.0).requires_grad_()
        for head in likelihood.heads
    }
    counts = torch.empty(N_ROWS, 30).geometric_(0.2, generator=generator)
    kept = torch.rand(N_ROWS, 30, generator=generator) < density
    return likelihood, outputs, counts * kept, torch.full((N_ROWS, 1), library)


def _value_and_gradients(log_prob, likelihood, outputs):
    leaves = [*outputs.values(), *likelihood.parameters()]
    weights = torch.linspace(-1.0, 2.0, N_ROWS)
    return log_prob.detach(), torch.autograd.grad((log_prob * weights).sum(), leaves)


@pytest.mark.parametrize("size_factor", [False, True])
@pytest.mark.parametrize("density", [0.0, 0.12, 1.0])
@pytest.mark.parametrize("name", ["poisson", "nb", "zinb"])
def test_value_and_gradient_are_those_of_scvi_tools(name, density, size_factor):
    _check(*_case(name, density=density, library=3e3, size_factor=size_factor))


@given(
    name=st.sampled_from(["poisson", "nb", "zinb"]),
    density=st.floats(0.0, 1.0),
    library=st.floats(1.0, 1e5),
    seed=st.integers(0, 2**16),
)
def test_value_and_gradient_whatever_the_data(name, density, library, seed):
    _check(*_case(name, density=density, library=library, size_factor=False, seed=seed))


@pytest.mark.parametrize("density", [0.0, 0.12, 1.0])
@pytest.mark.parametrize("name", ["poisson", "nb", "zinb"])
def test_value_and_gradient_with_zeros_written_out(name, density, monkeypatch):
    # As on an accelerator, which does not look for them
    monkeypatch.setattr(_counts, "entries", _count_terms._All)
    _check(*_case(name, density=density, library=3e3, size_factor=False))


def _check(likelihood, outputs, x, library):
    found = likelihood.log_prob(x, outputs, library)
    value, gradients = _value_and_gradients(found, likelihood, outputs)
    # The reference in double precision, so that only our own rounding shows
    likelihood, outputs = likelihood.double(), {k: v.double() for k, v in outputs.items()}
    outputs = {k: v.detach().requires_grad_() for k, v in outputs.items()}
    distribution = likelihood.distribution(outputs, library.double())
    reference = distribution.log_prob(x.double()).sum(-1)
    expected, expected_gradients = _value_and_gradients(reference, likelihood, outputs)
    # Terms of the size of the library cancel, in the value and in the gradient of the softmax.
    largest_term = float(expected.abs().max() + library.max())
    torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=2e-6 * largest_term)
    for ours, theirs in zip(gradients, expected_gradients, strict=True):
        atol = 2e-6 * max(largest_term, float(theirs.abs().max()))
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-4, atol=atol)


@pytest.mark.parametrize("change", [None, 0.5])
def test_gamma_functions_that_are_looked_up_are_those_of_torch(change, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    x = torch.empty(60, 20, dtype=torch.double).geometric_(0.2, generator=generator)
    if change is not None:
        # Not a count
        x[3, 4] = change
    theta = torch.empty(20, dtype=torch.double).uniform_(-4.0, 4.0, generator=generator).exp_()
    rows = SparseRows.of_dense(x)
    found = _count_terms.entries(rows).gamma(theta)
    monkeypatch.setattr(_count_terms, "_MAX_TABLED", 10**6)
    for ours, theirs in zip(found, _count_terms.entries(rows).gamma(theta), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("name", ["poisson", "nb", "zinb"])
def test_a_zero_that_is_stored_is_a_zero(name):
    likelihood, outputs, x, library = _case(name, density=0.12, library=3e3, size_factor=False)
    matrix = sparse.csr_matrix(x.numpy())
    matrix.data[::3] = 0
    rows = SparseRows.of_csr(matrix)
    found = _value_and_gradients(likelihood.log_prob(rows, outputs, library), likelihood, outputs)
    written_out = likelihood.log_prob(rows.dense(), outputs, library)
    expected = _value_and_gradients(written_out, likelihood, outputs)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", ["nb", "zinb"])
def test_doubles_beside_single_parameters_and_outputs_in_columns(name):
    likelihood, outputs, x, library = _case(name, density=0.12, library=3e3, size_factor=False)
    expected = likelihood.log_prob(x, outputs, library)
    doubles = {head: values.double() for head, values in outputs.items()}
    found = likelihood.log_prob(x.double(), doubles, library.double())
    assert found.dtype == torch.double
    torch.testing.assert_close(found.float(), expected)
    in_columns = {head: values.T.contiguous().T for head, values in outputs.items()}
    torch.testing.assert_close(likelihood.log_prob(x, in_columns, library), expected)


@pytest.mark.parametrize("n_rows", [2, 80])
def test_large_counts_of_a_variable_that_is_nearly_poisson(n_rows):
    generator = torch.Generator().manual_seed(0)
    x = torch.poisson(torch.full((n_rows, 20), 20.0), generator=generator)
    likelihood = build_likelihood("nb", n_vars=20)
    torch.nn.init.constant_(likelihood.log_inverse_dispersion, 12.0)
    outputs, library = {"proportion": torch.zeros(n_rows, 20)}, torch.full((n_rows, 1), 400.0)
    found = likelihood.log_prob(x, outputs, library)
    exact = stats.nbinom.logpmf(x.double(), np.exp(12.0), 1 / (1 + 20 / np.exp(12.0))).sum(1)
    np.testing.assert_allclose(found.detach(), exact, atol=0.02)
