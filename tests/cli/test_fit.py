"""``scsalient fit``."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from factories import make_counts
from scsalient import ContrastiveVAE
from scsalient.cli import app
from scsalient.cli._fit import as_categories

if TYPE_CHECKING:
    from pathlib import Path

QUICK = ["--max-epochs", "1", "--accelerator", "cpu"]
SMALL = ["--n-salient-latent", "2", "--n-background-latent", "3"]


@pytest.fixture
def cells(tmp_path):
    path = tmp_path / "cells.h5ad"
    adata = make_counts()
    adata.layers["counts"] = adata.X.copy()
    adata.layers["halves"] = adata.X / 2
    adata.obs["dose"] = np.repeat([10, 0], [60, 40])
    adata.obs["is_control"] = adata.obs["condition"] == "control"
    adata.uns["note"] = "mine"
    adata.obsm["X_mine"] = np.ones((adata.n_obs, 2))
    adata.write_h5ad(path)
    return path


def fit(cells: Path, output: Path, *more: str, key: str = "condition", background: str = "control"):
    options = ["--condition-key", key, "--background", background, "--output", str(output)]
    return CliRunner().invoke(app, ["fit", str(cells), *options, *QUICK, *SMALL, *more])


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def assert_fails(result, *words: str) -> None:
    """One line on stderr, exit code 2, and no traceback."""
    assert result.exit_code == 2, result.output
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("Error: ")
    for word in words:
        assert word in lines[0]


def test_writes_latents_into_a_copy(cells, tmp_path):
    before, output = digest(cells), tmp_path / "out.h5ad"
    result = fit(cells, output)
    assert result.exit_code == 0, result.output
    assert digest(cells) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cells.h5ad", "out.h5ad"]

    source, copy = anndata.read_h5ad(cells), anndata.read_h5ad(output)
    assert copy.obsm["X_cvae_salient"].shape == (100, 2)
    assert copy.obsm["X_cvae_background"].shape == (100, 3)
    assert np.isfinite(copy.obsm["X_cvae_salient"]).all()
    assert copy.uns["cvae"]["condition_key"] == "condition"
    assert list(copy.uns["cvae"]["background"]) == ["control"]
    assert list(copy.uns["cvae"]["target"]) == ["treated"]
    pd.testing.assert_frame_equal(copy.obs, source.obs)
    assert set(copy.uns) == {"note", "cvae"}
    assert set(copy.obsm) == {"X_mine", "X_cvae_salient", "X_cvae_background"}
    assert (copy.X != source.X).nnz == 0
    assert "60 target, 40 background, 0 neither" in result.stdout
    assert "1 epoch;" in result.stdout
    assert "Outcome: Cannot tell" in result.stdout
    assert "with a smaller `--train-size`" in result.stdout
    assert str(output) in result.stdout


def test_same_seed_same_latents(cells, tmp_path):
    latents = []
    for name, seed in [("a.h5ad", "1"), ("b.h5ad", "1"), ("c.h5ad", "2")]:
        assert fit(cells, tmp_path / name, "--seed", seed).exit_code == 0
        latents.append(anndata.read_h5ad(tmp_path / name).obsm["X_cvae_salient"])
    np.testing.assert_array_equal(latents[0], latents[1])
    assert not np.allclose(latents[0], latents[2])


def test_options_reach_the_model(cells, tmp_path):
    model_dir = tmp_path / "deep" / "model"
    more = ["--target", "treated", "--layer", "counts", "--batch-key", "batch"]
    more += ["--likelihood", "poisson", "--model-dir", str(model_dir)]
    result = fit(cells, tmp_path / "out.h5ad", *more)
    assert result.exit_code == 0, result.output
    model = ContrastiveVAE.load(model_dir, adata=anndata.read_h5ad(cells))
    assert model.roles.target == ("treated",)
    assert model.registry["setup_args"]["layer"] == "counts"
    assert model.registry["setup_args"]["batch_key"] == "batch"
    assert model.init_params_["non_kwargs"]["likelihood"] == "poisson"
    np.testing.assert_allclose(
        model.get_latent_representation(),
        anndata.read_h5ad(tmp_path / "out.h5ad").obsm["X_cvae_salient"],
        atol=1e-5,
    )


@pytest.mark.parametrize(("key", "background"), [("dose", "0"), ("is_control", "true")])
def test_categories_that_are_not_text(cells, tmp_path, key, background):
    output = tmp_path / "out.h5ad"
    result = fit(cells, output, key=key, background=background)
    assert result.exit_code == 0, result.output
    assert "60 target, 40 background" in result.stdout


def test_repeated_categories(cells, tmp_path):
    adata = anndata.read_h5ad(cells)
    adata.obs["group"] = np.resize(["c1", "c2", "t1", "t2", "x"], adata.n_obs)
    path = tmp_path / "groups.h5ad"
    adata.write_h5ad(path)
    more = ["--background", "c2", "--target", "t1", "--target", "t2"]
    result = fit(path, tmp_path / "out.h5ad", *more, key="group", background="c1")
    assert result.exit_code == 0, result.output
    assert "40 target, 40 background, 20 neither" in result.stdout


@pytest.mark.parametrize(
    ("present", "texts", "expected"),
    [
        (["a", "b"], ["b", "zzz"], ["b", "zzz"]),
        ([0, 1, 10], ["1", "10"], [1, 10]),
        ([0.0, 0.5], ["0", ".5"], [0.0, 0.5]),
        ([True, False], ["false", "True"], [False, True]),
        (["1", "01"], ["01"], ["01"]),
        (["a", None], ["a"], ["a"]),
    ],
)
def test_as_categories(present, texts, expected):
    found = as_categories(pd.Series(present), texts)
    assert found == expected
    assert as_categories(pd.Series(present, dtype="category"), texts) == expected


def test_output_must_not_be_the_input(cells, tmp_path, monkeypatch):
    before = digest(cells)
    link, hard = tmp_path / "link.h5ad", tmp_path / "hard.h5ad"
    link.symlink_to(cells)
    hard.hardlink_to(cells)
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    roundabout = tmp_path / "sub" / ".." / "cells.h5ad"
    for output in (cells, link, hard, roundabout, cells.relative_to(tmp_path)):
        assert_fails(fit(cells, output, "--overwrite"), "which is the input")
    assert_fails(fit(link, cells, "--overwrite"), "which is the input")
    assert digest(cells) == before


def test_overwrite(cells, tmp_path):
    output = tmp_path / "out.h5ad"
    output.write_text("precious")
    assert_fails(fit(cells, output), "exists", "`--overwrite`")
    assert output.read_text() == "precious"
    assert fit(cells, output, "--overwrite").exit_code == 0
    assert "X_cvae_salient" in anndata.read_h5ad(output).obsm


def test_model_dir_is_not_overwritten(cells, tmp_path):
    model_dir = tmp_path / "model"
    model_dir.mkdir()
    (model_dir / "model.pt").write_text("precious")
    more = ["--model-dir", str(model_dir)]
    assert_fails(fit(cells, tmp_path / "out.h5ad", *more), "--model-dir", "which has files")
    assert not (tmp_path / "out.h5ad").exists()
    assert fit(cells, tmp_path / "out.h5ad", *more, "--overwrite").exit_code == 0
    same = tmp_path / "same.h5ad"
    assert_fails(fit(cells, same, "--model-dir", str(same)), "--model-dir", "should differ")
    assert not same.exists()
    file = tmp_path / "file"
    file.touch()
    assert_fails(fit(cells, tmp_path / "o.h5ad", "--model-dir", str(file)), "found the file")


def test_nothing_is_left_when_it_fails(cells, tmp_path, monkeypatch):
    output = tmp_path / "out.h5ad"
    output.write_text("precious")

    def no_space(*_args):
        message = "No space left on device"
        raise OSError(message)

    monkeypatch.setattr("scsalient.cli._fit.shutil.copyfile", no_space)
    assert_fails(fit(cells, output, "--overwrite"), "No space left")
    assert output.read_text() == "precious"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cells.h5ad", "out.h5ad"]


def test_interrupt(cells, tmp_path, monkeypatch):
    def interrupted(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(ContrastiveVAE, "train", interrupted)
    result = fit(cells, tmp_path / "out.h5ad")
    assert result.exit_code == 130
    assert result.stderr == "Interrupted; nothing was written.\n"
    assert not (tmp_path / "out.h5ad").exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_interrupted_while_it_writes(cells, tmp_path, monkeypatch, error):
    def interrupted(*_args, **_kwargs):
        raise error

    monkeypatch.setattr(ContrastiveVAE, "save", interrupted)
    output, folder = tmp_path / "out.h5ad", tmp_path / "model"
    result = fit(cells, output, "--model-dir", str(folder))
    assert result.exit_code in (130, 143)
    expected = f"; {str(output)!r} and {str(folder)!r} may be there already.\n"
    assert result.stderr.endswith(expected)
    assert output.is_file()


def test_interrupted_while_it_is_tested(cells, tmp_path, monkeypatch):
    def interrupted(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(ContrastiveVAE, "evidence", interrupted)
    output = tmp_path / "out.h5ad"
    assert fit(cells, output).stderr.endswith("Interrupted; nothing was written.\n")
    assert not output.exists()


def test_terminated_by_a_scheduler(cells, tmp_path, monkeypatch):
    def terminated(*_args, **_kwargs):
        raise SystemExit

    monkeypatch.setattr(ContrastiveVAE, "train", terminated)
    result = fit(cells, tmp_path / "out.h5ad")
    assert result.exit_code == 143
    assert result.stderr == "Terminated; nothing was written.\n"


def test_missing_input(tmp_path):
    assert_fails(fit(tmp_path / "nope.h5ad", tmp_path / "out.h5ad"), "nope.h5ad", "does not exist")


@pytest.mark.parametrize("text", ["", "hello"])
def test_input_that_is_no_hdf5(tmp_path, text):
    path = tmp_path / "text.h5ad"
    path.write_text(text)
    assert_fails(fit(path, tmp_path / "out.h5ad"), "text.h5ad' is no .h5ad file")


@pytest.mark.parametrize("name", ["matrix/data", "matrix", "GRCh38/data"])
def test_input_of_10x_or_loom(tmp_path, name):
    path = tmp_path / "cells.h5"
    with h5py.File(path, "w") as file:
        file[name] = np.ones((3, 2))
    words = ["is no .h5ad file", "`scanpy.read_10x_h5`", "`anndata.io.read_loom`"]
    assert_fails(fit(path, tmp_path / "out.h5ad"), *words)


def test_input_that_is_cut_off(cells, tmp_path):
    cells.write_bytes(cells.read_bytes()[:-900])
    assert_fails(fit(cells, tmp_path / "out.h5ad"), "cannot be read as .h5ad", "truncated")


def test_input_that_is_a_folder(tmp_path):
    assert_fails(fit(tmp_path, tmp_path / "out.h5ad"), "an .h5ad file, found the folder")


@pytest.mark.parametrize("name", ["out.csv", "out", "out.h5"])
def test_output_of_another_format(cells, tmp_path, name):
    assert_fails(fit(cells, tmp_path / name), "`--output` should end in .h5ad", name)
    assert not (tmp_path / name).exists()


def test_missing_folder(cells, tmp_path):
    assert_fails(fit(cells, tmp_path / "nowhere" / "out.h5ad"), "nowhere", "does not exist")
    assert_fails(fit(cells, tmp_path), "should be a file", "folder")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"key": "nope"}, ["`--condition-key`", "'nope'", "'condition'"]),
        ({"key": "Condition"}, ["Did you mean 'condition'?"]),
        ({"background": "nope"}, ["`--background`", "['nope']", "'treated'"]),
        ({"background": "Control"}, ["Did you mean 'control'?"]),
    ],
)
def test_wrong_column_or_category(cells, tmp_path, change, words):
    assert_fails(fit(cells, tmp_path / "out.h5ad", **change), *words)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--target", "nope"], ["`--target`", "['nope']"]),
        (["--target", "control"], ["no category in common"]),
        (["--likelihood", "cauchy"], ["`--likelihood`", "'cauchy'", "'nb'"]),
        (["--layer", "nope"], ["'nope'", "'counts'", "one of these, or no `--layer` for"]),
        (["--layer", "halves"], ["`--layer`, or choose `--likelihood gaussian`"]),
        (["--batch-key", "nope"], ["`--batch-key`", "'nope'"]),
        (["--balance-key", "nope"], ["`--balance-key`", "'nope'"]),
        (["--balance-key", "batch", "--balance-key", "dose"], ["`--balance-key`", "coincides"]),
        (["--n-salient-latent", "0"], ["`--n-salient-latent`", "0"]),
        (["--train-size", "90"], ["`--train-size` should be a number in (0, 1]"]),
        (["--accelerator", "abacus"], ["accelerator", "abacus"]),
        (["--likelihood", "bernoulli"], ["expects values from 0 to 1"]),
    ],
)
def test_wrong_options(cells, tmp_path, more, words):
    assert_fails(fit(cells, tmp_path / "out.h5ad", *more), *words)
    assert not (tmp_path / "out.h5ad").exists()


def test_key_errors_have_no_stray_quotes(cells, tmp_path):
    result = fit(cells, tmp_path / "out.h5ad", key="nope")
    assert result.stderr.startswith("Error: `--condition-key`")
    assert not result.stderr.strip().endswith(("'", '"'))


def test_debug_raises(cells, tmp_path, monkeypatch):
    monkeypatch.setenv("SCSALIENT_DEBUG", "1")
    result = fit(cells, tmp_path / "out.h5ad", key="nope")
    assert isinstance(result.exception, KeyError)


def test_an_accelerator_that_lacks_a_package_is_named(cells, tmp_path, monkeypatch):
    def lacking(*_args, **_kwargs):
        message = "Requirement 'torch_xla>=1.13' not met."
        raise ModuleNotFoundError(message)

    monkeypatch.setattr(ContrastiveVAE, "train", lacking)
    result = fit(cells, tmp_path / "out.h5ad", "--accelerator", "tpu")
    assert_fails(result, "`--accelerator tpu` cannot be used here: Requirement 'torch_xla")


def test_warnings_about_the_outcome_are_one_line_too(cells, tmp_path):
    copies = anndata.read_h5ad(cells)
    copies.X = copies.X[np.resize([0, 99], 100)]
    copies.write_h5ad(cells)
    result = fit(cells, tmp_path / "out.h5ad")
    assert result.exit_code == 0, result.output
    assert "Warning: `evidence` needs held-out cells that are no copies" in result.stderr
    assert ".py" not in result.stderr


def test_warnings_are_one_line_each(cells, tmp_path):
    result = fit(cells, tmp_path / "out.h5ad", "--batch-key", "dose")
    assert result.exit_code == 0, result.output
    assert "Warning: `--batch-key` column 'dose' coincides" in result.stderr
    assert ".py" not in result.stderr


def test_balanced_columns_reach_training_and_evidence(cells, tmp_path, monkeypatch):
    asked = {}
    train, evidence = ContrastiveVAE.train, ContrastiveVAE.evidence

    def watched_train(self, *args, **kwargs):
        asked["balance_keys"] = kwargs["balance_keys"]
        return train(self, *args, **kwargs)

    def watched_evidence(self, **kwargs):
        asked.update(kwargs)
        return evidence(self, **kwargs)

    monkeypatch.setattr(ContrastiveVAE, "train", watched_train)
    monkeypatch.setattr(ContrastiveVAE, "evidence", watched_evidence)
    result = fit(cells, tmp_path / "out.h5ad", "--balance-key", "batch")
    assert result.exit_code == 0, result.output
    assert asked == {"balance_keys": ["batch"], "within": ["batch"]}
