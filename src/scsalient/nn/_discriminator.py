"""The classifier that tells joint pairs of latents from permuted ones."""

from __future__ import annotations

from typing import Literal

from torch import nn


def build_discriminator(
    kind: Literal["mlp", "logistic"], *, n_input: int, n_hidden: int = 64
) -> nn.Module:
    """Discriminator of the total correlation term.

    Parameters
    ----------
    kind
        ``"mlp"``, or ``"logistic"``, the paper's logistic regression. Joint and permuted pairs
        have the same marginals and a linear logit sees nothing else, so the latter cannot see
        any dependence; it is there to reproduce the paper.
    n_input
        Salient and background dimensions together.
    n_hidden
        Width of the two hidden layers of the MLP.

    Returns
    -------
    Network from ``(n_pairs, n_input)`` to a logit, ``(n_pairs, 1)``.
    """
    if kind == "logistic":
        return nn.Linear(n_input, 1)
    return nn.Sequential(
        nn.Linear(n_input, n_hidden),
        nn.LeakyReLU(0.2),
        nn.Linear(n_hidden, n_hidden),
        nn.LeakyReLU(0.2),
        nn.Linear(n_hidden, 1),
    )
