"""Checks of section 5.1: what a larger picture costs, and how tiles are laid and joined."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from segtut.exercises.registry import Fault, call, exercise, number

_Interval = tuple[int, int]


@exercise("5.1-multiply-adds")
def check_multiply_adds(answer: Callable[[Sequence[int], int, int], float]) -> str:
    """answer: (channels of the levels, H, W) -> multiply-adds of the encoder's convolutions.

    Level l has two 3x3 convolutions at H / 2^l by W / 2^l; the first of level 0 sees 3 channels.
    """
    for channels, height, width in (([16, 32, 64, 128], 96, 128), ([8, 16], 40, 24), ([5], 7, 9)):
        found = number(call(answer, list(channels), height, width))
        right = _multiply_adds(channels, height, width)
        if math.isclose(found, right, rel_tol=1e-6):
            continue
        case = f"channels {channels} at {height} x {width}: {right:,.0f}, not {found:,.0f}. "
        first_only = sum(
            9 * before * after * height * width / 4**level
            for level, (before, after) in enumerate(zip([3, *channels], channels, strict=False))
        )
        for value, fault in (
            (2 * right, "That counts multiplications and additions apart; a multiply-add is one."),
            (_multiply_adds(channels, height, width, halving=1),
             "Every level is counted at full size: each halves both sides."),
            (_multiply_adds(channels, height, width, halving=2),
             "A level has half the rows and half the columns of the one above: a quarter of the "
             "places."),
            (right / 9, "The 9 weights of a 3x3 kernel are missing."),
            (first_only, "Each level has two convolutions, the second from C to C channels."),
            (_multiply_adds(channels, height, width, entering=channels[0]),
             "The first convolution sees the 3 channels of the picture."),
            (_multiply_adds(channels, height, width) / (height * width),
             "That is the cost of one pixel; there are H times W of them."),
        ):  # fmt: skip
            if math.isclose(found, value, rel_tol=1e-6):
                raise Fault(case + fault)
        raise Fault(case + "A convolution costs 9 C_in C_out at each of the places it answers for.")
    return "9 C_in C_out at each place, and a quarter of the places at each level down."


def _multiply_adds(
    channels: Sequence[int], height: int, width: int, halving: int = 4, entering: int = 3
) -> float:
    total, before = 0.0, entering
    for level, after in enumerate(channels):
        total += 9 * (before + after) * after * height * width / halving**level
        before = after
    return total


@exercise("5.1-tiles")
def check_tiles(answer: Callable[[int, int, int], Sequence[_Interval]]) -> str:
    """answer: (length, tile, overlap) -> (start, stop) of each tile along one side, in order.

    Tiles are `tile` long, neighbors share `overlap` pixels, the last is cut by the picture.
    """
    for length, tile, overlap in ((256, 64, 0), (256, 64, 32), (100, 48, 16), (64, 64, 16),
                                  (40, 64, 0), (97, 32, 0)):  # fmt: skip
        found = call(answer, length, tile, overlap)
        try:
            tiles = [(int(start), int(stop)) for start, stop in found]
        except (TypeError, ValueError) as error:
            raise Fault("a list of pairs (start, stop) is asked for.") from error
        right = _tiles(length, tile, overlap)
        if tiles == right:
            continue
        case = f"length {length}, tile {tile}, overlap {overlap}: "
        if not tiles or tiles[-1][1] < length:
            reached = tiles[-1][1] if tiles else 0
            raise Fault(case + f"the tiles end at {reached} and leave the rest without labels.")
        if tiles[-1][1] > length:
            raise Fault(case + f"the last tile reaches to {tiles[-1][1]}, beyond the picture; cut "
                        "it off.")  # fmt: skip
        if len(tiles) > len(right) and tiles[: len(right)] == right:
            raise Fault(case + f"{len(tiles)} tiles, where {len(right)} cover the side already: "
                        "the last ones see nothing new.")  # fmt: skip
        if len(tiles) > 1 and overlap and tiles[1][0] == tile:
            raise Fault(case + "the second tile begins where the first ends; they share nothing.")
        if len(tiles) > 1 and tiles[1][0] != tile - overlap:
            raise Fault(case + f"the second tile begins at {tiles[1][0]}; one that shares "
                        f"{overlap} pixels with the first begins at {tile - overlap}.")  # fmt: skip
        if tiles[-1][0] == length - tile:
            raise Fault(case + "the last tile was moved back to fit; here it keeps the distance "
                        "of the others and is cut, so that all begin on one grid.")  # fmt: skip
        raise Fault(case + f"{right} are right, not {tiles}.")
    return "every pixel is in a tile, and neighbors share what they should."


def _tiles(length: int, tile: int, overlap: int) -> list[_Interval]:
    found = [(0, min(tile, length))]
    while found[-1][1] < length:
        start = found[-1][0] + tile - overlap
        found.append((start, min(start + tile, length)))
    return found


@exercise("5.1-blend")
def check_blend(
    answer: Callable[[Sequence[Tensor], Sequence[_Interval], Tensor, int], Tensor],
) -> str:
    """answer: (logits (C, T) of each strip, (start, stop) of each, window (T), length) -> logits.

    The logits (C, length): where strips overlap, the mean of their logits weighted by the window.
    """
    generator = torch.Generator().manual_seed(0)
    window = torch.sin(torch.pi * (torch.arange(8) + 0.5) / 8) ** 2
    places = [(0, 8), (5, 13), (10, 18)]
    strips = [torch.randn(3, 8, generator=generator) for _ in places]
    given = [strip.clone() for strip in strips]
    found = torch.as_tensor(call(answer, given, list(places), window.clone(), 18))
    if found.shape != (3, 18):
        raise Fault(f"the shape is {tuple(found.shape)}, expected (C, length) = (3, 18).")
    if any(not torch.equal(a, b) for a, b in zip(given, strips, strict=True)):
        raise Fault("the logits you were given have been changed; work on copies.")
    total, weights = torch.zeros(3, 18), torch.zeros(18)
    plain, counts, last = torch.zeros(3, 18), torch.zeros(18), torch.zeros(3, 18)
    chances = torch.zeros(3, 18)
    for strip, (start, stop) in zip(strips, places, strict=True):
        total[:, start:stop] += window * strip
        chances[:, start:stop] += window * strip.softmax(0)
        plain[:, start:stop] += strip
        last[:, start:stop] = strip
        weights[start:stop] += window
        counts[start:stop] += 1
    right = total / weights
    if torch.allclose(found.float(), right, atol=1e-4):
        return "near its rim a strip says little, and the weights of a pixel add up to one."
    for value, fault in (
        (total, "the weighted logits are added up, but not divided by the sum of the weights: "
         "near the ends all logits are small."),
        (total / counts, "divide by the sum of the weights of a pixel, not by how many strips "
         "cover it."),
        (plain / counts, "this is the plain mean: the window, which trusts the middle of a strip "
         "more than its rim, is not used."),
        (plain, "this is the plain sum: weight by the window, then divide by the weights' sum."),
        (last, "where strips overlap, only the last one is left."),
        (chances / weights, "probabilities are blended; here the logits are."),
    ):  # fmt: skip
        if torch.allclose(found.float(), value, atol=1e-4):
            raise Fault(fault)
    raise Fault(f"the first pixels of class 0 should be {_rounded(right[0, :7])} and are "
                f"{_rounded(found[0, :7])}.")  # fmt: skip


def _rounded(values: Tensor) -> str:
    return ", ".join(f"{value:.2f}" for value in values.tolist())


@exercise("5.1-tile-work")
def check_tile_work(answer: Callable[[int, int], float]) -> str:
    """answer: (tile, margin) -> pixels computed a pixel kept, far from the picture's border.

    Square tiles of side `tile`; each keeps its middle, `margin` from every border.
    """
    for tile, margin in ((128, 24), (64, 24), (512, 48), (96, 0)):
        found = number(call(answer, tile, margin))
        right = (tile / (tile - 2 * margin)) ** 2
        if math.isclose(found, right, rel_tol=1e-4):
            continue
        case = f"tile {tile}, margin {margin}: {right:.3f}, not {found:.3f}. "
        for value, fault in (
            (tile / (tile - 2 * margin), "That is along one side; a tile has two."),
            ((tile / (tile - margin)) ** 2, "The margin is lost at both ends of a side."),
            (tile / (tile - margin), "The margin is lost at both ends, of both sides."),
            (1 / right, "That is the share of the tile that is kept; its inverse is asked for."),
            ((1 + 2 * margin / tile) ** 2, "The margin is part of the tile, not added around it."),
        ):
            if math.isclose(found, value, rel_tol=1e-4):
                raise Fault(case + fault)
        raise Fault(case + "Divide the tile's area by that of the middle it keeps.")
    return "the area of a tile over that of its middle."
