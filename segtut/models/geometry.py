"""How far a network sees, how coarsely it answers, and how many weights it has.

The arithmetic is that of Araujo, Norris and Sim, "Computing receptive fields of convolutional
neural networks" (Distill, 2019): how many values of one layer do n neighbors of the next one see?
It is read off a run of the network on a tensor without data: each operation puts its own step
before the steps of what it was given, and a join takes the larger field.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

_IMAGE_SIDE = 512
_aten = torch.ops.aten


@dataclass(frozen=True)
class Geometry:
    """What one value of a feature map stands for, in pixels of the image, down its height.

    receptive_field: side of the square of pixels that can change the value, the largest over
        the positions; infinite where the whole image can.
    stride: distance between the centers of neighboring values.
    """

    receptive_field: float
    stride: float


def receptive_field(model: nn.Module) -> float:
    """Side, in pixels, of the square around a pixel that can change the model's output there.

    `math.inf` where an operation mixes the whole image, such as a dense layer or a global
    pooling. What normalization statistics let through is not counted.
    """
    _, output = layer_geometry(model)[-1]
    return output.receptive_field


def output_stride(model: nn.Module) -> float:
    """Pixels an answer before the last, unlearned upsampling: 8 for FCN-8s, 1 for a U-Net.

    It is the stride of the last layer that has weights.
    """
    _, last = layer_geometry(model)[-2]
    return last.stride


def layer_geometry(model: nn.Module) -> list[tuple[str, Geometry]]:
    """Geometry after every convolution, dense layer and pooling as they run, then of the output.

    The names are those of `model.named_modules()`, and "output" for the last; a layer that runs
    several times, as the U-Net's pooling, comes several times. The network is run in evaluation
    mode on an image without data, so this costs milliseconds for a small network.
    """
    network = copy.deepcopy(model).to("meta").eval()
    size = getattr(model, "size", (_IMAGE_SIDE, _IMAGE_SIDE))
    image = torch.empty(1, 3, *size, device="meta")
    layers: list[tuple[str, Geometry]] = []
    with torch.no_grad(), _ReachOfTensors(image) as known:
        for name, module in network.named_modules():
            if isinstance(module, _LAYERS):
                module.register_forward_hook(_recorder(layers, name, known))
        output = network(image)
    return [*layers, ("output", known.tensors[output].geometry())]


def count_parameters(model: nn.Module) -> int:
    """Number of values that training may change."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


_LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.MaxPool2d, nn.AvgPool2d)
_Count = Callable[[int], float]
_MIXES_EVERYTHING = (_aten.mean, _aten._adaptive_avg_pool2d, _aten.addmm, _aten.mm)
_RESIZES = (_aten.upsample_nearest2d, _aten.upsample_bilinear2d)


@dataclass(frozen=True)
class _Reach:
    """pixels: how many rows of the image n neighboring rows of values see, at most."""

    pixels: _Count
    stride: float

    def geometry(self) -> Geometry:
        return Geometry(self.pixels(1), self.stride)


class _ReachOfTensors(TorchDispatchMode):
    """Follows every tensor that comes from the image, operation by operation."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self.tensors = WeakIdKeyDictionary({image: _Reach(lambda n: n, 1)})
        self.everything = _Reach(lambda n: math.inf, image.shape[-2])

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        outputs = func(*args, **(kwargs or {}))
        known = [t for t in tree_leaves(args) if isinstance(t, Tensor) and t in self.tensors]
        if known:
            operation = func.overloadpacket
            if operation in _MIXES_EVERYTHING:
                after = self.everything
            else:
                before = _join([self.tensors[tensor] for tensor in known])
                after = _after(operation, args, before, outputs)
            for output in tree_leaves(outputs):
                if isinstance(output, Tensor):
                    self.tensors[output] = after
        return outputs


def _join(reaches: Sequence[_Reach]) -> _Reach:
    if len(reaches) == 1:
        return reaches[0]
    counts = [reach.pixels for reach in reaches]
    # A global value, spread over a map again, has no distance of its own: the map's counts.
    stride = min(reach.stride for reach in reaches)
    return _Reach(cache(lambda n: max(count(n) for count in counts)), stride)


def _after(operation: Any, args: tuple[Any, ...], before: _Reach, outputs: Any) -> _Reach:
    if operation is _aten.convolution:
        _, weight, _, stride, _, dilation, transposed, *_ = args
        if transposed:
            return _spread(before, weight.shape[2], stride[0])
        return _slide(before, weight.shape[2], stride[0], dilation[0])
    if operation is _aten.max_pool2d_with_indices or operation is _aten.avg_pool2d:
        return _slide(before, kernel=args[1][0], stride=args[2][0])
    if operation in _RESIZES:
        factor = outputs.shape[-2] // args[0].shape[-2]
        # Between two neighbors, linear interpolation sees both of them.
        width = 2 * factor if operation is _aten.upsample_bilinear2d else factor
        return _spread(before, width, factor)
    return before


def _slide(before: _Reach, kernel: int, stride: int, dilation: int = 1) -> _Reach:
    """Convolution or pooling: n values see s * (n - 1) + k of the layer below (eq. 1)."""
    reach = dilation * (kernel - 1) + 1
    return _Reach(cache(lambda n: before.pixels(stride * (n - 1) + reach)), before.stride * stride)


def _spread(before: _Reach, kernel: int, stride: int) -> _Reach:
    """Upsampling: each value below spreads over k values, s apart from the next one's."""
    return _Reach(
        cache(lambda n: before.pixels((n + kernel - 2) // stride + 1)), before.stride / stride
    )


def _recorder(
    layers: list[tuple[str, Geometry]], name: str, known: _ReachOfTensors
) -> Callable[[nn.Module, Any, Tensor], None]:
    def record(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        layers.append((name, known.tensors[output].geometry()))

    return record
