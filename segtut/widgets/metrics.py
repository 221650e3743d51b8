"""The figure of section 4.4: paint a prediction and watch the scores disagree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import traitlets
from torch import Tensor

from segtut.data.dataset import RGB
from segtut.data.palette import STREETS_PALETTE
from segtut.widgets.base import Figure, check_classes, color_table, label_array

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

_CLASSES = ("background", "car", "person")
_PALETTE = (STREETS_PALETTE[3], STREETS_PALETTE[6], STREETS_PALETTE[7])

# A car and a person, few enough cells to count by hand. Dots are background.
_STREET = """
............................
............................
......................pp....
......................pp....
.....................pppp...
......cccccc........p.pp.p..
.....cccccccc.......p.pp.p..
....cccccccccc........pp....
..cccccccccccccc.....p..p...
..cccccccccccccc.....p..p...
..cccccccccccccc.....p..p...
...cc.......cc.......p..p...
............................
............................
............................
............................
"""


class MetricsPlayground(Figure):
    """Two small label grids to paint, truth and prediction, and every score of section 4.4.

    target: integers (H, W), classes or 255, at most 64 cells a side; a car and a person when left
    out. palette: RGB 0-255 a class. The first class is the background of the presets, the last one
    the thing that goes missing. Raises ValueError when sizes, classes and colors do not fit.
    """

    _script = "metrics.js"

    height = traitlets.Int().tag(sync=True)
    width = traitlets.Int().tag(sync=True)
    labels = traitlets.Bytes().tag(sync=True)

    def __init__(
        self,
        target: Tensor | None = None,
        *,
        classes: Sequence[str] = _CLASSES,
        palette: Sequence[RGB] = _PALETTE,
    ) -> None:
        check_classes(classes, palette)
        if not 2 <= len(classes) <= 10:
            raise ValueError(f"{len(classes)} classes were given, expected 2 to 10: one digit each")
        labels = label_array(_street() if target is None else target, len(classes), "target")
        if max(labels.shape) > 64:
            raise ValueError(
                f"target is {labels.shape}, expected at most 64 cells a side, large enough to paint"
            )
        super().__init__(
            classes=list(classes),
            colors=color_table(palette),
            height=labels.shape[0],
            width=labels.shape[1],
            labels=labels.tobytes(),
        )
        self._require_light_state()

    def alternative_text(self) -> str:
        """What the static picture shows, in words."""
        names = ", ".join(self.classes)
        return f"Two label grids ({names}): the truth, and the same grid shifted by one cell."

    def _draw(self) -> Drawing:
        from matplotlib.figure import Figure as Drawing

        drawing = Drawing(figsize=(7, 2.3))
        labels = np.frombuffer(self.labels, np.uint8).reshape(self.height, self.width)
        colors = np.frombuffer(self.colors, np.uint8).reshape(256, 3)
        shifted = np.concatenate([labels[:, :1], labels[:, :-1]], axis=1)
        panels = (("Truth", labels), ("Prediction, shifted by one cell", shifted))
        for axes, (title, grid) in zip(drawing.subplots(1, 2), panels, strict=True):
            axes.imshow(colors[grid], interpolation="nearest")
            axes.set_title(title, fontsize=10, loc="left")
            axes.set_axis_off()
        return drawing


def _street() -> Tensor:
    """The drawing above as labels (H, W)."""
    rows = _STREET.split()
    return torch.tensor([[".cp".index(cell) for cell in row] for row in rows])
