"""What the cheat sheet states in numbers and commands is computed here again."""

from __future__ import annotations

import math
import re
import shlex
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Browser
from scipy.stats import t
from torch.nn import functional as F

from segtut import cli, losses
from segtut.models import UNet, geometry
from segtut.precision import autocast
from segtut.training import to_network
from tests.book.conftest import CHEAT_SHEET

TEXT = (Path(__file__).parents[2] / "book" / "cheat_sheet.md").read_text(encoding="utf-8")
COMMANDS = [line for line in TEXT.splitlines() if line.startswith("segtut ")]


@pytest.mark.parametrize("command", COMMANDS)
def test_command_is_understood(command: str) -> None:
    options = cli._parser().parse_args(shlex.split(command)[1:])
    assert callable(options.run)


def test_every_command_of_the_program_is_there() -> None:
    words = {line.split()[1] for line in COMMANDS}
    assert words == {"data", "train", "evaluate", "predict", "export"}


def test_losses_exist() -> None:
    named = re.findall(r"^\| `([\w+]+)[^`]*` \|", TEXT.partition("## Losses")[2], re.MULTILINE)
    assert named[:5] == ["ce", "ce", "focal", "dice", "ce+lovasz"]
    for name in named[:5]:
        losses.build_loss(name, 8)


def test_two_rows_of_loss_values() -> None:
    nothing = ", ".join(f"{math.log(c):.2f} ({c})" for c in (2, 8, 21)).replace(
        "(2)", "(2 classes)"
    )
    assert f"$\\ln C$: {nothing}." in TEXT
    perfect = [F.cross_entropy(torch.eye(c)[:1], torch.tensor([0])).item() for c in (2, 8, 21)]
    assert f"$\\ln(e + C - 1) - 1$: {', '.join(f'{v:.2f}' for v in perfect)}." in TEXT
    assert f"stays at {perfect[1]:.2f} or {perfect[2]:.2f}" in TEXT


def test_quantiles_of_student() -> None:
    assert f"$t = {t.ppf(0.975, 4):.1f}$ for twice three seeds" in TEXT
    assert f"{t.ppf(0.975, 2):.1f} for three differences" in TEXT


def test_scores() -> None:
    assert f"IoU 0.5 is Dice {2 * 0.5 / 1.5:.2f}" in TEXT
    assert f"0.85 gives {0.85 / (2 - 0.85):.2f}" in TEXT
    assert f"mean IoU {100 * 0.733 / 21:.1f} %" in TEXT


def test_layers() -> None:
    layer = torch.nn.Conv2d(64, 64, 3)
    assert f"64 to 64: {geometry.count_parameters(layer):,}" in TEXT
    for kernel, stride, padding, dilation in ((3, 2, 1, 1), (4, 2, 1, 1), (3, 1, 2, 2)):
        down = torch.nn.Conv2d(1, 1, kernel, stride, padding, dilation)
        up = torch.nn.ConvTranspose2d(1, 1, kernel, stride, padding, dilation=dilation)
        x = torch.zeros(1, 1, 17, 17)
        expected = (17 + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
        assert down(x).shape[-1] == expected
        assert up(x).shape[-1] == 16 * stride - 2 * padding + dilation * (kernel - 1) + 1
    up = torch.nn.ConvTranspose2d(1, 1, 3, 2, 1, output_padding=1)
    assert up(x).shape[-1] == 16 * 2 - 2 + 2 + 1 + 1


def kept_a_pixel(precision: str) -> float:
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()

    cpu = torch.device("cpu")
    images = to_network(torch.rand(2, 3, 64, 96), cpu)
    hooks = torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor)
    with hooks, autocast(cpu, precision):
        logits = (model := UNet(8))(images)
    assert logits.requires_grad
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    return sum(size for at, size in kept.items() if at not in weights) / (2 * 64 * 96)


def test_memory_a_pixel() -> None:
    single = kept_a_pixel("fp32")
    assert f"about {single / 1000:.1f} kB a pixel" in TEXT
    assert kept_a_pixel("bf16") < 0.6 * single


def test_faults_are_those_of_the_questions() -> None:
    rows = TEXT.partition("## Faults")[2].count("\n| ") - 1
    assert rows >= 12
    assert "{doc}`questions and answers </chapters/6_faq>`" in TEXT


@pytest.mark.xdist_group("book")
def test_prints_on_one_page(site: Path, browser: Browser) -> None:
    page = browser.new_page()
    page.goto((site / f"{CHEAT_SHEET}.html").as_uri())
    page.wait_for_function("window.MathJax?.startup?.promise")
    page.evaluate("MathJax.startup.promise")
    margin = dict.fromkeys(("top", "bottom", "left", "right"), "10mm")
    printed = page.pdf(format="A4", margin=margin)
    page.emulate_media(media="print")
    shown = page.evaluate("document.body.innerText")
    page.close()
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 1
    for heading in re.findall(r"^## (.+)", TEXT, re.MULTILINE):
        assert heading in shown
