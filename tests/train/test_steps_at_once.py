"""Several steps of the optimiser in one of Lightning's, one by one or as recorded graphs."""

from __future__ import annotations

import numpy as np
import pytest
import scvi
import torch
from lightning.pytorch.callbacks import Callback
from scipy import sparse

from factories import QUIET, make_counts, make_images, make_model
from scsalient import StandardVAE

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

KEPT = {"storage": "device"}
ONE_BY_ONE = KEPT | {"steps_at_once": 1}


class Counted(Callback):
    """How often Lightning looked, and how many steps of optimisers it knows of."""

    def __init__(self):
        self.n_batches = self.n_steps = 0

    def on_train_batch_end(self, trainer, *_args):
        self.n_batches += 1
        self.n_steps = trainer.global_step


def trained(adata, splitter, *, epochs=3, setup=None, train=None, **kwargs):
    scvi.settings.seed = 0
    model = make_model(adata, setup=setup, **kwargs)
    counted = Counted()
    arguments = QUIET | {"batch_size": 8, "check_val_every_n_epoch": 1} | (train or {})
    model.train(epochs, datasplitter_kwargs=splitter, callbacks=[counted], **arguments)
    return model, counted


@pytest.mark.parametrize("form", [sparse.csr_matrix, lambda x: x.toarray()])
@pytest.mark.parametrize("steps_at_once", [2, 3, 32])
def test_what_is_learned_does_not_depend_on_how_many_come_at_once(form, steps_at_once):
    adata = make_counts()
    adata.X = form(adata.X)
    setup = {"batch_key": "batch", "continuous_covariate_keys": ["score"]}
    plan = {"plan_kwargs": {"kl_warmup": 0.9, "penalty_warmup": 0.7}}
    found, counted = trained(
        adata, KEPT | {"steps_at_once": steps_at_once}, setup=setup, train=plan
    )
    expected, expected_count = trained(adata, ONE_BY_ONE, setup=setup, train=plan)
    assert set(found.history) == set(expected.history)
    for name, values in expected.history.items():
        np.testing.assert_allclose(
            found.history[name].to_numpy(dtype=float), values.to_numpy(dtype=float), err_msg=name
        )
    for mine, theirs in zip(found.module.parameters(), expected.module.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)
    # Seven minibatches an epoch, of which each is two steps: of the model and its discriminator
    assert counted.n_steps == expected_count.n_steps == 2 * 3 * 7
    assert counted.n_batches == 3 * -(-7 // steps_at_once)
    assert expected_count.n_batches == 3 * 7


def test_a_limit_on_steps_counts_each():
    _, counted = trained(make_counts(), KEPT, epochs=100, train={"max_steps": 12})
    assert counted.n_batches == 6


def test_in_host_memory_minibatches_come_one_by_one():
    _, counted = trained(make_counts(), {"storage": "host"})
    assert counted.n_batches == 3 * 7


@pytest.mark.filterwarnings("ignore:.*bf16:UserWarning")
def test_half_precision_sees_the_weights_of_each_step():
    half = {"precision": "bf16-mixed"}
    found, _ = trained(make_counts(), KEPT, train=half)
    expected, _ = trained(make_counts(), ONE_BY_ONE, train=half)
    for mine, theirs in zip(found.module.parameters(), expected.module.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)


@pytest.mark.parametrize("steps_at_once", [0, 2.5, "all"])
def test_the_number_at_once_is_checked(steps_at_once):
    with pytest.raises((TypeError, ValueError), match="steps_at_once"):
        make_model().train(1, datasplitter_kwargs={"steps_at_once": steps_at_once}, **QUIET)


def test_the_standard_model_takes_one_step_at_a_time():
    adata = make_counts()
    StandardVAE.setup_anndata(adata)
    model = StandardVAE(adata, n_latent=2)
    with pytest.raises(ValueError, match="`steps_at_once` should be 1 for StandardVAE, found 4"):
        model.train(1, datasplitter_kwargs={"steps_at_once": 4}, **QUIET)
    model.train(1, datasplitter_kwargs=KEPT, **QUIET)


# On a CUDA device

ON_GPU = {"accelerator": "gpu", "devices": 1}


@needs_cuda
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"likelihood": "zinb"},
        {"likelihood": "poisson"},
        {"likelihood": "gaussian"},
        {"dropout_rate": 0.1, "use_batch_norm": True},
        {"tc_weight": 0.0},
        {"mmd_weight": 0.0, "transplant_weight": 0.0},
        {"decoder": "additive"},
        {"discriminator": "logistic"},
        {"train": {"precision": "bf16-mixed"}},
        {"train": {"batch_size": 16}},
        {"setup": {"batch_key": "batch", "continuous_covariate_keys": ["score"]}},
    ],
    ids=str,
)
def test_recorded_steps_learn_what_launched_ones_do(changes):
    changes = dict(changes)
    train = ON_GPU | changes.pop("train", {})
    adata = make_counts(600, 500)
    # Another sampling of noise, so that two seeds' difference is the measure
    found, counted = trained(adata, {}, epochs=30, train=train, **changes)
    expected, expected_count = trained(
        adata, {"steps_at_once": 1}, epochs=30, train=train, **changes
    )
    assert set(found.history) == set(expected.history)
    for name in ("elbo_train", "elbo_validation", "reconstruction_target_train"):
        mine, theirs = (m.history[name].to_numpy(dtype=float) for m in (found, expected))
        np.testing.assert_allclose(mine[-1], theirs[-1], rtol=0.03, err_msg=name)
    np.testing.assert_allclose(
        found.history["kl_weight"].to_numpy(dtype=float),
        expected.history["kl_weight"].to_numpy(dtype=float),
        rtol=1e-5,
    )
    assert counted.n_steps == expected_count.n_steps
    assert counted.n_batches < expected_count.n_batches


@needs_cuda
@pytest.mark.parametrize("network", ["dense", "conv"])
def test_recorded_steps_of_images(network):
    adata = make_images(200, 150)
    model, _ = trained(adata, {}, epochs=10, train=ON_GPU, likelihood="bernoulli", network=network)
    history = model.history["elbo_train"].to_numpy(dtype=float)
    assert np.isfinite(history).all()
    assert history[-1] < history[0]
    assert np.isfinite(model.get_latent_representation()).all()


@needs_cuda
def test_recorded_steps_draw_new_noise_each_time():
    model, _ = trained(
        make_counts(300, 300), {}, epochs=6, train=ON_GPU | {"plan_kwargs": {"lr": 1e-12}}
    )
    # With weights that stand still only draws and cells differ
    terms = model.history["elbo_train"].to_numpy(dtype=float).ravel()
    assert len(np.unique(terms)) == len(terms)


@needs_cuda
def test_memory_of_recorded_steps_is_given_back():
    adata = make_counts(600, 500)
    trained(adata, {}, train=ON_GPU)
    before = torch.cuda.memory_allocated()
    for _ in range(3):
        model, _ = trained(adata, {}, train=ON_GPU)
    model.module.to("cpu")
    del model
    torch.cuda.empty_cache()
    assert torch.cuda.memory_allocated() <= before + 2**20


@needs_cuda
def test_a_training_on_the_device_goes_on_from_a_checkpoint(tmp_path):
    adata = make_counts(300, 300)
    path = tmp_path / "state.ckpt"
    first, _ = trained(adata, {}, epochs=4, train=ON_GPU | {"checkpoint_path": path})
    second, counted = trained(adata, {}, epochs=8, train=ON_GPU | {"ckpt_path": path})
    assert len(second.history["elbo_train"]) == 4
    assert counted.n_steps == 2 * len(first.history["elbo_train"]) * 2 * -(-270 // 8)
