"""Room between panels for the legends beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

# Of the width of a figure, the least that scanpy gives a panel
_PANEL_SHARE = 0.79


def legend_room(columns: Iterable[pd.Series], fontsize: Any = None) -> float:
    """Space between two panels that holds the widest legend and the label of the next panel.

    Parameters
    ----------
    columns
        Categories with a legend on the right margin.
    fontsize
        Size of the letters, as matplotlib takes it; `None` for that of its settings.

    Returns
    -------
    The space in widths of a panel, as the ``wspace`` of scanpy; 0 without a legend.
    """
    widths = [_legend_inches(column, fontsize) for column in columns]
    if not widths:
        return 0.0
    label = FontProperties(size=plt.rcParams["axes.labelsize"]).get_size_in_points() / 72
    return (max(widths) + 2 * label) / (_PANEL_SHARE * plt.rcParams["figure.figsize"][0])


def _legend_inches(column: pd.Series, fontsize: Any) -> float:
    font = FontProperties(size=plt.rcParams["legend.fontsize"] if fontsize is None else fontsize)
    names = [*map(str, column.cat.categories), "NA"]
    letters = [text_to_path.get_text_width_height_descent(n, font, ismath=False)[0] for n in names]
    # As scanpy breaks legends into columns
    n_columns = 1 if len(names) <= 14 else 2 if len(names) <= 30 else 3
    parts = ("handlelength", "handletextpad", "columnspacing", "borderpad", "borderaxespad")
    handle, pad, spacing, border, outside = (plt.rcParams[f"legend.{part}"] for part in parts)
    # Lengths of parts are in sizes of a letter
    rest = n_columns * (handle + pad + spacing) + 2 * border + outside
    return (n_columns * max(letters) + rest * font.get_size_in_points()) / 72
