"""Contrastive analysis of single-cell data: the variation that only the target cells have."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scsalient import baselines, datasets, experiments, images, metrics, pl
    from scsalient.model import ContrastiveVAE, StandardVAE

__version__ = version("scsalient")

__all__ = [
    "ContrastiveVAE",
    "StandardVAE",
    "__version__",
    "baselines",
    "datasets",
    "experiments",
    "images",
    "metrics",
    "pl",
]

# PyTorch and scvi-tools take seconds to import, which `scsalient --help` should not wait for: a
# public name is imported when it is first asked for
_CLASSES = {"ContrastiveVAE": "scsalient.model", "StandardVAE": "scsalient.model"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    if name in _CLASSES:
        value = getattr(import_module(_CLASSES[name]), name)
    else:
        value = import_module(f"{__name__}.{name}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
