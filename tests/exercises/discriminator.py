"""Answers to the exercises of section 3.4.2."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F


def window(index, layers, *, padded=True, clipped=False, extra=0):
    """The rows of a score, by the rule of the receptive field."""
    field, stride, first = 1, 1, 0
    for step in [2] * layers + [1, 1]:
        field += 3 * stride
        first -= stride if padded else 0
        stride *= step
    first += index * stride
    last = first + field - 1 + extra
    return (max(0, first) if clipped else first), last


def power(matrix, steps, *, transposed=True, normalized=True, squared=False):
    v = torch.linspace(1, 2, matrix.shape[1])
    for _ in range(steps):
        v = matrix.T @ (matrix @ v) if transposed else matrix @ v
        if normalized:
            v = F.normalize(v, dim=0)
    size = (matrix @ v).norm() / v.norm()
    return size**2 if squared else size


def penalty(discriminator, samples, *, graph=True, total=torch.sum, combine=None):
    samples = samples.requires_grad_()
    (gradient,) = torch.autograd.grad(total(discriminator(samples)), samples, create_graph=graph)
    squares = gradient.square().flatten(1).sum(dim=1)
    return (combine(squares) if combine else squares.mean()) / 2


def hinge(real, fake):
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def smoothed(q, other, t):
    """By a search over D, not by the formula."""
    d = torch.linspace(1e-4, 1 - 1e-4, 99_999, dtype=torch.float64)[:, None]
    value = q * (t * d.log() + (1 - t) * (1 - d).log()) + other * (1 - d).log()
    return d[value.argmax(dim=0), 0]


def slowest(weight):
    """Real part of the slowest eigenvalue, from numpy."""
    return np.linalg.eigvals([[0, 0.5], [-0.5, -weight]]).real.max()


RIGHT = [
    ("3.4.2-window", window),
    ("3.4.2-smoothed", lambda q, other, t: t * q / (q + other)),
    ("3.4.2-hinge", hinge),
    ("3.4.2-spectral-norm", power),
    ("3.4.2-r1", penalty),
    ("3.4.2-dirac", 1),
]

WRONG = [
    ("3.4.2-window", lambda i, n: window(i, n, padded=False), "pads by one"),
    ("3.4.2-window", lambda i, n: window(i, n, clipped=True), "negative row"),
    ("3.4.2-window", lambda i, n: window(i, n, extra=1), "r - 1 steps"),
    ("3.4.2-window", lambda i, n: window(0, n), "score 0"),
    ("3.4.2-window", lambda i, n: (8 * i, 8 * i + 69), "rows high"),
    ("3.4.2-window", lambda i, n: tuple(v + 1 for v in window(i, n)), "place is not"),
    ("3.4.2-window", lambda i, n: 70, "two numbers"),
    ("3.4.2-window", lambda i, n: (1, 2, 3), "these are 3"),
    ("3.4.2-smoothed", lambda q, r, t: q / (q + r), "without smoothing"),
    ("3.4.2-smoothed", lambda q, r, t: t * r / (q + r), "exchanged"),
    ("3.4.2-smoothed", lambda q, r, t: t * q / (t * q + r), "not rarer"),
    ("3.4.2-smoothed", lambda q, r, t: (t * q + (1 - t) * r) / (q + r), "both sides"),
    ("3.4.2-smoothed", lambda q, r, t: torch.logit(t * q / (q + r)), "the logit"),
    ("3.4.2-smoothed", lambda q, r, t: (1 - t) * q / (q + r), "not 1 - t"),
    ("3.4.2-smoothed", lambda q, r, t: q, "derivative"),
    ("3.4.2-smoothed", lambda q, r, t: 0.9, "one value each"),
    ("3.4.2-hinge", lambda a, b: (1 - a).mean() + (1 + b).mean(), "cut off"),
    ("3.4.2-hinge", lambda a, b: F.relu(1 - a).sum() + F.relu(1 + b).sum(), "sums"),
    ("3.4.2-hinge", lambda a, b: F.relu(torch.cat([1 - a, 1 + b])).mean(), "one mean over all"),
    ("3.4.2-hinge", lambda a, b: hinge(a, b) / 2, "not averaged"),
    ("3.4.2-hinge", lambda a, b: F.relu(-a).mean() + F.relu(b).mean(), "margin of 1"),
    ("3.4.2-hinge", lambda a, b: hinge(-a, -b), "signs"),
    ("3.4.2-hinge", lambda a, b: -b.mean(), "the generator minimizes"),
    ("3.4.2-hinge", lambda a, b: F.softplus(-a).mean() + F.softplus(b).mean(), "expected"),
    ("3.4.2-spectral-norm", lambda m, n: power(m, n, squared=True), "its square"),
    ("3.4.2-spectral-norm", lambda m, n: power(m, n, normalized=False), "length 1"),
    ("3.4.2-spectral-norm", lambda m, n: power(m, n, transposed=False), "need not be square"),
    ("3.4.2-spectral-norm", lambda m, n: m.norm(), "Frobenius"),
    ("3.4.2-spectral-norm", lambda m, n: m.abs().max(), "largest entry"),
    ("3.4.2-spectral-norm", lambda m, n: m.abs().sum(dim=1).max(), "row sum"),
    ("3.4.2-spectral-norm", lambda m, n: torch.linalg.svdvals(m)[-1], "smallest"),
    ("3.4.2-spectral-norm", lambda m, n: torch.linalg.matrix_norm(m, 2), "not used"),
    ("3.4.2-spectral-norm", lambda m, n: power(m, 1) * 1.1, "the largest singular value is"),
    ("3.4.2-r1", lambda d, x: penalty(d, x, graph=False), "create_graph"),
    ("3.4.2-r1", lambda d, x: penalty(d, x, total=torch.mean), "averaged before"),
    ("3.4.2-r1", lambda d, x: penalty(d, x, combine=torch.sum), "sum over the samples"),
    ("3.4.2-r1", lambda d, x: penalty(d, x, combine=lambda s: s.mean() / 12), "squares are added"),
    ("3.4.2-r1", lambda d, x: penalty(d, x, combine=lambda s: s.sqrt().mean()), "to be squared"),
    (
        "3.4.2-r1",
        lambda d, x: penalty(d, x, combine=lambda s: (s.sqrt() - 1).square().mean()),
        "WGAN-GP",
    ),
    ("3.4.2-r1", lambda d, x: 2 * penalty(d, x), "one half"),
    ("3.4.2-r1", lambda d, x: penalty(d, x) + 1, "expected"),
    (
        "3.4.2-r1",
        lambda d, x: penalty(d, x).detach() + 0 * sum(p.sum() for p in d.parameters()),
        "detached",
    ),
    ("3.4.2-dirac", 0, "circles"),
    ("3.4.2-dirac", 0.5, "half as fast"),
    ("3.4.2-dirac", 0.25, "solve for lambda"),
    ("3.4.2-dirac", 2, "friction"),
    ("3.4.2-dirac", 4, "one half"),
    ("3.4.2-dirac", 3, "closer to 0"),
    ("3.4.2-dirac", "much", "one number"),
]
