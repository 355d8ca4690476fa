"""Images, what a model made of them, and the truth, one below the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from anndata import AnnData

from scsalient._arguments import check_integer
from scsalient._wording import own_layers
from scsalient.pl._finish import finished
from scsalient.pl._mosaic import as_images, draw_mosaic, opacity, shown_limits

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INCHES = 0.75


def denoised(
    images: np.ndarray | AnnData,
    denoised: np.ndarray | Mapping[str, np.ndarray],
    truth: np.ndarray | str | None = None,
    *,
    n_images: int = 10,
    key: str | None = None,
    stretch: bool = False,
    ax: Axes | None = None,
    show: bool | None = None,
    save: bool | str | None = None,
    return_fig: bool | None = None,
    **kwargs: Any,
) -> Any:
    """Images in the top row, what was made of them below, and the truth at the bottom.

    Parameters
    ----------
    images
        Shape ``(n, height, width)``, or with 1, 3 or 4 channels as the last axis; or data of
        :func:`scsalient.images.to_anndata`, one image a row.
    denoised
        What :meth:`scsalient.ContrastiveVAE.denoise` returned for them, shape ``(n, n_vars)``
        or that of the images; or several such arrays, by the name of their row.
    truth
        The same images without the background, in the same shapes, or their layer in the data;
        `None` where there is none.
    n_images
        Images to draw at most, the first ones.
    key
        Layer of the images, for AnnData; `None` for ``.X``.
    stretch
        Whether to draw the smallest value of each image black and the largest white. Otherwise
        all images of a row have the same scale: 0 to 1 where all values lie between, and else
        from the smallest to the largest.
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
        When a layer is missing.
    TypeError
        When something is neither an array nor, for ``images``, an AnnData.
    ValueError
        When the images have another shape, or are not as many in each row.
    """
    check_integer("n_images", n_images, low=1)
    inputs = as_images("images", images, key=key)
    rows = {"input": inputs}
    taken = {"input", "truth"} & set(denoised if isinstance(denoised, Mapping) else ())
    if taken:
        msg = f"`denoised` should have names for rows other than {sorted(taken)}, which are there."
        raise ValueError(msg)
    made = denoised if isinstance(denoised, Mapping) else {"denoised": denoised}
    for name, values in made.items():
        rows[name] = _like(f"denoised[{name!r}]" if len(made) > 1 else "denoised", values, inputs)
    if isinstance(truth, str):
        if isinstance(images, AnnData) and truth not in images.layers:
            msg = f"`truth` should be one of the layers {own_layers(images)}, found {truth!r}."
            raise KeyError(msg)
        rows["truth"] = as_images("truth", images, key=truth)
    elif truth is not None:
        rows["truth"] = _like("truth", truth, inputs)
    n = min(n_images, len(inputs))
    tiles = np.concatenate([_scaled(row[:n], stretch=stretch) for row in rows.values()])
    if ax is None:
        width = _INCHES * n
        height = _INCHES * len(rows) * inputs.shape[1] / inputs.shape[2]
        _, ax = plt.subplots(figsize=(width + 1.1, height + 0.1), layout="constrained")
    drawn = draw_mosaic(ax, tiles, ncols=n, limits=(0, 1), **kwargs)
    ax.set_yticks(drawn.y, list(rows))
    ax.tick_params(axis="y", length=0)
    return finished(ax.figure, [ax], name="denoised", show=show, save=save, return_fig=return_fig)


def _like(argument: str, values: Any, inputs: np.ndarray) -> np.ndarray:
    array = np.asarray(values)
    if not array.ndim:
        msg = f"`{argument}` should be an array of images, found {type(values).__name__}."
        raise TypeError(msg)
    if array.shape not in (inputs.shape, (len(inputs), inputs[0].size)):
        msg = (
            f"`{argument}` should have the shape of the images, {inputs.shape}, or "
            f"{(len(inputs), inputs[0].size)}, found {array.shape}."
        )
        raise ValueError(msg)
    return array.reshape(inputs.shape)


def _scaled(images: np.ndarray, *, stretch: bool) -> np.ndarray:
    """Images of a row from 0 to 1, whatever their own range."""
    if images.shape[3:] == (4,):
        colors, alpha = _scaled(images[..., :3], stretch=stretch), opacity(images[..., 3:])
        return np.concatenate([colors, alpha], axis=-1)
    groups = list(images) if stretch else [images]
    scaled = []
    for group in groups:
        low, high = shown_limits(group, None, None)
        if stretch:
            low, high = float(group.min()), float(group.max())
        scaled.append((group - low) / (high - low if high > low else 1.0))
    return np.stack(scaled) if stretch else scaled[0]
