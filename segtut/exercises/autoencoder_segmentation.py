"""Checks of section 3.3.3: what unpooling stores, masks and their loss, clusters and classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from segtut.exercises.registry import Fault, call, exercise, number


@exercise("3.3.3-stored-bits")
def check_stored_bits(answer: Callable[[Sequence[int], int, int], Sequence[int]]) -> str:
    """answer: (channels of each level, H, W) -> (bits of the indices, bits of the skips).

    A 2x2 pooling that rounds odd sides up lies between every two levels. Each window's index takes
    2 bits, each value that a skip hands over 32; the coarsest level is not handed over.
    """
    cases = (((6, 8, 20), 12, 16), ((16, 32, 64, 128), 96, 128), ((4, 6, 8), 7, 9))
    for channels, height, width in cases:
        found = call(answer, list(channels), height, width)
        try:
            indices, skips = (number(value) for value in found)
        except (TypeError, ValueError) as error:
            raise Fault("two numbers are asked for: the bits of the indices, and those of the "
                        f"skips ({error}).") from error  # fmt: skip
        sizes = _sizes(len(channels), height, width)
        values = [c * h * w for c, (h, w) in zip(channels, sizes, strict=True)]
        windows = [c * h * w for c, (h, w) in zip(channels, sizes[1:], strict=False)]
        right: tuple[float, float] = (2 * sum(windows), 32 * sum(values[:-1]))
        if (indices, skips) == right:
            continue
        case = f"channels {list(channels)} at {height}x{width}: "
        raise Fault(case + _bits_fault((indices, skips), right, values, windows, channels, sizes))
    return "2 bits a window, 32 a value, odd sides rounded up."


def _sizes(levels: int, height: int, width: int) -> list[tuple[int, int]]:
    sizes = [(height, width)]
    for _ in range(levels - 1):
        sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
    return sizes


def _bits_fault(
    found: tuple[float, float],
    right: tuple[float, float],
    values: list[int],
    windows: list[int],
    channels: Sequence[int],
    sizes: list[tuple[int, int]],
) -> str:
    """What was probably counted instead."""
    indices, skips = found
    if found == right[::-1]:
        return "the two are exchanged: indices first, skips second."
    if skips == 32 * sum(values):
        return (
            "the coarsest level is counted among the skips; it is what comes up, not handed over."
        )
    if skips == right[1] // 32:
        return "the skips are counted in values; a value takes 32 bits."
    if skips == right[1] // 8:
        return "the skips are counted in bytes; 32 bits a value are asked for."
    if indices == sum(windows):
        return "the indices are counted, not their bits: one of four places takes 2 bits."
    if indices == 64 * sum(windows):
        return "64 bits a window is what PyTorch spends; one of four places can be said in 2."
    if indices == 4 * sum(windows):
        return "a window has four places, and one of four takes 2 bits, not 4."
    if indices == 2 * sum(values[:-1]):
        return "2 bits a value were counted; there is one index for each window of four."
    entering = [c * h * w for c, (h, w) in zip(channels[1:], sizes[1:], strict=True)]
    if indices == 2 * sum(entering):
        return ("the windows of a pooling have the channels of the level above it; the next level "
                "has more only after its convolutions.")  # fmt: skip
    if any(h % 2 or w % 2 for h, w in sizes[:-1]):
        return ("an odd side leaves half a window over, and this pooling keeps it: 7 becomes 4. "
                f"Expected {right}, not {(int(indices), int(skips))}.")  # fmt: skip
    return f"expected {right}, not {(indices, skips)}."


@exercise("3.3.3-hide")
def check_hide(answer: Callable[[int, int, int, int, float, torch.Generator], Tensor]) -> str:
    """answer: (N, H, W, patch, share, generator) -> hidden (N, 1, H, W) bool.

    In each image the same number of whole patches is hidden, round(share * patches), and each
    image has patches of its own; all randomness comes from the generator.
    """
    for count, height, width, patch, share in ((6, 12, 20, 4, 0.6), (5, 16, 8, 2, 0.25)):
        arguments = (count, height, width, patch, share)
        first = _mask(call(answer, *arguments, torch.Generator().manual_seed(0)))
        again = _mask(call(answer, *arguments, torch.Generator().manual_seed(0)))
        other = _mask(call(answer, *arguments, torch.Generator().manual_seed(1)))
        case = f"{count} images of {height}x{width}, patches of {patch}, share {share}: "
        if first.shape != (count, 1, height, width):
            raise Fault(f"{case}the mask is {tuple(first.shape)}, expected "
                        f"{(count, 1, height, width)}.")  # fmt: skip
        grid = first.unfold(2, patch, patch).unfold(3, patch, patch).float().mean(dim=(4, 5))
        if not torch.isin(grid, torch.tensor([0.0, 1.0])).all():
            raise Fault(f"{case}some patches are hidden in part: draw patches, not pixels.")
        hidden = grid.flatten(1).sum(dim=1)
        patches = grid[0].numel()
        wanted = round(share * patches)
        if (hidden == patches - wanted).all() and wanted * 2 != patches:
            raise Fault(f"{case}{patches - wanted} of {patches} patches are hidden and {wanted} "
                        "seen; it should be the other way round.")  # fmt: skip
        if (hidden != hidden[0]).any():
            raise Fault(f"{case}{hidden.int().tolist()} patches are hidden; a coin for each patch "
                        "gives a different number each time. Draw an order and take the first "
                        f"{wanted}.")  # fmt: skip
        if int(hidden[0]) != wanted:
            raise Fault(f"{case}{int(hidden[0])} of {patches} patches are hidden, expected "
                        f"round({share} * {patches}) = {wanted}.")  # fmt: skip
        if (grid == grid[:1]).all():
            raise Fault(f"{case}all images hide the same patches; draw for each of its own.")
        if not torch.equal(first, again):
            raise Fault(f"{case}the same seed hid other patches: draw with the generator.")
        if torch.equal(first, other):
            raise Fault(f"{case}another seed hid the same patches: draw with the generator.")
    return "whole patches, the same number in each image, others in each."


def _mask(found: Any) -> Tensor:
    mask = torch.as_tensor(found)
    if mask.dtype != torch.bool:
        raise Fault(f"a mask of booleans is asked for, and this is {mask.dtype}.")
    return mask


@exercise("3.3.3-hidden-error")
def check_hidden_error(answer: Callable[[Tensor, Tensor, Tensor], Tensor]) -> str:
    """answer: (reconstruction (N, 3, H, W), images (N, 3, H, W), hidden (N, 1, H, W)) -> scalar.

    The mean squared error over the hidden values of the batch; 0 where nothing is hidden.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(3, 3, 4, 6, generator=generator)
    guess = torch.rand(3, 3, 4, 6, generator=generator)
    hidden = torch.zeros(3, 1, 4, 6, dtype=torch.bool)
    hidden[0, :, :2], hidden[1, :, :, :1], hidden[2, :, 3, 5] = True, True, True
    found = _scalar(call(answer, guess.clone(), images.clone(), hidden.clone()))
    squared = (guess - images).square()
    right = squared[hidden.expand_as(squared)].mean().item()
    if abs(found - right) > 1e-5:
        raise Fault(_hidden_error_fault(found, right, squared, hidden))
    nothing = _scalar(call(answer, guess.clone(), images.clone(), torch.zeros_like(hidden)))
    if nothing != 0:
        raise Fault(f"with nothing hidden the loss is {nothing}, expected 0: there is nothing to "
                    "be wrong about. Divide by at least one.")  # fmt: skip
    return "the mean over what was hidden, of all three channels."


def _hidden_error_fault(found: float, right: float, squared: Tensor, hidden: Tensor) -> str:
    inside = squared.masked_fill(~hidden, 0)
    of_each = inside.sum(dim=(1, 2, 3)) / (3 * hidden.sum(dim=(1, 2, 3)))
    wrong = {
        "the mean is over all pixels, seen ones too.": squared.mean(),
        "the sum is over the hidden pixels, but it is divided by all: the loss then falls with "
        "the share that is hidden.": inside.mean(),
        "the mean is over what can be seen; the hidden part is asked for.": squared[
            ~hidden.expand_as(squared)
        ].mean(),
        "three times too large: each hidden pixel has three values.": 3 * torch.tensor(right),
        "it is the sum; divide by the number of hidden values.": inside.sum(),
        "that is the mean of the images' means; an image with more hidden pixels counts more.": (
            of_each.mean()
        ),
        "it is the root of the mean square; the mean square itself is asked for.": torch.tensor(
            right
        ).sqrt(),
    }
    for text, value in wrong.items():
        if abs(found - float(value)) < 1e-5:
            return text
    return f"{found:.4f} instead of {right:.4f}: average the squared differences where hidden."


def _scalar(found: Any) -> float:
    value = torch.as_tensor(found)
    if value.numel() != 1:
        raise Fault(f"one number is asked for, and this has the shape {tuple(value.shape)}.")
    if not torch.isfinite(value).all():
        raise Fault(f"the loss is {value.item()}: something was divided by zero.")
    return float(value)


@exercise("3.3.3-match")
def check_match(answer: Callable[[Tensor], Sequence[int]]) -> str:
    """answer: (counts (K, C), K = C: pixels of cluster k and class c) -> the class of each cluster.

    Each class is given once, such that as many pixels as possible are right.
    """
    from scipy.optimize import linear_sum_assignment

    tables = [
        # Class 0 is the most frequent in two clusters; taking the largest count first leaves 1.
        [[9, 8, 0], [8, 1, 2], [1, 3, 4]],
        [[50, 40, 0, 5], [45, 10, 1, 5], [0, 30, 6, 5], [3, 2, 2, 9]],
        [[0, 7, 0], [0, 0, 7], [7, 0, 0]],
        [[90, 9, 9], [4, 0, 1], [5, 1, 0]],
    ]
    for rows in tables:
        counts = torch.tensor(rows)
        found = call(answer, counts.clone())
        try:
            classes = [int(value) for value in found]
        except (TypeError, ValueError) as error:
            raise Fault(f"a list of {len(rows)} classes is asked for: {error}.") from error
        right = linear_sum_assignment(counts.numpy(), maximize=True)[1].tolist()
        if classes == right:
            continue
        raise Fault(f"counts {rows}: {classes}. " + _match_fault(classes, counts.numpy(), right))
    return "each class once, and no other assignment gets more pixels right."


def _match_fault(classes: list[int], counts: np.ndarray, right: list[int]) -> str:
    from scipy.optimize import linear_sum_assignment

    if len(classes) != len(counts):
        return f"{len(classes)} classes for {len(counts)} clusters."
    if sorted(classes) != list(range(len(counts))):
        return ("a class is given to two clusters; without labels nothing says that two clusters "
                "are one class, so each is given once.")  # fmt: skip
    places = range(len(counts))
    if [classes.index(k) for k in places] == right:
        return "that is the cluster of each class; the class of each cluster is asked for."
    if classes == linear_sum_assignment(counts)[1].tolist():
        return "that is the worst assignment: the Hungarian method minimizes unless told otherwise."
    hits, best = counts[places, classes].sum(), counts[places, right].sum()
    return (f"{hits} pixels are right, and {best} could be: taking the largest count first, or "
            "shares instead of pixels, can leave the others with little.")  # fmt: skip
