"""The network in the page is the one that torch and scikit-learn compute, and its lines move."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from playwright.sync_api import Page
from sklearn.linear_model import LogisticRegression

from segtut.metrics import ConfusionMatrix
from segtut.widgets import ColorBoundary

GAIN = 30.0
ACTIVATIONS = {
    "sigmoid": torch.sigmoid,
    "relu": lambda a: a.clamp(min=0) / 10,
    "none": lambda a: a / 10,
}
LINES = [
    {"angle": 1.2, "offset": 0.1},
    {"angle": -2.0, "offset": -0.15},
    {"angle": 0.3, "offset": 0.05},
]


def skies(pictures: int = 2, size: tuple[int, int] = (16, 20)) -> dict[str, object]:
    """Pictures in which blue and white are sky, and a pale blue between them is a wall."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(0, 3, (pictures, *size), generator=generator)
    kinds = torch.tensor([[60, 120, 210], [140, 180, 220], [90, 80, 60], [235, 235, 240]])
    which = torch.where(
        (targets == 0) & (torch.rand(targets.shape, generator=generator) < 0.5), 3, targets
    )
    noise = torch.randint(-14, 15, (*targets.shape, 3), generator=generator)
    images = (kinds[which] + noise).clamp(0, 255).to(torch.uint8).permute(0, 3, 1, 2)
    targets[:, 5] = 255
    palette = ((131, 209, 252), (203, 134, 116), (51, 52, 64))
    classes = ("sky", "wall", "road")
    return {"images": images, "targets": targets, "classes": classes, "palette": palette}


def make(**changes: object) -> ColorBoundary:
    arguments = skies() | changes
    return ColorBoundary(arguments.pop("images"), arguments.pop("targets"), **arguments)


def places(images: torch.Tensor, figure: ColorBoundary) -> torch.Tensor:
    """Where each pixel lies in the plane (N, 2), in double precision."""
    red, _, blue = images.double().movedim(1, 0) / 255
    bluer = (blue - red - figure.low) / (figure.high - figure.low)
    return torch.stack([images.double().mean(1) / 255, bluer], -1).flatten(0, -2)


def sums(angle: torch.Tensor, offset: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    normal = torch.stack([angle.cos(), angle.sin()])
    return GAIN * ((points - 0.5) @ normal - offset)


def test_state_holds_the_pictures() -> None:
    figure, given = make(), skies()
    assert (figure.pictures, figure.height, figure.width) == (2, 16, 20)
    assert figure.pixels == given["images"].permute(0, 2, 3, 1).numpy().tobytes()
    points = places(given["images"], figure)
    assert points.min() >= 0
    assert points.max() <= 1
    assert "sky" in figure.alternative_text()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"label": 7}, "none of the pixels are labeled 7"),
        ({"targets": torch.zeros(2, 16, 20, dtype=torch.int64)}, "all of the pixels are labeled 0"),
        ({"targets": skies(3)["targets"]}, "2 images and 3 targets"),
        ({"targets": skies(2, (16, 21))["targets"]}, "expected one size"),
        ({"images": torch.rand(2, 3, 16, 20)}, "float32"),
        (skies(5), "5 images and 5 targets .* 1 to 4"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make(**changes)


def test_plane_is_brightness_and_blueness(run_script) -> None:
    figure, given = make(), skies()
    pixels = np.frombuffer(figure.pixels, np.uint8).tolist()
    (found,) = run_script(ColorBoundary, "planeOf", [[pixels, figure.low, figure.high]])
    expected = places(given["images"], figure).flatten()
    torch.testing.assert_close(torch.tensor(found, dtype=torch.float64), expected)


def sample() -> tuple[torch.Tensor, torch.Tensor]:
    figure, given = make(), skies()
    keep = given["targets"].flatten() != 255
    return places(given["images"], figure)[keep], (given["targets"].flatten()[keep] == 0).double()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_output_neuron_is_logistic_regression(activation: str, run_script) -> None:
    points, truth = sample()
    hidden = torch.stack(
        [
            ACTIVATIONS[activation](sums(*torch.tensor([v["angle"], v["offset"]]).double(), points))
            for v in LINES
        ],
        dim=1,
    )
    case = [LINES, activation, points.flatten().tolist(), truth.tolist(), None]
    (found,) = run_script(ColorBoundary, "fit", [case])
    # scikit-learn's penalty is |w|^2 / 2C beside the sum of the losses; here 1e-4 |w|^2 / 2 a pixel
    oracle = LogisticRegression(C=1e4 / len(truth), tol=1e-10, max_iter=10_000)
    oracle.fit(hidden.numpy(), truth.numpy())
    expected = [*oracle.coef_[0], oracle.intercept_[0]]
    assert found == pytest.approx(expected, rel=2e-3, abs=2e-3)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("number", [1, 3])
def test_gradient_is_that_of_autograd(number: int, activation: str, run_script) -> None:
    points, truth = sample()
    lines, weights = LINES[:number], [*[2.0, -1.5, 0.7][:number], 0.3]
    arguments = [lines, activation, weights, points.flatten().tolist()]
    (found,) = run_script(ColorBoundary, "gradient", [[*arguments, truth.tolist()]])
    (shown,) = run_script(ColorBoundary, "logits", [arguments])
    leaves = torch.tensor([[v["angle"], v["offset"]] for v in lines]).double().requires_grad_()
    hidden = torch.stack([sums(*leaf, points) for leaf in leaves], dim=1)
    if number == 1:
        logits = hidden[:, 0]
    else:
        output = torch.tensor(weights).double()
        logits = ACTIVATIONS[activation](hidden) @ output[:-1] + output[-1]
    torch.nn.functional.binary_cross_entropy_with_logits(logits, truth).backward()
    torch.testing.assert_close(torch.tensor(shown).double(), logits.detach(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(torch.tensor(found).double(), leaves.grad, rtol=1e-6, atol=1e-8)


def tiles(page: Page) -> list[float]:
    """IoU of the class and pixel accuracy, as the page shows them."""
    return [float(text) for text in page.locator(".st-tiles dd").all_inner_texts()]


def scores_of(said: torch.Tensor) -> list[float]:
    """The same two scores by segtut.metrics; said: (N) bool, one a pixel of `skies()`."""
    targets = skies()["targets"]
    truth = torch.where(targets == 255, 255, (targets == 0).long())
    confusion = ConfusionMatrix(2)
    confusion.update(said.view(targets.shape).long(), truth)
    return [confusion.iou()[1].item(), confusion.pixel_accuracy()]


def by_blueness(more: float) -> list[float]:
    figure = make()
    opening = (figure.opening - figure.low) / (figure.high - figure.low)
    return scores_of(places(skies()["images"], figure)[:, 1] > opening + more)


@pytest.fixture
def page(open_figure) -> Page:
    return open_figure(make(), reduced_motion="reduce")


def test_one_neuron_is_its_line(page: Page) -> None:
    assert tiles(page) == pytest.approx(by_blueness(0), abs=6e-4)


def test_keys_move_and_turn_the_line(page: Page) -> None:
    plane = page.get_by_role("application")
    plane.focus()
    for _ in range(4):
        page.keyboard.press("ArrowUp")
    assert tiles(page) == pytest.approx(by_blueness(0.08), abs=6e-4)
    assert tiles(page) != pytest.approx(by_blueness(0), abs=6e-4)
    name = plane.get_attribute("aria-label")
    assert name is not None
    assert name.startswith("Line 1 of 1, direction 90 degrees")
    page.keyboard.press("Shift+ArrowLeft")
    assert "direction 93 degrees" in (plane.get_attribute("aria-label") or "")


def test_keys_move_a_slanted_line_along_its_normal(page: Page) -> None:
    page.get_by_role("slider", name="Direction").fill("45")
    position = page.get_by_role("slider", name="Position")
    before = float(position.input_value())
    page.get_by_role("application").focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    moved = 5 * 0.02 * math.cos(math.pi / 4)
    assert float(position.input_value()) - before == pytest.approx(moved, abs=0.011)


def test_mouse_drags_the_line(page: Page) -> None:
    box = page.get_by_role("application").bounding_box()
    handle = page.locator(".st-plane circle[r='3.4']").bounding_box()
    assert box is not None
    assert handle is not None
    x, y = handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y - 0.1 * box["height"], steps=5)
    page.mouse.up()
    assert tiles(page) == pytest.approx(by_blueness(0.1), abs=0.02)
    position = page.get_by_role("slider", name="Position").input_value()
    page.mouse.move(x, y + 0.2 * box["height"])
    assert page.get_by_role("slider", name="Position").input_value() == position


def test_mouse_turns_the_line_by_its_tip(page: Page) -> None:
    handle = page.locator(".st-plane circle[r='3.4']").bounding_box()
    tip = page.locator(".st-plane circle[r='1.7']").bounding_box()
    assert handle is not None
    assert tip is not None
    page.mouse.move(tip["x"] + tip["width"] / 2, tip["y"] + tip["height"] / 2)
    page.mouse.down()
    x, y = handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2
    page.mouse.move(x + 40, y, steps=5)
    page.mouse.up()
    direction = page.get_by_role("slider", name="Direction").input_value()
    assert min(int(direction), 360 - int(direction)) <= 1


def test_table_holds_the_network(page: Page) -> None:
    page.get_by_role("radio", name="3", exact=True).check(force=True)
    rows = page.locator(".st-figures tbody tr").all()
    table = [[cell.inner_text() for cell in row.locator("td").all()] for row in rows]
    neurons = torch.tensor([[float(text) for text in row] for row in table[:3]])
    colors = skies()["images"].movedim(1, -1).reshape(-1, 3) / 255
    hidden = torch.sigmoid(colors @ neurons[:, :3].T + neurons[:, 3])
    logits = hidden @ neurons[:, 4] + float(table[3][3])
    assert tiles(page) == pytest.approx(scores_of(logits > 0), abs=0.03)  # one decimal is shown


def test_without_activation_no_line_matters(page: Page) -> None:
    page.get_by_role("radio", name="none").check(force=True)
    page.get_by_role("radio", name="2", exact=True).check(force=True)
    before = tiles(page)
    page.get_by_role("slider", name="Direction").fill("77")
    page.get_by_role("slider", name="Position").fill("0.2")
    assert tiles(page) == pytest.approx(before, abs=0.01)
    page.get_by_role("radio", name="sigmoid").check(force=True)
    bent = tiles(page)
    page.get_by_role("slider", name="Position").fill("-0.1")
    assert tiles(page) != pytest.approx(bent, abs=0.01)


def test_descent_finds_both_skies_with_three_neurons_and_not_with_one(page: Page) -> None:
    descend = page.get_by_role("button", name="Let gradient descent move the lines")
    descend.click()
    alone = tiles(page)[0]
    page.get_by_role("button", name="Start over").click()
    assert tiles(page) == pytest.approx(by_blueness(0), abs=6e-4)
    page.get_by_role("radio", name="3", exact=True).check(force=True)
    descend.click()
    assert tiles(page)[0] > max(alone + 0.1, 0.95)


def test_descent_is_animated_and_a_move_ends_it(open_figure) -> None:
    page = open_figure(make())
    slider = page.get_by_role("slider", name="Position")
    before = slider.input_value()
    page.get_by_role("button", name="Let gradient descent move the lines").click()
    page.wait_for_function(
        "before => document.querySelectorAll('input[type=range]')[1].value !== before", arg=before
    )
    slider.fill("0.3")
    page.wait_for_timeout(100)
    assert slider.input_value() == "0.3"


def test_opening_line_is_the_rule_of_the_text() -> None:
    assert math.isclose(make().opening, 0.1)
