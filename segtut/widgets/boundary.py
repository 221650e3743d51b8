"""The figure of section 3.1.1: neurons as lines among the colors of a few pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import traitlets
from numpy.typing import NDArray
from torch import Tensor

from segtut.data.dataset import RGB, VOID
from segtut.widgets.base import Figure, check_classes, color_table, image_array, label_array

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

_OPENING = 0.1  # the first line asks for this much more blue than red


class ColorBoundary(Figure):
    """One to four neurons to move among the colors of some pictures, and the labels they give.

    The plane shows each color's brightness (r + g + b) / 3 against its blueness b - r, both linear
    in the color, so a line in it is a neuron's boundary. The output neuron fits itself to the
    hidden ones by logistic regression; everything is computed in the page.

    images: uint8 (K, 3, H, W), K from 1 to 4; targets: integers (K, H, W), classes or 255;
    label: the class to be told from the rest. Raises ValueError for sizes, labels or colors that
    do not fit, and when no pixel or every pixel has the label.
    """

    _script = "boundary.js"
    _css = Figure._css + Path(__file__).with_name("boundary.css").read_text(encoding="utf-8")

    height = traitlets.Int().tag(sync=True)
    width = traitlets.Int().tag(sync=True)
    pictures = traitlets.Int().tag(sync=True)
    pixels = traitlets.Bytes().tag(sync=True)
    labels = traitlets.Bytes().tag(sync=True)
    label = traitlets.Int().tag(sync=True)
    low = traitlets.Float().tag(sync=True)
    """The least and the largest blueness of the plane."""
    high = traitlets.Float().tag(sync=True)
    opening = traitlets.Float(_OPENING).tag(sync=True)

    def __init__(
        self,
        images: Tensor,
        targets: Tensor,
        *,
        classes: Sequence[str],
        palette: Sequence[RGB],
        label: int = 0,
    ) -> None:
        check_classes(classes, palette)
        labels = label_array(targets, len(classes), "targets", ndim=3)
        if not 1 <= len(images) == len(labels) <= 4:
            raise ValueError(
                f"{len(images)} images and {len(labels)} targets were given, "
                "expected as many of each, 1 to 4"
            )
        pixels = np.stack([image_array(image, "an image") for image in images])
        if pixels.shape[:3] != labels.shape:
            raise ValueError(
                f"images are {pixels.shape[1:3]} and targets {labels.shape[1:]}, expected one size"
            )
        there = labels[labels != VOID] == label
        if there.all() or not there.any():
            share = "none" if not there.any() else "all"
            raise ValueError(f"{share} of the pixels are labeled {label}, expected some of them")
        blueness = _blueness(pixels)
        super().__init__(
            classes=list(classes),
            colors=color_table(palette),
            height=labels.shape[1],
            width=labels.shape[2],
            pictures=len(labels),
            pixels=pixels.tobytes(),
            labels=labels.tobytes(),
            label=label,
            low=math.floor(10 * min(0.0, float(blueness.min()))) / 10,
            high=math.ceil(10 * max(2 * _OPENING, float(blueness.max()))) / 10,
        )
        self._require_light_state()

    def alternative_text(self) -> str:
        """What the static picture shows, in words."""
        name = self.classes[self.label]
        return (
            f"The pixels of {self.pictures} pictures by brightness and by blue minus red, {name} "
            f"marked. One straight line, a neuron's boundary, leaves {name} on both of its sides."
        )

    def _draw(self) -> Drawing:
        from matplotlib.figure import Figure as Drawing

        drawing = Drawing(figsize=(7, 3), layout="constrained")
        pixels = np.frombuffer(self.pixels, np.uint8).reshape(
            self.pictures, self.height, self.width, 3
        )
        labels = np.frombuffer(self.labels, np.uint8)
        brightness, blueness = pixels.mean(axis=-1).ravel() / 255, _blueness(pixels).ravel()
        left, *right = drawing.subplot_mosaic(
            [["plane", *(str(number) for number in range(self.pictures))]],
            width_ratios=[2.0, *([1.0] * self.pictures)],
        ).values()
        for chosen, color, size, name in (
            ((labels != self.label) & (labels != VOID), "#8a8577", 1, "rest"),
            (labels == self.label, "#2b7fc0", 3, self.classes[self.label]),
        ):
            left.scatter(brightness[chosen], blueness[chosen], s=size, c=color, label=name)
        left.axhline(_OPENING, color="#26272e")
        left.set(xlabel="brightness", ylabel="blue minus red", xlim=(0, 1))
        left.legend(markerscale=3, fontsize=8)
        for axes, picture in zip(right, pixels, strict=True):
            axes.imshow(picture)
            axes.set_axis_off()
        return drawing


def _blueness(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Blue minus red, -1 to 1. pixels: (..., 3)."""
    return (pixels[..., 2].astype(np.float64) - pixels[..., 0]) / 255
