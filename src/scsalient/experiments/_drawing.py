"""What the pictures of several experiments share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from scsalient.images import to_anndata

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from anndata import AnnData
    from matplotlib.axes import Axes

_DPI = 110


def new_figure(width: float, height: float) -> Figure:
    """Figure that no window and no global list holds on to."""
    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, and its folder if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Tight, for labels may reach beyond the figure
    figure.savefig(path, dpi=_DPI, format="png", bbox_inches="tight")


def as_sweep(
    values: np.ndarray,
    kind: str,
    *,
    limits: tuple[float, float],
    n_steps: int,
    shape: tuple[int, ...] = (28, 28),
) -> AnnData:
    """What ``sweep`` of a model returned, from the values that a trial kept.

    Parameters
    ----------
    values
        Shape ``(n_steps ** 2, n_pixels)``.
    kind
        Latent that was swept.
    limits, n_steps
        Arguments of the sweep.
    shape
        Shape of an image.
    """
    swept = to_anndata(values.reshape(len(values), *shape))
    steps = np.linspace(*limits, n_steps)
    swept.obs[f"{kind}_0"] = np.repeat(steps, n_steps)
    swept.obs[f"{kind}_1"] = np.tile(steps, n_steps)
    return swept


def scatter_labels(
    ax: Axes, latent: np.ndarray, labels: Sequence[str] | np.ndarray, *, legend: str | None = None
) -> None:
    """Scatter of two latents, coloured by label, the labels drawn in random order."""
    codes, names = pd.factorize(np.asarray(labels), sort=True)
    order = np.random.default_rng(0).permutation(len(codes))
    size = float(np.clip(6000 / max(len(codes), 1), 3, 14))
    colours = np.array([f"C{code % 10}" for code in codes])
    x, y = latent[order].T
    ax.scatter(x, y, s=size, c=colours[order], alpha=0.7, linewidths=0)
    ax.set(xticks=[], yticks=[])
    if legend is not None:
        for code, name in enumerate(names):
            ax.scatter([], [], s=24, c=f"C{code % 10}", label=str(name))
        ax.legend(
            title=legend, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8
        )


def scatter_grid(
    latents: Mapping[str, np.ndarray],
    labels: Mapping[str, Sequence[str] | np.ndarray],
    *,
    notes: Mapping[str, str],
) -> Figure:
    """One column for each method, one row for each label.

    Parameters
    ----------
    latents
        Two latents of the same samples, shape ``(n, 2)``, by method.
    labels
        Labels of the samples, length ``n``, by the title of their legend.
    notes
        Text below the top panel of a method.
    """
    figure = new_figure(2.5 * len(latents) + 1.8, 2.6 * len(labels) + 0.3)
    axes = figure.subplots(len(labels), len(latents), squeeze=False)
    last = len(latents) - 1
    for column, (method, latent) in enumerate(latents.items()):
        for row, (title, values) in enumerate(labels.items()):
            ax = axes[row, column]
            scatter_labels(ax, latent, values, legend=title if column == last else None)
        axes[0, column].set_title(method, fontsize=10)
        axes[0, column].set_xlabel(notes[method], fontsize=9)
    return figure
