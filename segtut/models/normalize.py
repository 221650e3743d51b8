"""The first layer of every network here: data stay 0-1, and the network centers them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Normalize(nn.Module):
    """Subtract a mean and divide by a standard deviation, channel by channel.

    The two vectors are buffers, so checkpoints and exported networks carry them and nobody
    can forget them at prediction time. The defaults are those of the ImageNet images that
    torchvision's weights were trained with.

    Shapes: images (N, C, H, W), 0-1, to the same shape, about zero mean and unit variance.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD
    ) -> None:
        super().__init__()
        if len(mean) != len(std) or min(std) <= 0:
            raise ValueError(
                f"Normalize got mean {tuple(mean)} and std {tuple(std)}; "
                "it needs as many positive standard deviations as means."
            )
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return (images - self.mean) / self.std
