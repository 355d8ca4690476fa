"""Total correlation by the density-ratio trick (paper eq. 5 and 14, app. C)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from scsalient.nn import at_least_single

if TYPE_CHECKING:
    from torch import Tensor, nn


def discriminator_logits(
    discriminator: nn.Module, salient: Tensor, background: Tensor, *, frozen: bool = False
) -> Tensor:
    """Logit of the discriminator for each pair, optionally as a fixed function.

    Parameters
    ----------
    discriminator
        Maps ``(n_pairs, n_salient + n_background)`` to ``(n_pairs, 1)``.
    salient, background
        Latents, shapes ``(n_pairs, n_salient)`` and ``(n_pairs, n_background)``.
    frozen
        Whether the parameters count as constants, so that a gradient reaches the latents only.

    Returns
    -------
    Logits, shape ``(n_pairs,)``.
    """
    pairs = torch.cat([salient, background], dim=-1)
    parameters = discriminator.parameters() if frozen else ()
    learned = [p for p in parameters if p.requires_grad]
    for parameter in learned:
        parameter.requires_grad_(False)
    try:
        logits = discriminator(pairs)
    finally:
        for parameter in learned:
            parameter.requires_grad_(True)
    return at_least_single(logits).squeeze(-1)


def total_correlation(discriminator: nn.Module, salient: Tensor, background: Tensor) -> Tensor:
    r"""Estimate of the total correlation of ``s`` and ``z`` (paper eq. 14).

    With a discriminator :math:`D` that tells pairs of the joint distribution from pairs of the
    product of the marginals, :math:`TC \approx E[\log D / (1 - D)]`, the mean of its logit over
    the joint pairs. The discriminator is held constant: the gradient reaches the encoders only.

    Parameters
    ----------
    discriminator
        Maps ``(n_pairs, n_salient + n_background)`` to a logit, ``(n_pairs, 1)``.
    salient, background
        Latents of target cells, shapes ``(n_pairs, n_salient)`` and ``(n_pairs, n_background)``.

    Returns
    -------
    Total correlation in nats, a scalar; zero when there are no pairs.
    """
    if salient.shape[0] == 0:
        return salient.sum() * 0.0
    return discriminator_logits(discriminator, salient, background, frozen=True).mean()


def discriminator_loss(
    discriminator: nn.Module, salient: Tensor, background: Tensor, *, permuted_salient: Tensor
) -> Tensor:
    r"""Binary cross-entropy of the discriminator.

    Parameters
    ----------
    discriminator
        Maps ``(n_pairs, n_salient + n_background)`` to a logit, ``(n_pairs, 1)``.
    salient, background
        Latents of target cells, joint pairs. Used without their gradient.
    permuted_salient
        The same salient latents in another order: pairs of the product of the marginals.

    Returns
    -------
    Mean cross-entropy in nats, a scalar; :math:`\log 2` when nothing can be told apart.
    """
    background = background.detach()
    both = torch.cat([salient.detach(), permuted_salient.detach()])
    logits = discriminator_logits(discriminator, both, torch.cat([background, background]))
    joint, product = logits.split(salient.shape[0])
    # Cross-entropy of label 1 is softplus(-logit), of label 0 softplus(logit).
    return 0.5 * (functional.softplus(-joint).mean() + functional.softplus(product).mean())
