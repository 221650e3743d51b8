"""Each check accepts right answers and names the fault of typical wrong ones.

The answers stand in tests/exercises, a file a section: RIGHT holds (name, answer), WRONG holds
(name, answer, a part of what the check has to say).
"""

from __future__ import annotations

import importlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from segtut.exercises import Verdict, check, names
from segtut.exercises.registry import exercise
from segtut.models import UNet
from tests.exercises import (
    convolution_layer,
    decoder,
    discriminator,
    encoder,
    gan_segmentation,
    practice,
)

SECTIONS = [
    importlib.import_module(f"tests.exercises.{path.stem}")
    for path in sorted((Path(__file__).parent / "exercises").glob("*.py"))
]
RIGHT = [row for section in SECTIONS for row in section.RIGHT]
WRONG = [row for section in SECTIONS for row in section.WRONG]


@pytest.mark.parametrize(("name", "answer"), RIGHT, ids=[name for name, _ in RIGHT])
def test_right_answer_is_accepted(name: str, answer: object) -> None:
    verdict = check(name, answer)
    assert verdict, verdict
    assert repr(verdict).startswith(f"✓ {name}: ")


@pytest.mark.parametrize(
    ("name", "answer", "fault"), WRONG, ids=[f"{name}-{fault}" for name, _, fault in WRONG]
)
def test_wrong_answer_is_named(name: str, answer: object, fault: str) -> None:
    verdict = check(name, answer)
    assert not verdict
    assert fault in verdict.message
    assert repr(verdict).startswith(f"✗ {name}: ")


def test_every_check_has_a_right_and_two_wrong_answers() -> None:
    right, wrong = Counter(row[0] for row in RIGHT), Counter(row[0] for row in WRONG)
    assert {name: (right[name], wrong[name]) for name in names()} == {
        name: (max(right[name], 1), max(wrong[name], 2)) for name in names()
    }


@pytest.mark.parametrize("name", sorted({name for name, _ in RIGHT}))
def test_skeleton_is_no_answer_yet(name: str) -> None:
    assert "no answer yet" in check(name, ...).message


@pytest.mark.parametrize("placeholder", [None, ..., lambda *arguments: None])
def test_placeholder_is_no_answer_yet(placeholder: object) -> None:
    verdict = check("4.4-iou", placeholder)
    assert not verdict
    assert "no answer yet" in verdict.message


def test_exception_in_the_answer_is_quoted() -> None:
    verdict = check("4.4-iou", lambda confusion: confusion / "two")
    assert not verdict
    assert "TypeError" in verdict.message


def test_value_where_a_function_is_asked_for() -> None:
    assert "a function is asked for" in check("4.4-iou", 0.5).message


def test_unknown_name_suggests_near_ones() -> None:
    with pytest.raises(ValueError, match=r"no exercise is named '4.4-miou'.*4\.4-iou"):
        check("4.4-miou", 1)


def test_name_is_registered_once() -> None:
    with pytest.raises(ValueError, match=r"two checks are named '4\.4-iou'"):
        exercise("4.4-iou")(lambda answer: "")


def test_verdict_is_true_when_passed() -> None:
    assert bool(Verdict("4.4-iou", True, "fine"))
    assert not bool(Verdict("4.4-iou", False, "wrong"))


def test_checks_leave_no_trace_in_the_global_generator() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    check("4.1-joint-flip", practice.joint_flip)
    check("4.2-conv1x1", practice.pointwise)
    assert torch.equal(torch.get_rng_state(), before)


# What some of the answers rest on, against an independent truth.


def test_the_matrix_here_is_a_convolution() -> None:
    picture, kernel = torch.randn(5, 5), torch.randn(3, 3)
    product = convolution_layer.matrix(kernel, 5) @ picture.flatten()
    expected = functional.conv2d(picture[None, None], kernel[None, None]).flatten()
    torch.testing.assert_close(product, expected)


def test_the_shuffle_here_is_that_of_torch() -> None:
    maps = torch.randn(2, 12, 3, 5)
    assert torch.equal(decoder.shuffled(maps, 2), functional.pixel_shuffle(maps, 2))


def test_the_best_verdict_is_also_found_by_search() -> None:
    q, other = torch.tensor([0.6, 0.2, 0.3]), torch.tensor([0.2, 0.6, 0.3])
    found = discriminator.smoothed(q.double(), other.double(), 0.9)
    torch.testing.assert_close(found, 0.9 * (q / (q + other)).double(), atol=1e-4, rtol=0)


def test_no_weight_of_the_penalty_is_quicker_than_one() -> None:
    assert min(np.linspace(0, 4, 401), key=discriminator.slowest) == pytest.approx(1)
    assert discriminator.slowest(1) == pytest.approx(-0.5, abs=1e-6)


def test_a_unet_holds_the_numbers_that_the_formula_counts() -> None:
    network = UNet(num_classes=2, width=4, depth=4)
    last = network.encoder(torch.rand(1, 3, 32, 48))[-1]
    assert last.numel() / (3 * 32 * 48) == encoder.narrowest(4, 4)


def test_a_sample_is_right_as_often_as_the_squares_say() -> None:
    generator = torch.Generator().manual_seed(0)
    probabilities = torch.tensor([0.5, 0.3, 0.2])
    truth, sample = torch.multinomial(
        probabilities, 200_000, replacement=True, generator=generator
    ).view(2, -1)
    share = (truth == sample).float().mean()
    assert abs(share - gan_segmentation.agreement(probabilities)) < 0.005
