"""Small networks with random weights, one of each kind that a page can run, and what they take."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, cat, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from segtut.models.autoencoder import Autoencoder, Reconstructor, VariationalAutoencoder, WayUp
from segtut.models.gan import Discriminator, Generator, LabelToImage, PatchDiscriminator

Network = TypeVar("Network", bound=nn.Module)
_SMALL = {"width": 4, "depth": 2}


def uneven(model: Network, seed: int = 0) -> Network:
    """The network, its normalizations with the uneven statistics that training leaves."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                for tensor in (module.weight, module.bias, module.running_mean):
                    tensor.normal_(generator=generator)
                module.running_var.uniform_(0.05, 3, generator=generator)
    return model.eval()


class Functions(nn.Module):
    """Layers between functions, methods and a map that is read twice."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 24)
        self.norm = nn.BatchNorm1d(24)
        self.first = nn.Conv2d(6, 4, kernel_size=4, padding=1)
        self.second = nn.Conv2d(4, 4, kernel_size=3, padding=1)
        self.last = nn.Linear(72, 5)

    def forward(self, codes: Tensor) -> Tensor:
        x = torch.tanh(self.norm(self.linear(codes))).view(-1, 6, 2, 2)
        x = self.first(F.interpolate(x, scale_factor=2, mode="nearest"))
        x = cat([F.leaky_relu(x, 0.3), torch.relu(self.second(x.sigmoid()))], dim=1)
        x = F.relu(x.flatten(1)).reshape(-1, 8, 3, 3)
        return self.last(torch.flatten(x, 1)).tanh()


def _decoder(upsample: WayUp) -> Callable[[], nn.Module]:
    return lambda: Autoencoder((8, 12), 5, upsample=upsample, **_SMALL).decoder


def _encoder() -> nn.Module:
    return VariationalAutoencoder((8, 12), 3, channels=1, **_SMALL).encoder


def _strided() -> nn.Module:
    layers = [
        nn.Conv2d(5, 4, kernel_size=4, stride=2, padding=1),
        nn.Conv2d(4, 6, kernel_size=4, stride=1, padding=1),
        nn.Conv2d(6, 3, kernel_size=3, stride=2, padding=1),
    ]
    return nn.Sequential(*(spectral_norm(layer, n_power_iterations=9) for layer in layers))


def _doublings() -> nn.Module:
    first, second = nn.ConvTranspose2d(2, 5, 2, stride=2), nn.ConvTranspose2d(5, 3, 2, stride=2)
    return nn.Sequential(first, nn.BatchNorm2d(5), nn.ReLU(), second)


_KINDS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "nearest": (_decoder("nearest"), (5,)),
    "bilinear": (_decoder("bilinear"), (5,)),
    "transposed": (_decoder("transposed"), (5,)),
    "shuffle": (_decoder("shuffle"), (5,)),
    "encoder": (_encoder, (1, 8, 12)),
    "generator": (lambda: Generator((16, 8), 7, channels=1, **_SMALL), (7,)),
    "discriminator": (lambda: Discriminator((8, 16), norm="spectral", **_SMALL), (3, 8, 16)),
    "patches": (lambda: PatchDiscriminator(4, 4, 2, norm="batch").layers, (4, 27, 32)),
    "patches_spectral": (lambda: PatchDiscriminator(3, 3, norm="spectral").layers, (3, 40, 33)),
    "reconstructor": (lambda: Reconstructor(1, **_SMALL), (1, 13, 10)),
    "reconstructor_strided": (lambda: Reconstructor(stem_stride=2, **_SMALL), (3, 13, 10)),
    "labels": (lambda: LabelToImage(6, **_SMALL), (6, 9, 14)),
    "strided": (_strided, (5, 17, 12)),
    "doublings": (_doublings, (2, 5, 3)),
    "functions": (Functions, (3,)),
}


def _random(make: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    def made() -> nn.Module:
        torch.manual_seed(0)
        model = uneven(make())
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.data *= 3  # or what enters hardly changes what leaves
        return model

    return made


NETWORKS = {name: (_random(make), shape) for name, (make, shape) in _KINDS.items()}
"""What makes each network, and the shape of one of its inputs: (C, H, W), or (K,) for a code."""
