"""How the result depends on the data and the sizes of the latents (paper fig. 7, app. G)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from scsalient import _keys, metrics
from scsalient.experiments._drawing import new_figure, save_figure
from scsalient.experiments._fitting import forget, n_epochs
from scsalient.experiments._grass import (
    NO_DIGIT,
    check_grassy_folder,
    fit_grassy,
    fit_grassy_standard,
    grassy_data,
    grassy_settings,
    is_target,
)
from scsalient.experiments._presets import DEFAULT, PAPER
from scsalient.experiments._trials import COLUMN_SEED, check_start, run_trials, trial_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from matplotlib.axes import Axes

_NAME = "sensitivity"
_DIMENSIONS = "dimensions"
_SIZES = range(1, 7)
_LEVELS = tuple(i / 4 for i in range(9))
_SHARES = (0.0, 0.1, 0.25, 0.5, 0.75)
# There are about 130 trainings a trial: shorter ones than for digits on grass alone
_EPOCHS = 40
_QUICK: Final[dict[str, Any]] = {"n_target": 300, "n_background": 600, "max_epochs": 8}
_QUICK_SIZES = (1, 3, 6)


@dataclass(frozen=True)
class _Curve:
    """One argument of the data set, varied.

    Attributes
    ----------
    argument
        Its name.
    values
        Its values; the first and the last in a quick run.
    label
        Label of the axis.
    changes_target
        Whether it changes the target images, which are all that the standard VAE sees.
    """

    argument: str
    values: tuple[float, ...]
    label: str
    changes_target: bool


_CURVES: Final = {
    "grass": _Curve("amplitude", _LEVELS, "amplitude of the grass in the target", True),
    "noise": _Curve("background_noise", _LEVELS, "noise on the background", False),
    "background in target": _Curve(
        "share_background_in_target", _SHARES, "share of background images in the target", True
    ),
    "target in background": _Curve(
        "share_target_in_background", _SHARES, "share of target images in the background", False
    ),
}


def sensitivity(
    *,
    trials: int = 10,
    data: Path | str | None = None,
    output_dir: Path | str = "scsalient_reproduce",
    n_jobs: int = 1,
    quick: bool = False,
    max_epochs: int | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Grassy-MNIST with other data and other sizes of the latents.

    Figure 7 and appendix G of the paper. One thing is varied at a time, and the others are as in
    :func:`grassy_mnist`: the amplitude of the grass in the target images, from 0 to 2 in steps of
    0.25; the noise on the background images, by the same steps; the share of the target images that
    are grass alone; the share of the background images that have a digit; and the dimensions of
    both latents, from 1 to 6 each. The background of the first study keeps the amplitude of the
    paper. The contrastive VAE has the paper's settings and the defaults.

    Parameters
    ----------
    trials
        Trainings of each setting, which differ in their seed; the data are the same.
    data
        As in :func:`grassy_mnist`.
    output_dir
        Folder for ``sensitivity.csv``, ``sensitivity_curves.png`` and
        ``sensitivity_dimensions.png``. Trials that the table holds already are not run again.
    n_jobs
        Processes; as in :class:`joblib.Parallel`.
    quick
        One trial of 8 epochs with few images and few values, to see that all works.
    max_epochs
        Epochs of all models; `None` for 40.
    seed
        Seed of the first trial; the others count on from it.

    Returns
    -------
    One row a trial and study: ``study``, ``value`` of what it varies, ``method``, the settings,
    ``silhouette`` of the digit in the salient latents, or in the only ones, among the target
    images that have a digit, ``silhouette_background``, ``n_epochs`` and ``seconds``. A setting
    that several studies share was run once and has a row in each.

    Raises
    ------
    FileNotFoundError
        When ``data`` lacks the files of MNIST.
    ImportError
        When scikit-image is missing (the extra ``images``).
    NotADirectoryError
        When ``output_dir`` is a file.
    TypeError
        When a number is no integer.
    ValueError
        When a number is out of bounds, such as ``seed`` from 2**32 on, or the table in
        ``output_dir`` is not one of trials.
    """
    folder = check_start(
        trials=trials, seed=seed, n_jobs=n_jobs, output_dir=output_dir, max_epochs=max_epochs
    )
    where = None if data is None else Path(data)
    files = check_grassy_folder(where, output_dir=folder)
    changes: dict[str, Any] = {"max_epochs": _EPOCHS}
    if max_epochs is not None:
        changes["max_epochs"] = max_epochs
    if quick:
        trials, changes = 1, _QUICK | ({} if max_epochs is None else {"max_epochs": max_epochs})
    changes |= files
    rows = [
        (study, value, method, settings | {COLUMN_SEED: seed + i})
        for study, value, method, settings in _settings(where, changes, quick=quick)
        for i in range(trials)
    ]
    # The studies share the setting that they all start from
    unique = {trial_key(settings): settings for *_, settings in rows}
    results = run_trials(
        _trial, list(unique.values()), csv=folder / f"{_NAME}.csv", n_jobs=n_jobs
    ).table
    by_key = dict(zip(unique, results.to_dict("records"), strict=True))
    table = pd.DataFrame(
        [
            {"study": study, "value": value, "method": method, **by_key[trial_key(settings)]}
            for study, value, method, settings in rows
        ]
    )
    _draw(table, folder)
    return table


def _settings(
    data: Path | None, changes: dict[str, Any], *, quick: bool
) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Study, value, method and settings of everything to train."""
    for study, curve in _CURVES.items():
        values = curve.values[:: len(curve.values) - 1] if quick else curve.values
        for model, preset in (("VAE", PAPER), ("cVAE", PAPER), ("cVAE", DEFAULT)):
            for value in values:
                # What only changes the background is nothing to a VAE of the target images
                applies = model == "cVAE" or curve.changes_target
                varied = {curve.argument: value} if applies else {}
                settings = grassy_settings(preset, data, **changes | varied)
                yield study, f"{value:g}", f"{model}, {preset}", settings | {"model": model}
    sizes = _QUICK_SIZES if quick else _SIZES
    for preset in (PAPER, DEFAULT):
        for n_salient in sizes:
            for n_background in sizes:
                settings = grassy_settings(
                    preset,
                    data,
                    **changes,
                    n_salient_latent=n_salient,
                    n_background_latent=n_background,
                )
                sizes_text = f"s {n_salient}, z {n_background}"
                yield _DIMENSIONS, sizes_text, f"cVAE, {preset}", settings | {"model": "cVAE"}


def _trial(settings: Mapping[str, Any]) -> dict[str, Any]:
    adata = grassy_data(settings)
    target = is_target(adata)
    digits = adata.obs.loc[target, _keys.OBS_DIGIT].astype(str).to_numpy()
    is_digit = digits != NO_DIGIT
    results: dict[str, Any] = {}
    model: Any
    if settings["model"] == "VAE":
        model = fit_grassy_standard(adata, settings)
        latent = model.get_latent_representation()
    else:
        model = fit_grassy(adata, settings)
        latent = model.get_latent_representation(indices=target, kind="salient")
        background = model.get_latent_representation(indices=target, kind="background")
        results["silhouette_background"] = metrics.silhouette(
            background[is_digit], digits[is_digit]
        )
    results["silhouette"] = metrics.silhouette(latent[is_digit], digits[is_digit])
    forget(model)
    return results | {"n_epochs": n_epochs(model)}


def _draw(table: pd.DataFrame, folder: Path) -> None:
    figure = new_figure(10, 6.6)
    axes = figure.subplots(2, 2, sharey=True)
    for ax, (study, curve) in zip(axes.flat, _CURVES.items(), strict=True):
        _draw_curve(ax, table[table["study"] == study], curve)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    save_figure(figure, folder / f"{_NAME}_curves.png")

    rows = table[table["study"] == _DIMENSIONS]
    methods = list(dict.fromkeys(rows["method"]))
    figure = new_figure(4.3 * len(methods) + 0.8, 4.2)
    axes = figure.subplots(1, len(methods), squeeze=False)[0]
    limit = float(rows.groupby(["method", "value"])["silhouette"].median().max())
    for ax, method in zip(axes, methods, strict=True):
        image = _draw_dimensions(ax, rows[rows["method"] == method], limit)
        ax.set_title(method, fontsize=10)
    figure.colorbar(image, ax=axes, label="silhouette of the digit, median", shrink=0.8)
    save_figure(figure, folder / f"{_NAME}_dimensions.png")


def _draw_curve(ax: Axes, rows: pd.DataFrame, curve: _Curve) -> None:
    """Median over the trials as a line, and their range as a band."""
    for i, (method, group) in enumerate(rows.groupby("method", sort=False)):
        by_value = group.groupby(group["value"].astype(float))["silhouette"]
        low, middle, high = by_value.min(), by_value.median(), by_value.max()
        colour = ("C7", "C0", "C1")[i]
        ax.fill_between(middle.index, low, high, color=colour, alpha=0.2, linewidth=0)
        ax.plot(middle.index, middle, color=colour, marker="o", markersize=3.5, label=str(method))
    ax.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    ax.set(xlabel=curve.label, ylabel="silhouette of the digit")
    ax.spines[["top", "right"]].set_visible(False)
    ax.label_outer()
    ax.xaxis.set_tick_params(labelbottom=True)
    ax.set_xlabel(curve.label)


def _draw_dimensions(ax: Axes, rows: pd.DataFrame, limit: float) -> Any:
    keys = ["n_background_latent", "n_salient_latent"]
    grid = rows.groupby(keys)["silhouette"].median().unstack()
    values = grid.to_numpy()
    image = ax.imshow(values, origin="lower", cmap="viridis", vmin=0, vmax=max(limit, 0.01))
    ax.set_xticks(range(len(grid.columns)), grid.columns)
    ax.set_yticks(range(len(grid.index)), grid.index)
    ax.set(xlabel="salient dimensions", ylabel="background dimensions")
    for (row, column), value in np.ndenumerate(values):
        ax.text(
            column,
            row,
            f"{value:z.2f}",
            ha="center",
            va="center",
            fontsize=8,
            color="black" if value > 0.6 * limit else "white",
        )
    return image
