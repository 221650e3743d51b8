"""The figure of section 4.2: a network drawn as boxes, counted, and what one pixel sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import traitlets
from torch import Tensor

from segtut.data.dataset import RGB
from segtut.widgets.base import Figure, check_classes, color_table, image_array, jpeg_url

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


class NetworkGeometry(Figure):
    """Sliders for the U-Net's depth, width and input; beside it the article's classifier.

    image: uint8 (3, H, W), a street on which the receptive field is drawn. depth, width: where the
    sliders start, as in `segtut.models.UNet`. Counts and receptive fields are those of
    `UNet(len(classes), width, depth)` and `ArticleClassifier`.
    Raises ValueError for another image, or a depth or width off the sliders.
    """

    _script = "geometry.js"

    picture = traitlets.Unicode().tag(sync=True)
    depth = traitlets.Int().tag(sync=True)
    channels = traitlets.Int().tag(sync=True)

    def __init__(
        self,
        image: Tensor,
        *,
        classes: Sequence[str],
        palette: Sequence[RGB],
        depth: int = 4,
        width: int = 16,
    ) -> None:
        check_classes(classes, palette)
        if not 1 <= depth <= 6 or width not in range(4, 65, 4):
            raise ValueError(
                f"depth {depth} and width {width} were given, expected a depth of 1 to 6 and a "
                "width of 4 to 64 in steps of 4"
            )
        self._pixels = image_array(image, "image")
        super().__init__(
            classes=list(classes),
            colors=color_table(palette),
            picture=jpeg_url(self._pixels),
            depth=depth,
            channels=width,
        )
        self._require_light_state()

    def alternative_text(self) -> str:
        """What the static picture shows, in words."""
        return (
            f"A U-Net of {self.depth} levels as boxes: {' to '.join(map(str, self._widths()))} "
            "channels down the left side, back up the right side, a skip across at each level."
        )

    def _widths(self) -> list[int]:
        return [self.channels * 2**level for level in range(self.depth)]

    def _draw(self) -> Drawing:
        from matplotlib.figure import Figure as Drawing
        from matplotlib.patches import Rectangle

        drawing = Drawing(figsize=(7, 3))
        boxes, street = drawing.subplots(1, 2, width_ratios=(3, 2))
        bottom = self.depth - 1
        for level, channels in enumerate(self._widths()):
            side, wide = 2.0 * (bottom - level), 1.6 / 2**level
            boxes.plot((-side, side), (-level, -level), color="#5b5c68", linestyle=":", zorder=0)
            for place, color in (
                (side, "#a3410f"),
                (-side, "#3c3f97"),
            ):  # the bottom is the encoder's
                tall = 0.1 + 0.06 * np.log2(channels)
                corner = (place - wide / 2, -level - tall / 2)
                boxes.add_patch(Rectangle(corner, wide, tall, color=color))
            boxes.text(0, -level + 0.33, f"{channels}", ha="center", fontsize=9)
        boxes.set_xlim(-2.0 * bottom - 1.2, 2.0 * bottom + 1.2)
        boxes.set_ylim(-bottom - 0.6, 0.6)
        boxes.set_axis_off()
        street.imshow(self._pixels)
        street.set_axis_off()
        return drawing
