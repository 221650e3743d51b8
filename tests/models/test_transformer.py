"""SegFormer: attention as PyTorch computes it, sizes, counts by hand, and that it learns."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention

from segtut.models import SegFormer, available, build, count_parameters
from segtut.models.transformer import (
    Block,
    MixFeedForward,
    MLPDecoder,
    OverlappingPatches,
    SelfAttention,
    TransformerEncoder,
    attend,
    attention_weights,
    to_map,
    to_tokens,
)

SMALL = {"widths": (8, 16), "depths": (1, 1), "heads": (1, 2), "reductions": (4, 1)}


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("keys", [1, 5, 24])
def test_attention_is_pytorch_s(keys: int) -> None:
    q, k, v = random(2, 3, 7, 4), random(2, 3, keys, 4, seed=1), random(2, 3, keys, 6, seed=2)
    torch.testing.assert_close(attend(q, k, v), scaled_dot_product_attention(q, k, v))
    weights = attention_weights(q, k)
    assert weights.shape == (2, 3, 7, keys)
    assert (weights > 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, 7))


@pytest.mark.parametrize(("heads", "reduction"), [(1, 1), (4, 1), (2, 2), (4, 3)])
def test_the_whole_layer_is_pytorch_s(heads: int, reduction: int) -> None:
    torch.manual_seed(0)
    layer = SelfAttention(8, heads, reduction)
    tokens = random(2, 5 * 7, 8)
    queries, keys, values = layer.project(tokens, 5, 7)
    positions = -(-5 // reduction) * -(-7 // reduction)
    assert queries.shape == (2, heads, 35, 8 // heads)
    assert keys.shape == values.shape == (2, heads, positions, 8 // heads)
    answers = scaled_dot_product_attention(queries, keys, values).transpose(1, 2)
    expected = layer.projection(answers.reshape(2, 35, 8))
    torch.testing.assert_close(layer(tokens, 5, 7), expected)


def test_attention_alone_does_not_know_the_order() -> None:
    torch.manual_seed(0)
    layer, order = SelfAttention(8, heads=2), torch.randperm(12)
    tokens = random(1, 12, 8)
    shuffled = layer(tokens[:, order], 3, 4)
    torch.testing.assert_close(shuffled, layer(tokens, 3, 4)[:, order])
    # The depthwise convolution does: its zeros stand at the border.
    mix = MixFeedForward(8)
    assert not torch.allclose(mix(tokens[:, order], 3, 4), mix(tokens, 3, 4)[:, order], atol=1e-3)


def test_every_position_reaches_every_other_in_one_block() -> None:
    torch.manual_seed(0)
    for layer in (SelfAttention(8, 2), SelfAttention(8, 2, reduction=4), Block(8, 2)):
        tokens = random(1, 63, 8).requires_grad_()
        layer(tokens, 7, 9)[0, 0].sum().backward()
        assert tokens.grad is not None
        assert (tokens.grad.abs().sum(-1) > 0).all()


def test_tokens_and_maps_are_inverse_row_by_row() -> None:
    x = random(2, 3, 4, 5)
    tokens = to_tokens(x)
    assert tokens.shape == (2, 20, 3)
    torch.testing.assert_close(tokens[1, 2 * 5 + 3], x[1, :, 2, 3])
    torch.testing.assert_close(to_map(tokens, 4, 5), x)


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (33, 47), (64, 96)])
@pytest.mark.parametrize("stride", [2, 4])
def test_any_size(size: tuple[int, int], stride: int) -> None:
    model = SegFormer(3, **SMALL, stride=stride).eval()
    images = torch.rand(2, 3, *size)
    with torch.inference_mode():
        features = model.encoder(model.normalize(images))
        logits = model(images)
    assert logits.shape == (2, 3, *size)
    for stage, feature in enumerate(features):
        step = stride * 2**stage
        expected = (2, SMALL["widths"][stage], -(-size[0] // step), -(-size[1] // step))
        assert feature.shape == expected


def test_a_sum_over_heads_cannot_hide_a_wrong_split() -> None:
    """Two heads are two attentions over half the channels each, side by side."""
    torch.manual_seed(0)
    layer = SelfAttention(8, heads=2)
    nn.init.eye_(layer.projection.weight)
    nn.init.zeros_(layer.projection.bias)
    tokens = random(1, 6, 8)
    q, k, v = layer.queries(tokens), layer.keys(tokens), layer.values(tokens)
    halves = [attend(q[..., part], k[..., part], v[..., part]) for part in (slice(4), slice(4, 8))]
    torch.testing.assert_close(layer(tokens, 2, 3), torch.cat(halves, dim=-1))


def test_patches_overlap() -> None:
    """A pixel on the seam of two windows reaches both; a convolution of 4x4 stride 4 would not."""
    for stride in (2, 4):
        patches = OverlappingPatches(1, 8, stride)
        images = torch.zeros(1, 1, 16, 16)
        lit = images.clone()
        lit[..., 2 * stride - 1] = 1.0
        change = (patches.convolution(lit) - patches.convolution(images)).abs().sum((0, 1, 2))
        assert (change > 0).nonzero().flatten().tolist() == [1, 2]


def test_the_decoder_mixes_channels_not_positions() -> None:
    torch.manual_seed(0)
    decoder = MLPDecoder((4, 6), 8).eval()
    fine, coarse = random(1, 4, 6, 8), random(1, 6, 3, 4)
    changed = fine.clone()
    changed[..., 2, 3] += 1
    difference = (decoder([changed, coarse]) - decoder([fine, coarse])).abs().sum(1)[0]
    assert difference.nonzero().tolist() == [[2, 3]]


def test_parameter_count_by_hand() -> None:
    def block(width: int, reduction: int) -> int:
        attention = 4 * width * width + width
        if reduction > 1:
            attention += reduction**2 * width * width + width + 2 * width
        inner = 4 * width
        mix = width * inner + inner + 9 * inner + inner + inner * width + width
        return attention + mix + 2 * 2 * width

    def patches(before: int, after: int) -> int:
        return 9 * before * after + after + 2 * after

    encoder = patches(3, 24) + patches(24, 48) + patches(48, 96) + 2 * (24 + 48 + 96)
    encoder += block(24, 8) + 2 * block(48, 4) + 2 * block(96, 1)
    decoder = (24 + 48 + 96) * 64 + 3 * 64 + 3 * 64 * 64 + 2 * 64
    head = 64 * 8 + 8
    assert count_parameters(SegFormer(8)) == encoder + decoder + head == 487_152


def test_the_name_builds_it() -> None:
    assert "segformer" in available()
    model = build("segformer", 4, widths=(8, 16, 32), depths=(1, 1, 1), stride=4)
    assert isinstance(model, SegFormer)
    assert isinstance(model.encoder, TransformerEncoder)
    assert model.stride == 4
    assert model.encoder.stages[0].patches.convolution.kernel_size == (7, 7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 0}, "num_classes=0"),
        ({"stride": 3}, r"stride=3.*2, 4"),
        ({"widths": (8, 16)}, r"depths=\(1, 2, 2\) for widths=\(8, 16\)"),
        ({"depths": (1, 0, 1)}, "depths=0"),
        ({"heads": (1, 2, 5)}, "5 heads cannot share 96 channels"),
        ({"reductions": (8, 4)}, r"reductions=\(8, 4\)"),
        ({"expansion": 0}, "expansion=0"),
        ({"widths": (), "depths": (), "heads": (), "reductions": ()}, r"widths=\(\)"),
    ],
)
def test_wrong_arguments(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SegFormer(**({"num_classes": 2} | options))  # type: ignore[arg-type]


def test_it_learns_what_needs_distance() -> None:
    """The label of every pixel is the color of one corner, which no small window can see."""
    torch.manual_seed(0)
    model = SegFormer(2, **SMALL)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(1)
    images = 0.3 * torch.rand(16, 3, 24, 32, generator=generator)
    corner = torch.arange(16) % 2
    images[:, :, :4, :4] += 0.7 * corner.view(16, 1, 1, 1)
    target = corner.view(16, 1, 1).expand(16, 24, 32)
    losses = []
    for _ in range(30):
        loss = cross_entropy(model(images), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]
    far = model.eval()(images).argmax(1)[:, -8:, -8:]
    assert (far == corner.view(16, 1, 1)).float().mean() > 0.95
