from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import correlate2d
from scvi.nn import FCLayers
from torch import nn

from scsalient.nn import ConvDecoder, ConvEncoder, Covariates

SHAPES = [(28, 28), (8, 12, 3), (64, 64, 3), (4, 4, 1)]


def covariates(n, code=0):
    return Covariates((torch.full((n, 1), code),))


def make_encoder(shape=(8, 12, 3), n_latent=2, **kwargs):
    torch.manual_seed(0)
    return ConvEncoder(shape, n_latent, **({"n_categories": [1], "n_hidden": 16} | kwargs))


def make_decoder(shape=(8, 12, 3), n_latent=5, **kwargs):
    torch.manual_seed(0)
    defaults = {"n_categories": [1], "n_hidden": 16, "heads": ["mean"]}
    return ConvDecoder(n_latent, shape, **(defaults | kwargs))


def draw(n, *sizes, seed=0):
    return torch.randn(n, *sizes, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", SHAPES)
def test_sizes_are_those_of_the_image(shape):
    n_values = int(np.prod(shape))
    mean, variance = make_encoder(shape)(draw(3, n_values), covariates(3))
    assert mean.shape == variance.shape == (3, 2)
    assert (variance > 0).all()
    assert make_decoder(shape)(draw(3, 5), covariates(3))["mean"].shape == (3, n_values)


def test_layers_are_those_of_the_paper():
    encoder, decoder = make_encoder((64, 64, 3), n_hidden=128), make_decoder((64, 64, 3))
    weights = [tuple(p.shape) for p in encoder.convolutions.parameters() if p.ndim == 4]
    assert weights == [(32, 3, 5, 5), (64, 32, 5, 5)]
    assert encoder.dense.moments.in_features == 128
    weights = [tuple(p.shape) for p in decoder.parameters() if p.ndim == 4]
    assert weights == [(64, 32, 5, 5), (32, 3, 5, 5)]


@pytest.mark.parametrize("use_batch_norm", [False, True])
def test_batch_equals_row_by_row(use_batch_norm):
    x, latent = draw(4, 288), draw(4, 5)
    encoder = make_encoder(use_batch_norm=use_batch_norm).eval()
    decoder = make_decoder(use_batch_norm=use_batch_norm).eval()
    together = [*encoder(x, covariates(4)), decoder(latent, covariates(4))["mean"]]
    for i in range(4):
        one = covariates(1)
        alone = [*encoder(x[i : i + 1], one), decoder(latent[i : i + 1], one)["mean"]]
        for a, b in zip(together, alone, strict=True):
            torch.testing.assert_close(a[i : i + 1], b, rtol=1e-4, atol=1e-5)


def test_convolution_has_the_values_of_an_independent_one():
    encoder = make_encoder((8, 12, 3))
    first = encoder.convolutions[0]
    image = np.random.default_rng(0).normal(size=(8, 12, 3)).astype(np.float32)
    seen = []
    hook = first.register_forward_hook(lambda _module, inputs, output: seen.append(output))
    encoder(torch.from_numpy(image.reshape(1, -1)), covariates(1))
    hook.remove()
    padded = np.pad(image, ((2, 2), (2, 2), (0, 0)))
    weight, bias = first.weight.detach().numpy(), first.bias.detach().numpy()
    for channel in (0, 31):
        full = sum(correlate2d(padded[..., c], weight[channel, c], "valid") for c in range(3))
        expected = full[::2, ::2] + bias[channel]
        np.testing.assert_allclose(seen[0][0, channel].detach(), expected, atol=1e-4)


def test_last_layer_is_the_transpose_of_the_first():
    # <conv(x), y> = <x, transposed(y)> for the same weights, with pixels in the order of the data
    encoder, decoder = make_encoder(use_bias=False), make_decoder(use_bias=False)
    head, first = decoder.heads["mean"], encoder.convolutions[0]
    head.weight.data = first.weight.data.clone()
    x, y = draw(1, 288), draw(1, 32, 4, 6, seed=1)
    pixels = x.reshape(1, 8, 12, 3).permute(0, 3, 1, 2)
    back = head(y).permute(0, 2, 3, 1).flatten(1)
    torch.testing.assert_close((first(pixels) * y).sum(), (x * back).sum(), rtol=1e-4, atol=1e-4)


def test_without_bias_zero_goes_to_zero():
    encoder, decoder = make_encoder(use_bias=False), make_decoder(use_bias=False)
    assert not any("bias" in name for name, _ in encoder.named_parameters())
    assert not any("bias" in name for name, _ in decoder.named_parameters())
    mean, _ = encoder(torch.zeros(2, 288), covariates(2))
    assert (mean == 0).all()
    assert (decoder(torch.zeros(2, 5), covariates(2))["mean"] == 0).all()


def test_covariates_reach_both():
    encoder, decoder = make_encoder(n_categories=[2]), make_decoder(n_categories=[2])
    x, latent = draw(2, 288), draw(2, 5)
    assert not torch.isclose(encoder(x, covariates(2))[0], encoder(x, covariates(2, 1))[0]).any()
    one, other = (decoder(latent, covariates(2, code))["mean"] for code in (0, 1))
    assert not torch.isclose(one, other).all(1).any()


def test_gradient_reaches_every_weight():
    encoder, decoder = make_encoder(), make_decoder(n_latent=2)
    mean, variance = encoder(draw(6, 288), covariates(6))
    (decoder(mean + variance, covariates(6))["mean"] ** 2).sum().backward()
    for parameter in [*encoder.parameters(), *decoder.parameters()]:
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0


def test_batch_norm_is_that_of_scvi_tools():
    network = make_encoder(use_batch_norm=True)
    theirs = FCLayers(4, 4, use_batch_norm=True, use_layer_norm=False)
    (expected,) = [layer for layer in theirs.modules() if isinstance(layer, nn.BatchNorm1d)]
    ours = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert ours
    for layer in ours:
        assert (layer.momentum, layer.eps) == (expected.momentum, expected.eps)
