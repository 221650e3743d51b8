"""Checks of section 3.1.2: gradients of losses, focal and Dice, the largest learning rate."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from segtut.data.dataset import VOID
from segtut.exercises.registry import Fault, call, exercise
from segtut.losses import DiceLoss, FocalLoss


@exercise("3.1.2-gradient")
def check_gradient(answer: Callable[[Tensor, Tensor], Tensor]) -> str:
    """answer: (logits (N, C), target (N,)) -> gradient of the mean cross-entropy, (N, C)."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(5, 3, generator=generator)
    target = torch.tensor([0, 2, 1, 2, 2])
    p, truth = logits.softmax(1), functional.one_hot(target, 3).float()
    found = _numbers(call(answer, logits.clone(), target.clone()), logits.shape)
    candidates = {
        "this is p - y for each pixel; the loss is a mean, so divide by the number of pixels.":
            p - truth,
        "the sign is that of a step downhill; the gradient points uphill: p - y.":
            (truth - p) / 5,
        "this is y - p of each pixel: mind the sign, and divide by the pixels.": truth - p,
        "1 is missing: subtract the one-hot truth from the probabilities.": p / 5,
        "the softmax runs over the pixels; the probabilities of one pixel add up to 1: dim=1.":
            (logits.softmax(0) - truth) / 5,
        "the sum was divided by pixels times classes; the mean is over the pixels.":
            (p - truth) / 15,
        "these are the gradients of squared error on the probabilities.":
            2 * p * (p - truth - (p * (p - truth)).sum(1, keepdim=True)) / 5,
    }  # fmt: skip
    if not torch.allclose(found, (p - truth) / 5, atol=1e-5):
        raise Fault(_named(candidates, found, (p - truth) / 5))
    large = torch.tensor([[2000.0, 0.0, -2000.0]])
    if not torch.isfinite(_numbers(call(answer, large, torch.tensor([1])), large.shape)).all():
        raise Fault("with logits of 2000 the gradient is not finite: exp overflows; use softmax.")
    return "p minus the one-hot truth, over the number of pixels: between -1 and 1, never more."


@exercise("3.1.2-focal")
def check_focal(answer: Callable[[Tensor, Tensor, float], Tensor]) -> str:
    """answer: (logits (N, C, H, W), target (N, H, W), gamma) -> mean over the labeled pixels."""
    logits, target = _street()
    labeled = target != VOID
    log_p = -functional.cross_entropy(logits, target, ignore_index=VOID, reduction="none")
    p = log_p.exp()

    def mean(losses: Tensor) -> Tensor:
        return (losses * labeled).sum() / labeled.sum()

    found = _scalar(call(answer, logits.clone(), target.clone(), 2.0))
    right = mean(-((1 - p) ** 2) * log_p)
    candidates = {
        "that is cross-entropy: gamma is not used.": mean(-log_p),
        "the factor is turned round: (1 - p)^gamma, so that pixels that are right count less.":
            mean(-(p**2) * log_p),
        "the sign: a loss is the negative logarithm.": -right,
        "this is the sum; divide by the number of labeled pixels.": right * labeled.sum(),
        "void pixels are in the denominator: divide by the labeled pixels alone.":
            right * labeled.float().mean(),
        "the factor was taken once for the whole batch, from the mean probability.":
            (1 - mean(p)) ** 2 * mean(-log_p),
        "the factor is (1 - p), without the exponent gamma.": mean(-(1 - p) * log_p),
        "void pixels were trained as class 0.":
            FocalLoss()(logits, target.where(labeled, 0)),
    }  # fmt: skip
    if not torch.isclose(found, right, atol=1e-5):
        raise Fault(_named(candidates, found, right))
    plain = _scalar(call(answer, logits.clone(), target.clone(), 0.0))
    if not torch.isclose(plain, mean(-log_p), atol=1e-5):
        raise Fault("with gamma 0 the focal loss is cross-entropy, and yours is not.")
    if not torch.isfinite(_scalar(call(answer, 1000 * logits, target, 2.0))):
        raise Fault("with logits of some thousands the loss is not finite: a probability becomes "
                    "0 before its logarithm is taken. Start from log_softmax.")  # fmt: skip
    return "equal to cross-entropy at gamma 0, and deaf to what is already right above it."


@exercise("3.1.2-dice")
def check_dice(answer: Callable[[Tensor, Tensor], Tensor]) -> str:
    """answer: (logits (N, C, H, W), target (N, H, W)) -> 1 - soft Dice, mean over classes shown."""
    logits, target = _street()
    labeled = (target != VOID)[:, None]
    p = logits.softmax(1) * labeled
    truth = functional.one_hot(target.where(target != VOID, 0), 4).permute(0, 3, 1, 2) * labeled
    hard = functional.one_hot(logits.argmax(1), 4).permute(0, 3, 1, 2) * labeled
    shown = truth.sum((0, 2, 3)) > 0  # class 3 is in no label

    def dice(p: Tensor, pixels: tuple[int, ...] = (0, 2, 3), factor: float = 2.0) -> Tensor:
        both, either = (p * truth).sum(pixels), (p + truth).sum(pixels)
        return factor * both / either.clamp_min(1e-12)

    leaf = logits.clone().requires_grad_()
    found = _scalar(call(answer, leaf, target.clone()))
    right = DiceLoss()(logits, target)
    overlap = (p * truth).sum((0, 2, 3))
    union = p.sum((0, 2, 3)) + truth.sum((0, 2, 3)) - overlap
    with_void = logits.softmax(1)
    candidates = {
        "this is the Dice coefficient; the loss is one minus it.": dice(p)[shown].mean(),
        "a class that no label shows has index 0 whatever is predicted: leave it out of the mean.":
            1 - dice(p).mean(),
        "these are counts after argmax, which has no gradient: use the probabilities.":
            1 - dice(hard)[shown].mean(),
        "the factor 2 is missing: even a perfect prediction would cost one half.":
            1 - dice(p, factor=1.0)[shown].mean(),
        "this is the Jaccard loss, one minus the intersection over the union.":
            1 - (overlap / union)[shown].mean(),
        "the probabilities at void pixels are in the sum: zero them first.":
            1 - dice(with_void)[shown].mean(),
        "all classes went into one pot, where the road drowns the person: sum a class at a time.":
            1 - 2 * overlap.sum() / (p.sum() + truth.sum()),
        "the softmax runs over the wrong dimension; the classes are dim=1.":
            1 - dice(logits.softmax(-1) * labeled)[shown].mean(),
        "the logits were taken for probabilities: softmax first.":
            1 - dice(logits * labeled)[shown].mean(),
    }  # fmt: skip
    if not torch.isclose(found.detach(), right, atol=1e-5):
        raise Fault(_named(candidates, found.detach(), right))
    if not found.requires_grad:
        raise Fault("the value is right and carries no gradient: compute it with torch, from the "
                    "logits, without detach() or item().")  # fmt: skip
    return "one minus twice the overlap over the sum, class by class, for the classes shown."


@exercise("3.1.2-largest-rate")
def check_largest_rate(answer: Callable[[Tensor], float]) -> str:
    """answer: feature (n,) -> the largest rate at which descent on the bowl can come to rest."""
    feature = torch.tensor([0.2, 0.5, 0.6, 0.9, 1.3, 2.0])
    inputs = torch.stack([feature, torch.ones_like(feature)])
    curvatures = torch.linalg.eigvalsh(2 * inputs @ inputs.T / len(feature))
    right = 2 / curvatures[1]
    found = _scalar(call(answer, feature.clone()))
    centered = torch.linalg.eigvalsh(2 * torch.cov(inputs, correction=0))
    candidates = {
        "that is the curvature itself; the rate is 2 over it.": curvatures[1],
        "that is 1 over the curvature: the fastest safe rate along that direction, not the limit.":
            1 / curvatures[1],
        "that is 2 over the smallest curvature; the steepest direction is the one that diverges.":
            2 / curvatures[0],
        "the second derivative of a square has a factor 2; without it the rate is twice too large.":
            4 / curvatures[1],
        "the mean over the pixels is missing from the second derivatives.":
            right / len(feature),
        "the covariance subtracts the mean of the feature; the second derivatives do not.":
            2 / centered[1],
        "that is the curvature along w alone; w and b together make a steeper direction.":
            1 / (feature**2).mean(),
    }  # fmt: skip
    if not torch.isclose(found, right, rtol=1e-4):
        raise Fault(_named(candidates, found, right))
    return "2 over the largest curvature; a hair above it the loss grows without end."


def _street() -> tuple[Tensor, Tensor]:
    """Logits (2, 4, 3, 5) and a target with void that shows classes 0 to 2 only."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(2, 4, 3, 5, generator=generator)
    target = torch.randint(0, 3, (2, 3, 5), generator=generator)
    target[:, 0, :2] = VOID
    return logits, target


def _scalar(value: object) -> Tensor:
    """The answer as a float tensor of no dimensions. Raises Fault when it is not one number."""
    number = torch.as_tensor(value)
    if number.numel() != 1:
        raise Fault(f"one number is asked for; this has the shape {tuple(number.shape)}.")
    return number.reshape(()).float()


def _numbers(value: object, shape: torch.Size) -> Tensor:
    """The answer as floats of this shape. Raises Fault for another."""
    numbers = torch.as_tensor(value).detach().float()
    if numbers.shape != shape:
        raise Fault(f"the shape is {tuple(numbers.shape)}, expected {tuple(shape)}: "
                    "one number for each logit.")  # fmt: skip
    return numbers


def _named(candidates: dict[str, Tensor], found: Tensor, right: Tensor) -> str:
    """The sentence of the mistake that gives what was found, or the two values side by side."""
    for text, value in candidates.items():
        if torch.allclose(found, value, rtol=1e-4, atol=1e-5):
            return text
    if not torch.isfinite(found).all():
        return "the answer is not finite: is the label 255 used as an index, or log taken of 0?"
    first, wanted = found.flatten()[0].item(), right.flatten()[0].item()
    return f"the first number is {first:.4f}, expected {wanted:.4f}."
