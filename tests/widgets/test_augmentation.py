"""The transform in the page is torchvision's, and the damage it counts is the damage there is."""

from __future__ import annotations

import pytest
import torch
from torchvision.transforms.v2 import functional

from segtut.widgets import AugmentationExplorer

RIGHT = {"still": False, "blend": False, "fill": False}
STILL = {"rotate": 0, "shear": 0, "zoom": 1, "flip": False}


@pytest.mark.parametrize("flip", [False, True])
def test_transform_is_torchvisions(run_script, flip: bool, street) -> None:
    labels = street(64, 80)[1]
    for rotate, shear, zoom in ((0, 0, 1), (30, 0, 1), (0, 20, 1), (0, 0, 0.7), (-17, 11, 1.3)):
        move = {"rotate": rotate, "shear": shear, "zoom": zoom, "flip": flip}
        arguments = [labels.flatten().tolist(), 64, 80, 8, move, RIGHT]
        (found,) = run_script(AugmentationExplorer, "transformed", [arguments])
        expected = functional.affine(
            labels[None], angle=rotate, translate=[0, 0], scale=zoom, shear=[shear, 0], fill=255
        )[0]
        expected = expected.flip(-1) if flip else expected
        moved = torch.tensor(found["given"]).view(64, 80)
        # Places that fall on the border of two pixels may be rounded either way.
        assert (moved == expected).double().mean() > 0.995
        assert found["wrong"] == 0


def test_damage_by_hand(run_script) -> None:
    twice = {**STILL, "zoom": 2}
    cases = [
        [[0, 4], 1, 2, 2, twice, {**RIGHT, "blend": True}],  # a quarter and three quarters of 4
        [[0, 4], 1, 2, 5, {**STILL, "flip": True}, {**RIGHT, "still": True}],
        [[1, 1, 1, 1], 2, 2, 2, {**STILL, "zoom": 0.5}, {**RIGHT, "fill": True}],
        [[1, 1, 1, 1], 2, 2, 2, {**STILL, "rotate": 45}, RIGHT],
    ]
    found = run_script(AugmentationExplorer, "transformed", cases)
    given = [one["given"] for one in found]
    assert given[:2] == [[1, 3], [0, 4]]
    assert [one["wrong"] for one in found] == [2, 2, 3, 0]
    assert [(one["invented"], one["values"]) for one in found] == [(1, 1), (0, 0), (0, 0), (0, 0)]


def test_outside_is_void_or_wrongly_class_0(run_script) -> None:
    labels = [1] * 64
    half = {**STILL, "zoom": 0.5}
    cases = [[labels, 8, 8, 2, half, {**RIGHT, "fill": fill}] for fill in (False, True)]
    right, filled = run_script(AugmentationExplorer, "transformed", cases)
    assert right["outside"] == filled["outside"] == filled["wrong"] == 48
    assert sorted(set(right["given"])) == [1, 255]


def test_sliders_move_picture_and_labels(open_figure, street, colors) -> None:
    page = open_figure(AugmentationExplorer(*street(), **colors))
    canvases = page.locator("canvas")
    before = [canvases.nth(index).evaluate("node => node.toDataURL()") for index in (0, 1)]
    page.get_by_role("slider", name="Rotate").focus()
    page.keyboard.press("ArrowRight")
    after = [canvases.nth(index).evaluate("node => node.toDataURL()") for index in (0, 1)]
    assert page.get_by_role("slider", name="Rotate").get_attribute("aria-valuetext") == "13°"
    assert all(old != new for old, new in zip(before, after, strict=True))
    assert "No label is wrong" in page.get_by_role("status").inner_text()


@pytest.mark.parametrize(
    ("switch", "said"),
    [
        ("move the picture only", "labels are wrong"),
        ("interpolate the mask bilinearly", "values that no class has"),
        ("fill with class 0 instead of void", "labels are wrong"),
    ],
)
def test_switches_count_the_damage(open_figure, switch: str, said: str, street, colors) -> None:
    page = open_figure(AugmentationExplorer(*street(), **colors))
    page.get_by_role("checkbox", name=switch).focus()
    page.keyboard.press("Space")
    assert said in page.get_by_role("status").inner_text()
