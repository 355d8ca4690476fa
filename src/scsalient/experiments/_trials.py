"""Trials: settings in, numbers out, spread over processes, and never run twice."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import sys
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import is_zipfile

import numpy as np
import pandas as pd
import scvi
from filelock import FileLock
from joblib import Parallel, delayed, effective_n_jobs
from tqdm.auto import tqdm

from scsalient._arguments import check_integer
from scsalient._wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

# Raise it when trials of the same settings would come out otherwise: old results are then run anew
SETTINGS_VERSION = 5
COLUMN_KEY = "trial"
COLUMN_SEED = "seed"
COLUMN_SECONDS = "seconds"
_PHOTOGRAPHS = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True)
class Trials:
    """Results of trials: the numbers as a table, the arrays as files beside it."""

    table: pd.DataFrame
    folder: Path

    def arrays(self, settings: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Arrays that the trial with these settings returned."""
        with np.load(self.folder / f"{trial_key(settings)}.npz", allow_pickle=False) as file:
            return dict(file)


def check_start(
    *,
    trials: Any,
    seed: Any,
    n_jobs: Any,
    output_dir: Path | str,
    max_epochs: Any = None,
) -> Path:
    """Check what all experiments take, before anything is made or trained.

    Parameters
    ----------
    trials, seed, n_jobs, output_dir, max_epochs
        Arguments of the experiment.

    Returns
    -------
    The folder of the results, which may not exist yet.

    Raises
    ------
    NotADirectoryError
        When the folder is a file.
    TypeError
        When a number is no integer.
    ValueError
        When a number is out of bounds.
    """
    check_integer("trials", trials, low=1)
    # NumPy takes no seed beyond
    check_integer("seed", seed, low=0, high=2**32 - trials, meaning="2**32 less `trials`")
    if max_epochs is not None:
        check_integer("max_epochs", max_epochs, low=1)
    msg = f"`n_jobs` should be a number of processes, or -1 for all cores, found {n_jobs!r}."
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, int | np.integer | None):
        raise TypeError(msg)
    if n_jobs == 0:
        raise ValueError(msg)
    folder = Path(output_dir)
    if folder.exists() and not folder.is_dir():
        msg = f"`output_dir` should be a folder, found the file {str(folder)!r}."
        raise NotADirectoryError(msg)
    return folder


def trial_key(settings: Mapping[str, Any]) -> str:
    """Short name of a trial: the same for the same settings, whatever their order."""
    text = json.dumps([SETTINGS_VERSION, settings], sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def run_trials(
    function: Callable[[Mapping[str, Any]], dict[str, Any]],
    trials: Sequence[Mapping[str, Any]],
    *,
    csv: Path,
    n_jobs: int = 1,
    needs_arrays: bool = False,
) -> Trials:
    """Run trials in parallel and keep each result as soon as it is there.

    Parameters
    ----------
    function
        Takes the settings of a trial and returns its results: numbers go into the table, arrays
        into a file of their own. It must be importable, so that other processes can run it.
    trials
        Settings, plain values by name, ``seed`` among them.
    csv
        Table of results, one row a trial. Trials whose settings are in it already are not run
        again, so a run that was cut off goes on where it stopped. Several runs may add to it.
    n_jobs
        Processes; as in :class:`joblib.Parallel`, whose ``parallel_config`` also chooses a
        backend, for instance ray or dask on a cluster.
    needs_arrays
        Whether a trial whose arrays are gone is run again.

    Returns
    -------
    The results of these trials, in their order.

    Raises
    ------
    ValueError
        When the table is there and is not one of trials.
    """
    keys = [trial_key(settings) for settings in trials]
    folder = csv.with_suffix(".arrays")
    rows, _ = _read_rows(csv)
    missing = [
        settings
        for settings, key in zip(trials, keys, strict=True)
        if key not in rows or (needs_arrays and not is_zipfile(folder / f"{key}.npz"))
    ]
    done = _as_they_come([delayed(_run_one)(function, s) for s in missing], n_jobs=n_jobs)
    if missing:
        done = tqdm(done, total=len(missing), desc=csv.stem, unit="trial")
    else:
        n_trials = counted(len(keys), "trial")
        print(f"Nothing to run: {str(csv)!r} has all {n_trials} already.", file=sys.stderr)
    for settings, result in done:
        key = trial_key(settings)
        arrays = {k: v for k, v in result.items() if isinstance(v, np.ndarray)}
        numbers = {k: v for k, v in result.items() if k not in arrays}
        if arrays:
            folder.mkdir(parents=True, exist_ok=True)
            packed = io.BytesIO()
            np.savez_compressed(packed, **arrays)  # type: ignore[arg-type]
            _write_whole(folder / f"{key}.npz", packed.getvalue())
        row = {COLUMN_KEY: key, **settings, **numbers}
        if key not in rows:
            rows[key] = _added(csv, row)
    table = pd.DataFrame([rows[key] for key in keys])
    return Trials(table, folder)


def read_trials(csv: Path) -> pd.DataFrame:
    """Table of all trials that runs have finished so far, by their keys; see :func:`run_trials`."""
    rows, columns = _read_rows(csv)
    return pd.DataFrame(list(rows.values()), columns=columns or None).set_index(COLUMN_KEY)


def _as_they_come(tasks: list[Any], *, n_jobs: int) -> Iterator[Any]:
    """Results as soon as they are there; with backends that cannot, as many at once as run."""
    try:
        parallel = Parallel(n_jobs=n_jobs, return_as="generator_unordered")
    except ValueError:
        n_at_once = max(1, effective_n_jobs(n_jobs))
        for start in range(0, len(tasks), n_at_once):
            yield from Parallel(n_jobs=n_jobs)(tasks[start : start + n_at_once])
    else:
        yield from parallel(tasks)


def fingerprint(folder: Path, *, without: Path) -> str:
    """Short name of the files in a folder: another where one was added or changed.

    Parameters
    ----------
    folder
        Where the data are. Of photographs, which may be many, the size has to do.
    without
        Folder of the results, which may lie in it.

    Raises
    ------
    ValueError
        When both are the same.
    """
    folder, without = folder.resolve(), without.resolve()
    lies_in_it = folder in without.parents
    if folder == without:
        msg = (
            f"`output_dir` should be another folder than that of `data`, found {str(folder)!r} for "
            "both: results would count as data. A folder in it will do."
        )
        raise ValueError(msg)
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = file.relative_to(folder)
        hidden = any(part.startswith(".") for part in name.parts)
        if hidden or (lies_in_it and file.is_relative_to(without)):
            continue
        digest.update(f"{name} {file.stat().st_size}\n".encode())
        if file.suffix.lower() not in _PHOTOGRAPHS:
            with file.open("rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()[:16]


def _run_one(
    function: Callable[[Mapping[str, Any]], dict[str, Any]], settings: Mapping[str, Any]
) -> tuple[Mapping[str, Any], dict[str, Any]]:
    started = time.monotonic()
    before = scvi.settings.seed
    with _silent():
        try:
            scvi.settings.seed = int(settings[COLUMN_SEED])
            result = function(settings)
        finally:
            scvi.settings.seed = before
    return settings, result | {COLUMN_SECONDS: round(time.monotonic() - started, 2)}


@contextmanager
def _silent() -> Iterator[None]:
    """Keep Lightning's advice to programmers out of a run of hundreds of trainings."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        for module in ("lightning", "scvi", "torch"):
            warnings.filterwarnings("ignore", module=rf"{module}\b")
        # Half a training is no trial, so that nothing of it is kept
        warnings.filterwarnings("ignore", message="Training was interrupted")
        try:
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _read_rows(csv: Path) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Trials of a table by their key, and its columns; none where its last line was cut off."""
    if not csv.is_file():
        return {}, []
    try:
        text = csv.read_text(encoding="utf-8")
        # What follows the last line break was cut off while it was written
        whole = text[: text.rfind("\n") + 1]
        table = _parsed(whole) if whole else pd.DataFrame()
    except ValueError as error:
        msg = (
            f"{str(csv)!r} should be a table of trials, found otherwise: {error}. Remove it, or "
            "choose another folder."
        )
        raise ValueError(msg) from error
    if whole and COLUMN_KEY not in table:
        msg = (
            f"{str(csv)!r} should be a table of trials with a column {COLUMN_KEY!r}, found "
            f"{list(table)}. Remove it, or choose another folder."
        )
        raise ValueError(msg)
    records = table.to_dict("records")
    rows = {r[COLUMN_KEY]: {str(k): v for k, v in r.items() if not pd.isna(v)} for r in records}
    return rows, list(table) if whole == text else []


def _parsed(text: str) -> pd.DataFrame:
    """Table with its numbers to the last bit, and its text as it is."""
    # From 3.0 on pandas always reads them so, and warns where it is told to
    pandas_major = int(pd.__version__.split(".")[0])
    exact: dict[str, Any] = {"float_precision": "round_trip"} if pandas_major < 3 else {}
    # Of these, which are hexadecimal, some look like numbers
    names = dict.fromkeys((COLUMN_KEY, "files"), str)
    return pd.read_csv(
        io.StringIO(text), keep_default_na=False, na_values=[""], dtype=names, **exact
    )


def _added(csv: Path, row: dict[str, Any]) -> dict[str, Any]:
    """Row of a trial in the table, to which it is added unless another run was faster."""
    csv.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(csv.with_name(f".{csv.name}.lock")):
        rows, columns = _read_rows(csv)
        if row[COLUMN_KEY] in rows:
            return rows[row[COLUMN_KEY]]
        if set(row) <= set(columns):
            line = pd.DataFrame([row], columns=columns).to_csv(index=False, header=False)
            with csv.open("a", encoding="utf-8") as file:
                file.write(line)
        else:
            _write_whole(csv, pd.DataFrame([*rows.values(), row]).to_csv(index=False).encode())
    return row


def _write_whole(path: Path, content: bytes) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else str(value)
