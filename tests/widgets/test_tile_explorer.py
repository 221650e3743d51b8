"""Tiles computed in the page are torch's, and differ from the whole exactly where they should."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from playwright.sync_api import Page

from segtut.data.palette import STREETS_PALETTE
from segtut.inference import predict
from segtut.models import UNet
from segtut.widgets import TileExplorer
from tests.widgets.conftest import make_tile_explorer

PALETTE = np.array(STREETS_PALETTE, np.uint8)


def settle(page: Page) -> None:
    page.wait_for_selector(".segtut-figure[aria-busy=false]")


def labels(page: Page, name: str) -> np.ndarray:
    """(H, W): the classes whose colors a canvas shows."""
    script = """canvas => [canvas.height, canvas.width,
        ...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data]"""
    canvas = page.locator(f"canvas[aria-label^='{name}']")
    height, width, *values = canvas.evaluate(script)
    pixels = np.array(values, np.uint8).reshape(height, width, 1, 4)[..., :3]
    return np.asarray((pixels == PALETTE).all(axis=-1).argmax(axis=-1))


def number(page: Page, name: str) -> float:
    text = page.locator(f".st-tiles div:has(dt:text-is('{name}')) dd").inner_text()
    return float(text.replace("\u00a0", " ").split()[0])


def first_image(figure: TileExplorer) -> torch.Tensor:
    """(3, H, W), uint8."""
    shape = (2, figure.height, figure.width, 3)
    pictures = np.frombuffer(figure.pictures, np.uint8).reshape(shape)
    return torch.from_numpy(pictures[0].copy()).permute(2, 0, 1)


def slide(page: Page, name: str, keys: str) -> None:
    for key in keys.split():
        page.get_by_role("slider", name=name).press(key)
    settle(page)


def test_tiles_are_laid_as_by_hand(run_script) -> None:
    plain, overlapping, moved = run_script(
        TileExplorer, "lay", [[96, 48, 0, 0], [96, 48, 16, 0], [40, 32, 8, 3]]
    )
    assert plain == [
        {"from": 0, "to": 48, "first": 0, "last": 48},
        {"from": 48, "to": 96, "first": 48, "last": 96},
    ]
    assert [(one["from"], one["to"], one["first"], one["last"]) for one in overlapping] == [
        (0, 48, 0, 40),
        (32, 80, 40, 72),
        (64, 96, 72, 96),
    ]
    assert [(one["from"], one["to"], one["first"], one["last"]) for one in moved] == [
        (0, 29, 0, 25),
        (21, 40, 25, 40),
    ]


@pytest.mark.parametrize("settings", [(160, 32, 16, 0), (96, 48, 40, 5), (50, 128, 0, 7)])
def test_what_is_kept_covers_the_side_once(settings, run_script) -> None:
    (tiles,) = run_script(TileExplorer, "lay", [list(settings)])
    assert tiles[0]["first"] == 0
    assert tiles[-1]["last"] == tiles[-1]["to"] == settings[0]
    for one, following in pairwise(tiles):
        assert one["last"] == following["first"]
    assert all(t["from"] <= t["first"] < t["last"] <= t["to"] for t in tiles)


def test_joined_logits_equal_numpy_s(run_script) -> None:
    row = {"from": 0, "to": 1, "first": 0, "last": 1}
    (columns,) = run_script(TileExplorer, "lay", [[18, 8, 3, 0]])
    tiles = [{"row": row, "column": column} for column in columns]
    strips = [np.arange(16).reshape(2, 8) * k for k in (1.0, 3.0, -2.0)]
    answers = [strip.ravel().tolist() for strip in strips]
    cases = [[tiles, answers, 2, 1, 18, blend] for blend in (True, False)]
    blended, kept = np.array(run_script(TileExplorer, "join", cases)).reshape(2, 2, 18)
    window = np.sin(np.pi * (np.arange(8) + 0.5) / 8) ** 2
    total, weights = np.zeros((2, 18)), np.zeros(18)
    for strip, start in zip(strips, (0, 5, 10), strict=True):
        total[:, start : start + 8] += window * strip
        weights[start : start + 8] += window
    np.testing.assert_allclose(blended, total / weights, atol=1e-9)
    parts = [strips[0][:, :7], strips[1][:, 2:7], strips[2][:, 2:]]  # borders at 6.5 and 11.5
    np.testing.assert_allclose(kept, np.concatenate(parts, axis=1), atol=1e-9)


def test_labels_equal_torch_s_in_one_piece_and_in_tiles(open_figure) -> None:
    network, figure = make_tile_explorer()
    image = first_image(figure)
    page = open_figure(figure)
    settle(page)
    whole, apart, blended = (
        predict(network, image, **options)
        for options in (
            {},
            {"tile": (64, 64), "overlap": 0},
            {"tile": (64, 64), "overlap": 0.5},
        )
    )
    differs = (whole.argmax(0) != apart.argmax(0)).double().mean().item()
    assert differs > 0.005  # else the labels would say little
    assert (labels(page, "Labels in one piece") == whole.argmax(0).numpy()).mean() > 0.995
    assert (labels(page, "Labels in tiles") == apart.argmax(0).numpy()).mean() > 0.995
    assert abs(number(page, "Labels that differ") - 100 * differs) < 0.3
    assert (number(page, "Tiles"), number(page, "Pixels computed")) == (2, 1)
    slide(page, "Overlap", "ArrowRight ArrowRight ArrowRight ArrowRight")
    page.get_by_role("radio", name="blend").check()
    # tiles of 64, 32 apart: two in a row, which see 64 and 64 of 96 columns
    assert (number(page, "Tiles"), number(page, "Pixels computed")) == (2, 1.33)
    assert (labels(page, "Labels in tiles") == blended.argmax(0).numpy()).mean() > 0.995
    largest = (whole - blended).abs().max().item()
    assert number(page, "Largest difference of a logit") == pytest.approx(largest, rel=0.05)


def test_a_margin_of_half_the_field_leaves_no_difference(open_figure) -> None:
    page = open_figure(make_tile_explorer()[1])
    settle(page)
    differences = [number(page, "Labels that differ")]
    assert "differ from those in one piece" in page.get_by_role("status").inner_text()
    for _ in range(3):  # margins of 4, 8 and 12 pixels; half the field is 9
        slide(page, "Overlap", "ArrowRight")
        differences.append(number(page, "Labels that differ"))
    assert differences[0] > differences[1] > differences[3] == 0
    assert number(page, "Largest difference of a logit") == 0
    assert "nothing differs" in page.get_by_role("status").inner_text()
    slide(page, "Grid moved by", "ArrowRight")  # tiles begin between the squares of the poolings
    assert number(page, "Largest difference of a logit") > 0
    slide(page, "Grid moved by", "ArrowRight")
    assert number(page, "Largest difference of a logit") == 0
    page.get_by_role("radio", name="blend").check()
    assert number(page, "Largest difference of a logit") > 0


def test_iou_is_the_metrics_own(open_figure) -> None:
    from segtut.metrics import ConfusionMatrix

    _, figure = make_tile_explorer()
    truth = np.frombuffer(figure.labels, np.uint8).reshape(2, 64, 96)[1]
    page = open_figure(figure)
    settle(page)
    page.get_by_role("radio", name="second").check()
    settle(page)
    for column, name in enumerate(("Labels in one piece", "Labels in tiles")):
        counted = ConfusionMatrix(8)
        counted.update(torch.from_numpy(labels(page, name)), torch.from_numpy(truth.copy()).long())
        cells = page.locator(f"tbody td:nth-of-type({column + 1})").all_inner_texts()
        expected = [*counted.iou().tolist(), counted.mean_iou()]
        assert [float(cell) for cell in cells] == pytest.approx(expected, abs=6e-4)


def test_pointer_and_keys_choose_a_tile(open_figure) -> None:
    page = open_figure(make_tile_explorer()[1])
    settle(page)
    street = page.get_by_role("application", name="Street")
    slide(page, "Side of a tile", "ArrowLeft")
    assert "tile 1 of 4: it sees rows 1 to 48 and columns 1 to 48" in str(
        street.get_attribute("aria-label")
    )
    street.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    expected = "tile 4 of 4: it sees rows 49 to 64 and columns 49 to 96"
    assert expected in str(street.get_attribute("aria-label"))
    box = street.bounding_box()
    page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 0.2 * box["height"])
    assert "tile 2 of 4" in str(street.get_attribute("aria-label"))
    slide(page, "Side of a tile", "End")
    assert "of 2: " in str(street.get_attribute("aria-label"))


def test_what_does_not_fit_is_refused(street, colors) -> None:
    image, target = street(48, 72)
    images, targets = image.expand(2, -1, -1, -1), target.expand(2, -1, -1)
    small = UNet(8, width=4, depth=2)
    cases = [
        (small, images, targets, ("a",), "1 names"),
        (UNet(5, width=4, depth=2), images, targets, ("a", "b"), "5 classes, expected 8"),
        (small, images[..., :64], targets[..., :64], ("a", "b"), "48 by 64 .* one side above 64"),
        (UNet(8, width=4, norm="group"), images, targets, ("a", "b"), "GroupNorm"),
    ]
    for model, pictures, maps, names, text in cases:
        with pytest.raises(ValueError, match=text):
            TileExplorer(model, pictures, maps, names=names, **colors)
