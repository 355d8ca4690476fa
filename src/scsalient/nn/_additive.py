"""Decoder whose salient part adds to the background part and does not touch it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from scsalient.nn._covariates import Covariates

if TYPE_CHECKING:
    from torch import Tensor

    from scsalient.nn._conv import ConvDecoder
    from scsalient.nn._dense import DenseDecoder


class AdditiveDecoder(nn.Module):
    r"""Output :math:`f(z) + g(s) - g(0)`, before the likelihood's link function.

    A decoder of both latents at once can use ``s`` as a switch: far from zero, ``z`` is read by
    another code, and all that is salient hides in ``z`` with the same distribution in both
    groups. Here ``z`` means the same for every row.

    Parameters
    ----------
    shared
        Decoder of ``z`` and of the covariates, with all heads of the likelihood.
    added
        Decoder of ``s`` with one head, the first of the likelihood, and no covariates.
    n_salient
        Number of salient dimensions, which come first.
    """

    def __init__(
        self, shared: DenseDecoder | ConvDecoder, added: DenseDecoder | ConvDecoder, n_salient: int
    ) -> None:
        super().__init__()
        self.shared = shared
        self.added = added
        self._n_salient = n_salient

    @property
    def heads(self) -> nn.ModuleDict:
        """Last layers of the shared part, whose offsets are those of the whole."""
        return self.shared.heads

    def forward(self, latent: Tensor, covariates: Covariates) -> dict[str, Tensor]:
        """Outputs by name, each of shape ``(n_rows, n_output)``."""
        salient, background = latent.tensor_split([self._n_salient], dim=-1)
        outputs = self.shared(background, covariates)
        zero = salient.new_zeros(1, self._n_salient)
        (effect,) = self.added(torch.cat([salient, zero]), Covariates(())).values()
        main = next(iter(self.added.heads))
        return outputs | {main: outputs[main] + effect[:-1] - effect[-1:]}
