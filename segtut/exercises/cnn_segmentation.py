"""Checks of section 3.2.4: the way up, its checkerboards, and two maps that become one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

import torch
from torch import Tensor
from torch.nn.functional import conv_transpose2d, interpolate, pad

from segtut.exercises.registry import Fault, call, exercise


@exercise("3.2.4-transposed")
def check_transposed(answer: Callable[[Tensor, Tensor, int], Tensor]) -> str:
    """answer: (map (H, W), kernel (K, K), stride) -> the map laid out in kernels, no padding."""
    generator = torch.Generator().manual_seed(0)
    for side, stride in ((3, 2), (2, 2), (4, 2), (3, 1), (2, 3)):
        values = torch.randn(3, 5, generator=generator)
        kernel = torch.randn(side, side, generator=generator)
        right = _lay_out(values, kernel, stride)
        found = torch.as_tensor(call(answer, values.clone(), kernel.clone(), stride)).float()
        case = f"3x5 values, a {side}x{side} kernel, stride {stride}"
        if found.shape != right.shape:
            raise Fault(f"{case}: the result is {tuple(found.shape)}, expected "
                        f"{tuple(right.shape)}: the last kernel begins at S (n - 1) and is K "
                        "long.")  # fmt: skip
        if torch.allclose(found, right, atol=1e-5):
            continue
        if torch.allclose(found, _lay_out(values, kernel.flip(0, 1), stride), atol=1e-5):
            raise Fault("the kernels are turned by 180 degrees; lay them down as they are.")
        if torch.allclose(found, _lay_out(values, kernel.T, stride), atol=1e-5):
            raise Fault("rows and columns of the kernel are exchanged.")
        if torch.allclose(found, _overwrite(values, kernel, stride), atol=1e-5):
            raise Fault(f"{case}: where two kernels overlap, the later one has replaced the "
                        "earlier; their values add up.")  # fmt: skip
        counts = _lay_out(torch.ones_like(values), torch.ones_like(kernel), stride)
        if torch.allclose(found, right / counts.clamp(min=1), atol=1e-5):
            raise Fault("the overlaps are averaged; a transposed convolution adds them up.")
        raise Fault(f"{case}: the values differ. Each value of the map, times the kernel, is "
                    "added to the result at S times its row and column.")  # fmt: skip
    return "a kernel for each value, S apart, added up: what conv_transpose2d computes."


def _lay_out(values: Tensor, kernel: Tensor, stride: int) -> Tensor:
    return conv_transpose2d(values[None, None], kernel[None, None], stride=stride)[0, 0]


def _overwrite(values: Tensor, kernel: Tensor, stride: int) -> Tensor:
    result = torch.zeros_like(_lay_out(values, kernel, stride))
    side = len(kernel)
    for i, k in product(range(values.shape[0]), range(values.shape[1])):
        rows, columns = slice(stride * i, stride * i + side), slice(stride * k, stride * k + side)
        result[rows, columns] = values[i, k] * kernel
    return result


@exercise("3.2.4-overlap")
def check_overlap(answer: Callable[[int, int], Sequence[int]]) -> str:
    """answer: (kernel, stride) -> taps that reach output pixels 0 to S - 1, modulo S, along a line.

    Of the pixels far from the ends, pixel q of the transposed convolution without padding is
    reached by the taps q, q + S, q + 2 S, ... below K.
    """
    for kernel, stride in ((3, 2), (4, 2), (2, 2), (5, 2), (5, 3), (3, 1), (2, 3)):
        right = [len(range(phase, kernel, stride)) for phase in range(stride)]
        found = call(answer, kernel, stride)
        try:
            counts = [int(count) for count in found]
        except (TypeError, ValueError) as error:
            raise Fault(f"a list of {stride} counts is asked for: {error}.") from error
        case = f"kernel {kernel}, stride {stride}: "
        if len(counts) != stride:
            raise Fault(f"{case}{len(counts)} counts were given; the pattern repeats every "
                        f"{stride} pixels, so {stride} are needed.")  # fmt: skip
        if counts == right:
            continue
        if sum(counts) != kernel:
            raise Fault(f"{case}{counts} add up to {sum(counts)}; each of the {kernel} taps "
                        "reaches one of the pixels.")  # fmt: skip
        if sorted(counts) == sorted(right):
            raise Fault(f"{case}{counts} has the right numbers in another order: tap 0 falls on "
                        "pixel 0, tap 1 on pixel 1.")  # fmt: skip
        raise Fault(f"{case}expected {right}, not {counts}: tap t falls on the pixels whose "
                    "number leaves the remainder t mod S.")  # fmt: skip
    return "the K taps dealt to S pixels in turn: even only if S divides K."


@exercise("3.2.4-fuse")
def check_fuse(answer: Callable[[Tensor, Tensor], Tensor]) -> str:
    """answer: (coarse (N, C, h, w), fine (N, C, H, W)) -> FCN's fused scores (N, C, H, W).

    h = ceil(H / 2): the coarse scores are doubled bilinearly, cut to the fine ones, and added.
    """
    generator = torch.Generator().manual_seed(0)
    for height, width in ((6, 8), (5, 8), (7, 9)):
        fine = torch.randn(2, 3, height, width, generator=generator)
        half = (-(-height // 2), -(-width // 2))
        coarse = torch.randn(2, 3, *half, generator=generator)
        doubled = interpolate(coarse, scale_factor=2, mode="bilinear")
        right = doubled[..., :height, :width] + fine
        found = torch.as_tensor(call(answer, coarse.clone(), fine.clone()))
        case = f"coarse {half[0]}x{half[1]}, fine {height}x{width}"
        if found.shape == (2, 6, height, width):
            raise Fault(f"{case}: the two are concatenated, as a U-Net does with features; FCN "
                        "adds scores.")  # fmt: skip
        if found.shape != right.shape:
            raise Fault(f"{case}: the result is {tuple(found.shape)}, expected "
                        f"{tuple(right.shape)}, the size of the fine scores.")  # fmt: skip
        if torch.allclose(found, right, atol=1e-5):
            continue
        wrong = {
            "the coarse scores are repeated, not interpolated: bilinear is asked for.": interpolate(
                coarse, scale_factor=2, mode="nearest"
            )[..., :height, :width] + fine,
            "the fine scores are missing from the sum.": right - fine,
            "the coarse scores are missing from the sum.": fine,
            "the sum is halved; FCN adds the two.": right / 2,
            "align_corners=True pulls the corners of both maps together, and every answer off "
            "its place; leave it False.": interpolate(
                coarse, scale_factor=2, mode="bilinear", align_corners=True
            )[..., :height, :width] + fine,
            "scaled to the odd size the coarse scores shift against the fine ones: double them, "
            "then cut.": interpolate(coarse, size=(height, width), mode="bilinear") + fine,
            "the odd size was cut at the top and left; pooling rounded up at the bottom and right, "
            "so cut there.": doubled[..., -height:, -width:] + fine,
            "the coarse scores were filled up with zeros instead of doubled.": fine
            + pad(coarse, (0, width - half[1], 0, height - half[0])),
        }  # fmt: skip
        for text, values in wrong.items():
            if torch.allclose(found, values, atol=1e-5):
                raise Fault(f"{case}: {text}")
        raise Fault(f"{case}: the values differ. Double the coarse scores bilinearly, cut them to "
                    "the size of the fine ones, add.")  # fmt: skip
    return "coarse scores, doubled and cut, plus fine ones: one step of FCN-16s and FCN-8s."
