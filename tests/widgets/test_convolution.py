"""Sizes, cells and receptive fields in the page are those of torch's convolutions."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from playwright.sync_api import Page
from torch import Tensor, nn

from segtut.models.geometry import receptive_field
from segtut.widgets import ConvolutionGeometry


def gradient(layers: nn.Module, size: int, place: int) -> Tensor:
    """Where along a signal of this size the output at a place looks."""
    for parameter in layers.parameters():
        nn.init.ones_(parameter)
    signal = torch.zeros(1, 1, size, requires_grad=True)
    (slope,) = torch.autograd.grad(layers(signal)[0, 0, place], signal)
    return slope[0, 0]


def layer(kernel: int, stride: int, padding: int, dilation: int) -> nn.Conv1d:
    return nn.Conv1d(1, 1, kernel, stride, padding, dilation, bias=False)


def test_output_size_is_that_of_torch(run_script) -> None:
    cases = list(product(range(3, 17), range(1, 8), range(1, 5), range(5), range(1, 5)))
    cases = cases[::11]  # prime to the lengths of all ranges, so that each number meets each other
    found = run_script(ConvolutionGeometry, "outputSize", [list(case) for case in cases])
    for (size, *numbers), outputs in zip(cases, found, strict=True):
        try:
            expected = layer(*numbers)(torch.zeros(1, 1, size)).shape[-1]
        except RuntimeError:  # the kernel is larger than the padded signal
            expected = 0
        assert outputs == expected, (size, *numbers)


def test_cells_read_are_where_the_gradient_is(run_script) -> None:
    for size, *numbers in ((10, 3, 2, 0, 1), (9, 5, 1, 2, 1), (16, 3, 4, 1, 2), (12, 2, 3, 0, 4)):
        outputs = layer(*numbers)(torch.zeros(1, 1, size)).shape[-1]
        slopes = [gradient(layer(*numbers), size, place) for place in range(outputs)]
        cells = run_script(
            ConvolutionGeometry, "cellsRead", [[o, *numbers] for o in range(outputs)]
        )
        for slope, found in zip(slopes, cells, strict=True):
            assert [c for c in found if 0 <= c < size] == slope.nonzero().flatten().tolist()
        (read,) = run_script(ConvolutionGeometry, "pixelsRead", [[size, *numbers]])
        assert read == (torch.stack(slopes).sum(0) > 0).tolist()


@pytest.mark.parametrize(
    "layers", [[(3, 1, 1)] * 4, [(3, 2, 2)] * 3, [(3, 1, 1), (2, 2, 1), (3, 1, 1), (2, 2, 1)]]
)
def test_stack_is_what_gradients_and_arithmetic_say(run_script, layers) -> None:
    levels = run_script(ConvolutionGeometry, "stack", [[layers]])[0]
    lines = nn.Sequential(*(layer(k, s, 0, d) for k, s, d in layers))
    assert levels[0]["reads"] == gradient(lines, 300, 0).nonzero().flatten().tolist()
    maps = nn.Sequential(*(nn.Conv2d(3, 3, k, s, 0, d) for k, s, d in layers))
    assert levels[-1]["field"] == receptive_field(maps)
    assert levels[-1]["stride"] == gradient(lines, 300, 1).nonzero().min()


def rows(page: Page) -> list[str]:
    return page.locator("tbody td").all_inner_texts()


@pytest.fixture
def page(open_figure, street) -> Page:
    return open_figure(ConvolutionGeometry(street(16, 16)[0]))


def test_sliders_change_the_size(page: Page) -> None:
    assert rows(page)[0] == "4"
    assert rows(page)[2] == "1 of 10"
    page.get_by_role("slider", name="Padding P").focus()
    page.keyboard.press("ArrowRight")
    assert rows(page)[:2] == ["5", "⌊(10 + 2 − 3) / 2⌋ + 1"]
    assert rows(page)[2] == "0 of 10"
    page.get_by_role("slider", name="Stride S").focus()
    page.keyboard.press("End")
    assert rows(page)[0] == "3"


def test_a_window_that_does_not_fit(page: Page) -> None:
    page.get_by_role("slider", name="Dilation").focus()
    page.keyboard.press("End")
    page.get_by_role("slider", name="Kernel").focus()
    page.keyboard.press("End")
    assert rows(page)[0] == "0"
    assert "25 cells" in page.get_by_role("status").inner_text()
    page.get_by_role("slider", name="Kernel").focus()
    page.keyboard.press("Home")
    assert rows(page)[0] == "5"


def test_mouse_and_keys_choose_an_output(page: Page) -> None:
    stage = page.get_by_role("application")
    stage.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert "row 2, column 2" in (stage.get_attribute("aria-label") or "")
    first = page.locator(".st-seen").first
    assert (first.get_attribute("x"), first.get_attribute("y")) == ("2", "2")
    box = stage.locator("svg").bounding_box()
    assert box is not None
    cell = box["width"] / 10.4
    page.mouse.click(box["x"] + 3.7 * cell, box["y"] + 0.7 * cell)
    assert "row 1, column 4" in (stage.get_attribute("aria-label") or "")


def test_padding_in_the_window_is_counted(page: Page) -> None:
    page.get_by_role("slider", name="Padding P").focus()
    page.keyboard.press("ArrowRight")
    assert "5 of them padding" in page.get_by_role("status").inner_text()


def test_stack_of_the_document(page: Page) -> None:
    page.get_by_role("radio", name="the document's four").check(force=True)
    assert rows(page)[3:] == ["10, 4", "10 → 8 → 4 → 2 → 1"]
    cells = page.locator(".st-unit.st-reads")
    assert cells.count() == 10 + 8 + 4 + 2 + 1


def test_what_does_not_fit_is_refused(street) -> None:
    with pytest.raises(ValueError, match=r"shape \(3, 96, 128\), expected \(3, 16, 16\)"):
        ConvolutionGeometry(street()[0])
    with pytest.raises(ValueError, match="stride 5 was given, expected 1 to 4"):
        ConvolutionGeometry(street(16, 16)[0], stride=5)
