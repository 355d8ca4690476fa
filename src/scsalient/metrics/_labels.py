"""What latents say about a label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import silhouette_score
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from scsalient._arguments import check_integer
from scsalient._random import generator

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def silhouette(
    latent: ArrayLike, labels: ArrayLike, *, max_cells: int = 10_000, seed: int = 0
) -> float:
    """Mean silhouette of labels in a latent space.

    The measure is Rousseeuw's (1987); section 4 of Abid and Zou (2019) uses it. It is high where
    the cells of each label lie close together and apart from the others.

    Parameters
    ----------
    latent
        Shape ``(n_cells, n_latent)``.
    labels
        One label per cell, two different ones at least, and fewer than cells.
    max_cells
        A random sample of so many cells, of every label some, is used if there are more.
    seed
        Seed of the sample.

    Returns
    -------
    From -1 to 1; near 0 when the labels overlap.

    Raises
    ------
    TypeError
        When `max_cells` or `seed` is no integer, or the latent a sparse matrix or an AnnData.
    ValueError
        When shapes do not fit, a table and a column have different indexes, values are not
        finite, there is only one label or one for each cell, or more than ``max_cells`` allow
        for.
    """
    values, codes = _checked(latent, labels)
    n_labels = codes.max() + 1
    check_integer("max_cells", max_cells, low=1 + n_labels)
    check_integer("seed", seed, low=0)
    if n_labels == len(codes):
        msg = f"`labels` should be shared by some cells, found {n_labels} for {len(codes)} cells."
        raise ValueError(msg)
    if len(values) > max_cells:
        rows = _sampled(codes, max_cells, seed)
        values, codes = values[rows], codes[rows]
    return float(silhouette_score(values, codes))


def _sampled(codes: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Positions of a random sample that has every label."""
    order = generator(seed, "silhouette").permutation(len(codes))
    _, first = np.unique(codes[order], return_index=True)
    # One of each label, then the others in random order
    return np.concatenate([order[first], np.delete(order, first)])[:n]


def leakage(latent: ArrayLike, labels: ArrayLike, *, n_splits: int = 5, seed: int = 0) -> float:
    """How much of a label a linear classifier reads from a latent.

    Cross-validated balanced accuracy of a logistic regression on standardised latents, in which
    all labels weigh the same, rescaled so that 0 is chance and 1 is perfect.

    Parameters
    ----------
    latent
        Shape ``(n_cells, n_latent)``.
    labels
        One label per cell, each on ``n_splits`` cells at least.
    n_splits
        Folds of the cross-validation, 2 at least.
    seed
        Seed of the folds.

    Returns
    -------
    At most 1; around 0 is chance.

    Raises
    ------
    TypeError
        When `n_splits` or `seed` is no integer, or the latent as in :func:`silhouette`.
    ValueError
        As in :func:`silhouette`, or when a label has too few cells.

    Notes
    -----
    The *condition* of cells that a contrastive model was trained on is a special case. The
    discrepancy makes the background latents of both groups alike in these very cells, so that the
    result is too low, and below 0 with few cells. Ask cells that it was not trained on, for
    instance those at ``model.validation_indices`` or in other data, of which there should be some
    hundred.
    """
    values, codes = _checked(latent, labels)
    counts = np.bincount(codes)
    check_integer("n_splits", n_splits, low=2)
    check_integer("seed", seed, low=0, high=2**32 - 1)
    if counts.min() < n_splits:
        msg = (
            f"`labels` should have at least `n_splits` = {n_splits} cells of each label, found "
            f"{counts.min()}. Leave out rare labels, or lower `n_splits`."
        )
        raise ValueError(msg)
    folds = StratifiedKFold(n_splits, shuffle=True, random_state=seed)
    # Else it would call all cells by the label of most
    regression = LogisticRegression(max_iter=1000, class_weight="balanced")
    classifier = make_pipeline(StandardScaler(), regression)
    scores = cross_val_score(classifier, values, codes, cv=folds, scoring="balanced_accuracy")
    chance = 1 / len(counts)
    return float((scores.mean() - chance) / (1 - chance))


def _check_order(latent: Any, labels: Any) -> None:
    """Rows are matched by position, which names of cells in another order speak against."""
    if not isinstance(latent, pd.DataFrame) or not isinstance(labels, pd.Series):
        return
    one, other = latent.index, labels.index
    if len(one) == len(other) and not one.equals(other) and one.isin(other).any():
        msg = (
            "`labels` should have the index of `latent`, found the same names in another order or "
            "at other cells. Pass `labels.loc[latent.index]`."
        )
        raise ValueError(msg)


def _checked(latent: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    if sparse.issparse(latent) or isinstance(latent, AnnData):
        advice = (
            'a column of `.obsm`, such as `adata.obsm["X_cvae_salient"]`'
            if isinstance(latent, AnnData)
            else "`latent.toarray()`"
        )
        msg = f"`latent` should be an array, found {type(latent).__name__}. Pass {advice}."
        raise TypeError(msg)
    _check_order(latent, labels)
    values = np.asarray(latent, dtype=np.float64)
    if values.ndim != 2:
        msg = f"`latent` should have shape (n_cells, n_latent), found {values.shape}."
        raise ValueError(msg)
    if not np.isfinite(values).all():
        msg = "`latent` should be finite, found NaN or infinite values."
        raise ValueError(msg)
    # In a list of text, NumPy makes a word of what is missing
    found = np.asarray(labels) if hasattr(labels, "dtype") else np.asarray(labels, dtype=object)
    if found.ndim != 1:
        msg = f"`labels` should have one axis, found {found.ndim}. Pass a single column."
        raise ValueError(msg)
    codes, unique = pd.factorize(found)
    if len(codes) != len(values):
        msg = f"`labels` should have one label per cell, found {len(codes)} for {len(values)}."
        raise ValueError(msg)
    if (codes < 0).any():
        msg = f"`labels` should have no missing value, found {int((codes < 0).sum())}."
        raise ValueError(msg)
    if len(unique) < 2:
        msg = f"`labels` should have at least two different labels, found {list(unique)}."
        raise ValueError(msg)
    return values, codes
