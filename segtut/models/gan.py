"""Generators of pictures, from noise or from a label map, and discriminators that judge them."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from segtut.models.arguments import level_channels, require_choice, require_positive
from segtut.models.autoencoder import CodeDecoder, WayUp
from segtut.models.unet import Decoder, Encoder

DiscriminatorNorm = Literal["none", "batch", "spectral"]
SLOPE = 0.2
"""Of the leaky ReLU below zero, as in DCGAN (Radford et al. 2016) and pix2pix."""


class Generator(nn.Module):
    """Noise to pictures: the decoder of `segtut.models.Autoencoder`, trained by a discriminator.

    codes (N, code_size) to images (N, channels, H, W), 0-1.

    Args:
        size: (H, W), each a multiple of 2**depth.
        code_size: K, the numbers that a picture is made of.
        channels: of the pictures.
        width: channels of the finest level; each coarser one has twice as many.
        depth: how often the coarsest map is doubled.
        upsample: "nearest", "bilinear", "transposed" or "shuffle".

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        size: tuple[int, int] = (32, 32),
        code_size: int = 64,
        channels: int = 3,
        width: int = 32,
        depth: int = 3,
        upsample: WayUp = "nearest",
    ) -> None:
        super().__init__()
        self.code_size = code_size
        self.decoder = CodeDecoder(size, code_size, channels, width, depth, upsample)

    def codes(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Codes (n, K) of the standard normal, on the network's device.

        Without a `generator` they come from torch's global random numbers, as dropout's do.
        """
        weight = next(self.parameters())
        device = weight.device if generator is None else generator.device
        return torch.randn((n, self.code_size), generator=generator, device=device).to(weight)

    def forward(self, codes: Tensor) -> Tensor:
        images: Tensor = self.decoder(codes)
        return images


class Discriminator(nn.Module):
    """One score a picture: high for a picture of the data set, low for a generated one.

    images (N, channels, H, W) to scores (N,), before any sigmoid. `depth` 4x4 convolutions of
    stride 2 with leaky ReLU, then one linear layer.

    Args:
        size: (H, W), each a multiple of 2**depth.
        channels: of the pictures.
        width: channels after the first convolution; each further one doubles them.
        depth: number of convolutions.
        norm: "none"; "batch", after all convolutions but the first; or "spectral", which divides
            every weight matrix by its largest singular value (Miyato et al. 2018).

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        size: tuple[int, int] = (32, 32),
        channels: int = 3,
        width: int = 32,
        depth: int = 3,
        norm: DiscriminatorNorm = "none",
    ) -> None:
        super().__init__()
        require_positive("Discriminator", channels=channels, width=width, depth=depth)
        require_choice("Discriminator", "norm", norm, get_args(DiscriminatorNorm))
        if min(size) < 1 or size[0] % 2**depth or size[1] % 2**depth:
            raise ValueError(
                f"Discriminator got size={size} and depth={depth}; both sides must be positive "
                f"multiples of 2**depth = {2**depth}."
            )
        widths = level_channels(width, depth)
        layers = _strided(channels, widths, norm)
        features = widths[-1] * (size[0] // 2**depth) * (size[1] // 2**depth)
        linear = _normed(nn.Linear(features, 1), norm)
        self.layers = nn.Sequential(*layers, nn.Flatten(), linear)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.layers(images)
        return scores.flatten()


class PatchDiscriminator(nn.Module):
    """One score for every patch: the discriminator of pix2pix, a network of convolutions alone.

    images (N, channels, H, W) to scores (N, 1, h, w), before any sigmoid. `layers` 4x4
    convolutions of stride 2, two of stride 1, leaky ReLU between them; all pad by 1. With three
    layers of stride 2 a score looks at 70 x 70 pixels.

    Args:
        channels: of the input; a conditional discriminator sees picture and label map stacked.
        width: channels after the first convolution; each further one doubles them, up to 8 times.
        layers: number of convolutions of stride 2, 0 to look at 7 x 7 pixels.
        norm: "none"; "batch", after all but the first and the last; or "spectral".

    Raises:
        ValueError: an argument is out of its range, or images are too small to give a score.

    Source: Isola, Zhu, Zhou and Efros (2017), "Image-to-image translation with conditional
    adversarial networks", appendix 6.1.2.
    """

    def __init__(
        self,
        channels: int = 3,
        width: int = 32,
        layers: int = 3,
        norm: DiscriminatorNorm = "none",
    ) -> None:
        super().__init__()
        require_positive("PatchDiscriminator", channels=channels, width=width)
        require_choice("PatchDiscriminator", "norm", norm, get_args(DiscriminatorNorm))
        if layers < 0:
            raise ValueError(f"PatchDiscriminator got layers={layers}; it must be at least 0.")
        self.channels = channels
        self.smallest = 3 * 2**layers
        widths = level_channels(width, layers + 1, 8 * width)
        strided = _strided(channels, widths[:-1], norm)
        before = widths[-2] if layers else channels
        self.layers = nn.Sequential(
            *strided,
            *_convolution(before, widths[-1], 1, norm if layers else _not_batch(norm)),
            _normed(nn.Conv2d(widths[-1], 1, kernel_size=4, padding=1), norm),
        )

    def forward(self, images: Tensor) -> Tensor:
        if min(images.shape[-2:]) < self.smallest:
            raise ValueError(
                f"PatchDiscriminator got images {tuple(images.shape)}; with this number of layers "
                f"it needs at least {self.smallest} pixels a side."
            )
        scores: Tensor = self.layers(images)
        return scores


class LabelToImage(nn.Module):
    """A label map to a picture: the generator of pix2pix, with the body of a `UNet`.

    one-hot labels (N, num_classes, H, W), void pixels all zero, to images (N, 3, H, W), 0-1, for
    any H, W >= 1.

    Args:
        num_classes: channels of the label map.
        width, depth, max_width: as of `UNet`.
        dropout: probability of dropping a channel of the coarsest level. In the paper dropout,
            kept on at test, is the only noise.

    Raises:
        ValueError: an argument is out of its range.

    Source: Isola, Zhu, Zhou and Efros (2017), section 3.2.
    """

    def __init__(
        self,
        num_classes: int,
        width: int = 16,
        depth: int = 4,
        max_width: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        require_positive("LabelToImage", num_classes=num_classes, width=width, depth=depth)
        if max_width is not None:
            require_positive("LabelToImage", max_width=max_width)
        levels = level_channels(width, depth, max_width)
        self.num_classes = num_classes
        self.encoder = Encoder(levels, "batch", dropout=dropout, in_channels=num_classes)
        self.decoder = Decoder(levels, "batch")
        self.head = nn.Conv2d(levels[0], 3, kernel_size=1)

    def forward(self, labels: Tensor) -> Tensor:
        colors: Tensor = self.head(self.decoder(self.encoder(labels)))
        return colors.sigmoid()


def _strided(channels: int, widths: list[int], norm: DiscriminatorNorm) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for number, (before, after) in enumerate(pairwise((channels, *widths))):
        layers += _convolution(before, after, 2, norm if number else _not_batch(norm))
    return layers


def _not_batch(norm: DiscriminatorNorm) -> DiscriminatorNorm:
    """The first layer is not batch-normalized: the colors' own mean is something to judge by."""
    return "none" if norm == "batch" else norm


def _convolution(before: int, after: int, stride: int, norm: DiscriminatorNorm) -> list[nn.Module]:
    convolution = nn.Conv2d(
        before, after, kernel_size=4, stride=stride, padding=1, bias=norm != "batch"
    )
    batch = [nn.BatchNorm2d(after)] if norm == "batch" else []
    return [_normed(convolution, norm), *batch, nn.LeakyReLU(SLOPE, inplace=True)]


def _normed(layer: nn.Module, norm: DiscriminatorNorm) -> nn.Module:
    return spectral_norm(layer) if norm == "spectral" else layer
