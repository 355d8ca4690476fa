"""Digits on grass, and how the result depends on them."""

from __future__ import annotations

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from scsalient import experiments
from scsalient.experiments import _grassy_mnist, _sensitivity
from scsalient.experiments._grass import (
    check_grassy_folder,
    correlation,
    grassy_data,
    grassy_settings,
    is_target,
)

SMALL = {"n_target": 40, "n_background": 60, "max_epochs": 1}


def settings(**changes):
    known = {"n_target": 30, "n_background": 20} | changes
    return grassy_settings("paper", None, max_epochs=1, **known)


def is_drawn(path) -> bool:
    return bool(np.ptp(matplotlib.image.imread(path)[..., :3]) > 0.5)


def test_correlation_is_that_of_numpy():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 5, 7))
    expected = [np.corrcoef(x, y)[0, 1] for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(correlation(a, b), expected)
    np.testing.assert_allclose(correlation(3 * a + 1, a), 1)
    assert correlation(np.ones((1, 7)), b[:1]) == 0


def test_other_files_in_the_folder_are_other_data(tmp_path):
    def write(n):
        for name, values in (
            ("images-idx3", np.full((n, 28, 28), 9)), ("labels-idx1", np.arange(n) % 3),
        ):  # fmt: skip
            sizes = np.array(values.shape, dtype=">u4").tobytes()
            content = bytes([0, 0, 8, values.ndim]) + sizes + values.astype(np.uint8).tobytes()
            (tmp_path / f"t10k-{name}-ubyte").write_bytes(content)

    found = []
    for n in (6, 9):
        write(n)
        files = check_grassy_folder(tmp_path, output_dir=tmp_path / "results")
        given = grassy_settings("paper", tmp_path, max_epochs=1, n_background=5, **files)
        found.append((given["files"], int(is_target(grassy_data(given)).sum())))
    assert [n for _, n in found] == [6, 9]
    assert found[0][0] != found[1][0]


def test_amplitude_changes_the_target_alone():
    usual, half = grassy_data(settings()), grassy_data(settings(amplitude=1.0))
    target = is_target(usual)
    assert target.sum() == 30
    np.testing.assert_array_equal(usual.X[~target], half.X[~target])
    clean = usual.layers["clean"][target]
    np.testing.assert_allclose(usual.X[target] - clean, 2 * (half.X[target] - clean), atol=1e-6)


def test_noise_changes_the_background_alone():
    usual, noisy = grassy_data(settings()), grassy_data(settings(background_noise=1.0))
    target = is_target(usual)
    np.testing.assert_array_equal(usual.X[target], noisy.X[target])
    noise = (noisy.X - usual.X)[~target]
    assert abs(noise.std() - 1) < 4 / np.sqrt(noise.size)


@pytest.mark.usefixtures("forgets_data")
def test_digits_on_grass_by_all_methods(tmp_path, monkeypatch):
    monkeypatch.setattr(_grassy_mnist, "_QUICK", SMALL)
    table = experiments.grassy_mnist(quick=True, output_dir=tmp_path)
    assert table["method"].tolist() == [
        "VAE, paper",
        "VAE of 4, paper",
        "VAE, default",
        "VAE of 4, default",
        "VAE, clean digits",
        "cVAE, paper",
        "cVAE without biases, paper",
        "cVAE, default",
        "cVAE of 10, larger",
    ]
    by_method = table.set_index("method")
    assert table["silhouette"].between(-1, 1).all()
    assert by_method.loc["cVAE, paper", "n_background_latent"] == 2
    contrastive = table[table["model"] == "cVAE"]
    assert contrastive[["silhouette_background", "correlation_zero"]].notna().all(axis=None)
    # The clean digit itself is part of the image
    assert contrastive["correlation_input"].between(0.3, 0.9).all()
    assert contrastive["use_bias"].tolist() == [True, False, False, True]
    for name in ("latents", "trials", "sweeps", "denoised"):
        assert is_drawn(tmp_path / f"grassy_mnist_{name}.png")


@pytest.mark.usefixtures("forgets_data")
def test_sensitivity_runs_what_studies_share_once(tmp_path, monkeypatch):
    monkeypatch.setattr(_sensitivity, "_QUICK", SMALL)
    monkeypatch.setattr(_sensitivity, "_QUICK_SIZES", (1, 2))
    table = experiments.sensitivity(quick=True, output_dir=tmp_path)
    assert table["study"].drop_duplicates().tolist() == [
        "grass",
        "noise",
        "background in target",
        "target in background",
        "dimensions",
    ]
    curves = table[table["study"] != "dimensions"]
    assert (curves.groupby(["study", "method"]).size() == 2).all()
    # The usual setting is in every study, and a VAE knows no background
    usual = curves[(curves["amplitude"] == 2) & (curves["method"] == "cVAE, paper")]
    usual = usual[usual[["background_noise", "share_background_in_target"]].eq(0).all(axis=1)]
    usual = usual[usual["share_target_in_background"] == 0]
    assert len(usual) == 4
    assert usual["trial"].nunique() == 1
    vae = table[(table["study"] == "noise") & (table["method"] == "VAE, paper")]
    assert vae["silhouette"].nunique() == 1
    written = pd.read_csv(tmp_path / "sensitivity.csv")
    assert len(written) == table["trial"].nunique() < len(table)
    for name in ("curves", "dimensions"):
        assert is_drawn(tmp_path / f"sensitivity_{name}.png")


@pytest.mark.parametrize("name", ["grassy_mnist", "sensitivity"])
def test_bad_arguments(name, tmp_path):
    run = getattr(experiments, name)
    with pytest.raises(ValueError, match="`trials` should be an integer of at least 1"):
        run(trials=0, output_dir=tmp_path)
    with pytest.raises(FileNotFoundError, match="idx"):
        run(data=tmp_path, output_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []
