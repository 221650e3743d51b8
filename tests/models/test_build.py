"""What every network promises, whatever its family."""

import urllib.error
import urllib.request

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from segtut.models import FCN, TorchvisionSegmenter, available, build, count_parameters

LIGHT = (
    "pixel_mlp",
    "unet",
    "classifier_fcn",
    "fcn32s",
    "fcn16s",
    "fcn8s",
    "dilated_fcn",
    "segformer",
    "lraspp_mobilenet_v3_large",
)
WRAPPED_ONCE = [name for name in available() if name != "deeplabv3_resnet101"]
CLASSES = 5


def seeded(name: str, **options: object) -> nn.Module:
    torch.manual_seed(0)
    return build(name, CLASSES, **options)


def random_images(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1))


def take_statistics_from(model: nn.Module, images: torch.Tensor) -> None:
    """Evaluation mode with the images' own statistics, as after training: nothing fades."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(images)
    model.eval()


@pytest.mark.parametrize("name", WRAPPED_ONCE)
def test_logits_have_the_size_of_the_image(name: str) -> None:
    model = seeded(name).eval()
    for size in ((1, 1), (7, 5), (33, 47), (96, 128)):
        with torch.inference_mode():
            logits = model(random_images(2, 3, *size))
        assert logits.shape == (2, CLASSES, *size)
        assert logits.isfinite().all()


def test_the_deepest_network_has_logits_and_gradients() -> None:
    """On a device that keeps shapes alone: the wrapper is that of deeplabv3_resnet50."""
    with torch.device("meta"):
        model, images = build("deeplabv3_resnet101", CLASSES), torch.empty(2, 3, 33, 47)
    logits = model(images)
    assert logits.shape == (2, CLASSES, 33, 47)
    logits.sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, f"{name} does not reach the logits"
    assert sum("layer3" in name and "conv1" in name for name in model.state_dict()) == 23


@pytest.mark.parametrize("name", WRAPPED_ONCE)
def test_one_training_step_gives_every_parameter_a_finite_gradient(name: str) -> None:
    model = seeded(name)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    target = torch.randint(CLASSES, (2, 33, 47), generator=torch.Generator().manual_seed(2))
    cross_entropy(model(random_images(2, 3, 33, 47)), target).backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, f"{parameter_name} does not reach the logits"
        assert parameter.grad.isfinite().all(), parameter_name
    optimizer.step()
    changed = [
        not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True)
    ]
    assert all(changed)


@pytest.mark.parametrize("name", LIGHT)
def test_an_image_s_logits_do_not_depend_on_its_neighbors_in_the_batch(name: str) -> None:
    model = seeded(name)
    images = random_images(2, 3, 40, 56)
    take_statistics_from(model, images)
    other = images.clone()
    other[1] = 1 - other[1]
    with torch.inference_mode():
        before, after = model(images), model(other)
    torch.testing.assert_close(before[0], after[0])
    assert not torch.allclose(before[1], after[1], rtol=1e-3, atol=0)


@pytest.mark.parametrize("name", LIGHT)
def test_memory_format_and_bf16_do_not_change_the_answer(name: str) -> None:
    model = seeded(name).eval()
    images = random_images(2, 3, 40, 56)
    with torch.inference_mode():
        expected = model(images)
        model = model.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)
        torch.testing.assert_close(model(images), expected, rtol=1e-4, atol=1e-5)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = model(images)
    assert rounded.isfinite().all()
    # bf16 keeps 8 bits of a number; a network of some twenty layers keeps fewer.
    assert (rounded.float() - expected).abs().max() < 0.1 * expected.abs().max()


@pytest.mark.parametrize("name", LIGHT)
def test_gradients_survive_bf16_and_channels_last(name: str) -> None:
    model = seeded(name).to(memory_format=torch.channels_last)
    images = random_images(2, 3, 33, 47).to(memory_format=torch.channels_last)
    target = torch.randint(CLASSES, (2, 33, 47), generator=torch.Generator().manual_seed(2))
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(images)
    cross_entropy(logits.float(), target).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_names_and_options_that_do_not_exist_are_answered_with_those_that_do() -> None:
    with pytest.raises(ValueError, match=r"'segnot'.*unet.*fcn8s.*lraspp"):
        build("segnot", 2)
    with pytest.raises(ValueError, match=r"no option widht.*width, depth"):
        build("unet", 2, widht=8)
    with pytest.raises(ValueError, match=r"no option stride.*backbone, pretrained"):
        build("fcn8s", 2, stride=32)
    with pytest.raises(ValueError, match="options are: none"):
        build("classifier_fcn", 2, width=3)


def test_build_passes_options_on() -> None:
    assert build("unet", 3, width=4, depth=2).head.in_channels == 4
    fcn = build("fcn16s", 3, backbone="resnet18")
    assert isinstance(fcn, FCN)
    assert (fcn.stride, fcn.backbone.channels) == (16, (128, 256, 512))


def test_count_parameters_leaves_out_what_is_frozen() -> None:
    layer = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5))
    assert count_parameters(layer) == 3 * 5 + 5 + 2 * 5
    layer[0].weight.requires_grad_(False)
    assert count_parameters(layer) == 5 + 2 * 5


def test_a_failed_download_says_where_to_put_the_weights(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pytest.TempPathFactory
) -> None:
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setattr(torch.hub, "urlopen", refuse)
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"no network.*checkpoints.*pretrained=False"):
        FCN(2, 8, "resnet18", pretrained=True)
    with pytest.raises(FileNotFoundError, match=r"no network"):
        TorchvisionSegmenter("lraspp_mobilenet_v3_large", 2, pretrained=True)
    with pytest.raises(ValueError, match="small backbone has no pretrained"):
        FCN(2, 8, "small", pretrained=True)
