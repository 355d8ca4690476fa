"""Loss terms over epochs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

_LABELS = {
    "elbo": "negative ELBO (nats per cell)",
    "reconstruction_target": "reconstruction, target cells",
    "reconstruction_background": "reconstruction, background cells",
    "reconstruction_loss": "reconstruction",
    "kl_local": "KL, both latents",
    "kl_salient": "KL of s, target cells",
    "kl_background": "KL of z",
    "total_correlation": "total correlation (nats)",
    "mmd": "MMD of z between groups",
    "background_salient": "squared norm of s, background cells",
    "discriminator_loss": "discriminator (log 2 = blind)",
}
_MODES = {"train": "training", "validation": "validation"}


def training(
    model: Any, *, terms: Sequence[str] | None = None, ncols: int = 3, show: bool = False
) -> Figure:
    """Every term of the objective over the epochs, one panel a term.

    Parameters
    ----------
    model
        Trained model, or its ``history``.
    terms
        Terms to draw, for instance ``["elbo", "mmd"]``; `None` for all that were logged.
    ncols
        Panels in a row.
    show
        Whether to show the figure at once.

    Returns
    -------
    The figure.

    Raises
    ------
    ValueError
        When there is no history, or a term is not in it.
    """
    history = model if isinstance(model, dict) else getattr(model, "history", None)
    if not history:
        msg = "`model` should be trained, found no history. Run `model.train()` first."
        raise ValueError(msg)
    logged = [t for t in _LABELS if any(f"{t}_{mode}" in history for mode in _MODES)]
    chosen = logged if terms is None else list(terms)
    unknown = [term for term in chosen if term not in logged]
    if unknown or not chosen:
        msg = f"`terms` should be among {logged}, found {unknown or chosen}."
        raise ValueError(msg)
    nrows = -(-len(chosen) // ncols)
    ncols = min(ncols, len(chosen))
    figure, axes = plt.subplots(
        nrows, ncols, figsize=(3.6 * ncols, 2.6 * nrows), squeeze=False, layout="constrained"
    )
    for axis, term in zip(axes.flat, chosen, strict=False):
        for mode, label in _MODES.items():
            values = history.get(f"{term}_{mode}")
            if values is not None:
                marker = "o" if len(values) == 1 else None
                y = values.to_numpy(dtype=float).ravel()
                axis.plot(np.asarray(values.index), y, label=label, marker=marker, lw=1.2)
        axis.set_title(_LABELS[term], fontsize=9)
        axis.set_xlabel("epoch")
    for axis in list(axes.flat)[len(chosen) :]:
        axis.remove()
    axes.flat[0].legend(frameon=False, fontsize=8)
    if show:
        plt.show()
    return figure
