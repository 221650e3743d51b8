"""Checks of section 4.1: label maps, palettes, joint transforms, class shares."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from segtut.data.dataset import VOID
from segtut.exercises.registry import Fault, call, exercise


def _tensor(value: Any, shape: tuple[int, ...], what: str) -> Tensor:
    """`value` as a tensor of the given shape, or a Fault that says what came instead."""
    try:
        tensor = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        found = type(value).__name__
        raise Fault(f"{what} should be a tensor of shape {shape}, and is a {found}.") from error
    if tuple(tensor.shape) != shape:
        raise Fault(f"{what} should have the shape {shape}, and has {tuple(tensor.shape)}.")
    return tensor


@exercise("4.1-one-hot")
def check_one_hot(answer: Callable[[Tensor, int], Tensor]) -> str:
    """answer: (target (H, W) int64, num_classes) -> (C, H, W) float, void all zeros."""
    target = torch.tensor([[0, 1, 2, VOID], [2, 2, VOID, 0], [1, 0, 0, 1]])
    result = torch.as_tensor(call(answer, target.clone(), 4))
    if tuple(result.shape) == (3, 4, 4):
        raise Fault("the classes are the last dimension (H, W, C); networks here use (C, H, W).")
    one_hot = _tensor(result, (4, 3, 4), "the one-hot map of a 3x4 target with 4 classes")
    if not one_hot.is_floating_point():
        raise Fault(f"the result is {one_hot.dtype}; a loss multiplies it, so make it float.")
    void = target == VOID
    if one_hot[:, void].any():
        classes = one_hot[:, void].nonzero()[:, 0].unique().tolist()
        raise Fault(f"a void pixel counts for class {classes}; all its channels should be 0.")
    sums = one_hot.sum(0)[~void]
    if not torch.all(sums == 1):
        raise Fault(f"at a labeled pixel the channels should sum to 1, and sum to {sums.tolist()}.")
    if not torch.equal(one_hot.argmax(0)[~void], target[~void]):
        raise Fault("the 1 stands in the wrong channel: argmax over the channels is not target.")
    return "one channel a class, and void belongs to none."


@exercise("4.1-palette")
def check_palette(answer: Callable[[Path], Tensor]) -> str:
    """answer: (path of a palette PNG) -> (H, W) int64 indices, 255 kept."""
    indices = torch.tensor([[0, 1, 15, VOID, 2], [15, 15, 1, 0, VOID]])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "2007_000032.png"
        picture = Image.fromarray(indices.to(torch.uint8).numpy()).convert("P")
        picture.putpalette(_voc_colors())
        picture.putdata(indices.flatten().tolist())
        gray = torch.tensor(list(picture.convert("L").tobytes())).view(2, 5)
        picture.save(path)
        result = torch.as_tensor(call(answer, path))
    if result.ndim == 3:
        raise Fault(
            f"the result has the shape {tuple(result.shape)}: colors, or a channel too many. "
            "The file's pixels are indices already; do not convert it to RGB."
        )
    labels = _tensor(result, (2, 5), "the label map of this file of 5 columns and 2 rows")
    if labels.is_floating_point():
        raise Fault(
            f"the labels are {labels.dtype} up to {float(labels.max()):.3g}: "
            "ToTensor divides by 255. Labels are numbers of classes, keep them whole."
        )
    if torch.equal(labels.long(), gray):
        raise Fault('these are gray levels: convert("L") weighs the palette\'s colors.')
    void = indices == VOID
    if torch.equal(labels[~void].long(), indices[~void]) and not torch.all(labels[void] == VOID):
        found = int(labels[void][0])
        raise Fault(f"void became {found}; keep 255, so that losses and metrics can leave it out.")
    if not torch.equal(labels.long(), indices):
        raise Fault(f"the file holds {indices.tolist()}, and you read {labels.tolist()}.")
    if labels.dtype != torch.int64:
        raise Fault(f"the indices are right, but {labels.dtype}; the losses want int64.")
    return "indices read as they stand, 255 kept."


def _voc_colors() -> list[int]:
    """VOC's 256 palette colors: bit k of the index goes, in threes, to the high bits of R, G, B."""
    colors = []
    for index in range(256):
        for channel in range(3):
            value = 0
            for bit in range(3):
                value |= (index >> (3 * bit + channel) & 1) << (7 - bit)
            colors.append(value)
    return colors


@exercise("4.1-joint-flip")
def check_joint_flip(
    answer: Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]],
) -> str:
    """answer: (image (3, H, W), mask (H, W), generator) -> (image, mask), flipped half the time."""
    mask = torch.arange(20).view(4, 5)
    image = torch.stack((mask, mask + 20, mask + 40)).to(torch.uint8)
    generator = torch.Generator().manual_seed(3)
    pairs = [_flipped(call(answer, image.clone(), mask.clone(), generator)) for _ in range(64)]
    if any(one != other for one, other in pairs):
        if not any(other for _, other in pairs):
            raise Fault("the picture is flipped and its mask is not: every label is now wrong.")
        if not any(one for one, _ in pairs):
            raise Fault("the mask is flipped and its picture is not: every label is now wrong.")
        raise Fault("picture and mask were flipped by two separate coins; draw once for both.")
    flips = sum(one for one, _ in pairs)
    if not 16 <= flips <= 48:
        raise Fault(f"of 64 calls {flips} were flipped; about half should be.")
    again = torch.Generator().manual_seed(3)
    repeated = [_flipped(call(answer, image.clone(), mask.clone(), again)) for _ in range(64)]
    if repeated != pairs:
        raise Fault("the same generator gives other flips: draw from it, not from global state.")
    return "picture and mask flip together, by one draw of the generator."


def _flipped(result: Any) -> tuple[bool, bool]:
    """Whether image and mask of one answer to the joint flip came back mirrored."""
    if not isinstance(result, tuple) or len(result) != 2:
        raise Fault(f"return the pair (image, mask), not a {type(result).__name__}.")
    image = _tensor(result[0], (3, 4, 5), "the image")
    mask = _tensor(result[1], (4, 5), "the mask")
    plain = torch.arange(20).view(4, 5)
    mirrored = plain.flip(1)
    for name, found in (("image", image[0]), ("mask", mask)):
        if torch.equal(found.long(), plain.flip(0)):
            raise Fault(f"the {name} is upside down: flip the columns (last dimension).")
        if not torch.equal(found.long(), plain) and not torch.equal(found.long(), mirrored):
            raise Fault(f"the {name} is neither unchanged nor mirrored left to right.")
    return torch.equal(image[0].long(), mirrored), torch.equal(mask.long(), mirrored)


@exercise("4.1-class-share")
def check_class_share(answer: Callable[[list[Tensor], int], Tensor]) -> str:
    """answer: (masks, num_classes) -> (C,) share of all labeled pixels of the set."""
    small = torch.tensor([[1, 1], [2, VOID]])
    large = torch.zeros(4, 6, dtype=torch.int64)
    large[0, :3] = VOID
    large[1] = 1
    masks = [small, large]
    counts = torch.tensor([15.0, 8.0, 1.0, 0.0])
    right = counts / counts.sum()
    shares = _tensor(call(answer, masks, 4), (4,), "the shares of 4 classes").double()
    if torch.allclose(shares, right.double(), atol=1e-6):
        return "shares of the labeled pixels of the whole set; they sum to 1."
    if torch.allclose(shares, counts.double()):
        raise Fault("these are numbers of pixels; divide by their sum.")
    if torch.allclose(shares, 100 * right.double(), atol=1e-3):
        raise Fault("these are percentages; give shares from 0 to 1.")
    if torch.allclose(shares, counts.double() / 28, atol=1e-6):
        raise Fault("the shares sum to less than 1: void pixels are in the denominator.")
    each = torch.tensor([[0.0, 2, 1, 0], [15.0, 6, 0, 0]])
    if torch.allclose(shares, (each / each.sum(1, keepdim=True)).mean(0).double(), atol=1e-6):
        raise Fault("you averaged the shares of each picture; a small picture then counts as much.")
    raise Fault(f"expected {right.tolist()} for these masks, found {shares.tolist()}.")


@exercise("4.1-resize-mask")
def check_resize_mask(answer: Callable[[Tensor, tuple[int, int]], Tensor]) -> str:
    """answer: (mask (H, W), (height, width)) -> (height, width) int64, by nearest-exact."""
    mask = torch.zeros(16, 24, dtype=torch.int64)
    mask[:, 12:] = 15
    mask[8:, 3:10] = 5
    mask[::3, ::5] = VOID
    size = (6, 8)
    result = torch.as_tensor(call(answer, mask.clone(), size))
    if tuple(result.shape) == (8, 6):
        raise Fault("height and width are swapped: sizes are (height, width).")
    labels = _tensor(result, size, "the mask resized to (6, 8)")
    invented = sorted(set(labels.double().unique().tolist()) - set(mask.unique().tolist()))
    if invented:
        shown = ", ".join(f"{value:g}" for value in invented[:5])
        raise Fault(f"labels that were not in the mask appear ({shown}): class numbers cannot be "
                    "averaged, so do not interpolate them.")  # fmt: skip
    as_picture = mask[None, None].float()
    exact = torch.nn.functional.interpolate(as_picture, size, mode="nearest-exact")[0, 0].long()
    plain = torch.nn.functional.interpolate(as_picture, size, mode="nearest")[0, 0].long()
    if torch.equal(labels.long(), plain):
        raise Fault('mode="nearest" takes the corner of each cell, half a pixel off; '
                    '"nearest-exact" takes its middle.')  # fmt: skip
    if not torch.equal(labels.long(), exact):
        wrong = int((labels.long() != exact).sum())
        raise Fault(f"{wrong} of 48 labels differ from the label in the middle of their cell.")
    if labels.dtype != torch.int64:
        raise Fault(f"the labels are right, but {labels.dtype}; the losses want int64.")
    return "every label is one that stood there, taken from the middle of its cell."
