"""Regions grown in the page are those of scikit-image and SciPy, and so are their scores."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from skimage.measure import label
from skimage.segmentation import flood

from segtut.data.palette import STREETS_PALETTE
from segtut.data.streets import draw_street
from segtut.widgets import RegionGrower

COLORS = {
    "classes": ("sky", "building", "road", "pavement", "tree", "pole", "car", "person"),
    "palette": STREETS_PALETTE,
}
SIZE = HEIGHT, WIDTH = 30, 41
TOLERANCES = (0, 7, 25, 60, 140, 442)


@pytest.fixture(scope="module")
def scene() -> tuple[torch.Tensor, torch.Tensor]:
    """A small street."""
    return draw_street(7, SIZE)


@pytest.fixture(scope="module")
def pixels(scene: tuple[torch.Tensor, torch.Tensor]) -> np.ndarray:
    return scene[0].permute(1, 2, 0).numpy().astype(int)


def flooded(pixels: np.ndarray, row: int, column: int, tolerance: int) -> np.ndarray:
    distance = np.linalg.norm(pixels - pixels[row, column], axis=2)
    return flood(distance, (row, column), tolerance=tolerance, connectivity=1)


def chained(pixels: np.ndarray, row: int, column: int, tolerance: int) -> np.ndarray:
    """The component of the seed in the graph of neighbors that differ by at most the tolerance."""
    index = np.arange(HEIGHT * WIDTH).reshape(SIZE)
    pairs = [(index[1:], index[:-1]), (index[:, 1:], index[:, :-1])]
    starts = np.concatenate([a.ravel() for a, _ in pairs])
    ends = np.concatenate([b.ravel() for _, b in pairs])
    colors = pixels.reshape(-1, 3)
    close = np.linalg.norm(colors[starts] - colors[ends], axis=1) <= tolerance
    graph = coo_matrix((np.ones(close.sum()), (starts[close], ends[close])), (index.size,) * 2)
    parts = connected_components(graph, directed=False)[1].reshape(SIZE)
    return parts == parts[row, column]


@pytest.mark.parametrize(("rule", "truth"), [("seed", flooded), ("neighbor", chained)])
def test_region_is_the_one_of_other_programs(run_script, pixels, rule, truth) -> None:
    flat = pixels.ravel().tolist()
    for row, column in ((0, 0), (12, 20), (28, 5)):
        seed = row * WIDTH + column
        (joined,) = run_script(RegionGrower, "joining", [[flat, HEIGHT, WIDTH, seed, rule]])
        joined = np.reshape(joined, SIZE)
        for tolerance in TOLERANCES:
            expected = truth(pixels, row, column, tolerance)
            np.testing.assert_array_equal(joined <= tolerance, expected)


def test_piece_and_overlap(run_script, scene, pixels) -> None:
    labels = scene[1].numpy()
    row, column = 25, 20
    seed = row * WIDTH + column
    assert labels[row, column] != 255
    flat = labels.ravel().tolist()
    (piece,) = run_script(RegionGrower, "pieceAt", [[flat, HEIGHT, WIDTH, seed]])
    parts = label(labels + 1, connectivity=1)
    expected = parts == parts[row, column]
    np.testing.assert_array_equal(np.reshape(piece, SIZE).astype(bool), expected)
    case = [pixels.ravel().tolist(), HEIGHT, WIDTH, seed, "seed"]
    (joined,) = run_script(RegionGrower, "joining", [case])
    (curve,) = run_script(RegionGrower, "overlaps", [[joined, piece, flat]])
    known = labels != 255
    for tolerance in TOLERANCES:
        region = flooded(pixels, row, column, tolerance) & known
        iou = (region & expected).sum() / (region | expected).sum()
        assert curve[tolerance] == pytest.approx(iou, abs=1e-12)


def test_seed_of_a_class_is_inside_its_largest_piece(run_script, scene) -> None:
    labels = scene[1].numpy()
    flat = labels.ravel().tolist()
    seeds = run_script(
        RegionGrower, "typicalSeed", [[flat, HEIGHT, WIDTH, c] for c in (0, 2, 3, 99)]
    )
    assert seeds[3] is None
    for name, seed in zip((0, 2, 3), seeds[:3], strict=True):
        parts = label(labels == name, connectivity=1)
        sizes = np.bincount(parts.ravel())[1:]
        assert parts.ravel()[seed] == sizes.argmax() + 1


def shown_iou(page) -> float:
    return float(rows(page)["IoU"])


def rows(page) -> dict[str, str]:
    return {
        row.locator("th").inner_text(): row.locator("td").inner_text()
        for row in page.locator("tbody tr").all()
    }


@pytest.fixture
def opened(open_figure, scene):
    return open_figure(RegionGrower(*scene, **COLORS, seed=(25, 20), tolerance=20))


def expected_iou(scene, row: int, column: int, tolerance: int) -> float:
    pixels, labels = scene[0].permute(1, 2, 0).numpy().astype(int), scene[1].numpy()
    parts = label(labels + 1, connectivity=1)
    piece = parts == parts[row, column]
    region = flooded(pixels, row, column, tolerance) & (labels != 255)
    return (region & piece).sum() / (region | piece).sum()


def test_slider_and_button_set_the_tolerance(opened, scene) -> None:
    assert shown_iou(opened) == pytest.approx(expected_iou(scene, 25, 20, 20), abs=5e-4)
    opened.get_by_role("slider", name="Tolerance").focus()
    opened.keyboard.press("ArrowRight")
    assert shown_iou(opened) == pytest.approx(expected_iou(scene, 25, 20, 21), abs=5e-4)
    opened.get_by_role("button", name="Best tolerance").click()
    best = max(expected_iou(scene, 25, 20, tolerance) for tolerance in range(201))
    assert shown_iou(opened) == pytest.approx(best, abs=5e-4)


def test_mouse_and_keys_move_the_seed(opened, scene) -> None:
    picture = opened.get_by_role("application")
    box = picture.bounding_box()
    cell = box["width"] / WIDTH
    picture.click(position={"x": 3.5 * cell, "y": 1.5 * cell})
    assert "row 2 of 30, column 4 of 41" in (picture.get_attribute("aria-label") or "")
    before = opened.locator("canvas").evaluate("node => node.toDataURL()")
    for key in ("ArrowDown", "Shift+ArrowRight", "ArrowUp", "ArrowLeft", "Shift+ArrowDown"):
        opened.keyboard.press(key)
    assert "row 10 of 30, column 11 of 41" in (picture.get_attribute("aria-label") or "")
    assert opened.locator("canvas").evaluate("node => node.toDataURL()") != before


def test_buttons_seed_a_class_and_the_rule_changes_the_region(opened) -> None:
    opened.get_by_role("button", name="sky").click()
    label_text = opened.get_by_role("application").get_attribute("aria-label") or ""
    assert ", sky." in label_text
    found = rows(opened)["Found, of this piece of sky"]
    opened.get_by_role("radio", name="the neighbor it touches").check(force=True)
    assert rows(opened)["Found, of this piece of sky"] != found


def test_seed_on_a_contour_has_no_score(open_figure, scene) -> None:
    row, column = np.argwhere(scene[1].numpy() == 255)[0].tolist()
    page = open_figure(RegionGrower(*scene, **COLORS, seed=(row, column)))
    assert "has no label" in page.get_by_role("status").inner_text()
    assert list(rows(page)) == ["Region"]
    assert re.fullmatch(r"[\d,]+ pixels", rows(page)["Region"])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"seed": (30, 0)}, "outside of the picture"),
        ({"tolerance": 201}, "expected 0 to 200 levels"),
        ({"classes": ("sky",)}, "1 classes and 8 colors"),
    ],
)
def test_what_does_not_fit_is_refused(scene, change: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        RegionGrower(*scene, **{**COLORS, "seed": (0, 0), **change})
    with pytest.raises(ValueError, match="expected one size"):
        RegionGrower(scene[0], scene[1][1:], **COLORS, seed=(0, 0))
