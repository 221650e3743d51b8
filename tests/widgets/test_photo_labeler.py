"""A photograph from disk is labeled as the package would label it, and saved as it can be read."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Page
from torch.nn.functional import interpolate

from segtut.data.dataset import VOID, read_label_map
from segtut.data.palette import STREETS_PALETTE
from segtut.inference import predict
from segtut.models import UNet
from segtut.widgets import PhotoLabeler
from tests.widgets.conftest import COLORS, color_reader, draw_blocks, make_photo_labeler


def settle(page: Page) -> None:
    page.wait_for_selector(".segtut-figure[aria-busy=false]")


def tile(page: Page, name: str) -> str:
    text = page.locator(f".st-tiles div:has(dt:text-is('{name}')) dd").inner_text()
    return text.replace("\u00a0", " ")


def photograph(height: int, width: int) -> np.ndarray:
    """Smooth colors with a corner of their own, (H, W, 3)."""
    rows, columns = np.mgrid[0:height, 0:width]
    pixels = np.stack([rows * 255 / height, columns * 255 / width, (rows * columns) % 251], axis=2)
    pixels[: height // 4, : width // 3] = (200, 30, 10)
    return pixels.astype(np.uint8)


def choose(page: Page, pixels: np.ndarray | bytes, name: str = "mine.png") -> None:
    if isinstance(pixels, np.ndarray):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        pixels = buffer.getvalue()
    file = {"name": name, "mimeType": "image/png", "buffer": pixels}
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a photograph").press("Enter")
    chooser.value.set_files(file)
    page.locator(".st-title").filter(has_text=name).wait_for()
    settle(page)


def saved(page: Page, folder: Path) -> np.ndarray:
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the label map").click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    with Image.open(path) as picture:
        assert picture.mode == "P"
    return read_label_map(path)


def torch_logits(pixels: np.ndarray, size: int) -> torch.Tensor:
    """What the figure's network says of a picture (H, W, 3) at its own size."""
    return predict(color_reader(), torch.tensor(pixels).permute(2, 0, 1), size=size)


@pytest.mark.parametrize("sizes", [(10, 10), (40, 17), (9, 33), (300, 40), (7, 1)])
def test_resizing_is_torch_s(sizes: tuple[int, int], run_script) -> None:
    before, after = sizes
    (found,) = run_script(PhotoLabeler, "taps", [[before, after]])
    values = torch.rand(1, 1, before, before, generator=torch.Generator().manual_seed(0))
    expected = interpolate(values, size=(before, after), mode="bilinear", antialias=True)[0, 0]
    matrix = torch.zeros(after, before)
    for place, (first, weights) in enumerate(found):
        matrix[place, first : first + len(weights)] = torch.tensor(weights)
    assert torch.allclose(values[0, 0] @ matrix.T, expected, atol=1e-5)


def test_size_is_rounded_as_the_package_does(run_script) -> None:
    cases = [
        [60, 100, 45],
        [1001, 333, 96],
        [96, 128, 96],
        [40, 56, 64],
        [50, 125, 45],
        [50, 75, 33],
    ]
    found = run_script(PhotoLabeler, "scaled", cases)
    expected = []
    for height, width, shorter in cases:
        scale = shorter / min(height, width)
        expected.append([round(height * scale), round(width * scale)])
    assert found == expected


@pytest.mark.parametrize(("height", "width"), [(61, 90), (130, 75), (40, 56), (20, 31)])
def test_saved_label_map_is_the_package_s(
    height: int, width: int, open_figure, tmp_path: Path
) -> None:
    page = open_figure(make_photo_labeler())
    settle(page)
    pixels = photograph(height, width)
    choose(page, pixels)
    labels = saved(page, tmp_path)
    logits = torch_logits(pixels, 40)
    assert labels.shape == (height, width)
    assert len(np.unique(labels)) > 2
    assert (labels == logits.argmax(0).numpy()).mean() > 0.998
    title = page.locator(".st-title").inner_text().replace("\u00a0", " ")
    assert title == f"mine.png, {width} × {height} pixels"
    shares = page.locator("tbody td:nth-child(2)").all_inner_texts()
    counted = np.bincount(labels.ravel(), minlength=8) / labels.size
    for text, share in zip(shares, counted, strict=True):
        assert abs(float(text.replace("\u00a0", " ").removesuffix(" %")) - 100 * share) < 0.3


def test_large_photograph_is_saved_at_its_own_size(open_figure, tmp_path: Path) -> None:
    page = open_figure(make_photo_labeler())
    settle(page)
    pixels = photograph(1000, 1600)  # more than the page draws
    choose(page, pixels, "large.one.png")
    labels = saved(page, tmp_path)
    assert labels.shape == (1000, 1600)
    assert (tmp_path / "large.one.png").exists()
    canvas = page.locator("canvas")
    assert canvas.evaluate("node => [node.width, node.height]") == [1280, 800]
    # Reduced twice, once by the browser: the borders of regions may move by a pixel or two.
    assert (labels == torch_logits(pixels, 40).argmax(0).numpy()).mean() > 0.97


def test_doubtful_pixels_become_void(open_figure, tmp_path: Path) -> None:
    page = open_figure(make_photo_labeler())
    settle(page)
    pixels = photograph(61, 90)
    choose(page, pixels)
    confidence = torch_logits(pixels, 40).softmax(0).amax(0).numpy()
    slider = page.get_by_role("slider", name="Void below")
    threshold = float(np.quantile(confidence, 0.4) // 0.05 * 0.05 + 0.05)
    slider.fill(f"{threshold:.2f}")
    labels = saved(page, tmp_path)
    expected = confidence < threshold
    assert 0.05 < expected.mean() < 0.95
    assert ((labels == VOID) == expected).mean() > 0.998
    left = float(tile(page, "Left void").removesuffix(" %"))
    assert abs(left - 100 * expected.mean()) < 0.3


def test_keys_change_what_the_network_sees_and_what_is_drawn(open_figure) -> None:
    page = open_figure(make_photo_labeler())
    settle(page)
    assert tile(page, "The network saw") == "56 × 40"
    page.get_by_role("slider", name="Shorter side").press("ArrowRight")
    settle(page)
    assert tile(page, "The network saw") == "67 × 48"
    read = "node => [...node.getContext('2d').getImageData(0, 0, node.width, node.height).data]"
    canvas = page.locator("canvas")
    page.get_by_role("slider", name="Opacity").press("Home")
    plain = np.array(canvas.evaluate(read)).reshape(40, 56, 4)[..., :3]
    image = draw_blocks(40, 56)[0]
    assert np.abs(plain[:19] - image[:, 0, 0].numpy()).mean() < 6  # a plain color, through a JPEG
    page.get_by_role("slider", name="Opacity").press("End")
    labels = np.array(canvas.evaluate(read)).reshape(40, 56, 4)[..., :3]
    colors = {tuple(color) for color in labels.reshape(-1, 3).tolist()}
    assert colors <= set(STREETS_PALETTE)
    page.get_by_role("radio", name="all classes").press("ArrowRight")
    faded = np.array(canvas.evaluate(read)).reshape(40, 56, 4)[..., :3]
    assert len(colors) > 2
    sky = (labels == STREETS_PALETTE[0]).all(-1)
    np.testing.assert_array_equal(faded[sky], labels[sky])
    assert (faded[~sky] != labels[~sky]).any(axis=-1).mean() > 0.9


def test_second_picture_and_back(open_figure) -> None:
    page = open_figure(make_photo_labeler())
    settle(page)
    first = page.locator("tbody").inner_text()
    page.get_by_role("radio", name="second").check()
    page.locator(".st-title").filter(has_text="second").wait_for()
    settle(page)
    assert page.locator("tbody").inner_text() != first
    page.get_by_role("radio", name="first").check()
    page.locator(".st-title").filter(has_text="first").wait_for()
    settle(page)
    assert page.locator("tbody").inner_text() == first


def test_a_file_that_is_no_picture_is_named(open_figure) -> None:
    page = open_figure(make_photo_labeler())
    settle(page)
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a photograph").click()
    chooser.value.set_files(
        {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no picture"}
    )
    status = page.get_by_role("status")
    status.filter(has_text="notes.txt cannot be read").wait_for()
    settle(page)
    assert page.locator(".st-title").inner_text().startswith("first")
    choose(page, photograph(30, 30))  # and the next one is
    assert "mine.png" in status.inner_text()


def test_dropped_file_is_labeled(open_figure) -> None:
    page = open_figure(make_photo_labeler())
    settle(page)
    buffer = io.BytesIO()
    Image.fromarray(photograph(30, 50)).save(buffer, "PNG")
    page.evaluate(
        """(values) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([Uint8Array.from(values)], "dropped.png"));
            const node = document.querySelector(".segtut-figure");
            node.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true }));
        }""",
        list(buffer.getvalue()),
    )
    page.locator(".st-title").filter(has_text="dropped.png").wait_for()
    settle(page)
    assert "50\u00a0×\u00a030 pixels" in page.locator(".st-title").inner_text()
    assert page.get_by_role("radio", name="first").is_checked() is False


def test_what_does_not_fit_is_refused() -> None:
    images = draw_blocks(40, 56)[0][None]
    with pytest.raises(ValueError, match="2 names and 1 images"):
        PhotoLabeler(UNet(8, width=4, depth=2), images, names=("a", "b"), **COLORS)
    with pytest.raises(ValueError, match="has 3 classes, expected 8"):
        PhotoLabeler(UNet(3, width=4, depth=2), images, names=("a",), **COLORS)
