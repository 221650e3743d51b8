"""The figure of section 3.3.1: pictures kept in two numbers, a map that is drawn anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import traitlets
from torch import Tensor

from segtut.data.dataset import RGB
from segtut.inference import evaluating
from segtut.models.autoencoder import Autoencoder
from segtut.widgets.base import check_classes, color_table
from segtut.widgets.decoder import (
    DecoderFigure,
    decoded,
    decoder_state,
    picture_batch,
    picture_sheet,
    show_picture,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

_MOST_PICTURES = 400
_OWN_PALETTE: tuple[RGB, ...] = (
    (63, 127, 196),
    (217, 98, 43),
    (46, 155, 106),
    (154, 92, 194),
    (184, 134, 11),
    (209, 77, 139),
    (21, 151, 165),
    (128, 130, 140),
    (122, 139, 47),
    (168, 85, 79),
)
"""Each stands out from the card by 3:1, in light and in dark mode; marks tell classes apart too."""

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


class CodeExplorer(DecoderFigure):
    """The codes of some pictures as points of a plane, and what the decoder draws anywhere in it.

    model: an autoencoder whose code has two numbers; its weights travel as float16. images: uint8,
    or floats 0-1, (N, C, H, W), up to 400; labels: integers (N,); classes: 1 to 8 names, or up to
    10 of one character, which then is the mark; palette: a color for each, None for the figure's
    own. Raises ValueError when they do not fit, and for more than 300 kB.
    """

    _script = "code_explorer.js"

    codes = traitlets.Bytes().tag(sync=True)
    labels = traitlets.Bytes().tag(sync=True)
    sheet = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        model: Autoencoder,
        images: Tensor,
        labels: Tensor,
        *,
        classes: Sequence[str],
        palette: Sequence[RGB] | None = None,
    ) -> None:
        colors = _OWN_PALETTE[: len(classes)] if palette is None else palette
        most = len(_OWN_PALETTE) if _are_marks(classes) else len(_MARKERS)
        if not 1 <= len(classes) <= most:
            raise ValueError(
                f"{len(classes)} classes were given, expected 1 to 8, or 10 of one character each"
            )
        check_classes(classes, colors)
        if model.decoder.code_size != 2:
            raise ValueError(f"the code has {model.decoder.code_size} numbers, expected 2: a plane")
        pictures = picture_batch(images)
        kinds = np.asarray(torch.as_tensor(labels).cpu())
        if not 1 <= len(pictures) == len(kinds) <= _MOST_PICTURES or kinds.ndim != 1:
            raise ValueError(
                f"{len(pictures)} images and labels of shape {kinds.shape} were given, expected "
                f"as many of each, 1 to {_MOST_PICTURES}"
            )
        if kinds.min() < 0 or kinds.max() >= len(classes):
            raise ValueError(
                f"labels run from {kinds.min()} to {kinds.max()}, expected 0 to {len(classes) - 1}"
            )
        weight = next(model.parameters())
        with evaluating(model), torch.inference_mode():
            codes = model.encode(pictures.to(weight)).float().cpu()
        super().__init__(
            classes=list(classes),
            colors=color_table(colors),
            codes=codes.numpy().tobytes(),
            labels=kinds.astype(np.uint8).tobytes(),
            sheet=picture_sheet(pictures),
            **decoder_state(model.decoder, 2),
        )
        self._require_light_state()
        first = int((codes - codes.mean(dim=0)).square().sum(dim=1).argmin())
        self._middle = (codes[first], pictures[first], decoded(model.decoder, codes[[first]])[0])

    def alternative_text(self) -> str:
        """What the static picture shows, in words."""
        names = ", ".join(self.classes)
        count = len(self.labels)
        return (
            f"The two-number codes of {count} pictures as points of a plane, marked by class "
            f"({names}), and one of the pictures beside what the decoder draws from its code."
        )

    def _draw(self) -> Drawing:
        from matplotlib.figure import Figure as Drawing

        drawing = Drawing(figsize=(7, 3.4), layout="constrained")
        plane, original, drawn = drawing.subplots(1, 3, width_ratios=[2.2, 1, 1])
        codes = np.frombuffer(self.codes, np.float32).reshape(-1, 2)
        labels = np.frombuffer(self.labels, np.uint8)
        palette = np.frombuffer(self.colors, np.uint8).reshape(256, 3) / 255
        for label, name in enumerate(self.classes):
            mine = codes[labels == label]
            color = palette[label]
            marker = f"${name}$" if _are_marks(self.classes) else _MARKERS[label]
            plane.scatter(*mine.T, s=16, color=[color], marker=marker, label=name, linewidths=0)
        code, picture, reconstruction = self._middle
        plane.scatter(*code, s=90, facecolors="none", edgecolors="#26272e", linewidths=1.5)
        plane.set(xlabel="first number of the code", ylabel="second number")
        plane.set_facecolor("#fbfaf6")
        if not _are_marks(self.classes):
            plane.legend(fontsize=8)
        show_picture(original, picture, "the ringed picture")
        show_picture(drawn, reconstruction, "drawn from its code")
        return drawing


def _are_marks(classes: Sequence[str]) -> bool:
    return all(len(name) == 1 for name in classes)
