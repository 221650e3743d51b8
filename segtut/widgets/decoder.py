"""What the figures that run a decoder in the page share: its program, and pictures on one sheet."""

from __future__ import annotations

import base64
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
import traitlets
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from segtut.inference import evaluating, export_program
from segtut.widgets.base import Figure

_LARGEST_SHEET = 90_000  # bytes of a sheet without losses; a larger one is written as a JPEG


class DecoderFigure(Figure):
    """A figure with a network from codes (N, K) to pictures (N, channels, height, width), 0-1."""

    _builds_on = ("engine.js", "decoder.js")
    _css = Figure._css + Path(__file__).with_name("decoder.css").read_text(encoding="utf-8")

    channels = traitlets.Int().tag(sync=True)
    height = traitlets.Int().tag(sync=True)
    width = traitlets.Int().tag(sync=True)
    operations = traitlets.List(traitlets.Dict()).tag(sync=True)
    weights = traitlets.Bytes().tag(sync=True)


def decoder_state(decoder: nn.Module, code_size: int) -> dict[str, Any]:
    """The traits of a `DecoderFigure`; the weights are rounded to float16.

    Raises ValueError for a network that a page cannot run or that does not return pictures.
    """
    program = export_program(decoder, "float16")
    shape = tuple(decoded(decoder, torch.zeros(1, code_size)).shape[1:])
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise ValueError(f"the decoder returns {shape} for a code, expected (1 or 3, H, W)")
    sizes = dict(zip(("channels", "height", "width"), shape, strict=True))
    return {**sizes, "operations": program.operations, "weights": program.weights.tobytes()}


def decoded(decoder: nn.Module, codes: Tensor) -> Tensor:
    """Pictures (N, C, H, W) on the CPU of codes (N, K), the network in evaluation mode."""
    device = next(decoder.parameters()).device
    with evaluating(decoder), torch.inference_mode():
        pictures: Tensor = decoder(codes.to(device, torch.float32)).cpu()
    return pictures


def typical_length(size: int) -> tuple[float, float]:
    """Mean and standard deviation of the length of `size` standard normal numbers (chi)."""
    mean = math.sqrt(2) * math.exp(math.lgamma((size + 1) / 2) - math.lgamma(size / 2))
    return mean, math.sqrt(size - mean**2)


def picture_batch(images: Tensor) -> Tensor:
    """Pictures as floats 0-1. images: uint8, or floats 0-1, (N, C, H, W), C 1 or 3.

    Raises ValueError for others.
    """
    pictures = torch.as_tensor(images).detach().cpu()
    known = pictures.dtype == torch.uint8 or pictures.is_floating_point()
    if pictures.ndim != 4 or pictures.shape[1] not in (1, 3) or not known:
        raise ValueError(
            f"images are {pictures.dtype} of shape {tuple(pictures.shape)}, expected uint8, or "
            "floats 0-1, (N, 1 or 3, H, W)"
        )
    floats = pictures.float() / 255 if pictures.dtype == torch.uint8 else pictures.float()
    if not bool(((floats >= 0) & (floats <= 1)).all()):
        raise ValueError("images hold values outside 0 to 1, expected floats 0-1 or uint8")
    return floats


def picture_sheet(pictures: Tensor) -> str:
    """All pictures, (N, C, H, W), 0-1, side by side on a square sheet, as a data URL.

    Few pictures are kept to the last bit, many as a JPEG.
    """
    count, channels, height, width = pictures.shape
    side = math.ceil(math.sqrt(count))
    sheet = torch.zeros(channels, side * height, side * width)
    for number, picture in enumerate(pictures):
        top, left = number // side * height, number % side * width
        sheet[:, top : top + height, left : left + width] = picture
    image = Image.fromarray(displayable(sheet))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    kind = "png"
    if buffer.tell() > _LARGEST_SHEET:
        buffer, kind = io.BytesIO(), "jpeg"
        image.save(buffer, "JPEG", quality=92, subsampling=0)
    return f"data:image/{kind};base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def displayable(picture: Tensor) -> NDArray[np.uint8]:
    """Bytes (H, W, 3), or (H, W) of a gray one. picture: (C, H, W), 0-1."""
    pixels = (255 * picture).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
    return np.ascontiguousarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def show_picture(axes: Any, picture: Tensor, title: str = "") -> None:
    """A picture (C, H, W), 0-1, pixel by pixel on matplotlib axes."""
    axes.imshow(displayable(picture), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_title(title, fontsize=9, loc="left")
    axes.set_axis_off()
