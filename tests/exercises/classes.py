"""Answers to the exercises of section 5.2: right ones, and wrong ones with what is said of them."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.metrics import confusion_matrix
from torch.nn.functional import one_hot


def merge(confusion, table):
    """scikit-learn counts every pixel again, under its new name."""
    classes = len(confusion)
    truth, said = np.indices((classes, classes)).reshape(2, -1)
    groups = np.asarray(table)
    weights = confusion.numpy().ravel()
    return torch.tensor(confusion_matrix(groups[truth], groups[said], sample_weight=weights))


def merge_rows_only(confusion, table):
    return one_hot(torch.tensor(table)).T @ confusion


def merge_mean(confusion, table):
    sizes = torch.bincount(torch.tensor(table))
    return merge(confusion, table) / sizes.outer(sizes)


def merge_in_place(confusion, table):
    found = merge(confusion, table)
    confusion.zero_()
    return found


def merge_diagonal(confusion, table):
    """Adds the hits and the errors between groups, and forgets what was confused inside."""
    kept = merge(confusion, table)
    hits = torch.zeros(len(kept), dtype=torch.int64)
    return (
        kept - kept.diag().diag() + hits.index_add(0, torch.tensor(table), confusion.diag()).diag()
    )


def shifted(logits, weight):
    powers = logits.exp() * weight.view(1, -1, 1, 1)
    return (powers / powers.sum(dim=1, keepdim=True)).log()


def each(weight):
    return weight.view(1, -1, 1, 1)


def prototype(features, target, label):
    """A weighted mean, by numpy, of each channel."""
    mask = (target == label).numpy().astype(float)
    channels = features.movedim(1, 0).numpy()
    return torch.tensor([np.average(channel, weights=mask) for channel in channels]).float()


def mean_of_means(features, target, label, empty_counts=False):
    found = [f[:, t == label].mean(dim=1) for f, t in zip(features, target, strict=True)]
    if empty_counts:
        return torch.stack(found).nan_to_num().mean(dim=0)
    return torch.stack([f for f in found if f.isfinite().all()]).mean(dim=0)


def with_void(features, target, label):
    return features.movedim(1, -1)[(target == label) | (target == 255)].mean(dim=0)


def masked_mean(features, target, label):
    return (features * (target == label)[:, None]).mean(dim=(0, 2, 3))


def nan_mean(features, target, label):
    found = [f[:, t == label].mean(dim=1) for f, t in zip(features, target, strict=True)]
    return torch.stack(found).mean(dim=0)


RIGHT = [
    ("5.2-merge", merge),
    ("5.2-weights", shifted),
    ("5.2-weights", lambda z, w: z + each(w).log()),
    ("5.2-threshold", lambda iou: 1 - 1 / (1 + iou)),
    ("5.2-prototype", prototype),
]

WRONG = [
    ("5.2-merge", merge_rows_only, "groups make a matrix of"),
    ("5.2-merge", lambda m, t: merge(m, t).T, "rows stay the truth"),
    ("5.2-merge", merge_mean, "have been averaged"),
    ("5.2-merge", merge_in_place, "work on a new one"),
    ("5.2-merge", merge_diagonal, "every pixel keeps a place"),
    ("5.2-merge", lambda m, t: merge(m, t).flip(0), "is the sum of all (i, j)"),
    ("5.2-weights", lambda z, w: z, "nothing has changed"),
    ("5.2-weights", lambda z, w: z * each(w), "take the logarithm and add"),
    ("5.2-weights", lambda z, w: z + each(w), "their logarithms belong there"),
    ("5.2-weights", lambda z, w: z - each(w).log(), "the other way around"),
    ("5.2-weights", lambda z, w: shifted(z, w).softmax(dim=1), "these are the probabilities"),
    ("5.2-weights", lambda z, w: z.softmax(dim=1) * each(w), "are no logits"),
    ("5.2-weights", lambda z, w: z[:, :1], "the logits have the shape"),
    ("5.2-weights", lambda z, w: z + each(w).sqrt(), "proportional to weight times"),
    ("5.2-threshold", lambda iou: 0.5, "right for the accuracy"),
    ("5.2-threshold", lambda iou: iou / 2, "turn IoU into Dice first"),
    ("5.2-threshold", lambda iou: iou, "Compare the odds"),
    ("5.2-threshold", lambda iou: 2 * iou / (1 + iou), "half of it is asked for"),
    ("5.2-threshold", lambda iou: 1 / (1 + iou), "1 - p at the threshold"),
    ("5.2-threshold", lambda iou: iou**2, "is above A / B"),
    ("5.2-prototype", lambda f, t, c: f.mean(dim=(0, 2, 3)), "all pixels are averaged"),
    ("5.2-prototype", masked_mean, "not by all pixels"),
    ("5.2-prototype", mean_of_means, "weighs like one with a thousand"),
    ("5.2-prototype", lambda f, t, c: mean_of_means(f, t, c, True), "averaged in as zeros"),
    ("5.2-prototype", nan_mean, "must not turn the mean into NaN"),
    ("5.2-prototype", with_void, "nobody knows their class"),
    ("5.2-prototype", lambda f, t, c: prototype(f, t, c) * (t == c).sum(), "not averaged"),
    ("5.2-prototype", lambda f, t, c: f.mean(dim=0), "one number a channel"),
    ("5.2-prototype", lambda f, t, c: prototype(f, t, c) + 1, "put the channels last"),
]
