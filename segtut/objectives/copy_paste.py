"""More of what is rare: pixels of chosen classes are copied from one picture into another."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from segtut.objectives.base import Supervised


class CopyPaste(Supervised):
    """A loss of pictures into which the rare things of other pictures have been pasted.

    Each picture of a batch gets, with probability `share`, all pixels of `classes` of the batch's
    next picture, at the same place, with their labels. The contour of void around them stays
    behind, so that pasted things have none. Where gradients are accumulated, a batch weighs as
    much as its labels did before the pasting.

    loss: of logits and labels, cross-entropy if None. classes: numbers of the classes to paste.
    share: probability, 0 to 1. num_classes: C, if known, to check `classes` against.
    Raises ValueError: no class, one that there is not, or the share out of range.
    Source: Ghiasi et al. (2021), "Simple copy-paste is a strong data augmentation method for
    instance segmentation", who paste whole instances, scaled at random.
    """

    def __init__(
        self,
        loss: nn.Module | None,
        classes: Sequence[int],
        share: float = 0.5,
        num_classes: int | None = None,
    ) -> None:
        super().__init__(loss)
        known = range(num_classes) if num_classes else range(255)
        if not classes or any(label not in known for label in classes):
            raise ValueError(
                f"classes={list(classes)} are to be pasted, expected at least one of {known.start} "
                f"to {known.stop - 1}"
            )
        if not 0 <= share <= 1:
            raise ValueError(f"share={share} must lie in 0 to 1")
        self.share = share
        self.register_buffer("pasted", torch.tensor(list(classes)), persistent=False)

    pasted: Tensor

    def forward(self, network: nn.Module, images: Tensor, target: Tensor) -> Tensor:
        return super().forward(network, *copy_paste(images, target, self.pasted, self.share))


def copy_paste(
    images: Tensor,
    target: Tensor,
    classes: Tensor,
    share: float = 1.0,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Paste the pixels of `classes` of each picture's neighbor in the batch, and their labels.

    images (N, C, H, W), target (N, H, W), classes (K,) of the target's device; each picture
    receives with probability `share`.
    """
    receives = torch.rand((len(images), 1, 1), generator=generator) < share
    pasted = torch.isin(target.roll(-1, 0), classes) & receives.to(target.device)
    mixed = torch.where(pasted.unsqueeze(1), images.roll(-1, 0), images)
    return mixed, torch.where(pasted, target.roll(-1, 0), target)
