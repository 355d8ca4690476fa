"""Checks of the values and of the design, before anything is trained on them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from anndata.abc import CSCDataset
from scipy import sparse

from scsalient._wording import counted, own_layers
from scsalient.data._roles import Role

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from anndata import AnnData

    Support = Literal["real", "unit", "counts"]

_CHUNK_ROWS = 8192
_MAX_NAMED = 8
# Between the groups, in standard deviations, above which a covariate is warned of
_LARGE_SHIFT = 1.0


def data_matrix(adata: AnnData, layer: str | None) -> Any:
    """Values of ``.X`` or of a layer, which are there and are numbers.

    Parameters
    ----------
    adata
        Data; in memory or backed, dense or sparse.
    layer
        Layer with the values, `None` for ``.X``.

    Raises
    ------
    KeyError
        When the layer is missing.
    TypeError
        When the values are no real numbers, or lie in a file column by column.
    ValueError
        When there are no values.
    """
    if layer is not None and layer not in adata.layers:
        msg = (
            f"`layer` should name a layer of `adata`, one of {own_layers(adata)}, found "
            f"{layer!r}. Pass one of these, or no `layer` for `adata.X`."
        )
        raise KeyError(msg)
    data = adata.X if layer is None else adata.layers[layer]
    if data is None or 0 in adata.shape:
        msg = (
            f"`adata` should have cells, variables and values in `{place_of(layer)}`, found shape "
            f"{adata.shape}{' and no values' if data is None else ''}. Pass data with values, or "
            "the `layer` that has them."
        )
        raise ValueError(msg)
    if isinstance(data, CSCDataset):
        matrix = place_of(layer)
        msg = (
            f"`{matrix}` in a file should be dense or CSR, found CSC, of which cells cannot be "
            "read one by one. Run `adata = adata.to_memory()` and "
            f"`{matrix} = {matrix}.tocsr()`; write that to a file if it should not stay in memory."
        )
        raise TypeError(msg)
    if np.dtype(data.dtype).kind not in "biuf":
        msg = (
            f"`{place_of(layer)}` should hold real numbers, found values of type {data.dtype}. "
            "Convert them first."
        )
        raise TypeError(msg)
    return data


def row_blocks(data: Any, n_rows: int = _CHUNK_ROWS) -> Iterator[tuple[int, Any]]:
    """Consecutive rows of a matrix and where they start; a file is read block by block.

    Parameters
    ----------
    data
        Matrix with ``n_cells`` rows, dense or sparse, in memory or in a file.
    n_rows
        Rows at a time.
    """
    if sparse.issparse(data) and data.format == "csc":
        # Rows of a CSC matrix are slow to cut, and it is in memory anyway.
        data = data.tocsr()
    for start in range(0, data.shape[0], n_rows):
        yield start, in_memory(data[start : start + n_rows])


def in_memory(block: Any) -> Any:
    """Rows that dask has not computed yet, and dense or sparse ones as they are."""
    if hasattr(block, "compute"):
        block = block.compute()
    return block if sparse.issparse(block) else np.asarray(block)


def check_finite(
    block: Any, where: str, *, adata: AnnData | None = None, start: int = 0
) -> np.ndarray:
    """Stored values of some rows, which are neither NaN nor infinite.

    Parameters
    ----------
    block
        Rows, dense or sparse.
    where
        Where they come from, for the message.
    adata
        Data that they are of, for the names of cell and variable; `None` where they would tell
        nothing.
    start
        Position of the first row in the data.

    Raises
    ------
    ValueError
        When values are NaN or infinite.
    """
    values: np.ndarray = block.data if sparse.issparse(block) else block
    if values.dtype.kind == "f":
        n_bad = int(values.size - np.isfinite(values).sum())
        if n_bad:
            place = "" if adata is None else _place_of_first(block, adata, start)
            msg = (
                f"`{where}` should hold finite numbers, found "
                f"{counted(n_bad, 'NaN or infinite value')}{place}. Remove or impute "
                f"{'it' if n_bad == 1 else 'them'} first."
            )
            raise ValueError(msg)
    return values


def _place_of_first(block: Any, adata: AnnData, start: int) -> str:
    """Where the first value that is NaN or infinite stands, in words."""
    if sparse.issparse(block):
        entries = block.tocoo()
        first = np.flatnonzero(~np.isfinite(entries.data))[0]
        row, column = entries.row[first], entries.col[first]
    else:
        row, column = np.argwhere(~np.isfinite(block))[0]
    cell, variable = adata.obs_names[start + row], adata.var_names[column]
    return (
        f" in cells {start} to {start + block.shape[0] - 1}, first in cell {cell!r} and variable "
        f"{variable!r}"
    )


def look_raw(data: Any) -> bool:
    """Whether all values are non-negative integers, as raw counts are.

    Zeros and ones alone may be any binary feature.

    Parameters
    ----------
    data
        Matrix of finite values, as :func:`row_blocks` takes it.
    """
    highest = 0.0
    for _, block in row_blocks(data):
        values = block.data if sparse.issparse(block) else block
        if not ((values >= 0).all() and (values == np.rint(values)).all()):
            return False
        highest = max(highest, float(values.max(initial=0)))
    return highest > 1


def place_of(layer: str | None) -> str:
    """Where the values are, as a user writes it.

    Parameters
    ----------
    layer
        Layer, `None` for ``.X``.
    """
    return "adata.X" if layer is None else f"adata.layers[{layer!r}]"


def check_block(
    values: np.ndarray, totals: np.ndarray, *, layer: str | None, support: Support, likelihood: str
) -> None:
    """Check some cells as :func:`check_values` has checked all, in case they changed since.

    Parameters
    ----------
    values
        Stored values in units of the scale.
    totals
        Their sum for each cell, shape ``(n_cells,)``.
    layer, support, likelihood
        As in :func:`check_values`.

    Raises
    ------
    ValueError
        As there.
    """
    where = place_of(layer)
    check_finite(values, where)
    _check_support(values, where, support, likelihood)
    if support == "counts":
        _check_totals(totals, where, likelihood)


def check_values(
    adata: AnnData, *, layer: str | None, support: Support, likelihood: str, scale: float = 1.0
) -> np.ndarray:
    """Check every value of the data against what the likelihood can explain.

    Parameters
    ----------
    adata
        Data; in memory or backed, dense or sparse.
    layer
        Layer with the values, `None` for ``.X``.
    support
        Values that the likelihood takes: finite numbers, numbers in [0, 1], or non-negative
        integers.
    likelihood
        Name of the likelihood, for the message.
    scale
        Value that counts as one: 255 for 8-bit images.

    Returns
    -------
    Sum over the variables of each cell in units of the scale, shape ``(n_cells,)``.

    Raises
    ------
    KeyError, TypeError
        When there is no such layer, or the values are no real numbers.
    ValueError
        When values are NaN, infinite or outside the support, or, for counts, when cells are
        empty.
    """
    where = place_of(layer)
    totals = np.zeros(adata.n_obs)
    largest = 0.0
    for start, block in row_blocks(data_matrix(adata, layer)):
        values = check_finite(block, where, adata=adata, start=start)
        if scale == 1:
            _check_support(values, where, support, likelihood)
        else:
            _check_scaled(values, where, support, likelihood, scale)
            largest = max(largest, float(values.max(initial=0)))
        totals[start : start + block.shape[0]] = np.asarray(
            block.sum(axis=1, dtype=np.float64)
        ).ravel()
    if support == "counts":
        _check_totals(totals, where, likelihood)
    if scale != 1 and 0 < largest <= 1 and values.dtype.kind == "f":
        msg = (
            f"`{where}` should reach up to {scale:g}, as the range of `adata.uns['image']` says, "
            f"found at most {largest:g}. Give the data their own range, or multiply the values."
        )
        raise ValueError(msg)
    return totals / scale


def _check_totals(totals: np.ndarray, where: str, likelihood: str) -> None:
    n_empty = int((totals == 0).sum())
    if n_empty:
        msg = (
            f"`likelihood={likelihood!r}` expects cells with at least one count, found "
            f"{counted(n_empty, 'empty cell')} in `{where}`. Remove "
            f"{'it' if n_empty == 1 else 'them'}, for example with "
            f"`adata = adata[np.asarray({where}.sum(axis=1)).ravel() > 0].copy()`."
        )
        raise ValueError(msg)


def _check_scaled(
    values: np.ndarray, where: str, support: Support, likelihood: str, scale: float
) -> None:
    if support == "counts":
        msg = (
            f"`likelihood={likelihood!r}` expects counts, found images with values from 0 to "
            f"{scale:g} in `{where}`, which count as 0 to 1. Choose `likelihood='gaussian'` or "
            "'bernoulli'."
        )
        raise ValueError(msg)
    if support == "unit" and values.size and (values.min() < 0 or values.max() > scale):
        msg = (
            f"`likelihood={likelihood!r}` expects values from 0 to {scale:g} in `{where}`, found "
            f"{float(values.min()):g} to {float(values.max()):g}. Clip the values, or choose "
            "`likelihood='gaussian'`."
        )
        raise ValueError(msg)


def _check_support(values: np.ndarray, where: str, support: Support, likelihood: str) -> None:
    if values.size == 0 or support == "real":
        return
    if support == "unit":
        low, high = float(values.min()), float(values.max())
        if low < 0 or high > 1:
            msg = (
                f"`likelihood={likelihood!r}` expects values from 0 to 1 in `{where}`, found "
                f"{low:g} to {high:g}. Rescale the values, or choose `likelihood='gaussian'`."
            )
            raise ValueError(msg)
        return
    lowest = values.min()
    if lowest < 0:
        msg = (
            f"`likelihood={likelihood!r}` expects non-negative counts in `{where}`, found "
            f"{float(lowest):g}. Pass the layer with raw counts, or choose "
            "`likelihood='gaussian'` for scaled data."
        )
        raise ValueError(msg)
    if not np.issubdtype(values.dtype, np.integer) and values.dtype != np.bool_:
        fractional = values != np.rint(values)
        if fractional.any():
            example = float(values[fractional].flat[0])
            msg = (
                f"`likelihood={likelihood!r}` expects integer counts in `{where}`, found "
                f"fractions such as {example:g}. Pass the layer with raw counts as `layer`, or "
                "choose `likelihood='gaussian'` for normalised data."
            )
            raise ValueError(msg)


def warn_if_confounded(
    adata: AnnData,
    roles: np.ndarray,
    *,
    batch_key: str | None = None,
    categorical_covariate_keys: Sequence[str] | None = None,
    continuous_covariate_keys: Sequence[str] | None = None,
    stacklevel: int = 2,
) -> None:
    """Warn about every batch or covariate that tells target from background by itself.

    What such a column adds to the data and what the condition adds cannot be told apart by any
    method: the decoder may explain the response by the column. A continuous covariate whose mean
    differs by more than a standard deviation is warned of, too.

    Parameters
    ----------
    adata
        Data with the columns.
    roles
        Codes of :class:`Role`, shape ``(n_cells,)``.
    batch_key, categorical_covariate_keys, continuous_covariate_keys
        Registered columns of ``.obs``.
    stacklevel
        As in :func:`warnings.warn`.
    """
    used = roles != Role.NEITHER
    is_target = roles[used] == Role.TARGET
    named = [("batch_key", batch_key)] if batch_key is not None else []
    named += [("categorical_covariate_keys", key) for key in categorical_covariate_keys or []]
    for argument, key in named:
        table = pd.crosstab(adata.obs[key].to_numpy()[used], is_target)
        if len(table) < 2 or (table > 0).all(axis=1).any():
            continue
        in_target = _named(table.index[table[True] > 0])
        in_background = _named(table.index[table[False] > 0])
        msg = (
            f"`{argument}` column {key!r} coincides with the condition: categories {in_target} "
            f"have only target cells, {in_background} only background cells. Its effect and the "
            "condition's cannot be told apart, and correcting for it may remove the response. "
            "Leave the column out, or add a batch that has cells of both groups."
        )
        warnings.warn(msg, UserWarning, stacklevel=stacklevel)
    for key in continuous_covariate_keys or []:
        values = adata.obs[key].to_numpy(dtype=float)[used]
        target, background = values[is_target], values[~is_target]
        if target.min() > background.max() or target.max() < background.min():
            msg = (
                f"`continuous_covariate_keys` column {key!r} coincides with the condition: "
                f"{target.min():g} to {target.max():g} in target cells, {background.min():g} to "
                f"{background.max():g} in background cells. Its effect and the condition's cannot "
                "be told apart. Leave the column out."
            )
            warnings.warn(msg, UserWarning, stacklevel=stacklevel)
            continue
        spread = np.sqrt((target.var() + background.var()) / 2)
        shift = abs(target.mean() - background.mean())
        # Of a constant both are what rounding leaves
        if np.ptp(values) > 0 and shift > _LARGE_SHIFT * spread:
            msg = (
                f"`continuous_covariate_keys` column {key!r} differs much between the groups: its "
                f"mean is {target.mean():.3g} in target cells and {background.mean():.3g} in "
                f"background cells, {shift / spread:.1f} standard deviations apart. The salient "
                "latents may show it instead of the response. Leave the column out."
            )
            warnings.warn(msg, UserWarning, stacklevel=stacklevel)


def _named(categories: pd.Index) -> list[str]:
    """Names of categories, not more than one can read."""
    names = [str(category) for category in categories]
    left_out = len(names) - _MAX_NAMED
    return names if left_out <= 0 else [*names[:_MAX_NAMED], f"... {left_out} more"]
