"""The commands as a whole."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

import scsalient
from scsalient.cli import app
from scsalient.cli._reporting import as_options
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
    assert "fit        Write both latents into a copy of a file.\n" in result.stdout
    assert "demo       See it work on 700 blood cells.\n" in result.stdout
    assert "reproduce  Repeat an experiment of the paper.\n" in result.stdout


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
        (["demo", "--seed", "4294967296"], "--seed"),
        (["reproduce", "rna-seq", "--seed", "4294967296"], "--seed"),
    ],
)
def test_wrong_usage(arguments, word):
    result = run(*arguments)
    assert result.exit_code == 2
    assert word in result.stderr
    assert "Traceback" not in result.output


def test_help_of_demo_tells_what_it_replaces():
    words = " ".join(run("demo", "--help").stdout.split())
    assert "Replaces demo.h5ad and demo.png of an earlier run" in words


@pytest.mark.parametrize("command", ["fit", "demo", "reproduce"])
def test_help_speaks_of_values_and_not_of_types(command):
    options = run(command, "--help").stdout.split("Options:")[1]
    assert "<" not in options.replace("<=", "")
    assert " N " in options


@pytest.mark.parametrize("command", ["fit", "demo", "reproduce"])
def test_no_option_has_the_name_of_its_value(command):
    # typer 0.27 would take the value's for the option's: --LAYER instead of --layer.
    values = re.findall(r"--([a-z-]+) +([A-Z]+)", run(command, "--help").stdout)
    assert ("output-dir", "DIR") in values or ("layer", "NAME") in values
    assert [option for option, value in values if option == value.lower()] == []


def test_help_tells_what_the_seed_of_reproduce_is():
    words = " ".join(run("reproduce", "--help").stdout.split())
    assert "--seed N Seed of the first trial; each further one takes the next." in words


@pytest.mark.parametrize("command", ["fit", "demo", "reproduce"])
def test_help_tells_the_highest_seed(command):
    assert "0<=x<=4294967295" in run(command, "--help").stdout


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("`train_size` of `adata`", "`--train-size` of `adata`"),
        ("`likelihood='nb'` or `likelihood=`", "`--likelihood nb` or `--likelihood`"),
        ("`root` and train_size", "`root` and train_size"),
        ("`--train-size`", "`--train-size`"),
    ],
)
def test_messages_for_python_speak_of_options(text, expected):
    assert as_options(text, {"train_size", "likelihood"}) == expected
    assert as_options("`root` and `mnist=`", {"data"}) == "`--data` and `--data`"


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
