"""Checks of section 3.4.1: pulls on the generator, divergences, covered modes, walks on codes."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from segtut.exercises.registry import Fault, call, exercise, number


@exercise("3.4.1-pulls")
def check_pulls(answer: Callable[[Tensor, str], Tensor]) -> str:
    """answer: (scores (N,), kind) -> gradient (N,) of the generator's mean loss by the scores.

    The kinds are "minimax" and "non_saturating".
    """
    scores = torch.tensor([-4.6, -1.0, 0.0, 0.5, 3.0])
    d = scores.sigmoid()
    gradients = {"minimax": -d / 5, "non_saturating": (d - 1) / 5}
    for kind, right in gradients.items():
        found = _numbers(call(answer, scores.clone(), kind), scores.shape)
        other = gradients["minimax" if kind == "non_saturating" else "non_saturating"]
        candidates = {
            "this is the gradient of each sample's loss; the loss is a mean, so divide by N.":
                5 * right,
            "the sign is that of a step downhill; both gradients are negative, for both losses "
            "fall as the score rises.": -right,
            "this is the gradient of the other loss: the two are exchanged.": other,
            "this is the derivative by D itself; go on by the chain rule to the score, with "
            "dD/da = D (1 - D).": right / (d * (1 - d)),
            "the factor D (1 - D) is there twice; it cancels against the logarithm's 1 / D or "
            "1 / (1 - D).": right * d * (1 - d),
            "that is the score itself in the place of D: apply the sigmoid first.":
                -scores / 5 if kind == "minimax" else (scores - 1) / 5,
        }  # fmt: skip
        if not torch.allclose(found, right, atol=1e-6):
            raise Fault(f"{kind}: {_named(candidates, found, right)}")
    large = _numbers(call(answer, torch.tensor([-200.0, 200.0]), "non_saturating"), (2,))
    if not torch.isfinite(large).all():
        raise Fault("with scores of 200 the gradient is not finite: exp overflows; use sigmoid.")
    return "-D / N and -(1 - D) / N: where D is 0.01, 99 times as much pull."


@exercise("3.4.1-jensen-shannon")
def check_jensen_shannon(answer: Callable[[Tensor, Tensor], float]) -> str:
    """answer: (q (B,), q' (B,)) -> Jensen-Shannon divergence of two histograms, in nats."""
    q = torch.tensor([0.1, 0.2, 0.3, 0.4])
    made = torch.tensor([0.25, 0.35, 0.3, 0.1])
    middle = (q + made) / 2

    def divergence(a: Tensor, b: Tensor) -> Tensor:
        return (a * (a / b).log()).sum()

    right = (divergence(q, middle) + divergence(made, middle)) / 2
    found = torch.tensor(number(call(answer, q.clone(), made.clone())))
    candidates = {
        "this is the Kullback-Leibler divergence of the two; compare each with their mean.":
            divergence(q, made),
        "this is the Kullback-Leibler divergence turned round; compare each with their mean.":
            divergence(made, q),
        "this is the mean of the two Kullback-Leibler divergences between them (Jeffreys'); "
        "both are to be taken from the mean of the two.":
            (divergence(q, made) + divergence(made, q)) / 2,
        "this is the sum of the two parts; Jensen-Shannon is half of it.": 2 * right,
        "only the part of the first histogram is there.": divergence(q, middle),
        "only half of the first part is there; add the second's.": divergence(q, middle) / 2,
        "only the part of the second histogram is there.": divergence(made, middle),
        "these are bits; with the natural logarithm it is in nats, and at most ln 2.":
            right / math.log(2),
        "this is the square root, the Jensen-Shannon distance, as scipy's jensenshannon gives it.":
            right.sqrt(),
        "the sign is turned.": -right,
        "the histograms are compared with their sum and not with their mean.":
            right - math.log(2),
        "this is the value of the game, 2 JS - 2 ln 2, at the best discriminator.":
            2 * right - 2 * math.log(2),
    }  # fmt: skip
    if not torch.isclose(found, right, atol=1e-6):
        raise Fault(_named(candidates, found, right))
    apart = number(
        call(answer, torch.tensor([0.5, 0.5, 0.0, 0.0]), torch.tensor([0.0, 0.0, 0.2, 0.8]))
    )
    if math.isnan(apart) or math.isinf(apart):
        raise Fault(f"for two histograms that share no bin it is {apart}: an empty bin counts as "
                    "0 ln 0 = 0; mask it, or use torch.xlogy.")  # fmt: skip
    if abs(apart - math.log(2)) > 1e-5:
        raise Fault(f"two histograms that share no bin are ln 2 = 0.6931 apart, not {apart:.4f}.")
    return "0 for equal histograms, ln 2 for those that share nothing, and never more."


@exercise("3.4.1-modes")
def check_modes(answer: Callable[[Tensor, Tensor, float], int]) -> str:
    """answer: (points (N, 2), centers (K, 2), std) -> how many Gaussians are covered.

    Covered means: at least one in a hundred of all points has this center as its nearest one and
    lies within three standard deviations of it.
    """
    generator = torch.Generator().manual_seed(0)
    centers = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [3.0, 3.0], [0.0, 3.0]])
    std, n = 0.05, 1000

    def around(center: int, count: int, radius: float) -> Tensor:
        turns = 2 * math.pi * torch.rand(count, generator=generator)
        circle = torch.stack([turns.cos(), turns.sin()], dim=1)
        return centers[center] + radius * std * circle

    points = torch.cat(
        [
            around(0, 500, 0.5),
            around(1, 200, 2.5),  # covered: within three standard deviations, not within one
            around(2, 9, 0.5),  # too few
            around(3, 261, 4.0),  # near nothing
            around(4, 10, 0.5),  # just enough of all points
            around(5, 20, 4.0),  # near nothing
        ]
    )
    found = number(call(answer, points[torch.randperm(n, generator=generator)], centers, std))
    candidates = {
        "a center counts that too few points chose: of 1,000 points, the stray ones included, at "
        "least 10 must lie there.": 4,
        "centers count that no point is near: being the nearest center is not enough, the distance "
        "must be at most 3 std.": 5,
        "one is missing: is the radius three standard deviations, and not one or two?": 2,
        "these are points and not Gaussians: count the centers that have enough of them.": 719,
        "these are points and not Gaussians: count the centers that have enough.": 710,
    }  # fmt: skip
    if found != 3:
        told = {text: torch.tensor(float(value)) for text, value in candidates.items()}
        raise Fault(_named(told, torch.tensor(found), torch.tensor(3.0)))
    mixed = torch.cat([around(0, 90, 0.5), around(1, 4, 0.5), around(3, 306, 4.0)])
    few = number(call(answer, mixed, centers, std))
    if few != 2:
        raise Fault("of 400 points 90 lie at one center, 4 at a second and the rest nowhere. Four "
                    "is one in a hundred of all points, so 2 are covered, and your count is "
                    f"{few:g}: is 10 a fixed number?")  # fmt: skip
    return "each center by its share of all points, the stray ones included."


@exercise("3.4.1-frechet")
def check_frechet(answer: Callable[[Tensor, Tensor], float]) -> str:
    """answer: (features (N, D), features (M, D)) -> Frechet distance of their Gaussians.

    The squared one, |mean - mean'|^2 + trace(S + S' - 2 (S S')^(1/2)), as FID is defined; the
    covariances may be divided by N or by N - 1.
    """
    generator = torch.Generator().manual_seed(0)
    mixing = torch.tensor([[1.0, 0.4, 0.0], [0.0, 0.8, -0.3], [0.2, 0.0, 1.2]])
    a = torch.randn(400, 3, generator=generator) @ mixing + torch.tensor([0.5, 0.0, -1.0])
    b = torch.randn(300, 3, generator=generator) @ mixing.flip(0) * 1.5
    found = torch.tensor(number(call(answer, a.clone(), b.clone())))
    means, covariances = [x.double().mean(0) for x in (a, b)], [x.double().T.cov() for x in (a, b)]
    gap = (means[0] - means[1]).square().sum()
    spread = sum(one.trace() for one in covariances)
    right = gap + spread - 2 * _root_trace(*covariances)
    by_n = [one * (len(x) - 1) / len(x) for one, x in zip(covariances, (a, b), strict=True)]
    other = gap + sum(one.trace() for one in by_n) - 2 * _root_trace(*by_n)
    variances = [one.diagonal() for one in covariances]
    candidates = {
        "only the means are compared; the covariances have their part too.": gap,
        "only the covariances are compared; add the squared distance of the means.": right - gap,
        "the distance of the means is not squared.": right - gap + gap.sqrt(),
        "this is the square root of it; FID is the squared distance.": right.sqrt(),
        "the factor 2 of the last term is missing.": right + _root_trace(*covariances),
        "the root of S S' is missing: trace(S S') instead of the trace of its root.":
            gap + spread - 2 * (covariances[0] @ covariances[1]).trace(),
        "the root is taken entry by entry; the root of a matrix R is the one with R R = S S'.":
            gap + spread
            - 2 * (covariances[0] @ covariances[1]).diagonal().clamp_min(0).sqrt().sum(),
        "only the variances are used: features that vary together are told apart by S.":
            gap + (variances[0].sqrt() - variances[1].sqrt()).square().sum(),
        "the covariances are subtracted entry by entry (Frobenius).":
            gap + (covariances[0] - covariances[1]).square().sum(),
        "both roots were taken singly; the trace of S^(1/2) S'^(1/2) is not that of (S S')^(1/2).":
            gap + spread - 2 * (_root(covariances[0]) @ _root(covariances[1])).trace(),
    }  # fmt: skip
    if not (torch.isclose(found.double(), right, rtol=1e-3) or
            torch.isclose(found.double(), other, rtol=1e-3)):  # fmt: skip
        told = {text: value.float() for text, value in candidates.items()}
        raise Fault(_named(told, found, right.float(), rtol=1e-3))
    same = number(call(answer, a.clone(), a.clone()))
    if not abs(same) < 1e-2:
        raise Fault(f"a set of features is {same:.3g} away from itself, expected 0.")
    return "of means and covariances both; 0 for a set and itself."


def _root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return vectors @ values.clamp_min(0).sqrt().diag() @ vectors.T


def _root_trace(a: Tensor, b: Tensor) -> Tensor:
    """Trace of (a b)^(1/2), by the symmetric matrix a^(1/2) b a^(1/2) of the same eigenvalues."""
    half = _root(a)
    return torch.linalg.eigvalsh(half @ b @ half).clamp_min(0).sqrt().sum()


@exercise("3.4.1-great-circle")
def check_great_circle(answer: Callable[[Tensor, Tensor, float], Tensor]) -> str:
    """answer: (start (K,), end (K,), share 0-1) -> the code at that share of the great circle.

    sin((1 - t) w) / sin(w) start + sin(t w) / sin(w) end, with w the angle between the two.
    """
    generator = torch.Generator().manual_seed(0)
    start, end = torch.randn(2, 16, generator=generator)
    end = end * start.norm() / end.norm() * 1.3
    for share in (0.0, 0.25, 0.6, 1.0):
        found = _numbers(call(answer, start.clone(), end.clone(), share), start.shape)
        right = _great_circle(start, end, share)
        line = (1 - share) * start + share * end
        longer = (1 - share) * start.norm() + share * end.norm()
        candidates = {
            "this is the straight line: half-way it passes nearer to the origin than either end.":
                line,
            "this is the straight line, made as long as the ends: the way is right, but it is "
            "walked faster in the middle.": line / line.norm() * longer,
            "the length is 1: use the unit vectors for the angle only.": right / right.norm(),
            "start and end are exchanged.": _great_circle(start, end, 1 - share),
            "the angle comes from the codes themselves; divide both by their length first.":
                _great_circle(start, end, share,
                              torch.acos((start @ end).clamp(-0.999, 0.999))),
            "the division by sin of the angle is missing.":
                right * torch.sin(_angle(start, end)),
        }  # fmt: skip
        if not torch.allclose(found, right, atol=1e-4):
            raise Fault(f"share {share}: {_named(candidates, found, right)}")
    parallel = _numbers(call(answer, start.clone(), start.clone(), 0.5), start.shape)
    if not torch.allclose(parallel, start, atol=1e-3):
        raise Fault("between a code and itself the angle is 0 and the formula 0 / 0; return the "
                    "straight line when the angle is tiny.")  # fmt: skip
    return "equal angles in equal times, and the length of the ends on the way."


def _angle(start: Tensor, end: Tensor) -> Tensor:
    cosine = start @ end / (start.norm() * end.norm())
    return torch.acos(cosine.clamp(-1, 1))


def _great_circle(start: Tensor, end: Tensor, share: float, angle: Tensor | None = None) -> Tensor:
    angle = _angle(start, end) if angle is None else angle
    return (torch.sin((1 - share) * angle) * start + torch.sin(share * angle) * end) / torch.sin(
        angle
    )


def _numbers(value: object, shape: tuple[int, ...]) -> Tensor:
    """The answer as floats of this shape. Raises Fault for another."""
    numbers = torch.as_tensor(value).detach().float()
    if numbers.shape != shape:
        raise Fault(f"the shape is {tuple(numbers.shape)}, expected {tuple(shape)}.")
    return numbers


def _named(candidates: dict[str, Tensor], found: Tensor, right: Tensor, rtol: float = 1e-4) -> str:
    """The sentence of the mistake that gives what was found, or the two values side by side."""
    for text, value in candidates.items():
        if torch.allclose(found, value.to(found), rtol=rtol, atol=1e-5):
            return text
    if not torch.isfinite(found).all():
        return "the answer is not finite: is log taken of 0, or is something divided by 0?"
    first, wanted = found.flatten()[0].item(), right.flatten()[0].item()
    return f"the first number is {first:.4f}, expected {wanted:.4f}."
