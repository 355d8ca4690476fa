"""Packages that only some data sets need."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def import_extra(module: str, *, used_by: str) -> Any:
    """Import a module of the optional dependencies for images.

    Parameters
    ----------
    module
        Its name.
    used_by
        Who needs it, for the message.

    Raises
    ------
    ImportError
        When it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        msg = (
            f"{used_by} needs {module.split('.')[0]!r}, found it missing. Install the package with "
            'its extra "images": `pip install ".[images]"` in a clone of it.'
        )
        raise ImportError(msg) from error
