"""The activation map in the page is torch's, and switching features changes score, map and IoU."""

from __future__ import annotations

import pytest
import torch
from playwright.sync_api import Page
from torch import Tensor
from torch.nn.functional import interpolate

from segtut.widgets import ActivationMap
from segtut.widgets.base import state_weight

WEIGHTS = torch.tensor([1.5, -0.8, 0.3, 2.0])
BIAS = -1.25


def draw(scenes: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures of 24x35, their labels with void, and features of 6x9; the last scene is empty."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (scenes, 3, 24, 35), generator=generator, dtype=torch.uint8)
    target = torch.zeros(scenes, 24, 35, dtype=torch.int64)
    target[0, 6:19, 10:17] = 1
    target[:, :, 30] = 255
    features = torch.rand(scenes, 4, 6, 9, generator=generator) * torch.tensor(
        [3.0, 1.0, 0.5, 2.0]
    ).view(4, 1, 1)
    features[:, 3] *= features[:, 3] > 1.6
    return images, target, features


def make() -> ActivationMap:
    return ActivationMap(*draw(), WEIGHTS, BIAS)


def opening(figure: ActivationMap) -> float:
    """Where the threshold starts: half of the first map's maximum, in steps of 0.05."""
    return round(10 * figure.maps()[0].max().item()) / 20


def expected(figure: ActivationMap, on: list[bool], more: float = 0.0) -> tuple[float, str]:
    """Class score of the first scene, and its IoU `more` above the opening threshold."""
    threshold = opening(figure) + more
    coded = torch.frombuffer(bytearray(figure.features), dtype=torch.uint8).view(2, 4, 6, 9)
    values = coded[0].float() * torch.tensor(figure.steps)[:, None, None]
    coarse = torch.einsum("fhw,f->hw", values, WEIGHTS * torch.tensor(on)) + BIAS
    large = interpolate(coarse[None, None], (24, 35), mode="bilinear")[0, 0]
    truth = draw()[1][0]
    claimed, people, known = large > threshold, truth == 1, truth != 255
    union = ((claimed | people) & known).sum().item()
    return coarse.mean().item(), f"{(claimed & people & known).sum().item() / union:.3f}"


def tile(page: Page, name: str) -> str:
    return page.locator(".st-tiles div", has_text=name).locator("dd").inner_text()


def shown(page: Page) -> tuple[float, str]:
    return float(tile(page, "Class score").replace("−", "-")), tile(page, "IoU of people")


def test_features_travel_as_bytes() -> None:
    figure = make()
    features = draw()[2]
    exact = torch.einsum("kfhw,f->khw", features, WEIGHTS) + BIAS
    half_steps = (features.amax((0, 2, 3)) / 255 / 2 * WEIGHTS.abs()).sum().item()
    assert (figure.maps() - exact).abs().max() <= half_steps + 1e-6
    assert state_weight(figure) < 60_000


def test_map_equals_torch(run_script) -> None:
    figure = make()
    first = list(figure.features[: 4 * 6 * 9])
    arguments = [first, figure.steps, WEIGHTS.tolist(), BIAS]
    (found,) = run_script(ActivationMap, "activation", [[*arguments, [True] * 4]])
    torch.testing.assert_close(torch.tensor(found).view(6, 9), figure.maps()[0])
    (empty,) = run_script(ActivationMap, "activation", [[*arguments, [False] * 4]])
    assert empty == [BIAS] * 54


@pytest.mark.parametrize("size", [(24, 36), (7, 23), (6, 9), (5, 4)])
def test_upsampling_equals_torch(run_script, size: tuple[int, int]) -> None:
    coarse = torch.rand(6, 9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (found,) = run_script(ActivationMap, "upsample", [[coarse.flatten().tolist(), [6, 9], size]])
    right = interpolate(coarse[None, None], size, mode="bilinear")[0, 0]
    torch.testing.assert_close(torch.tensor(found).double().view(size), right, rtol=0, atol=1e-6)


def test_counts_by_hand(run_script) -> None:
    found = run_script(
        ActivationMap,
        "compare",
        [[[2, 2, 0, 0, 2], [1, 0, 1, 0, 255], 1], [[0, 0], [0, 255], 1]],
    )
    assert found == [
        {"found": 1, "falselyClaimed": 1, "missed": 1, "iou": pytest.approx(1 / 3)},
        {"found": 0, "falselyClaimed": 0, "missed": 0, "iou": None},
    ]


def test_labels_survive_the_packing(run_script) -> None:
    packed, target = list(make().labels), draw()[1]
    (found,) = run_script(ActivationMap, "unpack", [[packed, target.numel()]])
    assert found == target.flatten().tolist()


def test_switching_a_feature_by_mouse_and_keyboard(open_figure) -> None:
    figure = make()
    page = open_figure(figure)
    on = [True] * 4
    score, iou = expected(figure, on)
    assert shown(page) == (pytest.approx(score, abs=0.006), iou)
    page.get_by_role("checkbox", name="Feature 1, weight +1.50").click()
    on[0] = False
    score, iou = expected(figure, on)
    assert shown(page) == (pytest.approx(score, abs=0.006), iou)
    page.get_by_role("checkbox", name="Feature 4").focus()
    page.keyboard.press("Space")
    on[3] = False
    score, iou = expected(figure, on)
    assert shown(page) == (pytest.approx(score, abs=0.006), iou)
    page.get_by_role("button", name="none").click()
    assert shown(page)[0] == pytest.approx(BIAS, abs=0.006)
    assert "0 of 4 features" in page.get_by_role("status").inner_text()


def test_threshold_and_scene(open_figure) -> None:
    figure = make()
    page = open_figure(figure)
    page.get_by_role("slider", name="Threshold").focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    assert (
        shown(page)[1]
        == expected(figure, [True] * 4, more=0.5)[1]
        != expected(figure, [True] * 4)[1]
    )
    page.get_by_role("radio", name="2").check(force=True)
    assert "there is none" in page.get_by_role("status").inner_text()
    assert tile(page, "IoU of people") in ("none", "0.000")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda a, b, c: (a[:1], b, c, WEIGHTS, 0.0), "1 images, 2 label maps"),
        (lambda a, b, c: (a, b, c[0], WEIGHTS, 0.0), r"expected as many of each"),
        (lambda a, b, c: (a, b, c, WEIGHTS[:3], 0.0), "one for each of the 4 features"),
        (lambda a, b, c: (a, b, c - 1, WEIGHTS, 0.0), "a feature is negative"),
        (lambda a, b, c: (a, b.clamp(max=7), c, WEIGHTS, 0.0), "the label 7"),
        (lambda a, b, c: (a / 255, b, c, WEIGHTS, 0.0), "expected uint8"),
    ],
)
def test_what_does_not_fit_is_refused(change, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        ActivationMap(*change(*draw()))
