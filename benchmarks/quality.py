"""Silhouette of a known label in the latents of each method, over data, dimensions and seeds.

The label, which only target cells have, is seen by no method but contrastive PCA at its best
alpha. It should be high in the salient latents (or in the only ones) and near zero in the
background latents. All train with their own defaults. The Kang data are used if their file is
named; the bundled and the simulated data are drawn anew for each seed. A run that was cut off goes
on with the same `--trials-csv`, and `--table-only` shows what is in it so far.
"""

from __future__ import annotations

import functools
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scvi
import torch
from _common import QUIET, kang_cells, parser, quiet, report

import scsalient as sal
from scsalient.experiments._fitting import forget
from scsalient.experiments._rna_seq import _LAYER_LOG, _prepared
from scsalient.experiments._trials import read_trials, run_trials, trial_key

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

    from anndata import AnnData

KANG, PBMC = "Kang", "PBMC"
SIZES = (300, 2_000, 5_000, 20_000)
SWEPT = 2_000
OURS, VAE, CPCA_BEST, CPCA_AUTO = "ContrastiveVAE", "StandardVAE", "cPCA, best", "cPCA, auto"
CONTRASTIVE_VI, SCVI, SCVI_ALL = "ContrastiveVI", "scVI, target cells", "scVI, all cells"
N_SALIENT, N_BACKGROUND = 2, 10
SALIENT_SWEEP, BACKGROUND_SWEEP = (5, 10, 20), (2, 5, 20)
# Those of alpha="auto", so that being told the label is the only difference
ALPHAS = [0.0, *np.logspace(-1, 3, 40).tolist()]
SLOW_SEEDS, LARGE_SEEDS = 3, 2
_CHOOSING_CELLS = 2_000


@dataclass(frozen=True)
class Case:
    """A method on data; a trial is a case and a seed."""

    data: str
    method: str
    likelihood: str = "nb"
    n_salient: int = N_SALIENT
    n_background: int | None = None


@dataclass(frozen=True)
class Task:
    adata: AnnData
    condition: str
    background: str
    label: str
    batch: str | None = None

    @property
    def is_target(self) -> np.ndarray:
        return (self.adata.obs[self.condition] != self.background).to_numpy()


@dataclass(frozen=True)
class Latents:
    """Of the target cells, shape ``(n_target_cells, n_latent)``."""

    salient: np.ndarray
    background: np.ndarray | None = None


def simulated(n_cells: int) -> str:
    return f"simulate({n_cells})"


def load(name: str, *, kang: Path | None, seed: int) -> Task:
    if name == KANG:
        # Both stimulated and control cells of one donor against control cells of the other
        adata = kang_cells(kang, "ctrl101", "stim101", "ctrl107")
        adata.layers["counts"] = adata.X
        return Task(adata, "sample_id", "ctrl107", "group_id")
    if name == PBMC:
        adata = sal.datasets.pbmc_response(seed=seed)
        return Task(adata, "condition", "control", "response", "batch")
    n_cells = int(name.removeprefix("simulate(").removesuffix(")"))
    adata = sal.datasets.simulate(n_cells, seed=seed)
    adata.layers["counts"] = adata.X
    return Task(adata, "condition", "control", "response")


def contrastive(task: Task, settings: Mapping[str, Any], **train: Any) -> Latents:
    likelihood = settings["likelihood"]
    layer = _LAYER_LOG if likelihood == "gaussian" else "counts"
    sal.ContrastiveVAE.setup_anndata(
        task.adata, task.condition, task.background, layer=layer, batch_key=task.batch
    )
    model = sal.ContrastiveVAE(
        task.adata,
        n_salient_latent=settings["n_salient"],
        n_background_latent=settings["n_background"],
        likelihood=likelihood,
    )
    model.train(**train)
    cells = np.flatnonzero(task.is_target)
    found = Latents(
        *(model.get_latent_representation(indices=cells, kind=k) for k in ("salient", "background"))
    )
    forget(model)
    return found


def standard(task: Task, settings: Mapping[str, Any], **train: Any) -> Latents:
    likelihood = settings["likelihood"]
    layer = _LAYER_LOG if likelihood == "gaussian" else "counts"
    adata = task.adata[task.is_target].copy()
    sal.StandardVAE.setup_anndata(adata, layer=layer, batch_key=task.batch)
    model = sal.StandardVAE(adata, n_latent=settings["n_salient"], likelihood=likelihood)
    model.train(**train)
    found = Latents(model.get_latent_representation())
    forget(model)
    return found


def contrastive_pca(task: Task, settings: Mapping[str, Any], **train: Any) -> Latents:
    def embed(alpha: Any) -> np.ndarray:
        sal.baselines.contrastive_pca(
            task.adata,
            task.condition,
            task.background,
            layer=_LAYER_LOG,
            n_components=settings["n_salient"],
            alpha=alpha,
            seed=settings["seed"],
        )
        return task.adata.obsm["X_cpca"][task.is_target]

    if settings["method"] == CPCA_AUTO:
        return Latents(embed("auto"))
    labels = task.adata.obs[task.label].to_numpy()[task.is_target]
    found = [embed(alpha) for alpha in ALPHAS]
    return Latents(
        max(found, key=lambda x: sal.metrics.silhouette(x, labels, max_cells=_CHOOSING_CELLS))
    )


def scvi_model(task: Task, settings: Mapping[str, Any], **train: Any) -> Latents:
    only_target = settings["method"] == SCVI
    adata = task.adata[task.is_target].copy() if only_target else task.adata
    scvi.model.SCVI.setup_anndata(adata, layer="counts", batch_key=task.batch)
    model = scvi.model.SCVI(adata, n_latent=settings["n_salient"])
    model.train(**train)
    latent = model.get_latent_representation()
    forget(model)
    return Latents(latent if only_target else latent[task.is_target])


def contrastive_vi(task: Task, settings: Mapping[str, Any], **train: Any) -> Latents:
    scvi.external.ContrastiveVI.setup_anndata(task.adata, layer="counts", batch_key=task.batch)
    model = scvi.external.ContrastiveVI(
        task.adata,
        n_salient_latent=settings["n_salient"],
        n_background_latent=settings["n_background"],
    )
    target = np.flatnonzero(task.is_target).tolist()
    model.train(
        background_indices=np.flatnonzero(~task.is_target).tolist(), target_indices=target, **train
    )
    found = Latents(
        *(
            model.get_latent_representation(indices=target, representation_kind=kind)
            for kind in ("salient", "background")
        )
    )
    forget(model)
    return found


METHODS = {
    OURS: contrastive,
    CPCA_BEST: contrastive_pca,
    CPCA_AUTO: contrastive_pca,
    VAE: standard,
    CONTRASTIVE_VI: contrastive_vi,
    SCVI: scvi_model,
    SCVI_ALL: scvi_model,
}


def trial(settings: Mapping[str, Any], *, kang: Path | None, accelerator: str) -> dict[str, float]:
    quiet()
    torch.set_num_threads(1)
    task = load(settings["data"], kang=kang, seed=settings["seed"])
    if settings["likelihood"] == "gaussian":
        task = Task(_prepared(task.adata), task.condition, task.background, task.label, task.batch)
    start = time.perf_counter()
    latents = METHODS[settings["method"]](
        task, settings, max_epochs=settings["max_epochs"], accelerator=accelerator, **QUIET
    )
    found = {"fit_seconds": time.perf_counter() - start}
    labels = task.adata.obs[task.label].to_numpy()[task.is_target]
    found["silhouette"] = sal.metrics.silhouette(latents.salient, labels)
    if latents.background is not None:
        found["silhouette_background"] = sal.metrics.silhouette(latents.background, labels)
    return found


def cases(*, kang: bool, sizes: tuple[int, ...] = SIZES, swept: int = SWEPT) -> Iterator[Case]:
    """Every case, the most important first."""
    real = [KANG, PBMC] if kang else [PBMC]
    likelihoods = {name: ("nb", "gaussian") if name == KANG else ("nb",) for name in real}
    simulations = [simulated(n) for n in sizes]
    likelihoods |= dict.fromkeys(simulations, ("nb",))
    small = simulations[:-1]

    for data in [*real, *simulations]:
        for likelihood in likelihoods[data]:
            yield Case(data, OURS, likelihood, n_background=N_BACKGROUND)
    for data in [*real, *simulations]:
        for method in (CPCA_BEST, CPCA_AUTO):
            yield Case(data, method, "gaussian")
    for data in [*real, *small]:
        for likelihood in likelihoods[data]:
            yield Case(data, VAE, likelihood)
    for data in real:
        yield Case(data, CONTRASTIVE_VI, n_background=N_BACKGROUND)
        yield Case(data, SCVI)
        yield Case(data, SCVI_ALL)
    for data in [*real, simulated(swept)]:
        for likelihood in likelihoods[data]:
            for n in SALIENT_SWEEP:
                yield Case(data, OURS, likelihood, n, N_BACKGROUND)
            for n in BACKGROUND_SWEEP:
                yield Case(data, OURS, likelihood, N_SALIENT, n)
    for data in small:
        yield Case(data, CONTRASTIVE_VI, n_background=N_BACKGROUND)
        yield Case(data, SCVI)
        yield Case(data, SCVI_ALL)
    for data in real:
        yield Case(data, SCVI_ALL, n_salient=10)


def n_seeds(case: Case, seeds: int) -> int:
    if case.method in (CONTRASTIVE_VI, SCVI, SCVI_ALL):
        return min(seeds, SLOW_SEEDS)
    return min(seeds, LARGE_SEEDS) if case.data == simulated(SIZES[-1]) else seeds


def rows(chosen: list[Case], settings: list[dict[str, Any]], csv: Path) -> list[dict[str, Any]]:
    """A row for each case of which there are trials in the table."""
    table = read_trials(csv)
    order = list(dict.fromkeys(case.data for case in chosen))
    chosen = sorted(chosen, key=lambda case: order.index(case.data))
    found = []
    for case in chosen:
        keys = [trial_key(s) for s in settings if asdict(case).items() <= s.items()]
        done = table.loc[table.index.intersection(keys)]
        if done.empty:
            continue
        values = done["silhouette"]
        row = {
            "data": case.data,
            "method": f"{case.method}, {case.likelihood}"
            if case.method in (OURS, VAE)
            else case.method,
            "salient": case.n_salient,
            "background": case.n_background or "",
            "seeds": len(done),
            "worst": float(values.min()),
            "median": float(values.median()),
            "largest in z": "",
            "seconds": float(done["fit_seconds"].median()),
        }
        if case.n_background is not None:
            row["largest in z"] = float(done["silhouette_background"].max())
        found.append(row)
    return found


def parsed() -> argparse.Namespace:
    made = parser(__doc__.splitlines()[0])
    made.add_argument("--kang", type=Path, help="file of the Kang subset")
    made.add_argument("--seeds", type=int, default=5)
    made.add_argument("--n-jobs", type=int, default=2, help="processes of one thread each")
    made.add_argument("--trials-csv", type=Path, help="table that results are added to")
    made.add_argument(
        "--table-only", action="store_true", help="run nothing; show what --trials-csv has"
    )
    arguments = made.parse_args()
    if arguments.table_only and not (arguments.trials_csv and arguments.trials_csv.is_file()):
        made.error("--table-only needs --trials-csv, a table of an earlier run.")
    return arguments


def main() -> None:
    arguments = parsed()
    quiet()
    torch.set_num_threads(1)
    epochs, sizes, swept = None, SIZES, SWEPT
    if arguments.dry_run:
        epochs, arguments.seeds, arguments.n_jobs = 1, 1, 1
        sizes, swept = (150, 200), 150
    with_kang = arguments.kang is not None or arguments.table_only
    chosen = list(cases(kang=with_kang, sizes=sizes, swept=swept))
    settings = [
        asdict(case) | {"max_epochs": epochs, "seed": seed}
        for case in chosen
        for seed in range(n_seeds(case, arguments.seeds))
    ]
    with tempfile.TemporaryDirectory() as folder:
        csv = arguments.trials_csv or Path(folder) / "quality.csv"
        if not arguments.table_only:
            run_trials(
                functools.partial(trial, kang=arguments.kang, accelerator=arguments.accelerator),
                settings,
                csv=csv,
                n_jobs=arguments.n_jobs,
            )
        found = rows(chosen, settings, csv)
    report(
        "quality",
        found,
        arguments,
        settings={"seeds": arguments.seeds, "max_epochs": epochs, "alphas": ALPHAS},
    )


if __name__ == "__main__":
    main()
