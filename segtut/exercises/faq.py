"""Checks of section 6: masks as files, labels of no class, memory, and two methods compared."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import mean, pstdev, stdev

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from segtut.exercises.registry import Fault, call, exercise, number

_VOID = 255


@exercise("6-binary-mask")
def check_binary_mask(answer: Callable[[str], Tensor]) -> str:
    """answer: (path of a black and white mask) -> labels (H, W), int64, 0 black and 1 white."""
    rows, columns = torch.meshgrid(torch.arange(20), torch.arange(30), indexing="ij")
    right = ((rows - 9) ** 2 + (columns - 13) ** 2 < 40).long()
    white = Image.fromarray((255 * right).to(torch.uint8).numpy())
    indexed = Image.fromarray(right.to(torch.uint8).numpy())
    indexed.putpalette([0, 0, 0, 255, 255, 255])
    kinds = {
        "gray.png": white,
        "one_bit.png": white.convert("1"),
        "rgb.png": white.convert("RGB"),
        "indexed.png": indexed,
        "old.jpg": white,
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, picture in kinds.items():
            path = Path(folder) / name
            picture.save(path, quality=40)  # only JPEG loses any
            _judge_binary(torch.as_tensor(call(answer, str(path))), right, name)
    return "0 and 1, whatever the file: gray, one bit, RGB, indexed or JPEG."


def _judge_binary(found: Tensor, right: Tensor, name: str) -> None:
    if found.shape != right.shape:
        raise Fault(f"{name}: the labels have the shape {tuple(found.shape)}, not "
                    f"{tuple(right.shape)}: one number a pixel; convert('L') makes one channel of "
                    "any picture.")  # fmt: skip
    if found.dtype != torch.int64:
        raise Fault(f"{name}: the labels are {found.dtype}; losses want int64: end with .long().")
    if torch.equal(found, right):
        return
    values = found.unique().tolist()
    if values == [0, _VOID]:
        raise Fault(f"{name}: white is still 255, which every loss of this book ignores.")
    if values != [0, 1] and max(values) > 1:
        raise Fault(f"{name}: labels up to {max(values)}; JPEG leaves grays around every "
                    "border: divide black from white at one half.")  # fmt: skip
    if torch.equal(found, 1 - right):
        raise Fault(f"{name}: black and white are exchanged: black is 0.")
    if not found.any():
        raise Fault(f"{name}: everything is 0. In a one-bit or indexed file white may be the "
                    "number 1; convert('L') makes 255 of it.")  # fmt: skip
    wrong = int((found != right).sum())
    if bool((found >= right).all()):
        raise Fault(f"{name}: {wrong} black pixels became white: after JPEG, black is not exactly "
                    "0. Compare with 127, not with 0.")  # fmt: skip
    if bool((found <= right).all()):
        raise Fault(f"{name}: {wrong} white pixels were lost: after JPEG, white is not exactly "
                    "255. Compare with 127, not with 255.")  # fmt: skip
    raise Fault(f"{name}: {wrong} of {right.numel()} labels are wrong.")


@exercise("6-stray-labels")
def check_stray_labels(answer: Callable[[Tensor, int], Mapping[int, int]]) -> str:
    """answer: (mask (H, W) int64, num_classes) -> {value: pixels} of what is no class, nor 255."""
    generator = torch.Generator().manual_seed(0)
    clean = torch.randint(0, 5, (6, 9), generator=generator)
    clean[0] = _VOID
    edge = clean.clone()
    edge[1, :3] = 5
    dirty = edge.clone()
    dirty[2, :4], dirty[3, 0] = 128, -1
    for mask, classes in ((dirty, 5), (clean, 5), (edge, 6), (clean, 3)):
        values, counts = mask.unique(return_counts=True)
        everything = dict(zip(values.tolist(), counts.tolist(), strict=True))
        right = {
            value: n
            for value, n in everything.items()
            if value != _VOID and not 0 <= value < classes
        }
        found = call(answer, mask.clone(), classes)
        if not isinstance(found, Mapping):
            raise Fault(f"a dictionary is asked for, value to pixels, not {type(found).__name__}.")
        given = {int(value): number(n) for value, n in found.items()}
        if given != right:
            _name_stray_fault(given, right, everything, classes)
    return "every value that is neither a class nor void, and in how many pixels."


def _name_stray_fault(
    given: dict[int, float], right: dict[int, int], everything: dict[int, int], classes: int
) -> None:
    case = f"with {classes} classes and the values {sorted(everything)}: "
    if _VOID in given:
        raise Fault(case + "255 is void, and allowed.")
    if classes in right and classes not in given:
        raise Fault(case + f"{classes} classes are numbered 0 to {classes - 1}, so {classes} is "
                    "none of them.")  # fmt: skip
    if -1 in right and -1 not in given:
        raise Fault(case + "-1 is no class either.")
    if set(given) - set(right):
        raise Fault(case + f"{min(set(given) - set(right))} is a class and needs no report.")
    if set(given) == set(right):
        raise Fault(case + f"the values are right, their pixels are not: {right}, not "
                    f"{ {value: int(n) for value, n in given.items()} }.")  # fmt: skip
    raise Fault(case + f"{min(set(right) - set(given))} is no class and is missing.")


@exercise("6-memory")
def check_memory(answer: object) -> str:
    """answer: how many crops of 1024x1024 fit into 12 GB."""
    found = number(answer)
    if found == 2:
        return "2 GB that do not depend on the batch, and 4 GB a crop."
    faults = {
        3: "Is all of the 10 GB for crops? 4 crops fewer save 4 GB, so something else takes 2.",
        2.5: "Crops come whole: the half one does not fit.",
        5: "Twice the side is four times the pixels, not twice.",
        10: "That many crops of 512x512 fit; one of 1024x1024 has four times the pixels.",
        9: "That many crops of 512x512 fit, counted without the part that does not depend on the "
        "batch.",
        1: "There is room for more: what is left of 12 GB once the fixed part is taken off?",
    }
    raise Fault(faults.get(found, "Two equations: fixed + 8 crops = 10 GB, fixed + 4 crops = 6 GB; "
                           "then four times the pixels for each large crop."))  # fmt: skip


@exercise("6-difference")
def check_difference(
    answer: Callable[[Sequence[float], Sequence[float]], tuple[float, float]],
) -> str:
    """answer: (scores of one method, of another) -> (difference of means, its standard error)."""
    for first, second in (([76.1, 77.4, 75.0], [74.9, 75.2, 73.0]), ([3.0, 5.0], [1.0, 2.0, 6.0])):
        found = call(answer, list(first), list(second))
        if not isinstance(found, Sequence) and not isinstance(found, (np.ndarray, Tensor)):
            raise Fault("return a pair: the difference of the means and its standard error.")
        if len(found) != 2:
            raise Fault(f"return a pair, not {len(found)} numbers.")
        gain, error = (number(value) for value in found)
        right = mean(first) - mean(second)
        case = f"for {first} and {second}: "
        if math.isclose(gain, -right, abs_tol=1e-6):
            raise Fault(case + "the sign: first minus second.")
        if not math.isclose(gain, right, abs_tol=1e-6):
            raise Fault(case + f"the means differ by {right:.4f}, not {gain:.4f}.")
        _judge_error(error, first, second, case)
    return "the difference, and what another three seeds would change about it."


def _judge_error(error: float, first: list[float], second: list[float], case: str) -> None:
    n, m = len(first), len(second)
    squares = stdev(first) ** 2 / n, stdev(second) ** 2 / m
    right = math.sqrt(sum(squares))
    if math.isclose(error, right, abs_tol=1e-6):
        return
    faults = (
        (math.hypot(pstdev(first) / math.sqrt(n), pstdev(second) / math.sqrt(m)),
         "the spread of a sample divides by n - 1, not by n."),
        (math.hypot(stdev(first), stdev(second)),
         "that is how much two single runs differ; the variance of a mean is divided by n."),
        (stdev(first) / math.sqrt(n) + stdev(second) / math.sqrt(m),
         "the two standard errors were added; independent errors add in squares."),
        (sum(squares), "that is the variance; take its root."),
        (stdev([*first, *second]) / math.sqrt(n + m),
         "the runs of both methods were put in one pot, difference and all."),
        (stdev(first) / math.sqrt(n), "the second method varies too."),
    )  # fmt: skip
    for value, fault in faults:
        if math.isclose(error, value, abs_tol=1e-6):
            raise Fault(case + fault)
    raise Fault(case + f"the standard error is {right:.4f}, not {error:.4f}.")
