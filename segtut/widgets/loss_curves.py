"""The figure of section 3.1.2: what three losses charge for one pixel, and how hard they pull."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import traitlets

from segtut.widgets.base import Figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

_REACH = 8.0  # the logits that the sliders and charts span, on both sides of zero


class LossCurves(Figure):
    """Cross-entropy, squared error and focal loss of one pixel with two classes, and their pulls.

    The pixel's true class has the logit z, the other one 0, so that p = 1 / (1 + exp(-z)).
    logit: where z starts, -8 to 8. gamma: where the exponent of the focal loss starts, 0 to 5.
    Squared error is that of the two probabilities, halved: (1 - p)^2. A pull is minus the slope of
    a loss by z. Raises ValueError for numbers off the sliders.
    """

    _script = "loss_curves.js"

    logit = traitlets.Float().tag(sync=True)
    gamma = traitlets.Float().tag(sync=True)
    reach = traitlets.Float(_REACH).tag(sync=True)

    def __init__(self, *, logit: float = -4.0, gamma: float = 2.0) -> None:
        if not -_REACH <= logit <= _REACH or not 0 <= gamma <= 5:
            raise ValueError(
                f"logit {logit} and gamma {gamma} were given, expected a logit of -8 to 8 and a "
                "gamma of 0 to 5"
            )
        super().__init__(logit=float(logit), gamma=float(gamma))
        self._require_light_state()

    def alternative_text(self) -> str:
        """What the static picture shows, in words."""
        return (
            "Two charts over the logit of the true class. Loss: cross-entropy rises without bound "
            "to the left, squared error levels off at 1. Pull: where the network is sure and "
            "wrong, that of cross-entropy is 1 and that of squared error almost 0."
        )

    def _draw(self) -> Drawing:
        from matplotlib.figure import Figure as Drawing

        z = np.linspace(-_REACH, _REACH, 201)
        p, q = 1 / (1 + np.exp(-z)), 1 / (1 + np.exp(z))
        ln = -np.log1p(np.exp(-z))
        curves = {
            "cross-entropy": (-ln, q, "#3c3f97", "-"),
            "squared error": (q**2, 2 * p * q**2, "#a3410f", "--"),
            f"focal, γ = {self.gamma:g}": (
                -(q**self.gamma) * ln,
                q**self.gamma * (q - self.gamma * p * ln),
                "#26272e",
                ":",
            ),
        }
        drawing = Drawing(figsize=(7, 2.6))
        charts = drawing.subplots(1, 2)
        for name, (loss, pull, color, line) in curves.items():
            charts[0].plot(z, loss, line, color=color, label=name)
            charts[1].plot(z, pull, line, color=color)
        for chart, title in zip(charts, ("loss", "pull on the logit"), strict=True):
            chart.axvline(self.logit, color="#5b5c68", linewidth=0.8)
            chart.set_xlabel("logit of the true class")
            chart.set_title(title, fontsize=10, loc="left")
        charts[0].legend(fontsize=8, frameon=False)
        return drawing
