"""From the drawn sheet to a photograph: sky, texture, shadow, haze, rain, glow, sensor noise."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from segtut.data.drawing.light import Light
from segtut.data.drawing.stage import OVERSAMPLING, PAVEMENT, ROAD, SKY, Camera, Lamp, Stage

Pixels = NDArray[np.floating]
"""Single precision all through; NumPy's stubs lose that in arithmetic."""

TEXTURE = np.array([0.0, 0.035, 0.045, 0.05, 0.13, 0.02, 0.015, 0.03], dtype=np.float32)
"""How strongly the surface of each of the eight classes is mottled."""


def develop(stage: Stage, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The picture, uint8 (H, W, 3), and the labels of the sheet, uint8 (2H, 2W)."""
    sheet = stage.draw()
    labels = np.asarray(sheet)[..., 3]
    picture = np.asarray(sheet.reduce(OVERSAMPLING))[..., :3].astype(np.float32)
    mottle(picture, labels[::OVERSAMPLING, ::OVERSAMPLING], stage.light, rng)
    # Ground and sky are finished apart, each in the rows that can show it.
    horizon = stage.camera.horizon * stage.size[0]
    below, above = slice(int(horizon), None), slice(0, int(1.04 * horizon) + 2)
    ground = share(np.isin(labels[OVERSAMPLING * below.start :], (ROAD, PAVEMENT)))
    shade_ground(picture, stage, ground)
    sky = share(labels[: OVERSAMPLING * above.stop] == SKY)
    picture[above] += sky[..., None] * paint_sky(stage, sky.shape[0], rng)
    if stage.light.wet:
        mirror(picture, stage, ground, rng)
    for lamp in stage.lamps:
        add_glow(picture, stage, lamp)
    if stage.light.weather == "rain":
        add_streaks(picture, rng)
    return expose(picture, stage.light, rng), labels


def share(where: NDArray[np.bool_]) -> Pixels:
    """The share of each pixel, 0-1 (H, W), that is covered by sheet pixels (2H, 2W) so marked."""
    count = where.view(np.uint8)
    rows = count[0::2] + count[1::2]
    return (rows[:, 0::2] + rows[:, 1::2]).astype(np.float32) / 4


def clouds(size: tuple[int, int], cells: tuple[int, int], rng: np.random.Generator) -> Pixels:
    """Smooth noise (H, W), mean 0, on a grid of `cells` (down, across) a picture height."""
    height, width = size
    grid = rng.integers(0, 256, (cells[0], 2 + cells[1] * width // height), dtype=np.uint8)
    smooth = Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)
    return (np.asarray(smooth).astype(np.float32) - 127.5) / 74  # a byte at random deviates by 74


def mottle(
    picture: Pixels, labels: NDArray[np.uint8], light: Light, rng: np.random.Generator
) -> None:
    """Roughen each surface as its class is rough, in contrast to the haze and so less far away."""
    size = (labels.shape[0], labels.shape[1])
    bumps = 0.5 * clouds(size, (30, 30), rng) + 0.8 * clouds(size, (110, 110), rng)
    haze = np.array(light.horizon, dtype=np.float32)
    picture += (picture - haze) * (TEXTURE[labels] * bumps)[..., None]


def shade_ground(picture: Pixels, stage: Stage, ground: Pixels) -> None:
    """Lay shadows on road and pavement, and veil both by the distance of each row.

    ground: its share of each pixel, in the lowest rows of the picture.
    """
    height, rows = picture.shape[0], ground.shape[0]
    blurred = np.asarray(stage.shadows().filter(ImageFilter.BoxBlur(0.008 * height)))
    shade = blurred[height - rows :] * (ground / 255)
    distance = row_distances(height, stage.camera)[height - rows :]
    veil = (1 - np.exp(-stage.light.haze * distance))[:, None] * ground
    part = picture[height - rows :]
    part *= (1 - shade[..., None] * COOL) * (1 - veil)[..., None]
    part += veil[..., None] * np.array(stage.light.horizon, dtype=np.float32)


COOL = np.array([1.05, 1.0, 0.92], dtype=np.float32)
"""Shadows are lit by the sky alone and so a little blue: they take more of the red away."""


def row_distances(height: int, camera: Camera) -> Pixels:
    """Meters to the ground seen in each row (H,), 500 at and above the horizon."""
    down = (np.arange(height, dtype=np.float32) + 0.5) / height - camera.horizon
    return np.minimum(500, camera.focal * camera.height / np.maximum(down, 1e-4))


def mirror(picture: Pixels, stage: Stage, ground: Pixels, rng: np.random.Generator) -> None:
    """Let wet ground show what is above the horizon upside down, smeared, in puddles."""
    height, rows = picture.shape[0], ground.shape[0]
    radius = (0.006 * height, 0.035 * height)
    seen = Image.fromarray(picture.clip(0, 255).astype(np.uint8))
    smeared = np.asarray(seen.filter(ImageFilter.BoxBlur(radius))).astype(np.float32)
    opposite = 2 * stage.camera.horizon * height - np.arange(height - rows, height)
    image = smeared[opposite.clip(0, height - 1).astype(np.intp)]
    puddles = 0.7 + 0.35 * clouds((height, picture.shape[1]), (22, 6), rng)[height - rows :]
    weight = (stage.light.wet * ground * puddles.clip(0.15, 1.1))[..., None]
    part = picture[height - rows :]
    part += weight * (image - part)


def paint_sky(stage: Stage, rows: int, rng: np.random.Generator) -> Pixels:
    """The sky's upper rows (rows, W, 3): a gradient, clouds, the sun and its halo, or stars."""
    height, width = stage.size
    light, horizon = stage.light, stage.camera.horizon
    rise = 1 - (np.arange(rows, dtype=np.float32) + 0.5) / (height * horizon)
    low, high = np.array(light.horizon, np.float32), np.array(light.zenith, np.float32)
    gradient = low + (high - low) * (rise.clip(0, 1) ** 0.7)[:, None]
    sky = gradient[:, None].repeat(width, axis=1)
    if light.clouds:
        sky += cloud_cover((height, width), light.clouds, rng)[:rows] * (cloud_color(light) - sky)
    if light.weather == "clear":
        add_sun(sky, stage)
    if light.weather == "night":
        add_stars(sky, stage, rng)
    return sky


def cloud_color(light: Light) -> Pixels:
    """Nearly white by day, and in the color of the horizon at night and in rain."""
    low, high = np.array(light.horizon, np.float32), np.array(light.zenith, np.float32)
    if light.weather == "clear":
        return np.minimum(0.5 * low + 0.1 * high + 108, 252)
    return 0.86 * low


def add_stars(sky: Pixels, stage: Stage, rng: np.random.Generator) -> None:
    """Scatter stars, and a moon where there is room for it."""
    height, width = stage.size
    scale = height / 96
    places = rng.random((120, 2)) * (stage.camera.horizon * 96, 128 * width / height * 0.75)
    pen_rows, pen_columns = (places * scale).astype(np.intp).T
    inside = (pen_rows < sky.shape[0]) & (pen_columns < width)
    sky[pen_rows[inside], pen_columns[inside]] += rng.uniform(30, 130, 120)[inside, None]
    v, u = rng.uniform(0.04, 0.2), rng.uniform(0.1, 0.9) * width / height
    down = (np.arange(sky.shape[0]) + 0.5) / height - v
    across = (np.arange(width) + 0.5) / height - u
    far2 = (down[:, None] ** 2 + across[None] ** 2).astype(np.float32)
    disc = ((0.024 - np.sqrt(far2)) * height).clip(0, 1) + 0.25 * np.exp(-far2 / 0.006)
    sky += disc.clip(0, 1)[..., None] * (np.array([240, 236, 216], np.float32) - sky)


def cloud_cover(size: tuple[int, int], amount: float, rng: np.random.Generator) -> Pixels:
    """How much of each pixel (H, W, 1) clouds cover, 0-1."""
    field = clouds(size, (9, 3), rng) + 0.5 * clouds(size, (22, 9), rng)
    field += 0.25 * clouds(size, (56, 28), rng)
    return ((field + 2.4 * amount - 1.5) * 0.7).clip(0, 0.92)[..., None]


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
    down = (np.arange(sky.shape[0], dtype=np.float32) + 0.5) / height - v
    far2 = down[:, None] ** 2 + across[None] ** 2
    halo = 0.5 / (1 + far2 / 0.05) + 0.5 / (1 + (far2 / 0.0022) ** 2)
    sky += halo[..., None] * (np.array([255, 246, 220], dtype=np.float32) - sky)


def add_glow(picture: Pixels, stage: Stage, lamp: Lamp) -> None:
    """Add a lamp's halo, and below it the streak of light that wet ground throws back."""
    height = stage.size[0]
    x, _, z = lamp.place
    (u, v), (_, foot) = stage.project(np.array([lamp.place, (x, 0.0, z)])).tolist()
    size = max(lamp.radius * stage.camera.focal / z, 0.01) * height
    tint = np.array(lamp.color, dtype=np.float32) * stage.light.lamps
    add_spot(picture, (u, v), (size, size), 0.42 * tint)
    add_spot(picture, (u, v), (0.3 * size, 0.3 * size), 0.5 * tint)
    if stage.light.wet:
        add_spot(
            picture, (u, 2 * foot - v), (0.45 * size, 2.4 * size), 0.6 * stage.light.wet * tint
        )


def add_spot(
    picture: Pixels, center: tuple[float, float], spread: tuple[float, float], tint: Pixels
) -> None:
    """Add a bell-shaped spot of light; center and spread are (right, down) in pixels."""
    reach = 2.2
    spans = []
    for middle, width, count in zip(center, spread, picture.shape[1::-1], strict=True):
        start, stop = int(middle - reach * width), int(middle + reach * width) + 2
        spans.append(np.arange(max(start, 0), min(stop, count)))
    across, down = (
        np.exp(-(((span + 0.5 - middle) / width) ** 2)).astype(np.float32)
        for span, middle, width in zip(spans, center, spread, strict=True)
    )
    if across.size and down.size:
        box = np.s_[spans[1][0] : spans[1][-1] + 1, spans[0][0] : spans[0][-1] + 1]
        picture[box] += (down[:, None] * across)[..., None] * tint


def add_streaks(picture: Pixels, rng: np.random.Generator) -> None:
    """Draw falling rain: thin slanted streaks, brighter than what is behind them."""
    height, width = picture.shape[:2]
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
    veil = np.asarray(sheet.reduce(2)).astype(np.float32)[..., None] / 255
    picture += veil * (215 - picture)


def expose(picture: Pixels, light: Light, rng: np.random.Generator) -> NDArray[np.uint8]:
    """White balance, exposure, darker corners and noise, then whole numbers 0-255."""
    height, width = picture.shape[:2]
    warmth, green = rng.uniform(-0.05, 0.05), rng.uniform(-0.015, 0.015)
    cast = np.array([1 + warmth, 1 + green, 1 - warmth]) * rng.uniform(0.94, 1.10)
    down = np.linspace(-1, 1, height, dtype=np.float32) ** 2
    across = np.linspace(-1, 1, width, dtype=np.float32) ** 2
    corners = 1 - 0.05 * (down[:, None] + across[None])
    picture *= corners[..., None] * cast.astype(np.float32)
    grain = rng.integers(0, 256, (2, *picture.shape), dtype=np.uint8).astype(np.float32)
    picture += (grain[0] - grain[1]) * (light.noise / 104.5)  # their difference deviates by 104.5
    return picture.clip(0, 255).astype(np.uint8)
