"""Training plan of the contrastive model: steps against the discriminator, recorded or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from scsalient import _keys, objective
from scsalient._arguments import check_number
from scsalient.loaders import Minibatches
from scsalient.nn import Branches
from scsalient.train._graphs import StepGraphs
from scsalient.train._means import RunningMeans
from scsalient.train._plan import VAETrainingPlan

if TYPE_CHECKING:
    from scvi.module.base import LossOutput
    from torch import Tensor

    from scsalient.loaders import Rows, RowsOnDevice
    from scsalient.module import ContrastiveVAEModule, Groups

# Terms of some rows of a minibatch only: in validation a group may have none in it
_OF_TARGET = ("reconstruction_target", "kl_salient", "total_correlation")
_OF_BACKGROUND = ("reconstruction_background", "background_salient")
_OF_BOTH = ("mmd", "transplant")


class ContrastiveTrainingPlan(VAETrainingPlan):
    """Encoders and decoder against the discriminator, in one step of the optimiser.

    Neither of the two losses sends a gradient where the other does: one pass backward serves
    both, and so does one optimiser, with a learning rate for each.

    Parameters
    ----------
    module
        Module to train.
    penalty_warmup
        Share of the planned training over which all terms that are not of the ELBO reach their
        full weight.
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
        # Set first, as the warm-up of the KL terms
        self._penalty_warmup = penalty_warmup
        super().__init__(module, **kwargs)
        self.automatic_optimization = False
        # Several devices wait for the gradient of whatever may be trained.
        module.discriminator.requires_grad_(module.tc_weight > 0)
        self._discriminator_lr = discriminator_lr
        # Largest norm or value of a gradient, and which of the two, as Lightning has them
        self.gradient_clip: tuple[float, str | None] | None = None
        self._graphs: StepGraphs | None = None
        self._names_of_terms: tuple[str, ...] = ()

    without_effect = VAETrainingPlan.without_effect | {
        "reduce_lr_on_plateau",
        "lr_factor",
        "lr_patience",
        "lr_threshold",
        "lr_scheduler_metric",
        "lr_min",
    }

    steps_at_once = 32

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Optimiser of encoders, decoder and likelihood, and of the discriminator."""
        discriminator = list(self.module.discriminator.parameters())
        theirs = {id(p) for p in discriminator}
        others = [p for p in self.module.parameters() if p.requires_grad and id(p) not in theirs]
        optimizer = self.get_optimizer_creator()(others)
        if self._discriminates:
            own = {"lr": self._discriminator_lr, "weight_decay": 0.0}
            optimizer.add_param_group({"params": discriminator} | own)
        return optimizer

    def training_step(self, batch: dict[str, Tensor] | Minibatches, batch_idx: int) -> Tensor:
        """One step of the encoders and decoder, and one of the discriminator, or several."""
        if isinstance(batch, Minibatches):
            loss = self._replay(batch) if self._can_replay else self._take_steps(batch)
        else:
            loss = self._take_step(batch, self._progress_before)
        self._log_at_end_of_epoch()
        # Lightning does not step on it; callbacks look at it.
        return loss

    def _take_step(self, batch: dict[str, Tensor], progress: float) -> Tensor:
        weights = self._weights(progress)
        loss_output = self._optimize(batch, weights, self.optimizers())
        self._record(loss_output, kl_weight=weights["kl_weight"])
        return loss_output.loss.detach()

    def _rows_of_terms(self, inference_outputs: dict[str, Any]) -> dict[str, int]:
        groups = inference_outputs["groups"]
        n_target, n_background = len(groups.target_rows), len(groups.background_rows)
        n_of_both = (n_target + n_background) * bool(n_target and n_background)
        return (
            {f"{name}_validation": n_target for name in _OF_TARGET}
            | {f"{name}_validation": n_background for name in _OF_BACKGROUND}
            | {f"{name}_validation": n_of_both for name in _OF_BOTH}
            | {"validation_loss": n_of_both}
        )

    def _weights(self, progress: float) -> dict[str, float]:
        penalty_weight = objective.linear_warmup(progress, self._penalty_warmup)
        return super()._weights(progress) | {"penalty_weight": penalty_weight}

    def _optimize(
        self, batch: dict[str, Any], weights: dict[str, Any], optimizer: Any
    ) -> LossOutput:
        """Step of the model and of its discriminator."""
        inference_outputs, _, loss_output = self.forward(batch, loss_kwargs=weights)
        objective_and_theirs = loss_output.loss
        if self._discriminates:
            theirs = self.module.discriminator_step(inference_outputs)
            objective_and_theirs = objective_and_theirs + theirs
            loss_output.extra_metrics["discriminator_loss"] = theirs.detach()
        optimizer.zero_grad()
        inference_outputs["branches"].fork()
        self.manual_backward(objective_and_theirs)
        optimizer.step()
        return loss_output

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the gradients, which are no longer scaled here."""
        if self.gradient_clip is not None:
            self.clip_gradients(optimizer, *self.gradient_clip)

    @property
    def _clips(self) -> bool:
        return self.gradient_clip is not None

    @property
    def _discriminates(self) -> bool:
        return self.module.tc_weight > 0

    def _take_steps(self, batches: Minibatches) -> Tensor:
        """Steps one after the other, launched from the host."""
        loss = torch.zeros(())
        groups: dict[int, Groups] = {}
        for positions, share in zip(batches.positions, batches.progress(), strict=True):
            if self._should_stop:
                break
            progress = self._progress(share)
            with self._fresh_autocast():
                batch = self._with_groups(batches.rows.at(positions), groups)
                loss = self._take_step(batch, progress)
            self._end_step(progress)
        return loss

    @property
    def _should_stop(self) -> bool:
        # A wish to stop before `min_epochs` or `min_steps` is put off
        return self.trainer.should_stop and self.trainer.fit_loop.done

    def _with_groups(self, batch: dict[str, Any], known: dict[int, Groups]) -> dict[str, Any]:
        """A minibatch with the groups of its rows: the same in all that have as many rows."""
        n_rows = len(batch[_keys.TENSOR_ROLE])
        if n_rows not in known:
            known[n_rows] = self.module.groups(batch)
        return batch | {_keys.TENSOR_GROUPS: known[n_rows]}

    @property
    def _can_replay(self) -> bool:
        # With 16-mixed the host looks at the gradients before each step, as Lightning may to clip
        recordable = self.trainer.precision in ("32-true", "bf16-mixed")
        if self.device.type != "cuda" or not recordable or self._clips:
            return False
        # Of others a graph might hold numbers that the host changes with each step
        optimizer = self.optimizers(use_pl_optimizer=False)
        return type(optimizer) in (torch.optim.Adam, torch.optim.AdamW) and all(
            group["capturable"] for group in optimizer.param_groups
        )

    def _replay(self, batches: Minibatches) -> Tensor:
        """Steps as recorded graphs."""
        if self._graphs is None:
            self._graphs = StepGraphs(self._recordable(batches.rows))
        done = [self._progress(share) for share in batches.progress()]
        weights = [list(self._weights(progress).values()) for progress in done]
        on_device = torch.tensor(weights, device=self.device)
        for positions, weight, progress in zip(batches.positions, on_device, done, strict=True):
            terms = self._graphs(positions, weight)
            self._means["train"].add_row(self._names_of_terms, terms, weight=len(positions))
            self._count_steps()
            self._end_step(progress)
        return terms[0].clone()

    def _recordable(self, rows: Rows | RowsOnDevice) -> Any:
        optimizer = self.optimizers(use_pl_optimizer=False)
        groups: dict[int, Groups] = {}
        branches = Branches(apart=self.device.type == "cuda")

        def step(positions: Tensor, weights: Tensor) -> Tensor:
            batch = self._with_groups(rows.at(positions), groups)
            batch[_keys.TENSOR_BRANCHES] = branches
            kl_weight, penalty_weight = weights.unbind()
            with self._fresh_autocast():
                loss_output = self._optimize(
                    batch, {"kl_weight": kl_weight, "penalty_weight": penalty_weight}, optimizer
                )
            # Beside the pass backward, which needs none of them
            with branches.branch("terms"):
                terms = self._terms(loss_output, "train", kl_weight=kl_weight)
                row = RunningMeans.row(terms)
            branches.join(row)
            self._names_of_terms = tuple(terms)
            return row

        return step

    def _fresh_autocast(self) -> torch.autocast:
        """Whatever precision is on, without copies of weights from the step before."""
        kind = self.device.type
        return torch.autocast(
            kind,
            dtype=torch.get_autocast_dtype(kind),
            enabled=torch.is_autocast_enabled(kind),
            cache_enabled=False,
        )

    def _count_steps(self) -> None:
        # As Lightning does when its own wrapper of an optimiser steps
        counted = self.trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
        counted.increment_ready()
        counted.increment_completed()

    def teardown(self, stage: str) -> None:
        """Let go of recorded steps, too, and of the gradients in their memory."""
        super().teardown(stage)
        self._graphs = None
