"""Learning from a larger network: its probabilities say more about a pixel than one label."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segtut.data.dataset import VOID
from segtut.objectives.base import Supervised


class Distillation(Supervised):
    """A loss of the labels, plus the divergence from what a trained network, the teacher, says.

    The loss is labels_weight * loss + weight * T^2 * KL(teacher || student), with both sides'
    logits divided by the temperature T, and the divergence averaged over the pixels that are not
    void. T^2 keeps the gradient's size when T changes. By default the labels count as much as they
    do without a teacher, so that a comparison with and without one changes one thing;
    labels_weight = 1 - weight gives Hinton's weighted average, labels_weight = 0 the teacher alone.

    loss: of logits and labels, cross-entropy if None. teacher: images (N, 3, H, W) to logits of
    the student's shape; a copy is kept and not trained. temperature: T, above 0. weight and
    labels_weight: at least 0.
    Raises ValueError: an option out of range; when called, if the teacher's logits are of another
    shape than the student's.
    Source: Hinton, Vinyals and Dean (2015), "Distilling the knowledge in a neural network".
    """

    def __init__(
        self,
        loss: nn.Module | None,
        teacher: nn.Module,
        temperature: float = 2.0,
        weight: float = 0.5,
        labels_weight: float = 1.0,
    ) -> None:
        super().__init__(loss)
        if temperature <= 0 or weight < 0 or labels_weight < 0:
            raise ValueError(
                f"temperature={temperature} must be above 0, weight={weight} and "
                f"labels_weight={labels_weight} at least 0"
            )
        self.teacher = copy.deepcopy(teacher).eval().requires_grad_(False)
        self.temperature, self.weight = temperature, weight
        self.labels_weight = labels_weight

    def forward(self, network: nn.Module, images: Tensor, target: Tensor) -> Tensor:
        logits = self.run(network, images).float()
        with torch.no_grad():
            wanted = self.run(self.teacher, images).float()
        if wanted.shape != logits.shape:
            raise ValueError(
                f"the teacher gives logits {tuple(wanted.shape)}, the student "
                f"{tuple(logits.shape)}: both need the same classes"
            )
        loss: Tensor = self.labels_weight * self.loss(logits, target)
        return loss + self.weight * self._divergence(logits, wanted, target)

    def _divergence(self, logits: Tensor, wanted: Tensor, target: Tensor) -> Tensor:
        student = (logits / self.temperature).log_softmax(1)
        teacher = (wanted / self.temperature).log_softmax(1)
        divergence = F.kl_div(student, teacher, reduction="none", log_target=True).sum(1)
        valid = target != VOID
        return self.temperature**2 * (divergence * valid).sum() / valid.sum().clamp(min=1)
