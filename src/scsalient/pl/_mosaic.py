"""Images side by side as one picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from anndata import AnnData

from scsalient.images import from_anndata
from scsalient.pl._shortened import shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

_GAP = 0.08
# Of labels, in points; a letter is about so much of the size wide
_FONTSIZE, _MIN_FONTSIZE, _LETTER = 8.0, 5.0, 0.5


@dataclass(frozen=True)
class Mosaic:
    """Images in rows, as one picture.

    Attributes
    ----------
    picture
        Shape ``(height, width)`` or ``(height, width, channels)``, missing between the images.
    x, y
        Centre of each column from left to right, and of each row from top to bottom, in pixels.
    height
        Pixels of one image from top to bottom.
    """

    picture: np.ndarray
    x: np.ndarray
    y: np.ndarray
    height: int


def mosaic(images: np.ndarray, *, ncols: int, row_gap: float = _GAP) -> Mosaic:
    """Put images into rows of ``ncols``, the last row as far as they go.

    Parameters
    ----------
    images
        Shape ``(n, height, width)`` or with 3 or 4 channels as the last axis, float.
    ncols
        Images in a row.
    row_gap
        Room between two rows, in heights of an image.
    """
    n, height, width, *channels = images.shape
    nrows = -(-n // ncols)
    side, above = (max(1, round(gap * size)) for gap, size in ((_GAP, width), (row_gap, height)))
    shape = nrows * (height + above) - above, ncols * (width + side) - side
    # Transparent between the images, whatever the colour of the axes
    picture = np.zeros((*shape, 4)) if channels else np.full(shape, np.nan)
    for i, image in enumerate(images):
        top, left = (i // ncols) * (height + above), (i % ncols) * (width + side)
        tile = picture[top : top + height, left : left + width]
        if channels:
            tile[..., : image.shape[-1]] = image
            if image.shape[-1] == 3:
                tile[..., 3] = 1
        else:
            tile[:] = image
    return Mosaic(
        picture,
        x=np.arange(ncols) * (width + side) + (width - 1) / 2,
        y=np.arange(nrows) * (height + above) + (height - 1) / 2,
        height=height,
    )


def draw_mosaic(
    ax: Axes,
    images: np.ndarray,
    *,
    ncols: int,
    limits: tuple[float, float],
    row_gap: float = _GAP,
    **kwargs: Any,
) -> Mosaic:
    """Draw images on axes without ticks.

    Parameters
    ----------
    ax
        Axes to draw on.
    images
        Shape ``(n, height, width)``, or with 1, 3 or 4 channels as the last axis.
    ncols
        Images in a row.
    limits
        Values that are drawn black and white.
    row_gap
        Room between two rows, in heights of an image.
    **kwargs
        Further arguments of :meth:`matplotlib.axes.Axes.imshow`.
    """
    alpha = opacity(images[..., 3]) if images.shape[3:] == (4,) else None
    images = np.asarray(images, dtype=float)
    if images.ndim == 4 and images.shape[-1] == 1:
        images = images[..., 0]
    low, high = limits
    scaled = np.clip((images - low) / (high - low if high > low else 1.0), 0, 1)
    if alpha is not None:
        # Opacity has a range of its own, whatever the limits of the colours
        scaled[..., 3] = alpha
    drawn = mosaic(scaled, ncols=ncols, row_gap=row_gap)
    style: dict[str, Any] = {"cmap": "gray", "vmin": 0, "vmax": 1} | kwargs
    ax.imshow(drawn.picture, **style)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return drawn


def shown_limits(images: np.ndarray, vmin: float | None, vmax: float | None) -> tuple[float, float]:
    """Values that are drawn black and white.

    Parameters
    ----------
    images
        What is drawn.
    vmin, vmax
        Values that were asked for; `None` for 0 to 255 for bytes, 0 to 1 where all values lie
        between, and else the smallest and the largest value.
    """
    if images.shape[3:] == (4,):
        images = images[..., :3]
    if images.dtype == np.uint8:
        low, high = 0.0, 255.0
    else:
        low, high = float(np.nanmin(images)), float(np.nanmax(images))
        if low >= 0 and high <= 1:
            low, high = 0.0, 1.0
    limits = (low if vmin is None else vmin), (high if vmax is None else vmax)
    if limits[0] > limits[1]:
        msg = f"`vmin` should not be above `vmax`, found {limits[0]:g} and {limits[1]:g}."
        raise ValueError(msg)
    return limits


def opacity(alpha: np.ndarray) -> np.ndarray:
    """Fourth channel of images, from 0 to 1.

    Parameters
    ----------
    alpha
        Values from 0 to 255 where they are bytes or above 1, else from 0 to 1.
    """
    high = 255.0 if alpha.dtype == np.uint8 or np.nanmax(alpha) > 1 else 1.0
    return np.clip(alpha / high, 0, 1)


def as_images(argument: str, images: Any, *, key: str | None = None) -> np.ndarray:
    """Images as an array that can be drawn.

    Parameters
    ----------
    argument
        Name of the argument, for the error.
    images
        Array, or data of :func:`scsalient.images.to_anndata`.
    key
        Layer of the data; `None` for ``.X``.

    Raises
    ------
    KeyError
        When there is no such layer.
    TypeError
        When there is neither an array nor an AnnData.
    ValueError
        When it is not a stack of grey or colour images.
    """
    is_data = isinstance(images, AnnData)
    if not is_data and not np.ndim(images):
        msg = (
            f"`{argument}` should be an array of images or an AnnData, found "
            f"{type(images).__name__}."
        )
        raise TypeError(msg)
    if key is not None and not is_data:
        msg = f"`{argument}` should be an AnnData where a layer is named, {key!r}, found an array."
        raise KeyError(msg)
    array = from_anndata(images, key) if is_data else np.asarray(images)
    is_stack = array.ndim == 3 or (array.ndim == 4 and array.shape[-1] in (1, 3, 4))
    if not is_stack or not array.size:
        msg = (
            f"`{argument}` should be images of shape (n, height, width), or with 1, 3 or 4 "
            f"channels as the last axis, found shape {array.shape}."
        )
        raise ValueError(msg)
    return array


def label_tiles(ax: Axes, drawn: Mosaic, labels: Sequence[str]) -> None:
    """Write a label above each image, smaller and in the end cut short where it is long."""
    ncols = len(drawn.x)
    room = ax.get_window_extent().width * 72 / ax.figure.dpi / ncols
    longest = max(map(len, labels), default=1)
    fontsize = min(_FONTSIZE, max(_MIN_FONTSIZE, room / (_LETTER * max(1, longest))))
    n_letters = max(2, int(room / (_LETTER * fontsize)))
    for i, label in enumerate(labels):
        ax.annotate(
            shortened(label, n_letters),
            (drawn.x[i % ncols], drawn.y[i // ncols] - drawn.height / 2),
            xytext=(0, 1),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=fontsize,
            parse_math=False,
        )
