"""Answers to the exercises of section 3.2.4."""

from __future__ import annotations

import numpy as np
import torch
from scipy.signal import convolve2d
from torch.nn.functional import interpolate, relu


def lay_out(values, kernel, stride, combine="add", turn=False, extra=0):
    """A transposed convolution by slices."""
    kernel = kernel.flip(0, 1) if turn else kernel
    side = len(kernel)
    shape = [stride * (n - 1) + side + extra for n in values.shape]
    result, count = torch.zeros(shape), torch.zeros(shape)
    for i in range(values.shape[0]):
        for k in range(values.shape[1]):
            place = np.s_[stride * i : stride * i + side, stride * k : stride * k + side]
            piece = values[i, k] * kernel
            result[place] = piece if combine == "replace" else result[place] + piece
            count[place] += 1
    return result / count.clamp(min=1) if combine == "mean" else result


def by_zeros(values, kernel, stride):
    """The other description: zeros between the values, then scipy's full convolution."""
    shape = [stride * (n - 1) + 1 for n in values.shape]
    spread = np.zeros(shape)
    spread[::stride, ::stride] = values.numpy()
    return torch.from_numpy(convolve2d(spread, kernel.numpy()))


def fuse(coarse, fine, **options):
    options = {"scale_factor": 2, "mode": "bilinear"} | options
    return interpolate(coarse, **options)[..., : fine.shape[-2], : fine.shape[-1]] + fine


def taps(kernel, stride):
    return [-(-(kernel - phase) // stride) if phase < kernel else 0 for phase in range(stride)]


RIGHT = [
    ("3.2.4-transposed", lay_out),
    ("3.2.4-transposed", by_zeros),
    ("3.2.4-overlap", taps),
    ("3.2.4-overlap", lambda k, s: np.bincount(np.arange(k) % s, minlength=s)),
    ("3.2.4-fuse", fuse),
]

WRONG = [
    ("3.2.4-transposed", lambda v, k, s: lay_out(v, k, s, turn=True), "turned by 180 degrees"),
    ("3.2.4-transposed", lambda v, k, s: lay_out(v, k.T, s), "rows and columns"),
    ("3.2.4-transposed", lambda v, k, s: lay_out(v, k, s, combine="replace"), "replaced the"),
    ("3.2.4-transposed", lambda v, k, s: lay_out(v, k, s, combine="mean"), "are averaged"),
    ("3.2.4-transposed", lambda v, k, s: lay_out(v, k, s, extra=1), "begins at S"),
    ("3.2.4-transposed", lambda v, k, s: lay_out(v, k, s)[:-1, :-1], "begins at S"),
    ("3.2.4-transposed", lambda v, k, s: relu(lay_out(v, k, s)), "the values differ"),
    ("3.2.4-transposed", lambda v, k, s: lay_out(v, k[0, 0], s), "raised TypeError"),
    ("3.2.4-overlap", lambda k, s: k % s == 0, "a list of 2 counts"),
    ("3.2.4-overlap", lambda k, s: taps(k, s)[:1], "pattern repeats every 2"),
    ("3.2.4-overlap", lambda k, s: taps(k, s)[::-1], "in another order"),
    ("3.2.4-overlap", lambda k, s: [-(-k // s)] * s, "add up to"),
    ("3.2.4-overlap", lambda k, s: [k, *[0] * (s - 1)], "remainder"),
    ("3.2.4-fuse", lambda c, f: fuse(c, f, mode="nearest"), "repeated, not interpolated"),
    ("3.2.4-fuse", lambda c, f: fuse(c, f) - f, "fine scores are missing"),
    ("3.2.4-fuse", lambda c, f: f, "coarse scores are missing"),
    ("3.2.4-fuse", lambda c, f: fuse(c, f) / 2, "halved"),
    ("3.2.4-fuse", lambda c, f: fuse(c, f, align_corners=True), "align_corners"),
    ("3.2.4-fuse", lambda c, f: torch.cat([fuse(c, f) - f, f], 1), "concatenated"),
    ("3.2.4-fuse", lambda c, f: interpolate(c, scale_factor=2, mode="bilinear"), "missing"),
    (
        "3.2.4-fuse",
        lambda c, f: interpolate(c, size=f.shape[-2:], mode="bilinear") + f,
        "scaled to the odd size",
    ),
    (
        "3.2.4-fuse",
        lambda c, f: (
            interpolate(c, scale_factor=2, mode="bilinear")[..., -f.shape[-2] :, -f.shape[-1] :] + f
        ),
        "cut at the top",
    ),
    ("3.2.4-fuse", lambda c, f: c, "the size of the fine scores"),
    ("3.2.4-fuse", lambda c, f: fuse(c, f) * 3, "the values differ"),
]
