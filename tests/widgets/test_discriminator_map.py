"""The heat map is torch's, the windows are the network's, and paint changes what lies below it."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from playwright.sync_api import Page
from torch import Tensor, nn
from torchvision.transforms.v2.functional import gaussian_blur

from segtut.models import PatchDiscriminator, receptive_field
from segtut.widgets import DiscriminatorMap
from tests.widgets.conftest import (
    draw_blocks,
    make_discriminator_map,
    patch_discriminators,
)

HEIGHT, WIDTH = 40, 56


def settle(page: Page) -> None:
    page.wait_for_selector(".segtut-figure[aria-busy=false]")


def shown(page: Page, which: int) -> np.ndarray:
    """RGB (H, W, 3) of the picture (0) or of the heat map (1)."""
    script = """canvas => [canvas.height, canvas.width,
        ...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data]"""
    height, width, *values = page.locator("canvas").nth(which).evaluate(script)
    return np.array(values, np.uint8).reshape(height, width, 4)[..., :3]


def tile(page: Page, name: str) -> str:
    text = page.locator(f".st-tiles div:has(dt:text('{name}')) dd").inner_text()
    return text.replace("\u00a0", " ")


def fake(which: int, pixels: np.ndarray) -> Tensor:
    """What discriminator `which` says, weights rounded as they travel, (h, w)."""
    network = list(patch_discriminators().values())[which].double()
    with torch.inference_mode():
        for parameter in network.parameters():
            parameter.copy_(parameter.half())
        image = torch.tensor(pixels.copy()).permute(2, 0, 1)[None] / 255
        return torch.sigmoid(-network(image.double()))[0, 0]


def heat_of(page: Page, which: int) -> Tensor:
    """The share of the heat's color in each score's cell, (h, w), read off the canvas."""
    heat = shown(page, 1).astype(float)
    share = (heat[..., 0] - heat[..., 2]) / (196 - 10)
    stride = (2, 4)[which]
    count = (HEIGHT // stride - 2, WIDTH // stride - 2)
    corner = share[stride::stride, stride::stride]
    return torch.tensor(corner[: count[0], : count[1]]) / 0.9


@pytest.mark.parametrize("which", [0, 1])
def test_heat_map_is_torch_s(which: int, open_figure) -> None:
    page = open_figure(make_discriminator_map())
    settle(page)
    page.locator(".st-choice:has-text('Discriminator') label").nth(which).click()
    settle(page)
    for kind in ("restore", "noise", "shuffle", "erase"):
        page.get_by_role("radio", name=kind).check()
        page.get_by_role("button", name="All of it").click()
        settle(page)
        expected = fake(which, shown(page, 0))
        assert expected.std() > 0.003
        assert (heat_of(page, which) - expected).abs().max() < 0.01, kind


def test_opens_with_a_blurred_disk_as_its_picture_does(open_figure) -> None:
    figure = make_discriminator_map()
    page = open_figure(figure)
    settle(page)
    assert np.abs(shown(page, 0).astype(int) - figure._opening).max() <= 1
    original = draw_blocks(HEIGHT, WIDTH)[0].permute(1, 2, 0).numpy()
    changed = (shown(page, 0) != original).any(axis=-1)
    assert 250 < changed.sum() < 330  # a disk of radius 10
    assert tile(page, "Pixels damaged") == "14 %"
    expected = fake(0, shown(page, 0))
    assert np.abs(figure._first_map - expected.numpy()).max() < 0.01


def test_blur_is_torchvision_s(run_script) -> None:
    image = draw_blocks(HEIGHT, WIDTH)[0]
    flat = image.permute(1, 2, 0).flatten().tolist()
    (found,) = run_script(DiscriminatorMap, "blurred", [[flat, HEIGHT, WIDTH]])
    expected = gaussian_blur(image.double(), [9, 9], [1.5, 1.5]).permute(1, 2, 0)
    assert (torch.tensor(found).view(HEIGHT, WIDTH, 3) - expected).abs().max() <= 0.51


def test_shuffled_blocks_are_all_there(browser) -> None:
    page = browser.new_page()
    found = page.evaluate(
        """async ([script, values, height, width]) => {
            const url = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
            const { shuffled } = await import(url);
            return [...shuffled(Uint8Array.from(values), height, width)];
        }""",
        [str(DiscriminatorMap._esm), list(range(256)) * 21 * 3, 64, 84],
    )
    page.close()
    before = np.array(list(range(256)) * 21 * 3).reshape(64, 84, 3)
    after = np.array(found).reshape(64, 84, 3)

    def blocks(picture: np.ndarray) -> set[bytes]:
        tiles = picture[:, :80].reshape(8, 8, 10, 8, 3).swapaxes(1, 2).reshape(80, -1)
        return {tile.tobytes() for tile in tiles}

    assert blocks(before) == blocks(after)
    assert (before[:, :80] != after[:, :80]).any(axis=-1).mean() > 0.9
    assert (before[:, 80:] == after[:, 80:]).all()


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_windows_are_where_the_gradient_is(layers: int, run_script) -> None:
    network = PatchDiscriminator(width=4, layers=layers)
    figure = DiscriminatorMap(
        {"one": network}, torch.zeros(1, 3, 96, 96, dtype=torch.uint8), names="a"
    )
    (geometry,) = figure.discriminators
    assert geometry["field"] == receptive_field(network)
    image = torch.rand(1, 3, 96, 96, requires_grad=True)
    scores = network(image)[0, 0]
    indices = [0, len(scores) // 2, len(scores) - 1]
    found = run_script(DiscriminatorMap, "windowOf", [[k, geometry, 96] for k in indices])
    for k, window in zip(indices, found, strict=True):
        (gradient,) = torch.autograd.grad(scores[k].sum(), image, retain_graph=True)
        rows = gradient.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
        assert (window["from"], window["to"]) == (rows.min(), rows.max())
        middle = (window["first"] + window["last"]) / 2
        (again,) = run_script(DiscriminatorMap, "scoreAt", [[middle, geometry, len(scores)]])
        assert again == k


def test_mouse_damages_and_the_numbers_follow(open_figure) -> None:
    page = open_figure(make_discriminator_map())
    settle(page)
    page.get_by_role("button", name="Start over").click()
    settle(page)
    assert tile(page, "Pixels damaged") == "0 %"
    assert tile(page, "Scores that see damage") == "none"
    before, heat = shown(page, 0), shown(page, 1)
    page.get_by_role("radio", name="erase").check()
    box = page.locator("canvas").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.25)
    page.mouse.down()
    page.mouse.up()
    settle(page)
    changed = (shown(page, 0) != before).any(axis=-1)
    assert 170 < changed.sum() <= 197  # a disk of radius 8, random pixels may be gray already
    assert (shown(page, 0)[changed] == 128).all()
    assert not np.array_equal(shown(page, 1), heat)
    seeing, rest = (tile(page, f"Scores that see {what}") for what in ("damage", "none"))
    counts = [int(text.split("/")[1]) for text in (seeing, rest)]
    assert sum(counts) == 18 * 26
    marks = np.zeros((HEIGHT, WIDTH), bool)
    marks[2:19, 6:23] = True  # about the disk
    windows = [(2 * k - 5, 2 * k + 10) for k in range(26)]
    near = sum(
        marks[max(0, a[0]) : a[1] + 1, max(0, b[0]) : b[1] + 1].any()
        for a in windows[:18]
        for b in windows
    )
    assert abs(counts[0] - near) <= 30


def test_keyboard_moves_chooses_and_paints(open_figure) -> None:
    page = open_figure(make_discriminator_map())
    settle(page)
    page.get_by_role("button", name="Start over").click()
    settle(page)
    before = shown(page, 0)
    page.get_by_role("application", name="Picture").focus()
    for key in ("4", "ArrowUp", "ArrowLeft", "Space"):
        page.keyboard.press(key)
    settle(page)
    assert page.get_by_role("radio", name="erase").is_checked()
    changed = (shown(page, 0) != before).any(axis=-1)
    rows, columns = changed.nonzero()
    assert (rows.min() + rows.max()) // 2 == HEIGHT // 2 - 2
    assert (columns.min() + columns.max()) // 2 == WIDTH // 2 - 2
    for key in ("5", "Space"):
        page.keyboard.press(key)
    settle(page)
    assert np.array_equal(shown(page, 0), before)
    assert tile(page, "Pixels damaged") == "0 %"
    map_ = page.get_by_role("application", name="Heat map")
    map_.focus()
    said = page.get_by_role("status").inner_text()
    page.keyboard.press("ArrowDown")
    assert page.get_by_role("status").inner_text() != said
    assert re.search(r"Score \(\d+, \d+\) of 18 × 26 sees 16 × 16", said)


def test_score_told_is_the_one_drawn(open_figure) -> None:
    page = open_figure(make_discriminator_map())
    settle(page)
    page.get_by_role("application", name="Heat map").focus()
    page.keyboard.press("ArrowRight")
    said = page.get_by_role("status").inner_text().replace("\u00a0", " ")
    row, column = (int(value) - 1 for value in re.search(r"\((\d+), (\d+)\)", said).groups())
    verdict, share = re.search(r"It says (not real|real), with (\d+) %", said).groups()
    probability = fake(0, shown(page, 0))[row, column].item()
    expected = probability if verdict == "not real" else 1 - probability
    assert (probability > 0.5) == (verdict == "not real")
    assert abs(100 * expected - float(share)) <= 0.6


def test_another_picture_is_whole(open_figure) -> None:
    page = open_figure(make_discriminator_map())
    settle(page)
    page.get_by_role("radio", name="second").check()
    settle(page)
    assert np.array_equal(shown(page, 0), 255 - draw_blocks(HEIGHT, WIDTH)[0].permute(1, 2, 0))
    assert tile(page, "Pixels damaged") == "0 %"


def test_what_does_not_fit_is_refused() -> None:
    image = draw_blocks(HEIGHT, WIDTH)[0]
    one = PatchDiscriminator(width=4, layers=1)
    cases: list[tuple[Any, Tensor, Any, str]] = [
        ([], image[None], ["a"], "0 discriminators"),
        ([one], image[None], ["a", "b"], "2 names and 1 images"),
        ([one], image[None] / 255, ["a"], r"images\[0\] is torch.float32"),
        ([PatchDiscriminator(channels=4, width=4)], image[None], ["a"], "takes RGB"),
        ([PatchDiscriminator(width=2, layers=4)], image[None], ["a"], "too small"),
        ([nn.Conv2d(3, 2, 3)], image[None], ["a"], "one map"),
        ([PatchDiscriminator(width=32)], image[None], ["a"], "at most 150,000"),
        ([one], image.expand(50, -1, -1, -1), ["a"] * 50, "at most 300 kB"),
    ]
    for given, images, names, text in cases:
        with pytest.raises(ValueError, match=text):
            DiscriminatorMap(dict(enumerate(given)), images, names=names)
