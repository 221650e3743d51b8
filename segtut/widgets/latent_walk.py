"""The figure of section 3.4.1: a walk from code to code, and the pictures generated on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import traitlets
from torch import Tensor, nn

from segtut.widgets.decoder import (
    DecoderFigure,
    decoded,
    decoder_state,
    show_picture,
    typical_length,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


class LatentWalk(DecoderFigure):
    """A round walk through the codes of a generator, on straight lines and on great circles.

    generator: such as `Generator`, with `code_size`; codes (N, K) to images (N, 1 or 3, H, W), 0-1;
    its weights travel as float16. codes: (2 to 8, K) to walk between, None for `stops` of the
    standard normal, drawn from `seed`. Raises ValueError when they do not fit, and for more than
    300 kB.
    """

    _script = "latent_walk.js"

    code_size = traitlets.Int().tag(sync=True)
    codes = traitlets.Bytes().tag(sync=True)
    typical = traitlets.Float().tag(sync=True)
    """Mean length of a code of the standard normal."""
    spread = traitlets.Float().tag(sync=True)
    """Standard deviation of that length."""

    def __init__(
        self,
        generator: nn.Module,
        codes: Tensor | None = None,
        *,
        stops: int = 6,
        seed: int = 0,
    ) -> None:
        size = int(getattr(generator, "code_size", 0))
        if size < 1:
            raise ValueError(f"{type(generator).__name__} has no code_size, expected a generator")
        if codes is None:
            codes = torch.randn(stops, size, generator=torch.Generator().manual_seed(seed))
        if codes.ndim != 2 or not 2 <= len(codes) <= 8 or codes.shape[1] != size:
            raise ValueError(f"codes are {tuple(codes.shape)}, expected (2 to 8, {size})")
        codes = codes.detach().float().cpu()
        typical, spread = typical_length(size)
        super().__init__(
            code_size=size,
            codes=codes.numpy().tobytes(),
            typical=typical,
            spread=spread,
            **decoder_state(generator, size),
        )
        self._require_light_state()
        shares = torch.linspace(0, 1, 6)[:, None]
        ways = (1 - shares) * codes[0] + shares * codes[1], _on_circle(codes[0], codes[1], shares)
        self._ways = [(way.norm(dim=1), decoded(generator, way)) for way in ways]

    def alternative_text(self) -> str:
        """What the static picture shows, in words."""
        line, circle = (float(lengths.min()) for lengths, _ in self._ways)
        return (
            f"Six pictures generated on the way between two codes: above on the straight line, "
            f"where the code's length falls to {line:.1f}, below on the great circle, where it "
            f"stays at {circle:.1f} or more."
        )

    def _draw(self) -> Drawing:
        from matplotlib.figure import Figure as Drawing

        drawing = Drawing(figsize=(7, 3.1), layout="constrained")
        for row, title, (lengths, pictures) in zip(
            drawing.subplots(2, 6), ("straight line", "great circle"), self._ways, strict=True
        ):
            for number, (axes, picture) in enumerate(zip(row, pictures, strict=True)):
                show_picture(axes, picture, f"length {lengths[number]:.1f}")
            row[0].text(-0.25, 0.5, title, transform=row[0].transAxes, rotation=90, va="center")
        return drawing


def _on_circle(a: Tensor, b: Tensor, shares: Tensor) -> Tensor:
    """Codes at shares (N, 1) of the way from a to b that does not cut the corner."""
    lengths = (1 - shares) * a.norm() + shares * b.norm()
    angle = torch.arccos((a @ b / (a.norm() * b.norm()).clamp(min=1e-12)).clamp(-1, 1))
    if torch.sin(angle) < 1e-4:
        return (1 - shares) * a + shares * b
    turned = (
        torch.sin((1 - shares) * angle) * a / a.norm() + torch.sin(shares * angle) * b / b.norm()
    )
    return lengths * turned / torch.sin(angle)
