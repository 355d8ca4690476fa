"""RNA-seq with batch effects (paper fig. 5, app. F)."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from sklearn.preprocessing import normalize
from sklearn.utils.sparsefuncs import mean_variance_axis

from scsalient import _keys, baselines, datasets, metrics, pl
from scsalient.experiments._drawing import new_figure, save_figure, scatter_grid
from scsalient.experiments._fitting import fit_contrastive, fit_standard, forget, n_epochs
from scsalient.experiments._presets import DEFAULT, PAPER, PRESETS
from scsalient.experiments._trials import check_start, fingerprint, run_trials

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pandas as pd
    from anndata import AnnData

    from scsalient.experiments._trials import Trials

_NAME = "rna_seq"
_BUNDLED = "pbmc_response"
_ZHENG = "zheng_2017"
# Category of the background and column with what only target cells have, by data set
_LABELS = {_BUNDLED: ("control", _keys.OBS_RESPONSE), _ZHENG: ("healthy", _keys.OBS_STAGE)}
_LAYER_LOG = "log_normalised"
_SIZES = {"n_genes": 500, "n_salient_latent": 2, "n_background_latent": 4}
_QUICK_TRIALS, _QUICK_EPOCHS = 2, 40


def rna_seq(
    *,
    trials: int = 10,
    data: Path | str | None = None,
    output_dir: Path | str = "scsalient_reproduce",
    n_jobs: int = 1,
    quick: bool = False,
    max_epochs: int | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Silhouette of a known response in the latents of each method.

    Figure 5 and appendix F of the paper. The 500 most variable genes, two salient and four
    background dimensions. The paper contrasts marrow of a leukaemia patient before and after a
    transplant with that of healthy donors (:func:`scsalient.datasets.zheng_2017`, with ``data``);
    without those files the cells are :func:`scsalient.datasets.pbmc_response`, real ones with a
    planted response, for which nothing is downloaded. Compared are the standard VAE and the
    contrastive VAE, each with the paper's settings and with the defaults, contrastive PCA and
    ContrastiveVI.

    Parameters
    ----------
    trials
        Trainings of each method, which differ in their seed; the data are the same.
    data
        Folder with the archives of Zheng et al. 2017, as :func:`scsalient.datasets.zheng_2017`
        takes it for ``root``; `None` for the bundled cells.
    output_dir
        Folder for ``rna_seq.csv``, ``rna_seq_latents.png`` and ``rna_seq_trials.png``. Trials
        that the table holds already are not run again.
    n_jobs
        Processes; as in :class:`joblib.Parallel`.
    quick
        At most two trials of 40 epochs, to see that all works.
    max_epochs
        Epochs of all models; `None` for the default of each.
    seed
        Seed of the first trial; the others count on from it.

    Returns
    -------
    One row a trial: the settings, ``silhouette`` (of the response, or of the stage before or
    after the transplant, among the target cells in the salient latents, or in the only ones),
    ``silhouette_background`` (the same in the background latents), ``silhouette_cell_type`` (of
    the bundled cells), ``n_epochs`` and ``seconds``.

    Raises
    ------
    FileNotFoundError
        When ``data`` lacks a sample.
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
    if quick:
        trials, max_epochs = min(trials, _QUICK_TRIALS), max_epochs or _QUICK_EPOCHS
    if data is None:
        name, cells, files = _BUNDLED, datasets.pbmc_response(seed=0), {}
    else:
        name, cells = _ZHENG, datasets.zheng_2017(root=data)
        # Other files are other data
        files = {"files": fingerprint(Path(data), without=folder)}
        cells.layers[_keys.LAYER_COUNTS] = cells.X
    adata = _prepared(cells)
    methods = [method | files for method in _methods(name, max_epochs)]
    settings = [method | {"seed": seed + i} for method in methods for i in range(trials)]
    results = run_trials(
        functools.partial(_trial, adata),
        settings,
        csv=folder / f"{_NAME}.csv",
        n_jobs=n_jobs,
        needs_arrays=True,
    )
    _draw(results, adata, settings, folder)
    return results.table


def _methods(data: str, max_epochs: int | None) -> Iterator[dict[str, Any]]:
    shared = {"data": data, "max_epochs": max_epochs, **_SIZES}
    for name in ("VAE", "cVAE"):
        for preset in (PAPER, DEFAULT):
            weights = PRESETS[preset].settings(**shared)
            yield weights | {"method": f"{name}, {preset}", "model": name, "preset": preset}
    yield {**shared, "method": "contrastive PCA", "model": "contrastive PCA", "max_epochs": None}
    yield {**shared, "method": "ContrastiveVI", "model": "ContrastiveVI"}


def _prepared(adata: AnnData) -> AnnData:
    """The most variable genes, with a log-normalised layer."""
    # By scikit-learn: scanpy's numba changes the number of threads, which slows training down
    counts = sparse.csr_matrix(adata.layers[_keys.LAYER_COUNTS], dtype=np.float64)
    logged = normalize(counts, norm="l1").multiply(1e4).log1p().tocsr()
    _, variance = mean_variance_axis(logged, axis=0)
    genes = np.sort(np.argsort(-variance, kind="stable")[: _SIZES["n_genes"]])
    adata = adata[:, genes].copy()
    adata.layers[_LAYER_LOG] = logged[:, genes].toarray().astype(np.float32)
    return adata


def _trial(adata: AnnData, settings: Mapping[str, Any]) -> dict[str, Any]:
    adata = adata.copy()
    control, response = _LABELS[settings["data"]]
    target = (adata.obs[_keys.OBS_CONDITION] != control).to_numpy()
    latent: Any
    background_latent: Any = None
    epochs: int | None = None
    if settings["model"] == "contrastive PCA":
        baselines.contrastive_pca(
            adata,
            _keys.OBS_CONDITION,
            control,
            layer=_LAYER_LOG,
            n_components=settings["n_salient_latent"],
            alpha="auto",
            seed=settings["seed"],
        )
        latent = adata.obsm[_keys.OBSM_CPCA][target]
    elif settings["model"] == "ContrastiveVI":
        latent, background_latent, epochs = _contrastive_vi(adata, target, settings)
    else:
        counts = settings["likelihood"] in ("nb", "zinb", "poisson")
        layer = _keys.LAYER_COUNTS if counts else _LAYER_LOG
        if settings["model"] == "VAE":
            known = {**settings, "n_latent": settings["n_salient_latent"]}
            standard = fit_standard(adata[target].copy(), known, layer=layer)
            latent, epochs = standard.get_latent_representation(), n_epochs(standard)
            forget(standard)
        else:
            model = fit_contrastive(
                adata,
                settings,
                condition_key=_keys.OBS_CONDITION,
                background=control,
                layer=layer,
            )
            latent = model.get_latent_representation(indices=target, kind="salient")
            background_latent = model.get_latent_representation(indices=target, kind="background")
            epochs = n_epochs(model)
            forget(model)
    labels = adata.obs.loc[target]
    results = {
        "silhouette": metrics.silhouette(latent, labels[response].astype(str)),
        "latent": np.asarray(latent, dtype=np.float32),
    }
    if _keys.OBS_CELL_TYPE in labels:
        cell_types = labels[_keys.OBS_CELL_TYPE].astype(str)
        results["silhouette_cell_type"] = metrics.silhouette(latent, cell_types)
    if background_latent is not None:
        results["silhouette_background"] = metrics.silhouette(
            background_latent, labels[response].astype(str)
        )
    return results if epochs is None else results | {"n_epochs": epochs}


def _contrastive_vi(
    adata: AnnData, target: np.ndarray, settings: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray, int]:
    from scvi.external import ContrastiveVI

    ContrastiveVI.setup_anndata(adata, layer=_keys.LAYER_COUNTS)
    model = ContrastiveVI(
        adata,
        n_salient_latent=settings["n_salient_latent"],
        n_background_latent=settings["n_background_latent"],
    )
    model.train(
        background_indices=np.flatnonzero(~target).tolist(),
        target_indices=np.flatnonzero(target).tolist(),
        max_epochs=settings["max_epochs"],
        enable_progress_bar=False,
    )
    salient, background = (
        model.get_latent_representation(
            indices=np.flatnonzero(target).tolist(), representation_kind=kind
        )
        for kind in ("salient", "background")
    )
    forget(model)
    return salient, background, int(model.history["reconstruction_loss_train"].shape[0])


def _draw(results: Trials, adata: AnnData, settings: list[dict[str, Any]], folder: Path) -> None:
    first: dict[str, dict[str, Any]] = {}
    for trial in settings:
        first.setdefault(trial["method"], trial)
    control, response = _LABELS[settings[0]["data"]]
    treated = adata.obs[adata.obs[_keys.OBS_CONDITION] != control]
    shown = [name for name in (response, _keys.OBS_CELL_TYPE) if name in treated]
    by_method = results.table.drop_duplicates("method").set_index("method")
    figure = scatter_grid(
        {method: results.arrays(trial)["latent"] for method, trial in first.items()},
        {name.replace("_", " "): treated[name].astype(str).to_numpy() for name in shown},
        notes={m: f"silhouette {by_method.loc[m, 'silhouette']:z.2f}" for m in first},
    )
    save_figure(figure, folder / f"{_NAME}_latents.png")
    figure = new_figure(1.2 + 1.2 * len(first), 3.4)
    ylabel = f"silhouette of the {response}"
    pl.trials(results.table, ylabel=ylabel, ax=figure.subplots(), show=False, save=False)
    save_figure(figure, folder / f"{_NAME}_trials.png")
