"""A trained network as a short list of operations and one block of weights.

A web page cannot run PyTorch. It can run a few operations on arrays, which is all that a U-Net, a
decoder of codes or a discriminator consists of once its normalizations are folded:
`export_program` writes a network down in them, and `segtut/widgets/engine.js` runs what it wrote.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torch.nn.functional import interpolate
from torch.nn.utils import parametrize

from segtut.models.geometry import count_parameters
from segtut.models.normalize import Normalize

LARGEST_PROGRAM = 150_000
_OPERATIONS = (
    "1x1, 3x3 and 4x4 convolutions, transposed 2x2 ones, linear layers, batch normalization right "
    "after them, ReLU, leaky ReLU, sigmoid, tanh, 2x2 max pooling, pixel shuffle by two, nearest "
    "and bilinear upsampling by two, concatenation, flattening, and cutting to a size"
)
_MODES = ("nearest", "bilinear")
_Learned = nn.Conv2d | nn.ConvTranspose2d | nn.Linear
_ACTIVATIONS: dict[Any, str] = {
    **dict.fromkeys((nn.ReLU, F.relu, torch.relu, "relu"), "relu"),
    **dict.fromkeys((nn.LeakyReLU, F.leaky_relu), "leaky_relu"),
    **dict.fromkeys((nn.Sigmoid, F.sigmoid, torch.sigmoid, "sigmoid"), "sigmoid"),
    **dict.fromkeys((nn.Tanh, F.tanh, torch.tanh, "tanh"), "tanh"),
}
_Node = Any  # fx.Node, whose own types allow for far more than a traced network holds


@dataclass(frozen=True)
class Program:
    """What `export_program` returns, ready to be sent as JSON and bytes.

    operations: one dictionary each, in the order they run. "op" is normalize, convolution,
        transposed, linear, standardize, activate, pool, shuffle, nearest, bilinear, reshape, crop
        or concat; "in" lists the numbers of the maps it reads, "out" is that of the map it writes.
        Map 0 is the input: images (C, H, W), or a code as K channels of one pixel. Convolution,
        transposed and linear have "channels" (in, out), "relu", and "at": where their weights
        begin, (out, in, K, K), (out, in, 2, 2) and (out, in), and then their biases. A convolution
        has "kernel" and "stride" too. "activate" has "kind" and "slope", the factor of negative
        numbers; "standardize" has "relu", "share", and for each channel "mean", "std" and "floor",
        the least variance; "reshape" has "shape", (C, H, W), or None for one pixel of all numbers.
    weights: all weights and biases, one after the other, float32 or float16.
    """

    operations: list[dict[str, Any]]
    weights: NDArray[np.float32] | NDArray[np.float16]


def export_program(
    model: nn.Module,
    precision: Literal["float32", "float16"] = "float32",
    own_statistics: float = 0.0,
) -> Program:
    """Write a network down as operations that a page can run, as it is in evaluation mode.

    Batch normalizations are folded into the layers before them, and spectral normalizations into
    their own. The normalization of the image stays an operation of its own: the zeros that pad
    the first convolution stand for the mean color, which no choice of weights could bring about
    at the rim.

    Args:
        model: such as `UNet`, `Generator`, the decoder of an `Autoencoder` or the layers of a
            `PatchDiscriminator`: from images (N, C, H, W) or codes (N, K) to images or to
            numbers. It is left as it was.
        precision: of the weights. float16 halves their size and rounds them to 11 bits.
        own_statistics: share, 0 to 1, of the picture's own mean and variance in those that its
            batch normalizations use; the rest are the stored ones. With 1 it is the network in
            training mode, on a batch of this one picture.

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
    if not 0 <= own_statistics <= 1:
        raise ValueError(f"own_statistics={own_statistics} is a share, expected 0 to 1.")
    network = copy.deepcopy(model).cpu().double().eval()
    for module in network.modules():
        if parametrize.is_parametrized(module, "weight"):  # a weight divided by its largest gain
            parametrize.remove_parametrizations(module, "weight")
    writer = _Writer(network, own_statistics)
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
    except (fx.proxy.TraceError, RuntimeError) as error:  # a branch, or len(), on a size
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
    own_statistics: float = 0.0
    operations: list[dict[str, Any]] = field(default_factory=list)
    weights: list[NDArray[np.float64]] = field(default_factory=list)
    values: dict[_Node, Any] = field(default_factory=dict)
    flat: set[int] = field(default_factory=lambda: {0})  # maps that may be rows of numbers
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
            sizes = {"kernel": module.kernel_size[0], "stride": module.stride[0]}
            return self._learned("convolution", module, module.weight, source, **sizes)
        if isinstance(module, nn.ConvTranspose2d) and _transposed_is_plain(module):
            return self._learned("transposed", module, module.weight.transpose(0, 1), source)
        if isinstance(module, nn.Linear) and source in self.flat:
            return self._learned("linear", module, module.weight, source)
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)) and self._ends_in_layer(node):
            self._fold(module)
            if not self.own_statistics:
                return source
            if isinstance(module, nn.BatchNorm2d):  # a single code has no spread
                return self._standardize(module, source)
        if type(module) in _ACTIVATIONS and not self._overwrites(node, module):
            slope = getattr(module, "negative_slope", 0.0)
            return self._activate(node, source, _ACTIVATIONS[type(module)], slope)
        if isinstance(module, nn.MaxPool2d) and _pooling_is_plain(module):
            return self._add("pool", [source])
        if isinstance(module, nn.Upsample) and module.mode in _MODES and module.scale_factor == 2:
            return self._add(module.mode, [source])
        if isinstance(module, nn.PixelShuffle) and module.upscale_factor == 2:
            return self._add("shuffle", [source])
        if isinstance(module, nn.Flatten) and (module.start_dim, module.end_dim) == (1, -1):
            return self._reshape(source, None)
        if isinstance(module, nn.Unflatten) and module.dim == 1:
            shape = [int(size) for size in module.unflattened_size]
            if len(shape) == 3:
                return self._reshape(source, shape)
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
        if node.target in _ACTIVATIONS:
            how = dict(zip(("negative_slope", "inplace"), node.args[1:], strict=False))
            how |= node.kwargs
            if not how.get("inplace"):
                kind = _ACTIVATIONS[node.target]
                return self._activate(node, known[0], kind, how.get("negative_slope", 0.01))
        layout = _layout(node)
        if layout is not None:
            return self._reshape(known[0], layout["shape"])
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

    def _learned(
        self, op: str, module: _Learned, weight: Tensor, source: int, **settings: int
    ) -> int:
        """A layer with weights (out, in, ...) and a bias for each out."""
        leaving, entering = weight.shape[:2]
        bias = module.bias if module.bias is not None else torch.zeros(leaving)
        at = sum(part.size for part in self.weights)
        self.weights += [_array(weight), _array(bias)]
        channels = [entering, leaving]
        out = self._add(op, [source], **settings, channels=channels, relu=False, at=at)
        if op == "linear":
            self.flat.add(out)
        return out

    def _fold(self, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
        """Scale and shift of a batch normalization, put into the layer just written."""
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = 1 / np.sqrt(_array(norm.running_var) + norm.eps)
        shift = -_array(norm.running_mean) * scale
        if norm.affine:
            scale, shift = scale * _array(norm.weight), shift * _array(norm.weight)
            shift = shift + _array(norm.bias)
        weights, bias = self.weights[-2:]
        each = scale.reshape(-1, *[1] * (weights.ndim - 1))
        self.weights[-2:] = [weights * each, bias * scale + shift]

    def _standardize(self, norm: nn.BatchNorm2d, source: int) -> int:
        """With other statistics after all: folded, a channel has the norm's bias for its mean.

        Its deviation on the data of the stored statistics is the norm's weight, but for `floor`.
        """
        assert norm.running_var is not None
        ones = np.ones(norm.num_features)
        weight = np.abs(_array(norm.weight)) if norm.affine else ones
        mean = _array(norm.bias) if norm.affine else 0 * ones
        floor = norm.eps * weight**2 / (_array(norm.running_var) + norm.eps)
        columns = {"mean": mean, "std": weight, "floor": floor}
        lists = {name: column.tolist() for name, column in columns.items()}
        return self._add("standardize", [source], relu=False, share=self.own_statistics, **lists)

    def _activate(self, node: _Node, source: int, kind: str, slope: float) -> int:
        if kind == "relu" and self._ends_in_layer(node):
            self.operations[-1]["relu"] = True
            return source
        out = self._add("activate", [source], kind=kind, slope=slope if kind == "leaky_relu" else 0)
        if source in self.flat:
            self.flat.add(out)
        return out

    def _reshape(self, source: int, shape: list[int] | None) -> int:
        out = self._add("reshape", [source], shape=shape)
        if shape is None:
            self.flat.add(out)
        return out

    def _ends_in_layer(self, node: _Node) -> bool:
        """Whether the last operation is a layer without ReLU that gave this node's only input."""
        before = node.all_input_nodes[0]
        last = self.operations[-1] if self.operations else {}
        written = last.get("out") == self.values[before] and last.get("relu") is False
        return written and len(before.users) == 1

    @staticmethod
    def _overwrites(node: _Node, module: nn.Module) -> bool:
        """Whether an activation changes, in place, numbers that something else reads too."""
        return getattr(module, "inplace", False) and len(node.all_input_nodes[0].users) > 1

    def _add(self, op: str, sources: Iterable[int], **settings: Any) -> int:
        out, self.maps = self.maps, self.maps + 1
        self.operations.append({"op": op, "in": list(sources), "out": out, **settings})
        return out


def _convolution_is_plain(module: nn.Conv2d) -> bool:
    kernel = module.kernel_size[0]
    return (
        kernel in (1, 3, 4)
        and module.kernel_size == (kernel, kernel)
        and module.padding == ((0, 0) if kernel == 1 else (1, 1))
        and module.padding_mode == "zeros"
        and module.stride in ((1, 1), (2, 2))
        and module.dilation == (1, 1)
        and module.groups == 1
    )


def _transposed_is_plain(module: nn.ConvTranspose2d) -> bool:
    sizes = (module.kernel_size, module.stride, module.padding, module.output_padding)
    plain = module.dilation == (1, 1) and module.groups == 1
    return plain and sizes == ((2, 2), (2, 2), (0, 0), (0, 0))


def _pooling_is_plain(module: nn.MaxPool2d) -> bool:
    sizes = (module.kernel_size, module.stride, module.padding, module.dilation)
    return sizes == (2, 2, 0, 1) and module.ceil_mode


def _layout(node: _Node) -> dict[str, list[int] | None] | None:
    """What "reshape" is to do for a node that lays numbers out anew; None for any other node."""
    sizes = [*node.args[1:], *node.kwargs.values()]
    if len(sizes) == 1 and isinstance(sizes[0], Sequence):
        sizes = [*sizes[0]]
    if node.target in ("flatten", torch.flatten) and (sizes in ([1], [1, -1]) or _is_last(node)):
        return {"shape": None}
    if node.target == "squeeze" and _is_last(node):  # (N, 1) to (N,)
        return {"shape": None}
    if node.target == "unflatten" and sizes[0] == 1:
        sizes = [-1, *sizes[1]]
    elif node.target not in ("view", "reshape", torch.reshape):
        return None
    fixed = len(sizes) == 4 and all(isinstance(size, int) and size > 0 for size in sizes[1:])
    return {"shape": sizes[1:]} if fixed else None


def _is_last(node: _Node) -> bool:
    return all(user.op == "output" for user in node.users)


def _array(values: Tensor) -> NDArray[np.float64]:
    return values.detach().double().numpy()


def _unsupported(what: str) -> ValueError:
    return ValueError(f"A page cannot run {what}; it knows {_OPERATIONS}.")
