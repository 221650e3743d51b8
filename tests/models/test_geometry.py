"""The arithmetic against a measurement: which input pixels have a gradient."""

import math

import pytest
import torch
from torch import nn

from segtut.models import (
    FCN,
    ArticleClassifier,
    ClassifierFCN,
    UNet,
    build,
    convolutionalize,
    layer_geometry,
    output_stride,
    receptive_field,
)


def measured_receptive_field(model: nn.Module, side: int) -> int:
    """Largest number of rows with a gradient of one output row, over rows in the middle.

    Max pooling passes the gradient to one pixel of its window and ReLU to none where it is
    off, so both give way to their linear cousins, and all weights are made positive, so that
    no two paths cancel.
    """
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU | nn.BatchNorm2d):
                setattr(module, name, nn.Identity())
            if isinstance(child, nn.MaxPool2d):
                pool = nn.AvgPool2d(child.kernel_size, child.stride, child.padding, child.ceil_mode)
                setattr(module, name, pool)
    model = model.double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.abs() + 0.01)
            parameter /= parameter.sum()
    # Rows are measured, so a narrow image will do; one copy of it for each row of the output.
    images = torch.ones(32, 3, side, 16, dtype=torch.float64, requires_grad=True)
    outputs = model(images)[:, 0].sum(dim=2)
    middle = outputs.shape[1] // 2
    (gradients,) = torch.autograd.grad(outputs[:, middle:].diagonal().sum(), images)
    rows = []
    for gradient in gradients[: outputs.shape[1] - middle].abs().sum(dim=(1, 3)):
        seen = gradient.nonzero().flatten()
        rows.append(int(seen[-1] - seen[0]) + 1)
        assert 0 < seen[0] < seen[-1] < side - 1, "the image is too small to measure on"
    return max(rows)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (nn.Sequential(nn.Conv2d(3, 2, 3), nn.Conv2d(2, 2, 3)), 5),
        (nn.Sequential(nn.Conv2d(3, 2, 3, stride=2), nn.Conv2d(2, 2, 3)), 7),
        (nn.Sequential(nn.Conv2d(3, 2, 3, dilation=2), nn.Conv2d(2, 2, 3, dilation=4)), 13),
        (nn.Sequential(nn.Conv2d(3, 2, 3), nn.MaxPool2d(2), nn.Conv2d(2, 2, 3)), 8),
        (nn.Sequential(nn.AvgPool2d(2), nn.ConvTranspose2d(3, 2, 4, 2, 1)), 4),
    ],
)
def test_chains_by_hand_and_by_gradient(model: nn.Module, expected: int) -> None:
    assert receptive_field(model) == expected
    assert measured_receptive_field(model, 160) == expected


@pytest.mark.parametrize(
    ("model", "side"),
    [
        (UNet(2, width=2), 320),
        (UNet(2, width=2, upsample="bilinear"), 320),
        (UNet(2, width=2, upsample="transposed"), 320),
        (UNet(2, width=2, skips=False), 320),
        (UNet(2, width=2, depth=3, stem_stride=2), 320),
        (ClassifierFCN(2), 128),
        (FCN(2, stride=32), 640),
        (FCN(2, stride=8), 640),
    ],
    ids=["nearest", "bilinear", "transposed", "no skips", "stem", "classifier", "32s", "8s"],
)
def test_networks_by_gradient(model: nn.Module, side: int) -> None:
    expected = receptive_field(model)
    assert measured_receptive_field(model, side) == expected


def test_layers_of_the_unet_by_hand() -> None:
    table = [
        (geometry.receptive_field, geometry.stride)
        for _, geometry in layer_geometry(UNet(2, depth=2))
    ]
    # conv conv pool conv conv | conv conv head output
    assert table == [
        (3, 1), (5, 1), (6, 2), (10, 2), (14, 2), (16, 1), (18, 1), (18, 1), (18, 1),
    ]  # fmt: skip
    names = [name for name, _ in layer_geometry(UNet(2, depth=3))]
    assert names.count("encoder.pool") == 2
    assert names[-1] == "output"


@pytest.mark.parametrize(
    ("name", "options", "stride"),
    [
        ("unet", {}, 1),
        ("unet", {"stem_stride": 2}, 2),
        ("classifier_fcn", {}, 4),
        ("fcn32s", {}, 32),
        ("fcn16s", {}, 16),
        ("fcn8s", {"backbone": "resnet18"}, 8),
        ("deeplabv3_mobilenet_v3_large", {}, 16),
        ("lraspp_mobilenet_v3_large", {}, 8),
    ],
)
def test_output_stride(name: str, options: dict[str, object], stride: int) -> None:
    assert output_stride(build(name, 2, **options)) == stride


def test_global_operations_see_the_whole_image() -> None:
    assert receptive_field(ArticleClassifier(2)) == math.inf
    assert receptive_field(build("lraspp_mobilenet_v3_large", 2)) == math.inf


def test_the_convolutional_classifier_sees_what_the_classifier_was_built_for() -> None:
    # 54 values of stride 4, each of which sees 10 pixels: 53 * 4 + 10 of the 224.
    model = convolutionalize(ArticleClassifier(2))
    assert receptive_field(model) == 222
    assert output_stride(model) == 4


def test_the_model_is_left_alone() -> None:
    model = UNet(2).train()
    receptive_field(model)
    assert model.training
    assert model.head.weight.device.type == "cpu"
    assert not model.head._forward_hooks
