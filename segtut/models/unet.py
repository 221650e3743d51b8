"""The U-Net of Ronneberger, Fischer and Brox (2015), small enough for a laptop.

Three departures from the paper, each of which later networks made too: the convolutions are
padded, so the logits have the size of the image; each convolution is followed by a
normalization; and upsampling repeats pixels (nearest neighbor) unless asked otherwise, which
trains fastest on a CPU and cannot draw checkerboards (Odena et al. 2016).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

from torch import Tensor, cat, nn
from torch.nn.functional import interpolate

from segtut.models.arguments import level_channels, require_choice, require_positive
from segtut.models.normalize import Normalize

Norm = Literal["batch", "group", "none"]
Upsampling = Literal["nearest", "bilinear", "transposed"]
Convolution = Literal["full", "separable"]


class UNet(nn.Module):
    """An encoder that halves the image, a decoder that doubles it, and skips between them.

    images (N, 3, H, W), float, 0-1, RGB, to logits (N, num_classes, H, W), for any H, W >= 1.

    Args:
        num_classes: number of logits a pixel.
        width: channels of the first level; each level has twice as many as the one above.
        depth: number of levels, so depth - 1 poolings.
        norm: what follows each convolution: "batch", "group" (8 groups, or the largest
            divisor of 8 that divides the channels) or "none".
        upsample: how the decoder doubles: "nearest", "bilinear", or "transposed"
            (a learned 2x2 convolution with stride 2, as in the paper).
        max_width: upper limit of the channels of a level.
        stem_stride: 2 computes everything at half the resolution and upsamples the logits
            bilinearly at the end: about four times faster, and coarser at the contours.
        skips: False cuts the connections from encoder to decoder; what remains is an
            encoder-decoder, not a U-Net.
        dropout: probability of dropping a channel at the end of the contracting path
            (section 3.1 of the paper puts dropout there).
        convolution: "separable" splits each 3x3 convolution but the first into one 3x3 filter a
            channel and a 1x1 convolution between channels (Chollet 2017, "Xception").

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        num_classes: int,
        width: int = 16,
        depth: int = 4,
        norm: Norm = "batch",
        upsample: Upsampling = "nearest",
        max_width: int | None = None,
        stem_stride: int = 1,
        skips: bool = True,
        dropout: float = 0.0,
        convolution: Convolution = "full",
    ) -> None:
        super().__init__()
        require_positive("UNet", num_classes=num_classes, width=width, depth=depth)
        require_choice("UNet", "norm", norm, get_args(Norm))
        require_choice("UNet", "upsample", upsample, get_args(Upsampling))
        require_choice("UNet", "stem_stride", stem_stride, (1, 2))
        require_choice("UNet", "convolution", convolution, get_args(Convolution))
        if max_width is not None:
            require_positive("UNet", max_width=max_width)
        channels = level_channels(width, depth, max_width)
        self.stem_stride = stem_stride
        self.normalize = Normalize()
        self.encoder = Encoder(channels, norm, stem_stride, dropout, convolution=convolution)
        self.decoder = Decoder(channels, norm, upsample, skips, convolution)
        self.head = nn.Conv2d(channels[0], num_classes, kernel_size=1)

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        logits = self.head(self.decoder(self.encoder(self.normalize(images))))
        if self.stem_stride > 1:
            logits = interpolate(logits, scale_factor=self.stem_stride, mode="bilinear")
        return logits[..., :height, :width]


class Encoder(nn.Module):
    """The contracting path: a block a level, a 2x2 max pooling between levels.

    images (N, in_channels, H, W) to one feature map a level, level l of shape
    (N, channels[l], ceil(H / 2**l), ceil(W / 2**l)), finest first.
    """

    def __init__(
        self,
        channels: Sequence[int],
        norm: Norm = "batch",
        stride: int = 1,
        dropout: float = 0.0,
        in_channels: int = 3,
        convolution: Convolution = "full",
    ) -> None:
        super().__init__()
        self.stride = stride
        inputs = (in_channels, *channels[:-1])
        self.levels = nn.ModuleList(
            double_convolution(
                before, after, norm, stride if level == 0 else 1, convolution=convolution
            )
            for level, (before, after) in enumerate(zip(inputs, channels, strict=True))
        )
        # ceil_mode keeps the last row and column of odd sizes, and keeps 1x1 images alive.
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, images: Tensor) -> list[Tensor]:
        features = [self.levels[0](images)]
        for level in list(self.levels)[1:]:
            features.append(level(self.pool(features[-1])))
        features[-1] = self.dropout(features[-1])
        return features


class Decoder(nn.Module):
    """The expanding path: upsample by two, join the encoder's features, convolve; repeat.

    One feature map a level, as `Encoder` returns them, to (N, channels[0], H, W) of the
    finest one's size.
    """

    def __init__(
        self,
        channels: Sequence[int],
        norm: Norm = "batch",
        upsample: Upsampling = "nearest",
        skips: bool = True,
        convolution: Convolution = "full",
    ) -> None:
        super().__init__()
        self.skips = skips
        # Both lists run from the coarsest level to the finest, the order they are used in.
        pairs = [(channels[i + 1], channels[i]) for i in reversed(range(len(channels) - 1))]
        self.upsamplings = nn.ModuleList(_doubling(coarse, upsample) for coarse, _ in pairs)
        self.levels = nn.ModuleList(
            double_convolution(coarse + (fine if skips else 0), fine, norm, convolution=convolution)
            for coarse, fine in pairs
        )

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        x = features[-1]
        finer = reversed(features[:-1])
        for upsampling, level, skip in zip(self.upsamplings, self.levels, finer, strict=True):
            # Exactly twice the size, then cut: the encoder rounded odd sizes up, and scaling to
            # the odd size instead would shift the features against the skip.
            x = upsampling(x)[..., : skip.shape[-2], : skip.shape[-1]]
            x = level(cat([skip, x], dim=1) if self.skips else x)
        return x


def double_convolution(
    in_channels: int,
    out_channels: int,
    norm: Norm = "batch",
    stride: int = 1,
    dilation: int = 1,
    convolution: Convolution = "full",
) -> nn.Sequential:
    """Two 3x3 convolutions of one size, each with its normalization and ReLU.

    (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride)).
    """
    return nn.Sequential(
        *_convolution(in_channels, out_channels, norm, stride, dilation, convolution),
        *_convolution(out_channels, out_channels, norm, 1, dilation, convolution),
    )


def _convolution(
    in_channels: int,
    out_channels: int,
    norm: Norm,
    stride: int,
    dilation: int,
    convolution: Convolution,
) -> list[nn.Module]:
    # The colors of a picture are too few to be filtered one by one: the first layer stays full.
    separable = convolution == "separable" and in_channels > 3
    filters = nn.Conv2d(
        in_channels,
        in_channels if separable else out_channels,
        kernel_size=3,
        stride=stride,
        padding=dilation,
        dilation=dilation,
        groups=in_channels if separable else 1,
        # A normalization subtracts the mean, and with it any bias: computing one would be wasted.
        bias=norm == "none" and not separable,
    )
    layers: list[nn.Module] = [filters]
    if separable:
        layers.append(nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=norm == "none"))
    if norm == "batch":
        layers.append(nn.BatchNorm2d(out_channels))
    elif norm == "group":
        layers.append(nn.GroupNorm(math.gcd(8, out_channels), out_channels))
    return [*layers, nn.ReLU(inplace=True)]


def _doubling(channels: int, upsample: Upsampling) -> nn.Module:
    if upsample == "transposed":
        return nn.ConvTranspose2d(channels, channels, kernel_size=2, stride=2)
    return nn.Upsample(scale_factor=2, mode=upsample)
