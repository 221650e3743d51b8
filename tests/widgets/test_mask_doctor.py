"""What the page reads from a file is what Pillow reads, and each fault is called by its name."""

from __future__ import annotations

import base64
import io
import re
import struct
import zlib
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Browser, Page

from segtut.widgets import MaskDoctor
from tests.widgets.conftest import COLORS, draw_blocks, make_mask_doctor

HEIGHT, WIDTH = 24, 35
READ = """async ([script, cases]) => {
    const url = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
    const { readMask, diagnose } = await import(url);
    const results = [];
    for (const [text, type, picture, classes] of cases) {
        const file = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
        const mask = await readMask(file, type);
        const { found, rows, colors } = diagnose(mask, picture, classes);
        const { bitmap, ...rest } = mask;
        const plain = (_, value) => (ArrayBuffer.isView(value) ? [...value] : value);
        results.push(JSON.parse(JSON.stringify({ ...rest, found, rows, colors }, plain)));
    }
    return results;
}"""
Read = Callable[..., dict]


def blocks(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Labels 0 to 7 in blocks of eight pixels, with a line of void: uint8 (H, W)."""
    rows, columns = np.indices((height, width)) // 8
    labels = ((rows * 5 + columns) % 8).astype(np.uint8)
    labels[7] = 255
    return labels


def written(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def gray(values: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    return written(Image.fromarray(values), kind, **options)


def indexed(labels: np.ndarray, colors: int = 256) -> Image.Image:
    picture = Image.fromarray(labels)
    generator = np.random.default_rng(0)
    picture.putpalette(generator.integers(0, 256, 3 * colors, dtype=np.uint8).tolist())
    return picture


@pytest.fixture(scope="module")
def read(browser: Browser) -> Iterator[Read]:
    """What the page says of a file: its samples, the findings, the counts."""
    page = browser.new_page()

    def ask(
        content: bytes, picture: dict | None = None, classes: int = 8, kind: str = "image/png"
    ) -> dict:
        text = base64.b64encode(content).decode()
        (answer,) = page.evaluate(READ, [MaskDoctor._esm, [[text, kind, picture, classes]]])
        return answer

    yield ask
    page.close()


def interlaced(values: np.ndarray) -> bytes:
    """A gray PNG in the seven passes of Adam7, which Pillow does not write."""
    height, width = values.shape
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4)]
    passes += [(2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    raw = b"".join(
        b"\0" + row.tobytes() for y, x, dy, dx in passes for row in values[y::dy, x::dx] if row.size
    )
    return assembled(width, height, raw, 1)


def filtered(values: np.ndarray, kind: int) -> bytes:
    """A gray PNG, every row through one of the five filters; Pillow chooses among them itself."""
    height, width = values.shape
    left, up, corner = np.zeros((3, height, width), int)
    left[:, 1:], up[1:], corner[1:, 1:] = values[:, :-1], values[:-1], values[:-1, :-1]
    distance = np.abs(left + up - corner - np.stack([left, up, corner]))
    paeth = np.choose(distance.argmin(axis=0), [left, up, corner])  # the first of equals
    guess = (np.zeros_like(left), left, up, (left + up) // 2, paeth)[kind]
    rows = ((values.astype(int) - guess) % 256).astype(np.uint8)
    return assembled(width, height, b"".join(bytes([kind]) + row.tobytes() for row in rows), 0)


def assembled(width: int, height: int, raw: bytes, interlace: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, interlace)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def noise(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(1).integers(0, np.iinfo(dtype).max, shape, dtype=dtype)


WAVES = (np.add.outer(np.arange(HEIGHT) ** 2, 3 * np.arange(WIDTH)) % 200).astype(np.uint8)
READABLE = {
    "gray": gray(blocks()),
    "waves": gray(WAVES),
    **{f"filter {kind}": filtered(WAVES + noise(HEIGHT, WIDTH) // 5, kind) for kind in range(5)},
    "noise": gray(noise(HEIGHT, WIDTH)),
    "gray of 16 bits": gray(noise(HEIGHT, WIDTH, dtype=np.uint16)),
    "one bit": written(Image.fromarray(blocks() % 2 == 0)),
    "palette": written(indexed(blocks())),
    "palette of four bits": written(indexed(blocks() % 16, 16)),
    "palette of two bits": written(indexed(blocks() % 4, 4)),
    "interlaced": interlaced(blocks()),
}


@pytest.mark.parametrize("name", READABLE)
def test_numbers_are_those_of_pillow(name: str, read: Read) -> None:
    with Image.open(io.BytesIO(READABLE[name])) as picture:
        expected = np.array(picture)
    found = read(READABLE[name])
    assert (found["height"], found["width"]) == (HEIGHT, WIDTH)
    assert found["values"] == expected.astype(int).flatten().tolist()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_colors_are_those_of_pillow(mode: str, read: Read) -> None:
    channels = len(mode)
    picture = Image.fromarray(noise(HEIGHT, WIDTH, channels), mode)
    found = read(written(picture))
    if mode == "LA":
        assert (found["mode"], found["tripled"]) == ("gray", True)
        assert found["values"] == np.array(picture)[..., 0].flatten().tolist()
    else:
        assert found["mode"] == "color"
        assert found["rgb"] == np.array(picture)[..., :3].flatten().tolist()
        assert sum(color["pixels"] for color in found["colors"]) == HEIGHT * WIDTH


def test_counts_are_those_of_numpy(read: Read) -> None:
    values, counts = np.unique(blocks(), return_counts=True)
    rows = read(gray(blocks()))["rows"]
    assert [(row["value"], row["pixels"]) for row in rows] == list(
        zip(values.tolist(), counts.tolist(), strict=True)
    )


def smooth(labels: np.ndarray) -> bytes:
    picture = Image.fromarray(labels).resize((70, 48), Image.Resampling.BILINEAR)
    return written(picture)


def like(labels: np.ndarray) -> dict[str, int | bool]:
    return {"width": labels.shape[1], "height": labels.shape[0], "turned": False}


LABELS = blocks()
WHOLE = np.where(LABELS == 255, 0, LABELS).astype(np.uint8)
FAULTS = {
    "black": (gray(LABELS), "looks black and is right: its labels end at 7", "fine"),
    "indexed": (written(indexed(LABELS)), "An indexed PNG", "fine"),
    "binary": (gray(np.where(LABELS == 3, 255, 0).astype(np.uint8)), "Black and white", "error"),
    "smooth": (smooth(WHOLE), "places a value lies between", "error"),
    "from 1": (gray(np.where(LABELS == 255, 255, LABELS + 1).astype(np.uint8)), "from 1", "error"),
    "stray": (gray(np.where(LABELS == 255, 11, LABELS)), "no class: 11 in 35 pixels", "error"),
    "stretched": (gray(WHOLE * 36), "8 gray levels (0, 36, 72", "error"),
    "colors": (written(indexed(LABELS).convert("RGB")), "Colors, not numbers: 9", "warning"),
    "photograph": (written(Image.fromarray(noise(24, 35, 3))), "It is no label map", "error"),
    "all void": (gray(np.full_like(LABELS, 255)), "Every pixel is void", "error"),
    "mostly void": (gray(np.where(LABELS < 6, 255, LABELS)), "of the pixels are void", "warning"),
    "one class": (gray(np.full_like(LABELS, 2)), "One class only", "warning"),
    "tripled": (written(Image.fromarray(LABELS).convert("RGB")), "Three equal channels", "warning"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_named(name: str, read: Read) -> None:
    content, text, kind = FAULTS[name]
    found = read(content)["found"]
    assert any(text in what and level == kind for level, what, _ in found), found
    assert found[0][0] == kind  # the worst stands first, and a good file has nothing worse
    assert all(cure for _, _, cure in found)


@pytest.mark.parametrize("quality", [50, 95])
def test_jpeg_is_never_good(quality: int, read: Read) -> None:
    content = gray(LABELS, "JPEG", quality=quality)
    found = read(content, kind="image/jpeg")
    assert found["found"][0][0] == "error"
    assert "Stored as JPEG" in found["found"][0][1]
    assert found["mode"] == "gray"
    assert "tripled" not in str(found["found"])


def test_sizes_are_compared(read: Read) -> None:
    def said(width: int, height: int, turned: bool = False) -> str:
        picture = {"width": width, "height": height, "turned": turned}
        (kind, what, cure), *_ = read(gray(LABELS), picture)["found"]
        return f"{kind}: {what} {cure}"

    assert read(gray(LABELS), like(LABELS))["found"][0][0] == "fine"
    assert "1/2 of the size" in said(2 * WIDTH, 2 * HEIGHT)
    assert "exchanged" in said(HEIGHT, WIDTH)
    assert "Transpose" in said(HEIGHT, WIDTH)
    assert "exif_transpose" in said(HEIGHT, WIDTH, turned=True)
    assert "not the same view" in said(WIDTH + 9, HEIGHT)


def test_number_of_classes_decides_what_is_no_class(read: Read) -> None:
    assert read(gray(LABELS), classes=8)["found"][0][0] == "fine"
    kind, what, cure = read(gray(LABELS), classes=7)["found"][0]
    assert kind == "error"
    assert "7 in" in what
    assert "Target 7 is out of bounds" in cure


# In the figure

RIGHT = "it can be trained on"


def status(page: Page) -> str:
    page.get_by_role("status").filter(has_text=re.compile(r"\w")).wait_for()
    return page.get_by_role("status").inner_text()


def wait_for(page: Page, text: str) -> None:
    page.get_by_role("status").filter(has_text=text).wait_for()


def canvas(page: Page, name: str) -> np.ndarray:
    script = """canvas => [canvas.height, canvas.width,
        ...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data]"""
    height, width, *values = page.get_by_role("img", name=name).evaluate(script)
    return np.array(values, np.uint8).reshape(height, width, 4)


def test_examples_by_mouse_and_keys(open_figure) -> None:
    page = open_figure(make_mask_doctor())
    assert RIGHT in status(page)
    page.locator("label", has_text="small").click()
    wait_for(page, "64x48")
    assert "1/2 of the size" in page.get_by_role("list", name="Findings").inner_text()
    page.get_by_role("radio", name="small").focus()
    page.keyboard.press("ArrowLeft")
    wait_for(page, "2 different values")
    assert "Black and white" in page.get_by_role("list", name="Findings").inner_text()
    page.keyboard.press("ArrowLeft")
    wait_for(page, RIGHT)


def test_table_and_pictures_show_the_labels(open_figure) -> None:
    _, target = draw_blocks()
    page = open_figure(make_mask_doctor())
    status(page)
    rows = [row.split("\t") for row in page.locator("tbody tr").all_inner_texts()]
    counts = torch.bincount(target.flatten(), minlength=256)
    assert {int(row[0]): int(row[2].replace(",", "")) for row in rows} == {
        label: int(counts[label]) for label in target.unique().tolist()
    }
    assert rows[0][1] == "sky"
    assert rows[-1][1] == "void"
    palette = np.array([*COLORS["palette"], *[(0, 0, 0)] * 248])
    painted = canvas(page, "The mask as a loss reads it")[..., :3]
    known = (target != 255).numpy()
    assert np.array_equal(painted[known], palette[target.numpy()][known])
    assert canvas(page, "The mask as a viewer shows it")[..., 0].max() == 255


def test_sliders_change_classes_and_overlay(open_figure) -> None:
    page = open_figure(make_mask_doctor())
    status(page)
    before = canvas(page, "The mask in class colors")[..., 3].max()
    page.get_by_role("slider", name="Mask over the picture").press("End")
    assert canvas(page, "The mask in class colors")[..., 3].max() == 255 > before
    page.get_by_role("slider", name="Classes").press("ArrowLeft")
    wait_for(page, "1 thing to put right")
    assert "no class" in page.locator("tbody").inner_text()
    page.get_by_role("slider", name="Classes").press("ArrowRight")
    wait_for(page, RIGHT)


def test_own_files_are_read_and_stay(open_figure) -> None:
    page = open_figure(make_mask_doctor())
    status(page)
    mask = {"name": "own.png", "mimeType": "image/png", "buffer": written(indexed(LABELS))}
    page.get_by_label("Your mask").set_input_files(mask)
    wait_for(page, "35x24, PNG, 8 bits, indexed")
    assert page.get_by_role("radio", checked=True).count() == 0
    assert RIGHT in status(page)  # the example's street is not held against it
    picture = Image.fromarray(noise(WIDTH, HEIGHT, 3))  # stored lying, to be turned for the eye
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = written(Image.fromarray(np.array(picture)), "JPEG", exif=exif)
    page.get_by_label("Your picture").set_input_files(
        {"name": "own.jpg", "mimeType": "image/jpeg", "buffer": photo}
    )
    page.wait_for_timeout(200)
    assert "size" not in page.get_by_role("list", name="Findings").inner_text()
    page.get_by_label("Your mask").set_input_files(
        {"name": "broken.png", "mimeType": "image/png", "buffer": b"no picture"}
    )
    wait_for(page, "broken.png cannot be decoded")
    page.locator("label", has_text="right").click()
    wait_for(page, "128x96")


def test_mask_of_a_photograph_that_lies(open_figure) -> None:
    """Labels as high as the stored picture is wide: what np.array(Image.open(photo)) leads to."""
    page = open_figure(make_mask_doctor())
    status(page)
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = written(Image.fromarray(noise(HEIGHT, WIDTH, 3)), "JPEG", exif=exif)
    for label, name, content in (
        ("Your picture", "photo.jpg", photo),
        ("Your mask", "mask.png", gray(LABELS)),
    ):
        page.get_by_label(label).set_input_files(
            {"name": name, "mimeType": "image/*", "buffer": content}
        )
    wait_for(page, "35x24")
    assert "orientation tag" in page.get_by_role("list", name="Findings").inner_text()


DROP = """([node, text]) => {
    const content = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([content], "dropped.png", { type: "image/png" }));
    for (const kind of ["dragover", "drop"])
        node.dispatchEvent(new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true }));
}"""


def test_dropped_file_is_read(open_figure) -> None:
    page = open_figure(make_mask_doctor())
    status(page)
    node = page.locator(".st-file").first.element_handle()
    page.evaluate(DROP, [node, base64.b64encode(gray(LABELS)).decode()])
    wait_for(page, "35x24, PNG, 8 bits, gray")


def test_python_describes_the_files() -> None:
    figure = make_mask_doctor()
    assert "small: PNG of 64 by 48 pixels with 8 values" in figure.alternative_text()
    colored = written(indexed(LABELS).convert("RGB"))
    figure = MaskDoctor(draw_blocks()[0], {"colored": colored}, **COLORS)
    assert "with 9 colors" in figure.alternative_text()
    assert len(figure.static_picture()) > 1000


def test_what_does_not_fit_is_refused(colors) -> None:
    image, _ = draw_blocks()
    with pytest.raises(ValueError, match="no masks were given"):
        MaskDoctor(image, {}, **colors)
    with pytest.raises(ValueError, match="'old' is a GIF file, expected one of PNG"):
        MaskDoctor(image, {"old": gray(LABELS, "GIF")}, **colors)
    with pytest.raises(ValueError, match=r"MaskDoctor would put .* kB into the page"):
        MaskDoctor(image, {"large": gray(noise(700, 700))}, **colors)
    with pytest.raises(ValueError, match="expected uint8"):
        MaskDoctor(image / 255, {"right": gray(LABELS)}, **colors)
