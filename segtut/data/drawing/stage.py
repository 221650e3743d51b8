"""A camera and the sheet it draws on: polygons in meters become pixels with labels."""

import math
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from segtut.data.drawing.light import FACINGS, Color, Facing, Light

Point = tuple[float, float, float]
"""Meters: x to the right of the road's middle, y up from the ground, z ahead of the camera."""

Integers = NDArray[np.int64]

SKY, BUILDING, ROAD, PAVEMENT, TREE, POLE, CAR, PERSON = range(8)

THINGS = (POLE, CAR, PERSON)
"""The classes that consist of things, each with a number of its own. Trees are stuff, as in
Cityscapes: their class has hedges in it, and crowns that grow into each other."""

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


class Cover:
    """How high above the horizon what is drawn later hides all, column by column of the picture.

    Lengths are in picture heights. What lies beyond the picture's edges is hidden as well.
    """

    columns = 64
    """In a picture height."""

    def __init__(self, size: tuple[int, int], camera: Camera) -> None:
        self.camera = camera
        self.tops = [camera.horizon - 1] * math.ceil(self.columns * size[1] / size[0])
        self.middle = 0.5 * size[1] / size[0] + camera.shift

    def copy(self) -> "Cover":
        """What hides as much and can go on to hide more."""
        other = copy(self)
        other.tops = self.tops.copy()
        return other

    def add(self, start: Point, end: Point) -> None:
        """Hide what is behind an upright wall, whose upper edge is above the eye of the camera."""
        (u0, v0), (u1, v1) = sorted((self._place(start), self._place(end)))
        first, stop = max(0, math.ceil(u0)), min(len(self.tops), math.floor(u1))
        slope = (v1 - v0) / (u1 - u0) if stop > first else 0.0
        lower = 0.0 if slope > 0 else 1.0  # where in a column the wall is least high
        for column in range(first, stop):
            top = v0 + slope * (column + lower - u0)
            if top > self.tops[column]:
                self.tops[column] = top

    def hides(self, corners: Sequence[Point]) -> bool:
        """Whether nothing is to be seen of what is above the ground between these corners."""
        across, up = zip(*map(self._place, corners), strict=True)
        seen = self._tops_between(min(across), max(across))
        return not seen or min(seen) >= min(max(up), self.camera.horizon)

    def heights(self, start: tuple[float, float], end: tuple[float, float]) -> tuple[float, float]:
        """Between which heights, in meters, a wall from (x, z) to (x, z) may be seen, low to high.

        A wall that is not seen at all gives a low height above the high one.
        """
        (x0, z0), (x1, z1) = start, end
        camera = self.camera
        u0, _ = self._place((x0, 0.0, z0))
        u1, _ = self._place((x1, 0.0, z1))
        seen = self._tops_between(min(u0, u1), max(u0, u1))
        if not seen:
            return math.inf, 0.0
        low, high = min(seen) / camera.focal, camera.horizon / camera.focal
        return camera.height + min(low * z0, low * z1), camera.height + high * max(z0, z1)

    def _tops_between(self, left: float, right: float) -> list[float]:
        return self.tops[max(0, math.floor(left)) : max(0, math.ceil(right))]

    def _place(self, point: Point) -> tuple[float, float]:
        """Columns to the right and picture heights above the horizon."""
        x, y, z = point
        camera = self.camera
        across = self.middle + camera.focal * (x - camera.x) / z
        return self.columns * across, camera.focal * (y - camera.height) / z


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
        # Flat lists of numbers, since tuples kept by the thousand occupy the garbage collector.
        self._corners: list[float] = []
        self._shapes: list[int] = []
        self._colors: list[float] = []
        self._begun: list[int] = []
        self._shadows: list[tuple[float, Sequence[Point]]] = []
        self.cover = Cover(size, camera)

    def length(self, meters: float, z: float, least: float = 0.0) -> float:
        """Meters that measure `meters` at distance z, but at least `least` picture heights."""
        return max(meters, least * z / self.camera.focal)

    def sees(self, x: float, z: float, margin: float) -> bool:
        """Whether a point of the ground, z > 0, is within `margin` meters of what is in view."""
        height, width = self.size
        center = 0.5 * width / height
        across = center + self.camera.shift + self.camera.focal * (x - self.camera.x) / z
        return abs(across - center) < center + margin * self.camera.focal / z

    def begin(self) -> None:
        """What is added from here to the next call is one thing, if it is of a class of things."""
        self._begun.append(len(self._shapes))

    def polygon(
        self, corners: Sequence[Point], color: Color, label: int, facing: Facing = "front"
    ) -> None:
        """Add a polygon with its color as lit on a surface facing that way."""
        self._corners.extend(chain.from_iterable(corners))
        self._shapes.extend((len(corners), FACINGS[facing], label))
        self._colors.extend(color)

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
        points, counts, facings, labels = self._shape_table()
        nearest = np.minimum.reduceat(points[:, 2], np.cumsum(counts) - counts)
        colors = self.light.on(np.array(self._colors).reshape(-1, 3), facings, nearest)
        # A color is red + 256 green + 256^2 blue + 256^3 label, as Pillow has it.
        fills = colors @ np.array([1, 256, 65536]) + (labels << 24)
        return self._fill("RGBX", points, counts, fills)

    def draw_numbers(self) -> Image.Image:
        """Draw all shapes on a gray sheet (2W, 2H) in the number of their thing, or 0 for stuff.

        Things are numbered 1, 2, ... in the order in which they were added, those out of view too.
        """
        points, counts, _, labels = self._shape_table()
        begun = np.array(self._begun, dtype=np.intp) // 3
        group = np.searchsorted(begun, np.arange(len(labels)), side="right")
        group[~np.isin(labels, THINGS)] = 0
        things = np.unique(group[group > 0])
        numbers = np.zeros(len(begun) + 1, dtype=np.intp)
        numbers[things] = np.arange(1, len(things) + 1)
        return self._fill("L", points, counts, numbers[group])

    def _shape_table(self) -> tuple[NDArray[np.float64], Integers, Integers, Integers]:
        """Corners (N, 3) of all shapes, and of each its number of corners, facing and label."""
        points = np.array(self._corners).reshape(-1, 3)
        counts, facings, labels = np.array(self._shapes).reshape(-1, 3).T
        return points, counts, facings, labels

    def _fill(
        self,
        mode: str,
        points: NDArray[np.float64],
        counts: Integers,
        fills: Integers,
    ) -> Image.Image:
        """Fill the shapes that are in the picture, one after the other, on a sheet (2W, 2H)."""
        height, width = self.size
        sheet = Image.new(mode, (OVERSAMPLING * width, OVERSAMPLING * height))
        pen = ImageDraw.Draw(sheet)
        ends = np.cumsum(counts)
        starts = ends - counts
        place = OVERSAMPLING * self.project(points)
        left = np.minimum.reduceat(place[:, 0], starts)
        right = np.maximum.reduceat(place[:, 0], starts)
        seen = (right > 0) & (left < OVERSAMPLING * width)
        flat = place.ravel().tolist()
        shapes = zip(starts.tolist(), ends.tolist(), fills.tolist(), seen.tolist(), strict=True)
        for start, end, fill, visible in shapes:
            if not visible:
                continue
            if end - start == 2:
                pen.ellipse(flat[2 * start : 2 * end], fill=fill)
            else:
                pen.polygon(flat[2 * start : 2 * end], fill=fill)
        return sheet

    def shadows(self) -> Image.Image:
        """All shadows on one gray sheet (W, H), the darkest on top."""
        sheet = Image.new("L", self.size[::-1])
        pen = ImageDraw.Draw(sheet)
        layers = sorted(self._shadows, key=lambda item: item[0])
        points = np.array([corner for _, corners in layers for corner in corners]).reshape(-1, 3)
        points[:, 2] = np.maximum(points[:, 2], 0.8)
        flat, start = self.project(points).ravel().tolist(), 0
        for strength, corners in layers:
            stop = start + 2 * len(corners)
            pen.polygon(flat[start:stop], fill=int(255 * strength))
            start = stop
        return sheet


def ring(x: float, z: float, along: float, beside: float, turn: float = 0.0) -> list[Point]:
    """Twelve points of an ellipse on the ground, its radius `along` turned away from the x axis."""
    c, s = math.cos(turn), math.sin(turn)
    return [
        (x + along * a * c - beside * b * s, 0.0, z + along * a * s + beside * b * c)
        for a, b in CLOCK
    ]


CLOCK = [(math.cos(step * math.pi / 6), math.sin(step * math.pi / 6)) for step in range(12)]
"""The hours on the unit circle."""
