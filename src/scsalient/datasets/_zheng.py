"""Bone marrow of leukaemia patients before and after a transplant, and of healthy donors."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import anndata

from scsalient import _keys
from scsalient._arguments import check_flag
from scsalient.datasets._download import cached, check_counts

if TYPE_CHECKING:
    import os

    from anndata import AnnData

_URL = "https://cf.10xgenomics.com/samples/cell-exp/1.1.0/{name}/{archive}"
_ARCHIVE = "{name}_filtered_gene_bc_matrices.tar.gz"
_FILES = ("matrix.mtx", "genes.tsv", "barcodes.tsv")
_N_GENES = 32_738
_N_CELLS = {
    "aml027_pre_transplant": 3933,
    "aml027_post_transplant": 3965,
    "aml035_pre_transplant": 3592,
    "aml035_post_transplant": 909,
    "frozen_bmmc_healthy_donor1": 1985,
    "frozen_bmmc_healthy_donor2": 2472,
}
_PATIENTS = ("aml027", "aml035")
_DONORS = "frozen_bmmc"
_STAGES = {"pre_transplant": "pre-transplant", "post_transplant": "post-transplant"}
_HEALTHY = "healthy"


def zheng_2017(
    *,
    patient: str = "aml027",
    root: str | os.PathLike[str] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    progressbar: bool = True,
) -> AnnData:
    """Bone marrow of a leukaemia patient before and after a transplant, and of healthy donors.

    Zheng et al. 2017 (Nat Commun 8:14049): the data of figure 5 of Abid and Zou (2019), in which
    the patient's cells of both stages are the target and the cells of the two healthy donors the
    background.

    Parameters
    ----------
    patient
        ``"aml027"`` (7,898 cells) or ``"aml035"`` (4,501 cells); the donors have 4,457.
    root
        Folder with the archives ``NAME_filtered_gene_bc_matrices.tar.gz`` of 10x Genomics, or with
        a folder ``NAME`` for each into which it was unpacked; `None` to download them.
    cache_dir
        Folder to keep the downloads in; `None` for the user's cache of scsalient.
    progressbar
        Whether to show a progress bar while downloading.

    Returns
    -------
    Cells by 32,738 genes, raw counts (CSR, float32) in ``.X``, with

    ``.obs``
        ``condition`` (patient, healthy), ``stage`` (pre-transplant, post-transplant, healthy),
        ``sample`` (the name of the archive), ``barcode``.
    ``.var``
        Ensembl identifiers as names, ``gene_symbols``.

    Raises
    ------
    FileNotFoundError
        When ``root`` or a sample in it does not exist.
    ConnectionError
        When a download fails.
    ValueError
        When the patient is unknown, or a file is not what was expected.

    Notes
    -----
    The publisher gives no checksum, so the content is checked instead: the number of cells and
    genes of each sample, and counts.
    """
    if patient not in _PATIENTS:
        msg = f"`patient` should be one of {list(_PATIENTS)}, found {patient!r}."
        raise ValueError(msg)
    check_flag("progressbar", progressbar)
    if root is not None and not Path(root).is_dir():
        msg = f"`root` should name a folder, found none at {str(root)!r}."
        raise FileNotFoundError(msg)
    names = [name for name in _N_CELLS if name.startswith((patient, _DONORS))]
    if root is None:
        samples = {name: _download(name, cache_dir, progressbar) for name in names}
    else:
        samples = {name: _read(name, _find(name, Path(root))) for name in names}
    first, *others = samples
    for name in others:
        if not samples[name].var_names.equals(samples[first].var_names):
            msg = (
                f"The samples should have the same genes, found other ones in {name!r} than in "
                f"{first!r}. Fetch the archives again."
            )
            raise ValueError(msg)
    adata = anndata.concat(
        samples, join="inner", merge="same", label=_keys.OBS_SAMPLE, index_unique="_"
    )
    sample = adata.obs[_keys.OBS_SAMPLE].astype(str)
    stage = sample.str.removeprefix(f"{patient}_").map(_STAGES).fillna(_HEALTHY)
    condition = stage.where(stage == _HEALTHY, "patient")
    adata.obs[_keys.OBS_CONDITION] = condition.astype("category")
    adata.obs[_keys.OBS_STAGE] = stage.astype("category")
    return adata


def _download(name: str, cache_dir: str | os.PathLike[str] | None, progressbar: bool) -> AnnData:
    archive = _ARCHIVE.format(name=name)
    file = cached(
        _URL.format(name=name, archive=archive),
        name=archive,
        source="10x Genomics",
        remedy="fetch the archives by hand and pass `root=`",
        cache_dir=cache_dir,
        progressbar=progressbar,
    )
    try:
        return _read(name, file)
    except ValueError as error:
        file.unlink(missing_ok=True)
        msg = f"{error} It was removed from the cache; try again, or pass `root=`."
        raise ValueError(msg) from error


def _find(name: str, root: Path) -> Path:
    """Archive or folder of a sample."""
    archive = root / _ARCHIVE.format(name=name)
    if archive.is_file():
        return archive
    found = sorted(path.parent for path in root.glob(f"{name}*/**/{_FILES[0]}"))
    if not found:
        msg = (
            f"`root` should hold {archive.name}, or a folder {name} with what is in it, found "
            f"neither in {str(root)!r}."
        )
        raise FileNotFoundError(msg)
    return found[0]


def _read(name: str, path: Path) -> AnnData:
    """Cells of one sample, from its archive or its folder."""
    if path.is_dir():
        adata = _read_folder(path, path)
    else:
        with tempfile.TemporaryDirectory() as folder:
            _unpack(path, Path(folder))
            adata = _read_folder(Path(folder), path)
    expected = (_N_CELLS[name], _N_GENES)
    if adata.shape != expected:
        msg = (
            f"{str(path)!r} should hold {expected[0]} cells and {expected[1]} genes, found "
            f"{adata.n_obs} and {adata.n_vars}."
        )
        raise ValueError(msg)
    check_counts(adata, path)
    return adata


def _unpack(archive: Path, folder: Path) -> None:
    """Write the three files of an archive into a folder, wherever they are in it."""
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                name = Path(member.name).name
                content = tar.extractfile(member) if name in _FILES else None
                if content is not None:
                    with content, (folder / name).open("wb") as file:
                        shutil.copyfileobj(content, file)
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno is not None:
            # Of the system, such as a full disk: no sign of a broken archive
            raise
        msg = f"{str(archive)!r} should be a complete .tar.gz archive, found otherwise: {error}."
        raise ValueError(msg) from error


def _read_folder(folder: Path, source: Path) -> AnnData:
    """Cells of one sample, which was found at a place that errors name."""
    import scanpy as sc

    missing = [name for name in _FILES if not (folder / name).is_file()]
    if missing:
        msg = f"{str(source)!r} should hold the files {list(_FILES)}, found no {missing}."
        raise ValueError(msg)
    try:
        adata = sc.read_10x_mtx(folder, var_names="gene_ids")
    except (IndexError, KeyError, OSError, ValueError) as error:
        msg = f"{str(source)!r} should hold the files {list(_FILES)} of one sample: {error}."
        raise ValueError(msg) from error
    if not adata.var_names.is_unique:
        msg = f"{str(source)!r} should have each gene once, found identifiers that come twice."
        raise ValueError(msg)
    adata.obs[_keys.OBS_BARCODE] = adata.obs_names.to_numpy()
    return adata
