from __future__ import annotations

import gc
import os
import signal
import weakref
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import scvi
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.precision import MixedPrecision

from factories import QUIET, make_counts, make_model, make_standard, make_trained
from scsalient import ContrastiveVAE
from scsalient.loaders import RoleDataSplitter, Rows, RowsOnDevice
from scsalient.model._training import default_max_epochs
from scsalient.train import ContrastiveTrainingPlan

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
    "transplant",
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


@pytest.mark.parametrize("fewest", [{"min_epochs": 20}, {"min_steps": 10_000}])
def test_ctrl_c_keeps_the_model(request, fewest):
    # A shell that runs the tests in the background has them ignore the signal
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    model = make_model()
    with pytest.warns(UserWarning, match="interrupted after 3 of 50 epochs"):
        model.train(50, callbacks=[_Interrupt()], **fewest, **QUIET)
    assert model.is_trained
    assert len(model.history["elbo_train"]) == 3
    assert np.isfinite(model.get_latent_representation()).all()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_that_python_has_not_set_stays(monkeypatch):
    # As where Python runs inside another programme
    monkeypatch.setattr(signal, "getsignal", lambda _: None)
    changed = []
    monkeypatch.setattr(signal, "signal", lambda signum, _: changed.append(signum))
    model = make_model()
    model.train(2, **QUIET)
    assert model.is_trained
    assert signal.SIGINT not in changed


def test_ctrl_c_twice_goes_back_to_the_prompt(request):
    class Twice(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    with pytest.raises(KeyboardInterrupt):
        make_model().train(50, callbacks=[Twice()], **QUIET)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


class _StopAfter(Callback):
    def __init__(self, epoch):
        self.epoch = epoch

    def on_train_epoch_end(self, trainer, pl_module):
        if trainer.current_epoch == self.epoch:
            trainer.should_stop = True


@pytest.mark.parametrize("steps_at_once", [1, 32])
def test_a_wish_to_stop_too_early_changes_nothing(steps_at_once):
    splitter = {"steps_at_once": steps_at_once}

    def trained(**train):
        scvi.settings.seed = 0
        model = make_model()
        model.train(6, min_epochs=5, datasplitter_kwargs=splitter, **train, **QUIET)
        return model

    stopped, whole = trained(callbacks=[_StopAfter(1)]), trained()
    assert len(stopped.history["elbo_train"]) == 5
    found, expected = (
        m.history["elbo_train"].to_numpy(dtype=float).ravel() for m in (stopped, whole)
    )
    np.testing.assert_allclose(found, expected[:5], rtol=1e-6)


def test_going_on_without_a_seed_keeps_the_split(tmp_path):
    scvi.settings.seed = None
    path = tmp_path / "state.ckpt"
    first = make_model()
    first.train(6, callbacks=[_StopAfter(2)], checkpoint_path=path, **QUIET)
    resumed = make_model()
    resumed.train(6, ckpt_path=path, **QUIET)
    np.testing.assert_array_equal(resumed.train_indices, first.train_indices)
    np.testing.assert_array_equal(resumed.validation_indices, first.validation_indices)
    another = make_model()
    another.train(1, **QUIET)
    assert not np.array_equal(another.train_indices, first.train_indices)


@pytest.mark.parametrize("other", [{"train_size": 0.7}, {"shuffle_set_split": False}])
def test_going_on_with_other_sets_of_cells(tmp_path, other):
    path = tmp_path / "state.ckpt"
    make_model().train(2, checkpoint_path=path, **QUIET)
    with pytest.raises(ValueError, match="`ckpt_path` is of a training with these cells"):
        make_model().train(4, ckpt_path=path, **other, **QUIET)


@pytest.mark.parametrize("other", ["sets", "names"])
def test_going_on_with_as_many_other_cells(tmp_path, other):
    path = tmp_path / "state.ckpt"
    held_out = np.arange(0, 100, 5)

    def train(first, adata=None, **train):
        sets = [np.setdiff1d(np.arange(100), held_out + first), held_out + first]
        model = make_model(adata)
        model.train(datasplitter_kwargs={"external_indexing": sets}, **train, **QUIET)

    train(0, max_epochs=2, checkpoint_path=path)
    adata = make_counts()
    if other == "names":
        adata.obs_names = [f"other_{i}" for i in range(100)]
    with pytest.raises(ValueError, match="as many cells, but found others, by their names"):
        train(1 if other == "sets" else 0, adata, max_epochs=4, ckpt_path=path)
    train(0, max_epochs=3, ckpt_path=path)


class _Fails(Callback):
    def __init__(self, epoch):
        self.epoch = epoch

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == self.epoch:
            msg = "no more"
            raise ArithmeticError(msg)


@pytest.mark.parametrize("from_checkpoint", [False, True])
def test_a_training_that_fails_to_begin_leaves_the_model_as_it_was(tmp_path, from_checkpoint):
    path = tmp_path / "state.ckpt"
    train = {"callbacks": _Fails(0)}
    if from_checkpoint:
        make_model(make_counts(seed=1)).train(2, checkpoint_path=path, **QUIET)
        # Its weights are read before its cells are compared
        train = {"ckpt_path": path}
    adata = make_counts(batch=["a"] * 80 + ["b"] * 20)
    model = make_model(adata, setup={"batch_key": "batch"} if not from_checkpoint else None)
    model.train(2, **QUIET)
    split = model.cells_, model.train_indices, model.validation_indices, model.categories_
    latent = model.get_latent_representation()
    with pytest.raises((ArithmeticError, ValueError)):
        model.train(4, train_size=0.5, **train, **QUIET)
    found = model.cells_, model.train_indices, model.validation_indices, model.categories_
    for value, expected in zip(found, split, strict=True):
        np.testing.assert_array_equal(value, expected)
    np.testing.assert_array_equal(model.get_latent_representation(), latent)


def test_a_training_that_fails_later_has_seen_its_cells():
    model = make_model()
    model.train(1, **QUIET)
    with pytest.raises(ArithmeticError):
        model.train(4, train_size=0.5, callbacks=_Fails(2), **QUIET)
    assert len(model.train_indices) == 50


def test_a_first_training_that_fails_to_begin_knows_no_cells():
    model = make_model()
    with pytest.raises(ArithmeticError):
        model.train(1, callbacks=_Fails(0), **QUIET)
    assert model.cells_ is None
    assert model.train_indices is None


def test_a_trial_run_is_refused():
    with pytest.raises(ValueError, match="`fast_dev_run` should be left out"):
        make_model().train(1, fast_dev_run=True, **QUIET)


@pytest.mark.parametrize(("name", "value"), [("weight_decay", -1), ("eps", -1e-8)])
def test_numbers_of_adam(name, value):
    with pytest.raises(ValueError, match=f"`{name}` should be a finite number of at least 0"):
        make_model().train(1, plan_kwargs={name: value}, **QUIET)


def test_each_device_draws_its_own_noise_after_a_checkpoint(monkeypatch):
    model = make_model()
    state = {"rng_state": torch.get_rng_state()}

    def noise(rank):
        plan = ContrastiveTrainingPlan(model.module)
        trainer = SimpleNamespace(
            world_size=2, global_rank=rank, current_epoch=3, max_epochs=5, lr_scheduler_configs=[]
        )
        monkeypatch.setattr(ContrastiveTrainingPlan, "trainer", trainer)
        torch.manual_seed(7)
        plan.on_load_checkpoint(dict(state))
        plan.on_fit_start()
        plan.on_train_start()
        return torch.randn(5)

    assert not torch.equal(noise(0), noise(1))
    assert torch.equal(noise(1), noise(1))


def test_copies_on_the_device_are_given_back(monkeypatch):
    made = []
    make = RowsOnDevice.__init__

    def watched(self, *args):
        made.append(weakref.ref(self))
        make(self, *args)

    monkeypatch.setattr(RowsOnDevice, "__init__", watched)
    model = make_model()
    for n in (1, 2):
        model.train(1, datasplitter_kwargs={"storage": "device"}, **QUIET)
        gc.collect()
        assert len(made) == n
        assert not any(copy() for copy in made)


def test_validation_cells_come_in_no_order():
    model = make_model(make_counts(600, 400))
    splitter = RoleDataSplitter(model.adata_manager, model._groups(), train_size=0.5)
    cells = np.concatenate(list(splitter.val_dataloader().sampler))
    assert sorted(cells) == sorted(splitter.val_idx)
    target = cells[cells < 600]
    assert abs(np.corrcoef(target, np.arange(len(target)))[0, 1]) < 0.3


def test_held_out_cells_are_not_those_of_the_same_seed_elsewhere():
    scvi.settings.seed = 0
    model = make_model(make_counts(600, 400))
    splitter = RoleDataSplitter(model.adata_manager, model._groups(), train_size=0.5)
    # A user's own permutation by the same seed, of data that are simulated say
    own = np.random.default_rng(0).permutation(600)[:300]
    train = splitter.train_idx[splitter.train_idx < 600]
    assert 100 < len(np.intersect1d(train, own)) < 200


def test_training_on_data_that_lack_a_group(tmp_path):
    make_trained().save(tmp_path / "model")
    target = make_counts(n_background=1)[:60].copy()
    model = ContrastiveVAE.load(tmp_path / "model", adata=target, accelerator="cpu")
    with pytest.raises(ValueError, match="`adata` should have cells .* found no background"):
        model.train(1, **QUIET)


@pytest.mark.parametrize("steps_at_once", [1, 4])
def test_a_limit_on_batches_counts_steps(steps_at_once):
    model = make_model()
    counted = _Steps()
    splitter = {"steps_at_once": steps_at_once}
    model.train(
        2,
        batch_size=8,
        limit_train_batches=3,
        datasplitter_kwargs=splitter,
        callbacks=[counted],
        **QUIET,
    )
    assert counted.n == 2 * 3


class _Steps(Callback):
    n = 0

    def on_train_batch_end(self, *_args):
        self.n += 1


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

    first.train(6, callbacks=[_StopAfter(2)], checkpoint_path=path, **QUIET)
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
    # Half as many target cells as others, a tenth, and so few that only 200 steps are left
    assert default_max_epochs(7, 2) == 50
    assert default_max_epochs(71, 10) == 10
    assert default_max_epochs(16, 20) == 13
    assert default_max_epochs(400, 50) == 2


@pytest.mark.parametrize(("n_target", "n_background", "n_epochs"), [(40, 400, 10), (400, 40, 50)])
def test_a_small_target_is_not_shown_too_often(n_target, n_background, n_epochs):
    model = make_model(make_counts(n_target, n_background))
    model.train(batch_size=16, **QUIET)
    assert len(model.history["elbo_train"]) == n_epochs


def test_unequal_groups_train():
    model = make_trained(make_counts(n_target=300, n_background=30))
    assert model.is_trained


def test_an_optimiser_of_ones_own():
    model = make_model()

    def creator(parameters):
        return torch.optim.Adam([p for p in parameters if p.requires_grad], lr=1e-3)

    model.train(1, plan_kwargs={"optimizer": "Custom", "optimizer_creator": creator}, **QUIET)
    groups = model.trainer.optimizers[0].param_groups
    own = {id(p) for p in model.module.discriminator.parameters()}
    assert {id(p) for p in groups[1]["params"]} == own
    with pytest.raises(ValueError, match="should have `optimizer='Custom'` beside"):
        make_model().train(1, plan_kwargs={"optimizer_creator": creator}, **QUIET)
    with pytest.raises(TypeError, match="`plan_kwargs` should be a dict with names among"):
        make_model().train(1, plan_kwargs={"update_only_decoder": True}, **QUIET)


def test_a_plateau_of_no_validation_cells():
    model = make_standard()
    with pytest.raises(ValueError, match="`reduce_lr_on_plateau` watches a term of validation"):
        model.train(2, train_size=1.0, plan_kwargs={"reduce_lr_on_plateau": True}, **QUIET)


def test_penalties_warm_up_in_fractions_of_training():
    module = make_model().module
    plan = ContrastiveTrainingPlan(module, penalty_warmup=0.5, kl_warmup=0.2)
    found = [plan._weights(progress) for progress in (0.0, 0.1, 0.25, 0.5, 1.0)]
    np.testing.assert_allclose([w["penalty_weight"] for w in found], [0, 0.2, 0.5, 1, 1])
    np.testing.assert_allclose([w["kl_weight"] for w in found], [0, 0.5, 1, 1, 1])


def test_discriminator_and_dispersions_have_learning_rates_of_their_own():
    module = make_model().module
    own = {"discriminator_lr": 1e-4, "dispersion_lr": 0.2}
    plan = ContrastiveTrainingPlan(module, lr=1e-2, weight_decay=0.1, **own)
    ours, dispersions, theirs = plan.configure_optimizers().param_groups
    assert (ours["lr"], ours["weight_decay"]) == (1e-2, 0.1)
    assert (dispersions["lr"], dispersions["weight_decay"]) == (0.2, 0.0)
    assert [id(p) for p in dispersions["params"]] == [id(module.likelihood.log_inverse_dispersion)]
    assert (theirs["lr"], theirs["weight_decay"]) == (1e-4, 0.0)
    assert len(theirs["params"]) == len(list(module.discriminator.parameters()))
    n_parameters = sum(len(group["params"]) for group in (ours, dispersions, theirs))
    assert n_parameters == len(list(module.parameters()))


def test_the_gaussian_variance_has_the_usual_learning_rate():
    plan = ContrastiveTrainingPlan(make_model(likelihood="gaussian").module)
    assert [group["lr"] for group in plan.configure_optimizers().param_groups] == [1e-3, 1e-3]


@pytest.mark.parametrize("make", [make_model, make_standard])
def test_dispersions_are_learned_from_any_start(make):
    learned = []
    for start in (-1.0, 3.0):
        scvi.settings.seed = 0
        # Of a variance of about ten times the mean
        rate = np.random.default_rng(0).gamma(0.5, 20.0, size=(200, 12))
        adata = make_counts(100, 100)
        adata.X = np.random.default_rng(1).poisson(rate).astype(np.float32) + 1
        model = make(adata)
        torch.nn.init.constant_(model.module.likelihood.log_inverse_dispersion, start)
        model.train(**QUIET)
        learned.append(model.module.likelihood.log_inverse_dispersion.detach().numpy())
    assert np.abs(learned[0] - learned[1]).mean() < 1.0


def test_validation_takes_the_weights_at_the_end_of_its_epoch():
    model = make_model(tc_weight=0.0, mmd_weight=0.0, background_salient_weight=0.0)
    model.module.transplant_weight = 0.0
    plan = {"kl_warmup": 1.0, "weight_averaging": 0.0}
    model.train(2, plan_kwargs=plan, check_val_every_n_epoch=1, **QUIET)
    logged = {name: values.to_numpy(float).ravel() for name, values in model.history.items()}
    kl = logged["kl_salient_validation"] + logged["kl_background_validation"]
    reconstruction = (
        logged["reconstruction_target_validation"] + logged["reconstruction_background_validation"]
    )
    # The divergence of z is paid by both groups
    expected = reconstruction[0] + 0.5 * (kl[0] + logged["kl_background_validation"][0])
    assert logged["validation_loss"][0] == pytest.approx(expected, rel=0.02)


def test_names_of_arguments_of_the_loader():
    with pytest.raises(TypeError, match="`datasplitter_kwargs` should be a dict with names among"):
        make_model().train(1, datasplitter_kwargs={"drop_last": True}, **QUIET)


def test_cells_to_train_on_can_be_given():
    model = make_model()
    held_out = np.arange(0, 100, 5)
    trained = np.setdiff1d(np.arange(100), held_out)
    model.train(1, datasplitter_kwargs={"external_indexing": [trained, held_out]}, **QUIET)
    assert set(model.train_indices) == set(trained)
    evidence = model.evidence()
    assert len(evidence.target_gains) + len(evidence.background_gains) == len(held_out)


@pytest.mark.parametrize(
    ("setup", "named"),
    [
        ({"batch_key": "donor"}, "donor"),
        ({"batch_key": "batch", "categorical_covariate_keys": ["batch", "donor"]}, "donor"),
    ],
)
def test_a_donor_that_is_held_out_should_not_be_registered(setup, named):
    adata = make_counts(donor=np.tile(["d1", "d2", "d3", "d4", "d5"], 20))
    model = make_model(adata, setup=setup)
    held_out = np.flatnonzero(adata.obs["donor"] == "d3")
    sets = {"external_indexing": [np.setdiff1d(np.arange(100), held_out), held_out]}
    expected = rf"`adata.obs\['{named}'\]` has categories of which no cell is .*, \['d3'\]:"
    with pytest.warns(UserWarning, match=expected) as caught:
        model.train(1, datasplitter_kwargs=sets, **QUIET)
    assert sum("of which no cell" in str(warning.message) for warning in caught) == 1
    assert all(
        warning.filename == __file__ for warning in caught if "no cell" in str(warning.message)
    )


def test_few_cells_to_train_on():
    with pytest.warns(UserWarning, match="Only 8 background cells"):
        model = make_model(make_counts(60, 8))
    with pytest.warns(UserWarning, match="Only 6 target cells to train on"):
        model.train(1, train_size=0.1, **QUIET)


def test_a_checkpoint_of_a_training_that_goes_on_knows_its_cells():
    model = make_model()
    seen = []

    class Look(Callback):
        def on_train_start(self, trainer, pl_module):
            seen.append((model.cells_, len(model.train_indices), len(model.validation_indices)))

    model.train(1, callbacks=Look(), **QUIET)
    assert seen == [(model.cells_, 90, 10)]


@pytest.mark.parametrize(
    "weight", ["tc_weight", "mmd_weight", "background_salient_weight", "transplant_weight"]
)
def test_numbers_of_numpy(weight):
    model = make_model(**{weight: np.logspace(0, 2, 3)[1]})
    model.train(np.int64(1), check_val_every_n_epoch=np.int64(1), **QUIET)
    assert model.is_trained


def test_arguments_that_the_trainer_does_not_know():
    model = make_model()
    with pytest.raises(TypeError, match="no argument `max_epoch`, .* Did you mean 'max_epochs'"):
        model.train(max_epoch=1)
    with pytest.raises(TypeError, match="`background_indices`, .* see `setup_anndata`"):
        model.train(background_indices=[1], target_indices=[2])


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("n_epochs_kl_warmup", "`kl_warmup` is the share of the training"),
        ("reduce_lr_on_plateau", "Only `StandardVAE`"),
    ],
)
def test_arguments_of_the_plan_that_scvi_tools_has(name, advice):
    with pytest.raises(TypeError, match=f"no `{name}` here. {advice}"):
        make_model().train(1, plan_kwargs={name: 3})


def test_validation_cells_beside_those_that_are_given():
    sets = {"external_indexing": [np.arange(100)]}
    with pytest.raises(ValueError, match="`external_indexing`. Give them as its second array"):
        make_model().train(1, early_stopping=True, datasplitter_kwargs=sets)


def test_gradients_are_clipped():
    def trained(make, **kwargs):
        scvi.settings.seed = 0
        model = make()
        before = [p.detach().clone() for p in model.module.parameters()]
        plan = {"optimizer": "Custom", "optimizer_creator": lambda p: torch.optim.SGD(p, lr=1.0)}
        model.train(1, plan_kwargs=plan | {"weight_averaging": 0.0}, **kwargs, **QUIET)
        after = [p.detach() for p in model.module.parameters()]
        moved = [(a - b).square().sum() for a, b in zip(after, before, strict=True)]
        return float(sum(moved) ** 0.5)

    for make in (make_model, make_standard):
        assert trained(make, gradient_clip_val=1e-3) < 1.01e-3
    assert trained(make_model, gradient_clip_val=1e-4, gradient_clip_algorithm="value") < 0.1
    with pytest.raises(ValueError, match="`gradient_clip_algorithm` should be"):
        make_model().train(1, gradient_clip_val=1.0, gradient_clip_algorithm="sign")
    with pytest.raises(ValueError, match="`accumulate_grad_batches` should be 1"):
        make_model().train(1, accumulate_grad_batches=2)


@pytest.mark.parametrize("n_background", [1, 3])
def test_terms_of_a_group_are_over_its_validation_cells(n_background):
    # More minibatches than background cells
    adata = make_counts(320, 40)
    sets = [np.r_[:60, 320:350], np.r_[60:320, 350 : 350 + n_background]]
    train = {
        "batch_size": 4,
        "check_val_every_n_epoch": 1,
        "datasplitter_kwargs": {"external_indexing": sets},
    }
    model = make_trained(adata, max_epochs=3, train=train, likelihood="poisson")
    logged = model.history["reconstruction_background_validation"].iloc[-1].item()
    cells = sets[1][260:]
    expected = model.get_reconstruction_error(indices=cells, n_samples=200)
    assert logged == pytest.approx(expected, rel=0.1)


def test_terms_of_a_group_without_validation_cells_are_not_logged():
    sets = [np.r_[:40, 60:100], np.arange(40, 60)]
    train = {"check_val_every_n_epoch": 1, "datasplitter_kwargs": {"external_indexing": sets}}
    history = make_trained(train=train).history
    missing = {"reconstruction_background", "background_salient", "mmd", "transplant"}
    there = {name for name in TERMS if f"{name}_validation" in history}
    assert there == set(TERMS) - missing


@pytest.mark.parametrize("make", [make_model, make_standard])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_gradients_are_clipped_in_every_precision(make, precision):
    scvi.settings.seed = 0
    moved = []
    for largest in (1e-6, None):
        model = make()
        before = [p.detach().clone() for p in model.module.parameters()]
        # Steps of this optimiser are in proportion to gradients
        plan = {
            "optimizer": "Custom",
            "optimizer_creator": lambda p: torch.optim.SGD(p, lr=1e-3),
            "weight_averaging": 0,
        }
        model.train(2, precision=precision, gradient_clip_val=largest, plan_kwargs=plan, **QUIET)
        after = [p.detach() for p in model.module.parameters()]
        moved.append(max(float((a - b).abs().max()) for a, b in zip(after, before, strict=True)))
    assert moved[0] < 1e-6 < moved[1]


@pytest.mark.parametrize("make", [make_model, make_standard])
def test_adam_clips_in_half_precision(make):
    model = make()
    model.train(1, precision="bf16-mixed", gradient_clip_val=1.0, **QUIET)
    assert model.is_trained


def test_scaled_gradients_are_clipped_as_others_are():
    norms = []

    class Watched(torch.optim.SGD):
        def step(self, closure=None):
            gradients = [p.grad.flatten() for p in self.param_groups[0]["params"]]
            norms.append(float(torch.cat(gradients).norm()))
            super().step()

    scaled = MixedPrecision("16-mixed", "cpu", scaler=torch.amp.GradScaler("cpu", init_scale=64.0))
    plan = {"optimizer": "Custom", "optimizer_creator": lambda p: Watched(p, lr=1e-4)}
    make_model(tc_weight=0).train(
        3, gradient_clip_val=0.5, plugins=[scaled], plan_kwargs=plan, **QUIET
    )
    assert norms == pytest.approx([0.5] * 3, rel=0.01)


class Another(torch.optim.Adam):
    """An optimiser that may count on the host."""


@pytest.mark.parametrize(
    ("optimizer", "may"),
    [
        (None, True),
        (lambda p: torch.optim.Adam(p, capturable=True), True),
        (lambda p: torch.optim.AdamW(p, capturable=True), True),
        (torch.optim.Adam, False),
        (torch.optim.SGD, False),
        (lambda p: Another(p, capturable=True), False),
    ],
    ids=["the plan's", "adam", "adamw", "not capturable", "sgd", "another"],
)
def test_steps_of_optimisers_that_are_not_known_are_not_recorded(monkeypatch, optimizer, may):
    plan = ContrastiveTrainingPlan(make_model().module)
    trainer = SimpleNamespace(precision="32-true")
    monkeypatch.setattr(ContrastiveTrainingPlan, "trainer", trainer)
    monkeypatch.setattr(ContrastiveTrainingPlan, "device", torch.device("cuda"))
    parameters = plan.module.parameters()
    made = plan.configure_optimizers() if optimizer is None else optimizer(parameters)
    monkeypatch.setattr(plan, "optimizers", lambda use_pl_optimizer: made)
    assert plan._can_replay is may


def rows_alive():
    gc.collect()
    return [kept for kept in gc.get_objects() if type(kept) is Rows]


@pytest.mark.filterwarnings("ignore:Training will be faster:UserWarning")
@pytest.mark.parametrize("fails", [False, True])
def test_no_copy_of_the_data_is_left_after_training(fails):
    class Fail(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            if fails:
                msg = "as asked"
                raise RuntimeError(msg)

    adata = make_counts()
    adata.X = adata.X.tocsc()
    model = make_model(adata)
    before = len(rows_alive())
    with pytest.raises(RuntimeError, match="as asked") if fails else nullcontext():
        model.train(2, callbacks=[Fail()], **QUIET)
    assert len(rows_alive()) == before
    assert all(p.grad is None for p in model.module.parameters())


def test_names_in_the_history_are_plain_strings():
    # Those of pandas 3 could not be read by an older one
    history = make_trained(train={"check_val_every_n_epoch": 1}).history
    assert {frame.columns.dtype for frame in history.values()} == {np.dtype(object)}


def test_a_batch_that_was_held_out_was_not_seen():
    adata = make_counts(batch=["a"] * 50 + ["b"] * 10 + ["a"] * 30 + ["b"] * 10)
    query = adata[adata.obs["batch"] == "b"].copy()
    is_b = (adata.obs["batch"] == "b").to_numpy()
    sets = [np.flatnonzero(~is_b), np.flatnonzero(is_b)]
    model = make_model(adata, setup={"batch_key": "batch"})
    with pytest.warns(UserWarning, match=r"categories of which no cell is trained on, \['b'\]"):
        model.train(2, datasplitter_kwargs={"external_indexing": sets}, **QUIET)
    with pytest.raises(ValueError, match=r"trained on, \['a'\], found \['b'\]"):
        model.get_latent_representation(query)
    with pytest.raises(ValueError, match=r"`batch` should be one of those trained on, \['a'\]"):
        model.generate(2, batch="b")
    # Its own data had their warning
    assert np.isfinite(model.get_latent_representation()).all()
    model.train(2, train_size=0.5, **QUIET)
    assert np.isfinite(model.get_latent_representation(query)).all()
