"""Which cells are target, which are background, and which are neither."""

from __future__ import annotations

import enum
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scsalient._wording import did_you_mean, own_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    Categories = Hashable | Sequence[Hashable]


class Role(enum.IntEnum):
    """The part that a cell plays in the contrast."""

    BACKGROUND = 0
    TARGET = 1
    NEITHER = 2


@dataclass(frozen=True)
class ConditionRoles:
    """The condition column and the role of each of its categories.

    Parameters
    ----------
    condition_key
        Column of ``.obs`` that holds the condition of each cell.
    background
        Categories whose cells are background.
    target
        Categories whose cells are target; `None` makes every other category a target,
        also one that turns up later, in query data.
    known
        Categories that registration saw.
    """

    condition_key: str
    background: tuple[Any, ...]
    target: tuple[Any, ...] | None
    known: tuple[Any, ...]

    def role_of(self, category: Hashable) -> Role:
        """Role of one category; one that registration did not see is a target."""
        if category in self.background:
            return Role.BACKGROUND
        if self.target is None or category in self.target or category not in self.known:
            return Role.TARGET
        return Role.NEITHER

    def of(self, adata: AnnData) -> np.ndarray:
        """Role of every cell.

        Parameters
        ----------
        adata
            Data with the condition column.

        Returns
        -------
        Codes of :class:`Role`, shape ``(n_cells,)``.

        Raises
        ------
        KeyError
            When the condition column is missing.
        TypeError
            When it is read from a file only when it is asked for.
        ValueError
            When the condition column has missing values.
        """
        column = condition_column(adata, self.condition_key)
        codes, categories = pd.factorize(column)
        lookup = np.array([self.role_of(category) for category in categories], dtype=np.int64)
        return lookup[codes]


def condition_column(adata: AnnData, condition_key: str) -> pd.Series:
    """The condition column, checked: it exists, and every cell has a value."""
    if not isinstance(condition_key, str) or condition_key not in adata.obs:
        columns = own_columns(adata.obs)
        remedy = " Pass the column that tells target from background cells."
        msg = (
            f"`condition_key` should name a column of `adata.obs`, found {condition_key!r}, "
            f"which is not among {columns}.{did_you_mean(condition_key, columns) or remedy}"
        )
        raise KeyError(msg)
    column = adata.obs[condition_key]
    if not isinstance(column, pd.Series | pd.DataFrame):
        msg = (
            f"`adata` should have its columns in memory, found {condition_key!r} of type "
            f"{type(column).__name__}. Run `adata = adata.to_memory()` first."
        )
        raise TypeError(msg)
    if isinstance(column, pd.DataFrame):
        msg = (
            f"`condition_key` should name one column of `adata.obs`, found {column.shape[1]} "
            f"columns called {condition_key!r}. Rename or drop the duplicates."
        )
        raise ValueError(msg)
    n_missing = int(column.isna().sum())
    if n_missing:
        msg = (
            f"`condition_key` column {condition_key!r} should have a value for every cell, found "
            f"{n_missing} missing. Remove these cells, or give them a category of their own and "
            "leave it out of `background` and `target`."
        )
        raise ValueError(msg)
    return column


def resolve_roles(
    adata: AnnData,
    condition_key: str,
    background: Categories,
    *,
    target: Categories | None = None,
) -> ConditionRoles:
    """Check the categories against the condition column and record their roles.

    Parameters
    ----------
    adata
        Data with the condition column.
    condition_key
        Column of ``.obs`` that tells target from background cells.
    background
        Category, or list of categories, of the background cells.
    target
        Category, or list of categories, of the target cells. `None`: every other category.

    Returns
    -------
    The roles, to be applied to this or to other data with :meth:`ConditionRoles.of`.

    Raises
    ------
    KeyError
        When the column is missing.
    ValueError
        When the column has missing values, a category is unknown or on both sides, or one of
        the two groups has no cells.
    """
    column = condition_column(adata, condition_key)
    counts = column.value_counts()
    present = tuple(as_python(category) for category in counts.index[counts > 0])

    background_tuple = _as_categories("background", background, present, condition_key)
    target_tuple = (
        None if target is None else _as_categories("target", target, present, condition_key)
    )
    if target_tuple is None:
        if not [category for category in present if category not in background_tuple]:
            msg = (
                f"`background` takes every category of {condition_key!r} ({list(present)}), so no "
                "target cells are left. Name only the control categories."
            )
            raise ValueError(msg)
    else:
        both = [category for category in target_tuple if category in background_tuple]
        if both:
            msg = (
                f"`target` and `background` should have no category in common, found {both} in "
                "both. A cell is either target or background."
            )
            raise ValueError(msg)
    return ConditionRoles(condition_key, background_tuple, target_tuple, present)


def _as_categories(
    argument: str, value: Any, present: tuple[Any, ...], condition_key: str
) -> tuple[Any, ...]:
    is_list = pd.api.types.is_list_like(value) and not isinstance(value, Mapping)
    categories = tuple(as_python(v) for v in value) if is_list else (as_python(value),)
    if not all(isinstance(category, Hashable) for category in categories):
        msg = (
            f"`{argument}` should be a category of {condition_key!r} or a list of categories, "
            f"found {value!r}."
        )
        raise TypeError(msg)
    categories = tuple(dict.fromkeys(categories))
    if not categories:
        msg = f"`{argument}` should name at least one category of {condition_key!r}, found none."
        raise ValueError(msg)
    unknown = [category for category in categories if category not in present]
    if unknown:
        shown = list(present[:20]) + (["..."] if len(present) > 20 else [])
        msg = (
            f"`{argument}` should name categories of `adata.obs[{condition_key!r}]` that have "
            f"cells ({shown}), found {unknown}."
        )
        same_text = [category for category in present if str(category) in map(str, unknown)]
        if same_text:
            msg += f" Did you mean {same_text} (of type {type(same_text[0]).__name__})?"
        else:
            questions = "".join(did_you_mean(category, present) for category in unknown)
            msg += questions or " Choose among these categories."
        raise ValueError(msg)
    return categories


def as_python(value: Any) -> Any:
    """NumPy scalars as Python ones, so that categories compare, save and print as they read."""
    return value.item() if isinstance(value, np.generic) else value
