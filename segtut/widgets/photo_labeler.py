"""The figure of chapter 7: a small network labels the reader's own photograph, in the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import traitlets
from torch import Tensor, nn

from segtut.data.dataset import RGB
from segtut.inference import export_program, predict
from segtut.widgets.base import Figure, check_classes, color_table, image_array, jpeg_url

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


class PhotoLabeler(Figure):
    """A network that labels, in the page, a photograph chosen from the reader's own disk.

    model: what `segtut.inference.export_program` can write down, such as a narrow `UNet`; its
    weights travel as float16. images: uint8 (3, H, W) each, to begin with, names: one an image.
    shorter: pixels of the shorter side that the network sees of a picture at first, by default
    that of the first image. The label map is saved at the picture's own size, as an indexed PNG.
    Raises ValueError when classes, colors, names and the network do not fit, or for more than
    700 kB.
    """

    _script = "photo_labeler.js"
    _builds_on = ("engine.js",)
    _largest_state = 700_000

    examples = traitlets.List(traitlets.Dict()).tag(sync=True)
    shorter = traitlets.Int().tag(sync=True)
    operations = traitlets.List(traitlets.Dict()).tag(sync=True)
    weights = traitlets.Bytes().tag(sync=True)

    def __init__(
        self,
        model: nn.Module,
        images: Sequence[Tensor],
        *,
        names: Sequence[str],
        classes: Sequence[str],
        palette: Sequence[RGB],
        shorter: int | None = None,
    ) -> None:
        check_classes(classes, palette)
        pictures = [image_array(image, f"images[{k}]") for k, image in enumerate(images)]
        if not pictures or len(names) != len(pictures):
            raise ValueError(
                f"{len(names)} names and {len(pictures)} images were given, expected at least one "
                "image and a name for each"
            )
        program = export_program(model, "float16")
        side = min(pictures[0].shape[:2]) if shorter is None else shorter
        first = predict(model, images[0], size=side)
        if first.shape[0] != len(classes):
            raise ValueError(f"the network has {first.shape[0]} classes, expected {len(classes)}")
        urls = map(jpeg_url, pictures)
        super().__init__(
            classes=list(classes),
            colors=color_table(palette),
            examples=[{"name": n, "url": url} for n, url in zip(names, urls, strict=True)],
            shorter=side,
            operations=program.operations,
            weights=program.weights.tobytes(),
        )
        self._first = pictures[0], first.argmax(dim=0).cpu().numpy()
        self._require_light_state()

    def alternative_text(self) -> str:
        """What the static picture shows, in words."""
        names = ", ".join(self.classes)
        return f"A picture, and the same under the labels a small network gives it ({names})."

    def _draw(self) -> Drawing:
        from matplotlib.figure import Figure as Drawing

        picture, labels = self._first
        drawing = Drawing(figsize=(7, 2.9))
        colors = np.frombuffer(self.colors, np.uint8).reshape(256, 3)
        painted = (0.45 * picture + 0.55 * colors[labels]).astype(np.uint8)
        panels = (("The picture", picture), ("Under the network's labels", painted))
        for axes, (title, pixels) in zip(drawing.subplots(1, 2), panels, strict=True):
            axes.imshow(pixels, interpolation="nearest")
            axes.set_title(title, fontsize=10, loc="left")
            axes.set_axis_off()
        return drawing
