"""The ordinary VAE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scvi.module.base import LossOutput

from scsalient.module._base import LatentModule, Posterior
from scsalient.objective import kl_to_standard_normal

if TYPE_CHECKING:
    from torch import Tensor

    from scsalient.loaders import SparseRows
    from scsalient.nn import Covariates


class StandardVAEModule(LatentModule):
    """Variational autoencoder with one latent, the paper's comparison.

    The arguments are those of :class:`LatentModule`.
    """

    def encode(self, x: Tensor | SparseRows, covariates: Covariates) -> dict[str, Posterior]:
        """Posterior of the only latent, under ``"background"``."""
        x = self.likelihood.encoder_input(x)
        return {"background": Posterior(*self.background_encoder(x, covariates))}

    def loss(
        self,
        tensors: dict[str, Tensor],
        inference_outputs: dict[str, Any],
        generative_outputs: dict[str, Any],
        *,
        kl_weight: float = 1.0,
    ) -> LossOutput:
        """Negative ELBO of the minibatch, mean over its rows."""
        posterior = inference_outputs["posteriors"]["background"]
        kl = kl_to_standard_normal(posterior.mean, posterior.variance)
        reconstruction = -generative_outputs["log_prob"]
        return LossOutput(
            loss=(reconstruction + kl_weight * kl).mean(),
            reconstruction_loss=reconstruction,
            kl_local=kl,
        )
