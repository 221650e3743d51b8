"""The page's attention is the network's, its numbers are right, mouse and keys move it."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from playwright.sync_api import Page

from segtut.models.transformer import attention_weights
from segtut.widgets import AttentionExplorer
from tests.widgets.conftest import COLORS, draw_blocks, make_attention

HEIGHT, WIDTH = 64, 96


def true_attention(stage: int, street: int) -> torch.Tensor:
    """Attention (heads, queries, keys) of the network itself, by another hook."""
    model, _ = make_attention()
    image, _ = draw_blocks(HEIGHT, WIDTH)
    images = torch.stack([image, 255 - image])[street : street + 1] / 255
    found = []
    layer = model.encoder.stages[stage].blocks[-1].attention
    layer.register_forward_hook(lambda one, given, _: found.append(one.project(*given)))
    with torch.inference_mode():
        model.eval()(images)
    queries, keys, _ = found[0]
    return attention_weights(queries, keys)[0]


def settle(page: Page) -> None:
    page.get_by_role("status").filter(has_text=re.compile("Row")).wait_for()


def table(page: Page) -> list[list[str]]:
    rows = page.locator(".st-figures tbody tr")
    return [
        row.inner_text().replace("\u00a0", " ").split("\t")[1:]
        for row in (rows.nth(k) for k in range(rows.count()))
    ]


@pytest.mark.parametrize(("layer", "street"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_attention_in_the_page_is_the_network_s(layer: int, street: int, run_script) -> None:
    _, figure = make_attention()
    about = figure.layers[layer]
    numbers = np.frombuffer(figure.numbers, np.int8).tolist()
    cases = [(head, query) for head in range(about["heads"]) for query in (0, 17, 40)]
    found = run_script(
        AttentionExplorer,
        "attention",
        [[numbers, about, street, head, query] for head, query in cases],
    )
    truth = true_attention(layer + 1, street)
    stored = figure.weights(layer, street)
    assert truth.amax() > 2.5 / truth.shape[-1]  # not all alike
    for (head, query), weights in zip(cases, found, strict=True):
        assert sum(weights) == pytest.approx(1)
        torch.testing.assert_close(torch.tensor(weights), torch.tensor(stored[head, query]))
        torch.testing.assert_close(torch.tensor(weights), truth[head, query], atol=0.02, rtol=0.1)


def test_without_the_division_the_softmax_is_sharper(run_script) -> None:
    _, figure = make_attention()
    about, numbers = figure.layers[1], np.frombuffer(figure.numbers, np.int8).tolist()
    with_it, without = run_script(
        AttentionExplorer, "attention", [[numbers, about, 0, 1, 5, flag] for flag in (True, False)]
    )
    powered = np.array(with_it) ** np.sqrt(about["size"])
    np.testing.assert_allclose(without, powered / powered.sum(), rtol=1e-6)


def test_descriptions_by_hand(run_script) -> None:
    centers = [[5, 5], [5, 15], [15, 5], [15, 15]]
    window = {"top": 0, "left": 0, "bottom": 10, "right": 20}
    (found,) = run_script(
        AttentionExplorer,
        "described",
        [[[0.5, 0.25, 0.25, 0], centers, [5, 5], window, [3, 3, 4, 3], 3]],
    )
    assert found["patches"] == pytest.approx(2**1.5)
    assert found["distance"] == pytest.approx(5)
    assert (found["inside"], found["same"]) == (0.75, 0.75)
    even = [[[0.25] * 4, centers, [5, 5], window, [1] * 4, 2]]
    assert run_script(AttentionExplorer, "described", even)[0]["patches"] == pytest.approx(4)


def test_commonest_label_of_a_cell_and_middles(run_script) -> None:
    labels = torch.tensor([[1, 1, 255, 255], [1, 2, 255, 0], [3, 3, 255, 255], [3, 4, 255, 255]])
    case = [labels.flatten().tolist(), 4, 4, 2, 2]
    assert run_script(AttentionExplorer, "commonest", [case]) == [[1, 0, 3, 255]]
    (found,) = run_script(AttentionExplorer, "middles", [[8, 12, 2, 3]])
    assert found == [[2, 2], [2, 6], [2, 10], [6, 2], [6, 6], [6, 10]]


def test_table_says_what_the_network_does(open_figure) -> None:
    _, figure = make_attention()
    page = open_figure(figure)
    settle(page)
    truth = torch.tensor(figure.weights(1, 0))[:, 4 * 12 + 6].double()  # the middle of 8 x 12
    rows, columns = torch.meshgrid(torch.arange(8), torch.arange(12), indexing="ij")
    far = 8 * ((rows - 4.0) ** 2 + (columns - 6.0) ** 2).sqrt().flatten()
    near = ((rows - 4).abs() <= 1) & ((columns - 6).abs() <= 1)
    shown = table(page)
    assert len(shown) == 4
    for weights, texts in zip(truth, shown, strict=True):
        amount = torch.exp(-(weights * weights.log()).sum())
        assert float(texts[0]) == pytest.approx(float(amount), abs=0.06)
        assert texts[1] == f"{float((weights * far).sum()):.0f} px"
        assert texts[2] == f"{100 * float(weights[near.flatten()].sum()):.0f} %"


def test_mouse_keys_and_controls_change_what_they_should(open_figure) -> None:
    page = open_figure(make_attention()[1])
    settle(page)
    board = page.get_by_role("application")
    status = page.get_by_role("status")
    assert "row 5, column 7" in board.get_attribute("aria-label")
    before = table(page)
    board.focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowUp")
    assert "row 4, column 6" in board.get_attribute("aria-label")
    assert status.inner_text().startswith("Row 4, column 6")
    assert table(page) != before
    box = board.bounding_box()
    page.mouse.move(box["x"] + 3, box["y"] + box["height"] - 3)
    assert status.inner_text().startswith("Row 8, column 1:")
    seen = table(page)
    slider = page.get_by_role("slider")
    slider.focus()
    page.keyboard.press("End")
    wider = table(page)
    assert [row[2] for row in wider] != [row[2] for row in seen]
    assert [row[:2] for row in wider] == [row[:2] for row in seen]
    page.get_by_label("divide by √d").uncheck()
    sharper = table(page)
    assert all(float(a[0]) < float(b[0]) for a, b in zip(sharper, wider, strict=True))
    page.get_by_role("radio", name="stage 2").check()
    assert len(table(page)) == 2
    assert page.locator("canvas").count() == 2
    page.get_by_role("radio", name="second").check()
    page.locator("img[alt='Street: second']").wait_for()


def test_maps_are_bright_where_the_head_looks(open_figure) -> None:
    _, figure = make_attention()
    page = open_figure(figure)
    settle(page)
    weights = figure.weights(1, 0)[:, 4 * 12 + 6]
    for head in range(4):
        script = """canvas => [...canvas.getContext("2d")
            .getImageData(0, 0, canvas.width, canvas.height).data]"""
        values = page.locator("canvas").nth(head).evaluate(script)
        pixels = np.array(values, float).reshape(HEIGHT, WIDTH, 4)
        yellow = (pixels[..., 0] - pixels[..., 2]).reshape(8, 8, 12, 8).mean(axis=(1, 3))
        share = weights[head].reshape(8, 12) / weights[head].max()
        np.testing.assert_allclose(yellow / 185, share, atol=0.02)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"names": ("one",)}, "1 names, 2 images"),
        ({"stages": ()}, r"stages=\(\) were asked for"),
        ({"stages": (3,)}, "expected some of 0 to 2"),
        ({"patch": (8, 0)}, r"patch=\(8, 0\) lies outside the 8 x 12"),
        ({"targets": torch.zeros(2, 32, 96, dtype=torch.long)}, "64 x 96 and label maps of 32"),
        ({"images": torch.zeros(2, 3, 60, 96, dtype=torch.uint8)}, "expected one size"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, object], message: str) -> None:
    model, _ = make_attention()
    image, target = draw_blocks(HEIGHT, WIDTH)
    given = {"images": torch.stack([image, image]), "targets": target.expand(2, -1, -1)}
    options = {"names": ("a", "b"), **COLORS, **given, **change}
    with pytest.raises(ValueError, match=message):
        AttentionExplorer(model, options.pop("images"), options.pop("targets"), **options)


def test_pictures_that_leave_half_a_patch_are_refused() -> None:
    model, _ = make_attention()
    image, target = draw_blocks(HEIGHT, WIDTH)
    with pytest.raises(ValueError, match="do not fall into whole patches"):
        AttentionExplorer(model, image[None, :, :60], target[None, :60], names="a", **COLORS)
