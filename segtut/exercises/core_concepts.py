"""Checks of section 2: softmax, the loss of a label map, IoU by hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.overrides import TorchFunctionMode

from segtut.data.dataset import VOID
from segtut.exercises.registry import Fault, call, exercise


class _SoftmaxWatch(TorchFunctionMode):
    """Notices whether PyTorch's softmax is called, under whatever name."""

    called = False

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        self.called = self.called or "softmax" in getattr(func, "__name__", "")
        return func(*args, **(kwargs or {}))


@exercise("2-softmax")
def check_softmax(answer: Callable[[Tensor], Tensor]) -> str:
    """answer: logits (C, H, W) -> probabilities (C, H, W), made without calling a softmax."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(5, 6, 7, generator=generator)
    with _SoftmaxWatch() as watch:
        found = _tensor(call(answer, logits.clone()))
    if found.shape != logits.shape:
        raise Fault(f"the shape is {tuple(found.shape)}, expected {tuple(logits.shape)}.")
    right = logits.softmax(dim=0)
    others = {
        "these add up to 1 over each row or column of pixels; the classes are dimension 0.": [
            logits.softmax(dim=1),
            logits.softmax(dim=2),
        ],
        "these add up to 1 over the whole picture; each pixel has its own sum.": [
            logits.flatten().softmax(0).reshape(logits.shape)
        ],
        "these are logarithms of probabilities, all below 0.": [logits.log_softmax(dim=0)],
        "these are sigmoids: each class by itself, so they do not add up to 1.": [logits.sigmoid()],
        "the powers have not been divided by their sum.": [
            logits.exp(),
            (logits - logits.amax(dim=0)).exp(),
            (logits - logits.max()).exp(),
        ],
        "the sum of the logits is not the sum of the powers: take e to each of them first.": [
            logits / logits.sum(dim=0)
        ],
    }
    for text, wrong in others.items():
        if any(torch.allclose(found, one, atol=1e-5) for one in wrong):
            raise Fault(text)
    if not torch.allclose(found, right, atol=1e-5):
        raise Fault("not e to the logit, divided by the sum of these powers over the classes.")
    if watch.called:
        raise Fault("right, but PyTorch's softmax has done it; make the powers and divide them "
                    "by their sum yourself.")  # fmt: skip
    large = logits * 1000
    if not torch.allclose(_tensor(call(answer, large.clone())), large.softmax(dim=0), atol=1e-5):
        raise Fault("logits in the thousands give no numbers: e to that is infinite. Subtract "
                    "the pixel's largest logit from all of them first.")  # fmt: skip
    return "positive, adding up to 1 at each pixel, also for logits in the thousands."


@exercise("2-loss")
def check_loss(answer: Callable[[Tensor, Tensor], Tensor]) -> str:
    """answer: (probabilities (C, H, W), target (H, W)) -> mean of -ln p of the true class."""
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(4, 6, 9, generator=generator)
    probabilities = logits.softmax(dim=0)
    target = torch.randint(0, 4, (6, 9), generator=generator)
    target[1:3, 2:8] = VOID
    found = _tensor(call(answer, probabilities.clone(), target.clone()))
    if found.numel() != 1:
        raise Fault(f"one number is asked for, and this has the shape {tuple(found.shape)}.")
    value = float(found)
    known = target != VOID
    right = float(cross_entropy(logits[None], target[None], ignore_index=VOID))
    share = float(known.sum()) / target.numel()
    truth = probabilities.gather(0, (target * known)[None])[0]
    others = {
        right * share: "void pixels are in the denominator: divide by the labeled ones.",
        right * float(known.sum()): "that is the sum; the mean over the labeled pixels is asked.",
        right / math.log(2): "that is the logarithm to base 2; take the natural one.",
        right / math.log(10): "that is the logarithm to base 10; take the natural one.",
        -right: "the sign: ln p is below 0, and the loss above it.",
        -float(truth.log().mean()): "void pixels were scored as class 0: leave them out.",
        -float(truth[known].mean().log()): "that is the logarithm of the mean; take the mean of "
        "the logarithms.",
        -float(probabilities.amax(dim=0)[known].log().mean()): "that takes the largest "
        "probability; the one of the true class is asked for.",
        float((1 - truth[known]).mean()): "that is the mean of 1 - p; take -ln p.",
        float(cross_entropy(probabilities[None], target[None], ignore_index=VOID)): "a softmax "
        "has been applied to probabilities; they are ready to use.",
    }
    for wrong, text in others.items():
        if math.isclose(value, wrong, rel_tol=1e-5, abs_tol=1e-6):
            raise Fault(text)
    if not math.isclose(value, right, rel_tol=1e-5):
        raise Fault(f"{value:.4f} where {right:.4f} is right.")
    return "the mean of -ln p over the labeled pixels, as PyTorch's cross-entropy."


@exercise("2-shifted-pole")
def check_shifted_pole(answer: Sequence[float]) -> str:
    """answer: accuracy, IoU, Dice of the thin pole, and of the pole of two columns."""
    try:
        found = [float(value) for value in answer]
    except (TypeError, ValueError) as error:
        raise Fault("six numbers are asked for, as (accuracy, IoU, Dice, accuracy, IoU, Dice)."
                    ) from error  # fmt: skip
    if len(found) != 6:
        raise Fault(f"six numbers are asked for, and these are {len(found)}.")
    right = (1 / 2, 0.0, 0.0, 1 / 2, 1 / 3, 1 / 2)
    what = [f"{score} of the {pole} pole" for pole in ("thin", "wide") for score in _SCORES]
    for value, wanted, name in zip(found, right, what, strict=True):
        if not math.isclose(value, wanted, abs_tol=5e-3):
            raise Fault(f"{name}: {value:.3f} is not it. {_hint(name, value)}")
    return "thin: TP 0, FP 4, FN 4, TN 8. Wide: 4 of each."


_SCORES = ("accuracy", "IoU", "Dice")


def _hint(name: str, value: float) -> str:
    if value > 1:
        return "Scores lie between 0 and 1."
    if name.startswith("IoU") and math.isclose(value, 0.5, abs_tol=5e-3):
        return "TP / (TP + FN) is recall; IoU has the false positives below the line, too."
    if name.startswith("IoU") and math.isclose(value, 4 / 16, abs_tol=5e-3):
        return "True negatives are in no part of the IoU."
    if name.startswith("Dice") and math.isclose(value, 1 / 3, abs_tol=5e-3):
        return "That is the IoU; in Dice TP counts twice, above and below."
    return "Count TP, FP, FN and TN in the grid first; together they are 16."


def _tensor(value: object) -> Tensor:
    """The answer as a float tensor. Raises Fault when it is none."""
    try:
        return torch.as_tensor(value).detach().float()
    except (TypeError, ValueError, RuntimeError) as error:
        raise Fault(f"a tensor is asked for, and this is a {type(value).__name__}.") from error
