"""Promises that hold for the package as a whole."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
import scvi.model.base as scvi_base

import scsalient
from scsalient import _keys

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "src" / "scsalient").rglob("*.py"))
PAGES = sorted((ROOT / "docs").rglob("*.md"))

FIXED_NAMES = {
    "ContrastiveVAE",
    "StandardVAE",
    "baselines.contrastive_pca",
    "datasets.kang_2018",
    "datasets.pbmc_response",
    "datasets.simulate",
    "metrics.independence",
    "metrics.leakage",
    "metrics.silhouette",
    "pl.salient",
    "pl.training",
}
CONTRASTIVE_METHODS = {
    "denoise",
    "embed",
    "evidence",
    "generate",
    "get_elbo",
    "get_latent_representation",
    "get_reconstruction_error",
    "load",
    "save",
    "setup_anndata",
    "sweep",
    "train",
}
# Written by scanpy, not by us
SCANPY_KEYS = {"X_pca", "X_umap"}
# What docstrings say in `.slot["key"]` beside the names in `_keys`: columns of scanpy and
# scvi-tools, names made of a number or an argument, a column of a figure's own copy
OTHER_KEYS = {
    "highly_variable",
    "_scvi_...",
    "salient_0",
    "latent_0",
    "<key_added>_loadings",
    "cells",
}
# Methods that a user of scvi-tools already knows keep the order of its parameters
SCVI_METHODS = {
    name
    for base in (
        scvi_base.BaseModelClass,
        scvi_base.UnsupervisedTrainingMixin,
        scvi_base.VAEMixin,
    )
    for name in dir(base)
    if not name.startswith("_") and name != "setup_anndata"
}


def public_names() -> dict[str, object]:
    """Every public object by the name that a user writes after ``scsalient.``."""
    names = {}
    for name in scsalient.__all__:
        if name.startswith("__"):
            continue
        value = getattr(scsalient, name)
        if isinstance(value, ModuleType):
            names |= {f"{name}.{inner}": getattr(value, inner) for inner in value.__all__}
        else:
            names[name] = value
    return names


def own_methods(cls: type) -> dict[str, object]:
    """Public methods of a class that this package wrote."""
    return {
        name: function
        for name, function in inspect.getmembers(cls, inspect.isroutine)
        if not name.startswith("_")
        # Python 3.13 counts cached properties in
        and callable(function)
        and (getattr(function, "__module__", None) or "").startswith("scsalient")
    }


def documented_names() -> set[str]:
    """Entries of the autosummary tables of the API page, and the constants that it describes."""
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    entries = re.findall(r"^   ([A-Za-z_][\w.]*)$", page, flags=re.MULTILINE)
    return {*entries, *described_constants()}


def described_constants() -> set[str]:
    """Constants, which have no docstring, with the text that the API page has for them."""
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    entry = r"^\.\. py:data:: ([A-Za-z_][\w.]*)\n(?:   :.*\n)*\n   \S"
    return set(re.findall(entry, page, flags=re.MULTILINE))


def exported() -> Iterator[tuple[str, object]]:
    """Everything in the ``__all__`` of every room, public to users or not."""
    for room in pkgutil.iter_modules(scsalient.__path__):
        if room.ispkg and not room.name.startswith("_"):
            module = importlib.import_module(f"scsalient.{room.name}")
            for name in module.__all__:
                yield f"{room.name}.{name}", getattr(module, name)


def callables() -> Iterator[tuple[str, object]]:
    """Functions, methods and constructors whose signature this package decides on."""
    for name, value in exported():
        if inspect.isfunction(value):
            yield name, value
        elif inspect.isclass(value):
            foreign = [c for c in value.__mro__ if not c.__module__.startswith("scsalient")]
            for method, function in own_methods(value).items():
                inherited = method != "setup_anndata" and any(hasattr(c, method) for c in foreign)
                if not inherited and method not in SCVI_METHODS:
                    yield f"{name}.{method}", function
            if "__init__" in vars(value) and not dataclasses.is_dataclass(value):
                yield f"{name}.__init__", value.__init__


def n_positional(function: object) -> int:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(
        parameter.kind in kinds and name not in {"self", "cls"}
        for name, parameter in inspect.signature(function).parameters.items()
    )


def docstrings(source: Path) -> Iterator[str]:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, documented) and (text := ast.get_docstring(node)):
            yield text


def private_imports(source: Path) -> Iterator[str]:
    """Names with an underscore that a file imports from another package."""
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            package, *inner = name.split(".")
            if package not in {"scsalient", "__future__"}:
                if any(part.startswith("_") for part in inner):
                    yield name


def named_keys(text: str) -> set[str]:
    return set(re.findall(r"\bX_[a-z]\w*", text))


def slot_keys(text: str) -> set[str]:
    """Keys of AnnData's slots, as in ``.obsm["X_pca"]``."""
    return set(re.findall(r'\.(?:obs|obsm|var|varm|uns|layers|obsp)\["([^"]+)"\]', text))


def known_keys() -> set[str]:
    """Every name that `_keys` holds."""
    values = [value for name, value in vars(_keys).items() if name.isupper()]
    return {key for value in values for key in ([value] if isinstance(value, str) else value)}


def test_fixed_names_are_public():
    assert FIXED_NAMES - set(public_names()) == set()
    assert CONTRASTIVE_METHODS - set(dir(scsalient.ContrastiveVAE)) == set()


def test_public_names_are_imported_when_asked_for():
    code = (
        "import sys, scsalient; assert not {'torch', 'scvi', 'numpy'} & set(sys.modules);"
        "assert set(scsalient.__all__) <= set(dir(scsalient));"
        "from scsalient import *; assert callable(ContrastiveVAE.train) and callable(pl.salient);"
        "import scsalient.model; assert scsalient.ContrastiveVAE is scsalient.model.ContrastiveVAE"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_name_that_does_not_exist_is_an_attribute_error():
    assert not hasattr(scsalient, "ContrastiveVAEE")
    with pytest.raises(AttributeError, match="has no attribute 'nope'"):
        scsalient.nope  # noqa: B018


def test_all_lists_exist_without_repeats():
    for name, value in exported():
        assert value is not None, name
    assert len(scsalient.__all__) == len(set(scsalient.__all__))


def test_api_page_has_every_public_name():
    expected = set()
    for name, value in public_names().items():
        expected.add(name)
        if inspect.isclass(value) and issubclass(value, scvi_base.BaseModelClass):
            expected |= {f"{name}.{method}" for method in own_methods(value)}
    assert expected - documented_names() == set()


def test_api_page_has_no_name_that_is_gone():
    for name in documented_names():
        value = scsalient
        for part in name.split("."):
            assert hasattr(value, part), f"docs/api.md lists `{name}`, which does not exist."
            value = getattr(value, part)


def test_public_names_have_docstrings():
    missing = {name for name, value in public_names().items() if not inspect.getdoc(value)}
    assert missing - described_constants() == set()


def test_at_most_three_positional_parameters():
    offenders = {name: n for name, value in callables() if (n := n_positional(value)) > 3}
    assert offenders == {}


@pytest.mark.parametrize("model", ["ContrastiveVAE", "StandardVAE"])
def test_models_take_only_the_data_by_position(model):
    assert n_positional(getattr(scsalient, model).__init__) == 1


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT / "src")))
def test_docstrings_name_only_known_keys(path):
    texts = list(docstrings(path))
    known = known_keys() | SCANPY_KEYS
    assert {key for text in texts for key in named_keys(text)} - known == set()
    assert {key for text in texts for key in slot_keys(text)} - known - OTHER_KEYS == set()


def test_slot_keys_are_seen():
    assert slot_keys('Writes ``.obsm["a"]``, ``.uns["b"]`` and reads ``["c"]``.') == {"a", "b"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT / "src")))
def test_private_names_of_other_packages_are_imported_in_compat_only(path):
    # They move between releases, and one file is easily mended
    allowed = path == ROOT / "src" / "scsalient" / "_compat.py"
    assert allowed or list(private_imports(path)) == []


def test_private_imports_are_seen(tmp_path):
    source = tmp_path / "source.py"
    source.write_text(
        "import scvi.train._plans\nfrom scvi.model import _utils, base\n"
        "from scvi.data._constants import _X\nfrom scsalient._keys import OBS_ROLE\n"
        "from __future__ import annotations\n"
    )
    assert list(private_imports(source)) == [
        "scvi.train._plans",
        "scvi.model._utils",
        "scvi.data._constants._X",
    ]


@pytest.mark.parametrize(
    "path", [ROOT / "README.md", *PAGES], ids=lambda p: str(p.relative_to(ROOT))
)
def test_pages_name_only_known_keys(path):
    known = known_keys() | SCANPY_KEYS
    assert named_keys(path.read_text(encoding="utf-8")) - known == set()


def test_keys_do_not_repeat():
    obsm = [value for name, value in vars(_keys).items() if name.startswith("OBSM_")]
    uns = [value for name, value in vars(_keys).items() if name.startswith("UNS_")]
    assert len(set(obsm)) == len(obsm)
    assert len(set(uns)) == len(uns)


def test_changelog_and_citation_have_this_version():
    version = scsalient.__version__
    # Between releases changes stand under a heading without a number
    heading = "Unreleased" if ".dev" in version else version
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(rf"^## \[{re.escape(heading)}\]", changelog, flags=re.MULTILINE)
    assert re.search(rf"^version: {re.escape(version)}$", citation, flags=re.MULTILINE)


def test_readme_has_the_quick_start():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "\npip install -c constraints.txt . && scsalient demo\n" in readme
    assert '\npip install -c constraints.txt -e ".[test]" && pytest\n' in readme
