"""Reading images and masks: what is given, and what is said about what cannot be."""

import contextlib
import io
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, UnidentifiedImageError
from torchvision import tv_tensors

from segtut.data.dataset import (
    EXIF_ORIENTATION,
    ImageMaskFiles,
    LabelValueError,
    SizeMismatchError,
    UnreadableFileError,
    read_image,
    read_label_map,
    read_split,
)

LABELS = np.array([[0, 1, 2, 255], [2, 1, 0, 0], [1, 1, 1, 2]], dtype=np.uint8)
PHOTO = np.random.default_rng(0).integers(0, 256, (3, 4, 3), dtype=np.uint8)


def save(array: np.ndarray, path: Path, **options: object) -> Path:
    Image.fromarray(array).save(path, **options)
    return path


def pair(tmp_path: Path, labels: np.ndarray = LABELS, photo: np.ndarray = PHOTO) -> ImageMaskFiles:
    files = [(save(photo, tmp_path / "street.png"), save(labels, tmp_path / "street_mask.png"))]
    return ImageMaskFiles(files, ("a", "b", "c"), ((0, 0, 0), (9, 0, 0), (0, 9, 0)))


def indexed(labels: np.ndarray) -> Image.Image:
    picture = Image.fromarray(labels)
    # All indices have one color: only the indices can tell the labels apart.
    picture.putpalette([7] * 768)
    return picture


def test_a_sample_has_the_pixels_of_the_files(tmp_path: Path) -> None:
    dataset = pair(tmp_path)
    image, mask = dataset[0]
    assert isinstance(image, tv_tensors.Image)
    assert isinstance(mask, tv_tensors.Mask)
    assert image.dtype == torch.uint8
    assert mask.dtype == torch.int64
    assert np.array_equal(image.permute(1, 2, 0).numpy(), PHOTO)
    assert np.array_equal(mask.numpy(), LABELS)
    assert dataset.name(0) == "street"
    assert dataset.num_classes == 3


@pytest.mark.parametrize("mode", ["P", "L", "I;16", "RGB", "RGBA", "LA"])
def test_every_way_to_store_labels_gives_the_same_labels(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "mask.png"
    if mode == "P":
        indexed(LABELS).save(path)
    elif mode == "I;16":
        Image.fromarray(LABELS.astype(np.uint16)).save(path)
    else:
        Image.fromarray(LABELS).convert(mode).save(path)
    with Image.open(path) as picture:
        assert picture.mode == mode
    assert np.array_equal(read_label_map(path), LABELS)


def test_a_black_and_white_mask_has_labels_0_and_1(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    Image.fromarray(LABELS > 1).save(path)
    assert np.array_equal(read_label_map(path), LABELS > 1)


def test_colors_are_not_taken_for_labels(tmp_path: Path) -> None:
    with pytest.raises(LabelValueError, match=r"mask\.png holds colors.*colors="):
        read_label_map(save(PHOTO, tmp_path / "mask.png"))


def test_a_label_out_of_range_is_named_with_its_file(tmp_path: Path) -> None:
    labels = np.where(LABELS == 2, 37, LABELS).astype(np.uint8)
    with pytest.raises(
        LabelValueError,
        match=r"street_mask\.png has label values 37 in 3 of 12 pixels, expected 0 to 2 for 3",
    ):
        pair(tmp_path, labels)[0]


def test_large_values_of_a_16_bit_mask_are_not_wrapped(tmp_path: Path) -> None:
    # 256 in 8 bits would be 0, a fine label.
    labels = np.full((3, 4), 256, dtype=np.uint16)
    with pytest.raises(LabelValueError, match=r"values 256 .* instance numbers or 16-bit"):
        pair(tmp_path, labels)[0]


def test_labels_counted_from_one_are_guessed(tmp_path: Path) -> None:
    labels = np.array([[1, 2, 3, 3]] * 3, dtype=np.uint8)
    with pytest.raises(LabelValueError, match="counted from 1"):
        pair(tmp_path, labels)[0]


def test_void_of_the_files_becomes_255_and_255_is_refused_then(tmp_path: Path) -> None:
    dataset = pair(tmp_path, np.where(LABELS == 255, 11, LABELS).astype(np.uint8))
    dataset.void = 11
    assert np.array_equal(dataset[0][1].numpy(), LABELS)
    save(LABELS, tmp_path / "street_mask.png")
    with pytest.raises(LabelValueError, match="pass void=255"):
        dataset[0]


def test_different_sizes_are_told_with_both_files(tmp_path: Path) -> None:
    with pytest.raises(
        SizeMismatchError, match=r"street\.png is 4x3 pixels but its mask .*_mask\.png is 2x3"
    ):
        pair(tmp_path, LABELS[:, :2])[0]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_as_exif_says(tmp_path: Path, orientation: int) -> None:
    # The table of the EXIF standard, as array operations on the stored pixels.
    upright = {
        1: PHOTO,
        2: PHOTO[:, ::-1],
        3: PHOTO[::-1, ::-1],
        4: PHOTO[::-1],
        5: PHOTO.transpose(1, 0, 2),
        6: np.rot90(PHOTO, -1),
        7: np.rot90(PHOTO, 2).transpose(1, 0, 2),
        8: np.rot90(PHOTO, 1),
    }[orientation]
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    path = save(PHOTO, tmp_path / "photo.png", exif=exif)
    assert np.array_equal(read_image(path), upright)


def test_a_mask_drawn_on_the_unturned_image_is_explained(tmp_path: Path) -> None:
    dataset = pair(tmp_path)
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    save(PHOTO, tmp_path / "street.png", exif=exif)
    with pytest.raises(SizeMismatchError, match=r"is 3x4 .* is 4x3.*EXIF orientation.*rotate"):
        dataset[0]


def test_16_bit_photographs_and_stacks_are_refused(tmp_path: Path) -> None:
    deep = save(LABELS.astype(np.uint16) * 99, tmp_path / "deep.png")
    with pytest.raises(UnreadableFileError, match=r"deep\.png has more than 8 bits"):
        read_image(deep)
    stack = tmp_path / "stack.tif"
    page = Image.fromarray(LABELS)
    page.save(stack, save_all=True, append_images=[page, page])
    with pytest.raises(UnreadableFileError, match=r"stack\.tif is a stack of 3 pages"):
        read_image(stack)


def test_a_missing_file_stays_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.png"):
        read_image(tmp_path / "gone.png")


@pytest.mark.parametrize(("suffix", "read"), [(".jpg", read_image), (".png", read_label_map)])
def test_a_truncated_file_is_named(tmp_path: Path, suffix: str, read: object) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (64, 64), dtype=np.uint8)
    path = save(noise, tmp_path / f"half{suffix}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UnreadableFileError, match=rf"half\{suffix} cannot be read") as caught:
        read(path)  # type: ignore[operator]
    assert caught.value.path == path


def tiff_with_an_empty_second_page() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(LABELS).save(buffer, "TIFF")
    content = bytearray(buffer.getvalue())
    (directory,) = struct.unpack_from("<I", content, 4)
    (entries,) = struct.unpack_from("<H", content, directory)
    # After its entries a directory says where the next one is.
    struct.pack_into("<I", content, directory + 2 + 12 * entries, len(content))
    return bytes(content) + bytes(6)


@pytest.mark.parametrize(
    ("content", "raised"),
    [
        (b"", UnidentifiedImageError),
        (b"P5 2\x16 3 255\n" + bytes(6), ValueError),
        (tiff_with_an_empty_second_page(), TypeError),
        (b"P5 99999 99999 255\n", Image.DecompressionBombError),
    ],
    ids=["empty", "header of another number", "page of no size", "immense"],
)
def test_what_pillow_raises_for_damage_always_names_the_file(
    tmp_path: Path, content: bytes, raised: type[Exception]
) -> None:
    path = tmp_path / "damaged"
    path.write_bytes(content)
    for read in (read_image, read_label_map):
        with pytest.raises(UnreadableFileError, match="damaged cannot be read") as caught:
            read(path)
        assert type(caught.value.__cause__) is raised


def encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    indexed(np.tile(LABELS, (8, 8))).convert("P" if kind == "PNG" else "RGB").save(buffer, kind)
    return buffer.getvalue()


# What Pillow warns of on its way to reading or refusing a damaged file is not the subject.
@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    kind=st.sampled_from(["PNG", "JPEG", "BMP", "TIFF"]),
    place=st.floats(0, 1, exclude_max=True),
    junk=st.binary(max_size=8),
    cut=st.booleans(),
)
def test_damage_anywhere_is_read_over_or_refused(
    tmp_path: Path, kind: str, place: float, junk: bytes, cut: bool
) -> None:
    content = encoded(kind)
    at = int(place * len(content))
    path = tmp_path / "damaged"
    path.write_bytes(content[:at] + junk + (b"" if cut else content[at + len(junk) :]))
    for read in (read_image, read_label_map):
        with contextlib.suppress(UnreadableFileError, LabelValueError):
            read(path)


def test_a_split_list_is_read_by_line(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("one\n\n two -1\nthree\n")
    assert read_split(tmp_path / "train.txt") == ["one", "two", "three"]


def test_a_wrong_or_empty_split_is_told(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("\n")
    with pytest.raises(FileNotFoundError, match="splits found there: train"):
        read_split(tmp_path / "training.txt")
    with pytest.raises(ValueError, match=r"train\.txt is empty"):
        read_split(tmp_path / "train.txt")


def test_the_fingerprint_tells_every_change(tmp_path: Path) -> None:
    dataset = pair(tmp_path)
    prints = [dataset.fingerprint()]
    assert pair(tmp_path).fingerprint() == prints[0]
    dataset.void = 11
    prints.append(dataset.fingerprint())
    dataset.classes = ("a", "b", "z")
    prints.append(dataset.fingerprint())
    dataset.files = dataset.files * 2
    prints.append(dataset.fingerprint())
    save(LABELS[::-1], tmp_path / "street_mask.png")
    prints.append(dataset.fingerprint())
    assert len(set(prints)) == len(prints)


def test_a_data_set_needs_files_classes_and_colors(tmp_path: Path) -> None:
    files = pair(tmp_path).files
    with pytest.raises(ValueError, match="has no images"):
        ImageMaskFiles([], ("a",), ((0, 0, 0),))
    with pytest.raises(ValueError, match="256 classes given, expected 1 to 255"):
        ImageMaskFiles(files, ["x"] * 256, [(0, 0, 0)] * 256)
    with pytest.raises(ValueError, match="1 palette colors for 2 classes"):
        ImageMaskFiles(files, ("a", "b"), ((0, 0, 0),))
