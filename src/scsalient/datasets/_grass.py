"""Patches of grass from photographs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scsalient.datasets._extras import import_extra

if TYPE_CHECKING:
    import os

_SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff"}


def load_grass(
    grass: str | os.PathLike[str] | None, *, min_side: int, rng: np.random.Generator
) -> tuple[list[np.ndarray], list[np.ndarray], str]:
    """Two disjoint sets of grey photographs, and where they come from.

    Parameters
    ----------
    grass
        Folder of photographs, `None` for the one that comes with scikit-image.
    min_side
        Shortest side that a photograph may have.
    rng
        Which photographs go where.

    Returns
    -------
    Two lists of 8-bit arrays ``(height, width)``, and the source in words. A single photograph is
    cut in two halves, several are dealt out.

    Raises
    ------
    FileNotFoundError
        When there is no such folder, or no photograph in it.
    ValueError
        When a photograph cannot be read or is too small.
    """
    if grass is None:
        data = import_extra("skimage.data", used_by="`grassy_mnist`")
        photographs, source = [("skimage.data.grass()", data.grass())], "scikit-image's photograph"
    else:
        photographs = _folder(Path(grass))
        source = f"{len(photographs)} of {str(grass)}"
    if len(photographs) == 1:
        name, photograph = photographs[0]
        # Across the longer side, so that the halves are as square as can be
        halves = np.array_split(photograph, 2, axis=int(np.argmax(photograph.shape)))
        sets = [[half] for half in halves]
        _check_sides([(f"half of {name}", half) for half in halves], min_side)
        source += ", one half for each group"
    else:
        _check_sides(photographs, min_side)
        order = rng.permutation(len(photographs))
        sets = [[photographs[i][1] for i in order[part::2]] for part in (0, 1)]
        source += ", dealt out to the two groups"
    return sets[0], sets[1], source


def _folder(folder: Path) -> list[tuple[str, np.ndarray]]:
    image = import_extra("PIL.Image", used_by="`grassy_mnist`")
    files = []
    if folder.is_dir():
        files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in _SUFFIXES)
    if not files:
        msg = f"`grass` should be a folder with photographs, found none at {str(folder)!r}."
        raise FileNotFoundError(msg)
    photographs = []
    for file in files:
        try:
            with image.open(file) as opened:
                photographs.append((file.name, _grey(opened)))
        # What pillow raises for damaged files
        except (OSError, SyntaxError, ValueError, image.DecompressionBombError) as error:
            msg = f"`grass` has a file that cannot be read, {str(file)!r}: {error}. Remove it."
            raise ValueError(msg) from error
    return photographs


def _grey(photograph: Any) -> np.ndarray:
    """8-bit grey values; pillow cuts off what 16 bits have beyond 255."""
    if photograph.mode.startswith("I"):
        return (np.asarray(photograph).astype(float) / 65535 * 255).round().astype(np.uint8)
    if photograph.mode == "F":
        msg = "it has floating point values, not 8 or 16 bits"
        raise ValueError(msg)
    return np.asarray(photograph.convert("L"))


def _check_sides(photographs: list[tuple[str, np.ndarray]], min_side: int) -> None:
    small = [name for name, photograph in photographs if min(photograph.shape) < min_side]
    if small:
        msg = (
            f"`crop_sizes` asks for crops of up to {min_side} pixels, found smaller photographs: "
            f"{small[:5]}. Lower it, or remove them from `grass`."
        )
        raise ValueError(msg)


def grass_patches(
    photographs: list[np.ndarray],
    n: int,
    *,
    side: int,
    crop_sizes: tuple[int, int],
    stretch: bool,
    rng: np.random.Generator,
) -> np.ndarray:
    """Square crops at random places, brought to one size.

    Parameters
    ----------
    photographs
        8-bit arrays ``(height, width)``.
    n
        Number of patches.
    side
        Side of each patch in pixels.
    crop_sizes
        Smallest and largest side of the crops.
    stretch
        Whether to stretch each patch to the range from 0 to 1.
    rng
        Photographs, places and sizes.

    Returns
    -------
    Shape ``(n, side, side)``, float32 from 0 to 1.
    """
    transform = import_extra("skimage.transform", used_by="`grassy_mnist`")
    sizes = rng.integers(crop_sizes[0], crop_sizes[1], size=n, endpoint=True)
    sources = rng.integers(len(photographs), size=n)
    places = rng.random((n, 2))
    patches = np.empty((n, side, side), dtype=np.float32)
    for size in np.unique(sizes):
        members = np.flatnonzero(sizes == size)
        crops = np.empty((size, size, len(members)), dtype=np.float32)
        for k, i in enumerate(members):
            photograph = photographs[sources[i]]
            room = np.asarray(photograph.shape) - size + 1
            row, column = (places[i] * room).astype(int)
            crops[:, :, k] = photograph[row : row + size, column : column + size]
        # Only what is made smaller needs to be smoothed first, and only within the image
        sigma = max(0.0, (size / side - 1) / 2)
        resized = transform.resize(
            crops / 255,
            (side, side),
            order=1,
            mode="reflect",
            anti_aliasing=sigma > 0,
            anti_aliasing_sigma=(sigma, sigma, 0) if sigma > 0 else None,
        )
        patches[members] = np.moveaxis(resized, -1, 0)
    if stretch:
        low = patches.min(axis=(1, 2), keepdims=True)
        spread = patches.max(axis=(1, 2), keepdims=True) - low
        patches = (patches - low) / np.where(spread > 0, spread, 1)
    return patches
