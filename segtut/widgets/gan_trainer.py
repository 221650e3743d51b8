"""The figure of section 3.4.1: a GAN on points of the plane, trained in the page."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import traitlets
from numpy.typing import NDArray

from segtut.widgets.base import Figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

SLOPE = 0.2
"""Of the leaky ReLU below zero, in both networks."""

R1_CHOICES = (0.0, 0.03, 0.1, 0.3, 1.0, 3.0)
_RATES = (1e-4, 3e-2)  # what the sliders of the learning rates span
_MOST_STEPS = 5  # of the discriminator for one of the generator

Loss = Literal["minimax", "non_saturating"]


@dataclass(frozen=True)
class PointSet:
    """Points of the plane that a GAN shall imitate: an anchor at random, plus normal noise.

    anchors: (x, y) each. pieces: of each anchor, which part of the set it belongs to; a part that
    gets no generated points is missed. std: of the noise, the same in both directions.
    """

    name: str
    label: str
    anchors: list[list[float]]
    pieces: list[int]
    std: float

    def draw(self, n: int, generator: np.random.Generator) -> NDArray[np.float64]:
        """Points (n, 2) of the set."""
        chosen = np.array(self.anchors)[generator.integers(len(self.anchors), size=n)]
        return np.asarray(chosen + self.std * generator.standard_normal((n, 2)))


def point_sets() -> list[PointSet]:
    """Eight Gaussians on a circle, nine in a square, and a spiral in twelve parts."""
    turns = [2 * math.pi * k / 8 for k in range(8)]
    ring = [[math.cos(turn), math.sin(turn)] for turn in turns]
    square = [[float(x), float(y)] for y in (-1, 0, 1) for x in (-1, 0, 1)]
    along = [(k + 0.5) / 240 for k in range(240)]
    spiral = [
        [(0.2 + t) * math.cos(3.5 * math.pi * t), (0.2 + t) * math.sin(3.5 * math.pi * t)]
        for t in along
    ]
    return [
        PointSet("ring", "eight Gaussians", _rounded(ring), list(range(8)), 0.05),
        PointSet("square", "nine Gaussians", square, list(range(9)), 0.05),
        PointSet("spiral", "a spiral", _rounded(spiral), [k // 20 for k in range(240)], 0.04),
    ]


def _rounded(points: list[list[float]]) -> list[list[float]]:
    return [[round(x, 6), round(y, 6)] for x, y in points]


class GanTrainer(Figure):
    """Two small networks play against each other in the page; the reader steers the training.

    data: the point set it opens with, "ring", "square" or "spiral". loss: what the generator
    minimizes at the start, "minimax" or "non_saturating". generator_rate, discriminator_rate:
    learning rates, 1e-4 to 3e-2. discriminator_steps: for one step of the generator, 1 to 5. r1:
    weight of the penalty on the discriminator's slope at real points, one of `R1_CHOICES`. seed:
    of weights, batches and noise. beta: Adam's first decay, the second is 0.999. Both networks have
    two hidden layers of `width` neurons. Raises ValueError for numbers outside these.
    """

    _script = "gan_trainer.js"
    _builds_on = ("engine.js",)
    _css = Figure._css + Path(__file__).with_name("gan_trainer.css").read_text(encoding="utf-8")

    sets = traitlets.List(traitlets.Dict()).tag(sync=True)
    opening = traitlets.Dict().tag(sync=True)
    """What the controls show at the start."""
    limits = traitlets.Dict().tag(sync=True)
    """What the controls offer."""
    network = traitlets.Dict().tag(sync=True)
    """Sizes of the layers, slope of the leaky ReLU, batch and Adam's two decays."""

    def __init__(
        self,
        *,
        data: str = "ring",
        loss: Loss = "minimax",
        generator_rate: float = 1e-3,
        discriminator_rate: float = 1e-3,
        discriminator_steps: int = 1,
        r1: float = 0.0,
        seed: int = 0,
        beta: float = 0.5,
        width: int = 32,
        noise: int = 2,
        batch: int = 128,
    ) -> None:
        sets = point_sets()
        rates = (generator_rate, discriminator_rate)
        _require("data", data, [one.name for one in sets])
        _require("loss", loss, ["minimax", "non_saturating"])
        _require("r1", r1, R1_CHOICES)
        _require("discriminator_steps", discriminator_steps, range(1, _MOST_STEPS + 1))
        if not all(_RATES[0] <= rate <= _RATES[1] for rate in rates):
            raise ValueError(
                f"the learning rates {rates} were given, expected {_RATES[0]} to {_RATES[1]}"
            )
        if not (0 <= beta < 1 and 1 <= width <= 64 and 1 <= noise <= 16 and 8 <= batch <= 512):
            raise ValueError(
                f"beta {beta}, width {width}, noise {noise} and batch {batch} were given, expected "
                "beta in [0, 1), a width of 1 to 64, 1 to 16 numbers of noise and a batch of 8 to "
                "512"
            )
        super().__init__(
            sets=[asdict(one) for one in sets],
            opening={
                "data": data,
                "loss": loss,
                "generatorRate": generator_rate,
                "discriminatorRate": discriminator_rate,
                "discriminatorSteps": discriminator_steps,
                "r1": r1,
                "seed": seed,
            },
            limits={"rates": list(_RATES), "steps": _MOST_STEPS, "r1": list(R1_CHOICES)},
            network={
                "generator": [noise, width, width, 2],
                "discriminator": [2, width, width, 1],
                "slope": SLOPE,
                "batch": batch,
                "betas": [beta, 0.999],
            },
        )
        self._require_light_state()

    def alternative_text(self) -> str:
        """What the static picture shows, in words."""
        chosen = self._set()
        return (
            f"Points of the plane: those to imitate, {chosen.label}, as crosses, and in their "
            "midst, in a small heap, those that an untrained generator makes of noise, as dots."
        )

    def _set(self) -> PointSet:
        return next(one for one in point_sets() if one.name == self.opening["data"])

    def _draw(self) -> Drawing:
        from matplotlib.figure import Figure as Drawing

        generator = np.random.default_rng(0)
        real = self._set().draw(300, generator)
        sizes = self.network["generator"]
        values = generator.standard_normal((300, sizes[0]))
        for number, (before, after) in enumerate(pairwise(sizes)):
            bound = 1 / math.sqrt(before)
            values = values @ generator.uniform(-bound, bound, (before, after))
            values += generator.uniform(-bound, bound, after)
            if number < len(sizes) - 2:
                values = np.where(values > 0, values, SLOPE * values)
        drawing = Drawing(figsize=(4.2, 4.0))
        axis = drawing.subplots()
        axis.plot(*real.T, "+", color="#3c3f97", markersize=4, alpha=0.7, label="real")
        axis.plot(*values.T, ".", color="#a3410f", markersize=4, label="generated")
        axis.set(xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), aspect="equal")
        axis.legend(fontsize=8, frameon=False, loc="upper right")
        return drawing


def _require(name: str, value: Any, choices: Any) -> None:
    """Raise ValueError unless the value is one of the choices."""
    if value not in choices:
        listed = ", ".join(str(one) for one in choices)
        raise ValueError(f"{name} is {value!r}, expected one of {listed}")
