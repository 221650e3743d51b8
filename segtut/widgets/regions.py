"""The figure of section 1: a region of similar colors, grown from a pixel, against the truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import traitlets
from torch import Tensor

from segtut.data.dataset import RGB, VOID
from segtut.widgets.base import Figure, check_classes, color_table, image_array, label_array

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


class RegionGrower(Figure):
    """A seed to move and a tolerance to set: which pixels join, and how well they fit the truth.

    image: uint8 (3, H, W). target: integers (H, W), classes or 255. seed: row and column to start
    from. tolerance: distance of two colors in levels of 255, Euclidean in RGB, 0 to 200.
    The region is compared with the connected piece of the label map that holds the seed, by IoU,
    void left out. Raises ValueError when sizes, classes, colors, seed or tolerance do not fit.
    """

    _script = "regions.js"

    height = traitlets.Int().tag(sync=True)
    width = traitlets.Int().tag(sync=True)
    pixels = traitlets.Bytes().tag(sync=True)
    labels = traitlets.Bytes().tag(sync=True)
    seed = traitlets.Int().tag(sync=True)
    tolerance = traitlets.Int().tag(sync=True)

    def __init__(
        self,
        image: Tensor,
        target: Tensor,
        *,
        classes: Sequence[str],
        palette: Sequence[RGB],
        seed: tuple[int, int],
        tolerance: int = 30,
    ) -> None:
        check_classes(classes, palette)
        pixels = image_array(image, "image")
        labels = label_array(target, len(classes), "target")
        if pixels.shape[:2] != labels.shape:
            raise ValueError(
                f"image is {pixels.shape[:2]} and target {labels.shape}, expected one size"
            )
        height, width = labels.shape
        row, column = seed
        if not (0 <= row < height and 0 <= column < width):
            raise ValueError(f"the seed {seed} lies outside of the picture of {labels.shape}")
        if not 0 <= tolerance <= 200:
            raise ValueError(f"a tolerance of {tolerance} was given, expected 0 to 200 levels")
        super().__init__(
            classes=list(classes),
            colors=color_table(palette),
            height=height,
            width=width,
            pixels=pixels.tobytes(),
            labels=labels.tobytes(),
            seed=row * width + column,
            tolerance=tolerance,
        )
        self._require_light_state()

    def alternative_text(self) -> str:
        """What the static picture shows, in words."""
        label = np.frombuffer(self.labels, np.uint8)[self.seed]
        thing = "a contour" if label == VOID else self.classes[label]
        return (
            f"A street, a seed on {thing}, and the region of colors within {self.tolerance} levels "
            "of the seed's that is connected with it; beside it the label map."
        )

    def _draw(self) -> Drawing:
        from matplotlib.figure import Figure as Drawing
        from skimage.segmentation import flood

        shape = (self.height, self.width)
        pixels = np.frombuffer(self.pixels, np.uint8).reshape(*shape, 3)
        labels = np.frombuffer(self.labels, np.uint8).reshape(shape)
        row, column = divmod(self.seed, self.width)
        distance = np.linalg.norm(pixels.astype(float) - pixels[row, column], axis=2)
        region = flood(distance, (row, column), tolerance=self.tolerance, connectivity=1)
        shown = np.where(region[..., None], 0.58 * pixels + 107, 0.45 * pixels + 33).astype(
            np.uint8
        )
        drawing = Drawing(figsize=(7, 2.9))
        colors = np.frombuffer(self.colors, np.uint8).reshape(256, 3)
        panels = ((f"Within {self.tolerance} levels of the seed", shown), ("Truth", colors[labels]))
        for axes, (title, picture) in zip(drawing.subplots(1, 2), panels, strict=True):
            axes.imshow(picture, interpolation="nearest")
            axes.plot(column, row, "s", color="white", markeredgecolor="black", markersize=5)
            axes.set_title(title, fontsize=10, loc="left")
            axes.set_axis_off()
        return drawing
