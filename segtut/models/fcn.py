"""Fully convolutional networks of Long, Shelhamer and Darrell (2015): FCN-32s, 16s and 8s."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torchvision.models import resnet18, resnet34, resnet50, resnet101
from torchvision.models.resnet import ResNet

from segtut.models.normalize import Normalize
from segtut.models.torchvision_models import library_weights
from segtut.models.unet import double_convolution

Backbone = Literal["small", "resnet18", "resnet34", "resnet50", "resnet101"]

SMALL_CHANNELS = (16, 32, 64, 128, 128)

_RESNETS: dict[str, Callable[..., ResNet]] = {
    "resnet18": resnet18,
    "resnet34": resnet34,
    "resnet50": resnet50,
    "resnet101": resnet101,
}


class FCN(nn.Module):
    """A classifier's features, scored by 1x1 convolutions at one, two or three resolutions.

    FCN-32s scores the last features, one answer every 32 pixels. FCN-16s doubles those scores
    and adds scores of the features before the last downsampling; FCN-8s does so once more
    (the paper's section 4.2, the book's 3.2.4). Doubling is a transposed convolution that starts
    as bilinear interpolation and is learned (the paper's sections 3.3 and 4.2); the last
    upsampling, to the image's size, is bilinear and stays so (the paper's section 4.3). Unlike
    in the paper, the three are trained in one go.

    images (N, 3, H, W), float, 0-1, RGB, to logits (N, num_classes, H, W), for any H, W >= 1.

    Args:
        num_classes: number of logits a pixel.
        stride: 32, 16 or 8, pixels an answer before the last upsampling.
        backbone: "small", five blocks and poolings in the manner of VGG with 0.6 million
            weights, or a torchvision ResNet, "resnet18" to "resnet101".
        pretrained: start a ResNet from torchvision's weights, downloading them. They are those of
            a classifier of ImageNet photographs; the 1x1 convolutions that score its features
            start at random, so the network has to be trained before it can segment.

    Raises:
        ValueError: an argument is not among its choices.
        FileNotFoundError: the pretrained weights are not there and cannot be downloaded.
    """

    def __init__(
        self,
        num_classes: int,
        stride: int = 32,
        backbone: Backbone = "small",
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        if stride not in (32, 16, 8):
            raise ValueError(f"FCN got stride={stride!r}; choose 32, 16 or 8.")
        if backbone not in get_args(Backbone):
            listed = ", ".join(get_args(Backbone))
            raise ValueError(f"FCN got backbone={backbone!r}; choose one of {listed}.")
        self.stride = stride
        self.normalize = Normalize()
        self.backbone: SmallFeatures | ResNetFeatures
        if backbone == "small":
            if pretrained:
                raise ValueError("FCN's small backbone has no pretrained weights; use a ResNet.")
            self.backbone = SmallFeatures()
        else:
            self.backbone = ResNetFeatures(backbone, pretrained)
        # The coarsest features first, as many resolutions as this stride needs.
        scored = self.backbone.channels[::-1][: {32: 1, 16: 2, 8: 3}[stride]]
        self.scores = nn.ModuleList(nn.Conv2d(c, num_classes, kernel_size=1) for c in scored)
        self.doublings = nn.ModuleList(bilinear_doubling(num_classes) for _ in scored[1:])

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        features = self.backbone(self.normalize(images))[::-1]
        logits = self.scores[0](features[0])
        for doubling, score, finer in zip(
            self.doublings, list(self.scores)[1:], features[1:], strict=False
        ):
            scores = score(finer)
            logits = doubling(logits)[..., : scores.shape[-2], : scores.shape[-1]] + scores
        logits = interpolate(logits, scale_factor=self.stride, mode="bilinear")
        return logits[..., :height, :width]


class SmallFeatures(nn.Module):
    """Five blocks of two 3x3 convolutions, each followed by pooling; returns pools 3 to 5.

    images (N, 3, H, W) to three feature maps with an answer every 8, 16 and 32 pixels.
    """

    channels = SMALL_CHANNELS[2:]

    def __init__(self) -> None:
        super().__init__()
        inputs = (3, *SMALL_CHANNELS[:-1])
        self.blocks = nn.ModuleList(
            nn.Sequential(double_convolution(before, after), nn.MaxPool2d(2, ceil_mode=True))
            for before, after in zip(inputs, SMALL_CHANNELS, strict=True)
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        x, pooled = images, []
        for block in self.blocks:
            x = block(x)
            pooled.append(x)
        return pooled[2:]


class ResNetFeatures(nn.Module):
    """torchvision's ResNet without its classifier; returns layers 2 to 4.

    images (N, 3, H, W) to three feature maps with an answer every 8, 16 and 32 pixels.
    """

    def __init__(self, name: str, pretrained: bool) -> None:
        super().__init__()
        with library_weights(pretrained) as weights:
            resnet = _RESNETS[name](weights=weights)
        widest = resnet.fc.in_features
        self.channels = (widest // 4, widest // 2, widest)
        self.stem = nn.Sequential(resnet.conv1, resnet.bn1, resnet.relu, resnet.maxpool)
        self.layers = nn.ModuleList([resnet.layer1, resnet.layer2, resnet.layer3, resnet.layer4])

    def forward(self, images: Tensor) -> list[Tensor]:
        x, features = self.stem(images), []
        for layer in self.layers:
            x = layer(x)
            features.append(x)
        return features[1:]


def bilinear_doubling(channels: int) -> nn.ConvTranspose2d:
    """A learnable layer that starts as bilinear interpolation to twice the size.

    (N, channels, H, W) to (N, channels, 2H, 2W). Away from the border it equals
    `interpolate(x, scale_factor=2, mode="bilinear")`; at the border it fades to zero, because
    a transposed convolution sees zeros there. Source: Long et al. (2015), section
    3.3 of the paper.
    """
    layer = nn.ConvTranspose2d(channels, channels, kernel_size=4, stride=2, padding=1, bias=False)
    triangle = torch.tensor([0.25, 0.75, 0.75, 0.25])
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[range(channels), range(channels)] = torch.outer(triangle, triangle)
    return layer
