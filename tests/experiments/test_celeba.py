"""Faces with glasses and hats."""

from __future__ import annotations

import matplotlib.image
import numpy as np
import pytest

from scsalient import experiments
from scsalient.experiments import _celeba

SMALL = {"image_size": 16, "n_target": 90, "n_background": 60, "max_epochs": 1}


@pytest.mark.usefixtures("forgets_data")
def test_drawn_faces_by_all_methods(tmp_path, monkeypatch):
    monkeypatch.setattr(_celeba, "_QUICK", SMALL)
    table = experiments.celeba(quick=True, output_dir=tmp_path)
    methods = ["VAE, paper", "cVAE, paper", "cVAE, default"]
    assert table["attribute"].tolist() == ["glasses"] * 3 + ["hat"] * 3
    assert table["method"].tolist() == methods * 2
    contrastive = table[table["model"] == "cVAE"]
    for factor in _celeba.FACTORS:
        assert table[f"{factor}_s"].between(0, 1).all()
        assert contrastive[f"{factor}_z"].between(0, 1).all()
    by_method = table.drop_duplicates("method").set_index("method")
    assert by_method.loc["cVAE, paper", ["network", "n_background_latent"]].tolist() == ["conv", 4]
    names = ["celeba_factors"]
    names += [f"celeba_{a}_{p}" for a in ("glasses", "hat") for p in ("sweeps", "denoised")]
    for name in names:
        assert np.ptp(matplotlib.image.imread(tmp_path / f"{name}.png")[..., :3]) > 0.5


def test_factors_have_as_many_categories_as_chance_counts_on():
    settings = {"attribute": "hat", "data": "drawn faces", **SMALL, "n_target": 200}
    faces = _celeba.face_images(settings)
    target = faces.obs[faces.obs["condition"] == "target"]
    for factor, n_categories in _celeba.FACTORS.items():
        assert target[factor].nunique() == n_categories


def test_a_folder_without_photographs_is_told_before_any_trial(tmp_path, monkeypatch):
    def never(*_args, **_kwargs):
        pytest.fail("A trial was to be run.")

    monkeypatch.setattr(_celeba, "run_trials", never)
    with pytest.raises(FileNotFoundError, match="`root` should hold img_align_celeba/"):
        experiments.celeba(data=tmp_path, output_dir=tmp_path / "out")


def test_bad_arguments(tmp_path):
    with pytest.raises(ValueError, match="`trials` should be an integer of at least 1"):
        experiments.celeba(trials=0, output_dir=tmp_path)
