from __future__ import annotations

import os
import signal

import numpy as np
import pytest
import scvi
import torch
from lightning.pytorch.callbacks import Callback

from factories import QUIET, make_counts, make_model, make_trained
from scsalient.model._training import default_max_epochs

TERMS = (
    "elbo",
    "reconstruction_loss",
    "kl_local",
    "reconstruction_target",
    "reconstruction_background",
    "kl_salient",
    "kl_background",
    "total_correlation",
    "mmd",
    "background_salient",
)


def test_every_term_is_in_the_history():
    model = make_trained(max_epochs=3, train={"check_val_every_n_epoch": 1})
    for term in TERMS:
        for mode in ("train", "validation"):
            values = model.history[f"{term}_{mode}"].to_numpy(dtype=float)
            assert len(values) == 3
            assert np.isfinite(values).all()
    assert "discriminator_loss_train" in model.history


def test_the_logged_elbo_is_per_cell():
    model = make_trained(max_epochs=60, train={"train_size": 1.0})
    logged = float(model.history["elbo_train"].iloc[-1, 0])
    roles = model.adata.obs["_scvi_role"].to_numpy()
    # Training sees as many cells of either group.
    elbo = model.get_elbo(return_mean=False, n_samples=10)
    expected = -np.mean([elbo[roles == role].mean() for role in (0, 1)])
    assert logged == pytest.approx(expected, rel=0.05)


def test_kl_warms_up_in_fractions_of_training():
    model = make_model()
    model.train(10, plan_kwargs={"kl_warmup": 0.5}, **QUIET)
    weights = model.history["kl_weight"].to_numpy(dtype=float).ravel()
    assert weights[0] < 0.2
    np.testing.assert_allclose(weights[5:], 1)


def test_discriminator_learns_in_its_own_step():
    model = make_model(tc_weight=1.0)
    before = [p.detach().clone() for p in model.module.discriminator.parameters()]
    model.train(2, **QUIET)
    after = list(model.module.discriminator.parameters())
    assert all((a != b).any() for a, b in zip(after, before, strict=True))


def test_without_total_correlation_the_discriminator_rests():
    model = make_model(tc_weight=0.0)
    before = [p.detach().clone() for p in model.module.discriminator.parameters()]
    model.train(2, **QUIET)
    for a, b in zip(model.module.discriminator.parameters(), before, strict=True):
        torch.testing.assert_close(a, b)


def test_early_stopping_stops():
    model = make_model()
    model.train(500, early_stopping=True, early_stopping_patience=3, **QUIET)
    assert len(model.history["elbo_validation"]) < 500


def test_early_stopping_without_validation_cells():
    with pytest.raises(ValueError, match="`early_stopping=True` watches the ELBO of validation"):
        make_model().train(2, early_stopping=True, train_size=1.0, **QUIET)


def test_bad_number_of_epochs():
    with pytest.raises(ValueError, match="`max_epochs` should be an integer of at least 1"):
        make_model().train(0, **QUIET)


class _Interrupt(Callback):
    def on_train_epoch_end(self, trainer, pl_module):
        if trainer.current_epoch == 2:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec:FutureWarning")
@pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning")
def test_ctrl_c_keeps_the_model(request):
    # A shell that runs the tests in the background has them ignore the signal
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    model = make_model()
    with pytest.warns(UserWarning, match="interrupted after 3 of 50 epochs"):
        model.train(50, callbacks=[_Interrupt()], **QUIET)
    assert model.is_trained
    assert len(model.history["elbo_train"]) == 3
    assert np.isfinite(model.get_latent_representation()).all()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.filterwarnings("ignore:.*checkpoint:UserWarning")
@pytest.mark.filterwarnings("ignore::UserWarning:lightning")
def test_a_checkpoint_resumes_as_if_unbroken(tmp_path):
    def fresh():
        scvi.settings.seed = 1
        return make_model()

    whole = fresh()
    whole.train(6, **QUIET)

    first = fresh()
    path = tmp_path / "state.ckpt"

    class _Stop(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            if trainer.current_epoch == 2:
                trainer.should_stop = True

    first.train(6, callbacks=[_Stop()], checkpoint_path=path, **QUIET)
    assert len(first.history["elbo_train"]) == 3

    resumed = fresh()
    resumed.train(6, ckpt_path=path, **QUIET)
    assert len(resumed.history["elbo_train"]) == 3
    np.testing.assert_allclose(
        resumed.get_latent_representation(), whole.get_latent_representation(), atol=1e-5
    )


def test_default_epochs():
    assert default_max_epochs(1) == 200
    assert default_max_epochs(7) == 50
    assert default_max_epochs(400) == 20
    assert default_max_epochs(100_000) == 10


def test_unequal_groups_train():
    model = make_trained(make_counts(n_target=300, n_background=30))
    assert model.is_trained
