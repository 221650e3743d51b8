"""Your own data: a folder of images and a folder of masks."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torchvision import tv_tensors

from segtut.data.dataset import (
    RGB,
    VOID,
    ImageMaskFiles,
    LabelValueError,
    SizeMismatchError,
    describe_size_mismatch,
    open_picture,
    read_image,
    read_label_map,
    to_sample,
    upright_size,
)
from segtut.data.voc import voc_colors

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm"})

CLASS_AND_COLOR = re.compile(r"(?P<name>.*\S)\s+(?P<red>\d+)\s+(?P<green>\d+)\s+(?P<blue>\d+)")

MASK_ENDINGS = ("_mask", "_masks", "_label", "_labels", "_gt", "_seg")


@dataclass(frozen=True)
class Matching:
    """Which images and masks belong together, and which files stand alone."""

    pairs: tuple[tuple[Path, Path], ...]
    images_without_mask: tuple[Path, ...]
    masks_without_image: tuple[Path, ...]

    def complaint(self) -> str:
        """A sentence on the files that stand alone; empty when there are none."""
        parts = []
        for files, what in (
            (self.images_without_mask, "images have no mask"),
            (self.masks_without_image, "masks have no image"),
        ):
            if files:
                shown = ", ".join(path.name for path in files[:3])
                parts.append(f"{len(files)} {what} ({shown}{', ...' if len(files) > 3 else ''})")
        return " and ".join(parts)


class FolderDataset(ImageMaskFiles):
    """A folder of images and a folder of masks that have the images' names.

    A mask belongs to an image of the same name, suffix aside, or of that name with _mask, _masks,
    _label, _labels, _gt or _seg after it; subfolders are searched and must agree. Masks are indexed
    PNGs or gray images whose values are the labels, with `void` for void. With `colors`, which maps
    (r, g, b) to a label 0..C-1 or to 255 for void, they are looked up by color instead, be they
    RGB(A), indexed or gray: `colors={(0, 0, 0): 0, (255, 255, 255): 1}` reads black and white.
    `palette` is for drawing only.

    Raises FileNotFoundError for a missing or empty folder, and ValueError for files that stand
    alone and for an image and a mask of different sizes. With `strict=False` lone files are left
    out (`matching` lists them) and sizes are compared only as samples are read.
    """

    def __init__(
        self,
        images: str | Path,
        masks: str | Path,
        classes: Sequence[str],
        palette: Sequence[RGB] | None = None,
        colors: Mapping[RGB, int] | None = None,
        void: int = VOID,
        *,
        strict: bool = True,
    ) -> None:
        self.matching = match_files(Path(images), Path(masks))
        self.colors = dict(colors) if colors is not None else None
        if self.colors is not None:
            _check_colors(self.colors, len(classes))
        super().__init__(
            self.matching.pairs,
            classes,
            palette if palette is not None else _default_palette(len(classes), self.colors),
            void=void if colors is None else VOID,
        )
        if strict:
            _require_matched(self.matching)
            _require_equal_sizes(self.files)

    def read_labels(self, path: Path) -> NDArray[np.integer]:
        """Labels (H, W) as stored, or looked up by color when the data set has `colors`."""
        return read_label_map(path) if self.colors is None else read_colors(path, self.colors)

    def fingerprint(self) -> str:
        """Sha256 (hex) over class names, void label, colors, and each file's name and bytes."""
        if self.colors is None:
            return super().fingerprint()
        return self.digest(repr(sorted(self.colors.items())))


class PictureFolder(ImageMaskFiles):
    """A folder of pictures without label maps, subfolders searched: every mask is void all over.

    `classes` and `palette` are those of the labeled data that the pictures are used with.
    Raises FileNotFoundError for a missing folder or one without images.
    """

    def __init__(self, folder: str | Path, classes: Sequence[str], palette: Sequence[RGB]) -> None:
        pictures = _files_by_key(Path(folder)).values()
        super().__init__([(path, path) for path in pictures], classes, palette)

    def __getitem__(self, index: int) -> tuple[tv_tensors.Image, tv_tensors.Mask]:
        image = read_image(self.files[index][0])
        return to_sample(image, np.full(image.shape[:2], VOID, dtype=np.int64))


def match_files(images: Path, masks: Path) -> Matching:
    """Pair the files of two folders by name.

    Raises FileNotFoundError when a folder is missing or has no images, ValueError when nothing
    matches or when two files of one folder have the same name but for the suffix.
    """
    image_files, mask_files = _files_by_key(images), _files_by_key(masks)
    pairs, lonely = [], []
    for key, image in image_files.items():
        names = [key, *(key + ending for ending in MASK_ENDINGS)]
        found = next((name for name in names if name in mask_files), None)
        if found is None:
            lonely.append(image)
        else:
            pairs.append((image, mask_files.pop(found)))
    if not pairs:
        raise ValueError(
            f"no image in {images} has a mask of its name in {masks}: found images such as "
            f"{lonely[0].name} and masks such as {next(iter(mask_files.values())).name}"
        )
    return Matching(tuple(pairs), tuple(lonely), tuple(mask_files.values()))


def read_colors(path: Path, colors: Mapping[RGB, int]) -> NDArray[np.int64]:
    """Labels (H, W) of a mask whose colors mean the labels that `colors` gives them.

    Raises LabelValueError naming the file and the colors that are not in the table.
    """
    with open_picture(path) as picture:
        pixels = np.array(picture.convert("RGB")).astype(np.int64)
    found, inverse = np.unique(_color_codes(pixels), return_inverse=True)
    table = {int(_color_codes(np.array(color))): label for color, label in colors.items()}
    unknown = [int(code) for code in found if int(code) not in table]
    if unknown:
        shown = ", ".join(str((code >> 16, code >> 8 & 255, code & 255)) for code in unknown[:4])
        blurred = len(unknown) > len(colors)
        raise LabelValueError(
            f"{path} has {len(unknown)} colors that the color table lacks: {shown}"
            f"{', ...' if len(unknown) > 4 else ''}, expected one of {len(colors)} colors: "
            + (
                "so many colors come from JPEG compression or from smooth resizing; save the masks "
                "as PNG and resize them with nearest neighbor"
                if blurred
                else "add each with its label, or with 255 for void"
            ),
            path,
        )
    labels = np.array([table[int(code)] for code in found], dtype=np.int64)
    return labels[inverse.reshape(pixels.shape[:2])]


def read_class_list(path: Path) -> tuple[tuple[str, ...], dict[RGB, int] | None]:
    """Class names, and colors where given, of a text file with one class a line.

    A line is a name ("car"), or a name and a color ("car 64 0 128"); a line that starts with "void"
    and has a color names the color of void. Raises ValueError for a line of another form and when
    some classes have a color and others none.
    """
    classes: list[str] = []
    colors: dict[RGB, int] = {}
    for line in filter(None, map(str.strip, path.read_text(encoding="utf-8").splitlines())):
        match = CLASS_AND_COLOR.fullmatch(line)
        name = match["name"] if match else line
        label = VOID if match and name == "void" else len(classes)
        if match:
            colors[(int(match["red"]), int(match["green"]), int(match["blue"]))] = label
        if label != VOID:
            classes.append(name)
    colored = set(colors.values()) - {VOID}
    out_of_range = any(max(color) > 255 for color in colors)
    if not classes or out_of_range or (colors and len(colored) != len(classes)):
        raise ValueError(
            f"{path} must have a class a line: a name, or a name and three numbers 0 to 255 for "
            'red, green and blue ("car 64 0 128"), the same form and another color on every line'
        )
    return tuple(classes), colors or None


def _files_by_key(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}")
    files: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        # Hidden files: macOS puts a ._name beside each name on foreign disks and in archives.
        if path.suffix.lower() not in IMAGE_SUFFIXES or path.name.startswith("."):
            continue
        key = path.relative_to(folder).with_suffix("").as_posix()
        if key in files:
            raise ValueError(
                f"{files[key]} and {path} differ only in their suffix: which one is meant?"
            )
        files[key] = path
    if not files:
        raise FileNotFoundError(
            f"no images in {folder}: expected files ending in {', '.join(sorted(IMAGE_SUFFIXES))}"
        )
    return files


def _require_matched(matching: Matching) -> None:
    complaint = matching.complaint()
    if complaint:
        raise ValueError(
            f"{complaint}, {len(matching.pairs)} pairs match: complete or remove them, or pass "
            "strict=False to use the pairs alone"
        )


def _require_equal_sizes(files: Sequence[tuple[Path, Path]]) -> None:
    """Compare sizes by the files' headers, which costs little, so that training need not."""
    for image_path, mask_path in files:
        with open_picture(image_path) as image, open_picture(mask_path) as mask:
            image_size, mask_size = upright_size(image), mask.size
        if image_size != mask_size:
            raise SizeMismatchError(
                describe_size_mismatch(image_path, mask_path, image_size[::-1], mask_size[::-1]),
                image_path,
            )


def _check_colors(colors: Mapping[RGB, int], num_classes: int) -> None:
    wrong = {color: label for color, label in colors.items() if not _is_label(label, num_classes)}
    if wrong:
        raise ValueError(
            f"the color table gives labels {wrong}, expected 0 to {num_classes - 1} for "
            f"{num_classes} classes or {VOID} for void"
        )


def _is_label(label: int, num_classes: int) -> bool:
    return 0 <= label < num_classes or label == VOID


def _default_palette(num_classes: int, colors: Mapping[RGB, int] | None) -> list[RGB]:
    palette = list(voc_colors(num_classes))
    for color, label in reversed(list((colors or {}).items())):
        if label != VOID:
            palette[label] = color
    return palette


def _color_codes(pixels: NDArray[np.integer]) -> NDArray[np.integer]:
    """One number a color, for pixels (..., 3)."""
    return pixels[..., 0] << 16 | pixels[..., 1] << 8 | pixels[..., 2]
