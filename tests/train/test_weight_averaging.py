"""The model keeps the mean of the weights over the last steps of training."""

from __future__ import annotations

import pytest
import scvi
import torch
from lightning.pytorch.callbacks import Callback
from scvi.train import SaveCheckpoint

from factories import QUIET, make_model, make_standard
from scsalient.train._weight_mean import WeightMean

# Eight minibatches an epoch, and a callback after each
BATCHES = {"batch_size": 7, "train_size": 0.9, "datasplitter_kwargs": {"steps_at_once": 1}}
EVERY_EPOCH = {"check_val_every_n_epoch": 1}


def weights(module):
    return [parameter.detach().clone() for parameter in module.parameters()]


class Seen(Callback):
    """The weights after each step and while validating; stops where it is told to."""

    def __init__(self, last_epoch=None):
        self.after, self.validated, self.last_epoch = [], [], last_epoch

    def on_train_batch_end(self, trainer, plan, *_args):
        self.after.append(weights(plan.module))

    def on_validation_epoch_end(self, trainer, plan):
        self.validated.append(weights(plan.module))

    def on_train_epoch_end(self, trainer, plan):
        if trainer.current_epoch == self.last_epoch:
            trainer.should_stop = True


def trained(epochs, *, make=make_model, seen=None, plan=None, model=None, **train):
    scvi.settings.seed = 0
    model = make(**(model or {}))
    seen = Seen() if seen is None else seen
    model.train(
        epochs, callbacks=[seen], plan_kwargs=plan, **(QUIET | BATCHES | EVERY_EPOCH | train)
    )
    return model, seen


def assert_equal(found, expected, **tolerance):
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, **tolerance)


def mean_of(several):
    return [torch.stack(values).mean(0) for values in zip(*several, strict=True)]


@pytest.mark.parametrize("make", [make_model, make_standard])
@pytest.mark.parametrize(("share", "n_averaged"), [(None, 0.3), (0.5, 0.5), (0.7, 0.7), (1.0, 1.0)])
def test_the_mean_over_the_last_steps_is_kept(make, share, n_averaged):
    plan = None if share is None else {"weight_averaging": share}
    model, seen = trained(10, make=make, plan=plan)
    n_steps = round(n_averaged * len(seen.after))
    assert_equal(weights(model.module), mean_of(seen.after[-n_steps:]), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("make", [make_model, make_standard])
def test_a_limit_on_steps_ends_the_plan(make):
    model, seen = trained(10, make=make, max_steps=30)
    assert len(seen.after) == 30
    assert_equal(weights(model.module), mean_of(seen.after[-9:]), rtol=1e-4, atol=1e-6)


def test_the_last_weights_are_kept_without_an_average():
    model, seen = trained(10, plan={"weight_averaging": 0.0})
    assert_equal(weights(model.module), seen.after[-1], rtol=0, atol=0)


def test_validation_sees_the_mean_and_leaves_no_trace():
    model, seen = trained(10)
    n_steps = len(seen.after) // 10
    assert_equal(seen.validated[6], seen.after[7 * n_steps - 1], rtol=0, atol=0)
    for epoch in (7, 8, 9):
        so_far = seen.after[7 * n_steps : (epoch + 1) * n_steps]
        assert_equal(seen.validated[epoch], mean_of(so_far), rtol=1e-4, atol=1e-6)
    assert_equal(seen.validated[9], weights(model.module), rtol=0, atol=0)
    _, without = trained(10, plan={"weight_averaging": 0.0})
    assert_equal(without.after[-1], seen.after[-1], rtol=0, atol=0)


@pytest.mark.parametrize("train_size", [0.8, 1.0])
def test_callbacks_at_the_end_of_an_epoch_see_the_mean(train_size):
    at_end = []

    class Look(Seen):
        def on_train_epoch_end(self, trainer, plan):
            at_end.append(weights(plan.module))

    every = {} if train_size == 1 else EVERY_EPOCH
    seen = Look()
    model = make_model()
    arguments = QUIET | BATCHES | every | {"train_size": train_size}
    model.train(10, callbacks=[seen], **arguments)
    assert_equal(at_end[-1], weights(model.module), rtol=0, atol=0)


def test_means_of_batch_norm_are_averaged_too():
    kwargs = {"use_batch_norm": True}
    averaged, _ = trained(10, model=kwargs)
    last, _ = trained(10, model=kwargs, plan={"weight_averaging": 0.0})
    name = "background_encoder.hidden.fc_layers.Layer 0.1.running_mean"
    means = (model.module.get_buffer(name) for model in (averaged, last))
    assert not torch.equal(*means)
    counts = (
        model.module.get_buffer(name.replace("running_mean", "num_batches_tracked"))
        for model in (averaged, last)
    )
    assert torch.equal(*counts)


def test_an_interrupted_mean_goes_on_from_a_checkpoint(tmp_path):
    path = tmp_path / "state.ckpt"
    whole, _ = trained(10)
    trained(10, seen=Seen(last_epoch=8), checkpoint_path=path)
    resumed, _ = trained(10, ckpt_path=path)
    assert_equal(weights(resumed.module), weights(whole.module), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("planned", [10, 14])
def test_a_checkpoint_of_a_validation_goes_on_from_the_last_weights(tmp_path, planned):
    path = tmp_path / "state.ckpt"

    class Save(Callback):
        def on_validation_end(self, trainer, plan):
            # The mean, as any callback that keeps the best model wants it
            if trainer.current_epoch == 8:
                trainer.save_checkpoint(path)

    whole, _ = trained(planned, plan={"kl_warmup": 0.0})
    scvi.settings.seed = 0
    make_model().train(
        10,
        callbacks=[Save(), Seen(last_epoch=8)],
        plan_kwargs={"kl_warmup": 0.0},
        **(QUIET | BATCHES | EVERY_EPOCH),
    )
    resumed, _ = trained(planned, ckpt_path=path, plan={"kl_warmup": 0.0})
    assert_equal(weights(resumed.module), weights(whole.module), rtol=1e-5, atol=1e-6)


def test_the_mean_follows_the_network_to_its_device():
    network = torch.nn.Linear(2, 2)
    kept = WeightMean()
    kept.add(network)
    restored = WeightMean()
    restored.load_state_dict(kept.state_dict())
    network.to("meta")
    restored.add(network)
    assert {mean.device.type for mean in restored.state_dict()["mean"]} == {"meta"}


def test_a_longer_training_starts_its_mean_anew(tmp_path):
    path = tmp_path / "state.ckpt"
    plan = {"kl_warmup": 0.0}
    trained(4, checkpoint_path=path, plan=plan)
    resumed, _ = trained(8, ckpt_path=path, plan=plan)
    whole, _ = trained(8, plan=plan)
    assert_equal(weights(resumed.module), weights(whole.module), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("share", [-0.1, 1.5, "all"])
def test_the_share_is_checked(share):
    with pytest.raises((TypeError, ValueError), match="weight_averaging"):
        trained(1, plan={"weight_averaging": share})


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("make", "term"), [(make_model, "reconstruction_target"), (make_standard, "elbo")]
)
def test_a_best_model_is_what_was_judged_best(tmp_path, make, term):
    scvi.settings.seed = 0
    model, seen = make(), Seen()
    saved = SaveCheckpoint(
        dirpath=str(tmp_path), monitor=f"{term}_validation", load_best_on_end=True, save_top_k=-1
    )
    model.train(
        10,
        callbacks=[saved, seen],
        enable_checkpointing=True,
        plan_kwargs={"lr": 1e-2},
        **(QUIET | BATCHES | EVERY_EPOCH),
    )
    best = int(model.history[f"{term}_validation"].to_numpy(dtype=float).argmin())
    # In the averaging phase, for the test to say something
    assert best >= 7
    assert_equal(weights(model.module), seen.validated[best], rtol=0, atol=0)


def test_going_on_from_the_end_changes_nothing(tmp_path):
    path = tmp_path / "state.ckpt"
    whole, _ = trained(10, checkpoint_path=path)
    with pytest.warns(UserWarning, match="has all 10 epochs that were planned"):
        again, _ = trained(10, ckpt_path=path)
    assert_equal(weights(again.module), weights(whole.module), rtol=0, atol=0)
