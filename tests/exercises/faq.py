"""Answers to the exercises of section 6."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from scipy import stats


def opened(path, mode=None):
    with Image.open(path) as picture:
        return np.array(picture.convert(mode) if mode else picture)


def read_binary(path):
    return torch.from_numpy(opened(path, "L") >= 128).to(torch.int64)


def with_void(path):
    return torch.from_numpy(np.where(opened(path, "L") > 127, 255, 0))


def numbered(path):
    """Each gray level that occurs gets the next number."""
    grays = opened(path, "L")
    return torch.from_numpy(np.unique(grays, return_inverse=True)[1].reshape(grays.shape)).long()


def stray_labels(mask, num_classes):
    """By counting each value of a flat list."""
    found = {}
    for value in mask.flatten().tolist():
        if value not in (255, *range(num_classes)):
            found[value] = found.get(value, 0) + 1
    return found


def difference(first, second):
    """By the interval of scipy's Welch test, which is the difference and t standard errors."""
    test = stats.ttest_ind(first, second, equal_var=False)
    gain = np.mean(first) - np.mean(second)
    return gain, gain / test.statistic


def spread(values, ddof=1):
    return np.std(values, ddof=ddof) / np.sqrt(len(values))


RIGHT = [
    ("6-binary-mask", read_binary),
    ("6-stray-labels", stray_labels),
    ("6-memory", 2),
    ("6-difference", difference),
]

WRONG = [
    ("6-binary-mask", lambda p: torch.from_numpy(opened(p)).long(), "255, which every loss"),
    ("6-binary-mask", with_void, "255, which every loss"),
    ("6-binary-mask", lambda p: torch.from_numpy(opened(p, "RGB") > 127).long(), "one number a"),
    ("6-binary-mask", lambda p: torch.from_numpy(opened(p, "L") > 127), "torch.bool"),
    ("6-binary-mask", lambda p: torch.from_numpy(opened(p, "L") > 0).long(), "became white"),
    ("6-binary-mask", lambda p: torch.from_numpy(opened(p, "L") == 255).long(), "were lost"),
    ("6-binary-mask", numbered, "JPEG leaves grays"),
    ("6-binary-mask", lambda p: 1 - read_binary(p), "exchanged"),
    ("6-binary-mask", lambda p: read_binary(p) * 0, "everything is 0"),
    ("6-binary-mask", lambda p: read_binary(p).roll(1, 1), "labels are wrong"),
    ("6-stray-labels", lambda m, c: {**stray_labels(m, c), 255: 9}, "255 is void"),
    ("6-stray-labels", lambda m, c: stray_labels(m, c + 1), "0 to 4, so 5"),
    ("6-stray-labels", lambda m, c: {v: n for v, n in stray_labels(m, c).items() if v >= 0}, "-1"),
    ("6-stray-labels", lambda m, c: stray_labels(m, c - 1), "is a class"),
    ("6-stray-labels", lambda m, c: dict.fromkeys(stray_labels(m, c), 1), "pixels are not"),
    ("6-stray-labels", lambda m, c: {v: 3 for v in stray_labels(m, c) if v < 9}, "128 is no class"),
    ("6-stray-labels", lambda m, c: list(stray_labels(m, c)), "a dictionary"),
    ("6-memory", 3, "Is all of the 10 GB"),
    ("6-memory", 2.5, "come whole"),
    ("6-memory", 5, "four times the pixels"),
    ("6-memory", 10, "512x512"),
    ("6-memory", 9, "without the part"),
    ("6-memory", 1, "room for more"),
    ("6-memory", 7, "Two equations"),
    ("6-difference", lambda a, b: difference(b, a), "first minus second"),
    ("6-difference", lambda a, b: (np.mean(a), spread(a)), "means differ by"),
    (
        "6-difference",
        lambda a, b: (difference(a, b)[0], np.hypot(spread(a, 0), spread(b, 0))),
        "n - 1",
    ),
    (
        "6-difference",
        lambda a, b: (difference(a, b)[0], np.hypot(np.std(a, ddof=1), np.std(b, ddof=1))),
        "single runs",
    ),
    ("6-difference", lambda a, b: (difference(a, b)[0], spread(a) + spread(b)), "in squares"),
    ("6-difference", lambda a, b: (difference(a, b)[0], difference(a, b)[1] ** 2), "root"),
    ("6-difference", lambda a, b: (difference(a, b)[0], spread([*a, *b])), "one pot"),
    ("6-difference", lambda a, b: (difference(a, b)[0], spread(a)), "varies too"),
    ("6-difference", lambda a, b: (difference(a, b)[0], 0.3), "standard error is"),
    ("6-difference", lambda a, b: difference(a, b)[0], "a pair"),
    ("6-difference", lambda a, b: (1, 2, 3), "not 3 numbers"),
]
