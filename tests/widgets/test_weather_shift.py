"""What the page says of a street in bad weather is what torch says, with either statistics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from playwright.sync_api import Page
from torch import Tensor, nn

from segtut.data.palette import STREETS_PALETTE
from segtut.inference import export_program
from segtut.metrics import ConfusionMatrix
from segtut.models import UNet
from segtut.widgets import WeatherShift
from tests.widgets.conftest import COLORS, RunEngine, draw_blocks

HEIGHT, WIDTH = 24, 40


def network() -> UNet:
    """A network with the statistics of pictures that are darker than those of the test."""
    torch.manual_seed(0)
    model = UNet(8, width=4, depth=3, stem_stride=2)
    with torch.no_grad():
        for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm2d)):
            norm.momentum = None
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.normal_(0, 0.3)
        model.train()(0.6 * torch.rand(4, 3, HEIGHT, WIDTH))
        model.head.weight.mul_(4)
    return model.eval()


def streets() -> tuple[Tensor, Tensor]:
    image, target = draw_blocks(HEIGHT, WIDTH)
    return torch.stack([image, image // 3]), target.expand(2, -1, -1)


def make_shift() -> WeatherShift:
    return WeatherShift(network(), *streets(), names=("day", "night"), **COLORS)


def mixed(model: nn.Module, images: Tensor, share: float) -> Tensor:
    """The network with statistics of which `share` are those of the one picture it is given."""

    def forward(norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
        mean = (1 - share) * norm.running_mean + share * x.mean(dim=(0, 2, 3))
        var = (1 - share) * norm.running_var + share * x.var(dim=(0, 2, 3), unbiased=False)
        scaled = (x - mean[:, None, None]) / (var + norm.eps)[:, None, None].sqrt()
        return scaled * norm.weight[:, None, None] + norm.bias[:, None, None]

    for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.forward = forward.__get__(norm)
    with torch.inference_mode():
        return model(images)


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_engine_normalizes_with_the_picture_s_own_statistics(
    share: float, run_engine: RunEngine
) -> None:
    model, image = network(), torch.rand(3, HEIGHT, WIDTH)
    with torch.no_grad():
        first = next(module for module in model.modules() if isinstance(module, nn.BatchNorm2d))
        first.weight[0] = 0  # a channel that says the same everywhere
        first.weight[1] = -1
    program = export_program(model, own_statistics=share)
    assert sum(step["op"] == "standardize" for step in program.operations) == 10
    (found,) = run_engine(program, [image])
    assert (found - mixed(model, image[None], share)[0]).abs().max() < 1e-4
    if share == 1:
        with torch.no_grad():
            trains = network().train()
            trains.encoder.levels[0][1].weight[:2] = torch.tensor([0.0, -1.0])
            assert (found - trains(image[None])[0]).abs().max() < 1e-3
    (stored,) = run_engine(export_program(model), [image])
    assert (stored - found).abs().max() > 0.1


def test_shares_beyond_one_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 0 to 1"):
        export_program(network(), own_statistics=1.5)


def settle(page: Page) -> None:
    page.wait_for_selector(".segtut-figure[aria-busy=false]")


def shown(page: Page, which: int) -> np.ndarray:
    """RGB (H, W, 3) of the street (0), its labels (1) or the third picture (2)."""
    script = """canvas => [canvas.height, canvas.width,
        ...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data]"""
    height, width, *values = page.locator("canvas").nth(which).evaluate(script)
    return np.array(values, np.uint8).reshape(height, width, 4)[..., :3]


def tile(page: Page, name: str) -> float:
    text = page.locator(f".st-tiles div:has(dt:text-is('{name}')) dd").inner_text()
    return float(text.replace("\u00a0%", ""))


def torch_says(page: Page, share: float) -> tuple[Tensor, Tensor]:
    """Confidence and label of each pixel of the picture that the page shows."""
    image = torch.tensor(shown(page, 0).copy()).permute(2, 0, 1)[None] / 255
    confidence, said = mixed(network(), image, share)[0].softmax(dim=0).max(dim=0)
    return confidence, said


def agrees(page: Page, share: float, threshold: float) -> None:
    """The page's pictures and numbers are torch's, but for weights rounded to float16."""
    confidence, said = torch_says(page, share)
    target = streets()[1][0]
    valid, given = target != 255, confidence >= threshold
    wrong = (said != target)[valid & given].float().mean()
    clear = (confidence - threshold).abs() > 0.004
    labels, palette = shown(page, 1), np.array(STREETS_PALETTE, np.uint8)
    painted = (labels == palette[said.numpy()]).all(axis=-1)
    assert painted[(given & clear).numpy()].mean() > 0.99
    assert not painted[(~given & clear).numpy()].any()
    if page.get_by_role("radio", name="confidence").is_checked():
        assert np.abs(shown(page, 2)[..., 0] / 255 - confidence.numpy()).max() < 0.03
    assert abs(tile(page, "Labels given") - 100 * given[valid].float().mean()) < 2.5
    assert abs(tile(page, "Wrong among them") - 100 * wrong) < 2.5
    expected = 1 - confidence[valid & given].mean()
    assert abs(tile(page, "Wrong, it expects") - 100 * expected) < 2
    confusion = ConfusionMatrix(8)
    confusion.update(said, target)
    without = 100 - 100 * confusion.pixel_accuracy()
    assert abs(tile(page, "Wrong without silence") - without) < 1.5


def test_first_answer_is_torch_s(open_figure) -> None:
    page = open_figure(make_shift())
    settle(page)
    assert tile(page, "Labels given") == 100
    assert (shown(page, 0) == streets()[0][0].permute(1, 2, 0).numpy()).all()
    agrees(page, 0, 0)


def test_keyboard_turns_weather_statistics_and_silence(open_figure) -> None:
    page = open_figure(make_shift())
    settle(page)
    before = shown(page, 0)
    for name, key in (("Fog", "End"), ("Light", "Home"), ("Noise", "End")):
        page.get_by_role("slider", name=name).press(key)
        settle(page)
        assert not np.array_equal(before, shown(page, 0))
        before = shown(page, 0)
        agrees(page, 0, 0)
    page.get_by_role("slider", name="Silent below").focus()
    confidence, _ = torch_says(page, 0)
    wanted = round(100 * float(confidence.median()))
    for _ in range(wanted):
        page.keyboard.press("ArrowRight")
    agrees(page, 0, wanted / 100)
    stored = shown(page, 2)
    page.get_by_role("radio", name="stored").press("ArrowRight")
    settle(page)
    assert page.get_by_role("radio", name="half and half").is_checked()
    agrees(page, 0.5, wanted / 100)
    page.get_by_role("radio", name="of this picture").press("Space")
    settle(page)
    agrees(page, 1, wanted / 100)
    assert not np.array_equal(stored, shown(page, 2))


def test_mouse_picks_streets_and_promises(open_figure) -> None:
    page = open_figure(make_shift())
    settle(page)
    page.get_by_role("radio", name="night").click(force=True)
    settle(page)
    assert (shown(page, 0) == streets()[0][1].permute(1, 2, 0).numpy()).all()
    agrees(page, 0, 0)
    page.get_by_role("slider", name="Light").press("End")
    settle(page)
    page.get_by_role("button", name="Calm the weather").click()
    settle(page)
    assert (shown(page, 0) == streets()[0][1].permute(1, 2, 0).numpy()).all()
    page.get_by_role("radio", name="mistakes").click(force=True)
    _, said = torch_says(page, 0)
    target = streets()[1][0]
    right = ((said == target) & (target != 255)).numpy()
    assert (shown(page, 2)[right] == (208, 212, 220)).all(axis=-1).mean() > 0.99
    assert (shown(page, 2)[(said != target).numpy() & (target != 255).numpy()][:, 0] > 190).all()
    page.get_by_role("button", name="Promise 5").click()
    threshold = int(page.get_by_role("slider", name="Silent below").input_value()) / 100
    assert threshold > 0.2
    assert "left as it is" in page.get_by_role("status").inner_text()


def test_ranks_risks_and_promises_are_counted_by_hand(run_script) -> None:
    found = {"said": [0, 1, 1, 0, 1], "confidence": [0.9, 0.6, 0.8, 0.5, 0.99]}
    truth = [0, 0, 1, 1, 255]
    (ranks,) = run_script(WeatherShift, "ranked", [[found, truth]])
    assert ranks == {"sure": [0.9, 0.8, 0.6, 0.5], "wrong": [0, 0, 1, 2]}
    half, most, none, all_ = run_script(
        WeatherShift, "selected", [[ranks, t] for t in (0.8, 0.6, 0.95, 0)]
    )
    assert most["coverage"] == 0.75
    assert most["risk"] == pytest.approx(1 / 3)
    assert half == {"coverage": 0.5, "risk": 0, "expected": pytest.approx(0.15)}
    assert none == {"coverage": 0, "risk": None, "expected": None}
    assert all_ == {"coverage": 1, "risk": 0.5, "expected": pytest.approx(0.3)}
    (curve,) = run_script(WeatherShift, "riskCurve", [[ranks]])
    assert [curve[k] for k in (0, 49, 74, 99)] == pytest.approx([0, 0, 100 / 3, 50])
    promised = run_script(WeatherShift, "promised", [[ranks, 0.05], [ranks, 0.4], [ranks, 0.5]])
    assert promised == [61, 51, 0]


def test_page_rounds_as_softmax_does(run_script) -> None:
    logits = torch.randn(5, 12, generator=torch.Generator().manual_seed(0))
    ((judged),) = run_script(WeatherShift, "judged", [[logits.flatten().tolist(), 5, 12]])
    confidence, said = logits.softmax(dim=0).max(dim=0)
    assert judged["said"] == said.tolist()
    assert judged["confidence"] == pytest.approx(confidence.tolist(), abs=1e-5)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"names": ("day",)}, "1 names"),
        ({"model": UNet(5, width=4)}, "5 classes, expected 8"),
        ({"model": UNet(8, width=4, norm="none")}, "no batch normalization"),
        ({"images": streets()[0] / 255}, r"images\[0\] is torch.float32"),
        ({"targets": streets()[1] * 0 + 9}, "the label 9, expected 0 to 7"),
        ({"images": streets()[0][..., 1:]}, "one size"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], text: str) -> None:
    images, targets = streets()
    given = {"model": network(), "images": images, "targets": targets, "names": ("day", "night")}
    with pytest.raises(ValueError, match=text):
        WeatherShift(**{**given, **change, **COLORS})
