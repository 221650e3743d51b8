"""The figure of section 3.4.2: what patch discriminators say of a picture with damage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import traitlets
from numpy.typing import NDArray
from torch import Tensor, nn

from segtut.models.gan import PatchDiscriminator
from segtut.program import export_program
from segtut.widgets.base import Figure, image_array

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

_MOST = 3


class DiscriminatorMap(Figure):
    """A picture to blur, cover with noise, shuffle or erase, and the heat map of a discriminator.

    discriminators: what to call them, and one to three networks that give high scores to real
    patches of RGB images, such as `PatchDiscriminator(...).layers`, convolutions one after the
    other; the reader chooses among them. images: uint8 (S, 3, H, W), names: one a picture. The
    figure opens with a blurred disk in the first picture. Raises ValueError when sizes, names and
    networks do not fit, or for more than 300 kB.
    """

    _script = "discriminator_map.js"
    _builds_on = ("engine.js",)

    height = traitlets.Int().tag(sync=True)
    width = traitlets.Int().tag(sync=True)
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    pictures = traitlets.Bytes().tag(sync=True)
    discriminators = traitlets.List(traitlets.Dict()).tag(sync=True)
    weights = traitlets.Bytes().tag(sync=True)

    def __init__(
        self,
        discriminators: Mapping[str, nn.Module],
        images: Tensor,
        *,
        names: Sequence[str],
    ) -> None:
        if not 1 <= len(discriminators) <= _MOST:
            raise ValueError(f"{len(discriminators)} discriminators were given, expected 1 to 3")
        pictures = [image_array(image, f"images[{k}]") for k, image in enumerate(images)]
        if len(names) != len(pictures) or not pictures:
            raise ValueError(
                f"{len(names)} names and {len(pictures)} images were given, expected one name each"
            )
        height, width, _ = pictures[0].shape
        described, weights = [], b""
        for name, network in discriminators.items():
            geometry = {"name": name, **_geometry(network, min(height, width))}
            body = network.layers if isinstance(network, PatchDiscriminator) else network
            program = export_program(body, "float16")
            place = {"at": len(weights) // 2, "size": program.weights.size}
            described.append({**geometry, **place, "operations": program.operations})
            weights += program.weights.tobytes()
        super().__init__(
            height=height,
            width=width,
            names=list(names),
            pictures=np.stack(pictures).tobytes(),
            discriminators=described,
            weights=weights,
        )
        self._opening = _blurred_disk(pictures[0])
        self._first_map = _probability_of_fake(next(iter(discriminators.values())), self._opening)
        self._require_light_state()

    def alternative_text(self) -> str:
        """What the static picture shows, in words."""
        field = self.discriminators[0]["field"]
        return (
            "A street with a blurred disk in its middle, and the heat map of a discriminator whose "
            f"scores see {field} by {field} pixels each: the darker, the surer that a patch is "
            "not real."
        )

    def _draw(self) -> Drawing:
        from matplotlib.figure import Figure as Drawing

        geometry = self.discriminators[0]
        first = geometry["start"] + (geometry["field"] - geometry["stride"]) / 2 - 0.5
        rows, columns = (
            (first, first + geometry["stride"] * count) for count in self._first_map.shape
        )
        drawing = Drawing(figsize=(7, 2.9))
        before, after = drawing.subplots(1, 2)
        before.imshow(self._opening, interpolation="nearest")
        before.set_title("A street, blurred in one place", fontsize=10, loc="left")
        after.imshow(self._opening.mean(axis=2), cmap="gray", vmin=-250, vmax=270)
        heat = after.imshow(
            self._first_map,
            cmap="Oranges",
            vmin=0,
            vmax=1,
            alpha=0.8,
            extent=(*columns, *reversed(rows)),
            interpolation="nearest",
        )
        after.set(xlim=(-0.5, self.width - 0.5), ylim=(self.height - 0.5, -0.5))
        after.set_title("Probability that a patch is not real", fontsize=10, loc="left")
        drawing.colorbar(heat, ax=[before, after], shrink=0.7)
        for axes in (before, after):
            axes.set_axis_off()
        return drawing


def _geometry(network: nn.Module, side: int) -> dict[str, Any]:
    """What a score sees: side of its field, stride, and the first pixel of the first score.

    Raises ValueError when pictures of this side give no score, or for other channels than RGB's.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    if not layers or layers[0].in_channels != 3 or layers[-1].out_channels != 1:
        raise ValueError("a discriminator takes RGB through convolutions to one map of scores")
    field, stride, start, scores = 1, 1, 0, side
    for layer in layers:
        kernel, padding, step = layer.kernel_size[0], int(layer.padding[0]), layer.stride[0]
        field += (kernel - 1) * stride
        start -= padding * stride
        stride *= step
        scores = (scores + 2 * padding - kernel) // step + 1
    if scores < 1:
        raise ValueError(f"pictures with a side of {side} pixels are too small to give a score")
    return {"field": field, "stride": stride, "start": start}


def _blurred_disk(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    from scipy.ndimage import gaussian_filter

    height, width, _ = pixels.shape
    blurred = gaussian_filter(pixels.astype(float), (1.5, 1.5, 0), mode="mirror", truncate=8 / 3)
    y, x = np.ogrid[:height, :width]
    radius = height // 4
    disk = (y - height // 2) ** 2 + (x - width // 2) ** 2 <= radius**2
    return np.where(disk[..., None], blurred.round(), pixels).astype(np.uint8)


@torch.no_grad()
def _probability_of_fake(network: nn.Module, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    weight = next(network.parameters())
    image = torch.from_numpy(pixels.transpose(2, 0, 1) / 255)[None].to(weight)
    training = network.training
    scores = network.eval()(image)
    network.train(training)
    probability: NDArray[np.float32] = torch.sigmoid(-scores)[0, 0].float().cpu().numpy()
    return probability
