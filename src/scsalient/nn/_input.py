"""The first linear map of an encoder, which holds most of its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from scsalient.loaders import SparseRows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scvi.nn import FCLayers
    from torch import Tensor


class _SparseProduct(torch.autograd.Function):
    """Product of sparse rows with a matrix, and its gradient, a product of the columns."""

    @staticmethod
    def forward(ctx: Any, rows: SparseRows, matrix: Tensor) -> Tensor:
        ctx.rows = rows
        return rows.times(matrix)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        return None, ctx.rows.transposed.times(gradient.contiguous())


class _Rest(nn.Linear):
    """What the first layer adds to the product with the variables: covariates and offset.

    scvi-tools' layers hand it that product with the covariates beside it.
    """

    def reset_parameters(self) -> None:
        """Nothing: the values are those of the layer that this is a part of."""

    def forward(self, product_and_covariates: Tensor) -> Tensor:
        if self.in_features:
            product, covariates = product_and_covariates.tensor_split([self.out_features], dim=-1)
            return product + functional.linear(covariates, self.weight, self.bias)
        product = product_and_covariates
        return product if self.bias is None else product + self.bias


def split_first_layer(layers: FCLayers, n_input: int) -> nn.Parameter:
    """Take the weights of the variables out of the first layer.

    The layers then expect the product of the variables and these weights instead of the
    variables. Covariates need not be written beside thousands of variables, and the product
    can leave zeros out.

    Parameters
    ----------
    layers
        Layers, changed in place.
    n_input
        Number of variables, which come before the covariates.

    Returns
    -------
    The weights, shape ``(n_input, n_hidden)``: each variable's lie side by side.
    """
    first = layers.fc_layers[0][0]
    whole = first.weight.detach()
    n_covariates = whole.shape[1] - n_input
    rest = _Rest(n_covariates, whole.shape[0], bias=first.bias is not None)
    # None where nothing remains: several devices wait for the gradient of each weight
    rest.register_parameter(
        "weight", nn.Parameter(whole[:, n_input:].clone()) if n_covariates else None
    )
    rest.bias = first.bias
    layers.fc_layers[0][0] = rest
    return nn.Parameter(whole[:, :n_input].T.contiguous())


def input_products(x: Tensor | SparseRows, weights: Sequence[Tensor]) -> Sequence[Tensor]:
    """Products of a minibatch and the weights of the variables in some first layers.

    Parameters
    ----------
    x
        Minibatch, shape ``(n_rows, n_input)``, or its entries that are not zero.
    weights
        Each of shape ``(n_input, n_hidden)``.

    Returns
    -------
    Each of shape ``(n_rows, n_hidden)``.
    """
    if isinstance(x, SparseRows):
        return [_SparseProduct.apply(x, matrix) for matrix in weights]
    if x.device.type == "cpu" or len(weights) == 1:
        return [x @ matrix for matrix in weights]
    # One product of this size leaves half of an accelerator idle
    return (x @ torch.cat(list(weights), dim=1)).split([w.shape[1] for w in weights], dim=1)
