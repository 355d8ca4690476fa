"""Images in rows and columns."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from anndata import AnnData

from scsalient._arguments import check_integer
from scsalient._wording import own_columns
from scsalient.pl._finish import finished
from scsalient.pl._mosaic import as_images, draw_mosaic, label_tiles, shown_limits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

_INCHES = 0.75
# Of the height of an image, and at the least in inches, for a line of text
_LABEL_GAP, _LABEL_INCHES = 0.32, 0.16


def image_grid(
    images: np.ndarray | AnnData,
    labels: str | Sequence[Any] | np.ndarray | None = None,
    *,
    n_images: int = 40,
    ncols: int | None = None,
    key: str | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    save: bool | str | None = None,
    return_fig: bool | None = None,
    **kwargs: Any,
) -> Any:
    """Images in rows and columns, with a label above each.

    Parameters
    ----------
    images
        Shape ``(n, height, width)``, or with 1, 3 or 4 channels as the last axis; or data of
        :func:`scsalient.images.to_anndata`, one image a row.
    labels
        A label for each image, or, for AnnData, a column of ``.obs``; `None` for none.
        Of floats three digits are written.
    n_images
        Images to draw at most, the first ones.
    ncols
        Images in a row; `None` for about as many as there are rows.
    key
        Layer of the images, for AnnData; `None` for ``.X``.
    vmin, vmax
        Values that are drawn black and white; `None` for 0 and 255 for bytes, 0 and 1 where all
        values lie between, and else the smallest and the largest value.
    ax
        Axes to draw on; `None` for new ones.
    show, save, return_fig
        As in :func:`scanpy.pl.embedding`.
    **kwargs
        Further arguments of :meth:`matplotlib.axes.Axes.imshow`, for instance ``cmap``.

    Returns
    -------
    The axes, unless the figure is shown; the figure with ``return_fig=True``.

    Raises
    ------
    KeyError
        When the column or the layer is missing.
    TypeError
        When there is neither an array nor an AnnData.
    ValueError
        When the images have another shape, or the labels are not one for each.

    Examples
    --------
    >>> import numpy as np
    >>> import scsalient as sal
    >>> stripes = np.indices((3, 8, 8))[2] % 2
    >>> ax = sal.pl.image_grid(stripes, ["a", "b", "c"], show=False)
    >>> [text.get_text() for text in ax.texts]
    ['a', 'b', 'c']
    """
    check_integer("n_images", n_images, low=1)
    if ncols is not None:
        check_integer("ncols", ncols, low=1)
    first = images[:n_images] if isinstance(images, AnnData) else images
    drawn = as_images("images", first, key=key)[:n_images]
    texts = _label_texts(images, labels)
    ncols = min(ncols or math.ceil(math.sqrt(len(drawn))), len(drawn))
    height = _INCHES * drawn.shape[1] / drawn.shape[2]
    label_gap = max(_LABEL_GAP, _LABEL_INCHES / height)
    if ax is None:
        row = height * (1 if texts is None else 1 + label_gap)
        nrows = -(-len(drawn) // ncols)
        _, ax = plt.subplots(figsize=(_INCHES * ncols, row * nrows + 0.1), layout="constrained")
    gap = {} if texts is None else {"row_gap": label_gap}
    tiles = draw_mosaic(
        ax, drawn, ncols=ncols, limits=shown_limits(drawn, vmin, vmax), **gap, **kwargs
    )
    if texts is not None:
        label_tiles(ax, tiles, texts[: len(drawn)])
    return finished(ax.figure, [ax], name="image_grid", show=show, save=save, return_fig=return_fig)


def _label_texts(images: Any, labels: Any) -> list[str] | None:
    if labels is None:
        return None
    if isinstance(labels, str):
        if not isinstance(images, AnnData) or labels not in images.obs:
            columns = own_columns(images.obs) if isinstance(images, AnnData) else "no AnnData"
            msg = (
                f"`labels` should be a label for each image or a column of `.obs`, found "
                f"{labels!r}. The columns: {columns}."
            )
            raise KeyError(msg)
        labels = images.obs[labels]
    # Of floats no more digits than there is room for
    is_float = [isinstance(label, float | np.floating) for label in labels]
    texts = [f"{x:.3g}" if short else str(x) for x, short in zip(labels, is_float, strict=True)]
    if len(texts) != len(images):
        msg = f"`labels` should have one label per image, found {len(texts)} for {len(images)}."
        raise ValueError(msg)
    return texts
