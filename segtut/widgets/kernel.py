"""The first figure of section 3.2.1: a kernel of nine weights slid over a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import traitlets
from numpy.typing import NDArray
from torch import Tensor

from segtut.widgets.base import Figure, image_array

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

KERNELS: dict[str, tuple[tuple[float, ...], float]] = {
    "identity": ((0, 0, 0, 0, 1, 0, 0, 0, 0), 1),
    "blur": ((1, 2, 1, 2, 4, 2, 1, 2, 1), 16),
    "vertical edges": ((-1, 0, 1, -2, 0, 2, -1, 0, 1), 1),
    "horizontal edges": ((-1, -2, -1, 0, 0, 0, 1, 2, 1), 1),
    "outline": ((-1, -1, -1, -1, 8, -1, -1, -1, -1), 1),
    "sharpen": ((0, -1, 0, -1, 5, -1, 0, -1, 0), 1),
    "emboss": ((-2, -1, 0, -1, 1, 1, 0, 1, 2), 1),
}
"""Nine weights, row by row, and what their sum of products is divided by."""


class KernelEditor(Figure):
    """A 3x3 kernel to edit and to drag over a picture; the output map is computed in the page.

    image: uint8 (3, H, W). kernel: the name in `KERNELS` of the weights to begin with. place: row
    and column of the pixel under the window's center, counted from 0; the middle when left out.
    Raises ValueError for another image, name or a place where the window does not fit.
    """

    _script = "kernel.js"
    _css = Figure._css + Path(__file__).with_name("convolution.css").read_text(encoding="utf-8")

    height = traitlets.Int().tag(sync=True)
    width = traitlets.Int().tag(sync=True)
    pixels = traitlets.Bytes().tag(sync=True)
    kernels = traitlets.List(traitlets.Any()).tag(sync=True)
    """Name, weights and divisor of each: a list, since a page sorts the keys of a dictionary."""

    kernel = traitlets.Unicode().tag(sync=True)
    place = traitlets.List(traitlets.Int()).tag(sync=True)

    def __init__(
        self,
        image: Tensor,
        *,
        kernel: str = "vertical edges",
        place: tuple[int, int] | None = None,
    ) -> None:
        pixels = image_array(image, "image")
        height, width = pixels.shape[:2]
        if kernel not in KERNELS:
            raise ValueError(f"no kernel is named {kernel!r}, expected one of {', '.join(KERNELS)}")
        row, column = place or (height // 2, width // 2)
        if not (1 <= row <= height - 2 and 1 <= column <= width - 2):
            raise ValueError(
                f"a 3x3 window at {(row, column)} leaves the picture of {height} x {width} pixels: "
                "its center must be a pixel away from each side"
            )
        super().__init__(
            height=height,
            width=width,
            pixels=pixels.tobytes(),
            kernels=[[name, list(weights), by] for name, (weights, by) in KERNELS.items()],
            kernel=kernel,
            place=[row, column],
        )
        self._require_light_state()

    def alternative_text(self) -> str:
        """What the static picture shows, in words."""
        return f"A street in gray, and what the 3 × 3 kernel '{self.kernel}' makes of it."

    def _gray(self) -> NDArray[np.int64]:
        """The picture in whole gray levels, rounded as the script rounds."""
        colors = np.frombuffer(self.pixels, np.uint8).reshape(self.height, self.width, 3)
        return (colors.astype(np.int64) @ np.array([299, 587, 114]) + 500) // 1000

    def _draw(self) -> Drawing:
        from matplotlib.figure import Figure as Drawing
        from scipy.signal import correlate2d

        gray = self._gray()
        weights, by = KERNELS[self.kernel]
        output = correlate2d(gray, np.reshape(weights, (3, 3)), mode="valid") / by
        largest = np.abs(output).max()
        limits = (-largest, largest) if sum(weights) == 0 else (0, 255)
        drawing = Drawing(figsize=(5.4, 2.3))
        before, after = drawing.subplots(1, 2)
        before.imshow(gray, cmap="gray", vmin=0, vmax=255)
        after.imshow(output, cmap="gray", vmin=limits[0], vmax=limits[1])
        for axes, title in ((before, "Picture"), (after, f"Output of '{self.kernel}'")):
            axes.set_title(title, fontsize=10, loc="left")
            axes.set_axis_off()
        return drawing
