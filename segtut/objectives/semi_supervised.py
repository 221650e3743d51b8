"""Learning from few labels: agree with a slower copy of oneself, whatever is done to the picture.

Pictures whose labels are all void (255) are the ones without labels; `PartlyLabeled` of
`segtut.data` mixes them with the labeled ones.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from segtut.averaging import moving_average
from segtut.data.dataset import VOID
from segtut.losses import CrossEntropyLoss
from segtut.objectives.base import Objective


class MeanTeacher(Objective):
    """A loss on the labeled pictures, and agreement with the network's moving average on all.

    The agreement is the mean squared difference of student's and teacher's probabilities, over all
    pixels of all pictures. The student sees the pictures without labels with noise on them; those
    with labels it sees as they are, and so does the teacher all of them: as at the test. The weight
    rises over the first steps, while the teacher knows nothing yet.

    loss: of logits and labels, cross-entropy if None. model: the network that `fit` trains; the
    teacher begins as its copy. weight: of the agreement, reached after `ramp` steps along
    exp(-5 (1 - t)^2). decay: of the average. noise: standard deviation of what is added to
    pictures without labels, 0-1.
    Raises ValueError: weight, ramp or noise negative, or decay outside 0-1.
    Source: Tarvainen and Valpola (2017), "Mean teachers are better role models". There student and
    teacher see noise, on all pictures.
    """

    steps: Tensor

    def __init__(
        self,
        loss: nn.Module | None,
        model: nn.Module,
        weight: float = 10.0,
        decay: float = 0.99,
        ramp: int = 100,
        noise: float = 0.1,
    ) -> None:
        super().__init__()
        if min(weight, ramp, noise) < 0 or not 0 <= decay < 1:
            raise ValueError(
                f"weight={weight}, ramp={ramp} and noise={noise} must not be negative, and "
                f"decay={decay} must lie in [0, 1)"
            )
        self.loss = loss or CrossEntropyLoss()
        self.weight, self.ramp, self.noise = weight, ramp, noise
        self.teacher = moving_average(model, decay).eval().requires_grad_(False)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, network: nn.Module, images: Tensor, target: Tensor) -> Tensor:
        logits = self.run(network, self._disturbed(images, without_labels(target))).float()
        believed = self.believe(images)
        loss: Tensor = self.loss(logits, target)
        return loss + self.current_weight() * (logits.softmax(1) - believed).square().mean()

    @torch.no_grad()
    def believe(self, images: Tensor) -> Tensor:
        """The teacher's probabilities (N, C, H, W) of images (N, 3, H, W)."""
        logits: Tensor = self.run(self.teacher, images)
        return logits.float().softmax(1)

    def current_weight(self) -> float:
        """The weight of the agreement at this step."""
        share = min(1.0, int(self.steps) / self.ramp) if self.ramp else 1.0
        return self.weight * math.exp(-5 * (1 - share) ** 2)

    def _disturbed(self, images: Tensor, chosen: Tensor) -> Tensor:
        """Images (N, 3, H, W), those that are chosen (N) with noise on them."""
        return images + self.noise * torch.randn_like(images) * chosen.view(-1, 1, 1, 1)

    def finish_step(self, model: nn.Module, share: float) -> None:
        """The teacher follows, its running statistics too."""
        self.teacher.update_parameters(model)
        self.teacher.eval()
        self.steps += 1


class CutMix(MeanTeacher):
    """A mean teacher whose student sees two pictures cut together.

    The teacher labels the pictures as they are. A rectangle of half the area is cut out of each
    picture without labels and filled from another; the teacher's answers are cut in the same way,
    and the student is to give them. They are scored by the loss of the labeled pictures, class
    weights included. Where the teacher is no surer than `threshold` they are void, and the loss is
    multiplied by the share of pixels that are not.

    Arguments as of `MeanTeacher`; there is no noise.
    Raises ValueError: as of `MeanTeacher`, or the threshold lies outside 0-1.
    Source: French, Laine, Aila, Mackiewicz and Finlayson (2020), "Semi-supervised semantic
    segmentation needs strong, varied perturbations". There the difference of probabilities is
    squared; hard answers above a threshold are those of FixMatch (Sohn et al. 2020), and with
    unweighted cross-entropy the two lines above are its mean over all pixels.
    """

    def __init__(
        self,
        loss: nn.Module | None,
        model: nn.Module,
        weight: float = 1.0,
        decay: float = 0.99,
        ramp: int = 100,
        threshold: float = 0.9,
    ) -> None:
        super().__init__(loss, model, weight, decay, ramp, noise=0.0)
        if not 0 <= threshold <= 1:
            raise ValueError(f"threshold={threshold} must lie in 0 to 1")
        self.threshold = threshold

    def forward(self, network: nn.Module, images: Tensor, target: Tensor) -> Tensor:
        unlabeled = without_labels(target)
        if int(unlabeled.sum()) < 2:
            loss: Tensor = self.loss(self.run(network, images), target)
            return loss
        sureness, answer = self.believe(images[unlabeled]).max(1)
        answer = torch.where(sureness > self.threshold, answer, VOID)
        mixed, wanted = cutmix(images[unlabeled], answer)
        seen = images.clone()
        seen[unlabeled] = mixed
        logits = self.run(network, seen).float()
        loss = self.loss(logits, target)
        taught = (wanted != VOID).float().mean() * self.loss(logits[unlabeled], wanted)
        return loss + self.current_weight() * taught


def without_labels(target: Tensor) -> Tensor:
    """Which label maps (N, H, W) are void all over: bool (N)."""
    return (target == VOID).flatten(1).all(1)


def cutmix(
    images: Tensor, labels: Tensor, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Cut a rectangle out of every picture and fill it from the next one, labels in the same way.

    images (N, C, H, W), labels (N, H, W). The rectangle covers half the picture, up to rounding;
    its proportions and place are drawn anew for every picture.
    Source: French et al. (2020), section 3.3; the name is from Yun et al. (2019).
    """
    size = (images.shape[-2], images.shape[-1])
    inside = rectangles(len(images), size, generator).to(images.device)
    mixed = torch.where(inside.unsqueeze(1), images.roll(-1, 0), images)
    return mixed, torch.where(inside, labels.roll(-1, 0), labels)


def rectangles(n: int, size: tuple[int, int], generator: torch.Generator | None = None) -> Tensor:
    """Rectangles of half the area of `size` (H, W), one a picture: bool (n, H, W), on the CPU.

    The logarithm of the height's share is uniform between that of 1/2 and 0.
    """
    height, width = size
    draws = torch.rand((n, 3), generator=generator)
    share = 0.5 ** draws[:, 0]
    rows = (share * height).round().long().clamp(1, height)
    columns = (0.5 / share * width).round().long().clamp(1, width)
    top = (draws[:, 1] * (height - rows + 1)).long()
    left = (draws[:, 2] * (width - columns + 1)).long()
    y, x = torch.arange(height).view(1, -1, 1), torch.arange(width).view(1, 1, -1)
    top, left, rows, columns = (value.view(-1, 1, 1) for value in (top, left, rows, columns))
    return (y >= top) & (y < top + rows) & (x >= left) & (x < left + columns)
