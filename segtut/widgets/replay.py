"""The figure of section 4.3: a recorded training, replayed."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import traitlets
from torch import Tensor

from segtut.data.dataset import RGB
from segtut.widgets.base import (
    Figure,
    check_classes,
    color_table,
    image_array,
    jpeg_url,
    label_array,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

_MOST_POINTS = 150


class TrainingReplay(Figure):
    """Loss and mean IoU of a training, and what the network said about a few pictures on the way.

    images: uint8 (K, 3, H, W). targets: integers (K, H, W), classes or 255. predictions: integers
    (S, K, H, W), the label maps after each of the S `steps`. loss: one number a training step.
    validation: {"step", "mean_iou"} of each validation, as `segtut.training.History` keeps them.
    palette: RGB 0-255 a class. Raises ValueError when these do not fit, or weigh above 300 kB.
    """

    _script = "replay.js"

    height = traitlets.Int().tag(sync=True)
    width = traitlets.Int().tag(sync=True)
    pictures = traitlets.List(traitlets.Unicode()).tag(sync=True)
    targets = traitlets.Bytes().tag(sync=True)
    steps = traitlets.List(traitlets.Int()).tag(sync=True)
    predictions = traitlets.Bytes().tag(sync=True)
    """zlib over the label maps, picture by picture, each pixel's S labels in a row."""
    loss_steps = traitlets.List(traitlets.Float()).tag(sync=True)
    loss = traitlets.List(traitlets.Float()).tag(sync=True)
    mean_iou_steps = traitlets.List(traitlets.Int()).tag(sync=True)
    mean_iou = traitlets.List(traitlets.Float()).tag(sync=True)

    def __init__(
        self,
        images: Tensor,
        targets: Tensor,
        predictions: Tensor,
        *,
        steps: Sequence[int],
        loss: Sequence[float],
        validation: Sequence[Mapping[str, float]],
        classes: Sequence[str],
        palette: Sequence[RGB],
    ) -> None:
        check_classes(classes, palette)
        truth = label_array(targets, len(classes), "targets", ndim=3)
        said = label_array(predictions, len(classes), "predictions", ndim=4)
        _check_recording(images, truth.shape, said.shape, steps, loss, validation)
        loss_steps, smooth_loss = _averaged(loss)
        super().__init__(
            classes=list(classes),
            colors=color_table(palette),
            height=truth.shape[1],
            width=truth.shape[2],
            pictures=[jpeg_url(image_array(image, "each image")) for image in images],
            targets=truth.tobytes(),
            steps=[int(step) for step in steps],
            predictions=zlib.compress(np.moveaxis(said, 0, -1).tobytes(), 9),
            loss_steps=loss_steps,
            loss=smooth_loss,
            mean_iou_steps=[int(entry["step"]) for entry in validation],
            mean_iou=[round(float(entry["mean_iou"]), 4) for entry in validation],
        )
        self._last = said[-1]
        self._require_light_state()

    def alternative_text(self) -> str:
        """What the static picture shows, in words."""
        return (
            f"Two curves over {self.steps[-1]} training steps: the loss falls from "
            f"{self.loss[0]:.2f} to {self.loss[-1]:.2f}, the mean IoU ends at "
            f"{self.mean_iou[-1]:.2f}. Below, {len(self.pictures)} label maps predicted at the end."
        )

    def _draw(self) -> Drawing:
        from matplotlib.figure import Figure as Drawing

        drawing = Drawing(figsize=(7, 4), layout="constrained")
        curves, maps = np.ravel(drawing.subfigures(2, 1, squeeze=False))
        left, right = curves.subplots(1, 2)
        left.plot(self.loss_steps, self.loss, color="#3c3f97")
        right.plot(self.mean_iou_steps, self.mean_iou, color="#a3410f", linestyle="--")
        right.set_ylim(0, 1)
        for axes, name in ((left, "loss"), (right, "mean IoU")):
            axes.set_xlabel("step")
            axes.set_ylabel(name)
        colors = np.frombuffer(self.colors, np.uint8).reshape(256, 3)
        for axes, labels in zip(
            np.ravel(maps.subplots(1, len(self._last))), self._last, strict=True
        ):
            axes.imshow(colors[labels], interpolation="nearest")
            axes.set_axis_off()
        for part in (curves, maps):
            part.set_facecolor("none")
        return drawing


def _averaged(loss: Sequence[float]) -> tuple[list[float], list[float]]:
    """Steps and means of at most 150 equal stretches of the loss, so that the curve stays light."""
    stretches = np.array_split(np.asarray(loss, dtype=float), min(_MOST_POINTS, len(loss)))
    ends = np.cumsum([len(stretch) for stretch in stretches])
    middles = [
        float(end) - (len(stretch) - 1) / 2 for end, stretch in zip(ends, stretches, strict=True)
    ]
    return middles, [round(float(stretch.mean()), 4) for stretch in stretches]


def _check_recording(
    images: Tensor,
    truth: tuple[int, ...],
    said: tuple[int, ...],
    steps: Sequence[int],
    loss: Sequence[float],
    validation: Sequence[Mapping[str, float]],
) -> None:
    """Raise ValueError unless the parts of a recording belong together."""
    if tuple(images.shape) != (truth[0], 3, *truth[1:]) or said[1:] != truth:
        raise ValueError(
            f"images {tuple(images.shape)}, targets {truth} and predictions {said} do not fit, "
            "expected (K, 3, H, W), (K, H, W) and (S, K, H, W)"
        )
    if len(steps) != said[0] or list(steps) != sorted(set(steps)):
        raise ValueError(
            f"{len(steps)} steps for {said[0]} recorded predictions, expected one each, rising"
        )
    if len(steps) == 0 or len(loss) == 0 or len(validation) == 0:
        raise ValueError("steps, loss or validation is empty, expected at least one entry each")
    if not np.isfinite([*loss, *(entry["mean_iou"] for entry in validation)]).all():
        raise ValueError("loss or mean_iou holds NaN or infinity, expected finite numbers")
