"""Answers to the exercises of section 2."""

from __future__ import annotations

import torch


def softmax(logits):
    powers = (logits - logits.amax(dim=0)).exp()
    return powers / powers.sum(dim=0)


def overflowing(logits):
    return logits.exp() / logits.exp().sum(dim=0)


def picked(probabilities, target):
    known = target != 255
    return probabilities.gather(0, (target * known)[None])[0], known


def loss(probabilities, target):
    truth, known = picked(probabilities, target)
    return -truth[known].log().mean()


def over_all(probabilities, target):
    truth, known = picked(probabilities, target)
    return -truth[known].log().sum() / target.numel()


def void_as_zero(probabilities, target):
    return -picked(probabilities, target)[0].log().mean()


def log_of_mean(probabilities, target):
    truth, known = picked(probabilities, target)
    return -truth[known].mean().log()


def largest(probabilities, target):
    return -probabilities.amax(dim=0)[target != 255].log().mean()


def softmax_twice(probabilities, target):
    return loss(probabilities.softmax(dim=0), target)


RIGHT = [
    ("2-softmax", softmax),
    ("2-softmax", lambda z: softmax(z).numpy()),
    ("2-loss", loss),
    ("2-loss", lambda p, y: float(loss(p, y))),
    ("2-shifted-pole", (0.5, 0, 0, 0.5, 0.333, 0.5)),
    ("2-shifted-pole", torch.tensor([0.5, 0, 0, 0.5, 1 / 3, 0.5])),
]

WRONG = [
    ("2-softmax", lambda z: z.softmax(dim=-1), "the classes are dimension 0"),
    ("2-softmax", lambda z: z.exp() / z.exp().sum(), "over the whole picture"),
    ("2-softmax", lambda z: z.log_softmax(dim=0), "logarithms of probabilities"),
    ("2-softmax", lambda z: z.softmax(dim=0), "softmax has done it"),
    ("2-softmax", torch.nn.Softmax(dim=0), "softmax has done it"),
    ("2-softmax", lambda z: z.log_softmax(dim=0).exp(), "softmax has done it"),
    ("2-softmax", torch.sigmoid, "these are sigmoids"),
    ("2-softmax", torch.exp, "not been divided"),
    ("2-softmax", lambda z: z / z.sum(dim=0), "sum of the logits"),
    ("2-softmax", overflowing, "logits in the thousands"),
    ("2-softmax", lambda z: softmax(z - z.max()) ** 2, "not e to the logit"),
    ("2-softmax", lambda z: softmax(z)[0], "the shape is (6, 7)"),
    ("2-softmax", lambda z: "p", "a tensor is asked for"),
    ("2-loss", over_all, "in the denominator"),
    ("2-loss", lambda p, y: loss(p, y) * (y != 255).sum(), "that is the sum"),
    ("2-loss", lambda p, y: loss(p, y) / torch.tensor(2.0).log(), "base 2"),
    ("2-loss", lambda p, y: loss(p, y) / torch.tensor(10.0).log(), "base 10"),
    ("2-loss", lambda p, y: -loss(p, y), "the sign"),
    ("2-loss", void_as_zero, "scored as class 0"),
    ("2-loss", log_of_mean, "logarithm of the mean"),
    ("2-loss", largest, "the one of the true class"),
    ("2-loss", softmax_twice, "ready to use"),
    ("2-loss", lambda p, y: 1 - picked(p, y)[0][y != 255].mean(), "mean of 1 - p"),
    ("2-loss", lambda p, y: p[0], "one number"),
    ("2-loss", lambda p, y: loss(p, y) + 1, "is right"),
    ("2-shifted-pole", (0.5, 0, 0, 0.5, 0.5, 0.5), "is recall"),
    ("2-shifted-pole", (0.5, 0, 0, 0.5, 0.25, 0.5), "True negatives"),
    ("2-shifted-pole", (0.5, 0, 0, 0.5, 1 / 3, 1 / 3), "TP counts twice"),
    ("2-shifted-pole", (0.75, 0, 0, 0.5, 1 / 3, 0.5), "accuracy of the thin pole"),
    ("2-shifted-pole", (50, 0, 0, 50, 33, 50), "between 0 and 1"),
    ("2-shifted-pole", (0.5, 0, 0), "these are 3"),
    ("2-shifted-pole", 0.5, "six numbers"),
]
