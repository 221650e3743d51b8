"""The figure of section 3.3.3: hide patches of a street, and a masked autoencoder fills them in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import traitlets
from numpy.typing import NDArray
from torch import Tensor, nn

from segtut.inference import evaluating, export_program
from segtut.widgets.base import Figure, image_array

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


class MaskedPatches(Figure):
    """A network that fills in, in the page, the patches of a street that the reader hides.

    model: images (N, 3, H, W), 0-1, with a plain color where they are hidden, to reconstructions
    of the same shape, such as a `MaskedAutoencoder`; `segtut.inference.export_program` must be
    able to write it down, and its weights travel as float16. images: uint8 (S, 3, H, W), both
    sides multiples of `patch`. names: one a street. cover: the color (3,), 0-1, of what is hidden;
    left out, it is the model's own `cover`. share: of the patches hidden at first, drawn with
    `seed`. Raises ValueError when these do not fit or the page would have to carry too much.
    """

    _script = "masked_patches.js"
    _builds_on = ("engine.js",)

    height = traitlets.Int().tag(sync=True)
    width = traitlets.Int().tag(sync=True)
    patch = traitlets.Int().tag(sync=True)
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    pictures = traitlets.Bytes().tag(sync=True)
    cover = traitlets.List(traitlets.Float()).tag(sync=True)
    order = traitlets.List(traitlets.Int()).tag(sync=True)
    """The patches, row by row from 0, in the order in which they are hidden."""
    start = traitlets.Int().tag(sync=True)
    """How many of them are hidden at first."""
    operations = traitlets.List(traitlets.Dict()).tag(sync=True)
    weights = traitlets.Bytes().tag(sync=True)

    def __init__(
        self,
        model: nn.Module,
        images: Tensor,
        *,
        names: Sequence[str],
        patch: int = 8,
        cover: Sequence[float] | Tensor | None = None,
        share: float = 0.6,
        seed: int = 0,
    ) -> None:
        pictures = np.stack([image_array(image, f"images[{k}]") for k, image in enumerate(images)])
        height, width = pictures.shape[1:3]
        if len(names) != len(pictures):
            raise ValueError(
                f"{len(names)} names and {len(pictures)} images were given, expected as many"
            )
        if patch < 1 or height % patch or width % patch:
            raise ValueError(
                f"patches of {patch} pixels do not fill images of {height} x {width}; expected a "
                "divisor of both sides"
            )
        if not 0 <= share <= 1:
            raise ValueError(f"share={share} was given, expected 0 to 1")
        colors = _cover_colors(model, cover)
        patches = (height // patch) * (width // patch)
        order = torch.randperm(patches, generator=torch.Generator().manual_seed(seed)).tolist()
        program = export_program(model, "float16")
        super().__init__(
            classes=[],
            colors=bytes(768),
            height=height,
            width=width,
            patch=patch,
            names=list(names),
            pictures=pictures.tobytes(),
            cover=colors,
            order=order,
            start=round(share * patches),
            operations=program.operations,
            weights=program.weights.tobytes(),
        )
        self._first = pictures[0]
        self._first_answer = self._answer(model, self._seen())
        self._require_light_state()

    def alternative_text(self) -> str:
        """What the static picture shows, in words."""
        return (
            f"A street in {len(self.order)} square patches, {self.start} of them hidden, the same "
            "street with those filled in by a small masked autoencoder, and the street itself."
        )

    def _hidden(self) -> NDArray[np.bool_]:
        """Which pixels (H, W) are hidden at first."""
        grid = np.zeros(len(self.order), dtype=bool)
        grid[self.order[: self.start]] = True
        blocks = grid.reshape(self.height // self.patch, self.width // self.patch)
        return blocks.repeat(self.patch, axis=0).repeat(self.patch, axis=1)

    def _seen(self) -> NDArray[np.float32]:
        """The first street (H, W, 3), 0-1, as the network is shown it."""
        pixels = self._first.astype(np.float32) / 255
        pixels[self._hidden()] = self.cover
        return pixels

    def _answer(self, model: nn.Module, seen: NDArray[np.float32]) -> NDArray[np.float32]:
        weight = next(model.parameters(), torch.zeros(()))
        image = torch.from_numpy(seen).permute(2, 0, 1)[None].to(weight)
        with evaluating(model), torch.inference_mode():
            answer: Tensor = model(image)
        if answer.shape != image.shape:
            raise ValueError(
                f"the network returns {tuple(answer.shape)} for {tuple(image.shape)}, expected "
                "a picture of the same shape"
            )
        pixels: NDArray[np.float32] = answer[0].permute(1, 2, 0).float().cpu().numpy()
        return pixels

    def _draw(self) -> Drawing:
        from matplotlib.figure import Figure as Drawing

        drawing = Drawing(figsize=(8, 2.4))
        truth = self._first / 255
        filled = np.where(self._hidden()[..., None], self._first_answer, truth)
        panels = {"What it sees": self._seen(), "Filled in": filled, "The street": truth}
        for axes, (title, pixels) in zip(drawing.subplots(1, 3), panels.items(), strict=True):
            axes.imshow(pixels.clip(0, 1), interpolation="nearest")
            axes.set_title(title, fontsize=10, loc="left")
            axes.set_axis_off()
        return drawing


def _cover_colors(model: nn.Module, cover: Any) -> list[float]:
    given = getattr(model, "cover", None) if cover is None else cover
    if given is None:
        raise ValueError("the network has no cover; say which color stands for what is hidden")
    colors = torch.as_tensor(given).detach().float().flatten()
    if colors.numel() != 3:
        raise ValueError(f"cover has {colors.numel()} values, expected 3: red, green and blue")
    return [float(value) for value in colors]
