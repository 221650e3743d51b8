"""The figure of section 3.2.3: a class activation map, put together from its features."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
import traitlets
from torch import Tensor
from torch.nn.functional import interpolate

from segtut.data.dataset import VOID
from segtut.widgets.base import Figure, image_array, jpeg_url, label_array

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

_LEVELS = 255
_CLASSES = ("elsewhere", "person")


class ActivationMap(Figure):
    """Scenes, the feature maps a network made of them, and the map that its last weights make.

    images: uint8 (K, 3, H, W). target: (K, H, W), 1 on people, 0 elsewhere, 255 void. features:
    (K, F, h, w), not negative, before global average pooling; they travel as bytes, in 255 steps
    of each feature's maximum. weights (F,) and bias: of the one output after the pooling.
    Raises ValueError when the shapes do not fit or a feature is negative.
    """

    _script: ClassVar[str] = "activation_map.js"

    pictures = traitlets.List(traitlets.Unicode()).tag(sync=True)
    labels = traitlets.Bytes().tag(sync=True)
    """One bit a pixel: all people first, then all void; eight pixels a byte, the first highest."""
    features = traitlets.Bytes().tag(sync=True)
    steps = traitlets.List(traitlets.Float()).tag(sync=True)
    """What one step of each feature's bytes stands for."""
    weights = traitlets.List(traitlets.Float()).tag(sync=True)
    bias = traitlets.Float().tag(sync=True)
    size = traitlets.List(traitlets.Int()).tag(sync=True)
    """H, W, h, w."""

    def __init__(
        self, images: Tensor, target: Tensor, features: Tensor, weights: Tensor, bias: float
    ) -> None:
        values = torch.as_tensor(features).detach().float()
        if values.ndim != 4 or len(images) != len(values) or len(target) != len(values):
            raise ValueError(
                f"{len(images)} images, {len(target)} label maps and features of the shape "
                f"{tuple(values.shape)} were given, expected as many of each, features (K, F, h, w)"
            )
        if tuple(weights.shape) != (values.shape[1],):
            raise ValueError(
                f"weights have the shape {tuple(weights.shape)}, expected one for each of the "
                f"{values.shape[1]} features"
            )
        if (values < 0).any():
            raise ValueError("a feature is negative, expected features after a ReLU")
        labels = label_array(target, 2, "target", ndim=3)
        steps = values.amax((0, 2, 3)) / _LEVELS
        coded = (values / steps.clamp(min=1e-12)[:, None, None]).round().to(torch.uint8)
        self._pixels = [image_array(image, "image") for image in images]
        super().__init__(
            classes=list(_CLASSES),
            colors=bytes(768),
            pictures=[jpeg_url(pixels) for pixels in self._pixels],
            labels=b"".join(np.packbits(labels == value).tobytes() for value in (1, VOID)),
            features=coded.numpy().tobytes(),
            steps=steps.tolist(),
            weights=[float(weight) for weight in weights],
            bias=float(bias),
            size=[*labels.shape[1:], *values.shape[2:]],
        )
        self._require_light_state()

    def maps(self) -> Tensor:
        """The activation maps (K, h, w) of the features as they travel, all of them switched on."""
        coded = np.frombuffer(self.features, np.uint8).copy()
        values = torch.from_numpy(coded).view(-1, len(self.weights), *self.size[2:]).float()
        values = values * torch.tensor(self.steps)[:, None, None]
        return torch.einsum("kfhw,f->khw", values, torch.tensor(self.weights)) + self.bias

    def alternative_text(self) -> str:
        """What the static picture shows, in words."""
        return (
            f"A street, the activation map for {_CLASSES[1]} that {len(self.weights)} features "
            "add up to, and where it lies above half of its maximum, beside the labeled people."
        )

    def _draw(self) -> Drawing:
        from matplotlib.figure import Figure as Drawing

        drawing = Drawing(figsize=(7, 2.0), layout="constrained")
        height, width = self.size[:2]
        activation = interpolate(self.maps()[:1, None], (height, width), mode="bilinear")[0, 0]
        people = np.unpackbits(np.frombuffer(self.labels, np.uint8))[: height * width]
        above = activation > activation.max() / 2
        panels = (
            ("Scene", self._pixels[0]),
            ("Activation map", activation.numpy()),
            (
                "Above half (pale), people (dark)",
                above.numpy() + 2.0 * people.reshape(height, width),
            ),
        )
        for axes, (title, pixels) in zip(drawing.subplots(1, 3), panels, strict=True):
            axes.imshow(pixels, cmap="magma" if "map" in title else "Blues")
            axes.set_title(title, fontsize=10, loc="left")
            axes.set_axis_off()
        return drawing
