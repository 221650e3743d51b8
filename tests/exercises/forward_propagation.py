"""Answers to the exercises of section 3.1.1."""

from __future__ import annotations

import torch


def two_layers(v, w1, b1, w2, b2):
    return (v @ w1.T + b1).clamp(min=0) @ w2.T + b2


def collapse(layers):
    weight, bias = layers[0]
    for w, b in layers[1:]:
        weight, bias = w @ weight, w @ bias + b
    return weight, bias


def backward(layers):
    weight, bias = layers[0]
    for w, b in layers[1:]:
        weight, bias = weight @ w, w @ bias + b
    return weight, bias


def added(layers):
    return collapse(layers)[0], torch.stack([b for _, b in layers]).sum(0)


def last(layers):
    return collapse(layers)[0], layers[-1][1]


def ceiling(counts):
    return counts.max(1).values.sum() / counts.sum()


# The neurons see the sum of the two inputs: it is above 0, and above 1.
XOR = (torch.ones(2, 2), torch.tensor([0.0, -1.0]), torch.tensor([[1.0, -2.0]]), torch.zeros(1))


RIGHT = [
    ("3.1.1-two-layers", two_layers),
    ("3.1.1-collapse", collapse),
    ("3.1.1-xor", XOR),
    ("3.1.1-xor", ([[1, -1], [-1, 1]], [0, 0], [[1, 1]], [-0.5])),
    ("3.1.1-ceiling", ceiling),
    ("3.1.1-ceiling", lambda counts: float(ceiling(counts))),
]

WRONG = [
    ("3.1.1-two-layers", None, "no answer yet"),
    ("3.1.1-two-layers", 3, "a function is asked for"),
    ("3.1.1-two-layers", lambda *_: None, "returns nothing"),
    ("3.1.1-two-layers", lambda v, w1, *_: v @ w1, "raised RuntimeError"),
    ("3.1.1-two-layers", lambda *a: two_layers(*a).T, "shape should be (7, 4)"),
    ("3.1.1-two-layers", lambda *a: two_layers(*a).tolist(), "this is a list"),
    ("3.1.1-two-layers", lambda v, a, b, c, d: (v @ a.T + b) @ c.T + d, "no activation"),
    ("3.1.1-two-layers", lambda *a: two_layers(*a).relu(), "second layer has an activation"),
    ("3.1.1-two-layers", lambda *a: two_layers(*a).softmax(1), "softmax belongs"),
    (
        "3.1.1-two-layers",
        lambda v, a, b, c, d: ((v @ a.T).relu() + b) @ c.T + d,
        "comes before the activation",
    ),
    ("3.1.1-two-layers", lambda v, a, b, c, d: (v @ a.T).relu() @ c.T + d, "b1 is missing"),
    ("3.1.1-two-layers", lambda v, a, b, c, d: two_layers(v, a, b, c, 0), "b2 is missing"),
    (
        "3.1.1-two-layers",
        lambda v, a, b, c, d: (v @ a.T + b).sigmoid() @ c.T + d,
        "stands a sigmoid",
    ),
    ("3.1.1-two-layers", lambda *a: 2 * two_layers(*a), "the numbers are not"),
    ("3.1.1-collapse", lambda layers: collapse(layers)[0], "return two things"),
    ("3.1.1-collapse", lambda layers: (collapse(layers)[0].T, 0), "this is a int"),
    ("3.1.1-collapse", lambda layers: layers[1] if len(layers) > 1 else layers[0], "wrong; it"),
    ("3.1.1-collapse", backward, "wrong order"),
    ("3.1.1-collapse", added, "only added"),
    ("3.1.1-collapse", last, "only the last b"),
    ("3.1.1-collapse", lambda layers: (collapse(layers)[0], layers[0][1]), "input of zeros"),
    ("3.1.1-xor", XOR[:3], "hand in four things"),
    ("3.1.1-xor", (XOR[0], XOR[1], XOR[2].T, XOR[3]), "shape should be (1, 2) for W2"),
    ("3.1.1-xor", (XOR[0], torch.zeros(2), XOR[2].abs(), XOR[3]), "(1, 1) the logit is 6"),
    ("3.1.1-xor", (XOR[0], XOR[1], -XOR[2], XOR[3]), "should be above 0"),
    ("3.1.1-xor", (XOR[0], XOR[1], XOR[2], torch.ones(1)), "2 of the four corners"),
    ("3.1.1-ceiling", lambda c: (c.max(1).values / c.sum(1)).nanmean(), "counts alike"),
    (
        "3.1.1-ceiling",
        lambda c: (c.max(1).values / c.sum(1)).mean(),
        "one of the bins is empty",
    ),
    ("3.1.1-ceiling", lambda c: c.sum(0).max() / c.sum(), "one answer for all bins"),
    ("3.1.1-ceiling", lambda c: c.max(1).values.sum(), "divide by that of all"),
    ("3.1.1-ceiling", lambda c: c.max(1).values.float().mean(), "not of bins"),
    ("3.1.1-ceiling", lambda c: 1 - ceiling(c), "smallest error"),
    ("3.1.1-ceiling", lambda c: 0.3, "49 of 102"),
    ("3.1.1-ceiling", lambda c: c.max(1).values / c.sum(), "one number is asked for"),
]
