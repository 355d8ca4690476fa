"""What the rows of an AnnData are as images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scsalient import _keys
from scsalient._arguments import check_anndata

if TYPE_CHECKING:
    from anndata import AnnData

_ORDERS = {2: "hw", 3: "hwc"}
_EIGHT_BIT = (0.0, 255.0)


@dataclass(frozen=True)
class ImageDescription:
    """Shape and value range of images whose pixels are the variables of an AnnData.

    Parameters
    ----------
    shape
        ``(height, width)``, or ``(height, width, channels)`` with the channel running fastest.
    value_range
        Values of black and of white.
    """

    shape: tuple[int, ...]
    value_range: tuple[float, float]

    @property
    def n_values(self) -> int:
        """Values of one image."""
        return int(np.prod(self.shape))

    @property
    def scale(self) -> float:
        """Largest value that counts as one in a model: 255 for a range of 0 to 255, else 1."""
        return _EIGHT_BIT[1] if self.value_range == _EIGHT_BIT else 1.0

    def to_uns(self) -> dict[str, Any]:
        """Entry of ``.uns["image"]``, which any file format can hold."""
        return {
            "shape": np.asarray(self.shape, dtype=np.int64),
            "channel_order": _ORDERS[len(self.shape)],
            "value_range": np.asarray(self.value_range, dtype=np.float64),
        }


def describe(adata: AnnData) -> ImageDescription | None:
    """Read what the rows of an AnnData are as images.

    Parameters
    ----------
    adata
        Data, with or without ``.uns["image"]``.

    Returns
    -------
    The description, `None` where there is none.

    Raises
    ------
    TypeError
        When ``adata`` is no AnnData.
    ValueError
        When the entry is incomplete, or describes images of another size or order of the pixels
        than the data have.

    Examples
    --------
    >>> import numpy as np
    >>> import scsalient as sal
    >>> adata = sal.images.to_anndata(np.zeros((3, 28, 28), dtype=np.uint8))
    >>> sal.images.describe(adata)
    ImageDescription(shape=(28, 28), value_range=(0.0, 255.0))
    """
    check_anndata("adata", adata, advice="Make one with `images.to_anndata`.")
    entry = adata.uns.get(_keys.UNS_IMAGE)
    if entry is None:
        return None
    where = f"`adata.uns[{_keys.UNS_IMAGE!r}]`"
    remedy = "Make the data with `images.to_anndata`, or remove the entry."
    try:
        shape = tuple(int(size) for size in entry["shape"])
        low, high = (float(end) for end in entry["value_range"])
        order = str(entry["channel_order"]) if isinstance(entry, Mapping) else ""
    except (KeyError, TypeError, ValueError, IndexError) as error:
        msg = (
            f"{where} should have a `shape`, a `channel_order` and a `value_range`, found "
            f"{entry!r}. {remedy}"
        )
        raise ValueError(msg) from error
    if _ORDERS.get(len(shape)) != order or min(shape) < 1 or not low < high:
        msg = (
            f"{where} should have a positive shape in the order 'hw' or 'hwc' and a range that "
            f"rises, found shape {shape}, order {order!r} and range {low:g} to {high:g}. {remedy}"
        )
        raise ValueError(msg)
    description = ImageDescription(shape, (low, high))
    if description.n_values != adata.n_vars:
        msg = (
            f"{where} describes images of shape {shape}, which have {description.n_values} "
            f"values, found {adata.n_vars} variables. Keep all pixels, or remove the entry."
        )
        raise ValueError(msg)
    axes = list(_keys.VAR_PIXEL[: len(shape)])
    has_places = set(axes) <= set(adata.var)
    if has_places and not np.array_equal(adata.var[axes].to_numpy().T, pixel_places(shape)):
        msg = (
            f"{where} describes images pixel after pixel, found the variables in another order. "
            f"Run `adata = adata[:, adata.var.sort_values({axes}).index].copy()`."
        )
        raise ValueError(msg)
    return description


def pixel_places(shape: tuple[int, ...]) -> np.ndarray:
    """Row, column and channel of each variable, shape ``(len(shape), n_vars)``."""
    return np.indices(shape).reshape(len(shape), -1)
