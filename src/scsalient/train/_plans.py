"""Training plans: schedules in fractions of training, and two optimisers."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from scvi.train import TrainingPlan

from scsalient import objective
from scsalient._arguments import check_number
from scsalient.train._means import RunningMeans

if TYPE_CHECKING:
    from scvi.module.base import LossOutput
    from torch import Tensor

    from scsalient.module import ContrastiveVAEModule, LatentModule


class VAETrainingPlan(TrainingPlan):
    """scvi-tools' plan with Adam as in the paper and warm-up in fractions of training.

    Parameters
    ----------
    module
        Module to train.
    lr
        Learning rate of Adam (paper sec. 4.2).
    weight_decay, eps
        As in :class:`torch.optim.Adam`.
    kl_warmup
        Share of the planned training over which the KL terms reach their full weight.
    """

    def __init__(
        self,
        module: LatentModule,
        *,
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        eps: float = 1e-8,
        kl_warmup: float = 0.1,
        **kwargs: Any,
    ) -> None:
        check_number("kl_warmup", kl_warmup, low=0, high=1)
        check_number("lr", lr, low=0, low_included=False)
        # Set first: scvi-tools' constructor already asks for the KL weight.
        self._kl_warmup = kl_warmup
        super().__init__(
            module,
            lr=lr,
            weight_decay=weight_decay,
            eps=eps,
            n_epochs_kl_warmup=None,
            n_steps_kl_warmup=None,
            **kwargs,
        )
        self._means = {mode: RunningMeans() for mode in ("train", "validation")}

    # What scvi-tools' plan has and this one does not look at
    without_effect: ClassVar[frozenset[str]] = frozenset(
        {
            "module",
            "n_epochs_kl_warmup",
            "n_steps_kl_warmup",
            "max_kl_weight",
            "min_kl_weight",
            "on_step",
            "on_epoch",
            # Not seen to pay yet: see the guide to scale
            "compile",
            "compile_kwargs",
        }
    )

    def _optimizer_creator_fn(self, optimizer_cls: Any) -> Any:
        # One kernel for all parameters instead of several for each
        return lambda parameters: optimizer_cls(
            parameters, lr=self.lr, eps=self.eps, weight_decay=self.weight_decay, fused=True
        )

    @property
    def progress(self) -> float:
        """Share of the planned training that is done, from 0 to 1."""
        trainer = self._trainer if hasattr(self, "_trainer") else None
        if trainer is None or trainer.max_epochs is None or trainer.max_epochs < 1:
            return 1.0
        n_batches = trainer.num_training_batches
        within = 0.0
        if isinstance(n_batches, int) and n_batches > 0:
            within = trainer.fit_loop.epoch_loop.batch_idx / n_batches
        return min(1.0, (self.current_epoch + within) / trainer.max_epochs)

    @property
    def kl_weight(self) -> float:
        """Weight of the KL terms at this point of the training."""
        return objective.linear_warmup(self.progress, self._kl_warmup)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Pass a minibatch through the module."""
        return self.module(*args, **kwargs)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Objective of a minibatch."""
        kl_weight = self.kl_weight
        _, _, loss_output = self.forward(batch, loss_kwargs={"kl_weight": kl_weight})
        self._record(loss_output, "train", kl_weight=kl_weight)
        return loss_output.loss

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Objective of validation cells."""
        _, _, loss_output = self.forward(batch, loss_kwargs={"kl_weight": self.kl_weight})
        self._record(loss_output, "validation")

    def _record(
        self, loss_output: LossOutput, mode: Literal["train", "validation"], **others: float
    ) -> None:
        """Add a minibatch to the means of the epoch, and log them with the last one.

        Lightning's own log takes as long as a small network when a dozen terms go through it at
        each step.
        """
        n_rows = loss_output.n_obs_minibatch
        reconstruction = loss_output.reconstruction_loss_sum / n_rows
        kl = loss_output.kl_local_sum / n_rows
        terms = {"elbo": reconstruction + kl, "reconstruction_loss": reconstruction, "kl_local": kl}
        terms |= loss_output.extra_metrics
        values = {f"{mode}_loss": loss_output.loss}
        values |= {f"{name}_{mode}": value for name, value in terms.items()} | others
        self._means[mode].add(values, weight=n_rows)
        if mode == "train" and self.trainer.is_last_batch:
            self._log_means(mode)

    def _log_means(self, mode: Literal["train", "validation"]) -> None:
        means = self._means[mode].pop(self.trainer.strategy.reduce)
        loss = f"{mode}_loss"
        if loss in means:
            shown = mode == "train"
            self.log(loss, means.pop(loss), prog_bar=shown, **self._per_epoch)
            self.log_dict(means, **self._per_epoch)

    @property
    def _per_epoch(self) -> dict[str, Any]:
        # The means are already over the rows of all devices: each counts once, and syncing them
        # changes nothing, but Lightning warns without.
        return {
            "on_step": False,
            "on_epoch": True,
            "batch_size": 1,
            "sync_dist": self.use_sync_dist,
        }

    def on_fit_start(self) -> None:
        """Let each device draw its own noise."""
        if self.trainer.world_size > 1:
            torch.manual_seed(torch.initial_seed() + self.trainer.global_rank)

    def on_train_epoch_end(self) -> None:
        """Log what an interrupted epoch has seen."""
        self._log_means("train")

    def on_validation_epoch_end(self) -> None:
        """Log the means over the validation cells."""
        self._log_means("validation")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the state of the random generator, so that a resumed run equals an unbroken one."""
        checkpoint["rng_state"] = torch.get_rng_state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Remember the state of the random generator until training starts."""
        self._rng_state = checkpoint.get("rng_state")

    def on_train_epoch_start(self) -> None:
        """Go on from the random state of the checkpoint, if there is one."""
        state = self.__dict__.pop("_rng_state", None)
        if state is not None:
            torch.set_rng_state(state.cpu())


class ContrastiveTrainingPlan(VAETrainingPlan):
    """Two optimisers: one for encoders and decoder, one for the discriminator.

    Parameters
    ----------
    module
        Module to train.
    penalty_warmup
        Share of the planned training over which the independence terms reach full weight.
    discriminator_lr
        Learning rate of the discriminator.
    **kwargs
        Arguments of :class:`VAETrainingPlan`.
    """

    def __init__(
        self,
        module: ContrastiveVAEModule,
        *,
        penalty_warmup: float = 0.0,
        discriminator_lr: float = 1e-3,
        **kwargs: Any,
    ) -> None:
        check_number("penalty_warmup", penalty_warmup, low=0, high=1)
        check_number("discriminator_lr", discriminator_lr, low=0, low_included=False)
        super().__init__(module, **kwargs)
        self.automatic_optimization = False
        # Several devices wait for the gradient of whatever may be trained.
        module.discriminator.requires_grad_(module.tc_weight > 0)
        self._penalty_warmup = penalty_warmup
        self._discriminator_lr = discriminator_lr

    without_effect = VAETrainingPlan.without_effect | {
        "reduce_lr_on_plateau",
        "lr_factor",
        "lr_patience",
        "lr_threshold",
        "lr_scheduler_metric",
        "lr_min",
    }

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
        """Optimiser of encoders, decoder and likelihood, and optimiser of the discriminator."""
        discriminator = list(self.module.discriminator.parameters())
        theirs = {id(p) for p in discriminator}
        others = [p for p in self.module.parameters() if p.requires_grad and id(p) not in theirs]
        return self.get_optimizer_creator()(others), torch.optim.Adam(
            discriminator, lr=self._discriminator_lr, fused=True
        )

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """One step of the encoders and decoder, and one of the discriminator.

        Neither loss sends a gradient where the other does, so that one pass backward serves both.
        """
        optimizer, discriminator_optimizer = self.optimizers()
        kl_weight = self.kl_weight
        inference_outputs, _, loss_output = self._run(batch, kl_weight)
        objective_and_theirs = loss_output.loss
        discriminates = self.module.tc_weight > 0
        if discriminates:
            theirs = self.module.discriminator_step(batch, inference_outputs["samples"])
            objective_and_theirs = objective_and_theirs + theirs
            loss_output.extra_metrics["discriminator_loss"] = theirs.detach()

        optimizer.zero_grad()
        discriminator_optimizer.zero_grad()
        self.manual_backward(objective_and_theirs)
        optimizer.step()
        if discriminates:
            discriminator_optimizer.step()

        self._record(loss_output, "train", kl_weight=kl_weight)
        # Lightning does not step on it; callbacks look at it.
        return loss_output.loss.detach()

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Objective of validation cells."""
        _, _, loss_output = self._run(batch, self.kl_weight)
        self._record(loss_output, "validation")

    def _run(self, batch: dict[str, Tensor], kl_weight: float) -> tuple[Any, Any, LossOutput]:
        penalty_weight = objective.linear_warmup(self.progress, self._penalty_warmup)
        return self.forward(
            batch, loss_kwargs={"kl_weight": kl_weight, "penalty_weight": penalty_weight}
        )


def check_plan_arguments(plan: type[VAETrainingPlan], arguments: Any) -> None:
    """Check that a training plan has the arguments that are meant for it.

    scvi-tools' plan takes any name and passes over those that it does not know.

    Parameters
    ----------
    plan
        Class of the plan.
    arguments
        Arguments by name.

    Raises
    ------
    TypeError
        When there is an unknown one.
    """
    known = {
        name: None
        for cls in plan.__mro__[: plan.__mro__.index(TrainingPlan) + 1]
        for name, parameter in inspect.signature(cls).parameters.items()
        if name not in plan.without_effect and parameter.kind is not inspect.Parameter.VAR_KEYWORD
    }
    if not isinstance(arguments, dict) or not set(arguments) <= set(known):
        msg = f"`plan_kwargs` should be a dict with names among {list(known)}, found {arguments!r}."
        raise TypeError(msg)
