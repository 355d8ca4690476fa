"""Small data and models, so that a test states only what matters to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from scsalient import ContrastiveVAE, StandardVAE
from scsalient.images import to_anndata

if TYPE_CHECKING:
    from pathlib import Path


def make_counts(
    n_target: int = 60, n_background: int = 40, n_vars: int = 12, *, seed: int = 0, **obs: Any
) -> AnnData:
    """Poisson counts; the first three variables rise in half of the target cells."""
    rng = np.random.default_rng(seed)
    n = n_target + n_background
    rate = np.full((n, n_vars), 3.0)
    responds = np.zeros(n, dtype=bool)
    responds[: n_target // 2] = True
    rate[responds, :3] *= 6
    counts = rng.poisson(rate)
    counts[:, -1] += 1
    columns = {
        "condition": ["treated"] * n_target + ["control"] * n_background,
        "response": responds,
        "batch": np.tile(["a", "b"], n)[:n],
        "score": rng.normal(size=n),
    }
    return AnnData(
        sparse.csr_matrix(counts.astype(np.float32)),
        obs=pd.DataFrame(columns | obs, index=[f"cell_{i}" for i in range(n)]),
        var=pd.DataFrame(index=[f"gene_{i}" for i in range(n_vars)]),
    )


def make_model(adata: AnnData | None = None, *, setup: Any = None, **kwargs: Any) -> ContrastiveVAE:
    """Untrained small model."""
    adata = make_counts() if adata is None else adata
    ContrastiveVAE.setup_anndata(adata, "condition", "control", **(setup or {}))
    sizes = {"n_salient_latent": 2, "n_background_latent": 3, "n_hidden": 16}
    return ContrastiveVAE(adata, **(sizes | kwargs))


def make_standard(adata: AnnData | None = None, *, setup: Any = None, **kwargs: Any) -> StandardVAE:
    """Untrained small model of the comparison."""
    adata = make_counts() if adata is None else adata
    StandardVAE.setup_anndata(adata, **(setup or {}))
    return StandardVAE(adata, **({"n_latent": 2, "n_hidden": 8} | kwargs))


QUIET = {"accelerator": "cpu", "enable_progress_bar": False}


def make_trained(
    adata: AnnData | None = None, *, max_epochs: int = 2, train: Any = None, **kwargs: Any
) -> ContrastiveVAE:
    """Small model after a few epochs."""
    model = make_model(adata, **kwargs)
    model.train(max_epochs, **(QUIET | (train or {})))
    return model


def count_and_double(folder: Path, settings: Any) -> dict[str, Any]:
    """Trial for `run_trials`: here, since other processes cannot import a test file by its name."""
    (folder / f"ran_{settings['x']}_{settings['seed']}").touch(exist_ok=False)
    if settings["x"] == settings.get("fails_at"):
        msg = "as asked"
        raise RuntimeError(msg)
    extra = {"only_large": 1.5} if settings["x"] > 1 else {}
    return {"double": 2 * settings["x"], "values": np.full(2, settings["x"]), **extra}


def make_images(
    n_target: int = 30,
    n_background: int = 20,
    shape: tuple[int, ...] = (8, 8),
    *,
    dtype: Any = np.uint8,
    seed: int = 0,
) -> AnnData:
    """Noisy 8-bit images, or the same as floats from 0 to 1; half of the targets have a bar."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 180, (n_target + n_background, *shape), dtype=np.uint8)
    values[: n_target // 2, 2:4] += 70
    if dtype is not np.uint8:
        values = (values / 255).astype(dtype)
    columns = {
        "condition": ["treated"] * n_target + ["control"] * n_background,
        "batch": list("ab" * len(values))[: len(values)],
    }
    return to_anndata(values, columns)
