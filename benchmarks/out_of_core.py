"""Training on, and embedding of, a file that is never in memory as a whole.

Simulated cells are written block by block, as `.h5ad` and as `.zarr`, with the two groups one
after the other and in random order. A process of its own opens each file, trains an epoch and
embeds all cells. Its peak counts everything: Python, libraries, model and data.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata
import zarr
from _common import QUIET, parser, quiet, report, write_file
from _memory import EpochPeaks, forget_peak, in_new_process, peak

import scsalient as sal

if TYPE_CHECKING:
    from anndata import AnnData


def opened(path: Path) -> AnnData:
    """Cells whose values stay in the file."""
    if path.suffix == ".h5ad":
        return anndata.read_h5ad(path, backed="r")
    group = zarr.open_group(path, mode="r")
    return anndata.AnnData(
        anndata.io.sparse_dataset(group["X"]), obs=anndata.io.read_elem(group["obs"])
    )


def one(*, path: str, epochs: int, accelerator: str) -> dict[str, float]:
    """Seconds of an epoch and of embedding, and the peak of the whole process in MB."""
    adata = opened(Path(path))
    start = time.perf_counter()
    sal.ContrastiveVAE.setup_anndata(adata, "condition", "control")
    model = sal.ContrastiveVAE(adata)
    checked = time.perf_counter()
    epoch_peaks = EpochPeaks()
    model.train(epochs, accelerator=accelerator, callbacks=[epoch_peaks], **QUIET)
    trained = time.perf_counter()
    forget_peak()
    model.embed()
    embedded = time.perf_counter()
    return {
        "check, s": checked - start,
        "epoch, s": (trained - checked) / epochs,
        "embed, s": embedded - trained,
        "peak before, MB": epoch_peaks.before,
        "first epoch, MB": epoch_peaks.peaks[0],
        "last epoch, MB": epoch_peaks.peaks[-1],
        "embed, MB": peak(),
    }


def main() -> None:
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--cells", type=int, default=500_000)
    arguments.add_argument("--genes", type=int, default=2_000)
    arguments.add_argument("--epochs", type=int, default=1)
    arguments.add_argument(
        "--formats", nargs="+", default=["zarr", "h5ad"], choices=["zarr", "h5ad"]
    )
    arguments.add_argument("--orders", nargs="+", default=["sorted", "mixed"])
    arguments.add_argument("--one", type=json.loads, help="for the processes that it starts")
    arguments = arguments.parse_args()
    quiet()
    if arguments.one is not None:
        print(json.dumps(one(**arguments.one)))
        return
    if arguments.dry_run:
        arguments.cells, arguments.genes = 2_000, 30
    rows: list[dict[str, Any]] = []
    for suffix in arguments.formats:
        for order in arguments.orders:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / f"cells.{suffix}"
                write_file(path, arguments.cells, arguments.genes, mixed=order == "mixed")
                files = [path] if path.is_file() else [f for f in path.rglob("*") if f.is_file()]
                size = sum(file.stat().st_size for file in files) / 1e6
                found = in_new_process(
                    __file__,
                    path=str(path),
                    epochs=arguments.epochs,
                    accelerator=arguments.accelerator,
                )
            rows.append({"file": suffix, "groups": order, "file, MB": size} | found)
    kept = {name: getattr(arguments, name) for name in ("cells", "genes", "epochs")}
    report("out of core", rows, arguments, settings=kept)


if __name__ == "__main__":
    main()
