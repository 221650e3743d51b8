"""A whole street scene: plan it, then draw it from far to near."""

import random
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from segtut.data.drawing.finish import develop
from segtut.data.drawing.light import WEATHERS, draw_light
from segtut.data.drawing.stage import Camera, Stage
from segtut.data.drawing.street import (
    Street,
    branch,
    draw_ground,
    draw_plots,
    draw_tree,
    plan_street,
)
from segtut.data.drawing.traffic import (
    Pose,
    draw_car,
    draw_lamp_post,
    draw_person,
    draw_sign,
    draw_traffic_light,
)

Actor = tuple[float, Callable[[], None]]
"""How far away something is, in meters, and the call that draws it."""


def draw_scene(
    seed: str, size: tuple[int, int], weather: str, crowding: float
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A picture, uint8 (H, W, 3), and the eight-class labels of its sheet, uint8 (2H, 2W).

    What stands where depends on the seed and the crowding alone. The size decides how finely it is
    drawn and how much is seen at the sides; the weather changes the light, and opens umbrellas.
    """
    return develop(*compose_scene(seed, size, weather, crowding))


def draw_scene_numbers(
    seed: str, size: tuple[int, int], weather: str, crowding: float
) -> NDArray[np.uint8]:
    """The number of the thing in each pixel of the sheet of `draw_scene`, uint8 (2H, 2W).

    0 is stuff. Numbers count from far to near, so of two things the one drawn over the other has
    the higher number; at most 22 poles, 11 cars and 17 people make numbers up to 50.
    """
    stage, _ = compose_scene(seed, size, weather, crowding)
    return np.asarray(stage.draw_numbers())


def compose_scene(
    seed: str, size: tuple[int, int], weather: str, crowding: float
) -> tuple[Stage, np.random.Generator]:
    """The shapes of a scene, from far to near, and the generator to finish the picture with."""
    rng, sky = random.Random(seed), random.Random(f"{seed} sky")
    if weather == "mixed":
        weather = sky.choices(WEATHERS, weights=(4, 2, 2, 2))[0]
    street = plan_street(rng)
    stage = Stage(size, draw_camera(rng, street), draw_light(sky, weather))
    draw_ground(stage, rng, street)
    draw_plots(stage, rng, street)
    actors = [
        *plan_pavements(stage, rng, street, crowding),
        *plan_road(stage, rng, street, crowding),
    ]
    for _, draw in sorted(actors, key=lambda actor: -actor[0]):
        stage.begin()
        draw()
    return stage, np.random.default_rng(rng.getrandbits(64))


def draw_camera(rng: random.Random, street: Street) -> Camera:
    """Somewhere over the road, at the height of a driver's or a walker's eyes."""
    return Camera(
        x=rng.uniform(-1.15, 1.15) * street.road,
        height=rng.uniform(1.4, 2.3),
        focal=rng.uniform(0.95, 1.25),
        horizon=rng.uniform(0.44, 0.57),
        shift=rng.uniform(-0.2, 0.2),
    )


def some(rng: random.Random, mean: float) -> int:
    """A whole number near `mean`, which it has on average."""
    return max(0, int(mean * rng.uniform(0.4, 1.6) + rng.random()))


def plan_pavements(
    stage: Stage, rng: random.Random, street: Street, crowding: float
) -> Iterator[Actor]:
    """Trees and poles in the line by the kerb, people behind it and on the zebra crossing."""
    start, stop = street.junction or (0.0, 0.0)
    spots = [(side, z) for side in (-1, 1) for z in np.arange(6.0, 44.0, 3.2).tolist()]
    spots = [spot for spot in spots if not start - 1 < spot[1] < stop + 1]
    rng.shuffle(spots)
    posts = [draw_lamp_post, draw_sign, draw_traffic_light if street.junction else draw_sign]
    kinds = [draw_tree] * some(rng, 3.2 * min(crowding, 2)) + rng.choices(
        posts, k=some(rng, 3.4 * crowding)
    )
    for (side, z), draw in zip(spots, kinds, strict=False):
        reach = 26.0 if draw is not draw_tree else 44.0
        z = 6 + (z - 6) * (reach - 6) / 38 + rng.uniform(-0.8, 0.8)
        x = side * (street.road + rng.uniform(0.5, 0.8))
        yield z, partial(draw, stage, branch(rng), x, z)
    for _ in range(some(rng, 2.6 * crowding)):
        z = rng.uniform(4.6, 7.4)
        x = rng.choice((-1, 1)) * (street.road + rng.uniform(0.9, street.pavement - 0.4))
        if street.zebra and street.zebra > 6 and rng.random() < 0.35:
            z, x = street.zebra + rng.uniform(0.5, 2.5), rng.uniform(-1, 1) * street.road
        if not start < z < stop:
            yield z, partial(draw_person, stage, branch(rng), x, z)


def plan_road(stage: Stage, rng: random.Random, street: Street, crowding: float) -> Iterator[Actor]:
    """Cars along the kerbs, in both lanes and, at a junction, across."""
    start, stop = street.junction or (0.0, 0.0)
    spots = [(ahead, z) for ahead in (-1.0, 1.0) for z in (8.0, 13.5, 19.0, 24.5, 30.0)]
    rng.shuffle(spots)
    for ahead, z in spots[: some(rng, 3.6 * crowding)]:
        parked = rng.random() < 0.5
        x = ahead * (street.road - 1.05 if parked else 0.45 * street.road)
        z += rng.uniform(-0.4, 0.4) + (3.0 if z < 9 and abs(x - stage.camera.x) < 1.2 else 0.0)
        if z + 5 > start and z < stop:
            continue
        pose = Pose(x, z if ahead > 0 else z + 4.3, (0.0, ahead))
        yield z, partial(draw_car, stage, branch(rng), pose, parked)
    if street.junction and rng.random() < 0.6:
        ahead, z = rng.choice((-1.0, 1.0)), (start + stop) / 2
        pose = Pose(rng.uniform(-5, 5) - 2 * ahead, z, (ahead, 0.0))
        yield z - 0.9, partial(draw_car, stage, branch(rng), pose, False)
