"""Real blood cells with a planted response."""

from __future__ import annotations

import warnings

import numpy as np
from anndata import AnnData
from scipy import sparse

from scsalient import _keys
from scsalient._arguments import check_integer, check_number

_INTEGER_TOLERANCE = 0.1
_MAX_EFFECT = 10.0


def pbmc_response(
    *,
    effect: float = 1.2,
    batch_effect: float = 0.8,
    n_response_genes: int = 60,
    n_batch_genes: int = 250,
    seed: int = 0,
) -> AnnData:
    """Semi-synthetic data: 700 real blood cells with a planted response and batch effect.

    The cells and their integer counts are real (Zheng et al. 2017, bundled with scanpy as
    ``pbmc68k_reduced``). As in the paper's Grassy-MNIST, what is to be found is planted, so that
    the truth is known: half of the cells are made controls and half treated, at random; half of
    the treated cells respond, with a strength of their own, in some genes up and in some down;
    a batch effect on other genes runs across all groups. Counts stay integers: they are thinned
    (binomial) where a gene goes down and topped up (Poisson) where it goes up.

    Parameters
    ----------
    effect
        Mean absolute log fold change of a response gene in a responder; 0 for none.
    batch_effect
        Standard deviation of the log fold changes of the batch genes.
    n_response_genes, n_batch_genes
        Number of genes that carry each effect.
    seed
        Seed of the draw.

    Returns
    -------
    700 cells by 765 genes, counts as CSR in ``.X`` and ``.layers["counts"]``, with

    ``.obs``
        ``condition`` (control, treated), ``response`` (control, non-responder, responder),
        ``response_strength``, ``batch`` (batch1, batch2), ``cell_type``.
    ``.var``
        ``response_gene``, ``response_lfc``, ``batch_gene``, ``batch_lfc`` (natural logarithm).
    ``.uns["truth"]``
        The settings and the seed.

    Raises
    ------
    TypeError
        When a number of genes is no integer, or an effect no number.
    ValueError
        When a number of genes is out of range, or an effect not from 0 to 10.
    RuntimeError
        When the bundled data are not what they were.
    """
    for name, number in {"effect": effect, "batch_effect": batch_effect}.items():
        # Beyond it, counts are larger than a draw can be
        check_number(name, number, low=0, high=_MAX_EFFECT)
    for name, size in {
        "n_response_genes": n_response_genes,
        "n_batch_genes": n_batch_genes,
    }.items():
        check_integer(name, size, low=0)
    check_integer("seed", seed, low=0)
    counts, cell_types, names = _bundled_counts()
    n_cells, n_genes = counts.shape
    if n_response_genes + n_batch_genes > n_genes:
        msg = (
            f"`n_response_genes` and `n_batch_genes` should together be at most {n_genes}, found "
            f"{n_response_genes} and {n_batch_genes}."
        )
        raise ValueError(msg)
    rng = np.random.default_rng(seed)

    condition = np.resize(["control", "treated"], n_cells)
    rng.shuffle(condition)
    response = np.where(condition == "control", "control", "non-responder").astype(object)
    treated = np.flatnonzero(condition == "treated")
    responders = rng.permutation(treated)[: len(treated) // 2]
    response[responders] = "responder"
    # The same number of each batch in every group.
    batch = np.empty(n_cells, dtype=object)
    for group in np.unique(response):
        cells = np.flatnonzero(response == group)
        batch[rng.permutation(cells)] = np.resize(["batch1", "batch2"], len(cells))

    # Response genes are expressed well enough to be seen: the upper half by mean.
    order = np.argsort(-counts.mean(axis=0))
    eligible = order[: max(n_genes // 2, n_response_genes)]
    response_genes = rng.choice(eligible, n_response_genes, replace=False)
    rest = np.setdiff1d(np.arange(n_genes), response_genes)
    batch_genes = rng.choice(rest, n_batch_genes, replace=False)
    response_lfc, batch_lfc = np.zeros(n_genes), np.zeros(n_genes)
    signs = rng.choice([-1.0, 1.0], n_response_genes, p=[0.3, 0.7])
    response_lfc[response_genes] = effect * signs * rng.uniform(0.75, 1.25, n_response_genes)
    batch_lfc[batch_genes] = batch_effect * rng.standard_normal(n_batch_genes)

    strength = np.zeros(n_cells)
    strength[responders] = rng.uniform(0.7, 1.3, len(responders))
    log_fold = strength[:, None] * response_lfc + (batch == "batch2")[:, None] * batch_lfc
    counts = _change_counts(counts, np.exp(log_fold), rng)

    adata = AnnData(sparse.csr_matrix(counts.astype(np.float32)))
    adata.var_names = names
    adata.obs_names = [f"cell_{i}" for i in range(n_cells)]
    adata.layers[_keys.LAYER_COUNTS] = adata.X.copy()
    for key, values in (
        (_keys.OBS_CONDITION, condition),
        (_keys.OBS_RESPONSE, response),
        (_keys.OBS_BATCH, batch),
        (_keys.OBS_CELL_TYPE, cell_types),
    ):
        adata.obs[key] = np.asarray(values, dtype=object)
        adata.obs[key] = adata.obs[key].astype("category")
    adata.obs[_keys.OBS_STRENGTH] = strength
    adata.var[_keys.VAR_RESPONSE] = response_lfc != 0
    adata.var[_keys.VAR_RESPONSE_LFC] = response_lfc
    adata.var[_keys.VAR_BATCH] = batch_lfc != 0
    adata.var[_keys.VAR_BATCH_LFC] = batch_lfc
    adata.uns[_keys.UNS_TRUTH] = {
        "semi_synthetic": True,
        "effect": effect,
        "batch_effect": batch_effect,
        "n_response_genes": n_response_genes,
        "n_batch_genes": n_batch_genes,
        "seed": seed,
    }
    return adata


def _bundled_counts() -> tuple[np.ndarray, np.ndarray, list[str]]:
    import scanpy as sc

    with warnings.catch_warnings():
        # About the age of the bundled file, not about its content.
        warnings.simplefilter("ignore")
        bundled = sc.datasets.pbmc68k_reduced()
    logged = bundled.raw.X
    logged = logged.toarray() if sparse.issparse(logged) else np.asarray(logged)
    counts = np.expm1(logged.astype(float)) * bundled.obs["n_counts"].to_numpy()[:, None] / 1e4
    rounded = np.rint(counts)
    if np.abs(counts - rounded).max() > _INTEGER_TOLERANCE:
        msg = (
            "`scanpy.datasets.pbmc68k_reduced` should hold log1p of counts per 10,000, found "
            "values that do not go back to integers. Use another release of scanpy."
        )
        raise RuntimeError(msg)
    # Plain strings, whatever string type pandas reads.
    names = [str(name) for name in bundled.raw.var_names]
    return rounded, bundled.obs["bulk_labels"].to_numpy().astype(object), names


def _change_counts(counts: np.ndarray, fold: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    kept = rng.binomial(counts.astype(np.int64), np.minimum(fold, 1.0))
    return kept + rng.poisson(counts * np.maximum(fold - 1.0, 0.0))
