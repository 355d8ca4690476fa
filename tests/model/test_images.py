"""Images through the models: units, registry and convolutional networks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scvi
import torch
from scvi import REGISTRY_KEYS

from factories import QUIET, make_images, make_model, make_trained
from scsalient import ContrastiveVAE, StandardVAE, images

IMAGES = {"likelihood": "gaussian", "network": "conv"}


def make_vae(adata, **kwargs):
    StandardVAE.setup_anndata(adata)
    return StandardVAE(adata, n_latent=2, n_hidden=8, **(IMAGES | kwargs))


@pytest.mark.parametrize("network", ["dense", "conv"])
@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_eight_bit_images_train_as_their_floats_do(network, likelihood):
    found = []
    for dtype in (np.uint8, np.float32):
        scvi.settings.seed = 0
        model = make_trained(make_images(dtype=dtype), likelihood=likelihood, network=network)
        assert model.adata.X.dtype == dtype
        unit = 255 if dtype is np.uint8 else 1
        found.append(
            {
                "latents": model.get_latent_representation(),
                "elbo": model.get_elbo(return_mean=False, n_samples=3),
                "history": model.history["elbo_train"].to_numpy(dtype=float),
                "denoised": model.denoise() / unit,
                "difference": model.denoise(method="difference", keep="background") / unit,
                "sweep": model.sweep(n_steps=3).X / unit,
                "generated": model.generate(5, give_mean=True).X / unit,
                "drawn": model.generate(5, role="background").X / unit,
            }
        )
    for key, value in found[0].items():
        np.testing.assert_allclose(value, found[1][key], rtol=1e-3, atol=1e-4, err_msg=key)


def test_minibatches_are_in_units_of_one():
    model = make_model(make_images(), likelihood="bernoulli")
    seen = torch.cat([t[REGISTRY_KEYS.X_KEY] for t in model._minibatches(model.adata, None, 16)])
    np.testing.assert_allclose(seen, model.adata.X / np.float32(255), rtol=1e-6)


def test_the_decoder_starts_at_the_average_of_each_channel():
    adata = make_images(shape=(8, 8, 3))
    model = make_model(adata, use_bias=True, decoder="joint", **IMAGES)
    bias = model.module.decoder.heads["mean"].bias
    average = images.from_anndata(adata).mean((0, 1, 2)) / 255
    np.testing.assert_allclose(bias.detach(), average, rtol=1e-5)


def test_new_data_are_images_too():
    model = make_trained(make_images(shape=(8, 12, 3)), **IMAGES)
    for made in (model.sweep(n_steps=2), model.generate(4)):
        assert images.from_anndata(made).shape == (4, 8, 12, 3)
        assert images.describe(made).value_range == (0, 255)
        pd.testing.assert_frame_equal(made.var, model.adata.var)
    model.adata.layers["denoised"] = model.denoise()
    assert images.from_anndata(model.adata, "denoised").shape == (50, 8, 12, 3)


@pytest.mark.parametrize("network", ["dense", "conv"])
def test_zero_decodes_to_zero_without_bias(network):
    model = make_trained(make_images(), likelihood="gaussian", network=network, use_bias=False)
    middle = model.sweep((0,), limits=(0, 0), n_steps=1)
    assert (middle.X == 0).all()
    assert (model.denoise()[30:] == 0).all()


@pytest.mark.parametrize("network", ["dense", "conv"])
def test_save_and_load(tmp_path, network):
    adata = make_images(shape=(8, 8, 3))
    model = make_trained(adata, likelihood="bernoulli", network=network)
    model.save(tmp_path / "model")
    # Convolutions round otherwise on a GPU, where `load` would put the model.
    again = ContrastiveVAE.load(tmp_path / "model", adata=adata.copy(), accelerator="cpu")
    np.testing.assert_allclose(
        again.get_latent_representation(), model.get_latent_representation(), rtol=1e-5
    )
    np.testing.assert_allclose(again.denoise(), model.denoise(), rtol=1e-5)
    # Without data: the shape is in the registry
    alone = ContrastiveVAE.load(tmp_path / "model", adata=False, accelerator="cpu")
    query = make_images(5, 5, (8, 8, 3), seed=1)
    np.testing.assert_allclose(
        alone.get_latent_representation(query), model.get_latent_representation(query), rtol=1e-5
    )


def test_standard_vae(tmp_path):
    adata = make_images(shape=(8, 8, 3))
    model = make_vae(adata)
    model.train(2, batch_size=16, **QUIET)
    model.embed()
    model.save(tmp_path / "model")
    again = StandardVAE.load(tmp_path / "model", adata=adata.copy(), accelerator="cpu")
    np.testing.assert_allclose(
        again.get_latent_representation(), adata.obsm["X_vae"], rtol=1e-5, atol=1e-6
    )
    assert images.from_anndata(model.sweep(n_steps=2)).shape == (4, 8, 8, 3)


def test_batch_reaches_the_convolutional_networks():
    model = make_trained(make_images(), setup={"batch_key": "batch"}, **IMAGES)
    one, other = (model.denoise(batch=batch) for batch in ("a", "b"))
    assert (np.abs(one - other).max(1) > 1e-3).all()


def test_a_convolutional_network_finds_the_bar():
    scvi.settings.seed = 0
    adata = make_images(120, 80, dtype=np.float32)
    train = {"batch_size": 32, "plan_kwargs": {"lr": 4e-3}}
    model = make_trained(adata, max_epochs=25, train=train, n_hidden=32, **IMAGES)
    latents = model.get_latent_representation()[:120]
    has_bar = np.arange(120) < 60
    gap = latents[has_bar].mean(0) - latents[~has_bar].mean(0)
    spread = np.sqrt(latents[has_bar].var(0) + latents[~has_bar].var(0))
    assert (np.abs(gap) / spread).max() > 1.5


@pytest.mark.parametrize("shape", [(10, 8), (8, 7, 3), (30, 30)])
def test_odd_sizes_are_refused(shape):
    found = f"found {shape[0]} x {shape[1]}"
    with pytest.raises(ValueError, match=f"multiples of 4, {found}"):
        make_model(make_images(shape=shape), **IMAGES)
    with pytest.raises(ValueError, match=f"multiples of 4, {found}"):
        make_vae(make_images(shape=shape))


def without_description(adata):
    del adata.uns["image"]
    return adata


def test_data_that_are_no_images_are_refused():
    with pytest.raises(ValueError, match=r"found data without `adata.uns\['image'\]`"):
        make_model(without_description(make_images()), **IMAGES)


@pytest.mark.parametrize("likelihood", ["nb", "zinb", "poisson"])
def test_images_are_no_counts(likelihood):
    with pytest.raises(ValueError, match="expects counts, found images with values from 0 to 255"):
        make_model(make_images(), likelihood=likelihood)
    with pytest.raises(ValueError, match="`likelihood` should be 'gaussian' or 'bernoulli'"):
        make_model(make_images(), network="conv", likelihood=likelihood)


def test_eight_bit_data_without_description_are_not_scaled():
    model = make_model(without_description(make_images()), likelihood="gaussian")
    seen = torch.cat([t[REGISTRY_KEYS.X_KEY] for t in model._minibatches(model.adata, None, 16)])
    np.testing.assert_array_equal(seen, model.adata.X)
    with pytest.raises(ValueError, match="expects values from 0 to 1"):
        make_model(without_description(make_images()), likelihood="bernoulli")


def test_values_must_fit_the_range():
    adata = make_images(dtype=np.float32)
    adata.uns["image"]["value_range"] = np.array([0.0, 255.0])
    with pytest.raises(ValueError, match="should reach up to 255, .* found at most 0"):
        make_model(adata, likelihood="gaussian")
    adata.X = adata.X * 300
    with pytest.raises(ValueError, match="expects values from 0 to 255 in `adata.X`, found 0 to 2"):
        make_model(adata, likelihood="bernoulli")


def test_a_cut_of_the_pixels_is_no_image():
    adata = make_images()[:, :50].copy()
    with pytest.raises(ValueError, match="found 50 variables. Keep all pixels"):
        make_model(adata, likelihood="gaussian")


def query_of(*, dtype=np.uint8, change=lambda adata: adata, shape=(8, 8)):
    return change(make_images(5, 5, shape, dtype=dtype, seed=1))


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (query_of(dtype=np.float32), r"trained on, .*\(0.0, 255.0\)\), found .*\(0.0, 1.0\)\)"),
        (query_of(change=without_description), "found none. Copy the entry"),
    ],
)
def test_query_data_in_other_units_are_refused(query, message):
    model = make_trained(make_images(), likelihood="gaussian")
    with pytest.raises(ValueError, match=message):
        model.get_latent_representation(query)


def test_query_images_where_there_were_none():
    model = make_trained(without_description(make_images()), likelihood="gaussian")
    with pytest.raises(ValueError, match="trained on, none, found .* Remove the entry"):
        model.get_latent_representation(query_of())


def test_query_floats_need_no_description():
    model = make_trained(make_images(dtype=np.float32), **IMAGES)
    query = query_of(dtype=np.float32)
    expected = model.get_latent_representation(query)
    bare = without_description(query_of(dtype=np.float32))
    np.testing.assert_array_equal(model.get_latent_representation(bare), expected)


def test_a_layer_holds_the_images_of_the_entry():
    adata = make_images()
    adata.layers["negative"] = 255 - adata.X
    model = make_model(adata, setup={"layer": "negative"}, **IMAGES)
    seen = torch.cat([t[REGISTRY_KEYS.X_KEY] for t in model._minibatches(adata, None, None)])
    np.testing.assert_allclose(seen, 1 - adata.X / np.float32(255), atol=1e-6)


def test_evidence_is_in_units_of_the_model():
    results = []
    for dtype in (np.uint8, np.float32):
        scvi.settings.seed = 0
        model = make_trained(make_images(80, 80, dtype=dtype), **IMAGES)
        results.append(model.evidence(make_images(30, 30, dtype=dtype, seed=2)))
    np.testing.assert_allclose(*(r.target_gains for r in results), rtol=1e-3, atol=1e-4)
