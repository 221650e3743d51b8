"""Outlines become label maps: what a pixel belongs to, what is written, and what is reported."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Outline
from PIL import Image

from segtut.cli import main
from segtut.data import doctor
from segtut.data.dataset import VOID
from segtut.data.labelme import (
    AnnotationError,
    Conversion,
    convert,
    label_map,
    polygon_mask,
    read_class_names,
)

WIDTH, HEIGHT = 20, 12


def polygon(label: str, *points: tuple[float, float], **more: Any) -> dict[str, Any]:
    shape = {"label": label, "points": [list(point) for point in points]}
    return {**shape, "group_id": None, "shape_type": "polygon", "flags": {}, **more}


def box(label: str, left: float, top: float, right: float, bottom: float) -> dict[str, Any]:
    return polygon(label, (left, top), (right, top), (right, bottom), (left, bottom))


def annotation(*shapes: dict[str, Any], path: str = "a.jpg", **more: Any) -> dict[str, Any]:
    """A file as labelme 5 writes it."""
    head = {"version": "5.5.0", "flags": {}, "shapes": list(shapes), "imagePath": path}
    return {**head, "imageData": None, "imageHeight": HEIGHT, "imageWidth": WIDTH, **more}


def picture(seed: int = 0, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two outlined pictures."""
    folder = tmp_path / "labeled"
    folder.mkdir()
    for seed, name in enumerate("ab"):
        picture(seed).save(folder / f"{name}.jpg")
        shapes = box("road", 0, 6, WIDTH, HEIGHT), box("car", 3, 4, 9, 10)
        write(folder / f"{name}.json", annotation(*shapes, path=f"{name}.jpg"))
    return folder


def write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def read(path: Path) -> np.ndarray:
    with Image.open(path) as mask:
        assert mask.mode == "P"
        return np.array(mask)


def texts(conversion: Conversion) -> str:
    return "\n".join(map(str, conversion.findings))


# Which pixels a polygon holds


def test_box_between_pixels_holds_them_all_and_no_other() -> None:
    mask = polygon_mask([(3, 2), (7, 2), (7, 5), (3, 5)], (HEIGHT, WIDTH))
    expected = np.zeros((HEIGHT, WIDTH), dtype=bool)
    expected[2:5, 3:7] = True
    np.testing.assert_array_equal(mask, expected)


corners = st.lists(
    st.tuples(st.floats(-4, WIDTH + 4), st.floats(-4, HEIGHT + 4)), min_size=3, max_size=9
)


@given(corners)
@settings(max_examples=60, deadline=None)
def test_pixel_is_inside_if_its_middle_is(points: list[tuple[float, float]]) -> None:
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH] + 0.5
    middles = np.stack([columns.ravel(), rows.ravel()], axis=1)
    outline = Outline([*points, points[0]], closed=True)
    expected = outline.contains_points(middles).reshape(HEIGHT, WIDTH)
    near = _distance_to_edges(middles, points).reshape(HEIGHT, WIDTH) < 1e-6
    mask = polygon_mask(points, (HEIGHT, WIDTH))
    assert (mask == expected)[~near].all()


def _distance_to_edges(middles: np.ndarray, points: list[tuple[float, float]]) -> np.ndarray:
    nearest = np.full(len(middles), np.inf)
    for start, end in zip(points, [*points[1:], points[0]], strict=True):
        begin, way = np.array(start), np.array(end) - start
        along = ((middles - begin) @ way / max(way @ way, 1e-30)).clip(0, 1)
        nearest = np.minimum(
            nearest, np.linalg.norm(middles - begin - along[:, None] * way, axis=1)
        )
    return nearest


@given(
    st.tuples(st.integers(0, WIDTH), st.integers(0, HEIGHT)),
    st.tuples(st.integers(0, 39), st.integers(0, 23)),
)
@settings(max_examples=40, deadline=None)
def test_neighbors_leave_no_gap_and_do_not_overlap(
    first: tuple[int, int], second: tuple[int, int]
) -> None:
    """A triangle fan around any point, pixel middles included, covers each pixel once."""
    center = (second[0] / 2, second[1] / 2)
    rim = [(0, 0), (first[0], 0), (WIDTH, 0), (WIDTH, first[1]), (WIDTH, HEIGHT), (0, HEIGHT)]
    fan = zip(rim, [*rim[1:], rim[0]], strict=True)
    covered = sum(
        polygon_mask([center, start, end], (HEIGHT, WIDTH)).astype(int) for start, end in fan
    )
    np.testing.assert_array_equal(covered, 1)


def test_direction_and_repeated_corners_do_not_matter() -> None:
    points = [(1.2, 2.0), (17.5, 1.0), (9.0, 10.7)]
    mask = polygon_mask(points, (HEIGHT, WIDTH))
    assert mask.any()
    np.testing.assert_array_equal(mask, polygon_mask(points[::-1], (HEIGHT, WIDTH)))
    doubled = [points[0], points[0], *points[1:], points[0]]
    np.testing.assert_array_equal(mask, polygon_mask(doubled, (HEIGHT, WIDTH)))


# What a file means


def test_later_outlines_lie_over_earlier_ones() -> None:
    shapes = box("road", 0, 0, WIDTH, HEIGHT), box("car", 3, 4, 9, 10)
    classes = ("road", "car")
    np.testing.assert_array_equal(
        np.bincount(label_map(annotation(*shapes), classes).ravel()), [WIDTH * HEIGHT - 36, 36]
    )
    assert not label_map(annotation(*shapes[::-1]), classes).any()


def test_pixels_in_no_outline_are_background_or_void() -> None:
    file = annotation(box("car", 3, 4, 9, 10), box("__ignore__", 0, 0, 2, 2))
    labels = label_map(file, ("background", "car"))
    assert (labels[0, 0], labels[0, 5], labels[5, 5]) == (VOID, 0, 1)
    assert (label_map(file, ("_background_", "car")) == labels).all()
    labels = label_map(file, ("car",))
    assert (labels[0, 0], labels[0, 5], labels[5, 5]) == (VOID, VOID, 0)


def test_other_shapes() -> None:
    patch = io.BytesIO()
    Image.fromarray(np.array([[0, 255], [255, 255]], np.uint8)).save(patch, "PNG")
    encoded = base64.b64encode(patch.getvalue()).decode()
    shapes = {
        "rectangle": polygon("c", (9, 7), (5, 3), shape_type="rectangle"),
        "circle": polygon("c", (10, 6), (13, 6), shape_type="circle"),
        "mask": polygon("c", (19, 4), (20, 5), shape_type="mask", mask=encoded),
        "linestrip": polygon("c", (1, 1), (5, 5), shape_type="linestrip"),
        "null": polygon("c", (5, 3), (9, 3), (9, 7), (5, 7), shape_type=None),
    }
    found = {kind: label_map(annotation(one), ("c",)) == 0 for kind, one in shapes.items()}
    assert found["rectangle"][3:7, 5:9].all()
    assert found["rectangle"].sum() == found["null"].sum() == 16
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH] + 0.5
    np.testing.assert_array_equal(found["circle"], (columns - 10) ** 2 + (rows - 6) ** 2 <= 9)
    assert np.argwhere(found["mask"]).tolist() == [[5, 19]]  # the rest hangs over the rim
    assert not found["linestrip"].any()


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        (polygon("Car", (0, 0), (4, 0), (4, 4)), "labeled 'Car', expected one of road, car; is it"),
        (polygon("car", (0, 0), (4, 0)), "has 2 points, expected at least 3"),
        (polygon("car", (0, 0), (4, 0), shape_type="spline"), "unknown kind 'spline'"),
        (polygon("car", (0, 0), (4, 0), shape_type="mask", mask="?"), "mask of 'car' cannot be"),
        (polygon("car", (0, 0), (4, 0), shape_type="mask"), "mask of 'car' cannot be"),
    ],
)
def test_broken_shapes_are_named(shape: dict[str, Any], text: str) -> None:
    with pytest.raises(AnnotationError, match=text):
        label_map(annotation(shape), ("road", "car"))


# What is written


def test_folder_is_ready_for_training(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    conversion = convert(folder, output, ("road", "car"))
    assert not conversion.has_errors
    assert (len(conversion.written), conversion.outlines) == (2, 4)
    (dataset,) = doctor.open_folder(output).values()
    assert (len(dataset), dataset.classes) == (2, ("road", "car"))
    image, labels = dataset[0]
    with Image.open(folder / "a.jpg") as original:
        np.testing.assert_array_equal(image.permute(1, 2, 0), np.array(original))
    expected = np.full((HEIGHT, WIDTH), VOID)
    expected[6:], expected[4:10, 3:9] = 0, 1
    np.testing.assert_array_equal(labels, expected)
    assert (output / "images/a.jpg").read_bytes() == (folder / "a.jpg").read_bytes()


def test_classes_are_found_with_background_first(folder: Path, tmp_path: Path) -> None:
    write(folder / "b.json", annotation(box("_background_", 0, 0, 5, 5), path="b.jpg"))
    conversion = convert(folder, tmp_path / "out")
    assert conversion.classes == ("background", "car", "road")
    assert "0 background, 1 car, 2 road" in str(conversion)
    assert (tmp_path / "out/classes.txt").read_text() == "background\ncar\nroad\n"
    assert (read(tmp_path / "out/masks/b.png") == 0).all()


def test_picture_is_found_wherever_it_is(folder: Path, tmp_path: Path) -> None:
    shape = box("car", 3, 4, 9, 10)
    (folder / "deep").mkdir()
    write(folder / "deep/c.json", annotation(shape, path="..\\a.jpg"))  # written on Windows
    picture(3).save(folder / "d [1].png")
    write(folder / "d [1].json", annotation(shape, path="renamed since.png"))
    stored = io.BytesIO()
    picture(4).save(stored, "PNG")
    inside = base64.b64encode(stored.getvalue()).decode()
    write(folder / "e.json", annotation(shape, path="gone.png", imageData=inside))
    conversion = convert(folder, tmp_path / "out", ("road", "car"))
    assert not conversion.has_errors, conversion
    written = {path.relative_to(tmp_path / "out/masks").as_posix() for path in conversion.written}
    assert written == {"a.png", "b.png", "deep/c.png", "d [1].png", "e.png"}
    assert (tmp_path / "out/images/e.png").read_bytes() == stored.getvalue()
    assert (tmp_path / "out/images/deep/c.jpg").exists()


def test_photograph_on_its_side_is_outlined_upright(folder: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(5, (HEIGHT, WIDTH)).save(folder / "a.jpg", exif=exif)  # stored lying down
    assert not convert(folder, tmp_path / "out", ("road", "car")).has_errors
    (dataset,) = doctor.open_folder(tmp_path / "out").values()
    assert dataset[0][0].shape[1:] == dataset[0][1].shape == (HEIGHT, WIDTH)


# What is reported


def test_faults_are_named_and_the_rest_is_written(folder: Path, tmp_path: Path) -> None:
    shape = box("car", 3, 4, 9, 10)
    for name in "cdefg":
        picture(ord(name)).save(folder / f"{name}.jpg")
    (folder / "c.json").write_text('{"shapes": [')
    write(folder / "d.json", [1, 2])
    write(folder / "e.json", annotation(box("cra", 3, 4, 9, 10), path="e.jpg"))
    write(folder / "f.json", annotation(shape, path="f.jpg", imageHeight=2 * HEIGHT))
    write(folder / "g.json", annotation(shape, path="g.jpg", imageWidth=None))
    write(folder / "h.json", annotation(shape, path="gone.jpg"))
    picture(9).save(folder / "later.jpg")
    conversion = convert(folder, tmp_path / "out", ("road", "car"))
    assert [path.stem for path in conversion.written] == ["a", "b"]
    assert conversion.has_errors
    for text in (
        "c.json was left out\n         -> it is not JSON",
        "d.json was left out\n         -> it is JSON and not labelme's",
        "e.json was left out\n         -> an outline is labeled 'cra'",
        "is it car?",
        "f.json was left out\n         -> its picture is 20x12 pixels and was 20x24 when",
        "g.json was left out\n         -> imageHeight and imageWidth are 12 and None",
        "h.json was left out\n         -> its picture 'gone.jpg' is missing",
        "1 pictures without a JSON file were left out: later.jpg",
    ):
        assert text in texts(conversion)


def test_files_with_one_fault_are_reported_together(folder: Path, tmp_path: Path) -> None:
    picture(7).save(folder / "c.jpg")
    write(folder / "c.json", annotation(box("car", 3, 4, 9, 10), path="c.jpg"))
    conversion = convert(folder, tmp_path / "out", ("car",))
    (error,) = (one for one in conversion.findings if one.severity == "error")
    assert (error.text, error.examples) == ("2 files were left out", ("a.json", "b.json"))
    assert error.advice == "an outline is labeled 'road', expected one of car"


def test_outlines_that_do_nothing_are_named(folder: Path, tmp_path: Path) -> None:
    hidden = annotation(
        box("car", 3, 4, 9, 10),
        box("road", 0, 0, WIDTH, HEIGHT),
        box("pole", 2.6, 3.0, 3.4, 9.0),
        polygon("pole", (1, 1), (5, 5), shape_type="line"),
    )
    write(folder / "a.json", hidden)
    write(folder / "b.json", annotation(path="b.jpg"))
    conversion = convert(folder, tmp_path / "out", ("road", "car", "pole"))
    assert not conversion.has_errors
    found = texts(conversion)
    assert "1 outlines lie wholly under later ones: a (car)" in found
    assert "1 outlines contain no pixel: a (pole)" in found
    assert "1 shapes are lines or points and cover nothing: a (pole)" in found
    assert "1 files without an outline: b" in found
    assert "in no outline" not in found  # a is outlined all over, b not at all


def test_void_is_said_only_where_there_is_no_background(folder: Path, tmp_path: Path) -> None:
    found = texts(convert(folder, tmp_path / "one", ("road", "car")))
    assert "2 pictures have pixels in no outline, which are void: a (45%), b (45%)" in found
    assert not convert(folder, tmp_path / "two", ("background", "road", "car")).findings


def test_pictures_that_were_left_out_are_not_counted_as_void(folder: Path, tmp_path: Path) -> None:
    picture(7).resize((5, 5)).save(folder / "b.jpg")
    conversion = convert(folder, tmp_path / "out", ("road", "car"))
    assert len(conversion.written) == 1
    assert "1 pictures have pixels in no outline, which are void: a (45%)" in texts(conversion)


def test_a_rare_label_that_looks_like_another_is_named(folder: Path, tmp_path: Path) -> None:
    shapes = [box("car", i, 0, i + 1, 1) for i in range(9)]
    others = box("Car", 0, 2, 1, 3), box("cra", 0, 2, 1, 3), box("tree", 0, 2, 1, 3)
    write(folder / "a.json", annotation(*shapes, *others, path="a.jpg"))
    found = texts(convert(folder, tmp_path / "out"))
    assert "labels that look alike: car (10 outlines), Car (1 outlines)" in found
    assert "labels that look alike: car (10 outlines), cra (1 outlines)" in found
    assert "tree" not in found


def test_what_cannot_be_converted_at_all(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no folder"):
        convert(tmp_path / "absent", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no JSON file"):
        convert(tmp_path / "empty", tmp_path / "out")
    with pytest.raises(ValueError, match="is not empty"):
        convert(folder, folder)
    with pytest.raises(ValueError, match=r"(?s)none of the 2 JSON files.*labeled 'road'"):
        convert(folder, tmp_path / "out", ("tree",))
    assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match="different names"):
        convert(folder, tmp_path / "out", ("car", "car"))


# The command


def test_list_of_classes_is_labelme_s(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("__ignore__\n_background_\ncar\n\n traffic light \n")
    assert read_class_names(path) == ("background", "car", "traffic light")


def test_command_converts_and_says_so(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = tmp_path / "labels.txt"
    listed.write_text("road\ncar\n")
    arguments = ["data", "convert", str(folder), "--classes", str(listed), "--output"]
    assert main([*arguments, str(tmp_path / "out")]) == 0
    assert "2 pictures with 4 outlines written" in capsys.readouterr().out
    assert main(["data", "check", str(tmp_path / "out")]) == 0
    assert main([*arguments, str(tmp_path / "out")]) == 1
    assert "is not empty" in capsys.readouterr().err
    listed.write_text("car\n")
    (folder / "b.json").write_text(json.dumps(annotation(box("car", 0, 0, 3, 3), path="b.jpg")))
    assert main([*arguments, str(tmp_path / "other")]) == 1
    assert "a.json was left out" in capsys.readouterr().out
    assert (tmp_path / "other/masks/b.png").exists()
