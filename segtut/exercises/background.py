"""Checks of section 1: regions against labels, the oracle, what color can know."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from segtut.data.dataset import VOID
from segtut.exercises.registry import Fault, call, exercise, number

Labels = NDArray[np.int64]

_REGIONS = np.array([[0, 0, 0, 2, 2, 2, 2], [0, 0, 0, 2, 2, 2, 2], [0, 0, 7, 7, 7, 7, 7]])
_TARGET = np.array(
    [[1, 1, 1, 1, 1, VOID, 0], [1, 1, VOID, 1, 1, VOID, 0], [VOID, VOID, VOID, VOID, VOID, 3, 3]]
)


@exercise("1-best-match")
def check_best_match(answer: Callable[[Labels, Labels, int], float]) -> str:
    """answer: (regions, target, label) -> the largest IoU of a region with the class."""
    found = number(call(answer, _REGIONS.copy(), _TARGET.copy(), 1))
    # Region 0 has 5 labeled pixels, all of them among the 9 of class 1; region 2 has 4 of 6.
    _refuse_known(
        found,
        {
            5 / 5: "1.0 is the share of a region that belongs to the class; a region of one pixel "
            "could have it. Divide by the union.",
            5 / 8: "void counts in the region: leave out the pixels whose label is 255.",
            5 / 12: "void counts in the union: leave out the pixels whose label is 255.",
            10 / 14: "that is Dice; IoU divides the pixels in both by the pixels in either.",
            9 / 11: "that joins regions; the best single region is asked for.",
        },
        right=5 / 9,
    )
    random = np.random.default_rng(0)
    for _ in range(5):
        regions = random.choice([0, 3, 4, 9], (9, 13))
        target = random.choice([0, 1, 2, VOID], (9, 13))
        label = int(random.integers(3))
        found = number(call(answer, regions.copy(), target.copy(), label))
        right = _best_match(regions, target, label)
        if abs(found - right) > 1e-9:
            raise Fault(f"regions drawn at random: {found:.4f} where {right:.4f} is right.")
    absent = number(call(answer, _REGIONS.copy(), np.where(_TARGET == 3, VOID, _TARGET), 3))
    if absent != 0 and not np.isnan(absent):
        raise Fault(f"a class that is not in the picture: {absent}, expected 0 (or NaN).")
    return "the best region of every picture tried, void left out."


def _best_match(regions: Labels, target: Labels, label: int) -> float:
    known, there = target != VOID, target == label
    masks = [(regions == region) & known for region in np.unique(regions)]
    return max(float((mask & there).sum() / max(1, (mask | there).sum())) for mask in masks)


@exercise("1-oracle")
def check_oracle(answer: Callable[[Labels, Labels], Labels]) -> str:
    """answer: (regions, target) -> labels (H, W), each region its commonest class."""
    target = _TARGET.copy()
    target[2, 4] = 0  # region 7: one pixel of class 0, two of class 3, two void
    _compare_oracle(answer, _REGIONS, target)
    random = np.random.default_rng(1)
    for _ in range(5):
        regions = random.choice([0, 3, 4, 9], (9, 13))
        target = np.where(random.random((9, 13)) < 0.6, VOID, random.integers(0, 4, (9, 13)))
        target[regions == 3] = np.where(random.random((regions == 3).sum()) < 0.7, 2, VOID)
        _compare_oracle(answer, regions, target)
    return "each region has the class of most of its labeled pixels."


def _compare_oracle(
    answer: Callable[[Labels, Labels], Labels], regions: Labels, target: Labels
) -> None:
    """Raise a Fault unless the answer's labels have as many pixels right as is possible."""
    found = np.asarray(call(answer, regions.copy(), target.copy()))
    if found.shape != target.shape:
        raise Fault(f"labels of shape {found.shape}, expected {target.shape}: one a pixel.")
    known = target != VOID
    for region in np.unique(regions):
        inside = regions == region
        if not (inside & known).any():
            continue
        given = np.unique(found[inside])
        if len(given) > 1:
            raise Fault(f"region {region} got the labels {given.tolist()}; it gets one only.")
        votes = np.bincount(target[inside & known], minlength=4)
        label = int(given[0])
        if label == VOID:
            raise Fault(f"region {region} was called void: void has no vote, and is no class.")
        if not 0 <= label < 4 or votes[label] < votes.max():
            right = np.flatnonzero(votes == votes.max()).tolist()
            raise Fault(f"region {region} got class {label}, but most of its labeled pixels "
                        f"are of class {' or '.join(map(str, right))}.")  # fmt: skip


@exercise("1-color-ceiling")
def check_color_ceiling(answer: Callable[[Labels, Labels], float]) -> str:
    """answer: (colors (n,), labels (n,)) -> the best share of labeled pixels a rule gets right."""
    colors = np.array([5] * 10 + [900] * 4 + [77] * 4)
    labels = np.array([2] * 7 + [6] * 3 + [6, 6, 6, VOID] + [2, VOID, VOID, VOID])
    found = number(call(answer, colors.copy(), labels.copy()))
    _refuse_known(
        found,
        {
            11 / 18: "void pixels are in the denominator; nobody can be right or wrong there.",
            8 / 14: "that is one class for everything; the rule may answer by color.",
            (0.7 + 1 + 1) / 3: "that is the mean over the colors; a color with more pixels counts "
            "more.",
            13 / 18: "void was counted as a class that can be right.",
            3 / 14: "that is the share of mistakes; the share that is right is asked for.",
        },
        right=11 / 14,
    )
    random = np.random.default_rng(2)
    colors = random.integers(0, 4096, 500) // 300
    labels = random.choice([0, 1, 2, VOID], 500, p=[0.5, 0.2, 0.1, 0.2])
    known = labels != VOID
    right = sum(np.bincount(labels[known & (colors == c)]).max() for c in np.unique(colors[known]))
    found = number(call(answer, colors.copy(), labels.copy()))
    if abs(found - right / known.sum()) > 1e-9:
        raise Fault(f"colors drawn at random: {found:.4f}, expected {right / known.sum():.4f}.")
    return "7 of 10, 3 of 3 and 1 of 1: no rule from these colors gets more right."


def _refuse_known(found: float, faults: dict[float, str], right: float) -> None:
    """Raise the Fault of a typical wrong number, or a plain one."""
    if abs(found - right) < 1e-9:
        return
    for wrong, text in faults.items():
        if abs(found - wrong) < 1e-9:
            raise Fault(text)
    raise Fault(f"{found:.4f} for the small example, where {right:.4f} is right.")
