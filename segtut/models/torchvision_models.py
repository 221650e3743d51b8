"""torchvision's own segmentation networks, made to keep this package's contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.models import segmentation

from segtut.models.normalize import Normalize

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "deeplabv3_resnet50": segmentation.deeplabv3_resnet50,
    "deeplabv3_resnet101": segmentation.deeplabv3_resnet101,
    "deeplabv3_mobilenet_v3_large": segmentation.deeplabv3_mobilenet_v3_large,
    "lraspp_mobilenet_v3_large": segmentation.lraspp_mobilenet_v3_large,
}


class TorchvisionSegmenter(nn.Module):
    """DeepLabV3 (Chen et al. 2017) or LR-ASPP (Howard et al. 2019) from torchvision.

    images (N, 3, H, W), float, 0-1, RGB, to logits (N, num_classes, H, W), for any H, W >= 1.
    Training needs batches of at least two images: DeepLabV3 normalizes one value an image.

    Args:
        name: one of `NETWORKS`.
        num_classes: number of logits a pixel.
        pretrained: start the backbone from torchvision's ImageNet weights, downloading them.

    Raises:
        FileNotFoundError: the pretrained weights are not there and cannot be downloaded.
    """

    def __init__(self, name: str, num_classes: int, pretrained: bool = False) -> None:
        super().__init__()
        self.normalize = Normalize()
        with library_weights(pretrained) as weights_backbone:
            self.network = NETWORKS[name](
                weights=None, weights_backbone=weights_backbone, num_classes=num_classes
            )

    def forward(self, images: Tensor) -> Tensor:
        return self.network(self.normalize(images))["out"]


@contextmanager
def library_weights(pretrained: bool) -> Iterator[Literal["DEFAULT"] | None]:
    """What to pass as torchvision's `weights`; explains a download that fails inside.

    Raises:
        FileNotFoundError: the weights are not in torch's cache and cannot be downloaded.
    """
    try:
        yield "DEFAULT" if pretrained else None
    except OSError as error:
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        raise FileNotFoundError(
            f"The pretrained weights could not be downloaded ({error}). Connect to the network, "
            f"or put the .pth file named in torchvision's documentation into {folder}, "
            "or build the model with pretrained=False."
        ) from error
