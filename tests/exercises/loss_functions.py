"""Answers to the exercises of section 3.1.2."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from segtut.losses import DiceLoss, FocalLoss


def gradient(logits, target):
    return (logits.softmax(1) - functional.one_hot(target, logits.shape[1])) / len(target)


def gradient_by_autograd(logits, target):
    leaf = logits.requires_grad_()
    return torch.autograd.grad(functional.cross_entropy(leaf, target), leaf)[0]


def focal(logits, target, gamma):
    log_p = -functional.cross_entropy(logits, target, ignore_index=255, reduction="none")
    losses = -((1 - log_p.exp()) ** gamma) * log_p
    return losses.sum() / (target != 255).sum()


def focal_from_probabilities(logits, target, gamma):
    labeled = target != 255
    p = logits.softmax(1).gather(1, target.where(labeled, 0)[:, None])[:, 0][labeled]
    return (-((1 - p) ** gamma) * p.log()).mean()


def dice(logits, target, shown_only=True, factor=2, void_out=True, dim=1):
    labeled = (target != 255)[:, None] if void_out else torch.ones_like(target)[:, None]
    known = target.where(target != 255, 0)
    truth = functional.one_hot(known, logits.shape[1]).movedim(-1, 1) * (target != 255)[:, None]
    p = logits.softmax(dim) * labeled
    index = factor * (p * truth).sum((0, 2, 3)) / (p + truth).sum((0, 2, 3))
    return 1 - (index[truth.sum((0, 2, 3)) > 0] if shown_only else index).mean()


def hard_dice(logits, target):
    certain = 1e6 * functional.one_hot(logits.argmax(1), logits.shape[1]).movedim(-1, 1).float()
    return dice(certain, target)


def largest_rate(feature, limit=2.0, largest=-1):
    inputs = torch.stack([feature, torch.ones_like(feature)])
    return limit / torch.linalg.eigvalsh(2 * inputs @ inputs.T / len(feature))[largest]


def numpy_rate(feature):
    inputs = np.stack([feature.numpy(), np.ones(len(feature))], axis=1)
    return float(len(feature) / np.linalg.norm(inputs, 2) ** 2)


def turned(logits, target, gamma):
    log_p = -functional.cross_entropy(logits, target, ignore_index=255, reduction="none")
    return (-(log_p.exp() ** gamma) * log_p).sum() / (target != 255).sum()


def one_pot(logits, target):
    labeled = (target != 255)[:, None]
    truth = functional.one_hot(target.where(target != 255, 0), 4).movedim(-1, 1) * labeled
    p = logits.softmax(1) * labeled
    return 1 - 2 * (p * truth).sum() / (p.sum() + truth.sum())


RIGHT = [
    ("3.1.2-gradient", gradient),
    ("3.1.2-gradient", gradient_by_autograd),
    ("3.1.2-focal", focal),
    ("3.1.2-focal", lambda z, y, gamma: FocalLoss(gamma)(z, y)),
    ("3.1.2-dice", dice),
    ("3.1.2-dice", lambda z, y: DiceLoss()(z, y)),
    ("3.1.2-largest-rate", largest_rate),
    ("3.1.2-largest-rate", numpy_rate),
]

WRONG = [
    ("3.1.2-focal", turned, "turned round"),
    ("3.1.2-dice", one_pot, "one pot"),
    ("3.1.2-gradient", lambda z, y: 5 * gradient(z, y), "divide by the number of pixels"),
    ("3.1.2-gradient", lambda z, y: -gradient(z, y), "points uphill"),
    ("3.1.2-gradient", lambda z, y: -5 * gradient(z, y), "mind the sign"),
    ("3.1.2-gradient", lambda z, y: z.softmax(1) / len(y), "1 is missing"),
    (
        "3.1.2-gradient",
        lambda z, y: (z.softmax(0) - functional.one_hot(y, 3)) / len(y),
        "runs over the pixels",
    ),
    ("3.1.2-gradient", lambda z, y: gradient(z, y) / 3, "pixels times classes"),
    (
        "3.1.2-gradient",
        lambda z, y: torch.autograd.grad(
            ((z.requires_grad_().softmax(1) - functional.one_hot(y, 3)) ** 2).sum() / len(y), z
        )[0],
        "squared error",
    ),
    (
        "3.1.2-gradient",
        lambda z, y: (z.exp() / z.exp().sum(1, keepdim=True) - functional.one_hot(y, 3)) / len(y),
        "exp overflows",
    ),
    ("3.1.2-gradient", lambda z, y: gradient(z, y).T, "the shape is (3, 5)"),
    ("3.1.2-gradient", lambda z, y: gradient(z, y) + 0.1, "expected"),
    ("3.1.2-focal", lambda z, y, gamma: focal(z, y, 0), "gamma is not used"),
    ("3.1.2-focal", lambda z, y, gamma: -focal(z, y, gamma), "negative logarithm"),
    ("3.1.2-focal", lambda z, y, gamma: focal(z, y, gamma) * 26, "this is the sum"),
    ("3.1.2-focal", lambda z, y, gamma: focal(z, y, gamma) * 26 / 30, "in the denominator"),
    ("3.1.2-focal", lambda z, y, gamma: focal(z, y, 1), "without the exponent"),
    (
        "3.1.2-focal",
        lambda z, y, gamma: focal(z, y.where(y != 255, 0), gamma),
        "trained as class 0",
    ),
    ("3.1.2-focal", focal_from_probabilities, "Start from log_softmax"),
    ("3.1.2-focal", lambda z, y, gamma: focal(z, y, 2), "with gamma 0"),
    ("3.1.2-focal", lambda z, y, gamma: torch.ones(3), "the shape (3,)"),
    ("3.1.2-dice", lambda z, y: 1 - dice(z, y), "one minus it"),
    ("3.1.2-dice", lambda z, y: dice(z, y, shown_only=False), "leave it out of the mean"),
    ("3.1.2-dice", hard_dice, "no gradient"),
    ("3.1.2-dice", lambda z, y: dice(z, y, factor=1), "factor 2 is missing"),
    ("3.1.2-dice", lambda z, y: dice(z, y, void_out=False), "zero them first"),
    ("3.1.2-dice", lambda z, y: dice(z, y, dim=-1), "dim=1"),
    ("3.1.2-dice", lambda z, y: dice(z, y).item(), "carries no gradient"),
    ("3.1.2-dice", lambda z, y: None, "returns nothing"),
    ("3.1.2-largest-rate", lambda v: 2 / largest_rate(v), "the curvature itself"),
    ("3.1.2-largest-rate", lambda v: largest_rate(v, 1.0), "not the limit"),
    ("3.1.2-largest-rate", lambda v: largest_rate(v, largest=0), "the smallest curvature"),
    ("3.1.2-largest-rate", lambda v: largest_rate(v, 4.0), "a factor 2"),
    ("3.1.2-largest-rate", lambda v: largest_rate(v) / len(v), "mean over the pixels"),
    ("3.1.2-largest-rate", lambda v: 1 / v.var(correction=0), "covariance"),
    ("3.1.2-largest-rate", lambda v: 1 / (v**2).mean(), "along w alone"),
    ("3.1.2-largest-rate", 0.5, "a function is asked for"),
]
