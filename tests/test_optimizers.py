"""Muon: what orthogonalized momentum promises, and that it is torch's own on matrices."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from segtut.models import SegFormer, UNet
from segtut.optimizers import Muon, make_optimizers


def kernel_with_gradient(*shape: int) -> nn.Parameter:
    generator = torch.Generator().manual_seed(0)
    kernel = nn.Parameter(torch.randn(shape, generator=generator))
    kernel.grad = torch.randn(shape, generator=generator)
    return kernel


def weights_by_optimizer(model: nn.Module) -> dict[str, set[str]]:
    names = {id(p): name for name, p in model.named_parameters()}
    optimizers = make_optimizers(model, "muon", 1e-3, 1e-2)
    adamw = [p for group in optimizers["optimizer"].param_groups for p in group["params"]]
    return {
        "adamw": {names[id(p)] for p in adamw},
        "muon": {names[id(kernel)] for kernel in optimizers["muon"].kernels},
    }


@pytest.mark.parametrize("model", [UNet(3, width=4, convolution="separable"), SegFormer(3)])
def test_every_weight_has_one_optimizer_and_filters_of_one_channel_not_muon(model):
    found = weights_by_optimizer(model)
    assert not found["adamw"] & found["muon"]
    assert found["adamw"] | found["muon"] == {name for name, _ in model.named_parameters()}
    shapes = dict(model.named_parameters())
    assert found["muon"] == {n for n, p in shapes.items() if p.ndim > 1 and p.shape[1] > 1}
    assert any(p.ndim == 4 and p.shape[1] == 1 for n, p in shapes.items() if n in found["adamw"])


def test_frozen_weights_have_no_optimizer():
    model = UNet(3, width=4, depth=2)
    for parameter in model.encoder.parameters():
        parameter.requires_grad_(False)
    found = weights_by_optimizer(model)
    assert found["adamw"] | found["muon"]
    assert not any(name.startswith("encoder") for name in found["adamw"] | found["muon"])


@pytest.mark.parametrize("shape", [(24, 8, 3, 3), (8, 40, 1, 1), (30, 10)])
def test_step_has_singular_values_near_one_and_the_size_of_adamw_s(shape):
    kernel = kernel_with_gradient(*shape)
    before = kernel.detach().clone()
    Muon([kernel], lr=0.5, weight_decay=0.0).step()
    step = (before - kernel.detach()).flatten(1) / 0.5
    values = torch.linalg.svdvals(step / (0.2 * math.sqrt(max(step.shape))))
    assert values.min() > 0.5
    assert values.max() < 1.3
    # About 0.2 a weight, which is what a step of AdamW measures once its moments have settled.
    assert 0.14 < step.square().mean().sqrt() < 0.24


def test_direction_is_that_of_the_singular_value_decomposition():
    kernel = kernel_with_gradient(16, 6, 3, 3)
    gradient = kernel.grad.flatten(1)
    before = kernel.detach().clone()
    Muon([kernel], lr=1.0, weight_decay=0.0).step()
    step = (before - kernel.detach()).flatten(1)
    u, _, v = torch.linalg.svd(gradient, full_matrices=False)
    assert torch.cosine_similarity(step.flatten(), (u @ v).flatten(), dim=0) > 0.97
    assert torch.cosine_similarity(gradient.flatten(), (u @ v).flatten(), dim=0) < 0.97


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_equals_torch_s_muon_on_the_matrix_whatever_the_memory_format(memory_format):
    kernel = kernel_with_gradient(12, 5, 3, 3)
    gradient = kernel.grad
    matrix = nn.Parameter(kernel.detach().flatten(1).clone())
    own = nn.Parameter(kernel.detach().clone(memory_format=memory_format))
    one = Muon([own], lr=0.1, weight_decay=0.3)
    other = torch.optim.Muon([matrix], 0.1, 0.3, adjust_lr_fn="match_rms_adamw")
    for factor in (1.0, -0.4, 2.0):
        own.grad = (factor * gradient).contiguous(memory_format=memory_format)
        matrix.grad = factor * gradient.flatten(1)
        one.step()
        other.step()
    torch.testing.assert_close(own.detach().flatten(1), matrix.detach(), rtol=0, atol=0)
    assert own.is_contiguous(memory_format=memory_format)


def test_gradients_are_forgotten_and_kernels_without_one_stay():
    kernel, still = kernel_with_gradient(4, 4, 3, 3), nn.Parameter(torch.ones(3, 3))
    optimizer = Muon([kernel, still], lr=0.1, weight_decay=0.5)
    optimizer.step()
    optimizer.zero_grad()
    assert kernel.grad is None
    assert still.equal(torch.ones(3, 3))
    moved = kernel.detach().clone()
    optimizer.step()
    assert kernel.equal(moved)


def test_sgd_takes_nesterov_s_steps_and_decays_kernels_alone():
    rate, decay, momentum = 0.1, 0.5, 0.9
    layer = nn.Conv2d(1, 1, 1)
    torch.nn.init.constant_(layer.weight, 2.0)
    torch.nn.init.constant_(layer.bias, 2.0)
    (sgd,) = make_optimizers(layer, "sgd", rate, decay).values()
    weight, bias, velocity_w, velocity_b = 2.0, 2.0, 0.0, 0.0
    for gradient in (1.0, -3.0):
        for parameter in layer.parameters():
            parameter.grad = torch.full_like(parameter, gradient)
        sgd.step()
        decayed = gradient + decay * weight
        velocity_w = momentum * velocity_w + decayed
        velocity_b = momentum * velocity_b + gradient
        weight -= rate * (decayed + momentum * velocity_w)
        bias -= rate * (gradient + momentum * velocity_b)
    assert layer.weight.item() == pytest.approx(weight, abs=1e-6)
    assert layer.bias.item() == pytest.approx(bias, abs=1e-6)
