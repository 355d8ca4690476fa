"""Where a step of training goes: parts of it on the CPU, kernels of it on a GPU.

On the CPU, milliseconds of processor time of each part, median over the steps, of the contrastive
model and of the standard one on the same cells, in turn. On a GPU, milliseconds of a step within a
training, how many kernels it has and how long they run, with steps launched one by one and with
steps that are recorded and replayed.
"""

from __future__ import annotations

import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from _common import QUIET, make_adata, parser, quiet, report
from lightning.pytorch.callbacks import Callback
from torch.profiler import ProfilerActivity, profile

import scsalient as sal
from scsalient.loaders import PairedBatches, Rows
from scsalient.train import ContrastiveTrainingPlan, VAETrainingPlan

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    import lightning.pytorch as pl
    from anndata import AnnData

N_LATENT = 10
ALL, NO_TRANSPLANT, STANDARD = "ContrastiveVAE", "ContrastiveVAE, no transplant", "StandardVAE"


def make_model(kind: str, adata: AnnData, likelihood: str) -> Any:
    if kind == STANDARD:
        sal.StandardVAE.setup_anndata(adata)
        return sal.StandardVAE(adata, n_latent=N_LATENT, likelihood=likelihood)
    sal.ContrastiveVAE.setup_anndata(adata, "condition", "control")
    changes = {"transplant_weight": 0.0} if kind == NO_TRANSPLANT else {}
    return sal.ContrastiveVAE(
        adata,
        n_salient_latent=N_LATENT,
        n_background_latent=N_LATENT,
        likelihood=likelihood,
        **changes,
    )


class Steps:
    """Steps of a model outside of a trainer, timed part by part."""

    def __init__(self, kind: str, adata: AnnData, likelihood: str) -> None:
        self.model = make_model(kind, adata, likelihood)
        self.module = self.model.module.train()
        contrastive = kind != STANDARD
        plan = (ContrastiveTrainingPlan if contrastive else VAETrainingPlan)(self.module)
        made = plan.configure_optimizers()
        self.optimizer = made if contrastive else made["optimizer"]
        self.discriminates = contrastive
        self.rows = Rows.of(self.model.adata_manager)
        self.milliseconds: dict[str, list[float]] = defaultdict(list)

    def step(self, cells: np.ndarray) -> None:
        parts = self._parts(cells)
        last = time.process_time()
        for part in parts:
            now = time.process_time()
            self.milliseconds[part].append(1000 * (now - last))
            last = now

    def _parts(self, cells: np.ndarray) -> Iterator[str]:
        batch = self.rows.tensors(cells)
        yield "rows of the minibatch"
        inference = self.module.inference(batch)
        yield "encoders"
        generative = self.module.generative(batch, inference["samples"])
        yield "decoder and likelihood"
        loss = self.module.loss(batch, inference, generative).loss
        yield "terms of the objective"
        if self.discriminates:
            loss = loss + self.module.discriminator_step(inference)
            yield "discriminator"
        self.optimizer.zero_grad()
        loss.backward()
        yield "backward"
        self.optimizer.step()
        yield "Adam"


def on_cpu(arguments: argparse.Namespace, adata: AnnData) -> list[dict[str, Any]]:
    groups = [np.flatnonzero(adata.obs["condition"] == name) for name in ("treated", "control")]
    columns: dict[str, dict[str, float]] = {}
    for likelihood in arguments.likelihoods:
        models = {k: Steps(k, adata, likelihood) for k in (STANDARD, NO_TRANSPLANT, ALL)}
        batches = PairedBatches(groups, batch_size=arguments.batch_size, seed=0)
        n_done = 0
        while n_done < arguments.steps + arguments.unmeasured:
            for cells in batches:
                if n_done == arguments.unmeasured:
                    for timed in models.values():
                        timed.milliseconds.clear()
                for timed in models.values():
                    timed.step(cells)
                n_done += 1
        for kind, timed in models.items():
            medians = {part: float(np.median(v)) for part, v in timed.milliseconds.items()}
            columns[f"{likelihood}: {kind}"] = medians | {"sum": sum(medians.values())}
    parts = max(columns.values(), key=len)
    return [
        {"part": part} | {name: column.get(part, "") for name, column in columns.items()}
        for part in parts
    ]


class _Kernels(Callback):
    """Time of the epochs, and the kernels of the last one, which is slower for being looked at."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.kernels: list[Any] = []

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        torch.cuda.synchronize()
        self._start = time.perf_counter()
        if trainer.current_epoch == trainer.max_epochs - 1:
            self._profile = profile(activities=[ProfilerActivity.CUDA])
            self._profile.__enter__()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        torch.cuda.synchronize()
        self.seconds.append(time.perf_counter() - self._start)
        if trainer.current_epoch == trainer.max_epochs - 1:
            self._profile.__exit__(None, None, None)
            device = torch.autograd.DeviceType.CUDA
            self.kernels = [e for e in self._profile.events() if e.device_type == device]


def on_gpu(arguments: argparse.Namespace, adata: AnnData) -> list[dict[str, Any]]:
    rows = []
    n_steps = -(-(adata.n_obs // 2) // arguments.batch_size)
    for likelihood in arguments.likelihoods:
        for steps_at_once in (1, 32):
            seen = _Kernels()
            make_model(ALL, adata, likelihood).train(
                6,
                batch_size=arguments.batch_size,
                train_size=1.0,
                accelerator=arguments.accelerator,
                devices=1,
                callbacks=[seen],
                datasplitter_kwargs={"steps_at_once": steps_at_once},
                **QUIET,
            )
            busy = sum(kernel.time_range.elapsed_us() for kernel in seen.kernels)
            rows.append(
                {
                    "likelihood": likelihood,
                    "steps": "launched" if steps_at_once == 1 else "replayed",
                    "ms a step": 1000 * float(np.median(seen.seconds[1:-1])) / n_steps,
                    "kernels": len(seen.kernels) / n_steps,
                    "ms in kernels": busy / 1000 / n_steps,
                }
            )
    return rows


def main() -> None:
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--cells", type=int, default=10_000)
    arguments.add_argument("--genes", type=int, default=2_000)
    arguments.add_argument("--batch-size", type=int, default=128, help="cells of each group")
    arguments.add_argument("--steps", type=int, default=120, help="that are timed, on the CPU")
    arguments.add_argument("--unmeasured", type=int, default=20, help="that come before")
    arguments.add_argument("--likelihoods", nargs="+", default=["nb", "gaussian"])
    arguments = arguments.parse_args()
    if arguments.dry_run:
        arguments.cells, arguments.genes, arguments.batch_size = 200, 30, 32
        arguments.steps, arguments.unmeasured = 4, 1

    quiet()
    adata = make_adata(arguments.cells, arguments.genes)
    rows = (on_cpu if arguments.accelerator == "cpu" else on_gpu)(arguments, adata)
    kept = ("cells", "genes", "batch_size", "steps")
    report("steps", rows, arguments, settings={name: getattr(arguments, name) for name in kept})


if __name__ == "__main__":
    main()
