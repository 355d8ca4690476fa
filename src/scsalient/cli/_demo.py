"""``scsalient demo``."""

from __future__ import annotations

import sys
import time
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scanpy as sc
import scvi
import typer
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

from scsalient import _keys, baselines, datasets, metrics
from scsalient.cli._files import check_writable, written_whole
from scsalient.cli._reporting import quiet, while_writing
from scsalient.experiments._fitting import check_trained_to_the_end
from scsalient.model import ContrastiveVAE, StandardVAE

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

_LAYER_LOG = "log_normalised"
_CONTROL = "control"
_OBSM_PCA = "X_pca"
# Two dimensions for every method, so that the figure shows all that the table measures
_N_DIMS = 2
_N_BACKGROUND = 10


@dataclass(frozen=True)
class _Result:
    """What a method found: where it stands and how well it tells responders apart."""

    name: str
    key: str
    n_dims: int
    response: float
    cell_type: float


_METHODS = (
    ("contrastive VAE, salient", _keys.OBSM_SALIENT),
    ("contrastive VAE, background", _keys.OBSM_BACKGROUND),
    ("standard VAE", _keys.OBSM_VAE),
    ("PCA", _OBSM_PCA),
    ("contrastive PCA", _keys.OBSM_CPCA),
)
_ALPHAS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)


def run_demo(output_dir: Path, *, seed: int, max_epochs: int | None) -> None:
    """Compare methods on the bundled data and write data and figure.

    Parameters
    ----------
    output_dir
        Folder for ``demo.h5ad`` and ``demo.png``, made if need be. Earlier ones are replaced.
    seed
        Seed of data and training.
    max_epochs
        Epochs of both VAEs; `None` for the default.

    Raises
    ------
    OSError
        When the folder cannot be made or written.
    """
    started = time.monotonic()
    if output_dir.exists() and not output_dir.is_dir():
        msg = f"`--output-dir` should be a folder, found the file {str(output_dir)!r}."
        raise NotADirectoryError(msg)
    output_dir.mkdir(parents=True, exist_ok=True)
    check_writable(output_dir)
    # Data this small gain nothing from more threads, which wait for each other for minutes where
    # another programme keeps a core busy; PyTorch's are among those limited
    with quiet(), threadpool_limits(1):
        adata = datasets.pbmc_response(seed=seed)
        target = (adata.obs[_keys.OBS_CONDITION] != _CONTROL).to_numpy()
        typer.echo(
            f"{target.sum()} treated and {(~target).sum()} control cells; half of the treated "
            "ones respond, which no method is told."
        )
        _embed(adata, target, seed=seed, max_epochs=max_epochs)
        results = [_result(adata[target], name, key) for name, key in _METHODS]
        _print_table([*results, _best_contrastive_pca(adata, target)])

        h5ad, png = output_dir / "demo.h5ad", output_dir / "demo.png"
        figure = _figure(adata[target].copy(), results)
        with while_writing(h5ad, png):
            with written_whole(h5ad) as part:
                adata.write_h5ad(part)
            with written_whole(png) as part:
                figure.savefig(part, dpi=150, format="png")
    typer.echo(f"Data:   {h5ad}")
    typer.echo(f"Figure: {png}")
    typer.echo(f"All done in {time.monotonic() - started:.0f} s")


def _embed(adata: AnnData, target: np.ndarray, *, seed: int, max_epochs: int | None) -> None:
    """Write the latents of all methods; what knows no background sees target cells only."""
    treated = adata[target].copy()
    ContrastiveVAE.setup_anndata(adata, _keys.OBS_CONDITION, _CONTROL, layer=_keys.LAYER_COUNTS)
    StandardVAE.setup_anndata(treated, layer=_keys.LAYER_COUNTS)
    scvi.settings.seed = seed
    contrastive = ContrastiveVAE(
        adata, n_salient_latent=_N_DIMS, n_background_latent=_N_BACKGROUND, likelihood="nb"
    )
    standard = StandardVAE(treated, n_latent=_N_DIMS, likelihood="nb")
    models: tuple[ContrastiveVAE | StandardVAE, ...] = (contrastive, standard)
    for model in models:
        typer.echo(f"Training {type(model).__name__} ...")
        with redirect_stdout(sys.stderr):
            model.train(max_epochs, accelerator="cpu", enable_progress_bar=sys.stderr.isatty())
        check_trained_to_the_end(model)
        model.embed(adata)

    # After training: scanpy's numba raises the number of threads, which slows the many small
    # steps of training down tenfold on a machine that is busy with something else
    adata.layers[_LAYER_LOG] = adata.layers[_keys.LAYER_COUNTS].copy()
    sc.pp.normalize_total(adata, target_sum=1e4, layer=_LAYER_LOG)
    sc.pp.log1p(adata, layer=_LAYER_LOG)
    values = adata.layers[_LAYER_LOG].toarray()
    pca = PCA(_N_DIMS, random_state=seed).fit(values[target])
    adata.obsm[_OBSM_PCA] = pca.transform(values).astype(np.float32)
    _contrastive_pca(adata, alpha=_ALPHAS)
    # What scvi-tools needs to find its data again is of no use in a file
    adata.obs = adata.obs.loc[:, ~adata.obs.columns.str.startswith("_scvi_")]
    for key in [key for key in adata.uns if key.startswith("_scvi_")]:
        del adata.uns[key]


def _result(treated: AnnData, name: str, key: str) -> _Result:
    latent = treated.obsm[key]
    response, cell_type = (
        metrics.silhouette(latent, treated.obs[column].astype(str))
        for column in (_keys.OBS_RESPONSE, _keys.OBS_CELL_TYPE)
    )
    return _Result(name, key, latent.shape[1], response, cell_type)


def _best_contrastive_pca(adata: AnnData, target: np.ndarray) -> _Result:
    """Contrastive PCA if somebody who knew the response had chosen its alpha."""
    candidates = []
    for alpha in _ALPHAS:
        other = adata.copy()
        _contrastive_pca(other, alpha=alpha)
        name = f"contrastive PCA, best alpha ({alpha:g}) *"
        candidates.append(_result(other[target], name, _keys.OBSM_CPCA))
    return max(candidates, key=lambda result: result.response)


def _contrastive_pca(adata: AnnData, *, alpha: float | tuple[float, ...]) -> None:
    """Write the components; of several alphas the one is taken that shows clear clusters."""
    baselines.contrastive_pca(
        adata,
        _keys.OBS_CONDITION,
        _CONTROL,
        layer=_LAYER_LOG,
        n_components=_N_DIMS,
        alpha=alpha,
    )


def _print_table(results: list[_Result]) -> None:
    table = Table(title="Silhouette among the treated cells (1: apart, 0: mixed)")
    table.add_column("latents")
    table.add_column("dimensions", justify="right")
    table.add_column("response", justify="right")
    table.add_column("cell type", justify="right")
    for result in results:
        table.add_row(
            result.name,
            str(result.n_dims),
            _score(result.response),
            _score(result.cell_type),
        )
    table.caption = "* chosen by the response itself, as nobody could who does not know it"
    Console().print(table)


def _score(value: float) -> str:
    return f"{value:z.2f}"


def _figure(treated: AnnData, results: list[_Result]) -> Figure:
    """One column per method, coloured by response and by cell type."""
    columns = (_keys.OBS_RESPONSE, _keys.OBS_CELL_TYPE)
    figure = Figure(figsize=(13, 5.8), layout="constrained")
    axes = figure.subplots(len(columns), len(results))
    for i, result in enumerate(results):
        latent = treated.obsm[result.key]
        if latent.shape[1] > 2:
            latent = PCA(2, random_state=0).fit_transform(latent)
        treated.obsm["shown"] = latent
        for j, column in enumerate(columns):
            ax = axes[j, i]
            sc.pl.embedding(
                treated,
                "shown",
                color=column,
                ax=ax,
                show=False,
                size=45,
                alpha=0.8,
                linewidths=0,
                legend_loc="right margin" if i == len(results) - 1 else None,
                title="",
            )
            ax.set(xlabel="", ylabel="")
            score = result.response if j == 0 else result.cell_type
            in_all = f"\nin all {result.n_dims} dimensions" if result.n_dims > 2 else ""
            ax.set_xlabel(f"silhouette {_score(score)}{in_all}")
        axes[0, i].set_title(result.name.replace(", ", ",\n"), fontsize="large")
    for j, label in enumerate(("planted response", "cell type")):
        axes[j, 0].set_ylabel(label, fontsize="large")
    return figure
