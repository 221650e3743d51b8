"""A camera and the sheet it draws on: polygons in meters become pixels with labels."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from segtut.data.drawing.light import FACINGS, Color, Facing, Light

Point = tuple[float, float, float]
"""Meters: x to the right of the road's middle, y up from the ground, z ahead of the camera."""

SKY, BUILDING, ROAD, PAVEMENT, TREE, POLE, CAR, PERSON = range(8)

OVERSAMPLING = 2
"""The sheet has this many pixels a side for each pixel of the finished picture."""


@dataclass(frozen=True)
class Camera:
    """Where the picture is taken from; lengths on the sheet are in picture heights.

    x, height: position in meters; focal: focal length; horizon: its distance from the upper edge;
    shift: how far right of the middle the road's vanishing point lies.
    """

    x: float
    height: float
    focal: float
    horizon: float
    shift: float


@dataclass(frozen=True)
class Lamp:
    """A light seen in the picture.

    radius: of its glow; pool: radius of the light that falls on the ground below; both in meters.
    """

    place: Point
    radius: float
    color: Color
    pool: float


class Stage:
    """The scene as a list of shapes, drawn in that order, from far to near.

    The sheet they are drawn on has four channels, red, green, blue and label, so that a shape
    cannot change the picture without changing the label map in the same pixels. Shapes are
    collected first because projecting and lighting all at once takes a third of the time.
    """

    def __init__(self, size: tuple[int, int], camera: Camera, light: Light) -> None:
        self.size = size
        self.camera = camera
        self.light = light
        self.lamps: list[Lamp] = []
        self._corners: list[Point] = []
        self._shapes: list[tuple[int, int, int]] = []
        self._colors: list[Color] = []
        self._shadows: list[tuple[float, Sequence[Point]]] = []

    def length(self, meters: float, z: float, least: float = 0.0) -> float:
        """Meters that measure `meters` at distance z, but at least `least` picture heights."""
        return max(meters, least * z / self.camera.focal)

    def sees(self, x: float, z: float, margin: float) -> bool:
        """Whether a point of the ground, z > 0, is within `margin` meters of what is in view."""
        height, width = self.size
        center = 0.5 * width / height
        across = center + self.camera.shift + self.camera.focal * (x - self.camera.x) / z
        return abs(across - center) < center + margin * self.camera.focal / z

    def polygon(
        self, corners: Sequence[Point], color: Color, label: int, facing: Facing = "front"
    ) -> None:
        """Add a polygon with its color as lit on a surface facing that way."""
        self._corners.extend(corners)
        self._shapes.append((len(corners), FACINGS[facing], label))
        self._colors.append(color)

    def ellipse(
        self,
        center: Point,
        radii: tuple[float, float],
        color: Color,
        label: int,
        facing: Facing = "front",
    ) -> None:
        """Add an upright ellipse, radii (across, up) in meters."""
        (x, y, z), (a, b) = center, radii
        self.polygon(((x - a, y + b, z), (x + a, y - b, z)), color, label, facing)

    def disc(self, x: float, z: float, radius: float, color: Color, label: int) -> None:
        """Add a disc that lies on the ground."""
        self.polygon(ring(x, z, radius, radius), color, label, "ground")

    def shine(self, place: Point, radius: float, color: Color, pool: float = 0.0) -> None:
        """Remember a lamp, whose glow is added when the picture is finished."""
        self.lamps.append(Lamp(place, radius, color, pool))

    def shadow(self, corners: Sequence[Point], strength: float) -> None:
        """Darken the ground inside a polygon (y = 0) by `strength`, 0-1."""
        self._shadows.append((strength, corners))

    def cast(self, center: Point, radii: tuple[float, float]) -> None:
        """Let an upright ellipse throw its shadow, as long and dark as the sun has it."""
        sun_x, sun_y, sun_z = self.light.sun
        x, y, z = center
        x, z = x - sun_x / sun_y * y, z - sun_z / sun_y * y
        along = radii[0] + radii[1] * math.hypot(sun_x, sun_z) / sun_y
        self.shadow(ring(x, z, along, radii[0], math.atan2(sun_z, sun_x)), self.light.shadow)

    def cast_wall(self, start: Point, end: Point, height: float) -> None:
        """Let an upright wall between two points on the ground throw its shadow."""
        sun_x, sun_y, sun_z = self.light.sun
        dx, dz = -sun_x / sun_y * height, -sun_z / sun_y * height
        far, near = (end[0] + dx, 0.0, end[2] + dz), (start[0] + dx, 0.0, start[2] + dz)
        self.shadow([start, end, far, near], self.light.shadow)

    def project(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where points (N, 3) in front of the camera fall, (N, 2), right and down, in pixels."""
        height, width = self.size
        camera = self.camera
        scale = camera.focal * height / points[:, 2]
        middle = 0.5 * width + camera.shift * height
        across = middle + (points[:, 0] - camera.x) * scale
        down = camera.horizon * height + (camera.height - points[:, 1]) * scale
        return np.stack((across, down), axis=1)

    def draw(self) -> Image.Image:
        """Draw all shapes on a sheet of (2W, 2H) pixels whose fourth channel is the label."""
        height, width = self.size
        sheet = Image.new("RGBX", (OVERSAMPLING * width, OVERSAMPLING * height))
        pen = ImageDraw.Draw(sheet)
        for corners, fill in self._placed_shapes():
            if len(corners) == 4:
                pen.ellipse(corners, fill=fill)
            else:
                pen.polygon(corners, fill=fill)
        return sheet

    def _placed_shapes(self) -> Iterator[tuple[list[float], int]]:
        """Each shape that is in the picture: its corners on the sheet and the color to fill it.

        A color is red + 256 green + 256^2 blue + 256^3 label, as Pillow has it.
        """
        points = table(self._corners, 3)
        counts, facings, labels = table(self._shapes, 3).astype(np.int64).T
        ends = np.cumsum(counts)
        starts = ends - counts
        place = OVERSAMPLING * self.project(points)
        left = np.minimum.reduceat(place[:, 0], starts)
        right = np.maximum.reduceat(place[:, 0], starts)
        seen = (right > 0) & (left < OVERSAMPLING * self.size[1])
        nearest = np.minimum.reduceat(points[:, 2], starts)
        colors = self.light.on(table(self._colors, 3), facings, nearest)
        fills = colors @ np.array([1, 256, 65536]) + (labels << 24)
        flat = place.ravel().tolist()
        shapes = zip(starts.tolist(), ends.tolist(), fills.tolist(), seen.tolist(), strict=True)
        return ((flat[2 * a : 2 * b], fill) for a, b, fill, visible in shapes if visible)

    def shadows(self) -> Image.Image:
        """All shadows on one gray sheet (W, H), the darkest on top."""
        sheet = Image.new("L", self.size[::-1])
        pen = ImageDraw.Draw(sheet)
        layers = sorted(self._shadows, key=lambda item: item[0])
        points = table([corner for _, corners in layers for corner in corners], 3)
        points[:, 2] = np.maximum(points[:, 2], 0.8)
        flat, start = self.project(points).ravel().tolist(), 0
        for strength, corners in layers:
            stop = start + 2 * len(corners)
            pen.polygon(flat[start:stop], fill=int(255 * strength))
            start = stop
        return sheet


def table(rows: Sequence[tuple[float, ...]], columns: int) -> NDArray[np.float64]:
    """Rows of numbers as an array (N, columns); several times faster than np.array."""
    flat = chain.from_iterable(rows)
    return np.fromiter(flat, np.float64, len(rows) * columns).reshape(-1, columns)


def ring(x: float, z: float, along: float, beside: float, turn: float = 0.0) -> list[Point]:
    """Twelve points of an ellipse on the ground, its radius `along` turned away from the x axis."""
    c, s = math.cos(turn), math.sin(turn)
    return [
        (x + along * a * c - beside * b * s, 0.0, z + along * a * s + beside * b * c)
        for a, b in CLOCK
    ]


CLOCK = [(math.cos(step * math.pi / 6), math.sin(step * math.pi / 6)) for step in range(12)]
"""The hours on the unit circle."""
