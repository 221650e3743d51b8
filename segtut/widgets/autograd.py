"""The figure of section 3.1.3: a small network's graph, stepped forward and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
import traitlets
from torch import Tensor

from segtut.widgets.base import Figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

Activation = Literal["relu", "sigmoid"]

# name, operation, what enters it, and the place of its box; a node stands after all that enter it.
_NODES: tuple[tuple[str, str, tuple[str, ...], int, int], ...] = (
    ("w1", "input", (), 42, 30),
    ("x1", "input", (), 122, 30),
    ("w2", "input", (), 226, 30),
    ("x2", "input", (), 306, 30),
    ("m1", "multiply", ("w1", "x1"), 82, 116),
    ("m2", "multiply", ("w2", "x2"), 266, 116),
    ("b", "input", (), 306, 202),
    ("a", "add", ("m1", "m2", "b"), 174, 202),
    ("h", "activation", ("a",), 174, 288),
    ("u0", "input", (), 42, 288),
    ("u1", "input", (), 306, 288),
    ("z0", "multiply", ("u0", "h"), 82, 374),
    ("z1", "multiply", ("u1", "h"), 266, 374),
    ("L", "cross-entropy", ("z0", "z1"), 174, 460),
)
_INPUTS = {"x1": 0.2, "x2": 0.9, "w1": 0.8, "w2": 0.5, "b": 0.1, "u0": 1.0, "u1": -0.5}


class AutogradGraph(Figure):
    """One hidden neuron, two logits and their cross-entropy, a node at a time, forward and back.

    values: numbers from -10 to 10 for some of the inputs x1, x2 (two color values of a pixel), w1,
    w2, b (the hidden neuron), u0, u1 (the weights of the two logits); the rest keep their own.
    activation: "relu" or "sigmoid". label: the pixel's class, 0 or 1.
    Raises ValueError for another name, number, activation or label.
    """

    _script = "autograd.js"

    nodes: traitlets.List[dict[str, Any]] = traitlets.List().tag(sync=True)
    inputs = traitlets.Dict().tag(sync=True)
    activation = traitlets.Unicode().tag(sync=True)
    label = traitlets.Int().tag(sync=True)

    def __init__(
        self,
        values: Mapping[str, float] | None = None,
        *,
        activation: Activation = "relu",
        label: Literal[0, 1] = 1,
    ) -> None:
        values = dict(values or {})
        if strange := sorted(values.keys() - _INPUTS.keys()):
            raise ValueError(
                f"values names {', '.join(strange)}; the graph's inputs are {', '.join(_INPUTS)}"
            )
        for name, value in values.items():
            if not -10 <= value <= 10:  # also what is not a number
                raise ValueError(f"{name} is {value}, expected a number from -10 to 10")
        if activation not in get_args(Activation) or label not in (0, 1):
            raise ValueError(
                f"activation {activation!r} and label {label} were given, "
                "expected 'relu' or 'sigmoid' and a label of 0 or 1"
            )
        fields = ("name", "operation", "inputs", "x", "y")
        super().__init__(
            nodes=[dict(zip(fields, node, strict=True)) for node in _NODES],
            inputs=_INPUTS | {name: float(value) for name, value in values.items()},
            activation=activation,
            label=label,
        )
        self._require_light_state()

    def alternative_text(self) -> str:
        """What the static picture shows, in words."""
        tensors = self._tensors()
        loss, twice = tensors["L"].item(), tensors["h"].grad
        return (
            "A graph from seven inputs down to a loss: two products, their sum a with b, its "
            f"{self.activation} h, which is used twice, for the logits z0 and z1, and the "
            f"cross-entropy L = {loss:.3f}. Each node shows its value and the loss's gradient by "
            f"it; that by h, {twice:.3f}, is the sum of two."
        )

    def _tensors(self) -> dict[str, Tensor]:
        """Every node as torch computes it, with its gradient."""
        found = {
            name: torch.tensor(value, dtype=torch.float64, requires_grad=True)
            for name, value in self.inputs.items()
        }
        operations = {
            "multiply": torch.mul,
            "add": lambda *terms: torch.stack(terms).sum(),
            "activation": getattr(torch, self.activation),
            "cross-entropy": lambda *z: -torch.stack(z).log_softmax(0)[self.label],
        }
        for name, operation, entering, _, _ in _NODES:
            if operation != "input":
                found[name] = operations[operation](*(found[other] for other in entering))
                found[name].retain_grad()
        found["L"].backward()
        return found

    def _draw(self) -> Drawing:
        from matplotlib.figure import Figure as Drawing

        drawing = Drawing(figsize=(4.6, 5.6))
        axes = drawing.subplots()
        tensors = self._tensors()
        places = {name: (x, -y) for name, _, _, x, y in _NODES}
        for name, _, entering, _, _ in _NODES:
            for other in entering:
                ends = zip(places[other], places[name], strict=True)
                axes.plot(*ends, color="#5b5c68", linewidth=1, zorder=0)
            text = f"{name} = {tensors[name].item():.3f}\n∂ {tensors[name].grad:.3f}"
            box = {"boxstyle": "round", "facecolor": "#edeae1", "edgecolor": "#5b5c68"}
            axes.text(*places[name], text, ha="center", va="center", fontsize=8, bbox=box)
        axes.set_xlim(0, 348)
        axes.set_ylim(-490, 0)
        axes.set_axis_off()
        return drawing
