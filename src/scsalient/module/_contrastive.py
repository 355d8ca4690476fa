"""The contrastive VAE."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import torch
from scvi import REGISTRY_KEYS
from scvi.module.base import LossOutput

from scsalient import _keys, objective
from scsalient.data import Role
from scsalient.module._base import LatentModule, Posterior
from scsalient.module._groups import Groups
from scsalient.nn import build_discriminator, encode_together

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn

    from scsalient.loaders import NonZeros
    from scsalient.nn import Covariates

# One in how many target rows gives its effect to a background row at each step, by what values the
# data may have. More is slower and was not better: the noise of few rows seems to help
# (docs/defaults.md).
TRANSPLANTED_SHARES = {"counts": 16, "real": 8, "unit": 8}


class ContrastiveVAEModule(LatentModule):
    """Contrastive variational autoencoder (Abid and Zou 2019, fig. 3).

    One flat minibatch holds rows of both groups. Both encoders see every row once; the salient
    sample of background rows is multiplied by zero; one pass of the decoder serves both groups;
    each term is averaged over the rows that it belongs to.

    Parameters
    ----------
    n_input
        Number of variables.
    n_salient_latent, n_background_latent
        Dimensions of ``s`` and of ``z``.
    discriminator
        ``"mlp"`` or ``"logistic"``.
    tc_weight, mmd_weight, background_salient_weight, transplant_weight
        Weights of the total correlation, of the discrepancy between the background latents of
        the two groups, of the pull of the background cells' salient posterior to zero, and of
        the surprise of the salient encoder at background cells with a known effect.
    **kwargs
        Arguments of :class:`LatentModule`.
    """

    def __init__(
        self,
        n_input: int,
        *,
        n_salient_latent: int,
        n_background_latent: int,
        discriminator: Literal["mlp", "logistic"] = "mlp",
        tc_weight: float = 1.0,
        mmd_weight: float = 1.0,
        background_salient_weight: float = 1.0,
        transplant_weight: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            n_input,
            n_background_latent=n_background_latent,
            n_salient_latent=n_salient_latent,
            **kwargs,
        )
        self.tc_weight = tc_weight
        self.mmd_weight = mmd_weight
        self.background_salient_weight = background_salient_weight
        self.transplant_weight = transplant_weight
        self.salient_encoder = self._build_encoder("salient", n_input, n_salient_latent)
        self.discriminator = build_discriminator(
            discriminator, n_input=n_salient_latent + n_background_latent
        )

    def encode(self, x: Tensor | NonZeros, covariates: Covariates) -> dict[str, Posterior]:
        """Posteriors of ``s`` and ``z``; whoever decodes zeroes ``s`` of background rows."""
        x = self.likelihood.encoder_input(x)
        encoders = self.salient_encoder, self.background_encoder
        salient, background = encode_together(encoders, x, covariates)
        return {"salient": Posterior(*salient), "background": Posterior(*background)}

    @staticmethod
    def is_target(tensors: dict[str, Tensor]) -> Tensor:
        """Rows that may have a salient part: all but the background, shape ``(n_rows,)``."""
        return tensors[_keys.TENSOR_ROLE].squeeze(-1) != Role.BACKGROUND.value

    def groups(self, tensors: dict[str, Any]) -> Groups:
        """Rows that :meth:`is_target` names, and the others, unless the minibatch says so."""
        known = tensors.get(_keys.TENSOR_GROUPS)
        dtype = tensors[REGISTRY_KEYS.X_KEY].dtype
        return Groups.of(self.is_target(tensors), dtype=dtype) if known is None else known

    def inference(self, tensors: dict[str, Tensor]) -> dict[str, Any]:
        """Posteriors, one draw of each latent, and the groups of the rows."""
        return super().inference(tensors) | {"groups": self.groups(tensors)}

    def generative(
        self, tensors: dict[str, Tensor], samples: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Log-likelihood of each row, with ``s = 0`` for background rows (paper eq. 4)."""
        mask = self.is_target(tensors).unsqueeze(-1)
        return super().generative(tensors, samples | {"salient": samples["salient"] * mask})

    def loss(
        self,
        tensors: dict[str, Tensor],
        inference_outputs: dict[str, Any],
        generative_outputs: dict[str, Any],
        *,
        kl_weight: float = 1.0,
        penalty_weight: float = 1.0,
    ) -> LossOutput:
        """Objective of the minibatch (paper eq. 3, 4 and 5, and three terms of our own).

        Parameters
        ----------
        tensors, inference_outputs, generative_outputs
            As in scvi-tools.
        kl_weight, penalty_weight
            Warm-up of the KL terms and of all terms that are not of the ELBO.
        """
        groups = inference_outputs["groups"]
        salient = inference_outputs["posteriors"]["salient"]
        background = inference_outputs["posteriors"]["background"]
        samples = inference_outputs["samples"]

        reconstruction = -generative_outputs["log_prob"]
        kl_salient = objective.kl_to_standard_normal(salient.mean, salient.variance)
        kl_background = objective.kl_to_standard_normal(background.mean, background.variance)
        norms = objective.expected_squared_norm(salient.mean, salient.variance)
        reconstructions, (kl_of_s, _), kl_of_z, (_, pull) = groups.means(
            reconstruction, kl_salient, kl_background, norms
        )
        tc = objective.total_correlation(self.discriminator, *_pairs(samples, groups))
        mmd = objective.group_discrepancy(samples["background"], groups.contrast)
        transplant = self._transplant(tensors, groups, salient.mean, samples["background"])
        loss = (
            sum(reconstructions)
            + kl_weight * (kl_of_s + sum(kl_of_z))
            + penalty_weight
            * (
                self.tc_weight * tc
                + self.mmd_weight * mmd
                + self.background_salient_weight * pull
                + self.transplant_weight * transplant
            )
        )
        with torch.no_grad():
            kl = kl_background + groups.is_target * kl_salient
            extra_metrics = {
                "reconstruction_target": reconstructions[0],
                "reconstruction_background": reconstructions[1],
                "kl_salient": kl_of_s,
                "kl_background": kl_background.mean(),
                "total_correlation": tc,
                "mmd": mmd,
                "background_salient": pull,
                "transplant": transplant,
            }
        return LossOutput(
            loss=loss, reconstruction_loss=reconstruction, kl_local=kl, extra_metrics=extra_metrics
        )

    def _transplant(
        self, tensors: dict[str, Tensor], groups: Groups, salient: Tensor, background: Tensor
    ) -> Tensor:
        """Surprise at the ``s`` of target rows whose effect was put into background rows.

        Only the salient encoder learns from it. What it should find are means of the posterior:
        with draws, the spread of a weak effect's posterior feeds itself until nothing is left.
        """
        donors, hosts = groups.target_rows, groups.background_rows
        share = TRANSPLANTED_SHARES[self.likelihood.support]
        n_pairs = min(len(hosts), -(-len(donors) // share))
        if not (self.transplant_weight and n_pairs):
            return salient.new_zeros(())
        donors, hosts = (_some(rows, n_pairs) for rows in (donors, hosts))
        # What is moved is another matrix: its entries are not those at hand
        others = (_keys.TENSOR_NONZEROS, _keys.TENSOR_GROUPS)
        host = {key: tensor[hosts] for key, tensor in tensors.items() if key not in others}
        covariates = self.covariates(host)
        salient = salient[donors].detach()
        moved = self._moved(host, salient, background[hosts].detach())
        with _evaluating(self.salient_encoder):
            mean, variance = self.salient_encoder(self.likelihood.encoder_input(moved), covariates)
        return objective.surprise(salient, mean, variance).mean()

    @torch.no_grad()
    def _moved(self, tensors: dict[str, Tensor], salient: Tensor, background: Tensor) -> Tensor:
        """Rows with the effect that the decoder gives ``s``, at the ``z`` of the rows."""
        covariates, library = self.covariates(tensors), self.library(tensors)
        without = {"background": background}
        with _evaluating(self.decoder):
            before, after = (
                self.likelihood.expected(self.decode(latents, covariates), library)
                for latents in (without, without | {"salient": salient})
            )
        return self.likelihood.moved(tensors[REGISTRY_KEYS.X_KEY], before=before, after=after)

    def discriminator_step(self, inference_outputs: dict[str, Any]) -> Tensor:
        """Loss of the discriminator on the target rows' samples, which count as constants."""
        constants = {k: sample.detach() for k, sample in inference_outputs["samples"].items()}
        salient, background = _pairs(constants, inference_outputs["groups"])
        order = _random_order(len(salient), salient.device)
        return objective.discriminator_loss(
            self.discriminator, salient, background, permuted_salient=salient[order]
        )


def _pairs(samples: dict[str, Tensor], groups: Groups) -> tuple[Tensor, Tensor]:
    """Samples of ``s`` and ``z`` of the target rows."""
    rows = groups.target_rows
    # By its name: the gradient of an index in brackets sorts the rows on an accelerator
    return samples["salient"].index_select(0, rows), samples["background"].index_select(0, rows)


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Without dropout, and without a trace of a few made-up rows in the means of batch norm."""
    was_training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(was_training)


def _some(rows: Tensor, n: int) -> Tensor:
    return rows[_random_order(len(rows), rows.device)[:n]]


def _random_order(n: int, device: torch.device) -> Tensor:
    if device.type == "cpu":
        return torch.randperm(n)
    # PyTorch's own goes through the host, for which a recorded step cannot wait
    return torch.rand(n, device=device).argsort()
