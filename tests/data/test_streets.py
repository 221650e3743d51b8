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
from scipy import ndimage

from segtut.data.drawing import scene
from segtut.data.drawing.light import Light
from segtut.data.drawing.scene import compose_scene, draw_scene, draw_scene_numbers
from segtut.data.drawing.stage import (
    BUILDING,
    CAR,
    PERSON,
    POLE,
    SKY,
    THINGS,
    TREE,
    Camera,
    Cover,
    Stage,
)
from segtut.data.palette import STREETS_PALETTE, colorize
from segtut.data.streets import (
    CLASSES,
    MERGES,
    Streets,
    draw_street,
    draw_strip,
    number_pixels,
    outline,
)
from segtut.data.transforms import standard_augmentation
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


def pieces(mask: np.ndarray) -> int:
    """How many pieces of pixels that touch at a side or a corner."""
    return int(ndimage.label(mask, np.ones((3, 3)))[1])


def test_numbers_of_a_hand_made_scene() -> None:
    # The camera of the polygon's test: at 10 m, 0.1 m is one row and one column of the picture.
    camera = Camera(x=0.0, height=1.0, focal=1.0, horizon=0.5, shift=0.0)
    stage = Stage((40, 80), camera, flat_light())

    def box(left: int, top: int, right: int, bottom: int, label: int) -> None:
        """Rows and columns of the picture, the first and the one after the last."""
        x0, x1 = (0.25 * (u - 40) for u in (left, right))
        y0, y1 = (1 + 0.25 * (20 - v) for v in (bottom, top))
        corners = [(x0, y0, 10.0), (x1, y0, 10.0), (x1, y1, 10.0), (x0, y1, 10.0)]
        stage.polygon(corners, (200.0, 100.0, 50.0), label)

    box(0, 20, 80, 40, BUILDING)
    stage.begin()
    box(10, 10, 30, 30, CAR)
    stage.begin()
    box(60, 5, 70, 30, TREE)  # no thing, and no number
    stage.begin()
    box(25, 14, 45, 34, CAR)  # touches the first and hides some of it
    box(28, 18, 40, 30, CAR)  # its window
    stage.begin()
    box(18, 2, 21, 36, POLE)  # cuts the first in two
    stage.begin()
    box(66, 20, 72, 36, PERSON)  # before the tree
    expected = np.zeros((40, 80), dtype=int)
    expected[10:30, 10:30] = 1
    expected[14:34, 25:45] = 2
    expected[2:36, 18:21] = 3
    expected[20:36, 66:72] = 4
    labels = np.full((40, 80), SKY)
    labels[20:] = BUILDING
    labels[5:30, 60:70] = TREE
    for number, label in ((1, CAR), (2, CAR), (3, POLE), (4, PERSON)):
        labels[expected == number] = label
    numbers = np.asarray(stage.draw_numbers())
    drawn = np.asarray(stage.draw())[..., 3]
    # Pillow fills the sheet pixels that the far edges touch, so the upper left of each pixel counts
    # and the row and column after the last of each box are left out.
    inside = np.ones((40, 80), dtype=bool)
    for right, bottom in ((30, 30), (70, 30), (45, 34), (21, 36), (72, 36)):
        inside[:, right] = inside[bottom] = False
    assert np.array_equal(drawn[::2, ::2][inside], labels[inside])
    found = number_pixels(numbers, labels.astype(np.uint8), THINGS)
    assert np.array_equal(found[inside], expected[inside])
    assert pieces(found == 1) == 2  # one car, seen on both sides of the pole
    assert pieces(found[:, 22:] > 0) < len(np.unique(found[:, 22:])) - 1  # two cars in one piece


def test_the_upper_left_of_four_decides_between_two_things_of_one_class() -> None:
    sheet = np.array([[1, 2, 2, 3, 4, 4], [2, 2, 2, 3, 4, 4]], dtype=np.uint8)
    labels = np.array([[CAR, PERSON, 255]], dtype=np.uint8)
    assert number_pixels(sheet, labels, THINGS).tolist() == [[1, 2, 0]]


@pytest.mark.parametrize("weather", WEATHERS)
def test_numbers_tell_what_the_label_channel_tells(
    weather: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("apart", (96, 128), weather, 3.0)
    numbers = draw_scene_numbers(*arguments)
    begun = 0
    polygon = Stage.polygon

    def begin(_: Stage) -> None:
        nonlocal begun
        begun += 1

    def number_instead(self: Stage, corners: list, color: tuple, label: int, *facing: str) -> None:
        polygon(self, corners, color, begun if label in THINGS else 0, *facing)

    monkeypatch.setattr(Stage, "begin", begin)
    monkeypatch.setattr(Stage, "polygon", number_instead)
    stage, _ = compose_scene(*arguments)
    other = np.asarray(stage.draw())[..., 3]
    pairs = np.unique(np.stack([numbers.ravel(), other.ravel()]), axis=1)
    assert len(pairs[0]) > 8
    assert (np.diff(pairs[0]) > 0).all()  # one for one, and in the same order
    assert (np.diff(pairs[1].astype(int)) > 0).all()
    assert pairs[:, 0].tolist() == [0, 0]


CALLS = [{}, {"classes": 4}, {"classes": 2}, {"weather": "rain", "crowding": 4.0}, {"crowding": 0}]


@pytest.mark.parametrize("arguments", CALLS)
def test_each_pixel_of_a_thing_has_a_number_and_each_number_one_class(arguments: dict) -> None:
    data = Streets("val", n=12, **arguments)
    for index in range(len(data)):
        target, instances = data[index][1], data.instances(index)
        assert (type(instances).__name__, instances.dtype) == ("Mask", torch.int64)
        assert instances.shape == target.shape
        assert torch.equal(instances > 0, torch.isin(target, torch.tensor(data.things)))
        assert instances.max() < 255
        for number in instances.unique()[1:]:
            assert len(target[instances == number].unique()) == 1


def test_things_are_classes_of_which_all_members_are_things() -> None:
    things = {n: [CLASSES[n][label] for label in Streets(classes=n).things] for n in CLASSES}
    assert things == {8: ["pole", "car", "person"], 4: ["traffic"], 2: ["traffic"]}


def test_pieces_are_not_instances(streets: Streets) -> None:
    split = joined = 0
    for index in range(len(streets)):
        target, instances = streets[index][1].numpy(), streets.instances(index).numpy()
        numbers = np.unique(instances)[1:]
        split += sum(pieces(instances == number) > 1 for number in numbers)
        cars = ndimage.label(target == CAR, np.ones((3, 3)))[0]
        joined += sum(
            len(np.unique(instances[cars == piece])) > 1 for piece in range(1, cars.max() + 1)
        )
    assert split > 20
    assert joined > 10


def test_a_thing_keeps_its_number_at_any_size_in_any_weather_and_merged() -> None:
    plain = Streets("test", n=6)
    larger = Streets("test", n=6, size=(384, 512))
    for index in range(6):
        small, large = plain.instances(index), larger.instances(index)[2::4, 2::4]
        known = (plain[index][1] != 255) & (larger[index][1][2::4, 2::4] != 255)
        assert (small == large)[known].float().mean() > 0.99
        for other in (Streets("test", n=9, weather="night"), Streets("test", n=6, classes=4)):
            same = other.instances(index)
            both = (small > 0) & (same > 0)
            assert both.any() or not (same > 0).any()
            assert torch.equal(small[both], same[both])


def test_numbering_changes_no_sample_and_can_be_repeated() -> None:
    asked, plain = Streets("val", n=4), Streets("val", n=4)
    first = asked.instances(-1)
    again = first.clone()
    first.zero_()
    assert torch.equal(asked.instances(3), again)
    assert torch.equal(plain.instances(3), again)
    assert equal(asked[3], plain[3])
    assert len(asked[3]) == 2
    assert asked.fingerprint() == plain.fingerprint()
    with pytest.raises(IndexError):
        asked.instances(4)


def test_numbers_move_along_with_the_sample(streets: Streets) -> None:
    pipeline, things = standard_augmentation((64, 80), (0.5, 2.0)), torch.tensor(streets.things)
    torch.manual_seed(0)
    for index in range(10):
        image, target, instances = pipeline(*streets[index], streets.instances(index))
        assert image.shape[1:] == target.shape == instances.shape == (64, 80)
        outside = instances == 255
        assert (target[outside] == 255).all()
        assert torch.equal((instances > 0) & ~outside, torch.isin(target, things))


def test_the_fingerprint_that_recorded_runs_hold() -> None:
    assert Streets(n=5).fingerprint() == (
        "3935b9eea5f16dc2b2052772e852d7e5d6b05115eb7135030e4ad0133773d35f"
    )


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
