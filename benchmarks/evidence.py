"""How often `evidence` finds something, where there is nothing to find and where there is.

Simulated data, blood cells with a planted response, and the Kang data if their file is named; all
defaults, one training for each seed, for which simulated and planted data are drawn anew. A run
that was cut off goes on with the same `--trials-csv`.
"""

from __future__ import annotations

import functools
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from _common import CONTROL, QUIET, TREATED, kang_cells, parser, quiet, report

import scsalient as sal
from scsalient.experiments._fitting import forget
from scsalient.experiments._trials import read_trials, run_trials, trial_key

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

    from anndata import AnnData

SIMULATED, PLANTED = "simulated", "blood cells"
KANG_RANDOM = "Kang, untreated cells, roles at random"
KANG_RESPONSE = "Kang, both of a donor against untreated of another"
KANG_DONORS = "Kang, untreated cells of two donors"
NOTHING = {"effect": 0.0}
FEW = {"responder_fraction": 0.1}


@dataclass(frozen=True)
class Case:
    """Data and a model; a trial is a case and a seed."""

    data: str
    n_salient: int
    seeds: int
    simulation: dict[str, Any] = field(default_factory=dict)
    train_size: float = 0.9

    @property
    def name(self) -> str:
        changes = [f"{name}={value:.4g}" for name, value in self.simulation.items()]
        if self.train_size != 0.9:
            changes.append(f"train_size={self.train_size:g}")
        return ", ".join([self.data, *changes])

    def settings(self, seed: int) -> dict[str, Any]:
        return asdict(self) | {"seed": seed}


def cases(*, kang: bool) -> Iterator[Case]:
    """Every case, those with nothing to find first."""
    yield Case(SIMULATED, 2, 30, {"n_cells": 600, "n_genes": 200} | NOTHING)
    yield Case(SIMULATED, 10, 10, NOTHING)
    yield Case(PLANTED, 2, 20, NOTHING)
    if kang:
        yield Case(KANG_RANDOM, 10, 10)
    yield Case(SIMULATED, 2, 5)
    yield Case(SIMULATED, 2, 12, FEW)
    yield Case(SIMULATED, 10, 12, FEW)
    yield Case(SIMULATED, 2, 12, FEW, train_size=0.8)
    yield Case(SIMULATED, 2, 5, FEW | {"n_cells": 5000})
    yield Case(SIMULATED, 10, 6, {"effect": 1 / 3})
    yield Case(PLANTED, 2, 5)
    if kang:
        yield Case(KANG_RESPONSE, 2, 5)
        yield Case(KANG_DONORS, 2, 5)


def load(settings: Mapping[str, Any], *, kang: Path | None) -> AnnData:
    """Counts with a `condition`, and a `batch` where roles should be exchanged within one."""
    seed, data = settings["seed"], settings["data"]
    if data == SIMULATED:
        return sal.datasets.simulate(**settings["simulation"], seed=seed)
    if data == PLANTED:
        return sal.datasets.pbmc_response(**settings["simulation"], seed=seed)
    adata = kang_cells(kang, "ctrl101", "ctrl107", *["stim101"] * (data == KANG_RESPONSE))
    if data == KANG_RANDOM:
        adata.obs["batch"] = adata.obs["sample_id"].astype(str)
        treated = np.random.default_rng(seed).permutation(adata.n_obs) % 2 == 0
        adata.obs["condition"] = np.where(treated, TREATED, CONTROL)
    return adata


def trial(
    settings: Mapping[str, Any], *, kang: Path | None, accelerator: str, epochs: int | None
) -> dict[str, Any]:
    torch.set_num_threads(1)
    adata = load(settings, kang=kang)
    batch = "batch" if "batch" in adata.obs else None
    sal.ContrastiveVAE.setup_anndata(adata, "condition", CONTROL, batch_key=batch)
    model = sal.ContrastiveVAE(adata, n_salient_latent=settings["n_salient"])
    model.train(epochs, train_size=settings["train_size"], accelerator=accelerator, **QUIET)
    evidence = model.evidence()
    found = {
        "found": evidence.found,
        "p": evidence.p_value,
        "n_target": len(evidence.target_gains),
        "n_background": len(evidence.background_gains),
    }
    if "response" in adata.obs and settings["simulation"].get("effect") != 0:
        target = np.flatnonzero(adata.obs["condition"] == TREATED)
        label = adata.obs["response"].astype(str).to_numpy()[target]
        if len(np.unique(label)) == 2:
            latent = model.get_latent_representation(indices=target)
            found["silhouette"] = sal.metrics.silhouette(latent, label)
    forget(model)
    return found


def rows(chosen: list[Case], csv: Path) -> list[dict[str, Any]]:
    table = read_trials(csv)
    found = []
    for case in chosen:
        keys = [trial_key(case.settings(seed)) for seed in range(case.seeds)]
        done = table.loc[table.index.intersection(keys)]
        held_out = done[["n_target", "n_background"]]
        row = {
            "data": case.name,
            "held-out cells of a role": f"{held_out.min(None)} to {held_out.max(None)}",
            "salient": case.n_salient,
            "found": f"{int(done['found'].sum())} of {len(done)}",
            "smallest p": float(done["p"].min()),
            "largest p": float(done["p"].max()),
        }
        silhouette = done["silhouette"].dropna() if "silhouette" in done else done.iloc[:0]
        if len(silhouette):
            row["silhouette, worst"] = float(silhouette.min())
            row["silhouette, median"] = float(silhouette.median())
        found.append(row)
    return found


def parsed() -> argparse.Namespace:
    made = parser(__doc__.splitlines()[0])
    made.add_argument("--kang", type=Path, help="file of the Kang subset")
    made.add_argument("--n-jobs", type=int, default=2, help="processes of one thread each")
    made.add_argument("--trials-csv", type=Path, help="table that results are added to")
    return made.parse_args()


def main() -> None:
    arguments = parsed()
    quiet()
    chosen, epochs = list(cases(kang=arguments.kang is not None)), None
    if arguments.dry_run:
        tiny = {"n_cells": 240, "n_genes": 50}
        chosen = [Case(SIMULATED, 2, 1, tiny | NOTHING), Case(SIMULATED, 2, 1, tiny)]
        arguments.n_jobs, epochs = 1, 1
    settings = [case.settings(seed) for case in chosen for seed in range(case.seeds)]
    with tempfile.TemporaryDirectory() as folder:
        csv = arguments.trials_csv or Path(folder) / "evidence.csv"
        run_trials(
            functools.partial(
                trial, kang=arguments.kang, accelerator=arguments.accelerator, epochs=epochs
            ),
            settings,
            csv=csv,
            n_jobs=arguments.n_jobs,
        )
        found = rows(chosen, csv)
    report("evidence", found, arguments, settings={"max_epochs": epochs})


if __name__ == "__main__":
    main()
