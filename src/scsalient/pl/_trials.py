"""Box plot of a number over repeated trials."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from scsalient.pl._finish import finished

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

# Of a name that stands upright below its box, in a line
_MAX_LETTERS = 12


def trials(
    table: pd.DataFrame,
    metric: str = "silhouette",
    *,
    by: str = "method",
    order: Sequence[str] | None = None,
    ylabel: str | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    save: bool | str | None = None,
    return_fig: bool | None = None,
) -> Any:
    """Box plot of a number for each method over trials, with every trial as a point.

    Parameters
    ----------
    table
        One row a trial, as :func:`scsalient.experiments.rna_seq` returns it.
    metric
        Column with the number. Rows without it are left out.
    by
        Column with the method.
    order
        Methods from left to right; `None` for the order of the table.
    ylabel
        Label of the vertical axis; `None` for the name of the column.
    ax
        Axes to draw on; `None` for new ones.
    show, save, return_fig
        As in :func:`scanpy.pl.embedding`.

    Returns
    -------
    The axes, unless the figure is shown; the figure with ``return_fig=True``.

    Raises
    ------
    KeyError
        When a column is missing.
    TypeError
        When the column of ``metric`` holds no numbers.
    ValueError
        When ``order`` names a method without a trial, or there is no trial at all.
    """
    missing = [column for column in (metric, by) if column not in table]
    if missing:
        msg = f"`table` should have the columns {[metric, by]}, found no {missing}."
        raise KeyError(msg)
    rows = table.dropna(subset=[metric])
    if len(rows) and not pd.api.types.is_numeric_dtype(rows[metric].infer_objects()):
        msg = f"`metric` should name a column of numbers, found {rows[metric].iloc[0]!r} in it."
        raise TypeError(msg)
    methods = list(dict.fromkeys(rows[by])) if order is None else list(order)
    groups = [rows.loc[rows[by] == method, metric].to_numpy(dtype=float) for method in methods]
    empty = [method for method, values in zip(methods, groups, strict=True) if not len(values)]
    if empty or not methods:
        msg = f"`order` should name methods with a trial, found {empty or 'no trial at all'}."
        raise ValueError(msg)
    if ax is None:
        _, ax = plt.subplots(figsize=(1.2 + 1.1 * len(methods), 3.4), layout="constrained")
    labels = [_wrapped(str(method)) for method in methods]
    ax.boxplot(
        groups,
        tick_labels=labels,
        showfliers=False,
        widths=0.55,
        medianprops={"color": "C1", "linewidth": 1.6},
    )
    rng = np.random.default_rng(0)
    for i, values in enumerate(groups, start=1):
        # Side by side only where points would hide each other
        spread = rng.uniform(-0.16, 0.16, len(values)) if len(values) > 1 else 0.0
        ax.scatter(i + spread, values, s=14, color="C0", alpha=0.7, linewidths=0, zorder=3)
    ax.set_ylabel(metric if ylabel is None else ylabel)
    ax.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    ax.tick_params(axis="x", labelsize=8)
    if max(len(line) for label in labels for line in label.split("\n")) > _MAX_LETTERS + 2:
        style = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
        plt.setp(ax.get_xticklabels(), **style)
    return finished(ax.figure, [ax], name="trials", show=show, save=save, return_fig=return_fig)


def _wrapped(name: str) -> str:
    """Name in lines, broken after commas, and at spaces where that is not enough."""
    parts = name.replace(", ", ",\n").split("\n")
    return "\n".join(
        textwrap.fill(part, _MAX_LETTERS, break_long_words=False, break_on_hyphens=False)
        for part in parts
    )
