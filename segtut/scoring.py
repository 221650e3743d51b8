"""Scores of networks that return pictures; `training.evaluate` scores those that segment."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from segtut.data import InMemory, Redrawn
from segtut.data.dataset import SegmentationDataset
from segtut.inference import evaluating
from segtut.objectives import one_hot
from segtut.training import evaluate, to_network


def reconstruction(
    model: nn.Module, test_set: SegmentationDataset, shorter: int | None = None
) -> dict[str, float]:
    """Squared and absolute error of what comes back, means over all numbers of all pictures.

    model: images (N, 3, H, W), 0-1, to the same; shorter: side to resize the pictures to.
    """
    test = InMemory(test_set, shorter)
    device = next(model.parameters()).device
    errors = torch.zeros(2, dtype=torch.float64)
    with evaluating(model), torch.inference_mode():
        for index in range(len(test)):
            image = to_network(test[index][0].as_subclass(Tensor)[None], device)
            difference = (model(image) - image).double()
            errors += torch.stack((difference.square().mean(), difference.abs().mean())).cpu()
    squared, absolute = (errors / len(test)).tolist()
    return {"mean_squared_error": squared, "mean_absolute_error": absolute}


def translation(
    model: nn.Module,
    judge: nn.Module | None,
    test_set: SegmentationDataset,
    shorter: int | None = None,
    device: str | None = None,
) -> dict[str, Any]:
    """How far drawn pictures are from the real ones, and what a fixed network reads in them.

    model: one-hot labels (N, C, H, W) to images 0-1; judge: a network that segments, whose scores
    on the drawn pictures are given, and, under "real", those on the real ones.
    """
    test = InMemory(test_set, shorter)
    home = next(model.parameters()).device

    def draw(image: Tensor, target: Tensor) -> Tensor:
        picture: Tensor = model(one_hot(target[None].to(home), test.num_classes))[0]
        return picture.cpu()

    with evaluating(model), torch.inference_mode():
        drawn = InMemory(Redrawn(test, draw))
    differences = [
        (drawn[index][0].double() - test[index][0].double()).abs().mean() / 255
        for index in range(len(test))
    ]
    scores: dict[str, Any] = {"mean_absolute_error": float(torch.stack(differences).mean())}
    if judge is not None:
        scores |= evaluate(judge, drawn, device=device).summary()
        scores["real"] = evaluate(judge, test, device=device).summary()
    return scores
