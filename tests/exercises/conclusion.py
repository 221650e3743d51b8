"""Answers to the exercises of section 7."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.path import Path as Outline
from PIL import Image, ImageDraw
from scipy.spatial import ConvexHull

# Matplotlib decides, not the package


def inside(points, height, width, at=(0.5, 0.5)):
    rows, columns = np.mgrid[0:height, 0:width]
    middles = np.stack([columns.ravel() + at[0], rows.ravel() + at[1]], axis=1)
    outline = Outline([*points, points[0]], closed=True)
    return outline.contains_points(middles).reshape(height, width)


def by_pillow(points, height, width):
    canvas = Image.new("L", (width, height))
    ImageDraw.Draw(canvas).polygon(points, fill=1, outline=1)
    return np.array(canvas, dtype=bool)


def left_open(points, height, width):
    rows, columns = np.mgrid[0:height, 0:width] + 0.5
    odd = np.zeros((height, width), dtype=bool)
    for k in range(len(points) - 1):
        (x0, y0), (x1, y1) = points[k], points[k + 1]
        if y0 != y1:
            at = x0 + (rows - y0) * (x1 - x0) / (y1 - y0)
            odd ^= ((y0 <= rows) != (y1 <= rows)) & (columns < at)
    return odd


def boxed(points, height, width):
    xs, ys = zip(*points, strict=True)
    corners = [(min(xs), min(ys)), (max(xs), min(ys)), (max(xs), max(ys)), (min(xs), max(ys))]
    return inside(corners, height, width)


def hull(points, height, width):
    return inside([points[k] for k in ConvexHull(np.array(points)).vertices], height, width)


def hold_out(places, share, generator):
    different = sorted(set(places))
    held = []
    for k in torch.randperm(len(different), generator=generator).tolist():
        if len(held) >= share * len(places):
            return sorted(held)
        held += [i for i, place in enumerate(places) if place == different[k]]
    return sorted(held)


def tear(places, share, generator):
    count = int(np.ceil(share * len(places)))
    return sorted(torch.randperm(len(places), generator=generator)[:count].tolist())


def share_of_places(places, share, generator):
    different = sorted(set(places))
    order = torch.randperm(len(different), generator=generator).tolist()
    chosen = {different[k] for k in order[: int(np.ceil(share * len(different)))]}
    return [i for i, place in enumerate(places) if place in chosen]


def training_part(places, share, generator):
    held = hold_out(places, share, generator)
    return [i for i in range(len(places)) if i not in held]


def one_place_more(places, share, generator):
    return hold_out(places, min(1, share + 0.35), generator)


def one_place_less(places, share, generator):
    held = hold_out(places, share, generator)
    return [i for i in held if places[i] != places[held[0]]]


def always_the_same(places, share, generator):
    return hold_out(places, share, torch.Generator().manual_seed(3))


def global_numbers(places, share, generator):
    return hold_out(places, share, torch.default_generator)


def mean_iou(matrix):
    hits = matrix.diagonal(dim1=-2, dim2=-1).double()
    return (hits / (matrix.sum(dim=-1) + matrix.sum(dim=-2) - hits)).nanmean(dim=-1)


def accuracy(matrix):
    hits = matrix.diagonal(dim1=-2, dim2=-1).sum(dim=-1)
    return hits / matrix.sum(dim=(-1, -2)).double()


def ends(gains):
    return tuple(gains.quantile(torch.tensor([0.025, 0.975], dtype=gains.dtype)).tolist())


def paired(first, second, generator, score=mean_iou, replace=True):
    n = len(first)
    if replace:
        picks = torch.randint(n, (1000, n), generator=generator)
    else:
        picks = torch.stack([torch.randperm(n, generator=generator) for _ in range(50)])
    return ends(score(second[picks].sum(dim=1)) - score(first[picks].sum(dim=1)))


def apart(first, second, generator):
    n = len(first)
    one, other = torch.randint(n, (2, 1000, n), generator=generator)
    return ends(mean_iou(second[one].sum(dim=1)) - mean_iou(first[other].sum(dim=1)))


def means(first, second, generator):
    picks = torch.randint(len(first), (1000, len(first)), generator=generator)
    return ends((mean_iou(second) - mean_iou(first))[picks].mean(dim=1))


def pixels(first, second, generator):
    """Each pixel of the pooled matrices drawn with replacement."""
    scores = []
    for matrix in (first.sum(dim=0), second.sum(dim=0)):
        shares = (matrix / matrix.sum()).flatten().double().numpy()
        numbers = np.random.default_rng(torch.randint(99, (), generator=generator).item())
        each = torch.from_numpy(numbers.multinomial(int(matrix.sum()), shares, size=1000))
        scores.append(mean_iou(each.view(-1, 4, 4)))
    return ends(scores[1] - scores[0])


def deviation(first, second, generator):
    picks = torch.randint(len(first), (1000, len(first)), generator=generator)
    gains = mean_iou(second[picks].sum(dim=1)) - mean_iou(first[picks].sum(dim=1))
    return gains.mean() - gains.std(), gains.mean() + gains.std()


def overwrite(first, second, generator):
    found = paired(first, second, generator)
    second -= first
    return found


def seeded(seed):
    return lambda first, second, _: paired(first, second, torch.Generator().manual_seed(seed))


RIGHT = [
    ("7-polygon", inside),
    ("7-split", hold_out),
    ("7-paired", paired),
    *(("7-paired", seeded(seed)) for seed in range(1, 6)),  # other random numbers will do
]

WRONG = [
    ("7-polygon", lambda p, h, w: inside(p, h, w).T, "rows come first"),
    ("7-polygon", lambda p, h, w: inside(p, h + 1, w), "the shape is"),
    ("7-polygon", lambda p, h, w: 255 * inside(p, h, w), "True or False"),
    ("7-polygon", lambda p, h, w: ~inside(p, h, w), "exchanged"),
    ("7-polygon", by_pillow, "a pixel too wide"),
    ("7-polygon", lambda p, h, w: inside(p, h, w, (1e-9, 1e-9)), "upper left corner"),
    ("7-polygon", lambda p, h, w: inside(p, h, w, (0.5, 1e-9)), "middle of a row"),
    ("7-polygon", lambda p, h, w: inside([q[::-1] for q in p], h, w), "x and y are exchanged"),
    ("7-polygon", left_open, "not joined to the first"),
    ("7-polygon", boxed, "box around the polygon"),
    ("7-polygon", hull, "convex hull"),
    ("7-polygon", lambda p, h, w: np.zeros((h, w), bool), "you found 0"),
    ("7-split", tear, "both sides"),
    ("7-split", share_of_places, "of photographs, not of places"),
    ("7-split", training_part, "ones to train on"),
    ("7-split", one_place_more, "stop in time"),
    ("7-split", one_place_less, "less than was asked for"),
    ("7-split", always_the_same, "every generator gives the same"),
    ("7-split", global_numbers, "from the generator that is passed"),
    ("7-split", lambda p, s, g: sorted({p[k] for k in hold_out(p, s, g)}), "names of places"),
    ("7-split", lambda p, s, g: [k in hold_out(p, s, g) for k in range(len(p))], "a mask"),
    ("7-split", lambda p, s, g: hold_out(p, s, g)[::-1], "rising order"),
    ("7-split", lambda p, s, g: [99], "run from 0 to"),
    ("7-paired", apart, "drawn for each network anew"),
    ("7-paired", lambda a, b, g: paired(b, a, g), "sign is turned"),
    ("7-paired", lambda a, b, g: paired(a, b, g)[::-1], "low end comes first"),
    ("7-paired", means, "sum the matrices first"),
    ("7-paired", pixels, "no independent draws"),
    ("7-paired", lambda a, b, g: paired(a, b, g, replace=False), "with replacement"),
    ("7-paired", deviation, "one standard deviation"),
    ("7-paired", lambda a, b, g: paired(a, b, g, accuracy), "share of right pixels"),
    ("7-paired", overwrite, "work on copies"),
    ("7-paired", lambda a, b, g: 0.05, "two numbers"),
    ("7-paired", lambda a, b, g: (0.5, 0.6), "is right here"),
]
