"""Several steps of the optimiser in one of Lightning's, one by one or as recorded graphs."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import scvi
import torch
from anndata import read_h5ad
from lightning.pytorch.callbacks import Callback
from scipy import sparse

from factories import QUIET, make_counts, make_images, make_model, make_standard
from scsalient.train import ContrastiveTrainingPlan, _graphs

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
@pytest.mark.parametrize("storage", ["auto", "device"])
def test_what_is_learned_does_not_depend_on_how_many_come_at_once(form, steps_at_once, storage):
    adata = make_counts()
    adata.X = form(adata.X)
    setup = {"batch_key": "batch", "continuous_covariate_keys": ["score"]}
    plan = {"plan_kwargs": {"kl_warmup": 0.9, "penalty_warmup": 0.7}}
    where = {"storage": storage}
    found, counted = trained(
        adata, where | {"steps_at_once": steps_at_once}, setup=setup, train=plan
    )
    expected, expected_count = trained(adata, where | {"steps_at_once": 1}, setup=setup, train=plan)
    assert_same(found, expected)
    # Seven minibatches an epoch
    assert counted.n_steps == expected_count.n_steps == 3 * 7
    assert counted.n_batches == 3 * -(-7 // steps_at_once)
    assert expected_count.n_batches == 3 * 7


def test_a_limit_on_steps_counts_each():
    _, counted = trained(make_counts(), KEPT, epochs=100, train={"max_steps": 12})
    assert counted.n_batches == 12


def test_from_a_file_minibatches_come_one_by_one(tmp_path):
    make_counts().write_h5ad(tmp_path / "cells.h5ad")
    _, counted = trained(read_h5ad(tmp_path / "cells.h5ad", backed="r"), {})
    assert counted.n_batches == 3 * 7


def test_a_wish_to_stop_is_heard_between_steps_at_once():
    class Stop(Callback):
        def on_train_batch_start(self, trainer, *_args):
            # As Ctrl-C does, at a time that can be told
            optimizer = trainer.lightning_module.optimizers()
            step = optimizer.step

            def last_step(*args, **kwargs):
                trainer.should_stop = True
                return step(*args, **kwargs)

            optimizer.step = last_step

    model = make_model()
    counted = Counted()
    model.train(5, batch_size=8, callbacks=[Stop(), counted], **QUIET)
    assert counted.n_batches == 1
    assert counted.n_steps == 1
    assert model.is_trained


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
    model = make_standard()
    with pytest.raises(ValueError, match="`steps_at_once` should be 1 for StandardVAE, found 4"):
        model.train(1, datasplitter_kwargs={"steps_at_once": 4}, **QUIET)
    model.train(1, datasplitter_kwargs=KEPT, **QUIET)


class _Replayed:
    """Stands for a recorded step: the same work on the same memory for inputs and results."""

    def __init__(self, step, positions, weights, _stream):
        self.step, self.inputs = step, (torch.zeros_like(positions), torch.zeros_like(weights))
        self.results = None

    def __call__(self, *inputs):
        for kept, new in zip(self.inputs, inputs, strict=True):
            kept.copy_(new)
        results = self.step(*self.inputs)
        self.results = results if self.results is None else self.results.copy_(results)
        return self.results


CHANGES = [
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
    {"setup": {"batch_key": "batch", "continuous_covariate_keys": ["score"]}},
]


def assert_same(found, expected):
    assert set(found.history) == set(expected.history)
    for name, values in expected.history.items():
        mine, theirs = (h.to_numpy(dtype=float) for h in (found.history[name], values))
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5, err_msg=name)
    for mine, theirs in zip(found.module.parameters(), expected.module.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*bf16:UserWarning")
@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_what_replays_do_is_what_steps_do(changes, monkeypatch):
    # Minibatches of seven and of eight pairs; only the device is missing
    changes = dict(changes)
    train = changes.pop("train", {})
    expected, expected_count = trained(make_counts(90, 70), ONE_BY_ONE, train=train, **changes)
    monkeypatch.setattr(_graphs, "_Recorded", _Replayed)
    monkeypatch.setattr(torch.cuda, "Stream", object)
    monkeypatch.setattr(_graphs.StepGraphs, "_run", lambda self, *inputs: self._step(*inputs))
    monkeypatch.setattr(ContrastiveTrainingPlan, "_can_replay", True)
    found, counted = trained(make_counts(90, 70), KEPT, train=train, **changes)
    assert_same(found, expected)
    assert counted.n_steps == expected_count.n_steps


# On a CUDA device

ON_GPU = {"accelerator": "gpu", "devices": 1}


@needs_cuda
# Nine minibatches of sixty pairs, and eight of 67 or 68
@pytest.mark.parametrize("batch_size", [64, 70])
@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_recorded_steps_learn_what_launched_ones_do(changes, batch_size):
    changes = dict(changes)
    train = ON_GPU | {"batch_size": batch_size} | changes.pop("train", {})
    adata = make_counts(600, 500)
    found, counted = trained(adata, {}, train=train, **changes)
    expected, expected_count = trained(adata, {"steps_at_once": 1}, train=train, **changes)
    # Both draw the same noise
    assert_same(found, expected)
    assert counted.n_steps == expected_count.n_steps
    assert counted.n_batches < expected_count.n_batches


@needs_cuda
@pytest.mark.parametrize("network", ["dense", "conv"])
def test_recorded_steps_of_images(network):
    adata = make_images(200, 150)
    changes = {"epochs": 6, "train": ON_GPU, "likelihood": "bernoulli", "network": network}
    assert_same(trained(adata, {}, **changes)[0], trained(adata, ONE_BY_ONE, **changes)[0])


@needs_cuda
def test_memory_of_recorded_steps_is_given_back():
    def allocated():
        gc.collect()
        torch.cuda.empty_cache()
        return torch.cuda.memory_allocated()

    adata = make_counts(600, 500)
    trained(adata, {}, train=ON_GPU)
    before = allocated()
    for _ in range(3):
        trained(adata, {}, train=ON_GPU)
    assert allocated() <= before + 2**20


@pytest.mark.parametrize("device", ["cpu", pytest.param("gpu", marks=needs_cuda)])
def test_several_at_once_go_on_from_a_checkpoint(tmp_path, device):
    adata = make_counts(300, 300)
    # Schedules count in shares of the planned epochs, of which the first run has fewer
    where = {"accelerator": device, "devices": 1, "plan_kwargs": {"kl_warmup": 0.0}}
    path = tmp_path / "state.ckpt"
    trained(adata, KEPT, epochs=4, train=where | {"checkpoint_path": path})
    second, counted = trained(adata, KEPT, epochs=8, train=where | {"ckpt_path": path})
    whole, whole_count = trained(adata, KEPT, epochs=8, train=where)
    assert counted.n_steps == whole_count.n_steps
    assert len(second.history["elbo_train"]) == 4
    np.testing.assert_allclose(
        second.history["elbo_train"].iloc[-1, 0], whole.history["elbo_train"].iloc[-1, 0], rtol=1e-5
    )


@pytest.mark.parametrize(("interval", "n_validations"), [(0.5, 4), (2, 6), (1.0, 2)])
def test_validation_within_an_epoch(interval, n_validations):
    class Validations(Callback):
        n = 0

        def on_validation_epoch_end(self, *_args):
            self.n += 1

    seen = Validations()
    make_model().train(
        2,
        batch_size=8,
        val_check_interval=interval,
        check_val_every_n_epoch=1,
        callbacks=[seen],
        **QUIET,
    )
    assert seen.n == n_validations
