"""The figure of section 5.3: a network in bad weather, and how often it should keep silent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import traitlets
from numpy.typing import NDArray
from torch import Tensor, nn

from segtut.data.dataset import RGB, VOID
from segtut.inference import export_program, predict
from segtut.widgets.base import Figure, check_classes, color_table, street_arrays

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

_SHARES = (0.0, 0.5, 1.0)


class WeatherShift(Figure):
    """A network that runs in the page on a street that the reader darkens, veils and disturbs.

    It normalizes by the stored statistics, by those of the picture or by the mean of both, and
    leaves out the labels that it is less sure of than the reader asks.

    model: a network with batch normalization that `segtut.inference.export_program` can write
    down, such as a narrow `UNet`; its weights travel as float16. images: uint8 (S, 3, H, W),
    targets: integers (S, H, W), classes or 255, names: one a street. The first street is the one
    that the others are compared with. Raises ValueError when sizes, classes, colors, names and the
    network do not fit, or for more than 700 kB.
    """

    _script = "weather_shift.js"
    _builds_on = ("engine.js",)
    _largest_state = 700_000
    _css = Figure._css + Path(__file__).with_name("label_painter.css").read_text(encoding="utf-8")

    height = traitlets.Int().tag(sync=True)
    width = traitlets.Int().tag(sync=True)
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    pictures = traitlets.Bytes().tag(sync=True)
    labels = traitlets.Bytes().tag(sync=True)
    programs = traitlets.List(traitlets.List(traitlets.Dict())).tag(sync=True)
    """Operations with none, half and all of the statistics taken from the picture."""
    weights = traitlets.Bytes().tag(sync=True)

    def __init__(
        self,
        model: nn.Module,
        images: Tensor,
        targets: Tensor,
        *,
        names: Sequence[str],
        classes: Sequence[str],
        palette: Sequence[RGB],
    ) -> None:
        check_classes(classes, palette)
        pictures, labels = street_arrays(images, targets, names, len(classes))
        programs = [export_program(model, "float16", share) for share in _SHARES]
        if all(step["op"] != "standardize" for step in programs[-1].operations):
            raise ValueError("the network has no batch normalization, expected one with statistics")
        first = predict(model, images[0]).cpu()
        if first.shape[0] != len(classes):
            raise ValueError(f"the network has {first.shape[0]} classes, expected {len(classes)}")
        super().__init__(
            classes=list(classes),
            colors=color_table(palette),
            height=labels.shape[1],
            width=labels.shape[2],
            names=list(names),
            pictures=pictures.tobytes(),
            labels=labels.tobytes(),
            programs=[program.operations for program in programs],
            weights=programs[0].weights.tobytes(),
        )
        confidence, said = first.softmax(dim=0).max(dim=0)
        self._first_answer = said.numpy(), confidence.numpy()
        self._require_light_state()

    def alternative_text(self) -> str:
        """What the static picture shows, in words."""
        said, confidence = self._first_answer
        truth = self._first_truth()
        wrong = (said != truth)[truth != VOID].mean()
        return (
            f"{self.names[0]}: the street, the labels that a small network gives it, "
            f"{wrong:.0%} of them wrong, and how sure it is of each, {confidence.mean():.0%} on "
            "the mean."
        )

    def _first_truth(self) -> NDArray[np.uint8]:
        return np.frombuffer(self.labels, np.uint8).reshape(-1, self.height, self.width)[0]

    def _draw(self) -> Drawing:
        from matplotlib.figure import Figure as Drawing

        said, confidence = self._first_answer
        picture = np.frombuffer(self.pictures, np.uint8).reshape(-1, self.height, self.width, 3)[0]
        colors = np.frombuffer(self.colors, np.uint8).reshape(256, 3)
        gray = (255 * confidence[..., None].repeat(3, axis=-1)).astype(np.uint8)
        panels = {"The street": picture, "Its labels": colors[said], "How sure it is": gray}
        drawing = Drawing(figsize=(7, 2.1))
        for axes, (title, pixels) in zip(drawing.subplots(1, 3), panels.items(), strict=True):
            axes.imshow(pixels, interpolation="nearest")
            axes.set_title(title, fontsize=10, loc="left")
            axes.set_axis_off()
        return drawing
