"""Closed forms against their definitions, written out slowly."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from sklearn.metrics import silhouette_samples

from factories import make_counts
from scsalient import baselines, metrics
from scsalient.objective import maximum_mean_discrepancy


@pytest.mark.parametrize("alpha", [0.0, 0.7, 3.0])
def test_contrastive_pca_is_the_eigendecomposition_of_the_paper(alpha):
    """Abid et al. 2018: the leading eigenvectors of C_target - alpha C_background."""
    adata = make_counts(50, 40, 8)
    adata.X = np.log1p(adata.X.toarray())
    baselines.contrastive_pca(adata, "condition", "control", alpha=alpha, n_components=3)
    target = (adata.obs["condition"] == "treated").to_numpy()
    x = np.asarray(adata.X, dtype=float)
    contrast = np.cov(x[target].T) - alpha * np.cov(x[~target].T)
    values, vectors = np.linalg.eig(contrast)
    order = np.argsort(-values.real)[:3]
    np.testing.assert_allclose(adata.uns["cpca"]["eigenvalues"], values.real[order], rtol=1e-6)
    overlap = np.abs(adata.varm["cPCs"].T @ vectors.real[:, order])
    np.testing.assert_allclose(overlap, np.eye(3), atol=1e-5)
    projected = (x - x[target].mean(0)) @ adata.varm["cPCs"]
    np.testing.assert_allclose(adata.obsm["X_cpca"], projected, atol=1e-4)


def test_discrepancy_by_three_double_loops():
    """Gretton et al. 2012, eq. 5, biased, with a mean of Gaussian kernels."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 3)), rng.normal(1, 2, size=(4, 3))

    def kernel(a, b):
        squared = sum((p - q) ** 2 for p, q in zip(a, b, strict=True))
        bandwidths = [0.25 * 3, 0.5 * 3, 1.0 * 3, 2.0 * 3]
        return sum(np.exp(-squared / (2 * b)) for b in bandwidths) / 4

    def mean_kernel(a, b):
        return sum(kernel(p, q) for p, q in itertools.product(a, b)) / (len(a) * len(b))

    expected = mean_kernel(x, x) + mean_kernel(y, y) - 2 * mean_kernel(x, y)
    found = maximum_mean_discrepancy(torch.as_tensor(x), torch.as_tensor(y))
    assert float(found) == pytest.approx(expected, rel=1e-9)


def test_silhouette_by_its_definition():
    """Rousseeuw 1987: (b - a) / max(a, b), with mean distances within and to the next label."""
    rng = np.random.default_rng(0)
    latent, labels = rng.normal(size=(12, 2)), np.repeat([0, 1, 2], 4)
    latent += labels[:, None]
    widths = []
    for i in range(12):
        distances = [np.linalg.norm(latent[i] - latent[j]) for j in range(12)]
        within = [d for j, d in enumerate(distances) if labels[j] == labels[i] and j != i]
        others = [
            np.mean([d for j, d in enumerate(distances) if labels[j] == label])
            for label in set(labels) - {labels[i]}
        ]
        a, b = np.mean(within), min(others)
        widths.append((b - a) / max(a, b))
    np.testing.assert_allclose(silhouette_samples(latent, labels), widths)
    assert metrics.silhouette(latent, labels) == pytest.approx(np.mean(widths))


def test_distance_correlation_by_its_definition():
    """Szekely and Rizzo 2014: cosine of the U-centred distance matrices."""
    rng = np.random.default_rng(0)
    s = rng.normal(size=(15, 2))
    z = np.hstack([s[:, :1] ** 2, rng.normal(size=(15, 1))])

    def centred(x):
        n = len(x)
        d = np.array([[np.linalg.norm(p - q) for q in x] for p in x])
        u = np.zeros_like(d)
        for i, j in itertools.product(range(n), repeat=2):
            if i != j:
                u[i, j] = d[i, j] - d[i].sum() / (n - 2) - d[:, j].sum() / (n - 2)
                u[i, j] += d.sum() / ((n - 1) * (n - 2))
        return u

    a, b = centred(s), centred(z)
    expected = (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())
    assert metrics.independence(s, z) == pytest.approx(expected, rel=1e-9)
