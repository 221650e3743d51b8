"""The figure of section 3.3.2: codes drawn, bent and mixed, and what a decoder makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import traitlets
from torch import Tensor

from segtut.inference import evaluating
from segtut.models.autoencoder import VariationalAutoencoder
from segtut.widgets.decoder import (
    DecoderFigure,
    decoded,
    decoder_state,
    picture_batch,
    picture_sheet,
    show_picture,
    typical_length,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


class CodeSampler(DecoderFigure):
    """Samples of a variational autoencoder, its most active latents, and ways between pictures.

    model: its decoder's weights travel as float16. images: uint8, or floats 0-1, (N, C, H, W): over
    all of them each latent's KL divergence from the standard normal is measured, and the first
    `pictures` (2 to 8) can be mixed. sliders: how many of the most active latents get one, 1 to 8;
    names: one for each of the pictures. Raises ValueError when they do not fit, and for more than
    300 kB.
    """

    _script = "code_sampler.js"

    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    code_size = traitlets.Int().tag(sync=True)
    typical = traitlets.Float().tag(sync=True)
    """Mean length of a code of the standard normal."""
    sheet = traitlets.Unicode().tag(sync=True)
    means = traitlets.Bytes().tag(sync=True)
    divergences = traitlets.List(traitlets.Float()).tag(sync=True)
    """KL divergence of each latent, in nats a picture."""
    sliders = traitlets.Int().tag(sync=True)

    def __init__(
        self,
        model: VariationalAutoencoder,
        images: Tensor,
        *,
        pictures: int = 6,
        sliders: int = 6,
        names: Sequence[str] | None = None,
    ) -> None:
        every = picture_batch(images)
        size = model.decoder.code_size
        if not 2 <= pictures <= min(8, len(every)):
            raise ValueError(
                f"pictures={pictures} of {len(every)} images, expected 2 to 8, and as many images"
            )
        if not 1 <= sliders <= 8:
            raise ValueError(f"sliders={sliders}, expected 1 to 8")
        titles = [f"picture {k + 1}" for k in range(pictures)] if names is None else list(names)
        if len(titles) != pictures:
            raise ValueError(f"{len(titles)} names for {pictures} pictures, expected one each")
        weight = next(model.parameters())
        with evaluating(model), torch.inference_mode():
            mean, log_variance = (part.float().cpu() for part in model.posterior(every.to(weight)))
        each = (mean.square() + log_variance.exp() - 1 - log_variance) / 2
        super().__init__(
            names=titles,
            code_size=size,
            typical=typical_length(size)[0],
            sheet=picture_sheet(every[:pictures]),
            means=mean[:pictures].numpy().tobytes(),
            divergences=[round(value, 4) for value in each.mean(dim=0).tolist()],
            sliders=min(sliders, size),
            **decoder_state(model.decoder, size),
        )
        self._require_light_state()
        generator = torch.Generator().manual_seed(0)
        self._samples = decoded(model.decoder, torch.randn(5, size, generator=generator))
        shares = torch.linspace(0, 1, 5)[:, None]
        self._between = decoded(model.decoder, (1 - shares) * mean[0] + shares * mean[1])

    def alternative_text(self) -> str:
        """What the static picture shows, in words."""
        first, second = self.names[:2]
        return (
            f"Above, five pictures decoded from codes drawn at random; below, five decoded from "
            f"codes on the straight way from {first} to {second}."
        )

    def _draw(self) -> Drawing:
        from matplotlib.figure import Figure as Drawing

        drawing = Drawing(figsize=(7, 3.2), layout="constrained")
        first, second = self.names[:2]
        titles = ("drawn at random", f"from {first} to {second}")
        for row, batch, title in zip(
            drawing.subplots(2, 5), (self._samples, self._between), titles, strict=True
        ):
            for number, (axes, picture) in enumerate(zip(row, batch, strict=True)):
                show_picture(axes, picture, "" if number else title)
        return drawing
