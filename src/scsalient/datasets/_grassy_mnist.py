"""Digits on grass, the paper's first experiment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scsalient import _keys, images
from scsalient._arguments import check_flag, check_integer, check_number
from scsalient.datasets._digits import SIDE, load_digits
from scsalient.datasets._grass import grass_patches, load_grass

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from anndata import AnnData

_NO_DIGIT = "none"


def grassy_mnist(
    *,
    digits: Sequence[int] = (0, 1, 2),
    amplitude: float = 2.0,
    n_target: int | None = None,
    n_background: int = 5000,
    crop_sizes: tuple[int, int] = (6, 20),
    stretch: bool = True,
    background_noise: float = 0.0,
    share_background_in_target: float = 0.0,
    share_target_in_background: float = 0.0,
    mnist: str | os.PathLike[str] | None = None,
    grass: str | os.PathLike[str] | None = None,
    seed: int = 0,
) -> AnnData:
    """Handwritten digits superimposed on grass, and grass alone.

    The data of section 4.1 of Abid and Zou (2019). A target image is a digit, from 0 to 1, plus
    ``amplitude`` times a patch of grass; a background image is such a patch alone. The patches of
    the two groups come from disjoint photographs, or from the two halves of one. Nothing is
    downloaded unless asked for.

    Parameters
    ----------
    digits
        Digits to use.
    amplitude
        Brightness of the grass, relative to that of the digits; at least 0.
    n_target
        Number of target images, drawn without repeats; `None` for all digits there are.
    n_background
        Number of background images.
    crop_sizes
        Smallest and largest side, both included, of the square crop of the photograph in pixels,
        which is brought to 28 x 28.
    stretch
        Whether to stretch each patch of grass to the range from 0 to 1.
    background_noise
        Standard deviation of Gaussian noise on each pixel of the background images (paper app. G).
    share_background_in_target
        Share of the target images that are grass alone (app. G).
    share_target_in_background
        Share of the background images that have a digit on them (app. G), one that no target image
        has as long as there are such.
    mnist
        Folder with MNIST in IDX files (``train-images-idx3-ubyte`` and so on, or the ``t10k``
        pair, or both; compressed or not), ``"openml"`` to download it through scikit-learn, or
        `None` for the 1,797 digits of 8 x 8 pixels that come with scikit-learn, enlarged.
    grass
        Folder of photographs, or `None` for the one that comes with scikit-image.
    seed
        Seed of the draw.

    Returns
    -------
    Images of 28 x 28 pixels, float32, targets first, shape ``(n_target + n_background, 784)``;
    :func:`scsalient.images.from_anndata` gives them as arrays. With

    ``.obs``
        ``condition`` (background, target), ``digit`` (the digits as text, and ``none``).
    ``.layers["clean"]``
        The digit of each image without grass, zero where there is none.
    ``.uns["image"]``
        Shape and value range.
    ``.uns["truth"]``
        Where digits and grass come from, the settings and the seed.

    Raises
    ------
    ImportError
        When scikit-image or pillow are missing (the extra ``images``).
    FileNotFoundError
        When a folder or its files are missing.
    ConnectionError
        When the download fails.
    TypeError
        When an argument is of the wrong type.
    ValueError
        When an argument is out of range, or a file is not what it should be.

    Examples
    --------
    >>> import scsalient as sal
    >>> adata = sal.datasets.grassy_mnist(n_target=100, n_background=200)
    >>> adata.shape
    (300, 784)
    >>> sal.images.from_anndata(adata, "clean").shape
    (300, 28, 28)
    """
    wanted = _check(digits, crop_sizes, n_target, n_background)
    check_number("amplitude", amplitude, low=0)
    check_number("background_noise", background_noise, low=0)
    check_number("share_background_in_target", share_background_in_target, low=0, high=1)
    check_number("share_target_in_background", share_target_in_background, low=0, high=1)
    check_flag("stretch", stretch)
    check_integer("seed", seed, low=0)
    # Streams of their own, so that one setting changes nothing but what it is about
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(6)]
    rng_digits, rng_photographs, rng_target, rng_background, rng_noise, rng_shares = streams

    source = load_digits(mnist)
    there = np.flatnonzero(np.isin(source.labels, wanted))
    missing = sorted(set(wanted) - set(source.labels.tolist()))
    if missing or (n_target is not None and n_target > len(there)):
        msg = (
            f"`digits` and `n_target` ask for {'all' if n_target is None else n_target} images of "
            f"{wanted}, found {len(there)} in {source.source}"
            f"{f', none of {missing}' if missing else ''}. Ask for fewer, or pass more as `mnist`."
        )
        raise ValueError(msg)
    target_grass, background_grass, grass_source = load_grass(
        grass, min_side=crop_sizes[1], rng=rng_photographs
    )

    order = rng_digits.permutation(there)
    n_used = len(there) if n_target is None else n_target
    in_target, spare = order[:n_used], order[n_used:]
    clean = np.zeros((n_used + n_background, SIDE, SIDE), dtype=np.float32)
    shown = np.full(len(clean), _NO_DIGIT, dtype=object)
    clean[:n_used] = source.images[in_target]
    shown[:n_used] = source.labels[in_target].astype(str)
    pure = rng_shares.permutation(n_used)[: round(share_background_in_target * n_used)]
    clean[pure], shown[pure] = 0, _NO_DIGIT
    n_mixed = round(share_target_in_background * n_background)
    mixed = n_used + rng_shares.permutation(n_background)[:n_mixed]
    added = np.resize(np.concatenate([spare, rng_shares.permutation(there)]), n_mixed)
    clean[mixed], shown[mixed] = source.images[added], source.labels[added].astype(str)

    patches = [
        grass_patches(
            photographs, n, side=SIDE, crop_sizes=crop_sizes, stretch=bool(stretch), rng=rng
        )
        for photographs, n, rng in (
            (target_grass, n_used, rng_target),
            (background_grass, n_background, rng_background),
        )
    ]
    pictures = clean + np.float32(amplitude) * np.concatenate(patches)
    noise = rng_noise.standard_normal((n_background, SIDE, SIDE), dtype=np.float32)
    pictures[n_used:] += np.float32(background_noise) * noise

    is_target = np.arange(len(pictures)) < n_used
    labels = pd.DataFrame(
        {
            _keys.OBS_CONDITION: np.where(is_target, "target", "background"),
            _keys.OBS_DIGIT: shown.astype(str),
        }
    ).astype("category")
    adata = images.to_anndata(
        pictures.astype(np.float32),
        labels,
        layers={_keys.LAYER_CLEAN: clean},
        value_range=_value_range(pictures, 1 + amplitude),
    )
    adata.uns[_keys.UNS_TRUTH] = {
        "digits": list(wanted),
        "digits_source": source.source,
        "grass_source": grass_source,
        "amplitude": float(amplitude),
        "crop_sizes": list(crop_sizes),
        "stretch": bool(stretch),
        "background_noise": float(background_noise),
        "share_background_in_target": float(share_background_in_target),
        "share_target_in_background": float(share_target_in_background),
        "seed": int(seed),
    }
    return adata


def _check(
    digits: Sequence[int], crop_sizes: tuple[int, int], n_target: int | None, n_background: int
) -> list[int]:
    """Check sizes, and give the digits as a list."""
    is_list = isinstance(digits, list | tuple | range | np.ndarray)
    wanted = list(digits) if is_list else []
    if not wanted or len(set(wanted)) < len(wanted):
        msg = f"`digits` should be a list of distinct digits, found {digits!r}."
        raise ValueError(msg)
    for digit in wanted:
        check_integer("digits", digit, low=0, high=9)
    is_pair = isinstance(crop_sizes, list | tuple) and len(crop_sizes) == 2
    if not is_pair:
        msg = f"`crop_sizes` should be two integers that rise, found {crop_sizes!r}."
        raise ValueError(msg)
    smallest, largest = crop_sizes
    check_integer("crop_sizes", smallest, low=2)
    check_integer("crop_sizes", largest, low=smallest)
    if n_target is not None:
        check_integer("n_target", n_target, low=1)
    check_integer("n_background", n_background, low=1)
    return [int(digit) for digit in wanted]


def _value_range(pictures: np.ndarray, brightest: float) -> tuple[float, float]:
    """From black to a white digit on the brightest grass, or further where there is noise."""
    return min(0.0, float(pictures.min())), max(brightest, float(pictures.max()))
