"""What the page computes with a kernel is what torch computes, and mouse and keys reach it all."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from playwright.sync_api import Page
from torch import Tensor
from torch.nn.functional import conv2d

from segtut.widgets import KernelEditor
from segtut.widgets.kernel import KERNELS


def gray_of(image: Tensor) -> Tensor:
    """Whole gray levels (H, W), rounded half up."""
    weights = torch.tensor([299, 587, 114])[:, None, None]
    return ((image.long() * weights).sum(0) + 500) // 1000


def outputs(values: Tensor, name: str) -> Tensor:
    weights, by = KERNELS[name]
    kernel = torch.tensor(weights, dtype=torch.float64).reshape(1, 1, 3, 3) / by
    return conv2d(values.double()[None, None], kernel)[0, 0]


def test_planes_are_the_channels_and_their_gray(run_script, street) -> None:
    image = street()[0][:, :5, :7]
    colors = image.permute(1, 2, 0).flatten().tolist()
    names = ["gray", "red", "green", "blue"]
    found = run_script(KernelEditor, "plane", [[colors, name] for name in names])
    expected = [gray_of(image), *image.long()]
    assert found == [plane.flatten().tolist() for plane in expected]


@pytest.mark.parametrize("name", KERNELS)
def test_output_equals_torch(run_script, street, name: str) -> None:
    values = street()[0][0, :11, :14].long()
    weights, by = KERNELS[name]
    arguments = [values.flatten().tolist(), 11, 14, list(weights), by]
    (found,) = run_script(KernelEditor, "correlate", [arguments])
    torch.testing.assert_close(
        torch.tensor(found).double(), outputs(values, name).flatten(), atol=1e-4, rtol=1e-6
    )


@pytest.fixture
def image(street) -> Tensor:
    return street()[0]


@pytest.fixture
def page(open_figure, image) -> Page:
    return open_figure(KernelEditor(image, place=(40, 60)))


def shown(page: Page) -> float:
    """The output at the window's place."""
    text = page.get_by_role("status").locator("strong").inner_text()
    return float(text.replace("−", "-"))


def test_sum_is_the_output_at_the_window(page: Page, image: Tensor) -> None:
    expected = outputs(gray_of(image), "vertical edges")
    assert shown(page) == expected[39, 59]
    written = page.locator(".st-sum strong").inner_text().replace("−", "-")
    assert float(written) == expected[39, 59]
    products = page.locator(".st-nine").nth(2).locator("div > span").all_inner_texts()
    numbers = [float(text.replace("−", "-")) for text in products]
    window = gray_of(image)[39:42, 59:62].flatten().tolist()
    weights = KERNELS["vertical edges"][0]
    assert numbers == [a * b for a, b in zip(window, weights, strict=True)]


def test_arrow_keys_and_mouse_move_the_window(page: Page, image: Tensor) -> None:
    expected = outputs(gray_of(image), "vertical edges")
    picture = page.get_by_role("application").first
    picture.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    assert shown(page) == expected[47, 60]
    assert "row 49 of 96, column 62 of 128" in (picture.get_attribute("aria-label") or "")
    box = picture.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 20.5 / 128, box["y"] + box["height"] * 10.5 / 96)
    page.mouse.up()
    page.mouse.move(box["x"] + 90, box["y"] + 90)  # without a button: nothing moves
    assert shown(page) == expected[9, 19]


def test_window_stays_inside(page: Page) -> None:
    picture = page.get_by_role("application").nth(1)
    picture.click(position={"x": 4, "y": 4})
    assert "row 2 of 96, column 2 of 128" in (picture.get_attribute("aria-label") or "")
    page.keyboard.press("ArrowUp")
    assert "row 2 of 96" in (picture.get_attribute("aria-label") or "")


def test_presets_and_channels(page: Page, image: Tensor) -> None:
    page.get_by_role("radio", name="red").check(force=True)
    page.get_by_role("radio", name="blur").focus()
    page.keyboard.press("ArrowLeft")  # identity
    assert shown(page) == image[0, 40, 60]
    page.keyboard.press("ArrowRight")
    assert shown(page) == pytest.approx(outputs(image[0], "blur")[39, 59].item(), abs=0.006)
    assert "add up to 1" in page.get_by_role("status").inner_text()


def test_weights_are_edited(page: Page, image: Tensor) -> None:
    page.get_by_role("radio", name="identity").check(force=True)
    field = page.get_by_role("spinbutton", name="Weight in row 2, column 2")
    field.focus()
    page.keyboard.press("ArrowUp")  # 2
    assert shown(page) == 2 * gray_of(image)[40, 60]
    assert page.get_by_role("radio", name="identity").is_checked() is False
    field.fill("-0.5")
    assert shown(page) == -0.5 * gray_of(image)[40, 60]
    page.get_by_role("spinbutton", name="sum divided by").fill("2")
    assert shown(page) == pytest.approx(-0.25 * gray_of(image)[40, 60].item(), abs=0.006)


def test_turning_makes_it_a_convolution(page: Page, image: Tensor) -> None:
    from scipy.signal import convolve2d

    page.get_by_role("radio", name="emboss").check(force=True)
    page.get_by_role("button", name="turn").click()
    kernel = np.reshape(KERNELS["emboss"][0], (3, 3))
    assert shown(page) == convolve2d(gray_of(image).numpy(), kernel, mode="valid")[39, 59]


def test_output_map_is_painted(page: Page, image: Tensor) -> None:
    page.get_by_role("radio", name="blur").check(force=True)
    read = "c => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]"
    shades = page.locator("canvas").nth(1).evaluate(read)
    painted = np.array(shades).reshape(94, 126, 4)[..., 0]
    expected = outputs(gray_of(image), "blur").numpy()
    assert np.abs(painted - expected).max() <= 0.5


def test_what_does_not_fit_is_refused(image: Tensor) -> None:
    with pytest.raises(ValueError, match="no kernel is named 'sobel', expected one of identity"):
        KernelEditor(image, kernel="sobel")
    with pytest.raises(ValueError, match=r"3x3 window at \(0, 5\) leaves the picture"):
        KernelEditor(image, place=(0, 5))
