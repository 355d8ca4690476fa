"""``scsalient demo``."""

from __future__ import annotations

import re

import anndata
import matplotlib.image
import numpy as np
from typer.testing import CliRunner

from scsalient.cli import app
from scsalient.cli._demo import _figure, _result

METHODS = [
    "contrastive VAE, salient",
    "contrastive VAE, background",
    "standard VAE",
    "PCA",
    "contrastive PCA",
]


def test_prints_one_table_and_writes_data_and_figure(tmp_path):
    folder = tmp_path / "new" / "demo"
    result = CliRunner().invoke(app, ["demo", "--output-dir", str(folder), "--max-epochs", "1"])
    assert result.exit_code == 0, result.output
    for method in METHODS:
        assert method in result.stdout
    assert result.stdout.count("┏") == 1
    assert sorted(path.name for path in folder.iterdir()) == ["demo.h5ad", "demo.png"]
    # Rich wraps nothing that `echo` prints
    assert f"Data:   {folder / 'demo.h5ad'}" in result.stdout
    assert f"Figure: {folder / 'demo.png'}" in result.stdout

    adata = anndata.read_h5ad(folder / "demo.h5ad")
    for key in ("X_cvae_salient", "X_vae", "X_pca", "X_cpca"):
        assert adata.obsm[key].shape == (700, 2)
        assert np.isfinite(adata.obsm[key]).all()
    assert adata.obsm["X_cvae_background"].shape == (700, 10)
    names = [*adata.obs, *adata.uns]
    assert [name for name in names if name.startswith("_scvi")] == []

    height, width, _ = matplotlib.image.imread(folder / "demo.png").shape
    assert width > 2 * height


def test_figure_says_where_a_score_is_of_more_than_it_shows():
    adata = anndata.AnnData(np.ones((40, 2)))
    for column in ("response", "cell_type"):
        adata.obs[column] = ["a", "b"] * 20
    rng = np.random.default_rng(0)
    adata.obsm = {"two": rng.normal(size=(40, 2)), "ten": rng.normal(size=(40, 10))}
    results = [_result(adata, key, key) for key in ("two", "ten")]
    figure = _figure(adata, results)
    figure.draw_without_rendering()
    for axes in (figure.axes[:2], figure.axes[2:]):
        endings = [re.sub(r"silhouette -?0\.\d\d", "", axis.get_xlabel()) for axis in axes]
        assert endings == ["", "\nin all 10 dimensions"]


def test_output_dir_that_cannot_be_used(tmp_path):
    file = tmp_path / "file"
    file.touch()
    for folder in (file, file / "below"):
        result = CliRunner().invoke(app, ["demo", "--output-dir", str(folder)])
        assert result.exit_code == 2
        assert result.stderr.startswith("Error: ")
        assert "file" in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1
