"""What the commands say: errors and warnings as one line each, on stderr."""

from __future__ import annotations

import functools
import inspect
import logging
import os
import re
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

DEBUG_VARIABLE = "SCSALIENT_DEBUG"
ERROR_CODE = 2
INTERRUPTED_CODE = 130
TERMINATED_CODE = 143
# `name` or `name=value`
_ARGUMENT = re.compile(r"`(\w+)(?:=([^`]*))?`")
# What the data sets call the folder that comes from `--data`
_OTHER_NAMES = {"root": "data", "mnist": "data", "balance_keys": "balance_key"}
_FORESEEN = (ImportError, KeyError, MemoryError, OSError, RuntimeError, TypeError, ValueError)


def reports_errors(
    command: Callable[..., None] | None = None, *, kept: str = "nothing was written"
) -> Callable[..., Any]:
    """Decorator: a foreseeable error of the command ends as one line and exit code 2.

    With the environment variable ``SCSALIENT_DEBUG`` the error is raised as it is.

    Parameters
    ----------
    command
        The command.
    kept
        What is left of it when it is interrupted.
    """
    if command is None:
        return functools.partial(reports_errors, kept=kept)

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except typer.Exit:  # a RuntimeError, but no error
            raise
        except KeyboardInterrupt as error:
            typer.echo(f"Interrupted; {_left(error, kept)}.", err=True)
            raise typer.Exit(INTERRUPTED_CODE) from None
        except SystemExit as error:  # Lightning's answer to SIGTERM, with an exit code of 0
            typer.echo(f"Terminated; {_left(error, kept)}.", err=True)
            raise typer.Exit(TERMINATED_CODE) from None
        except _FORESEEN as error:
            if os.environ.get(DEBUG_VARIABLE):
                raise
            names = inspect.signature(command).parameters
            typer.echo(f"Error: {as_options(one_line(error), names)}", err=True)
            raise typer.Exit(ERROR_CODE) from None

    return wrapped


@contextmanager
def while_writing(*paths: Path | None) -> Iterator[None]:
    """Note at an interruption what may be there of the results that are written meanwhile."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as error:
        names = " and ".join(repr(str(path)) for path in paths if path is not None)
        error.add_note(f"{names} may be there already")
        raise


def _left(error: BaseException, kept: str) -> str:
    return ", ".join(getattr(error, "__notes__", [kept]))


def one_line(error: BaseException) -> str:
    """Message of an error without line breaks, and without the quotes that `KeyError` adds."""
    message = error.args[0] if isinstance(error, KeyError) and error.args else error
    return " ".join(str(message).split()) or type(error).__name__


def as_options(text: str, names: Collection[str]) -> str:
    """Text for Python with the arguments in backticks as the options of a command.

    Parameters
    ----------
    text
        A message.
    names
        Names of the command's parameters.

    Returns
    -------
    The text with ``--train-size`` for ``train_size``, where that is one of the names.
    """

    def option(found: re.Match[str]) -> str:
        name, value = found.groups()
        name = _OTHER_NAMES.get(name, name)
        if name not in names:
            return found[0]
        value = (value or "").strip("'")
        return f"`--{name.replace('_', '-')} {value}".rstrip() + "`"

    return _ARGUMENT.sub(option, text)


@contextmanager
def quiet(names: Collection[str] = ()) -> Iterator[None]:
    """Silence what libraries say about themselves; our own warnings become one line each.

    Parameters
    ----------
    names
        As in :func:`as_options`, for the warnings.
    """
    # Lightning's and scvi-tools' advice is for programmers
    libraries = ("lightning", "lightning.pytorch", "lightning.fabric", "scvi")
    loggers = [logging.getLogger(library) for library in libraries]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("default", category=UserWarning)
        for module in ("anndata", "lightning", "scanpy", "torch"):
            warnings.filterwarnings("ignore", module=rf"{module}\b")
        warnings.showwarning = functools.partial(_one_line_warning, names)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _one_line_warning(
    names: Collection[str], message: Warning | str, *_args: Any, **_kwargs: Any
) -> None:
    typer.echo(f"Warning: {as_options(' '.join(str(message).split()), names)}", err=True)
