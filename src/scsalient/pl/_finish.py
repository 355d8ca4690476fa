"""How a figure is handed over: scanpy's rules for ``show``, ``save`` and ``return_fig``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import scanpy as sc

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

_FORMATS = (".png", ".pdf", ".svg")


def finished(
    figure: Figure | SubFigure,
    axes: list[Axes],
    *,
    name: str,
    show: bool | None,
    save: bool | str | None,
    return_fig: bool | None,
) -> Any:
    """Save, show or return a figure as scanpy does.

    Parameters
    ----------
    figure, axes
        What was drawn.
    name
        First part of the name of the file.
    show
        `None` for ``scanpy.settings.autoshow``.
    save
        Whether to save in ``scanpy.settings.figdir``; a text is added to the name, and its
        ending sets the format. `None` for ``scanpy.settings.autosave``.
    return_fig
        Whether to return the figure, neither shown nor saved.

    Returns
    -------
    The figure with ``return_fig=True``; else, unless it is shown, the axes, or the only one.
    """
    if return_fig:
        return figure
    settings = sc.settings
    if settings.autosave if save is None else save:
        folder = Path(settings.figdir)
        folder.mkdir(parents=True, exist_ok=True)
        ending = f"{settings.plot_suffix}{save if isinstance(save, str) else ''}"
        if not ending.endswith(_FORMATS):
            ending += f".{settings.file_format_figs}"
        figure.figure.savefig(folder / f"{name}{ending}", bbox_inches="tight")
    if settings.autoshow if show is None else show:
        plt.show()
        return None
    return axes[0] if len(axes) == 1 else axes
