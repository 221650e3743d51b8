"""The figure of section 3.4.3: paint a label map, and generators draw the street, in the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import traitlets
from numpy.typing import NDArray
from torch import Tensor, nn

from segtut.data.dataset import RGB, VOID
from segtut.inference import evaluating, export_program
from segtut.widgets.base import Figure, check_classes, color_table, label_array
from segtut.widgets.live import cut_outs

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


class LabelPainter(Figure):
    """A label map to paint on, the pictures that generators draw of it, and what is read in them.

    generators: one or two by name, one-hot labels (N, C, H, W), void all zeros, to pictures 0-1,
    such as a narrow `LabelToImage`. segmenter: pictures to logits of the same classes, such as a
    narrow `UNet`. Their weights travel as float16. targets: integers (S, H, W), classes or 255,
    the maps to begin with, names: one a map. Raises ValueError when maps, names, classes, colors
    and networks do not fit, or for more than 700 kB.
    """

    _script = "label_painter.js"
    _builds_on = ("engine.js",)
    _largest_state = 700_000
    _css = Figure._css + Path(__file__).with_name("label_painter.css").read_text(encoding="utf-8")

    height = traitlets.Int().tag(sync=True)
    width = traitlets.Int().tag(sync=True)
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    labels = traitlets.Bytes().tag(sync=True)
    stamps = traitlets.List(traitlets.Dict()).tag(sync=True)
    networks = traitlets.List(traitlets.Dict()).tag(sync=True)
    """Name, operations and number of weights of each generator and, last, of the segmenter."""
    weights = traitlets.Bytes().tag(sync=True)

    def __init__(
        self,
        generators: Mapping[str, nn.Module],
        segmenter: nn.Module,
        targets: Tensor,
        *,
        names: Sequence[str],
        classes: Sequence[str],
        palette: Sequence[RGB],
    ) -> None:
        check_classes(classes, palette)
        if not 2 <= len(classes) <= 9:
            raise ValueError(f"{len(classes)} classes were given, expected 2 to 9: one digit each")
        if not 1 <= len(generators) <= 2:
            raise ValueError(f"{len(generators)} generators were given, expected one or two")
        maps = label_array(targets, len(classes), "targets", ndim=3)
        if len(maps) != len(names) or not len(maps):
            raise ValueError(
                f"{len(names)} names and {len(maps)} maps were given, expected one name a map, "
                "at least one"
            )
        maps = np.stack([without_void(labels) for labels in maps])
        one_hot = _one_hot(outlined(maps[0]), len(classes))
        self._pictures = {name: _run(model, one_hot) for name, model in generators.items()}
        for name, picture in self._pictures.items():
            if picture.shape != (3, *maps.shape[1:]):
                raise ValueError(
                    f"the generator {name!r} draws {tuple(picture.shape)} of a map of "
                    f"{maps.shape[1:]}, expected three colors of its size"
                )
            read = _run(segmenter, picture)
            if read.shape != (len(classes), *maps.shape[1:]):
                raise ValueError(
                    f"the segmenter answers {tuple(read.shape)} to a picture of "
                    f"{maps.shape[1:]}, expected {len(classes)} classes"
                )
        every = {**generators, "segmenter": segmenter}
        programs = {name: export_program(model, "float16") for name, model in every.items()}
        super().__init__(
            classes=list(classes),
            colors=color_table(palette),
            height=maps.shape[1],
            width=maps.shape[2],
            names=list(names),
            labels=maps.tobytes(),
            stamps=cut_outs(maps, classes),
            networks=[
                {"name": name, "operations": program.operations, "size": program.weights.size}
                for name, program in programs.items()
            ],
            weights=b"".join(program.weights.tobytes() for program in programs.values()),
        )
        self._require_light_state()

    def alternative_text(self) -> str:
        """What the static picture shows, in words."""
        drawn = " and ".join(f"the street drawn by {name}" for name in self._pictures)
        return f"A label map to paint on ({', '.join(self.classes)}), and {drawn} from it."

    def _draw(self) -> Drawing:
        from matplotlib.figure import Figure as Drawing

        labels = np.frombuffer(self.labels, np.uint8)[: self.height * self.width]
        colors = np.frombuffer(self.colors, np.uint8).reshape(256, 3)
        panels = [("The label map", colors[labels.reshape(self.height, self.width)])]
        for name, picture in self._pictures.items():
            panels.append((name, picture.permute(1, 2, 0).clamp(0, 1).numpy()))
        drawing = Drawing(figsize=(3.4 * len(panels), 2.9))
        for axes, (title, pixels) in zip(drawing.subplots(1, len(panels)), panels, strict=True):
            axes.imshow(pixels, interpolation="nearest")
            axes.set_title(title, fontsize=10, loc="left")
            axes.set_axis_off()
        return drawing


def without_void(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A label map (H, W) whose void pixels have taken the label of the nearest other pixel.

    A map that is void everywhere becomes class 0.
    """
    from scipy.ndimage import distance_transform_edt

    void = labels == VOID
    if void.all():
        return np.zeros_like(labels)
    rows, columns = distance_transform_edt(void, return_distances=False, return_indices=True)
    filled: NDArray[np.uint8] = labels[rows, columns]
    return filled


def outlined(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A label map (H, W) without void, given contours: of two neighbors the lower class is void.

    The contours that `Streets` draws lie where pixels are shared as well, so these are thinner.
    """
    framed = np.pad(labels, 1, mode="edge")
    beside = (framed[1:-1, 2:], framed[1:-1, :-2], framed[2:, 1:-1], framed[:-2, 1:-1])
    return np.where(np.maximum.reduce(beside) > labels, VOID, labels).astype(np.uint8)


def _one_hot(labels: NDArray[np.uint8], num_classes: int) -> Tensor:
    """(C, H, W), void all zeros."""
    return (torch.from_numpy(labels) == torch.arange(num_classes)[:, None, None]).float()


def _run(model: nn.Module, maps: Tensor) -> Tensor:
    """The network's answer (C', H, W) to one input (C, H, W), on the CPU."""
    weight: Any = next(model.parameters())
    with evaluating(model), torch.inference_mode():
        answer: Tensor = model(maps[None].to(weight))[0]
    return answer.float().cpu()
