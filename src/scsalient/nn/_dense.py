"""Fully connected encoder and decoder on scvi-tools' layers."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch
from scvi.nn import FCLayers
from torch import nn
from torch.nn import functional

from scsalient.nn._input import input_products, split_first_layer
from scsalient.nn._precision import at_least_single

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import Tensor

    from scsalient.loaders import SparseRows
    from scsalient.nn._branches import Branches
    from scsalient.nn._covariates import Covariates

MIN_VARIANCE = 1e-4
_MAX_LOG_VARIANCE = 10.0


class DenseEncoder(nn.Module):
    """Mean and variance of a diagonal Gaussian posterior (paper app. E).

    Parameters
    ----------
    n_input, n_latent
        Number of variables and of latent dimensions.
    n_categories
        Number of categories of the batch and of each categorical covariate.
    n_continuous
        Number of continuous covariates.
    n_hidden, n_layers
        Width and number of the hidden layers.
    dropout_rate, use_batch_norm, use_layer_norm
        As in :class:`scvi.nn.FCLayers`.
    use_bias
        Whether the linear maps have an offset.
    """

    def __init__(
        self,
        n_input: int,
        n_latent: int,
        *,
        n_categories: Sequence[int] = (),
        n_continuous: int = 0,
        n_hidden: int = 128,
        n_layers: int = 1,
        dropout_rate: float = 0.0,
        use_batch_norm: bool = False,
        use_layer_norm: bool = False,
        use_bias: bool = True,
    ) -> None:
        super().__init__()
        self.hidden = FCLayers(
            n_in=n_input,
            n_out=n_hidden,
            n_cat_list=list(n_categories),
            n_cont=n_continuous,
            n_layers=n_layers,
            n_hidden=n_hidden,
            dropout_rate=dropout_rate,
            use_batch_norm=use_batch_norm,
            use_layer_norm=use_layer_norm,
            bias=use_bias,
        )
        self.input_weights = split_first_layer(self.hidden, n_input)
        # Means and logarithms of variances, from one product
        self.moments = _stacked([nn.Linear(n_hidden, n_latent, bias=use_bias) for _ in range(2)])

    def forward(self, x: Tensor | SparseRows, covariates: Covariates) -> tuple[Tensor, Tensor]:
        """Mean and variance, each of shape ``(n_rows, n_latent)``."""
        (product,) = input_products(x, [self.input_weights])
        return self.from_product(product, covariates)

    def from_product(self, product: Tensor, covariates: Covariates) -> tuple[Tensor, Tensor]:
        """As :meth:`forward`, of the product of the rows and ``input_weights``."""
        hidden = self.hidden(product, *covariates.categories, cont=covariates.continuous)
        mean, log_variance = at_least_single(self.moments(hidden)).chunk(2, dim=-1)
        # An upper limit, as by `clamp`, whose gradient takes three operations instead of one
        log_variance = functional.hardtanh(log_variance, float("-inf"), _MAX_LOG_VARIANCE)
        return mean, log_variance.exp() + MIN_VARIANCE


@torch.no_grad()
def _stacked(maps: Sequence[nn.Linear]) -> nn.Linear:
    """One map with the outputs of several, one after the other."""
    n_inputs, n_outputs = maps[0].in_features, sum(m.out_features for m in maps)
    # No random numbers for values that are replaced
    whole = nn.utils.skip_init(nn.Linear, n_inputs, n_outputs, bias=maps[0].bias is not None)
    for name, parameter in whole.named_parameters():
        parameter.copy_(torch.cat([getattr(m, name) for m in maps]))
    return whole


def encode_together(
    encoders: Sequence[nn.Module],
    x: Tensor | SparseRows,
    covariates: Covariates,
    *,
    branches: Branches,
) -> list[tuple[Tensor, Tensor]]:
    """What each of some encoders gives of the same rows.

    Parameters
    ----------
    encoders
        Encoders of the same rows.
    x, covariates
        As in :meth:`DenseEncoder.forward`.
    branches
        Where the encoders part after their first layer.

    Returns
    -------
    Mean and variance by each encoder.
    """
    dense = [encoder for encoder in encoders if isinstance(encoder, DenseEncoder)]
    if len(dense) < len(encoders):
        return [encoder(x, covariates) for encoder in encoders]
    products = input_products(x, [encoder.input_weights for encoder in dense])
    branches.fork()
    moments = []
    for i, (encoder, product) in enumerate(zip(dense, products, strict=True)):
        with branches.branch(f"encoder {i}") if i else nullcontext():
            moments.append(encoder.from_product(product, covariates))
    branches.join(*(tensor for pair in moments[1:] for tensor in pair))
    return moments


class DenseDecoder(nn.Module):
    """One output of the size of the data for each parameter of the likelihood.

    Parameters
    ----------
    n_latent, n_output
        Number of latent dimensions (salient and background together) and of variables.
    heads
        Names of the outputs.
    n_categories, n_continuous, n_hidden, n_layers, dropout_rate, use_batch_norm, use_bias
        As in :class:`DenseEncoder`.
    """

    def __init__(
        self,
        n_latent: int,
        n_output: int,
        *,
        heads: Iterable[str],
        n_categories: Sequence[int] = (),
        n_continuous: int = 0,
        n_hidden: int = 128,
        n_layers: int = 1,
        dropout_rate: float = 0.0,
        use_batch_norm: bool = False,
        use_bias: bool = True,
    ) -> None:
        super().__init__()
        self.hidden = FCLayers(
            n_in=n_latent,
            n_out=n_hidden,
            n_cat_list=list(n_categories),
            n_cont=n_continuous,
            n_layers=n_layers,
            n_hidden=n_hidden,
            dropout_rate=dropout_rate,
            use_batch_norm=use_batch_norm,
            bias=use_bias,
        )
        self.heads = nn.ModuleDict(
            {name: nn.Linear(n_hidden, n_output, bias=use_bias) for name in heads}
        )

    def forward(self, latent: Tensor, covariates: Covariates) -> dict[str, Tensor]:
        """Outputs by name, each of shape ``(n_rows, n_output)``."""
        hidden = self.last_hidden(latent, covariates)
        return {name: head(hidden) for name, head in self.heads.items()}

    def last_hidden(self, latent: Tensor, covariates: Covariates) -> Tensor:
        """Units of which each output is a linear map, shape ``(n_rows, n_hidden)``."""
        return self.hidden(latent, *covariates.categories, cont=covariates.continuous)
