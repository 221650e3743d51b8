"""A pixel's logits are those of linear layers on its color, and of nothing else."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from segtut.models import PixelMLP, build, count_parameters, receptive_field
from segtut.models.normalize import IMAGENET_MEAN, IMAGENET_STD

ACTIVATIONS = {
    "relu": lambda a: a * (a > 0),
    "sigmoid": lambda a: 1 / (1 + (-a).exp()),
    "tanh": lambda a: (a.exp() - (-a).exp()) / (a.exp() + (-a).exp()),
    "none": lambda a: a,
}


def seeded(*arguments: object, **options: object) -> PixelMLP:
    torch.manual_seed(0)
    return PixelMLP(*arguments, **options).double()


def random_images(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("hidden", [(), (5,), (4, 6, 3)])
def test_equals_matrix_products_on_each_pixel(hidden: tuple[int, ...], activation: str) -> None:
    model = seeded(7, hidden, activation)
    images = random_images(2, 3, 5, 4)
    mean, std = (torch.tensor(v) for v in (IMAGENET_MEAN, IMAGENET_STD))
    pixels = (images.movedim(1, -1).reshape(-1, 3) - mean) / std
    linear = [layer for layer in model.layers if isinstance(layer, nn.Conv2d)]
    for number, layer in enumerate(linear):
        if number:
            pixels = ACTIVATIONS[activation](pixels)
        pixels = pixels @ layer.weight[:, :, 0, 0].T + layer.bias
    expected = pixels.reshape(2, 5, 4, 7).movedim(-1, 1)
    torch.testing.assert_close(model(images), expected, rtol=0, atol=1e-6)


def test_an_answer_depends_on_its_own_pixel_alone() -> None:
    model = seeded(4, (16, 16), "tanh")
    images = random_images(2, 3, 6, 5).requires_grad_()
    model(images)[1, :, 2, 3].sum().backward()
    touched = images.grad.abs().sum(dim=1).nonzero().tolist()
    assert touched == [[1, 2, 3]]
    assert receptive_field(model) == 1


def test_shuffled_pixels_keep_their_logits() -> None:
    model = seeded(4)
    images = random_images(1, 3, 6, 5)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(2))
    shuffled = images.flatten(2)[..., order].view_as(images)
    expected = model(images).flatten(2)[..., order]
    torch.testing.assert_close(model(shuffled).flatten(2), expected)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 5)])
def test_any_size(size: tuple[int, int]) -> None:
    assert seeded(3)(random_images(2, 3, *size)).shape == (2, 3, *size)


def test_parameters_are_counted_by_hand() -> None:
    widths = (3, 32, 32, 8)
    assert count_parameters(PixelMLP(8)) == sum(a * b + b for a, b in pairwise(widths))
    assert count_parameters(PixelMLP(8, hidden=())) == 32


def test_is_built_by_name() -> None:
    model = build("pixel_mlp", 3, hidden=(6,), activation="sigmoid")
    assert isinstance(model, PixelMLP)
    assert [type(layer) for layer in model.layers] == [nn.Conv2d, nn.Sigmoid, nn.Conv2d]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((8, (4,), "gelu"), r"'gelu'.*relu, sigmoid, tanh, none"),
        ((8, (4, 0)), r"hidden=\(4, 0\).*at least one neuron"),
        ((0,), r"num_classes=0.*at least one neuron"),
    ],
)
def test_what_cannot_be_built_is_refused(arguments: tuple[object, ...], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        PixelMLP(*arguments)
