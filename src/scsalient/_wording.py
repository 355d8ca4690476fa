"""What messages have in common: counts, columns to choose from, and what may have been meant."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd
    from anndata import AnnData


def counted(n: int, noun: str) -> str:
    """A number and what it counts, in the singular for one."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def own_columns(obs: pd.DataFrame) -> list[Any]:
    """Columns of a user, without those that scvi-tools adds when data are registered."""
    return [column for column in obs.columns if not str(column).startswith("_scvi_")]


def own_layers(adata: AnnData) -> list[str]:
    """Layers by name: since anndata 0.13 ``.X`` is one without."""
    return [name for name in adata.layers if name is not None]


def did_you_mean(name: Any, known: Iterable[Any]) -> str:
    """Question after the known name that is like another, in whatever case and spaces.

    Parameters
    ----------
    name
        What was asked for.
    known
        Names to choose from.

    Returns
    -------
    `` Did you mean 'ctrl'?``, with a space before it; nothing where no name is near.
    """
    by_text = {_plain(candidate): candidate for candidate in known}
    near = difflib.get_close_matches(_plain(name), by_text, n=1)
    return f" Did you mean {by_text[near[0]]!r}?" if near else ""


def not_among(name: Any, obs: pd.DataFrame) -> str:
    """End of a message on a column that a user has not, with the columns to choose from."""
    columns = own_columns(obs)
    return f"found {name!r}, which is not among {columns}.{did_you_mean(name, columns)}"


def _plain(name: Any) -> str:
    return str(name).strip().casefold()
