"""Drawn faces with known factors, in CelebA's form."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from scsalient import _keys, images
from scsalient._arguments import check_flag, check_integer, check_number
from scsalient.datasets._extras import import_extra

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData

    from scsalient.datasets._face_head import Look

# Degrees: faces look to the front, give or take, or stand in three-quarter view
_TURNS = {"left": (-40.0, -22.0), "front": (-8.0, 8.0), "right": (22.0, 40.0)}
# CelebA's photographs are aligned by the eyes and the mouth; little is left of these
_MAX_TILT = 5.0
_MAX_SHIFT_X, _MAX_SHIFT_Y = 0.02, 0.02
_SCALES = (0.95, 1.05)
_SKINS = ("light", "medium", "dark")


def faces(
    *,
    n_target: int = 2500,
    n_background: int = 2500,
    attribute: str | Sequence[str] = "glasses",
    style_shares: Mapping[str, float] | None = None,
    image_size: int = 64,
    seed: int = 0,
    progressbar: bool = True,
) -> AnnData:
    """Drawn faces in CelebA's form, with and without glasses or hats, and their known factors.

    Stands in for CelebA (:func:`scsalient.datasets.celeba`) in the experiment of figure 6 of Abid
    and Zou (2019) where no photographs are at hand, and says what CelebA cannot: every factor of
    every image. Target faces wear an accessory, background faces none; skin, backdrop, pose, hair
    and expression are drawn independently of it and of each other, alike in both groups. Needs
    Pillow (``pip install ".[images]"`` in a clone of the package).

    Parameters
    ----------
    n_target, n_background
        Number of faces with and without an accessory.
    attribute
        Accessory of the target faces: ``"glasses"`` (styles ``"round"``, ``"square"``,
        ``"sunglasses"``), ``"hat"`` (styles ``"beanie"``, ``"cap"``, ``"top hat"``), or both in a
        list; a face wears one accessory.
    style_shares
        Weight of each style among the target faces, for example ``{"round": 3, "square": 1}``;
        styles that are not named do not occur. `None` for the same share each.
    image_size
        Width and height in pixels.
    seed
        Seed of the draw.
    progressbar
        Whether to show a progress bar.

    Returns
    -------
    Target faces, then background faces: shape
    ``(n_target + n_background, image_size * image_size * 3)``, uint8, packed as by
    :func:`scsalient.images.to_anndata`, with

    ``.obs``
        ``condition`` (target, background), ``accessory`` (glasses, hat, none),
        ``accessory_style`` (a style or none), ``skin`` (light, medium, dark) and ``skin_tone``
        (0 is light, 1 dark), ``backdrop`` (blue, green, grey, rose, sand, violet), ``pose``
        (front; left or right: in three-quarter view towards that side of the image), ``turn`` and
        ``tilt`` (degrees, right and clockwise above 0), ``shift_x`` and ``shift_y`` (shares of the
        image, right and down above 0; small, as in CelebA's aligned photographs), ``head_scale``,
        ``hair_style`` (curly, long, parted, short),
        ``hair_colour`` (black, blond, brown, grey, red), ``expression`` (laugh, neutral, smile).
    ``.uns["image"]``
        Shape and value range.
    ``.uns["truth"]``
        The settings.

    Raises
    ------
    ImportError
        When Pillow is missing.
    TypeError
        When a size or another number is not a number.
    ValueError
        When a number is out of range, or an accessory or style unknown.

    Examples
    --------
    >>> import scsalient as sal
    >>> adata = sal.datasets.faces(n_target=4, n_background=2, attribute="hat", progressbar=False)
    >>> sal.images.from_anndata(adata).shape
    (6, 64, 64, 3)
    >>> list(adata.obs["accessory"])
    ['hat', 'hat', 'hat', 'hat', 'none', 'none']
    """
    import_extra("PIL.Image", used_by="`datasets.faces`")
    check_integer("n_target", n_target, low=1)
    check_integer("n_background", n_background, low=1)
    check_integer("image_size", image_size, low=16, high=1024)
    check_integer("seed", seed, low=0)
    check_flag("progressbar", progressbar)
    from scsalient.datasets._face_accessories import STYLES
    from scsalient.datasets._face_head import draw_head

    offered = {style: kind for kind in _attributes(attribute, STYLES) for style in STYLES[kind]}
    shares = _shares(style_shares, offered)
    rng = np.random.default_rng(seed)
    looks = [_look(rng) for _ in range(n_target + n_background)]
    styles = [*rng.permutation(_allot(n_target, shares)).tolist(), *["none"] * n_background]

    pixels = np.empty((len(looks), image_size, image_size, 3), dtype=np.uint8)
    shown = tqdm(looks, desc="Faces", unit="face", disable=not progressbar)
    for i, (look, style) in enumerate(zip(shown, styles, strict=True)):
        sketch = draw_head(image_size, look)
        if style != "none":
            STYLES[offered[style]][style](sketch)
        pixels[i] = sketch.finish()

    names = [f"face_{i}" for i in range(len(looks))]
    adata = images.to_anndata(pixels, _factors(looks, styles, offered), names=names)
    adata.uns[_keys.UNS_TRUTH] = {
        "n_target": n_target,
        "n_background": n_background,
        "style_shares": shares,
        "seed": seed,
    }
    return adata


def _attributes(attribute: str | Sequence[str], known: Mapping[str, object]) -> list[str]:
    names = [attribute] if isinstance(attribute, str) else list(attribute)
    if not names or len(set(names)) < len(names) or not set(names) <= set(known):
        msg = f"`attribute` should be one or several of {sorted(known)}, found {attribute!r}."
        raise ValueError(msg)
    return names


def _shares(given: Mapping[str, float] | None, offered: Mapping[str, str]) -> dict[str, float]:
    weights = dict.fromkeys(offered, 1.0) if given is None else dict(given)
    unknown = sorted(set(weights) - set(offered))
    if unknown:
        msg = (
            f"`style_shares` should name styles of the chosen accessory, {sorted(offered)}, found "
            f"{unknown}."
        )
        raise ValueError(msg)
    for style, weight in weights.items():
        check_number(f"style_shares[{style!r}]", weight, low=0)
    total = sum(weights.values())
    if total <= 0:
        msg = f"`style_shares` should have a positive sum, found {weights}."
        raise ValueError(msg)
    return {style: float(weight / total) for style, weight in weights.items()}


def _allot(n: int, shares: Mapping[str, float]) -> np.ndarray:
    """Styles of ``n`` faces in the given shares; what rounding leaves goes to the largest rests."""
    exact = n * np.array(list(shares.values()))
    counts = np.floor(exact).astype(int)
    rests = np.argsort(counts - exact, kind="stable")[: n - counts.sum()]
    counts[rests] += 1
    return np.repeat(list(shares), counts)


def _look(rng: np.random.Generator) -> Look:
    from scsalient.datasets import _face_head as head
    from scsalient.datasets._face_sketch import Pose

    def one_of(names: Sequence[str]) -> str:
        return names[int(rng.integers(len(names)))]

    pose = one_of(tuple(_TURNS))
    return head.Look(
        skin_tone=rng.random(),
        backdrop=one_of(tuple(head.BACKDROPS)),
        hair_style=one_of(head.HAIR_STYLES),
        hair_colour=one_of(tuple(head.HAIR_COLOURS)),
        expression=one_of(head.EXPRESSIONS),
        pose=Pose(
            turn=rng.uniform(*_TURNS[pose]),
            tilt=rng.uniform(-_MAX_TILT, _MAX_TILT),
            shift_x=rng.uniform(-_MAX_SHIFT_X, _MAX_SHIFT_X),
            shift_y=rng.uniform(-_MAX_SHIFT_Y, _MAX_SHIFT_Y),
            scale=rng.uniform(*_SCALES),
        ),
    )


def _factors(looks: list[Look], styles: list[str], kinds: Mapping[str, str]) -> pd.DataFrame:
    tone = np.array([look.skin_tone for look in looks])
    turn = np.array([look.pose.turn for look in looks])
    skin = np.array(_SKINS)[np.floor(tone * len(_SKINS)).astype(int)]
    names = tuple(_TURNS)
    pose = np.array(names)[np.digitize(turn, [_TURNS[name][0] for name in names[1:]])]
    categories = {
        _keys.OBS_CONDITION: ["background" if s == "none" else "target" for s in styles],
        _keys.OBS_ACCESSORY: [kinds.get(style, "none") for style in styles],
        _keys.OBS_ACCESSORY_STYLE: styles,
        _keys.OBS_SKIN: skin,
        _keys.OBS_BACKDROP: [look.backdrop for look in looks],
        _keys.OBS_POSE: pose,
        _keys.OBS_HAIR_STYLE: [look.hair_style for look in looks],
        _keys.OBS_HAIR_COLOUR: [look.hair_colour for look in looks],
        _keys.OBS_EXPRESSION: [look.expression for look in looks],
    }
    numbers = {
        _keys.OBS_SKIN_TONE: tone,
        _keys.OBS_TURN: turn,
        _keys.OBS_TILT: [look.pose.tilt for look in looks],
        _keys.OBS_SHIFT_X: [look.pose.shift_x for look in looks],
        _keys.OBS_SHIFT_Y: [look.pose.shift_y for look in looks],
        _keys.OBS_HEAD_SCALE: [look.pose.scale for look in looks],
    }
    table = pd.DataFrame(categories, dtype=object).astype("category")
    return table.assign(**numbers)
