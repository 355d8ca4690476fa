"""What the contrastive and the standard VAE have in common."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from scvi import REGISTRY_KEYS
from scvi.module.base import BaseModuleClass

from scsalient.likelihoods import Gaussian, build_likelihood
from scsalient.loaders import SparseRows
from scsalient.nn import (
    AdditiveDecoder,
    ConvDecoder,
    ConvEncoder,
    Covariates,
    DenseDecoder,
    DenseEncoder,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from scsalient.likelihoods import Likelihood


@dataclass(frozen=True)
class Posterior:
    """Diagonal Gaussian posterior of one latent.

    Parameters
    ----------
    mean, variance
        Shape ``(n_rows, n_latent)``.
    """

    mean: Tensor
    variance: Tensor

    def draw(self) -> Tensor:
        """One reparametrised draw, shape ``(n_rows, n_latent)``."""
        return torch.addcmul(self.mean, self.variance.sqrt(), torch.randn_like(self.mean))

    def sample(self, n_samples: int = 1, *, generator: torch.Generator | None = None) -> Tensor:
        """Independent reparametrised draws, shape ``(n_samples, n_rows, n_latent)``."""
        noise = torch.randn(
            (n_samples, *self.mean.shape),
            generator=generator,
            device=self.mean.device,
            dtype=self.mean.dtype,
        )
        return self.mean + self.variance.sqrt() * noise


class LatentModule(BaseModuleClass):
    """Encoder of the background latent, decoder and likelihood.

    Parameters
    ----------
    n_input
        Number of variables.
    n_background_latent
        Dimensions of the background latent ``z``.
    n_salient_latent
        Dimensions of the salient latent ``s`` that the decoder takes beside it; 0 for none.
    n_categories
        Number of categories of the batch and of each categorical covariate.
    n_continuous
        Number of continuous covariates.
    n_hidden, dropout_rate, use_batch_norm, use_bias
        Shape of the networks.
    n_layers, n_layers_encoder
        Hidden layers of the decoder and of each encoder; `None` for two in the salient encoder,
        and in the background encoder two where the data may take any value and else one. The
        convolutions of an encoder count as one of its layers, and at least one dense layer
        follows them.
    use_layer_norm
        Layer normalisation in the encoders; `None` for it in the salient encoder, and in the
        background encoder where the data may take any value.
    network
        ``"dense"``, or ``"conv"`` for images.
    image_shape
        Shape of the images that the variables are, which ``"conv"`` needs.
    decoder
        ``"joint"``: one network of both latents; ``"additive"``: a sum of one of each.
    likelihood, gaussian_variance
        Distribution of the data.
    use_size_factor
        Whether a registered size factor takes the place of the observed library size.
    """

    def __init__(
        self,
        n_input: int,
        *,
        n_background_latent: int,
        n_salient_latent: int = 0,
        n_categories: Sequence[int] = (1,),
        n_continuous: int = 0,
        n_hidden: int = 128,
        n_layers: int = 1,
        n_layers_encoder: int | None = None,
        use_layer_norm: bool | None = None,
        dropout_rate: float = 0.0,
        use_batch_norm: bool = False,
        use_bias: bool = True,
        likelihood: Literal["gaussian", "bernoulli", "poisson", "nb", "zinb"] = "nb",
        gaussian_variance: Literal["fixed", "learned"] = "learned",
        use_size_factor: bool = False,
        network: Literal["dense", "conv"] = "dense",
        image_shape: tuple[int, ...] | None = None,
        decoder: Literal["joint", "additive"] = "joint",
    ) -> None:
        super().__init__()
        self.n_salient_latent = n_salient_latent
        self.n_background_latent = n_background_latent
        self.use_size_factor = use_size_factor
        # Of the data; see `standardise_covariates` and `library`
        self.register_buffer("continuous_mean", torch.zeros(n_continuous))
        self.register_buffer("continuous_scale", torch.ones(n_continuous))
        self.register_buffer("counts_per_factor", torch.ones(()))
        self._network_kwargs: dict[str, Any] = {
            "n_categories": tuple(n_categories),
            "n_continuous": n_continuous,
            "n_hidden": n_hidden,
            "dropout_rate": dropout_rate,
            "use_batch_norm": use_batch_norm,
            "use_bias": use_bias,
        }
        self.likelihood: Likelihood = build_likelihood(
            likelihood,
            n_vars=n_input,
            gaussian_variance=gaussian_variance,
            library_is_size_factor=use_size_factor,
        )
        self._n_layers_encoder = n_layers_encoder
        self._use_layer_norm = use_layer_norm
        self._n_layers_decoder = n_layers
        self._image_shape = image_shape if network == "conv" else None
        self.background_encoder = self._build_encoder("background", n_input, n_background_latent)
        self.decoder = (
            self._build_additive(n_input)
            if decoder == "additive"
            else self._build_decoder(n_salient_latent + n_background_latent, n_input)
        )

    def _encoder_shape(self, kind: Literal["salient", "background"]) -> dict[str, Any]:
        # As measured: docs/defaults.md
        deep = kind == "salient" or self.likelihood.support == "real"
        n_layers, use_layer_norm = self._n_layers_encoder, self._use_layer_norm
        return {
            "n_layers": (2 if deep else 1) if n_layers is None else n_layers,
            "use_layer_norm": deep if use_layer_norm is None else use_layer_norm,
        }

    def _build_encoder(
        self, kind: Literal["salient", "background"], n_input: int, n_latent: int
    ) -> DenseEncoder | ConvEncoder:
        kwargs = self._network_kwargs | self._encoder_shape(kind)
        if self._image_shape is not None:
            kwargs["n_layers"] = max(1, kwargs["n_layers"] - 1)
            return ConvEncoder(self._image_shape, n_latent, **kwargs)
        return DenseEncoder(n_input, n_latent, **kwargs)

    def _build_additive(self, n_output: int) -> AdditiveDecoder:
        # Without dropout and batch norm, so that a salient latent of zero adds exactly nothing
        added = self._build_decoder(
            self.n_salient_latent,
            n_output,
            heads=self.likelihood.heads[:1],
            n_categories=(),
            n_continuous=0,
            dropout_rate=0.0,
            use_batch_norm=False,
        )
        shared = self._build_decoder(self.n_background_latent, n_output)
        return AdditiveDecoder(shared, added, self.n_salient_latent)

    def _build_decoder(
        self, n_latent: int, n_output: int, **changes: Any
    ) -> DenseDecoder | ConvDecoder:
        kwargs = self._network_kwargs | {
            "n_layers": self._n_layers_decoder,
            "heads": self.likelihood.heads,
        }
        kwargs |= changes
        if self._image_shape is not None:
            return ConvDecoder(n_latent, self._image_shape, **kwargs)
        return DenseDecoder(n_latent, n_output, **kwargs)

    def covariates(self, tensors: dict[str, Tensor]) -> Covariates:
        """Covariates of a minibatch."""
        categories = [tensors[REGISTRY_KEYS.BATCH_KEY].long()]
        extra = tensors.get(REGISTRY_KEYS.CAT_COVS_KEY)
        if extra is not None:
            categories += list(extra.long().split(1, dim=1))
        continuous = tensors.get(REGISTRY_KEYS.CONT_COVS_KEY)
        if continuous is not None:
            continuous = (continuous - self.continuous_mean) / self.continuous_scale
        return Covariates(tuple(categories), continuous)

    @torch.no_grad()
    def standardise_covariates(self, continuous: Tensor) -> None:
        """Bring continuous covariates to the units of the networks from now on.

        Parameters
        ----------
        continuous
            Those of all cells, shape ``(n_cells, n_continuous)``.
        """
        mean, scale = continuous.mean(0), continuous.std(0, correction=0)
        # The spread of a constant is rounding
        is_constant = continuous.amax(0) == continuous.amin(0)
        self.continuous_mean.copy_(mean)
        self.continuous_scale.copy_(torch.where(is_constant, torch.ones_like(scale), scale))

    def library(self, tensors: dict[str, Tensor]) -> Tensor:
        """Total of each row, or what its size factor lets one expect, shape ``(n_rows, 1)``.

        One where the data are not counts.
        """
        if self.use_size_factor:
            return tensors[REGISTRY_KEYS.SIZE_FACTOR_KEY] * self.counts_per_factor
        x: Any = tensors[REGISTRY_KEYS.X_KEY]
        if self.likelihood.support != "counts":
            batch = tensors[REGISTRY_KEYS.BATCH_KEY]
            return torch.ones(len(x), 1, dtype=x.dtype, device=batch.device)
        return x.sums().unsqueeze(1) if isinstance(x, SparseRows) else x.sum(dim=1, keepdim=True)

    @abstractmethod
    def encode(self, x: Tensor | SparseRows, covariates: Covariates) -> dict[str, Posterior]:
        """Posterior of each latent, by kind (``"salient"``, ``"background"``).

        Parameters
        ----------
        x
            Data as registered, shape ``(n_rows, n_vars)``.
        covariates
            Covariates of the rows.
        """

    def decode(self, latents: dict[str, Tensor], covariates: Covariates) -> dict[str, Tensor]:
        """Outputs of the decoder; a latent that is left out counts as zero.

        Parameters
        ----------
        latents
            Latents by kind, each of shape ``(n_rows, n_latent)``.
        covariates
            Covariates of the rows.
        """
        return self.decoder(self._joined(latents), covariates)

    def _joined(self, latents: dict[str, Tensor]) -> Tensor:
        """Latents side by side, zeros in the place of those that are left out."""
        some = next(iter(latents.values()))
        parts = [
            latents[kind] if kind in latents else some.new_zeros(some.shape[0], n_latent)
            for kind, n_latent in self.n_latent.items()
        ]
        return torch.cat(parts, dim=-1)

    @property
    def n_latent(self) -> dict[str, int]:
        """Dimensions of each latent, in the order in which the decoder takes them."""
        sizes = {"salient": self.n_salient_latent, "background": self.n_background_latent}
        return {kind: size for kind, size in sizes.items() if size}

    @torch.no_grad()
    def initialise_output(self, proportions: Tensor) -> None:
        """Start the decoder at the average of the data, if it has an offset.

        Parameters
        ----------
        proportions
            Mean of each variable, shape ``(n_vars,)``; for counts, mean share of the total.
        """
        head = self.decoder.heads[self.likelihood.heads[0]]
        bias = head.bias
        if not isinstance(bias, torch.Tensor):
            return
        if self.likelihood.support == "counts":
            positive = proportions.clamp(min=float(proportions[proportions > 0].min()) * 0.1)
            value = positive.log()
            if self.use_size_factor:
                # Where zero is a share of one in so many
                value = value + math.log(len(value))
        elif self.likelihood.support == "unit":
            value = torch.logit(proportions, eps=1e-3)
        else:
            value = proportions
        # One offset for each value or, in images, for each channel, which runs fastest
        bias.copy_(value.reshape(-1, len(bias)).mean(0))

    # The steps of BaseModuleClass.forward.

    def _get_inference_input(self, tensors: dict[str, Tensor], **_kwargs: Any) -> dict[str, Any]:
        return {"tensors": tensors}

    def posteriors(self, tensors: dict[str, Tensor]) -> dict[str, Posterior]:
        """Posterior of each latent of a minibatch, by kind; see :meth:`encode`."""
        return self.encode(tensors[REGISTRY_KEYS.X_KEY], self.covariates(tensors))

    def inference(self, tensors: dict[str, Tensor]) -> dict[str, Any]:
        """Posteriors and one draw of each latent."""
        posteriors = self.posteriors(tensors)
        samples = {kind: posterior.draw() for kind, posterior in posteriors.items()}
        return {"posteriors": posteriors, "samples": samples}

    def _get_generative_input(
        self, tensors: dict[str, Tensor], inference_outputs: dict[str, Any], **_kwargs: Any
    ) -> dict[str, Any]:
        return {"tensors": tensors, "samples": inference_outputs["samples"]}

    def generative(
        self, tensors: dict[str, Tensor], samples: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Log-likelihood of each row, ``(n_rows,)``."""
        covariates = self.covariates(tensors)
        x = tensors[REGISTRY_KEYS.X_KEY]
        log_prob = self._log_prob_of_map(x, samples, covariates)
        if log_prob is None:
            outputs, library = self.decode(samples, covariates), self.library(tensors)
            log_prob = self.likelihood.log_prob(x, outputs, library)
        return {"log_prob": log_prob}

    def _log_prob_of_map(
        self, x: Tensor | SparseRows, samples: dict[str, Tensor], covariates: Covariates
    ) -> Tensor | None:
        """Log-likelihood of each row without the decoder's outputs, where that is less work.

        Only in training, where the last digits of a sum do not matter.
        """
        likelihood, decoder = self.likelihood, self.decoder
        if not (isinstance(likelihood, Gaussian) and isinstance(decoder, DenseDecoder)):
            return None
        if not (isinstance(x, SparseRows) and self.training):
            return None
        wide = self._network_kwargs["n_hidden"] > len(x)
        if wide or torch.is_autocast_enabled("cpu"):
            return None
        hidden = decoder.last_hidden(self._joined(samples), covariates)
        return likelihood.log_prob_of_map(x, hidden, decoder.heads["mean"])

    def sample(self, *_args: Any, **_kwargs: Any) -> None:
        """Not used: the model's ``generate`` draws from the prior."""
        msg = "Draw cells with the model's `generate`."
        raise NotImplementedError(msg)
