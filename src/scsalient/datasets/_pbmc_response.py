"""Real blood cells with a planted response and a planted batch effect."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData
from scipy import sparse

from scsalient import _keys
from scsalient.datasets._checks import check_integer, check_number

if TYPE_CHECKING:
    import numpy.typing as npt

_SHAPE = (700, 765)
# The bundled values are rounded to about four digits
_ABSOLUTE, _RELATIVE = 0.02, 0.001
_MIN_MEAN = 0.3
# Shape of the gamma prior of a gene's rate in one cell, around the mean of the cell type
_PRIOR_SHAPE = 2.0


def pbmc_response(
    *,
    effect: float = 1.0,
    batch_effect: float = 0.8,
    n_response_genes: int = 60,
    seed: int = 0,
) -> AnnData:
    r"""700 blood cells with a planted drug response and a planted batch effect.

    **Semi-synthetic.** The cells, their types and the 765 genes are real: the peripheral blood
    mononuclear cells of Zheng et al. (2017) in :func:`scanpy.datasets.pbmc68k_reduced`, which is
    part of scanpy, so that nothing is downloaded. Their integer counts are restored. Treatment,
    response and batch are planted, as the digits are on the grass of Grassy-MNIST, so the truth
    is known.

    Half of the cells, drawn at random, are controls, the other half treated. Half of the treated
    cells respond: the rates of ``n_response_genes`` genes change, half of them up, half down,
    by the gene's log fold change times the strength of that cell's response, which
    is uniform from 0.6 to 1.4. Two batches, balanced over controls, responders and non-responders,
    differ by a factor in every gene.

    Counts stay counts. Where the rate of a gene falls to a fraction of itself, each of its
    molecules is kept with that probability. Where it rises by a factor :math:`f`, a Poisson number
    of molecules with mean :math:`(f - 1) \lambda` is added; the rate :math:`\lambda` is drawn from
    its gamma posterior given the cell's count and the mean of its cell type, so that a gene
    can also appear in cells that had no molecule of it.

    Parameters
    ----------
    effect
        Root mean square of the response's natural log fold changes over the response genes; 0
        for no response.
    batch_effect
        Standard deviation of the natural log fold changes between the batches; 0 for none. By
        default the batches shift the leading components of a PCA more than the response does.
    n_response_genes
        Number of genes that respond, of those with at least 0.3 counts per cell on average.
    seed
        Of everything random.

    Returns
    -------
    Data with 700 cells and 765 genes:

    ``.X``, ``.layers["counts"]``
        Integer counts, CSR, float32.
    ``.obs["condition"]``
        ``"control"`` (the background) or ``"treated"`` (the target).
    ``.obs["response"]``
        ``"control"``, ``"non-responder"`` or ``"responder"``.
    ``.obs["response_strength"]``
        Strength of the response, 0 for cells without.
    ``.obs["batch"]``, ``.obs["cell_type"]``
        Planted batch, ``"batch_0"`` or ``"batch_1"``; annotated type.
    ``.var["response_gene"]``, ``.var["response_lfc"]``, ``.var["batch_lfc"]``
        Whether the gene responds; its planted natural log fold changes at strength 1 and in
        ``"batch_1"``.
    ``.uns["truth"]``
        The arguments.

    Raises
    ------
    TypeError
        When an argument is not a number.
    ValueError
        When an argument is out of range.
    RuntimeError
        When scanpy's data are not those that this function was written for.

    References
    ----------
    Zheng et al. (2017). Massively parallel digital transcriptional profiling of single cells.
    *Nature Communications* 8, 14049.
    """
    check_number("effect", effect, low=0)
    check_number("batch_effect", batch_effect, low=0)
    check_integer("seed", seed, low=0)
    counts, obs, genes = _restored()
    candidates = np.flatnonzero(counts.mean(axis=0) >= _MIN_MEAN)
    check_integer("n_response_genes", n_response_genes, low=1, high=len(candidates))

    rng = np.random.default_rng(seed)
    n_cells, n_genes = counts.shape
    response_lfc = np.zeros(n_genes)
    chosen = rng.choice(candidates, size=n_response_genes, replace=False)
    size = rng.uniform(0.5, 1.5, size=n_response_genes)
    sign = np.where(np.arange(n_response_genes) % 2 == 0, 1.0, -1.0)
    response_lfc[chosen] = effect * sign * size / np.sqrt((size**2).mean())
    batch_lfc = batch_effect * rng.normal(size=n_genes)

    # Groups of equal size in a random order of the cells, batches alternating within each group
    group = np.empty(n_cells, dtype=np.int64)
    batch = np.empty(n_cells, dtype=np.int64)
    order = rng.permutation(n_cells)
    cuts = [0, n_cells // 2, n_cells // 2 + n_cells // 4, n_cells]
    for code in range(3):
        members = order[cuts[code] : cuts[code + 1]]
        group[members] = code
        batch[members] = np.arange(len(members)) % 2
    strength = np.where(group == 2, rng.uniform(0.6, 1.4, size=n_cells), 0.0)

    cell_type = pd.Categorical(obs["bulk_labels"].astype(str))
    log_factor = strength[:, None] * response_lfc + batch[:, None] * batch_lfc
    planted = _change_rates(counts, np.exp(log_factor), cell_type.codes, rng)

    matrix = sparse.csr_matrix(planted.astype(np.float32))
    names = np.array(["control", "non-responder", "responder"])
    adata = AnnData(
        matrix,
        obs=pd.DataFrame(
            {
                _keys.OBS_CONDITION: pd.Categorical(np.where(group == 0, "control", "treated")),
                _keys.OBS_RESPONSE: pd.Categorical(names[group], categories=names),
                _keys.OBS_STRENGTH: strength,
                _keys.OBS_BATCH: pd.Categorical(np.array(["batch_0", "batch_1"])[batch]),
                _keys.OBS_CELL_TYPE: cell_type,
            },
            index=obs.index.astype(str),
        ),
        var=pd.DataFrame(
            {
                _keys.VAR_RESPONSE: response_lfc != 0,
                _keys.VAR_RESPONSE_LFC: response_lfc,
                _keys.VAR_BATCH_LFC: batch_lfc,
            },
            index=genes.astype(str),
        ),
    )
    adata.layers[_keys.LAYER_COUNTS] = matrix.copy()
    adata.uns[_keys.UNS_TRUTH] = {
        "dataset": "pbmc_response",
        "semi_synthetic": True,
        "effect": float(effect),
        "batch_effect": float(batch_effect),
        "n_response_genes": int(n_response_genes),
        "seed": int(seed),
    }
    return adata


def _restored() -> tuple[npt.NDArray[np.int64], pd.DataFrame, pd.Index]:
    """Integer counts of scanpy's data, shape ``(700, 765)``, with cells and genes."""
    with warnings.catch_warnings():
        # The file was written by an old anndata, and says so
        warnings.simplefilter("ignore")
        source = sc.datasets.pbmc68k_reduced()
    advice = (
        "This version of scanpy bundles other data than expected; install another one, such as "
        "1.11, or report this."
    )
    if source.raw is None or source.raw.shape != _SHAPE or "n_counts" not in source.obs:
        found = None if source.raw is None else source.raw.shape
        msg = (
            f"`scanpy.datasets.pbmc68k_reduced()` should have a `raw` of shape {_SHAPE} and a "
            f"column 'n_counts' in `.obs`, found {found} and {list(source.obs.columns)}. {advice}"
        )
        raise RuntimeError(msg)
    logged = source.raw.X
    logged = logged.toarray() if sparse.issparse(logged) else np.asarray(logged)
    totals = source.obs["n_counts"].to_numpy(dtype=np.float64)
    scaled = np.expm1(logged.astype(np.float64)) * totals[:, None] / 1e4
    counts = np.rint(scaled)
    excess = np.abs(scaled - counts) - np.maximum(_ABSOLUTE, _RELATIVE * counts)
    if not (excess <= 0).all() or (counts < 0).any():
        worst = scaled[np.unravel_index(excess.argmax(), excess.shape)]
        msg = (
            "`scanpy.datasets.pbmc68k_reduced()` should give back integer counts, found "
            f"{worst:.3f}. {advice}"
        )
        raise RuntimeError(msg)
    return counts.astype(np.int64), source.obs, source.raw.var_names


def _change_rates(
    counts: npt.NDArray[np.int64],
    factor: np.ndarray,
    cell_type: np.ndarray,
    rng: np.random.Generator,
) -> npt.NDArray[np.int64]:
    """Counts as if every rate had been ``factor`` times as high, all ``(n_cells, n_genes)``."""
    totals = counts.sum(axis=1, keepdims=True)
    expected = np.empty(counts.shape)
    for code in np.unique(cell_type):
        members = cell_type == code
        share = counts[members].sum(axis=0) / totals[members].sum()
        expected[members] = totals[members] * share
    present = expected > 0
    scale = np.zeros(counts.shape)
    scale[present] = expected[present] / (_PRIOR_SHAPE + expected[present])
    rate = rng.gamma(_PRIOR_SHAPE + counts, scale)
    extra = rng.poisson(np.maximum(factor - 1.0, 0.0) * rate)
    kept = rng.binomial(counts, np.minimum(factor, 1.0))
    return kept + extra
