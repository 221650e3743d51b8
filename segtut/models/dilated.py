"""A network in the manner of DeepLabv3 (Chen et al. 2017), small enough for a laptop."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

from segtut.models.normalize import Normalize
from segtut.models.unet import double_convolution

RATES = (2, 4, 6)


class DilatedFCN(nn.Module):
    """A classifier that keeps its resolution: holes in the kernels instead of late poolings.

    Five blocks of two 3x3 convolutions, as in FCN's small backbone. Once `output_stride` is
    reached a block is no longer followed by pooling; the blocks after it double the dilation of
    their kernels instead, and so look as far as if there had been one (section 3.1). What they
    find is read by `PyramidPooling`, scored, and upsampled bilinearly in one go.

    images (N, 3, H, W), float, 0-1, RGB, to logits (N, num_classes, H, W), for any H, W >= 1.

    Args:
        num_classes: number of logits a pixel.
        width: channels of the first block; the others have 2, 4, 6 and 6 times as many.
        output_stride: 4 or 8, pixels an answer before the last upsampling.

    Raises:
        ValueError: an argument is out of its range.

    Source: Chen, Papandreou, Schroff and Adam (2017), "Rethinking atrous convolution for
    semantic image segmentation". The rates of its parallel convolutions, 6, 12 and 18, are
    for maps of some 60 answers a side; here they are 2, 4 and 6.
    """

    def __init__(self, num_classes: int, width: int = 16, output_stride: int = 8) -> None:
        super().__init__()
        for name, value in (("num_classes", num_classes), ("width", width)):
            if value < 1:
                raise ValueError(f"DilatedFCN got {name}={value}; it must be at least 1.")
        if output_stride not in (4, 8):
            raise ValueError(f"DilatedFCN got output_stride={output_stride!r}; choose 4 or 8.")
        self.output_stride = output_stride
        channels = [width * factor for factor in (1, 2, 4, 6, 6)]
        self.normalize = Normalize()
        self.backbone = _backbone(channels, poolings=output_stride.bit_length() - 1)
        self.head = nn.Sequential(
            PyramidPooling(channels[-1], 2 * width, 4 * width),
            nn.Conv2d(4 * width, num_classes, kernel_size=1),
        )

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        coarse = self.head(self.backbone(self.normalize(images)))
        logits = interpolate(coarse, scale_factor=self.output_stride, mode="bilinear")
        return logits[..., :height, :width]


class PyramidPooling(nn.Module):
    """The same features read at five reaches side by side, and joined (ASPP, section 3.3).

    A 1x1 convolution, three 3x3 convolutions of growing dilation, and the mean over the whole
    image. (N, in_channels, H, W) to (N, out_channels, H, W).
    """

    def __init__(self, in_channels: int, branch_channels: int, out_channels: int) -> None:
        super().__init__()
        self.near = _normalized(nn.Conv2d(in_channels, branch_channels, 1, bias=False))
        self.dilated = nn.ModuleList(
            _normalized(
                nn.Conv2d(in_channels, branch_channels, 3, padding=rate, dilation=rate, bias=False)
            )
            for rate in RATES
        )
        # One value an image and channel: a batch of one has no spread to normalize by.
        self.image = nn.Conv2d(in_channels, branch_channels, 1)
        joined = (len(RATES) + 2) * branch_channels
        self.join = _normalized(nn.Conv2d(joined, out_channels, 1, bias=False))

    def forward(self, features: Tensor) -> Tensor:
        mean = features.mean(dim=(2, 3), keepdim=True)
        everywhere = relu(self.image(mean)).expand(-1, -1, *features.shape[-2:])
        reaches = [self.near, *self.dilated]
        return self.join(torch.cat([*(reach(features) for reach in reaches), everywhere], dim=1))


def _backbone(channels: list[int], poolings: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    inputs = (3, *channels[:-1])
    for block, (before, after) in enumerate(zip(inputs, channels, strict=True)):
        dilation = 2 ** max(0, block - poolings)
        layers.append(double_convolution(before, after, dilation=dilation))
        if block < poolings:
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
    return nn.Sequential(*layers)


def _normalized(convolution: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(
        convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU(inplace=True)
    )
