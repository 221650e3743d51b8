"""The figure of section 4.1: one transform moves a street and its label map together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import traitlets
from torch import Tensor

from segtut.data.dataset import RGB
from segtut.widgets.base import Figure, check_classes, color_table, image_array, label_array

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


class AugmentationExplorer(Figure):
    """A street and its label map under rotation, shear, zoom and flip, done right and wrong.

    image: uint8 (3, H, W). target: integers (H, W), classes or 255. palette: RGB 0-255 a class.
    Raises ValueError when sizes, classes and colors do not fit.
    """

    _script = "augmentation.js"

    height = traitlets.Int().tag(sync=True)
    width = traitlets.Int().tag(sync=True)
    image = traitlets.Bytes().tag(sync=True)
    labels = traitlets.Bytes().tag(sync=True)

    def __init__(
        self, image: Tensor, target: Tensor, *, classes: Sequence[str], palette: Sequence[RGB]
    ) -> None:
        check_classes(classes, palette)
        pixels = image_array(image, "image")
        labels = label_array(target, len(classes), "target")
        if pixels.shape[:2] != labels.shape:
            raise ValueError(
                f"the image is {pixels.shape[:2]} and its target {labels.shape}, expected one size"
            )
        super().__init__(
            classes=list(classes),
            colors=color_table(palette),
            height=labels.shape[0],
            width=labels.shape[1],
            image=pixels.tobytes(),
            labels=labels.tobytes(),
        )
        self._require_light_state()

    def alternative_text(self) -> str:
        """What the static picture shows, in words."""
        present = set(self.labels)
        shown = [name for label, name in enumerate(self.classes) if label in present]
        return f"A picture and its label map, side by side. Labeled: {', '.join(shown)}."

    def _draw(self) -> Drawing:
        from matplotlib.figure import Figure as Drawing

        drawing = Drawing(figsize=(7, 3))
        size = (self.height, self.width)
        colors = np.frombuffer(self.colors, np.uint8).reshape(256, 3)
        labels = np.frombuffer(self.labels, np.uint8).reshape(size)
        picture = np.frombuffer(self.image, np.uint8).reshape(*size, 3)
        panels = (("Picture", picture), ("Label map", colors[labels]))
        for axes, (title, pixels) in zip(drawing.subplots(1, 2), panels, strict=True):
            axes.imshow(pixels, interpolation="nearest")
            axes.set_title(title, fontsize=10, loc="left")
            axes.set_axis_off()
        return drawing
