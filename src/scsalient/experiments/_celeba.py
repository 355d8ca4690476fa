"""Faces with glasses and with hats (paper fig. 6, app. A)."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from scsalient import _keys, datasets, images, metrics, pl
from scsalient.experiments._drawing import as_sweep, new_figure, save_figure
from scsalient.experiments._fitting import fit_contrastive, fit_standard, forget, n_epochs
from scsalient.experiments._presets import DEFAULT, PAPER, PRESETS
from scsalient.experiments._trials import check_start, fingerprint, run_trials

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pandas as pd
    from anndata import AnnData

    from scsalient.experiments._trials import Trials

_NAME = "celeba"
_BACKGROUND = "background"
_DRAWN = "drawn faces"
# Name of each accessory in CelebA and in words
_ATTRIBUTES: Final = {"glasses": "Eyeglasses", "hat": "Wearing_Hat"}
# Factors of a drawn face, the accessory's own first, and their numbers of categories
FACTORS: Final = {
    _keys.OBS_ACCESSORY_STYLE: 3,
    _keys.OBS_SKIN: 3,
    _keys.OBS_BACKDROP: 6,
    _keys.OBS_POSE: 3,
    _keys.OBS_HAIR_STYLE: 4,
    _keys.OBS_HAIR_COLOUR: 5,
    _keys.OBS_EXPRESSION: 3,
}
_PAPER_IMAGE_SIZE = 64
# Half of it for drawn faces: a quarter of the time, and a person still sees what a face wears
_DATA: dict[str, Any] = {"image_size": 32, "n_target": 2500, "n_background": 2500}
# The paper's sizes and networks (app. E), and those that did best on drawn faces
_SIZES: dict[str, dict[str, Any]] = {
    PAPER: {
        "n_salient_latent": 2,
        "n_background_latent": 4,
        "network": "conv",
        "use_bias": False,
        "max_epochs": 50,
    },
    # What is worn turns with the head, so that what s does depends on z
    DEFAULT: {
        "n_salient_latent": 2,
        "n_background_latent": 8,
        "likelihood": "bernoulli",
        "decoder": "joint",
        "use_bias": True,
    },
}
_SETTINGS: dict[str, dict[str, Any]] = {
    # The weights weigh against the reconstruction of 3,072 values. Larger layers, more dimensions
    # and a longer training keep the pose in z, the pull and the total correlation out of s
    "glasses": {
        "n_background_latent": 12,
        "n_hidden": 256,
        "tc_weight": 20.0,
        "mmd_weight": 3000.0,
        "background_salient_weight": 16.0,
        "max_epochs": 150,
    },
    # A hat hides a part of the image, and hides the hair, whose place in z it could take
    "hat": {
        "tc_weight": 5.0,
        "mmd_weight": 10000.0,
        "background_salient_weight": 8.0,
        "max_epochs": 80,
    },
}
_QUICK: dict[str, Any] = {"image_size": 32, "n_target": 200, "n_background": 200, "max_epochs": 5}
_SWEEP: dict[str, Any] = {"limits": (-2.0, 2.0), "n_steps": 5}
_N_SHOWN = 8
_FORMULAS = {"zero": "decode(s, 0)", "difference": "decode(s, z)\n- decode(0, z)"}


def celeba(
    *,
    trials: int = 10,
    data: Path | str | None = None,
    output_dir: Path | str = "scsalient_reproduce",
    n_jobs: int = 1,
    quick: bool = False,
    max_epochs: int | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Faces with glasses, and with hats: sweeps and denoised images.

    Figure 6 and appendix A of the paper. Faces that wear the accessory are the target, others the
    background. Compared are the contrastive VAE with the paper's settings (convolutional, without
    biases, two salient and four background dimensions), the standard VAE of two dimensions with the
    same, and the contrastive VAE with a joint decoder and weights that suit faces, else the
    defaults. Where CelebA is not at hand the faces are drawn (:func:`scsalient.datasets.faces`), 32
    pixels wide instead of 64, and all that they vary in is known; then it is also measured how well
    each factor can be read from both latents.

    Parameters
    ----------
    trials
        Trainings of each method, which differ in their seed; the data are the same.
    data
        Folder with CelebA, as :func:`scsalient.datasets.celeba` takes it; `None` for drawn faces.
    output_dir
        Folder for ``celeba.csv`` and the pictures: for each accessory ``celeba_glasses_sweeps.png``
        and ``celeba_glasses_denoised.png``, and ``celeba_factors.png`` for drawn faces. Trials that
        the table holds already are not run again.
    n_jobs
        Processes; as in :class:`joblib.Parallel`.
    quick
        One trial of few epochs and few small images, to see that all works.
    max_epochs
        Epochs of all models; `None` for 50 with the paper's settings, whose networks take
        longer, and with the defaults for 150 with glasses and 80 with hats.
    seed
        Seed of the first trial; the others count on from it.

    Returns
    -------
    One row a trial: ``attribute`` (glasses, hat), ``method``, the settings, ``n_epochs`` and
    ``seconds``; for drawn faces also, for each factor, ``accessory_style_s`` and
    ``accessory_style_z``, ``skin_s`` and so on: the balanced accuracy with which a logistic
    regression reads it from the salient and from the background latents of the target images, in
    cross-validation.

    Raises
    ------
    FileNotFoundError
        When ``data`` lacks the files of CelebA.
    ImportError
        When pillow is missing (the extra ``images``).
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
    trials, changes = (1, dict(_QUICK)) if quick else (trials, dict(_DATA))
    if max_epochs is not None:
        changes["max_epochs"] = max_epochs
    changes["data"] = _DRAWN if data is None else str(Path(data).resolve())
    if data is not None:
        _check_folder(changes["data"])
        changes["files"] = fingerprint(Path(data), without=folder)
    if data is not None and not quick:
        changes["image_size"] = _PAPER_IMAGE_SIZE
    methods = list(_methods(changes))
    settings = [method | {"seed": seed + i} for method in methods for i in range(trials)]
    results = run_trials(
        _trial, settings, csv=folder / f"{_NAME}.csv", n_jobs=n_jobs, needs_arrays=True
    )
    _draw(results, [method | {"seed": seed} for method in methods], folder)
    return results.table


def _check_folder(data: str) -> None:
    """Check that photographs can be read, before the first trial waits in another process."""
    for attribute in _ATTRIBUTES:
        face_images(
            {**_QUICK, "data": data, "attribute": attribute, "n_target": 1, "n_background": 1}
        )


def _methods(changes: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for attribute in _ATTRIBUTES:
        for model, preset in (("VAE", PAPER), ("cVAE", PAPER), ("cVAE", DEFAULT)):
            sizes = dict(_SIZES[preset])
            if preset == DEFAULT:
                sizes |= _SETTINGS[attribute]
            settings = PRESETS[preset].settings(**(sizes | changes))
            names = {"attribute": attribute, "method": f"{model}, {preset}"}
            yield settings | names | {"model": model, "preset": preset}


def face_images(settings: Mapping[str, Any]) -> AnnData:
    """Images of a trial; the same for every seed."""
    arguments = {name: settings[name] for name in _DATA} | {"files": settings.get("files")}
    return _read(settings["data"], settings["attribute"], **arguments).copy()


# Trials that differ in their model follow each other, and thousands of faces take a while. Other
# files in the folder are other data
@functools.lru_cache(maxsize=1)
def _read(data: str, attribute: str, *, files: str | None, **arguments: Any) -> AnnData:
    quiet: dict[str, Any] = {"seed": 0, "progressbar": False}
    if data == _DRAWN:
        return datasets.faces(attribute=attribute, **arguments, **quiet)
    return datasets.celeba(data, attribute=_ATTRIBUTES[attribute], **arguments, **quiet)


def _trial(settings: Mapping[str, Any]) -> dict[str, Any]:
    adata = face_images(settings)
    target = (adata.obs[_keys.OBS_CONDITION] != _BACKGROUND).to_numpy()
    results: dict[str, Any] = {}
    model: Any
    if settings["model"] == "VAE":
        known = {**settings, "n_latent": settings["n_salient_latent"]}
        model = fit_standard(adata[target].copy(), known)
        latents = {"s": model.get_latent_representation()}
    else:
        model = fit_contrastive(
            adata, settings, condition_key=_keys.OBS_CONDITION, background=_BACKGROUND
        )
        latents = {
            "s": model.get_latent_representation(indices=target, kind="salient"),
            "z": model.get_latent_representation(indices=target, kind="background"),
        }
        shown = np.flatnonzero(target)[:_N_SHOWN]
        for method in _FORMULAS:
            made = model.denoise(indices=shown, method=method)
            results[f"denoised_{method}"] = np.asarray(made, dtype=np.float32)
    if settings["data"] == _DRAWN:
        for factor in FACTORS:
            labels = adata.obs.loc[target, factor].astype(str).to_numpy()
            for name, latent in latents.items():
                results[f"{factor}_{name}"] = _accuracy(latent, labels)
    results["sweep"] = np.asarray(model.sweep(**_SWEEP).X, dtype=np.float32)
    forget(model)
    return results | {"n_epochs": n_epochs(model)}


def _accuracy(latent: np.ndarray, labels: np.ndarray) -> float:
    """Balanced accuracy of a logistic regression in cross-validation."""
    chance = 1 / len(np.unique(labels))
    return chance + (1 - chance) * metrics.leakage(latent, labels)


def _draw(results: Trials, methods: list[dict[str, Any]], folder: Path) -> None:
    for attribute in _ATTRIBUTES:
        own = [method for method in methods if method["attribute"] == attribute]
        arrays = {method["method"]: results.arrays(method) for method in own}
        adata = face_images(own[0])
        target = (adata.obs[_keys.OBS_CONDITION] != _BACKGROUND).to_numpy()
        shape = images.from_anndata(adata[:1]).shape[1:]
        _draw_sweeps(arrays, shape, folder / f"{_NAME}_{attribute}_sweeps.png")
        _draw_denoised(
            arrays,
            images.from_anndata(adata[np.flatnonzero(target)[:_N_SHOWN]]),
            folder / f"{_NAME}_{attribute}_denoised.png",
        )
    if methods[0]["data"] == _DRAWN:
        _draw_factors(results.table, folder / f"{_NAME}_factors.png")


def _draw_sweeps(
    arrays: dict[str, dict[str, np.ndarray]], shape: tuple[int, ...], path: Path
) -> None:
    figure = new_figure(4 * len(arrays), 4.2)
    axes = figure.subplots(1, len(arrays))
    for ax, (method, kept) in zip(axes, arrays.items(), strict=True):
        kind = "latent" if method.startswith("VAE") else "salient"
        swept = as_sweep(kept["sweep"], kind, shape=shape, **_SWEEP)
        pl.sweep(swept, ax=ax, show=False, save=False)
        ax.set_title(method, fontsize=10)
    save_figure(figure, path)


def _draw_denoised(
    arrays: dict[str, dict[str, np.ndarray]], inputs: np.ndarray, path: Path
) -> None:
    rows = {
        f"{method}:\n{formula}": kept[f"denoised_{how}"]
        for method, kept in arrays.items()
        if f"denoised_{next(iter(_FORMULAS))}" in kept
        for how, formula in _FORMULAS.items()
    }
    figure = new_figure(1.05 * len(inputs) + 2.2, 1.05 * (len(rows) + 1))
    pl.denoised(inputs, rows, ax=figure.subplots(), show=False, save=False)
    save_figure(figure, path)


def _draw_factors(table: pd.DataFrame, path: Path) -> None:
    """Accuracy of every trial, for each factor and latent, and chance as a line."""
    rows = table[table["model"] == "cVAE"]
    attributes, methods = (list(dict.fromkeys(rows[by])) for by in ("attribute", "method"))
    figure = new_figure(5 * len(methods) + 0.6, 2.9 * len(attributes))
    axes = figure.subplots(len(attributes), len(methods), squeeze=False, sharey=True)
    rng = np.random.default_rng(0)
    for (i, j), ax in np.ndenumerate(axes):
        shown = rows[(rows["attribute"] == attributes[i]) & (rows["method"] == methods[j])]
        for x, (factor, n_categories) in enumerate(FACTORS.items()):
            for side, colour, name in ((-0.18, "C1", "s"), (0.18, "C0", "z")):
                values = shown[f"{factor}_{name}"].to_numpy()
                spread = rng.uniform(-0.06, 0.06, len(values)) if len(values) > 1 else 0.0
                ax.bar(x + side, np.median(values), 0.34, color=colour, alpha=0.35)
                ax.scatter(x + side + spread, values, s=10, color=colour, linewidths=0)
            ax.hlines(1 / n_categories, x - 0.4, x + 0.4, color="0.3", linestyle=":")
        ax.set_xticks(range(len(FACTORS)), [f.replace("_", "\n") for f in FACTORS], fontsize=8)
        ax.set_title(f"{attributes[i]}: {methods[j]}", fontsize=10)
        ax.set(ylim=(0, 1.02))
        ax.spines[["top", "right"]].set_visible(False)
        if j == 0:
            ax.set_ylabel("balanced accuracy")
    handles: list[Any] = [Patch(color="C1", label="from s"), Patch(color="C0", label="from z")]
    handles.append(Line2D([], [], color="0.3", linestyle=":", label="chance"))
    figure.legend(handles=handles, loc="outside upper center", ncols=3, frameon=False)
    save_figure(figure, path)
