import math
from itertools import pairwise

import pytest
import torch

from segtut.models import DilatedFCN, count_parameters, output_stride, receptive_field
from segtut.models.dilated import RATES, PyramidPooling


def random(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("stride", [4, 8])
def test_answers_every_output_stride_pixels(stride: int) -> None:
    model = DilatedFCN(4, width=4, output_stride=stride).eval()
    images = random(1, 3, 64, 96)
    with torch.inference_mode():
        features = model.backbone(model.normalize(images))
    assert features.shape == (1, 24, 64 // stride, 96 // stride)
    assert output_stride(model) == stride


@pytest.mark.parametrize("size", [(1, 1), (31, 45), (65, 97)])
def test_any_size(size: tuple[int, int]) -> None:
    model = DilatedFCN(4, width=4).eval()
    with torch.inference_mode():
        assert model(random(2, 3, *size)).shape == (2, 4, *size)


def test_dilation_replaces_the_reach_of_the_dropped_poolings() -> None:
    # Two 3x3 convolutions a block, by hand: 3 blocks with poolings see 1 + 2 * 2 * (1 + 2 + 4)
    # pixels and 1 + 2 + 4 for the poolings; then 4 steps of 8 pixels, and 4 more of dilation 2.
    backbone = DilatedFCN(4, width=4, output_stride=8).backbone
    assert receptive_field(backbone) == 1 + 4 * (1 + 2 + 4) + (1 + 2 + 4) + 4 * 8 + 4 * 16
    # At stride 4 the same five blocks see the same distance, but for one pooling's 4 pixels.
    finer = DilatedFCN(4, width=4, output_stride=4).backbone
    assert receptive_field(finer) == receptive_field(backbone) - 4


def test_pyramid_reads_five_reaches() -> None:
    # One bright answer in the middle of nothing: each dilated branch must spread it over nine
    # places exactly its rate apart, and the image branch over all of them.
    torch.manual_seed(0)
    pyramid = PyramidPooling(1, 1, 1).eval()
    features = torch.zeros(1, 1, 21, 21)
    features[..., 10, 10] = 1
    with torch.inference_mode():
        for rate, branch in zip(RATES, pyramid.dilated, strict=True):
            rows, columns = branch[0](features)[0, 0].nonzero(as_tuple=True)
            assert set(rows.tolist()) == set(columns.tolist()) == {10 - rate, 10, 10 + rate}
        assert pyramid.near[0](features).count_nonzero() == 1
    assert math.isinf(receptive_field(PyramidPooling(3, 1, 1)))


def test_trains_with_a_single_image() -> None:
    model = DilatedFCN(3, width=4).train()
    model(random(1, 3, 24, 32)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_parameter_count_by_hand() -> None:
    w = 16
    c = (3, w, 2 * w, 4 * w, 6 * w, 6 * w)
    blocks = sum(9 * (a * b + b * b) + 4 * b for a, b in pairwise(c))
    branches = 6 * w * 2 * w * (1 + 3 * 9 + 1) + 4 * 4 * w + 2 * w
    join = 10 * w * 4 * w + 2 * 4 * w
    assert count_parameters(DilatedFCN(8)) == blocks + branches + join + 4 * w * 8 + 8


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="output_stride=16; choose 4 or 8"):
        DilatedFCN(2, output_stride=16)
    with pytest.raises(ValueError, match="width=0; it must be at least 1"):
        DilatedFCN(2, width=0)
