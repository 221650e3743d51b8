"""The second figure of section 3.2.1: sizes and receptive fields, drawn on the pixels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import traitlets
from torch import Tensor

from segtut.widgets.base import Figure, image_array

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

_SIDE = 16
_LIMITS = {"size": (3, _SIDE), "kernel": (1, 7), "stride": (1, 4), "padding": (0, 4)}
_LIMITS["dilation"] = (1, 4)


class ConvolutionGeometry(Figure):
    """Sliders for size, kernel, stride, padding and dilation; which cells an output reads.

    image: uint8 (3, 16, 16), the pixels that are drawn as cells. size, kernel, stride, padding,
    dilation: where the sliders start. Below, what one output of a stack of such layers sees.
    Raises ValueError for another image or a start off the sliders.
    """

    _script = "convolution.js"
    _css = Figure._css + Path(__file__).with_name("convolution.css").read_text(encoding="utf-8")

    pixels = traitlets.Bytes().tag(sync=True)
    side = traitlets.Int(_SIDE).tag(sync=True)
    limits = traitlets.Dict().tag(sync=True)
    start = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        image: Tensor,
        *,
        size: int = 10,
        kernel: int = 3,
        stride: int = 2,
        padding: int = 0,
        dilation: int = 1,
    ) -> None:
        pixels = image_array(image, "image")
        if pixels.shape != (_SIDE, _SIDE, 3):
            raise ValueError(f"image has the shape {tuple(image.shape)}, expected (3, 16, 16)")
        start = {"size": size, "kernel": kernel, "stride": stride, "padding": padding}
        start["dilation"] = dilation
        for name, value in start.items():
            low, high = _LIMITS[name]
            if not low <= value <= high:
                raise ValueError(f"{name} {value} was given, expected {low} to {high}")
        limits = {name: list(ends) for name, ends in _LIMITS.items()}
        super().__init__(pixels=pixels.tobytes(), limits=limits, start=start)
        self._require_light_state()

    def alternative_text(self) -> str:
        """What the static picture shows, in words."""
        size, kernel, stride = (self.start[name] for name in ("size", "kernel", "stride"))
        return (
            f"An input of {size} × {size} cells with the {kernel} × {kernel} cells marked that the "
            f"first output of a convolution with stride {stride} reads; the output beside it has "
            f"{self._outputs()} × {self._outputs()} cells."
        )

    def _outputs(self) -> int:
        start = self.start
        reach = start["dilation"] * (start["kernel"] - 1)
        return max(0, (start["size"] + 2 * start["padding"] - reach - 1) // start["stride"] + 1)

    def _draw(self) -> Drawing:
        from matplotlib.figure import Figure as Drawing
        from matplotlib.patches import Rectangle

        size, padding = self.start["size"], self.start["padding"]
        pixels = np.frombuffer(self.pixels, np.uint8).reshape(_SIDE, _SIDE, 3)[:size, :size]
        drawing = Drawing(figsize=(7, 3.4))
        before, after = drawing.subplots(1, 2)
        before.imshow(pixels)
        steps = self.start["dilation"] * np.arange(self.start["kernel"]) - padding
        for row in steps:
            for column in steps:
                corner = (column - 0.5, row - 0.5)
                before.add_patch(Rectangle(corner, 1, 1, fill=False, color="#b3240a", linewidth=2))
        outputs = self._outputs()
        after.imshow(np.full((max(1, outputs),) * 2, 0.9), cmap="gray", vmin=0, vmax=1)
        for edge in range(outputs + 1):
            after.axhline(edge - 0.5, color="#5b5c68", linewidth=0.7)
            after.axvline(edge - 0.5, color="#5b5c68", linewidth=0.7)
        for axes, title in ((before, "Input"), (after, "Output")):
            axes.set(xlim=(-padding - 0.6, size + padding - 0.4))
            axes.set(ylim=(size + padding - 0.4, -padding - 0.6))
            axes.set_title(title, fontsize=10, loc="left")
            axes.set_axis_off()
        return drawing
