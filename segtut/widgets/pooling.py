"""The figure of section 3.2.2: a signal that moves under three kinds of pooling."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
import traitlets
from numpy.typing import NDArray
from torch import Tensor

from segtut.widgets.base import Figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

_COLUMNS = 24


class PoolingShift(Figure):
    """One row of a feature map, shifted and pooled: max, average, and max with a blur.

    signal: values 0-1 (24,), the row at shift 0; a pole two columns wide when left out. poolings:
    how many poolings by 2 in a row, 1 to 3, at the start. The row is closed to a ring, so that no
    border interferes: what leaves on the right comes back on the left.
    Raises ValueError for another shape, values outside 0-1, or another number of poolings.
    """

    _script: ClassVar[str] = "pooling.js"

    signal = traitlets.List(traitlets.Float()).tag(sync=True)
    poolings = traitlets.Int().tag(sync=True)

    def __init__(self, signal: Tensor | None = None, *, poolings: int = 1) -> None:
        values = _pole() if signal is None else torch.as_tensor(signal).float()
        if tuple(values.shape) != (_COLUMNS,):
            raise ValueError(
                f"signal has the shape {tuple(values.shape)}, expected ({_COLUMNS},): one row"
            )
        if not ((values >= 0) & (values <= 1)).all():
            raise ValueError(
                f"signal reaches from {values.min():.2f} to {values.max():.2f}, expected 0 to 1"
            )
        if poolings not in (1, 2, 3):
            raise ValueError(f"{poolings} poolings were asked for, expected 1, 2 or 3")
        super().__init__(
            classes=[],
            colors=bytes(768),
            signal=[round(value, 3) for value in values.tolist()],
            poolings=poolings,
        )
        self._require_light_state()

    def alternative_text(self) -> str:
        """What the static picture shows, in words."""
        poolings = "one max pooling" if self.poolings == 1 else f"{self.poolings} max poolings"
        return (
            f"A row of {_COLUMNS} values, and below it the same row after {poolings} by two: "
            "one step for each cell, before and after a shift by one column."
        )

    def _draw(self) -> Drawing:
        from matplotlib.figure import Figure as Drawing

        drawing = Drawing(figsize=(7, 2.6), layout="constrained")
        row, pooled = drawing.subplots(2, 1, sharex=True)
        values = np.array(self.signal)
        width = 2**self.poolings
        row.bar(range(_COLUMNS), values, width=0.9, color="#3c3f97")
        row.set_title("one row of a feature map", fontsize=10, loc="left")
        edges = np.arange(_COLUMNS + 1) - 0.5
        for shift, color, style in ((0, "#3c3f97", "-"), (1, "#a3410f", "--")):
            moved: NDArray[np.floating] = np.roll(values, shift).reshape(-1, width).max(axis=1)
            back = np.roll(moved.repeat(width), -shift)
            name = "max pooling" if shift == 0 else "shifted by 1, pooled, shifted back"
            pooled.stairs(back, edges, color=color, linestyle=style, linewidth=2, label=name)
        pooled.legend(frameon=False, fontsize=8, loc="upper right")
        for axes in (row, pooled):
            axes.set_ylim(0, 1.15)
            axes.set_yticks((0, 1))
            axes.spines[["top", "right"]].set_visible(False)
        return drawing


def _pole() -> Tensor:
    """A pole two columns wide and a house's edge, as a channel that looks for them may see them."""
    values = torch.zeros(_COLUMNS)
    values[5:7] = 1.0
    values[15:21] = 0.65
    return values
