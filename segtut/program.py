"""A trained network as a short list of operations and one block of weights.

A web page cannot run PyTorch. It can run a few operations on arrays, which is all that a U-Net
consists of once its normalizations are folded: `export_program` writes a network down in them,
and `segtut/widgets/engine.js` runs what it wrote.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn
from torch.nn.functional import interpolate

from segtut.models.geometry import count_parameters
from segtut.models.normalize import Normalize

LARGEST_PROGRAM = 150_000
_OPERATIONS = "3x3 and 1x1 convolutions, batch normalization, ReLU, 2x2 max pooling, nearest "
_OPERATIONS += "and bilinear upsampling by two, concatenation, and cutting to a size"
_MODES = ("nearest", "bilinear")
_Node = Any  # fx.Node, whose own types allow for far more than a traced network holds


@dataclass(frozen=True)
class Program:
    """What `export_program` returns, ready to be sent as JSON and bytes.

    operations: one dictionary each, in the order they run. "op" is normalize, convolution, pool,
        nearest, bilinear, crop or concat; "in" lists the numbers of the maps it reads, "out" is
        that of the map it writes. Map 0 is the image, (3, H, W), 0-1. A convolution has "kernel",
        "stride", "channels" (in, out), "relu", and "at": where its weights (out, in, K, K), then
        its biases, begin.
    weights: all weights and biases, one after the other, float32 or float16.
    """

    operations: list[dict[str, Any]]
    weights: NDArray[np.float32] | NDArray[np.float16]


def export_program(
    model: nn.Module, precision: Literal["float32", "float16"] = "float32"
) -> Program:
    """Write a network down as operations that a page can run, as it is in evaluation mode.

    Batch normalizations are folded into the convolutions before them. The normalization of the
    image stays an operation of its own: the zeros that pad the first convolution stand for the
    mean color, which no choice of weights could bring about at the rim.

    Args:
        model: such as `UNet` with nearest upsampling; it is left as it was.
        precision: of the weights. float16 halves their size and rounds them to 11 bits.

    Raises:
        ValueError: the network has more than 150,000 parameters, or does something that is not
            among the operations; the message names it.
    """
    parameters = count_parameters(model)
    if parameters > LARGEST_PROGRAM:
        raise ValueError(
            f"The network has {parameters:,} parameters; a page runs at most {LARGEST_PROGRAM:,}. "
            "Make it narrower, such as UNet(width=8)."
        )
    if precision not in ("float32", "float16"):
        raise ValueError(f"precision={precision!r}; choose 'float32' or 'float16'.")
    network = copy.deepcopy(model).cpu().double().eval()
    writer = _Writer(network)
    for node in _trace(network).nodes:
        writer.write(node)
    weights = np.concatenate([np.zeros(0), *(part.ravel() for part in writer.weights)])
    largest = np.abs(weights).max(initial=0)
    if not largest <= np.finfo(precision).max:
        raise ValueError(f"The network has a weight of {largest:.3g}, more than {precision} holds.")
    half = precision == "float16"
    return Program(
        writer.operations, weights.astype(np.float16) if half else weights.astype(np.float32)
    )


def _trace(network: nn.Module) -> fx.Graph:
    try:
        return _Tracer().trace(network)
    except fx.proxy.TraceError as error:
        raise _unsupported(f"{type(network).__name__}, whose steps depend on sizes") from error


class _Tracer(fx.Tracer):
    """Looks into every module but torch's own and `Normalize`."""

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return isinstance(module, Normalize) or super().is_leaf_module(module, name)


@dataclass(frozen=True)
class _Size:
    """The height and width of a map: what `x.shape[-2:]` gives while tracing."""

    map: int


@dataclass(frozen=True)
class _Side:
    """One of the two: axis 0 is the height."""

    map: int
    axis: int


@dataclass
class _Writer:
    """Turns the nodes of a traced graph into operations, one after the other."""

    network: nn.Module
    operations: list[dict[str, Any]] = field(default_factory=list)
    weights: list[NDArray[np.float64]] = field(default_factory=list)
    values: dict[_Node, Any] = field(default_factory=dict)
    maps: int = 1

    def write(self, node: _Node) -> None:
        if node.op == "placeholder":
            self.values[node] = 0
        elif node.op == "call_module":
            module = self.network.get_submodule(str(node.target))
            self.values[node] = self._module(node, module, self.values[node.args[0]])
        elif node.op != "output":
            self.values[node] = self._function(node)

    def _module(self, node: _Node, module: nn.Module, source: int) -> int:
        if isinstance(module, Normalize):
            mean, std = module.mean.flatten().tolist(), module.std.flatten().tolist()
            return self._add("normalize", [source], mean=mean, std=std)
        if isinstance(module, nn.Conv2d) and _convolution_is_plain(module):
            return self._convolution(module, source)
        if isinstance(module, nn.BatchNorm2d) and self._ends_in_convolution(node, relu=False):
            self._fold(module)
            return source
        if isinstance(module, nn.ReLU) and self._ends_in_convolution(node, relu=False):
            self.operations[-1]["relu"] = True
            return source
        if isinstance(module, nn.MaxPool2d) and _pooling_is_plain(module):
            return self._add("pool", [source])
        if isinstance(module, nn.Upsample) and module.mode in _MODES and module.scale_factor == 2:
            return self._add(module.mode, [source])
        if isinstance(module, (nn.Dropout, nn.Dropout2d, nn.Identity)):
            return source
        raise _unsupported(f"the module {node.target}, {module}")

    def _function(self, node: _Node) -> Any:
        known: list[Any] = [self.values.get(argument) for argument in node.all_input_nodes]
        if node.target is getattr and node.args[1] == "shape":
            return _Size(known[0])
        if node.target == torch.cat and node.kwargs.get("dim", (*node.args, None)[1]) == 1:
            return self._add("concat", known)
        if node.target is interpolate:
            how = node.kwargs
            if how.get("mode") in _MODES and how["scale_factor"] == 2 and not how["align_corners"]:
                return self._add(how["mode"], known)
        if node.target is operator.getitem:
            value, key = self.values[node.args[0]], node.args[1]
            if isinstance(value, _Size):
                return value if isinstance(key, slice) else _Side(value.map, key % 2)
            sides = self._sides(key)
            if sides is not None:
                return self._add("crop", [value, sides])
        raise _unsupported(f"the operation {node.format_node()}")

    def _sides(self, key: Any) -> int | None:
        """The map whose size `x[..., :height, :width]` cuts to; None for any other key."""
        if not isinstance(key, tuple) or len(key) != 3 or key[0] is not Ellipsis:
            return None
        sides = [self.values.get(part.stop) for part in key[1:]]
        first = sides[0]
        if isinstance(first, _Side) and sides == [_Side(first.map, 0), _Side(first.map, 1)]:
            return first.map
        return None

    def _convolution(self, module: nn.Conv2d, source: int) -> int:
        bias = module.bias if module.bias is not None else torch.zeros(module.out_channels)
        at = sum(part.size for part in self.weights)
        self.weights += [_array(module.weight), _array(bias)]
        channels = [module.in_channels, module.out_channels]
        sizes = {"kernel": module.kernel_size[0], "stride": module.stride[0]}
        return self._add("convolution", [source], **sizes, channels=channels, relu=False, at=at)

    def _fold(self, norm: nn.BatchNorm2d) -> None:
        """Scale and shift of a batch normalization, put into the convolution just written."""
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = _array(norm.weight) / np.sqrt(_array(norm.running_var) + norm.eps)
        kernels, bias = self.weights[-2:]
        shift = _array(norm.bias) - _array(norm.running_mean) * scale
        self.weights[-2:] = [kernels * scale[:, None, None, None], bias * scale + shift]

    def _ends_in_convolution(self, node: _Node, *, relu: bool) -> bool:
        """Whether the last operation is a convolution that gave this node's only input, alone."""
        before = node.all_input_nodes[0]
        last = self.operations[-1] if self.operations else {}
        written = last.get("out") == self.values[before] and last.get("relu") is relu
        return written and len(before.users) == 1

    def _add(self, op: str, sources: Iterable[int], **settings: Any) -> int:
        out, self.maps = self.maps, self.maps + 1
        self.operations.append({"op": op, "in": list(sources), "out": out, **settings})
        return out


def _convolution_is_plain(module: nn.Conv2d) -> bool:
    kernel = module.kernel_size[0]
    return (
        kernel in (1, 3)
        and module.kernel_size == (kernel, kernel)
        and module.padding == (kernel // 2, kernel // 2)
        and module.padding_mode == "zeros"
        and module.stride in ((1, 1), (2, 2))
        and module.dilation == (1, 1)
        and module.groups == 1
    )


def _pooling_is_plain(module: nn.MaxPool2d) -> bool:
    sizes = (module.kernel_size, module.stride, module.padding, module.dilation)
    return sizes == (2, 2, 0, 1) and module.ceil_mode


def _array(values: Tensor) -> NDArray[np.float64]:
    return values.detach().double().numpy()


def _unsupported(what: str) -> ValueError:
    return ValueError(f"A page cannot run {what}; it knows {_OPERATIONS}.")
