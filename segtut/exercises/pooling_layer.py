"""Checks of section 3.2.2: max pooling, unpooling, blur pooling, what a reduced map can score."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from segtut.exercises.registry import Fault, call, exercise, number

_BINOMIAL = torch.tensor([1.0, 2.0, 1.0]) / 4


@exercise("3.2.2-max-pool")
def check_max_pool(answer: Callable[[Tensor, int, int], Tensor]) -> str:
    """answer: (maps (N, C, H, W), kernel, stride) -> largest value of each whole window."""
    generator = torch.Generator().manual_seed(0)
    # Below zero everywhere: a padding with zeros would win every window it touches.
    maps = -1 - torch.rand(2, 3, 7, 10, generator=generator)
    for kernel, stride in ((2, 2), (3, 2), (2, 1), (3, 3)):
        found = _tensor(call(answer, maps.clone(), kernel, stride))
        right = F.max_pool2d(maps, kernel, stride)
        if found.shape == right.shape and torch.allclose(found, right):
            continue
        raise Fault(
            f"with a {kernel}x{kernel} window and stride {stride}: "
            + _max_pool_fault(found, maps, kernel, stride)
        )
    return "the largest value of each window, channel by channel, whole windows only."


def _max_pool_fault(found: Tensor, maps: Tensor, kernel: int, stride: int) -> str:
    """What a wrong max pooling did instead."""
    right = F.max_pool2d(maps, kernel, stride)
    own = F.max_pool2d(maps, kernel, kernel)
    if found.shape == own.shape and torch.allclose(found, own):
        return "the windows start a kernel apart; they should start a stride apart."
    one_channel = (right.shape[0], 1, *right.shape[2:])
    if tuple(found.shape) in (one_channel, (one_channel[0], *one_channel[2:])):
        return "the channels were pooled together; each channel keeps its own maxima."
    rounded_up = F.max_pool2d(maps, kernel, stride, ceil_mode=True)
    if found.shape == rounded_up.shape != right.shape:
        return "the last row or column of windows hangs over the border: leave such windows out."
    if found.shape != right.shape:
        return f"the output should be {tuple(right.shape)}, and is {tuple(found.shape)}."
    if torch.allclose(found, F.avg_pool2d(maps, kernel, stride)):
        return "these are the means of the windows."
    if torch.allclose(found, -F.max_pool2d(-maps, kernel, stride)):
        return "these are the smallest values."
    if (found >= 0).any():
        return "zeros come out of maps that are negative everywhere: do not pad with zeros."
    return "some values are not the largest of their window."


@exercise("3.2.2-unpool")
def check_unpool(answer: Callable[[Tensor, Tensor, tuple[int, int]], Tensor]) -> str:
    """answer: (pooled (N, C, h, w), indices (N, C, h, w), (H, W)) -> maps (N, C, H, W).

    The indices are those of `F.max_pool2d(..., return_indices=True)`.
    """
    generator = torch.Generator().manual_seed(1)
    maps = 1 + torch.rand(2, 3, 6, 8, generator=generator)
    pooled, indices = F.max_pool2d(maps, 2, return_indices=True)
    found = _tensor(call(answer, pooled.clone(), indices.clone(), (6, 8)))
    right = F.max_unpool2d(pooled, indices, (2, 2))
    if found.shape != right.shape:
        raise Fault(f"the maps should be {tuple(right.shape)}, and are {tuple(found.shape)}.")
    if torch.allclose(found, right):
        return "each maximum is back where it stood, and zeros are everywhere else."
    if torch.allclose(found, F.interpolate(pooled, scale_factor=2)):
        raise Fault("each value fills its whole window: it should stand in one place only.")
    corner = torch.zeros_like(maps)
    corner[..., ::2, ::2] = pooled
    if torch.allclose(found, corner):
        raise Fault("each value stands in its window's first corner: use the indices.")
    if torch.equal(found != 0, right != 0):
        raise Fault("the places are right; the values there are not the pooled ones.")
    if torch.allclose(found[0, 0], right[0, 0]):
        raise Fault(
            "the first channel is right and others are not: an index counts within its own "
            "channel, from 0 to H * W - 1."
        )
    if torch.allclose(found.flatten(2), _column_by_column(pooled, indices, 6, 8)):
        raise Fault("an index counts along the rows: row index // W, column index % W.")
    raise Fault("the maxima are not where they stood: place index i is row i // W, column i % W.")


def _column_by_column(pooled: Tensor, indices: Tensor, height: int, width: int) -> Tensor:
    """What comes of reading an index as column * H + row, flattened row by row."""
    rows, columns = indices % height, (indices // height).clamp(max=width - 1)
    flat = torch.zeros(*pooled.shape[:2], height * width)
    return flat.scatter(2, (rows * width + columns).flatten(2), pooled.flatten(2))


@exercise("3.2.2-blur-pool")
def check_blur_pool(answer: Callable[[Tensor], Tensor]) -> str:
    """answer: (maps (N, C, H, W)) -> (N, C, H/2, W/2), smoothed by 1 2 1 both ways, every second.

    The map is first continued by one value on each side by repeating its border.
    """
    generator = torch.Generator().manual_seed(2)
    maps = 1 + torch.rand(2, 3, 6, 10, generator=generator)
    found = _tensor(call(answer, maps.clone()))
    right = _smoothed(maps)
    if found.shape == right.shape and torch.allclose(found, right, atol=1e-6):
        return "smoothed before it is thinned out; each channel on its own, the mean kept."
    if found.shape == maps.shape:
        raise Fault("the map kept its size: take every second value of every second row.")
    if found.shape != right.shape:
        raise Fault(f"the output should be {tuple(right.shape)}, and is {tuple(found.shape)}.")
    raise Fault(_blur_fault(found, maps))


def _smoothed(maps: Tensor, kernel: Tensor = _BINOMIAL, mode: str = "replicate") -> Tensor:
    channels = maps.shape[1]
    weight = torch.outer(kernel, kernel).expand(channels, 1, 3, 3)
    return F.conv2d(F.pad(maps, (1, 1, 1, 1), mode=mode), weight, stride=2, groups=channels)


def _blur_fault(found: Tensor, maps: Tensor) -> str:
    """What a wrong blur pooling of the right size did instead."""
    right = _smoothed(maps)
    ratio = found / right
    if torch.allclose(ratio, ratio.mean(), atol=1e-4):
        return (
            f"everything is {ratio.mean():.3g} times too large: the weights 1 2 1 must be divided "
            "by their sum, 4, in both directions."
        )
    others = {
        "that is plain thinning, every second value and no smoothing.": maps[..., ::2, ::2],
        "that is the mean of each 2x2 window; the weights are 1 2 1 over three neighbors.": (
            F.avg_pool2d(maps, 2)
        ),
        "the three weights are equal; the middle one counts double.": (
            _smoothed(maps, torch.full((3,), 1 / 3))
        ),
        "the border is dark: repeat the outermost values instead of padding with zeros.": (
            _smoothed(maps, mode="constant")
        ),
        "the border is mirrored; here the outermost values are to be repeated.": (
            _smoothed(maps, mode="reflect")
        ),
        "the smoothing starts at the second row and column: output 0 is centered on value 0.": (
            _smoothed(maps.roll((-1, -1), (2, 3)))
        ),
    }
    for text, values in others.items():
        if found.shape == values.shape and torch.allclose(
            found[..., :-1, :-1], values[..., :-1, :-1], atol=1e-5
        ):
            return text
    if torch.allclose(found, found[:, :1].expand_as(found)):
        return "all channels came out alike: each is to be smoothed on its own (groups=C)."
    return "smooth with 1 2 1 (divided by 4) along rows and columns, then take every second value."


@exercise("3.2.2-ceiling")
def check_ceiling(answer: Callable[[int, int], float]) -> str:
    """answer: (width of a pole, width of a cell) -> best IoU, averaged over the pole's places.

    The pole may start at each of the cell's columns; the prediction may claim any whole cells.
    """
    for width, cell in ((2, 8), (1, 4), (3, 4), (5, 4), (12, 8), (60, 8)):
        found = number(call(answer, width, cell))
        best = [_best_iou(width, cell, start) for start in range(cell)]
        right = sum(best) / cell
        if abs(found - right) < 1e-4:
            continue
        raise Fault(
            f"a pole of {width} columns and cells of {cell} give {right:.4f}, and you say "
            f"{found:.4f}. " + _ceiling_fault(found, width, cell, best)
        )
    return "the best set of cells at each place, averaged over the places."


def _best_iou(width: int, cell: int, start: int) -> float:
    """Claim any run of cells: no other set of cells can be better."""
    spans = [
        (first * cell, last * cell)
        for first in range(-(-(start + width) // cell))
        for last in range(first + 1, -(-(start + width) // cell) + 1)
    ]
    return max(_iou((start, start + width), span) for span in spans)


def _iou(one: tuple[int, int], other: tuple[int, int]) -> float:
    both = max(0, min(one[1], other[1]) - max(one[0], other[0]))
    return both / (one[1] - one[0] + other[1] - other[0] - both)


def _ceiling_fault(found: float, width: int, cell: int, best: list[float]) -> str:
    """What a wrong ceiling was probably computed from."""
    places = [(start, start + width) for start in range(cell)]
    touched = [
        _iou(place, (place[0] // cell * cell, -(-place[1] // cell) * cell)) for place in places
    ]
    majority = [_majority_iou(place, cell) for place in places]
    if abs(found - best[0]) < 1e-4:
        return "That is the pole that starts at a cell's first column; average over all places."
    if abs(found - max(best)) < 1e-4:
        return "That is the luckiest place; average over all places."
    if abs(found - sum(touched) / cell) < 1e-4:
        return "You claim every cell that the pole touches; leaving one out can score more."
    if abs(found - sum(majority) / cell) < 1e-4:
        return "You claim the cells that the pole fills by half; a cell filled less can pay too."
    return "Try all runs of cells for each of the places, keep the best, and average."


def _majority_iou(place: tuple[int, int], cell: int) -> float:
    cells = range(place[0] // cell, -(-place[1] // cell))
    filled = [max(0, min(place[1], (k + 1) * cell) - max(place[0], k * cell)) for k in cells]
    claimed = [part for part in filled if 2 * part >= cell]
    both = sum(claimed)
    return both / (place[1] - place[0] + len(claimed) * cell - both)


def _tensor(found: Any) -> Tensor:
    if not isinstance(found, Tensor):
        raise Fault(f"a tensor is asked for, and this is a {type(found).__name__}.")
    return found
