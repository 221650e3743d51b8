"""The replay shows what was recorded, at the step that is chosen."""

from __future__ import annotations

import re
import zlib

import numpy as np
import pytest
import torch
from playwright.sync_api import expect

from segtut.data.palette import STREETS_PALETTE
from segtut.widgets import TrainingReplay


def test_recorded_maps_come_back(recording) -> None:
    figure = recording(frames=4, pictures=2)
    packed = np.frombuffer(zlib.decompress(figure.predictions), np.uint8).reshape(2, 96, 128, 4)
    truth = np.frombuffer(figure.targets, np.uint8).reshape(2, 96, 128)
    assert ((packed[..., -1] == truth) | (truth == 255)).all()
    assert (packed[..., 0] != truth).mean() > 0.3


def test_loss_is_averaged_over_stretches(recording) -> None:
    figure = recording(frames=60, pictures=1)  # 600 steps of 1 / step
    assert len(figure.loss) == 150
    assert figure.loss_steps[0] == 2.5
    assert figure.loss[0] == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4, abs=1e-4)


def test_slider_and_keys_choose_the_step(open_figure, street, recording) -> None:
    page = open_figure(recording())
    status = page.get_by_role("status")
    expect(status).to_contain_text("After step 10:")
    page.get_by_role("slider", name="Training step").focus()
    page.keyboard.press("End")
    expect(status).to_contain_text("After step 200: loss 0.01, mean IoU 0.99; 100 %")
    prediction = page.get_by_role("img", name=re.compile("Prediction for picture 1"))
    color = prediction.evaluate("node => [...node.getContext('2d').getImageData(1, 1, 1, 1).data]")
    assert tuple(color[:3]) == STREETS_PALETTE[street()[1][1, 1]]


def test_play_runs_to_the_end_and_stops(open_figure, recording) -> None:
    page = open_figure(recording(frames=3))
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    expect(page.get_by_role("status")).to_contain_text("After step 30:")
    expect(page.get_by_role("button", name="Play")).to_be_visible()


def test_reduced_motion_steps_on_request(open_figure, recording) -> None:
    page = open_figure(recording(frames=3), reduced_motion="reduce")
    page.get_by_role("button", name="Next step").click()
    expect(page.get_by_role("status")).to_contain_text("After step 20:")
    expect(page.get_by_role("button", name="Next step")).to_be_visible()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"steps": [1, 2, 3]}, "3 steps for 2 recorded"),
        ({"steps": [2, 1]}, "rising"),
        ({"loss": []}, "empty"),
        ({"loss": [1.0, float("nan")]}, "NaN"),
        ({"predictions": torch.zeros(2, 1, 8, 9, dtype=torch.int64)}, "do not fit"),
        ({"predictions": torch.full((2, 1, 8, 8), 9)}, "the label 9"),
    ],
)
def test_parts_that_do_not_fit_are_refused(change: dict[str, object], text: str, colors) -> None:
    parts = {
        "images": torch.zeros(1, 3, 8, 8, dtype=torch.uint8),
        "targets": torch.zeros(1, 8, 8, dtype=torch.int64),
        "predictions": torch.zeros(2, 1, 8, 8, dtype=torch.int64),
        "steps": [1, 2],
        "loss": [1.0, 0.5],
        "validation": [{"step": 2, "mean_iou": 0.5}],
    }
    with pytest.raises(ValueError, match=text):
        TrainingReplay(**{**parts, **change}, **colors)
