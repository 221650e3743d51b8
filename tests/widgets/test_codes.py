"""Figures of codes draw what torch's decoder draws, and go where mouse and keyboard send them."""

from __future__ import annotations

import base64
import copy
import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Page
from torch import Tensor, nn

from segtut.models.autoencoder import Autoencoder, VariationalAutoencoder
from segtut.models.gan import Generator
from segtut.widgets import CodeExplorer, CodeSampler, LatentWalk
from segtut.widgets.base import state_weight
from segtut.widgets.decoder import picture_batch, picture_sheet, typical_length
from tests.widgets.codes import (
    make_code_explorer,
    make_code_sampler,
    make_latent_walk,
    small_pictures,
)


def settle(page: Page) -> None:
    page.wait_for_selector(".segtut-figure[aria-busy=false]")
    page.wait_for_function("document.querySelector('.st-tiles dd').textContent !== '…'")


def shown(page: Page, name: str) -> np.ndarray:
    """RGB (H, W, 3) of the canvas of that name."""
    values = page.get_by_role("img", name=name, exact=True).first.evaluate(
        """canvas => [canvas.height, canvas.width,
            ...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data]"""
    )
    height, width, *flat = values
    return np.array(flat, np.uint8).reshape(height, width, 4)[..., :3]


def tile(page: Page, name: str) -> str:
    return page.locator(f".st-tiles div:has(dt:text-is('{name}')) dd").inner_text()


def number(text: str) -> float:
    return float(text.replace("−", "-"))


def drawing(decoder: nn.Module, code: Tensor) -> np.ndarray:
    """What torch draws from a code (K,), as bytes (H, W, 3)."""
    with torch.inference_mode():
        picture = copy.deepcopy(decoder).eval()(code[None].float())[0]
    return (255 * picture).round().byte().permute(1, 2, 0).expand(-1, -1, 3).numpy()


def assert_drawn(found: np.ndarray, decoder: nn.Module, code: Tensor) -> None:
    """Equal but for the rounding of the weights, to 11 bits, and of the code's shown digits."""
    expected = drawing(decoder, code)
    assert expected.std() > 1
    assert np.abs(found.astype(int) - expected).max() <= 3


def codes_of(figure: CodeExplorer | LatentWalk, size: int) -> Tensor:
    return torch.tensor(np.frombuffer(figure.codes, np.float32).copy()).view(-1, size)


def current(page: Page) -> Tensor:
    first, second = tile(page, "Code").split(", ")
    return torch.tensor([number(first), number(second)])


def test_explorer_draws_what_torch_draws(open_figure) -> None:
    model, figure = make_code_explorer()
    page = open_figure(figure)
    settle(page)
    codes, (pictures, _) = codes_of(figure, 2), small_pictures()
    with torch.inference_mode():
        torch.testing.assert_close(codes, model.eval().encode(pictures))
    start = int((codes - current(page)).norm(dim=1).argmin())
    assert_drawn(shown(page, "What the decoder draws"), model.decoder, codes[start])
    with torch.inference_mode():
        error = (model.decode(codes[[start]])[0] - pictures[start]).square().mean()
    assert abs(float(tile(page, "Squared error")) - float(error)) < 5e-4
    original = page.get_by_role("img", name="The nearest picture of the data").get_attribute(
        "aria-label"
    )
    assert original is not None
    expected = (255 * pictures[start]).round().byte().permute(1, 2, 0).numpy()
    assert np.array_equal(shown(page, original), expected)
    assert "its reconstruction" in page.get_by_role("status").inner_text()


def test_explorer_follows_keys_and_pointer(open_figure) -> None:
    model, figure = make_code_explorer()
    page = open_figure(figure)
    settle(page)
    before = current(page)
    plane = page.get_by_role("application")
    plane.focus()
    for key in ("Shift+ArrowRight", "ArrowUp", "ArrowUp"):
        page.keyboard.press(key)
    settle(page)
    side = 1.16 * float((codes_of(figure, 2).amax(0) - codes_of(figure, 2).amin(0)).max())
    moved = current(page) - before
    assert abs(float(moved[0]) - 0.08 * side) < 0.02
    assert abs(float(moved[1]) - 0.02 * side) < 0.02
    page.keyboard.press("Enter")
    settle(page)
    codes = codes_of(figure, 2)
    nearest = int((codes - (before + moved)).norm(dim=1).argmin())
    assert (current(page) - codes[nearest]).abs().max() < 0.006
    box = plane.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 30, box["y"] + 20)
    page.mouse.up()
    settle(page)
    assert current(page)[1] > before[1]
    place = current(page)
    assert_drawn(shown(page, "What the decoder draws"), model.decoder, place)
    distance = float((codes - place).norm(dim=1).min())
    assert abs(float(tile(page, "Nearest code")) - distance) < 0.02


def test_press_on_a_mark_shows_its_picture(open_figure) -> None:
    _, figure = make_code_explorer()
    page = open_figure(figure)
    settle(page)
    codes, labels = codes_of(figure, 2), np.frombuffer(figure.labels, np.uint8)
    lonely = int(torch.cdist(codes, codes).fill_diagonal_(9e9).amin(dim=1).argmax())
    box = page.locator(".st-map .st-mark").nth(lonely).bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2 + 3, box["y"] + box["height"] / 2)
    settle(page)
    assert tile(page, "Nearest code") == "this one"
    assert (current(page) - codes[lonely]).abs().max() < 0.006
    name = figure.classes[labels[lonely]]
    assert f"of the class {name}" in page.get_by_role("status").inner_text()


def test_explorer_fills_the_map(open_figure) -> None:
    model, figure = make_code_explorer()
    page = open_figure(figure)
    settle(page)
    page.get_by_role("checkbox").check()
    settle(page)
    found = page.locator(".st-map canvas").evaluate(
        """canvas => [canvas.height, canvas.width,
            ...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data]"""
    )
    height, width, *flat = found
    pixels = np.array(flat, np.uint8).reshape(height, width, 4)[..., :3]
    assert (height, width) == (11 * 10, 11 * 14)
    codes = codes_of(figure, 2)
    low, high = codes.amin(dim=0), codes.amax(dim=0)
    side = 1.16 * (high - low).max()
    corner = (low + high) / 2 - side / 2
    code = corner + side * torch.tensor([2.5, 8.5]) / 11  # third column, third row from above
    assert_drawn(pixels[21:29, 29:41], model.decoder, code)


def test_one_character_is_its_own_mark(open_figure) -> None:
    pictures, labels = small_pictures()
    model = make_code_explorer()[0]
    digits = tuple("0123456789")
    page = open_figure(CodeExplorer(model, pictures, labels, classes=digits))
    settle(page)
    assert page.locator(".st-letter:visible").count() == len(pictures)
    assert page.locator(".st-letter:visible").all_text_contents() == [str(int(k)) for k in labels]


def test_sampler_draws_what_its_code_says(open_figure) -> None:
    model, figure = make_code_sampler()
    page = open_figure(figure)
    settle(page)
    name = "The picture of the code"
    before = shown(page, name)
    page.get_by_role("button", name="Another sample").click()
    settle(page)
    assert not np.array_equal(shown(page, name), before)
    assert number(tile(page, "Length of the code")) > 0
    page.get_by_role("slider", name="Temperature").press("Home")
    settle(page)
    assert number(tile(page, "Length of the code")) == 0
    assert_drawn(shown(page, name), model.decoder, torch.zeros(5))
    assert_drawn(shown(page, "Sample 12"), model.decoder, torch.zeros(5))


def test_latent_sliders_are_the_most_active_ones(open_figure) -> None:
    model, figure = make_code_sampler()
    pictures = small_pictures()[0]
    with torch.inference_mode():
        mean, log_variance = model.eval().posterior(pictures)
        normal = torch.distributions.Normal(mean, (log_variance / 2).exp())
        standard = torch.distributions.Normal(torch.zeros(5), torch.ones(5))
        each = torch.distributions.kl_divergence(normal, standard).mean(dim=0)
    np.testing.assert_allclose(figure.divergences, each, atol=1e-4)
    order = each.argsort(descending=True)
    page = open_figure(figure)
    settle(page)
    sliders = page.get_by_role("group", name="The most active latents").get_by_role("slider")
    labels = [slider.get_attribute("aria-label") for slider in sliders.all()]
    assert labels == [f"Latent {int(k) + 1}" for k in order[:3]]
    page.get_by_role("slider", name="Temperature").press("Home")
    sliders.first.press("End")
    settle(page)
    code = torch.zeros(5)
    code[order[0]] = 3.5
    assert_drawn(shown(page, "The picture of the code"), model.decoder, code)
    assert "more than any other" in page.get_by_role("status").inner_text()
    assert number(tile(page, "Length of the code")) == 3.5


def test_way_between_two_pictures(open_figure) -> None:
    model, figure = make_code_sampler()
    pictures = small_pictures()[0]
    page = open_figure(figure)
    settle(page)
    page.get_by_role("radio", name="mixed from two").check()
    page.get_by_role("button", name="From second").click()
    page.get_by_role("button", name="To third").click()
    page.get_by_role("slider", name="Share of the way").press("Home")
    page.get_by_role("slider", name="Share of the way").press("ArrowRight")
    settle(page)
    with torch.inference_mode():
        means = model.eval().encode(pictures)
    name = "The picture of the code"
    assert_drawn(shown(page, name), model.decoder, 0.98 * means[1] + 0.02 * means[2])
    middle = (means[1] + means[2]) / 2
    assert_drawn(shown(page, "Codes mixed, 50 % of the way"), model.decoder, middle)
    mixed = 255 * (pictures[1] + pictures[2]).permute(1, 2, 0).numpy() / 2
    found = shown(page, "Pixels mixed, 50 % of the way")
    assert np.abs(found - mixed).max() <= 1
    page.get_by_role("button", name="100 % of the way", exact=True).click()
    settle(page)
    assert_drawn(shown(page, name), model.decoder, means[2])


def test_walk_on_line_and_circle(open_figure, run_script) -> None:
    generator, figure = make_latent_walk()
    page = open_figure(figure)
    settle(page)
    a, b, *_ = codes_of(figure, 6)
    line = (a + b) / 2
    assert number(tile(page, "Length on the line")) == pytest.approx(float(line.norm()), abs=0.006)
    assert_drawn(shown(page, "The picture on the straight line"), generator, line)
    # Half-way without sines: the mean of the two directions, as long as the two are on average.
    direction = a / a.norm() + b / b.norm()
    circle = direction / direction.norm() * (a.norm() + b.norm()) / 2
    found = number(tile(page, "Length on the circle"))
    assert found == pytest.approx(float(circle.norm()), abs=0.006)
    assert_drawn(shown(page, "The picture on the great circle"), generator, circle)
    assert "On the straight line the code is" in page.get_by_role("status").inner_text()


def test_great_circle_keeps_equal_lengths(run_script) -> None:
    a, b = [3.0, 0.0, 4.0], [0.0, 5.0, 0.0]
    cases = [[a, b, share / 10] for share in range(11)]
    codes = torch.tensor(run_script(LatentWalk, "onCircle", cases))
    torch.testing.assert_close(codes.norm(dim=1), torch.full((11,), 5.0))
    steps = codes[1:] @ codes[:-1].T
    torch.testing.assert_close(steps.diagonal(), torch.full((10,), 25 * math.cos(math.pi / 20)))
    opposite = run_script(LatentWalk, "onCircle", [[a, [-3.0, 0.0, -4.0], 0.25]])
    torch.testing.assert_close(torch.tensor(opposite[0]), torch.tensor([1.5, 0.0, 2.0]))


def test_walk_plays_pauses_and_steps(open_figure) -> None:
    generator, figure = make_latent_walk()
    page = open_figure(figure)
    settle(page)
    place = page.get_by_role("slider", name="Place on the walk")
    before = float(place.input_value())
    page.get_by_role("button", name="Step on").click()
    assert float(place.input_value()) == pytest.approx(before + 0.05)
    page.get_by_role("button", name="Step back").click()
    page.get_by_role("button", name="Play").click()
    page.wait_for_function(f"document.querySelector('input[type=range]').value > {before + 0.14}")
    page.get_by_role("button", name="Pause").click()
    paused = place.input_value()
    page.wait_for_timeout(300)
    assert place.input_value() == paused
    page.get_by_role("button", name="Go to stop 3").click()
    settle(page)
    assert "Stop 3" in page.get_by_role("status").inner_text()
    third = codes_of(figure, 6)[2]
    assert_drawn(shown(page, "The picture on the straight line"), generator, third)
    page.get_by_role("button", name="Other codes").click()
    settle(page)
    assert number(tile(page, "Length on the line")) != pytest.approx(float(third.norm()), abs=0.005)


def test_walk_does_not_play_where_less_motion_is_asked_for(open_figure) -> None:
    page = open_figure(make_latent_walk()[1], reduced_motion="reduce")
    settle(page)
    assert not page.get_by_role("button", name="Play").is_visible()
    page.get_by_role("button", name="Step on").click()
    assert float(page.get_by_role("slider", name="Place").input_value()) == pytest.approx(0.55)


def test_length_of_a_normal_code() -> None:
    codes = torch.randn(200_000, 6, generator=torch.Generator().manual_seed(0))
    mean, spread = typical_length(6)
    assert abs(mean - float(codes.norm(dim=1).mean())) < 0.01
    assert abs(spread - float(codes.norm(dim=1).std())) < 0.01


def test_figures_of_the_book_s_size_are_light() -> None:
    torch.manual_seed(0)
    noise = torch.rand(200, 3, 16, 16)
    kinds = torch.arange(200) % 4
    explorer = CodeExplorer(
        Autoencoder((16, 16), 2, width=16, depth=2), noise, kinds, classes=tuple("abcd")
    )
    sampler = CodeSampler(VariationalAutoencoder(code_size=16, width=12), torch.rand(8, 3, 32, 32))
    walk = LatentWalk(Generator(code_size=32, width=12))
    assert max(state_weight(figure) for figure in (explorer, sampler, walk)) < 300_000


@pytest.mark.parametrize("channels", [1, 3])
def test_sheet_keeps_few_pictures_to_the_bit(channels: int) -> None:
    pictures = torch.randint(0, 256, (5, channels, 4, 6), dtype=torch.uint8)
    url = picture_sheet(picture_batch(pictures))
    with Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))) as image:
        sheet = np.asarray(image).reshape(image.height, image.width, channels)
    assert sheet.shape == (12, 18, channels)  # three a row
    fourth = sheet[4:8, 0:6]
    assert np.array_equal(fourth, pictures[3].permute(1, 2, 0).numpy())


def test_what_does_not_fit_is_refused() -> None:
    pictures, labels = small_pictures()
    flat = Autoencoder((8, 12), 2, width=4, depth=2)
    deep = VariationalAutoencoder((8, 12), 5, width=4, depth=2)
    names = ("a", "b")
    cases = [
        (lambda: CodeExplorer(deep, pictures, labels, classes=names), "5 numbers, expected 2"),
        (lambda: CodeExplorer(flat, pictures, labels, classes=names), "0 to 9, expected 0 to 1"),
        (lambda: CodeExplorer(flat, pictures, labels[1:], classes=names), "as many of each"),
        (lambda: CodeExplorer(flat, pictures, labels, classes=["ab"] * 9), "expected 1 to 8"),
        (
            lambda: CodeExplorer(flat, pictures, labels, classes=names, palette=[(0, 0, 0)]),
            "2 classes and 1 colors",
        ),
        (lambda: CodeExplorer(flat, 255 * pictures, labels, classes=names), "outside 0 to 1"),
        (lambda: CodeSampler(deep, pictures[0]), r"\(3, 8, 12\), expected uint8"),
        (lambda: CodeSampler(deep, pictures, pictures=9), "pictures=9 of 20 images"),
        (lambda: CodeSampler(deep, pictures, sliders=0), "sliders=0, expected 1 to 8"),
        (lambda: CodeSampler(deep, pictures, names=names), "2 names for 6 pictures"),
        (lambda: LatentWalk(nn.Linear(3, 4)), "Linear has no code_size"),
        (lambda: LatentWalk(deep.decoder, torch.zeros(3, 4)), r"\(3, 4\), expected \(2 to 8, 5\)"),
        (lambda: LatentWalk(deep.decoder, stops=9), r"\(9, 5\), expected"),
    ]
    for make, text in cases:
        with pytest.raises(ValueError, match=text):
            make()
    vector = nn.Sequential(nn.Linear(3, 4))
    vector.code_size = 3
    with pytest.raises(ValueError, match=r"returns \(4,\) for a code"):
        LatentWalk(vector)
    with pytest.raises(ValueError, match=r"LatentWalk would put .* at most 300 kB"):
        LatentWalk(Generator(code_size=64, width=20))
