"""The same objective as a bare PyTorch loop: what the networks cost without any framework.

Dense data, plain layers, one Adam for the VAE and one for the discriminator, the likelihoods as
scvi-tools and PyTorch have them (for `nb` and `zinb`, special functions on every entry).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import scvi.distributions
import torch
from torch import nn
from torch.nn import functional

from scsalient import objective
from scsalient.module._contrastive import TRANSPLANT_TOLERANCE, TRANSPLANTED_SHARES

if TYPE_CHECKING:
    from scipy import sparse
    from torch import Tensor


def encoder(n_genes: int, n_hidden: int, n_latent: int, *, deep: bool) -> nn.Sequential:
    """One hidden layer, or two that are normalised."""
    sizes = [(n_genes, n_hidden), (n_hidden, n_hidden)][: 1 + deep]
    layers: list[nn.Module] = []
    for n_in, n_out in sizes:
        norm = [nn.LayerNorm(n_out, elementwise_affine=False)] if deep else []
        layers += [nn.Linear(n_in, n_out), *norm, nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(n_hidden, 2 * n_latent))


class BareModel(nn.Module):
    def __init__(self, n_genes: int, *, n_latent: int, n_hidden: int, likelihood: str) -> None:
        super().__init__()
        self.likelihood = likelihood
        # Of the salient and of the background latent, as the model has them by default
        self.encoders = nn.ModuleList(
            encoder(n_genes, n_hidden, n_latent, deep=deep)
            for deep in (True, likelihood == "gaussian")
        )
        self.decoder = nn.Sequential(nn.Linear(2 * n_latent, n_hidden), nn.ReLU())
        self.output = nn.Linear(n_hidden, n_genes)
        self.dropout = nn.Linear(n_hidden, n_genes) if likelihood == "zinb" else None
        self.log_scale = nn.Parameter(torch.zeros(n_genes))

    def mean(self, x: Tensor, hidden: Tensor) -> Tensor:
        out = self.output(hidden)
        if self.likelihood == "gaussian":
            return out
        return functional.softmax(out, -1) * x.sum(1, keepdim=True)

    def log_prob(self, x: Tensor, hidden: Tensor) -> Tensor:
        mean = self.mean(x, hidden)
        if self.likelihood == "gaussian":
            normal = torch.distributions.Normal(mean, self.log_scale.exp(), validate_args=False)
            return normal.log_prob(x).sum(-1)
        theta = self.log_scale.exp()
        if self.dropout is None:
            counts = scvi.distributions.NegativeBinomial(mu=mean, theta=theta, validate_args=False)
        else:
            counts = scvi.distributions.ZeroInflatedNegativeBinomial(
                mu=mean, theta=theta, zi_logits=self.dropout(hidden), validate_args=False
            )
        return counts.log_prob(x).sum(-1)


@torch.no_grad()
def transplanted(model: BareModel, x: Tensor, s: Tensor, z: Tensor) -> Tensor:
    hidden = [model.decoder(torch.cat([salient, z], 1)) for salient in (torch.zeros_like(s), s)]
    before, after = (model.mean(x, h) for h in hidden)
    if model.likelihood == "gaussian":
        return x + after - before
    kept = x * (after / before.clamp(min=1e-8)).clamp(max=1.0)
    return (kept + (after - before).clamp(min=0.0) + torch.rand_like(x)).floor()


def train_bare(
    x: sparse.csr_matrix,
    treated: np.ndarray,
    *,
    likelihood: str,
    n_latent: int,
    n_hidden: int,
    batch_size: int,
    n_epochs: int,
    device: str,
    weights: tuple[float, float, float, float] = (50.0, 1000.0, 1.0, 1.0),
) -> list[float]:
    """Train on groups of equal size and return the seconds of each epoch."""
    model = BareModel(x.shape[1], n_latent=n_latent, n_hidden=n_hidden, likelihood=likelihood)
    discriminator = nn.Sequential(
        nn.Linear(2 * n_latent, 64),
        nn.LeakyReLU(0.2),
        nn.Linear(64, 64),
        nn.LeakyReLU(0.2),
        nn.Linear(64, 1),
    )
    model.to(device)
    discriminator.to(device)
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)
    their_adam = torch.optim.Adam(discriminator.parameters(), lr=1e-3)
    dense = torch.as_tensor(x.toarray(), device=device)
    groups = [torch.as_tensor(np.flatnonzero(mask)) for mask in (treated, ~treated)]
    tc_weight, mmd_weight, pull_weight, transplant_weight = weights
    share = TRANSPLANTED_SHARES["real" if likelihood == "gaussian" else "counts"]
    seconds = []
    for _ in range(n_epochs):
        start = time.perf_counter()
        orders = [group[torch.randperm(len(group))] for group in groups]
        for first in range(0, len(orders[0]), batch_size):
            rows = [order[first : first + batch_size] for order in orders]
            n = len(rows[0])
            batch = dense[torch.cat(rows).to(device)]
            seen = batch if likelihood == "gaussian" else batch.log1p()
            (s_mean, s_raw), (z_mean, z_raw) = (e(seen).chunk(2, 1) for e in model.encoders)
            s_var, z_var = s_raw.exp() + 1e-4, z_raw.exp() + 1e-4
            s = s_mean + s_var.sqrt() * torch.randn_like(s_mean)
            z = z_mean + z_var.sqrt() * torch.randn_like(z_mean)
            s_target, z_target = s[:n], z[:n]
            latent = torch.cat([torch.cat([s_target, torch.zeros_like(s[n:])]), z], 1)
            elbo = model.log_prob(batch, model.decoder(latent))
            elbo = elbo - objective.kl_to_standard_normal(z_mean, z_var)
            kl = objective.kl_to_standard_normal(s_mean[:n], s_var[:n]).mean()
            loss = kl - elbo[:n].mean() - elbo[n:].mean()
            loss = loss + tc_weight * objective.total_correlation(discriminator, s_target, z_target)
            loss = loss + mmd_weight * objective.maximum_mean_discrepancy(z_target, z[n:])
            pull = objective.expected_squared_norm(s_mean[n:], s_var[n:])
            loss = loss + pull_weight * pull.mean()
            donors, hosts = (torch.randperm(n)[: -(-n // share)] for _ in range(2))
            known = s_mean[donors].detach()
            moved = transplanted(model, batch[n + hosts], known, z[n + hosts].detach())
            moved = moved if likelihood == "gaussian" else moved.log1p()
            found, found_raw = model.encoders[0](moved).chunk(2, 1)
            variance = found_raw.exp() + 1e-4
            surprise = objective.surprise(known, found, variance, tolerance=TRANSPLANT_TOLERANCE)
            loss = loss + transplant_weight * surprise.mean()
            adam.zero_grad()
            loss.backward()
            adam.step()

            order = torch.randperm(n, device=device)
            theirs = objective.discriminator_loss(
                discriminator, s_target, z_target, permuted_salient=s_target.detach()[order]
            )
            their_adam.zero_grad()
            theirs.backward()
            their_adam.step()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return seconds
