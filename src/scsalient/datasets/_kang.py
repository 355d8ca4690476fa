"""Interferon-stimulated blood cells of eight donors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import anndata
import h5py

from scsalient.datasets._download import cached, check_counts

if TYPE_CHECKING:
    import os

    from anndata import AnnData

_URL = "https://figshare.com/ndownloader/files/34464122"
_FILE = "kang_2018.h5ad"
# What anndata raises for files of another kind
_UNREADABLE = (KeyError, OSError, TypeError, ValueError)
_COLUMNS = ("label", "cell_type", "replicate")


def kang_2018(
    *,
    path: str | os.PathLike[str] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    progressbar: bool = True,
) -> AnnData:
    """Blood cells of eight lupus patients, half stimulated with interferon beta.

    Kang et al. 2018 (Nat Biotechnol 36:89, GSE96583), as processed for pertpy: about 24,700
    cells. ``.obs["label"]`` is the condition (``"ctrl"``, ``"stim"``), ``"cell_type"`` and
    ``"replicate"`` (the donor) are the rest.

    Parameters
    ----------
    path
        Local ``.h5ad`` to read instead of the download. Its columns are left as they are.
    cache_dir
        Folder to keep the download in; `None` for the user's cache of scsalient.
    progressbar
        Whether to show a progress bar while downloading.

    Returns
    -------
    Cells by genes, raw integer counts in ``.X``.

    Raises
    ------
    FileNotFoundError
        When ``path`` does not exist.
    ConnectionError
        When the download fails.
    ValueError
        When the file is not what was expected.

    Notes
    -----
    The publisher gives no checksum, so the content is checked instead: columns, and counts.
    """
    if path is not None:
        file = Path(path)
        if not file.is_file():
            msg = f"`path` should name an .h5ad file, found nothing at {str(file)!r}."
            raise FileNotFoundError(msg)
        try:
            adata = anndata.read_h5ad(file)
        except _UNREADABLE as error:
            msg = f"`path` should name an .h5ad file, found {str(file)!r}, which is none: {error}"
            raise ValueError(msg) from error
    else:
        file = cached(
            _URL,
            name=_FILE,
            source="figshare (file 34464122)",
            remedy="fetch it by hand and pass `path=`",
            cache_dir=cache_dir,
            progressbar=progressbar,
        )
        adata = _read_download(file)
    check_counts(adata, file)
    return adata


def _read_download(file: Path) -> AnnData:
    try:
        adata = anndata.read_h5ad(file)
    except _UNREADABLE as error:
        if isinstance(error, OSError) and h5py.is_hdf5(file):
            # Locked, or out of reach: no sign of a broken download
            raise
        file.unlink(missing_ok=True)
        msg = (
            f"The download at {str(file)!r} is no .h5ad file and was removed from the cache. Try "
            "again, or fetch it by hand and pass `path=`."
        )
        raise ValueError(msg) from error
    missing = [column for column in _COLUMNS if column not in adata.obs]
    if missing:
        msg = (
            f"The download should have the columns {list(_COLUMNS)} in `.obs`, found no {missing}. "
            f"Remove {str(file)!r} and try again."
        )
        raise ValueError(msg)
    return adata
