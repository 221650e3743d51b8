"""The losses in the page are those of segtut.losses, and their pulls are what autograd finds."""

from __future__ import annotations

import pytest
import torch
from playwright.sync_api import Page

from segtut.losses import CrossEntropyLoss, FocalLoss
from segtut.widgets import LossCurves


def by_autograd(z: float, gamma: float) -> tuple[list[float], list[float]]:
    """Loss and pull of the three losses for one pixel of class 0 with the logits (z, 0)."""
    leaf = torch.tensor(z, dtype=torch.float64, requires_grad=True)
    logits = torch.stack([leaf, leaf.new_zeros(())])[None, :, None, None]
    target = torch.zeros(1, 1, 1, dtype=torch.int64)
    wanted = torch.tensor([1.0, 0.0]).double()
    losses = [
        CrossEntropyLoss()(logits, target),
        ((logits.flatten().softmax(0) - wanted) ** 2).sum() / 2,
        FocalLoss(gamma=gamma)(logits, target),
    ]
    pulls = [-torch.autograd.grad(loss, leaf, retain_graph=True)[0].item() for loss in losses]
    return [loss.item() for loss in losses], pulls


def test_losses_and_pulls_equal_autograd(run_script) -> None:
    cases = [
        [z, gamma] for z in (-8.0, -3.3, -0.5, 0.0, 1.7, 8.0) for gamma in (0.0, 0.5, 2.0, 5.0)
    ]
    for found, (z, gamma) in zip(run_script(LossCurves, "atLogit", cases), cases, strict=True):
        losses, pulls = by_autograd(z, gamma)
        assert found["losses"] == pytest.approx(losses, rel=1e-9)
        assert found["pulls"] == pytest.approx(pulls, rel=1e-9)


def rows(page: Page) -> dict[str, list[float]]:
    """Loss and pull of each loss, as the table shows them."""
    return {
        row.locator("th").inner_text(): [
            float(text) for text in row.locator("td").all_inner_texts()
        ]
        for row in page.locator("tbody tr").all()
    }


def assert_shows(page: Page, z: float, gamma: float) -> None:
    losses, pulls = by_autograd(z, gamma)
    for found, loss, pull in zip(rows(page).values(), losses, pulls, strict=True):
        assert found == pytest.approx([loss, pull], abs=6e-5)


def test_keys_move_the_logit_and_gamma(open_figure) -> None:
    page = open_figure(LossCurves())
    assert_shows(page, -4.0, 2.0)
    page.get_by_role("slider", name="Logit z").focus()
    page.keyboard.press("Home")
    assert_shows(page, -8.0, 2.0)
    cross, squared, _ = by_autograd(-8.0, 2.0)[1]
    assert f"{cross / squared:,.0f} times" in page.get_by_role("status").inner_text()
    page.get_by_role("slider", name="Focal loss").focus()
    page.keyboard.press("Home")
    assert_shows(page, -8.0, 0.0)
    table = rows(page)
    assert table["Focal loss"] == table["Cross-entropy"]


@pytest.mark.parametrize("chart", [0, 1])
def test_mouse_drags_the_logit(open_figure, chart: int) -> None:
    page = open_figure(LossCurves())
    picture = page.get_by_role("img").nth(chart)
    box = picture.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 50, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + (36 + box["width"] - 12) / 2, box["y"] + 60, steps=4)
    page.mouse.up()
    page.mouse.move(box["x"] + 50, box["y"] + 60)
    assert_shows(page, 0.0, 2.0)
    page.get_by_role("radio", name="probability").check(force=True)
    page.mouse.click(box["x"] + 36 + 0.9 * (box["width"] - 48), box["y"] + 60)
    assert_shows(page, 2.2, 2.0)  # ln 9, to the slider's step


def test_numbers_off_the_sliders_are_refused() -> None:
    with pytest.raises(ValueError, match="a logit of -8 to 8"):
        LossCurves(logit=9)
    with pytest.raises(ValueError, match="gamma of 0 to 5"):
        LossCurves(gamma=-1)
