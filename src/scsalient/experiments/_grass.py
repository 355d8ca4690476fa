"""Digits on grass: the data and the models of the experiments on Grassy-MNIST."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scsalient import _keys, datasets, images
from scsalient.experiments._fitting import fit_contrastive, fit_standard
from scsalient.experiments._presets import DEFAULT, PAPER, PRESETS
from scsalient.experiments._trials import fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData

    from scsalient.model import ContrastiveVAE, StandardVAE

BACKGROUND = "background"
BUNDLED = "bundled"
NO_DIGIT = "none"
# What the arguments of the data set are where an experiment does not vary them
DATA: dict[str, Any] = {
    "amplitude": 2.0,
    "background_noise": 0.0,
    "share_background_in_target": 0.0,
    "share_target_in_background": 0.0,
    "n_target": None,
    "n_background": 5000,
}
# The paper's sizes (sec. 4.3), and its number of salient dimensions with the defaults for images
_SIZES: dict[str, dict[str, Any]] = {
    PAPER: {"n_salient_latent": 2, "n_background_latent": 2},
    DEFAULT: {"n_salient_latent": 2, **images.DEFAULTS},
}


def grassy_settings(
    preset: str, data: Path | None, *, max_epochs: int | None, **changes: Any
) -> dict[str, Any]:
    """Everything that a trial on digits on grass depends on, but for the method and the seed.

    Parameters
    ----------
    preset
        Name of the preset.
    data
        Folder with MNIST, and perhaps with photographs of grass in ``grass``; `None` for the
        digits and the photograph that are bundled.
    max_epochs
        Epochs; `None` for the default of each model.
    **changes
        Other arguments of the data set and of the models.
    """
    where = BUNDLED if data is None else str(data.resolve())
    known = DATA | _SIZES[preset] | changes
    return PRESETS[preset].settings(data=where, preset=preset, max_epochs=max_epochs, **known)


def grassy_data(settings: Mapping[str, Any]) -> AnnData:
    """Data of a trial; the same for every seed.

    The background has the usual amplitude whatever that of the target (paper sec. 4.5).
    """
    arguments = {name: settings[name] for name in DATA} | {"files": settings.get("files")}
    adata = _built(settings["data"], **arguments).copy()
    if settings["amplitude"] != DATA["amplitude"]:
        # The same patches: the amplitude changes nothing else that is drawn
        usual = _built(settings["data"], **arguments | {"amplitude": DATA["amplitude"]})
        background = ~is_target(adata)
        adata.X[background] = usual.X[background]
        adata.uns[_keys.UNS_IMAGE] = usual.uns[_keys.UNS_IMAGE]
    return adata


# Trials that differ in their model follow each other. Other files in the folder are other data
@functools.lru_cache(maxsize=2)
def _built(data: str, *, files: str | None, **arguments: Any) -> AnnData:
    mnist = grass = None
    if data != BUNDLED:
        mnist = Path(data)
        grass = mnist / "grass" if (mnist / "grass").is_dir() else None
    return datasets.grassy_mnist(mnist=mnist, grass=grass, seed=0, **arguments)


def check_grassy_folder(data: Path | None, *, output_dir: Path) -> dict[str, str]:
    """Check that the digits can be read, before the first trial waits in another process.

    Parameters
    ----------
    data
        Folder with MNIST; `None` for the bundled digits.
    output_dir
        Folder of the results, which may lie in it.

    Returns
    -------
    Settings of a trial that tell this content of the folder from another.

    Raises
    ------
    FileNotFoundError
        When the folder lacks the files of MNIST.
    ValueError
        When a file is not what it should be.
    """
    if data is None:
        return {}
    grassy_data({**DATA, "data": str(data), "n_target": 1, "n_background": 1})
    return {"files": fingerprint(data, without=output_dir)}


def fit_grassy(adata: AnnData, settings: Mapping[str, Any]) -> ContrastiveVAE:
    """Contrastive VAE of a trial, trained."""
    return fit_contrastive(
        adata, settings, condition_key=_keys.OBS_CONDITION, background=BACKGROUND
    )


def fit_grassy_standard(
    adata: AnnData, settings: Mapping[str, Any], *, layer: str | None = None
) -> StandardVAE:
    """Standard VAE of a trial, trained on the target images."""
    known = {"n_latent": settings["n_salient_latent"], **settings}
    return fit_standard(adata[is_target(adata)].copy(), known, layer=layer)


def is_target(adata: AnnData) -> np.ndarray:
    """Which images are targets."""
    return (adata.obs[_keys.OBS_CONDITION] != BACKGROUND).to_numpy()


def correlation(images: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Correlation over the pixels of each image with the truth.

    Parameters
    ----------
    images, truth
        Shape ``(n, n_pixels)``.

    Returns
    -------
    Shape ``(n,)``; 0 for an image of one value.
    """
    a = images - images.mean(axis=1, keepdims=True, dtype=np.float64)
    b = truth - truth.mean(axis=1, keepdims=True, dtype=np.float64)
    scale = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    return np.divide((a * b).sum(axis=1), scale, out=np.zeros(len(a)), where=scale > 0)
