"""Networks that return pictures, and SegNet, which has their shape and is trained with labels.

`Autoencoder` and `VariationalAutoencoder` squeeze a picture through a short list of numbers.
`Reconstructor` and `MaskedAutoencoder` have the body of the `UNet`, so that an encoder trained on
pictures alone can be handed on to a network that segments: `transfer_encoder`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from segtut.models.arguments import level_channels, require_choice, require_positive
from segtut.models.normalize import Normalize
from segtut.models.unet import Decoder, Encoder, Norm, double_convolution

WayUp = Literal["nearest", "bilinear", "transposed", "shuffle"]


class Autoencoder(nn.Module):
    """A picture to a code of `code_size` numbers and back.

    images (N, channels, H, W), 0-1, to reconstructions of the same shape, 0-1. The encoder is
    `depth` convolutions of stride 2 and one linear layer; `CodeDecoder` mirrors it.

    Args:
        size: (H, W), each a multiple of 2**depth: a linear layer has a fixed number of inputs.
        code_size: K, the numbers that a picture is kept in.
        channels: of the pictures, 1 for gray ones.
        width: channels of the finest level; each level has twice as many as the one above.
        depth: how often the picture is halved.
        upsample: how the decoder doubles: "nearest", "bilinear", "transposed" or "shuffle".

    Raises:
        ValueError: an argument is out of its range, or pictures have another size.
    """

    def __init__(
        self,
        size: tuple[int, int] = (32, 32),
        code_size: int = 32,
        channels: int = 3,
        width: int = 16,
        depth: int = 3,
        upsample: WayUp = "nearest",
    ) -> None:
        super().__init__()
        self.size = _checked_size(type(self).__name__, size, depth)
        self.channels = channels
        self.encoder = CodeEncoder(self.size, self._outputs(code_size), channels, width, depth)
        self.decoder = CodeDecoder(self.size, code_size, channels, width, depth, upsample)

    def _outputs(self, code_size: int) -> int:
        return code_size

    def encode(self, images: Tensor) -> Tensor:
        """Codes (N, K) of images (N, channels, H, W)."""
        self._require_size(images)
        codes: Tensor = self.encoder(images)
        return codes

    def decode(self, codes: Tensor) -> Tensor:
        """Images (N, channels, H, W), 0-1, of codes (N, K)."""
        images: Tensor = self.decoder(codes)
        return images

    def forward(self, images: Tensor) -> Tensor:
        return self.decode(self.encode(images))

    def _require_size(self, images: Tensor) -> None:
        expected = (self.channels, *self.size)
        if images.ndim != 4 or tuple(images.shape[1:]) != expected:
            raise ValueError(
                f"{type(self).__name__} was built for pictures {expected} and got "
                f"{tuple(images.shape)}; its linear layer has a fixed number of inputs."
            )


class VariationalAutoencoder(Autoencoder):
    """An autoencoder whose code is a normal distribution, so that codes can be drawn.

    The encoder gives mean and log variance of each of the K numbers; the decoder sees one draw,
    mean + exp(log variance / 2) * noise, through which gradients reach both.

    images (N, channels, H, W), 0-1, to (reconstruction, mean, log_variance) of shapes
    (N, channels, H, W), (N, K), (N, K). In evaluation mode the mean itself is decoded.
    Arguments and errors as of `Autoencoder`.

    Source: Kingma and Welling (2014), "Auto-encoding variational Bayes", section 2.4.
    """

    def _outputs(self, code_size: int) -> int:
        return 2 * code_size

    def posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance, each (N, K), of the codes of images (N, channels, H, W)."""
        self._require_size(images)
        mean, log_variance = self.encoder(images).chunk(2, dim=1)
        return mean, log_variance

    def encode(self, images: Tensor) -> Tensor:
        """The mean codes (N, K) of images (N, channels, H, W)."""
        return self.posterior(images)[0]

    def forward(  # type: ignore[override]
        self, images: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = self.posterior(images)
        code = mean
        if self.training:
            noise = torch.randn(
                mean.shape, generator=generator, device=mean.device, dtype=mean.dtype
            )
            code = mean + (log_variance / 2).exp() * noise
        return self.decode(code), mean, log_variance

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Images (n, channels, H, W), 0-1, of n codes drawn from the standard normal."""
        weight = next(self.decoder.parameters())
        code_size = self.decoder.code_size
        codes = torch.randn((n, code_size), generator=generator, device=generator.device)
        return self.decode(codes.to(weight))


class CodeEncoder(nn.Sequential):
    """`depth` times a 3x3 convolution of stride 2, then one linear layer to `outputs` numbers."""

    def __init__(
        self, size: tuple[int, int], outputs: int, channels: int, width: int, depth: int
    ) -> None:
        name = type(self).__name__
        require_positive(name, outputs=outputs, channels=channels, width=width, depth=depth)
        widths = level_channels(width, depth)
        layers: list[nn.Module] = []
        for before, after in pairwise((channels, *widths)):
            layers += [
                nn.Conv2d(before, after, kernel_size=3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(inplace=True),
            ]
        height, breadth = (side // 2**depth for side in size)
        features = widths[-1] * height * breadth
        super().__init__(*layers, nn.Flatten(), nn.Linear(features, outputs))


class CodeDecoder(nn.Sequential):
    """Codes (N, K) to images (N, channels, H, W), 0-1: what `CodeEncoder` did, backwards.

    A linear layer to the coarsest map, then `depth` times a doubling and a 3x3 convolution, then a
    3x3 convolution to the channels and a sigmoid. Arguments as of `Autoencoder`; the generator
    of `segtut.models.gan` has the same body.
    """

    def __init__(
        self,
        size: tuple[int, int],
        code_size: int,
        channels: int = 3,
        width: int = 16,
        depth: int = 3,
        upsample: WayUp = "nearest",
    ) -> None:
        name = type(self).__name__
        require_positive(name, code_size=code_size, channels=channels, width=width)
        require_choice(name, "upsample", upsample, get_args(WayUp))
        height, breadth = (side // 2**depth for side in _checked_size(name, size, depth))
        widths = level_channels(width, depth)[::-1]
        layers: list[nn.Module] = [
            nn.Linear(code_size, widths[0] * height * breadth),
            nn.Unflatten(1, (widths[0], height, breadth)),
        ]
        for before, after in pairwise((*widths, widths[-1])):
            layers += [
                *doubling(before, upsample),
                nn.Conv2d(before, after, kernel_size=3, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(inplace=True),
            ]
        last = nn.Conv2d(widths[-1], channels, kernel_size=3, padding=1)
        super().__init__(*layers, last, nn.Sigmoid())
        self.code_size = code_size


def doubling(channels: int, upsample: WayUp) -> list[nn.Module]:
    """Layers from (N, channels, H, W) to (N, channels, 2H, 2W).

    "transposed" is a 2x2 transposed convolution of stride 2; "shuffle" a 1x1 convolution to four
    times the channels, whose values are laid out as 2x2 pixels (Shi et al. 2016).
    """
    if upsample == "transposed":
        return [nn.ConvTranspose2d(channels, channels, kernel_size=2, stride=2)]
    if upsample == "shuffle":
        return [nn.Conv2d(channels, 4 * channels, kernel_size=1), nn.PixelShuffle(2)]
    return [nn.Upsample(scale_factor=2, mode=upsample)]


class Reconstructor(nn.Module):
    """The body of a `UNet` that returns a picture: something to pre-train its encoder with.

    images (N, channels, H, W), 0-1, to images of the same shape, 0-1, for any H, W >= 1. Without
    skips, the default, all that the picture becomes has passed the coarsest level.

    Args:
        channels: of the pictures; only 3 are centered by ImageNet's colors, as in `UNet`.
        width, depth, norm, max_width, stem_stride: as of `UNet`.
        skips: True lets the picture pass along the finest level, and copying is learned at once.

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        channels: int = 3,
        width: int = 16,
        depth: int = 4,
        norm: Norm = "batch",
        max_width: int | None = None,
        stem_stride: int = 1,
        skips: bool = False,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        require_positive(name, channels=channels, width=width, depth=depth)
        require_choice(name, "norm", norm, get_args(Norm))
        require_choice(name, "stem_stride", stem_stride, (1, 2))
        if max_width is not None:
            require_positive(name, max_width=max_width)
        levels = level_channels(width, depth, max_width)
        self.stem_stride = stem_stride
        self.normalize = Normalize() if channels == 3 else nn.Identity()
        self.encoder = Encoder(levels, norm, stem_stride, in_channels=channels)
        self.decoder = Decoder(levels, norm, "nearest", skips)
        self.head = nn.Conv2d(levels[0], channels, kernel_size=1)

    def forward(self, images: Tensor) -> Tensor:
        return self.reconstruct(images)

    def reconstruct(self, images: Tensor) -> Tensor:
        """Images (N, channels, H, W), 0-1, as they come back."""
        height, width = images.shape[-2:]
        colors = self.head(self.decoder(self.encoder(self.normalize(images))))
        if self.stem_stride > 1:
            colors = interpolate(colors, scale_factor=self.stem_stride, mode="bilinear")
        return colors[..., :height, :width].sigmoid()


class MaskedAutoencoder(Reconstructor):
    """A `Reconstructor` that hides patches of the picture from itself.

    images (N, channels, H, W), 0-1, to reconstructions of the same shape. In training mode a
    share of the patches, drawn anew, is painted with a learned color before the encoder sees it;
    in evaluation mode the picture is taken as it comes, and `mask` hides what is to be hidden.

    Args:
        patch: side of a patch in pixels.
        share: of the patches hidden, 0 to 1.
        others: as of `Reconstructor`.

    Raises:
        ValueError: an argument is out of its range.

    Source: the task is that of He et al. (2022), "Masked autoencoders are scalable vision
    learners", whose encoder is a transformer and sees the visible patches only; a convolution has
    to be shown something in the place of the others, as in Pathak et al. (2016).
    """

    def __init__(
        self,
        channels: int = 3,
        width: int = 16,
        depth: int = 4,
        norm: Norm = "batch",
        max_width: int | None = None,
        stem_stride: int = 1,
        skips: bool = False,
        patch: int = 8,
        share: float = 0.6,
    ) -> None:
        super().__init__(channels, width, depth, norm, max_width, stem_stride, skips)
        require_positive(type(self).__name__, patch=patch)
        if not 0 <= share <= 1:
            raise ValueError(f"MaskedAutoencoder got share={share}; it must lie in 0 to 1.")
        self.patch = patch
        self.share = share
        self.cover = nn.Parameter(torch.full((1, channels, 1, 1), 0.5))

    def mask(
        self, images: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Hide `share` of the patches: (images with the cover's color there, hidden).

        hidden is bool (N, 1, H, W). Every image hides the same number of patches.
        """
        hidden = hidden_patches(images, self.patch, self.share, generator)
        return torch.where(hidden, self.cover.to(images.dtype), images), hidden

    def forward(self, images: Tensor) -> Tensor:
        return self.reconstruct(self.mask(images)[0] if self.training else images)


def hidden_patches(
    images: Tensor, patch: int, share: float, generator: torch.Generator | None = None
) -> Tensor:
    """Which pixels of images (N, C, H, W) to hide, bool (N, 1, H, W).

    The grid of patches begins at the upper left corner; `round(share * patches)` of them are drawn
    in each image, all equally likely.
    """
    n, _, height, width = images.shape
    rows, columns = -(-height // patch), -(-width // patch)
    lots = torch.rand((n, rows * columns), generator=generator, device=images.device)
    ranks = lots.argsort(dim=1).argsort(dim=1)
    chosen = (ranks < round(share * rows * columns)).view(n, 1, rows, columns)
    pixels = chosen.repeat_interleave(patch, dim=2).repeat_interleave(patch, dim=3)
    return pixels[..., :height, :width]


def transfer_encoder(source: nn.Module, target: nn.Module) -> None:
    """Copy the encoder of one network with `UNet`'s body into another, running statistics too.

    Raises:
        ValueError: one of them has no such encoder, or their levels differ.
    """
    encoders = []
    for role, network in (("source", source), ("target", target)):
        encoder = getattr(network, "encoder", None)
        if not isinstance(encoder, Encoder):
            raise ValueError(
                f"The {role}, {type(network).__name__}, has no encoder of the U-Net's kind; "
                "UNet, Reconstructor and MaskedAutoencoder have."
            )
        encoders.append(encoder)
    given, wanted = (
        [tuple(p.shape) for p in encoder.state_dict().values()] for encoder in encoders
    )
    if given != wanted:
        raise ValueError(
            "The two encoders differ in their levels: give both networks the same width, depth, "
            "max_width, norm and number of input channels."
        )
    if encoders[0].stride != encoders[1].stride:
        raise ValueError("The two encoders differ in their stem_stride: give both the same.")
    encoders[1].load_state_dict(encoders[0].state_dict())


class SegNet(nn.Module):
    """Badrinarayanan, Kendall and Cipolla's SegNet (2017), small enough for a laptop.

    The encoder's poolings remember *where* each maximum sat, and the decoder puts its values back
    there, zeros around them, before it convolves. Nothing else passes from encoder to decoder.
    It has the shape of an autoencoder and is trained with labels from the first step.

    images (N, 3, H, W), float, 0-1, RGB, to logits (N, num_classes, H, W), for any H, W >= 1.

    Args:
        num_classes: number of logits a pixel.
        width: channels of the first level; each level has twice as many as the one above.
        depth: number of levels, so depth - 1 poolings; the paper's has 5 poolings and VGG-16's
            13 convolutions a side.
        norm: as of `UNet`.
        indices: False doubles by repeating pixels instead, to see what the indices are worth.

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        num_classes: int,
        width: int = 16,
        depth: int = 4,
        norm: Norm = "batch",
        indices: bool = True,
    ) -> None:
        super().__init__()
        require_positive("SegNet", num_classes=num_classes, width=width, depth=depth)
        require_choice("SegNet", "norm", norm, get_args(Norm))
        channels = level_channels(width, depth)
        self.indices = indices
        self.normalize = Normalize()
        self.down = nn.ModuleList(
            double_convolution(before, after, norm) for before, after in pairwise((3, *channels))
        )
        # ceil_mode keeps the last row and column of odd sizes, and keeps 1x1 images alive.
        self.pool = nn.MaxPool2d(2, ceil_mode=True, return_indices=True)
        self.unpool = nn.MaxUnpool2d(2)
        # A level narrows to the channels of the one above, whose indices its values are put at.
        self.up = nn.ModuleList(
            double_convolution(before, after, norm)
            for before, after in pairwise((*channels[::-1], channels[0]))
        )
        self.head = nn.Conv2d(channels[0], num_classes, kernel_size=1)

    def forward(self, images: Tensor) -> Tensor:
        x = self.normalize(images)
        pooled: list[tuple[Tensor, Sequence[int]]] = []
        for number, level in enumerate(self.down):
            if number:
                size = x.shape[-2:]
                x, winners = self.pool(x)
                pooled.append((winners, size))
            x = level(x)
        for number, level in enumerate(self.up):
            if number:
                winners, size = pooled.pop()
                x = self._enlarge(x, winners, size)
            x = level(x)
        logits: Tensor = self.head(x)
        return logits

    def _enlarge(self, x: Tensor, winners: Tensor, size: Sequence[int]) -> Tensor:
        if self.indices:
            unpooled: Tensor = self.unpool(x, winners, output_size=list(size))
            return unpooled
        return interpolate(x, scale_factor=2, mode="nearest")[..., : size[0], : size[1]]


def _checked_size(network: str, size: tuple[int, int], depth: int) -> tuple[int, int]:
    require_positive(network, depth=depth)
    height, width = size
    if min(height, width) < 1 or height % 2**depth or width % 2**depth:
        raise ValueError(
            f"{network} got size={(height, width)} and depth={depth}; both sides must be "
            f"positive multiples of 2**depth = {2**depth}."
        )
    return height, width
