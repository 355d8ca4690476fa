"""What the benchmarks share: simulated counts, timing, and figures with their machine and date."""

from __future__ import annotations

import argparse
import datetime
import json
import logging
import os
import platform
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata
import h5py
import numpy as np
import pandas as pd
import scvi
import torch
import zarr
from anndata import AnnData
from lightning.pytorch.callbacks import Callback
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import lightning.pytorch as pl

PACKAGES = ("scsalient", "scvi-tools", "torch", "lightning", "anndata", "numpy", "scipy")
QUIET = {"enable_progress_bar": False, "enable_model_summary": False, "logger": None}
TREATED, CONTROL = "treated", "control"
_CHUNK_ROWS = 10_000


def parser(description: str) -> argparse.ArgumentParser:
    """Arguments that every benchmark takes."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--accelerator", default="cpu", help="as in lightning's Trainer")
    made.add_argument("--dry-run", action="store_true", help="run everything once on tiny data")
    made.add_argument("--out", type=Path, help="file to write the figures to, as JSON")
    return made


def count_blocks(
    n_cells: int, n_genes: int, *, density: float = 0.12, seed: int = 0
) -> Iterator[sparse.csr_matrix]:
    """Counts in blocks of rows: geometric where not zero, some genes frequent and most rare."""
    rng = np.random.default_rng(seed)
    share = rng.beta(1.0, 1.0 / density - 1.0, size=n_genes)
    for start in range(0, n_cells, _CHUNK_ROWS):
        n = min(_CHUNK_ROWS, n_cells - start)
        # Each cell at most once, so that no entry is stored twice.
        rows, columns = np.nonzero(rng.random((n, n_genes), dtype=np.float32) < share)
        values = rng.geometric(0.5, size=len(rows)).astype(np.float32)
        block = sparse.csr_matrix((values, (rows, columns)), shape=(n, n_genes))
        block[:, 0] = 1.0  # no empty cells
        yield block.tocsr()


def make_adata(
    n_cells: int, n_genes: int, *, density: float = 0.12, seed: int = 0, share: float = 0.5
) -> AnnData:
    """Counts with a condition; the first `share` of the cells are targets."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sparse.SparseEfficiencyWarning)
        x = sparse.vstack(list(count_blocks(n_cells, n_genes, density=density, seed=seed)), "csr")
    return AnnData(x, obs=conditions(n_cells, share=share))


def conditions(n_cells: int, *, share: float = 0.5) -> pd.DataFrame:
    """Column `condition`: the first `share` of the cells are treated, the others control."""
    treated = np.arange(n_cells) < share * n_cells
    index = pd.RangeIndex(n_cells).astype(str)
    names = np.where(treated, TREATED, CONTROL)
    return pd.DataFrame({"condition": pd.Categorical(names)}, index=index)


def kang_cells(path: Path, *samples: str) -> AnnData:
    """Cells of these samples of the Kang subset, whose donor 107 is the control."""
    adata = anndata.read_h5ad(path)
    adata = adata[adata.obs["sample_id"].isin(samples)].copy()
    adata.obs["condition"] = np.where(adata.obs["sample_id"] == "ctrl107", CONTROL, TREATED)
    return adata


def write_file(
    path: Path, n_cells: int, n_genes: int, *, density: float = 0.12, mixed: bool = False
) -> None:
    """Data of :func:`make_adata` as `.h5ad` or `.zarr`, written block by block.

    With `mixed`, target and background cells lie in the file in random order.
    """
    file: Any = zarr.open_group(path, mode="w") if path.suffix == ".zarr" else h5py.File(path, "w")
    obs = conditions(n_cells)
    if mixed:
        obs["condition"] = obs["condition"].sample(frac=1, random_state=0).to_numpy()
    # Only to write an AnnData's frame: the values follow.
    anndata.io.write_elem(file, "/", AnnData(obs=obs, var=_genes(n_genes)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sparse.SparseEfficiencyWarning)
        for i, block in enumerate(count_blocks(n_cells, n_genes, density=density)):
            if i == 0:
                anndata.io.write_elem(file, "X", block)
                stored = anndata.io.sparse_dataset(file["X"])
            else:
                stored.append(block)
    if isinstance(file, h5py.File):
        file.close()


def _genes(n_genes: int) -> pd.DataFrame:
    return pd.DataFrame(index=pd.RangeIndex(n_genes).astype(str))


class EpochTimer(Callback):
    """Time at which each epoch of a training ended; the first one pays for the start."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.start = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.start = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())

    @property
    def seconds(self) -> np.ndarray:
        """Seconds of each epoch but the first."""
        return np.diff(self.ends)


def quiet() -> None:
    """No warnings and no progress of others between the figures."""
    warnings.simplefilter("ignore")
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    scvi.settings.verbosity = logging.ERROR


def machine(accelerator: str) -> dict[str, Any]:
    """Where, when and with what the figures were taken."""
    names = Path("/proc/cpuinfo")
    model = platform.processor()
    if names.is_file():
        lines = [line for line in names.read_text().splitlines() if "model name" in line]
        model = lines[0].split(":")[1].strip() if lines else model
    found: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cpu": model,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "accelerator": accelerator,
        "versions": {name: version(name) for name in PACKAGES},
    }
    if accelerator != "cpu" and torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


def report(
    name: str,
    rows: Sequence[dict[str, Any]],
    arguments: argparse.Namespace,
    *,
    settings: dict[str, Any],
) -> None:
    """Print a table of the figures, and write them as JSON if a file is named."""
    where = machine(arguments.accelerator)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[_text(row.get(column, "")) for column in columns] for row in rows]
    widths = [max(len(c) for c in column) for column in zip(columns, *cells, strict=True)]
    print(f"\n{name}, {where['date']}, {where['cpu']}, {where['threads']} threads")
    for line in [columns, ["-" * width for width in widths], *cells]:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print("| " + " | ".join(padded) + " |")
    if arguments.out is not None:
        figures = {"benchmark": name, "machine": where, "settings": settings, "rows": list(rows)}
        arguments.out.write_text(json.dumps(figures, indent=2) + "\n")


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return str(value)
