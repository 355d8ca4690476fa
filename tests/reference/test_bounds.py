"""The ELBO against models whose likelihood is known exactly, or by quadrature."""

from __future__ import annotations

import numpy as np
import pytest
import scvi
import torch
from scipy import special, stats
from scvi import REGISTRY_KEYS
from torch import nn

from factories import QUIET, make_counts
from scsalient import StandardVAE
from scsalient.data import Role
from scsalient.module import ContrastiveVAEModule

N_VARS, N_SALIENT, N_BACKGROUND = 6, 2, 3
# Of the Gaussian with fixed variance, which keeps a ten thousandth as its least
NOISE = 1.0 + 1e-4


class _LinearDecoder(nn.Module):
    """x = loadings (s, z) + offset."""

    def __init__(self, loadings, offset):
        super().__init__()
        self.loadings, self.offset = loadings, offset

    def forward(self, latent, covariates):
        return {"mean": latent @ self.loadings.T + self.offset}


class _ExactEncoder(nn.Module):
    """Posterior of latents with orthogonal loadings, which is a product over dimensions."""

    def __init__(self, loadings, offset):
        super().__init__()
        self.loadings, self.offset = loadings, offset

    def forward(self, x, covariates):
        scale = self.loadings.square().sum(0) + NOISE
        mean = (x - self.offset) @ self.loadings / scale
        return mean, (NOISE / scale).expand_as(mean)


@pytest.fixture
def linear():
    rng = np.random.default_rng(0)
    axes, _ = np.linalg.qr(rng.normal(size=(N_VARS, N_SALIENT + N_BACKGROUND)))
    loadings = torch.as_tensor(axes * rng.uniform(0.5, 3, axes.shape[1]), dtype=torch.float32)
    offset = torch.as_tensor(rng.normal(size=N_VARS), dtype=torch.float32)
    module = ContrastiveVAEModule(
        N_VARS,
        n_salient_latent=N_SALIENT,
        n_background_latent=N_BACKGROUND,
        likelihood="gaussian",
        gaussian_variance="fixed",
        tc_weight=0.0,
        mmd_weight=0.0,
        background_salient_weight=0.0,
        transplant_weight=0.0,
    )
    module.decoder = _LinearDecoder(loadings, offset)
    module.salient_encoder = _ExactEncoder(loadings[:, :N_SALIENT], offset)
    module.background_encoder = _ExactEncoder(loadings[:, N_SALIENT:], offset)
    n = 20
    tensors = {
        REGISTRY_KEYS.X_KEY: torch.as_tensor(rng.normal(size=(n, N_VARS)) * 2).float(),
        REGISTRY_KEYS.BATCH_KEY: torch.zeros(n, 1),
        "role": torch.as_tensor(rng.permutation([Role.TARGET] * 12 + [Role.BACKGROUND] * 8))[
            :, None
        ],
    }
    return module, tensors, loadings.numpy(), offset.numpy()


def log_evidence(x, loadings, offset):
    covariance = loadings @ loadings.T + NOISE * np.eye(N_VARS)
    return stats.multivariate_normal(offset, covariance).logpdf(x)


def test_with_the_exact_posterior_the_bound_is_the_evidence(linear):
    """Paper eq. 3 and 4: target cells have both latents, background cells z alone."""
    module, tensors, loadings, offset = linear
    x = tensors[REGISTRY_KEYS.X_KEY].numpy()
    is_target = tensors["role"].numpy().ravel() == Role.TARGET
    evidence = np.where(
        is_target,
        log_evidence(x, loadings, offset),
        log_evidence(x, loadings[:, N_SALIENT:], offset),
    )
    torch.manual_seed(0)
    bounds, losses = [], []
    with torch.no_grad():
        for _ in range(800):
            inference = module.inference(tensors)
            generative = module.generative(tensors, inference["samples"])
            output = module.loss(tensors, inference, generative)
            terms = (output.reconstruction_loss, output.kl_local)
            parts = [next(iter(t.values())) if isinstance(t, dict) else t for t in terms]
            bounds.append(-(parts[0] + parts[1]))
            losses.append(float(output.loss))
    draws = torch.stack(bounds).numpy()
    error = 4 * draws.std(axis=0) / np.sqrt(len(draws)) + 1e-3
    assert (np.abs(draws.mean(axis=0) - evidence) < error).all()
    expected_loss = -evidence[is_target].mean() - evidence[~is_target].mean()
    tolerance = 4 * np.std(losses) / np.sqrt(len(losses)) + 1e-3
    assert np.mean(losses) == pytest.approx(expected_loss, abs=tolerance)


def test_with_another_posterior_the_bound_is_lower(linear):
    module, tensors, loadings, offset = linear
    module.background_encoder.offset = module.background_encoder.offset + 1.0
    x = tensors[REGISTRY_KEYS.X_KEY].numpy()
    target = tensors["role"].numpy().ravel() == Role.TARGET
    torch.manual_seed(0)
    with torch.no_grad():
        draws = []
        for _ in range(200):
            inference = module.inference(tensors)
            output = module.loss(
                tensors, inference, module.generative(tensors, inference["samples"])
            )
            draws.append(float(output.loss))
    evidence = log_evidence(x[target], loadings, offset).mean()
    evidence += log_evidence(x[~target], loadings[:, N_SALIENT:], offset).mean()
    assert np.mean(draws) > -evidence + 0.1


def test_bound_and_evidence_of_a_trained_model_by_quadrature():
    """One latent dimension, so that both integrals can be taken on a grid."""
    scvi.settings.seed = 0
    adata = make_counts(40, 20)
    StandardVAE.setup_anndata(adata)
    model = StandardVAE(adata, n_latent=1, n_hidden=16, likelihood="poisson")
    model.train(60, **QUIET)
    mean, variance = model.get_latent_representation(return_dist=True)
    grid = np.linspace(-12, 12, 4001)
    counts = adata.X.toarray()
    with torch.no_grad():
        from scsalient.nn import Covariates

        codes = torch.zeros(len(grid), 1, dtype=torch.long)
        latent = torch.as_tensor(grid[:, None], dtype=torch.float32)
        logits = model.module.decode({"background": latent}, Covariates((codes,)))["proportion"]
    shares = special.softmax(logits.numpy().astype(float), axis=1)
    rates = counts.sum(1)[:, None, None] * shares[None]
    log_prob = stats.poisson.logpmf(counts[:, None, :], rates).sum(2)
    step = grid[1] - grid[0]
    q = stats.norm.pdf(grid, mean, np.sqrt(variance))
    kl = 0.5 * (mean**2 + variance - np.log(variance) - 1).ravel()
    bound = (q * log_prob).sum(1) * step - kl
    evidence = special.logsumexp(log_prob + stats.norm.logpdf(grid), axis=1) + np.log(step)

    draws = np.array([model.get_elbo(return_mean=False, n_samples=200) for _ in range(5)])
    np.testing.assert_allclose(draws.mean(0), bound, atol=0.5, rtol=0)
    assert np.abs(draws.mean() - bound.mean()) < 0.02
    assert (bound < evidence + 1e-6).all()
