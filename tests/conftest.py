"""What every test starts from: no window, no progress bars, the same random state."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

# Read when matplotlib and tqdm are imported, so before anything that imports them
os.environ["MPLBACKEND"] = "Agg"
os.environ["TQDM_DISABLE"] = "1"
# The matrices are tiny: threads that wait for each other cost more than they bring
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import scvi
import torch
from hypothesis import settings
from lightning import seed_everything

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]

# The first example of a test pays for compilation and caches, so a deadline would tell nothing
settings.register_profile("scsalient", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("scsalient")


@pytest.fixture(autouse=True)
def _same_start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Global settings and random state as in a fresh process, whatever ran before."""
    scvi.settings.seed = None
    scvi.settings.verbosity = logging.WARNING
    scvi.settings.logging_dir = tmp_path_factory.getbasetemp() / "scvi_log"
    # scanpy's numba raises it in passing, which slows training down many times on a busy machine
    torch.set_num_threads(1)
    # Not through `scvi.settings.seed`, which appends to an environment variable each time
    seed_everything(0, verbose=False)
    yield
    scvi.settings.seed = None


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture(scope="session")
def kang_subset() -> Path:
    """Path of the real data that lie beside a developer's checkout; the test skips elsewhere."""
    path = ROOT.parent / "shared" / "data" / "kang_subset.h5ad"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    return path
