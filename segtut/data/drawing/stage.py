"""A camera and the sheet it draws on: polygons in meters become pixels with labels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from segtut.data.drawing.light import Color, Facing, Light

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
    """A light seen in the picture: its place, the radius of its glow in meters, and its color."""

    place: Point
    radius: float
    color: Color


class Stage:
    """The sheet on which a scene is drawn from far to near, color and label in one stroke.

    The sheet has four channels, red, green, blue and label, so that a shape cannot change the
    picture without changing the label map in the same pixels.
    """

    def __init__(self, size: tuple[int, int], camera: Camera, light: Light) -> None:
        height, width = size
        self.size = size
        self.camera = camera
        self.light = light
        self.sheet = Image.new("RGBX", (OVERSAMPLING * width, OVERSAMPLING * height))
        self.shade = Image.new("L", (width, height))
        self.lamps: list[Lamp] = []
        self._shadows: list[tuple[float, Sequence[Point]]] = []
        self._pen = ImageDraw.Draw(self.sheet)
        self._scale = float(OVERSAMPLING * height)
        self._lens = camera.focal * self._scale
        self._middle = (0.5 * width / height + camera.shift) * self._scale
        self._horizon = camera.horizon * self._scale

    def project(self, point: Point) -> tuple[float, float]:
        """Where a point in front of the camera falls on the sheet, in its pixels."""
        x, y, z = point
        scale = self._lens / z
        across = self._middle + (x - self.camera.x) * scale
        return across, self._horizon + (self.camera.height - y) * scale

    def length(self, meters: float, z: float, least: float = 0.0) -> float:
        """Meters that measure `meters` at distance z, but at least `least` picture heights."""
        return max(meters, least * z / self.camera.focal)

    def polygon(
        self, corners: Sequence[Point], color: Color, label: int, facing: Facing = "front"
    ) -> None:
        """Fill a polygon with its color as lit on a surface facing that way, seen through haze."""
        place = [self.project(corner) for corner in corners]
        across = [x for x, _ in place]
        if max(across) < 0 or min(across) > self.sheet.width:
            return
        z = min(corner[2] for corner in corners)
        self._pen.polygon(place, fill=(*self.light.on(color, facing, z), label))

    def ellipse(
        self,
        center: Point,
        radii: tuple[float, float],
        color: Color,
        label: int,
        facing: Facing = "front",
    ) -> None:
        """Fill an upright ellipse, radii (across, up) in meters."""
        x, y = self.project(center)
        scale = self._lens / center[2]
        a, b = radii[0] * scale, radii[1] * scale
        fill = (*self.light.on(color, facing, center[2]), label)
        self._pen.ellipse((x - a, y - b, x + a, y + b), fill=fill)

    def shadow(self, corners: Sequence[Point], strength: float) -> None:
        """Darken the ground inside a polygon (y = 0) by `strength`, 0-1."""
        self._shadows.append((strength, corners))

    def cast(self, center: Point, radii: tuple[float, float]) -> None:
        """Let an upright ellipse throw its shadow on the ground, as long and dark as the sun has it."""
        sun_x, sun_y, sun_z = self.light.sun
        x, y, z = center
        x, z = x - sun_x / sun_y * y, z - sun_z / sun_y * y
        stretch = radii[0] + radii[1] * math.hypot(sun_x, sun_z) / sun_y
        turn = math.atan2(sun_z, sun_x)
        rim = []
        for step in range(12):
            a = step * math.pi / 6
            along, beside = stretch * math.cos(a), radii[0] * math.sin(a)
            rim.append(
                (
                    x + along * math.cos(turn) - beside * math.sin(turn),
                    0.0,
                    z + along * math.sin(turn) + beside * math.cos(turn),
                )
            )
        self.shadow(rim, self.light.shadow)

    def cast_wall(self, start: Point, end: Point, height: float) -> None:
        """Let an upright wall between two points on the ground throw its shadow."""
        sun_x, sun_y, sun_z = self.light.sun
        dx, dz = -sun_x / sun_y * height, -sun_z / sun_y * height
        far, near = (end[0] + dx, 0.0, end[2] + dz), (start[0] + dx, 0.0, start[2] + dz)
        self.shadow([start, end, far, near], self.light.shadow)

    def ground(self, corners: Sequence[Point], color: Color, label: int) -> None:
        """Fill a polygon that lies on the ground; the finish veils it by its rows' distance."""
        r, g, b = color
        fr, fg, fb = self.light.factors["up"]
        fill = (min(255, int(r * fr)), min(255, int(g * fg)), min(255, int(b * fb)), label)
        self._pen.polygon([self.project(corner) for corner in corners], fill=fill)

    def disc(self, x: float, z: float, radius: float, color: Color, label: int) -> None:
        """Fill a disc that lies on the ground."""
        turns = [step * math.pi / 6 for step in range(12)]
        rim = [(x + radius * math.cos(a), 0.0, z + radius * math.sin(a)) for a in turns]
        self.ground(rim, color, label)

    def shine(self, place: Point, radius: float, color: Color) -> None:
        """Remember a lamp, whose glow is added when the picture is finished."""
        self.lamps.append(Lamp(place, radius, color))

    def shadows(self) -> Image.Image:
        """All shadows on one gray sheet of the picture's size, the darkest on top."""
        pen = ImageDraw.Draw(self.shade)
        for strength, corners in sorted(self._shadows, key=lambda item: item[0]):
            ahead = [(x, y, max(z, 0.8)) for x, y, z in corners]
            place = [self.project(corner) for corner in ahead]
            pen.polygon(
                [(x / OVERSAMPLING, y / OVERSAMPLING) for x, y in place], fill=int(255 * strength)
            )
        return self.shade
