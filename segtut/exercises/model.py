"""Checks of section 4.2: parameters, sizes, 1x1 convolutions, receptive fields."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

import torch
from torch import nn

from segtut.exercises.registry import Fault, call, exercise, number


@exercise("4.2-dense-parameters")
def check_dense_parameters(answer: object) -> str:
    """answer: weights and biases of the article's Dense(64) after Flatten, at 224x224."""
    found = number(answer)
    faults = {
        64 * 54 * 54 * 64: "these are the weights; each of the 64 outputs has a bias too.",
        64 * 56 * 56 * 64 + 64: "56x56 is right for padded convolutions; these are not padded, "
        "so each 3x3 takes 2 pixels away.",
        64 * 55 * 55 * 64 + 64: "55x55: the second convolution also takes 2 pixels away.",
        54 * 54 * 64 + 64: "Flatten keeps the 64 channels: its output has 64 x 54 x 54 numbers.",
        64 * 54 * 54: "that is the number of inputs of the layer; each of its 64 outputs "
        "has a weight for each of them, and a bias.",
        64 * 222 * 222 * 64 + 64: "the poolings halve the size before Flatten.",
    }
    faults |= {count - 64: text for count, text in faults.items() if count - 64 not in faults}
    if found == 64 * 54 * 54 * 64 + 64:
        return "11,944,000: 64 x 54 x 54 inputs for each of 64 outputs, and 64 biases."
    raise Fault(faults.get(int(found), f"{found:,.0f} is not it. Follow the size through the "
                "layers: 224, 222, 111, 109, 54."))  # fmt: skip


@exercise("4.2-output-size")
def check_output_size(answer: Callable[[int, int, int, int, int], int]) -> str:
    """answer: (size, kernel, stride, padding, dilation) -> size of a convolution's output."""
    plain = ((224, 3, 1, 0, 1), "a 3x3 convolution")
    padded = ((17, 5, 1, 2, 1), "padding: it is added on both sides")
    strided = ((32, 2, 2, 0, 1), "the stride")
    uneven = ((33, 2, 2, 0, 1), "a window that does not fit any more (round down)")
    dilated = ((40, 3, 1, 0, 4), "dilation: the kernel spans dilation * (kernel - 1) + 1")
    for arguments, what in (plain, padded, strided, uneven, dilated):
        _compare_output_size(answer, arguments, what)
    for arguments in product((15, 16), (1, 3), (1, 2, 3), (0, 2), (1, 3)):
        _compare_output_size(answer, arguments, "all of them together")
    return "agrees with torch's convolution in every case tried."


def _compare_output_size(
    answer: Callable[[int, int, int, int, int], int], arguments: tuple[int, ...], what: str
) -> None:
    """Raise a Fault when the answer differs from the convolution that torch does."""
    size, kernel, stride, padding, dilation = arguments
    layer = nn.Conv1d(1, 1, kernel, stride=stride, padding=padding, dilation=dilation)
    with torch.no_grad():
        right = layer(torch.zeros(1, 1, size)).shape[-1]
    found = call(answer, *arguments)
    if found != right:
        case = f"size {size}, kernel {kernel}, stride {stride}, padding {padding}"
        raise Fault(f"wrong with {what}: {case}, dilation {dilation} give {right}, not {found}.")
    if not isinstance(found, int):
        raise Fault(f"the value is right, but a size is an int, not a {type(found).__name__}.")


@exercise("4.2-conv1x1")
def check_conv1x1(answer: Callable[[nn.Linear], nn.Conv2d]) -> str:
    """answer: (nn.Linear) -> nn.Conv2d that applies it at every pixel."""
    generator = torch.Generator().manual_seed(0)
    linear = nn.Linear(5, 5)
    with torch.no_grad():
        linear.weight.copy_(torch.randn(5, 5, generator=generator))
        linear.bias.copy_(torch.randn(5, generator=generator))
    convolution = call(answer, linear)
    if not isinstance(convolution, nn.Conv2d):
        raise Fault(f"return an nn.Conv2d; this is a {type(convolution).__name__}.")
    if convolution.kernel_size != (1, 1):
        raise Fault(f"the kernel is {convolution.kernel_size}; one pixel asks for a 1x1 kernel.")
    if convolution.bias is None:
        raise Fault("the linear layer's bias is lost: the convolution has none.")
    weight = convolution.weight.detach()[:, :, 0, 0]
    if torch.equal(weight, linear.weight.detach().T):
        raise Fault("the weights are transposed: both layers keep them as (outputs, inputs).")
    pixels = torch.randn(2, 5, 3, 4, generator=generator)
    with torch.no_grad():
        try:
            found = convolution(pixels)
        except RuntimeError as error:
            raise Fault(f"the convolution fails on 5 channels: {error}") from error
        right = linear(pixels.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    if found.shape != right.shape:
        raise Fault(f"the output should be {tuple(right.shape)}, and is {tuple(found.shape)}.")
    if torch.allclose(found, right, atol=1e-5):
        return "the linear layer, applied at every pixel: any input size works now."
    if torch.allclose(weight, linear.weight.detach()):
        raise Fault("the weights are right and the biases are not: copy linear.bias too.")
    raise Fault("the weights are not the linear layer's: copy them, with two dimensions added.")


@exercise("4.2-receptive-field")
def check_receptive_field(answer: Callable[[Sequence[tuple[int, int]]], int]) -> str:
    """answer: (list of (kernel, stride), first layer first) -> side of the receptive field."""
    networks: tuple[list[tuple[int, int]], ...] = (
        [(3, 1)],
        [(3, 1), (3, 1)],
        [(3, 1), (2, 2), (3, 1), (2, 2)],
        [(7, 2), (3, 2), (3, 1), (1, 1), (3, 2), (3, 1)],
    )
    for layers in networks:
        found = call(answer, list(layers))
        right, jump = 1, 1
        for kernel, stride in layers:
            right += (kernel - 1) * jump
            jump *= stride
        if found == right:
            continue
        text = f"{layers} has a receptive field of {right}, and you say {found}. "
        raise Fault(text + _receptive_field_fault(layers, found))
    return "each layer adds (kernel - 1) times the product of the strides before it."


def _receptive_field_fault(layers: Sequence[tuple[int, int]], found: object) -> str:
    """What a wrong receptive field was probably computed from."""
    if found == sum(kernel for kernel, _ in layers):
        return "You added up the kernels; a layer adds only kernel - 1."
    if found == 1 + sum(kernel - 1 for kernel, _ in layers):
        return "The strides are missing: after a stride of 2 a step is 2 input pixels."
    early, jump = 1, 1
    for kernel, stride in layers:
        jump *= stride
        early += (kernel - 1) * jump
    if found == early:
        return "A layer's own stride widens the steps of the layers after it, not its own."
    backward, jump = 1, 1
    for kernel, stride in reversed(layers):
        backward += (kernel - 1) * jump
        jump *= stride
    if found == backward:
        return "You multiplied the strides of the layers after it: go from the input on."
    return "Start at 1; each layer adds (kernel - 1) times the product of the strides before it."
