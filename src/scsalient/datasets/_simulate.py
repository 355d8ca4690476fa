"""Simulated cells with known latents."""

from __future__ import annotations

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from scsalient import _keys
from scsalient._arguments import check_integer, check_number

_CHUNK_ROWS = 4096


def simulate(
    n_cells: int = 2000,
    *,
    n_genes: int = 1000,
    n_cell_types: int = 4,
    n_batches: int = 2,
    target_fraction: float = 0.5,
    responder_fraction: float = 0.5,
    n_background_factors: int = 2,
    effect: float = 1.0,
    batch_effect: float = 0.3,
    library_size: float = 2000.0,
    inverse_dispersion: float = 5.0,
    seed: int = 0,
) -> AnnData:
    r"""Negative binomial cells with cell types, batches and a response of the target cells only.

    The mean count of gene :math:`g` in cell :math:`c` is the library size of the cell times a
    softmax over genes of ``base + cell type + batch + factors + response``. A tenth of the genes
    respond.

    Parameters
    ----------
    n_cells, n_genes, n_cell_types, n_batches
        Sizes.
    target_fraction
        Share of target cells.
    responder_fraction
        Share of responders among them.
    n_background_factors
        Continuous factors that both groups share.
    effect
        Mean absolute log fold change of a response gene in a responder, before the softmax, which
        lets the other genes fall a little where response genes rise; 0 for nothing to find.
    batch_effect
        Standard deviation of the batches' log fold changes.
    library_size
        Median total of a cell.
    inverse_dispersion
        Of the negative binomial; variance is mean + mean² / inverse dispersion.
    seed
        Seed of the draw.

    Returns
    -------
    ``n_cells`` by ``n_genes`` counts (CSR, float32) in ``.X``, with

    ``.obs``
        ``condition`` (control, treated), ``response`` (control, non-responder, responder),
        ``response_strength``, ``cell_type``, ``batch``.
    ``.var``
        ``response_gene``, ``response_lfc``.
    ``.obsm["true_salient"]``
        Response strength, shape ``(n_cells, 1)``.
    ``.obsm["true_background"]``
        One-hot cell type and the shared factors, shape
        ``(n_cells, n_cell_types + n_background_factors)``.
    ``.uns["truth"]``
        The settings.

    Raises
    ------
    TypeError
        When a size is no integer, or another number none.
    ValueError
        When a size, share or scale is out of range.
    """
    sizes = {
        "n_cells": n_cells,
        "n_genes": n_genes,
        "n_cell_types": n_cell_types,
        "n_batches": n_batches,
    }
    for name, size in sizes.items():
        check_integer(name, size, low=1)
    shares = {"target_fraction": target_fraction, "responder_fraction": responder_fraction}
    for name, share in shares.items():
        check_number(name, share, low=0, high=1)
    check_integer("n_background_factors", n_background_factors, low=0)
    check_integer("seed", seed, low=0)
    for name, number in {"effect": effect, "batch_effect": batch_effect}.items():
        check_number(name, number, low=0)
    scales = {"library_size": library_size, "inverse_dispersion": inverse_dispersion}
    for name, number in scales.items():
        check_number(name, number, low=0, low_included=False)
    rng = np.random.default_rng(seed)

    is_target = rng.permutation(n_cells) < round(target_fraction * n_cells)
    # Nothing to respond with where the effect is zero
    responds = is_target & (rng.random(n_cells) < responder_fraction) & (effect > 0)
    strength = np.where(responds, rng.uniform(0.7, 1.3, n_cells), 0.0)
    cell_type = rng.integers(n_cell_types, size=n_cells)
    batch = rng.integers(n_batches, size=n_cells)
    factors = rng.standard_normal((n_cells, n_background_factors))
    library = library_size * np.exp(0.3 * rng.standard_normal(n_cells))

    base = 1.2 * rng.standard_normal(n_genes)
    type_lfc = 0.7 * rng.standard_normal((n_cell_types, n_genes))
    batch_lfc = batch_effect * rng.standard_normal((n_batches, n_genes))
    factor_lfc = 0.3 * rng.standard_normal((n_background_factors, n_genes))
    response_lfc = np.zeros(n_genes)
    genes = rng.choice(n_genes, max(1, n_genes // 10), replace=False)
    signs = rng.choice([-1.0, 1.0], len(genes))
    response_lfc[genes] = effect * signs * rng.uniform(0.5, 1.5, len(genes))

    blocks = []
    for start in range(0, n_cells, _CHUNK_ROWS):
        rows = slice(start, start + _CHUNK_ROWS)
        logits = (
            base
            + type_lfc[cell_type[rows]]
            + batch_lfc[batch[rows]]
            + factors[rows] @ factor_lfc
            + strength[rows, None] * response_lfc
        )
        share = np.exp(logits - logits.max(axis=1, keepdims=True))
        mean = library[rows, None] * share / share.sum(axis=1, keepdims=True)
        rate = mean * rng.gamma(inverse_dispersion, 1 / inverse_dispersion, mean.shape)
        blocks.append(sparse.csr_matrix(rng.poisson(rate).astype(np.float32)))

    obs = pd.DataFrame(
        {
            _keys.OBS_CONDITION: np.where(is_target, "treated", "control"),
            _keys.OBS_RESPONSE: np.where(
                responds, "responder", np.where(is_target, "non-responder", "control")
            ),
            _keys.OBS_CELL_TYPE: [f"type{i}" for i in cell_type],
            _keys.OBS_BATCH: [f"batch{i}" for i in batch],
        },
        index=[f"cell_{i}" for i in range(n_cells)],
    ).astype("category")
    obs[_keys.OBS_STRENGTH] = strength
    var = pd.DataFrame(
        {_keys.VAR_RESPONSE: response_lfc != 0, _keys.VAR_RESPONSE_LFC: response_lfc},
        index=[f"gene_{i}" for i in range(n_genes)],
    )
    adata = AnnData(sparse.vstack(blocks, format="csr"), obs=obs, var=var)
    adata.obsm[_keys.OBSM_TRUE_SALIENT] = strength[:, None]
    one_hot = np.eye(n_cell_types)[cell_type]
    adata.obsm[_keys.OBSM_TRUE_BACKGROUND] = np.hstack([one_hot, factors])
    adata.uns[_keys.UNS_TRUTH] = {
        **{name: int(size) for name, size in sizes.items()},
        "n_background_factors": int(n_background_factors),
        **shares,
        "effect": effect,
        "batch_effect": batch_effect,
        "library_size": library_size,
        "inverse_dispersion": inverse_dispersion,
        "seed": seed,
    }
    return adata
