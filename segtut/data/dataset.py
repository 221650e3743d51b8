"""What every data set in this package has in common, and how its files are read."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch.utils.data import Dataset
from torchvision import tv_tensors

VOID = 255
"""The label that every loss and metric of the package ignores."""

EXIF_ORIENTATION = 0x0112

PILLOW_ERRORS = (OSError, SyntaxError, ValueError, TypeError, Image.DecompressionBombError)
"""What Pillow raises for damaged files, depending on format and place of the damage."""

RGB = tuple[int, int, int]


class SampleError(ValueError):
    """A sample cannot be given because of one of its files, `path`."""

    def __init__(self, text: str, path: Path | None = None) -> None:
        super().__init__(text)
        self.path = path


class UnreadableFileError(SampleError):
    """A file cannot be decoded, or not as what it is meant to be."""


class SizeMismatchError(SampleError):
    """An image and its mask differ in size."""


class LabelValueError(SampleError):
    """A mask holds labels or colors that stand for no class."""


class SegmentationDataset(Dataset[tuple[tv_tensors.Image, tv_tensors.Mask]], ABC):
    """Pictures with a label for every pixel.

    Sample i is a pair: the image, uint8 (3, H, W) RGB 0-255, and the label map, int64 (H, W),
    classes 0..C-1 or 255 for void. Both move together through torchvision.transforms.v2.
    """

    classes: tuple[str, ...]
    palette: tuple[RGB, ...]

    @property
    def num_classes(self) -> int:
        """How many classes there are, void not counted."""
        return len(self.classes)

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int) -> tuple[tv_tensors.Image, tv_tensors.Mask]: ...

    @abstractmethod
    def name(self, index: int) -> str:
        """What to call sample `index` in a report: for data read from files, the file's stem."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Sha256 (hex) over all that decides the samples, to tell two data sets apart."""


class ImageMaskFiles(SegmentationDataset):
    """A data set of one image file and one label file a sample.

    `files` holds the pairs (image, labels); `void` is the label that the files use for void, and is
    read as 255. Raises ValueError when there are no files or when the classes do not fit a palette.
    """

    def __init__(
        self,
        files: Sequence[tuple[Path, Path]],
        classes: Sequence[str],
        palette: Sequence[RGB],
        void: int = VOID,
    ) -> None:
        if not files:
            raise ValueError("the data set has no images: expected at least one image and its mask")
        if not 1 <= len(classes) <= VOID:
            raise ValueError(
                f"{len(classes)} classes given, expected 1 to {VOID}: label {VOID} means void"
            )
        if len(palette) != len(classes):
            raise ValueError(
                f"{len(palette)} palette colors for {len(classes)} classes: give one color a class"
            )
        self.files = tuple(files)
        self.classes = tuple(classes)
        self.palette = tuple(palette)
        self.void = void

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[tv_tensors.Image, tv_tensors.Mask]:
        image_path, mask_path = self.files[index]
        image = read_image(image_path)
        labels = self.read_labels(mask_path)
        if image.shape[:2] != labels.shape:
            raise SizeMismatchError(
                describe_size_mismatch(image_path, mask_path, image.shape[:2], labels.shape),
                image_path,
            )
        return to_sample(image, labels_to_classes(labels, self.num_classes, self.void, mask_path))

    def read_labels(self, path: Path) -> NDArray[np.integer]:
        """Labels (H, W) as the file has them, before void becomes 255."""
        return read_label_map(path)

    def name(self, index: int) -> str:
        """The image file's stem."""
        return self.files[index][0].stem

    def fingerprint(self) -> str:
        """Sha256 (hex) over class names, void label, and each file's name and bytes, in order."""
        return self.digest()

    def digest(self, more: str = "") -> str:
        """The fingerprint with `more` added, for a subclass that has more to decide its samples."""
        digest = hashlib.sha256(repr((self.classes, self.void)).encode() + more.encode())
        for pair in self.files:
            for path in dict.fromkeys(pair):
                digest.update(path.name.encode() + b"\0")
                digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()


def to_sample(
    image: NDArray[np.uint8], labels: NDArray[np.int64]
) -> tuple[tv_tensors.Image, tv_tensors.Mask]:
    """The sample made of an image (H, W, 3) and its labels (H, W)."""
    pixels = torch.from_numpy(image).permute(2, 0, 1).contiguous()
    return tv_tensors.Image(pixels), tv_tensors.Mask(torch.from_numpy(labels))


def read_image(path: Path) -> NDArray[np.uint8]:
    """A photograph as RGB uint8 (H, W, 3), turned upright as its EXIF orientation says.

    Raises ValueError naming the file when it cannot be decoded or has more than 8 bits a channel.
    """
    with open_picture(path) as picture:
        if picture.mode.startswith(("I", "F")):
            raise UnreadableFileError(
                f"{path} has more than 8 bits a channel (Pillow mode {picture.mode}), expected an "
                "8-bit image: convert it first, choosing the range of values that is to be seen",
                path,
            )
        upright = ImageOps.exif_transpose(picture)
        return np.array(upright.convert("RGB"))


def read_label_map(path: Path) -> NDArray[np.integer]:
    """The labels (H, W) of an indexed, gray (8- or 16-bit) or black-and-white mask, as stored.

    Indexed PNGs give their indices, not their colors. An RGB mask is read only if it is gray.
    Raises ValueError naming the file when it cannot be decoded or holds colors.
    """
    with open_picture(path) as picture:
        picture.load()
        if picture.mode in ("P", "L", "I") or picture.mode.startswith("I;16"):
            return np.array(picture)
        if picture.mode == "1":
            return np.array(picture, dtype=np.uint8)
        colors = np.array(picture.convert("RGB"))
    if (colors == colors[..., :1]).all():
        return colors[..., 0]
    raise LabelValueError(
        f"{path} holds colors (Pillow mode {picture.mode}), expected labels as palette indices or "
        "gray values: tell the class of each color, FolderDataset(..., colors={(r, g, b): label})",
        path,
    )


def labels_to_classes(
    labels: NDArray[np.integer], num_classes: int, void: int, path: Path
) -> NDArray[np.int64]:
    """Labels (H, W) with `void` replaced by 255; ValueError for anything else out of range."""
    is_void = labels == void
    wrong = ~is_void & ((labels < 0) | (labels >= num_classes))
    if wrong.any():
        found = np.unique(labels[wrong])
        shown = ", ".join(str(value) for value in found[:6]) + (", ..." if len(found) > 6 else "")
        raise LabelValueError(
            f"{path} has label values {shown} in {int(wrong.sum())} of {labels.size} pixels, "
            f"expected 0 to {num_classes - 1} for {num_classes} classes or {void} for void: "
            + _advice_on_values(found, num_classes),
            path,
        )
    return np.where(is_void, VOID, labels).astype(np.int64)


def _advice_on_values(found: NDArray[np.integer], num_classes: int) -> str:
    if len(found) == 1 and found[0] == VOID:
        return f"pass void={VOID} if these pixels are void"
    if found.max() > VOID:
        return "values above 255 are often instance numbers or 16-bit gray, not classes"
    if found.min() == found.max() == num_classes:
        return "labels may be counted from 1, or the list of classes may lack its last one"
    return "correct the mask, or the list of classes"


def describe_size_mismatch(
    image_path: Path, mask_path: Path, image_shape: tuple[int, ...], mask_shape: tuple[int, ...]
) -> str:
    """What to tell the user when image and mask, shapes (H, W), differ in size."""
    height, width = image_shape
    text = (
        f"{image_path} is {width}x{height} pixels but its mask {mask_path} is "
        f"{mask_shape[1]}x{mask_shape[0]}: they must be of one size"
    )
    with Image.open(image_path) as picture:
        turned = picture.getexif().get(EXIF_ORIENTATION, 1) != 1
        if turned and picture.size == mask_shape[::-1]:
            text += (
                ". The image carries an EXIF orientation and is turned upright when read; the mask "
                "was drawn on the unturned pixels: rotate the mask, or strip the EXIF orientation "
                "from the image"
            )
    return text


def upright_size(picture: Image.Image) -> tuple[int, int]:
    """Width and height once the EXIF orientation is applied; reads the header alone."""
    width, height = picture.size
    on_its_side = picture.getexif().get(EXIF_ORIENTATION, 1) >= 5
    return (height, width) if on_its_side else (width, height)


def read_split(path: Path) -> list[str]:
    """The first word of each line of a split list, blank lines left out.

    Raises FileNotFoundError that lists the splits found beside it, ValueError for an empty list.
    """
    if not path.is_file():
        found = sorted(other.stem for other in path.parent.glob("*.txt"))
        raise FileNotFoundError(
            f"no split list {path}; splits found there: {', '.join(found) or 'none'}"
        )
    names = [line.split()[0] for line in path.read_text().splitlines() if line.strip()]
    if not names:
        raise ValueError(f"the split list {path} is empty, expected one name a line")
    return names


def require_files(files: Sequence[tuple[Path, Path]], where: str) -> None:
    """FileNotFoundError that counts and names the files missing from the pairs."""
    folders = {path.parent for pair in files for path in pair}
    present = {path for folder in folders if folder.is_dir() for path in folder.iterdir()}
    missing = [path for pair in files for path in pair if path not in present]
    if missing:
        examples = ", ".join(str(path) for path in missing[:3])
        raise FileNotFoundError(
            f"{len(missing)} of the {2 * len(files)} files that {where} lists are missing, for "
            f"example {examples}: was the archive unpacked completely?"
        )


@contextmanager
def open_picture(path: Path) -> Iterator[Image.Image]:
    """Open an image file; all that Pillow refuses becomes an UnreadableFileError naming the file.

    A TIFF stack is refused too: only its first page would be read.
    """
    try:
        with Image.open(path) as picture:
            pages = getattr(picture, "n_frames", 1)
            if picture.format == "TIFF" and pages > 1:
                raise UnreadableFileError(
                    f"{path} is a stack of {pages} pages, expected one picture a file: split it",
                    path,
                )
            yield picture
    except (FileNotFoundError, SampleError):
        raise
    except PILLOW_ERRORS as error:
        raise UnreadableFileError(
            f"{path} cannot be read as an image ({error}): it may be truncated or damaged; fetch "
            "it again or leave it out of the set",
            path,
        ) from error
