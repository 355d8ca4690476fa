"""Algebra of the objective, for any numbers."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scsalient import objective
from scsalient.module._groups import Groups
from scsalient.nn import build_discriminator

VALUES = st.floats(-4, 4, width=32)
VARIANCES = st.floats(0.0625, 8, width=32)
SHAPES = st.tuples(st.integers(1, 8), st.integers(1, 4))


@st.composite
def two_samples(draw):
    n_latent = draw(st.integers(1, 4))
    shapes = [(draw(st.integers(1, 8)), n_latent) for _ in range(2)]
    return [torch.as_tensor(draw(hnp.arrays(np.float32, s, elements=VALUES))) for s in shapes]


@st.composite
def posterior(draw):
    shape = draw(SHAPES)
    mean = draw(hnp.arrays(np.float32, shape, elements=VALUES))
    variance = draw(hnp.arrays(np.float32, shape, elements=VARIANCES))
    return torch.as_tensor(mean), torch.as_tensor(variance)


@given(posterior())
def test_divergence_is_that_of_torch(given_posterior):
    mean, variance = given_posterior
    q = torch.distributions.Normal(mean, variance.sqrt())
    p = torch.distributions.Normal(0.0, 1.0)
    expected = torch.distributions.kl_divergence(q, p).sum(-1)
    found = objective.kl_to_standard_normal(mean, variance)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert (found > -1e-5).all()


@given(posterior())
def test_gradients_of_the_divergence_are_those_of_numbers(given_posterior):
    mean, variance = (values.double().requires_grad_() for values in given_posterior)
    torch.autograd.gradcheck(objective.kl_to_standard_normal, (mean, variance))
    torch.autograd.gradcheck(objective.expected_squared_norm, (mean, variance))


@given(posterior())
def test_squared_norm_is_second_moment(given_posterior):
    mean, variance = given_posterior
    found = objective.expected_squared_norm(mean, variance)
    assert (found >= mean.square().sum(-1)).all()
    shrunk = objective.expected_squared_norm(mean * 0, variance)
    torch.testing.assert_close(found - mean.square().sum(-1), shrunk, rtol=1e-4, atol=1e-4)


@given(two_samples(), st.randoms(use_true_random=False))
def test_discrepancy_is_symmetric_bounded_and_blind_to_the_order(samples, random):
    x, y = samples
    found = objective.maximum_mean_discrepancy(x, y)
    assert 0 <= float(found) <= 2
    torch.testing.assert_close(found, objective.maximum_mean_discrepancy(y, x), rtol=0, atol=1e-5)
    order = list(range(len(x)))
    random.shuffle(order)
    reordered = objective.maximum_mean_discrepancy(x[order], y)
    torch.testing.assert_close(found, reordered, rtol=0, atol=1e-5)
    assert float(objective.maximum_mean_discrepancy(x, x[order])) < 1e-5
    shifted = objective.maximum_mean_discrepancy(x + 1, y + 1)
    torch.testing.assert_close(found, shifted, rtol=0, atol=1e-3)


@given(hnp.arrays(np.float32, st.integers(1, 20), elements=VALUES), st.data())
def test_means_of_both_groups(values, data):
    is_target = data.draw(hnp.arrays(np.bool_, values.shape))
    groups = Groups.of(torch.as_tensor(is_target), dtype=torch.float32)
    found = groups.means(torch.as_tensor(values), torch.as_tensor(2 * values))
    for mean, rows in zip(found, (is_target, ~is_target), strict=True):
        expected = values[rows].mean() if rows.any() else 0.0
        np.testing.assert_allclose(mean, [expected, 2 * expected], rtol=1e-5, atol=1e-5)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_warmup_rises_from_zero_to_one(first, second, fraction):
    low, high = (objective.linear_warmup(p, fraction) for p in sorted((first, second)))
    assert 0 <= low <= high <= 1
    assert objective.linear_warmup(1.0, fraction) == 1


@given(two_samples(), st.sampled_from(["mlp", "logistic"]))
def test_total_correlation_is_the_mean_of_log_odds(samples, kind):
    s, z = samples
    n = min(len(s), len(z))
    s, z = s[:n], z[:n]
    discriminator = build_discriminator(kind, n_input=s.shape[1] + z.shape[1])
    d = torch.sigmoid(discriminator(torch.cat([s, z], dim=1)).double())
    expected = (d.log() - (1 - d).log()).mean()
    found = objective.total_correlation(discriminator, s, z)
    torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-4)
    loss = objective.discriminator_loss(discriminator, s, z, permuted_salient=s)
    # The same pairs with both labels: nothing beats log 2
    assert float(loss.detach()) >= np.log(2) - 1e-5
