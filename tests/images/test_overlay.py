from __future__ import annotations

import inspect

import numpy as np
import pytest

import scsalient as sal
from factories import QUIET, make_images
from scsalient import images


def test_settings_are_arguments_and_cannot_be_changed():
    assert set(images.OVERLAY) <= set(inspect.signature(sal.ContrastiveVAE).parameters)
    with pytest.raises(TypeError):
        images.OVERLAY["tc_weight"] = 1.0  # type: ignore[index]


def test_what_is_salient_adds_to_the_rest_and_zero_is_black():
    adata = make_images(dtype=np.float32)
    sal.ContrastiveVAE.setup_anndata(adata, "condition", "control")
    model = sal.ContrastiveVAE(adata, n_salient_latent=2, **images.OVERLAY)
    model.train(max_epochs=2, **QUIET)
    ways = [model.denoise(method=method) for method in ("zero", "difference")]
    np.testing.assert_allclose(*ways, atol=1e-5)
    middle = model.sweep(limits=(-1.0, 1.0), n_steps=3).X[4]
    np.testing.assert_allclose(middle, 0.0, atol=1e-6)
