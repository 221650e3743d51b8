"""Label images of any size with a trained network, folders of them, or export the network.

`export_onnx` is for other programs, `export_program` for the pages of this book.
"""

from __future__ import annotations

import copy
import math
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn
from torch.nn.functional import interpolate

from segtut.program import Program, export_program

__all__ = [
    "FolderReport",
    "Program",
    "export_onnx",
    "export_program",
    "predict",
    "predict_folder",
]

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

# Networks halve the image up to five times: tiles that start on multiples of 32 are pooled
# over the same groups of pixels as the whole image.
_TILE_GRID = 32

_LARGEST_EXPORT_DIFFERENCE = 1e-3


def predict(
    model: nn.Module,
    image: Tensor,
    *,
    size: int | None = None,
    tile: tuple[int, int] | None = None,
    overlap: float = 0.25,
    flip: bool = False,
    device: torch.device | str | None = None,
) -> Tensor:
    """Logits (C, H, W), float32, at the image's own size.

    Args:
        model: images (1, 3, h, w), 0-1, to logits (1, C, h, w). It is put into evaluation
            mode for the call, and back.
        image: (3, H, W), RGB, uint8 or float 0-1.
        size: pixels of the shorter side that the network sees; the image is resized to it and
            the logits are resized back. None keeps the image as it is.
        tile: height and width of the pieces that the network sees one at a time, for images
            that do not fit in memory; where pieces overlap, their logits are blended.
        overlap: least share of a tile that it has in common with the next, 0 to under 1.
        flip: average the probabilities with those of the mirrored image, as
            `segtut.training.evaluate` does; the logits returned are the logarithm of the mean.
        device: where to compute; the model is moved there. None means where the model is.

    Returns:
        Logits on that device; `argmax(0)` of them is the label map.

    Raises:
        ValueError: an argument has the wrong shape, type or range.
    """
    _check_image(image)
    if size is not None and size < 1:
        raise ValueError(f"predict got size={size}; it must be at least one pixel.")
    if tile is not None and min(tile) < 1:
        raise ValueError(f"predict got tile={tile}; give the height and width of a tile.")
    if not 0 <= overlap < 1:
        raise ValueError(f"predict got overlap={overlap}; it must be at least 0 and under 1.")
    if device is not None:
        model.to(device)
    tensors = [*model.parameters(), *model.buffers()]
    batch = image[None].to(tensors[0].device if tensors else image.device)
    batch = batch / 255 if batch.dtype == torch.uint8 else batch.float()
    with evaluating(model), torch.inference_mode():
        seen = batch if size is None else _resize(batch, _scaled_size(batch, size))
        logits = _logits(model, seen, tile, overlap)
        if flip:
            mirrored = _logits(model, seen.flip(-1), tile, overlap).flip(-1)
            logits = torch.logaddexp(logits.log_softmax(1), mirrored.log_softmax(1)) - math.log(2)
        if logits.shape[-2:] != batch.shape[-2:]:
            logits = _resize(logits, batch.shape[-2:])
    # A clone made outside is an ordinary tensor, which later code may change in place.
    return logits[0].clone()


@dataclass(frozen=True)
class FolderReport:
    """What `predict_folder` did: files written, and images it could not read with the reason."""

    written: list[Path] = field(default_factory=list)
    failed: dict[Path, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"{len(self.written)} files written, {len(self.failed)} images not readable"]
        lines += [f"  {path}: {reason}" for path, reason in self.failed.items()]
        return "\n".join(lines)


def predict_folder(
    model: nn.Module,
    source: str | Path,
    output: str | Path,
    palette: Sequence[Sequence[int]],
    *,
    opacity: float = 0.5,
    size: int | None = None,
    tile: tuple[int, int] | None = None,
    overlap: float = 0.25,
    flip: bool = False,
    device: torch.device | str | None = None,
) -> FolderReport:
    """Label an image, or all of a folder: `<stem>_labels.png` and `<stem>_overlay.png` for each.

    The labels are an indexed PNG whose values are the classes; the overlay shows their colors
    over the image. An image that cannot be read is reported, and the others are done.

    Args:
        model: as for `predict`.
        source: an image, or a folder of images; those in folders inside it are left alone.
        output: folder to write to, made if need be.
        palette: RGB color, 0-255, of every class.
        opacity: of the colors in the overlay, 0 to 1.
        size: as for `predict`.
        tile: as for `predict`.
        overlap: as for `predict`.
        flip: as for `predict`.
        device: as for `predict`.

    Raises:
        FileNotFoundError: there is no such image or folder, or no image in it.
        ValueError: output and source are one folder, two images would get one name, or the
            palette has fewer colors than the network has classes.
    """
    source, output = Path(source), Path(output)
    images = [source] if source.is_file() else _images_of(source)
    if output.resolve() == source.resolve():
        raise ValueError(f"Source and output are both {source}; write to a folder of its own.")
    output.mkdir(parents=True, exist_ok=True)
    report = FolderReport()
    for path in images:
        try:
            photo = _open_image(path)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            report.failed[path] = f"{type(error).__name__}: {error}"
            continue
        pixels = torch.from_numpy(np.array(photo)).permute(2, 0, 1)
        logits = predict(
            model, pixels, size=size, tile=tile, overlap=overlap, flip=flip, device=device
        )
        labels = _indexed_image(logits, palette)
        overlay = Image.blend(photo, labels.convert("RGB"), opacity)
        for name, picture in (("labels", labels), ("overlay", overlay)):
            target = output / f"{path.stem}_{name}.png"
            with _written_aside(target) as aside:
                picture.save(aside, format="PNG")
            report.written.append(target)
    return report


def export_onnx(model: nn.Module, path: str | Path, size: tuple[int, int]) -> float:
    """Write the network as ONNX, check it with onnxruntime, and return the largest difference.

    The file maps "images" (N, 3, H, W), float32, 0-1, to "logits" (N, C, H, W), for any N, H
    and W: it is compared with the network at `size` and at about half of it, on random images.

    Args:
        model: a segmentation network; it is copied to the CPU and left as it was.
        path: the .onnx file, replaced if it exists and the check succeeds.
        size: height and width to export and compare at.

    Raises:
        ValueError: a difference above 1e-3; nothing is written then.
    """
    import onnxruntime

    path = Path(path)
    network = copy.deepcopy(model).cpu().float().eval()
    generator = torch.Generator().manual_seed(0)
    height, width = size
    samples = [
        torch.rand(2, 3, height, width, generator=generator),
        torch.rand(1, 3, math.ceil(height / 2), math.ceil(width / 2), generator=generator),
    ]
    program = _onnx_program(network, samples[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    with _written_aside(path) as aside:
        program.save(aside)
        session = onnxruntime.InferenceSession(str(aside), providers=["CPUExecutionProvider"])
        difference = 0.0
        for images in samples:
            (exported,) = session.run(["logits"], {"images": images.numpy()})
            with torch.inference_mode():
                expected = network(images)
            difference = max(difference, float((torch.from_numpy(exported) - expected).abs().max()))
        if not difference <= _LARGEST_EXPORT_DIFFERENCE:
            raise ValueError(
                f"The exported network differs from the original by {difference:.3g}, more than "
                f"{_LARGEST_EXPORT_DIFFERENCE}; {path} was not written."
            )
    return difference


def _logits(
    model: nn.Module, images: Tensor, tile: tuple[int, int] | None, overlap: float
) -> Tensor:
    height, width = images.shape[-2:]
    if tile is None or (tile[0] >= height and tile[1] >= width):
        return model(images).float()
    places = [
        (..., slice(top, top + tile[0]), slice(left, left + tile[1]))
        for top in _starts(height, tile[0], overlap)
        for left in _starts(width, tile[1], overlap)
    ]
    pieces = [model(images[place]).float() for place in places]
    total = pieces[0].new_zeros(*pieces[0].shape[:2], height, width)
    weights = pieces[0].new_zeros(height, width)
    for place, logits in zip(places, pieces, strict=True):
        window = _window(logits)
        total[place] += window * logits
        weights[place] += window
    return total / weights


def _starts(length: int, tile: int, overlap: float) -> range:
    """Where tiles begin along one side; the last one is cut by the image's border."""
    step = max(1, math.floor(tile * (1 - overlap)))
    if step > _TILE_GRID:
        step -= step % _TILE_GRID
    tiles = 1 + max(0, math.ceil((length - tile) / step))
    return range(0, tiles * step, step)


def _window(logits: Tensor) -> Tensor:
    """(H, W) weights that fall smoothly from 1 in the middle to almost 0 at the rim."""
    height, width = (
        torch.sin(math.pi * (torch.arange(n, device=logits.device) + 0.5) / n) ** 2
        for n in logits.shape[-2:]
    )
    return torch.outer(height, width)


def _check_image(image: Tensor) -> None:
    if image.ndim != 3 or image.shape[0] != 3 or 0 in image.shape:
        raise ValueError(
            f"predict takes one RGB image of shape (3, H, W) and got {tuple(image.shape)}."
        )
    if image.dtype != torch.uint8 and not image.is_floating_point():
        raise ValueError(f"predict takes uint8 or float images and got {image.dtype}.")
    # Resampling may overshoot 1 a little; 0-255 overshoots a lot.
    if image.is_floating_point() and image.max() > 1.5:
        raise ValueError(
            f"predict takes float images between 0 and 1, and this one reaches "
            f"{image.max():.3g}; divide it by 255, or pass it as uint8."
        )


def _scaled_size(images: Tensor, shorter_side: int) -> tuple[int, int]:
    height, width = images.shape[-2:]
    scale = shorter_side / min(height, width)
    return round(height * scale), round(width * scale)


def _resize(images: Tensor, size: Sequence[int]) -> Tensor:
    return interpolate(images, size=tuple(size), mode="bilinear", antialias=True)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put the network into evaluation mode, and afterwards each of its modules back as it was."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _images_of(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder} to read images from.")
    images = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    if not images:
        raise FileNotFoundError(
            f"No image in {folder}; files that end in {', '.join(IMAGE_SUFFIXES)} are read."
        )
    by_stem: dict[str, Path] = {}
    for path in images:
        other = by_stem.setdefault(path.stem, path)
        if other != path:
            raise ValueError(
                f"{other.name} and {path.name} would both be written as {path.stem}_labels.png; "
                "rename one of them."
            )
    return images


def _open_image(path: Path) -> Image.Image:
    with Image.open(path) as image:
        # Cameras store portraits lying down, with a note on how to turn them.
        return ImageOps.exif_transpose(image).convert("RGB")


def _indexed_image(logits: Tensor, palette: Sequence[Sequence[int]]) -> Image.Image:
    num_classes = logits.shape[0]
    if len(palette) < num_classes:
        raise ValueError(
            f"The palette has {len(palette)} colors and the network {num_classes} classes; "
            "give a color for every class."
        )
    labels = Image.fromarray(logits.argmax(dim=0).to(torch.uint8).cpu().numpy())
    labels.putpalette([value for color in palette for value in color])
    return labels


def _onnx_program(network: nn.Module, images: Tensor) -> torch.onnx.ONNXProgram:
    dynamic = {
        0: torch.export.Dim.DYNAMIC,
        2: torch.export.Dim.DYNAMIC,
        3: torch.export.Dim.DYNAMIC,
    }
    with warnings.catch_warnings():
        # The exporter's own deprecations concern its authors, not the one who exports.
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            (images,),
            dynamo=True,
            dynamic_shapes=(dynamic,),
            input_names=["images"],
            output_names=["logits"],
            external_data=False,
            verbose=False,
        )
    assert program is not None
    return program


@contextmanager
def _written_aside(path: Path) -> Iterator[Path]:
    """A file beside `path` to write to; it becomes `path` only when the block succeeds."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}-") as folder:
        aside = Path(folder) / path.name
        yield aside
        aside.replace(path)
