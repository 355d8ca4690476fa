from __future__ import annotations

import inspect

import numpy as np
import pytest

import scsalient as sal
from factories import QUIET, make_images, make_model, make_standard
from scsalient import images
from scsalient.model import CELL_DEFAULTS


def test_defaults_are_arguments_that_are_none_and_cannot_be_changed():
    parameters = inspect.signature(sal.ContrastiveVAE).parameters
    assert {parameters[name].default for name in images.DEFAULTS} == {None}
    assert set(images.DEFAULTS) == set(CELL_DEFAULTS)
    with pytest.raises(TypeError):
        images.DEFAULTS["tc_weight"] = 1.0  # type: ignore[index]


def test_what_is_salient_adds_to_the_rest_and_zero_is_black():
    adata = make_images(dtype=np.float32)
    sal.ContrastiveVAE.setup_anndata(adata, "condition", "control")
    model = sal.ContrastiveVAE(adata, n_salient_latent=2)
    model.train(max_epochs=2, **QUIET)
    ways = [model.denoise(method=method) for method in ("zero", "difference")]
    np.testing.assert_allclose(*ways, atol=1e-5)
    middle = model.sweep(limits=(-1.0, 1.0), n_steps=3).X[4]
    np.testing.assert_allclose(middle, 0.0, atol=1e-6)


def chosen(model):
    """What a model saves of the arguments that have a default for each kind of data."""
    arguments = model.init_params_["non_kwargs"]
    return {name: arguments[name] for name in arguments if name in images.DEFAULTS}


def test_images_have_their_defaults_and_cells_theirs():
    assert chosen(make_model(make_images())) == dict(images.DEFAULTS)
    assert chosen(make_model()) == dict(CELL_DEFAULTS)
    without = make_images()
    del without.uns["image"]
    assert chosen(make_model(without)) == dict(CELL_DEFAULTS)


def test_arguments_are_taken_before_the_defaults():
    given = {"likelihood": "bernoulli", "decoder": "joint", "use_bias": False, "tc_weight": 0.0}
    assert chosen(make_model(make_images(), **given)) == given


@pytest.mark.parametrize(
    ("arguments", "use_bias"),
    [
        ({}, False),
        ({"likelihood": "bernoulli"}, True),
        ({"use_batch_norm": True}, True),
        ({"likelihood": "bernoulli", "use_bias": False}, False),
    ],
)
def test_zero_is_black_only_where_it_can_be(arguments, use_bias):
    assert chosen(make_model(make_images(), **arguments))["use_bias"] is use_bias
    model = make_standard(make_images(), **arguments)
    assert chosen(model)["use_bias"] is use_bias
    assert chosen(model)["likelihood"] == arguments.get("likelihood", "gaussian")


def test_a_loaded_model_keeps_what_it_was_made_with(tmp_path, monkeypatch):
    adata = make_images()
    model = make_model(adata)
    model.save(tmp_path / "model")
    monkeypatch.setattr(images, "DEFAULTS", dict(CELL_DEFAULTS) | {"likelihood": "bernoulli"})
    loaded = sal.ContrastiveVAE.load(tmp_path / "model", adata)
    assert chosen(loaded) == chosen(model)
