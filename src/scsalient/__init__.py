"""Contrastive analysis of single-cell data: the variation that only the target cells have."""

from importlib.metadata import version

from scsalient import baselines, datasets, metrics, pl
from scsalient.model import ContrastiveVAE, StandardVAE

__version__ = version("scsalient")

__all__ = [
    "ContrastiveVAE",
    "StandardVAE",
    "__version__",
    "baselines",
    "datasets",
    "metrics",
    "pl",
]
