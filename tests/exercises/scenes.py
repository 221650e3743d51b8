"""Answers to the exercises of section 5.3."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import batch_norm


def normalize(features, mean, var, share, *, dims=(0, 2, 3), unbiased=False, power=0.5):
    own_mean = features.mean(dim=dims, keepdim=True)
    own_var = features.var(dim=dims, unbiased=unbiased, keepdim=True)
    mean = (1 - share) * mean[:, None, None] + share * own_mean
    var = (1 - share) * var[:, None, None] + share * own_var
    return (features - mean) / (var + 1e-5) ** power


def by_torch(features, mean, var, share):
    """A batch normalization whose momentum is the share, its variance put back to n."""
    norm = nn.BatchNorm2d(len(mean), momentum=share, affine=False)
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(var)
    norm.train()(features)
    places = features.numel() / len(mean)
    own = (norm.running_var - (1 - share) * var) * (places - 1) / places
    return batch_norm(features, norm.running_mean, own + (1 - share) * var)


def of_deviations(features, mean, var, share):
    own = features.std(dim=(0, 2, 3), unbiased=False)
    spread = (1 - share) * var.sqrt() + share * own
    mean = (1 - share) * mean + share * features.mean(dim=(0, 2, 3))
    return (features - mean[:, None, None]) / (spread[:, None, None] ** 2 + 1e-5).sqrt()


def overwriting(features, mean, var, share):
    result = normalize(features, mean, var, share)
    mean.lerp_(features.mean(dim=(0, 2, 3)), 0.1)
    return result


def stored_variance(features, mean, var, share):
    mean = torch.lerp(mean, features.mean(dim=(0, 2, 3)), share)
    return (features - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt()


def coverage_and_risk(confidence, right, threshold):
    labeled = [bool(hit) for c, hit in zip(confidence, right, strict=True) if c >= threshold]
    return len(labeled) / len(right), labeled.count(False) / len(labeled) if labeled else 0


def risk_above(confidence, right, threshold):
    given = confidence > threshold
    return given.float().mean(), (~right[given]).float().mean() if given.any() else 0


def risk_of_all(confidence, right, threshold):
    given = confidence >= threshold
    return given.float().mean(), (given & ~right).float().mean()


def accuracy_for_risk(confidence, right, threshold):
    coverage, risk = coverage_and_risk(confidence, right, threshold)
    return coverage, 1 - risk


def left_out(confidence, right, threshold):
    coverage, risk = coverage_and_risk(confidence, right, threshold)
    return 1 - coverage, risk


def risk_or_nan(confidence, right, threshold):
    given = confidence >= threshold
    return given.float().mean(), (~right[given]).float().mean()


def lowest_threshold(confidence, right, limit):
    kept = [
        float(t)
        for t in confidence
        if coverage_and_risk(confidence, right, float(t))[1] <= limit + 1e-9
    ]
    return min(kept)


def until_it_fails(confidence, right, limit):
    best = float(confidence.max())
    for t in confidence.unique().flip(0):
        if coverage_and_risk(confidence, right, float(t))[1] > limit:
            return best
        best = float(t)
    return best


def pixel_by_pixel(confidence, right, limit):
    order = confidence.argsort(descending=True, stable=True)
    risk = (~right[order]).cumsum(0) / torch.arange(1, len(order) + 1)
    return confidence[order][(risk <= limit).nonzero().max()]


def of_all_pixels(confidence, right, limit):
    kept = [t for t in confidence if risk_of_all(confidence, right, t)[1] <= limit]
    return min(kept)


RIGHT = [
    ("5.3-statistics", by_torch),
    ("5.3-dusk", (-2.4, 0.4, 0, 1)),
    ("5.3-risk", coverage_and_risk),
    ("5.3-threshold", lowest_threshold),
]

WRONG = [
    ("5.3-statistics", lambda x, m, v, s: normalize(x, m, v, 1 - s), "exchanged"),
    ("5.3-statistics", lambda x, m, v, s: normalize(x, m, v, s, unbiased=True), "n - 1"),
    ("5.3-statistics", lambda x, m, v, s: normalize(x, m, v, s, dims=(2, 3)), "each picture"),
    ("5.3-statistics", lambda x, m, v, s: normalize(x, m, v, s, power=1), "square root"),
    ("5.3-statistics", of_deviations, "mix the variances"),
    ("5.3-statistics", stored_variance, "mix both"),
    ("5.3-statistics", overwriting, "overwritten"),
    ("5.3-statistics", lambda x, m, v, s: x, "subtract (1 - share)"),
    ("5.3-statistics", lambda x, m, v, s: x.mean(dim=0), "shape"),
    ("5.3-dusk", (0.8, 0.2, 0, 1), "before the normalization"),
    ("5.3-dusk", (-1.2, 0.2, 0, 1), "divide by the stored deviation"),
    ("5.3-dusk", (1.6, 0.4, 0, 1), "still to be subtracted"),
    ("5.3-dusk", (2.4, 0.4, 0, 1), "negative"),
    ("5.3-dusk", (-2.4, 0.16, 0, 1), "variance by 0.16"),
    ("5.3-dusk", (0, 0.4, 0, 1), "mean is multiplied"),
    ("5.3-dusk", (-2.4, 0.4, -2.4, 0.4), "always has mean 0"),
    ("5.3-dusk", (-2.4, 0.4), "four numbers"),
    ("5.3-dusk", (1, 1, 0, 1), "0.4 · 2"),
    ("5.3-risk", lambda c, r, t: coverage_and_risk(c, r, t)[::-1], "coverage comes first"),
    ("5.3-risk", left_out, "left out"),
    ("5.3-risk", risk_above, ">="),
    ("5.3-risk", risk_of_all, "not by all pixels"),
    ("5.3-risk", accuracy_for_risk, "not of right ones"),
    ("5.3-risk", risk_or_nan, "the risk is 0"),
    ("5.3-risk", lambda c, r, t: (0.5, 0.11), "labeled of all"),
    ("5.3-risk", lambda c, r, t: 0.5, "two numbers"),
    ("5.3-threshold", until_it_fails, "first that fails"),
    ("5.3-threshold", pixel_by_pixel, "equal confidence"),
    ("5.3-threshold", of_all_pixels, "not of all"),
    ("5.3-threshold", lambda c, r, limit: c.min(), "the risk is"),
    ("5.3-threshold", lambda c, r, limit: c.max(), "With a lower one"),
    ("5.3-threshold", lambda c, r, limit: None, "no answer"),
]
