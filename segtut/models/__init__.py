"""The networks, one file a family, and the names they are built by."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from segtut.models.cnn import ArticleClassifier, ClassifierFCN, convolutionalize
from segtut.models.normalize import Normalize
from segtut.models.unet import UNet

__all__ = [
    "ArticleClassifier",
    "ClassifierFCN",
    "Normalize",
    "UNet",
    "available",
    "build",
    "convolutionalize",
    "count_parameters",
]

_BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "unet": UNet,
    "classifier_fcn": ClassifierFCN,
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


def count_parameters(model: nn.Module) -> int:
    """Number of values that training may change."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
