"""Head, hair and shoulders of a drawn face."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from scsalient.datasets._face_sketch import Colour, Pose, Sketch, ellipse, mirrored

BACKDROPS: dict[str, Colour] = {
    "blue": (104, 148, 200),
    "green": (116, 168, 122),
    "grey": (168, 170, 174),
    "rose": (212, 138, 150),
    "sand": (222, 198, 146),
    "violet": (146, 122, 186),
}
HAIR_COLOURS: dict[str, Colour] = {
    "black": (36, 30, 32),
    "blond": (212, 172, 100),
    "brown": (98, 62, 38),
    "grey": (150, 150, 154),
    "red": (164, 74, 38),
}
HAIR_STYLES = ("curly", "long", "parted", "short")
EXPRESSIONS = ("laugh", "neutral", "smile")
# From light (0) to dark (1)
_SKIN_TONES = np.array(
    [(252, 222, 196), (236, 192, 156), (204, 148, 106), (150, 98, 64), (92, 58, 42)]
)
_CLOTHES: Colour = (74, 84, 104)
# Sine of the turn beyond which an ear is in front of the cheek
_EAR_SHOWS = 0.2


@dataclass(frozen=True)
class Look:
    """Everything that a drawn face shows beside its accessory."""

    skin_tone: float = 0.3
    backdrop: str = "blue"
    hair_style: str = "short"
    hair_colour: str = "brown"
    expression: str = "neutral"
    pose: Pose = field(default_factory=Pose)


def draw_head(image_size: int, look: Look) -> Sketch:
    """A sketch of a face without accessory."""
    sketch = Sketch(image_size, look.pose)
    skin = _skin(look.skin_tone)
    hair = HAIR_COLOURS[look.hair_colour]
    sketch.backdrop(BACKDROPS[look.backdrop])
    _hair_behind(sketch, look.hair_style, hair)
    _shoulders(sketch, skin)
    _ears(sketch, skin)
    _face(sketch, skin)
    _near_ear(sketch, skin)
    _eyes(sketch, skin, hair)
    _nose(sketch, skin)
    _mouth(sketch, skin, look.expression)
    _hair_in_front(sketch, look.hair_style, hair)
    return sketch


def mix(colour: Colour, other: Colour, share: float) -> Colour:
    """A colour with a share of another."""
    return tuple(round(a + share * (b - a)) for a, b in zip(colour, other, strict=True))


def darker(colour: Colour, share: float) -> Colour:
    """A colour with a share of black."""
    return mix(colour, (0, 0, 0), share)


def lighter(colour: Colour, share: float) -> Colour:
    """A colour with a share of white."""
    return mix(colour, (255, 255, 255), share)


def _skin(tone: float) -> Colour:
    steps = np.linspace(0, 1, len(_SKIN_TONES))
    return tuple(round(np.interp(tone, steps, channel)) for channel in _SKIN_TONES.T)


def _outline(sketch: Sketch) -> np.ndarray:
    points = ellipse((0, 0), (1, 1.3), n_points=60)
    below = np.clip(points[:, 1], 0, None)
    # The jaw is narrower than the skull, and turns further, being in front of it.
    points[:, 0] *= 1 - 0.10 * below**2
    points[:, 0] += sketch.shift(0.3) * below**1.5
    return points


def _shoulders(sketch: Sketch, skin: Colour) -> None:
    # The neck is behind the middle of the head, which turns about it.
    back = (sketch.shift(-0.35), 0.0)
    neck = np.array([(-0.52, 0.7), (0.52, 0.7), (0.55, 1.6), (0.8, 1.9), (-0.8, 1.9), (-0.55, 1.6)])
    neck += back
    sketch.fill(neck, darker(skin, 0.16))
    sketch.shade(neck, darker(skin, 0.5), centre=(back[0], 1.1), radius=(0.9, 0.55), strength=0.7)
    body = np.concatenate(
        [ellipse((0, 3.0), (2.3, 1.5), degrees=(180, 360), power=2.6), [(2.3, 5.0), (-2.3, 5.0)]]
    )
    sketch.fill(body + back, _CLOTHES)
    neckline = ellipse((back[0], 1.5), (0.62, 0.34), degrees=(0, 180), n_points=20)
    sketch.fill(neckline, darker(skin, 0.16))
    sketch.stroke(neckline, darker(_CLOTHES, 0.3), 0.08)


def _ears(sketch: Sketch, skin: Colour) -> None:
    for side in (-1, 1):
        _ear(sketch, skin, side)


def _near_ear(sketch: Sketch, skin: Colour) -> None:
    """The ear that a turned head shows, in front of its cheek."""
    side = -sketch.shift(1.0)
    if abs(side) > _EAR_SHOWS:
        _ear(sketch, skin, np.sign(side))


def _ear(sketch: Sketch, skin: Colour, side: float) -> None:
    ear = ellipse((0.99, 0.08), (0.17, 0.3))
    inner = ellipse((1.02, 0.08), (0.08, 0.17))
    for points, colour in ((ear, darker(skin, 0.1)), (inner, darker(skin, 0.3))):
        sketch.fill(points * (side, 1.0), colour, lift=-0.12)


def _face(sketch: Sketch, skin: Colour) -> None:
    outline = _outline(sketch)
    sketch.fill(outline, skin)
    # Light comes from the upper left, and falls on the front of the face.
    sketch.shade(
        outline,
        darker(skin, 0.55),
        centre=(-0.2 + sketch.shift(0.75), -0.15),
        radius=(1.5, 1.75),
        strength=0.75 + sketch.shift(0.2),
        outside=True,
    )
    sketch.shade(
        outline,
        lighter(skin, 0.45),
        centre=(-0.25 + sketch.shift(0.6), -0.6),
        radius=(0.65, 0.5),
        strength=0.5,
    )
    blush = mix(skin, (214, 70, 60), 0.5)
    for x, y in sketch.turned(np.array([(-0.52, 0.4), (0.52, 0.4)]), 0.0):
        sketch.shade(outline, blush, centre=(x, y), radius=(0.36, 0.3), strength=0.45)


def _eyes(sketch: Sketch, skin: Colour, hair: Colour) -> None:
    brow_colour = darker(mix(hair, skin, 0.2), 0.25)
    for flip in (False, True):

        def side(points: np.ndarray, flip: bool = flip) -> np.ndarray:
            return mirrored(points) if flip else points

        sketch.fill(side(ellipse((0.42, -0.04), (0.29, 0.21))), darker(skin, 0.16), lift=0.0)
        white = ellipse((0.42, 0.0), (0.225, 0.135))
        sketch.fill(side(white), (248, 246, 242), lift=0.0)
        # The eyes look the same way, so they are not mirrored in themselves.
        middle = side(np.array([(0.42, 0.0)]))
        sketch.circles(middle, 0.125, (84, 58, 40), lift=0.0)
        sketch.circles(middle, 0.07, (16, 12, 12), lift=0.0)
        sketch.circles(middle + (-0.05, -0.05), 0.036, (255, 255, 255), lift=0.0)
        lid = ellipse((0.42, 0.01), (0.25, 0.155), degrees=(185, 355), n_points=16)
        sketch.stroke(side(lid), darker(skin, 0.72), 0.055, lift=0.0)
        brow = ellipse((0.43, -0.12), (0.31, 0.2), degrees=(200, 335), n_points=16)
        sketch.stroke(side(brow), brow_colour, 0.1, lift=0.0)


def _nose(sketch: Sketch, skin: Colour) -> None:
    shadow = darker(skin, 0.28)
    side = np.array([(0.07, -0.05), (0.11, 0.15), (0.19, 0.36), (0.17, 0.45), (0.02, 0.46)])
    sketch.fill(side, darker(skin, 0.14), lift=0.2)
    bridge = np.array([(-0.03, -0.05), (-0.04, 0.15), (-0.03, 0.34)])
    sketch.stroke(bridge, lighter(skin, 0.25), 0.07, lift=0.2)
    tip = ellipse((0, 0.36), (0.18, 0.12), degrees=(15, 165), n_points=16)
    sketch.stroke(tip, shadow, 0.05, lift=0.2)
    sketch.circles(np.array([(-0.09, 0.45), (0.09, 0.45)]), 0.035, darker(skin, 0.6), lift=0.12)


def _mouth(sketch: Sketch, skin: Colour, expression: str) -> None:
    lip = mix(mix(skin, (176, 44, 52), 0.5), (0, 0, 0), 0.12)
    line = darker(lip, 0.55)
    if expression == "laugh":
        mouth = np.concatenate(
            [
                ellipse((0, 0.70), (0.42, 0.04), degrees=(180, 0), n_points=16),
                ellipse((0, 0.70), (0.42, 0.33), degrees=(0, 180), n_points=20),
            ]
        )
        sketch.fill(mouth, (104, 28, 32), lift=0.05)
        teeth = np.concatenate(
            [
                ellipse((0, 0.71), (0.36, 0.03), degrees=(180, 0), n_points=16),
                ellipse((0, 0.71), (0.36, 0.14), degrees=(0, 180), n_points=16),
            ]
        )
        sketch.fill(teeth, (250, 248, 242), lift=0.05)
        sketch.stroke(np.concatenate([mouth, mouth[:1]]), lip, 0.07, lift=0.05)
    else:
        curve = 0.14 if expression == "smile" else 0.0
        x = np.linspace(-1, 1, 17)
        corner = curve * (x**2 - 0.5)
        upper = np.column_stack([0.34 * x, 0.76 - corner - 0.09 * (1 - x**2) * (0.8 + 0.2 * x**2)])
        lower = np.column_stack([0.34 * x, 0.76 - corner + 0.13 * (1 - x**2)])
        sketch.fill(np.concatenate([upper, lower[::-1]]), lip, lift=0.05)
        sketch.stroke(np.column_stack([0.36 * x, 0.77 - corner]), line, 0.045, lift=0.05)
    sketch.stroke(
        ellipse((0, 0.98), (0.2, 0.08), degrees=(20, 160), n_points=10), darker(skin, 0.2), 0.05,
        lift=0.05,
    )  # fmt: skip


def _hair_behind(sketch: Sketch, style: str, colour: Colour) -> None:
    back = darker(colour, 0.3)
    # The skull is longer than wide: a turned head shows more of its back.
    behind = (sketch.shift(-0.3), 0.0)
    if style == "long":
        sides = np.array(
            [(1.28, 0.2), (1.36, 1.2), (1.2, 2.1), (-1.2, 2.1), (-1.36, 1.2), (-1.28, 0.2)]
        )
        crown = ellipse((0, -0.15), (1.26, 1.32), degrees=(180, 360))
        sketch.fill(np.concatenate([crown, sides]) + behind, back)
    elif style == "curly":
        ring = ellipse((0, -0.3), (1.12, 1.12), degrees=(150, 390), n_points=19)
        sketch.circles(ring + behind, 0.32, back)
    else:
        sketch.fill(ellipse((behind[0], -0.22), (1.08, 1.2)), back)


def _hair_in_front(sketch: Sketch, style: str, colour: Colour) -> None:
    if style == "curly":
        locks = np.concatenate(
            [
                ellipse((0, -0.36), (0.98, 0.92), degrees=(185, 355), n_points=14),
                ellipse((0, -0.5), (0.72, 0.66), degrees=(190, 350), n_points=9),
            ]
        )
        sketch.circles(locks, 0.26, colour)
        sketch.circles(locks - 0.06, 0.13, (*lighter(colour, 0.3), 70))
        return
    hairline = {
        "short": [(0.96, -0.12), (0.9, -0.45), (0.74, -0.74), (0.35, -0.84), (0.0, -0.86),
                  (-0.35, -0.84), (-0.74, -0.74), (-0.9, -0.45), (-0.96, -0.12)],
        "parted": [(0.97, 0.05), (0.9, -0.4), (0.72, -0.78), (0.4, -1.02), (0.1, -0.78),
                   (-0.3, -0.6), (-0.7, -0.5), (-0.9, -0.25), (-0.98, 0.05)],
        "long": [(1.0, 0.9), (0.92, 0.3), (0.84, -0.25), (0.55, -0.7), (0.0, -1.04),
                 (-0.55, -0.7), (-0.84, -0.25), (-0.92, 0.3), (-1.0, 0.9)],
    }[style]  # fmt: skip
    width, low = {"short": (1.07, 0.0), "parted": (1.1, 10.0), "long": (1.24, 0.0)}[style]
    crown = ellipse((0, -0.2), (width, 1.24), degrees=(180 - low, 360 + low))
    ends = np.array([(1.3, 1.0)]), np.array([(-1.3, 1.0)])
    outer = np.concatenate([ends[1], crown, ends[0]]) if style == "long" else crown
    inner = sketch.turned(np.array(hairline), 0.0)
    sketch.fill(np.concatenate([outer, inner]), colour)
    shine = [ellipse((0, -0.2), (width * share, 1.24 * share), degrees=(214, 316), n_points=20)
             for share in (0.78, 0.9)]  # fmt: skip
    sketch.fill(np.concatenate([shine[0], shine[1][::-1]]), (*lighter(colour, 0.4), 90))
