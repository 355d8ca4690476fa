"""Grassy-MNIST: digits on grass (paper fig. 1 and 4, app. A and D)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.decomposition import PCA

from scsalient import _keys, metrics, pl
from scsalient.experiments._drawing import as_sweep, new_figure, save_figure, scatter_labels
from scsalient.experiments._fitting import forget, n_epochs
from scsalient.experiments._grass import (
    check_grassy_folder,
    correlation,
    fit_grassy,
    fit_grassy_standard,
    grassy_data,
    grassy_settings,
    is_target,
)
from scsalient.experiments._presets import DEFAULT, PAPER
from scsalient.experiments._trials import check_start, run_trials

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pandas as pd
    from anndata import AnnData

    from scsalient.experiments._trials import Trials

_NAME = "grassy_mnist"
_QUICK = {"n_background": 1000, "max_epochs": 20}
_QUICK_TRIALS = 1
# Twice the default of the models for as many images; four times did harm
_EPOCHS = 100
# Without biases zero decodes to zero (paper sec. 3)
_UNBIASED = f"cVAE without biases, {PAPER}"
_OF_TEN = "cVAE of 10, larger"
# More salient dimensions want grass that is described in more detail. With biases the difference
# of two decoded images follows the strokes best. Deeper encoders lose the digits in some trials.
_CHANGES_OF_TEN: dict[str, Any] = {
    "n_salient_latent": 10,
    "n_background_latent": 20,
    "n_hidden": 512,
    "use_bias": True,
    "n_layers_encoder": 1,
    "use_layer_norm": False,
}
_N_SHOWN = 10
_SWEEP: dict[str, Any] = {"limits": (-2.0, 2.0), "n_steps": 9}
_METHODS_SHOWN = {"zero": "decode(s, 0)", "difference": "decode(s, z) - decode(0, z)"}


def grassy_mnist(
    *,
    trials: int = 10,
    data: Path | str | None = None,
    output_dir: Path | str = "scsalient_reproduce",
    n_jobs: int = 1,
    quick: bool = False,
    max_epochs: int | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Digits on grass: latents, sweeps and denoised digits.

    Figures 1 and 4 and appendices A and D of the paper. The digits 0, 1 and 2 with grass of twice
    their amplitude on them are the target, other grass is the background. Compared are the standard
    VAE of two and of four latent dimensions and the contrastive VAE, each with the paper's settings
    and with the defaults; the contrastive VAE with ten salient dimensions and larger networks; that
    of the paper without biases, as it has it for denoising; and, as the best that could be hoped
    for, the standard VAE of the digits without grass.

    Parameters
    ----------
    trials
        Trainings of each method, which differ in their seed; the data are the same.
    data
        Folder with MNIST in IDX files and, in a folder ``grass`` within, photographs of grass;
        `None` for the digits that come with scikit-learn. Without photographs, grass is the one
        that comes with scikit-image. See :func:`scsalient.datasets.grassy_mnist`.
    output_dir
        Folder for ``grassy_mnist.csv`` and the pictures: ``grassy_mnist_latents.png``,
        ``_trials.png``, ``_sweeps.png`` and ``_denoised.png``. Trials that the table holds
        already are not run again.
    n_jobs
        Processes; as in :class:`joblib.Parallel`.
    quick
        One trial of 20 epochs with fewer background images, to see that all works.
    max_epochs
        Epochs of all models; `None` for 100.
    seed
        Seed of the first trial; the others count on from it.

    Returns
    -------
    One row a trial: the settings; ``silhouette`` of the digit in the salient latents, or in the
    only ones; ``silhouette_background``, the same in the background latents;
    ``correlation_zero`` and ``correlation_difference``, the correlation of a denoised with the
    clean digit by both methods of :meth:`scsalient.ContrastiveVAE.denoise`, median over the
    target images; ``correlation_input``, that of the image itself; ``n_epochs`` and ``seconds``.

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
    changes: dict[str, Any] = {}
    if quick:
        trials = min(trials, _QUICK_TRIALS)
        changes |= _QUICK
    if max_epochs is not None:
        changes["max_epochs"] = max_epochs
    where = None if data is None else Path(data)
    changes |= check_grassy_folder(where, output_dir=folder)
    methods = list(_methods(where, changes))
    settings = [method | {"seed": seed + i} for method in methods for i in range(trials)]
    results = run_trials(
        _trial, settings, csv=folder / f"{_NAME}.csv", n_jobs=n_jobs, needs_arrays=True
    )
    _draw(results, [method | {"seed": seed} for method in methods], folder)
    return results.table


def _methods(data: Path | None, changes: dict[str, Any]) -> Iterator[dict[str, Any]]:
    usual = {"max_epochs": _EPOCHS}
    for preset in (PAPER, DEFAULT):
        settings = grassy_settings(preset, data, **(usual | changes))
        yield settings | {"method": f"VAE, {preset}", "model": "VAE"}
        yield settings | {"method": f"VAE of 4, {preset}", "model": "VAE", "n_latent": 4}
    yield settings | {"method": "VAE, clean digits", "model": "VAE", "layer": _keys.LAYER_CLEAN}
    contrastive: list[tuple[str, str, dict[str, Any]]] = [
        (f"cVAE, {PAPER}", PAPER, {}),
        (_UNBIASED, PAPER, {"use_bias": False}),
        (f"cVAE, {DEFAULT}", DEFAULT, {}),
        (_OF_TEN, DEFAULT, _CHANGES_OF_TEN),
    ]
    for method, preset, changed in contrastive:
        settings = grassy_settings(preset, data, **(usual | changed | changes))
        yield settings | {"method": method, "model": "cVAE"}


def _trial(settings: Mapping[str, Any]) -> dict[str, Any]:
    adata = grassy_data(settings)
    target = is_target(adata)
    digits = adata.obs.loc[target, _keys.OBS_DIGIT].astype(str)
    results: dict[str, Any] = {}
    model: Any
    if settings["model"] == "VAE":
        model = fit_grassy_standard(adata, settings, layer=settings.get("layer"))
        latent = model.get_latent_representation()
    else:
        model = fit_grassy(adata, settings)
        latent = model.get_latent_representation(indices=target, kind="salient")
        background = model.get_latent_representation(indices=target, kind="background")
        results["silhouette_background"] = metrics.silhouette(background, digits)
        results["latent_background"] = np.asarray(background, dtype=np.float32)
        clean = np.asarray(adata.layers[_keys.LAYER_CLEAN])[target]
        noisy = np.asarray(adata.X)[target]
        results["correlation_input"] = float(np.median(correlation(noisy, clean)))
        for method in _METHODS_SHOWN:
            made = model.denoise(indices=target, method=method)
            results[f"correlation_{method}"] = float(np.median(correlation(made, clean)))
            results[f"denoised_{method}"] = np.asarray(made[:_N_SHOWN], dtype=np.float32)
    results["silhouette"] = metrics.silhouette(latent, digits)
    results["latent"] = np.asarray(latent, dtype=np.float32)
    if settings["n_salient_latent"] == 2 and "n_latent" not in settings:
        results["sweep"] = np.asarray(model.sweep(**_SWEEP).X, dtype=np.float32)
    forget(model)
    return results | {"n_epochs": n_epochs(model)}


def _draw(results: Trials, methods: list[dict[str, Any]], folder: Path) -> None:
    first = {method["method"]: method for method in methods}
    arrays = {name: results.arrays(method) for name, method in first.items()}
    table = results.table.drop_duplicates("method").set_index("method")
    adata = grassy_data(methods[0])
    adata = adata[is_target(adata)].copy()
    _draw_latents(arrays, table, adata.obs[_keys.OBS_DIGIT].astype(str).to_numpy(), folder)
    _draw_trials(results.table, folder)
    _draw_sweeps(arrays, folder)
    _draw_denoised(arrays, adata, folder)


def _draw_latents(
    arrays: dict[str, dict[str, np.ndarray]],
    table: pd.DataFrame,
    digits: np.ndarray,
    folder: Path,
) -> None:
    figure = new_figure(13.2, 5.8)
    axes = figure.subplots(2, 5)
    for row, preset in zip(axes, (PAPER, DEFAULT), strict=True):
        vae, four, cvae = f"VAE, {preset}", f"VAE of 4, {preset}", f"cVAE, {preset}"
        shown = arrays[four]["latent"]
        background = arrays[cvae]["latent_background"]
        note = "" if background.shape[1] == 2 else " (first two PCs)"
        panels = [
            (vae, arrays[vae]["latent"], table.loc[vae, "silhouette"]),
            (f"{four}: first two", shown[:, :2], table.loc[four, "silhouette"]),
            (f"{four}: last two", shown[:, 2:], table.loc[four, "silhouette"]),
            (f"{cvae}: s", arrays[cvae]["latent"], table.loc[cvae, "silhouette"]),
            (
                f"{cvae}: z{note}",
                PCA(2, svd_solver="full").fit_transform(background),
                table.loc[cvae, "silhouette_background"],
            ),
        ]
        for ax, (title, latent, silhouette) in zip(row, panels, strict=True):
            scatter_labels(ax, latent, digits, legend="digit" if ax is axes[0, -1] else None)
            ax.set_title(title, fontsize=9)
            ax.set_xlabel(f"silhouette {silhouette:z.2f}", fontsize=9)
    save_figure(figure, folder / f"{_NAME}_latents.png")


def _draw_trials(table: pd.DataFrame, folder: Path) -> None:
    shown = table[~table["method"].isin([_UNBIASED, _OF_TEN])]
    figure = new_figure(1.2 + 1.1 * shown["method"].nunique(), 3.6)
    ylabel = "silhouette of the digit"
    pl.trials(shown, ylabel=ylabel, ax=figure.subplots(), show=False, save=False)
    save_figure(figure, folder / f"{_NAME}_trials.png")


def _draw_sweeps(arrays: dict[str, dict[str, np.ndarray]], folder: Path) -> None:
    shown = (
        f"VAE, {PAPER}",
        f"cVAE, {PAPER}",
        _UNBIASED,
        f"VAE, {DEFAULT}",
        f"cVAE, {DEFAULT}",
    )
    figure = new_figure(4.1 * 3, 8.4)
    axes = figure.subplots(2, 3)
    for ax, method in zip(axes.flat, shown, strict=False):
        kind = "latent" if method.startswith("VAE") else "salient"
        pl.sweep(as_sweep(arrays[method]["sweep"], kind, **_SWEEP), ax=ax, show=False, save=False)
        ax.set_title(method, fontsize=10)
    axes.flat[-1].axis("off")
    save_figure(figure, folder / f"{_NAME}_sweeps.png")


def _draw_denoised(arrays: dict[str, dict[str, np.ndarray]], adata: AnnData, folder: Path) -> None:
    rows = {}
    for method in (_UNBIASED, f"cVAE, {DEFAULT}", _OF_TEN):
        for how, formula in _METHODS_SHOWN.items():
            rows[f"{method}:\n{formula}"] = arrays[method][f"denoised_{how}"]
    figure = new_figure(9.5, 7)
    pl.denoised(
        adata[:_N_SHOWN].copy(),
        rows,
        _keys.LAYER_CLEAN,
        stretch=True,
        ax=figure.subplots(),
        show=False,
        save=False,
    )
    save_figure(figure, folder / f"{_NAME}_denoised.png")
