"""Checks of section 3.2.3: dense layers counted, made convolutional, and read as maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from segtut.exercises.registry import Fault, call, exercise


@exercise("3.2.3-parameters")
def check_parameters(answer: Callable[[int, int, int, int], tuple[int, int]]) -> str:
    """answer: (channels, height, width, outputs) -> parameters (after Flatten, after pooling).

    Both count the weights and biases of one dense layer: on the flattened map, and on what global
    average pooling leaves of it.
    """
    for channels, height, width, outputs in ((64, 54, 54, 64), (16, 12, 10, 1), (3, 5, 7, 21)):
        found = call(answer, channels, height, width, outputs)
        try:
            flat, pooled = (int(count) for count in found)
        except (TypeError, ValueError) as error:
            raise Fault(
                f"two numbers are asked for, and this is {str(found)[:60]}: return the count "
                "after Flatten and the count after global average pooling."
            ) from error
        where = f"{channels} channels of {height}x{width} and {outputs} outputs: "
        _require_flat(where, flat, channels * height * width, outputs)
        _require_pooled(where, pooled, channels, channels * height * width, outputs)
    return "a weight for each input and output, a bias for each output; pooling drops the places."


def _require_flat(where: str, found: int, inputs: int, outputs: int) -> None:
    right = (inputs + 1) * outputs
    if found == right:
        return
    text = f"{where}after Flatten there are {right:,} parameters, and you say {found:,}. "
    if found == inputs * outputs:
        raise Fault(text + "These are the weights; each output has a bias too.")
    if found == inputs * outputs + inputs:
        raise Fault(text + "There is one bias for each output, not for each input.")
    if found == inputs * outputs + 1:
        raise Fault(text + "Each of the outputs has its own bias.")
    raise Fault(text + "Flatten keeps all channels of all places, and each goes to each output.")


def _require_pooled(where: str, found: int, channels: int, inputs: int, outputs: int) -> None:
    right = (channels + 1) * outputs
    if found == right:
        return
    text = f"{where}after global average pooling there are {right:,}, and you say {found:,}. "
    if found == (inputs + 1) * outputs:
        raise Fault(
            text + "Pooling leaves one number for each channel, whatever the size of the map."
        )
    if found == channels * outputs:
        raise Fault(text + "These are the weights; each output has a bias too.")
    if found == channels * outputs + channels:
        raise Fault(text + "There is one bias for each output, not for each channel.")
    raise Fault(text + "One number for each channel goes in.")


@exercise("3.2.3-dense-to-convolution")
def check_dense_to_convolution(
    answer: Callable[[nn.Linear, tuple[int, int, int]], nn.Conv2d],
) -> str:
    """answer: (linear, (C, H, W)) -> convolution that equals linear(flatten(x)) on a CxHxW map."""
    generator = torch.Generator().manual_seed(0)
    size = (3, 4, 5)
    linear = nn.Linear(60, 2)
    with torch.no_grad():
        linear.weight.copy_(torch.randn(2, 60, generator=generator))
        linear.bias.copy_(torch.tensor([5.0, -7.0]))
    convolution = call(answer, linear, size)
    if not isinstance(convolution, nn.Conv2d):
        raise Fault(f"an nn.Conv2d is asked for, and this is a {type(convolution).__name__}.")
    if tuple(convolution.weight.shape) != (2, *size):
        raise Fault(
            f"the weights should be {(2, *size)}, and are {tuple(convolution.weight.shape)}: one "
            "kernel for each output, as large as the map, over all its channels."
        )
    if tuple(convolution.padding) != (0, 0) or tuple(convolution.stride) != (1, 1):
        raise Fault("no padding and stride 1 are needed, so that the kernel fits in one place.")
    maps = torch.randn(1, 3, 6, 9, generator=generator)
    with torch.no_grad():
        found = convolution(maps)
        windows = maps.unfold(2, 4, 1).unfold(3, 5, 1).permute(0, 2, 3, 1, 4, 5).flatten(3)
        right = linear(windows).permute(0, 3, 1, 2)
    if torch.allclose(found, right, atol=1e-4):
        return "the same numbers on a map of that size, and a map of answers on a larger one."
    raise Fault(_conversion_fault(convolution, linear, size))


def _conversion_fault(convolution: nn.Conv2d, linear: nn.Linear, size: tuple[int, int, int]) -> str:
    """What went wrong in copying the weights and biases."""
    channels, height, width = size
    weight, dense = convolution.weight.detach(), linear.weight.detach()
    if torch.allclose(weight, dense.view(-1, *size)):
        return "the weights are right and the biases are not: copy linear.bias too."
    if torch.allclose(weight, dense.view(-1, height, width, channels).permute(0, 3, 1, 2)):
        return (
            "the weights are read with the channels last, as Keras flattens; PyTorch flattens "
            "(C, H, W), so view them as (outputs, C, H, W)."
        )
    if torch.allclose(weight, dense.view(-1, channels, width, height).transpose(2, 3)):
        return "height and width are exchanged: flattening goes along the rows."
    if torch.allclose(weight.flip(2, 3), dense.view(-1, *size)):
        return (
            "the kernels are turned around; PyTorch's convolution does not flip, so copy them as "
            "they are."
        )
    return "the weights are not the linear layer's: view them as (outputs, C, H, W)."


@exercise("3.2.3-activation-map")
def check_activation_map(answer: Callable[[Tensor, Tensor, Tensor, int], Tensor]) -> str:
    """answer: (features (C, h, w), weight (classes, C), bias (classes,), label) -> map (h, w).

    Its mean is the logit of `label` that the dense layer gives after global average pooling.
    """
    generator = torch.Generator().manual_seed(0)
    features = torch.rand(3, 4, 5, generator=generator)
    weight = torch.randn(3, 3, generator=generator)
    bias = torch.tensor([2.0, -1.0, 0.5])
    for label in (2, 0):
        found = call(answer, features.clone(), weight.clone(), bias.clone(), label)
        right = torch.einsum("c,chw->hw", weight[label], features) + bias[label]
        if not isinstance(found, Tensor):
            raise Fault(f"a tensor is asked for, and this is a {type(found).__name__}.")
        if tuple(found.shape) != (4, 5):
            raise Fault(f"the map should be (4, 5), and is {tuple(found.shape)}.")
        if not torch.allclose(found, right, atol=1e-5):
            raise Fault(_map_fault(found, features, weight, bias, label))
    return "a weighted sum of the features at each place, whose mean is the class's logit."


def _map_fault(found: Tensor, features: Tensor, weight: Tensor, bias: Tensor, label: int) -> str:
    """What a wrong activation map was probably computed from."""
    maps = torch.einsum("kc,chw->khw", weight, features)
    wrong: list[tuple[Any, str]] = [
        (maps[label], "the bias is missing: with it, the mean of the map is the logit."),
        (
            torch.einsum("c,chw->hw", weight[:, label], features) + bias[label],
            "you took a column of the weights; the weights of a class are a row.",
        ),
        (
            torch.relu(maps[label] + bias[label]),
            "negative places were set to zero: they speak against the class, keep them.",
        ),
        (
            (maps + bias[:, None, None]).softmax(0)[label],
            "these are probabilities; the map adds up logits.",
        ),
        (
            features.mean(0),
            "that is the mean of the features; each counts with the class's weight.",
        ),
    ]
    wrong += [
        (maps[other] + bias[other], f"that is the map of class {other}, asked for was {label}.")
        for other in range(3)
        if other != label
    ]
    for values, text in wrong:
        if torch.allclose(found, values, atol=1e-5):
            return text
    return "sum over the channels: weight of the class times feature, plus the bias of the class."
