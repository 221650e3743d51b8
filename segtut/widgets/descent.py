"""The figure of section 3.1.2: the loss of a model with two parameters, and a way down."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
import traitlets
from numpy.typing import NDArray
from torch import Tensor

from segtut.widgets.base import Figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

KINDS = ("cross_entropy", "squared", "linear")
_MOST_PIXELS = 200


class Descent(Figure):
    """The loss over weight and bias of one neuron, with a descent that the reader steers.

    feature: (n,) a number a pixel, expected between about -3 and 3. positive: (n,) 0 or 1, whether
    the pixel belongs to the class. name: what the feature measures. label: the class.
    Three losses: cross-entropy and squared error of sigmoid(w v + b), and squared error of
    w v + b itself, whose surface is a bowl. All are means over the pixels.
    Raises ValueError when shapes or values do not fit, or when a threshold on the feature separates
    the two groups, as the cross-entropy then has no lowest point.
    """

    _script = "descent.js"

    feature = traitlets.List(traitlets.Float()).tag(sync=True)
    positive = traitlets.List(traitlets.Int()).tag(sync=True)
    name = traitlets.Unicode().tag(sync=True)
    label = traitlets.Unicode().tag(sync=True)
    lowest = traitlets.Dict().tag(sync=True)
    """Of each loss its lowest point: [w, b, loss]."""
    limits = traitlets.Dict().tag(sync=True)
    """Of each loss 2 / curvature at its lowest point, the largest rate that can stay there."""

    def __init__(
        self, feature: Tensor, positive: Tensor, *, name: str = "feature", label: str = "positive"
    ) -> None:
        values = np.asarray(torch.as_tensor(feature).double()).round(4)
        truth = np.asarray(torch.as_tensor(positive).long())
        _check_pixels(values, truth)
        lowest, limits = {}, {}
        for kind in KINDS:
            point = _lowest_point(kind, values, truth)
            lowest[kind] = [*point, float(surface(kind, values, truth, *point))]
            limits[kind] = 2 / largest_curvature(kind, values, truth, *point)
        super().__init__(
            feature=values.tolist(),
            positive=truth.tolist(),
            name=name,
            label=label,
            lowest=lowest,
            limits=limits,
        )
        self._require_light_state()

    def alternative_text(self) -> str:
        """What the static picture shows, in words."""
        w, b, _ = self.lowest["cross_entropy"]
        return (
            f"Contours of the cross-entropy of a neuron that tells {self.label} by {self.name}, "
            f"over its weight and bias: a long valley, the lowest point at weight {w:.1f} and "
            f"bias {b:.1f}, and a path of steps that leads to it."
        )

    def _draw(self) -> Drawing:
        from matplotlib.figure import Figure as Drawing

        values, truth = np.array(self.feature), np.array(self.positive)
        w, b, _ = self.lowest["cross_entropy"]
        reach = (1.6 * max(1.0, abs(w)), 1.6 * max(1.0, abs(b)))
        across, up = (np.linspace(-side, side, 81) for side in reach)
        height = surface("cross_entropy", values, truth, across[None, :], up[:, None])
        path = [(-w / 2, b / 2)]
        for _ in range(40):
            gradient = slope("cross_entropy", values, truth, *path[-1])
            path.append(tuple(np.array(path[-1]) - 4 * gradient))
        drawing = Drawing(figsize=(5, 3.4))
        axis = drawing.subplots()
        axis.contour(across, up, np.sqrt(height), 14, colors="#9a9cc4", linewidths=0.8)
        axis.plot(*zip(*path, strict=True), ".-", color="#a3410f", linewidth=1.2)
        axis.plot(w, b, "+", color="#26272e", markersize=10)
        axis.set(xlabel="weight w", ylabel="bias b", xlim=across[[0, -1]], ylim=up[[0, -1]])
        return drawing


def _check_pixels(values: NDArray[np.float64], truth: NDArray[np.int64]) -> None:
    """Raise ValueError unless both are (n,), finite, 0 or 1, and no threshold separates them."""
    if values.ndim != 1 or values.shape != truth.shape or not 4 <= len(values) <= _MOST_PIXELS:
        raise ValueError(
            f"feature has the shape {values.shape} and positive {truth.shape}, expected (n,) each "
            f"with n from 4 to {_MOST_PIXELS}"
        )
    if not np.isfinite(values).all() or set(truth.tolist()) != {0, 1}:
        raise ValueError(
            f"positive holds {sorted(set(truth.tolist()))}, expected both 0 and 1 beside a finite "
            "feature"
        )
    zeros, ones = values[truth == 0], values[truth == 1]
    if zeros.max() <= ones.min() or ones.max() <= zeros.min():
        raise ValueError(
            "a threshold on the feature separates the two groups, so cross-entropy falls for ever: "
            "take pixels that overlap"
        )


def surface(
    kind: str,
    values: NDArray[np.float64],
    truth: NDArray[np.int64],
    w: NDArray[np.float64] | float,
    b: NDArray[np.float64] | float,
) -> NDArray[np.float64]:
    """The loss at weight w and bias b, which may be arrays of one shape or broadcast to one."""
    z = np.multiply.outer(w, values) + np.asarray(b)[..., None]
    if kind == "cross_entropy":
        return np.asarray((np.logaddexp(0, z) - truth * z).mean(axis=-1))
    answer = z if kind == "linear" else 1 / (1 + np.exp(-z))
    return np.asarray(((answer - truth) ** 2).mean(axis=-1))


def slope(
    kind: str, values: NDArray[np.float64], truth: NDArray[np.int64], w: float, b: float
) -> NDArray[np.float64]:
    """The gradient by w and b, (2,)."""
    z = w * values + b
    p = 1 / (1 + np.exp(-z))
    by_z = {
        "cross_entropy": p - truth,
        "squared": 2 * (p - truth) * p * (1 - p),
        "linear": 2 * (z - truth),
    }[kind]
    return np.array([(by_z * values).mean(), by_z.mean()])


def largest_curvature(
    kind: str, values: NDArray[np.float64], truth: NDArray[np.int64], w: float, b: float
) -> float:
    """The largest eigenvalue of the matrix of second derivatives at (w, b)."""
    z = w * values + b
    p = 1 / (1 + np.exp(-z))
    bend = p * (1 - p)
    by_z = {
        "cross_entropy": bend,
        "squared": 2 * bend**2 + 2 * (p - truth) * bend * (1 - 2 * p),
        "linear": np.full_like(z, 2.0),
    }[kind]
    inputs = np.stack([values, np.ones_like(values)])
    return float(np.linalg.eigvalsh((by_z * inputs) @ inputs.T / len(values))[-1])


def _lowest_point(
    kind: str, values: NDArray[np.float64], truth: NDArray[np.int64]
) -> tuple[float, float]:
    """The weight and bias of the least loss; of squared error, the one below cross-entropy's."""
    if kind == "linear":
        inputs = np.stack([values, np.ones_like(values)], axis=1)
        solution = np.linalg.lstsq(inputs, truth, rcond=None)[0]
        return float(solution[0]), float(solution[1])
    start = (0.0, 0.0) if kind == "cross_entropy" else _lowest_point(KINDS[0], values, truth)
    from scipy.optimize import minimize  # a third of a second, which every other figure saves

    found = minimize(
        lambda point: float(surface(kind, values, truth, point[0], point[1])),
        start,
        jac=lambda point: slope(kind, values, truth, point[0], point[1]),
        options={"gtol": 1e-8},
    )
    if math.hypot(*found.jac) > 1e-5:
        raise ValueError(f"no lowest point of the loss {kind!r} was found: take other pixels")
    return float(found.x[0]), float(found.x[1])
