"""The figure of section 5.4: where each head of a small transformer looks, from any patch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
import traitlets
from numpy.typing import NDArray
from torch import Tensor, nn

from segtut.data.dataset import RGB
from segtut.inference import evaluating
from segtut.models.transformer import SegFormer, SelfAttention
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


class AttentionExplorer(Figure):
    """Attention of a `SegFormer`, computed in the page from queries and keys that travel with it.

    images: uint8 (S, 3, H, W). targets: (S, H, W), classes or 255. names: one a street. stages:
    which of the network's stages are shown, the last block of each; queries and keys are stored
    in 8 bits, with one step for all queries of a street and one for its keys. patch: row and
    column, in the last of the stages, that is chosen at first; left out, the middle. Raises
    ValueError when these do not fit or the page would have to carry too much.
    """

    _script = "attention.js"

    height = traitlets.Int().tag(sync=True)
    width = traitlets.Int().tag(sync=True)
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    pictures = traitlets.List(traitlets.Unicode()).tag(sync=True)
    labels = traitlets.Bytes().tag(sync=True)
    layers = traitlets.List(traitlets.Dict()).tag(sync=True)
    """One a stage: its name, heads, numbers a head, sizes of both grids, and for each street where
    its queries and keys begin in `numbers` and the step of each."""
    numbers = traitlets.Bytes().tag(sync=True)
    start = traitlets.List(traitlets.Int()).tag(sync=True)

    def __init__(
        self,
        model: SegFormer,
        images: Tensor,
        targets: Tensor,
        *,
        names: Sequence[str],
        classes: Sequence[str],
        palette: Sequence[RGB],
        stages: Sequence[int] = (1, 2),
        patch: tuple[int, int] | None = None,
    ) -> None:
        check_classes(classes, palette)
        pictures = [image_array(image, f"images[{k}]") for k, image in enumerate(images)]
        labels = label_array(targets, len(classes), "targets", ndim=3)
        if len(names) != len(pictures) or labels.shape[0] != len(pictures):
            raise ValueError(
                f"{len(names)} names, {len(pictures)} images and {labels.shape[0]} label maps were "
                "given, expected as many of each"
            )
        height, width = pictures[0].shape[:2]
        if labels.shape[1:] != (height, width):
            raise ValueError(
                f"images of {height} x {width} and label maps of {labels.shape[1]} x "
                f"{labels.shape[2]} were given, expected one size"
            )
        found = _queries_and_keys(model, images, stages)
        layers, numbers = _stored(found, stages, height, width)
        last = layers[-1]
        row, column = patch or (last["rows"] // 2, last["columns"] // 2)
        if not (0 <= row < last["rows"] and 0 <= column < last["columns"]):
            raise ValueError(
                f"patch={(row, column)} lies outside the {last['rows']} x {last['columns']} "
                "patches of the last stage"
            )
        super().__init__(
            classes=list(classes),
            colors=color_table(palette),
            height=height,
            width=width,
            names=list(names),
            pictures=[jpeg_url(picture) for picture in pictures],
            labels=labels.tobytes(),
            layers=layers,
            numbers=numbers,
            start=[row, column],
        )
        self._first = pictures[0]
        self._require_light_state()

    def weights(self, layer: int, street: int) -> NDArray[np.float32]:
        """Attention (heads, queries, keys) as the page computes it, from the stored numbers."""
        about = self.layers[layer]
        stored = np.frombuffer(self.numbers, np.int8).astype(np.float32)
        heads, size = about["heads"], about["size"]
        queries = about["rows"] * about["columns"]
        keys = about["keyRows"] * about["keyColumns"]
        at, step = about["at"][street], about["step"][street]
        q = stored[at[0] : at[0] + heads * queries * size].reshape(heads, queries, size) * step[0]
        k = stored[at[1] : at[1] + heads * keys * size].reshape(heads, keys, size) * step[1]
        scores = torch.from_numpy(q @ k.transpose(0, 2, 1) / math.sqrt(size))
        result: NDArray[np.float32] = scores.softmax(dim=-1).numpy()
        return result

    def alternative_text(self) -> str:
        """What the static picture shows, in words."""
        return (
            "A street with one patch marked, and for each head of the last stage the same street, "
            "bright where the head looks from that patch."
        )

    def _draw(self) -> Drawing:
        from matplotlib.figure import Figure as Drawing
        from matplotlib.patches import Rectangle

        about = self.layers[-1]
        row, column = self.start
        cell = self.height / about["rows"], self.width / about["columns"]
        maps = self.weights(len(self.layers) - 1, 0)[:, row * about["columns"] + column]
        drawing = Drawing(figsize=(1.8 * (len(maps) + 1), 1.7), layout="constrained")
        panels = drawing.subplots(1, len(maps) + 1)
        panels[0].imshow(self._first)
        panels[0].set_title("From here", fontsize=10, loc="left")
        corner = (column * cell[1] - 0.5, row * cell[0] - 0.5)
        panels[0].add_patch(Rectangle(corner, cell[1], cell[0], fill=False, ec="white", lw=2))
        gray = self._first.mean(axis=2, keepdims=True)
        for head, (axes, looks) in enumerate(zip(panels[1:], maps, strict=True)):
            grid = looks.reshape(about["keyRows"], about["keyColumns"])
            share = _enlarged(grid / grid.max(), self.height, self.width)[..., None]
            glow = 0.45 * gray * (1 - share) + np.array([255, 205, 70]) * share
            axes.imshow(glow.astype(np.uint8))
            axes.set_title(f"Head {head + 1}", fontsize=10, loc="left")
        for axes in panels:
            axes.set_axis_off()
        return drawing


Projected = tuple[Tensor, Tensor, tuple[int, int]]
"""Queries and keys (S, heads, positions, d) of a block, and the grid of its queries."""


def _queries_and_keys(
    model: SegFormer, images: Tensor, stages: Sequence[int]
) -> list[tuple[SelfAttention, Projected]]:
    """Of each of the stages the attention of its last block, and what it projects."""
    count = len(model.encoder.stages)
    if not stages or not all(0 <= stage < count for stage in stages):
        raise ValueError(
            f"stages={tuple(stages)} were asked for, expected some of 0 to {count - 1}"
        )
    found: dict[SelfAttention, Projected] = {}

    def keep(layer: SelfAttention, arguments: tuple[Tensor, int, int], _: Tensor) -> None:
        queries, keys, _values = layer.project(*arguments)
        found[layer] = (queries.cpu(), keys.cpu(), arguments[1:])

    wanted = [cast(SelfAttention, model.get_submodule(_path(model, stage))) for stage in stages]
    handles = [layer.register_forward_hook(keep) for layer in wanted]
    device = next(model.parameters()).device
    with evaluating(model), torch.inference_mode():
        model(images.to(device).float() / 255)
    for handle in handles:
        handle.remove()
    return [(layer, found[layer]) for layer in wanted]


def _path(model: SegFormer, stage: int) -> str:
    blocks = model.get_submodule(f"encoder.stages.{stage}.blocks")
    return f"encoder.stages.{stage}.blocks.{len(cast(nn.ModuleList, blocks)) - 1}.attention"


def _stored(
    found: Sequence[tuple[SelfAttention, Projected]],
    stages: Sequence[int],
    height: int,
    width: int,
) -> tuple[list[dict[str, Any]], bytes]:
    """What the page has to know of each layer, and all queries and keys in 8 bits."""
    layers, parts, at = [], [], 0
    for stage, (attention, (queries, keys, (rows, columns))) in zip(stages, found, strict=True):
        reduction = attention.reduction
        if height % rows or width % columns or rows % reduction or columns % reduction:
            raise ValueError(
                f"images of {height} x {width} do not fall into whole patches in stage {stage + 1}"
            )
        about: dict[str, Any] = {
            "name": f"stage {stage + 1}",
            "heads": attention.heads,
            "size": queries.shape[-1],
            "rows": rows,
            "columns": columns,
            "keyRows": rows // reduction,
            "keyColumns": columns // reduction,
            "at": [],
            "step": [],
        }
        for of_street in zip(queries, keys, strict=True):
            places, steps = [], []
            for values in of_street:
                step = float(values.abs().max()) / 127 or 1.0
                parts.append((values / step).round().to(torch.int8).numpy().tobytes())
                places.append(at)
                steps.append(step)
                at += values.numel()
            about["at"].append(places)
            about["step"].append(steps)
        layers.append(about)
    return layers, b"".join(parts)


def _enlarged(values: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    rows = np.arange(height) * values.shape[0] // height
    columns = np.arange(width) * values.shape[1] // width
    return values[rows][:, columns]
