"""Daylight, dusk, fog, night and rain: where light comes from and what the air does to it."""

import math
import random
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Color = tuple[float, float, float]
"""Red, green, blue, each 0-255."""

Facing = Literal["left", "right", "front", "up", "ground", "glow"]
"""The way a surface looks: to -x, to +x, to the camera, to the sky; or it shines by itself."""

FACINGS: dict[Facing, int] = {facing: row for row, facing in enumerate(get_args(Facing))}
"""The row of each facing in `Light.factors`."""

WEATHERS = ("clear", "fog", "night", "rain")


@dataclass(frozen=True)
class Light:
    """All that tints a scene.

    sun: unit vector toward the sun; ambient, direct: share of a color that skylight and sunlight
    give back (one number a channel); zenith, horizon: colors of the sky; haze: extinction a meter;
    clouds: how much of the sky they cover, 0-1; shadow: darkness of cast shadows, 0-1; wet: how
    much the ground mirrors, 0-1; lamps: brightness of lit windows and lamps, 0-1;
    noise: standard deviation of the sensor's noise.
    """

    weather: str
    sun: tuple[float, float, float]
    ambient: Color
    direct: Color
    zenith: Color
    horizon: Color
    haze: float
    clouds: float
    shadow: float
    wet: float
    lamps: float
    noise: float

    def factors(self) -> NDArray[np.float64]:
        """What a white surface that faces each way gives back, (6, 3), a row for each."""
        x, y, z = self.sun
        sunlit = np.maximum(0.0, (-x, x, -z, y, y))[:, None]
        lit = np.array(self.ambient) + np.array(self.direct) * sunlit
        return np.concatenate((lit, np.ones((1, 3))))

    def on(
        self, colors: NDArray[np.float64], facings: NDArray[np.int64], z: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """How surfaces of colors (N, 3), z meters away (N,), look: whole numbers 0-255.

        The ground keeps clear, since its haze differs from row to row and is added at the finish.
        """
        clear = np.exp(-self.haze * z)[:, None]
        clear[facings == FACINGS["ground"]] = 1
        seen = colors * self.factors()[facings] * clear + np.array(self.horizon) * (1 - clear)
        return np.clip(seen, 0, 255).astype(np.int64)


def draw_light(rng: random.Random, weather: str) -> Light:
    """A random light for one of WEATHERS."""
    moods = {"fog": _fog, "night": _night, "rain": _rain}
    if weather in moods:
        return moods[weather](rng)
    return rng.choices((_sunny, _overcast, _evening), weights=(5, 3, 2))[0](rng)


def _sun(rng: random.Random, lowest: float, highest: float) -> tuple[float, float, float]:
    """A unit vector toward a sun between two elevations, in degrees, often from behind."""
    elevation = math.radians(rng.uniform(lowest, highest))
    azimuth = rng.uniform(-math.pi, math.pi)
    flat = math.cos(elevation)
    return flat * math.sin(azimuth), math.sin(elevation), -flat * math.cos(azimuth)


def _tint(rng: random.Random, color: Color, spread: float) -> Color:
    """The color made darker or lighter as a whole, and each channel a little on its own."""
    whole = rng.uniform(1 - spread, 1 + spread)
    r, g, b = (c * whole * rng.uniform(1 - spread / 4, 1 + spread / 4) for c in color)
    return r, g, b


def _sunny(rng: random.Random) -> Light:
    return Light(
        weather="clear",
        sun=_sun(rng, 25, 60),
        ambient=_tint(rng, (0.72, 0.76, 0.83), 0.06),
        direct=_tint(rng, (0.58, 0.52, 0.38), 0.08),
        zenith=_tint(rng, (96, 156, 226), 0.12),
        horizon=_tint(rng, (206, 228, 240), 0.05),
        haze=rng.uniform(0.002, 0.007),
        clouds=rng.choice((0.0, 0.2, 0.35, 0.5)),
        shadow=rng.uniform(0.32, 0.44),
        wet=0.0,
        lamps=0.0,
        noise=rng.uniform(1.5, 5),
    )


def _overcast(rng: random.Random) -> Light:
    gray = _tint(rng, (196, 202, 208), 0.14)
    return Light(
        weather="clear",
        sun=_sun(rng, 50, 70),
        ambient=_tint(rng, (0.95, 0.96, 0.98), 0.06),
        direct=(0.10, 0.10, 0.09),
        zenith=_tint(rng, gray, 0.12),
        horizon=_tint(rng, gray, 0.06),
        haze=rng.uniform(0.004, 0.011),
        clouds=rng.uniform(0.5, 0.9),
        shadow=0.10,
        wet=0.0,
        lamps=0.0,
        noise=rng.uniform(2, 6),
    )


def _evening(rng: random.Random) -> Light:
    return Light(
        weather="clear",
        sun=_sun(rng, 9, 20),
        ambient=_tint(rng, (0.70, 0.62, 0.66), 0.08),
        direct=_tint(rng, (0.70, 0.46, 0.26), 0.08),
        zenith=_tint(rng, (92, 112, 172), 0.14),
        horizon=_tint(rng, (250, 196, 142), 0.06),
        haze=rng.uniform(0.004, 0.010),
        clouds=rng.uniform(0.1, 0.6),
        shadow=rng.uniform(0.30, 0.42),
        wet=0.0,
        lamps=0.25,
        noise=rng.uniform(2, 6),
    )


def _fog(rng: random.Random) -> Light:
    gray = _tint(rng, (204, 207, 210), 0.10)
    return Light(
        weather="fog",
        sun=_sun(rng, 50, 70),
        ambient=_tint(rng, (0.92, 0.93, 0.95), 0.06),
        direct=(0.06, 0.06, 0.06),
        zenith=_tint(rng, gray, 0.04),
        horizon=gray,
        haze=rng.uniform(0.022, 0.045),
        clouds=0.0,
        shadow=0.08,
        wet=0.0,
        lamps=0.35,
        noise=rng.uniform(2, 6),
    )


def _night(rng: random.Random) -> Light:
    return Light(
        weather="night",
        sun=_sun(rng, 40, 70),
        ambient=_tint(rng, (0.36, 0.38, 0.50), 0.12),
        direct=_tint(rng, (0.05, 0.06, 0.10), 0.10),
        zenith=_tint(rng, (14, 22, 54), 0.22),
        horizon=_tint(rng, (56, 60, 98), 0.15),
        haze=rng.uniform(0.004, 0.009),
        clouds=rng.uniform(0.0, 0.3),
        shadow=0.12,
        wet=rng.choice((0.0, 0.0, 0.35)),
        lamps=1.0,
        noise=rng.uniform(3, 7),
    )


def _rain(rng: random.Random) -> Light:
    gray = _tint(rng, (142, 150, 160), 0.14)
    return Light(
        weather="rain",
        sun=_sun(rng, 50, 70),
        ambient=_tint(rng, (0.74, 0.77, 0.82), 0.08),
        direct=(0.04, 0.04, 0.04),
        zenith=_tint(rng, gray, 0.12),
        horizon=gray,
        haze=rng.uniform(0.010, 0.020),
        clouds=rng.uniform(0.6, 0.9),
        shadow=0.14,
        wet=rng.uniform(0.45, 0.7),
        lamps=0.55,
        noise=rng.uniform(4, 9),
    )
