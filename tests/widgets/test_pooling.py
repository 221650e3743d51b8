"""What the figure of 3.2.2 pools is what torch pools, and it answers to mouse and keyboard."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from playwright.sync_api import Page
from torch import Tensor
from torch.nn import functional as F

from segtut.widgets import PoolingShift


def pool(row: Tensor, kind: str) -> Tensor:
    """One pooling by 2 of a row (n,) that is closed to a ring."""
    ring = row[None, None]
    if kind == "max":
        return F.max_pool1d(ring, 2)[0, 0]
    if kind == "average":
        return F.avg_pool1d(ring, 2)[0, 0]
    larger = F.max_pool1d(F.pad(ring, (1, 2), mode="circular"), 2, stride=1)
    return F.conv1d(larger, torch.tensor([[[0.25, 0.5, 0.25]]]).to(row), stride=2)[0, 0]


def answer(row: Tensor, kind: str, times: int) -> Tensor:
    """The outputs, interpolated to the columns; the ring is opened with one output to spare."""
    for _ in range(times):
        row = pool(row, kind)
    opened = F.pad(row[None, None], (1, 1), mode="circular")
    return F.interpolate(opened, scale_factor=2**times, mode="linear")[0, 0, 2**times : -(2**times)]


@pytest.mark.parametrize("kind", ["max", "average", "blur"])
def test_pooling_equals_torch(run_script, kind: str) -> None:
    row = torch.rand(24, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for times in (1, 2, 3):
        (found,) = run_script(PoolingShift, "answer", [[row.tolist(), kind, times]])
        torch.testing.assert_close(torch.tensor(found).double(), answer(row, kind, times))
        shifts = range(9)
        results = run_script(
            PoolingShift, "compare", [[row.tolist(), kind, times, s] for s in shifts]
        )
        for shift, result in zip(shifts, results, strict=True):
            change = answer(row.roll(shift), kind, times).roll(-shift) - answer(row, kind, times)
            assert result["mean"] == pytest.approx(change.abs().mean().item(), abs=1e-6)
            assert sum(result["changed"]) == int((change.abs() > 0.1).sum())
            assert (result["mean"] < 1e-9) == (shift % 2**times == 0)


def test_railings_by_hand(run_script) -> None:
    """Zhang (2019), figure 2: 0 0 1 1 is 0 1 0 1 after max pooling, and all ones when shifted."""
    railings = [0, 0, 1, 1] * 6
    moved = [1, 0, 0, 1] * 6
    found = run_script(
        PoolingShift,
        "pooled",
        [[row, kind, 1] for row in (railings, moved) for kind in ("max", "blur")],
    )
    assert found == [[0, 1] * 6, [0.5, 1] * 6, [1, 1] * 6, [0.75, 0.75] * 6]


def changes(page: Page) -> list[tuple[float, int]]:
    """Mean change and changed columns, as written above the three layers."""
    titles = page.locator(".st-panel > .st-title").all_inner_texts()[1:]
    found = [re.search(r": mean change ([\d.]+), (\d+) of 24 columns", title) for title in titles]
    return [(float(match[1]), int(match[2])) for match in found if match]


def expected(row: Tensor, times: int, shift: int) -> list[tuple[Any, int]]:
    found = []
    for kind in ("max", "average", "blur"):
        back = answer(row.roll(shift), kind, times).roll(-shift)
        change = (back - answer(row, kind, times)).abs()
        found.append((pytest.approx(change.mean().item(), abs=0.006), int((change > 0.1).sum())))
    return found


def test_first_row_shows_what_the_remedy_does() -> None:
    """Max changes more than average pooling, average more than blur: in size and in columns."""
    figure = PoolingShift()
    row = torch.tensor(figure.signal, dtype=torch.float64)
    (most, wide), (some, less), (little, few) = expected(row, figure.poolings, 1)
    assert most.expected > 1.5 * some.expected > 2 * little.expected
    assert wide > less > few


def test_keys_shift_the_row(open_figure) -> None:
    figure = PoolingShift(poolings=2)
    row = torch.tensor(figure.signal, dtype=torch.float64)
    page = open_figure(figure)
    assert changes(page) == expected(row, 2, 1)
    page.get_by_role("slider", name="Shift").focus()
    for shift in (2, 3):
        page.keyboard.press("ArrowRight")
        assert changes(page) == expected(row, 2, shift)
    page.keyboard.press("ArrowRight")
    assert changes(page) == [(0, 0)] * 3
    assert "multiple" in page.get_by_role("status").inner_text()


def test_buttons_change_row_and_depth(open_figure) -> None:
    page = open_figure(PoolingShift())
    page.get_by_role("button", name="railings").click()
    row = torch.tensor([0.0, 0.0, 1.0, 1.0]).repeat(6)
    assert changes(page) == expected(row, 1, 1)
    table = page.locator("tbody tr").all_inner_texts()
    assert [line.split()[:4] for line in table] == [
        ["Max", "0", "50", "0"],
        ["Average", "0", "25", "0"],
        ["Blur", "0", "13", "0"],
    ]
    page.get_by_role("radio", name="3").check(force=True)
    assert changes(page) == expected(row, 3, 1)
    page.get_by_role("radio", name="2").check(force=True)
    assert [size for size, _ in changes(page)] == [0, 0, 0.25]  # the remedy is the worst here


def test_row_is_edited_by_mouse_and_keyboard(open_figure) -> None:
    page = open_figure(PoolingShift(torch.zeros(24)))
    assert changes(page) == [(0, 0)] * 3
    row = page.get_by_role("application")
    box = row.bounding_box()
    page.mouse.click(box["x"] + box["width"] * 10.5 / 24, box["y"] + 3)
    assert "column 11 of 24: 1.00" in (row.get_attribute("aria-label") or "")
    assert changes(page)[0] > (0, 0)
    for _ in range(11):
        page.keyboard.press("ArrowDown")
    assert changes(page) == [(0, 0)] * 3
    page.keyboard.press("ArrowLeft")
    assert "column 10 of 24: 0.00" in (row.get_attribute("aria-label") or "")


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: PoolingShift(torch.zeros(23)), r"shape \(23,\), expected \(24,\)"),
        (lambda: PoolingShift(torch.full((24,), 1.5)), "expected 0 to 1"),
        (lambda: PoolingShift(poolings=4), "expected 1, 2 or 3"),
    ],
)
def test_what_does_not_fit_is_refused(make, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make()
