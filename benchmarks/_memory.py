"""Resident memory of this process and its peak, as Linux counts them, and work in a new process."""

from __future__ import annotations

import ctypes
import gc
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import Callback

if TYPE_CHECKING:
    import lightning.pytorch as pl

_MEGABYTE = 1e6


def resident() -> float:
    """Memory that the process holds now, in MB, after what is free has been given back."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return _status("VmRSS")


def peak() -> float:
    """Largest resident memory since the last :func:`forget_peak`, in MB."""
    return _status("VmHWM")


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _status(name: str) -> float:
    # "VmHWM:   123456 kB"
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(name))
    return int(line.split()[1]) * 1024 / _MEGABYTE


class EpochPeaks(Callback):
    """Largest resident memory before training and of each of its epochs, in MB."""

    def __init__(self) -> None:
        self.before = 0.0
        self.peaks: list[float] = []

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.before = max(self.before, 0.0 if self.peaks else peak())
        forget_peak()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.peaks.append(peak())


def in_new_process(script: str, **settings: Any) -> dict[str, Any]:
    """What `script --one SETTINGS` prints last, as JSON: memory is that of this work alone."""
    command = [sys.executable, script, "--one", json.dumps(settings)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])
