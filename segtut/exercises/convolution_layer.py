"""Checks of section 3.2.1: sliding sums, sizes, weights, the matrix, receptive fields."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from segtut.exercises.registry import Fault, call, exercise, number


@exercise("3.2.1-correlation")
def check_correlation(answer: Callable[[Tensor, Tensor], Tensor]) -> str:
    """answer: (image (H, W), kernel (A, B)) -> sums of products without padding, as conv2d."""
    generator = torch.Generator().manual_seed(0)
    for height, width, rows, columns in ((5, 5, 3, 3), (6, 9, 2, 4), (4, 7, 1, 1)):
        image = torch.randn(height, width, generator=generator)
        kernel = torch.randn(rows, columns, generator=generator)
        right = _slide(image, kernel)
        found = torch.as_tensor(call(answer, image.clone(), kernel.clone()))
        case = f"{height}x{width} pixels and a {rows}x{columns} kernel"
        if found.shape == image.shape != right.shape:
            raise Fault(f"{case}: the output has the size of the input, so it was padded; without "
                        f"padding the window has {tuple(right.shape)} places.")  # fmt: skip
        if found.shape != right.shape:
            raise Fault(f"{case}: the output is {tuple(found.shape)}, and there are "
                        f"{tuple(right.shape)} places, H - A + 1 by W - B + 1.")  # fmt: skip
        if torch.allclose(found.float(), right, atol=1e-5):
            continue
        if torch.allclose(found.float(), _slide(image, kernel.flip(0, 1)), atol=1e-5):
            raise Fault("the kernel is turned by 180 degrees: that is the mathematicians' "
                        "convolution; conv2d lays the kernel on as it is.")  # fmt: skip
        if torch.allclose(found.float(), right / kernel.numel(), atol=1e-5):
            raise Fault("these are means; add the products up and do not divide.")
        if rows == columns and torch.allclose(found.float(), _slide(image, kernel.T), atol=1e-5):
            raise Fault("rows and columns of the kernel are exchanged.")
        raise Fault(f"{case}: the values differ. Output (s, t) is the sum of kernel[a, b] * "
                    "image[s + a, t + b] over a and b.")  # fmt: skip
    return "the sums that conv2d computes, at every place of the window."


def _slide(image: Tensor, kernel: Tensor) -> Tensor:
    return conv2d(image[None, None], kernel[None, None])[0, 0]


@exercise("3.2.1-shift-kernel")
def check_shift_kernel(answer: Tensor) -> str:
    """answer: a 3x3 kernel with which conv2d, padding 1, moves a picture a pixel to the right."""
    try:
        kernel = torch.as_tensor(answer, dtype=torch.float32)
    except (TypeError, ValueError) as error:
        raise Fault(f"nine numbers in a 3x3 tensor are asked for: {error}") from error
    if kernel.shape != (3, 3):
        raise Fault(f"a 3x3 kernel is asked for, and this has the shape {tuple(kernel.shape)}.")
    right = torch.zeros(3, 3)
    right[1, 0] = 1
    if torch.equal(kernel, right):
        return "each output takes the value of its left neighbor, so the picture moves right."
    if torch.equal(kernel, right.flip(1)):
        raise Fault("this moves the picture to the left: the 1 on the right makes each output take "
                    "its right neighbor's value.")  # fmt: skip
    if torch.equal(kernel, right.T) or torch.equal(kernel, right.T.flip(0)):
        raise Fault("this moves the picture up or down: rows come first in a kernel.")
    if kernel.count_nonzero() != 1:
        raise Fault("more than one weight, or none, is not 0: the output mixes pixels or is empty.")
    if kernel.sum() != 1:
        raise Fault(f"the one weight is {kernel.sum():g}; with 1 the values stay what they are.")
    raise Fault("this moves the picture somewhere else: which neighbor's value should an output "
                "take if everything is to move one pixel to the right?")  # fmt: skip


@exercise("3.2.1-same-padding")
def check_same_padding(answer: Callable[[int, int], int]) -> str:
    """answer: (kernel, dilation) -> padding on each side that keeps the size at stride 1."""
    for kernel, dilation in product((1, 3, 5, 7), (1, 2, 3)):
        found = number(call(answer, kernel, dilation))
        span = dilation * (kernel - 1)
        if found == span // 2:
            continue
        case = f"kernel {kernel}, dilation {dilation}: {span // 2} keeps the size, not {found:g}. "
        if found == span:
            raise Fault(case + "That is what both sides need together.")
        if found == kernel // 2:
            raise Fault(case + "A dilated kernel reaches further: dilation * (kernel - 1) cells.")
        if found == dilation * kernel // 2:
            raise Fault(case + "Between K taps there are K - 1 gaps, and the dilation is a gap.")
        raise Fault(case + "The size is kept if 2 P = dilation * (K - 1).")
    return "dilation * (K - 1) / 2 on each side, for every odd kernel."


@exercise("3.2.1-parameters")
def check_parameters(answer: object) -> str:
    """answer: weights and biases of the article's second convolution, 32 to 64 channels."""
    found = number(answer)
    faults = {
        64 * 32 * 9: "these are the weights; each of the 64 outputs has a bias too.",
        64 * 32 * 9 + 32: "there is one bias for each channel that leaves, not that enters.",
        64 * 9 + 64: "each of the 64 kernels reads all 32 channels that enter: 32 x 3 x 3 weights.",
        64 * 9: "each of the 64 kernels reads all 32 channels that enter, and has a bias.",
        64 * 3 * 9 + 64: "the second layer reads the 32 channels of the first, not three colors.",
        32 * 3 * 9 + 32: "that is the first convolution; the second one is asked for.",
        64 * (32 * 9 + 32): "one bias for each output channel, not for each pair of channels.",
    }
    if found == 64 * 32 * 9 + 64:
        return "18,496: 64 kernels of 32 x 3 x 3 weights, and 64 biases."
    if found > 1e6:
        raise Fault("the size of the map does not enter: the same weights serve every place.")
    raise Fault(faults.get(int(found), f"{found:,.0f} is not it: C_out kernels of C_in x 3 x 3 "
                "weights each, and a bias for each of them."))  # fmt: skip


@exercise("3.2.1-matrix")
def check_matrix(answer: Callable[[Tensor, int], Tensor]) -> str:
    """answer: (kernel (K, K), n) -> matrix that convolves a flattened n x n map, no padding."""
    generator = torch.Generator().manual_seed(0)
    for side, n in ((2, 3), (3, 5), (1, 2)):
        kernel = torch.randn(side, side, generator=generator)
        unit = torch.eye(n * n).reshape(n * n, 1, n, n)
        right = conv2d(unit, kernel[None, None]).flatten(1).T
        found = torch.as_tensor(call(answer, kernel.clone(), n)).float()
        if found.shape == right.T.shape != right.shape:
            raise Fault(
                "the matrix is transposed: one row for each output, one column for each pixel."
            )
        if found.shape != right.shape:
            raise Fault(f"kernel {side}x{side}, n = {n}: the matrix is {tuple(found.shape)}, "
                        f"expected {tuple(right.shape)}, outputs by pixels.")  # fmt: skip
        if torch.allclose(found, right, atol=1e-6):
            continue
        turned = conv2d(unit, kernel.flip(0, 1)[None, None]).flatten(1).T
        if torch.allclose(found, turned, atol=1e-6):
            raise Fault("the kernel is turned by 180 degrees; torch does not turn it.")
        if (found != 0).sum(dim=1).max() > side * side:
            raise Fault(f"a row has more than {side * side} weights: an output reads its window.")
        if ((found != 0) & (right == 0)).any():
            raise Fault("some weights stand in columns that the window does not cover: pixel "
                        "(y, x) is column y * n + x; windows end before rows do.")  # fmt: skip
        raise Fault("the right columns are filled, with the wrong weights: row by row, the kernel.")
    return "times the flattened map it gives what conv2d gives."


@exercise("3.2.1-receptive-field")
def check_receptive_field(
    answer: Callable[[Sequence[tuple[int, int, int]]], tuple[int, int]],
) -> str:
    """answer: (list of (kernel, stride, dilation), first layer first) -> (r, j)."""
    networks: tuple[list[tuple[int, int, int]], ...] = (
        [(3, 1, 1), (3, 1, 1)],
        [(3, 1, 1), (2, 2, 1), (3, 1, 1), (2, 2, 1)],
        [(3, 1, 1), (3, 1, 2), (3, 1, 4)],
        [(7, 2, 1), (3, 3, 2), (3, 1, 1), (1, 2, 1), (3, 1, 3)],
    )
    for layers in networks:
        found = call(answer, list(layers))
        try:
            field, stride = (number(value) for value in found)
        except TypeError as error:
            raise Fault("return two numbers, the receptive field r and the stride j.") from error
        except ValueError as error:
            raise Fault(f"two numbers are asked for, r and j; these are {len(found)}.") from error
        right = _measured(layers)
        if (field, stride) == right:
            continue
        text = f"{layers} has r = {right[0]} and j = {right[1]}; you say {field:g} and {stride:g}. "
        raise Fault(text + _receptive_field_fault(layers, field, stride, right))
    return "both agree with the gradients of real networks."


def _measured(layers: Sequence[tuple[int, int, int]]) -> tuple[float, float]:
    """Span of the inputs that the first output depends on, and where the second one's begins."""
    network = nn.Sequential(
        *(nn.Conv1d(1, 1, k, stride=s, dilation=d, bias=False) for k, s, d in layers)
    )
    for parameter in network.parameters():
        nn.init.ones_(parameter)
    signal = torch.zeros(1, 1, 200, requires_grad=True)
    output = network(signal)[0, 0]
    first, second = (torch.autograd.grad(output[k], signal, retain_graph=True)[0] for k in (0, 1))
    seen = first.flatten().nonzero()
    return int(seen.max()) + 1, int(second.flatten().nonzero().min())


def _receptive_field_fault(
    layers: Sequence[tuple[int, int, int]], field: float, stride: float, right: tuple[float, float]
) -> str:
    """What a wrong pair was probably computed from."""
    if (stride, field) == right:
        return "The two are exchanged: r first, then j."
    if field == right[0]:
        return "r is right; j is the product of all strides."
    guesses = dict.fromkeys(("dilation", "strides", "early", "taps"), 1)
    jump = 1
    for kernel, step, dilation in layers:
        guesses["dilation"] += (kernel - 1) * jump
        guesses["strides"] += dilation * (kernel - 1)
        guesses["taps"] += (dilation * kernel - 1) * jump
        jump *= step
        guesses["early"] += dilation * (kernel - 1) * jump
    reasons = {
        "dilation": "The dilation is missing: a layer spans dilation * (K - 1) steps.",
        "strides": "The strides are missing: a step of a later layer is j input pixels.",
        "early": "A layer's own stride widens the steps of the layers after it, not its own.",
        "taps": "Between K taps there are K - 1 gaps, each as wide as the dilation.",
    }
    for name, reason in reasons.items():
        if field == guesses[name]:
            return reason
    return "Start at r = j = 1; each layer adds dilation * (K - 1) * j to r, then j *= stride."
