"""Loss terms over epochs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import MaxNLocator

from scsalient._arguments import check_integer
from scsalient.pl._finish import finished

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

# Title of each panel, and the terms in it, which have one unit
_PANELS = {
    "negative ELBO (nats per cell)": {"elbo": "negative ELBO"},
    "reconstruction (nats per cell)": {
        "reconstruction_target": "target cells",
        "reconstruction_background": "background cells",
        "reconstruction_loss": "all cells",
    },
    "KL from the prior (nats per cell)": {
        "kl_salient": "s, target cells",
        "kl_background": "z, all cells",
        "kl_local": "both",
    },
    "total correlation (nats)": {
        "total_correlation": "estimate",
        "discriminator_loss": "discriminator (log 2: blind)",
    },
    "MMD of z between groups": {"mmd": "MMD"},
    "squared norm of s, background cells": {"background_salient": "squared norm"},
    "surprise of s, transplanted cells": {"transplant": "nats"},
}
_LABELS = {term: label for terms in _PANELS.values() for term, label in terms.items()}
# Sums of other terms, drawn by default only where those were not logged
_SUMS = {"reconstruction_loss": "reconstruction_target", "kl_local": "kl_background"}
_MODES = {"train": "-", "validation": "--"}
_BELOW: dict[str, Any] = {
    "loc": "upper center",
    "bbox_to_anchor": (0.5, 0),
    "ncols": 2,
    # From the axis to below its label, in sizes of a letter
    "borderaxespad": 4.2,
    "handlelength": 1.8,
    "columnspacing": 1.2,
}


def training(
    model: Any,
    *,
    terms: Sequence[str | Sequence[str]] | None = None,
    skip_epochs: int = 0,
    ncols: int = 3,
    ax: Axes | None = None,
    show: bool | None = None,
    save: bool | str | None = None,
    return_fig: bool | None = None,
) -> Any:
    """Terms of the objective over the epochs, those of one unit in one panel.

    Training is drawn with full lines, validation with dashed ones; where one epoch is left, with
    full and hollow circles.

    Parameters
    ----------
    model
        Trained model, or its ``history``.
    terms
        Terms to draw, one panel each, for instance ``["elbo", "mmd"]``; a list within the list is
        one panel, as in ``[["kl_salient", "kl_background"]]``. `None` for all that were logged.
    skip_epochs
        Epochs to leave out at the start, where the terms fall so far that the rest looks flat.
    ncols
        Panels in a row.
    ax
        Axes to draw on, for one panel.
    show, save, return_fig
        As in :func:`scanpy.pl.embedding`.

    Returns
    -------
    The figure with ``return_fig=True``; else, unless it is shown, the axes, or a list of them.

    Raises
    ------
    ValueError
        When there is no history, a term is not in it, or no epoch is left.
    """
    history = model if isinstance(model, dict) else getattr(model, "history", None)
    if not history:
        remedy = "Run `model.train()` first."
        if getattr(model, "is_trained", False):
            remedy = "Its `logger=` has the terms: train a new model without, or look there."
        msg = f"`model` should be trained, found no history. {remedy}"
        raise ValueError(msg)
    panels = _panels(history, terms)
    n_epochs = 1 + max(
        int(history[name].index.max())
        for panel in panels.values()
        for name in _logged_names(history, panel)
    )
    if not 0 <= skip_epochs < n_epochs:
        msg = (
            f"`skip_epochs` should be from 0 to {n_epochs - 1}, one less than the number of "
            f"epochs, found {skip_epochs}."
        )
        raise ValueError(msg)
    check_integer("ncols", ncols, low=1)
    if ax is not None and len(panels) > 1:
        msg = f"`ax` takes one panel, found {len(panels)}. Pass `terms` of one panel, or no `ax`."
        raise ValueError(msg)

    if ax is not None:
        figure, axes = ax.figure, [ax]
    else:
        ncols = min(ncols, len(panels))
        nrows = -(-len(panels) // ncols)
        figure, grid = plt.subplots(
            nrows, ncols, figsize=(4.2 * ncols, 3.1 * nrows), squeeze=False, layout="constrained"
        )
        axes = list(grid.flat)
        for empty in axes[len(panels) :]:
            empty.remove()
        axes = axes[: len(panels)]
    for axis, (title, panel) in zip(axes, panels.items(), strict=True):
        _draw(axis, history, panel, skip_epochs=skip_epochs)
        axis.set_title(title, fontsize=10)
        # Below a panel no curve can be, but below given axes there may be no room
        axis.legend(frameon=False, fontsize=8, **(_BELOW if ax is None else {}))
    return finished(figure, axes, name="training", show=show, save=save, return_fig=return_fig)


def _panels(history: Any, terms: Sequence[str | Sequence[str]] | None) -> dict[str, list[str]]:
    """Terms of each panel, by its title."""
    logged = [term for term in _LABELS if _logged_names(history, [term])]
    if terms is None:
        kept = [t for t in logged if not (t in _SUMS and _SUMS[t] in logged)]
        found = {title: [t for t in some if t in kept] for title, some in _PANELS.items()}
        return {title: panel for title, panel in found.items() if panel}
    terms = [terms] if isinstance(terms, str) else terms
    chosen = [[panel] if isinstance(panel, str) else list(panel) for panel in terms]
    unknown = [term for panel in chosen for term in panel if term not in logged]
    if unknown or not all(chosen) or not chosen:
        msg = f"`terms` should be among {logged}, found {unknown or list(terms)}."
        raise ValueError(msg)
    return {_title(panel): panel for panel in chosen}


def _title(panel: list[str]) -> str:
    (title, known), *others = [
        (title, known) for title, known in _PANELS.items() if set(panel) & set(known)
    ]
    if others:
        return ", ".join(panel)
    return f"{title}: {known[panel[0]]}" if len(panel) == 1 and len(known) > 1 else title


def _logged_names(history: Any, panel: Sequence[str]) -> list[str]:
    names = [f"{term}_{mode}" for term in panel for mode in _MODES]
    return [name for name in names if name in history and len(history[name])]


def _draw(axis: Axes, history: Any, panel: list[str], *, skip_epochs: int) -> None:
    for i, term in enumerate(panel):
        for mode, style in _MODES.items():
            values = history.get(f"{term}_{mode}")
            if values is None or not len(values):
                continue
            epochs = np.asarray(values.index, dtype=float)
            kept = epochs >= skip_epochs
            words = [_LABELS[term]] if len(panel) > 1 else []
            words += ["training" if mode == "train" else mode]
            axis.plot(
                epochs[kept],
                values.to_numpy(dtype=float).ravel()[kept],
                color=f"C{i}",
                linestyle=style,
                # A line through one epoch would be invisible
                marker="o" if kept.sum() == 1 else None,
                fillstyle="full" if mode == "train" else "none",
                linewidth=1.3,
                label=", ".join(words),
            )
    axis.set_xlabel("epoch")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.spines[["top", "right"]].set_visible(False)
