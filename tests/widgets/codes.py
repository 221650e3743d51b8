"""Small figures of codes whose decoders have learned nothing, and the networks in them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segtut.models.autoencoder import Autoencoder, VariationalAutoencoder
from segtut.models.gan import Generator
from segtut.widgets import CodeExplorer, CodeSampler, LatentWalk
from tests.networks import uneven

SMALL = {"width": 4, "depth": 2}
NAMES = ("first", "second", "third", "fourth")


def small_pictures() -> tuple[Tensor, Tensor]:
    """Twenty pictures of noise (20, 3, 8, 12), of ten kinds."""
    pictures = torch.rand(20, 3, 8, 12, generator=torch.Generator().manual_seed(3))
    return (255 * pictures).round() / 255, torch.arange(20) % 10


def _loud(model: nn.Module) -> None:
    """Make what a decoder draws depend more on its code than random weights do."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter *= 2


def make_code_explorer() -> tuple[Autoencoder, CodeExplorer]:
    torch.manual_seed(0)
    model = uneven(Autoencoder((8, 12), 2, **SMALL))
    _loud(model)
    pictures, labels = small_pictures()
    return model, CodeExplorer(model, pictures, labels % 4, classes=NAMES)


def make_code_sampler() -> tuple[VariationalAutoencoder, CodeSampler]:
    torch.manual_seed(1)
    model = uneven(VariationalAutoencoder((8, 12), 5, **SMALL))
    _loud(model.decoder)
    figure = CodeSampler(model, small_pictures()[0], pictures=4, sliders=3, names=NAMES)
    return model, figure


def make_latent_walk() -> tuple[Generator, LatentWalk]:
    torch.manual_seed(2)
    generator = uneven(Generator((8, 12), 6, **SMALL))
    _loud(generator)
    return generator, LatentWalk(generator, stops=4, seed=1)
