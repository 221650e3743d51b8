"""A multilayer perceptron that labels each pixel by its own color."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, get_args

from torch import Tensor, nn

from segtut.models.normalize import Normalize

Activation = Literal["relu", "sigmoid", "tanh", "none"]

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "none": nn.Identity,
}


class PixelMLP(nn.Module):
    """Layers of neurons that see one pixel, the same at every place: no answer knows its neighbors.

    Each layer is a 1x1 convolution, that is a linear layer applied to the channels of each pixel;
    `layers` holds them and the activations between them.

    images (N, 3, H, W), float, 0-1, RGB, to logits (N, num_classes, H, W), any H, W >= 1.

    Args:
        num_classes: number of logits a pixel.
        hidden: neurons of each hidden layer, first layer first; () for a single linear layer.
        activation: what follows each hidden layer, "relu", "sigmoid", "tanh" or "none".

    Raises:
        ValueError: no classes, an empty layer, or an unknown activation.
    """

    def __init__(
        self,
        num_classes: int,
        hidden: Sequence[int] = (32, 32),
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        if activation not in _ACTIVATIONS:
            raise ValueError(
                f"PixelMLP got activation={activation!r}; "
                f"choose one of {', '.join(get_args(Activation))}."
            )
        widths = (3, *hidden, num_classes)
        if min(widths) < 1:
            raise ValueError(
                f"PixelMLP got num_classes={num_classes} and hidden={tuple(hidden)}; "
                "every layer needs at least one neuron."
            )
        self.normalize = Normalize()
        self.layers = nn.Sequential()
        for number, (entering, leaving) in enumerate(pairwise(widths)):
            if number:
                self.layers.append(_ACTIVATIONS[activation]())
            self.layers.append(nn.Conv2d(entering, leaving, kernel_size=1))

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(self.normalize(images))
