"""What stands still: the ground with its marks and kerbs, the houses, the trees."""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

from segtut.data.drawing.light import Color, Facing
from segtut.data.drawing.stage import BUILDING, PAVEMENT, ROAD, TREE, Cover, Point, Stage

NEAR, FAR, HORIZON = 1.0, 85.0, 500.0
"""Meters ahead of the camera at which the ground begins, the houses end, and the ground ends."""

FACADES: tuple[Color, ...] = (
    (226, 212, 184),  # cream
    (214, 178, 122),  # ochre
    (190, 112, 84),  # terracotta
    (160, 82, 66),  # brick
    (120, 72, 62),  # dark brick
    (206, 204, 198),  # light gray
    (160, 162, 164),  # concrete
    (118, 122, 130),  # slate
    (232, 230, 224),  # white
    (164, 184, 200),  # pale blue
    (172, 186, 160),  # sage
    (220, 176, 164),  # rose
    (142, 118, 96),  # brown
    (84, 96, 120),  # blue gray
)

ROOFS: tuple[Color, ...] = (
    (156, 84, 64),
    (112, 66, 58),
    (86, 90, 100),
    (70, 72, 76),
    (120, 112, 104),
)

LEAVES: tuple[Color, ...] = (
    (84, 128, 58),
    (66, 112, 62),
    (104, 136, 66),
    (72, 104, 74),
    (122, 130, 58),
    (196, 130, 48),
    (176, 84, 48),
    (204, 168, 66),
)
SEASONS = (8, 8, 6, 6, 4, 2, 1, 1)


@dataclass(frozen=True)
class Street:
    """The plan of a street, in meters.

    road: half the width of the carriageway; pavement: width of each pavement; junction: where a
    side street crosses, from and to, or None; zebra: where the crossing begins, or None.
    """

    road: float
    pavement: float
    junction: tuple[float, float] | None
    zebra: float | None


def plan_street(rng: random.Random) -> Street:
    """A random street, with a junction in one of three and a zebra crossing in half."""
    junction = None
    if rng.random() < 0.35:
        start = rng.uniform(12, 26)
        junction = (start, start + rng.uniform(6, 9))
    zebra = None
    if rng.random() < 0.5:
        zebra = junction[0] - 4.5 if junction else rng.uniform(6, 16)
    return Street(rng.uniform(3.4, 4.8), rng.uniform(2.6, 4.6), junction, zebra)


def branch(rng: random.Random) -> random.Random:
    """A generator for one thing alone, so that what is out of view can be left out unnoticed."""
    return random.Random(rng.getrandbits(64))


def jitter(rng: random.Random, color: Color, spread: float) -> Color:
    """A color near the given one."""
    whole = rng.uniform(1 - spread, 1 + spread)
    r, g, b = color
    return (
        min(250.0, r * whole * (0.96 + 0.08 * rng.random())),
        min(250.0, g * whole * (0.96 + 0.08 * rng.random())),
        min(250.0, b * whole * (0.96 + 0.08 * rng.random())),
    )


def dim(color: Color, factor: float) -> Color:
    """The color times a factor."""
    r, g, b = color
    return r * factor, g * factor, b * factor


# ------------------------------------------------------------------------------------- the ground


def lay(
    stage: Stage, xs: tuple[float, float], zs: tuple[float, float], color: Color, label: int
) -> None:
    """Fill a rectangle on the ground, from x to x and z to z. Its haze is added at the finish."""
    (x0, x1), (z0, z1) = xs, (max(zs[0], NEAR), zs[1])
    if z1 > z0:
        corners = [(x0, 0.0, z0), (x1, 0.0, z0), (x1, 0.0, z1), (x0, 0.0, z1)]
        stage.polygon(corners, color, label, "ground")


def draw_ground(stage: Stage, rng: random.Random, street: Street) -> None:
    """Road, pavements, kerbs and everything painted on them."""
    asphalt = jitter(
        rng, rng.choice(((104, 104, 108), (92, 94, 98), (120, 118, 116), (84, 88, 98))), 0.14
    )
    paving = jitter(
        rng, rng.choice(((168, 160, 150), (150, 150, 150), (178, 164, 146), (140, 136, 138))), 0.10
    )
    lay(stage, (-300, 300), (NEAR, HORIZON), paving, PAVEMENT)
    _draw_slabs(stage, rng, street, paving)
    edge = street.road
    lay(stage, (-edge - 0.28, edge + 0.28), (NEAR, HORIZON), dim(paving, 1.18), PAVEMENT)
    lay(stage, (-edge - 0.05, edge + 0.05), (NEAR, HORIZON), dim(paving, 0.70), PAVEMENT)
    lay(stage, (-edge, edge), (NEAR, HORIZON), asphalt, ROAD)
    if street.junction:
        lay(stage, (-300, 300), street.junction, asphalt, ROAD)
    _draw_wear(stage, rng, street, asphalt)
    _draw_marks(stage, rng, street)


def _draw_slabs(stage: Stage, rng: random.Random, street: Street, paving: Color) -> None:
    joint, step = dim(paving, rng.uniform(0.84, 0.94)), rng.uniform(1.0, 1.8)
    inner, outer = street.road, street.road + street.pavement
    z = NEAR + rng.random() * step
    while z < 24:
        for side in (-1, 1):
            xs = sorted((side * inner, side * (outer + 0.5)))
            lay(stage, (xs[0], xs[1]), (z, z + 0.05 + 0.003 * z), joint, PAVEMENT)
        z += step * (1 + z / 16)
    for side in (-1, 1):
        x = side * (inner + 0.45 * street.pavement)
        lay(stage, (x, x + 0.06), (NEAR, 30), joint, PAVEMENT)


def _draw_wear(stage: Stage, rng: random.Random, street: Street, asphalt: Color) -> None:
    """Darker wheel tracks, patches of repair and a manhole."""
    worn = dim(asphalt, rng.uniform(0.90, 0.97))
    for lane in (-0.5, 0.5):
        for track in (-0.85, 0.85):
            x = lane * street.road + track
            lay(stage, (x - 0.28, x + 0.28), (NEAR, 70), worn, ROAD)
    for _ in range(rng.randint(0, 3)):
        x, z = rng.uniform(-street.road + 0.4, street.road - 2), rng.uniform(3, 22)
        patch = dim(asphalt, rng.choice((0.82, 0.88, 1.1)))
        lay(stage, (x, x + rng.uniform(0.8, 2)), (z, z + rng.uniform(0.8, 4)), patch, ROAD)
    if rng.random() < 0.5:
        x, z = rng.uniform(-2.5, 2.5), rng.uniform(4, 12)
        stage.disc(x, z, 0.42, dim(asphalt, 0.72), ROAD)
        stage.disc(x, z, 0.34, dim(asphalt, 0.86), ROAD)


def _draw_marks(stage: Stage, rng: random.Random, street: Street) -> None:
    """Lines along the lanes, a zebra crossing, a line to stop at."""
    white = dim((232, 230, 222), rng.uniform(0.86, 1.0))
    middle = (214, 172, 72) if rng.random() < 0.2 else white
    edge, (start, stop) = street.road, street.junction or (75.0, 75.0)
    z = NEAR + rng.uniform(-5, 0)
    while z < 75:
        if not start - 5 < z < stop:
            lay(stage, (-0.08, 0.08), (z, z + 2.6), middle, ROAD)
        z += 5.2
    if rng.random() < 0.6:
        for x in (-edge + 0.35, edge - 0.35):
            lay(stage, (x - 0.06, x + 0.06), (NEAR, start), white, ROAD)
            lay(stage, (x - 0.06, x + 0.06), (stop, 75.0), white, ROAD)
    if street.zebra:
        x = -edge + 0.3
        while x < edge - 0.5:
            lay(stage, (x, x + 0.48), (street.zebra, street.zebra + 3), white, ROAD)
            x += 0.98
    if street.junction and rng.random() < 0.7:
        lay(stage, (0.2, edge - 0.2), (start - 6, start - 5.6), white, ROAD)


# ------------------------------------------------------------------------------------- the houses


@dataclass(frozen=True)
class Style:
    """How a house is built: colors, and lengths in meters."""

    wall: Color
    trim: Color
    glass: Color
    roof: Color
    floor: float
    bay: float
    window: tuple[float, float]
    pitch: float
    shop: bool
    shutters: Color | None


@dataclass(frozen=True)
class Wall:
    """An upright rectangle that begins at a corner on the ground and runs along x or along z."""

    x: float
    z: float
    run: tuple[float, float]
    length: float
    height: float
    facing: Facing

    def at(self, t: float) -> tuple[float, float]:
        """Where on the ground, (x, z), the wall is after t meters."""
        return self.x + self.run[0] * t, self.z + self.run[1] * t

    def part(self, t0: float, y0: float, t1: float, y1: float) -> list[Point]:
        """Corners of the part from t0 to t1 along the wall and from y0 to y1 up, in meters."""
        x, z, (right, ahead) = self.x, self.z, self.run
        xa, za, xb, zb = x + right * t0, z + ahead * t0, x + right * t1, z + ahead * t1
        return [(xa, y0, za), (xb, y0, zb), (xb, y1, zb), (xa, y1, za)]


def draw_style(rng: random.Random) -> Style:
    """A random way to build a house."""
    wall = jitter(rng, rng.choice(FACADES), 0.10)
    light = sum(wall) > 420
    return Style(
        wall=wall,
        trim=dim(wall, 0.78) if light else jitter(rng, (214, 208, 196), 0.08),
        glass=jitter(rng, (78, 94, 112), 0.22),
        roof=jitter(rng, rng.choice(ROOFS), 0.12),
        floor=rng.uniform(2.8, 3.5),
        bay=rng.uniform(2.1, 3.2),
        window=(rng.uniform(0.38, 0.6), rng.uniform(0.45, 0.62)),
        pitch=rng.choice((0.0, 0.0, 1.6, 2.4, 3.0)),
        shop=rng.random() < 0.4,
        shutters=jitter(rng, rng.choice(((92, 120, 96), (110, 72, 60), (84, 96, 124))), 0.15)
        if rng.random() < 0.3
        else None,
    )


@dataclass(frozen=True)
class Plot:
    """A piece of land along the street.

    side: -1 left, 1 right; z: where it begins and length: how long it is, in meters;
    floors: of the house on it, 0 for a garden.
    """

    side: float
    z: float
    length: float
    floors: int


def plan_plots(rng: random.Random, street: Street) -> Iterator[Plot]:
    """Yield the plots of both sides of the street, those at a junction cut short."""
    start, stop = street.junction or (HORIZON, HORIZON)
    for side in (-1.0, 1.0):
        z = rng.uniform(-6, 1)
        while z < FAR:
            garden = rng.random() < 0.22
            length = rng.uniform(3, 9) if garden else rng.uniform(7, 15)
            floors = 0 if garden else rng.choice((1, 2, 2, 3, 3, 4, 5))
            if z < stop and z + length > start - street.pavement:
                if start - street.pavement - z > 3:
                    yield Plot(side, z, start - street.pavement - z, floors)
                z = stop + street.pavement
                continue
            yield Plot(side, z, length, floors)
            z += length


@dataclass(frozen=True)
class House:
    """A house to build: its facade along the street and the gable that looks at the camera."""

    style: Style
    floors: int
    facade: Wall
    gable: Wall | None


def plan_house(rng: random.Random, street: Street, plot: Plot) -> House:
    """A random house for a plot."""
    style = draw_style(rng)
    setback = rng.choice((0.0, 0.0, 0.5, 1.5))
    x = plot.side * (street.road + street.pavement + setback)
    height = plot.floors * style.floor + rng.uniform(0.2, 0.9)
    begin = max(plot.z, NEAR)
    facing: Facing = "right" if plot.side < 0 else "left"
    facade = Wall(x, begin, (0.0, 1.0), plot.z + plot.length - begin, height, facing)
    gable = Wall(x, begin, (plot.side, 0.0), 11.0, height, "front") if plot.z >= NEAR else None
    return House(style, plot.floors, facade, gable)


def draw_plots(stage: Stage, rng: random.Random, street: Street) -> None:
    """The houses along the street and those that close it, from far to near, and the gardens.

    What nearer houses hide and what is out of view is left out, nearly half of their shapes.
    """
    skyline = list(plan_skyline(rng))
    plots = sorted(plan_plots(rng, street), key=lambda plot: -plot.z)
    branches = [branch(rng) for _ in plots]
    houses = [
        plan_house(own, street, plot) if plot.floors else None
        for plot, own in zip(plots, branches, strict=True)
    ]
    covers = [stage.cover]
    for house in reversed(houses):
        covers.append(cover_behind(house, covers[-1]) if house else covers[-1])
    stage.cover = covers.pop()
    for wall, color in skyline:
        draw_block(stage, wall, color)
    for plot, house, own in zip(plots, houses, branches, strict=True):
        stage.cover = covers.pop()
        if house:
            draw_house(stage, own, house)
        else:
            draw_garden(stage, own, street, plot)


def cover_behind(house: House, cover: Cover) -> Cover:
    """What is hidden by the house and by what is nearer."""
    cover = cover.copy()
    for wall in (house.facade, house.gable):
        if wall and wall.length > 0:
            _, _, end, start = wall.part(0, 0, wall.length, wall.height)
            cover.add(start, end)
    return cover


def draw_house(stage: Stage, rng: random.Random, house: House) -> None:
    """One house: the gable that looks at the camera, the facade along the street, the roof."""
    style, facade, gable = house.style, house.facade, house.gable
    (x, z), (_, end), height = facade.at(0), facade.at(facade.length), facade.height
    side, ridge = math.copysign(1, x), height + style.pitch * 1.4
    if gable:
        roof = [(x, height, z), (x + side * 11, height, z), (x + side * 5.5, ridge, z)]
        if style.pitch and not stage.cover.hides(roof):
            stage.polygon(roof, dim(style.wall, 0.94), BUILDING)
        draw_wall(stage, branch(rng), gable, style, house.floors, skip=1)
    if style.pitch:
        eaves, crest = x - side * 0.3, x + side * 5.5
        slope = [(eaves, height, z), (eaves, height, end), (crest, ridge, end), (crest, ridge, z)]
        stage.polygon(slope, style.roof, BUILDING, facade.facing)
    draw_wall(stage, rng, facade, style, house.floors, skip=0)
    stage.cast_wall((x, 0.0, z), (x, 0.0, end), height)


def draw_wall(
    stage: Stage, rng: random.Random, wall: Wall, style: Style, floors: int, skip: int
) -> None:
    """A wall with its rows of windows; `skip` columns of windows are left out at its start."""
    whole = wall.part(0, 0, wall.length, wall.height)
    if stage.cover.hides(whole):
        return
    stage.polygon(whole, style.wall, BUILDING, wall.facing)
    if wall.z > 36 and wall.run[1]:
        _draw_distant_floors(stage, wall, style, floors)
        return
    if not style.pitch:
        edge = wall.part(0, wall.height - 0.35, wall.length, wall.height)
        stage.polygon(edge, style.trim, BUILDING, wall.facing)
    bays = max(1, round(wall.length / style.bay))
    width = wall.length / bays
    ground = 1 if style.shop and not skip else 0
    for bay in range(skip, bays):
        _draw_bay(stage, rng, wall, style, ((bay + 0.5) * width, width), range(ground, floors))
    if ground:
        _draw_shop(stage, rng, wall, style)
    elif not skip:
        _draw_door(stage, rng, wall, style, (rng.randrange(bays) + 0.5) * width)


def _draw_bay(
    stage: Stage,
    rng: random.Random,
    wall: Wall,
    style: Style,
    bay: tuple[float, float],
    floors: range,
) -> None:
    """A column of windows; bay: its middle along the wall and its width."""
    # The same numbers are drawn for a column out of sight, which so leaves the next ones alone.
    moods = [(rng.random(), 0.75 + 0.45 * rng.random()) for _ in floors]
    t, width = bay
    low, high = stage.cover.heights(wall.at(t - width / 2), wall.at(t + width / 2))
    close = wall.z + wall.run[1] * wall.length < 28
    for floor, mood in zip(floors, moods, strict=True):
        y = floor * style.floor
        if y < high and y + style.floor > low:
            _draw_window(stage, mood, wall, style, (t, y), close)


def _draw_distant_floors(stage: Stage, wall: Wall, style: Style, floors: int) -> None:
    for floor in range(floors):
        y = floor * style.floor + 1.0
        strip = wall.part(0.4, y, wall.length - 0.4, y + style.floor * 0.4)
        stage.polygon(strip, blend(style.wall, style.glass, 0.45), BUILDING, wall.facing)


def blend(a: Color, b: Color, share: float) -> Color:
    """Color a with a share of color b."""
    keep = 1 - share
    return a[0] * keep + b[0] * share, a[1] * keep + b[1] * share, a[2] * keep + b[2] * share


def _draw_window(
    stage: Stage,
    mood: tuple[float, float],
    wall: Wall,
    style: Style,
    place: tuple[float, float],
    close: bool,
) -> None:
    """A window; mood: its chance to be lit and its tone; place: along the wall and its floor."""
    half, rise = style.bay * style.window[0] / 2, style.floor * style.window[1]
    (chance, tone), t, y = mood, place[0], place[1] + 0.28 * style.floor
    if close:
        if style.shutters:
            panel = wall.part(t - half - 0.35, y, t + half + 0.35, y + rise)
            stage.polygon(panel, style.shutters, BUILDING, wall.facing)
        frame = wall.part(t - half - 0.1, y - 0.16, t + half + 0.1, y + rise + 0.1)
        stage.polygon(frame, style.trim, BUILDING, wall.facing)
    lit = chance < 0.42 * stage.light.lamps
    glass = (255 * min(1.0, tone), 205 * tone, 120 * tone) if lit else dim(style.glass, tone)
    pane = wall.part(t - half, y, t + half, y + rise)
    stage.polygon(pane, glass, BUILDING, "glow" if lit else wall.facing)
    if close and not lit:
        gleam = wall.part(t - half, y + rise * 0.62, t + half, y + rise)
        stage.polygon(gleam, blend(glass, stage.light.horizon, 0.35), BUILDING, wall.facing)


def _draw_shop(stage: Stage, rng: random.Random, wall: Wall, style: Style) -> None:
    lit = rng.random() < stage.light.lamps
    glass: Color = (250, 214, 150) if lit else dim(style.glass, 0.9)
    facing: Facing = "glow" if lit else wall.facing
    end, top = wall.length - 0.5, style.floor * 0.74
    stage.polygon(wall.part(0.5, 0.4, end, top), glass, BUILDING, facing)
    step = wall.length / max(2, round(wall.length / 2.4))
    t = step
    while t < end:
        stage.polygon(wall.part(t - 0.12, 0.0, t + 0.12, top), style.trim, BUILDING, wall.facing)
        t += step
    awning = jitter(
        rng, rng.choice(((176, 60, 52), (56, 92, 84), (60, 76, 128), (206, 176, 110))), 0.12
    )
    stage.polygon(wall.part(0.3, top, end + 0.2, style.floor * 0.95), awning, BUILDING, wall.facing)


def _draw_door(stage: Stage, rng: random.Random, wall: Wall, style: Style, t: float) -> None:
    color = jitter(rng, rng.choice(((92, 58, 42), (52, 78, 70), (56, 64, 96), (134, 52, 46))), 0.15)
    stage.polygon(wall.part(t - 0.75, 0, t + 0.75, 2.35), style.trim, BUILDING, wall.facing)
    stage.polygon(wall.part(t - 0.55, 0, t + 0.55, 2.15), color, BUILDING, wall.facing)


def plan_skyline(rng: random.Random) -> Iterator[tuple[Wall, Color]]:
    """Yield the houses that close the street far away, with their colors."""
    x = -190.0
    while x < 190:
        width, height, z = rng.uniform(8, 22), rng.uniform(8, 24), FAR + rng.uniform(10, 30)
        color = jitter(rng, rng.choice(FACADES), 0.08)
        yield Wall(x, z, (1.0, 0.0), width, height, "front"), color
        x += width


def draw_block(stage: Stage, wall: Wall, color: Color) -> None:
    """One house of the skyline."""
    width, whole = wall.length, wall.part(0, 0, wall.length, wall.height)
    if not stage.sees(*wall.at(width / 2), width) or stage.cover.hides(whole):
        return
    stage.polygon(whole, color, BUILDING)
    for floor in range(1, int(wall.height / 3.4)):
        row = wall.part(1, floor * 3.4, width - 1, floor * 3.4 + 1.4)
        stage.polygon(row, dim(color, 0.82), BUILDING)


# -------------------------------------------------------------------------------------- the trees


NEAR_CLUMPS = ((0.62, 11, 0.0, 0.42), (0.86, 13, 0.1, 0.30), (1.1, 13, 0.2, 0.18))
FAR_CLUMPS = ((0.62, 9, 0.0, 0.50), (0.86, 8, 0.1, 0.36), (1.1, 7, 0.2, 0.23))
"""Layers of a crown from back to front: (tone, how many clumps, how much higher, how large)."""


def draw_tree(stage: Stage, rng: random.Random, x: float, z: float) -> None:
    """A tree: a trunk and a crown of leaf clumps, dark below and bright where the sun falls."""
    if not stage.sees(x, z, 4):
        return
    if rng.random() < 0.18:
        _draw_fir(stage, rng, x, z)
        return
    leaves = jitter(rng, rng.choices(LEAVES, weights=SEASONS)[0], 0.14)
    radius, rise = rng.uniform(1.3, 2.1), rng.uniform(1.0, 1.35)
    crown = rng.uniform(3.4, 4.6)
    trunk = stage.length(0.16, z, 0.010)
    bark = jitter(rng, (88, 70, 56), 0.2)
    stage.cast((x, crown, z), (radius, radius * rise))
    stage.cast((x, crown * 0.3, z), (trunk, crown * 0.3))
    wide, top = 1.41 * radius, crown + radius * (rise + 0.33)
    if stage.cover.hides([(x - wide, 0.0, z), (x + wide, top, z)]):
        return
    stem = [
        (x - trunk, 0.0, z),
        (x + trunk, 0.0, z),
        (x + trunk * 0.7, crown, z),
        (x - trunk * 0.7, crown, z),
    ]
    stage.polygon(stem, bark, TREE)
    # The sun brightens clumps and moves none, so that the light leaves the label map alone.
    sun = stage.light.sun
    clumps = NEAR_CLUMPS if z < 22 else FAR_CLUMPS
    for tone, count, lift, size in clumps:
        for _ in range(count):
            a, b = 1.56 * rng.random() - 0.78, 1.56 * rng.random() - 0.78
            if a * a + b * b > 0.6:
                a, b = a * 0.6, b * 0.6
            bright = tone * (1 + 0.22 * b + 0.2 * a * sun[0]) * (0.86 + 0.28 * rng.random())
            clump = radius * size * (0.75 + 0.5 * rng.random())
            place = (x + a * radius, crown + (b + lift) * radius * rise, z)
            stage.ellipse(place, (clump, clump * 0.85), dim(leaves, bright), TREE)


def _draw_fir(stage: Stage, rng: random.Random, x: float, z: float) -> None:
    needles = jitter(rng, (52, 88, 66), 0.18)
    height, half = rng.uniform(5, 7.5), rng.uniform(1.1, 1.6)
    trunk = stage.length(0.12, z, 0.008)
    stage.cast((x, height * 0.45, z), (half * 0.7, height * 0.4))
    if stage.cover.hides([(x - half, 0, z), (x + half, 1.4 * height, z)]):
        return
    stage.polygon(
        [(x - trunk, 0, z), (x + trunk, 0, z), (x + trunk, 1.4, z), (x - trunk, 1.4, z)],
        (80, 62, 50),
        TREE,
    )
    tiers = 5
    for tier in range(tiers):
        low = 0.9 + tier * (height - 1.6) / tiers
        wide = half * (1 - tier / (tiers + 0.6))
        top = low + (height - 0.9) / tiers * 1.7
        corners = [
            (x - wide, low, z),
            (x - wide * 0.45, low + 0.18, z),
            (x, low - 0.1, z),
            (x + wide * 0.5, low + 0.2, z),
            (x + wide, low, z),
            (x, top, z),
        ]
        stage.polygon(corners, dim(needles, 0.8 + 0.09 * tier), TREE)
        bright = [
            (x, low + 0.26, z),
            (x + wide * 0.6 * (1 if stage.light.sun[0] > 0 else -1), low + 0.26, z),
            (x, top, z),
        ]
        stage.polygon(bright, dim(needles, 0.96 + 0.09 * tier), TREE)


def draw_garden(stage: Stage, rng: random.Random, street: Street, plot: Plot) -> None:
    """Where no house stands: a tree behind a clipped hedge along the pavement."""
    leaves = jitter(rng, LEAVES[rng.randrange(4)], 0.12)
    side, x = plot.side, plot.side * (street.road + street.pavement)
    z, height = max(plot.z, NEAR), rng.uniform(1.2, 2.0)
    length = plot.z + plot.length - z
    if length <= 0.5:
        return
    if z > 4:
        draw_tree(stage, branch(rng), x + side * rng.uniform(2.5, 4), z + length / 2)
    wall = Wall(x, z, (0.0, 1.0), length, height, "right" if side < 0 else "left")
    front = Wall(x, z, (side, 0.0), 9.0, height, "front")
    for face, own in ((front, branch(rng)), (wall, branch(rng))):
        _draw_hedge(stage, own, face, leaves)


def _draw_hedge(stage: Stage, rng: random.Random, face: Wall, leaves: Color) -> None:
    if stage.cover.hides(face.part(-0.34, 0, face.length + 0.34, face.height + 0.34)):
        return
    whole = face.part(0, 0, face.length, face.height)
    stage.polygon(whole, dim(leaves, 0.85), TREE, face.facing)
    for _ in range(10 if face.z < 18 else 5):
        (x, z), y = face.at(rng.uniform(0, face.length)), rng.uniform(0.2, face.height)
        size, tone = rng.uniform(0.14, 0.34), rng.uniform(0.7, 1.25)
        stage.ellipse((x, y, z), (size, size), dim(leaves, tone), TREE)
