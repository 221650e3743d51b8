"""Checks of section 5.2: merged classes, weights as shifts, the threshold of IoU, prototypes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from segtut.exercises.registry import Fault, call, exercise, number

_VOID = 255


@exercise("5.2-merge")
def check_merge(answer: Callable[[Tensor, Sequence[int]], Tensor]) -> str:
    """answer: (confusion (C, C), table of C groups) -> confusion of the groups (G, G)."""
    generator = torch.Generator().manual_seed(0)
    for table in ((0, 1, 1), (0, 1, 2, 2, 1), (2, 0, 0, 1, 2, 2)):
        classes, groups = len(table), max(table) + 1
        matrix = torch.randint(1, 40, (classes, classes), generator=generator)
        given = matrix.clone()
        found = torch.as_tensor(call(answer, given, table))
        if not torch.equal(given, matrix):
            raise Fault("the matrix you were given has been changed; work on a new one.")
        case = f"{classes} classes into the groups {table}: "
        if found.shape != (groups, groups):
            raise Fault(case + f"{groups} groups make a matrix of {groups} x {groups}, not "
                        f"{tuple(found.shape)}.")  # fmt: skip
        right = _merged(matrix, table)
        if torch.equal(found.long(), right) and torch.equal(found.double(), right.double()):
            continue
        _name_merge_fault(found.double(), matrix, table, right, case)
    return "rows added, columns added, no pixel lost."


def _merged(matrix: Tensor, table: Sequence[int]) -> Tensor:
    groups = max(table) + 1
    right = torch.zeros(groups, groups, dtype=torch.int64)
    for i, row in enumerate(table):
        for j, column in enumerate(table):
            right[row, column] += matrix[i, j]
    return right


def _name_merge_fault(
    found: Tensor, matrix: Tensor, table: Sequence[int], right: Tensor, case: str
) -> None:
    sizes = torch.bincount(torch.tensor(table)).double()
    faults = [
        (right.T, "rows and columns are exchanged: rows stay the truth."),
        (right / sizes.outer(sizes), "the counts have been averaged; they are added."),
        (right / sizes, "the counts have been averaged; they are added."),
    ]
    for wrong, fault in faults:
        if torch.allclose(found, wrong.double()):
            raise Fault(case + fault)
    if not math.isclose(float(found.sum()), float(matrix.sum())):
        raise Fault(case + f"{float(found.sum()):g} pixels are left of {int(matrix.sum())}: every "
                    "pixel keeps a place, those confused within a group become right.")  # fmt: skip
    raise Fault(case + "entry (g, h) is the sum of all (i, j) with table[i] = g, table[j] = h.")


@exercise("5.2-weights")
def check_weights(answer: Callable[[Tensor, Tensor], Tensor]) -> str:
    """answer: (logits (N, C, H, W), weight (C,)) -> logits of the weighted optimum."""
    generator = torch.Generator().manual_seed(0)
    for shape in ((2, 3, 4, 5), (1, 5, 5, 2)):
        logits = torch.randn(shape, generator=generator)
        weight = torch.rand(shape[1], generator=generator) * 4 + 0.3
        found = torch.as_tensor(call(answer, logits.clone(), weight.clone()))
        if found.shape != logits.shape:
            raise Fault(f"the logits have the shape {tuple(found.shape)}, not {shape}.")
        each = weight.view(1, -1, 1, 1)
        right = (logits + each.log()).softmax(dim=1)
        if torch.allclose(found.softmax(dim=1), right, atol=1e-5):
            continue
        if torch.allclose(found, right, atol=1e-5):
            raise Fault("these are the probabilities; logits are asked for, to add to and compare.")
        for wrong, fault in (
            (logits, "nothing has changed."),
            (logits * each, "the weights multiply probabilities, not logits: take the logarithm "
             "and add."),
            (logits + each, "the weights themselves were added; their logarithms belong there."),
            (logits - each.log(), "this takes weights away from a network that had them; the sign "
             "is the other way around."),
            (logits.softmax(dim=1) * each, "products of probabilities are no logits: a softmax of "
             "them is something else."),
        ):  # fmt: skip
            if torch.allclose(found.softmax(dim=1), wrong.softmax(dim=1), atol=1e-5):
                raise Fault(fault)
        raise Fault("the softmax of your logits should be proportional to weight times "
                    "probability, class by class (dim 1).")  # fmt: skip
    return "ln w_c added to the logit of class c; a constant for all classes changes nothing."


@exercise("5.2-threshold")
def check_threshold(answer: Callable[[float], float]) -> str:
    """answer: (IoU that the best labels reach) -> probability above which a pixel is worth it."""
    for iou in (0.1, 0.4, 0.5, 0.9):
        found = number(call(answer, iou))
        right = iou / (1 + iou)
        if math.isclose(found, right, abs_tol=1e-4):
            continue
        case = f"IoU {iou}: {right:.3f}, not {found:.3f}. "
        if math.isclose(found, 0.5):
            raise Fault(case + "One half is right for the accuracy; IoU asks for less.")
        if math.isclose(found, iou / 2, abs_tol=1e-4):
            raise Fault(case + "Half of the score is the threshold for Dice; turn IoU into Dice "
                        "first.")  # fmt: skip
        if math.isclose(found, iou, abs_tol=1e-4):
            raise Fault(case + "Compare the odds p / (1 - p) with the IoU, not p.")
        if math.isclose(found, 2 * iou / (1 + iou), abs_tol=1e-4):
            raise Fault(case + "That is the Dice that belongs to this IoU; half of it is asked "
                        "for.")  # fmt: skip
        if math.isclose(found, 1 / (1 + iou), abs_tol=1e-4):
            raise Fault(case + "That is 1 - p at the threshold.")
        raise Fault(case + "(A + p) / (B + 1 - p) is above A / B when p / (1 - p) is above A / B.")
    return "J / (1 + J), half of the Dice: below one half unless the class is perfect."


@exercise("5.2-prototype")
def check_prototype(answer: Callable[[Tensor, Tensor, int], Tensor]) -> str:
    """answer: (features (N, K, H, W), target (N, H, W), label) -> mean feature (K,)."""
    generator = torch.Generator().manual_seed(0)
    for label in (2, 0):
        features = torch.randn(3, 4, 5, 6, generator=generator)
        target = torch.randint(0, 3, (3, 5, 6), generator=generator)
        target[0] = torch.where(torch.rand(5, 6, generator=generator) < 0.7, label, target[0])
        target[1] = torch.where(target[1] == label, 1, target[1])  # none in the second
        target[:, 2] = _VOID
        found = torch.as_tensor(call(answer, features.clone(), target.clone(), label)).float()
        if found.shape != (4,):
            raise Fault(f"the prototype has the shape {tuple(found.shape)}; one number a channel, "
                        "(K,) = (4,).")  # fmt: skip
        if not bool(torch.isfinite(found).all()):
            raise Fault("a picture that does not show the class must not turn the mean into NaN: "
                        "average over the pixels of all pictures at once.")  # fmt: skip
        chosen = target == label
        sums = features.movedim(1, -1)[chosen].sum(dim=0)
        if torch.allclose(found, sums / chosen.sum(), atol=1e-5):
            continue
        parts = [f[:, m].mean(dim=1) for f, m in zip(features, chosen, strict=True) if m.any()]
        for wrong, fault in (
            (sums, "the features are added up, not averaged."),
            (sums / target.numel(), "divide by the pixels of the class, not by all pixels."),
            (features.mean(dim=(0, 2, 3)), "all pixels are averaged; take those of the class."),
            (torch.stack(parts).mean(dim=0), "this is the mean over pictures of their means: a "
             "picture with three pixels of the class weighs like one with a thousand."),
            (torch.stack(parts).sum(dim=0) / 3, "pictures without the class have been averaged in "
             "as zeros."),
            (features.movedim(1, -1)[chosen | (target == _VOID)].mean(dim=0), "void pixels have "
             "been averaged in; nobody knows their class."),
        ):  # fmt: skip
            if torch.allclose(found, wrong, atol=1e-5):
                raise Fault(fault)
        raise Fault("average features[:, :, pixel] over exactly the pixels whose label is the "
                    "class; does your index put the channels last before it selects?")  # fmt: skip
    return "the mean feature of the labeled pixels of one class, over all pictures at once."
