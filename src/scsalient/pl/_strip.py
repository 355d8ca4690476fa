"""One salient latent: a strip of cells as wide as cells are many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scanpy as sc

from scsalient.pl._shortened import shortened
from scsalient.pl._shown import NA

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from scsalient.pl._shown import Shown

_BACKGROUND = "background"
_BINS = 40
_HALF_WIDTH = 0.42
_DEFAULT_COLUMNS = 4
# Of names of categories, and the most names at an angle
_MAX_LETTERS, _MAX_SLANTED = 40, 12
# Arguments of which scanpy takes one for each panel
_BY_PANEL = ("title", "vmin", "vmax", "vcenter", "norm")


def strip(
    shown: Shown,
    colors: Sequence[str | None],
    *,
    component: int,
    ax: Axes | None = None,
    ncols: int = _DEFAULT_COLUMNS,
    **kwargs: Any,
) -> list[Axes]:
    """Draw one latent, one strip for each category and one panel for each colour.

    Parameters
    ----------
    shown
        Cells to draw.
    colors
        Columns of ``.obs`` and genes; `None` for a panel without colours.
    component
        Dimension to draw, counted from 1.
    ax
        Axes to draw on, for one panel.
    ncols
        Panels in a row.
    **kwargs
        Further arguments of :func:`scanpy.pl.embedding`.

    Returns
    -------
    The axes, one for each colour.

    Raises
    ------
    ValueError
        When a list does not have one entry for each panel.
    """
    panels = list(colors)
    by_panel = [_of_panel(kwargs, i, len(panels)) for i in range(len(panels))]
    if ax is not None:
        axes = [ax]
    else:
        ncols = min(ncols, len(panels))
        nrows = -(-len(panels) // ncols)
        width, height = plt.rcParams["figure.figsize"]
        _, grid = plt.subplots(
            nrows,
            ncols,
            figsize=(1.15 * width * ncols, height * nrows),
            squeeze=False,
            layout="constrained",
        )
        axes = list(grid.flat)
        for empty in axes[len(panels) :]:
            empty.remove()
        axes = axes[: len(panels)]
    for axis, color, own in zip(axes, panels, by_panel, strict=True):
        _draw(axis, shown, color, component=component, **own)
    if ax is None:
        # Names of categories shall take nothing from the height of the panels
        labels = [label for axis in axes for label in axis.get_xticklabels()]
        figure = axes[0].figure.figure
        names = max(label.get_window_extent().height for label in labels) / figure.dpi
        figure.set_figheight((height + names) * nrows)
    return axes


def _of_panel(kwargs: dict[str, Any], index: int, n_panels: int) -> dict[str, Any]:
    """Arguments of one panel: of lists the entry that is its own, or the only one."""
    own = dict(kwargs)
    for name in _BY_PANEL:
        values = kwargs.get(name)
        if isinstance(values, str) or not isinstance(values, Sequence):
            continue
        if len(values) not in (1, n_panels):
            msg = (
                f"`{name}` should have one entry for each panel, {n_panels}, or one for all, found "
                f"{len(values)}."
            )
            raise ValueError(msg)
        own[name] = values[index if len(values) > 1 else 0]
    return own


def _draw(axis: Axes, shown: Shown, color: str | None, *, component: int, **kwargs: Any) -> None:
    adata = shown.adata.copy()
    values = np.asarray(adata.obsm[shown.basis])[:, component - 1].astype(float)
    is_discrete = color in adata.obs and not pd.api.types.is_numeric_dtype(adata.obs[color])
    if is_discrete:
        codes, names = adata.obs[color].cat.codes.to_numpy(), list(adata.obs[color].cat.categories)
    else:
        codes, names = np.zeros(adata.n_obs, dtype=int), ["" if shown.coloured.all() else "target"]
    if (codes[shown.coloured] < 0).any():
        if NA not in names:
            names.append(NA)
        codes = np.where(codes < 0, names.index(NA), codes)
    if not shown.coloured.all():
        codes = np.where(shown.coloured, codes, len(names))
        names.append(_BACKGROUND)
    adata.obsm["strip"] = np.column_stack([codes + _spread(values, codes), values])
    sc.pl.embedding(
        adata,
        "strip",
        color=color,
        ax=axis,
        show=False,
        **({"legend_loc": None} if is_discrete else {}) | {"na_in_legend": False} | kwargs,
    )
    # scanpy takes ticks off, which a single latent needs
    axis.set_xticks(range(len(names)), [shortened(str(name), _MAX_LETTERS) for name in names])
    if len(names) > 3:
        # Slanted names of many categories would need much room on the left
        rotation, va = (45, "top") if len(names) <= _MAX_SLANTED else (90, "center")
        style = {"rotation": rotation, "ha": "right", "va": va, "rotation_mode": "anchor"}
        plt.setp(axis.get_xticklabels(), **style)
    axis.set_xlim(-0.6, len(names) - 0.4)
    axis.yaxis.set_major_locator(plt.MaxNLocator(5))
    axis.set(xlabel="", ylabel=f"{shown.basis}{component}")


def _spread(values: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Sideways offset of each cell, wider where more cells of its group have the same value."""
    rng = np.random.default_rng(0)
    edges = np.histogram_bin_edges(values, bins=_BINS)
    offset = np.zeros(len(values))
    for code in np.unique(codes):
        cells = codes == code
        counts, _ = np.histogram(values[cells], edges)
        bins = np.clip(np.searchsorted(edges, values[cells], side="right") - 1, 0, _BINS - 1)
        width = counts[bins] / counts.max()
        offset[cells] = _HALF_WIDTH * width * rng.uniform(-1, 1, cells.sum())
    return offset
