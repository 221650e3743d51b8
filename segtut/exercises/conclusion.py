"""Checks of chapter 7: pixels of a polygon, places held out, a gain with its interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from segtut.data.labelme import polygon_mask
from segtut.exercises.registry import Fault, call, exercise

_Points = list[tuple[float, float]]
_HEIGHT, _WIDTH = 9, 14
_POLYGONS: dict[str, _Points] = {
    "the box from (3, 2) to (7, 5)": [(3, 2), (7, 2), (7, 5), (3, 5)],
    "a triangle": [(1.2, 7.9), (12.6, 4.1), (6.3, 0.7)],
    "a polygon with a notch": [(1.1, 1.2), (12.7, 0.8), (6.9, 4.3), (12.2, 8.1), (1.4, 7.7)],
    "a polygon that leaves the picture": [(-4.2, 3.1), (5.3, -3.4), (17.8, 6.2), (4.1, 12.6)],
}


@exercise("7-polygon")
def check_polygon(answer: Callable[[_Points, int, int], NDArray[np.bool_]]) -> str:
    """answer: (points [(x, y)], height, width) -> (H, W) bool, by the pixels' middles."""
    for name, points in _POLYGONS.items():
        found = np.asarray(call(answer, list(points), _HEIGHT, _WIDTH))
        if found.shape == (_WIDTH, _HEIGHT):
            raise Fault("the array is (W, H); rows come first: (height, width).")
        if found.shape != (_HEIGHT, _WIDTH):
            raise Fault(f"the shape is {found.shape}, expected (height, width) = "
                        f"{(_HEIGHT, _WIDTH)}.")  # fmt: skip
        if not np.isin(found, (0, 1)).all():
            raise Fault("each entry is True or False (or 1 or 0), and some are neither.")
        _judge_pixels(found.astype(bool), points, name)
    return "each pixel whose middle is inside, notches and the picture's border included."


def _judge_pixels(found: NDArray[np.bool_], points: _Points, name: str) -> None:
    right = polygon_mask(points, (_HEIGHT, _WIDTH))
    if (found == right).all():
        return
    turned = [(y, x) for x, y in points]
    up = [(x, y + 0.5) for x, y in points]
    corner = [(x + 0.5, y + 0.5) for x, y in points]
    faults = (
        (~right, "inside and outside are exchanged."),
        (_by_pillow(points), "this is what Pillow paints, the rim included: a pixel too wide. Ask "
         "whether the middle of the pixel is inside."),
        (_mask(corner), "the upper left corner of each pixel was asked about; its middle is at "
         "(column + 0.5, row + 0.5)."),
        (_mask(up), "the middle of a row was forgotten: it is at row + 0.5."),
        (_mask(turned), "x and y are exchanged: a point is (x, y), x counts columns."),
        (_open(points), "the last corner is not joined to the first: the polygon is open."),
        (_boxed(points), "this is the box around the polygon."),
        (_hull(points), "the notch is filled: this is the convex hull."),
    )  # fmt: skip
    for wrong, fault in faults:
        if (found == wrong).all():
            raise Fault(f"{name}: {fault}")
    raise Fault(f"{name}: {int((found != right).sum())} of {right.size} pixels are wrong; "
                f"{int(right.sum())} have their middle inside, you found {int(found.sum())}."
                )  # fmt: skip


def _mask(points: _Points) -> NDArray[np.bool_]:
    return polygon_mask(points, (_HEIGHT, _WIDTH))


def _by_pillow(points: _Points) -> NDArray[np.bool_]:
    canvas = Image.new("L", (_WIDTH, _HEIGHT))
    ImageDraw.Draw(canvas).polygon(points, fill=1, outline=1)
    return np.array(canvas) > 0


def _open(points: _Points) -> NDArray[np.bool_]:
    """Even-odd without the edge from the last corner to the first."""
    rows, columns = np.mgrid[0:_HEIGHT, 0:_WIDTH] + 0.5
    odd = np.zeros((_HEIGHT, _WIDTH), dtype=bool)
    for (x0, y0), (x1, y1) in pairwise(points):
        if y0 != y1:
            crossed = (y0 <= rows) != (y1 <= rows)
            odd ^= crossed & (columns < x0 + (rows - y0) * (x1 - x0) / (y1 - y0))
    return odd


def _boxed(points: _Points) -> NDArray[np.bool_]:
    xs, ys = zip(*points, strict=True)
    return _mask([(min(xs), min(ys)), (max(xs), min(ys)), (max(xs), max(ys)), (min(xs), max(ys))])


def _hull(points: _Points) -> NDArray[np.bool_]:
    from scipy.spatial import ConvexHull

    return _mask([points[k] for k in ConvexHull(np.array(points)).vertices])


_PLACES = ["park", "gate", "park", "mill", "gate", "park", "quay", "mill", "gate", "park", "quay",
           "hill", "hill", "gate", "mill", "lane", "lane", "yard"]  # fmt: skip
_SHARES = (0.2, 0.35, 0.5)


@exercise("7-split")
def check_split(answer: Callable[[list[str], float, torch.Generator], Sequence[int]]) -> str:
    """answer: (places, share, generator) -> indices of the photographs held out, sorted."""
    found: list[tuple[float, list[int]]] = []
    for seed in range(12):
        share = _SHARES[seed % len(_SHARES)]
        held = _held_out(answer, share, seed)
        torch.manual_seed(100 + seed)
        if _held_out(answer, share, seed) != held:
            raise Fault("the same generator gives another answer the second time: draw all random "
                        "numbers from the generator that is passed.")  # fmt: skip
        _require_whole_places(held)
        found.append((share, held))
    different = len(set(_PLACES))
    if all(len(_places_of(held)) == math.ceil(share * different) for share, held in found):
        raise Fault("the share is one of photographs, not of places: places have different numbers "
                    "of photographs.")  # fmt: skip
    for share, held in found:
        _judge_number(held, share)
    if len({(share, tuple(held)) for share, held in found}) <= len(_SHARES):
        raise Fault("every generator gives the same places: draw their order, with "
                    "torch.randperm(n, generator=generator).")  # fmt: skip
    return "whole places, in random order, until there are enough."


def _held_out(answer: Any, share: float, seed: int) -> list[int]:
    found = call(answer, list(_PLACES), share, torch.Generator().manual_seed(seed))
    held = found.tolist() if isinstance(found, (Tensor, np.ndarray)) else list(found)
    if any(isinstance(one, str) for one in held):
        raise Fault("these are names of places; return the indices of the photographs.")
    if any(isinstance(one, bool) for one in held):
        raise Fault("this is a mask; return the indices of the photographs.")
    if not all(isinstance(one, (int, np.integer)) and 0 <= one < len(_PLACES) for one in held):
        raise Fault(f"indices of {len(_PLACES)} photographs run from 0 to {len(_PLACES) - 1}.")
    if held != sorted(set(held)):
        raise Fault("return each index once, in rising order.")
    return [int(one) for one in held]


def _places_of(held: list[int]) -> set[str]:
    return {_PLACES[k] for k in held}


def _require_whole_places(held: list[int]) -> None:
    torn = sorted(_places_of(held) & {p for k, p in enumerate(_PLACES) if k not in held})
    if torn:
        raise Fault(f"photographs of {torn[0]!r} are on both sides: hold out whole places.")


def _judge_number(held: list[int], share: float) -> None:
    photographs, wanted = len(_PLACES), share * len(_PLACES)
    inside = _places_of(held)
    case = f"share {share}: {len(held)} of {photographs} photographs are held out. "
    if len(held) < wanted:
        raise Fault(case + "That is less than was asked for.")
    if all(len(held) - _PLACES.count(place) >= wanted for place in inside):
        rest = [k for k in range(photographs) if k not in held]
        if len(rest) >= wanted and any(len(rest) - _PLACES.count(p) < wanted
                                       for p in {_PLACES[k] for k in rest}):  # fmt: skip
            raise Fault(case + "Are these the ones to train on? Return the others.")
        raise Fault(case + "With one place less there would still be enough: stop in time.")


@exercise("7-paired")
def check_paired(
    answer: Callable[[Tensor, Tensor, torch.Generator], tuple[float, float]],
) -> str:
    """answer: (first (N, C, C), second (N, C, C), generator) -> (low, high), 95 % of the gain."""
    first, second = _two_networks()
    given = first.clone(), second.clone()
    found = call(answer, *given, torch.Generator().manual_seed(0))
    try:
        low, high = (float(end) for end in found)
    except (TypeError, ValueError) as error:
        raise Fault("return two numbers, the low end and the high end.") from error
    if not (torch.equal(given[0], first) and torch.equal(given[1], second)):
        raise Fault("the matrices you were given have been changed; work on copies.")
    if low > high:
        raise Fault("the low end comes first.")
    right = _gains(first, second, "right")
    if _close((low, high), right):
        return "the same pictures for both, summed before the IoU is taken."
    for kind, fault in _FAULTS.items():
        if _close((low, high), _gains(first, second, kind)):
            raise Fault(fault)
    raise Fault(f"about {right[0]:.3f} to {right[1]:.3f} is right here, not {low:.3f} to "
                f"{high:.3f}: resample pictures, sum, IoU of each class, mean, difference, "
                "quantiles.")  # fmt: skip


_FAULTS = {
    "apart": "the interval is too wide: pictures were drawn for each network anew. The same ones "
    "for both, so that what is hard for both cancels.",
    "reversed": "the sign is turned: the second minus the first.",
    "means": "the mean over pictures of each one's mean IoU was taken; sum the matrices first.",
    "pixels": "the interval is far too narrow: pixels of one picture are no independent draws. "
    "Draw pictures.",
    "whole": "the interval has no width: draw with replacement, N of N.",
    "deviation": "this is the mean plus and minus one standard deviation, which holds 68 %; take "
    "the quantiles 0.025 and 0.975.",
    "accuracy": "this is the gain in the share of right pixels; take the mean IoU.",
}


def _two_networks() -> tuple[Tensor, Tensor]:
    """Confusion matrices of 30 pictures, some hard for both networks; the second is better."""
    generator = torch.Generator().manual_seed(7)
    shares = torch.tensor([0.6, 0.28, 0.1, 0.02])
    difficulty = torch.tensor([0.2, 0.5, 1.2, 1.6])
    matrices: tuple[list[Tensor], list[Tensor]] = [], []
    for _ in range(30):
        hard, mix = torch.rand(2, generator=generator)
        size = int(300 + 4000 * hard**2)
        mixed = shares ** (0.5 + mix)
        truth = torch.multinomial(mixed, size, replacement=True, generator=generator)
        other = torch.randint(0, 4, (size,), generator=generator)
        luck = torch.rand(size, generator=generator)
        gain = 0.5 * (torch.rand((), generator=generator) - 0.35)
        for rows, level in zip(matrices, (0.35, 0.35 - gain), strict=True):
            missed = luck < (level + 0.5 * hard**2) * difficulty[truth]
            said = torch.where(missed, other, truth)
            rows.append(torch.bincount(4 * truth + said, minlength=16).view(4, 4))
    return torch.stack(matrices[0]), torch.stack(matrices[1])


def _mean_iou(matrix: Tensor) -> Tensor:
    hits = matrix.diagonal(dim1=-2, dim2=-1).double()
    return (hits / (matrix.sum(dim=-1) + matrix.sum(dim=-2) - hits)).nanmean(dim=-1)


def _accuracy(matrix: Tensor) -> Tensor:
    return matrix.diagonal(dim1=-2, dim2=-1).sum(dim=-1) / matrix.sum(dim=(-1, -2)).double()


def _gains(first: Tensor, second: Tensor, kind: str) -> tuple[float, float]:
    """The ends of the interval as a right answer, or one with a known fault, would give them."""
    n = len(first)
    generator = torch.Generator().manual_seed(1)
    picks = torch.randint(n, (2000, n), generator=generator)
    others = torch.randint(n, (2000, n), generator=generator) if kind == "apart" else picks
    score = _accuracy if kind == "accuracy" else _mean_iou
    if kind == "means":
        gains = (score(second)[picks] - score(first)[picks]).mean(dim=1)
    elif kind == "pixels":
        drawn = [_resampled(matrices.sum(dim=0), generator) for matrices in (first, second)]
        gains = score(drawn[1]) - score(drawn[0])
    elif kind == "whole":
        gains = (score(second.sum(dim=0)) - score(first.sum(dim=0))).expand(2000)
    else:
        gains = score(second[picks].sum(dim=1)) - score(first[others].sum(dim=1))
    if kind == "reversed":
        gains = -gains
    if kind == "deviation":
        return float(gains.mean() - gains.std()), float(gains.mean() + gains.std())
    low, high = gains.quantile(torch.tensor((0.025, 0.975), dtype=gains.dtype)).tolist()
    return low, high


def _resampled(matrix: Tensor, generator: torch.Generator) -> Tensor:
    """2000 matrices of as many pixels, drawn one by one as if they were independent."""
    total = int(matrix.sum())
    expected = matrix.double().flatten()
    noise = torch.randn(2000, expected.numel(), generator=generator, dtype=torch.float64)
    drawn = (expected + noise * (expected * (1 - expected / total)).sqrt()).clamp(min=0)
    return drawn.view(2000, *matrix.shape)


def _close(found: tuple[float, float], right: tuple[float, float]) -> bool:
    """Whether both ends agree to within a tenth of the width, as far as 1000 draws can tell."""
    room = max(0.1 * (right[1] - right[0]), 1e-4)
    return all(abs(one - other) < room for one, other in zip(found, right, strict=True))
