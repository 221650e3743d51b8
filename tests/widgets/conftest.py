"""Opens a figure as a built page does: embedded state, vendored scripts, file://, no kernel."""

from __future__ import annotations

import base64
import functools
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import anywidget
import numpy as np
import pytest
import torch
from ipywidgets.embed import dependency_state
from PIL import Image
from playwright.sync_api import Browser, ConsoleMessage, Page, Route
from torch import nn

from segtut.data.palette import STREETS_PALETTE
from segtut.inference import Program
from segtut.models import LabelToImage, PatchDiscriminator, SegFormer, UNet
from segtut.widgets import (
    ActivationMap,
    AttentionExplorer,
    AugmentationExplorer,
    AutogradGraph,
    ColorBoundary,
    ConfusionExplorer,
    ConvolutionGeometry,
    Descent,
    DiscriminatorMap,
    Figure,
    GanTrainer,
    GridScores,
    KernelEditor,
    LabelPainter,
    LiveNetwork,
    LossCurves,
    MaskDoctor,
    MaskedPatches,
    MetricsPlayground,
    NetworkGeometry,
    PhotoLabeler,
    PoolingShift,
    RegionGrower,
    TileExplorer,
    TrainingReplay,
    UpsamplingExplorer,
    WeatherShift,
)
from tests.widgets.codes import make_code_explorer, make_code_sampler, make_latent_walk

VENDOR = Path(__file__).parents[2] / "book" / "_static" / "vendor"
SCRIPTS = ("require.js", "widgets-config.js", "embed-amd.js")
PAGE = """<!doctype html>
<html lang="en" data-theme="{theme}"><head><meta charset="utf-8"><title>A figure</title>
<meta name="viewport" content="width=device-width">{head}</head>
<body style="font-family: sans-serif; margin: 8px"><main><h1>A figure</h1>
{body}
</main></body></html>"""

STATE = '<script type="application/vnd.jupyter.widget-state+json">{state}</script>'
EMBEDDED = """<div id="{name}">
<script type="application/vnd.jupyter.widget-view+json">{view}</script></div>"""

# As much of anywidget as a figure asks for: loads in a tenth of the time of the real scripts.
HOSTED = """<div id="{name}"></div><script type="module">
const state = {state};
const model = {{
  get(name) {{
    const value = state[name];
    if (!value?.base64) return value;
    return new DataView(Uint8Array.from(atob(value.base64), (c) => c.charCodeAt(0)).buffer);
  }},
}};
const style = document.createElement("style");
style.textContent = state._css;
document.head.append(style);
const url = URL.createObjectURL(new Blob([state._esm], {{ type: "text/javascript" }}));
(await import(url)).default.render({{ model, el: document.getElementById("{name}") }});
</script>"""

OpenFigure = Callable[..., Page]
RunEngine = Callable[[Program, list[torch.Tensor]], list[torch.Tensor]]

ENGINE = """async ([script, operations, halves, weights, inputs, sizes]) => {
    const url = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
    const engine = (await import(url)).makeEngine();
    const values = halves ? engine.fromHalf(Uint16Array.from(halves)) : Float32Array.from(weights);
    const network = engine.load(operations, values);
    return sizes.map(([height, width], i) => {
        const answer = [...network(inputs[i], height, width)];
        return [answer, network.shape];
    });
}"""


CLASSES = ("sky", "building", "road", "pavement", "tree", "pole", "car", "person")
COLORS = {"classes": CLASSES, "palette": STREETS_PALETTE}


def draw_blocks(height: int = 96, width: int = 128) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise above blocks of labels, with a void line: as heavy as a street and as many labels."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8)
    target = torch.randint(0, 8, (height // 8, width // 8), generator=generator)
    target = target.repeat_interleave(8, 0).repeat_interleave(8, 1)
    target[height // 2] = 255
    return image, target


def draw_pixels() -> tuple[torch.Tensor, torch.Tensor]:
    """A number from 0 to 1 for each of sixty pixels, and whether it is of a class; they overlap."""
    generator = torch.Generator().manual_seed(0)
    positive = torch.arange(60) % 3 == 0
    return torch.rand(60, generator=generator) * 0.6 + 0.4 * positive, positive.long()


def record_training(frames: int = 20, pictures: int = 3) -> TrainingReplay:
    image, target = draw_blocks()
    generator = torch.Generator().manual_seed(1)
    noise = torch.rand((frames, pictures, *target.shape), generator=generator)
    shares = torch.linspace(0.5, 0.0, frames)[:, None, None, None]
    said = torch.where((noise < shares) | (target == 255), 2, target.expand_as(noise))
    steps = list(range(10, 10 * frames + 1, 10))
    return TrainingReplay(
        image.expand(pictures, -1, -1, -1),
        target.expand(pictures, -1, -1),
        said,
        steps=steps,
        loss=[1 / step for step in range(1, steps[-1] + 1)],
        validation=[{"step": step, "mean_iou": step / (steps[-1] + 1)} for step in steps],
        **COLORS,
    )


def make_live_network() -> LiveNetwork:
    """A network that has learned nothing, and two pictures with a thing to cut out."""
    torch.manual_seed(0)
    image, target = draw_blocks(40, 56)
    target[20:26, 20:24] = CLASSES.index("car")
    images = torch.stack([image, 255 - image])
    names = ("first", "second")
    return LiveNetwork(
        UNet(8, width=6, depth=3), images, target.expand(2, -1, -1), names=names, **COLORS
    )


def read_features() -> ActivationMap:
    """Four scenes and sixteen features of a quarter of their size, as in the book."""
    generator = torch.Generator().manual_seed(2)
    image, target = draw_blocks()
    images, people = image.expand(4, -1, -1, -1), torch.where(target == 255, 255, target == 7)
    features = torch.rand(4, 16, 24, 32, generator=generator)
    weights = torch.randn(16, generator=generator)
    return ActivationMap(images, people.expand(4, -1, -1), features, weights, -0.5)


def make_masked_patches() -> MaskedPatches:
    """A network that has learned nothing, and two pictures of twelve patches."""
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 3, 1), nn.Sigmoid()
    image, _ = draw_blocks(24, 32)
    images = torch.stack([image, 255 - image])
    return MaskedPatches(
        nn.Sequential(*layers), images, names=("first", "second"), cover=(0.5, 0.5, 0.5)
    )


def patch_discriminators() -> dict[str, PatchDiscriminator]:
    """Two that have learned nothing, and say so with conviction."""
    torch.manual_seed(0)
    networks = [PatchDiscriminator(width=8, layers=layers) for layers in (1, 2)]
    for network in networks:
        with torch.no_grad():
            network.layers[-1].weight.mul_(8)
    return dict(zip(("near", "far"), networks, strict=True))


def make_discriminator_map() -> DiscriminatorMap:
    """Discriminators that see 16 and 34 pixels, and two pictures."""
    image, _ = draw_blocks(40, 56)
    pictures = torch.stack([image, 255 - image])
    return DiscriminatorMap(patch_discriminators(), pictures, names=("first", "second"))


def make_attention() -> tuple[SegFormer, AttentionExplorer]:
    """A small transformer that has learned nothing, yet looks at something, and two streets."""
    torch.manual_seed(0)
    model = SegFormer(8, (8, 16, 32), (1, 1, 1), (1, 2, 4), (8, 4, 1), decoder_width=8)
    for stage in model.encoder.stages:
        with torch.no_grad():
            stage.blocks[-1].attention.queries.weight.mul_(6)
    image, target = draw_blocks(64, 96)
    images, targets = torch.stack([image, 255 - image]), target.expand(2, -1, -1)
    return model, AttentionExplorer(model, images, targets, names=("first", "second"), **COLORS)


def make_label_painter() -> LabelPainter:
    """Two generators and a segmenter that have learned nothing, and two maps to begin with."""
    torch.manual_seed(0)
    generators = {name: LabelToImage(8, width=4, depth=3) for name in ("L1", "L1 + GAN")}
    targets = torch.stack([draw_blocks(40, 56)[1], draw_blocks(40, 56)[1].flip(1)])
    segmenter = UNet(8, width=4, depth=3)
    return LabelPainter(generators, segmenter, targets, names=("first", "second"), **COLORS)


def color_reader() -> nn.Module:
    """A network that names smooth regions of color, with weights that float16 holds exactly."""
    torch.manual_seed(3)
    layers = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 8, 1))
    with torch.no_grad():
        for parameter in layers.parameters():
            parameter.copy_((4 * parameter).half())
    return layers


def make_photo_labeler() -> PhotoLabeler:
    """A network with an opinion on colors, and two pictures to begin with."""
    image, _ = draw_blocks(40, 56)
    image[:, :20] = image[:, :1, :1]
    images = torch.stack([image, 255 - image])
    return PhotoLabeler(color_reader(), images, names=("first", "second"), **COLORS)


def make_mask_doctor() -> MaskDoctor:
    """A street of blocks with a right label map and two wrong ones."""
    image, target = draw_blocks()
    labels = target.byte().numpy()
    right = Image.fromarray(labels)
    masks = {
        "right": right,
        "black and white": Image.fromarray(255 * (labels == 7).astype(np.uint8)),
        "small": right.resize((64, 48), Image.Resampling.NEAREST),
    }
    files = {name: io.BytesIO() for name in masks}
    for name, mask in masks.items():
        mask.save(files[name], "PNG")
    return MaskDoctor(image, {name: file.getvalue() for name, file in files.items()}, **COLORS)


def make_weather_shift() -> WeatherShift:
    """A network that has learned nothing, a picture and its dark twin."""
    torch.manual_seed(0)
    image, target = draw_blocks(40, 56)
    images, targets = torch.stack([image, image // 3]), target.expand(2, -1, -1)
    return WeatherShift(
        UNet(8, width=6, depth=3), images, targets, names=("day", "night"), **COLORS
    )


def make_tile_explorer() -> tuple[UNet, TileExplorer]:
    """A network that sees 18 pixels and says anything but the truth, and two pictures."""
    torch.manual_seed(0)
    image, target = draw_blocks(64, 96)
    images, targets = torch.stack([image, 255 - image]), torch.stack([target, target.flip(1)])
    model = UNet(8, width=4, depth=2).eval()
    with torch.no_grad():  # no class is likelier than another
        model.head.weight.mul_(20)
        model.head.bias.sub_(model(images / 255).mean(dim=(0, 2, 3)))
    return model, TileExplorer(model, images, targets, names=("first", "second"), **COLORS)


def make_confusion_explorer() -> ConfusionExplorer:
    """Answers that are right more often than not, and a merge to begin with."""
    image, target = draw_blocks(40, 56)
    noise = torch.randn(2, 8, 40, 56, generator=torch.Generator().manual_seed(1))
    said = torch.where(target == 255, 0, target)
    logits = noise + 2 * nn.functional.one_hot(said, 8).movedim(-1, 0)
    merges = {"two classes": (0, 0, 0, 0, 0, 0, 1, 1)}
    return ConfusionExplorer(logits, target.expand(2, -1, -1), image, **COLORS, merges=merges)


FIGURES: dict[str, Callable[[], Figure]] = {
    "activation_map": lambda: read_features(),
    "attention": lambda: make_attention()[1],
    "augmentation": lambda: AugmentationExplorer(*draw_blocks(), **COLORS),
    "geometry": lambda: NetworkGeometry(draw_blocks()[0], **COLORS),
    "replay": lambda: record_training(),
    "mask_doctor": make_mask_doctor,
    "masked_patches": make_masked_patches,
    "metrics": MetricsPlayground,
    "boundary": lambda: ColorBoundary(draw_blocks()[0][None], draw_blocks()[1][None], **COLORS),
    "confusion": make_confusion_explorer,
    "autograd": AutogradGraph,
    "photo_labeler": lambda: make_photo_labeler(),
    "pooling": PoolingShift,
    "upsampling": UpsamplingExplorer,
    "kernel": lambda: KernelEditor(draw_blocks()[0]),
    "convolution": lambda: ConvolutionGeometry(draw_blocks(16, 16)[0]),
    "loss_curves": LossCurves,
    "discriminator_map": lambda: make_discriminator_map(),
    "descent": lambda: Descent(*draw_pixels(), name="blueness", label="sky"),
    "regions": lambda: RegionGrower(*draw_blocks(), **COLORS, seed=(70, 60)),
    "grid": GridScores,
    "gan_trainer": GanTrainer,
    "code_explorer": lambda: make_code_explorer()[1],
    "code_sampler": lambda: make_code_sampler()[1],
    "latent_walk": lambda: make_latent_walk()[1],
    "label_painter": make_label_painter,
    "tile_explorer": lambda: make_tile_explorer()[1],
    "live": make_live_network,
    "weather_shift": make_weather_shift,
}


@functools.cache
def built(name: str) -> Figure:
    """A figure and its static picture, made once for all tests that only look at them."""
    figure = FIGURES[name]()
    figure.static_picture = functools.cache(figure.static_picture)
    return figure


@pytest.fixture(params=FIGURES)
def figure(request: pytest.FixtureRequest) -> Figure:
    """Each of the figures in turn."""
    return built(request.param)


@pytest.fixture
def figures() -> dict[str, Figure]:
    """All of them, for one page."""
    return {name: built(name) for name in FIGURES}


@pytest.fixture
def colors() -> dict[str, object]:
    """The classes and palette that figures of streets take."""
    return COLORS


@pytest.fixture
def street() -> Callable[..., tuple[torch.Tensor, torch.Tensor]]:
    return draw_blocks


@pytest.fixture
def recording() -> Callable[..., TrainingReplay]:
    return record_training


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the scripts that every page of the book loads."""
    folder = tmp_path_factory.mktemp("site")
    for name in SCRIPTS:
        (folder / name).symlink_to(VENDOR / name)
    package = Path(anywidget.__file__).parent
    (folder / "anywidget.js").symlink_to(package / "nbextension" / "index.js")
    return folder


@pytest.fixture
def open_figure(browser: Browser, site: Path) -> Iterator[OpenFigure]:
    """A function that shows a figure, or several; afterwards the page must not have complained.

    With `embedded=True` the page is what the book has, with the scripts that the book carries.
    With `static=True` it has the static picture, too.
    """
    complaints: list[str] = []
    contexts = []

    def leave_alone(route: Route) -> None:
        complaints.append(f"asked the network for {route.request.url}")
        route.abort()

    def listen(line: ConsoleMessage) -> None:
        if line.type == "error":
            complaints.append(f"{line.text} ({line.location['url']})")

    def show(
        figures: Figure | dict[str, Figure],
        *,
        embedded: bool = False,
        static: bool = False,
        theme: str = "light",
        width: int = 900,
        **options: object,
    ) -> Page:
        if isinstance(figures, Figure):
            figures = {"figure": figures}
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(error.stack or str(error)))
        page.on("console", listen)
        page.route("http*://**", leave_alone)
        head, body = (embedded_page if embedded else hosted_page)(figures)
        if static:
            body += "".join(figure.static_html() for figure in figures.values())
        path = site / "page.html"
        path.write_text(PAGE.format(theme=theme, head=head, body=body), encoding="utf-8")
        page.goto(path.as_uri())
        if options.get("java_script_enabled", True):
            page.wait_for_selector(".segtut-figure")
        return page

    yield show
    for context in contexts:
        context.close()
    assert not complaints, "\n".join(complaints)


def embedded_page(figures: dict[str, Figure]) -> tuple[str, str]:
    """Head and body of a page with the figures' states, as the built book has them."""
    version = {"version_major": 2, "version_minor": 0}
    state = dependency_state(list(figures.values()), drop_defaults=False)
    body = ""
    for name, figure in figures.items():
        state[figure.model_id]["state"]["_esm"] += f"\n//# sourceURL={name}.js"  # named in errors
        view = in_script({**version, "model_id": figure.model_id})
        body += EMBEDDED.format(name=name, view=view)
    head = "".join(f'<script src="{name}"></script>' for name in SCRIPTS)
    return head, STATE.format(state=in_script({**version, "state": state})) + body


def hosted_page(figures: dict[str, Figure]) -> tuple[str, str]:
    """Head and body of a page that runs the figures' scripts alone, in place of anywidget."""
    body = ""
    for name, figure in figures.items():
        state = {
            key: {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value
            for key, value in figure.get_state().items()
        }
        state["_esm"] += f"\n//# sourceURL={name}.js"  # named in errors
        body += HOSTED.format(name=name, state=in_script(state))
    return "", body


def in_script(value: object) -> str:
    return json.dumps(value).replace("</", "<\\/")


@pytest.fixture
def run_script(browser: Browser) -> Iterator[Callable[..., object]]:
    """Call a function that a figure's script exports, once for each list of arguments."""
    page = browser.new_page()

    def run(figure: type[Figure], name: str, cases: list[list[object]]) -> list[object]:
        return page.evaluate(
            """async ([script, name, cases]) => {
                const url = URL.createObjectURL(new Blob([script], {type: "text/javascript"}));
                const called = (await import(url))[name];
                const plain = (_, value) => ArrayBuffer.isView(value) ? [...value] : value;
                const results = cases.map((values) => called(...values));
                return JSON.parse(JSON.stringify(results, plain));
            }""",
            [str(figure._esm), name, cases],
        )

    yield run
    page.close()


@pytest.fixture(scope="module")
def run_engine(browser: Browser) -> Iterator[RunEngine]:
    """Answers (C, H, W) of a program in the browser, for inputs (C, H, W), one after the other."""
    page = browser.new_page()

    def run(program: Program, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
        half = program.weights.dtype == np.float16
        halves = program.weights.view(np.uint16).tolist() if half else None
        weights = None if half else program.weights.tolist()
        values = [one.flatten().tolist() for one in inputs]
        sizes = [list(one.shape[-2:]) for one in inputs]
        script = str(LiveNetwork._esm)
        arguments = [script, program.operations, halves, weights, values, sizes]
        answers = page.evaluate(ENGINE, arguments)
        return [torch.tensor(flat).view(shape) for flat, shape in answers]

    yield run
    page.close()
