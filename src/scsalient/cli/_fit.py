"""``scsalient fit``."""

from __future__ import annotations

import shutil
import sys
import time
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anndata
import h5py
import numpy as np
import scvi
import typer
from lightning.fabric.utilities.exceptions import MisconfigurationException

from scsalient import _keys
from scsalient._wording import counted
from scsalient.cli._files import check_output, check_writable, written_whole
from scsalient.cli._reporting import as_options, quiet, while_writing
from scsalient.data import Role
from scsalient.model import ContrastiveVAE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    from anndata import AnnData


@dataclass(frozen=True)
class FitOptions:
    """Options of ``scsalient fit``, by the names of the command line."""

    input_path: Path
    output: Path
    model_dir: Path | None
    overwrite: bool
    condition_key: str
    background: Sequence[str]
    target: Sequence[str] | None
    layer: str | None
    batch_key: str | None
    balance_key: Sequence[str] | None
    likelihood: str | None
    n_salient_latent: int
    n_background_latent: int
    max_epochs: int | None
    train_size: float
    seed: int
    accelerator: str


def run_fit(options: FitOptions) -> None:
    """Fit the model to a file and write its latents into a copy of it.

    Parameters
    ----------
    options
        Options of the command.

    Raises
    ------
    KeyError, OSError, ValueError
        When an option does not fit the file, or something cannot be read or written.
    """
    started = time.monotonic()
    _check_paths(options)
    names = vars(options)
    with quiet(names):
        adata = _read(options.input_path)
        model = _model(adata, options)
        _train(model, options)
        model.embed()
        outcome = as_options(str(model.evidence(within=options.balance_key)), names)
        with while_writing(options.output, options.model_dir):
            _write(adata, options)
            if options.model_dir is not None:
                # Whether the folder may be written to was checked before training
                model.save(str(options.model_dir), overwrite=True)
    _summarise(model, options, outcome, seconds=time.monotonic() - started)


def as_categories(column: pd.Series, texts: Sequence[str]) -> list[Any]:
    """Categories that were typed as text, in the column's own type.

    Parameters
    ----------
    column
        Condition of each cell: text, numbers or booleans.
    texts
        What was typed.

    Returns
    -------
    A category for each text: the one that reads the same, or the same number, or the same
    truth value in other letters. A text without a match is returned as it is.
    """
    present = {str(category): category for category in column.dropna().unique()}
    return [_as_category(present, text) for text in texts]


def _as_category(present: dict[str, Any], text: str) -> Any:
    if text in present:
        return present[text]
    for category in present.values():
        if isinstance(category, bool | np.bool_):
            if str(category).lower() == text.lower():
                return category
        elif isinstance(category, int | float | np.number):
            try:
                same = float(category) == float(text)
            except ValueError:
                continue
            if same:
                return category
    return text


def _check_paths(options: FitOptions) -> None:
    if options.input_path.is_dir():
        msg = (
            f"The input should be an .h5ad file, found the folder {str(options.input_path)!r}. "
            "Read it with what fits its content, and write it as .h5ad."
        )
        raise IsADirectoryError(msg)
    if not options.input_path.is_file():
        msg = f"The input {str(options.input_path)!r} does not exist, or is not a file."
        raise FileNotFoundError(msg)
    check_output(options.output, source=options.input_path, overwrite=options.overwrite)
    model_dir = options.model_dir
    if model_dir is None:
        return
    if model_dir.resolve().is_relative_to(options.output.resolve()):
        msg = (
            f"`--model-dir` and `--output` should differ, found {str(model_dir)!r} and "
            f"{str(options.output)!r}. The model needs a folder of its own."
        )
        raise ValueError(msg)
    if model_dir.is_dir():
        if not options.overwrite and any(model_dir.iterdir()):
            msg = (
                f"`--model-dir` should be a new folder, found {str(model_dir)!r}, which has files. "
                "Choose another name, or pass `--overwrite`."
            )
            raise ValueError(msg)
        check_writable(model_dir)
    elif model_dir.exists():
        msg = f"`--model-dir` should be a folder, found the file {str(model_dir)!r}."
        raise ValueError(msg)
    else:
        parent = next(p for p in model_dir.absolute().parents if p.exists())
        check_writable(parent)


def _read(path: Path) -> AnnData:
    try:
        adata = anndata.read_h5ad(path)
        with h5py.File(path) as file:
            is_old = any(isinstance(file.get(name), h5py.Dataset) for name in ("obsm", "uns"))
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        msg = f"The input {str(path)!r} {_problem(path, error)}"
        raise ValueError(msg) from error
    if is_old:
        msg = (
            f"The input {str(path)!r} is in the format of anndata before 0.7, which nothing can be "
            "added to. Read it and write it again with a recent anndata."
        )
        raise ValueError(msg)
    return adata


def _problem(path: Path, error: Exception) -> str:
    """What is wrong with a file that cannot be read, and what to do where it is of another kind."""
    if not isinstance(error, PermissionError):
        if not h5py.is_hdf5(path):
            return "is no .h5ad file, and no other HDF5 file. Write the data as .h5ad first."
        with suppress(OSError), h5py.File(path) as file:
            if "obs" not in file:
                return (
                    "is no .h5ad file: it has no table of cells, and looks like one of 10x "
                    "Genomics or loom. Read it with `scanpy.read_10x_h5` or "
                    "`anndata.io.read_loom`, and write it as .h5ad."
                )
    return f"cannot be read as .h5ad: {error}"


def _model(adata: AnnData, options: FitOptions) -> ContrastiveVAE:
    background: Sequence[Any] = options.background
    target: Sequence[Any] | None = options.target
    # A missing column is reported by `setup_anndata`
    if options.condition_key in adata.obs:
        column = adata.obs[options.condition_key]
        background = as_categories(column, background)
        target = None if target is None else as_categories(column, target)
    scvi.settings.seed = options.seed
    ContrastiveVAE.setup_anndata(
        adata,
        options.condition_key,
        background,
        target=target,
        layer=options.layer,
        batch_key=options.batch_key,
    )
    return ContrastiveVAE(
        adata,
        n_salient_latent=options.n_salient_latent,
        n_background_latent=options.n_background_latent,
        likelihood=options.likelihood,  # type: ignore[arg-type]
    )


def _train(model: ContrastiveVAE, options: FitOptions) -> None:
    try:
        # scvi-tools prints progress and failures to where the summary goes
        with redirect_stdout(sys.stderr):
            model.train(
                options.max_epochs,
                train_size=options.train_size,
                balance_keys=options.balance_key,
                accelerator=options.accelerator,
                enable_progress_bar=sys.stderr.isatty(),
            )
    except (MisconfigurationException, ModuleNotFoundError) as error:
        msg = f"`--accelerator {options.accelerator}` cannot be used here: {error}"
        raise ValueError(msg) from error


def _write(adata: AnnData, options: FitOptions) -> None:
    """Copy the file and add to the copy, so that all else in it stays to the byte."""
    with written_whole(options.output) as part:
        shutil.copyfile(options.input_path, part)
        with h5py.File(part, "r+") as file:
            for group in ("obsm", "uns"):
                if group not in file:
                    anndata.io.write_elem(file, group, {})
            for key in (_keys.OBSM_SALIENT, _keys.OBSM_BACKGROUND):
                anndata.io.write_elem(file["obsm"], key, np.asarray(adata.obsm[key]))
            anndata.io.write_elem(file["uns"], _keys.UNS_CVAE, adata.uns[_keys.UNS_CVAE])


def _summarise(model: ContrastiveVAE, options: FitOptions, outcome: str, *, seconds: float) -> None:
    counts = np.bincount(model.roles.of(model.adata), minlength=len(Role))
    n_epochs = len(model.history["train_loss"])
    typer.echo(
        f"Cells:   {counts[Role.TARGET]} target, {counts[Role.BACKGROUND]} background, "
        f"{counts[Role.NEITHER]} neither"
    )
    typer.echo(f"Trained: {counted(n_epochs, 'epoch')}; all done in {seconds:.0f} s")
    typer.echo(f"Outcome: {outcome}")
    typer.echo(
        f"Latents: .obsm[{_keys.OBSM_SALIENT!r}] ({options.n_salient_latent} dimensions) and "
        f".obsm[{_keys.OBSM_BACKGROUND!r}] ({options.n_background_latent}) in {options.output}"
    )
    if options.model_dir is not None:
        typer.echo(f"Model:   {options.model_dir}")
