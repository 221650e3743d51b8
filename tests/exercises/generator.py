"""Answers to the exercises of section 3.4.1."""

from __future__ import annotations

import numpy as np
import torch
from scipy.linalg import sqrtm
from scipy.spatial.distance import jensenshannon
from torch.nn import functional as F

from segtut.metrics import frechet_distance


def pulls(scores, kind):
    d = scores.sigmoid()
    return (-d if kind == "minimax" else d - 1) / len(scores)


def pulls_by_autograd(scores, kind):
    leaf = scores.clone().requires_grad_()
    loss = F.logsigmoid(-leaf) if kind == "minimax" else -F.logsigmoid(leaf)
    return torch.autograd.grad(loss.mean(), leaf)[0]


def overflowing(scores, kind):
    d = scores.exp() / (1 + scores.exp())
    return (-d if kind == "minimax" else d - 1) / len(scores)


def js(q, made):
    middle = (q + made) / 2
    parts = [torch.xlogy(a, a / middle.clamp_min(1e-30)).sum() for a in (q, made)]
    return sum(parts) / 2


def js_without_zeros(q, made):
    middle = (q + made) / 2
    return ((q * (q / middle).log()).sum() + (made * (made / middle).log()).sum()) / 2


def kl(a, b):
    return (a * (a / b).log()).sum()


def modes(points, centers, std, least=0.01, radius=3.0, of_all=True):
    distance, nearest = torch.cdist(points, centers).min(dim=1)
    near = distance <= radius * std
    hits = nearest[near].bincount(minlength=len(centers))
    return int((hits >= least * (len(points) if of_all else near.sum())).sum())


def modes_by_numpy(points, centers, std):
    gaps = np.linalg.norm(points.numpy()[:, None] - centers.numpy(), axis=2)
    return sum(((gaps[:, k] <= 3 * std).mean() >= 0.01) for k in range(len(centers)))


def frechet(a, b, mean=1.0, cross=2.0, root=True):
    a, b = a.double().numpy(), b.double().numpy()
    first, second = np.cov(a.T), np.cov(b.T)
    product = sqrtm(first @ second).real if root else first @ second
    gap = mean * ((a.mean(0) - b.mean(0)) ** 2).sum()
    return gap + np.trace(first + second - cross * product)


def great_circle(start, end, share):
    angle = torch.acos((start @ end / start.norm() / end.norm()).clamp(-1, 1))
    if angle < 1e-3:
        return torch.lerp(start, end, share)
    return (((1 - share) * angle).sin() * start + (share * angle).sin() * end) / angle.sin()


def without_care(start, end, share):
    angle = torch.acos((start @ end / start.norm() / end.norm()).clamp(-1, 1))
    return (((1 - share) * angle).sin() * start + (share * angle).sin() * end) / angle.sin()


def bent_line(start, end, share):
    line = torch.lerp(start, end, share)
    return line / line.norm() * ((1 - share) * start.norm() + share * end.norm())


RIGHT = [
    ("3.4.1-pulls", pulls),
    ("3.4.1-pulls", pulls_by_autograd),
    ("3.4.1-jensen-shannon", js),
    ("3.4.1-jensen-shannon", lambda q, made: jensenshannon(q.numpy(), made.numpy()) ** 2),
    ("3.4.1-modes", modes),
    ("3.4.1-modes", modes_by_numpy),
    ("3.4.1-frechet", frechet),
    ("3.4.1-frechet", frechet_distance),
    ("3.4.1-great-circle", great_circle),
]

WRONG = [
    ("3.4.1-pulls", lambda a, kind: 5 * pulls(a, kind), "divide by N"),
    ("3.4.1-pulls", lambda a, kind: -pulls(a, kind), "a step downhill"),
    (
        "3.4.1-pulls",
        lambda a, kind: pulls(a, "minimax" if kind != "minimax" else "non_saturating"),
        "exchanged",
    ),
    ("3.4.1-pulls", lambda a, kind: pulls(a, "minimax"), "the two are exchanged"),
    (
        "3.4.1-pulls",
        lambda a, kind: -1 / (1 - a.sigmoid() if kind == "minimax" else a.sigmoid()) / 5,
        "derivative by D itself",
    ),
    (
        "3.4.1-pulls",
        lambda a, kind: pulls(a, kind) * a.sigmoid() * (1 - a.sigmoid()),
        "there twice",
    ),
    ("3.4.1-pulls", lambda a, kind: -a / 5 if kind == "minimax" else (a - 1) / 5, "sigmoid"),
    ("3.4.1-pulls", overflowing, "overflows"),
    ("3.4.1-pulls", lambda a, kind: pulls(a, kind).sum(), "the shape is ()"),
    ("3.4.1-jensen-shannon", kl, "compare each with their mean"),
    ("3.4.1-jensen-shannon", lambda q, made: kl(made, q), "turned round"),
    ("3.4.1-jensen-shannon", lambda q, made: (kl(q, made) + kl(made, q)) / 2, "Jeffreys"),
    ("3.4.1-jensen-shannon", lambda q, made: 2 * js(q, made), "half of it"),
    ("3.4.1-jensen-shannon", lambda q, made: js(q, made) / np.log(2), "bits"),
    ("3.4.1-jensen-shannon", lambda q, made: js(q, made) ** 0.5, "square root"),
    ("3.4.1-jensen-shannon", lambda q, made: kl(q, (q + made) / 2), "of the first"),
    ("3.4.1-jensen-shannon", lambda q, made: kl(made, (q + made) / 2), "of the second"),
    ("3.4.1-jensen-shannon", lambda q, made: js(q, made) - np.log(2), "their sum"),
    ("3.4.1-jensen-shannon", lambda q, made: 2 * js(q, made) - 2 * np.log(2), "of the game"),
    ("3.4.1-jensen-shannon", lambda q, made: -js(q, made), "sign is turned"),
    ("3.4.1-jensen-shannon", js_without_zeros, "empty bin"),
    ("3.4.1-jensen-shannon", lambda q, made: q - made, "one number is asked for"),
    ("3.4.1-modes", lambda p, c, std: modes(p, c, std, least=1e-6), "too few points chose"),
    ("3.4.1-modes", lambda p, c, std: modes(p, c, std, radius=1e9), "that no point is near"),
    ("3.4.1-modes", lambda p, c, std: modes(p, c, std, radius=1.0), "three standard"),
    (
        "3.4.1-modes",
        lambda p, c, std: int((torch.cdist(p, c).min(1)[0] <= 3 * std).sum()),
        "points and not Gaussians",
    ),
    (
        "3.4.1-modes",
        lambda p, c, std: modes(p, c, std, of_all=False),
        "the stray ones included",
    ),
    (
        "3.4.1-modes",
        lambda p, c, std: modes(p, c, std, least=10 / len(p)),
        "10 a fixed number",
    ),
    ("3.4.1-modes", lambda p, c, std: None, "returns nothing"),
    ("3.4.1-frechet", lambda a, b: ((a.mean(0) - b.mean(0)) ** 2).sum(), "only the means"),
    ("3.4.1-frechet", lambda a, b: frechet(a, b, mean=0.0), "only the covariances"),
    ("3.4.1-frechet", lambda a, b: frechet(a, b) ** 0.5, "the squared distance"),
    ("3.4.1-frechet", lambda a, b: frechet(a, b, cross=1.0), "factor 2"),
    ("3.4.1-frechet", lambda a, b: frechet(a, b, root=False), "root of S S' is missing"),
    (
        "3.4.1-frechet",
        lambda a, b: (a.mean(0) - b.mean(0)).square().sum() + (a.std(0) - b.std(0)).square().sum(),
        "only the variances",
    ),
    (
        "3.4.1-frechet",
        lambda a, b: (
            (a.mean(0) - b.mean(0)).square().sum() + (a.T.cov() - b.T.cov()).square().sum()
        ),
        "Frobenius",
    ),
    ("3.4.1-frechet", lambda a, b: frechet(a, b) + 1, "expected"),
    ("3.4.1-great-circle", torch.lerp, "straight line: half-way"),
    ("3.4.1-great-circle", bent_line, "faster in the middle"),
    (
        "3.4.1-great-circle",
        lambda a, b, t: F.normalize(great_circle(a, b, t), dim=0),
        "the length is 1",
    ),
    ("3.4.1-great-circle", lambda a, b, t: great_circle(b, a, t), "exchanged"),
    ("3.4.1-great-circle", without_care, "angle is tiny"),
    ("3.4.1-great-circle", lambda a, b, t: a[:3], "the shape is (3,)"),
]
