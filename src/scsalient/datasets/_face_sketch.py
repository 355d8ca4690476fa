"""Shapes on a turned and tilted head, drawn large and scaled down."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageChops, ImageDraw

Colour = tuple[int, ...]

# Drawn this many times larger, then averaged: 16 levels of coverage at an edge
_OVERSAMPLING = 4
_HEAD_HALF_HEIGHT = 1.3
# Half the width of a head of scale 1, as a share of the image
_HEAD_HALF_WIDTH = 0.232
_CENTRE = (0.5, 0.55)


@dataclass(frozen=True)
class Pose:
    """Where the head is and where it looks.

    Attributes
    ----------
    turn
        Degrees about the vertical axis; positive looks to the right of the image.
    tilt
        Degrees in the plane of the image; positive is clockwise.
    shift_x, shift_y
        Offset of the head as a share of the image; positive is right and down.
    scale
        Size relative to the usual one.
    """

    turn: float = 0.0
    tilt: float = 0.0
    shift_x: float = 0.0
    shift_y: float = 0.0
    scale: float = 1.0


class Sketch:
    """An image with a head's coordinates.

    The origin is the middle of the face. One unit is half the width of the head to the right, and
    down; the chin is at 1.3. A point with a ``lift`` lies on the surface of the turned head (0) or
    in front of it (above 0) and moves with the turn; without, it is in the plane of the head's
    outline.

    Parameters
    ----------
    image_size
        Width and height of the finished image.
    pose
        Of the head.
    """

    def __init__(self, image_size: int, pose: Pose) -> None:
        self.size = image_size * _OVERSAMPLING
        self.unit = _HEAD_HALF_WIDTH * pose.scale * self.size
        self._turn = math.radians(pose.turn)
        tilt = math.radians(pose.tilt)
        self._rotation = np.array(
            [[math.cos(tilt), math.sin(tilt)], [-math.sin(tilt), math.cos(tilt)]]
        )
        shift = np.array([pose.shift_x, pose.shift_y])
        self._centre = (np.array(_CENTRE) + shift) * self.size
        self._image = Image.new("RGB", (self.size, self.size))
        self._draw = ImageDraw.Draw(self._image, "RGBA")

    def turned(self, points: np.ndarray, lift: float) -> np.ndarray:
        """Points of the face where the turn of the head moves them, shape ``(n_points, 2)``."""
        x, y = points[:, 0], points[:, 1]
        depth = np.sqrt(np.clip(1 - x**2 - (y / _HEAD_HALF_HEIGHT) ** 2, 0, None))
        moved = x * math.cos(self._turn) + (0.85 * depth + lift) * math.sin(self._turn)
        return np.column_stack([moved, y])

    def shift(self, distance: float) -> float:
        """How far the turn of the head moves what sticks out in front of it."""
        return distance * math.sin(self._turn)

    def place(self, points: np.ndarray, lift: float | None = None) -> np.ndarray:
        """Pixels of points of the head, shape ``(n_points, 2)``."""
        if lift is not None:
            points = self.turned(points, lift)
        pixels: np.ndarray = points @ self._rotation * self.unit + self._centre
        return pixels

    def fill(self, points: np.ndarray, colour: Colour, lift: float | None = None) -> None:
        """Fill a polygon; a fourth value of the colour is its opacity, 0 to 255."""
        self._draw.polygon(self.place(points, lift).ravel().tolist(), fill=colour)

    def stroke(
        self, points: np.ndarray, colour: Colour, width: float, lift: float | None = None
    ) -> None:
        """Draw a line of a width in units of the head, with round ends."""
        pixels = self.place(points, lift)
        pixel_width = max(1, round(width * self.unit))
        self._draw.line(pixels.ravel().tolist(), fill=colour, width=pixel_width, joint="curve")
        if len(colour) == 3:
            self._dots(pixels[[0, -1]], pixel_width / 2, colour)

    def circles(
        self, centres: np.ndarray, radius: float, colour: Colour, lift: float | None = None
    ) -> None:
        """Fill circles of one radius, in units of the head."""
        self._dots(self.place(centres, lift), radius * self.unit, colour)

    def _dots(self, pixels: np.ndarray, radius: float, colour: Colour) -> None:
        for x, y in pixels.tolist():
            self._draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)

    def backdrop(self, colour: Colour) -> None:
        """Fill the image with a colour, lighter in the middle and darker below."""
        light = np.asarray(colour) * _backdrop_light()[..., None]
        small = Image.fromarray(np.clip(light, 0, 255).astype(np.uint8))
        self._image.paste(small.resize(self._image.size, Image.Resampling.BICUBIC))

    def shade(
        self,
        points: np.ndarray,
        colour: Colour,
        *,
        centre: tuple[float, float],
        radius: tuple[float, float],
        strength: float,
        outside: bool = False,
    ) -> None:
        """Blend a colour into a polygon, most at a centre and fading out with the distance.

        With ``outside`` it is least at the centre and grows with the distance.
        """
        polygon = self.place(points)
        middle = self.place(np.array([centre]))[0]
        half = np.array(radius) * self.unit
        width, height = np.rint(2 * half).astype(int).tolist()
        spot = _spot(width, height, round(255 * strength), outside)
        corner = np.rint(middle - half).astype(int)
        # Masks of the part that changes, not of the whole image
        if outside:
            first = np.floor(polygon.min(axis=0)).astype(int)
            size = np.ceil(polygon.max(axis=0)).astype(int) + 1 - first
            level = Image.new("L", tuple(size.tolist()), round(255 * strength))
            level.paste(spot, tuple((corner - first).tolist()))
        else:
            first, level = corner, spot
        inside = Image.new("L", level.size)
        ImageDraw.Draw(inside).polygon((polygon - first).ravel().tolist(), fill=255)
        mask = ImageChops.multiply(inside, level)
        self._image.paste(colour, (*first.tolist(), *(first + level.size).tolist()), mask)

    def finish(self) -> np.ndarray:
        """The image, uint8, shape ``(image_size, image_size, 3)``."""
        return np.asarray(self._image.reduce(_OVERSAMPLING))


def ellipse(
    centre: tuple[float, float],
    radius: tuple[float, float],
    *,
    degrees: tuple[float, float] = (0.0, 360.0),
    power: float = 2.0,
    n_points: int = 40,
) -> np.ndarray:
    """Points of an ellipse or an arc of it, clockwise from the right, shape ``(n_points, 2)``.

    A higher power squares it off.
    """
    unit = _unit_ellipse(*degrees, power, n_points)
    return np.asarray(centre) + unit * np.asarray(radius)


def mirrored(points: np.ndarray) -> np.ndarray:
    """The same points on the other side of the face."""
    return points * (-1.0, 1.0)


@cache
def _unit_ellipse(start: float, stop: float, power: float, n_points: int) -> np.ndarray:
    angle = np.radians(np.linspace(start, stop, n_points))
    points = np.column_stack([np.cos(angle), np.sin(angle)])
    return np.sign(points) * np.abs(points) ** (2 / power)


@cache
def _backdrop_light() -> np.ndarray:
    y, x = np.mgrid[-1:1:8j, -1:1:8j]
    light: np.ndarray = 1.12 - 0.16 * (x**2 + y**2) - 0.10 * y
    return light


@cache
def _unit_spot(outside: bool) -> np.ndarray:
    y, x = np.mgrid[-1:1:64j, -1:1:64j]
    fade = np.clip(1 - x**2 - y**2, 0, 1) ** 1.5
    return 1 - fade if outside else fade


@cache
def _unit_spot_image(strength: int, outside: bool) -> Image.Image:
    return Image.fromarray((_unit_spot(outside) * strength).astype(np.uint8))


def _spot(width: int, height: int, strength: int, outside: bool) -> Image.Image:
    return _unit_spot_image(strength, outside).resize((width, height), Image.Resampling.BILINEAR)
