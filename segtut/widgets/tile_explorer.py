"""The figure of section 5.1: a street labeled tile by tile, beside its label map in one piece."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import traitlets
from numpy.typing import NDArray
from torch import Tensor, nn

from segtut.data.dataset import RGB
from segtut.inference import export_program, predict
from segtut.models.geometry import receptive_field
from segtut.widgets.base import Figure, check_classes, color_table, street_arrays

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

_OPENING_TILE = 64


class TileExplorer(Figure):
    """A network that runs in the page tile by tile, and where its answer is not that of the whole.

    The reader chooses the side of the tiles, how far they overlap, where their grid begins, and
    whether overlapping logits are blended or each tile keeps its middle alone.

    model: what `segtut.inference.export_program` can write down, such as a narrow `UNet`; its
    weights travel as float16. images: uint8 (S, 3, H, W), one side above 64 pixels; targets:
    integers (S, H, W), classes or 255; names: one a street. Raises ValueError when sizes, classes,
    colors, names and the network do not fit, or for more than 700 kB.
    """

    _script = "tile_explorer.js"
    _builds_on = ("engine.js",)
    _largest_state = 700_000

    height = traitlets.Int().tag(sync=True)
    width = traitlets.Int().tag(sync=True)
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    pictures = traitlets.Bytes().tag(sync=True)
    labels = traitlets.Bytes().tag(sync=True)
    field = traitlets.Int().tag(sync=True)
    """Side of the network's receptive field, in pixels."""
    tile = traitlets.Int(_OPENING_TILE).tag(sync=True)
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
        pictures, labels = street_arrays(images, targets, names, len(classes))
        if max(labels.shape[1:]) <= _OPENING_TILE:
            raise ValueError(
                f"the streets are {labels.shape[1]} by {labels.shape[2]} pixels, expected one side "
                f"above {_OPENING_TILE}: there is nothing to cut"
            )
        program = export_program(model, "float16")
        whole = predict(model, images[0])
        if whole.shape[0] != len(classes):
            raise ValueError(f"the network has {whole.shape[0]} classes, expected {len(classes)}")
        super().__init__(
            classes=list(classes),
            colors=color_table(palette),
            height=labels.shape[1],
            width=labels.shape[2],
            names=list(names),
            pictures=pictures.tobytes(),
            labels=labels.tobytes(),
            field=round(receptive_field(model)),
            operations=program.operations,
            weights=program.weights.tobytes(),
        )
        tiled = predict(model, images[0], tile=(_OPENING_TILE, _OPENING_TILE), overlap=0)
        self._answers: list[NDArray[np.int64]] = [x.argmax(0).cpu().numpy() for x in (whole, tiled)]
        self._require_light_state()

    def alternative_text(self) -> str:
        """What the static picture shows, in words."""
        return (
            f"A street labeled in one piece and in tiles of {self.tile} pixels without overlap: "
            "along the borders of the tiles some labels differ."
        )

    def _draw(self) -> Drawing:
        from matplotlib.figure import Figure as Drawing

        whole, tiled = self._answers
        shape = (-1, self.height, self.width, 3)
        picture = np.frombuffer(self.pictures, np.uint8).reshape(shape)[0]
        colors = np.frombuffer(self.colors, np.uint8).reshape(256, 3)
        differs = np.where((whole != tiled)[..., None], (158, 22, 104), (222, 224, 229))
        panels = {
            "The street": picture,
            "Labeled in one piece": colors[whole],
            f"Labeled in tiles of {self.tile} pixels": colors[tiled],
            "Labels that differ": differs.astype(np.uint8),
        }
        ratio = self.height / self.width
        drawing = Drawing(figsize=(7, 7 * ratio + 0.6), layout="constrained")
        for axes, (title, pixels) in zip(drawing.subplots(2, 2).flat, panels.items(), strict=True):
            axes.imshow(pixels, interpolation="nearest")
            axes.set_title(title, fontsize=10, loc="left")
            axes.set_axis_off()
        return drawing
