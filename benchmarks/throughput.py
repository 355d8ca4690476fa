"""Cells per second of training, ours against the peers, in turn in one process.

Every method sees the same data, trains networks of the same sizes on the same number of cells per
step, and takes its turn in every round, so that whatever else the machine does falls on all of
them. Only ratios within one run mean anything. The first epoch of each training is left out.
"""

from __future__ import annotations

import functools
import gc
from typing import TYPE_CHECKING, Any

import numpy as np
import scvi
import torch
from _bare_loop import train_bare
from _common import QUIET, EpochTimer, make_adata, parser, quiet, report

import scsalient as sal

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData

N_LATENT = 10
N_HIDDEN = 128
OFF = {
    "tc_weight": 0.0,
    "mmd_weight": 0.0,
    "background_salient_weight": 0.0,
    "transplant_weight": 0.0,
}


def contrastive(
    adata: AnnData, *, likelihood: str, epochs: int, batch: int, accelerator: str, **kwargs: Any
) -> float:
    sal.ContrastiveVAE.setup_anndata(adata, "condition", "control")
    model = sal.ContrastiveVAE(
        adata,
        n_salient_latent=N_LATENT,
        n_background_latent=N_LATENT,
        n_hidden=N_HIDDEN,
        likelihood=likelihood,
        **kwargs,
    )
    timer = EpochTimer()
    model.train(
        epochs,
        batch_size=batch,
        train_size=1.0,
        accelerator=accelerator,
        callbacks=[timer],
        **QUIET,
    )
    return _rate(adata, timer)


def standard(
    adata: AnnData, *, likelihood: str, epochs: int, batch: int, accelerator: str
) -> float:
    sal.StandardVAE.setup_anndata(adata)
    model = sal.StandardVAE(adata, n_latent=N_LATENT, n_hidden=N_HIDDEN, likelihood=likelihood)
    timer = EpochTimer()
    model.train(
        epochs,
        batch_size=2 * batch,
        train_size=1.0,
        accelerator=accelerator,
        callbacks=[timer],
        **QUIET,
    )
    return _rate(adata, timer)


def contrastive_vi(adata: AnnData, *, epochs: int, batch: int, accelerator: str) -> float:
    scvi.external.ContrastiveVI.setup_anndata(adata)
    model = scvi.external.ContrastiveVI(
        adata,
        n_hidden=N_HIDDEN,
        n_background_latent=N_LATENT,
        n_salient_latent=N_LATENT,
        n_layers=1,
    )
    treated = (adata.obs["condition"] == "treated").to_numpy()
    timer = EpochTimer()
    model.train(
        background_indices=np.flatnonzero(~treated).tolist(),
        target_indices=np.flatnonzero(treated).tolist(),
        max_epochs=epochs,
        batch_size=batch,
        train_size=1.0,
        accelerator=accelerator,
        callbacks=[timer],
        **QUIET,
    )
    return _rate(adata, timer)


def scvi_model(
    adata: AnnData, *, epochs: int, batch: int, accelerator: str, likelihood: str
) -> float:
    scvi.model.SCVI.setup_anndata(adata)
    model = scvi.model.SCVI(
        adata, n_hidden=N_HIDDEN, n_latent=N_LATENT, n_layers=1, gene_likelihood=likelihood
    )
    timer = EpochTimer()
    model.train(
        epochs,
        batch_size=2 * batch,
        train_size=1.0,
        accelerator=accelerator,
        callbacks=[timer],
        **QUIET,
    )
    return _rate(adata, timer)


def bare(adata: AnnData, *, epochs: int, batch: int, accelerator: str, likelihood: str) -> float:
    treated = (adata.obs["condition"] == "treated").to_numpy()
    seconds = train_bare(
        adata.X,
        treated,
        likelihood=likelihood,
        n_latent=N_LATENT,
        n_hidden=N_HIDDEN,
        batch_size=batch,
        n_epochs=epochs,
        device="cuda" if accelerator in ("gpu", "cuda") else "cpu",
    )
    return adata.n_obs / float(np.median(seconds[1:]))


def _rate(adata: AnnData, timer: EpochTimer) -> float:
    # Both groups have the same size, so that every method sees every cell once an epoch.
    return adata.n_obs / float(np.median(timer.seconds))


def contestants(likelihoods: list[str]) -> dict[str, Callable[..., float]]:
    found: dict[str, Callable[..., float]] = {"ContrastiveVI": contrastive_vi}
    for name in likelihoods:
        found[f"ContrastiveVAE {name}"] = functools.partial(contrastive, likelihood=name)
        found[f"ContrastiveVAE {name}, no TC or penalties"] = functools.partial(
            contrastive, likelihood=name, **OFF
        )
        found[f"StandardVAE {name}"] = functools.partial(standard, likelihood=name)
        found[f"bare loop {name}"] = functools.partial(bare, likelihood=name)
        if name != "gaussian":
            found[f"SCVI {name}"] = functools.partial(scvi_model, likelihood=name)
    return found


def main() -> None:
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--cells", type=int, default=10_000)
    arguments.add_argument("--genes", type=int, default=2_000)
    arguments.add_argument("--batch-size", type=int, default=128, help="cells of each group")
    arguments.add_argument("--epochs", type=int, default=4, help="of each training")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--likelihoods", nargs="+", default=["gaussian", "nb", "zinb"])
    arguments.add_argument(
        "--matmul-precision",
        choices=["highest", "high", "medium"],
        default="highest",
        help="of float32 products, for every method: see torch.set_float32_matmul_precision",
    )
    arguments = arguments.parse_args()
    torch.set_float32_matmul_precision(arguments.matmul_precision)
    if arguments.dry_run:
        arguments.cells, arguments.genes, arguments.batch_size = 200, 30, 32
        arguments.epochs, arguments.rounds = 2, 1

    quiet()
    adata = make_adata(arguments.cells, arguments.genes)
    methods = contestants(arguments.likelihoods)
    rates: dict[str, list[float]] = {name: [] for name in methods}
    for i in range(arguments.rounds):
        # Another order each round, so that no method always follows the same one.
        for name in np.random.default_rng(i).permutation(list(methods)):
            torch.manual_seed(i)
            rates[name].append(
                methods[name](
                    adata,
                    epochs=arguments.epochs,
                    batch=arguments.batch_size,
                    accelerator=arguments.accelerator,
                )
            )
            gc.collect()

    rows = []
    for name, values in rates.items():
        likelihood = name.partition(" ")[2].partition(",")[0].removeprefix("loop ")
        rows.append(
            {
                "method": name,
                "cells/s": float(np.median(values)),
                "spread": f"{min(values):,.0f} to {max(values):,.0f}",
                "of ContrastiveVI": _ratio(values, rates["ContrastiveVI"]),
                "of bare loop": _ratio(values, rates.get(f"bare loop {likelihood}")),
                "of StandardVAE": _ratio(values, rates.get(f"StandardVAE {likelihood}")),
            }
        )
    kept = ("cells", "genes", "batch_size", "epochs", "rounds", "matmul_precision")
    report(
        "throughput", rows, arguments, settings={name: getattr(arguments, name) for name in kept}
    )


def _ratio(values: list[float], others: list[float] | None) -> float | str:
    # Round by round: what slowed one round slowed all its methods.
    return "" if others is None else float(np.median(np.divide(values, others)))


if __name__ == "__main__":
    main()
