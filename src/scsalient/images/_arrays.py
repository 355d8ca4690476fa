"""Arrays of images to AnnData and back."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from scsalient import _keys
from scsalient._wording import own_layers
from scsalient.images._description import ImageDescription, describe, pixel_places

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

# Grey, colour, and colour with transparency
_CHANNELS = (1, 3, 4)


def to_anndata(
    images: ArrayLike,
    labels: ArrayLike | pd.DataFrame | Mapping[str, ArrayLike] | None = None,
    *,
    layers: Mapping[str, ArrayLike] | None = None,
    value_range: tuple[float, float] | None = None,
    names: Sequence[str] | None = None,
) -> AnnData:
    """Make an AnnData of images, one image a row and one pixel value a variable.

    Nothing is converted: 8-bit images stay 8-bit, and :func:`from_anndata` gives the same arrays
    back.

    Parameters
    ----------
    images
        Shape ``(n, height, width)`` or ``(n, height, width, channels)``, uint8 or float.
    labels
        One label for each image, which becomes a categorical column ``.obs["label"]`` (a pandas
        Series keeps its name); or a table, or a mapping of columns, which go into ``.obs`` under
        their names.
    layers
        Further versions of the same images by name, each of the shape of ``images``.
    value_range
        Values of black and of white. `None` for 0 to 255 where images are uint8, 0 to 1 where
        floats lie within, and the lowest and highest value otherwise. A model sees a range of 0
        to 255 as 0 to 1, and any other range as it is, so pass ``(0, 255)`` for 8-bit images
        that became floats.
    names
        Names of the images; `None` for ``image_0``, ``image_1``, and so on.

    Returns
    -------
    Shape ``(n, height * width * channels)``, a row holding its image row by row and the channels
    of a pixel side by side, with

    ``.obs``
        The labels.
    ``.var``
        ``row``, ``column`` and, for images with channels, ``channel``.
    ``.layers``
        The further versions.
    ``.uns["image"]``
        ``shape``, ``channel_order`` (``"hw"`` or ``"hwc"``) and ``value_range``.

    Raises
    ------
    TypeError
        When the values are neither uint8 nor float, or the range is not two numbers.
    ValueError
        When shapes do not fit, values are NaN or infinite, or the range does not hold them.

    Warns
    -----
    UserWarning
        When the channels seem to come before the height.

    Examples
    --------
    >>> import numpy as np
    >>> import scsalient as sal
    >>> photographs = np.zeros((2, 64, 64, 3), dtype=np.uint8)
    >>> adata = sal.images.to_anndata(photographs, ["glasses", "no glasses"])
    >>> adata.shape, adata.X.dtype
    ((2, 12288), dtype('uint8'))
    >>> np.array_equal(sal.images.from_anndata(adata), photographs)
    True
    """
    array = _checked("images", images)
    if array.ndim not in (3, 4) or 0 in array.shape:
        msg = (
            "`images` should have shape (n, height, width) or (n, height, width, channels), "
            f"found {array.shape}."
        )
        raise ValueError(msg)
    if array.ndim == 4 and array.shape[3] not in _CHANNELS and array.shape[1] in _CHANNELS:
        msg = (
            f"`images` should have shape (n, height, width, channels), found {array.shape}, which "
            "looks like (n, channels, height, width). If it is, pass "
            "`np.moveaxis(images, 1, -1)`."
        )
        warnings.warn(msg, UserWarning, stacklevel=2)
    n, shape = len(array), array.shape[1:]
    description = ImageDescription(shape, _range(array, value_range))
    if names is not None and len(names) != n:
        msg = f"`names` should have one name for each of the {n} images, found {len(names)}."
        raise ValueError(msg)
    index = [f"image_{i}" for i in range(n)] if names is None else [str(name) for name in names]
    adata = AnnData(array.reshape(n, -1).copy(), obs=_columns(labels, index), var=_pixels(shape))
    for name, values in (layers or {}).items():
        layer = _checked("layers", values)
        if layer.shape != array.shape:
            msg = (
                f"`layers` should have the shape of `images`, {array.shape}, found {layer.shape} "
                f"for {name!r}."
            )
            raise ValueError(msg)
        adata.layers[name] = layer.reshape(n, -1).copy()
    adata.uns[_keys.UNS_IMAGE] = description.to_uns()
    return adata


def from_anndata(adata: AnnData, key: str | None = None) -> np.ndarray:
    """Give the rows of an AnnData back as images.

    Parameters
    ----------
    adata
        Data with ``.uns["image"]``, as :func:`to_anndata` makes them.
    key
        Layer with the images; `None` for ``.X``.

    Returns
    -------
    Shape ``(n, height, width)`` or ``(n, height, width, channels)``, of the type of the data.

    Raises
    ------
    KeyError
        When there is no such layer.
    TypeError
        When ``adata`` is no AnnData.
    ValueError
        When the data are no images.
    """
    description = describe(adata)
    if description is None:
        msg = (
            f"`adata` should hold images, described in `adata.uns[{_keys.UNS_IMAGE!r}]`, found no "
            "such entry. Make the data with `images.to_anndata`, or copy the entry from there."
        )
        raise ValueError(msg)
    if key is not None and key not in adata.layers:
        msg = (
            f"`key` should name a layer, one of {own_layers(adata)}, or be None for `adata.X`, "
            f"found {key!r}."
        )
        raise KeyError(msg)
    values = adata.X if key is None else adata.layers[key]
    if values is None:
        msg = "`adata.X` should hold images, found no values. Pass the `key` of a layer."
        raise ValueError(msg)
    if hasattr(values, "to_memory"):
        values = values.to_memory()
    dense = values.toarray() if sparse.issparse(values) else np.array(values)
    return dense.reshape(adata.n_obs, *description.shape)


def _checked(argument: str, values: ArrayLike) -> np.ndarray:
    try:
        array = np.asarray(values)
    except ValueError as error:
        msg = (
            f"`{argument}` should be an array, found images that do not fit into one: {error} "
            "Give all of them the same shape."
        )
        raise ValueError(msg) from error
    if array.dtype != np.uint8 and array.dtype.kind != "f":
        # Zeros and ones are no 8-bit images, which would be almost black
        is_integer = array.dtype.kind in "iu" and array.size
        is_8_bit = is_integer and array.min() >= 0 and 1 < array.max() <= 255
        advised = "uint8" if is_8_bit else "float32"
        msg = (
            f"`{argument}` should hold uint8 or floating point numbers, found {array.dtype}. "
            f"Convert them first, for example with `.astype({advised!r})`."
        )
        raise TypeError(msg)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        msg = f"`{argument}` should hold finite numbers, found NaN or infinite values."
        raise ValueError(msg)
    return array


def _range(array: np.ndarray, given: tuple[float, float] | None) -> tuple[float, float]:
    low, high = float(array.min()), float(array.max())
    if given is None:
        if array.dtype == np.uint8:
            return (0.0, 255.0)
        if 0 <= low and high <= 1:
            return (0.0, 1.0)
        # Images of one value have no range of their own
        return (low, high if low < high else max(low + 1.0, float(np.nextafter(low, np.inf))))
    msg = (
        f"`value_range` should be two finite numbers that rise, such as (0, 255), found {given!r}."
    )
    try:
        ends = tuple(float(end) for end in given)
    except (TypeError, ValueError) as error:
        raise TypeError(msg) from error
    if len(ends) != 2 or not (np.isfinite(ends).all() and ends[0] < ends[1]):
        raise ValueError(msg)
    if low < ends[0] or high > ends[1]:
        msg = (
            f"`value_range` should hold all values of `images`, {low:g} to {high:g}, found "
            f"{given!r}."
        )
        raise ValueError(msg)
    return ends


def _columns(labels: Any, index: list[str]) -> pd.DataFrame:
    if labels is None:
        return pd.DataFrame(index=index)
    if isinstance(labels, pd.DataFrame) and not labels.columns.is_unique:
        repeated = sorted({str(c) for c in labels.columns[labels.columns.duplicated()]})
        msg = f"`labels` should have columns of different names, found {repeated} several times."
        raise ValueError(msg)
    if isinstance(labels, pd.DataFrame | Mapping):
        columns = {str(name): _without_index(labels[name]) for name in labels}
    else:
        name = getattr(labels, "name", None) or _keys.OBS_LABEL
        columns = {str(name): pd.Categorical(_without_index(labels))}
    for name, values in columns.items():
        if len(values) != len(index):
            msg = (
                f"`labels` should have one value for each of the {len(index)} images, found "
                f"{len(values)} in {name!r}."
            )
            raise ValueError(msg)
    return pd.DataFrame(columns, index=index)


def _without_index(values: Any) -> Any:
    """Values by position: the index of a Series says nothing about the images."""
    if isinstance(values, pd.Series):
        return values.array
    return values if isinstance(values, pd.api.extensions.ExtensionArray) else list(values)


def _pixels(shape: tuple[int, ...]) -> pd.DataFrame:
    axes = pixel_places(shape)
    names = ["pixel_" + "_".join(str(i) for i in place) for place in axes.T]
    return pd.DataFrame(dict(zip(_keys.VAR_PIXEL, axes, strict=False)), index=names)
