"""Peak memory of training beyond the data themselves, ours against ContrastiveVI.

Each figure is taken in a process of its own (on Linux). Data are read from a file; what the
process then holds, after a tiny training that has loaded all libraries, is not counted: what is
left is what registration, model and training take. The peak of each epoch shows whether memory
grows from epoch to epoch.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata
import numpy as np
import scvi
from _common import QUIET, make_adata, parser, quiet, report, write_file
from _memory import EpochPeaks, forget_peak, in_new_process, peak, resident

import scsalient as sal

if TYPE_CHECKING:
    from anndata import AnnData
    from lightning.pytorch.callbacks import Callback

N_LATENT = 10
N_HIDDEN = 128
BATCH_SIZE = 128


def contrastive(adata: AnnData, *, epochs: int, accelerator: str, callback: Callback) -> None:
    sal.ContrastiveVAE.setup_anndata(adata, "condition", "control")
    model = sal.ContrastiveVAE(
        adata, n_salient_latent=N_LATENT, n_background_latent=N_LATENT, n_hidden=N_HIDDEN
    )
    model.train(
        epochs, batch_size=BATCH_SIZE, accelerator=accelerator, callbacks=[callback], **QUIET
    )


def contrastive_vi(adata: AnnData, *, epochs: int, accelerator: str, callback: Callback) -> None:
    scvi.external.ContrastiveVI.setup_anndata(adata)
    model = scvi.external.ContrastiveVI(
        adata,
        n_hidden=N_HIDDEN,
        n_background_latent=N_LATENT,
        n_salient_latent=N_LATENT,
        n_layers=1,
    )
    treated = (adata.obs["condition"] == "treated").to_numpy()
    model.train(
        background_indices=np.flatnonzero(~treated).tolist(),
        target_indices=np.flatnonzero(treated).tolist(),
        max_epochs=epochs,
        batch_size=BATCH_SIZE,
        accelerator=accelerator,
        callbacks=[callback],
        **QUIET,
    )


METHODS = {"ContrastiveVAE": contrastive, "ContrastiveVI": contrastive_vi}


def one(*, method: str, path: str, epochs: int, accelerator: str) -> dict[str, float]:
    """Memory of one training, in MB."""
    train = METHODS[method]
    train(make_adata(500, 50), epochs=2, accelerator=accelerator, callback=EpochPeaks())
    before = resident()
    adata = anndata.read_h5ad(path)
    with_data = resident()
    epoch_peaks = EpochPeaks()
    forget_peak()
    train(adata, epochs=epochs, accelerator=accelerator, callback=epoch_peaks)
    # Each epoch started the count anew; the last one's goes on past its end.
    above = [value - with_data for value in [epoch_peaks.before, *epoch_peaks.peaks, peak()]]
    return {
        "data": with_data - before,
        "peak above data": max(above),
        "in first epoch": above[1],
        "in last epoch": above[-2],
    }


def main() -> None:
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--cells", type=int, nargs="+", default=[20_000, 60_000, 200_000])
    arguments.add_argument("--genes", type=int, default=2_000)
    arguments.add_argument("--epochs", type=int, default=4)
    arguments.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    arguments.add_argument("--one", type=json.loads, help="for the processes that it starts")
    arguments = arguments.parse_args()
    quiet()
    if arguments.one is not None:
        print(json.dumps(one(**arguments.one)))
        return
    if arguments.dry_run:
        arguments.cells, arguments.genes, arguments.epochs = [300], 30, 2
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for n_cells in arguments.cells:
            path = Path(folder) / f"{n_cells}.h5ad"
            write_file(path, n_cells, arguments.genes)
            for method in arguments.methods:
                found = in_new_process(
                    __file__,
                    method=method,
                    path=str(path),
                    epochs=arguments.epochs,
                    accelerator=arguments.accelerator,
                )
                rows.append(
                    {"method": method, "cells": n_cells}
                    | {f"{name}, MB": value for name, value in found.items()}
                )
            path.unlink()
    kept = {name: getattr(arguments, name) for name in ("genes", "epochs")}
    report("memory", rows, arguments, settings=kept | {"batch_size": BATCH_SIZE})


if __name__ == "__main__":
    main()
