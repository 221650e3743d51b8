"""The figure of section 6: the reader's own label map, decoded and examined in the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import traitlets
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from segtut.data.dataset import RGB
from segtut.widgets.base import Figure, check_classes, color_table, image_array, jpeg_url

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

_MIME = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "BMP": "image/bmp"}
_NO_NUMBERS = (150, 150, 150)
_A_ROW = 4  # files in the static picture


class MaskDoctor(Figure):
    """A picture, files that claim to be its label map, and what is wrong with each.

    The files are decoded in the page, palette and all, and so are those that the reader chooses
    or drops; nothing leaves the page. image: uint8 (3, H, W). masks: content of a PNG, JPEG, WebP
    or BMP file by a short name; the first is shown first. Raises ValueError when a file is of
    another format, for classes without a color each, and for more than 300 kB.
    """

    _script = "mask_doctor.js"
    _css = Figure._css + Path(__file__).with_name("mask_doctor.css").read_text(encoding="utf-8")

    picture = traitlets.Unicode().tag(sync=True)
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    files = traitlets.List(traitlets.Unicode()).tag(sync=True)

    def __init__(
        self,
        image: Tensor,
        masks: Mapping[str, bytes],
        *,
        classes: Sequence[str],
        palette: Sequence[RGB],
    ) -> None:
        check_classes(classes, palette)
        if not masks:
            raise ValueError("no masks were given, expected at least one file")
        super().__init__(
            classes=list(classes),
            colors=color_table(palette),
            picture=jpeg_url(image_array(image, "image")),
            names=list(masks),
            files=[_data_url(name, content) for name, content in masks.items()],
        )
        self._require_light_state()

    def alternative_text(self) -> str:
        """What the static picture shows, in words."""
        told = "; ".join(
            f"{name}: {_described(content)}"
            for name, content in zip(self.names, self._contents(), strict=True)
        )
        return (
            "Files that claim to be the label map of one street, above as a viewer shows them and "
            f"below as a loss reads them. {told}."
        )

    def _contents(self) -> list[bytes]:
        return [base64.b64decode(url.partition(",")[2]) for url in self.files]

    def _draw(self) -> Drawing:
        from matplotlib.figure import Figure as Drawing

        colors = np.frombuffer(self.colors, np.uint8).reshape(256, 3)
        files = list(zip(self.names, self._contents(), strict=True))
        rows, columns = -(-len(files) // _A_ROW), min(_A_ROW, len(files))
        drawing = Drawing(figsize=(1.8 * columns, 3.1 * rows), layout="constrained")
        axes = drawing.subplots(2 * rows, columns, squeeze=False)
        for place, (name, content) in enumerate(files):
            row, column = 2 * (place // columns), place % columns
            with Image.open(io.BytesIO(content)) as file:
                viewed, values = np.array(file.convert("RGB")), np.array(file)
            read = np.full_like(viewed, _NO_NUMBERS) if values.ndim == 3 else colors[values]
            axes[row, column].imshow(viewed, interpolation="nearest")
            axes[row + 1, column].imshow(read, interpolation="nearest")
            axes[row, column].set_title(name, fontsize=9, loc="left")
        for axis in axes.flat:
            axis.set_axis_off()
        return drawing


def _data_url(name: str, content: bytes) -> str:
    with Image.open(io.BytesIO(content)) as file:
        kind = file.format or ""
    if kind not in _MIME:
        raise ValueError(f"{name!r} is a {kind} file, expected one of {', '.join(_MIME)}")
    return f"data:{_MIME[kind]};base64," + base64.b64encode(content).decode("ascii")


def _described(content: bytes) -> str:
    with Image.open(io.BytesIO(content)) as file:
        kind, values = file.format, np.array(file)
    height, width = values.shape[:2]
    return f"{kind} of {width} by {height} pixels with {_distinct(values)}"


def _distinct(values: NDArray[np.generic]) -> str:
    if values.ndim == 3:
        return f"{len(np.unique(values.reshape(-1, values.shape[2]), axis=0))} colors"
    return f"{len(np.unique(values))} values"
