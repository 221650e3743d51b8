"""SegFormer of Xie et al. (2021), small enough for a laptop.

Features of several sizes, as a convolutional network has them, but made by self-attention, in
which every position may look at every other; then a decoder of 1x1 convolutions alone. There is
no positional encoding: the zeros that pad a 3x3 depthwise convolution tell where the border is.

Two departures from the paper: the first patches lie 2 pixels apart, not 4, because the pictures
here are a tenth of the paper's in height; and queries, keys and values have no bias.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, cat, nn
from torch.nn.functional import interpolate, pad

from segtut.models.arguments import require_choice, require_positive
from segtut.models.normalize import Normalize


class SegFormer(nn.Module):
    """Self-attention at several resolutions, and a decoder that only mixes channels.

    images (N, 3, H, W), float, 0-1, RGB, to logits (N, num_classes, H, W), for any H, W >= 1.

    Args:
        num_classes: number of logits a pixel.
        widths: channels of each stage; a stage has half the resolution of the one before.
        depths: transformer blocks of each stage.
        heads: attention heads of each stage; each must divide its width.
        reductions: how much smaller, in height and in width, the map of keys and values is
            than that of the queries, stage by stage.
        expansion: channels inside the feed-forward part, as a multiple of the width.
        decoder_width: channels of the decoder.
        stride: pixels from patch to patch in the first stage: 2, or the paper's 4.

    Raises:
        ValueError: an argument is out of its range, or the tuples differ in length.
    """

    def __init__(
        self,
        num_classes: int,
        widths: Sequence[int] = (24, 48, 96),
        depths: Sequence[int] = (1, 2, 2),
        heads: Sequence[int] = (1, 2, 4),
        reductions: Sequence[int] = (8, 4, 1),
        expansion: int = 4,
        decoder_width: int = 64,
        stride: int = 2,
    ) -> None:
        super().__init__()
        require_positive(
            "SegFormer", num_classes=num_classes, expansion=expansion, decoder_width=decoder_width
        )
        require_choice("SegFormer", "stride", stride, (2, 4))
        stages = {"widths": widths, "depths": depths, "heads": heads, "reductions": reductions}
        for name, values in stages.items():
            if len(values) != len(widths) or not values:
                raise ValueError(
                    f"SegFormer got {name}={tuple(values)} for widths={tuple(widths)}; "
                    "each needs one number a stage."
                )
            require_positive("SegFormer", **{name: min(values)})
        for width, count in zip(widths, heads, strict=True):
            _require_divisor(width, count)
        self.stride = stride
        self.normalize = Normalize()
        self.encoder = TransformerEncoder(widths, depths, heads, reductions, expansion, stride)
        self.decoder = MLPDecoder(widths, decoder_width)
        self.head = nn.Conv2d(decoder_width, num_classes, kernel_size=1)

    def forward(self, images: Tensor) -> Tensor:
        logits = self.head(self.decoder(self.encoder(self.normalize(images))))
        return _enlarge(logits, self.stride, images)


class TransformerEncoder(nn.Module):
    """Stages of overlapping patches and transformer blocks.

    images (N, 3, H, W) to one feature map a stage, stage s of shape
    (N, widths[s], ceil(H / (stride * 2**s)), ceil(W / (stride * 2**s))), finest first.
    """

    def __init__(
        self,
        widths: Sequence[int],
        depths: Sequence[int],
        heads: Sequence[int],
        reductions: Sequence[int],
        expansion: int = 4,
        stride: int = 2,
    ) -> None:
        super().__init__()
        inputs = (3, *widths[:-1])
        numbers = zip(inputs, widths, depths, heads, reductions, strict=True)
        self.stages = nn.ModuleList(
            Stage(*of_stage, expansion, stride if stage == 0 else 2)
            for stage, of_stage in enumerate(numbers)
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        features = [images]
        for stage in self.stages:
            features.append(stage(features[-1]))
        return features[1:]


class Stage(nn.Module):
    """Patches, then blocks of one resolution, then a normalization.

    (N, in_channels, H, W) to (N, width, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        depth: int,
        heads: int,
        reduction: int,
        expansion: int,
        stride: int,
    ) -> None:
        super().__init__()
        self.patches = OverlappingPatches(in_channels, width, stride)
        self.blocks = nn.ModuleList(Block(width, heads, reduction, expansion) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x)
        height, width = x.shape[-2:]
        tokens = to_tokens(x)
        for block in self.blocks:
            tokens = block(tokens, height, width)
        return to_map(self.norm(tokens), height, width)


class OverlappingPatches(nn.Module):
    """A strided convolution whose windows overlap, so that no object is cut at a fixed grid.

    (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        # 3x3 for a stride of 2, and 7x7 for a stride of 4, as in the paper.
        self.convolution = nn.Conv2d(
            in_channels, out_channels, kernel_size=2 * stride - 1, stride=stride, padding=stride - 1
        )
        self.norm = nn.LayerNorm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.convolution(x)
        return to_map(self.norm(to_tokens(x)), *x.shape[-2:])


class Block(nn.Module):
    """Attention moves information between positions; the feed-forward part between channels.

    tokens (N, H * W, width) to the same shape, each part added to what enters it.
    """

    def __init__(self, width: int, heads: int = 1, reduction: int = 1, expansion: int = 4) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads, reduction)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = MixFeedForward(width, expansion)

    def forward(self, tokens: Tensor, height: int, width: int) -> Tensor:
        tokens = tokens + self.attention(self.attention_norm(tokens), height, width)
        return tokens + self.feed_forward(self.feed_forward_norm(tokens), height, width)


class SelfAttention(nn.Module):
    """Every position asks, and the answer is a weighted mean over all positions.

    tokens (N, height * width, channels) to the same shape. With a `reduction` of R, R x R
    positions are first joined into one key and one value, which divides the cost by R * R.
    """

    def __init__(self, channels: int, heads: int = 1, reduction: int = 1) -> None:
        super().__init__()
        require_positive("SelfAttention", channels=channels, heads=heads, reduction=reduction)
        _require_divisor(channels, heads)
        self.heads = heads
        self.reduction = reduction
        # A bias of the keys would add one number to all scores of a query, and softmax does not
        # see it; one of the values is one of the projection's.
        self.queries = nn.Linear(channels, channels, bias=False)
        self.keys = nn.Linear(channels, channels, bias=False)
        self.values = nn.Linear(channels, channels, bias=False)
        self.projection = nn.Linear(channels, channels)
        if reduction > 1:
            self.reduce = nn.Conv2d(channels, channels, kernel_size=reduction, stride=reduction)
            self.norm = nn.LayerNorm(channels)

    def forward(self, tokens: Tensor, height: int, width: int) -> Tensor:
        queries, keys, values = self.project(tokens, height, width)
        answers = attend(queries, keys, values)
        return self.projection(answers.transpose(1, 2).flatten(2))

    def project(self, tokens: Tensor, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (N, heads, height * width, d), keys and values (N, heads, positions, d)."""
        sources = self._reduced(tokens, height, width) if self.reduction > 1 else tokens
        return (
            self._split(self.queries(tokens)),
            self._split(self.keys(sources)),
            self._split(self.values(sources)),
        )

    def _reduced(self, tokens: Tensor, height: int, width: int) -> Tensor:
        # Zeros at the right and the bottom make the size a multiple of the reduction.
        missing = (-width % self.reduction, -height % self.reduction)
        x = pad(to_map(tokens, height, width), (0, missing[0], 0, missing[1]))
        return self.norm(to_tokens(self.reduce(x)))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class MixFeedForward(nn.Module):
    """Two linear layers for each position, and a 3x3 depthwise convolution between them.

    tokens (N, height * width, channels) to the same shape.
    """

    def __init__(self, channels: int, expansion: int = 4) -> None:
        super().__init__()
        inner = channels * expansion
        self.widen = nn.Linear(channels, inner)
        self.mix = nn.Conv2d(inner, inner, kernel_size=3, padding=1, groups=inner)
        self.activation = nn.GELU()
        self.narrow = nn.Linear(inner, channels)

    def forward(self, tokens: Tensor, height: int, width: int) -> Tensor:
        x = self.mix(to_map(self.widen(tokens), height, width))
        return self.narrow(to_tokens(self.activation(x)))


class MLPDecoder(nn.Module):
    """Each stage to one width and to the finest size, joined, and mixed by 1x1 convolutions.

    One feature map a stage, finest first, to (N, width, H, W) of the finest one's size.
    """

    def __init__(self, widths: Sequence[int], width: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList(nn.Conv2d(before, width, kernel_size=1) for before in widths)
        self.mix = nn.Sequential(
            nn.Conv2d(width * len(widths), width, kernel_size=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        enlarged = [
            _enlarge(level(feature), 2**stage, features[0])
            for stage, (level, feature) in enumerate(zip(self.levels, features, strict=True))
        ]
        return self.mix(cat(enlarged, dim=1))


def attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Scaled dot-product attention: for each query a weighted mean of the values.

    queries (..., Q, d), keys (..., K, d), values (..., K, e) to (..., Q, e).
    """
    return attention_weights(queries, keys) @ values


def attention_weights(queries: Tensor, keys: Tensor) -> Tensor:
    """How much each query takes from each key: (..., Q, d), (..., K, d) to (..., Q, K).

    softmax(Q K^T / sqrt(d)): the weights of a query are positive and add up to 1.
    """
    scores = queries @ keys.transpose(-2, -1) / math.sqrt(queries.shape[-1])
    return scores.softmax(dim=-1)


def to_tokens(x: Tensor) -> Tensor:
    """A map (N, C, H, W) as a list of its positions, row by row: (N, H * W, C)."""
    return x.flatten(2).transpose(1, 2)


def to_map(tokens: Tensor, height: int, width: int) -> Tensor:
    """The inverse of `to_tokens`: (N, H * W, C) to (N, C, H, W)."""
    return tokens.transpose(1, 2).unflatten(-1, (height, width))


def _enlarge(x: Tensor, factor: int, like: Tensor) -> Tensor:
    # By the whole factor, then cut: the sizes were rounded up on the way down.
    if factor > 1:
        x = interpolate(x, scale_factor=factor, mode="bilinear")
    return x[..., : like.shape[-2], : like.shape[-1]]


def _require_divisor(width: int, heads: int) -> None:
    if width % heads:
        raise ValueError(f"{heads} heads cannot share {width} channels; heads must divide them.")
