"""``scsalient reproduce``."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from scsalient.cli._files import check_writable
from scsalient.cli._reporting import quiet
from scsalient.experiments._registry import EXPERIMENTS
from scsalient.experiments._trials import check_start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pandas as pd

_MAX_WIDTH = 400


def run_reproduce(
    name: str,
    *,
    trials: int,
    data: Path | None,
    output_dir: Path,
    n_jobs: int,
    quick: bool,
    seed: int,
) -> None:
    """Run one of the paper's experiments, print its summary and say where its files are.

    Parameters
    ----------
    name
        Name of the experiment.
    trials, data, output_dir, n_jobs, quick, seed
        Options of the command.

    Raises
    ------
    OSError
        When the folder cannot be made or written.
    ValueError
        When there is no such experiment, or an option does not fit it.
    """
    # A file system may round the time of its files down
    started, began = time.monotonic(), time.time() - 2
    if name not in EXPERIMENTS:
        msg = f"`FIGURE` should be one of {list(EXPERIMENTS)}, found {name!r}."
        raise ValueError(msg)
    check_start(trials=trials, seed=seed, n_jobs=n_jobs, output_dir=output_dir)
    experiment = EXPERIMENTS[name]
    options: dict[str, Any] = {}
    if data is not None:
        if not data.is_dir():
            msg = f"`--data` should be a folder, found nothing at {str(data)!r}."
            raise NotADirectoryError(msg)
        options["data"] = data
    with _made(output_dir), quiet():
        check_writable(output_dir)
        table = experiment.run(
            trials=trials, output_dir=output_dir, n_jobs=n_jobs, quick=quick, seed=seed, **options
        )
    title = f"{name}: medians over trials"
    if quick:
        title += "\n--quick: only to see that it runs; the numbers tell nothing of the methods"
    _print_summary(title, table, by=experiment.by, metrics=experiment.metrics)
    typer.echo(f"Trials:  {output_dir / f'{experiment.prefix}.csv'}")
    for figure in sorted(output_dir.glob(f"{experiment.prefix}_*.png")):
        # Others are of an earlier run
        if figure.stat().st_mtime >= began:
            typer.echo(f"Figure:  {figure}")
    typer.echo(f"All done in {time.monotonic() - started:.0f} s")


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Make a folder, and take it away again where an error leaves it empty."""
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        with suppress(OSError):
            for path in new:
                path.rmdir()
        raise


def _print_summary(
    title: str, table: pd.DataFrame, *, by: tuple[str, ...], metrics: tuple[str, ...]
) -> None:
    main, *others = [metric for metric in metrics if metric in table]
    shown = Table(title=title)
    for column in by:
        shown.add_column(column)
    shown.add_column("trials", justify="right")
    for heading in (main, "lowest", "highest", *others):
        shown.add_column(heading.replace("_", " "), justify="right")
    for key, group in table.groupby(list(by), sort=False, dropna=False):
        values = group[main].dropna()
        numbers = (
            values.median(),
            values.min(),
            values.max(),
            *(group[m].dropna().median() for m in others),
        )
        shown.add_row(*map(str, key), str(len(group)), *map(_as_text, numbers))
    console = Console()
    # Wrapped by the terminal rather than cut off
    wide = Measurement.get(console, console.options.update(max_width=_MAX_WIDTH), shown).maximum
    Console(width=max(console.width, wide)).print(shown)


def _as_text(value: float) -> str:
    # Not a number stands for a metric that this method has not
    return "-" if value != value else f"{value:z.2f}"
