"""Downloads into the user's cache."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pooch
from scipy import sparse

if TYPE_CHECKING:
    import os

    from anndata import AnnData


def cached(
    url: str,
    *,
    name: str,
    source: str,
    remedy: str,
    cache_dir: str | os.PathLike[str] | None,
    progressbar: bool,
) -> Path:
    """Download a file, unless it is in the cache.

    Parameters
    ----------
    url
        Where it is.
    name
        Its name in the cache.
    source
        Who publishes it.
    remedy
        What to do where the download does not work.
    cache_dir
        Folder to keep it in; `None` for the user's cache of scsalient.
    progressbar
        Whether to show a progress bar.

    Returns
    -------
    Its path in the cache.

    Raises
    ------
    ConnectionError
        When the download fails.
    """
    folder = Path(cache_dir) if cache_dir is not None else Path(pooch.os_cache("scsalient"))
    try:
        file = pooch.retrieve(
            url, known_hash=None, fname=name, path=folder, progressbar=progressbar
        )
    except (OSError, ValueError) as error:
        msg = f"The download of {name} from {source} failed: {error}. Try again, or {remedy}."
        raise ConnectionError(msg) from error
    return Path(file)


def check_counts(adata: AnnData, file: Path) -> None:
    """Check that a file held cells, genes and raw counts.

    Parameters
    ----------
    adata
        What was in it.
    file
        Its path.

    Raises
    ------
    ValueError
        When it did not.
    """
    if adata.X is None:
        msg = f"{str(file)!r} should have counts in `.X`, found no values."
        raise ValueError(msg)
    values = adata.X.data if sparse.issparse(adata.X) else np.asarray(adata.X)
    if adata.n_obs == 0 or adata.n_vars == 0 or values.size == 0:
        msg = f"{str(file)!r} should hold cells and genes, found shape {adata.shape}."
        raise ValueError(msg)
    if not np.isfinite(values).all():
        msg = f"{str(file)!r} should hold raw counts in `.X`, found missing or infinite values."
        raise ValueError(msg)
    if values.min() < 0 or (values != np.rint(values)).any():
        msg = f"{str(file)!r} should hold raw counts in `.X`, found fractions or negative values."
        raise ValueError(msg)
