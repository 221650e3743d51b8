"""Answers to the exercises of section 1."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def best_of(score: Callable[[np.ndarray, np.ndarray], float], void: bool = False):
    """The largest score of a region's mask with the class's; void inside or left out."""

    def answer(regions, target, label):
        known = np.ones_like(target, bool) if void else target != 255
        there = target == label
        return max(score((regions == n) & known, there) for n in np.unique(regions))

    return answer


def iou(region, there):
    return (region & there).sum() / max(1, (region | there).sum())


def precision(region, there):
    return (region & there).sum() / max(1, region.sum())


def dice(region, there):
    return 2 * (region & there).sum() / max(1, region.sum() + there.sum())


def joined(regions, target, label):
    known, there = target != 255, target == label
    touched = np.isin(regions, np.unique(regions[there])) & known
    return iou(touched, there)


def first_regions_only(regions, target, label):
    masks = [(regions == n) & (target != 255) for n in range(len(np.unique(regions)))]
    return max(iou(mask, target == label) for mask in masks)


def mean_instead_of_best(regions, target, label):
    masks = [(regions == n) & (target != 255) for n in np.unique(regions)]
    return float(np.mean([iou(mask, target == label) for mask in masks]))


def oracle(regions, target, void_votes=False, worst=False):
    labels = np.zeros_like(target)
    for n in np.unique(regions):
        votes = target[(regions == n) & ((target != 255) | void_votes)]
        counts = np.bincount(votes, minlength=1)
        labels[regions == n] = counts.argmin() if worst else counts.argmax()
    return labels


def ceiling(colors, labels):
    known = labels != 255
    return sum(
        np.bincount(labels[known & (colors == c)]).max() for c in np.unique(colors[known])
    ) / float(known.sum())


def one_class(colors, labels):
    return np.bincount(labels[labels != 255]).max() / (labels != 255).sum()


def mean_over_colors(colors, labels):
    known = labels != 255
    shares = [np.bincount(labels[known & (colors == c)]) for c in np.unique(colors[known])]
    return float(np.mean([share.max() / share.sum() for share in shares]))


def void_is_a_class(colors, labels):
    return sum(np.bincount(labels[colors == c]).max() for c in np.unique(colors)) / len(labels)


def void_below(colors, labels):
    return ceiling(colors, labels) * (labels != 255).sum() / len(labels)


RIGHT = [
    ("1-best-match", best_of(iou)),
    ("1-oracle", oracle),
    ("1-color-ceiling", ceiling),
]

WRONG = [
    ("1-best-match", best_of(precision), "Divide by the union"),
    ("1-best-match", best_of(iou, void=True), "void counts in the union"),
    ("1-best-match", best_of(precision, void=True), "void counts in the region"),
    ("1-best-match", best_of(dice), "that is Dice"),
    ("1-best-match", joined, "joins regions"),
    ("1-best-match", mean_instead_of_best, "for the small example"),
    ("1-best-match", first_regions_only, "regions drawn at random"),
    ("1-best-match", lambda r, t, c: None, "no answer yet"),
    ("1-best-match", lambda r, t, c: "much", "one number"),
    ("1-oracle", lambda r, t: oracle(r, t, void_votes=True), "void has no vote"),
    ("1-oracle", lambda r, t: oracle(r, t, worst=True), "most of its labeled pixels"),
    ("1-oracle", lambda r, t: oracle(np.zeros_like(r), t), "most of its labeled pixels"),
    ("1-oracle", lambda r, t: t, "it gets one only"),
    ("1-oracle", lambda r, t: oracle(r, t)[0], "one a pixel"),
    ("1-color-ceiling", one_class, "the rule may answer by color"),
    ("1-color-ceiling", mean_over_colors, "mean over the colors"),
    ("1-color-ceiling", void_is_a_class, "void was counted as a class"),
    ("1-color-ceiling", void_below, "in the denominator"),
    ("1-color-ceiling", lambda c, y: 1 - ceiling(c, y), "share of mistakes"),
    ("1-color-ceiling", lambda c, y: 11 / 14, "colors drawn at random"),
]
