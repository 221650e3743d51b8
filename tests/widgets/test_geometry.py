"""Counts and receptive fields in the page are those of the networks themselves."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from segtut.models import count_parameters
from segtut.models.cnn import ArticleClassifier
from segtut.models.unet import UNet
from segtut.widgets import NetworkGeometry


def multiply_adds(network: nn.Module, height: int, width: int) -> int:
    """Products that one pass takes in convolutions and dense layers, counted by hooks."""
    total = 0

    def count(layer: nn.Module, _: object, output: torch.Tensor) -> None:
        nonlocal total
        inputs = layer.weight[0].numel()
        total += inputs * output.numel()

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    network.eval()(torch.empty(1, 3, height, width, device="meta"))
    return total


@pytest.mark.parametrize(("depth", "width", "height"), [(1, 4, 48), (4, 16, 96), (6, 12, 144)])
def test_unet_counts(run_script, depth: int, width: int, height: int) -> None:
    with torch.device("meta"):
        network = UNet(8, width=width, depth=depth)
    image_width = height * 4 // 3
    settings = {"depth": depth, "width": width, "classes": 8, "height": height}
    (found,) = run_script(NetworkGeometry, "unet", [[{**settings, "imageWidth": image_width}]])
    assert found["parameters"] == count_parameters(network)
    assert found["multiplyAdds"] == multiply_adds(network, height, image_width)
    bottom = network.encoder(torch.empty(1, 3, height, image_width, device="meta"))[-1]
    assert found["levels"][-1]["shape"] == list(bottom.shape[1:])


@pytest.mark.parametrize("height", [48, 96, 224])
def test_classifier_counts(run_script, height: int) -> None:
    size = (height, height + 31)
    with torch.device("meta"):
        network = ArticleClassifier(8, size=size)
    settings = {"classes": 8, "height": size[0], "imageWidth": size[1]}
    (found,) = run_script(NetworkGeometry, "classifier", [[settings]])
    assert found["parameters"] == count_parameters(network)
    assert found["dense"] == count_parameters(network.dense)
    assert found["multiplyAdds"] == multiply_adds(network, *size)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_reach_is_where_the_gradient_reaches(run_script, depth: int) -> None:
    height, width = 61, 150
    network = UNet(1, width=1, depth=depth, norm="none").double().eval()
    # Averages instead of maxima, and equal weights: no way from input to output is then shut.
    network.encoder.pool = nn.AvgPool2d(2, ceil_mode=True)
    for parameter in network.parameters():
        nn.init.constant_(parameter, 0.1)
    network.normalize = nn.Identity()
    image = torch.rand(1, 3, height, width, dtype=torch.float64).requires_grad_()
    logits = network(image)[0, 0]
    for row, column in ((0, 75), (30, 76), (31, 77), (60, 78), (29, 149)):
        (gradient,) = torch.autograd.grad(logits[row, column], image, retain_graph=True)
        touched = gradient[0].abs().sum(0) > 0
        expected = [touched.any(axis).nonzero().flatten()[[0, -1]].tolist() for axis in (1, 0)]
        found = run_script(NetworkGeometry, "reach", [[row, height, depth], [column, width, depth]])
        assert found == expected


def rows(page) -> dict[str, str]:
    return {
        row.locator("th").inner_text(): row.locator("td").inner_text()
        for row in page.locator("tbody tr").all()
    }


def test_sliders_change_the_network(open_figure, street, colors) -> None:
    page = open_figure(NetworkGeometry(street()[0], **colors))
    assert rows(page)["Parameters"] == f"{count_parameters(UNet(8)):,}"
    page.get_by_role("slider", name="Levels").focus()
    page.keyboard.press("ArrowLeft")
    assert rows(page)["Parameters"] == f"{count_parameters(UNet(8, depth=3)):,}"
    assert rows(page)["Receptive field here"] == "44 × 44 pixels"


def test_click_and_arrows_move_the_pixel(open_figure, street, colors) -> None:
    page = open_figure(NetworkGeometry(street()[0], **colors))
    picture = page.get_by_role("application")
    picture.click(position={"x": 3, "y": 3})
    assert "row 1 of 96, column 1 of 128" in (picture.get_attribute("aria-label") or "")
    page.keyboard.press("ArrowDown")
    assert "row 5 of 96" in (picture.get_attribute("aria-label") or "")


def test_classifier_explodes_with_the_input(open_figure, street, colors) -> None:
    page = open_figure(NetworkGeometry(street()[0], **colors))
    page.get_by_role("radio", name="the article's classifier").check(force=True)
    small = int(rows(page)["Parameters"].replace(",", ""))
    page.get_by_role("slider", name="Input size").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    large = int(rows(page)["Parameters"].replace(",", ""))
    assert 4 < large / small < 4.5
    assert not page.get_by_role("slider", name="Levels").is_visible()
