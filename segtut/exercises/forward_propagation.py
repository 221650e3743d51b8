"""Checks of section 3.1.1: layers by hand, their collapse, exclusive or, the ceiling of color."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from segtut.exercises.registry import Fault, call, exercise, number

TwoLayers = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
Layers = Sequence[tuple[Tensor, Tensor]]


@exercise("3.1.1-two-layers")
def check_two_layers(answer: TwoLayers) -> str:
    """answer: (pixels (n,3), W1 (m,3), b1 (m), W2 (C,m), b2 (C)) -> logits (n,C), ReLU between."""
    generator = torch.Generator().manual_seed(0)
    shapes = ((7, 3), (5, 3), (5,), (4, 5), (4,))
    pixels, w1, b1, w2, b2 = (torch.randn(*shape, generator=generator) for shape in shapes)
    found = _tensor(call(answer, pixels, w1, b1, w2, b2), (7, 4), "seven pixels and four classes")
    sums = pixels @ w1.T + b1
    right = sums.relu() @ w2.T + b2
    faults = {
        "there is no activation between the layers: put ReLU after the first.": sums @ w2.T + b2,
        "the second layer has an activation too; logits stay raw, negative ones as well.": (
            right.relu()
        ),
        "the logits are raw; softmax belongs to the loss.": right.softmax(1),
        "b1 comes before the activation, not after it.": ((pixels @ w1.T).relu() + b1) @ w2.T + b2,
        "b1 is missing.": (pixels @ w1.T).relu() @ w2.T + b2,
        "b2 is missing.": sums.relu() @ w2.T,
        "between the layers stands a sigmoid; ReLU is asked for.": sums.sigmoid() @ w2.T + b2,
    }
    if torch.allclose(found, right, atol=1e-5):
        return "two matrix products, two sums and one maximum with zero."
    for text, wrong in faults.items():
        if torch.allclose(found, wrong, atol=1e-5):
            raise Fault(text)
    raise Fault(
        "the shape is right and the numbers are not: pixels @ W1.T + b1, ReLU, @ W2.T + b2."
    )


@exercise("3.1.1-collapse")
def check_collapse(answer: Callable[[Layers], tuple[Tensor, Tensor]]) -> str:
    """answer: (list of (W, b), first layer first) -> (W, b) of the one layer that equals them."""
    generator = torch.Generator().manual_seed(0)
    for widths in ((3, 3, 3), (3, 4), (3, 4, 2), (3, 5, 4, 2)):
        layers = [
            (torch.randn(m, n, generator=generator), torch.randn(m, generator=generator))
            for n, m in pairwise(widths)
        ]
        result = call(answer, layers)
        if not isinstance(result, (tuple, list)) or len(result) != 2:
            raise Fault("return two things, the matrix W and the biases b.")
        shape = (widths[-1], widths[0])
        what = f"layers of {' to '.join(map(str, widths))} neurons"
        _compare_collapse(
            _tensor(result[0], shape, what), _tensor(result[1], shape[:1], what), layers
        )
    return "one matrix does what the whole stack did."


def _compare_collapse(weight: Tensor, bias: Tensor, layers: Layers) -> None:
    """Raise a Fault when (weight, bias) is not the stack of the layers."""
    right_weight, right_bias = layers[0]
    for w, b in layers[1:]:
        right_weight, right_bias = w @ right_weight, w @ right_bias + b
    square = len({size for w, _ in layers for size in w.shape}) == 1
    if not torch.allclose(weight, right_weight, atol=1e-4):
        if square and torch.allclose(weight, layers[0][0] @ layers[1][0], atol=1e-4):
            raise Fault("the product is in the wrong order: the last layer's matrix stands left.")
        raise Fault(f"the matrix of {len(layers)} layers is wrong; it is the product of their W.")
    if torch.allclose(bias, right_bias, atol=1e-4):
        return
    if square and torch.allclose(bias, layers[0][1] + layers[1][1], atol=1e-4):
        raise Fault("the biases are only added; the first layer's must pass through the next W.")
    if torch.allclose(bias, layers[-1][1], atol=1e-4):
        raise Fault("only the last b is left; the earlier ones pass through the later matrices.")
    raise Fault("W is right and b is not: b is what the stack returns for an input of zeros.")


@exercise("3.1.1-xor")
def check_xor(answer: Any) -> str:
    """answer: (W1 (2,2), b1 (2), W2 (1,2), b2 (1)), a ReLU network positive for (0,1) and (1,0)."""
    if not isinstance(answer, (tuple, list)) or len(answer) != 4:
        raise Fault("hand in four things: W1 (2, 2), b1 (2), W2 (1, 2), b2 (1).")
    names, shapes = ("W1", "b1", "W2", "b2"), ((2, 2), (2,), (1, 2), (1,))
    w1, b1, w2, b2 = (
        _tensor(torch.as_tensor(part, dtype=torch.float32), shape, name)
        for part, shape, name in zip(answer, shapes, names, strict=True)
    )
    corners = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    logits = ((corners @ w1.T + b1).relu() @ w2.T + b2)[:, 0]
    wanted = torch.tensor([False, True, True, False])
    wrong = (logits > 0) != wanted
    if not wrong.any():
        return "positive for (0, 1) and (1, 0) alone, which no single line can do."
    corner = int(wrong.nonzero()[0])
    first, second = (int(value) for value in corners[corner])
    sign = "above 0" if wanted[corner] else "0 or below"
    raise Fault(
        f"for ({first}, {second}) the logit is {logits[corner]:g} and should be {sign}: "
        f"{int(wrong.sum())} of the four corners are wrong."
    )


@exercise("3.1.1-ceiling")
def check_ceiling(answer: Callable[[Tensor], float]) -> str:
    """answer: (counts (B,C) of pixels, a row a color bin) -> best accuracy of any rule on bins."""
    counts = torch.tensor([[6, 1, 1], [0, 3, 1], [0, 0, 0], [40, 30, 20]])
    right = (6 + 3 + 40) / 102
    shares = torch.tensor([6 / 8, 3 / 4, 40 / 90])
    faults = {
        float(shares.mean()): "each bin counts alike here; it has to count by its pixels.",
        46 / 102: "this is one answer for all bins; each bin may have its own.",
        49.0: "this is the number of pixels; divide by that of all of them.",
        49 / 4: "divide by the number of pixels, not of bins.",
        49 / 3: "divide by the number of pixels, not of bins.",
        1 - right: "this is the smallest error; the accuracy is 1 minus that.",
    }
    found = number(call(answer, counts))
    if abs(found - right) < 1e-4:
        return "each bin answers with its most frequent class; nothing that sees bins does better."
    if found != found:
        raise Fault("the answer is not a number: one of the bins is empty.")
    for wrong, text in faults.items():
        if abs(found - wrong) < 1e-4:
            raise Fault(text)
    raise Fault(f"for rows {counts.tolist()} it is 49 of 102 pixels, {right:.3f}, not {found:.3f}.")


def _tensor(found: object, shape: tuple[int, ...], what: str) -> Tensor:
    """The answer's tensor. Raises Fault when it is none or has another shape."""
    if not isinstance(found, Tensor):
        raise Fault(f"a tensor is asked for, and this is a {type(found).__name__}.")
    if tuple(found.shape) != shape:
        raise Fault(f"the shape should be {shape} for {what}, and is {tuple(found.shape)}.")
    return found.detach().float()
