"""Convolutional encoder and decoder of images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from torch import nn

from scsalient.loaders import dense
from scsalient.nn._dense import DenseDecoder, DenseEncoder

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from scsalient.loaders import SparseRows
    from scsalient.nn._covariates import Covariates

_CHANNELS = (32, 64)
_KERNEL = 5
# Of the two layers together; sides of an image are multiples of it
CONV_STRIDE = 4


class ConvEncoder(nn.Module):
    """Mean and variance of a diagonal Gaussian posterior of images (paper app. E).

    Two convolutions of 5 x 5 with a stride of 2 and with 32 and 64 channels, then a dense encoder,
    which also takes the covariates.

    Parameters
    ----------
    image_shape
        ``(height, width)`` or ``(height, width, channels)``; both sides are multiples of 4.
    n_latent
        Number of latent dimensions.
    use_bias, use_batch_norm, **kwargs
        As in :class:`DenseEncoder`.
    """

    def __init__(
        self,
        image_shape: tuple[int, ...],
        n_latent: int,
        *,
        use_bias: bool = True,
        use_batch_norm: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        self._shape = _with_channels(image_shape)
        inner, outer = _CHANNELS
        self.convolutions = nn.Sequential(
            _convolution(nn.Conv2d, self._shape[-1], inner, use_bias),
            *_after(inner, use_batch_norm),
            _convolution(nn.Conv2d, inner, outer, use_bias),
            *_after(outer, use_batch_norm),
        )
        self.dense = DenseEncoder(
            math.prod(_coarse(self._shape)),
            n_latent,
            use_bias=use_bias,
            use_batch_norm=use_batch_norm,
            **kwargs,
        )

    def forward(self, x: Tensor | SparseRows, covariates: Covariates) -> tuple[Tensor, Tensor]:
        """Mean and variance, each of shape ``(n_rows, n_latent)``."""
        pixels = dense(x).reshape(-1, *self._shape).permute(0, 3, 1, 2)
        return self.dense(self.convolutions(pixels).flatten(1), covariates)


class ConvDecoder(nn.Module):
    """Images for each parameter of the likelihood: the encoder, mirrored.

    Parameters
    ----------
    n_latent
        Number of latent dimensions (salient and background together).
    image_shape
        As in :class:`ConvEncoder`.
    heads
        Names of the outputs.
    use_bias, use_batch_norm, **kwargs
        As in :class:`DenseDecoder`.
    """

    def __init__(
        self,
        n_latent: int,
        image_shape: tuple[int, ...],
        *,
        heads: Iterable[str],
        use_bias: bool = True,
        use_batch_norm: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        shape = _with_channels(image_shape)
        self._coarse = _coarse(shape)
        outer, inner = reversed(_CHANNELS)
        self.dense = DenseDecoder(
            n_latent,
            math.prod(self._coarse),
            heads=["pixels"],
            use_bias=use_bias,
            use_batch_norm=use_batch_norm,
            **kwargs,
        )
        self.convolutions = nn.Sequential(
            nn.ReLU(),
            _convolution(nn.ConvTranspose2d, outer, inner, use_bias),
            *_after(inner, use_batch_norm),
        )
        self.heads = nn.ModuleDict(
            {name: _convolution(nn.ConvTranspose2d, inner, shape[-1], use_bias) for name in heads}
        )

    def forward(self, latent: Tensor, covariates: Covariates) -> dict[str, Tensor]:
        """Outputs by name, each of shape ``(n_rows, height * width * channels)``."""
        coarse = self.dense(latent, covariates)["pixels"].reshape(-1, *self._coarse)
        hidden = self.convolutions(coarse)
        return {
            name: head(hidden).permute(0, 2, 3, 1).flatten(1) for name, head in self.heads.items()
        }


def _with_channels(image_shape: tuple[int, ...]) -> tuple[int, int, int]:
    height, width, *channels = image_shape
    return height, width, channels[0] if channels else 1


def _coarse(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """Channels, height and width between convolutions and dense layers."""
    height, width, _ = shape
    return _CHANNELS[-1], height // CONV_STRIDE, width // CONV_STRIDE


def _convolution(cls: Any, n_in: int, n_out: int, use_bias: bool) -> nn.Module:
    """Layer that halves the sides of an image, or doubles them."""
    more = {"output_padding": 1} if cls is nn.ConvTranspose2d else {}
    return cls(n_in, n_out, _KERNEL, stride=2, padding=_KERNEL // 2, bias=use_bias, **more)


def _after(n_channels: int, use_batch_norm: bool) -> list[nn.Module]:
    # The numbers are those of scvi-tools' dense layers
    norm = [nn.BatchNorm2d(n_channels, momentum=0.01, eps=0.001)] if use_batch_norm else []
    return [*norm, nn.ReLU()]
