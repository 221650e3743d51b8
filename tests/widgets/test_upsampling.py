"""The ways up in the page are torch's layers, forwards and backwards."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from playwright.sync_api import Page
from torch import Tensor
from torch.nn import functional as F

from segtut.widgets import UpsamplingExplorer

WAYS = ("transposed", "shuffle", "repeat", "interpolate", "unpool")
SIDE = 5


def smooth(values: Tensor, kernels: Tensor) -> Tensor:
    """A convolution of stride 1 that keeps the size; an even kernel pads one more at the end."""
    size = kernels.shape[-1]
    before = (size - 1) // 2
    return F.conv2d(F.pad(values, (before, size - 1 - before) * 2), kernels)


def enlarge(values: Tensor, way: str, weights: Tensor, size: int, stride: int, winners) -> Tensor:
    """values (N, 1, n, n) to (N, 1, n * stride, n * stride), with torch's layers."""
    side = values.shape[-1] * stride
    kernels = weights.view(-1, 1, size, size)
    if way == "transposed":
        laid = F.conv_transpose2d(values, kernels, stride=stride)
        cut = max(0, (size - stride) // 2)
        laid = F.pad(laid, (0, stride, 0, stride))  # a kernel smaller than the stride ends early
        return laid[..., cut : cut + side, cut : cut + side]
    if way == "shuffle":
        return F.pixel_shuffle(smooth(values, kernels), stride)
    if way == "unpool":
        rows, columns = (torch.arange(values.shape[-1]) * stride,) * 2
        flat = torch.tensor(winners).view(values.shape[-2:])
        places = (rows[:, None] + flat // stride) * side + columns + flat % stride
        large = F.max_unpool2d(values, places.expand_as(values).contiguous(), stride)
    else:
        mode = "bilinear" if way == "interpolate" else "nearest"
        large = F.interpolate(values, scale_factor=stride, mode=mode)
    return smooth(large, kernels)


def settings() -> list[tuple[str, int, int]]:
    return list(product(WAYS, (1, 2, 3, 4, 7), (2, 3, 4)))


@pytest.fixture(scope="module")
def case() -> dict[tuple[str, int, int], tuple[Tensor, Tensor, list[int]]]:
    """Values, weights and winners for each way, kernel and stride."""
    generator = torch.Generator().manual_seed(0)
    cases = {}
    for way, size, stride in settings():
        kernels = stride**2 if way == "shuffle" else 1
        values = torch.randn(1, 1, SIDE, SIDE, generator=generator, dtype=torch.float64)
        weights = torch.randn(kernels * size**2, generator=generator, dtype=torch.float64)
        winners = torch.randint(stride**2, (SIDE**2,), generator=generator).tolist()
        cases[way, size, stride] = values, weights, winners
    return cases


def test_every_way_is_that_of_torch(run_script, case) -> None:
    arguments = [
        [values.flatten().tolist(), SIDE, way, weights.tolist(), size, stride, winners]
        for (way, size, stride), (values, weights, winners) in case.items()
    ]
    found = run_script(UpsamplingExplorer, "enlarge", arguments)
    for ((way, size, stride), (values, *rest)), pixels in zip(case.items(), found, strict=True):
        expected = enlarge(values, way, rest[0], size, stride, rest[1]).flatten()
        assert torch.allclose(torch.tensor(pixels, dtype=torch.float64), expected), (way, size)


def test_gradient_is_that_of_the_way_down(run_script, case) -> None:
    """Autograd, through the transposed layers, with random gradients of the outputs in the mean."""
    arguments = [
        [SIDE, way, weights.tolist(), size, stride, winners]
        for (way, size, stride), (_, weights, winners) in case.items()
    ]
    found = run_script(UpsamplingExplorer, "gradient", arguments)
    for ((way, size, stride), (_, weights, winners)), slopes in zip(
        case.items(), found, strict=True
    ):
        # What goes down is the transpose: its output k is the product of the picture with the
        # large map that unit k becomes on the way up. Its gradient is therefore that map.
        units = torch.eye(SIDE**2, dtype=torch.float64).view(-1, 1, SIDE, SIDE)
        maps = enlarge(units, way, weights, size, stride, winners).flatten(1)
        picture = torch.zeros(maps.shape[1], dtype=torch.float64, requires_grad=True)
        squares = sum(
            torch.autograd.grad(output, picture, retain_graph=True)[0] ** 2
            for output in maps @ picture
        )
        assert torch.allclose(torch.tensor(slopes, dtype=torch.float64), squares.sqrt())


def test_strided_convolution_hands_back_what_the_figure_says(run_script) -> None:
    """The mirrored way down of the transposed convolution, as a layer, over many draws."""
    torch.manual_seed(0)
    (slopes,) = run_script(UpsamplingExplorer, "gradient", [[5, "transposed", [1.0] * 9, 3, 2, []]])
    picture = torch.zeros(4000, 1, 11, 11, requires_grad=True)
    down = F.conv2d(picture, torch.ones(1, 1, 3, 3), stride=2)
    down.backward(torch.randn(down.shape))
    measured = picture.grad.square().mean(dim=0).sqrt()[0, :10, :10]
    assert np.allclose(measured, np.reshape(slopes, (10, 10)), rtol=0.1)


def test_contributions_are_counted(run_script) -> None:
    arguments = [[SIDE, way, 3, 2, list(range(4)) * 6 + [0]] for way in WAYS]
    counted = run_script(UpsamplingExplorer, "contributions", arguments)
    middle = {way: np.reshape(c, (10, 10))[4:6, 4:6] for way, c in zip(WAYS, counted, strict=True)}
    ones = F.conv_transpose2d(torch.ones(1, 1, SIDE, SIDE), torch.ones(1, 1, 3, 3), stride=2)
    assert middle["transposed"].tolist() == ones[0, 0, 4:6, 4:6].tolist() == [[4, 2], [2, 1]]
    assert {c for way in ("shuffle", "repeat", "interpolate") for c in middle[way].flat} == {9}
    assert middle["unpool"].max() <= 4


def test_one_set_of_weights_keeps_a_flat_map_flat(run_script) -> None:
    cases = [
        {"way": way, "kernel": kernel, "stride": stride, "kind": "random", "seed": 3}
        for way, kernel, stride in product(WAYS, (2, 3, 4), (2, 3))
    ]
    for setting, found in zip(
        cases, run_script(UpsamplingExplorer, "study", [[c] for c in cases]), strict=True
    ):
        flat = np.array(found["flat"])
        assert flat.mean() == pytest.approx(1, abs=0.25)
        assert (flat.std() < 1e-6) == (setting["way"] in ("repeat", "interpolate"))
        assert found["pattern"] == pytest.approx(flat.std() / flat.mean())


def test_tent_of_the_right_size_keeps_a_flat_map_flat(run_script) -> None:
    cases = [
        {"way": "transposed", "kernel": kernel, "stride": stride, "kind": "tent", "seed": 1}
        for kernel, stride in ((3, 2), (4, 2), (5, 3), (6, 3), (7, 4))
    ]
    for found in run_script(UpsamplingExplorer, "study", [[case] for case in cases]):
        assert found["pattern"] < 1e-9


def numbers(page: Page) -> list[str]:
    return page.locator("tbody td").all_inner_texts()


@pytest.fixture
def page(open_figure) -> Page:
    return open_figure(UpsamplingExplorer())


def test_opens_with_the_checkerboard(page: Page) -> None:
    taps, sets, pattern, weakest = numbers(page)
    assert (taps, sets) == ("1, 2, 4", "4")
    counts = np.array([1, 2, 2, 4])
    assert pattern == f"{100 * counts.std() / counts.mean():.0f}"
    assert weakest == "50"
    assert "does not divide" in page.get_by_role("status").inner_text()


def test_keys_change_kernel_and_stride(page: Page) -> None:
    page.get_by_role("slider", name="Kernel").focus()
    page.keyboard.press("ArrowRight")
    assert numbers(page) == ["4", "4", "0", "100"]
    assert "divides" in page.get_by_role("status").inner_text()
    page.get_by_role("slider", name="Stride").focus()
    page.keyboard.press("ArrowRight")
    assert numbers(page)[0] == "1, 2, 4"


def test_mouse_changes_way_and_weights(page: Page) -> None:
    page.get_by_role("radio", name="pixel shuffle").check(force=True)
    assert numbers(page)[:3] == ["9", "4", "0"]
    fresh = page.get_by_role("button", name="other random weights")
    assert not fresh.is_visible()
    page.get_by_role("radio", name="random").check(force=True)
    first = numbers(page)[2]
    assert float(first) > 1
    fresh.click()
    assert numbers(page)[2] != first
    page.get_by_role("radio", name="repeat, convolve").check(force=True)
    assert numbers(page)[1:3] == ["1", "0"]
    page.get_by_role("radio", name="unpool, convolve").check(force=True)
    assert "where the maximum stood" in page.get_by_role("status").inner_text()


def test_canvas_shows_the_numbers(page: Page) -> None:
    """Brightness in the flat map's panel: 1, 2 and 4 ninths of four times the mean."""
    shades = page.locator("canvas").first.evaluate(
        "c => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]"
    )
    gray = np.reshape(shades, (12, 12, 4))[:2, :2, 0]
    assert sorted(gray.flat) == [round(255 * count / 2.25 / 2) for count in (1, 2, 2, 4)]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"way": "bicubic"}, "'bicubic' was given, expected one of 'transposed'"),
        ({"kernel": 8}, "kernel 8 was given, expected 1 to 7"),
        ({"stride": 1}, "stride 1 was given, expected 2 to 4"),
        ({"weights": "sinc"}, "'sinc' was given"),
    ],
)
def test_what_does_not_exist_is_refused(options, text) -> None:
    with pytest.raises(ValueError, match=text):
        UpsamplingExplorer(**options)


@pytest.mark.parametrize("way", WAYS)
def test_every_way_has_a_picture(way) -> None:
    assert len(UpsamplingExplorer(way, kernel=2, stride=3).static_picture()) > 1000
