from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scsalient.likelihoods import _count_terms, build_likelihood


def _case(name: str, *, density: float, library: float, size_factor: bool, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    likelihood = build_likelihood(name, n_vars=30, library_is_size_factor=size_factor)
    if name != "poisson":
        # Inverse dispersions from 0.02 to 50
        theta = torch.empty(30).uniform_(-4.0, 4.0, generator=generator)
        likelihood.log_inverse_dispersion.data = theta
    outputs = {
        head: torch.randn(8, 30, generator=generator).mul_(2.0).requires_grad_()
        for head in likelihood.heads
    }
    counts = torch.empty(8, 30).geometric_(0.2, generator=generator)
    kept = torch.rand(8, 30, generator=generator) < density
    return likelihood, outputs, counts * kept, torch.full((8, 1), library)


def _value_and_gradients(log_prob, likelihood, outputs):
    leaves = [*outputs.values(), *likelihood.parameters()]
    weights = torch.linspace(-1.0, 2.0, 8)
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
    monkeypatch.setattr(_count_terms, "_found", lambda x: _count_terms._AllEntries(x))
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
