"""Contrastive principal component analysis."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from scipy import linalg, sparse
from scipy.sparse.linalg import eigsh
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

from scsalient import _keys
from scsalient._arguments import check_anndata, check_flag, check_integer
from scsalient._random import generator
from scsalient.data import (
    Role,
    check_finite,
    data_matrix,
    look_raw,
    place_of,
    resolve_roles,
    row_blocks,
)

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from anndata import AnnData

_AUTO_ALPHAS = np.concatenate([[0.0], np.logspace(-1, 3, 40)])
_BLOCK_VALUES = 4_000_000
_MAX_SCORED_CELLS = 1_000
# Below this share of cells a cluster is a handful of outliers, not a response
_MIN_CLUSTER_SHARE = 0.05
# Up to here the whole spectrum is quicker than Lanczos steps, of which a large alpha needs
# thousands
_DENSE_GENES = 2000


@dataclass(frozen=True)
class _Components:
    """Loadings, shape ``(n_genes, n_components)``, and their eigenvalues, largest first."""

    loadings: np.ndarray
    eigenvalues: np.ndarray


def contrastive_pca(
    adata: AnnData,
    condition_key: str,
    background: Hashable | Sequence[Hashable],
    *,
    target: Hashable | Sequence[Hashable] | None = None,
    layer: str | None = None,
    n_components: int = 2,
    alpha: float | Sequence[float] | Literal["auto"] = "auto",
    n_clusters: int = 2,
    use_highly_variable: bool | None = None,
    key_added: str = _keys.OBSM_CPCA,
    seed: int = 0,
) -> None:
    r"""Directions that vary much among target cells and little among background cells.

    The components are the leading eigenvectors of :math:`C_t - \alpha C_b`, with the covariance
    matrices of target and background cells (Abid et al. 2018). :math:`\alpha = 0` is the
    ordinary PCA of the target cells; the larger :math:`\alpha`, the more is the background's
    variation avoided. Covariances divide by the number of cells less one. Genes are centred, not
    scaled.

    Among several :math:`\alpha` the one is taken whose components show the clearest clusters that
    only the target cells have. As in scPCA (Boileau et al. 2020) the target cells are split by
    k-means into ``n_clusters``, and the mean silhouette of the split is the score; what a split of
    the background cells scores in the same components is taken off, or cell types, which both
    groups share, would win. Taking it off is this package's own addition, chosen with the labels
    of the Kang data and of planted responses in view. Splits of the target with a cluster below 5%
    of the cells are not considered, because a large :math:`\alpha` can always isolate a few
    outliers. Labels play no part in the choice. On more than 1,000 cells of a group the score is
    taken from a random 1,000.

    Parameters
    ----------
    adata
        Data in memory, log-normalised, with ``n_cells`` cells and ``n_genes`` genes. Dense or
        sparse.
    condition_key
        Column of ``.obs`` that tells target from background cells.
    background
        Category, or list of categories, of the background cells.
    target
        Category, or list of categories, of the target cells. `None`: every other category.
        Cells of neither play no part in the fit and are projected all the same.
    layer
        Layer to use; `None` for ``.X``.
    n_components
        Number of components, from 1 to the number of genes used.
    alpha
        Weight of the background's covariance, not negative. A list: candidates, of which the
        best is taken. ``"auto"``: 0 and 40 values from 0.1 to 1,000 in equal log steps, the range
        of Abid et al. (2018).
    n_clusters
        Number of clusters with which candidates of ``alpha`` are judged; 2 for responders against
        non-responders. Without effect when ``alpha`` is a number.
    use_highly_variable
        Whether to use only the genes of ``.var["highly_variable"]``. `None`: when that column
        exists, as in :func:`scanpy.pp.pca`.
    key_added
        Name in ``.obsm`` for the components of the cells.
    seed
        Of k-means, and of the choice of 1,000 cells.

    Returns
    -------
    Nothing; writes

    ``.obsm["X_cpca"]`` (or ``key_added``)
        Components of all cells, shape ``(n_cells, n_components)``, float32. The mean of the
        target cells is at 0.
    ``.varm["cPCs"]``
        Loadings, shape ``(n_genes, n_components)``: orthonormal, 0 for genes that are
        not used, the largest of each component positive.
    ``.uns["cpca"]``
        ``alpha``; ``eigenvalues`` of :math:`C_t - \alpha C_b`, shape ``(n_components,)``;
        ``candidates`` with arrays ``alpha`` and ``score`` (NaN where there was nothing to choose,
        or where the split had too small a cluster); ``params`` with the arguments; ``roles``
        with ``condition_key``, ``background``, ``target`` (arrays) and the numbers of cells
        ``n_target`` and ``n_background``. With another ``key_added`` the last two names become
        ``.varm["<key_added>_loadings"]`` and ``.uns[key_added]``.

    Raises
    ------
    KeyError
        When the condition column, the layer or the column of highly variable genes is missing.
    TypeError
        When a number is asked for and something else is given.
    ValueError
        When the data are backed on disk or hold NaN or infinite values, when a group has fewer
        than two cells, or when ``n_components``, ``alpha``, ``n_clusters`` or a
        category is out of range.

    Warns
    -----
    UserWarning
        When the data look like raw counts, or outlying cells leave few contrasts to choose among.

    References
    ----------
    Abid, Zhang, Bagaria and Zou (2018). Exploring patterns enriched in a dataset with contrastive
    principal component analysis. *Nature Communications* 9, 2134.

    Boileau, Hejazi and Dudoit (2020). Exploring high-dimensional biological data with sparse
    contrastive principal component analysis. *Bioinformatics* 36, 3422-3430.
    """
    check_anndata("adata", adata, advice="Pass the data, not a model of them.")
    if adata.isbacked:
        msg = (
            "`adata` should be in memory, found data backed by a file. Load it with "
            "`adata.to_memory()` first."
        )
        raise ValueError(msg)
    roles = resolve_roles(adata, condition_key, background, target=target)
    role = roles.of(adata)
    uses_column = _uses_column(adata, use_highly_variable)
    genes = _gene_mask(adata) if uses_column else np.ones(adata.n_vars, dtype=bool)
    data = data_matrix(adata, layer)
    # Rows are what is cut from here on
    data = (data.tocsr() if sparse.issparse(data) else np.asarray(data))[:, genes]
    check_integer(
        "n_components", n_components, low=1, high=data.shape[1], meaning="the number of genes used"
    )
    alphas = _alphas(alpha)
    check_integer("seed", seed, low=0, high=2**32 - 1)
    check_integer("n_clusters", n_clusters, low=2)
    if not isinstance(key_added, str) or not key_added or "/" in key_added:
        msg = (
            "`key_added` should be a name for `.obsm`, without '/', which files cannot have in it, "
            f"found {key_added!r}."
        )
        raise ValueError(msg)

    in_target, in_background = role == Role.TARGET, role == Role.BACKGROUND
    for name, mask in (("target", in_target), ("background", in_background)):
        if mask.sum() < 2:
            msg = (
                f"`{name}` should have at least two cells, found {int(mask.sum())}. Name more "
                f"categories of {condition_key!r}."
            )
            raise ValueError(msg)
    n_scored = min(int(in_target.sum()), _MAX_SCORED_CELLS)
    if len(alphas) > 1:
        meaning = "one less than the number of target cells"
        check_integer("n_clusters", n_clusters, low=2, high=n_scored - 1, meaning=meaning)
    where, named = place_of(layer), adata[:, genes]
    for start, block in row_blocks(data):
        check_finite(block, where, adata=named, start=start)
    if look_raw(data):
        warnings.warn(
            f"`{where}` holds only non-negative integers, which looks like raw counts; "
            "`contrastive_pca` expects log-normalised values. Run `sc.pp.normalize_total(adata)` "
            "and `sc.pp.log1p(adata)` first, or choose another `layer`.",
            UserWarning,
            stacklevel=2,
        )

    target_cells = data[in_target]
    mean, target_cov = _moments(target_cells)
    background_cells = data[in_background]
    _, background_cov = _moments(background_cells)

    scores = np.full(len(alphas), np.nan)
    best = 0
    if len(alphas) > 1:
        rng = generator(seed, "contrastive PCA")
        scored = [_sample(cells, rng) - mean for cells in (target_cells, background_cells)]
        for i, candidate in enumerate(alphas):
            axes = _components(target_cov, background_cov, candidate, n_components).loadings
            target_scored, background_scored = (cells @ axes for cells in scored)
            scores[i] = _contrast_score(target_scored, background_scored, n_clusters, seed)
        best = _best(alphas, scores, stacklevel=3)
    components = _components(target_cov, background_cov, alphas[best], n_components)

    embedding = np.empty((adata.n_obs, n_components), dtype=np.float32)
    for start, stop in _blocks(*data.shape):
        embedding[start:stop] = (_dense(data[start:stop]) - mean) @ components.loadings
    loadings = np.zeros((adata.n_vars, n_components))
    loadings[genes] = components.loadings

    default = key_added == _keys.OBSM_CPCA
    adata.obsm[key_added] = embedding
    adata.varm[_keys.VARM_CPCA if default else f"{key_added}_loadings"] = loadings
    adata.uns[_keys.UNS_CPCA if default else key_added] = {
        "alpha": float(alphas[best]),
        "eigenvalues": components.eigenvalues,
        "candidates": {"alpha": alphas, "score": scores},
        "params": {
            "layer": "X" if layer is None else layer,
            "n_components": int(n_components),
            "n_clusters": int(n_clusters),
            "use_highly_variable": uses_column,
            "seed": int(seed),
        },
        "roles": {
            "condition_key": condition_key,
            "background": _categories(roles.background),
            "target": _categories(tuple(c for c in roles.known if roles.role_of(c) == Role.TARGET)),
            "n_background": int(in_background.sum()),
            "n_target": int(in_target.sum()),
        },
    }


def _contrast_score(
    target: np.ndarray, background: np.ndarray, n_clusters: int, seed: int
) -> float:
    """Silhouette of a split of the target cells beyond that of the background cells."""
    score = _cluster_score(target, n_clusters, seed, min_share=_MIN_CLUSTER_SHARE)
    if np.isnan(score):
        return score
    shared = _cluster_score(background, n_clusters, seed)
    return score if np.isnan(shared) else score - shared


def _best(alphas: np.ndarray, scores: np.ndarray, *, stacklevel: int) -> int:
    """Position of the best score, with a warning where few candidates have one."""
    # Without any split into real clusters, the ordinary PCA or the mildest contrast
    best = int(np.argmin(alphas)) if np.isnan(scores).all() else int(np.nanargmax(scores))
    n_split = int(np.isfinite(scores).sum())
    if n_split < len(scores) / 2:
        warnings.warn(
            f"With {len(scores) - n_split} of {len(scores)} contrasts, clusters of the target "
            f"cells are smaller than {_MIN_CLUSTER_SHARE:.0%}, as a few outlying cells make "
            f"them, so that alpha = {alphas[best]:.3g} was chosen among {n_split}. Look for "
            "outliers, or pass an `alpha`.",
            UserWarning,
            stacklevel=stacklevel,
        )
    return best


def _uses_column(adata: AnnData, use_highly_variable: bool | None) -> bool:
    """Whether only the genes that a column marks are to be used."""
    present = "highly_variable" in adata.var
    if use_highly_variable is None:
        return present
    check_flag("use_highly_variable", use_highly_variable)
    if use_highly_variable and not present:
        msg = (
            "`use_highly_variable=True` expects a column 'highly_variable' in `adata.var`, found "
            "none. Run `sc.pp.highly_variable_genes(adata)` first."
        )
        raise KeyError(msg)
    return bool(use_highly_variable)


def _gene_mask(adata: AnnData) -> np.ndarray:
    """Genes that are marked as highly variable."""
    column = adata.var["highly_variable"]
    n_odd = sum(not isinstance(value, bool | np.bool_) for value in column)
    if n_odd:
        msg = (
            "`adata.var['highly_variable']` should be true or false for every gene, found "
            f"{n_odd} of {len(column)} that are neither. Fill them in, or pass "
            "`use_highly_variable=False`."
        )
        raise ValueError(msg)
    mask = column.to_numpy(dtype=bool)
    if not mask.any():
        msg = (
            "`adata.var['highly_variable']` should mark at least one gene, found none. Pass "
            "`use_highly_variable=False` to use all genes."
        )
        raise ValueError(msg)
    return mask


def _alphas(alpha: Any) -> np.ndarray:
    if isinstance(alpha, str):
        if alpha != "auto":
            msg = (
                "`alpha` should be a number, a list of numbers or 'auto', found "
                f"{alpha!r}. Pass one of these."
            )
            raise ValueError(msg)
        return _AUTO_ALPHAS.copy()
    if isinstance(alpha, np.ndarray | pd.Series):
        alpha = np.atleast_1d(alpha).tolist()
    values = list(alpha) if isinstance(alpha, Sequence) else [alpha]
    wrong = [v for v in values if isinstance(v, bool) or not isinstance(v, Real)]
    if wrong:
        msg = (
            f"`alpha` should be a number, a list of numbers or 'auto', found {wrong[0]!r} of type "
            f"{type(wrong[0]).__name__}. Pass one of these."
        )
        raise TypeError(msg)
    alphas = np.array(values, dtype=np.float64)
    if alphas.size == 0:
        msg = "`alpha` should have at least one candidate, found an empty list. Pass 'auto'."
        raise ValueError(msg)
    bad = alphas[~np.isfinite(alphas) | (alphas < 0)]
    if bad.size:
        msg = (
            f"`alpha` should be finite and not negative, found {bad[0]:g}. Pass 0 for ordinary "
            "PCA of the target cells, more to avoid the background's variation."
        )
        raise ValueError(msg)
    return alphas


def _blocks(n_rows: int, n_columns: int) -> Iterator[tuple[int, int]]:
    """Ranges of rows that are small enough to be made dense."""
    step = max(1, _BLOCK_VALUES // max(1, n_columns))
    for start in range(0, n_rows, step):
        yield start, min(start + step, n_rows)


def _dense(block: Any) -> np.ndarray:
    return (block.toarray() if sparse.issparse(block) else block).astype(np.float64)


def _moments(data: Any) -> tuple[np.ndarray, np.ndarray]:
    """Mean, shape ``(n_genes,)``, and covariance, shape ``(n_genes, n_genes)``."""
    mean = np.asarray(data.mean(axis=0, dtype=np.float64)).ravel()
    covariance = np.zeros((data.shape[1], data.shape[1]))
    for start, stop in _blocks(*data.shape):
        centred = _dense(data[start:stop]) - mean
        covariance += centred.T @ centred
    return mean, covariance / (data.shape[0] - 1)


def _components(
    target_cov: np.ndarray, background_cov: np.ndarray, alpha: float, n_components: int
) -> _Components:
    """Leading eigenvectors of the contrast, with a sign that does not depend on the solver."""
    contrast = target_cov - alpha * background_cov
    n_genes = contrast.shape[0]
    if n_genes <= _DENSE_GENES or n_components > n_genes // 4:
        values, vectors = linalg.eigh(
            contrast, subset_by_index=(n_genes - n_components, n_genes - 1)
        )
    else:
        start = np.random.default_rng(0).normal(size=n_genes)
        # More Lanczos vectors than usual: the wanted end of the spectrum is the narrow one
        n_vectors = min(n_genes, max(4 * n_components + 20, 40))
        values, vectors = eigsh(contrast, k=n_components, which="LA", v0=start, ncv=n_vectors)
    order = np.argsort(values)[::-1]
    values, vectors = values[order], vectors[:, order]
    largest = np.abs(vectors).argmax(axis=0)
    vectors = vectors * np.where(vectors[largest, np.arange(n_components)] < 0, -1.0, 1.0)
    return _Components(vectors, values)


def _sample(data: Any, rng: np.random.Generator) -> np.ndarray:
    n_scored = min(data.shape[0], _MAX_SCORED_CELLS)
    return _dense(data[np.sort(rng.choice(data.shape[0], size=n_scored, replace=False))])


def _cluster_score(
    cells: np.ndarray, n_clusters: int, seed: int, *, min_share: float = 0.0
) -> float:
    """Mean silhouette of a k-means split, NaN when there is no split worth the name."""
    too_few = len(cells) <= n_clusters or len(np.unique(cells, axis=0)) < n_clusters
    if too_few or np.ptp(cells, axis=0).max() <= 1e-9:
        return float("nan")
    labels = KMeans(n_clusters, n_init=5, random_state=seed).fit_predict(cells)
    if np.bincount(labels, minlength=n_clusters).min() < min_share * len(cells):
        return float("nan")
    return float(silhouette_score(cells, labels))


def _categories(values: tuple[Any, ...]) -> np.ndarray:
    """Categories as an array that can be written to a file; text where types are mixed."""
    array = np.array(values)
    return array.astype(str) if array.dtype.kind in "OUS" else array
