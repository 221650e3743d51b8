import hashlib
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segtut.data.drawing import scene
from segtut.data.drawing.light import Light
from segtut.data.drawing.scene import draw_scene
from segtut.data.drawing.stage import BUILDING, CAR, PERSON, POLE, SKY, Camera, Cover, Stage
from segtut.data.palette import STREETS_PALETTE, colorize
from segtut.data.streets import CLASSES, MERGES, Streets, draw_street, draw_strip, outline
from segtut.metrics import ConfusionMatrix

WEATHERS = ("clear", "fog", "night", "rain")


def equal(a: tuple[torch.Tensor, ...], b: tuple[torch.Tensor, ...]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.fixture(scope="module")
def streets() -> Streets:
    return Streets("train", n=60)


def test_a_sample_keeps_the_contract(streets: Streets) -> None:
    image, labels = streets[0]
    assert (image.shape, image.dtype) == ((3, 96, 128), torch.uint8)
    assert (labels.shape, labels.dtype) == ((96, 128), torch.int64)
    assert type(image).__name__ == "Image"
    assert type(labels).__name__ == "Mask"
    assert len(streets) == 60
    assert streets.num_classes == len(streets.palette) == 8
    assert streets.name(17) == "streets-train-000017"


def test_a_sample_depends_on_seed_split_and_index_alone(streets: Streets) -> None:
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    assert equal(Streets("train", n=18)[17], streets[17])
    assert equal(streets[-43], streets[17])


ELSEWHERE = """
import hashlib, random, sys, types
# The packages without their __init__, which would spend seconds on importing torch.
for name, folder in (("segtut", sys.argv[1]), ("segtut.data", sys.argv[1] + "/data")):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [folder]
from segtut.data.drawing.scene import draw_scene
random.seed(3)
picture, sheet = draw_scene("street 7", (96, 128), "rain", 1.0)
print(hashlib.sha256(picture.tobytes() + sheet.tobytes()).hexdigest())
"""


def test_another_process_draws_the_same_bits() -> None:
    picture, sheet = draw_scene("street 7", (96, 128), "rain", 1.0)
    expected = hashlib.sha256(picture.tobytes() + sheet.tobytes()).hexdigest()
    folder = Path(scene.__file__).parents[2]
    command = [sys.executable, "-c", ELSEWHERE, str(folder)]
    environment = os.environ | {"PYTHONHASHSEED": "42"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected


def test_splits_seeds_and_samples_share_no_scene(streets: Streets) -> None:
    others = [Streets(split, n=8) for split in ("val", "test")] + [Streets("train", 8, seed=1)]
    pictures = [
        data[i][0].numpy().tobytes() for data in (streets, *others) for i in range(len(data))
    ]
    assert len(set(pictures)) == 60 + 3 * 8


def test_what_is_returned_can_be_changed(streets: Streets) -> None:
    image, labels = streets[3]
    before = image.clone(), labels.clone()
    image.zero_()
    labels.zero_()
    assert equal(streets[3], before)


def test_an_index_past_the_end_is_an_error(streets: Streets) -> None:
    with pytest.raises(IndexError):
        streets[60]


def test_a_polygon_lands_where_a_pinhole_camera_sees_it() -> None:
    # A wall 4 m wide and 3 m high, 10 m ahead of a camera 1 m above the ground, focal length one
    # picture height: 0.1 m is one of the 100 rows, so it fills columns 60 to 100 and rows 30 to 60.
    camera = Camera(x=0.0, height=1.0, focal=1.0, horizon=0.5, shift=0.0)
    stage = Stage((100, 200), camera, flat_light())
    corners = [(-4.0, 0.0, 10.0), (0.0, 0.0, 10.0), (0.0, 3.0, 10.0), (-4.0, 3.0, 10.0)]
    stage.polygon(corners, (200, 100, 50), BUILDING)
    sheet = np.asarray(stage.draw())
    rows, columns = np.nonzero(sheet[..., 3] == BUILDING)
    # Pillow fills the sheet pixels that the far edges touch: half a pixel of the picture.
    assert (rows.min(), rows.max()) == (60, 120)
    assert (columns.min(), columns.max()) == (120, 200)
    assert (sheet[60:120, 120:200] == (200, 100, 50, BUILDING)).all()


def flat_light() -> Light:
    dark, white = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    sky = (0.0, 0.0, 0.0)
    return Light("clear", (0.0, 1.0, 0.0), white, dark, sky, sky, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def test_color_and_label_change_in_the_same_pixels() -> None:
    camera = Camera(x=0.0, height=1.0, focal=1.0, horizon=0.5, shift=0.0)
    stage = Stage((48, 64), camera, flat_light())
    rng = np.random.default_rng(0)
    for number in range(1, 8):
        center = (rng.uniform(-4, 4), rng.uniform(-2, 4), 8.0)
        stage.ellipse(center, (1.5, 1.0), (30.0 * number, 10.0, 10.0), number)
    sheet = np.asarray(stage.draw())
    assert (sheet[..., 0] == 30 * sheet[..., 3].astype(int)).all()
    assert (sheet[..., 3] != SKY).any()


def test_contour_of_a_hand_drawn_sheet() -> None:
    sheet = np.zeros((6, 8), dtype=np.uint8)
    sheet[:, 3:6] = CAR  # one sheet column of pixel 1 and all of pixel 2; pixel 3 stays sky
    assert outline(sheet).tolist() == [[0, 255, CAR, 255]] * 3
    sheet[:, 3] = 0  # now the car fills pixel 2 exactly: the sky beside it gives the contour
    assert outline(sheet).tolist() == [[0, 255, CAR, 255]] * 3


@given(arrays(np.uint8, (16, 20), elements=st.integers(0, 7)))
def test_contours_part_all_classes_and_keep_whole_pixels_only(sheet: np.ndarray) -> None:
    labels = outline(np.kron(sheet[::4, ::4], np.ones((4, 4), np.uint8)))
    for a, b in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
        assert ((a == b) | (a == 255) | (b == 255)).all()
    rough = outline(sheet)
    block = sheet.reshape(8, 2, 10, 2)
    kept = rough != 255
    assert (block.min((1, 3)) == rough)[kept].all()
    assert (block.max((1, 3)) == rough)[kept].all()


def test_every_class_is_there_to_be_learned(streets: Streets) -> None:
    counts = torch.stack([torch.bincount(labels.flatten(), minlength=256) for _, labels in streets])
    share = counts.sum(0) / counts.sum()
    assert (counts[:, :8] > 0).float().mean(0).min() > 0.6
    assert 0.002 < share[7] < 0.01
    assert 0.005 < share[5] < 0.04
    assert share[:5].min() > 0.03
    assert 0.02 < share[255] < 0.09


def test_colors_alone_do_not_tell_the_classes(streets: Streets) -> None:
    def bins(image: torch.Tensor) -> torch.Tensor:
        red, green, blue = image.long() // 16
        return 256 * red + 16 * green + blue

    votes = torch.zeros(4096, 8)
    confusion = ConfusionMatrix(8)
    for i in range(40):
        image, labels = streets[i]
        known = labels != 255
        votes.index_put_((bins(image)[known], labels[known]), torch.tensor(1.0), accumulate=True)
    best = votes.argmax(1)
    for i in range(40, 60):
        image, labels = streets[i]
        confusion.update(best[bins(image)][None], labels[None])
    assert confusion.mean_iou() < 0.4


@pytest.mark.parametrize("seed", range(4))
def test_a_scene_is_the_same_at_any_size(seed: int) -> None:
    _, small = draw_street(seed, (96, 128))
    _, large = draw_street(seed, (384, 512))
    sampled = large[2::4, 2::4]
    known = (small != 255) & (sampled != 255)
    assert known.float().mean() > 0.85
    assert (small == sampled)[known].float().mean() > 0.99


def test_what_is_left_out_would_not_have_been_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [(96, 128), (96, 256), (192, 256)]
    spared = [draw_scene(f"{seed}", size, "night", 1.0) for seed in range(8) for size in sizes]
    monkeypatch.setattr(Cover, "hides", lambda *_: False)
    monkeypatch.setattr(Cover, "heights", lambda *_: (-math.inf, math.inf))
    full = [draw_scene(f"{seed}", size, "night", 1.0) for seed in range(8) for size in sizes]
    for some, whole in zip(spared, full, strict=True):
        assert np.array_equal(some[0], whole[0])
        assert np.array_equal(some[1], whole[1])


def test_a_wider_picture_shows_more_of_the_same_street() -> None:
    for seed in range(10):
        _, narrow = draw_street(seed, (96, 128))
        _, wide = draw_street(seed, (96, 256))
        middle = wide[:, 64:-64]
        assert (narrow == middle)[:, 1:-1].float().mean() > 0.999


@pytest.mark.parametrize("weather", ["fog", "night"])
def test_weather_changes_the_light_and_not_the_scene(weather: str) -> None:
    for seed in range(10, 20):
        clear, labels = draw_street(seed)
        other, same = draw_street(seed, weather=weather)
        assert torch.equal(labels, same)
        assert not torch.equal(clear, other)


def test_rain_opens_umbrellas_and_changes_nothing_else() -> None:
    changed = 0
    for seed in range(10, 20):
        _, dry = draw_street(seed)
        _, wet = draw_street(seed, weather="rain")
        other = dry != wet
        assert ((wet[other] == PERSON) | (wet[other] == 255) | (dry[other] == 255)).all()
        changed += int((wet[other] == PERSON).sum())
    assert changed > 0


def test_weathers_look_as_they_should() -> None:
    pictures = {
        weather: torch.stack([draw_street(seed, weather=weather)[0] for seed in range(8)]).float()
        for weather in WEATHERS
    }
    brightness = {weather: float(images.mean()) for weather, images in pictures.items()}
    assert brightness["night"] < 0.6 * min(brightness[w] for w in ("clear", "fog", "rain"))
    colorful = {
        weather: float((images.amax(1) - images.amin(1)).mean())
        for weather, images in pictures.items()
    }
    assert colorful["fog"] < 0.75 * colorful["clear"]


def test_mixed_weather_is_any_of_the_four() -> None:
    dark = [float(draw_street(seed, (32, 48), "mixed")[0].float().mean()) for seed in range(24)]
    alike = [
        any(
            torch.equal(draw_street(seed, (32, 48), "mixed")[1], draw_street(seed, (32, 48), w)[1])
            for w in ("clear", "rain")
        )
        for seed in range(4)
    ]
    assert all(alike)
    assert 1 <= sum(value < 80 for value in dark) <= 12  # nights, of which one in five is expected


def test_crowding_brings_people_and_cars() -> None:
    def busy(crowding: float) -> int:
        labels = [draw_street(seed, crowding=crowding)[1] for seed in range(8)]
        return int((torch.stack(labels) >= CAR).logical_and(torch.stack(labels) != 255).sum())

    assert busy(0) <= busy(0.5) < busy(3)


@pytest.mark.parametrize("classes", [4, 2])
def test_merged_classes_follow_from_the_eight(classes: int) -> None:
    image, eight = draw_street(3)
    merged_image, merged = draw_street(3, classes=classes)
    assert torch.equal(image, merged_image)
    known = eight != 255
    table = torch.tensor(MERGES[classes])
    agree = (merged == 255) | (merged == table[eight.clamp_max(7)])
    assert agree[known].all()
    assert (merged == 255).sum() < (eight == 255).sum()
    small = (eight == POLE) | (eight == CAR) | (eight == PERSON)
    assert (merged[small] != 255).float().mean() > 0.98  # contours still run outside small things
    assert merged[merged != 255].max() == classes - 1
    assert Streets(n=1, classes=classes).num_classes == len(CLASSES[classes]) == classes


def test_the_cover_strip_shows_a_street_and_its_labels() -> None:
    picture, painted = draw_strip(2, (48, 192))
    image, labels = draw_street(2, (48, 192))
    assert np.array_equal(picture, image.permute(1, 2, 0).numpy())
    assert np.array_equal(painted, colorize(labels.numpy(), STREETS_PALETTE))


@pytest.mark.parametrize("size", [(17, 23), (64, 256), (200, 100)])
def test_no_pixel_is_left_without_a_class_at_odd_sizes(size: tuple[int, int]) -> None:
    for seed in range(3):
        picture, sheet = draw_scene(f"odd {seed}", size, "clear", 1.0)
        assert picture.shape == (*size, 3)
        horizon_and_below = sheet[int(1.3 * size[0]) :]
        assert (horizon_and_below != SKY).all()


def test_fingerprint_tells_data_sets_apart() -> None:
    variants = [
        Streets(n=5),
        Streets("val", n=5),
        Streets(n=6),
        Streets(n=5, size=(64, 128)),
        Streets(n=5, classes=4),
        Streets(n=5, weather="fog"),
        Streets(n=5, seed=1),
        Streets(n=5, crowding=2),
    ]
    assert len({data.fingerprint() for data in variants}) == len(variants)
    assert Streets(n=5).fingerprint() == variants[0].fingerprint()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "training"}, "split 'training' is unknown, expected one of train, val, test"),
        ({"n": 0}, "0 scenes were asked for"),
        ({"size": (8, 128)}, "at least 16 pixels"),
        ({"classes": 3}, "3 classes were asked for, expected 8, or 4 or 2"),
        ({"weather": "snow"}, "weather 'snow' is unknown, expected one of clear, fog, night, rain"),
        ({"crowding": -1.0}, "crowding -1.0 was given"),
    ],
)
def test_arguments_out_of_range_are_named(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Streets(**arguments)
