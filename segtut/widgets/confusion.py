"""The figure of section 5.2: what is confused with what, merged and shifted at will."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import traitlets
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import one_hot

from segtut.data.dataset import RGB, VOID
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

_STEP, _REACH = 0.25, 4.0  # of the slider, in units of the logits
_FINENESS = 16  # how finely the logits of the one street are kept


class ConfusionExplorer(Figure):
    """The confusion of a set, whose classes can be merged and whose logits can be shifted.

    logits: (N, C, H, W) of a set, target: (N, H, W), classes or 255. All pixels are counted: for
    each class, how many pixels change hands at each shift of its logit, so that every number in the
    figure is exact. image: uint8 (3, H, W), the street of index `shown`, is drawn with its answers.
    raised: the class whose logit can be shifted first, by default the one of the lowest IoU.
    merges: ready-made merges by name, a class for each class, such as (0, 0, 1) for the first two
    together. Raises ValueError when sizes, classes, colors or merges do not fit, for logits that
    are not finite, or for more than 300 kB.
    """

    _script = "confusion.js"
    _css = Figure._css + Path(__file__).with_name("confusion.css").read_text(encoding="utf-8")

    height = traitlets.Int().tag(sync=True)
    width = traitlets.Int().tag(sync=True)
    picture = traitlets.Unicode().tag(sync=True)
    labels = traitlets.Bytes().tag(sync=True)
    distances = traitlets.Bytes().tag(sync=True)
    """(C, H, W), bytes: how far below the largest logit each one lies, in sixteenths."""
    counts = traitlets.Bytes().tag(sync=True)
    """(C, C, C, S + 1), uint32: pixels by the class that is shifted, truth, the best of the other
    classes, and the number of the S shifts at which they still belong to the latter."""
    shifts = traitlets.List(traitlets.Float()).tag(sync=True)
    merges = traitlets.List(traitlets.Dict()).tag(sync=True)
    opening = traitlets.Int().tag(sync=True)

    def __init__(
        self,
        logits: Tensor,
        target: Tensor,
        image: Tensor,
        *,
        classes: Sequence[str],
        palette: Sequence[RGB],
        shown: int = 0,
        raised: int | None = None,
        merges: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        check_classes(classes, palette)
        if not 2 <= len(classes) <= 9:
            raise ValueError(f"{len(classes)} classes were given, expected 2 to 9")
        labels = label_array(target, len(classes), "target", ndim=3)
        pixels = image_array(image, "image")
        expected = (len(labels), len(classes), *labels.shape[1:])
        if tuple(logits.shape) != expected or pixels.shape[:2] != labels.shape[1:]:
            raise ValueError(
                f"the logits are {tuple(logits.shape)} and the image {pixels.shape[:2]}, expected "
                f"{expected} and {labels.shape[1:]} as of the target"
            )
        if not bool(torch.isfinite(logits).all()):
            raise ValueError("the logits hold NaN or infinity, expected finite numbers")
        if raised is not None and raised not in range(len(classes)):
            raise ValueError(f"raised={raised}, expected a class, 0 to {len(classes) - 1}")
        for name, merge in (merges or {}).items():
            if len(merge) != len(classes):
                raise ValueError(
                    f"the merge {name!r} names {len(merge)} classes, expected {len(classes)}"
                )
        scores = logits.detach().float().cpu()
        shifts = torch.arange(-_REACH, _REACH + _STEP / 2, _STEP)
        counts = pixels_by_shift(scores, torch.as_tensor(labels), shifts)
        matrix = confusion_at(counts, 0, int((shifts == 0).nonzero()))
        hits = matrix.diagonal()
        union = matrix.sum(0) + matrix.sum(1) - hits
        worst = int(np.where(matrix.sum(1) > 0, hits / np.maximum(union, 1), 2).argmin())
        street = scores[range(len(labels))[shown]]
        distances = ((street.amax(dim=0) - street) * _FINENESS).round().clamp(0, 255)
        super().__init__(
            classes=list(classes),
            colors=color_table(palette),
            height=labels.shape[1],
            width=labels.shape[2],
            picture=jpeg_url(pixels),
            labels=labels[shown].tobytes(),
            distances=distances.byte().numpy().tobytes(),
            counts=counts.astype("<u4").tobytes(),
            shifts=shifts.tolist(),
            merges=[{"name": name, "merge": list(merge)} for name, merge in (merges or {}).items()],
            opening=worst if raised is None else raised,
        )
        self._matrix, self._image, self._answer = matrix, pixels, street.argmax(dim=0).numpy()
        self._require_light_state()

    def alternative_text(self) -> str:
        """What the static picture shows, in words."""
        shares = self._matrix / np.maximum(self._matrix.sum(1, keepdims=True), 1)
        np.fill_diagonal(shares, 0)
        truth, said = np.unravel_index(shares.argmax(), shares.shape)
        return (
            f"Of each true class, a row, the shares of its pixels by the class they were given "
            f"({', '.join(self.classes)}); {shares.max():.0%} of {self.classes[truth]} is taken "
            f"for {self.classes[said]}. Beside it a street and its answers."
        )

    def _draw(self) -> Drawing:
        from matplotlib.figure import Figure as Drawing

        drawing = Drawing(figsize=(8.2, 3.7), layout="constrained")
        grid = drawing.add_gridspec(2, 2, width_ratios=(3, 2))
        axes = drawing.add_subplot(grid[:, 0])
        shares = 100 * self._matrix / np.maximum(self._matrix.sum(1, keepdims=True), 1)
        axes.imshow(shares**0.5, cmap="Purples", vmin=0, vmax=14)
        for (row, column), share in np.ndenumerate(shares):
            if share >= 0.5:
                axes.text(column, row, f"{share:.0f}", ha="center", va="center", fontsize=8)
        places = range(len(self.classes))
        axes.set_xticks(places, self.classes, rotation=40, ha="right", fontsize=8)
        axes.set_yticks(places, self.classes, fontsize=8)
        axes.set_xlabel("predicted class", fontsize=9)
        axes.set_ylabel("true class, percent of its pixels", fontsize=9)
        colors = np.frombuffer(self.colors, np.uint8).reshape(256, 3)
        right = (("The picture", self._image), ("The answer", colors[self._answer]))
        for row, (title, pixels) in enumerate(right):
            panel = drawing.add_subplot(grid[row, 1])
            panel.imshow(pixels, interpolation="nearest")
            panel.set_title(title, fontsize=9, loc="left")
            panel.set_axis_off()
        return drawing


def pixels_by_shift(logits: Tensor, target: Tensor, shifts: Tensor) -> NDArray[np.int64]:
    """Pixels (C, C, C, S + 1) by shifted class, truth, best other class and place of the change.

    logits (N, C, H, W), target (N, H, W) with void 255, shifts (S,) ascending. The last axis counts
    the shifts at which the pixel still belongs to the other class: it changes hands at the first
    shift that is larger than its lead.
    """
    classes, steps = logits.shape[1], len(shifts) + 1
    valid = target != VOID
    truth = target[valid].long()
    scores = logits.movedim(1, -1)[valid]  # (P, C)
    counts = []
    for shifted in range(classes):
        own = one_hot(torch.tensor(shifted), classes).bool()
        best, other = scores.masked_fill(own, -torch.inf).max(dim=1)
        still = torch.searchsorted(shifts, best - scores[:, shifted], right=True)
        cell = (truth * classes + other) * steps + still
        found = torch.bincount(cell, minlength=classes * classes * steps)
        counts.append(found.reshape(classes, classes, steps).numpy())
    return np.stack(counts)


def confusion_at(counts: NDArray[np.int64], shifted: int, step: int) -> NDArray[np.int64]:
    """Confusion (C, C), rows truth, when the logit of one class is shifted by shifts[step]."""
    chosen = counts[shifted]
    matrix = chosen[..., step + 1 :].sum(-1)
    matrix[:, shifted] += chosen[..., : step + 1].sum((1, 2))
    return matrix
