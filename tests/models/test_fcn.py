import pytest
import torch
from torch.nn.functional import interpolate, relu
from torchvision.models import resnet18

from segtut.models import FCN, count_parameters
from segtut.models.fcn import ResNetFeatures, bilinear_doubling


def random(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def test_doubling_starts_as_bilinear_interpolation() -> None:
    features = random(2, 3, 5, 7)
    doubled = bilinear_doubling(3)(features)
    expected = interpolate(features, scale_factor=2, mode="bilinear")
    assert doubled.shape == expected.shape
    inside = (..., slice(1, -1), slice(1, -1))
    torch.testing.assert_close(doubled[inside], expected[inside])
    assert bilinear_doubling(3).weight.requires_grad


@pytest.mark.parametrize(("stride", "scored"), [(32, [128]), (16, [128, 128]), (8, [128, 128, 64])])
def test_scores_sit_on_as_many_poolings_as_the_stride_needs(stride: int, scored: list[int]) -> None:
    model = FCN(4, stride)
    assert [score.in_channels for score in model.scores] == scored
    assert len(model.doublings) == len(scored) - 1


def test_fcn8s_is_the_sum_of_three_resolutions() -> None:
    # Long et al. (2015), figure 3, with bilinear interpolation in place of the layers that
    # start as it; away from the border, where those fade.
    torch.manual_seed(0)
    model = FCN(4, stride=8).eval()
    images = random(1, 3, 256, 256)
    with torch.inference_mode():
        pool3, pool4, pool5 = model.backbone(model.normalize(images))
        score5, score4, score3 = (
            score(pool) for score, pool in zip(model.scores, (pool5, pool4, pool3), strict=True)
        )
        fused4 = score4 + interpolate(score5, scale_factor=2, mode="bilinear")
        fused3 = score3 + interpolate(fused4, scale_factor=2, mode="bilinear")
        expected = interpolate(fused3, scale_factor=8, mode="bilinear")
        logits = model(images)
    assert (pool3.shape[-1], pool4.shape[-1], pool5.shape[-1]) == (32, 16, 8)
    inside = (..., slice(64, -64), slice(64, -64))
    torch.testing.assert_close(logits[inside], expected[inside])


def test_fcn32s_answers_every_32_pixels() -> None:
    model = FCN(4, stride=32).eval()
    with torch.inference_mode():
        images = random(1, 3, 64, 96)
        coarse = model.scores[0](model.backbone(model.normalize(images))[-1])
        assert coarse.shape == (1, 4, 2, 3)
        torch.testing.assert_close(
            model(images), interpolate(coarse, scale_factor=32, mode="bilinear")
        )


def test_resnet_features_are_torchvision_s() -> None:
    torch.manual_seed(0)
    features = ResNetFeatures("resnet18", pretrained=False).eval()
    torch.manual_seed(0)
    resnet = resnet18(weights=None).eval()
    images = random(1, 3, 65, 97)
    with torch.inference_mode():
        layer2, layer3, layer4 = features(images)
        x = resnet.maxpool(relu(resnet.bn1(resnet.conv1(images))))
        x = resnet.layer2(resnet.layer1(x))
        assert torch.equal(layer2, x)
        assert torch.equal(layer3, resnet.layer3(x))
        assert torch.equal(layer4, resnet.layer4(resnet.layer3(x)))
    assert (layer2.shape[-2:], layer4.shape[-2:]) == ((9, 13), (3, 4))


def test_parameter_count_by_hand() -> None:
    resnet = count_parameters(resnet18()) - (512 * 1000 + 1000)
    scores = (512 + 256 + 128) * 4 + 3 * 4
    doublings = 2 * 4 * 4 * 4 * 4
    assert count_parameters(FCN(4, 8, "resnet18")) == resnet + scores + doublings


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="stride=4; choose 32, 16 or 8"):
        FCN(2, stride=4)
    with pytest.raises(ValueError, match="'vgg16'; choose one of small, resnet18"):
        FCN(2, backbone="vgg16")
