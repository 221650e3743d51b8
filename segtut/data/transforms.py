"""Transforms that move an image and its label map together.

They are ``torchvision.transforms.v2`` transforms, so that they compose with the library's own: one
pipeline takes the ``tv_tensors.Image`` and the ``tv_tensors.Mask`` of a sample and gives both the
same geometry. Images are interpolated, label maps never are: a label map takes the value of the
nearest pixel center (``nearest-exact``), and what a crop takes from outside the picture is void.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision import tv_tensors
from torchvision.transforms import v2

from segtut.data.dataset import VOID


def resize_image(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize images bilinearly, antialiased where they shrink.

    ``image``: (3, H, W) or (N, 3, H, W), uint8 or float; the result has the same dtype and the
    height and width of ``size``.
    """
    if image.shape[-2:] == torch.Size(size):
        return image
    batch = image if image.ndim == 4 else image.unsqueeze(0)
    values = F.interpolate(batch.float(), size=size, mode="bilinear", antialias=True)
    if not image.is_floating_point():
        values = values.round().clamp(0, 255)
    return values.to(image.dtype).reshape(*image.shape[:-2], *size)


def resize_mask(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize label maps by taking the nearest pixel center; no value appears that was not there.

    ``mask``: (H, W) or (N, H, W), an integer dtype, kept. PyTorch's plain ``nearest`` takes the
    upper left pixel of each block instead and shifts the map by half a pixel.
    """
    if mask.shape[-2:] == torch.Size(size):
        return mask
    rows = _nearest_exact(mask.shape[-2], size[0], mask.device)
    columns = _nearest_exact(mask.shape[-1], size[1], mask.device)
    return mask[..., rows[:, None], columns]


def _nearest_exact(source: int, target: int, device: torch.device) -> Tensor:
    centers = (torch.arange(target, device=device, dtype=torch.float64) + 0.5) * source / target
    return centers.floor().long().clamp(max=source - 1)


def shorter_side(size: tuple[int, int], shorter: int) -> tuple[int, int]:
    """Height and width in the proportions of ``size`` (H, W), with this shorter side."""
    height, width = size
    factor = shorter / min(height, width)
    return max(1, round(height * factor)), max(1, round(width * factor))


class Resize(v2.Transform):
    """Resize a sample to ``size`` (H, W): the image bilinearly, the label map by nearest-exact."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = _checked_size(size)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if isinstance(inpt, tv_tensors.Mask):
            return tv_tensors.wrap(resize_mask(inpt.as_subclass(Tensor), self.size), like=inpt)
        return tv_tensors.wrap(resize_image(inpt.as_subclass(Tensor), self.size), like=inpt)


class RandomScaledCrop(v2.Transform):
    """Cut a window of random scale and place, and bring it to ``size`` (H, W).

    ``scale`` is the range of the magnification, drawn evenly in its logarithm: at 0.5 the window is
    twice ``size`` and everything shrinks by half, at 2 it is half of ``size``. A window that is
    larger than the picture shows black and void (255) outside it. Raises ``ValueError`` for a size
    or a range that is not positive.
    """

    def __init__(self, size: tuple[int, int], scale: tuple[float, float] = (0.5, 2.0)) -> None:
        super().__init__()
        self.size = _checked_size(size)
        if not 0 < scale[0] <= scale[1]:
            raise ValueError(f"scale must be (low, high) with 0 < low <= high, not {scale}")
        self.scale = scale

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = flat_inputs[0].shape[-2:]
        low, high = math.log(self.scale[0]), math.log(self.scale[1])
        draw = torch.rand(3).tolist()
        factor = math.exp(low + (high - low) * draw[0])
        rows, columns = (max(1, round(side / factor)) for side in self.size)
        return {
            "top": _window_start(height, rows, draw[1]),
            "left": _window_start(width, columns, draw[2]),
            "rows": rows,
            "columns": columns,
        }

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        is_mask = isinstance(inpt, tv_tensors.Mask)
        window = _cut(inpt.as_subclass(Tensor), **params, outside=VOID if is_mask else 0)
        resize = resize_mask if is_mask else resize_image
        return tv_tensors.wrap(resize(window, self.size), like=inpt)


def _window_start(side: int, window: int, draw: float) -> int:
    """First row (or column) of a window; one that is too large is placed so that it covers all."""
    low, high = min(0, side - window), max(0, side - window)
    return min(low + int(draw * (high - low + 1)), high)


def _cut(picture: Tensor, top: int, left: int, rows: int, columns: int, outside: int) -> Tensor:
    height, width = picture.shape[-2:]
    inside = picture[..., max(top, 0) : top + rows, max(left, 0) : left + columns]
    above, before = max(-top, 0), max(-left, 0)
    below, after = max(top + rows - height, 0), max(left + columns - width, 0)
    if above or below or before or after:
        inside = F.pad(inside, (before, after, above, below), value=outside)
    return inside


def _checked_size(size: tuple[int, int]) -> tuple[int, int]:
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"size must be (height, width), both at least 1, not {size}")
    return int(size[0]), int(size[1])


def standard_augmentation(
    size: tuple[int, int], scale: tuple[float, float] = (0.7, 1.5), color: float = 0.3
) -> v2.Transform:
    """The augmentation behind the book's runs: scaled crop, left-right flip, color jitter.

    ``color`` is the largest relative change of brightness, contrast and saturation; at 0 they stay.
    """
    steps: list[v2.Transform] = [RandomScaledCrop(size, scale), v2.RandomHorizontalFlip()]
    if color:
        steps.append(v2.ColorJitter(brightness=color, contrast=color, saturation=color))
    return v2.Compose(steps)
