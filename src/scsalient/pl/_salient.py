"""Scatter of the salient latents."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pandas as pd
import scanpy as sc

from scsalient import _keys
from scsalient._arguments import check_anndata
from scsalient._wording import own_columns
from scsalient.pl._finish import finished
from scsalient.pl._legend_room import legend_room
from scsalient.pl._shown import NA, NA_COLOR, ROLE, Cells, Shown, gene_names, shown_cells
from scsalient.pl._strip import strip

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

_MAX_VECTOR_CELLS = 5000


def salient(
    adata: AnnData,
    color: str | Sequence[str] | None = None,
    *,
    components: int | tuple[int, int] | None = None,
    cells: Cells = "target",
    key: str = _keys.OBSM_SALIENT,
    show: bool | None = None,
    save: bool | str | None = None,
    return_fig: bool | None = None,
    **kwargs: Any,
) -> Any:
    """Scatter of two salient latents, or strip of one, one panel for each colour.

    Parameters
    ----------
    adata
        Data after :meth:`scsalient.ContrastiveVAE.embed`, or, with its ``key``, after
        :func:`scsalient.baselines.contrastive_pca`.
    color
        Column or columns of ``.obs``, or genes; `None` for a panel without colours.
    components
        Dimensions to draw, counted from 1: two for a scatter, one for a strip for each category.
        `None` for the first two, or the only one. Component 1 is dimension 0 of
        :meth:`scsalient.ContrastiveVAE.sweep`.
    cells
        ``"target"`` draws the target cells only; ``"contrast"`` also draws the background cells,
        in grey behind them, to show what no response looks like, and target cells without a
        category as ``"NA"`` in a darker grey (those without a number are in the same grey as
        background cells); ``"all"`` draws every cell alike.
    key
        Latents in ``.obsm``.
    show, save, return_fig
        As in :func:`scanpy.pl.embedding`. In vector graphics the points of more than 5,000 cells
        are saved as pixels, or no program could open the file.
    **kwargs
        Further arguments of :func:`scanpy.pl.embedding`, such as ``ax``, ``ncols`` and ``size``.
        Without ``wspace`` panels are so far apart that the legends fit between them.

    Returns
    -------
    As :func:`scanpy.pl.embedding`: the figure with ``return_fig=True``; else, unless it is shown,
    the axes, or a list of them for several colours.

    Raises
    ------
    KeyError
        When the latents, a column, or the condition is missing.
    TypeError
        When ``adata`` is something else, such as the model, or ``basis`` or ``dimensions`` is
        passed instead of ``key`` or ``components``.
    ValueError
        When a dimension is out of range, ``cells`` unknown, no cell a target, or a drawing in 3D,
        or ``groups`` with greyed background cells, asked for.
    """
    check_anndata("adata", adata, advice="Pass the data after `model.embed()`.")
    for theirs, ours in (("basis", "key"), ("dimensions", "components")):
        if theirs in kwargs:
            msg = f"`{theirs}` should not be passed, found {kwargs[theirs]!r}. Pass `{ours}`."
            raise TypeError(msg)
    if kwargs.get("projection", "2d") != "2d":
        msg = (
            f"`projection` should be '2d', found {kwargs['projection']!r}: `salient` draws one or "
            "two dimensions. Choose them with `components`."
        )
        raise ValueError(msg)
    if key not in adata.obsm:
        msg = f"`adata.obsm` has no {key!r}. Train a model and run `model.embed()` first."
        raise KeyError(msg)
    chosen = _components(components, adata.obsm[key].shape[1])
    if cells not in get_args(Cells):
        msg = f"`cells` should be one of {list(get_args(Cells))}, found {cells!r}."
        raise ValueError(msg)
    colors: list[str | None] = [None]
    if isinstance(color, str):
        colors = [color]
    elif color is not None and len(color):
        colors = list(color)
    named = [c for c in colors if c is not None]
    gene_symbols = kwargs.get("gene_symbols")
    genes = gene_names(adata, gene_symbols)
    missing = [c for c in named if c not in adata.obs and c not in genes]
    if missing:
        msg = (
            f"`color` should name columns of `adata.obs` or genes, found {missing}. The columns "
            f"are {own_columns(adata.obs)}."
        )
        raise KeyError(msg)
    if kwargs.get("ax") is not None and len(colors) > 1:
        msg = f"`ax` takes one panel, found {len(colors)} colours. Pass one `color`, or no `ax`."
        raise ValueError(msg)

    shown = shown_cells(adata, named, cells=cells, key=key, gene_symbols=gene_symbols)
    mask = kwargs.pop("mask_obs", None)
    if mask is not None:
        mask = np.asarray(adata.obs[mask] if isinstance(mask, str) else mask)[shown.cells]
    size = kwargs.get("size")
    if size is not None and np.ndim(size) == 1 and len(size) == adata.n_obs:
        kwargs["size"] = np.asarray(size)[shown.cells]
    if not shown.coloured.all():
        if kwargs.get("groups") is not None:
            msg = (
                "`groups` should be left out with `cells='contrast'`, where background cells are "
                f"grey already, found {kwargs['groups']!r}. Pass `mask_obs`, or `cells='target'`."
            )
            raise ValueError(msg)
        mask = shown.coloured if mask is None else shown.coloured & mask
        kwargs = {"na_in_legend": False} | kwargs
        if not named:
            colors = [ROLE] * len(colors)
            kwargs = {"title": ""} | kwargs
        palette = kwargs.get("palette")
        if isinstance(palette, Mapping):
            kwargs |= {"palette": {NA: NA_COLOR, **palette}}
    kwargs["mask_obs"] = mask
    if len(chosen) == 1:
        axes = strip(shown, colors, component=chosen[0], **kwargs)
    else:
        dimensions = (chosen[0] - 1, chosen[1] - 1)
        if len(colors) > 1 and kwargs.get("ncols") != 1:
            kwargs = _with_legend_room(shown, colors, **kwargs)
        drawn = sc.pl.embedding(
            shown.adata,
            shown.basis,
            color=colors,
            dimensions=dimensions,
            show=False,
            save=False,
            **kwargs,
        )
        axes = drawn if isinstance(drawn, list) else [drawn]
    if shown.adata.n_obs > _MAX_VECTOR_CELLS:
        for collection in chain.from_iterable(axis.collections for axis in axes):
            collection.set_rasterized(True)
    return finished(
        axes[0].figure, axes, name=shown.basis, show=show, save=save, return_fig=return_fig
    )


def _with_legend_room(shown: Shown, colors: Sequence[str | None], **kwargs: Any) -> dict[str, Any]:
    """Put panels so far apart that none covers the legend of another, unless told how far."""
    if kwargs.get("legend_loc", "right margin") != "right margin" or "wspace" in kwargs:
        return kwargs
    obs = shown.adata.obs
    discrete = [c for c in colors if c in obs and isinstance(obs[c].dtype, pd.CategoricalDtype)]
    room = legend_room([obs[c] for c in discrete], kwargs.get("legend_fontsize"))
    return kwargs | {"wspace": room} if discrete else kwargs


def _components(components: Any, n_latent: int) -> tuple[int, ...]:
    if components is None:
        return tuple(range(1, min(n_latent, 2) + 1))
    chosen = (components,) if isinstance(components, int | np.integer) else tuple(components)
    is_valid = all(isinstance(c, int | np.integer) and 1 <= c <= n_latent for c in chosen)
    if len(chosen) not in (1, 2) or not is_valid:
        msg = (
            f"`components` should be one or two dimensions from 1 to {n_latent}, found "
            f"{components}."
        )
        raise ValueError(msg)
    return chosen
