"""The figure of section 2: IoU by hand on a 4x4 grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import traitlets
from torch import Tensor

from segtut.widgets.base import Figure, label_array

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

_TRUTH = ((0, 0, 0, 0), (0, 1, 1, 0), (0, 1, 1, 0), (0, 1, 1, 0))
_PREDICTION = ((0, 0, 0, 0), (0, 0, 1, 1), (0, 1, 1, 1), (0, 0, 1, 0))
_COLORS = {"TP": "#3c3f97", "FP": "#e8743b", "FN": "#e6c54a", "TN": "#edeae1"}


class GridScores(Figure):
    """Two small grids to paint, and accuracy, IoU and Dice of one class with their arithmetic.

    truth, prediction: (S, S) of 0 and 1, the same S of 2 to 8. classes: what 0 and 1 are called.
    Raises ValueError for other shapes or labels.
    """

    _script = "grid.js"

    side = traitlets.Int().tag(sync=True)
    truth = traitlets.Bytes().tag(sync=True)
    prediction = traitlets.Bytes().tag(sync=True)

    def __init__(
        self,
        truth: Tensor | None = None,
        prediction: Tensor | None = None,
        *,
        classes: Sequence[str] = ("background", "person"),
    ) -> None:
        if len(classes) != 2:
            raise ValueError(f"{len(classes)} classes were given, expected two: not it, and it")
        grids = {
            "truth": torch.tensor(_TRUTH) if truth is None else truth,
            "prediction": torch.tensor(_PREDICTION) if prediction is None else prediction,
        }
        arrays = {name: label_array(grid, 2, name) for name, grid in grids.items()}
        shapes = {array.shape for array in arrays.values()}
        height, width = arrays["truth"].shape
        if len(shapes) > 1 or height != width or not 2 <= height <= 8:
            raise ValueError(
                f"truth is {arrays['truth'].shape} and prediction {arrays['prediction'].shape}, "
                "expected two squares of the same side, 2 to 8"
            )
        if any(array.max() > 1 for array in arrays.values()):
            raise ValueError("a grid holds void (255), expected 0 and 1 only")
        super().__init__(
            classes=list(classes),
            side=height,
            **{name: array.tobytes() for name, array in arrays.items()},
        )

    def _verdicts(self) -> list[list[str]]:
        names = np.array([["TN", "FP"], ["FN", "TP"]])
        truth, prediction = (np.frombuffer(x, np.uint8) for x in (self.truth, self.prediction))
        return names[truth, prediction].reshape(self.side, self.side).tolist()

    def alternative_text(self) -> str:
        """What the static picture shows, in words."""
        found = [kind for row in self._verdicts() for kind in row]
        counted = ", ".join(f"{found.count(kind)} {kind}" for kind in _COLORS)
        return f"A grid of truth, a grid of prediction, and the two compared: {counted}."

    def _draw(self) -> Drawing:
        from matplotlib.colors import to_rgb
        from matplotlib.figure import Figure as Drawing

        drawing = Drawing(figsize=(7, 2.6))
        dark, pale = to_rgb(_COLORS["TP"]), to_rgb(_COLORS["TN"])
        verdicts = self._verdicts()
        painted = [
            [[dark if cell else pale for cell in row] for row in self._rows(grid)]
            for grid in (self.truth, self.prediction)
        ]
        compared = [[to_rgb(_COLORS[kind]) for kind in row] for row in verdicts]
        titles = ("Truth", "Prediction", "Compared")
        for axes, title, grid in zip(
            drawing.subplots(1, 3), titles, (*painted, compared), strict=True
        ):
            axes.imshow(np.array(grid))
            axes.set_title(title, fontsize=10, loc="left")
            axes.set_xticks(np.arange(self.side + 1) - 0.5, [])
            axes.set_yticks(np.arange(self.side + 1) - 0.5, [])
            axes.grid(color="white", linewidth=2)
            axes.tick_params(length=0)
        for row, kinds in enumerate(verdicts):
            for column, kind in enumerate(kinds):
                color = "white" if kind == "TP" else "#26272e"
                axes.text(column, row, kind, ha="center", va="center", color=color, fontsize=9)
        return drawing

    def _rows(self, grid: bytes) -> list[list[int]]:
        return np.frombuffer(grid, np.uint8).reshape(self.side, self.side).tolist()
