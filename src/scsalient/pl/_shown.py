"""The cells and columns that a figure of the salient latents draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scanpy as sc
from matplotlib.colors import to_hex

from scsalient import _keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

# No name that a user would give a column
ROLE = "_scsalient_role"
# Category of target cells without a value, where background cells are grey
NA, NA_COLOR = "NA", "dimgray"
Cells = Literal["target", "contrast", "all"]


@dataclass(frozen=True)
class Shown:
    """A small copy of the drawn cells, and which of them get a colour of their own.

    Where some are grey and no colour was asked for, a column of ``.obs`` colours the others.

    Attributes
    ----------
    adata
        The copy.
    cells
        Which of all cells it has.
    coloured
        Which of its cells have a colour.
    basis
        Name of the latents in its ``.obsm``, of which scanpy makes axis labels.
    """

    adata: AnnData
    cells: np.ndarray
    coloured: np.ndarray
    basis: str


def gene_names(adata: AnnData, gene_symbols: str | None) -> pd.Index:
    """Names by which scanpy finds the genes of data: those of ``.raw``, where there is one, too.

    Parameters
    ----------
    adata
        Data.
    gene_symbols
        Column of ``.var`` with the names; `None` for the index.
    """
    parts = [_names(adata, gene_symbols)]
    if adata.raw is not None:
        parts.append(_names(adata.raw, gene_symbols))
    return parts[0].append(parts[1:]).unique()


def _names(data: Any, gene_symbols: str | None) -> pd.Index:
    if gene_symbols is None or gene_symbols not in data.var:
        return data.var_names
    return pd.Index(data.var[gene_symbols].astype(str))


def shown_cells(
    adata: AnnData,
    colors: Sequence[str],
    *,
    cells: Cells,
    key: str,
    gene_symbols: str | None = None,
) -> Shown:
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
    gene_symbols
        As in :func:`gene_names`.

    Returns
    -------
    The cells. `adata` stays as it is.

    Raises
    ------
    KeyError
        When the roles of the cells are not known.
    ValueError
        When no cell is a target.
    """
    drawn = coloured = np.ones(adata.n_obs, dtype=bool)
    if cells != "all":
        roles = _roles(adata, key)
        coloured = _has_role(adata, roles, "target")
        if not coloured.any():
            msg = (
                "`adata` should have target cells to draw, found none. Pass `cells='all'`, or run "
                "`model.embed()` if the categories of the condition have other names now."
            )
            raise ValueError(msg)
        drawn = coloured if cells == "target" else coloured | _has_role(adata, roles, "background")
    genes = [c for c in colors if c not in adata.obs]
    shown = adata[drawn, _positions(adata, genes, gene_symbols)].to_memory(copy=True)
    shown.raw = None
    _make_float(shown)
    if adata.raw is not None:
        # Where there is a `.raw`, scanpy looks for genes there
        raw = adata.raw[drawn, _positions(adata.raw, genes, gene_symbols)].to_adata()
        _make_float(raw)
        shown.raw = raw
    basis = key.removeprefix("X_").removeprefix("cvae_")
    shown.obsm = {basis: np.asarray(adata.obsm[key])[drawn]}
    for column in (c for c in colors if c in shown.obs):
        if _is_number(shown.obs[column]):
            shown.obs[column] = shown.obs[column].astype(float)
        else:
            _keep_categories(adata, shown, column, coloured[drawn])
    if not colors and not coloured[drawn].all():
        shown.obs[ROLE] = pd.Categorical(["target" if c else None for c in coloured[drawn]])
    return Shown(shown, drawn, coloured[drawn], basis)


def _positions(data: Any, genes: Sequence[str], gene_symbols: str | None) -> np.ndarray:
    """Where the genes are, or else one of the others, for data without any cannot be drawn."""
    found = np.flatnonzero(_names(data, gene_symbols).isin(genes))
    return found if len(found) else np.arange(1)


def _make_float(data: AnnData) -> None:
    """Turn values of genes into floats, since scanpy greys cells by NaN, which no integer is."""
    if data.X is not None:
        data.X = data.X.astype(float)
    for name, values in data.layers.items():
        data.layers[name] = values.astype(float)


def _is_number(column: pd.Series) -> bool:
    # To pandas booleans are numbers, whereas scanpy draws them as categories
    is_numeric, is_boolean = pd.api.types.is_numeric_dtype, pd.api.types.is_bool_dtype
    return is_numeric(column) and not is_boolean(column)


def _keep_categories(adata: AnnData, shown: AnnData, column: str, coloured: np.ndarray) -> None:
    """Leave the categories of coloured cells, with the colours that they have in `adata`."""
    order = list(adata.obs[column].astype("category").cat.categories)
    values = shown.obs[column].astype("category").cat.set_categories(order)
    left = [c for c in order if (values[coloured] == c).any()]
    palette = adata.uns.get(f"{column}_colors")
    colors = None
    # One with too few colours is of other categories: scanpy makes a new one
    if palette is not None and len(palette) >= len(order):
        colors = [palette[order.index(c)] for c in left]
    unknown = values.isna().to_numpy() & coloured
    if unknown.any() and not coloured.all():
        # In the grey of no category they would pass for background cells
        if NA not in left:
            colors = [*(_default_colors(len(left)) if colors is None else colors), NA_COLOR]
            left.append(NA)
        values = values.cat.set_categories(left)
        values[unknown] = NA
    shown.obs[column] = values.cat.set_categories(left)
    if colors is not None:
        shown.uns[f"{column}_colors"] = colors


def _default_colors(n: int) -> list[str]:
    """Colours that scanpy gives so many categories."""
    palettes = sc.pl.palettes
    known = (
        plt.rcParams["axes.prop_cycle"].by_key()["color"],
        palettes.default_20,
        palettes.default_28,
        palettes.default_102,
    )
    return next(
        ([to_hex(c) for c in colors[:n]] for colors in known if len(colors) >= n), ["grey"] * n
    )


def _roles(adata: AnnData, key: str) -> Any:
    """Roles that were written with these latents, since each method may have had its own."""
    own = adata.uns.get(_keys.UNS_CPCA if key == _keys.OBSM_CPCA else key)
    has_own = isinstance(own, Mapping) and "roles" in own
    roles = own["roles"] if has_own else adata.uns.get(_keys.UNS_CVAE)
    if roles is None or roles["condition_key"] not in adata.obs:
        msg = (
            f"`adata` should say which cells are targets (`.uns[{_keys.UNS_CVAE!r}]` and the "
            "condition column), found nothing. Run `model.embed()`, or pass `cells='all'`."
        )
        raise KeyError(msg)
    return roles


def _has_role(adata: AnnData, roles: Any, role: Literal["target", "background"]) -> np.ndarray:
    condition = adata.obs[roles["condition_key"]].astype(str)
    return condition.isin([str(c) for c in roles[role]]).to_numpy()
