"""Columns of ``.obs`` that arguments name, beside those that are registered."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from scsalient._wording import not_among
from scsalient.data import as_python

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

# Of different numbers in a column of categories
MAX_NUMBERS = 50


def column_of(adata: AnnData, argument: str, key: Any) -> pd.Series:
    """The column that an argument names.

    Raises
    ------
    KeyError
        When there is none.
    TypeError
        When the name is no text.
    ValueError
        When there are several.
    """
    if not isinstance(key, str):
        msg = (
            f"`{argument}` should name columns of `adata.obs` by text, found {key!r} of type "
            f"{type(key).__name__}."
        )
        raise TypeError(msg)
    if key not in adata.obs:
        msg = f"`{argument}` should name columns of `adata.obs`, {not_among(key, adata.obs)}"
        raise KeyError(msg)
    column = adata.obs[key]
    if isinstance(column, pd.DataFrame):
        msg = (
            f"`{argument}` should name one column of `adata.obs`, found several called {key!r}."
            " Rename or drop the duplicates."
        )
        raise ValueError(msg)
    return column


def values_of(
    adata: AnnData, argument: str, keys: str | Sequence[str], cells: np.ndarray, *, needed: str
) -> list[pd.Series]:
    """Values of cells in each column that an argument names.

    Parameters
    ----------
    adata
        Data of the cells.
    argument
        Name of the argument for messages.
    keys
        Column or columns of ``.obs``.
    cells
        Positions of the cells.
    needed
        What a column should have for messages, ``"a value for each cell"`` say.

    Raises
    ------
    KeyError
        When there is no such column.
    TypeError
        When it is named by something else than text.
    ValueError
        When there are several of a name, or values are missing.
    """
    if not isinstance(keys, Iterable):
        msg = f"`{argument}` should be a column or a list of columns, found {keys!r}."
        raise TypeError(msg)
    columns = []
    for key in [keys] if isinstance(keys, str) else keys:
        values = column_of(adata, argument, key).iloc[cells]
        n_missing = int(values.isna().sum())
        if n_missing:
            msg = (
                f"`{argument}` column {key!r} should have {needed}, found {n_missing} missing. "
                "Fill them in, or remove these cells."
            )
            raise ValueError(msg)
        columns.append(values)
    return columns


def is_number(values: pd.Series) -> bool:
    """Whether a column holds numbers, and not truth values."""
    return is_numeric_dtype(values) and not is_bool_dtype(values)


def strata_of(
    adata: AnnData, argument: str, keys: str | Sequence[str], cells: np.ndarray
) -> tuple[np.ndarray, list[Any]]:
    """Number of the combination of categories that each cell has.

    Parameters
    ----------
    adata
        Data of the cells.
    argument
        Name of the argument for messages.
    keys
        Column or columns of ``.obs``.
    cells
        Positions of the cells that need a category.

    Returns
    -------
    Strata, shape ``(n_obs,)``, -1 for other cells; and the category of each stratum, a tuple for
    several columns.

    Raises
    ------
    KeyError, TypeError
        As :func:`values_of`.
    ValueError
        When a column has missing values or no categories, or there are no columns.
    """
    needed = "a category for each target and background cell"
    columns = values_of(adata, argument, keys, cells, needed=needed)
    if not columns:
        msg = f"`{argument}` should name columns of `adata.obs`, found none. Leave it out."
        raise ValueError(msg)
    codes, categories = [], []
    for values in columns:
        if is_number(values) and values.nunique() > MAX_NUMBERS:
            msg = (
                f"`{argument}` column {values.name!r} should hold categories, found "
                f"{values.nunique()} different numbers. Cut them into groups with `pandas.qcut`, "
                "or make them text."
            )
            raise ValueError(msg)
        of_cells, of_column = pd.factorize(values)
        codes.append(of_cells)
        categories.append(of_column)
    combinations, numbers = np.unique(np.stack(codes, axis=1), axis=0, return_inverse=True)
    strata = np.full(adata.n_obs, -1)
    strata[cells] = numbers.reshape(-1)
    each = [
        tuple(as_python(of_column[code]) for of_column, code in zip(categories, row, strict=True))
        for row in combinations
    ]
    return strata, [row[0] for row in each] if len(columns) == 1 else each
