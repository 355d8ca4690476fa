"""The commands as a whole."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

import scsalient
from scsalient.cli import app
from scsalient.likelihoods import LIKELIHOODS


def run(*arguments: str):
    return CliRunner().invoke(app, list(arguments))


def test_version():
    result = run("--version")
    assert result.exit_code == 0
    assert result.stdout == f"scsalient {scsalient.__version__}\n"


def test_help_lists_the_commands():
    result = run("--help")
    assert result.exit_code == 0
    assert "fit" in result.stdout
    assert "demo" in result.stdout


def test_help_of_fit_names_every_likelihood():
    text = run("fit", "--help").stdout
    assert [name for name in LIKELIHOODS if name not in text] == []


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["fit"], "Missing"),
        (["fit", "x.h5ad", "--nope"], "--nope"),
        (["nope"], "nope"),
        (["demo", "--max-epochs", "0"], "max-epochs"),
    ],
)
def test_wrong_usage(arguments, word):
    result = run(*arguments)
    assert result.exit_code == 2
    assert word in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize("arguments", [["--help"], ["fit", "--help"], ["--version"]])
def test_asking_for_help_imports_no_heavy_library(arguments):
    code = (
        "import sys; from scsalient.cli import app\n"
        f"try:\n    app({arguments!r})\n"
        "finally:\n"
        "    heavy = {'torch', 'scvi', 'scanpy', 'anndata', 'matplotlib', 'pandas', 'numpy'}\n"
        "    print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stderr == "[]\n"
    assert result.stdout
