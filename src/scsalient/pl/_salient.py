"""Scatter of the salient latents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import scanpy as sc

from scsalient import _keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData


def salient(
    adata: AnnData,
    color: str | Sequence[str] | None = None,
    *,
    components: tuple[int, int] = (1, 2),
    cells: Literal["target", "all"] = "target",
    key: str = _keys.OBSM_SALIENT,
    **kwargs: Any,
) -> Any:
    """Scatter of two salient latents, one panel for each colour.

    Parameters
    ----------
    adata
        Data after :meth:`scsalient.ContrastiveVAE.embed`.
    color
        Column or columns of ``.obs``, or genes.
    components
        Dimensions to draw, counted from 1.
    cells
        ``"target"`` draws the target cells only, ``"all"`` every cell.
    key
        Latents in ``.obsm``.
    **kwargs
        Further arguments of :func:`scanpy.pl.embedding`, such as ``show``, ``save``, ``ax``,
        ``return_fig``, ``ncols`` and ``size``.

    Returns
    -------
    As :func:`scanpy.pl.embedding`.

    Raises
    ------
    KeyError
        When the latents, a column, or the condition is missing.
    ValueError
        When a dimension is out of range.
    """
    if key not in adata.obsm:
        msg = f"`adata.obsm` has no {key!r}. Train a model and run `model.embed()` first."
        raise KeyError(msg)
    latent = adata.obsm[key]
    n_latent = latent.shape[1]
    if n_latent < 2:
        msg = (
            f"`adata.obsm[{key!r}]` should have at least 2 dimensions to draw, found {n_latent}. "
            "Use `sc.pl.violin` on a column of it."
        )
        raise ValueError(msg)
    if len(components) != 2 or not all(1 <= c <= n_latent for c in components):
        msg = f"`components` should be two dimensions from 1 to {n_latent}, found {components}."
        raise ValueError(msg)
    if cells not in ("target", "all"):
        msg = f"`cells` should be 'target' or 'all', found {cells!r}."
        raise ValueError(msg)
    colors = [color] if isinstance(color, str) else list(color or [])
    missing = [c for c in colors if c not in adata.obs and c not in adata.var_names]
    if missing:
        msg = f"`color` should name columns of `adata.obs` or genes, found {missing}."
        raise KeyError(msg)

    # A small copy with the latents under a name that scanpy turns into axis labels.
    keep = slice(None)
    if cells == "target":
        if _keys.UNS_CVAE not in adata.uns:
            msg = (
                f"`adata.uns` has no {_keys.UNS_CVAE!r}, which says which cells are targets. Run "
                "`model.embed()`, or pass `cells='all'`."
            )
            raise KeyError(msg)
        roles = adata.uns[_keys.UNS_CVAE]
        keep = adata.obs[roles["condition_key"]].astype(str).isin(list(roles["target"]))
        keep = keep.to_numpy()
    genes = [c for c in colors if c not in adata.obs]
    shown = adata[keep, genes].copy() if genes else adata[keep, :1].copy()
    shown.obsm = {"salient": latent[keep]}
    for column in colors:
        palette = f"{column}_colors"
        if palette in adata.uns and column in shown.obs:
            # scanpy counts colours by category, and some categories may have no target cell.
            order = list(adata.obs[column].astype("category").cat.categories)
            left = list(shown.obs[column].astype("category").cat.categories)
            shown.uns[palette] = [adata.uns[palette][order.index(c)] for c in left]
    dimensions = tuple(c - 1 for c in components)
    return sc.pl.embedding(shown, "salient", color=color, dimensions=dimensions, **kwargs)
