from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from scsalient import objective
from scsalient.nn import build_discriminator


def test_kl_equals_torch_distributions():
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(7, 4, generator=generator)
    variance = torch.rand(7, 4, generator=generator) + 0.1
    posterior = Independent(Normal(mean, variance.sqrt()), 1)
    prior = Independent(Normal(torch.zeros(7, 4), torch.ones(7, 4)), 1)
    torch.testing.assert_close(
        objective.kl_to_standard_normal(mean, variance), kl_divergence(posterior, prior)
    )


def test_kl_is_zero_at_the_prior():
    kl = objective.kl_to_standard_normal(torch.zeros(3, 5), torch.ones(3, 5))
    torch.testing.assert_close(kl, torch.zeros(3))


def _correlated(rho: float, n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    s = torch.randn(n, 1, generator=generator)
    noise = torch.randn(n, 1, generator=generator)
    return s, rho * s + math.sqrt(1 - rho**2) * noise


def _estimate(kind: str, rho: float) -> float:
    torch.manual_seed(0)
    discriminator = build_discriminator(kind, n_input=2)
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=5e-3)
    for step in range(400):
        s, z = _correlated(rho, 512, seed=step)
        loss = objective.discriminator_loss(
            discriminator, s, z, permuted_salient=s[torch.randperm(512)]
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    s, z = _correlated(rho, 20_000, seed=10_000)
    return objective.total_correlation(discriminator, s, z).item()


def test_mlp_estimates_the_analytic_total_correlation():
    rho = 0.8
    analytic = -0.5 * math.log(1 - rho**2)
    assert _estimate("mlp", rho) == pytest.approx(analytic, rel=0.2)


def test_mlp_estimates_near_zero_for_independent_latents():
    assert abs(_estimate("mlp", 0.0)) < 0.03


def test_logistic_discriminator_cannot_see_dependence():
    assert abs(_estimate("logistic", 0.8)) < 0.03


def test_total_correlation_gradient_reaches_the_latents_only():
    discriminator = build_discriminator("mlp", n_input=4)
    s = torch.randn(8, 2, requires_grad=True)
    z = torch.randn(8, 2, requires_grad=True)
    objective.total_correlation(discriminator, s, z).backward()
    assert s.grad.abs().sum() > 0
    assert z.grad.abs().sum() > 0
    assert all(p.grad is None for p in discriminator.parameters())


def test_discriminator_gradient_reaches_the_discriminator_only():
    discriminator = build_discriminator("mlp", n_input=4)
    s = torch.randn(8, 2, requires_grad=True)
    z = torch.randn(8, 2, requires_grad=True)
    objective.discriminator_loss(discriminator, s, z, permuted_salient=s.flip(0)).backward()
    assert s.grad is None
    assert z.grad is None
    assert any(p.grad.abs().sum() > 0 for p in discriminator.parameters())


def test_discriminator_loss_is_log_two_without_information():
    discriminator = build_discriminator("logistic", n_input=2)
    torch.nn.init.zeros_(discriminator.weight)
    torch.nn.init.zeros_(discriminator.bias)
    s, z = torch.randn(5, 1), torch.randn(5, 1)
    loss = objective.discriminator_loss(discriminator, s, z, permuted_salient=s)
    assert loss.item() == pytest.approx(math.log(2), rel=1e-6)


def test_mmd_is_zero_for_equal_samples():
    x = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    assert float(objective.maximum_mean_discrepancy(x, x)) == pytest.approx(0, abs=1e-6)


def test_mmd_equals_a_sum_over_pairs():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 3)), rng.normal(1, 1, size=(9, 3))

    def kernel(a, b):
        d2 = ((a[:, None] - b[None]) ** 2).sum(-1)
        return np.mean([np.exp(-d2 / (2 * 3 * b_)) for b_ in (0.25, 0.5, 1.0, 2.0)], axis=0)

    expected = kernel(x, x).mean() + kernel(y, y).mean() - 2 * kernel(x, y).mean()
    found = objective.maximum_mean_discrepancy(torch.tensor(x), torch.tensor(y))
    assert float(found) == pytest.approx(expected, rel=1e-6)


def test_mmd_grows_with_the_shift():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 2, generator=generator)
    values = [float(objective.maximum_mean_discrepancy(x, x + shift)) for shift in (0.5, 1, 2)]
    assert 0 < values[0] < values[1] < values[2]


def test_mmd_of_an_empty_sample_is_zero_and_differentiable():
    x = torch.randn(4, 2, requires_grad=True)
    value = objective.maximum_mean_discrepancy(x, torch.zeros(0, 2))
    value.backward()
    assert value.item() == 0


def test_mmd_gradient_agrees_with_finite_differences():
    x = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    y = torch.randn(4, 2, dtype=torch.float64) + 1
    assert torch.autograd.gradcheck(lambda t: objective.maximum_mean_discrepancy(t, y), (x,))


def test_surprise_is_a_density_of_the_posterior_and_a_tolerance():
    generator = torch.Generator().manual_seed(0)
    value, mean = torch.randn(2, 7, 4, generator=generator)
    variance = torch.rand(7, 4, generator=generator) + 0.1
    density = Independent(Normal(mean, (variance + 0.3).sqrt()), 1).log_prob(value)
    constant = 0.5 * 4 * math.log(2 * math.pi)
    found = objective.surprise(value, mean, variance, tolerance=0.3)
    torch.testing.assert_close(found, -density - constant)


def test_surprise_does_not_reward_certainty_without_bound():
    zero = torch.zeros(1, 1)
    variances = [torch.tensor([[v]]) for v in (1e-4, 1e-8)]
    some, more = [objective.surprise(zero, zero, v, tolerance=0.005) for v in variances]
    assert 0 < (some - more).item() < 0.02


def test_expected_squared_norm_equals_monte_carlo():
    generator = torch.Generator().manual_seed(0)
    mean, variance = torch.tensor([[0.5, -1.0]]), torch.tensor([[0.3, 2.0]])
    n = 200_000
    draws = mean + variance.sqrt() * torch.randn(n, 2, generator=generator)
    squared = draws.square().sum(-1)
    tolerance = 4 * float(squared.std()) / math.sqrt(n)
    found = float(objective.expected_squared_norm(mean, variance))
    assert found == pytest.approx(float(squared.mean()), abs=tolerance)


@pytest.mark.parametrize(
    ("progress", "fraction", "expected"),
    [(0.0, 0.5, 0.0), (0.25, 0.5, 0.5), (0.5, 0.5, 1.0), (1.0, 0.5, 1.0), (0.0, 0.0, 1.0)],
)
def test_linear_warmup(progress, fraction, expected):
    assert objective.linear_warmup(progress, fraction) == expected
