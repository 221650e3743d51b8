"""Autoencoders keep to their code, hide what they say they hide, and SegNet puts maxima back."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segtut.models import (
    Autoencoder,
    MaskedAutoencoder,
    Reconstructor,
    SegNet,
    UNet,
    VariationalAutoencoder,
    available_for_pictures,
    build,
    count_parameters,
    transfer_encoder,
)
from segtut.models.autoencoder import hidden_patches

WAYS = ("nearest", "bilinear", "transposed", "shuffle")
SMALL: dict[str, Any] = {"width": 4, "depth": 2}


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", [Autoencoder, VariationalAutoencoder])
@pytest.mark.parametrize("upsample", WAYS)
def test_pictures_pass_through_a_code_of_the_size_asked_for(
    kind: type[Autoencoder], upsample: Any
) -> None:
    model = kind((8, 12), code_size=5, channels=1, upsample=upsample, **SMALL)
    codes = model.encode(random(3, 1, 8, 12))
    assert codes.shape == (3, 5)
    pictures = model.decode(codes)
    assert pictures.shape == (3, 1, 8, 12)
    assert 0 <= pictures.min() < pictures.max() <= 1


@pytest.mark.parametrize("kind", [Autoencoder, VariationalAutoencoder])
@pytest.mark.parametrize("upsample", WAYS)
def test_every_parameter_of_an_autoencoder_learns(kind: type[Autoencoder], upsample: Any) -> None:
    torch.manual_seed(0)
    model = kind((8, 8), code_size=3, upsample=upsample, **SMALL)
    output = model(random(4, 3, 8, 8))
    picture = output[0] if isinstance(output, tuple) else output
    (picture - random(4, 3, 8, 8, seed=1)).square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_parameters_of_an_autoencoder_by_hand() -> None:
    convolutions = 9 * (3 * 4 + 4 * 8) + 2 * (4 + 8)
    features = 8 * 2 * 2
    encoder = convolutions + features * 5 + 5
    decoder = 5 * features + features + 9 * (8 * 4 + 4 * 4) + 2 * (4 + 4) + 9 * 4 * 3 + 3
    assert count_parameters(Autoencoder((8, 8), 5, **SMALL)) == encoder + decoder


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": (10, 8)}, r"size=\(10, 8\) and depth=2.*multiples of 2\*\*depth = 4"),
        ({"size": (0, 8)}, "positive multiples"),
        ({"code_size": 0}, "outputs=0|code_size=0"),
        ({"upsample": "magic"}, r"upsample='magic'.*'nearest', 'bilinear', 'transposed'"),
        ({"width": 0}, "width=0"),
        ({"channels": 0}, "channels=0"),
        ({"depth": 0}, "depth=0"),
    ],
)
def test_arguments_out_of_range_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Autoencoder(**{"size": (8, 8), **SMALL, **arguments})


def test_pictures_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"pictures \(3, 8, 8\) and got \(1, 3, 8, 12\)"):
        Autoencoder((8, 8), **SMALL)(random(1, 3, 8, 12))


def test_variational_code_is_drawn_in_training_and_the_mean_otherwise() -> None:
    torch.manual_seed(0)
    model = VariationalAutoencoder((8, 8), code_size=4, **SMALL)
    images = random(6, 3, 8, 8)
    model.train()
    drawn, mean, log_variance = model(images, torch.Generator().manual_seed(3))
    noise = torch.randn(6, 4, generator=torch.Generator().manual_seed(3))
    code = mean + (log_variance / 2).exp() * noise
    torch.testing.assert_close(model.decode(code), drawn)
    assert not torch.allclose(model.decode(mean), drawn)
    model.eval()
    first, mean, _ = model(images)
    assert torch.equal(first, model(images)[0])
    assert torch.equal(first, model.decode(mean))
    assert torch.equal(model.encode(images), mean)


def test_gradients_reach_mean_and_variance_through_the_draw() -> None:
    # d(m + exp(l/2) e) / dm = 1 and / dl = e exp(l/2) / 2.
    class Identity(VariationalAutoencoder):
        def posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
            return self.mean, self.log_variance

        def decode(self, codes: Tensor) -> Tensor:
            return codes

    model = Identity((8, 8), code_size=2, **SMALL).train()
    model.mean = nn.Parameter(torch.tensor([[0.5, -1.0]]))
    model.log_variance = nn.Parameter(torch.tensor([[0.2, -0.4]]))
    model(random(1, 3, 8, 8), torch.Generator().manual_seed(1))[0].sum().backward()
    noise = torch.randn(1, 2, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(model.mean.grad, torch.ones(1, 2))
    slope = noise * (model.log_variance / 2).exp() / 2
    torch.testing.assert_close(model.log_variance.grad, slope.detach())


def test_samples_depend_on_the_generator_alone() -> None:
    model = VariationalAutoencoder((8, 8), code_size=4, **SMALL).eval()
    first, again = (model.sample(5, torch.Generator().manual_seed(2)) for _ in range(2))
    assert first.shape == (5, 3, 8, 8)
    assert torch.equal(first, again)
    assert not torch.equal(first, model.sample(5, torch.Generator().manual_seed(4)))


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (33, 46)])
@pytest.mark.parametrize("name", ["reconstructor", "masked_autoencoder"])
@pytest.mark.parametrize(
    "options", [{}, {"stem_stride": 2, "skips": True}, {"norm": "group", "max_width": 6}], ids=str
)
def test_pictures_of_every_size_come_back(
    name: str, options: dict[str, Any], size: tuple[int, int]
) -> None:
    model = build(name, 3, width=4, depth=3, **options).eval()
    with torch.inference_mode():
        pictures = model(random(2, 3, *size))
    assert pictures.shape == (2, 3, *size)
    assert 0 <= pictures.min() <= pictures.max() <= 1


def test_networks_for_pictures_are_named() -> None:
    assert available_for_pictures() == ("reconstructor", "masked_autoencoder", "label_to_image")


def test_without_skips_a_far_pixel_reaches_a_pixel_only_through_the_coarsest_level() -> None:
    torch.manual_seed(0)
    images = random(1, 3, 16, 16)
    model = Reconstructor(width=4, depth=3).eval()
    # Silence the coarsest level: without skips nothing of the picture is left.
    model.encoder.levels[-1].register_forward_hook(lambda *_: torch.zeros(1, 16, 4, 4))
    assert torch.equal(model(images), model(1 - images))
    with_skips = Reconstructor(width=4, depth=3, skips=True).eval()
    with_skips.encoder.levels[-1].register_forward_hook(lambda *_: torch.zeros(1, 16, 4, 4))
    assert not torch.equal(with_skips(images), with_skips(1 - images))


def test_hidden_patches_are_whole_and_of_the_share_asked_for() -> None:
    hidden = hidden_patches(random(40, 3, 20, 30), 8, 0.6, torch.Generator().manual_seed(0))
    assert hidden.shape == (40, 1, 20, 30)
    corners = hidden[:, 0, ::8, ::8]
    assert corners.shape == (40, 3, 4)
    assert (corners.flatten(1).sum(1) == round(0.6 * 12)).all()
    spread = corners.repeat_interleave(8, 1).repeat_interleave(8, 2)[:, :20, :30]
    assert torch.equal(hidden[:, 0], spread)
    # Each patch is hidden in about six tenths of the pictures: 4 standard deviations.
    many = hidden_patches(random(2000, 1, 16, 16), 8, 0.5, torch.Generator().manual_seed(1))
    shares = many[:, 0, ::8, ::8].float().mean(0)
    assert (shares - 0.5).abs().max() < 4 * (0.25 / 2000) ** 0.5


def test_what_is_hidden_cannot_be_seen() -> None:
    torch.manual_seed(0)
    model = MaskedAutoencoder(width=4, depth=2, patch=4, share=0.5).eval()
    images = random(2, 3, 16, 16)
    seen, hidden = model.mask(images, torch.Generator().manual_seed(5))
    assert torch.equal(seen[~hidden.expand_as(seen)], images[~hidden.expand_as(images)])
    other = torch.where(hidden, random(2, 3, 16, 16, seed=9), images)
    seen_again, hidden_again = model.mask(other, torch.Generator().manual_seed(5))
    assert torch.equal(hidden, hidden_again)
    assert torch.equal(seen, seen_again)


def test_pictures_are_masked_in_training_only() -> None:
    model = MaskedAutoencoder(width=4, depth=2, patch=4, share=1.0, norm="group")
    images = random(2, 3, 16, 16)
    model.train()
    assert torch.equal(model(images), model(1 - images))
    model.eval()
    assert not torch.equal(model(images), model(1 - images))
    assert torch.equal(model(images), model.reconstruct(images))


@pytest.mark.parametrize("arguments", [{"patch": 0}, {"share": 1.2}, {"stem_stride": 3}])
def test_masking_out_of_range_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        MaskedAutoencoder(**SMALL, **arguments)


def test_transferred_encoder_gives_the_same_features() -> None:
    torch.manual_seed(0)
    source = MaskedAutoencoder(width=4, depth=3, stem_stride=2)
    source(random(4, 3, 32, 32))  # moves the running statistics
    target = UNet(5, width=4, depth=3, stem_stride=2)
    transfer_encoder(source, target)
    images = random(2, 3, 32, 32, seed=1)
    source.eval()
    target.eval()
    for given, taken in zip(source.encoder(images), target.encoder(images), strict=True):
        assert torch.equal(given, taken)
    with torch.no_grad():
        next(target.encoder.parameters()).zero_()
    assert next(source.encoder.parameters()).abs().sum() > 0


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        (UNet(3, **SMALL), SegNet(3, **SMALL), "target, SegNet, has no encoder"),
        (Autoencoder((8, 8), **SMALL), UNet(3, **SMALL), "source, Autoencoder, has no encoder"),
        (Reconstructor(width=6, depth=2), UNet(3, **SMALL), "differ in their levels"),
        (Reconstructor(**SMALL, stem_stride=2), UNet(3, **SMALL), "stem_stride"),
    ],
)
def test_encoders_that_do_not_fit_are_refused(
    source: nn.Module, target: nn.Module, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        transfer_encoder(source, target)


@pytest.mark.parametrize("size", [(8, 8), (7, 5), (1, 3)])
def test_unpooling_puts_every_maximum_where_it_sat(size: tuple[int, int]) -> None:
    model = SegNet(2, **SMALL)
    x = random(2, 3, *size) + 0.1  # positive, and no two equal
    pooled, winners = model.pool(x)
    back = model._enlarge(pooled, winners, size)
    assert back.shape == x.shape
    assert torch.equal(back[back != 0], x[back != 0])
    assert (back != 0).sum() == pooled.numel()
    # Pooling what was put back finds the same values at the same places: the inverse.
    again, places = model.pool(back)
    assert torch.equal(again, pooled)
    assert torch.equal(places, winners)


def test_segnet_is_told_positions_and_its_ablation_is_not() -> None:
    torch.manual_seed(0)
    with_indices = SegNet(4, **SMALL).eval()
    without = SegNet(4, **SMALL, indices=False).eval()
    without.load_state_dict(with_indices.state_dict())
    assert count_parameters(with_indices) == count_parameters(without)
    images = random(1, 3, 9, 14)
    assert with_indices(images).shape == without(images).shape == (1, 4, 9, 14)
    seen: list[Tensor] = []
    with_indices.unpool.register_forward_hook(lambda *given: seen.append(given[-1]))
    with_indices(images)
    (unpooled,) = seen
    # Ceil-mode windows of 9 x 14: at most one value of each is not zero.
    padded = F.pad((unpooled != 0).float(), (0, 0, 0, 1))
    assert F.avg_pool2d(padded, 2, divisor_override=1).max() == 1


def test_parameters_of_segnet_by_hand() -> None:
    down = 3 * 4 + 4 * 4 + 4 * 8 + 8 * 8
    up = 8 * 4 + 4 * 4 + 4 * 4 + 4 * 4
    norms = 2 * 2 * (4 + 8 + 4 + 4)
    assert count_parameters(SegNet(2, **SMALL)) == 9 * (down + up) + norms + 4 * 2 + 2


@pytest.mark.parametrize("arguments", [{"norm": "layer"}, {"depth": 0}, {"num_classes": 0}])
def test_segnet_refuses_arguments_out_of_range(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        SegNet(**{"num_classes": 2, **arguments})
