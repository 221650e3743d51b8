"""From the drawn sheet to a photograph: sky, texture, shadow, haze, rain, glow, sensor noise."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from segtut.data.drawing.light import Light
from segtut.data.drawing.stage import OVERSAMPLING, PAVEMENT, ROAD, SKY, Camera, Stage

Pixels = NDArray[np.float32]

TEXTURE = np.array([0.0, 0.05, 0.06, 0.06, 0.20, 0.02, 0.02, 0.05], dtype=np.float32)
"""How strongly the surface of each of the eight classes is mottled."""


def develop(stage: Stage, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The picture, uint8 (H, W, 3), and the labels of the sheet, uint8 (2H, 2W)."""
    labels = np.asarray(stage.sheet)[..., 3]
    picture = np.asarray(stage.sheet.reduce(OVERSAMPLING))[..., :3].astype(np.float32)
    sky = share(labels == SKY)
    ground = share((labels == ROAD) | (labels == PAVEMENT))
    picture *= texture(labels[::OVERSAMPLING, ::OVERSAMPLING], rng)
    shade_ground(picture, stage, ground)
    if stage.light.wet:
        mirror(picture, stage, ground, rng)
    picture += sky[..., None] * paint_sky(stage, rng)
    for lamp in stage.lamps:
        add_glow(picture, stage, lamp.place, lamp.radius, lamp.color)
    if stage.light.weather == "rain":
        add_streaks(picture, rng)
    return expose(picture, stage.light, rng), labels


def share(where: NDArray[np.bool_]) -> Pixels:
    """The share of each pixel, 0-1 (H, W), that is covered by sheet pixels (2H, 2W) so marked."""
    count = where.view(np.uint8)
    rows = count[0::2] + count[1::2]
    return (rows[:, 0::2] + rows[:, 1::2]).astype(np.float32) / 4


def clouds(size: tuple[int, int], cells: int, rng: np.random.Generator) -> Pixels:
    """Smooth noise (H, W) of about `cells` bumps from top to bottom, mean 0 and deviation near 1."""
    height, width = size
    grid = rng.standard_normal((cells, max(2, round(cells * width / height))), dtype=np.float32)
    return np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC))


def texture(labels: NDArray[np.uint8], rng: np.random.Generator) -> Pixels:
    """Factors near 1 (H, W, 1) that mottle surfaces, each class as strongly as it is rough."""
    size = (labels.shape[0], labels.shape[1])
    bumps = 0.5 * clouds(size, 14, rng) + 0.6 * clouds(size, 72, rng) + 0.5 * clouds(size, 180, rng)
    return (1 + TEXTURE[labels] * bumps)[..., None]


def shade_ground(picture: Pixels, stage: Stage, ground: Pixels) -> None:
    """Lay shadows on road and pavement, and veil both by the distance of each row."""
    height = picture.shape[0]
    blurred = stage.shadows().filter(ImageFilter.GaussianBlur(0.006 * height))
    shade = np.asarray(blurred).astype(np.float32) * (ground / 255)
    picture *= (
        (1 - shade)[..., None] if stage.light.weather != "clear" else 1 - shade[..., None] * COOL
    )
    clear = np.exp(-stage.light.haze * row_distances(height, stage.camera))
    veil = (1 - clear)[:, None] * ground
    picture *= (1 - veil)[..., None]
    picture += veil[..., None] * np.array(stage.light.horizon, dtype=np.float32)


COOL = np.array([1.06, 1.0, 0.90], dtype=np.float32)
"""Shadows under an open sky are a little blue: they take more of the red away."""


def row_distances(height: int, camera: Camera) -> Pixels:
    """Meters to the ground seen in each row (H,), 500 at and above the horizon."""
    below = (np.arange(height, dtype=np.float32) + 0.5) / height - camera.horizon
    return np.minimum(500, camera.focal * camera.height / np.maximum(below, 1e-4))


def mirror(picture: Pixels, stage: Stage, ground: Pixels, rng: np.random.Generator) -> None:
    """Let wet ground show the scene above the horizon upside down, broken by ripples."""
    height, width = ground.shape
    rows = np.arange(height)
    horizon = stage.camera.horizon * height
    above = np.clip(2 * horizon - rows, 0, height - 1).astype(np.intp)
    bright = picture + 0.0
    empty = bright.sum(axis=2, keepdims=True) < 1
    bright = np.where(empty, np.array(stage.light.horizon, dtype=np.float32), bright)
    smeared = np.asarray(
        Image.fromarray(bright.clip(0, 255).astype(np.uint8)).filter(
            ImageFilter.BoxBlur((0.004 * height, 0.03 * height))
        )
    ).astype(np.float32)
    puddles = np.clip(0.62 + 0.45 * clouds((height, width), 9, rng), 0.1, 1.0)
    weight = (stage.light.wet * ground * puddles * (rows > horizon)[:, None])[..., None]
    picture += weight * (smeared[above] - picture)


def paint_sky(stage: Stage, rng: np.random.Generator) -> Pixels:
    """The whole sky (H, W, 3): a gradient, the sun and its halo, clouds that crowd at the horizon."""
    height, width = stage.size
    light, camera = stage.light, stage.camera
    rise = np.clip(
        1 - (np.arange(height, dtype=np.float32) + 0.5) / (height * camera.horizon), 0, 1
    )
    low, high = np.array(light.horizon, np.float32), np.array(light.zenith, np.float32)
    sky = (low + (high - low) * (rise**0.7)[:, None])[:, None].repeat(width, axis=1)
    if light.clouds:
        cover = cloud_cover((height, width), rise, light.clouds, rng)
        tone = (
            np.minimum(low * 0.5 + high * 0.1 + 108, 252)
            if light.weather == "clear"
            else low * 0.86
        )
        sky += cover[..., None] * (tone - sky)
    if light.weather == "clear":
        add_sun(sky, stage)
    if light.weather == "night":
        stars = rng.random((height, width)) < 0.0012
        sky[stars] += 120
    return sky


def cloud_cover(
    size: tuple[int, int], rise: Pixels, amount: float, rng: np.random.Generator
) -> Pixels:
    """How much of each pixel (H, W) clouds cover, 0-1."""
    height = size[0]
    field = clouds(size, 5, rng) + 0.55 * clouds(size, 12, rng) + 0.3 * clouds(size, 30, rng)
    depth = np.clip(height * 0.9 / (1 + 3.2 * rise), 0, height - 1).astype(np.intp)
    return np.clip((field[depth] + 3.0 * amount - 1.5) * 0.8, 0, 1) * 0.9


def add_sun(sky: Pixels, stage: Stage) -> None:
    """Brighten the sky around the sun, when the camera looks toward it."""
    x, y, z = stage.light.sun
    if z <= 0.05 or stage.light.clouds > 0.7:
        return
    height, width = stage.size
    camera = stage.camera
    u = (0.5 * width / height + camera.shift + camera.focal * x / z) * height
    v = (camera.horizon - camera.focal * y / z) * height
    across, down = (np.arange(width) + 0.5 - u) / height, (np.arange(height) + 0.5 - v) / height
    far2 = (down[:, None] ** 2 + across[None] ** 2).astype(np.float32)
    warm = np.array([255, 244, 214], dtype=np.float32)
    for strength, spread in ((0.45, 0.10), (0.5, 0.012), (1.0, 0.0012)):
        halo = strength * np.exp(-far2 / spread)
        sky += halo[..., None] * (warm - sky)


def add_glow(
    picture: Pixels,
    stage: Stage,
    place: tuple[float, float, float],
    radius: float,
    color: tuple[float, float, float],
) -> None:
    """Add a lamp's halo, and below it the streak of light that wet ground throws back."""
    height, width = stage.size
    x, y = (value / OVERSAMPLING for value in stage.project(place))
    foot = stage.project((place[0], 0.0, place[2]))[1] / OVERSAMPLING
    size = max(radius * stage.camera.focal / place[2], 0.008) * height
    tint = np.array(color, dtype=np.float32) * stage.light.lamps
    spots = [(y, size, size, 0.7), (y, size * 0.3, size * 0.3, 0.6)]
    if stage.light.wet:
        spots.append((2 * foot - y, size * 0.5, size * 2.4, 0.5 * stage.light.wet))
    for middle, a, b, strength in spots:
        across = np.exp(-(((np.arange(width, dtype=np.float32) + 0.5 - x) / a) ** 2))
        down = strength * np.exp(-(((np.arange(height, dtype=np.float32) + 0.5 - middle) / b) ** 2))
        rows, columns = np.flatnonzero(down > 0.01), np.flatnonzero(across > 0.01)
        if rows.size and columns.size:
            spot = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            halo = down[rows[0] : rows[-1] + 1, None] * across[None, columns[0] : columns[-1] + 1]
            picture[spot] += halo[..., None] * tint


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
    cast = (1 + rng.uniform(-0.05, 0.05, 3)) * rng.uniform(0.90, 1.08)
    down = np.linspace(-1, 1, height, dtype=np.float32) ** 2
    across = np.linspace(-1, 1, width, dtype=np.float32) ** 2
    corners = 1 - 0.07 * (down[:, None] + across[None])
    picture *= corners[..., None] * cast.astype(np.float32)
    picture += light.noise * rng.standard_normal(picture.shape, dtype=np.float32)
    return picture.clip(0, 255).astype(np.uint8)
