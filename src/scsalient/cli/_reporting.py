"""What the commands say: errors and warnings as one line each, on stderr."""

from __future__ import annotations

import functools
import logging
import os
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEBUG_VARIABLE = "SCSALIENT_DEBUG"
ERROR_CODE = 2
INTERRUPTED_CODE = 130
TERMINATED_CODE = 143
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
        except KeyboardInterrupt:
            typer.echo(f"Interrupted; {kept}.", err=True)
            raise typer.Exit(INTERRUPTED_CODE) from None
        except SystemExit:  # Lightning's answer to SIGTERM, with an exit code of 0
            typer.echo(f"Terminated; {kept}.", err=True)
            raise typer.Exit(TERMINATED_CODE) from None
        except _FORESEEN as error:
            if os.environ.get(DEBUG_VARIABLE):
                raise
            typer.echo(f"Error: {one_line(error)}", err=True)
            raise typer.Exit(ERROR_CODE) from None

    return wrapped


def one_line(error: BaseException) -> str:
    """Message of an error without line breaks, and without the quotes that `KeyError` adds."""
    message = error.args[0] if isinstance(error, KeyError) and error.args else error
    return " ".join(str(message).split()) or type(error).__name__


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what libraries say about themselves; our own warnings become one line each."""
    # Lightning's and scvi-tools' advice is for programmers
    names = ("lightning", "lightning.pytorch", "lightning.fabric", "scvi")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("default", category=UserWarning)
        for module in ("anndata", "lightning", "scanpy", "torch"):
            warnings.filterwarnings("ignore", module=rf"{module}\b")
        warnings.showwarning = _one_line_warning
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _one_line_warning(message: Warning | str, *_args: Any, **_kwargs: Any) -> None:
    typer.echo(f"Warning: {' '.join(str(message).split())}", err=True)
