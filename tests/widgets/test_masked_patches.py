"""What is hidden, filled in and scored in the page is what torch and numpy compute."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from playwright.sync_api import Page
from torch import nn

from segtut.widgets import MaskedPatches

SIZE, PATCH = (24, 32), 8
COVER = (0.5, 0.25, 0.75)


def make_network() -> nn.Module:
    """Returns a picture, has learned nothing, and holds weights that float16 keeps exactly."""
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 3, 1), nn.Sigmoid()
    network = nn.Sequential(*layers)
    with torch.no_grad():
        for weights in network.parameters():
            weights.copy_((3 * weights).half().float())
    return network.eval()


def make_images(count: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, 3, *SIZE), generator=generator, dtype=torch.uint8)


def make_figure(share: float = 0.5) -> MaskedPatches:
    return MaskedPatches(
        make_network(), make_images(), names=("a", "b"), patch=PATCH, cover=COVER, share=share
    )


def settle(page: Page) -> None:
    page.wait_for_selector(".segtut-figure[aria-busy=false]")


def shown(page: Page, which: int) -> np.ndarray:
    """RGB (H, W, 3) of what the network sees (0) or of what is made of it (1)."""
    script = """canvas => [canvas.height, canvas.width,
        ...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data]"""
    height, width, *values = page.locator("canvas").nth(which).evaluate(script)
    return np.array(values, np.int64).reshape(height, width, 4)[..., :3]


def tile(page: Page, name: str) -> str:
    return page.locator(f".st-tiles div:has(dt:text-is('{name}')) dd").inner_text()


def mask_of(patches: set[int]) -> np.ndarray:
    """(H, W): the pixels of these patches, counted row by row."""
    grid = np.zeros((SIZE[0] // PATCH) * (SIZE[1] // PATCH), bool)
    grid[list(patches)] = True
    return np.kron(grid.reshape(SIZE[0] // PATCH, -1), np.ones((PATCH, PATCH), bool)).astype(bool)


def expected(street: int, hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(truth, seen, answer), each (H, W, 3), 0-1."""
    truth = make_images()[street].permute(1, 2, 0).numpy() / 255
    seen = np.where(hidden[..., None], np.array(COVER), truth)
    with torch.inference_mode():
        image = torch.from_numpy(seen).float().permute(2, 0, 1)[None]
        answer = make_network()(image)[0].permute(1, 2, 0).numpy()
    return truth, seen, answer


def off(guess: np.ndarray, truth: np.ndarray, where: np.ndarray) -> str:
    return f"{255 * np.sqrt(np.square(guess - truth)[where].mean()):.1f}"


def require_page_agrees(page: Page, street: int, hidden: np.ndarray) -> None:
    """Pictures and tiles of the page against torch and numpy."""
    truth, seen, answer = expected(street, hidden)
    assert np.abs(shown(page, 0) - 255 * seen).max() <= 0.51
    filled = np.where(hidden[..., None], answer, truth)
    assert np.abs(shown(page, 1) - 255 * filled).max() <= 0.6
    flat = np.broadcast_to(truth[~hidden].mean(axis=0), truth.shape)
    assert tile(page, "Hidden") == f"{hidden.sum() // PATCH**2} of 12"
    assert tile(page, "Error where hidden") == off(answer, truth, hidden)
    assert tile(page, "A flat guess there") == off(flat, truth, hidden)
    assert tile(page, "Error where seen") == off(answer, truth, ~hidden)


def test_opening_state_equals_torch(open_figure) -> None:
    figure = make_figure()
    page = open_figure(figure)
    settle(page)
    require_page_agrees(page, 0, mask_of(set(figure.order[: figure.start])))
    assert figure.start == 6
    page.get_by_role("radio", name="b", exact=True).check()
    settle(page)
    require_page_agrees(page, 1, mask_of(set(figure.order[:6])))


def test_mouse_hides_drags_and_shows(open_figure) -> None:
    page = open_figure(make_figure(share=0.0))
    settle(page)
    assert tile(page, "Error where hidden") == tile(page, "A flat guess there") == "none"
    board = page.get_by_role("application", name="Street")
    box = board.bounding_box()
    side = box["width"] / 4
    centers = [(box["x"] + (k + 0.5) * side, box["y"] + 1.5 * side) for k in range(4)]
    page.mouse.click(*centers[1])
    settle(page)
    require_page_agrees(page, 0, mask_of({5}))
    page.mouse.move(*centers[2])
    page.mouse.down()
    page.mouse.move(*centers[3], steps=3)
    page.mouse.up()
    settle(page)
    require_page_agrees(page, 0, mask_of({5, 6, 7}))
    page.mouse.click(*centers[1])
    settle(page)
    require_page_agrees(page, 0, mask_of({6, 7}))


def test_keyboard_hides_and_says_how_far_off(open_figure) -> None:
    page = open_figure(make_figure(share=0.0))
    settle(page)
    board = page.get_by_role("application", name="Street")
    board.focus()
    for key in ("ArrowUp", "ArrowUp", "ArrowLeft", "Space"):
        page.keyboard.press(key)
    settle(page)
    hidden = mask_of({1})
    require_page_agrees(page, 0, hidden)
    assert "row 1, column 2, hidden" in str(board.get_attribute("aria-label"))
    truth, _, answer = expected(0, hidden)
    said = page.get_by_role("status").inner_text()
    assert f"off by {off(answer, truth, hidden)} levels" in said
    page.keyboard.press("Enter")
    settle(page)
    require_page_agrees_when_all_seen(page)


def require_page_agrees_when_all_seen(page: Page) -> None:
    truth, _, answer = expected(0, np.zeros(SIZE, bool))
    assert tile(page, "Hidden") == "0 of 12"
    assert tile(page, "Error where seen") == off(answer, truth, np.ones(SIZE, bool))


def test_slider_and_buttons(open_figure) -> None:
    figure = make_figure()
    page = open_figure(figure)
    settle(page)
    slider = page.get_by_role("slider", name="Patches hidden")
    slider.press("ArrowRight")
    settle(page)
    require_page_agrees(page, 0, mask_of(set(figure.order[:7])))
    page.get_by_role("button", name="Swap hidden and seen").click()
    settle(page)
    require_page_agrees(page, 0, mask_of(set(figure.order[7:])))
    assert slider.input_value() == "5"
    page.get_by_role("button", name="Other patches").click()
    settle(page)
    assert tile(page, "Hidden") == "5 of 12"
    seen = shown(page, 0)
    drawn = {k for k in range(12) if (seen[mask_of({k})] == np.round(255 * np.array(COVER))).all()}
    assert len(drawn) == 5
    assert drawn != set(figure.order[7:])
    require_page_agrees(page, 0, mask_of(drawn))
    page.get_by_role("button", name="Show all").click()
    settle(page)
    require_page_agrees_when_all_seen(page)
    slider.press("End")
    settle(page)
    assert tile(page, "Error where seen") == "none"
    truth, seen, answer = expected(0, np.ones(SIZE, bool))
    assert tile(page, "Error where hidden") == off(answer, truth, np.ones(SIZE, bool))
    assert tile(page, "A flat guess there") == off(seen, truth, np.ones(SIZE, bool))


def test_views(open_figure) -> None:
    figure = make_figure()
    page = open_figure(figure)
    settle(page)
    truth, _, answer = expected(0, mask_of(set(figure.order[: figure.start])))
    errors = 1 - np.minimum(1, 3 * np.abs(answer - truth).mean(axis=2, keepdims=True))
    for name, wanted in (("its whole answer", answer), ("the truth", truth), ("errors", errors)):
        page.get_by_role("radio", name=name).check()
        assert np.abs(shown(page, 1) - 255 * wanted).max() <= 0.6
        words = str(page.get_by_role("img").get_attribute("aria-label"))
        assert re.search(r"\w{4}", words)


def test_shuffling_is_fair(run_script) -> None:
    script = f"{MaskedPatches._esm}\nexport const lots = (n) => " + (
        "Array.from({length: n}, () => shuffled(4, random)[0]);\nconst random = makeRandom(3);"
    )
    figure = type("Probe", (), {"_esm": script})
    (firsts,) = run_script(figure, "lots", [[4000]])
    counts = np.bincount(firsts, minlength=4)
    assert np.abs(counts - 1000).max() < 120  # four standard deviations are 110


def test_cover_is_the_network_s_own() -> None:
    network = make_network()
    network.cover = nn.Parameter(torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1))
    figure = MaskedPatches(network, make_images(), names="ab")
    assert figure.cover == pytest.approx([0.1, 0.2, 0.3])


def test_what_does_not_fit_is_refused() -> None:
    network, images = make_network(), make_images()
    halving = nn.Sequential(nn.MaxPool2d(2, ceil_mode=True))
    cases = [
        (network, images, {"names": "a"}, "1 names and 2 images"),
        (network, images, {"patch": 7}, "patches of 7 pixels do not fill images of 24 x 32"),
        (network, images, {"share": 1.2}, "share=1.2"),
        (network, images, {"cover": None}, "has no cover"),
        (network, images, {"cover": (0.5,)}, "cover has 1 values"),
        (network, images / 255, {}, r"images\[0\] is torch.float32"),
        (halving, images, {}, r"returns \(1, 3, 12, 16\)"),
    ]
    for model, pictures, changed, text in cases:
        with pytest.raises(ValueError, match=text):
            MaskedPatches(model, pictures, **{"names": "ab", "cover": COVER, **changed})
    many = images.repeat(100, 1, 1, 1)
    with pytest.raises(ValueError, match=r"MaskedPatches would put .* at most 300 kB"):
        MaskedPatches(network, many, names=["x"] * 200, cover=COVER)
