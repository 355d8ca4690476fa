"""Time of an epoch against the number of cells, the number of genes, and the share of non-zeros.

One of the three varies at a time; in each round every setting has its turn. Only ratios within
one run mean anything. The first epoch of each training is left out.
"""

from __future__ import annotations

import gc

import numpy as np
import torch
from _common import QUIET, EpochTimer, make_adata, parser, quiet, report

import scsalient as sal

USUAL = {"cells": 20_000, "genes": 2_000, "density": 0.12}
VARIED = {
    "cells": [10_000, 20_000, 50_000, 100_000],
    "genes": [500, 1_000, 2_000, 5_000, 10_000],
    "density": [0.03, 0.06, 0.12, 0.24, 0.48],
}
TINY = {"cells": 200, "genes": 30, "density": 0.12}


def seconds(size: dict[str, float], *, likelihood: str, epochs: int, accelerator: str) -> float:
    """Median seconds of an epoch."""
    adata = make_adata(int(size["cells"]), int(size["genes"]), density=size["density"])
    sal.ContrastiveVAE.setup_anndata(adata, "condition", "control")
    timer = EpochTimer()
    sal.ContrastiveVAE(adata, likelihood=likelihood).train(
        epochs, train_size=1.0, accelerator=accelerator, callbacks=[timer], **QUIET
    )
    return float(np.median(timer.seconds))


def main() -> None:
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--likelihood", default="nb")
    arguments.add_argument("--epochs", type=int, default=3, help="of each training")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments = arguments.parse_args()
    usual, varied = USUAL, VARIED
    if arguments.dry_run:
        usual, varied = TINY, {"cells": [100, 200], "genes": [30, 40], "density": [0.12, 0.5]}
        arguments.epochs, arguments.rounds = 2, 1
    quiet()

    sizes = {
        (name, value): usual | {name: value} for name, values in varied.items() for value in values
    }
    found: dict[tuple[str, float], list[float]] = {key: [] for key in sizes}
    for i in range(arguments.rounds):
        for j in np.random.default_rng(i).permutation(len(sizes)):
            key = list(sizes)[j]
            torch.manual_seed(i)
            found[key].append(
                seconds(
                    sizes[key],
                    likelihood=arguments.likelihood,
                    epochs=arguments.epochs,
                    accelerator=arguments.accelerator,
                )
            )
            gc.collect()

    rows = []
    for (name, value), values in found.items():
        size = sizes[name, value]
        median = float(np.median(values))
        rows.append(
            {"varied": name}
            | size
            | {
                "s/epoch": median,
                "of usual": float(np.median(np.divide(values, found[name, usual[name]]))),
                "cells/s": size["cells"] / median,
            }
        )
    kept = ("likelihood", "epochs", "rounds")
    report("scaling", rows, arguments, settings={name: getattr(arguments, name) for name in kept})


if __name__ == "__main__":
    main()
