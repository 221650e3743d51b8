"""What the page draws is what torch draws, and the reader's hand changes the label map."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from playwright.sync_api import Page
from torch import Tensor, nn

from segtut.data import Streets
from segtut.data.palette import STREETS_PALETTE
from segtut.inference import export_program
from segtut.metrics import ConfusionMatrix
from segtut.models import LabelToImage, UNet
from segtut.widgets import LabelPainter
from segtut.widgets.label_painter import outlined, without_void
from tests.widgets.conftest import CLASSES, COLORS, draw_blocks

CAR, SKY = CLASSES.index("car"), CLASSES.index("sky")
HEIGHT, WIDTH = 24, 40


def networks() -> tuple[dict[str, nn.Module], nn.Module]:
    """Two generators and a segmenter that have learned nothing, with statistics of their own."""
    torch.manual_seed(0)
    generators = {name: LabelToImage(8, width=4, depth=3) for name in ("L1", "L1 + GAN")}
    segmenter = UNet(8, width=4, depth=3)
    for model, channels in (*((one, 8) for one in generators.values()), (segmenter, 3)):
        for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm2d)):
            norm.momentum = None
            nn.init.uniform_(norm.weight, 0.5, 2.5)
            nn.init.normal_(norm.bias, 0, 0.5)
        model.train()(torch.rand(4, channels, HEIGHT, WIDTH))
    return {name: model.eval() for name, model in generators.items()}, segmenter.eval()


def maps() -> Tensor:
    """A map with a car of 4 x 6 pixels in the road, and another of blocks and void."""
    plain = torch.full((HEIGHT, WIDTH), CLASSES.index("road"))
    plain[: HEIGHT // 2] = SKY
    plain[16:20, 30:36] = CAR
    return torch.stack([plain, draw_blocks(HEIGHT, WIDTH)[1]])


def make_painter() -> LabelPainter:
    return LabelPainter(*networks(), maps(), names=("empty", "blocks"), **COLORS)


def settle(page: Page) -> None:
    page.wait_for_selector(".segtut-figure[aria-busy=false]")


def shown(page: Page, which: int) -> np.ndarray:
    """RGB (H, W, 3) of the label map (0) or of a street (1, 2)."""
    script = """canvas => [canvas.height, canvas.width,
        ...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data]"""
    height, width, *values = page.locator("canvas").nth(which).evaluate(script)
    return np.array(values, np.uint8).reshape(height, width, 4)[..., :3]


def painted(page: Page) -> np.ndarray:
    """Labels (H, W) that the map's colors stand for."""
    distance = np.abs(shown(page, 0)[..., None, :].astype(int) - np.array(STREETS_PALETTE)).sum(-1)
    assert (distance.min(-1) == 0).all()
    return distance.argmin(-1).astype(np.uint8)


def tile(page: Page, name: str) -> str:
    return page.locator(f".st-tiles div:has(dt:text-is('{name}')) dd").inner_text()


def torch_draws(labels: np.ndarray) -> list[tuple[Tensor, Tensor]]:
    """For each generator its picture (3, H, W) of the map and the labels read in it."""
    generators, segmenter = networks()
    seen = torch.from_numpy(outlined(labels))
    one_hot = (seen == torch.arange(8)[:, None, None]).float()[None]
    with torch.inference_mode():
        pictures = [model(one_hot) for model in generators.values()]
        return [(one[0], segmenter(one)[0].argmax(0)) for one in pictures]


def same(page: Page) -> None:
    """What the page shows and counts is what torch computes from the map that it shows."""
    labels = painted(page)
    valid = torch.from_numpy(outlined(labels)).long()
    for k, (picture, read) in enumerate(torch_draws(labels)):
        drawn = torch.from_numpy(shown(page, k + 1)).permute(2, 0, 1) / 255
        assert (drawn - picture).abs().max() < 0.03
        confusion = ConfusionMatrix(8)
        confusion.update(read, valid)
        name = ("L1", "L1 + GAN")[k]
        share = float(tile(page, f"Read back from {name}").removesuffix("\u00a0%")) / 100
        assert abs(share - confusion.pixel_accuracy()) < 0.02
        cells = page.locator(f"tbody td:nth-child({k + 2})").all_inner_texts()
        for cell, iou in zip(cells, confusion.iou().tolist(), strict=True):
            assert (cell == "nowhere") == (iou != iou)
            assert iou != iou or abs(float(cell) - iou) < 0.05


def test_contours_are_those_of_the_data() -> None:
    target = Streets("test", n=1, size=(48, 64))[0][1].numpy().astype(np.uint8)
    found = outlined(without_void(target))
    assert ((found == 255) <= (target == 255)).mean() > 0.97  # hardly a contour of its own
    assert 0.3 < (found == 255).sum() / (target == 255).sum() <= 1
    ramp = np.array([[0, 0, 2, 2], [0, 0, 2, 2], [1, 1, 1, 1]], np.uint8)
    assert outlined(ramp).tolist() == [[0, 255, 2, 2], [255, 255, 2, 2], [1, 1, 255, 255]]


def test_void_takes_the_nearest_label() -> None:
    labels = np.array([[3, 255, 255, 255, 5]], np.uint8)
    assert without_void(labels)[0, [0, 1, 3, 4]].tolist() == [3, 3, 5, 5]
    assert (without_void(np.full((2, 3), 255, np.uint8)) == 0).all()


def test_page_outlines_and_counts_as_python_does(run_script) -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 8, (9, 11)).astype(np.uint8)
    (found,) = run_script(LabelPainter, "outlined", [[labels.flatten().tolist(), 9, 11]])
    assert found == outlined(labels).flatten().tolist()
    (planes,) = run_script(LabelPainter, "oneHot", [[found, 8]])
    expected = (outlined(labels) == np.arange(8)[:, None, None]).astype(float)
    assert planes == expected.flatten().tolist()
    read = generator.integers(0, 7, labels.shape)
    (score,) = run_script(LabelPainter, "readBack", [[found, read.flatten().tolist(), 9]])
    confusion = ConfusionMatrix(9)
    confusion.update(torch.from_numpy(read), torch.from_numpy(outlined(labels)))
    assert score["share"] == pytest.approx(confusion.pixel_accuracy())
    for value, iou in zip(score["iou"], confusion.iou().tolist(), strict=True):
        assert (value is None) if iou != iou else value == pytest.approx(iou)


def test_first_streets_are_torch_s(open_figure) -> None:
    page = open_figure(make_painter())
    settle(page)
    assert (painted(page) == maps()[0].numpy()).all()
    same(page)


def test_mouse_paints_fills_and_takes_back(open_figure) -> None:
    page = open_figure(make_painter())
    settle(page)
    before = [shown(page, k) for k in range(3)]
    page.get_by_role("radio", name="tree").check()
    page.get_by_role("slider", name="Brush").press("ArrowRight")
    sheet = page.get_by_role("application", name="Label map")
    box = sheet.bounding_box()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.3 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 0.3 * box["height"])
    page.mouse.up()
    settle(page)
    tree = painted(page) == CLASSES.index("tree")
    assert tree.any(axis=0).sum() > 20  # one stroke, without gaps
    assert (np.diff(np.flatnonzero(tree.any(axis=0))) == 1).all()
    assert tree.any(axis=1).sum() == 7
    assert all(not np.array_equal(before[k], shown(page, k)) for k in range(3))
    same(page)
    page.get_by_role("radio", name="fill").check()
    page.get_by_role("radio", name="building").check()
    sheet.click(position={"x": box["width"] / 2, "y": box["height"] * 0.9})
    settle(page)
    labels = painted(page)
    assert (labels[HEIGHT // 2 :] == CLASSES.index("building")).sum() == 12 * WIDTH - 24
    assert (labels[16:20, 30:36] == CAR).all()  # another region
    for _ in range(2):
        page.get_by_role("button", name="Undo").click()
        settle(page)
    assert all(np.array_equal(before[k], shown(page, k)) for k in range(3))
    page.get_by_role("button", name="Undo").click()  # nothing left to take back
    settle(page)
    assert np.array_equal(before[0], shown(page, 0))


def test_keyboard_puts_down_a_car_and_draws_a_line(open_figure) -> None:
    page = open_figure(make_painter())
    settle(page)
    sheet = page.get_by_role("application", name="Label map")
    sheet.focus()
    for key in (str(CAR + 1), "ArrowUp", "ArrowLeft", "Space"):
        page.keyboard.press(key)
    settle(page)
    expected = maps()[0].numpy().astype(np.uint8)
    top, left = HEIGHT // 2 - 1 - 2, WIDTH // 2 - 1 - 3
    expected[top : top + 4, left : left + 6] = CAR
    assert (painted(page) == expected).all()
    assert page.get_by_role("radio", name="cut-out").is_checked()
    assert "row 12, column 20" in str(sheet.get_attribute("aria-label"))
    assert "you painted car" in page.get_by_role("status").inner_text()
    for key in ("2", "Shift+ArrowDown", "Shift+ArrowDown", "Control+z"):
        page.keyboard.press(key)
    settle(page)
    assert page.get_by_role("radio", name="brush").is_checked()
    changed = painted(page) != expected
    assert (painted(page)[changed] == CLASSES.index("building")).all()
    assert changed.any(axis=1).sum() == 6  # a step of one row with a brush of five
    same(page)


def test_other_maps_views_and_starting_over(open_figure) -> None:
    page = open_figure(make_painter())
    settle(page)
    page.get_by_role("radio", name="blocks").check()
    settle(page)
    blocks = without_void(maps()[1].numpy().astype(np.uint8))
    assert (painted(page) == blocks).all()
    same(page)
    page.get_by_role("radio", name="what the segmenter reads").check()
    palette = np.array(STREETS_PALETTE, np.uint8)
    for k, (_, read) in enumerate(torch_draws(blocks)):
        assert (shown(page, k + 1) == palette[read.numpy()]).all(axis=-1).mean() > 0.97
    page.get_by_role("application", name="Label map").click()
    page.get_by_role("button", name="Start over").click()
    settle(page)
    assert (painted(page) == blocks).all()


def test_what_does_not_fit_is_refused() -> None:
    generators, segmenter = networks()
    kind = {"names": ("a", "b"), **COLORS}
    cases = [
        ((generators, segmenter, maps()), {**kind, "names": ("a",)}, "1 names and 2 maps"),
        (({}, segmenter, maps()), kind, "0 generators"),
        ((generators, UNet(5, width=4), maps()), kind, "expected 8 classes"),
        (({"four": nn.Conv2d(8, 4, 1)}, segmenter, maps()), kind, "expected three colors"),
        ((generators, segmenter, maps() + 5), kind, "expected 0 to 7 or 255"),
        ((generators, segmenter, maps()[0]), kind, r"expected \(K, H, W\)"),
        (({"large": LabelToImage(8)}, segmenter, maps()), kind, "at most 150,000"),
    ]
    for arguments, options, text in cases:
        with pytest.raises(ValueError, match=text):
            LabelPainter(*arguments, **options)


def test_half_the_precision_is_what_travels() -> None:
    generators, segmenter = networks()
    painter = make_painter()
    sizes = [network["size"] for network in painter.networks]
    programs = [export_program(one, "float16") for one in (*generators.values(), segmenter)]
    assert sizes == [program.weights.size for program in programs]
    assert len(painter.weights) == 2 * sum(sizes)
