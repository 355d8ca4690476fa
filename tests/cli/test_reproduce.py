"""``scsalient reproduce``."""

from __future__ import annotations

import inspect
import os

import pandas as pd
import pytest
from typer.testing import CliRunner

from scsalient.cli import app
from scsalient.experiments import _registry


def run(*arguments: object):
    return CliRunner().invoke(app, ["reproduce", *map(str, arguments)])


def test_prints_the_summary_and_names_the_files(tmp_path, monkeypatch):
    asked = {}

    def stand_in(*, trials, output_dir, n_jobs, quick, seed):
        asked.update(trials=trials, n_jobs=n_jobs, quick=quick, seed=seed)
        (output_dir / "small_latents.png").touch()
        return pd.DataFrame(
            {"method": ["A", "A", "B"], "silhouette": [0.25, 0.75, 0.125], "other": 1}
        )

    experiment = _registry.Experiment(stand_in, "small", ("method",), ("silhouette", "absent"))
    monkeypatch.setitem(_registry.EXPERIMENTS, "small", experiment)
    folder = tmp_path / "new" / "out"
    result = run(
        "small", "--trials", 2, "--n-jobs", 2, "--seed", 5, "--quick", "--output-dir", folder
    )
    assert result.exit_code == 0, result.output
    assert asked == {"trials": 2, "n_jobs": 2, "quick": True, "seed": 5}
    row = next(line for line in result.stdout.splitlines() if "│ A" in line)
    assert [cell.strip() for cell in row.split("│")[1:-1]] == ["A", "2", "0.50", "0.25", "0.75"]
    assert "0.12" in result.stdout
    assert "the numbers tell nothing of the methods" in " ".join(result.stdout.split())
    assert f"Figure:  {folder / 'small_latents.png'}" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nope"], "`FIGURE` should be one of"),
        (["rna-seq", "--n-jobs", "0"], "`--n-jobs` should be"),
        (["rna-seq", "--trials", "2", "--seed", str(2**32 - 1)], "`--seed` should be an integer"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, arguments, words):
    result = run(*arguments, "--output-dir", tmp_path / "out")
    assert result.exit_code == 2
    assert words in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["celeba", "grassy-mnist", "rna-seq"])
def test_data_of_something_else_are_told_by_the_option(tmp_path, name):
    (tmp_path / "wrong").mkdir()
    result = run(name, "--data", tmp_path / "wrong", "--output-dir", tmp_path / "out")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: `--data` should ")
    assert not (tmp_path / "out").exists()
    assert len(result.stderr.strip().splitlines()) == 1


def test_output_dir_that_is_a_file(tmp_path):
    file = tmp_path / "file"
    file.touch()
    result = run("rna-seq", "--output-dir", file)
    assert result.exit_code == 2
    assert "`--output-dir` should be a folder" in result.stderr


def test_help_names_every_experiment_and_each_can_be_pointed_to_data():
    words = " ".join(run("--help").stdout.split())
    for name, experiment in _registry.EXPERIMENTS.items():
        assert name in words
        assert {"trials", "data", "output_dir", "n_jobs", "quick", "seed"} <= set(
            inspect.signature(experiment.run).parameters
        )


def test_nothing_in_the_summary_is_cut_off_and_old_figures_are_not_named(tmp_path, monkeypatch):
    def stand_in(*, output_dir, **_options):
        (output_dir / "small_new.png").touch()
        return pd.DataFrame(
            {"method": ["a method of a long name"] * 2, **dict.fromkeys(metrics, 1)}
        )

    metrics = tuple(f"correlation_of_kind_{i}" for i in range(6))
    experiment = _registry.Experiment(stand_in, "small", ("method",), metrics)
    monkeypatch.setitem(_registry.EXPERIMENTS, "small", experiment)
    (tmp_path / "small_old.png").touch()
    os.utime(tmp_path / "small_old.png", (1, 1))
    result = run("small", "--output-dir", tmp_path)
    assert "…" not in result.stdout
    for words in ("a method of a long name", "correlation of kind 5", "small_new.png"):
        assert words in result.stdout
    assert "small_old.png" not in result.stdout


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (KeyboardInterrupt, 130, "Interrupted; finished trials are kept, and the same command"),
        (SystemExit, 143, "Terminated; finished trials are kept, and the same command"),
        (ImportError("needs scikit-image"), 2, "Error: needs scikit-image"),
    ],
)
def test_how_it_ends_early(tmp_path, monkeypatch, error, code, words):
    def stand_in(**_options):
        raise error

    experiment = _registry.Experiment(stand_in, "small", ("method",), ("a",))
    monkeypatch.setitem(_registry.EXPERIMENTS, "small", experiment)
    result = run("small", "--output-dir", tmp_path)
    assert result.exit_code == code
    assert words in result.stderr
