"""Handwritten digits: MNIST from files or OpenML, or those that come with scikit-learn."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scsalient.datasets._extras import import_extra

if TYPE_CHECKING:
    import os

SIDE = 28
_IMAGE_MAGIC, _LABEL_MAGIC = 2051, 2049
_PARTS = ("train", "t10k")


@dataclass(frozen=True)
class Digits:
    """Handwritten digits.

    Parameters
    ----------
    images
        Shape ``(n, 28, 28)``, float32 from 0 (paper) to 1 (ink).
    labels
        The digit of each image, shape ``(n,)``.
    source
        Where they come from, in words.
    """

    images: np.ndarray
    labels: np.ndarray
    source: str


def load_digits(mnist: str | os.PathLike[str] | None) -> Digits:
    """Digits from where the user has them.

    Parameters
    ----------
    mnist
        Folder with MNIST in IDX files, ``"openml"``, or `None` for scikit-learn's.

    Raises
    ------
    FileNotFoundError
        When there is no such folder, or no such files in it.
    ConnectionError
        When the download fails.
    ValueError
        When a file is not what it should be.
    """
    if mnist is None:
        return _bundled()
    if mnist == "openml":
        return _openml()
    folder = Path(mnist)
    if not folder.is_dir():
        msg = (
            "`mnist` should be a folder with the IDX files of MNIST, or 'openml', found no folder "
            f"at {str(folder)!r}."
        )
        raise FileNotFoundError(msg)
    return _folder(folder)


@cache
def _bundled() -> Digits:
    from sklearn.datasets import load_digits as load_bundled

    transform = import_extra("skimage.transform", used_by="`grassy_mnist`")
    bundled = load_bundled()
    small = np.moveaxis(bundled.images / 16.0, 0, -1)
    large = transform.resize(small, (SIDE, SIDE), order=3, mode="constant", anti_aliasing=False)
    images = np.moveaxis(large, -1, 0).clip(0, 1).astype(np.float32)
    images.flags.writeable = False
    return Digits(
        images, bundled.target, "scikit-learn's bundled digits, 8 x 8, enlarged to 28 x 28"
    )


def _openml() -> Digits:
    from sklearn.datasets import fetch_openml

    try:
        fetched = fetch_openml("mnist_784", version=1, as_frame=False)
    except OSError as error:
        msg = (
            f"The download of MNIST from OpenML failed: {error}. Try again, or pass a folder with "
            "the IDX files as `mnist=`."
        )
        raise ConnectionError(msg) from error
    images = (fetched.data.reshape(-1, SIDE, SIDE) / 255).astype(np.float32)
    return Digits(images, fetched.target.astype(np.int64), "MNIST, OpenML mnist_784 version 1")


def _folder(folder: Path) -> Digits:
    images, labels, found = [], [], []
    for part in _PARTS:
        file = _find(folder, part, "images-idx3")
        if file is None:
            continue
        label_file = _find(folder, part, "labels-idx1")
        if label_file is None:
            msg = (
                f"`mnist` should be a folder with images and labels, found {file.name!r} without "
                f"'{part}-labels-idx1-ubyte' in {str(folder)!r}."
            )
            raise FileNotFoundError(msg)
        images.append(read_idx(file, n_dims=3))
        labels.append(read_idx(label_file, n_dims=1))
        found.append(part)
        if len(images[-1]) != len(labels[-1]) or images[-1].shape[1:] != (SIDE, SIDE):
            msg = (
                f"{str(file)!r} should hold 28 x 28 images, one for each of the "
                f"{len(labels[-1])} labels, found shape {images[-1].shape}."
            )
            raise ValueError(msg)
    if not found:
        msg = (
            "`mnist` should be a folder with 'train-images-idx3-ubyte' or "
            f"'t10k-images-idx3-ubyte', compressed or not, found neither in {str(folder)!r}."
        )
        raise FileNotFoundError(msg)
    scaled = (np.concatenate(images) / 255).astype(np.float32)
    return Digits(scaled, np.concatenate(labels).astype(np.int64), f"MNIST, {' and '.join(found)}")


def _find(folder: Path, part: str, kind: str) -> Path | None:
    """File of a part of MNIST under one of the names that go around."""
    for separator in ("-", "."):
        stem = f"{part}-{kind.replace('-idx', separator + 'idx')}-ubyte"
        for name in (stem, f"{stem}.gz"):
            if (folder / name).is_file():
                return folder / name
    return None


def read_idx(file: Path, *, n_dims: int) -> np.ndarray:
    """Read an IDX file of unsigned bytes, the format of MNIST (LeCun et al. 1998).

    Parameters
    ----------
    file
        The file, compressed with gzip if its name ends in ``.gz``.
    n_dims
        Number of dimensions: 3 for images, 1 for labels.

    Returns
    -------
    Array of uint8 with the shape that the file declares.

    Raises
    ------
    ValueError
        When the magic number or the length is wrong.
    """
    try:
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        msg = f"{str(file)!r} should be a gzip file, found damage: {error}. Fetch it again."
        raise ValueError(msg) from error
    expected = {3: _IMAGE_MAGIC, 1: _LABEL_MAGIC}[n_dims]
    n_head = 4 * (n_dims + 1)
    magic = int.from_bytes(content[:4], "big")
    if len(content) >= 4 and magic != expected:
        msg = (
            f"{str(file)!r} should be an IDX file with the magic number {expected}, found {magic}. "
            "Fetch it again."
        )
        raise ValueError(msg)
    if len(content) < n_head:
        msg = (
            f"{str(file)!r} should be an IDX file, found it cut off after {len(content)} bytes, "
            f"within the first {n_head}, which give its shape. Fetch it again."
        )
        raise ValueError(msg)
    shape = tuple(np.frombuffer(content, dtype=">i4", count=n_dims, offset=4).tolist())
    values = np.frombuffer(content, dtype=np.uint8, offset=n_head)
    if values.size != np.prod(shape):
        msg = (
            f"{str(file)!r} should hold as many bytes as its shape {shape} says, found "
            f"{values.size}. Fetch it again."
        )
        raise ValueError(msg)
    return values.reshape(shape)
