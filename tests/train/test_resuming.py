"""A training that goes on from a checkpoint is the one that was never broken off."""

from __future__ import annotations

import shutil

import pytest
import scvi
import torch
from lightning.pytorch.callbacks import Callback

from factories import QUIET, make_counts, make_model, make_standard

EARLY = {
    "early_stopping": True,
    "early_stopping_patience": 2,
    "early_stopping_min_delta": 0.5,
    "check_val_every_n_epoch": 1,
    "plan_kwargs": {"lr": 3e-3},
}


class Keep(Callback):
    """Copies of the file that the epochs before have left, and the learning rate of each."""

    def __init__(self, path):
        self.path, self.rates = path, []

    def on_train_epoch_start(self, trainer, pl_module):
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])
        if self.path.is_file():
            shutil.copy(self.path, self.of(trainer.current_epoch))

    def of(self, n_epochs):
        return self.path.with_name(f"after_{n_epochs}.ckpt")


def seeded(make):
    scvi.settings.seed = 0
    return make()


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.module.parameters()])


@pytest.mark.parametrize("before_the_end", [1, 2, 3])
def test_early_stopping_counts_on(tmp_path, before_the_end):
    kept = Keep(tmp_path / "file.ckpt")
    whole = seeded(make_model)
    whole.train(60, checkpoint_path=kept.path, callbacks=[kept], **EARLY, **QUIET)
    n_epochs = whole.trainer.current_epoch
    assert 3 < n_epochs < 60
    again = seeded(make_model)
    again.train(60, ckpt_path=kept.of(n_epochs - before_the_end), **EARLY, **QUIET)
    assert again.trainer.current_epoch == n_epochs
    assert torch.equal(weights(again), weights(whole))


def test_a_learning_rate_falls_on(tmp_path):
    # An improvement that is never enough
    plan = {"reduce_lr_on_plateau": True, "lr_patience": 0, "lr_threshold": 1e3, "lr_factor": 0.5}
    train = {"plan_kwargs": plan, "check_val_every_n_epoch": 1} | QUIET
    kept, later = Keep(tmp_path / "file.ckpt"), Keep(tmp_path / "none")
    whole = seeded(make_standard)
    whole.train(8, checkpoint_path=kept.path, callbacks=[kept], **train)
    again = seeded(make_standard)
    again.train(8, ckpt_path=kept.of(4), callbacks=[later], **train)
    assert kept.rates[4] < kept.rates[3]
    assert later.rates == kept.rates[4:]
    assert torch.equal(weights(again), weights(whole))
    # Once training is over the rate has fallen already
    whole.trainer.save_checkpoint(tmp_path / "end.ckpt")
    assert "plateaus" not in torch.load(tmp_path / "end.ckpt", weights_only=False)


class InMidEpoch(Callback):
    """A checkpoint after the second of several minibatches, and random states before each."""

    def __init__(self, path=None):
        self.path, self.states = path, {}

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.states[trainer.current_epoch, batch_idx] = torch.get_rng_state()

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if self.path is not None and (trainer.current_epoch, batch_idx) == (1, 1):
            trainer.save_checkpoint(self.path)


def test_a_checkpoint_from_the_middle_of_an_epoch(tmp_path):
    train = {"batch_size": 16, "datasplitter_kwargs": {"steps_at_once": 1}} | QUIET
    whole, again = InMidEpoch(tmp_path / "file.ckpt"), InMidEpoch()
    seeded(make_model).train(3, callbacks=[whole], **train)
    # Lightning's own
    with pytest.warns(UserWarning, match="ended before the epoch ended"):
        seeded(make_model).train(3, ckpt_path=whole.path, callbacks=[again], **train)
    first = min(again.states)
    assert first == (1, 2)
    assert torch.equal(again.states[first], whole.states[first])


class LastWeights(Callback):
    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.weights = torch.cat([p.detach().flatten() for p in pl_module.module.parameters()])


def test_another_share_to_average_drops_what_was_averaged(tmp_path):
    kept, last = Keep(tmp_path / "file.ckpt"), LastWeights()
    plan = {"weight_averaging": 0.5}
    seeded(make_model).train(
        10, checkpoint_path=kept.path, callbacks=[kept], plan_kwargs=plan, **QUIET
    )
    again = seeded(make_model)
    plan = {"weight_averaging": 0}
    again.train(10, ckpt_path=kept.of(8), callbacks=[last], plan_kwargs=plan, **QUIET)
    assert torch.equal(weights(again), last.weights)


def test_a_finished_training_goes_on_with_nothing(tmp_path):
    path = tmp_path / "file.ckpt"
    seeded(make_model).train(2, checkpoint_path=path, **QUIET)
    with pytest.warns(UserWarning, match="`ckpt_path` has all 2 epochs"):
        make_model(make_counts()).train(2, ckpt_path=path, **QUIET)
