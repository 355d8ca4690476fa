"""What happens to a figure once it is drawn, with scanpy's habits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import scanpy as sc

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def finish(
    fig: Figure,
    axes: list[Axes],
    *,
    name: str,
    show: bool | None,
    save: bool | str | None,
    return_fig: bool,
) -> Figure | Axes | list[Axes] | None:
    """Save, show or hand over a figure.

    Parameters
    ----------
    fig, axes
        The figure and its panels, in order.
    name
        Start of the file name.
    show
        Whether to show the figure; `None` for ``scanpy.settings.autoshow``.
    save
        Whether to save the figure as ``name`` in ``scanpy.settings.figdir``; a text is appended
        to the name, and its ending, if it has one, chooses the format.
    return_fig
        Whether to return the figure rather than showing it.

    Returns
    -------
    The figure with ``return_fig``, nothing when it was shown, otherwise its panel or the list of
    its panels.
    """
    if save:
        addition = save if isinstance(save, str) else ""
        if not Path(f"{name}{addition}").suffix:
            addition += f".{sc.settings.file_format_figs}"
        folder = Path(sc.settings.figdir)
        folder.mkdir(parents=True, exist_ok=True)
        fig.savefig(folder / f"{name}{addition}", bbox_inches="tight")
    if return_fig:
        return fig
    if sc.settings.autoshow if show is None else show:
        plt.show()
        return None
    return axes[0] if len(axes) == 1 else axes
