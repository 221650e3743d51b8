"""Answers to the exercises of section 3.2.2."""

from __future__ import annotations

import torch
from torch.nn import functional as F


def max_pool(maps, kernel, stride):
    return maps.unfold(2, kernel, stride).unfold(3, kernel, stride).amax(dim=(4, 5))


def unpool(pooled, indices, size):
    flat = torch.zeros(*pooled.shape[:2], size[0] * size[1])
    return flat.scatter(2, indices.flatten(2), pooled.flatten(2)).unflatten(2, size)


def corners(pooled, indices, size):
    maps = torch.zeros(*pooled.shape[:2], *size)
    maps[..., ::2, ::2] = pooled
    return maps


def in_one_map(pooled, indices, size):
    """All channels of a sample put into its first channel's places."""
    flat = torch.zeros(*pooled.shape[:2], size[0] * size[1])
    first = indices[:, :1].expand_as(indices)
    return flat.scatter(2, first.flatten(2), pooled.flatten(2)).unflatten(2, size)


def down_the_columns(pooled, indices, size):
    height, width = size
    places = indices % height * width + (indices // height).clamp(max=width - 1)
    return unpool(pooled, places, size)


def blur_pool(maps, row=(1, 2, 1), mode="replicate", shift=0):
    kernel = torch.tensor(row) / sum(row)
    weight = torch.outer(kernel, kernel).expand(maps.shape[1], 1, 3, 3)
    padded = F.pad(maps.roll((-shift, -shift), (2, 3)), (1, 1, 1, 1), mode=mode)
    return F.conv2d(padded, weight, stride=2, groups=maps.shape[1])


def iou(width, cell, start, first, last):
    both = max(0, min(last * cell, start + width) - max(first * cell, start))
    return both / ((last - first) * cell + width - both)


def best(width, cell, start):
    cells = -(-(start + width) // cell)
    runs = ((first, last) for first in range(cells) for last in range(first + 1, cells + 1))
    return max(iou(width, cell, start, *run) for run in runs)


def ceiling(width, cell):
    return sum(best(width, cell, start) for start in range(cell)) / cell


def claim_all_touched(width, cell):
    spans = [(s // cell, -(-(s + width) // cell)) for s in range(cell)]
    return sum(iou(width, cell, s, *span) for s, span in enumerate(spans)) / cell


def claim_the_fuller_half(width, cell):
    total = 0.0
    for start in range(cell):
        covered = torch.zeros(12 * cell)
        covered[start : start + width] = 1
        claimed = covered.view(12, cell).sum(1) * 2 >= cell
        both = covered.view(12, cell)[claimed].sum().item()
        total += both / (width + int(claimed.sum()) * cell - both)
    return total / cell


RIGHT = [
    ("3.2.2-max-pool", max_pool),
    ("3.2.2-unpool", unpool),
    ("3.2.2-blur-pool", blur_pool),
    ("3.2.2-ceiling", ceiling),
]

WRONG = [
    ("3.2.2-max-pool", lambda x, k, s: F.avg_pool2d(x, k, s), "means"),
    ("3.2.2-max-pool", lambda x, k, s: -F.max_pool2d(-x, k, s), "smallest"),
    ("3.2.2-max-pool", lambda x, k, s: F.max_pool2d(x, k), "a stride apart"),
    ("3.2.2-max-pool", lambda x, k, s: F.max_pool2d(x, k, s, ceil_mode=True), "hangs over"),
    ("3.2.2-max-pool", lambda x, k, s: max_pool(x, k, s).amax(1, keepdim=True), "channels"),
    ("3.2.2-max-pool", lambda x, k, s: max_pool(x, k, s)[..., 1:], "output should be"),
    ("3.2.2-max-pool", lambda x, k, s: max_pool(x, k, s).clamp(min=0), "pad with zeros"),
    ("3.2.2-max-pool", lambda x, k, s: max_pool(x, k, s).tolist(), "a tensor"),
    ("3.2.2-unpool", lambda p, i, s: F.interpolate(p, s), "fills its whole window"),
    ("3.2.2-unpool", corners, "first corner"),
    ("3.2.2-unpool", in_one_map, "within its own"),
    ("3.2.2-unpool", down_the_columns, "along the rows"),
    ("3.2.2-unpool", lambda p, i, s: (unpool(p, i, s) > 0).float(), "not the pooled ones"),
    ("3.2.2-unpool", lambda p, i, s: unpool(p, i, s)[..., 1:], "should be"),
    ("3.2.2-unpool", lambda p, i, s: unpool(p, i, s).flip(-1), "not where they stood"),
    ("3.2.2-blur-pool", lambda x: x[..., ::2, ::2], "plain thinning"),
    ("3.2.2-blur-pool", lambda x: F.avg_pool2d(x, 2), "mean of each 2x2"),
    ("3.2.2-blur-pool", lambda x: blur_pool(x, (1, 1, 1)), "counts double"),
    ("3.2.2-blur-pool", lambda x: 16 * blur_pool(x), "16 times too large"),
    ("3.2.2-blur-pool", lambda x: blur_pool(x, mode="constant"), "dark"),
    ("3.2.2-blur-pool", lambda x: blur_pool(x, mode="reflect"), "mirrored"),
    ("3.2.2-blur-pool", lambda x: blur_pool(x, shift=1), "second row"),
    ("3.2.2-blur-pool", lambda x: F.interpolate(blur_pool(x), x.shape[-2:]), "kept its size"),
    ("3.2.2-blur-pool", lambda x: blur_pool(x)[:, :1].expand(2, 3, 3, 5), "all channels"),
    ("3.2.2-blur-pool", lambda x: blur_pool(x)[:, :, 1:], "output should be"),
    ("3.2.2-blur-pool", lambda x: F.max_pool2d(x, 2), "smooth with 1 2 1"),
    ("3.2.2-ceiling", lambda width, cell: best(width, cell, 0), "first column"),
    ("3.2.2-ceiling", lambda w, c: max(best(w, c, s) for s in range(c)), "average over"),
    ("3.2.2-ceiling", claim_all_touched, "leaving one out"),
    ("3.2.2-ceiling", claim_the_fuller_half, "fills by half"),
    ("3.2.2-ceiling", lambda width, cell: min(1, width / cell) ** 2, "runs of cells"),
    ("3.2.2-ceiling", lambda width, cell: "a quarter", "one number"),
]
