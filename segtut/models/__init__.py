"""The networks, one file a family, and the names they are built by."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from segtut.models.cnn import ArticleClassifier, ClassifierFCN, convolutionalize
from segtut.models.dilated import DilatedFCN
from segtut.models.fcn import FCN, Backbone
from segtut.models.geometry import (
    Geometry,
    count_parameters,
    layer_geometry,
    output_stride,
    receptive_field,
)
from segtut.models.mlp import PixelMLP
from segtut.models.normalize import Normalize
from segtut.models.torchvision_models import NETWORKS, TorchvisionSegmenter
from segtut.models.unet import UNet

__all__ = [
    "FCN",
    "ArticleClassifier",
    "ClassifierFCN",
    "DilatedFCN",
    "Geometry",
    "Normalize",
    "PixelMLP",
    "TorchvisionSegmenter",
    "UNet",
    "available",
    "build",
    "convolutionalize",
    "count_parameters",
    "layer_geometry",
    "output_stride",
    "receptive_field",
]


def _fcn(stride: int) -> Callable[..., nn.Module]:
    def build_fcn(
        num_classes: int, backbone: Backbone = "small", pretrained: bool = False
    ) -> nn.Module:
        return FCN(num_classes, stride, backbone, pretrained)

    return build_fcn


def _torchvision(name: str) -> Callable[..., nn.Module]:
    def build_torchvision(num_classes: int, pretrained: bool = False) -> nn.Module:
        return TorchvisionSegmenter(name, num_classes, pretrained)

    return build_torchvision


_BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "pixel_mlp": PixelMLP,
    "unet": UNet,
    "classifier_fcn": ClassifierFCN,
    "fcn32s": _fcn(32),
    "fcn16s": _fcn(16),
    "fcn8s": _fcn(8),
    "dilated_fcn": DilatedFCN,
    **{name: _torchvision(name) for name in NETWORKS},
}


def available() -> tuple[str, ...]:
    """The names that `build` knows."""
    return tuple(_BUILDERS)


def build(name: str, num_classes: int, **options: Any) -> nn.Module:
    """Build a segmentation network by name, images (N, 3, H, W) to logits (N, C, H, W).

    Args:
        name: one of `available()`.
        num_classes: C, the logits a pixel.
        options: what the network's own constructor takes, as `width=32` for "unet".

    Raises:
        ValueError: the name or an option is unknown; the message lists the choices.
    """
    if name not in _BUILDERS:
        raise ValueError(f"Unknown model {name!r}; choose one of {', '.join(available())}.")
    builder = _BUILDERS[name]
    parameters = inspect.signature(builder).parameters
    choices = [option for option in parameters if option != "num_classes"]
    unknown = [option for option in options if option not in choices]
    if unknown:
        raise ValueError(
            f"Model {name!r} has no option {', '.join(unknown)}; "
            f"its options are: {', '.join(choices) or 'none'}."
        )
    return builder(num_classes, **options)
