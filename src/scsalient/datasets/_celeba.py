"""Photographs of faces with known attributes."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm.auto import tqdm

from scsalient import _keys, images
from scsalient._arguments import check_flag, check_integer
from scsalient.datasets._extras import import_extra

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from anndata import AnnData

_FOLDER = "img_align_celeba"
_TABLE = "list_attr_celeba"
_WIDTH = 178
_SHOWN = 10
_SHOWN_CHARACTERS = 40


def celeba(
    root: str | os.PathLike[str],
    *,
    attribute: str | Sequence[str] = "Eyeglasses",
    n_target: int | None = None,
    n_background: int | None = None,
    image_size: int = 64,
    crop: int = 148,
    skip_unreadable: bool = False,
    n_jobs: int = -1,
    seed: int = 0,
    progressbar: bool = True,
) -> AnnData:
    """Photographs of celebrities, with an attribute and without it, from a copy of CelebA.

    Liu et al. 2015 (ICCV), aligned and cropped: the data of figure 6 of Abid and Zou (2019), which
    takes faces with glasses, or with hats, as the target and the others as the background, cropped
    and scaled to 64 by 64 pixels. There is no download: the publishers hand the photographs out
    themselves. :func:`scsalient.datasets.faces` draws data of the same form. Needs Pillow
    (``pip install ".[images]"`` in a clone of the package).

    Parameters
    ----------
    root
        Folder with ``img_align_celeba/`` and ``list_attr_celeba.txt`` (the publishers' form, also
        with their folders ``Img`` and ``Anno``) or ``list_attr_celeba.csv`` (the copy on Kaggle,
        also with its two nested folders ``img_align_celeba``).
    attribute
        Attribute of the target faces, ``"Eyeglasses"`` or ``"Wearing_Hat"`` in the paper, or
        several: a target face has one of them at least, a background face none.
    n_target
        Number of target faces, drawn at random; `None` for all.
    n_background
        Number of background faces, drawn at random; `None` for as many as there are target faces.
    image_size
        Width and height in pixels.
    crop
        Width and height of the square in the middle of the photograph that is scaled to
        ``image_size``, at most 178. The usual 148 leaves out most of what is around the face; 178
        keeps more of a hat.
    skip_unreadable
        Leave out photographs that are missing or cannot be read, with a warning that names them,
        instead of an error.
    n_jobs
        Threads to read with; -1 for all cores.
    seed
        Seed of the draw.
    progressbar
        Whether to show a progress bar.

    Returns
    -------
    Target faces, then background faces, each in the order of the table: shape
    ``(n_target + n_background, image_size * image_size * 3)``, uint8, packed as by
    :func:`scsalient.images.to_anndata`, named as their files, with

    ``.obs``
        ``condition`` (target, background), and every attribute under its name in CelebA, true or
        false.
    ``.uns["image"]``
        Shape and value range.

    Raises
    ------
    ImportError
        When Pillow is missing.
    FileNotFoundError
        When the folder of photographs or the table is missing.
    TypeError
        When a size or another number is not a number.
    ValueError
        When a number is out of range, an attribute unknown, the table incomplete, or a photograph
        missing or unreadable.
    """
    import_extra("PIL.Image", used_by="`datasets.celeba`")
    for name, n in (("n_target", n_target), ("n_background", n_background)):
        if n is not None:
            check_integer(name, n, low=1)
    check_integer("image_size", image_size, low=8, high=_WIDTH)
    check_integer("crop", crop, low=8, high=_WIDTH, meaning="the width of a photograph")
    check_flag("skip_unreadable", skip_unreadable)
    check_integer("seed", seed, low=0)
    check_flag("progressbar", progressbar)
    folder, table = _find(Path(root))
    attributes = _read_attributes(table)
    has_one = attributes[_names(attribute, attributes)].any(axis=1).to_numpy()

    rng = np.random.default_rng(seed)
    target = _draw("n_target", n_target, np.flatnonzero(has_one), rng)
    if n_background is None:
        n_background = min(len(target), int((~has_one).sum()))
    background = _draw("n_background", n_background, np.flatnonzero(~has_one), rng)
    rows = np.concatenate([target, background])

    files = attributes.index[rows]
    read = Parallel(n_jobs=n_jobs, prefer="threads", return_as="generator")(
        delayed(_photograph)(folder / file, crop, image_size) for file in files
    )
    pixels = np.empty((len(rows), image_size, image_size, 3), dtype=np.uint8)
    unreadable = {}
    shown = tqdm(read, desc="CelebA", total=len(rows), unit="image", disable=not progressbar)
    for i, photograph in enumerate(shown):
        if isinstance(photograph, str):
            unreadable[i] = f"{files[i]} ({photograph})"
        else:
            pixels[i] = photograph
    kept = np.setdiff1d(np.arange(len(rows)), list(unreadable))
    if unreadable:
        left = has_one[rows[kept]]
        has_both = bool(left.any() and not left.all())
        _report(list(unreadable.values()), skip=bool(skip_unreadable) and has_both)
        pixels = pixels[kept]

    obs = attributes.iloc[rows[kept]]
    condition = np.where(has_one[rows[kept]], "target", "background")
    obs.insert(0, _keys.OBS_CONDITION, pd.Categorical(condition))
    return images.to_anndata(pixels, obs, names=list(obs.index))


def _find(root: Path) -> tuple[Path, Path]:
    """Folder of the photographs, and table of the attributes."""
    folders = [root / _FOLDER / _FOLDER, root / "Img" / _FOLDER, root / _FOLDER]
    tables = [
        root / f"{_TABLE}.txt", root / "Anno" / f"{_TABLE}.txt", root / f"{_TABLE}.csv",
    ]  # fmt: skip
    folder = next((path for path in folders if path.is_dir()), None)
    table = next((path for path in tables if path.is_file()), None)
    if folder is None or table is None:
        missing = f"{_FOLDER}/" if folder is None else f"{_TABLE}.txt and no {_TABLE}.csv"
        msg = (
            f"`root` should hold {_FOLDER}/ and {_TABLE}.txt or {_TABLE}.csv, found no {missing} "
            f"in {str(root)!r}. `datasets.faces` draws faces instead."
        )
        raise FileNotFoundError(msg)
    return folder, table


def _read_attributes(table: Path) -> pd.DataFrame:
    """True or false for each photograph (rows, by file name) and attribute (columns)."""
    try:
        if table.suffix == ".csv":
            values = pd.read_csv(table, index_col=0, skipinitialspace=True)
            n_expected = len(values)
        else:
            values, n_expected = _read_txt(table)
    except ValueError as error:
        msg = (
            f"{str(table)!r} should be CelebA's table of attributes, found otherwise: {error}. "
            "Fetch it again."
        )
        raise ValueError(msg) from error
    if len(values) != n_expected or values.empty or not values.isin([1, -1]).all(axis=None):
        msg = (
            f"{str(table)!r} should give 1 or -1 for each photograph and attribute, and as many "
            f"photographs as its first line says, found {len(values)} photographs and "
            f"{values.shape[1]} attributes, or other values. Fetch it again."
        )
        raise ValueError(msg)
    values.index = values.index.astype(str)
    values.index.name = None
    return values == 1


def _read_txt(table: Path) -> tuple[pd.DataFrame, int]:
    """Values in the publishers' form, and the number of photographs that the first line gives."""
    with table.open(encoding="utf-8") as lines:
        first = lines.readline().strip()
        if not first.isdecimal():
            msg = f"its first line, {first[:_SHOWN_CHARACTERS]!r}, is no number of photographs"
            raise ValueError(msg)
        names = lines.readline().split()
        values = pd.read_csv(lines, sep=r"\s+", header=None, index_col=0)
    values.columns = pd.Index(names)
    return values, int(first)


def _names(attribute: str | Sequence[str], attributes: pd.DataFrame) -> list[str]:
    names = [attribute] if isinstance(attribute, str) else list(attribute)
    if not names or not set(names) <= set(attributes.columns):
        msg = (
            f"`attribute` should be one or several of {list(attributes.columns)}, found "
            f"{attribute!r}."
        )
        raise ValueError(msg)
    return names


def _draw(argument: str, n: int | None, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if len(rows) < max(n or 1, 1):
        msg = (
            f"`{argument}` should be at most the number of photographs of that kind, {len(rows)}, "
            f"found {n}."
        )
        raise ValueError(msg)
    return rows if n is None else np.sort(rng.permutation(rows)[:n])


def _photograph(file: Path, crop: int, image_size: int) -> np.ndarray | str:
    """Pixels, or what is wrong with the file."""
    from PIL import Image

    if not file.is_file():
        return "missing"
    try:
        with Image.open(file) as photograph:
            left, top = (photograph.width - crop) // 2, (photograph.height - crop) // 2
            if min(left, top) < 0:
                return f"{photograph.width} x {photograph.height} pixels, less than the crop"
            colour = photograph.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return str(error).replace(str(file), file.name)
    box = (left, top, left + crop, top + crop)
    # Averages over the pixels that fall on one, so that nothing is aliased
    return np.asarray(colour.resize((image_size, image_size), Image.Resampling.BILINEAR, box=box))


def _report(problems: list[str], *, skip: bool) -> None:
    more = f" and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    listed = f"{', '.join(problems[:_SHOWN])}{more}"
    if not skip:
        msg = (
            f"`root` should hold readable photographs, found {len(problems)} that are not: "
            f"{listed}. Fetch them again, or pass `skip_unreadable=True` to leave them out where "
            "others of both groups are left."
        )
        raise ValueError(msg)
    warnings.warn(
        f"Left out {len(problems)} photographs that cannot be read: {listed}.",
        UserWarning,
        stacklevel=3,
    )
