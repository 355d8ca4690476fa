"""What holds for every likelihood, whatever the decoder says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scsalient.likelihoods import LIKELIHOODS, build_likelihood

OUTPUTS = st.floats(-4, 4, width=32)
COUNTS = st.integers(0, 50)
N_VARS = 3


@st.composite
def decoded(draw):
    """Counts, outputs of the decoder for two heads, and library sizes."""
    n = draw(st.integers(1, 5))
    x = draw(hnp.arrays(np.int64, (n, N_VARS), elements=COUNTS))
    heads = [draw(hnp.arrays(np.float32, (n, N_VARS), elements=OUTPUTS)) for _ in range(2)]
    library = draw(hnp.arrays(np.float32, (n, 1), elements=st.floats(1, 1000, width=32)))
    return torch.as_tensor(x).float(), [torch.as_tensor(h) for h in heads], torch.as_tensor(library)


def outputs(likelihood, heads):
    return dict(zip(likelihood.heads, heads, strict=False))


@pytest.mark.parametrize("name", LIKELIHOODS)
@given(decoded())
def test_a_batch_is_its_rows(name, given_decoded):
    x, heads, library = given_decoded
    likelihood = build_likelihood(name, n_vars=N_VARS)
    x = (x > 10).float() if likelihood.support == "unit" else x
    whole = likelihood.log_prob(x, outputs(likelihood, heads), library)
    rows = [
        likelihood.log_prob(
            x[i : i + 1], outputs(likelihood, [h[i : i + 1] for h in heads]), library[i : i + 1]
        )
        for i in range(len(x))
    ]
    torch.testing.assert_close(whole, torch.cat(rows), rtol=1e-4, atol=1e-4)
    assert torch.isfinite(whole).all()


@pytest.mark.parametrize("name", ["poisson", "nb", "zinb"])
@given(decoded())
def test_expected_counts_add_up_to_the_library(name, given_decoded):
    _, heads, library = given_decoded
    likelihood = build_likelihood(name, n_vars=N_VARS)
    expected = likelihood.expected(outputs(likelihood, heads), library)
    torch.testing.assert_close(expected.sum(1, keepdim=True), library, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["poisson", "nb", "zinb"])
@given(st.floats(-2, 2, width=32), st.floats(-2, 2, width=32), st.floats(1, 20, width=32))
def test_probabilities_of_all_counts_add_up_to_one(name, proportion, dropout, library):
    likelihood = build_likelihood(name, n_vars=1, library_is_size_factor=True)
    with torch.no_grad():
        if name != "poisson":
            likelihood.log_inverse_dispersion.fill_(1.0)
    counts = torch.arange(2000.0)[:, None]
    heads = [torch.full_like(counts, proportion), torch.full_like(counts, dropout)]
    size = torch.full_like(counts, library)
    log_prob = likelihood.log_prob(counts, outputs(likelihood, heads), size)
    assert float(log_prob.detach().double().exp().sum()) == pytest.approx(1, abs=2e-3)
