"""The engine computes what torch does, and the reader's hand changes what the network sees."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from playwright.sync_api import Browser, Page
from torch import Tensor, nn

from segtut.data.palette import STREETS_PALETTE
from segtut.inference import export_program
from segtut.models import UNet
from segtut.widgets import LiveNetwork
from tests.networks import NETWORKS
from tests.widgets.conftest import CLASSES, RunEngine, make_live_network


def trained(seed: int, **options: Any) -> UNet:
    """A U-Net with the statistics of a network that has been trained: each layer's own."""
    torch.manual_seed(seed)
    model = UNet(8, **options)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:
            norm.momentum = None  # the mean over all that it sees
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.normal_(0, 0.3)
        for _ in range(3):
            model.train()(torch.rand(4, 3, 24, 40))
    return model.eval()


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"width": 8, "depth": 4, "max_width": 32}, (96, 128)),
        ({"width": 6, "depth": 4, "stem_stride": 2}, (39, 50)),
        ({"width": 4, "depth": 3, "upsample": "bilinear"}, (21, 30)),
        ({"width": 7, "depth": 3}, (33, 50)),
        ({"width": 4, "depth": 4, "skips": False}, (17, 23)),
        ({"width": 6, "depth": 2, "norm": "none"}, (1, 9)),
        ({"width": 5, "depth": 6, "max_width": 9}, (37, 64)),
    ],
)
def test_engine_equals_torch(
    options: dict[str, Any], size: tuple[int, int], run_engine: RunEngine
) -> None:
    model = trained(len(options) + size[0], **options)
    images = [torch.rand(3, *size) for _ in range(2)]
    for found, image in zip(run_engine(export_program(model), images), images, strict=True):
        with torch.inference_mode():
            expected = model(image[None])[0]
        assert expected.std() > 0.01
        assert (found - expected).abs().max() < 1e-4


@pytest.mark.parametrize("name", NETWORKS)
def test_engine_runs_decoders_and_discriminators(name: str, run_engine: RunEngine) -> None:
    make, shape = NETWORKS[name]
    model = make()
    samples = torch.randn(2, *shape, generator=torch.Generator().manual_seed(2))
    inputs = [sample if sample.ndim == 3 else sample[:, None, None] for sample in samples]
    with torch.inference_mode():
        expected = model(samples)
    for found, one in zip(run_engine(export_program(model), inputs), expected, strict=True):
        assert found.shape == (one.shape if one.ndim == 3 else (max(1, len(one.view(-1))), 1, 1))
        assert (found.view(-1) - one.view(-1)).abs().max() < 1e-4


def test_engine_takes_pictures_of_different_sizes_in_turn(run_engine: RunEngine) -> None:
    model = trained(3, width=4, depth=3)
    images = [torch.rand(3, *size) for size in ((20, 30), (11, 7), (20, 30))]
    for found, image in zip(run_engine(export_program(model), images), images, strict=True):
        with torch.inference_mode():
            assert (found - model(image[None])[0]).abs().max() < 1e-4


def rounded(model: UNet, **options: Any) -> UNet:
    """The network that float16 leaves of it: the folded weights, in a U-Net without norms."""
    program = export_program(model, "float16")
    plain = UNet(8, norm="none", **options)
    weights = torch.from_numpy(program.weights.astype(np.float32))
    parts = []
    for step in program.operations:
        if step["op"] == "convolution":
            (entering, leaving), kernel, at = step["channels"], step["kernel"], step["at"]
            end = at + leaving * entering * kernel**2
            parts += [weights[at:end], weights[end : end + leaving]]
    state = plain.state_dict()
    names = [name for name, _ in plain.named_parameters()]
    for name, part in zip(names, parts, strict=True):
        state[name] = part.view(state[name].shape)
    plain.load_state_dict(state)
    return plain.eval()


def test_engine_with_half_weights_is_the_rounded_network(run_engine: RunEngine) -> None:
    options = {"width": 6, "depth": 4}
    model = trained(5, **options)
    image = torch.rand(3, 40, 56)
    (found,) = run_engine(export_program(model, "float16"), [image])
    with torch.inference_mode():
        expected = rounded(model, **options)(image[None])[0]
        exact = model(image[None])[0]
    assert (found - expected).abs().max() < 1e-4
    assert 1e-4 < (found - exact).abs().max() < 0.1


def test_half_precision_reads_every_number(browser: Browser) -> None:
    page = browser.new_page()
    values = page.evaluate(
        """async (script) => {
            const url = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
            const { fromHalf } = (await import(url)).makeEngine();
            return [...fromHalf(Uint16Array.from({ length: 65536 }, (_, i) => i))];
        }""",
        str(LiveNetwork._esm),
    )
    page.close()
    halves = np.arange(65536, dtype=np.uint16).view(np.float16)
    finite = np.isfinite(halves)
    np.testing.assert_array_equal(np.array(values)[finite], halves[finite].astype(np.float64))


def settle(page: Page) -> None:
    page.wait_for_selector(".segtut-figure[aria-busy=false]")


def shown(page: Page, which: int) -> np.ndarray:
    """RGB (H, W, 3) of the street (0) or of the answer (1)."""
    script = """canvas => [canvas.height, canvas.width,
        ...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data]"""
    height, width, *values = page.locator("canvas").nth(which).evaluate(script)
    return np.array(values, np.uint8).reshape(height, width, 4)[..., :3]


def tile(page: Page, name: str) -> str:
    text = page.locator(f".st-tiles div:has(dt:text-is('{name}')) dd").inner_text()
    return text.replace("\u00a0", " ")


def torch_labels(pixels: np.ndarray) -> Tensor:
    """What the figure's network, rounded, says of the picture (H, W, 3)."""
    torch.manual_seed(0)
    model = rounded(UNet(8, width=6, depth=3).eval(), width=6, depth=3)
    image = torch.tensor(pixels.copy()).permute(2, 0, 1)[None] / 255
    with torch.inference_mode():
        return model(image)[0].argmax(dim=0)


def test_answer_is_torch_s_whatever_was_done_to_the_picture(open_figure) -> None:
    page = open_figure(make_live_network())
    settle(page)
    palette = np.array(STREETS_PALETTE, np.uint8)
    seen = []
    for name, key in (("Light", "ArrowLeft"), ("Fog", "End"), ("Noise", "End"), ("Shift", "Home")):
        page.get_by_role("slider", name=name).press(key)
        settle(page)
        seen.append(shown(page, 0))
        expected = palette[torch_labels(seen[-1]).numpy()]
        assert (shown(page, 1) == expected).all(axis=-1).mean() > 0.998
    assert all(not np.array_equal(a, b) for a, b in pairwise(seen))
    page.get_by_role("button", name="Start over").click()
    settle(page)
    assert page.get_by_role("slider", name="Shift").input_value() == "0"


def test_numbers_equal_torch_s(open_figure) -> None:
    figure = make_live_network()
    page = open_figure(figure)
    settle(page)
    said = torch_labels(shown(page, 0)).numpy()
    truth = np.frombuffer(figure.labels, np.uint8).reshape(2, 40, 56)[0]
    valid = truth != 255
    accuracy = (said == truth)[valid].mean()
    assert abs(float(tile(page, "Pixels right").removesuffix(" %")) - 100 * accuracy) < 0.2
    cells = page.locator("tbody td:nth-child(2)").all_inner_texts()
    assert abs(sum(float(cell.removesuffix(" %")) for cell in cells) - 100) < 0.5
    assert tile(page, "Of the paint, right") == "none"
    assert tile(page, "One run").endswith(" ms")


def test_mouse_paints_and_the_answer_follows(open_figure) -> None:
    page = open_figure(make_live_network())
    settle(page)
    before = shown(page, 0)
    page.get_by_role("radio", name="sky").check()
    street = page.get_by_role("application", name="Street")
    street.click(position={"x": 100, "y": 100})
    settle(page)
    changed = (shown(page, 0) != before).any(axis=-1)
    assert 20 < changed.sum() <= 37  # a disk of 7 pixels across
    assert tile(page, "Of the paint, right").endswith("%")
    page.get_by_role("radio", name="second").check()
    settle(page)
    assert np.array_equal(shown(page, 0), 255 - before)
    assert tile(page, "Of the paint, right") == "none"


def test_keyboard_puts_down_a_car(open_figure) -> None:
    figure = make_live_network()
    (stamp,) = [one for one in figure.stamps if one["label"] == CLASSES.index("car")]
    page = open_figure(figure)
    settle(page)
    before = shown(page, 0)
    street = page.get_by_role("application", name="Street")
    street.focus()
    for key in ("7", "ArrowUp", "ArrowLeft", "Space"):
        page.keyboard.press(key)
    settle(page)
    top = 20 - 1 - stamp["height"] // 2
    left = 28 - 1 - stamp["width"] // 2
    box = (slice(top, top + stamp["height"]), slice(left, left + stamp["width"]))
    source = np.s_[
        stamp["top"] : stamp["top"] + stamp["height"],
        stamp["left"] : stamp["left"] + stamp["width"],
    ]
    truth = np.frombuffer(figure.labels, np.uint8).reshape(2, 40, 56)[stamp["street"]]
    pictures = np.frombuffer(figure.pictures, np.uint8).reshape(2, 40, 56, 3)
    cut = truth[source] == CLASSES.index("car")
    after = shown(page, 0)
    assert (after[box][cut] == pictures[stamp["street"]][source][cut]).all()
    outside = np.ones(before.shape[:2], bool)
    outside[box] = False
    assert (after[outside] == before[outside]).all()
    assert "row 20, column 28" in str(street.get_attribute("aria-label"))
    assert "True label: car" in page.get_by_role("status").inner_text()


def test_views_of_the_answer(open_figure) -> None:
    page = open_figure(make_live_network())
    settle(page)
    page.get_by_role("radio", name="errors").check()
    assert len(np.unique(shown(page, 1).reshape(-1, 3), axis=0)) <= 3
    page.get_by_role("radio", name="doubt").check()
    gray = shown(page, 1)
    assert (gray[..., 0] == gray[..., 1]).all()
    assert gray.std() > 0


def test_runs_in_the_page_where_workers_are_refused(open_figure) -> None:
    figure = make_live_network()
    page = open_figure(figure)
    settle(page)
    expected = shown(page, 1)
    for refusal in (
        "window.Worker = class { constructor() { throw new Error('refused'); } }",
        "window.Worker = class { postMessage(m) { m.values && this.onerror(new Event('error')); }"
        " terminate() {} }",
    ):
        page.add_init_script(refusal)
        page.reload()
        settle(page)
        assert np.array_equal(shown(page, 1), expected)


def test_what_does_not_fit_is_refused(street, colors) -> None:
    image, target = street(16, 24)
    images, targets = image.expand(2, -1, -1, -1), target.expand(2, -1, -1)
    small = {"width": 4, "depth": 2}
    cases = [
        (UNet(8, **small), images, targets, ("a",), "1 names"),
        (UNet(8, **small), images[..., 1:], targets, ("a", "b"), "one size"),
        (UNet(5, **small), images, targets, ("a", "b"), "5 classes, expected 8"),
        (UNet(8), images, targets, ("a", "b"), "at most 150,000"),
        (UNet(8, norm="group", **small), images, targets, ("a", "b"), "GroupNorm"),
        (UNet(8, **small), images / 255, targets, ("a", "b"), r"images\[0\] is torch.float32"),
    ]
    for model, pictures, labels, names, text in cases:
        with pytest.raises(ValueError, match=text):
            LiveNetwork(model, pictures, labels, names=names, **colors)
    many = image.expand(500, -1, -1, -1)
    with pytest.raises(ValueError, match=r"LiveNetwork would put .* at most 700 kB"):
        LiveNetwork(UNet(8, **small), many, target.expand(500, -1, -1), names=["x"] * 500, **colors)
