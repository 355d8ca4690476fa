"""Decoded data over one or two latents."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from anndata import AnnData
from matplotlib.colors import TwoSlopeNorm
from scipy import sparse

from scsalient._arguments import check_flag, check_integer
from scsalient.images import describe
from scsalient.pl._finish import finished
from scsalient.pl._mosaic import as_images, draw_mosaic, shown_limits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

_INCHES = 0.6
# In inches, for the label of the colour bar
_LEAST_HEIGHT = 2.0
_COORDINATE = re.compile(r"(salient|background|latent)_\d+")


def sweep(
    swept: AnnData,
    *,
    genes: str | Sequence[str] | None = None,
    n_genes: int = 12,
    log: bool = True,
    vmin: float | None = None,
    vmax: float | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    save: bool | str | None = None,
    return_fig: bool | None = None,
    **kwargs: Any,
) -> Any:
    """Draw what the decoder makes of a grid over one or two latents.

    This is task 2 of the paper (section 3). Images are drawn at their place in the grid, the first
    latent to the right and the second upwards. Of expression the genes are drawn that change most:
    over one latent as the rows of a heat map, over two with a heat map each, as the change from the
    point of the grid that is closest to zero.

    Parameters
    ----------
    swept
        What ``sweep`` of a model returned.
    genes
        Gene or genes to draw; `None` for those of the largest change.
    n_genes
        Number of genes, where they are not named.
    log
        Whether to take the logarithm of expression; `False` for a model of values that are
        logarithms already.
    vmin, vmax
        Values of images that are drawn black and white; `None` for 0 and 1 where all values lie
        between, and else the smallest and the largest value.
    ax
        Axes to draw on; `None` for new ones.
    show, save, return_fig
        As in :func:`scanpy.pl.embedding`.
    **kwargs
        Further arguments of :meth:`matplotlib.axes.Axes.imshow`, for instance ``cmap``.

    Returns
    -------
    The figure with ``return_fig=True``; else, unless it is shown, the axes, or a list of them.

    Raises
    ------
    KeyError
        When a gene is missing.
    TypeError
        When ``swept`` is something else, such as the model.
    ValueError
        When ``swept`` is no grid over one or two latents, ``log`` does not fit its values,
        ``genes`` is empty or names several variables by one name, or ``ax`` should take several
        panels.
    """
    if not isinstance(swept, AnnData):
        msg = (
            "`swept` should be an AnnData, as `model.sweep()` returns it, found "
            f"{type(swept).__name__}."
        )
        raise TypeError(msg)
    check_integer("n_genes", n_genes, low=1)
    names = [name for name in swept.obs if _COORDINATE.fullmatch(str(name))]
    values = [np.unique(swept.obs[name]) for name in names]
    points = swept.obs[names].drop_duplicates()
    is_grid = math.prod(map(len, values)) == swept.n_obs == len(points)
    if len(names) not in (1, 2) or not is_grid:
        msg = (
            "`swept` should be a grid over one or two latents, as `model.sweep()` returns it, "
            f"found {swept.n_obs} rows with the coordinates {names}."
        )
        raise ValueError(msg)
    # The first coordinate runs slowest, whatever order the rows came in
    swept = swept[np.lexsort([swept.obs[name] for name in reversed(names)])]
    if genes is None and describe(swept) is not None:
        figure, axes = _draw_images(swept, names, values, (vmin, vmax), ax, **kwargs)
    else:
        if vmin is not None or vmax is not None:
            msg = (
                "`vmin` and `vmax` are of images, whereas changes of genes are drawn on a scale "
                f"around zero, found {vmin!r} and {vmax!r}. Pass a `norm` of matplotlib's instead."
            )
            raise ValueError(msg)
        figure, axes = _draw_genes(swept, names, values, genes, n_genes, log, ax, **kwargs)
    return finished(figure, axes, name="sweep", show=show, save=save, return_fig=return_fig)


def _draw_images(
    swept: AnnData,
    names: list[str],
    values: list[np.ndarray],
    limits: tuple[float | None, float | None],
    ax: Axes | None,
    **kwargs: Any,
) -> tuple[Figure | SubFigure, list[Axes]]:
    images = as_images("swept", swept)
    n_columns, n_rows = len(values[0]), swept.n_obs // len(values[0])
    # The last coordinate runs fastest, and the top row is drawn first
    grid = images.reshape(n_columns, n_rows, *images.shape[1:]).swapaxes(0, 1)[::-1]
    if ax is None:
        ratio = images.shape[1] / images.shape[2]
        size = (_INCHES * n_columns + 0.5, _INCHES * n_rows * ratio + 0.5)
        _, ax = plt.subplots(figsize=size, layout="constrained")
    tiles = draw_mosaic(
        ax,
        grid.reshape(-1, *images.shape[1:]),
        ncols=n_columns,
        limits=shown_limits(images, *limits),
        **kwargs,
    )
    ax.set_xticks(tiles.x, _numbers(values[0]))
    ax.set_xlabel(_label(names[0]))
    if len(names) == 2:
        ax.set_yticks(tiles.y, _numbers(values[1][::-1]))
        ax.set_ylabel(_label(names[1]))
    ax.tick_params(length=0, labelsize=8)
    return ax.figure, [ax]


def _draw_genes(
    swept: AnnData,
    names: list[str],
    values: list[np.ndarray],
    genes: str | Sequence[str] | None,
    n_genes: int,
    log: bool,
    ax: Axes | None,
    **kwargs: Any,
) -> tuple[Figure | SubFigure, list[Axes]]:
    check_flag("log", log)
    change = _change(swept, names, log=log)
    # In two lines, which fit beside a single gene
    title = "change of\nlog2(1 + expression)" if log else "change of\nexpression"
    if genes is None:
        chosen = np.argsort(-np.ptp(change, axis=0), kind="stable")[:n_genes]
    else:
        chosen = _positions(swept, [genes] if isinstance(genes, str) else list(genes))
    genes = [str(swept.var_names[i]) for i in chosen]
    change = change[:, chosen]
    limit = float(np.abs(change).max()) or 1.0
    norm = TwoSlopeNorm(0, -limit, limit)
    style: dict[str, Any] = {"cmap": "RdBu_r", "norm": norm, "aspect": "auto"} | kwargs
    if len(names) == 1:
        if ax is None:
            height = max(0.24 * len(genes) + 1, _LEAST_HEIGHT)
            _, ax = plt.subplots(figsize=(5, height), layout="constrained")
        # Genes of a like course beside each other
        order = np.argsort(change[-1] - change[0], kind="stable")[::-1]
        image = ax.imshow(change[:, order].T, **style)
        ax.set_yticks(range(len(genes)), [genes[i] for i in order], fontsize=8)
        _name_steps(ax.xaxis, values[0])
        ax.set_xlabel(_label(names[0]))
        ax.figure.colorbar(image, ax=ax, label=title)
        return ax.figure, [ax]
    if ax is not None and len(genes) > 1:
        msg = f"`ax` takes one panel, found {len(genes)} genes. Pass one gene, or no `ax`."
        raise ValueError(msg)
    if ax is not None:
        axes, figure = [ax], ax.figure
    else:
        ncols = min(4, len(genes))
        nrows = -(-len(genes) // ncols)
        figure, cells = plt.subplots(
            nrows, ncols, figsize=(2 * ncols + 0.8, 2 * nrows), squeeze=False, layout="constrained"
        )
        axes = list(cells.flat)
        for empty in axes[len(genes) :]:
            empty.remove()
        axes = axes[: len(genes)]
    for i, (axis, gene) in enumerate(zip(axes, genes, strict=True)):
        grid = change[:, i].reshape(len(values[0]), len(values[1])).T
        image = axis.imshow(grid, origin="lower", **style)
        axis.set_title(gene, fontsize=9)
        _name_steps(axis.xaxis, values[0])
        _name_steps(axis.yaxis, values[1])
        axis.set(xlabel=_label(names[0]), ylabel=_label(names[1]))
        axis.label_outer()
    figure.colorbar(image, ax=axes, label=title)
    return figure, axes


def _positions(swept: AnnData, genes: list[str]) -> np.ndarray:
    if not genes:
        msg = (
            "`genes` should name at least one gene, found none. Leave it out for the most changed."
        )
        raise ValueError(msg)
    missing = [gene for gene in genes if gene not in swept.var_names]
    if missing:
        msg = f"`genes` should be in `swept.var_names`, found no {missing}."
        raise KeyError(msg)
    repeated = [gene for gene in genes if (swept.var_names == gene).sum() > 1]
    if repeated:
        msg = (
            f"`genes` should be of one variable each, found several called {repeated}. Run "
            "`swept.var_names_make_unique()`."
        )
        raise ValueError(msg)
    return swept.var_names.get_indexer_for(genes)


def _change(swept: AnnData, names: list[str], *, log: bool) -> np.ndarray:
    values = swept.X.toarray() if sparse.issparse(swept.X) else swept.X
    decoded = np.asarray(values, dtype=float)
    if log and decoded.min() < 0:
        msg = (
            f"`log=True` needs expression of at least 0, found {decoded.min():.2g}. Pass "
            "`log=False`."
        )
        raise ValueError(msg)
    level = np.log2(1 + decoded) if log else decoded
    middle = int((swept.obs[names].to_numpy() ** 2).sum(axis=1).argmin())
    return level - level[middle]


def _name_steps(axis: Any, values: np.ndarray) -> None:
    """First, middle and last value, so that they do not run into each other."""
    steps = sorted({0, len(values) // 2, len(values) - 1})
    axis.set_ticks(steps, _numbers(values[steps]), fontsize=8)


def _numbers(values: np.ndarray) -> list[str]:
    return [f"{value:z.2g}" for value in values]


def _label(name: str) -> str:
    kind, dimension = name.split("_")
    # Counted from 1, as on the axes of the scatter of latents
    return f"{kind}{int(dimension) + 1}"
