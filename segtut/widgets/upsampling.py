"""The figure of section 3.3.2: ways to enlarge a map, forwards and backwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, get_args

import torch
import traitlets
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d, interpolate, pad, pixel_shuffle

from segtut.widgets.base import Figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

Way = Literal["transposed", "shuffle", "repeat", "interpolate", "unpool"]
Weights = Literal["equal", "tent", "random"]

_LIMITS = {"kernel": (1, 7), "stride": (2, 4)}
_NAMES = {
    "transposed": "a transposed convolution",
    "shuffle": "a convolution and pixel shuffle",
    "repeat": "repeating and a convolution",
    "interpolate": "bilinear interpolation and a convolution",
    "unpool": "unpooling and a convolution",
}


class UpsamplingExplorer(Figure):
    """A way up, its kernel and its stride; a flat map and an edge enlarged by it; its gradient.

    way: "transposed", "shuffle", "repeat", "interpolate" or "unpool" at the start. kernel: 1 to 7;
    stride: 2 to 4, how many times larger the map becomes; weights: "equal", "tent" or "random".
    Everything is computed in the page. Raises ValueError for a start that is not among these.
    """

    _script: ClassVar[str] = "upsampling.js"

    start = traitlets.Dict().tag(sync=True)
    limits = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        way: Way = "transposed",
        *,
        kernel: int = 3,
        stride: int = 2,
        weights: Weights = "equal",
    ) -> None:
        for name, value, choices in (("way", way, Way), ("weights", weights, Weights)):
            if value not in get_args(choices):
                listed = ", ".join(repr(choice) for choice in get_args(choices))
                raise ValueError(f"{name} {value!r} was given, expected one of {listed}")
        start = {"kernel": kernel, "stride": stride}
        for name, number in start.items():
            low, high = _LIMITS[name]
            if not low <= number <= high:
                raise ValueError(f"{name} {number} was given, expected {low} to {high}")
        super().__init__(
            classes=[],
            colors=bytes(768),
            start={"way": way, "kind": weights, **start},
            limits={name: list(ends) for name, ends in _LIMITS.items()},
        )
        self._require_light_state()

    def alternative_text(self) -> str:
        """What the static picture shows, in words."""
        kernel, stride = self.start["kernel"], self.start["stride"]
        return (
            f"A flat map and a map with an edge, enlarged {stride} times by "
            f"{_NAMES[self.start['way']]} with a kernel of {kernel} × {kernel} equal weights, and "
            "the strength of the gradient that reaches each pixel on the mirrored way down."
        )

    def _draw(self) -> Drawing:
        from matplotlib.figure import Figure as Drawing

        way, kernel, stride = (self.start[name] for name in ("way", "kernel", "stride"))
        flat = torch.ones(1, 1, 12, 12)
        columns = torch.arange(12) + 0.5 * torch.arange(12)[:, None]
        edge = torch.where(columns < 8.4, 0.4, 1.6)[None, None]
        units = torch.eye(144).view(144, 1, 12, 12)
        slopes = _enlarge(units, way, kernel, stride).square().sum(dim=0, keepdim=True).sqrt()
        maps = [_enlarge(values, way, kernel, stride) for values in (flat, edge)] + [slopes]
        titles = ("a flat map, enlarged", "an edge, enlarged", "the gradient, going down")
        drawing = Drawing(figsize=(7, 2.6), layout="constrained")
        middle = slice(3 * stride, 9 * stride)
        for axes, values, title in zip(drawing.subplots(1, 3), maps, titles, strict=True):
            shown = values[0, 0, middle, middle]
            axes.imshow((shown / shown.mean()).numpy(), cmap="gray", vmin=0, vmax=2)
            axes.set_title(title, fontsize=10, loc="left")
            axes.set_axis_off()
        return drawing


def _enlarge(values: Tensor, way: str, kernel: int, stride: int) -> Tensor:
    """Maps (N, 1, n, n) to (N, 1, n * stride, n * stride) with equal weights."""
    weights = torch.ones(1, 1, kernel, kernel)
    side = values.shape[-1] * stride
    if way == "transposed":
        laid = conv_transpose2d(values, weights, stride=stride)
        cut = max(0, (kernel - stride) // 2)
        room = max(0, side - (laid.shape[-1] - cut))
        return pad(laid, (0, room, 0, room))[..., cut : cut + side, cut : cut + side]
    before = (kernel - 1) // 2
    border = (before, kernel - 1 - before) * 2
    if way == "shuffle":  # equal kernels: a convolution whose values are repeated
        return interpolate(conv2d(pad(values, border), weights), scale_factor=stride)
    mode = "bilinear" if way == "interpolate" else "nearest"
    large = interpolate(values, scale_factor=stride, mode=mode)
    if way == "unpool":
        generator = torch.Generator().manual_seed(stride)
        lots = torch.rand(1, stride**2, *values.shape[-2:], generator=generator)
        large = large * pixel_shuffle((lots == lots.amax(dim=1, keepdim=True)).float(), stride)
    return conv2d(pad(large, border), weights)
