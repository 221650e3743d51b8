"""Checks of section 5.3: statistics that follow the pictures, risk, coverage and thresholds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from segtut.exercises.registry import Fault, call, exercise, number

_FLOOR = 1e-5


@exercise("5.3-statistics")
def check_statistics(answer: Callable[[Tensor, Tensor, Tensor, float], Tensor]) -> str:
    """answer: (features (N, C, H, W), mean (C), var (C), share) -> normalized features."""
    generator = torch.Generator().manual_seed(0)
    scale = torch.tensor([0.5, 1.0, 3.0])[:, None, None]
    features = torch.randn(2, 3, 3, 4, generator=generator) * scale + 1
    mean, var = torch.tensor([0.0, 0.5, -1.0]), torch.tensor([1.0, 4.0, 0.25])
    for share in (0.3, 0.0, 1.0):
        given = (features.clone(), mean.clone(), var.clone(), share)
        found = torch.as_tensor(call(answer, *given))
        if found.shape != features.shape:
            raise Fault(f"the result has the shape {tuple(found.shape)}, and the features have "
                        f"{tuple(features.shape)}.")  # fmt: skip
        if not torch.equal(given[1], mean) or not torch.equal(given[2], var):
            raise Fault("the stored statistics have been overwritten; the next batch needs them.")
        if torch.allclose(found, _blended(features, mean, var, share), atol=1e-4):
            continue
        raise Fault(f"share {share}: {_fault_of_statistics(found, features, mean, var, share)}")
    return "stored statistics at share 0, the batch's own at 1, and mixtures between."


def _blended(
    features: Tensor, mean: Tensor, var: Tensor, share: float, *, unbiased: bool = False
) -> Tensor:
    own_mean = features.mean(dim=(0, 2, 3))
    own_var = features.var(dim=(0, 2, 3), unbiased=unbiased)
    return _scaled(
        features, (1 - share) * mean + share * own_mean, (1 - share) * var + share * own_var
    )


def _scaled(features: Tensor, mean: Tensor, var: Tensor) -> Tensor:
    return (features - mean[:, None, None]) / (var[:, None, None] + _FLOOR).sqrt()


def _fault_of_statistics(
    found: Tensor, features: Tensor, mean: Tensor, var: Tensor, share: float
) -> str:
    own_mean, own_var = features.mean(dim=(0, 2, 3)), features.var(dim=(0, 2, 3), unbiased=False)
    mixed = torch.lerp(mean, own_mean, share)
    deviations = torch.lerp(var.sqrt(), own_var.sqrt(), share) ** 2
    each_mean = torch.lerp(mean[:, None, None], features.mean(dim=(2, 3), keepdim=True), share)
    each_var = features.var(dim=(2, 3), unbiased=False, keepdim=True)
    each_var = torch.lerp(var[:, None, None], each_var, share)
    each = (features - each_mean) / (each_var + _FLOOR).sqrt()
    wrong = (
        (_blended(features, mean, var, 1 - share), "the shares are exchanged: `share` is the part "
         "of the features' own statistics."),
        (_blended(features, mean, var, share, unbiased=True), "the variance is divided by n - 1; a "
         "normalization divides by n (unbiased=False)."),
        (_scaled(features, mixed, deviations), "the standard deviations are mixed; mix the "
         "variances."),
        (each, "mean and variance are those of each picture; take them over the whole batch, "
         "dimensions 0, 2 and 3."),
        (_scaled(features, mixed, var), "the mean is mixed and the variance is the stored one; mix "
         "both."),
        ((features - mixed[:, None, None]) / (torch.lerp(var, own_var, share)[:, None, None]),
         "that divides by the variance; divide by its square root."),
    )  # fmt: skip
    for other, fault in wrong:
        if torch.allclose(found, other, atol=1e-4):
            return fault
    return ("subtract (1 - share) mean + share times the own mean, and divide by the root of the "
            "variances mixed in the same way, plus 1e-5.")  # fmt: skip


@exercise("5.3-dusk")
def check_dusk(answer: Sequence[float]) -> str:
    """answer: mean and deviation by the stored statistics, and by those of the dusk."""
    if not isinstance(answer, Sequence | Tensor) or len(answer) != 4:
        raise Fault("four numbers are asked for: mean and deviation by the stored statistics, mean "
                    "and deviation by the new ones.")  # fmt: skip
    found = [number(value) for value in answer]
    if all(math.isclose(a, b, abs_tol=0.01) for a, b in zip(found, (-2.4, 0.4, 0, 1), strict=True)):
        return "a channel far below zero at a fifth of its spread, and nothing amiss by the new."
    first, second = found[:2], found[2:]
    if not math.isclose(second[0], 0, abs_tol=0.01) or not math.isclose(second[1], 1, abs_tol=0.01):
        raise Fault("by its own statistics a channel always has mean 0 and deviation 1: that is "
                    "what a normalization is for.")  # fmt: skip
    for wrong, fault in (
        ([0.8, 0.2], "these are the channel's numbers before the normalization: subtract the "
         "stored mean, 2, and divide by the stored deviation, 0.5."),
        ([-1.2, 0.2], "the stored mean is subtracted; divide by the stored deviation, 0.5, too."),
        ([1.6, 0.4], "the stored mean, 2, is still to be subtracted before dividing by 0.5."),
        ([2.4, 0.4], "0.8 - 2 is negative."),
        ([-2.4, 0.16], "the deviation is multiplied by 0.4, the variance by 0.16."),
        ([0.0, 0.4], "the mean is multiplied by 0.4 too: it is 0.8 at dusk, and 2 is subtracted."),
    ):  # fmt: skip
        if all(math.isclose(a, b, abs_tol=0.01) for a, b in zip(first, wrong, strict=True)):
            raise Fault(fault)
    raise Fault("at dusk the channel has mean 0.4 · 2 and deviation 0.4 · 0.5; subtract the stored "
                "mean, and divide by the stored deviation.")  # fmt: skip


@exercise("5.3-risk")
def check_risk(answer: Callable[[Tensor, Tensor, float], tuple[float, float]]) -> str:
    """answer: (confidence (n), right (n) bool, threshold) -> coverage and risk."""
    confidence = torch.tensor([0.9, 0.5, 0.7, 0.7, 0.3, 0.95, 0.6, 0.4])
    right = torch.tensor([True, False, False, True, False, True, True, True])
    for threshold in (0.7, 0.6, 0.0, 0.99):
        result = call(answer, confidence.clone(), right.clone(), threshold)
        if not isinstance(result, Sequence | Tensor) or len(result) != 2:
            raise Fault("return two numbers, the coverage and the risk.")
        coverage, risk = (number(value) for value in result)
        given = confidence >= threshold
        wrong = int((given & ~right).sum())
        share = int(given.sum()) / len(right)
        error = wrong / max(1, int(given.sum()))
        if math.isclose(coverage, share, abs_tol=1e-4) and math.isclose(risk, error, abs_tol=1e-4):
            continue
        case = f"threshold {threshold}: coverage {share:.3f} and risk {error:.3f}, not "
        case += f"{coverage:.3f} and {risk:.3f}. "
        strict = (confidence > threshold).float().mean().item()
        if not given.any():
            raise Fault(case + "Where nothing is labeled, nothing is wrong: the risk is 0.")
        if math.isclose(coverage, error, abs_tol=1e-4) and math.isclose(risk, share, abs_tol=1e-4):
            raise Fault(case + "The coverage comes first.")
        if math.isclose(coverage, 1 - share, abs_tol=1e-4) and share != 0.5:
            raise Fault(case + "Coverage is what is labeled, not what is left out.")
        if math.isclose(coverage, strict, abs_tol=1e-4) and strict != share:
            raise Fault(case + "A confidence equal to the threshold is enough: use >=.")
        if math.isclose(risk, 1 - error, abs_tol=1e-4):
            raise Fault(case + "Risk is the share of wrong labels, not of right ones.")
        if math.isclose(risk, wrong / len(right), abs_tol=1e-4):
            raise Fault(
                case + "Divide the wrong labels by those that are given, not by all pixels."
            )
        raise Fault(case + "Coverage: labeled of all; risk: wrong of labeled.")
    return "what is labeled of all, and what is wrong of that."


@exercise("5.3-threshold")
def check_threshold(answer: Callable[[Tensor, Tensor, float], float]) -> str:
    """answer: (confidence (n), right (n) bool, limit) -> the threshold of the largest coverage."""
    generator = torch.Generator().manual_seed(0)
    many = torch.rand(60, generator=generator)
    cases = (
        ([0.9, 0.8, 0.7, 0.6], [True, True, True, False], 0.1),
        ([0.99, 0.9, 0.8, 0.7, 0.6, 0.5], [False, True, True, True, True, False], 0.2),
        ([0.9, 0.8, 0.7, 0.7, 0.7, 0.6], [True, True, True, False, False, True], 0.3),
        (many.tolist(), (torch.rand(60, generator=generator) < many).tolist(), 0.25),
    )
    for number_, (values, hits, limit) in enumerate(cases):
        confidence, right = torch.tensor(values), torch.tensor(hits)
        found = number(call(answer, confidence.clone(), right.clone(), limit))
        wanted = _lowest_threshold(confidence, right, limit)
        if math.isclose(found, wanted, abs_tol=1e-5):
            continue
        given = confidence >= found - 1e-6
        risk = float((~right[given]).float().mean()) if given.any() else 0.0
        case = f"{values} right {hits}, " if number_ < 3 else "60 pixels, "
        case += f"limit {limit}: {wanted:.3f}, not {found:.3f}. "
        if number_ == 1 and found > 0.6:
            raise Fault(case + "The surest pixel is wrong, and the risk falls again behind it: "
                        "look at all thresholds, not up to the first that fails.")  # fmt: skip
        if risk > limit:
            if number_ == 2 and math.isclose(found, 0.7, abs_tol=1e-5):
                raise Fault(case + "Pixels of equal confidence are labeled together: count all of "
                            "them.")  # fmt: skip
            if (~right).float().mean() > limit >= (given & ~right).float().mean():
                raise Fault(
                    case + "The risk is a share of the pixels that are labeled, not of all."
                )
            raise Fault(case + f"With yours the risk is {risk:.2f}.")
        raise Fault(case + "With a lower one the risk is still within the limit, and more is "
                    "labeled.")  # fmt: skip
    return "the largest coverage that keeps the promise, on these pixels."


def _lowest_threshold(confidence: Tensor, right: Tensor, limit: float) -> float:
    kept = [t for t in confidence.unique() if (~right[confidence >= t]).float().mean() <= limit]
    return float(min(kept))
