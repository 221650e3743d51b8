"""The surface and the steps in the page are those of torch, and the reader steers them."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from playwright.sync_api import Page
from torch import Tensor
from torch.nn import functional

from segtut.widgets import Descent
from segtut.widgets.descent import KINDS, slope, surface


@pytest.fixture
def pixels() -> tuple[Tensor, Tensor]:
    """Sixty numbers between 0 and 1, those of the class larger by and large."""
    generator = torch.Generator().manual_seed(0)
    positive = torch.arange(60) % 3 == 0
    feature = torch.rand(60, generator=generator) * 0.6 + 0.4 * positive
    return (1e4 * feature.double()).round() / 1e4, positive.long()


def torch_loss(kind: str, feature: Tensor, positive: Tensor, point: Tensor) -> Tensor:
    """The loss at point (2,), weight and bias, by torch."""
    z = point[0] * feature.double() + point[1]
    truth = positive.double()
    if kind == "cross_entropy":
        return functional.binary_cross_entropy_with_logits(z, truth)
    return functional.mse_loss(z if kind == "linear" else z.sigmoid(), truth)


def sgd_path(
    kind: str, pixels: tuple[Tensor, Tensor], start: list[float], rate: float, momentum: float
) -> list[list[float]]:
    """Weight, bias and loss at the start and after each of 12 steps of torch.optim.SGD."""
    point = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([point], lr=rate, momentum=momentum)
    path = []
    for _ in range(13):
        loss = torch_loss(kind, *pixels, point)
        path.append([*point.tolist(), loss.item()])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_loss_and_slopes_equal_autograd(run_script, pixels, kind: str) -> None:
    points = [[0.0, 0.0], [3.0, -2.0], [-40.0, 25.0]]
    lists = [part.tolist() for part in pixels]
    found = run_script(Descent, "lossAt", [[kind, *lists, *point] for point in points])
    arrays = [part.double().numpy() for part in pixels]
    for (loss, *slopes), point in zip(found, points, strict=True):
        leaf = torch.tensor(point, dtype=torch.float64, requires_grad=True)
        expected = torch_loss(kind, *pixels, leaf)
        expected.backward()
        assert loss == pytest.approx(expected.item(), rel=1e-9)
        assert slopes == pytest.approx(leaf.grad.tolist(), rel=1e-7, abs=1e-15)
        assert surface(kind, *arrays, *point) == pytest.approx(expected.item(), rel=1e-9)
        assert slope(kind, *arrays, *point) == pytest.approx(leaf.grad.numpy(), rel=1e-7, abs=1e-15)


@pytest.mark.parametrize("momentum", [0.0, 0.8])
@pytest.mark.parametrize("kind", KINDS)
def test_steps_are_those_of_torch(run_script, pixels, kind: str, momentum: float) -> None:
    lists = [part.tolist() for part in pixels]
    case = [kind, *lists, [-4.0, 3.0], 0.5, momentum, 12]
    (found,) = run_script(Descent, "descend", [case])
    expected = sgd_path(kind, pixels, [-4.0, 3.0], 0.5, momentum)
    assert np.array(found) == pytest.approx(np.array(expected), rel=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_lowest_point_and_limit(pixels, kind: str) -> None:
    figure = Descent(*pixels)
    w, b, loss = figure.lowest[kind]
    point = torch.tensor([w, b], dtype=torch.float64, requires_grad=True)
    value = torch_loss(kind, *pixels, point)
    assert loss == pytest.approx(value.item(), rel=1e-9)
    assert torch.autograd.grad(value, point)[0].abs().max() < 1e-4
    hessian = torch.autograd.functional.hessian(
        lambda at: torch_loss(kind, *pixels, at), point.detach()
    )
    eigenvalues = torch.linalg.eigvalsh(hessian)
    assert eigenvalues[0] > 0
    assert figure.limits[kind] == pytest.approx(2 / eigenvalues[1].item(), rel=1e-6)


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_limit_parts_rest_from_divergence(run_script, pixels, momentum: float) -> None:
    figure = Descent(*pixels)
    limit = figure.limits["linear"] * (1 + momentum)
    lists = [part.tolist() for part in pixels]
    start = [2.0, 2.0]
    cases = [["linear", *lists, start, part * limit, momentum, 2000] for part in (0.99, 1.01)]
    below, above = run_script(Descent, "descend", cases)
    assert below[-1][2] == pytest.approx(figure.lowest["linear"][2], abs=1e-6)
    assert above[-1][2] > 1e6


def state(page: Page) -> tuple[int, float, float, float]:
    """Step, weight, bias and loss that the sentence under the figure tells."""
    text = page.get_by_role("status").inner_text().replace("−", "-")
    number = r"(-?[\d.]+(?:e[+-]\d+)?)"
    found = re.match(rf"Step (\d+): w = {number}, b = {number}, loss {number};", text)
    assert found is not None, text
    return int(found[1]), float(found[2]), float(found[3]), float(found[4])


def opening_rate(figure: Descent, kind: str) -> float:
    """A quarter of the limit, to a twentieth of a power of ten, as the slider is set."""
    return 10 ** (round(20 * np.log10(figure.limits[kind] / 4)) / 20)


@pytest.fixture
def page(open_figure, pixels) -> Page:
    return open_figure(Descent(*pixels, name="blueness", label="sky"), reduced_motion="reduce")


def test_buttons_step_run_and_return(page: Page, pixels) -> None:
    figure = Descent(*pixels)
    w, b, lowest = figure.lowest["cross_entropy"]
    rate = opening_rate(figure, "cross_entropy")
    expected = sgd_path("cross_entropy", pixels, [-w, -b], rate, 0.0)
    assert state(page) == pytest.approx((0, *expected[0]), abs=6e-3)
    page.get_by_role("button", name="Step").click()
    page.get_by_role("button", name="Step").click()
    assert state(page) == pytest.approx((2, *expected[2]), abs=6e-3)
    page.get_by_role("button", name="Run").click()
    step, *_, loss = state(page)
    assert step == 102
    assert lowest < loss < expected[2][2]
    page.get_by_role("button", name="Back to the start").click()
    assert state(page) == pytest.approx((0, *expected[0]), abs=6e-3)


def test_keys_move_the_start_and_step(page: Page, pixels) -> None:
    _, w, b, _ = state(page)
    page.get_by_role("application").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    moved = state(page)
    assert moved[0] == 0
    assert moved[1] > w
    assert moved[2] < b
    page.keyboard.press("Space")
    assert state(page)[0] == 1
    assert state(page)[3] < moved[3]
    page.get_by_role("slider", name="Momentum").focus()
    page.keyboard.press("End")
    page.get_by_role("application").focus()
    for _ in range(3):
        page.keyboard.press("Enter")
    assert state(page)[0] == 4


def test_mouse_drags_the_start(page: Page, pixels) -> None:
    box = page.get_by_role("application").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=3)
    page.mouse.up()
    page.mouse.move(box["x"] + 10, box["y"] + 10)
    step, w, b, loss = state(page)
    assert (step, w, b) == (0, pytest.approx(0, abs=0.02), pytest.approx(0, abs=0.02))
    assert loss == pytest.approx(np.log(2), abs=6e-3)


def test_too_large_a_rate_diverges_in_the_bowl(page: Page) -> None:
    page.get_by_role("radio", name="no sigmoid").check(force=True)
    page.get_by_role("slider", name="Learning rate").focus()
    page.keyboard.press("End")
    page.get_by_role("button", name="Run").click()
    assert state(page)[3] > 1e9
    assert "grows" in page.get_by_role("status").inner_text()


def test_run_moves_by_itself_and_pauses(open_figure, pixels) -> None:
    page = open_figure(Descent(*pixels))
    page.get_by_role("button", name="Run").click()
    page.wait_for_function("/Step [3-9]:/.test(document.querySelector('[role=status]').innerText)")
    page.get_by_role("button", name="Pause").click()
    step = state(page)[0]
    assert 3 <= step < 100
    assert page.get_by_role("button", name="Run").is_visible()


@pytest.mark.parametrize(
    ("feature", "positive", "text"),
    [
        ([0.1, 0.2, 0.3], [0, 1, 0], "n from 4 to 200"),
        ([0.1, 0.2, 0.3, 0.4], [0, 0, 0, 0], "both 0 and 1"),
        ([0.1, 0.2, 0.3, 0.4], [0, 2, 1, 1], "both 0 and 1"),
        ([0.1, 0.2, float("nan"), 0.4], [0, 1, 0, 1], "finite"),
        ([0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1], "separates the two groups"),
    ],
)
def test_what_does_not_fit_is_refused(feature: list[float], positive: list[int], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Descent(torch.tensor(feature), torch.tensor(positive))
