"""The cells and columns that a figure of the salient latents draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from scsalient import _keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

BASIS = "salient"
ROLE = "cells"
Cells = Literal["target", "contrast", "all"]


@dataclass(frozen=True)
class Shown:
    """A small copy of the drawn cells, and which of them get a colour of their own.

    Where some are grey and no colour was asked for, ``.obs["cells"]`` colours the others.
    """

    adata: AnnData
    coloured: np.ndarray


def shown_cells(adata: AnnData, colors: Sequence[str], *, cells: Cells, key: str) -> Shown:
    """Copy the cells to draw, with the latents under a name that scanpy makes axis labels of.

    Parameters
    ----------
    adata
        Data after ``embed``.
    colors
        Columns of ``.obs`` and genes, which exist.
    cells
        Target cells; target cells and greyed background cells; or all cells.
    key
        Latents in ``.obsm``, which exist.

    Returns
    -------
    The cells. `adata` stays as it is.

    Raises
    ------
    KeyError
        When the roles of the cells are not known.
    """
    drawn = coloured = np.ones(adata.n_obs, dtype=bool)
    if cells != "all":
        coloured = _has_role(adata, "target")
        drawn = coloured if cells == "target" else coloured | _has_role(adata, "background")
    genes = list(dict.fromkeys(c for c in colors if c not in adata.obs))
    own = [gene for gene in genes if gene in adata.var_names]
    shown = adata[drawn, own or adata.var_names[:1]].to_memory(copy=True)
    shown.raw = None
    if adata.raw is not None:
        # Where there is a `.raw`, scanpy looks for genes there
        inner = [gene for gene in genes if gene in adata.raw.var_names]
        shown.raw = adata.raw[drawn, inner or adata.raw.var_names[:1]].to_adata()
    shown.obsm = {BASIS: np.asarray(adata.obsm[key])[drawn]}
    for column in colors:
        if column in shown.obs and not pd.api.types.is_numeric_dtype(shown.obs[column]):
            _keep_categories(adata, shown, column, coloured[drawn])
    if not colors and not coloured[drawn].all():
        shown.obs[ROLE] = pd.Categorical(["target" if c else None for c in coloured[drawn]])
    return Shown(shown, coloured[drawn])


def _keep_categories(adata: AnnData, shown: AnnData, column: str, coloured: np.ndarray) -> None:
    """Leave the categories of coloured cells, with the colours that they have in `adata`."""
    order = list(adata.obs[column].astype("category").cat.categories)
    values = shown.obs[column].astype("category").cat.set_categories(order)
    left = [c for c in order if (values[coloured] == c).any()]
    shown.obs[column] = values.cat.set_categories(left)
    palette = adata.uns.get(f"{column}_colors")
    if palette is not None:
        shown.uns[f"{column}_colors"] = [palette[order.index(c)] for c in left]


def _has_role(adata: AnnData, role: Literal["target", "background"]) -> np.ndarray:
    roles = adata.uns.get(_keys.UNS_CVAE)
    if roles is None or roles["condition_key"] not in adata.obs:
        msg = (
            f"`adata` should say which cells are targets (`.uns[{_keys.UNS_CVAE!r}]` and the "
            "condition column), found nothing. Run `model.embed()`, or pass `cells='all'`."
        )
        raise KeyError(msg)
    condition = adata.obs[roles["condition_key"]].astype(str)
    return condition.isin([str(c) for c in roles[role]]).to_numpy()
