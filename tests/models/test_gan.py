"""Generators and discriminators: what they take, how far they see, how steep they may be."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from segtut.models import (
    Discriminator,
    Generator,
    LabelToImage,
    PatchDiscriminator,
    build,
    receptive_field,
)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_codes_become_pictures() -> None:
    generator = Generator((8, 16), code_size=5, channels=1, width=4, depth=2)
    codes = generator.codes(3, torch.Generator().manual_seed(0))
    assert torch.equal(codes, torch.randn(3, 5, generator=torch.Generator().manual_seed(0)))
    pictures = generator(codes)
    assert pictures.shape == (3, 1, 8, 16)
    assert 0 <= pictures.min() < pictures.max() <= 1
    torch.manual_seed(7)
    first = generator.codes(2)
    torch.manual_seed(7)
    assert torch.equal(first, generator.codes(2))


@pytest.mark.parametrize("norm", ["none", "batch", "spectral"])
def test_a_discriminator_gives_one_score_a_picture(norm: Any) -> None:
    model = Discriminator((8, 16), channels=1, width=4, depth=2, norm=norm)
    assert model(random(3, 1, 8, 16)).shape == (3,)


@pytest.mark.parametrize("norm", ["none", "batch", "spectral"])
@pytest.mark.parametrize(("layers", "sees"), [(0, 7), (1, 16), (2, 34), (3, 70)])
def test_a_patch_s_score_depends_on_its_receptive_field(layers: int, sees: int, norm: Any) -> None:
    torch.manual_seed(0)
    model = PatchDiscriminator(3, width=4, layers=layers, norm=norm).eval()
    assert receptive_field(model) == sees
    images = random(1, 3, 96, 96).requires_grad_(True)
    scores = model(images)
    assert scores.shape[:2] == (1, 1)
    middle = scores.shape[-1] // 2
    (slopes,) = torch.autograd.grad(scores[0, 0, middle, middle], images)
    touched = slopes.abs().sum((0, 1)).nonzero()
    extent = touched.max(0).values - touched.min(0).values + 1
    assert extent.tolist() == [sees, sees]


def test_number_of_scores_by_the_formula_of_convolutions() -> None:
    # 96 -> 48 -> 24 -> 12 -> 11 -> 10, and 128 -> 64 -> 32 -> 16 -> 15 -> 14.
    assert PatchDiscriminator(width=2)(random(1, 3, 96, 128)).shape == (1, 1, 10, 14)


def test_the_smallest_picture_gives_one_score_and_a_smaller_one_a_reason() -> None:
    model = PatchDiscriminator(width=2, layers=2)
    assert model(random(1, 3, 12, 12)).shape == (1, 1, 1, 1)
    with pytest.raises(ValueError, match=r"\(1, 3, 11, 40\).*at least 12 pixels"):
        model(random(1, 3, 11, 40))


@pytest.mark.parametrize(
    "make",
    [
        lambda: PatchDiscriminator(width=8, layers=2, norm="spectral"),
        lambda: Discriminator((16, 16), width=8, depth=2, norm="spectral"),
    ],
    ids=["patches", "whole"],
)
def test_spectral_norm_holds_every_matrix_to_a_singular_value_of_one(make: Any) -> None:
    torch.manual_seed(0)
    model = make()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(5)  # undone by the division, whatever the scale
        # Each pass in training mode is one step of the power iteration, and it converges slowly
        # where the two largest singular values are close.
        for _ in range(400):
            model.train()(random(1, 3, 16, 16))
    layers = [m for m in model.eval().modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert layers
    for layer in layers:
        largest = torch.linalg.svdvals(layer.weight.detach().flatten(1).double())[0]
        assert 0.99 < largest < 1.01


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (33, 46)])
def test_label_maps_of_every_size_become_pictures(size: tuple[int, int]) -> None:
    model = build("label_to_image", 5, width=4, depth=3).eval()
    assert isinstance(model, LabelToImage)
    pictures = model(random(2, 5, *size))
    assert pictures.shape == (2, 3, *size)
    assert 0 <= pictures.min() <= pictures.max() <= 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Generator((9, 8), depth=2), "multiples"),
        (lambda: Generator((8, 8), code_size=0, depth=2), "code_size=0"),
        (lambda: Discriminator((9, 8), depth=2), "multiples"),
        (lambda: Discriminator(norm="layer"), "'none', 'batch', 'spectral'"),  # type: ignore[arg-type]
        (lambda: PatchDiscriminator(layers=-1), "layers=-1"),
        (lambda: PatchDiscriminator(width=0), "width=0"),
        (lambda: LabelToImage(0), "num_classes=0"),
        (lambda: LabelToImage(3, max_width=0), "max_width=0"),
    ],
)
def test_arguments_out_of_range_are_named(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
