"""Checks of section 4.4: scores from one confusion matrix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from segtut.exercises.registry import Fault, call, exercise, number

# Rows truth, columns prediction. Class 2 is confused, class 3 absent from both.
_CONFUSION = torch.tensor([[50, 3, 7, 0], [2, 20, 1, 0], [9, 4, 4, 0], [0, 0, 0, 0]])


def _rates() -> dict[str, Tensor]:
    """Per-class scores of the test's confusion matrix, NaN where nothing is counted."""
    confusion = _CONFUSION.double()
    hits, truth, prediction = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    return {
        "iou": hits / (truth + prediction - hits),
        "dice": 2 * hits / (truth + prediction),
        "precision": hits / prediction,
        "recall": hits / truth,
        "undercounted": hits / (truth + prediction),
    }


def _per_class(value: Any, what: str) -> Tensor:
    """`value` as four float64 numbers. Raises Fault when it is something else."""
    try:
        scores = torch.as_tensor(value).double()
    except (TypeError, ValueError, RuntimeError) as error:
        raise Fault(f"{what} should be a tensor (C,), not a {type(value).__name__}.") from error
    if tuple(scores.shape) != (4,):
        raise Fault(f"{what} should hold one number a class, shape (4,), not "
                    f"{tuple(scores.shape)}.")  # fmt: skip
    return scores


def _same(found: Tensor, right: Tensor) -> bool:
    """Equal to a millionth where the class occurs; the absent class is judged apart."""
    return torch.allclose(found[:3], right[:3], atol=1e-6)


def _absent(found: Tensor, what: str) -> None:
    """Raise a Fault when the class absent from truth and prediction has a score."""
    if not found[3].isnan():
        raise Fault(f"{what} of a class absent from truth and prediction is 0 / 0. You give it "
                    f"{float(found[3]):g}, which will count in the mean; make it NaN.")  # fmt: skip


@exercise("4.4-iou")
def check_iou(answer: Callable[[Tensor], Tensor]) -> str:
    """answer: (confusion (C, C), rows truth) -> (C,) intersection over union, NaN if absent."""
    found = _per_class(call(answer, _CONFUSION.clone()), "the IoU")
    rates = _rates()
    faults = {
        "precision": "this is precision: the union also holds the pixels that were missed (the "
        "rest of the row).",
        "recall": "this is recall: the union also holds the false alarms (the rest of the column).",
        "dice": "this is Dice, which counts the hits twice; IoU is Dice / (2 - Dice).",
        "undercounted": "row and column both hold the hits; subtract them once from the union.",
    }
    for name, text in faults.items():
        if _same(found, rates[name]):
            raise Fault(text)
    if not _same(found, rates["iou"]):
        raise Fault(f"expected {rates['iou'][:3].tolist()} for the first classes, found "
                    f"{found[:3].tolist()}.")  # fmt: skip
    _absent(found, "the IoU")
    return "hits over hits, misses and false alarms; absent classes have none."


@exercise("4.4-mean-iou")
def check_mean_iou(answer: Callable[[Tensor], float]) -> str:
    """answer: (confusion (C, C)) -> mean of the IoUs of the classes that occur."""
    found = number(call(answer, _CONFUSION.clone()))
    confusion, iou = _CONFUSION.double(), _rates()["iou"]
    hits = float(confusion.trace())
    faults = (
        (float(iou.nansum()) / 4, "the absent class counts as 0; leave it out of the mean."),
        ((float(iou.nansum()) + 1) / 4, "the absent class counts as 1; leave it out of the mean."),
        (hits / float(confusion.sum()), "this is pixel accuracy; take the mean over classes."),
        (hits / (2 * float(confusion.sum()) - hits), "this is micro IoU: sums over all classes "
         "first, so that large classes decide. Average the classes' IoUs."),
        (float(_rates()["dice"].nanmean()), "this is the mean Dice."),
        (float(_rates()["recall"].nanmean()), "this is the mean recall."),
    )  # fmt: skip
    right = float(iou.nanmean())
    if abs(found - right) < 1e-6:
        return "the mean over the classes that occur."
    if found != found:
        raise Fault("the mean is NaN: one absent class spoils it. Leave absent classes out.")
    for value, text in faults:
        if abs(found - value) < 1e-6:
            raise Fault(text)
    raise Fault(f"expected {right:.4f}, found {found:.4f}.")


@exercise("4.4-all-background")
def check_all_background(answer: object) -> str:
    """answer: mean IoU on VOC, 73.3 % background, 21 classes, of predicting background only."""
    found = number(answer)
    right = 0.733 / 21
    faults = (
        (0.733, "that is its pixel accuracy, and the background's IoU; 20 classes have IoU 0."),
        (0.733 / 20, "VOC has 20 classes of objects and the background: 21 in the mean."),
        (100 * right, "that is in percent; give it between 0 and 1."),
        (0.0, "the background's own IoU is not 0: it is hit everywhere it stands."),
        (0.733 / 1.267 / 21, "every pixel is in the union, so the background's IoU is 0.733."),
    )
    if abs(found - right) < 0.0004:
        return "0.733 / 21 = 0.035: three pixels in four right, and nothing segmented."
    for value, text in faults:
        if abs(found - value) < 0.0004 + 0.002 * value:
            raise Fault(text)
    raise Fault(f"{found:g} is not it. Write down the IoU of each of the 21 classes first.")


@exercise("4.4-precision-recall")
def check_precision_recall(answer: Callable[[Tensor], tuple[Tensor, Tensor]]) -> str:
    """answer: (confusion (C, C), rows truth) -> (precision (C,), recall (C,))."""
    result = call(answer, _CONFUSION.clone())
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise Fault(f"return the pair (precision, recall), not a {type(result).__name__}.")
    precision, recall = _per_class(result[0], "precision"), _per_class(result[1], "recall")
    rates = _rates()
    if _same(precision, rates["recall"]) and _same(recall, rates["precision"]):
        raise Fault("the two are swapped: precision divides by the column (what was predicted), "
                    "recall by the row (what is there).")  # fmt: skip
    for name, found in (("precision", precision), ("recall", recall)):
        if not _same(found, rates[name]):
            raise Fault(f"{name} should be {rates[name][:3].tolist()} for the first classes, and "
                        f"is {found[:3].tolist()}.")  # fmt: skip
        _absent(found, name)
    return "precision by columns, recall by rows."


@exercise("4.4-micro-iou")
def check_micro_iou(answer: Callable[[float], float]) -> str:
    """answer: (pixel accuracy) -> IoU of all classes' hits and unions summed."""
    for accuracy in (0.852, 0.5, 1.0):
        found, right = number(call(answer, accuracy)), accuracy / (2 - accuracy)
        if abs(found - right) < 1e-9:
            continue
        if abs(found - accuracy) < 1e-9:
            raise Fault("each wrong pixel is in the union twice: as a miss of its class and as a "
                        "false alarm of another, so the two are not equal.")  # fmt: skip
        if abs(found - 2 * accuracy / (1 + accuracy)) < 1e-9:
            raise Fault("that turns IoU into Dice; count misses and false alarms of all classes.")
        raise Fault(f"accuracy {accuracy} gives {right:.4f}, and you say {found:.4f}.")
    return "a / (2 - a): an accuracy of 0.852 is a micro IoU of 0.742."
