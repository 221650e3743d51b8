"""The figure of section 3.2.4: a trained U-Net that labels, in the page, what the reader paints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets
from numpy.typing import NDArray
from torch import Tensor, nn

from segtut.data.dataset import RGB
from segtut.inference import export_program, predict
from segtut.widgets.base import Figure, check_classes, color_table, street_arrays

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

_STAMPED = ("pole", "car", "person")


class LiveNetwork(Figure):
    """A network that runs in the page on a street that the reader picks, paints on and disturbs.

    model: what `segtut.inference.export_program` can write down, such as a narrow `UNet`; its
    weights travel as float16. images: uint8 (S, 3, H, W), targets: integers (S, H, W), classes or
    255, names: one a street. Classes called pole, car and person are put down as cut-outs of the
    largest whole one among the streets, the others are painted. Raises ValueError when sizes,
    classes, colors, names and the network do not fit, or for more than 700 kB.
    """

    _script = "live.js"
    _builds_on = ("engine.js",)
    _largest_state = 700_000

    height = traitlets.Int().tag(sync=True)
    width = traitlets.Int().tag(sync=True)
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    pictures = traitlets.Bytes().tag(sync=True)
    labels = traitlets.Bytes().tag(sync=True)
    stamps = traitlets.List(traitlets.Dict()).tag(sync=True)
    operations = traitlets.List(traitlets.Dict()).tag(sync=True)
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
        if not 2 <= len(classes) <= 9:
            raise ValueError(f"{len(classes)} classes were given, expected 2 to 9: one digit each")
        pictures, labels = street_arrays(images, targets, names, len(classes))
        program = export_program(model, "float16")
        first = predict(model, images[0])
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
            stamps=cut_outs(labels, classes),
            operations=program.operations,
            weights=program.weights.tobytes(),
        )
        self._first_answer = first.argmax(dim=0).cpu().numpy()
        self._require_light_state()

    def alternative_text(self) -> str:
        """What the static picture shows, in words."""
        names = ", ".join(self.classes)
        return f"A street to paint on, and the label map a small U-Net gives it ({names})."

    def _draw(self) -> Drawing:
        from matplotlib.figure import Figure as Drawing

        drawing = Drawing(figsize=(7, 2.9))
        shape = (-1, self.height, self.width, 3)
        picture = np.frombuffer(self.pictures, np.uint8).reshape(shape)[0]
        colors = np.frombuffer(self.colors, np.uint8).reshape(256, 3)
        panels = (("The street", picture), ("What the network says", colors[self._first_answer]))
        for axes, (title, pixels) in zip(drawing.subplots(1, 2), panels, strict=True):
            axes.imshow(pixels, interpolation="nearest")
            axes.set_title(title, fontsize=10, loc="left")
            axes.set_axis_off()
        return drawing


def cut_outs(labels: NDArray[np.uint8], classes: Sequence[str]) -> list[dict[str, Any]]:
    """Where the largest whole pole, car and person stand; a class without one is left out.

    labels: (S, H, W). One dictionary each: "label", "street" (S), and the box "top", "left",
    "height", "width" of the pixels of that label which belong to it.
    """
    from scipy import ndimage

    found = []
    for label, name in enumerate(classes):
        if name not in _STAMPED:
            continue
        largest, best = 0, None
        for street, map_ in enumerate(labels):
            pieces, _ = ndimage.label(map_ == label, np.ones((3, 3)))
            for number, (rows, columns) in enumerate(ndimage.find_objects(pieces), start=1):
                size = int((pieces[rows, columns] == number).sum())
                whole = rows.start > 0 and columns.start > 0
                whole = whole and rows.stop < map_.shape[0] and columns.stop < map_.shape[1]
                if whole and size > largest:
                    box = {"top": rows.start, "left": columns.start}
                    box |= {"height": rows.stop - rows.start, "width": columns.stop - columns.start}
                    largest, best = size, {"label": label, "street": street, **box}
        if best is not None:
            found.append(best)
    return found
