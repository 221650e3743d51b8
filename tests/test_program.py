"""What `export_program` writes is read back here by a few lines of numpy and torch."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segtut.inference import Program, export_program
from segtut.models import Normalize, PatchDiscriminator, UNet, build
from tests.networks import NETWORKS, uneven


def trained(seed: int = 0, **options: Any) -> UNet:
    """A U-Net whose normalizations have the uneven statistics that training leaves."""
    torch.manual_seed(seed)
    return uneven(UNet(5, **options), seed)


def run(program: Program, image: Tensor) -> Tensor:
    """The operations one after the other, each by torch's own function. image: (C, H, W)."""
    maps = {0: image[None].double()}
    weights = torch.from_numpy(program.weights.astype(np.float64))
    for step in program.operations:
        first, *others = [maps[number] for number in step["in"]]
        if step["op"] == "normalize":
            mean, std = (torch.tensor(step[k])[:, None, None] for k in ("mean", "std"))
            out = (first - mean) / std
        elif step["op"] == "convolution":
            (entering, leaving), kernel, at = step["channels"], step["kernel"], step["at"]
            end = at + leaving * entering * kernel**2
            kernels = weights[at:end].view(leaving, entering, kernel, kernel)
            bias, sizes = weights[end : end + leaving], {"stride": step["stride"]}
            out = F.conv2d(first, kernels, bias, padding=int(kernel > 1), **sizes)
        elif step["op"] in ("transposed", "linear"):
            (entering, leaving), at = step["channels"], step["at"]
            end = at + leaving * entering * (4 if step["op"] == "transposed" else 1)
            kernels, bias = weights[at:end], weights[end : end + leaving]
            if step["op"] == "linear":
                out = (kernels.view(leaving, entering) @ first.flatten() + bias)[
                    None, :, None, None
                ]
            else:
                taps = kernels.view(leaving, entering, 2, 2).transpose(0, 1)
                out = F.conv_transpose2d(first, taps, bias, stride=2)
        elif step["op"] == "activate" and step["kind"] == "leaky_relu":
            out = F.leaky_relu(first, step["slope"])
        elif step["op"] == "activate":
            out = {"relu": torch.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh}[step["kind"]](
                first
            )
        elif step["op"] == "reshape":
            out = first.reshape(1, *(step["shape"] or (first.numel(), 1, 1)))
        elif step["op"] == "shuffle":
            out = F.pixel_shuffle(first, 2)
        elif step["op"] == "pool":
            out = F.max_pool2d(first, 2, ceil_mode=True)
        elif step["op"] == "nearest":
            out = first.repeat_interleave(2, -1).repeat_interleave(2, -2)
        elif step["op"] == "bilinear":
            out = F.interpolate(first, scale_factor=2, mode="bilinear")
        elif step["op"] == "crop":
            out = first[..., : others[0].shape[-2], : others[0].shape[-1]]
        else:
            assert step["op"] == "concat"
            out = torch.cat([first, *others], dim=1)
        maps[step["out"]] = out.relu() if step.get("relu") else out
    return maps[program.operations[-1]["out"]][0]


@pytest.mark.parametrize(
    "options",
    [
        {"width": 4, "depth": 3},
        {"width": 3, "depth": 4, "max_width": 7},
        {"width": 4, "depth": 2, "norm": "none"},
        {"width": 4, "depth": 3, "skips": False, "dropout": 0.5},
        {"width": 5, "depth": 1},
        {"width": 4, "depth": 3, "stem_stride": 2},
        {"width": 4, "depth": 3, "upsample": "bilinear"},
    ],
)
@pytest.mark.parametrize("size", [(24, 32), (13, 21)])
def test_program_computes_what_the_network_does(
    options: dict[str, Any], size: tuple[int, int]
) -> None:
    model = trained(**options)
    image = torch.rand(3, *size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = model.double()(image[None].double())[0]
    torch.testing.assert_close(run(export_program(model), image), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_pictures_and_codes(name: str) -> None:
    make, shape = NETWORKS[name]
    model = make()
    sample = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = copy.deepcopy(model).double()(sample[None].double())[0]
    assert expected.numel() == 1 or expected.std() > 0.01
    found = run(export_program(model), sample if sample.ndim == 3 else sample[:, None, None])
    torch.testing.assert_close(found.reshape(expected.shape), expected, rtol=1e-5, atol=1e-5)


def test_spectral_norm_stays_in_the_network_that_was_exported() -> None:
    model = NETWORKS["strided"][0]()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    export_program(model)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert nn.utils.parametrize.is_parametrized(model[0])


def test_network_is_left_as_it_was() -> None:
    model = trained(width=4, depth=2).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    export_program(model)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_half_precision_rounds_the_folded_weights() -> None:
    model = trained(width=4, depth=2)
    full, half = export_program(model), export_program(model, "float16")
    assert half.operations == full.operations
    assert half.weights.dtype == np.float16
    np.testing.assert_array_equal(half.weights, full.weights.astype(np.float16))
    assert not np.array_equal(half.weights, full.weights)


def test_other_modules_may_stand_between() -> None:
    network = nn.Sequential(
        Normalize(), nn.Conv2d(3, 4, 3, padding=1), nn.Dropout2d(), nn.Identity(), nn.ReLU()
    )
    steps = export_program(network).operations
    assert [step["op"] for step in steps] == ["normalize", "convolution"]
    assert steps[-1]["relu"]


@pytest.mark.parametrize(
    ("network", "named"),
    [
        (nn.Sequential(nn.ConvTranspose2d(3, 2, 4, stride=2, padding=1)), "0, ConvTranspose2d"),
        (nn.Sequential(nn.Conv2d(3, 2, 4, padding=2)), r"kernel_size=\(4, 4\).*padding=\(2, 2\)"),
        (nn.Sequential(nn.Conv2d(3, 2, 1), nn.Linear(8, 2)), "1, Linear"),
        (nn.Sequential(nn.Conv2d(3, 9, 1), nn.PixelShuffle(3)), "1, PixelShuffle"),
        (nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten(2)), "1, Flatten"),
        (nn.Sequential(nn.Conv2d(3, 2, 1), nn.ELU()), "1, ELU"),
        (nn.Sequential(nn.Linear(3, 4), nn.Unflatten(1, (2, 2))), "1, Unflatten"),
        (nn.Sequential(nn.BatchNorm2d(3)), "0, BatchNorm2d"),
        (UNet(2, width=4, norm="group"), "encoder.levels.0.1, GroupNorm"),
        (nn.Sequential(nn.Conv2d(3, 2, 3, stride=3, padding=1)), r"stride=\(3, 3\)"),
        (nn.Sequential(nn.Conv2d(3, 2, 1), nn.Upsample(scale_factor=4)), "scale_factor=4"),
        (build("dilated_fcn", 2, width=4), "DilatedFCN"),
        (PatchDiscriminator(width=4), "PatchDiscriminator"),  # its layers can be run
        (nn.Sequential(nn.Conv2d(3, 2, 3, padding=1, padding_mode="reflect")), "reflect"),
        (nn.Sequential(nn.Conv2d(3, 4, 1), nn.MaxPool2d(2)), "MaxPool2d"),
        (nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.BatchNorm2d(4)), "2, BatchNorm2d"),
    ],
)
def test_what_a_page_cannot_run_is_named(network: nn.Module, named: str) -> None:
    with pytest.raises(ValueError, match=f"A page cannot run .*{named}"):
        export_program(network)


def test_too_large_and_unknown_precision() -> None:
    with pytest.raises(ValueError, match=r"488,\d+ parameters; a page runs at most 150,000"):
        export_program(UNet(8))
    with pytest.raises(ValueError, match="precision='int8'; choose 'float32' or 'float16'"):
        export_program(UNet(2, width=4), "int8")


def test_weights_beyond_half_precision_are_refused() -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 1))
    with torch.no_grad():
        network[0].weight.fill_(1e6)
    with pytest.raises(ValueError, match=r"a weight of 1e\+06, more than float16 holds"):
        export_program(network, "float16")
