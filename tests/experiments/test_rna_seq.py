from __future__ import annotations

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from factories import make_model
from scsalient import datasets, experiments
from scsalient.experiments._presets import PRESETS

METHODS = [
    "VAE, paper",
    "VAE, default",
    "cVAE, paper",
    "cVAE, default",
    "contrastive PCA",
    "ContrastiveVI",
]


def test_paper_preset_has_no_penalties_and_the_logistic_discriminator():
    settings = PRESETS["paper"].settings()
    assert settings["discriminator"] == "logistic"
    assert settings["mmd_weight"] == settings["background_salient_weight"] == 0
    assert (settings["n_hidden"], settings["gaussian_variance"]) == (128, "fixed")
    assert PRESETS["paper"].train["plan_kwargs"]["lr"] == 1e-3
    assert PRESETS["paper"].train["batch_size"] == 128


def test_default_preset_is_that_of_the_model():
    settings = PRESETS["default"].settings(seed=3)
    assert settings["seed"] == 3
    used = make_model().init_params_["non_kwargs"]
    sizes = {"n_salient_latent", "n_background_latent", "n_hidden"}
    known = used.keys() & settings.keys() - sizes
    assert {"mmd_weight", "tc_weight", "likelihood", "decoder", "use_bias"} <= known
    assert {name: settings[name] for name in known} == {name: used[name] for name in known}


@pytest.mark.usefixtures("forgets_data")
def test_all_methods_side_by_side(tmp_path):
    table = experiments.rna_seq(trials=1, max_epochs=1, output_dir=tmp_path)
    assert table["method"].tolist() == METHODS
    assert table["silhouette"].between(-1, 1).all()
    assert table.loc[table["model"] == "cVAE", "silhouette_background"].notna().all()
    assert table.loc[table["model"] != "contrastive PCA", "n_epochs"].eq(1).all()
    # Contrastive PCA is not trained, so that its number does not depend on the epochs
    assert table.set_index("method").loc["contrastive PCA", "silhouette"] > 0.1
    for name in ("latents", "trials"):
        image = matplotlib.image.imread(tmp_path / f"rna_seq_{name}.png")
        assert np.ptp(image[..., :3]) > 0.5

    before = pd.read_csv(tmp_path / "rna_seq.csv")
    again = experiments.rna_seq(trials=1, max_epochs=1, output_dir=tmp_path)
    np.testing.assert_allclose(again["silhouette"], table["silhouette"])
    assert pd.read_csv(tmp_path / "rna_seq.csv").equals(before)


def test_the_cells_of_the_paper_where_they_are_at_hand(tmp_path, monkeypatch):
    adata = datasets.simulate(90, n_genes=12, seed=0)
    stage = np.where(np.arange(90) % 2, "pre-transplant", "post-transplant")
    control = (adata.obs["condition"] == "control").to_numpy()
    adata.obs["stage"] = np.where(control, "healthy", stage)
    adata.obs["condition"] = np.where(control, "healthy", "patient")
    del adata.obs["cell_type"]
    asked = []
    monkeypatch.setattr(
        datasets, "zheng_2017", lambda *, root: asked.append(root) or adata.copy(), raising=True
    )
    root = tmp_path / "marrow"
    root.mkdir()
    table = experiments.rna_seq(trials=1, max_epochs=1, data=root, output_dir=tmp_path)
    assert asked == [root]
    assert table["method"].tolist() == METHODS
    assert table["data"].eq("zheng_2017").all()
    assert "silhouette_cell_type" not in table
    assert table["silhouette"].between(-1, 1).all()
    # Other files are other trials
    (root / "new.tar.gz").touch()
    experiments.rna_seq(trials=1, max_epochs=1, data=root, output_dir=tmp_path)
    assert len(pd.read_csv(tmp_path / "rna_seq.csv")) == 2 * len(METHODS)


def test_no_trials(tmp_path):
    with pytest.raises(ValueError, match="`trials` should be an integer of at least 1"):
        experiments.rna_seq(trials=0, output_dir=tmp_path)
