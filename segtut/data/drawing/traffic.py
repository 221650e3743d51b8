"""What stands on the pavement and what moves: poles and signs, cars, people."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from segtut.data.drawing.light import Color, Facing
from segtut.data.drawing.stage import CAR, PERSON, POLE, Point, Stage, ring
from segtut.data.drawing.street import FACADES, blend, dim, jitter

THINNEST = 0.023
"""Half the width, in picture heights, that a pole has at least, so that it is seen far away."""

# -------------------------------------------------------------------------------------- the poles


def draw_lamp_post(stage: Stage, rng: random.Random, x: float, z: float) -> None:
    """A street lamp whose arm reaches over the road."""
    steel = jitter(rng, rng.choice(((74, 80, 88), (34, 44, 42), (196, 198, 198))), 0.12)
    half, height = stage.length(0.085, z, THINNEST), rng.uniform(5.0, 6.6)
    reach = -math.copysign(rng.uniform(0.9, 1.5), x)
    stage.cast_wall((x - half, 0.0, z), (x + half, 0.0, z), height)
    _bar(stage, (x, 0.0, z), (x, 1.0, z), half * 1.5, steel)
    _bar(stage, (x, 0.0, z), (x, height, z), half, steel)
    _bar(stage, (x, height, z), (x + 0.5 * reach, height + 0.3, z), half * 0.9, steel)
    _bar(stage, (x + 0.5 * reach, height + 0.3, z), (x + reach, height + 0.3, z), half * 0.9, steel)
    head = [
        (x + reach * t, height + y, z)
        for t, y in ((0.75, 0.38), (1.35, 0.32), (1.3, 0.08), (0.75, 0.14))
    ]
    glow = stage.light.lamps > 0.3
    stage.polygon(
        head, (255, 236, 190) if glow else dim(steel, 0.8), POLE, "glow" if glow else "front"
    )
    if glow:
        stage.shine((x + 1.05 * reach, height + 0.1, z), 1.3, (255, 206, 130), pool=4.5)


def _bar(stage: Stage, a: Point, b: Point, half: float, color: Color) -> None:
    """A straight bar between two points at one distance, brighter on its sunny half."""
    (x0, y0, z), (x1, y1, _) = a, b
    length = math.hypot(x1 - x0, y1 - y0)
    nx, ny = (y1 - y0) / length * half, -(x1 - x0) / length * half
    corners = [
        (x0 - nx, y0 - ny, z),
        (x1 - nx, y1 - ny, z),
        (x1 + nx, y1 + ny, z),
        (x0 + nx, y0 + ny, z),
    ]
    stage.polygon(corners, dim(color, 0.86), POLE)
    side = 1.0 if stage.light.sun[0] > 0 else -1.0
    lit = [
        (x0, y0, z),
        (x1, y1, z),
        (x1 + side * nx, y1 + side * ny, z),
        (x0 + side * nx, y0 + side * ny, z),
    ]
    stage.polygon(lit, dim(color, 1.14), POLE)


def draw_sign(stage: Stage, rng: random.Random, x: float, z: float) -> None:
    """A post with a round, three-cornered or square traffic sign."""
    half, height = stage.length(0.06, z, THINNEST), rng.uniform(2.3, 3.0)
    stage.cast_wall((x - half, 0.0, z), (x + half, 0.0, z), height)
    _bar(stage, (x, 0.0, z), (x, height, z), half, (206, 208, 208))
    size = stage.length(rng.uniform(0.38, 0.48), z, 0.034)
    red, blue, white = (200, 44, 40), (36, 84, 160), (238, 238, 232)
    kind = rng.randrange(4)
    top = height + size * 0.4
    if kind == 0:
        stage.ellipse((x, top, z), (size, size), red, POLE)
        stage.ellipse((x, top, z), (size * 0.66, size * 0.66), white, POLE)
    elif kind == 1:
        stage.ellipse((x, top, z), (size, size), blue, POLE)
        _plate(stage, x, top, z, size * 0.55, size * 0.16, white)
    elif kind == 2:
        for scale, color in ((1.2, red), (0.66, white)):
            s = size * scale
            corners = [(x - s, top - s * 0.72, z), (x + s, top - s * 0.72, z), (x, top + s, z)]
            stage.polygon(corners, color, POLE)
    else:
        _plate(stage, x, top, z, size, size, white)
        _plate(stage, x, top, z, size * 0.86, size * 0.86, rng.choice((blue, (212, 160, 40))))


def _plate(stage: Stage, x: float, y: float, z: float, a: float, b: float, color: Color) -> None:
    stage.polygon(
        [(x - a, y - b, z), (x + a, y - b, z), (x + a, y + b, z), (x - a, y + b, z)], color, POLE
    )


def draw_traffic_light(stage: Stage, rng: random.Random, x: float, z: float) -> None:
    """A post with three lamps, one of them lit."""
    half, height = stage.length(0.07, z, THINNEST), rng.uniform(2.6, 3.2)
    stage.cast_wall((x - half, 0.0, z), (x + half, 0.0, z), height)
    _bar(stage, (x, 0.0, z), (x, height, z), half, (58, 62, 66))
    size = stage.length(0.2, z, 0.02)
    _plate(stage, x, height + size * 2.4, z, size * 1.35, size * 3.6, (44, 48, 48))
    lit = rng.randrange(3)
    colors: tuple[Color, ...] = ((244, 62, 44), (250, 186, 50), (70, 220, 130))
    for place, color in enumerate(colors):
        y = height + size * (4.7 - 2.3 * place)
        on = place == lit
        stage.ellipse(
            (x, y, z),
            (size * 0.9, size * 0.9),
            color if on else dim(color, 0.28),
            POLE,
            "glow" if on else "front",
        )
        if on and stage.light.lamps > 0.3:
            stage.shine((x, y, z), 0.5, color)


# --------------------------------------------------------------------------------------- the cars

PAINTS: tuple[Color, ...] = (
    (222, 224, 226),
    (176, 180, 184),
    (112, 116, 122),
    (54, 58, 66),
    (168, 48, 44),
    (52, 84, 142),
    (72, 104, 128),
    (196, 150, 70),
    (70, 98, 78),
    *FACADES[1:5],
    FACADES[0],
)


@dataclass(frozen=True)
class Body:
    """The shape of a car, in meters.

    outline: (along, up) from the rear bumper round over the roof to the front bumper, of nine
    corners between which the third face is the rear window, the fifth the roof and so on;
    wheels: where its axles are along it; width: from side to side.
    """

    outline: tuple[tuple[float, float], ...]
    wheels: tuple[float, float]
    width: float


SALOON = Body(
    (
        (0, 0.32),
        (0, 0.84),
        (0.16, 0.98),
        (0.62, 1.02),
        (1.22, 1.44),
        (2.45, 1.44),
        (3.25, 0.98),
        (4.2, 0.82),
        (4.3, 0.32),
    ),
    (0.82, 3.45),
    1.78,
)
HATCH = Body(
    (
        (0, 0.32),
        (0, 0.8),
        (0.08, 0.98),
        (0.14, 1.02),
        (0.52, 1.5),
        (2.05, 1.5),
        (2.85, 1.0),
        (3.6, 0.84),
        (3.75, 0.32),
    ),
    (0.66, 3.0),
    1.72,
)
VAN = Body(
    (
        (0, 0.34),
        (0, 0.9),
        (0.03, 1.06),
        (0.05, 1.14),
        (0.14, 2.05),
        (3.1, 2.05),
        (3.85, 1.2),
        (4.5, 1.02),
        (4.6, 0.34),
    ),
    (0.85, 3.65),
    1.88,
)


@dataclass(frozen=True)
class Pose:
    """Where a car's rear middle is on the ground and the direction it drives, one of four."""

    x: float
    z: float
    ahead: tuple[float, float]

    def point(self, along: float, across: float, up: float) -> Point:
        """A place given in meters from the rear, to the right of the middle line, and up."""
        dx, dz = self.ahead
        return self.x + along * dx + across * dz, up, self.z + along * dz - across * dx


def draw_car(stage: Stage, rng: random.Random, pose: Pose, parked: bool) -> None:
    """A car, seen from wherever the camera is: only the faces that look at it are drawn."""
    body = rng.choices((SALOON, HATCH, VAN), weights=(4, 4, 2))[0]
    paint = jitter(rng, rng.choice(PAINTS), 0.12)
    half = body.width / 2
    length = body.outline[-1][0]
    feet = [
        pose.point(a, b, 0)
        for a, b in ((0.1, -half), (0.1, half), (length - 0.1, half), (length - 0.1, -half))
    ]
    stage.shadow(feet, 0.62)
    for a, b in zip(feet, feet[1:] + feet[:1], strict=True):
        stage.cast_wall(a, b, 1.2)
    _draw_shell(stage, body, pose, paint, half)
    for across in (-half, half):
        if _faces_camera(stage, pose, across):
            _draw_flank(stage, body, pose, paint, across)
    if pose.ahead[1]:
        _draw_end(stage, body, pose, half, parked)


def _facing(normal: tuple[float, float]) -> Facing:
    x, z = normal
    if abs(x) > abs(z):
        return "right" if x > 0 else "left"
    return "front"


def _faces_camera(stage: Stage, pose: Pose, across: float) -> bool:
    """Whether the flank at `across` looks toward the camera."""
    x, _, z = pose.point(0, across, 0)
    normal_x, normal_z = (
        math.copysign(1, across) * pose.ahead[1],
        -math.copysign(1, across) * pose.ahead[0],
    )
    return normal_x * (stage.camera.x - x) + normal_z * (0.0 - z) > 0


def _draw_shell(stage: Stage, body: Body, pose: Pose, paint: Color, half: float) -> None:
    """The faces that span the car's width: rear, windows, roof, hood, front, far ones first."""
    eye_x, eye_y = stage.camera.x - pose.x, stage.camera.height
    eye = eye_x * pose.ahead[0] - pose.z * pose.ahead[1]
    strips = [
        (number, a0, y0, a1, y1)
        for number, ((a0, y0), (a1, y1)) in enumerate(pairwise(body.outline))
        if (a1 - a0) * (eye_y - y0) > (y1 - y0) * (eye - a0)  # it looks at the camera
    ]
    strips.sort(key=lambda strip: -pose.ahead[1] * (strip[1] + strip[3]))
    glass = blend((46, 54, 64), stage.light.horizon, 0.12)
    for number, a0, y0, a1, y1 in strips:
        # Windows and roof are narrower than the rest, and the windows taper toward the roof.
        low = half * (0.86 if number in (4, 5) else 1.0)
        high = half * (0.86 if number in (3, 4) else 1.0)
        corners = [
            pose.point(a0, -low, y0),
            pose.point(a0, low, y0),
            pose.point(a1, high, y1),
            pose.point(a1, -high, y1),
        ]
        flat = abs(y1 - y0) < 0.4 * abs(a1 - a0)
        stage.polygon(corners, paint, CAR, "up" if flat else "front")
        if number in (3, 5):
            stage.polygon(_shrunk(corners, 0.13), glass, CAR, "front")


def _shrunk(corners: Sequence[Point], share: float) -> list[Point]:
    """The corners moved by a share of the way to the middle of them all."""
    keep, part = 1 - share, share / len(corners)
    x, y, z = (part * sum(values) for values in zip(*corners, strict=True))
    return [(keep * a + x, keep * b + y, keep * c + z) for a, b, c in corners]


def _draw_flank(stage: Stage, body: Body, pose: Pose, paint: Color, across: float) -> None:
    """One side: body, windows, a line of shade along the sill, two wheels."""
    sign = math.copysign(1, across)
    facing = _facing((sign * pose.ahead[1], -sign * pose.ahead[0]))
    outline = body.outline
    lower = [pose.point(a, across, y) for a, y in (*outline[:4], *outline[6:])]
    stage.polygon(lower, paint, CAR, facing)
    upper = [
        pose.point(outline[3][0], across, outline[3][1]),
        *(pose.point(outline[k][0], across * 0.86, outline[k][1]) for k in (4, 5)),
        pose.point(outline[6][0], across, outline[6][1]),
    ]
    stage.polygon(upper, paint, CAR, facing)
    glass = blend((46, 54, 64), stage.light.horizon, 0.10)
    stage.polygon(_shrunk(upper, 0.12), glass, CAR, facing)
    middle = (outline[4][0] + outline[5][0]) / 2
    post = [
        pose.point(middle - 0.05, across * 0.99, outline[3][1]),
        pose.point(middle + 0.05, across * 0.99, outline[3][1]),
        pose.point(middle + 0.05, across * 0.88, outline[4][1]),
        pose.point(middle - 0.05, across * 0.88, outline[4][1]),
    ]
    stage.polygon(post, paint, CAR, facing)
    end = outline[-1][0]
    sill = [
        pose.point(a, across, y)
        for a, y in ((0.05, 0.32), (0.05, 0.48), (end - 0.05, 0.48), (end - 0.05, 0.32))
    ]
    stage.polygon(sill, dim(paint, 0.6), CAR, facing)
    for along in body.wheels:
        _draw_wheel(stage, pose, along, across, facing)


def _draw_wheel(stage: Stage, pose: Pose, along: float, across: float, facing: Facing) -> None:
    turns = [step * math.pi / 5 for step in range(10)]
    for radius, color in ((0.34, (34, 34, 36)), (0.17, (128, 130, 136))):
        rim = [
            pose.point(along + radius * math.cos(a), across, 0.34 + radius * math.sin(a))
            for a in turns
        ]
        stage.polygon(rim, color, CAR, facing)


def _draw_end(stage: Stage, body: Body, pose: Pose, half: float, parked: bool) -> None:
    """Tires, bumper, plate and lamps of the end that looks at the camera."""
    rear = pose.ahead[1] > 0
    end = 0.0 if rear else body.outline[-1][0]

    def panel(b0: float, b1: float, y0: float, y1: float) -> list[Point]:
        return [pose.point(end, b, y) for b, y in ((b0, y0), (b1, y0), (b1, y1), (b0, y1))]

    for across in (-half * 0.78, half * 0.78):
        stage.polygon(panel(across - 0.09, across + 0.09, 0, 0.3), (30, 30, 32), CAR)
    stage.polygon(panel(-half, half, 0.24, 0.42), (58, 58, 62), CAR)
    stage.polygon(panel(-0.28, 0.28, 0.48, 0.62), (226, 224, 206), CAR)
    on = stage.light.lamps > 0.3 and not parked
    color: Color = (255, 246, 214)
    if rear:
        color = (226, 40, 34) if on else (170, 34, 32)
    for sign in (-1, 1):
        inner, outer = sign * half * 0.56, sign * half * 0.96
        stage.polygon(panel(inner, outer, 0.62, 0.8), color, CAR, "glow" if on else "front")
        place = pose.point(end, (inner + outer) / 2, 0.7)
        if on and rear:
            stage.shine(place, 0.4, color)
        elif on:
            stage.shine(place, 0.55, (190, 180, 150), pool=1.6)


# ------------------------------------------------------------------------------------- the people

CLOTHES: tuple[Color, ...] = (
    (52, 62, 92),
    (44, 46, 52),
    (176, 54, 50),
    (212, 168, 64),
    (90, 122, 96),
    (148, 142, 136),
    (224, 220, 210),
    (126, 84, 108),
    (196, 110, 70),
    (80, 120, 156),
)
SKINS: tuple[Color, ...] = (
    (238, 200, 172),
    (214, 168, 136),
    (172, 124, 92),
    (120, 82, 62),
    (88, 60, 48),
)


HAIR: tuple[Color, ...] = ((44, 34, 28), (92, 62, 38), (176, 140, 84), (140, 136, 132))


def draw_person(stage: Stage, rng: random.Random, x: float, z: float) -> None:
    """Somebody who walks or stands, in a coat or a shirt, with an umbrella in some rain."""
    height, stride, side = rng.uniform(1.58, 1.88), rng.uniform(0.05, 0.32), rng.choice((-1, 1))
    stage.cast((x, height * 0.5, z), (0.22, height * 0.48))
    stage.shadow(ring(x, z, 0.4, 0.25), 0.35)
    _draw_legs(stage, rng, (x, z), height, side * stride)
    _draw_trunk(stage, rng, (x, z), height, side, stride)
    skin, hair = rng.choice(SKINS), rng.choice(HAIR)
    stage.ellipse((x, 0.915 * height, z), (0.115, 0.145), skin, PERSON)
    stage.ellipse((x - side * 0.02, 0.955 * height, z), (0.12, 0.10), hair, PERSON)
    # The same numbers are drawn in any weather, so that the weather does not move the scene.
    shelter, cloth = rng.random() < 0.6, jitter(rng, rng.choice(CLOTHES), 0.2)
    if shelter and stage.light.weather == "rain":
        _draw_umbrella(stage, cloth, x + side * 0.1, height, z)


def _draw_legs(
    stage: Stage, rng: random.Random, place: tuple[float, float], height: float, stride: float
) -> None:
    x, z = place
    cloth = jitter(rng, rng.choice(CLOTHES[:2] + CLOTHES[5:7]), 0.16)
    toe = math.copysign(0.14, stride)
    for step, tone in ((-stride, 0.82), (stride, 1.0)):
        hip, foot = (x + step * 0.15, 0.5 * height), (x + step, 0.03 * height)
        _limb(stage, hip, foot, z, (0.105, 0.075), dim(cloth, tone))
        heel, tip = (x + step - 0.05, 0.02 * height), (x + step + toe, 0.02 * height)
        _limb(stage, heel, tip, z, (0.04, 0.04), (40, 36, 34))


def _draw_trunk(
    stage: Stage,
    rng: random.Random,
    place: tuple[float, float],
    height: float,
    side: int,
    stride: float,
) -> None:
    """Coat or shirt with both arms, one before and one behind it."""
    x, z = place
    cloth, neck, arm = jitter(rng, rng.choice(CLOTHES), 0.16), 0.82 * height, 0.8 * height
    hem = (0.34 if rng.random() < 0.4 else 0.46) * height
    hand = (x + side * (0.22 + stride * 0.4), 0.48 * height)
    _limb(stage, (x + side * 0.19, arm), hand, z, (0.065, 0.05), dim(cloth, 0.8))
    stage.polygon(
        [(x - 0.2, neck, z), (x + 0.2, neck, z), (x + 0.21, hem, z), (x - 0.21, hem, z)],
        cloth,
        PERSON,
    )
    sunny = 0.2 if stage.light.sun[0] > 0 else -0.2
    half = [(x, neck, z), (x + sunny, neck, z), (x + sunny, hem, z), (x, hem, z)]
    stage.polygon(half, dim(cloth, 1.14), PERSON)
    hand = (x - side * (0.2 + stride * 0.5), 0.5 * height)
    _limb(stage, (x - side * 0.2, arm), hand, z, (0.065, 0.05), dim(cloth, 0.92))


def _limb(
    stage: Stage,
    a: tuple[float, float],
    b: tuple[float, float],
    z: float,
    half: tuple[float, float],
    color: Color,
) -> None:
    """An arm or a leg from a to b, half as wide as given at each end."""
    (x0, y0), (x1, y1) = a, b
    length = math.hypot(x1 - x0, y1 - y0)
    nx, ny = (y1 - y0) / length, -(x1 - x0) / length
    corners = [
        (x0 - nx * half[0], y0 - ny * half[0], z),
        (x0 + nx * half[0], y0 + ny * half[0], z),
        (x1 + nx * half[1], y1 + ny * half[1], z),
        (x1 - nx * half[1], y1 - ny * half[1], z),
    ]
    stage.polygon(corners, color, PERSON)


def _draw_umbrella(stage: Stage, color: Color, x: float, height: float, z: float) -> None:
    rim, top = height * 1.02, height * 1.02 + 0.34
    steps = [k / 6 for k in range(7)]
    dome = [
        (x - 0.55 * math.cos(math.pi * s), rim + (top - rim) * math.sin(math.pi * s), z)
        for s in steps
    ]
    stage.polygon(dome, color, PERSON)
    stage.polygon([dome[0], dome[1], dome[2], dome[3], (x, rim, z)], dim(color, 0.8), PERSON)
