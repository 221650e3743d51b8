import pytest
import torch
from torch import nn
from torch.nn.functional import interpolate

from segtut.models import UNet, count_parameters
from segtut.models.unet import Decoder, Encoder, Norm, double_convolution


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_parameter_count_by_hand() -> None:
    # Weights of the 3x3 convolutions, level by level down, then up; then two values a channel
    # of every normalization; then the head.
    down = 3 * 16 + 16 * 16 + 16 * 32 + 32 * 32 + 32 * 64 + 64 * 64 + 64 * 128 + 128 * 128
    up = (128 + 64) * 64 + 64 * 64 + (64 + 32) * 32 + 32 * 32 + (32 + 16) * 16 + 16 * 16
    norms = 2 * 2 * (16 + 32 + 64 + 128 + 64 + 32 + 16)
    head = 16 * 8 + 8
    assert count_parameters(UNet(8)) == 9 * (down + up) + norms + head == 488_120


def test_parameters_of_the_variants_by_hand() -> None:
    # Width 2, depth 2, two classes: convolutions 3-2, 2-2, 2-4, 4-4, 6-2, 2-2; head 2-2.
    convolutions = 9 * (3 * 2 + 2 * 2 + 2 * 4 + 4 * 4 + 6 * 2 + 2 * 2)
    channels = 2 + 2 + 4 + 4 + 2 + 2
    head = 2 * 2 + 2
    small = {"width": 2, "depth": 2}
    assert count_parameters(UNet(2, **small)) == convolutions + 2 * channels + head
    assert count_parameters(UNet(2, **small, norm="group")) == convolutions + 2 * channels + head
    assert count_parameters(UNet(2, **small, norm="none")) == convolutions + channels + head
    transposed = 4 * 4 * 2 * 2 + 4
    assert (
        count_parameters(UNet(2, **small, upsample="transposed"))
        == convolutions + 2 * channels + head + transposed
    )
    without_skips = convolutions - 9 * 2 * 2
    assert count_parameters(UNet(2, **small, skips=False)) == without_skips + 2 * channels + head


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (33, 47)])
@pytest.mark.parametrize(
    "options",
    [
        {"upsample": "bilinear"},
        {"upsample": "transposed", "norm": "group"},
        {"stem_stride": 2, "norm": "none"},
        {"skips": False, "max_width": 20, "depth": 5},
        {"depth": 1},
        {"dropout": 0.5, "width": 12, "norm": "group"},
    ],
    ids=str,
)
def test_every_variant_keeps_the_size(options: dict[str, object], size: tuple[int, int]) -> None:
    with torch.inference_mode():
        logits = UNet(3, **options).eval()(random(1, 3, *size))
    assert logits.shape == (1, 3, *size)


def test_encoder_rounds_odd_sizes_up_and_caps_the_width() -> None:
    model = UNet(2, width=4, depth=4, max_width=10).eval()
    shapes = [tuple(feature.shape) for feature in model.encoder(random(1, 3, 33, 47))]
    assert shapes == [(1, 4, 33, 47), (1, 8, 17, 24), (1, 10, 9, 12), (1, 10, 5, 6)]


@pytest.mark.parametrize("skips", [True, False])
def test_only_skips_carry_the_finer_features(skips: bool) -> None:
    torch.manual_seed(0)
    decoder = Decoder([4, 8, 16], skips=skips).eval()
    features = [random(1, 4, 13, 9), random(1, 8, 7, 5), random(1, 16, 4, 3)]
    finer = [feature.requires_grad_() for feature in features]
    decoder(finer).sum().backward()
    reached = [feature.grad is not None for feature in finer]
    assert reached == [skips, skips, True]


def test_without_skips_a_pixel_s_detail_is_lost() -> None:
    # Two pixels of one pooling window change places: the deeper levels cannot tell.
    features = [random(1, 4, 8, 8), random(1, 8, 4, 4)]
    swapped = features[0].clone()
    swapped[..., 2:4, 2] = swapped[..., 2:4, 2].flip(-1)
    for skips in (True, False):
        torch.manual_seed(0)
        decoder = Decoder([4, 8], skips=skips).eval()
        same = torch.equal(decoder(features), decoder([swapped, features[1]]))
        assert same is not skips


@pytest.mark.parametrize("size", [(16, 24), (15, 23), (13, 9)])
def test_upsampled_features_stay_aligned_with_the_skip(size: tuple[int, int]) -> None:
    # Feed the decoder its own pooling: each doubled value must lie on the pixels it came from.
    # An identity in place of the convolutions shows what is joined.
    fine = random(1, 4, *size)
    coarse = torch.nn.functional.max_pool2d(fine, 2, ceil_mode=True)
    decoder = Decoder([4, 4])
    decoder.levels[0] = torch.nn.Identity()
    joined = decoder([fine, coarse])
    assert torch.equal(joined[:, :4], fine)
    for row in range(size[0]):
        for column in range(size[1]):
            expected = coarse[..., row // 2, column // 2]
            assert torch.equal(joined[:, 4:, row, column], expected)


def test_bilinear_upsampling_of_odd_sizes_is_doubling_cut_to_size() -> None:
    # Scaling to the odd size would shift the features against the skip by up to half a pixel.
    fine, coarse = random(1, 4, 13, 9), random(1, 4, 7, 5)
    decoder = Decoder([4, 4], upsample="bilinear")
    decoder.levels[0] = torch.nn.Identity()
    doubled = interpolate(coarse, scale_factor=2, mode="bilinear")
    torch.testing.assert_close(decoder([fine, coarse])[:, 4:], doubled[..., :13, :9])


def test_a_stem_of_stride_two_upsamples_the_logits_bilinearly() -> None:
    model = UNet(3, stem_stride=2).eval()
    images = random(1, 3, 32, 48)
    coarse = model.head(model.decoder(model.encoder(model.normalize(images))))
    assert coarse.shape[-2:] == (16, 24)
    expected = interpolate(coarse, size=(32, 48), mode="bilinear")
    torch.testing.assert_close(model(images), expected)


def test_normalization_happens_inside() -> None:
    model = UNet(2).eval()
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    gray = mean.expand(1, 3, 16, 16)
    assert model.normalize(gray).abs().max() < 1e-6
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    torch.testing.assert_close(model.normalize(gray + std), torch.ones(1, 3, 16, 16))
    assert "normalize.mean" in model.state_dict()
    model.normalize = torch.nn.Identity()
    images = random(1, 3, 16, 16)
    assert not torch.allclose(model(images), UNet(2).eval()(images))


def test_dropout_drops_whole_channels_of_the_coarsest_features_in_training_only() -> None:
    torch.manual_seed(0)
    encoder = Encoder([4, 32], norm="none", dropout=0.5)
    images = random(1, 3, 16, 16)
    kept = encoder.eval()(images)[-1]
    dropped = encoder.train()(images)[-1]
    alive = kept.amax(dim=(0, 2, 3)) > 0
    gone = (dropped == 0).all(dim=3).all(dim=2)[0] & alive
    assert 0 < gone.sum() < alive.sum()
    torch.testing.assert_close(dropped[:, ~gone], 2 * kept[:, ~gone])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"norm": "layer"}, "norm='layer'.*'batch', 'group', 'none'"),
        ({"upsample": "cubic"}, "upsample='cubic'"),
        ({"stem_stride": 4}, "stem_stride=4.*1, 2"),
        ({"depth": 0}, "depth=0"),
        ({"max_width": 0}, "max_width=0"),
    ],
)
def test_wrong_arguments(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        UNet(2, **options)


def test_separable_convolution_counts_and_connections() -> None:
    """64 to 64 channels: 9 * 64 + 64 * 64 weights instead of 9 * 64 * 64; the first stays full."""
    full, thin = (double_convolution(64, 64, convolution=kind) for kind in ("full", "separable"))
    assert count(full, ndim=4) == 2 * 9 * 64 * 64
    assert count(thin, ndim=4) == 2 * (9 * 64 + 64 * 64)
    first = next(m for m in UNet(8, convolution="separable").modules() if isinstance(m, nn.Conv2d))
    assert (first.in_channels, first.out_channels, first.groups) == (3, 16, 1)
    with pytest.raises(ValueError, match="convolution='thin'"):
        UNet(8, convolution="thin")  # type: ignore[arg-type]


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
def test_separable_unet_keeps_the_size_and_has_no_idle_bias(norm: Norm) -> None:
    network = UNet(8, width=8, depth=3, norm=norm, convolution="separable")
    assert network(torch.rand(2, 3, 21, 30)).shape == (2, 8, 21, 30)
    depthwise = [m for m in network.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
    assert len(depthwise) == 2 * 5 - 1
    assert all(m.groups == m.in_channels and m.bias is None for m in depthwise)


def count(module: nn.Module, ndim: int) -> int:
    return sum(p.numel() for p in module.parameters() if p.ndim == ndim)
