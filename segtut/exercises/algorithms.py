"""Checks of section 5.4: attention, separable convolutions, eight bits, and the frontier."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from segtut.exercises.registry import Fault, call, exercise, number


@exercise("5.4-attention")
def check_attention(answer: Callable[[Tensor, Tensor, Tensor], Tensor]) -> str:
    """answer: (queries (N, h, Q, d), keys (N, h, K, d), values (N, h, K, e)) -> (N, h, Q, e)."""
    generator = torch.Generator().manual_seed(0)
    shapes = ((2, 3, 5, 4), (2, 3, 7, 4), (2, 3, 7, 6))
    queries, keys, values = (torch.randn(shape, generator=generator) for shape in shapes)
    found = torch.as_tensor(call(answer, queries.clone(), keys.clone(), values.clone()))
    right = scaled_dot_product_attention(queries, keys, values)
    if found.shape != right.shape:
        raise Fault(f"the answer has the shape {tuple(found.shape)}, expected "
                    f"{tuple(right.shape)}: a row as wide as a value for each query.")  # fmt: skip
    if torch.allclose(found, right, atol=1e-5):
        return "for each query a mean of the values, weighted by the softmax over the keys."
    products = queries @ keys.mT
    scaled = products / math.sqrt(4)
    for weights, fault in (
        (products.softmax(-1), "the products are not divided by the square root of d = 4."),
        ((products / 4).softmax(-1), "divide by the square root of d, not by d itself."),
        ((products / math.sqrt(7)).softmax(-1), "d is the length of a query, not the number of "
         "keys."),
        (scaled.softmax(-2), "the softmax runs over the queries; each query's weights over the "
         "keys must add up to 1."),
        (scaled, "the softmax is missing."),
        (scaled.sigmoid(), "a sigmoid of each score does not make weights that add up to 1."),
    ):  # fmt: skip
        if torch.allclose(found, weights @ values, atol=1e-5):
            raise Fault(fault)
    raise Fault("the answer differs from softmax(Q K^T / sqrt(d)) V, softmax over the keys.")


@exercise("5.4-separable")
def check_separable(answer: Callable[[int, int, int], float]) -> str:
    """answer: (in channels, out channels, kernel) -> full over separable multiply-adds."""
    for before, after, kernel in ((16, 16, 3), (64, 128, 3), (8, 32, 5), (3, 9, 3)):
        found = number(call(answer, before, after, kernel))
        right = kernel**2 * after / (kernel**2 + after)
        if math.isclose(found, right, rel_tol=1e-4):
            continue
        case = f"({before}, {after}, {kernel}): {right:.3f}, not {found:.3f}. "
        if math.isclose(found, 1 / right, rel_tol=1e-4):
            raise Fault(case + "That is the separable count over the full one: the other way "
                        "around.")  # fmt: skip
        if math.isclose(found, kernel * after / (kernel + after), rel_tol=1e-4):
            raise Fault(case + "A kernel of side K has K * K weights.")
        if math.isclose(found, kernel**2 * before / (kernel**2 + before), rel_tol=1e-4):
            raise Fault(case + "In and out channels are exchanged: the filters look around in each "
                        "channel that comes in.")  # fmt: skip
        if math.isclose(found, kernel**2, rel_tol=1e-4):
            raise Fault(case + "The 1x1 convolution between the channels costs something, too.")
        if math.isclose(found, after, rel_tol=1e-4):
            raise Fault(case + "That counts the depthwise half alone.")
        raise Fault(case + "Full: K * K * C * C'. Separable: K * K * C and then C * C'.")
    return "K^2 C' / (K^2 + C'), whatever the input's channels."


@exercise("5.4-quantize")
def check_quantize(answer: Callable[[Tensor, int], tuple[Tensor, Tensor]]) -> str:
    """answer: (weight (C', C, K, K), bits) -> whole numbers of its shape, steps (C')."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(4, 3, 3, 3, generator=generator)
    weight *= torch.tensor([0.1, 1.0, 5.0, 0.0]).view(-1, 1, 1, 1)
    for bits in (8, 4):
        found = call(answer, weight.clone(), bits)
        if not isinstance(found, Sequence) or len(found) != 2:
            raise Fault("return two tensors: the whole numbers and the steps.")
        _judge_quantized(torch.as_tensor(found[0]), torch.as_tensor(found[1]), weight, bits)
    return "each channel uses its whole range, and no weight moves by more than half a step."


def _judge_quantized(whole: Tensor, steps: Tensor, weight: Tensor, bits: int) -> None:
    limit = 2 ** (bits - 1) - 1
    if whole.shape != weight.shape:
        raise Fault(f"the whole numbers have the shape {tuple(whole.shape)}, expected the "
                    f"kernel's {tuple(weight.shape)}.")  # fmt: skip
    if steps.numel() == 1:
        raise Fault("there is one step for the whole kernel; the channel with the largest weights "
                    "makes it coarse for the others. Give each output channel one.")  # fmt: skip
    if steps.flatten().shape != weight.shape[:1]:
        raise Fault(f"there are {steps.numel()} steps for {len(weight)} output channels: the "
                    "largest weight is taken over dimensions 1, 2 and 3.")  # fmt: skip
    if whole.dtype.is_floating_point:
        raise Fault("the first tensor holds floats; what is stored are whole numbers.")
    if not (steps.isfinite().all() and (whole[3] == 0).all()):
        raise Fault("a channel of zeros has no largest weight to divide by; it must stay zero.")
    largest = int(whole.abs().max())
    if largest > limit:
        raise Fault(f"with {bits} bits there is a {largest}; the range is -{limit} to {limit}.")
    step = steps.flatten().view(-1, 1, 1, 1)
    error = ((whole * step - weight).abs() / step)[:3].max().item()
    if error > 0.505:
        raise Fault(f"a weight moved by {error:.2f} steps; rounding to the nearest whole number "
                    "moves it by half a step at most.")  # fmt: skip
    reached = whole[:3].abs().amax(dim=(1, 2, 3))
    if int(reached.min()) < limit:
        raise Fault(f"with {bits} bits a channel's largest weight became {int(reached.min())}, not "
                    f"{limit}: part of the range is unused.")  # fmt: skip


@exercise("5.4-frontier")
def check_frontier(answer: Callable[[list[tuple[float, float]]], list[int]]) -> str:
    """answer: [(cost, score), ...] -> indices on the Pareto frontier, by increasing cost."""
    cases = {
        "a plain case": [(5.0, 70.0), (1.0, 50.0), (3.0, 65.0), (4.0, 60.0), (9.0, 69.0)],
        "one cost twice": [(2.0, 50.0), (2.0, 60.0), (1.0, 40.0)],
        "one score twice": [(3.0, 60.0), (2.0, 60.0), (1.0, 40.0)],
        "two equal points": [(2.0, 60.0), (1.0, 40.0), (2.0, 60.0)],
    }
    for name, points in cases.items():
        found = [int(index) for index in call(answer, list(points))]
        right = _frontier(points)
        if found == right:
            continue
        case = f"{name}, {points}: {right}, not {found}. "
        if sorted(found) == sorted(right):
            raise Fault(case + "The right points in another order: by increasing cost.")
        if sorted(found) == sorted(_frontier([(-c, -s) for c, s in points])):
            raise Fault(case + "These are the worst points: less cost is better, more score is "
                        "better.")  # fmt: skip
        if sorted(found) == sorted(_frontier([(-c, s) for c, s in points])):
            raise Fault(case + "These would be right if a higher cost were better.")
        if len(found) == 1 and len(right) > 1:
            raise Fault(case + "That is one point; the frontier has a point for each price.")
        extra, missing = set(found) - set(right), set(right) - set(found)
        if extra:
            raise Fault(case + f"Point {min(extra)} is beaten by another that is as good and "
                        "cheaper, or better and no dearer.")  # fmt: skip
        raise Fault(case + f"No point beats point {min(missing)}.")
    return "what is left is worth its price."


def _frontier(points: Sequence[tuple[float, float]]) -> list[int]:
    kept = [
        k
        for k, (cost, score) in enumerate(points)
        if not any((c <= cost and s > score) or (c < cost and s >= score) for c, s in points)
    ]
    return sorted(kept, key=lambda k: points[k][0])
