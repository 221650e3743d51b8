"""Answers to the exercises of section 3.2.1."""

from __future__ import annotations

import torch
from scipy.linalg import toeplitz
from scipy.signal import convolve2d, correlate2d
from torch import nn


def loops(image, kernel):
    """The sliding sums, written out."""
    rows, columns = kernel.shape
    output = torch.zeros(image.shape[0] - rows + 1, image.shape[1] - columns + 1)
    for s in range(output.shape[0]):
        for t in range(output.shape[1]):
            output[s, t] = (kernel * image[s : s + rows, t : t + columns]).sum()
    return output


def matrix(kernel, n):
    """Row by row, without torch's convolution."""
    side = len(kernel)
    places = n - side + 1
    rows = torch.zeros(places**2, n**2)
    for s in range(places):
        for t in range(places):
            for a in range(side):
                start = (s + a) * n + t
                rows[s * places + t, start : start + side] = kernel[a]
    return rows


def wrapping_matrix(kernel, n):
    """Every row one column further than the last: the window runs over the end of the map's row."""
    flat = torch.zeros(n**2)
    for a, row in enumerate(kernel):
        flat[a * n : a * n + len(kernel)] = row
    count = (n - len(kernel) + 1) ** 2
    return torch.stack([flat.roll(k) for k in range(count)])


def walk(layers, *, dilated=True, strided=True, early=False, taps=False):
    """Receptive field and stride, with the mistakes that are made in them."""
    field = stride = 1
    for kernel, step, dilation in layers:
        if early:
            stride *= step
        gap = dilation if dilated else 1
        field += (gap * kernel - 1 if taps else gap * (kernel - 1)) * (stride if strided else 1)
        if not early:
            stride *= step
    return field, stride


def shift(row, column, value=1.0):
    kernel = torch.zeros(3, 3)
    kernel[row, column] = value
    return kernel


RIGHT = [
    ("3.2.1-correlation", loops),
    ("3.2.1-shift-kernel", shift(1, 0)),
    ("3.2.1-same-padding", lambda kernel, dilation: dilation * (kernel - 1) // 2),
    ("3.2.1-parameters", sum(p.numel() for p in nn.Conv2d(32, 64, 3).parameters())),
    ("3.2.1-matrix", matrix),
    ("3.2.1-receptive-field", walk),
]

WRONG = [
    ("3.2.1-correlation", lambda x, k: torch.tensor(convolve2d(x, k, "valid")), "turned by 180"),
    ("3.2.1-correlation", lambda x, k: torch.tensor(correlate2d(x, k, "same")), "was padded"),
    ("3.2.1-correlation", lambda x, k: torch.tensor(correlate2d(x, k, "full")), "there are"),
    ("3.2.1-correlation", lambda x, k: loops(x, k) / k.numel(), "means"),
    ("3.2.1-correlation", lambda x, k: loops(x, k.T if len(k) == len(k.T) else k), "exchanged"),
    ("3.2.1-correlation", lambda x, k: loops(x, k) + 1, "values differ"),
    ("3.2.1-shift-kernel", shift(1, 2), "to the left"),
    ("3.2.1-shift-kernel", shift(0, 1), "up or down"),
    ("3.2.1-shift-kernel", shift(2, 1), "up or down"),
    ("3.2.1-shift-kernel", shift(1, 1), "somewhere else"),
    ("3.2.1-shift-kernel", shift(1, 0, 0.5), "the one weight is 0.5"),
    ("3.2.1-shift-kernel", torch.ones(3, 3) / 9, "mixes pixels"),
    ("3.2.1-shift-kernel", torch.zeros(1, 3), "3x3 kernel is asked for"),
    ("3.2.1-shift-kernel", "right", "nine numbers"),
    ("3.2.1-same-padding", lambda k, d: k // 2, "reaches further"),
    ("3.2.1-same-padding", lambda k, d: d * (k - 1), "both sides"),
    ("3.2.1-same-padding", lambda k, d: d * k // 2, "K - 1 gaps"),
    ("3.2.1-same-padding", lambda k, d: 1, "The size is kept if"),
    ("3.2.1-parameters", 64 * 32 * 9, "has a bias"),
    ("3.2.1-parameters", 64 * 32 * 9 + 32, "leaves, not that enters"),
    ("3.2.1-parameters", 64 * 9 + 64, "all 32 channels"),
    ("3.2.1-parameters", 896, "first convolution"),
    ("3.2.1-parameters", 64 * 27 + 64, "three colors"),
    ("3.2.1-parameters", 18_496 * 109**2, "does not enter"),
    ("3.2.1-parameters", 7, "7 is not it"),
    ("3.2.1-matrix", lambda k, n: matrix(k, n).T, "transposed"),
    ("3.2.1-matrix", lambda k, n: matrix(k.flip(0, 1), n), "turned by 180"),
    ("3.2.1-matrix", wrapping_matrix, "windows end before rows do"),
    ("3.2.1-matrix", lambda k, n: matrix(k.flip(1), n), "the wrong weights"),
    ("3.2.1-matrix", lambda k, n: torch.ones(len(matrix(k, n)), n**2), "more than"),
    ("3.2.1-matrix", lambda k, n: torch.tensor(toeplitz(range(n))), "outputs by pixels"),
    ("3.2.1-receptive-field", lambda ls: walk(ls, dilated=False), "dilation is missing"),
    ("3.2.1-receptive-field", lambda ls: walk(ls, strided=False), "strides are missing"),
    ("3.2.1-receptive-field", lambda ls: walk(ls, early=True), "own stride"),
    ("3.2.1-receptive-field", lambda ls: walk(ls, taps=True), "K - 1 gaps"),
    ("3.2.1-receptive-field", lambda ls: walk(ls)[::-1], "exchanged"),
    ("3.2.1-receptive-field", lambda ls: (walk(ls)[0], sum(s for _, s, _ in ls)), "product"),
    ("3.2.1-receptive-field", lambda ls: (0, 0), "Start at"),
    ("3.2.1-receptive-field", lambda ls: 5, "two numbers"),
    ("3.2.1-receptive-field", lambda ls: (1, 2, 3), "these are 3"),
]
