"""The scores in the page are those of segtut.metrics, and painting changes them."""

from __future__ import annotations

import pytest
import torch
from playwright.sync_api import Page
from torch import Tensor

from segtut.metrics import BoundaryIoU, ConfusionMatrix
from segtut.widgets import MetricsPlayground
from segtut.widgets.metrics import _street


def cases() -> list[tuple[Tensor, Tensor]]:
    """Random grids with void and absent classes, and the corners: all void, one cell, all right."""
    generator = torch.Generator().manual_seed(0)
    pairs = []
    for height, width, classes in ((7, 9, 4), (16, 28, 3), (60, 64, 2), (5, 3, 4), (1, 1, 1)):
        for blur in (1, 3):
            cells = (-(-height // blur), -(-width // blur))
            drawn = torch.randint(0, classes, (2, *cells), generator=generator)
            drawn = drawn.repeat_interleave(blur, 1).repeat_interleave(blur, 2)
            prediction, truth = drawn[:, :height, :width]
            void = torch.rand(height, width, generator=generator) < 0.15
            pairs.append((prediction, truth.masked_fill(void, 255)))
    pairs.append((torch.zeros(4, 5, dtype=torch.int64), torch.full((4, 5), 255)))
    pairs.append((_street(), _street()))
    return pairs


def test_scores_equal_the_package(run_script) -> None:
    pairs = cases()
    arguments = [
        [truth.flatten().tolist(), prediction.flatten().tolist(), *truth.shape, 4]
        for prediction, truth in pairs
    ]
    for found, (prediction, truth) in zip(
        run_script(MetricsPlayground, "scores", arguments), pairs, strict=True
    ):
        confusion, boundary = ConfusionMatrix(4), BoundaryIoU(4)
        confusion.update(prediction[None], truth[None])
        boundary.update(prediction[None], truth[None])
        expected = {
            "iou": confusion.iou(),
            "dice": confusion.dice(),
            "boundary": boundary.iou(),
            "accuracy": torch.tensor(confusion.pixel_accuracy()),
            "meanIoU": torch.tensor(confusion.mean_iou()),
            "meanDice": confusion.dice().nanmean(),
            "meanBoundary": torch.tensor(boundary.mean_iou()),
        }
        for name, value in expected.items():
            shown = found[name] if isinstance(found[name], list) else [found[name]]
            numbers = [float("nan") if one is None else one for one in shown]
            torch.testing.assert_close(
                torch.tensor(numbers).double(),
                value.double().reshape(-1),
                equal_nan=True,
                atol=1e-6,
                rtol=0,
            )


def test_presets_by_hand(run_script) -> None:
    truth = [0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 255]  # 3 rows of 4
    expected = {
        "perfect": [0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0],
        "background": [0] * 12,
        "missing": [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0],
        "swapped": [0, 0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0],
        "shifted": [0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0],
        "dilated": [1, 1, 1, 0, 2, 2, 2, 0, 2, 2, 2, 0],
    }
    found = run_script(MetricsPlayground, "preset", [[name, truth, 3, 4, 3] for name in expected])
    assert dict(zip(expected, found, strict=True)) == expected


def scores(page: Page) -> list[float]:
    """Pixel accuracy, mean IoU, mean Dice, mean Boundary IoU, as the page shows them."""
    return [float(text) for text in page.locator(".st-tiles dd").all_inner_texts()]


@pytest.fixture
def page(open_figure) -> Page:
    return open_figure(MetricsPlayground())


def test_buttons_set_the_prediction(page: Page) -> None:
    page.get_by_role("button", name="as the truth").click()
    assert scores(page) == [1, 1, 1, 1]
    page.get_by_role("button", name="all background").click()
    background = (_street() == 0).double().mean().item()
    assert scores(page)[:2] == pytest.approx([background, background / 3], abs=6e-4)
    page.get_by_role("button", name="car and person swapped").click()
    assert scores(page)[1] == pytest.approx(1 / 3, abs=6e-4)


def test_mouse_paints_the_prediction(page: Page) -> None:
    page.get_by_role("button", name="as the truth").click()
    page.get_by_role("radio", name="car").check(force=True)
    box = page.get_by_role("application").nth(1).bounding_box()
    assert box is not None
    cell = box["width"] / 28
    page.mouse.move(box["x"] + 0.5 * cell, box["y"] + 0.5 * cell)
    page.mouse.down()
    page.mouse.move(box["x"] + 3.5 * cell, box["y"] + 0.5 * cell, steps=8)
    page.mouse.up()
    page.mouse.move(box["x"] + 9.5 * cell, box["y"] + 0.5 * cell)
    assert scores(page)[0] == pytest.approx(1 - 4 / 448, abs=6e-4)
    assert "4 of 448 pixels" in page.get_by_role("status").inner_text()


def test_keys_paint_either_grid(page: Page) -> None:
    page.get_by_role("button", name="as the truth").click()
    for grid in (0, 1):
        page.get_by_role("application").nth(grid).focus()
        for key in ("2", "ArrowUp", "Space", "Shift+ArrowRight"):
            page.keyboard.press(key)
        wrong = 2 - 2 * grid  # painted in the truth, then the same in the prediction
        assert page.get_by_role("status").inner_text().startswith(f"{wrong} of 448")
    name = page.get_by_role("application").nth(1).get_attribute("aria-label")
    assert name is not None
    assert name.startswith("Prediction, row 8, column 16: person")


def test_finger_paints(open_figure) -> None:
    page = open_figure(MetricsPlayground(), width=390, has_touch=True)
    page.get_by_role("button", name="as the truth").tap()
    page.get_by_role("application").nth(1).tap(position={"x": 2, "y": 2})
    assert page.get_by_role("status").inner_text().startswith("1 of 448")
