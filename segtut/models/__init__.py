"""The networks, one file a family, and the names they are built by."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from segtut.models.autoencoder import (
    Autoencoder,
    MaskedAutoencoder,
    Reconstructor,
    SegNet,
    VariationalAutoencoder,
    transfer_encoder,
)
from segtut.models.cnn import ArticleClassifier, ClassifierFCN, convolutionalize
from segtut.models.dilated import DilatedFCN
from segtut.models.fcn import FCN, Backbone
from segtut.models.gan import Discriminator, Generator, LabelToImage, PatchDiscriminator
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
from segtut.models.transformer import SegFormer
from segtut.models.unet import UNet

__all__ = [
    "FCN",
    "ArticleClassifier",
    "Autoencoder",
    "ClassifierFCN",
    "DilatedFCN",
    "Discriminator",
    "Generator",
    "Geometry",
    "LabelToImage",
    "MaskedAutoencoder",
    "Normalize",
    "PatchDiscriminator",
    "PixelMLP",
    "Reconstructor",
    "SegFormer",
    "SegNet",
    "TorchvisionSegmenter",
    "UNet",
    "VariationalAutoencoder",
    "available",
    "available_for_pictures",
    "build",
    "convolutionalize",
    "count_parameters",
    "layer_geometry",
    "output_stride",
    "receptive_field",
    "transfer_encoder",
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
    "segnet": SegNet,
    "segformer": SegFormer,
    **{name: _torchvision(name) for name in NETWORKS},
}
_PICTURE_BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "reconstructor": Reconstructor,
    "masked_autoencoder": MaskedAutoencoder,
    "label_to_image": LabelToImage,
}


def available() -> tuple[str, ...]:
    """The names of the networks that segment."""
    return tuple(_BUILDERS)


def available_for_pictures() -> tuple[str, ...]:
    """The names of the networks that return a picture; `build` knows them, too."""
    return tuple(_PICTURE_BUILDERS)


def build(name: str, num_classes: int, **options: Any) -> nn.Module:
    """Build a network by name; one that segments takes images (N, 3, H, W) to logits (N, C, H, W).

    Args:
        name: one of `available()` or `available_for_pictures()`.
        num_classes: C, the logits a pixel; of "label_to_image" the channels that enter, of
            "reconstructor" and "masked_autoencoder" those of the picture.
        options: what the network's own constructor takes, as `width=32` for "unet".

    Raises:
        ValueError: the name or an option is unknown; the message lists the choices.
    """
    builders = _BUILDERS | _PICTURE_BUILDERS
    if name not in builders:
        raise ValueError(f"Unknown model {name!r}; choose one of {', '.join(builders)}.")
    builder = builders[name]
    parameters = inspect.signature(builder).parameters
    choices = list(parameters)[1:]  # the first is num_classes, by whatever name
    unknown = [option for option in options if option not in choices]
    if unknown:
        raise ValueError(
            f"Model {name!r} has no option {', '.join(unknown)}; "
            f"its options are: {', '.join(choices) or 'none'}."
        )
    return builder(num_classes, **options)
