"""From the drawn sheet to a photograph: sky, texture, shadow, haze, rain, glow, sensor noise."""

from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from segtut.data.drawing.light import Light
from segtut.data.drawing.stage import OVERSAMPLING, PAVEMENT, ROAD, SKY, Camera, Stage

Pixels = NDArray[np.floating]
"""Single precision all through; NumPy's stubs lose that in arithmetic.

Pictures are (3, H, W) here: a factor for each pixel (H, W) multiplies them twenty times faster so.
"""

ALL = slice(None)
TEXTURE = np.array([0.0, 0.035, 0.045, 0.05, 0.13, 0.02, 0.015, 0.03], dtype=np.float32)
"""How strongly the surface of each of the eight classes is mottled."""


def develop(stage: Stage, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The picture, uint8 (H, W, 3), and the labels of the sheet, uint8 (2H, 2W)."""
    sheet = stage.draw()
    labels = np.asarray(sheet.getchannel(3))
    drawn = np.asarray(sheet.reduce(OVERSAMPLING))[..., :3].transpose(2, 0, 1)
    picture = drawn.astype(np.float32, order="C")
    mottle(picture, labels[::OVERSAMPLING, ::OVERSAMPLING], stage.light, rng)
    # Ground and sky are finished apart, each in the rows that can show it.
    horizon = stage.camera.horizon * stage.size[0]
    below, above = slice(int(horizon), None), slice(0, int(1.04 * horizon) + 2)
    lower = labels[OVERSAMPLING * below.start :]
    ground = share((lower == ROAD) | (lower == PAVEMENT))
    shade_ground(picture, stage, ground)
    sky = share(labels[: OVERSAMPLING * above.stop] == SKY)
    picture[:, above] += sky * paint_sky(stage, sky.shape[0], rng)
    if stage.light.wet:
        mirror(picture, stage, ground, rng)
    add_glow(picture, stage)
    if stage.light.weather == "rain":
        add_streaks(picture, rng)
    return expose(picture, stage.light, rng).transpose(1, 2, 0), labels


def tint(color: Sequence[float]) -> Pixels:
    """A color (3, 1, 1), to reckon with pictures."""
    return np.array(color, dtype=np.float32)[:, None, None]


def share(where: NDArray[np.bool_]) -> Pixels:
    """The share of each pixel, 0-1 (H, W), that is covered by sheet pixels (2H, 2W) so marked."""
    count = where.view(np.uint8)
    rows = count[0::2] + count[1::2]
    return (rows[:, 0::2] + rows[:, 1::2]).astype(np.float32) / 4


def clouds(
    size: tuple[int, int], cells: tuple[int, int], rng: np.random.Generator, rows: slice = ALL
) -> Pixels:
    """Smooth noise, mean 0, on a grid of `cells` (down, across) a picture height.

    Of a picture of `size` (H, W) only some rows are worked out, and returned.
    """
    height, width = size
    grid = rng.integers(0, 256, (cells[0], 2 + cells[1] * width // height), dtype=np.uint8)
    start, stop, _ = rows.indices(height)
    down = cells[0] / height
    smooth = Image.fromarray(grid).resize(
        (width, stop - start),
        Image.Resampling.BICUBIC,
        box=(0, down * start, grid.shape[1], down * stop),
    )
    return (np.asarray(smooth).astype(np.float32) - 127.5) / 74  # a byte at random deviates by 74


def mottle(
    picture: Pixels, labels: NDArray[np.uint8], light: Light, rng: np.random.Generator
) -> None:
    """Roughen each surface as its class is rough, in contrast to the haze and so less far away."""
    height, width = labels.shape
    top, left = rng.integers(0, (height, width)).tolist()
    bumps = plaster(height, width)[top : top + height, left : left + width]
    picture += (picture - tint(light.horizon)) * (TEXTURE[labels] * bumps)


@lru_cache(maxsize=2)
def plaster(height: int, width: int) -> Pixels:
    """Bumps, mean 0, for a picture twice as high and wide, to cut a texture from anywhere."""
    size, rng = (2 * height, 2 * width), np.random.default_rng(0)
    return 0.5 * clouds(size, (60, 60), rng) + 0.8 * clouds(size, (220, 220), rng)


def shade_ground(picture: Pixels, stage: Stage, ground: Pixels) -> None:
    """Lay shadows on road and pavement, and veil both by the distance of each row.

    ground: its share of each pixel, in the lowest rows of the picture.
    """
    height, start = picture.shape[1], picture.shape[1] - ground.shape[0]
    shadows = stage.shadows().crop((0, start, picture.shape[2], height))
    shade = np.asarray(shadows.filter(ImageFilter.BoxBlur(0.008 * height))) * (ground / 255)
    distance = row_distances(height, stage.camera)[start:]
    veil = (1 - np.exp(-stage.light.haze * distance))[:, None] * ground
    part = picture[:, start:]
    part *= (1 - shade * tint(COOL)) * (1 - veil)
    part += veil * tint(stage.light.horizon)


COOL = (1.05, 1.0, 0.92)
"""Shadows are lit by the sky alone and so a little blue: they take more of the red away."""


def row_distances(height: int, camera: Camera) -> Pixels:
    """Meters to the ground seen in each row (H,), 500 at and above the horizon."""
    down = (np.arange(height, dtype=np.float32) + 0.5) / height - camera.horizon
    return np.minimum(500, camera.focal * camera.height / np.maximum(down, 1e-4))


def mirror(picture: Pixels, stage: Stage, ground: Pixels, rng: np.random.Generator) -> None:
    """Let wet ground show what is above the horizon upside down, smeared, in puddles."""
    height, rows = picture.shape[1], ground.shape[0]
    radius = (0.006 * height, 0.035 * height)
    upper = picture[:, : height - rows + 2 + int(radius[1])]
    seen = Image.fromarray(upper.clip(0, 255).astype(np.uint8).transpose(1, 2, 0).copy())
    smeared = np.asarray(seen.filter(ImageFilter.BoxBlur(radius))).transpose(2, 0, 1)
    opposite = 2 * stage.camera.horizon * height - np.arange(height - rows, height)
    image = smeared.astype(np.float32)[:, opposite.clip(0, height - rows).astype(np.intp)]
    places = slice(height - rows, None)
    puddles = 0.7 + 0.35 * clouds((height, picture.shape[2]), (22, 6), rng, places)
    part = picture[:, places]
    part += stage.light.wet * ground * puddles.clip(0.15, 1.1) * (image - part)


def paint_sky(stage: Stage, rows: int, rng: np.random.Generator) -> Pixels:
    """The sky's upper rows (3, rows, W): a gradient, clouds, the sun and its halo, or stars."""
    height, width = stage.size
    light, horizon = stage.light, stage.camera.horizon
    rise = 1 - (np.arange(rows, dtype=np.float32) + 0.5) / (height * horizon)
    low, high = tint(light.horizon), tint(light.zenith)
    sky = (low + (high - low) * (rise.clip(0, 1) ** 0.7)[:, None]).repeat(width, axis=2)
    if light.clouds:
        sky += cloud_cover(stage.size, rows, light.clouds, rng) * (cloud_color(light) - sky)
    if light.weather == "clear":
        add_sun(sky, stage)
    if light.weather == "night":
        add_stars(sky, stage, rng)
    return sky


def cloud_color(light: Light) -> Pixels:
    """(3, 1, 1): nearly white by day, and in the color of the horizon at night and in rain."""
    low, high = tint(light.horizon), tint(light.zenith)
    if light.weather == "clear":
        return np.minimum(0.5 * low + 0.1 * high + 108, 252)
    return 0.86 * low


def add_stars(sky: Pixels, stage: Stage, rng: np.random.Generator) -> None:
    """Scatter stars, and a moon where there is room for it."""
    height, width = stage.size
    scale = height / 96
    places = rng.random((120, 2)) * (stage.camera.horizon * 96, 128 * width / height * 0.75)
    pen_rows, pen_columns = (places * scale).astype(np.intp).T
    inside = (pen_rows < sky.shape[1]) & (pen_columns < width)
    sky[:, pen_rows[inside], pen_columns[inside]] += rng.uniform(30, 130, 120)[inside]
    v, u = rng.uniform(0.04, 0.2), rng.uniform(0.1, 0.9) * width / height
    down = (np.arange(sky.shape[1]) + 0.5) / height - v
    across = (np.arange(width) + 0.5) / height - u
    far2 = (down[:, None] ** 2 + across[None] ** 2).astype(np.float32)
    disc = ((0.024 - np.sqrt(far2)) * height).clip(0, 1) + 0.25 * np.exp(-far2 / 0.006)
    sky += disc.clip(0, 1) * (tint((240, 236, 216)) - sky)


def cloud_cover(
    size: tuple[int, int], rows: int, amount: float, rng: np.random.Generator
) -> Pixels:
    """How much of each pixel of the upper rows (rows, W) clouds cover, 0-1."""
    upper = slice(0, rows)
    field = clouds(size, (9, 3), rng, upper) + 0.5 * clouds(size, (22, 9), rng, upper)
    field += 0.25 * clouds(size, (56, 28), rng, upper)
    return ((field + 2.4 * amount - 1.5) * 0.7).clip(0, 0.92)


def add_sun(sky: Pixels, stage: Stage) -> None:
    """Brighten the sky around the sun, when the camera looks toward it."""
    x, y, z = stage.light.sun
    if z < 0.1 or stage.light.clouds > 0.7:
        return
    height, width = stage.size
    camera = stage.camera
    u = 0.5 * width / height + camera.shift + camera.focal * x / z
    v = camera.horizon - camera.focal * y / z
    across = (np.arange(width, dtype=np.float32) + 0.5) / height - u
    down = (np.arange(sky.shape[1], dtype=np.float32) + 0.5) / height - v
    far2 = down[:, None] ** 2 + across[None] ** 2
    halo = 0.5 / (1 + far2 / 0.05) + 0.5 / (1 + (far2 / 0.0022) ** 2)
    sky += halo * (tint((255, 246, 220)) - sky)


def add_glow(picture: Pixels, stage: Stage) -> None:
    """Add the lamps' halos, and below each the streak of light that wet ground throws back."""
    if not stage.lamps:
        return
    heads = np.array([lamp.place for lamp in stage.lamps])
    places = stage.project(heads).tolist()
    feet = stage.project(heads * (1, 0, 1))[:, 1].tolist()
    for lamp, (u, v), foot in zip(stage.lamps, places, feet, strict=True):
        size = max(lamp.radius * stage.camera.focal / lamp.place[2], 0.01) * stage.size[0]
        light = tint(lamp.color) * stage.light.lamps
        add_spot(picture, (u, v), (size, size), 0.42 * light)
        add_spot(picture, (u, v), (0.3 * size, 0.3 * size), 0.5 * light)
        if stage.light.wet:
            below, streak = (u, 2 * foot - v), (0.45 * size, 2.4 * size)
            add_spot(picture, below, streak, 0.6 * stage.light.wet * light)


def add_spot(
    picture: Pixels, center: tuple[float, float], spread: tuple[float, float], light: Pixels
) -> None:
    """Add a bell-shaped spot of light; center and spread are (right, down) in pixels."""
    spans, bells = [], []
    for middle, width, count in zip(center, spread, picture.shape[:0:-1], strict=True):
        start, stop = max(int(middle - 2.2 * width), 0), min(int(middle + 2.2 * width) + 2, count)
        if stop <= start:
            return
        offset = np.arange(start, stop, dtype=np.float32) + (0.5 - middle)
        spans.append(slice(start, stop))
        bells.append(np.exp(-((offset / width) ** 2)))
    picture[:, spans[1], spans[0]] += bells[1][:, None] * bells[0] * light


def add_streaks(picture: Pixels, rng: np.random.Generator) -> None:
    """Draw falling rain: thin slanted streaks, brighter than what is behind them."""
    height, width = picture.shape[1:]
    sheet = Image.new("L", (2 * width, 2 * height))
    pen = ImageDraw.Draw(sheet)
    slant = rng.uniform(-0.25, 0.25)
    count = int(90 * width / height)
    starts = rng.random((count, 3))
    for u, v, size in starts.tolist():
        x, y, fall = u * 2 * width, (v * 1.1 - 0.1) * 2 * height, (0.03 + 0.05 * size) * 2 * height
        pen.line(
            (x, y, x + slant * fall, y + fall), fill=int(60 + 60 * size), width=max(1, height // 96)
        )
    veil = np.asarray(sheet.reduce(2)).astype(np.float32) / 255
    picture += veil * (215 - picture)


def expose(picture: Pixels, light: Light, rng: np.random.Generator) -> NDArray[np.uint8]:
    """White balance, exposure, darker corners and noise, then whole numbers 0-255."""
    height, width = picture.shape[1:]
    warmth, green = rng.uniform(-0.05, 0.05), rng.uniform(-0.015, 0.015)
    cast = tint((1 + warmth, 1 + green, 1 - warmth)) * rng.uniform(0.94, 1.10)
    down = np.linspace(-1, 1, height, dtype=np.float32) ** 2
    across = np.linspace(-1, 1, width, dtype=np.float32) ** 2
    picture *= (1 - 0.05 * (down[:, None] + across)) * cast.astype(np.float32)
    picture += (GRAIN * light.noise)[rng.integers(0, 256, picture.shape, dtype=np.uint8)]
    return picture.clip(0, 255).astype(np.uint8)


def _bell() -> Pixels:
    quantiles = np.array([NormalDist().inv_cdf((k + 0.5) / 256) for k in range(256)])
    return (quantiles / quantiles.std()).astype(np.float32)


GRAIN = _bell()
"""Noise of deviation 1, normally distributed, for each value of a random byte."""
