"""Training plan of both models: Adam, schedules in fractions of training, terms of an epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from lightning.pytorch.trainer.states import TrainerStatus
from scvi.train import TrainingPlan

from scsalient import objective
from scsalient._arguments import check_number
from scsalient.loaders import Minibatches
from scsalient.train._means import RunningMeans
from scsalient.train._weight_mean import WeightMean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scvi.module.base import LossOutput
    from torch import Tensor
    from torch.nn import Parameter

    from scsalient.module import LatentModule


class VAETrainingPlan(TrainingPlan):
    """scvi-tools' plan with Adam as in the paper, and schedules in fractions of training.

    Parameters
    ----------
    module
        Module to train.
    lr
        Learning rate of Adam (paper sec. 4.2).
    weight_decay, eps
        As in :class:`torch.optim.Adam`.
    dispersion_lr
        Learning rate of the inverse dispersions of ``"nb"`` and ``"zinb"``, which Adam moves by
        about that much in a step and which have far to go on their logarithmic scale. With
        ``optimizer="Custom"`` it has no effect.
    kl_warmup
        Share of the planned training over which the KL terms reach their full weight.
    weight_averaging
        Share of the planned training, at its end, over whose steps the weights are averaged
        (Polyak and Juditsky 1992; Izmailov et al. 2018, arXiv 1803.05407). Validation sees the
        mean, and the model keeps it. With 0, and when training ends before, it keeps the last
        weights.
    """

    def __init__(
        self,
        module: LatentModule,
        *,
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        eps: float = 1e-8,
        dispersion_lr: float = 0.03,
        kl_warmup: float = 0.1,
        weight_averaging: float = 0.3,
        **kwargs: Any,
    ) -> None:
        check_number("kl_warmup", kl_warmup, low=0, high=1)
        check_number("weight_averaging", weight_averaging, low=0, high=1)
        check_number("lr", lr, low=0, low_included=False)
        check_number("weight_decay", weight_decay, low=0)
        check_number("eps", eps, low=0)
        check_number("dispersion_lr", dispersion_lr, low=0, low_included=False)
        # Set first: scvi-tools' constructor already asks for the KL weight.
        self._kl_warmup = kl_warmup
        self._dispersion_lr = dispersion_lr
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
        self._weight_averaging = weight_averaging
        self._weight_mean = WeightMean()
        # A checkpoint may have all epochs already
        self.has_begun = False

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
            # In the pass forward, which is our own
            "update_only_decoder",
            # Does not pay: see the guide to scale
            "compile",
            "compile_kwargs",
        }
    )

    # How many steps of the optimiser the plan can take in one of Lightning's
    steps_at_once: ClassVar[int] = 1

    def _optimizer_creator_fn(self, optimizer_cls: Any) -> Any:
        def create(parameters: Iterable[Parameter]) -> torch.optim.Optimizer:
            likelihood = self.module.likelihood
            counts = likelihood.support == "counts"
            dispersions = {id(p) for p in likelihood.parameters() if counts}
            usual: dict[str, Any] = {"params": []}
            apart: dict[str, Any] = {"params": [], "lr": self._dispersion_lr, "weight_decay": 0.0}
            for parameter in parameters:
                (apart if id(parameter) in dispersions else usual)["params"].append(parameter)
            return optimizer_cls(
                [group for group in (usual, apart) if group["params"]],
                lr=self.lr,
                eps=self.eps,
                weight_decay=self.weight_decay,
                **self._kind_of_adam,
            )

        return create

    @property
    def _kind_of_adam(self) -> dict[str, Any]:
        # One kernel for all parameters instead of several for each, which a graph can hold.
        # With mixed precision Lightning refuses to clip for an optimiser that unscales by itself.
        trainer = getattr(self, "_trainer", None)
        is_mixed = trainer is not None and "mixed" in str(trainer.precision)
        return {
            "fused": not (is_mixed and self._clips),
            "capturable": self.device.type == "cuda",
        }

    @property
    def _clips(self) -> bool:
        return self.trainer.gradient_clip_val is not None

    @property
    def progress(self) -> float:
        """Share of the planned training that is done, from 0 to 1."""
        trainer = getattr(self, "_trainer", None)
        n_batches = getattr(trainer, "num_training_batches", None)
        within = 0.0
        if trainer is not None and isinstance(n_batches, int) and n_batches > 0:
            within = trainer.fit_loop.epoch_loop.batch_idx / n_batches
        return self._progress(within)

    def _progress(self, share_of_epoch: float) -> float:
        epochs, steps = self._planned
        shares = []
        if epochs:
            shares.append((self.current_epoch + share_of_epoch) / epochs)
        if steps:
            # Then each of Lightning's batches is one
            shares.append(self.global_step / steps)
        return min(1.0, max(shares, default=1.0))

    @property
    def _planned(self) -> tuple[int, int]:
        """Planned epochs and steps; zero when nobody knows."""
        trainer = getattr(self, "_trainer", None)
        limits = (None, None) if trainer is None else (trainer.max_epochs, trainer.max_steps)
        epochs, steps = (max(0, limit or 0) for limit in limits)
        return epochs, steps

    @property
    def kl_weight(self) -> float:
        """Weight of the KL terms at this point of the training."""
        return self._weights(self.progress)["kl_weight"]

    def _weights(self, progress: float) -> dict[str, float]:
        """Weights that the module's loss takes, by name."""
        return {"kl_weight": objective.linear_warmup(progress, self._kl_warmup)}

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Pass a minibatch through the module."""
        return self.module(*args, **kwargs)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Objective of a minibatch."""
        weights = self._weights(self._progress_before)
        _, _, loss_output = self.forward(batch, loss_kwargs=weights)
        self._record(loss_output, kl_weight=weights["kl_weight"])
        self._log_at_end_of_epoch()
        return loss_output.loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Count the weights in, if the end is near; after an epoch all look at their mean."""
        if not isinstance(batch, Minibatches):
            self._end_step(self._progress_before)
        if self.trainer.is_last_batch:
            self._take_mean()

    def _end_step(self, progress: float) -> None:
        """Count the weights in after a step before which so much of the training was done."""
        share = self._weight_averaging
        # Of a share of 0.7 and 30 steps, 1 - share is a little more than the progress after 9
        if share and any(self._planned) and progress + 1e-9 >= 1 - share:
            self._weight_mean.add(self.module)

    def on_validation_start(self) -> None:
        """Look at the weights that the model would keep."""
        self._take_mean()

    def on_train_epoch_end(self) -> None:
        """Log what an interrupted epoch has seen, and look at the mean after it, too."""
        self._log_means("train")
        self._take_mean()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Go on from the last weights, and see how far the training is."""
        self._progress_before = self.progress
        if self._weight_mean.is_swapped:
            self._weight_mean.swap(self.module)
        if self.__dict__.pop("_averages_others", False):
            # Other steps are averaged than those that the training of the checkpoint had planned
            self._weight_mean = WeightMean()

    def on_fit_end(self) -> None:
        """Keep the mean of the weights, unless a callback has put others there since."""
        self._take_mean()
        self._weight_mean = WeightMean()

    def teardown(self, stage: str) -> None:
        """Let go of the gradients; lightning calls it unless training ended in an error."""
        self.zero_grad()

    def _take_mean(self) -> None:
        if not self._weight_mean.is_swapped:
            self._weight_mean.swap(self.module)

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Objective of validation cells, with the weights that the epoch has led to."""
        weights = self._weights(self._progress(1.0))
        inference_outputs, _, loss_output = self.forward(batch, loss_kwargs=weights)
        terms = self._terms(loss_output, "validation")
        n_rows = self._rows_of_terms(inference_outputs)
        n_all = loss_output.n_obs_minibatch
        self._means["validation"].add(terms, weight=[n_rows.get(name, n_all) for name in terms])

    def _rows_of_terms(self, inference_outputs: dict[str, Any]) -> dict[str, int]:
        """Rows of the terms of a validation minibatch that not all of its rows have."""
        return {}

    def _record(self, loss_output: LossOutput, **others: float) -> None:
        """Add a training minibatch to the means of the epoch.

        Lightning's own log takes as long as a small network when a dozen terms go through it at
        each step.
        """
        terms = self._terms(loss_output, "train", **others)
        self._means["train"].add(terms, weight=loss_output.n_obs_minibatch)

    @staticmethod
    def _terms(
        loss_output: LossOutput, mode: Literal["train", "validation"], **others: float | Tensor
    ) -> dict[str, Any]:
        n_rows = loss_output.n_obs_minibatch
        reconstruction = loss_output.reconstruction_loss_sum / n_rows
        kl = loss_output.kl_local_sum / n_rows
        terms = {"elbo": reconstruction + kl, "reconstruction_loss": reconstruction, "kl_local": kl}
        terms |= loss_output.extra_metrics
        values = {f"{mode}_loss": loss_output.loss}
        return values | {f"{name}_{mode}": value for name, value in terms.items()} | others

    def _log_at_end_of_epoch(self) -> None:
        if self.trainer.is_last_batch:
            self._log_means("train")

    def _log_means(self, mode: Literal["train", "validation"]) -> None:
        means = self._means[mode].pop(self.trainer.strategy.reduce)
        if "train_loss" in means:
            self.log("train_loss", means.pop("train_loss"), prog_bar=True, **self._per_epoch)
        if means:
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

    def on_validation_epoch_end(self) -> None:
        """Log the means over the validation cells."""
        self._log_means("validation")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the state of the random generators, so that a resumed run equals an unbroken one."""
        checkpoint["rng_state"] = torch.get_rng_state()
        if self.device.type == "cuda":
            checkpoint["cuda_rng_state"] = torch.cuda.get_rng_state(self.device)
        checkpoint["weight_mean"] = self._weight_mean.state_dict() | {
            "averaged": [*self._planned, self._weight_averaging]
        }
        if self.trainer.is_last_batch and self.trainer.state.status == TrainerStatus.RUNNING:
            # Lightning lowers a learning rate only after what it calls at the end of an epoch
            checkpoint["plateaus"] = [
                self.trainer.callback_metrics.get(config.monitor) for config in self._plateaus
            ]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the mean of the weights, and remember the state of the random generators."""
        self._rng_states = [checkpoint.get(key) for key in ("rng_state", "cuda_rng_state")]
        self._at_plateaus = checkpoint.get("plateaus", ())
        state = checkpoint.get("weight_mean")
        if state is not None:
            self._weight_mean.load_state_dict(state)
            self._averages_others = state["averaged"] != [*self._planned, self._weight_averaging]

    @property
    def _plateaus(self) -> list[Any]:
        """Schedules of learning rates that wait for a plateau."""
        return [config for config in self.trainer.lr_scheduler_configs if config.reduce_on_plateau]

    def on_train_start(self) -> None:
        """Go on from the random state and the learning rate of the checkpoint, if there is one."""
        self.has_begun = True
        for config, value in zip(
            self._plateaus, self.__dict__.pop("_at_plateaus", ()), strict=False
        ):
            if value is not None:
                config.scheduler.step(value)
        state, cuda_state = self.__dict__.pop("_rng_states", (None, None))
        if state is not None and self.trainer.world_size > 1:
            # The file has the state of one device only, and each needs noise of its own
            torch.manual_seed(torch.initial_seed() + self.trainer.world_size * self.current_epoch)
            return
        if state is not None:
            torch.set_rng_state(state.cpu())
        if cuda_state is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(cuda_state.cpu(), self.device)
