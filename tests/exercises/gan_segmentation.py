"""Answers to the exercises of section 3.4.3."""

from __future__ import annotations

import math

import numpy as np
import torch
from sklearn.metrics import accuracy_score, jaccard_score


def agreement(probabilities):
    """How often two independent draws agree: over all pairs of classes."""
    return sum(
        float(p * q)
        for i, p in enumerate(probabilities)
        for j, q in enumerate(probabilities)
        if i == j
    )


def read(segmenter, images):
    with torch.no_grad():
        return segmenter(images).argmax(dim=1)


def fcn_score(segmenter, images, target):
    """scikit-learn's IoU over all labeled pixels of the set."""
    said, valid = read(segmenter, images), target != 255
    return jaccard_score(target[valid].numpy(), said[valid].numpy(), average="macro")


def score_per_picture(segmenter, images, target):
    pairs = zip(images, target, strict=True)
    return np.mean([fcn_score(segmenter, image[None], one[None]) for image, one in pairs])


def score_of_void(segmenter, images, target):
    return fcn_score(segmenter, images, torch.where(target == 255, 0, target))


def micro_score(segmenter, images, target):
    said, valid = read(segmenter, images), target != 255
    return jaccard_score(target[valid].numpy(), said[valid].numpy(), average="micro")


def accuracy(segmenter, images, target):
    said, valid = read(segmenter, images), target != 255
    return accuracy_score(target[valid].numpy(), said[valid].numpy())


def cutmix(images, labels, box, order=(0, 1, 2, 3), paste_labels=True):
    top, left, height, width = (box[k] for k in order)
    image, mixed = images[0].clone(), labels[0].clone()
    rows, columns = slice(top, top + height), slice(left, left + width)
    image[:, rows, columns] = images[1][:, rows, columns]
    if paste_labels:
        mixed[rows, columns] = labels[1][rows, columns]
    return image, mixed


def paint_over(images, labels, box):
    top, left, height, width = box
    images[0, :, top : top + height, left : left + width] = images[1][
        :, top : top + height, left : left + width
    ]
    return images[0], cutmix(images, labels, box)[1]


def blend(images, labels, box):
    return images.mean(dim=0), labels.float().mean(dim=0)


def shifted_labels(images, labels, box):
    image, _ = cutmix(images, labels, box)
    _, mixed = cutmix(images, labels.roll(1, dims=1), box)
    return image, mixed


def from_the_corner(images, labels, box):
    """Pastes the upper left corner of sample 1, not what lies in the box."""
    top, left, height, width = box
    image, mixed = cutmix(images, labels, box)
    image[:, top : top + height, left : left + width] = images[1][:, -height:, :width] + 1
    return image, mixed


def by_corners(images, labels, box):
    top, left, bottom, right = box
    return cutmix(images, labels, (top, left, max(0, bottom - top), max(0, right - left)))


def pseudo_labels(logits, threshold, filler=255):
    powers = (logits - logits.amax(dim=1, keepdim=True)).exp()
    probabilities = powers / powers.sum(dim=1, keepdim=True)
    labels = logits.argmax(dim=1)
    labels[probabilities.amax(dim=1) < threshold] = filler
    return labels


def unsure_labels(logits, threshold):
    confidence, labels = logits.softmax(dim=1).max(dim=1)
    return labels.masked_fill(confidence >= threshold, 255)


def of_logits(logits, threshold):
    values, labels = logits.max(dim=1)
    return labels.masked_fill(values < threshold, 255)


def of_sigmoids(logits, threshold):
    values, labels = logits.sigmoid().max(dim=1)
    return labels.masked_fill(values < threshold, 255)


def ramp_up(step, steps):
    return math.exp(-5 * (1 - step / steps) ** 2) if step < steps else 1.0


RIGHT = [
    ("3.4.3-sampling", agreement),
    ("3.4.3-fcn-score", fcn_score),
    ("3.4.3-cutmix", cutmix),
    ("3.4.3-pseudo-labels", pseudo_labels),
    ("3.4.3-ramp-up", ramp_up),
]

WRONG = [
    ("3.4.3-sampling", lambda p: p.max(), "the likeliest class is right"),
    ("3.4.3-sampling", lambda p: 1 - agreement(p), "how often the sample is wrong"),
    ("3.4.3-sampling", lambda p: 1 / len(p), "blind guess"),
    ("3.4.3-sampling", lambda p: 0.4, "with probability p_c"),
    ("3.4.3-sampling", lambda p: p**2, "one number"),
    ("3.4.3-fcn-score", score_per_picture, "one confusion matrix"),
    ("3.4.3-fcn-score", accuracy, "share of right pixels"),
    ("3.4.3-fcn-score", micro_score, "all classes together"),
    ("3.4.3-fcn-score", score_of_void, "leave pixels of 255 out"),
    ("3.4.3-fcn-score", lambda s, x, y: 1.0, "compared with itself"),
    ("3.4.3-fcn-score", lambda s, x, y: 100 * fcn_score(s, x, y), "between 0 and 1"),
    ("3.4.3-fcn-score", lambda s, x, y: 0.123, "is right here"),
    ("3.4.3-cutmix", lambda x, y, b: cutmix(x, y, b, paste_labels=False), "those of one sample"),
    ("3.4.3-cutmix", lambda x, y, b: cutmix(x, y, b, (1, 0, 3, 2)), "top and height count rows"),
    ("3.4.3-cutmix", lambda x, y, b: cutmix(x.flip(0), y.flip(0), b), "other way around"),
    ("3.4.3-cutmix", lambda x, y, b: (x[0], y[0]), "nothing has been pasted"),
    ("3.4.3-cutmix", lambda x, y, b: (x[1], y[1]), "all of sample 1"),
    ("3.4.3-cutmix", by_corners, "two corners"),
    ("3.4.3-cutmix", blend, "never averaged"),
    ("3.4.3-cutmix", paint_over, "work on a clone"),
    ("3.4.3-cutmix", shifted_labels, "labels come from other places"),
    ("3.4.3-cutmix", from_the_corner, "not those of sample 1"),
    ("3.4.3-cutmix", lambda x, y, b: (x[0] + 1, y[0]), "pixels outside the box"),
    ("3.4.3-cutmix", lambda x, y, b: (x, y), "the shapes are"),
    ("3.4.3-cutmix", lambda x, y, b: x[0], "two tensors"),
    ("3.4.3-pseudo-labels", lambda z, t: z.argmax(dim=1), "every pixel has a label"),
    ("3.4.3-pseudo-labels", lambda z, t: pseudo_labels(z, t, 0), "got 0"),
    ("3.4.3-pseudo-labels", lambda z, t: pseudo_labels(z, t, -1), "got -1"),
    ("3.4.3-pseudo-labels", of_logits, "laid on the logits"),
    ("3.4.3-pseudo-labels", of_sigmoids, "a sigmoid of each logit"),
    ("3.4.3-pseudo-labels", unsure_labels, "the other way around"),
    ("3.4.3-pseudo-labels", lambda z, t: z.softmax(dim=1), "one a pixel"),
    ("3.4.3-pseudo-labels", lambda z, t: z.argmin(dim=1), "the labels differ"),
    ("3.4.3-ramp-up", lambda s, n: s / n if s < n else 1, "straight line"),
    ("3.4.3-ramp-up", lambda s, n: math.exp(-5 * (1 - s / n) ** 2), "stays 1"),
    ("3.4.3-ramp-up", lambda s, n: math.exp(-5 * (1 - min(1, s / n))), "square"),
    ("3.4.3-ramp-up", lambda s, n: math.exp(-5 * min(1, s / n) ** 2), "falls from 1"),
    ("3.4.3-ramp-up", lambda s, n: 0.5, "With t = step / steps"),
]
