"""Glasses and hats of a drawn face."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from scsalient.datasets._face_head import darker, lighter
from scsalient.datasets._face_sketch import Colour, Sketch, ellipse, mirrored

if TYPE_CHECKING:
    from collections.abc import Callable

_RED: Colour = (186, 44, 48)
_TEAL: Colour = (34, 120, 128)
_BLACK: Colour = (30, 30, 36)


def _glasses(
    sketch: Sketch, *, frame: Colour, width: float, lens: np.ndarray, tint: Colour
) -> None:
    for temple in (np.array([(0.7, -0.08), (1.0, -0.1)]), np.array([(-0.7, -0.08), (-1.0, -0.1)])):
        sketch.stroke(temple, frame, width, lift=0.02)
    for points in (lens, mirrored(lens)):
        sketch.fill(points, tint, lift=0.1)
        sketch.stroke(np.concatenate([points, points[:2]]), frame, width, lift=0.1)
    inner = float(lens[:, 0].min())
    bridge = ellipse((0, -0.04), (inner, 0.07), degrees=(180, 360), n_points=8)
    sketch.stroke(bridge, frame, width, lift=0.14)
    for x in (0.42, -0.42):
        glint = np.array([(x - 0.16, 0.04), (x - 0.04, -0.14)])
        sketch.stroke(glint, (255, 255, 255, 130), 0.06, lift=0.1)


_round = partial(
    _glasses,
    frame=(168, 124, 40),
    width=0.075,
    lens=ellipse((0.43, 0.02), (0.33, 0.33)),
    tint=(255, 255, 255, 46),
)
_square = partial(
    _glasses,
    frame=(26, 24, 28),
    width=0.14,
    lens=ellipse((0.45, 0.02), (0.36, 0.25), power=6),
    tint=(255, 255, 255, 46),
)
_sunglasses = partial(
    _glasses,
    frame=(20, 20, 22),
    width=0.07,
    lens=ellipse((0.45, 0.05), (0.37, 0.32), power=2.8),
    tint=(26, 26, 32, 250),
)


def _cap(sketch: Sketch) -> None:
    dome = np.concatenate(
        [
            ellipse((0, -0.56), (1.14, 1.04), degrees=(180, 360)),
            ellipse((0, -0.56), (1.14, 0.1), degrees=(0, 180), n_points=16),
        ]
    )
    sketch.circles(np.array([(sketch.shift(0.15), -1.6)]), 0.09, darker(_RED, 0.2))
    sketch.fill(dome, _RED)
    sketch.shade(
        dome, darker(_RED, 0.6), centre=(-0.25, -1.0), radius=(1.5, 1.1), strength=0.8, outside=True
    )
    for side in (-0.5, 0.5):
        width = side + sketch.shift(0.9)
        seam = ellipse((0, -0.56), (width, 1.0), degrees=(275, 360), n_points=12)
        sketch.stroke(seam, darker(_RED, 0.3), 0.04)
    badge = ellipse((sketch.shift(0.95), -1.0), (0.25, 0.23))
    sketch.fill(badge, (244, 240, 232))
    front = sketch.shift(0.8)
    visor = np.concatenate(
        [
            ellipse((front * 0.5, -0.62), (1.0, 0.1), degrees=(180, 360), n_points=16),
            ellipse((front, -0.6), (1.12, 0.36), degrees=(0, 180), power=2.3, n_points=24),
        ]
    )
    # Its shadow on the forehead
    sketch.fill(visor + (0, 0.1), (0, 0, 0, 60))
    sketch.fill(visor, darker(_RED, 0.25))
    edge = ellipse((front, -0.6), (1.12, 0.36), degrees=(5, 175), power=2.3, n_points=24)
    sketch.stroke(edge, darker(_RED, 0.5), 0.06)


def _beanie(sketch: Sketch) -> None:
    dome = np.concatenate(
        [
            ellipse((0, -0.6), (1.13, 1.12), degrees=(180, 360), power=2.2),
            ellipse((0, -0.6), (1.13, 0.1), degrees=(0, 180), n_points=16),
        ]
    )
    sketch.circles(np.array([(0.0, -1.8)]), 0.27, (240, 236, 226))
    sketch.circles(np.array([(-0.07, -1.86)]), 0.14, (252, 250, 246))
    sketch.fill(dome, _TEAL)
    for width in (-0.8, -0.4, 0.0, 0.4, 0.8):
        rib = ellipse((0, -0.6), (width, 1.1), degrees=(275, 360), n_points=12)
        sketch.stroke(rib, darker(_TEAL, 0.28), 0.045)
    sketch.shade(
        dome,
        darker(_TEAL, 0.6),
        centre=(-0.25, -1.0),
        radius=(1.5, 1.2),
        strength=0.7,
        outside=True,
    )
    x = np.linspace(-1, 1, 21)
    sag = 0.1 * (1 - x**2)
    fold = np.concatenate(
        [
            np.column_stack([1.17 * x, -0.84 + sag]),
            np.column_stack([1.17 * x, -0.44 + sag])[::-1],
        ]
    )
    sketch.fill(fold + (0, 0.07), (0, 0, 0, 60))
    sketch.fill(fold, lighter(_TEAL, 0.22))
    for i in range(1, 20, 2):
        groove = np.array([(1.17 * x[i], -0.8 + sag[i]), (1.17 * x[i], -0.48 + sag[i])])
        sketch.stroke(groove, darker(_TEAL, 0.1), 0.045)


def _top_hat(sketch: Sketch) -> None:
    crown = np.concatenate(
        [
            ellipse((0, -2.0), (1.0, 0.13), degrees=(180, 360), n_points=16),
            [(0.92, -1.3), (0.95, -0.7)],
            ellipse((0, -0.7), (0.95, 0.12), degrees=(0, 180), n_points=16),
            [(-0.95, -0.7), (-0.92, -1.3)],
        ]
    )
    brim = ellipse((0, -0.68), (1.62, 0.24))
    sketch.fill(brim + (0, 0.1), (0, 0, 0, 60))
    sketch.fill(brim, _BLACK)
    sketch.stroke(
        ellipse((0, -0.68), (1.6, 0.23), degrees=(15, 165), n_points=20), lighter(_BLACK, 0.3), 0.05
    )
    sketch.fill(crown, lighter(_BLACK, 0.06))
    sheen = np.array([(-0.66, -1.95), (-0.42, -1.92), (-0.42, -1.0), (-0.64, -1.02)])
    sketch.fill(sheen, (255, 255, 255, 60))
    x = np.linspace(-1, 1, 17)
    sag = 0.11 * np.sqrt(1 - x**2)
    band = np.concatenate(
        [
            np.column_stack([0.93 * x, -1.06 + sag]),
            np.column_stack([0.95 * x, -0.74 + sag])[::-1],
        ]
    )
    sketch.fill(band, (140, 104, 180))


# What each style draws, by accessory
STYLES: dict[str, dict[str, Callable[[Sketch], None]]] = {
    "glasses": {"round": _round, "square": _square, "sunglasses": _sunglasses},
    "hat": {"beanie": _beanie, "cap": _cap, "top hat": _top_hat},
}
