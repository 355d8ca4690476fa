"""Every experiment by the name that the command line knows it by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from scsalient.experiments._celeba import celeba
from scsalient.experiments._grassy_mnist import grassy_mnist
from scsalient.experiments._rna_seq import rna_seq
from scsalient.experiments._sensitivity import sensitivity

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd


@dataclass(frozen=True)
class Experiment:
    """An experiment and how its table is summed up.

    Attributes
    ----------
    run
        Function that runs it, writes its files and returns its table.
    prefix
        What the names of its files start with.
    by
        Columns that tell its settings apart.
    metrics
        Columns to sum up.
    """

    run: Callable[..., pd.DataFrame]
    prefix: str
    by: tuple[str, ...]
    metrics: tuple[str, ...]


EXPERIMENTS: Final = {
    "grassy-mnist": Experiment(
        grassy_mnist,
        "grassy_mnist",
        ("method",),
        (
            "silhouette",
            "silhouette_background",
            "correlation_zero",
            "correlation_difference",
            "seconds",
        ),
    ),
    "rna-seq": Experiment(
        rna_seq,
        "rna_seq",
        ("method",),
        ("silhouette", "silhouette_background", "silhouette_cell_type", "seconds"),
    ),
    "celeba": Experiment(
        celeba,
        "celeba",
        ("attribute", "method"),
        ("accessory_style_s", "accessory_style_z", "backdrop_s", "backdrop_z", "seconds"),
    ),
    "sensitivity": Experiment(
        sensitivity,
        "sensitivity",
        ("study", "method", "value"),
        ("silhouette", "silhouette_background", "seconds"),
    ),
}
