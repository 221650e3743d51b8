"""What an objective is, and the plain one: a loss between logits and labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segtut.data.dataset import VOID
from segtut.losses import CrossEntropyLoss
from segtut.precision import Precision, autocast


class Objective(nn.Module):
    """What a step of training minimizes, given the network: `fit(..., objective=...)`.

    The loop calls `prepare` once, then in every step the objective itself, for the loss whose
    gradient moves the network, and `finish_step` after the network has moved. An objective may own
    networks, such as a discriminator or a teacher; those are its own to train, and its state is
    part of the checkpoint.
    """

    optimizer: torch.optim.Optimizer | None = None
    """Of the objective's own networks, if they learn by gradients."""
    network_rate: float = 0.0
    """The highest learning rate of the network that the loop trains, which the loop sets."""

    def __init__(self) -> None:
        super().__init__()
        self.precision: Precision = "auto"

    def prepare(self, device: torch.device, precision: Precision) -> None:
        """Move to the device that the network is trained on, and take over its precision."""
        self.to(device)
        self.precision = precision

    def run(self, network: Callable[..., Any], *inputs: Tensor) -> Any:
        """Call a network, or what it can do, as the loop would, in bf16 where that pays."""
        with autocast(inputs[0].device, self.precision):
            return network(*inputs)

    def forward(self, network: nn.Module, images: Tensor, target: Tensor) -> Tensor:
        """The loss, a float32 scalar, of images (N, C, H, W), 0-1, and target (N, H, W)."""
        raise NotImplementedError

    def normalizer(self, target: Tensor) -> Tensor:
        """What the loss is a mean over, so that unequal batches can be put together: images."""
        return torch.tensor(float(len(target)), device=target.device)

    def finish_step(self, model: nn.Module, share: float) -> None:
        """Learn from the step that `model` has just taken.

        share: the step's learning rate as a share of the highest, 0 to 1.
        """


class Supervised(Objective):
    """A loss of the network's logits and the labels: what segmentation networks are trained by."""

    def __init__(self, loss: nn.Module | None = None) -> None:
        super().__init__()
        self.loss = loss or CrossEntropyLoss()

    def forward(self, network: nn.Module, images: Tensor, target: Tensor) -> Tensor:
        loss: Tensor = self.loss(self.run(network, images), target)
        return loss

    def normalizer(self, target: Tensor) -> Tensor:
        """The loss's own: the pixels that are not void, or their summed class weights."""
        normalizer: Tensor = self.loss.normalizer(target)  # type: ignore[operator]
        return normalizer


def one_hot(target: Tensor, num_classes: int) -> Tensor:
    """Labels (N, H, W) as float32 (N, num_classes, H, W): 1 where the class is, void all zero."""
    valid = target != VOID
    coded = F.one_hot(torch.where(valid, target, 0), num_classes).movedim(-1, 1)
    return (coded * valid.unsqueeze(1)).float()
