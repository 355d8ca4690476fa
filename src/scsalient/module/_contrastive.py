"""The contrastive VAE."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import torch
from scvi import REGISTRY_KEYS
from scvi.module.base import LossOutput

from scsalient import _keys, objective
from scsalient.data import Role
from scsalient.loaders import SparseRows
from scsalient.module._base import LatentModule, Posterior
from scsalient.module._groups import Groups
from scsalient.nn import Branches, build_discriminator, encode_together

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn

    from scsalient.nn import Covariates

# One in how many target rows gives its effect to a background row at each step, by what values the
# data may have. More is slower and was not better: the noise of few rows seems to help
# (docs/defaults.md).
TRANSPLANTED_SHARES = {"counts": 16, "real": 8, "unit": 8}
# A variance, where the prior has 1, up to which a transplanted s should be found. With none it pays
# to have the same s in all target cells, which is found with any certainty (docs/defaults.md).
TRANSPLANT_TOLERANCE = 0.005
_IN_TURN = Branches()


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
        self.transplant_weight = transplant_weight
        self.salient_encoder = self._build_encoder("salient", n_input, n_salient_latent)
        self.discriminator = build_discriminator(
            discriminator, n_input=n_salient_latent + n_background_latent
        )
        # Weight of each term: as it is, by the warm-up of the KL terms, and by that of our own
        weights = {
            "reconstruction_target": (1, 0, 0),
            "kl_salient_target": (0, 1, 0),
            "kl_background_target": (0, 1, 0),
            "norm_target": (0, 0, 0),
            "reconstruction_background": (1, 0, 0),
            "kl_salient_background": (0, 0, 0),
            "kl_background_background": (0, 1, 0),
            "norm_background": (0, 0, background_salient_weight),
            "total_correlation": (0, 0, tc_weight),
            "mmd": (0, 0, mmd_weight),
            "transplant": (0, 0, transplant_weight),
        }
        self._terms = tuple(weights)
        table = torch.tensor(list(weights.values()), dtype=torch.float32).T.contiguous()
        self.register_buffer("_weights", table, persistent=False)

    def encode(
        self, x: Tensor | SparseRows, covariates: Covariates, *, branches: Branches = _IN_TURN
    ) -> dict[str, Posterior]:
        """Posteriors of ``s`` and ``z``; whoever decodes zeroes ``s`` of background rows."""
        x = self.likelihood.encoder_input(x)
        encoders = self.salient_encoder, self.background_encoder
        salient, background = encode_together(encoders, x, covariates, branches=branches)
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

    @staticmethod
    def branches(tensors: dict[str, Any]) -> Branches:
        """How the parts of the step run: one after the other unless the minibatch says else."""
        return tensors.get(_keys.TENSOR_BRANCHES, _IN_TURN)

    def posteriors(self, tensors: dict[str, Any]) -> dict[str, Posterior]:
        """Posterior of each latent of a minibatch, by kind; see :meth:`encode`."""
        x, covariates = tensors[REGISTRY_KEYS.X_KEY], self.covariates(tensors)
        return self.encode(x, covariates, branches=self.branches(tensors))

    def inference(self, tensors: dict[str, Any]) -> dict[str, Any]:
        """Posteriors, one draw of each latent, the groups of the rows, and branches from here."""
        outputs = super().inference(tensors) | {"groups": self.groups(tensors)}
        branches = self.branches(tensors)
        branches.fork()
        return outputs | {"branches": branches}

    def generative(
        self, tensors: dict[str, Tensor], samples: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Log-likelihood of each row, with ``s = 0`` for background rows (paper eq. 4)."""
        mask = self.is_target(tensors).unsqueeze(-1)
        outputs = super().generative(tensors, samples | {"salient": samples["salient"] * mask})
        if self._network_kwargs["use_batch_norm"]:
            # The transplant decodes with the running means that have just changed
            self.branches(tensors).fork()
        return outputs

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
        groups, branches = inference_outputs["groups"], inference_outputs["branches"]
        salient = inference_outputs["posteriors"]["salient"]
        background = inference_outputs["posteriors"]["background"]
        samples = inference_outputs["samples"]

        reconstruction = -generative_outputs["log_prob"]
        with branches.branch("divergence"):
            kl_salient = objective.kl_to_standard_normal(salient.mean, salient.variance)
            kl_background = objective.kl_to_standard_normal(background.mean, background.variance)
            norms = objective.expected_squared_norm(salient.mean, salient.variance)
            kl = (kl_background + groups.is_target * kl_salient).detach()
            weights = self._weights_now(kl_weight, penalty_weight)
        with branches.branch("correlation"):
            tc = objective.total_correlation(self.discriminator, *_pairs(samples, groups))
        with branches.branch("discrepancy"):
            mmd = objective.group_discrepancy(samples["background"], groups.contrast)
        with branches.branch("transplant"):
            transplant = self._transplant(tensors, groups, salient.mean, samples["background"])
        branches.join(kl_salient, kl_background, norms, kl, weights, tc, mmd, transplant)

        means = groups.means(reconstruction, kl_salient, kl_background, norms)
        values = torch.cat([means.flatten(), torch.stack([tc, mmd, transplant])])
        value = dict(zip(self._terms, values.detach().unbind(), strict=True))
        extra_metrics = {
            "reconstruction_target": value["reconstruction_target"],
            "reconstruction_background": value["reconstruction_background"],
            "kl_salient": value["kl_salient_target"],
            "kl_background": kl_background.detach().mean(),
            "total_correlation": value["total_correlation"],
            "mmd": value["mmd"],
            "background_salient": value["norm_background"],
            "transplant": value["transplant"],
        }
        # A sum in full precision, where products of matrices are in half
        loss = (values * weights).sum()
        return LossOutput(
            loss=loss, reconstruction_loss=reconstruction, kl_local=kl, extra_metrics=extra_metrics
        )

    def _weights_now(self, kl_weight: float | Tensor, penalty_weight: float | Tensor) -> Tensor:
        """Weight of each term, shape ``(n_terms,)``."""
        always, with_kl, with_penalties = self._weights
        return always + kl_weight * with_kl + penalty_weight * with_penalties

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
        # In training the rows of a minibatch come in random order: the first are as good as any
        donors, hosts = donors[:n_pairs], hosts[:n_pairs]
        others = (_keys.TENSOR_GROUPS, _keys.TENSOR_BRANCHES)
        host = {k: _rows(value, hosts) for k, value in tensors.items() if k not in others}
        covariates = self.covariates(host)
        salient = salient[donors].detach()
        moved = self._moved(host, salient, background[hosts].detach())
        with self._evaluating(self.salient_encoder):
            mean, variance = self.salient_encoder(self.likelihood.encoder_input(moved), covariates)
        surprise = objective.surprise(salient, mean, variance, tolerance=TRANSPLANT_TOLERANCE)
        return surprise.mean()

    @torch.no_grad()
    def _moved(self, tensors: dict[str, Tensor], salient: Tensor, background: Tensor) -> Tensor:
        """Rows with the effect that the decoder gives ``s``, at the ``z`` of the rows."""
        x, library = tensors[REGISTRY_KEYS.X_KEY], self.library(tensors)
        # Without and with the effect, in one pass
        others = {k: v.repeat(2, 1) for k, v in tensors.items() if k != REGISTRY_KEYS.X_KEY}
        latents = {
            "salient": torch.cat([torch.zeros_like(salient), salient]),
            "background": background.repeat(2, 1),
        }
        with self._evaluating(self.decoder):
            outputs = self.decode(latents, self.covariates(others))
        before, after = self.likelihood.expected(outputs, library.repeat(2, 1)).chunk(2)
        return self.likelihood.moved(x, before=before, after=after)

    @contextmanager
    def _evaluating(self, network: nn.Module) -> Iterator[None]:
        """Without dropout, and without a trace of a few made-up rows in the means of batch norm."""
        changes = self._network_kwargs["dropout_rate"] or self._network_kwargs["use_batch_norm"]
        if not (changes and network.training):
            yield
            return
        network.eval()
        try:
            yield
        finally:
            network.train()

    def discriminator_step(self, inference_outputs: dict[str, Any]) -> Tensor:
        """Loss of the discriminator on the target rows' samples, which count as constants."""
        branches = inference_outputs["branches"]
        constants = {k: sample.detach() for k, sample in inference_outputs["samples"].items()}
        with branches.branch("discriminator"):
            salient, background = _pairs(constants, inference_outputs["groups"])
            # In random order as they come, each with the next one's is a pair of the marginals
            loss = objective.discriminator_loss(
                self.discriminator, salient, background, permuted_salient=salient.roll(1, dims=0)
            )
        branches.join(loss)
        return loss


def _rows(values: Tensor | SparseRows, rows: Tensor) -> Tensor:
    return values.dense_rows(rows) if isinstance(values, SparseRows) else values[rows]


def _pairs(samples: dict[str, Tensor], groups: Groups) -> tuple[Tensor, Tensor]:
    """Samples of ``s`` and ``z`` of the target rows."""
    rows = groups.target_rows
    # By its name: the gradient of an index in brackets sorts the rows on an accelerator
    return samples["salient"].index_select(0, rows), samples["background"].index_select(0, rows)
