"""Folders of one's own images and masks."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from segtut.data.dataset import EXIF_ORIENTATION, VOID, LabelValueError, SizeMismatchError
from segtut.data.folder import FolderDataset, PictureFolder, match_files, read_class_list

LABELS = np.array([[0, 1, 2], [2, 255, 0]], dtype=np.uint8)
COLORS = {(10, 20, 30): 0, (200, 0, 0): 1, (0, 0, 9): 2, (255, 255, 255): 255}


def painted(labels: np.ndarray = LABELS) -> np.ndarray:
    pixels = np.zeros((*labels.shape, 3), dtype=np.uint8)
    for color, label in COLORS.items():
        pixels[labels == label] = color
    return pixels


Writer = Callable[..., tuple[Path, Path]]


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    """Write images and masks by name, and give the two folders."""

    def write(images: list[str], masks: dict[str, np.ndarray]) -> tuple[Path, Path]:
        for name in images:
            path = tmp_path / "images" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (3, 2), "gray").save(path)
        for name, pixels in masks.items():
            path = tmp_path / "masks" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
        return tmp_path / "images", tmp_path / "masks"

    return write


def test_names_match_without_suffix_and_with_endings(write: Writer) -> None:
    images = ["a.jpg", "b.PNG", "deep/c.jpg"]
    masks = {"a.png": LABELS, "b_mask.png": LABELS, "deep/c_labels.png": LABELS}
    dataset = FolderDataset(*write(images, masks), ("x", "y", "z"))
    assert [dataset.name(i) for i in range(3)] == ["a", "b", "c"]
    assert torch.equal(dataset[2][1], torch.from_numpy(LABELS).long())


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colored_masks_are_looked_up(write: Writer, mode: str) -> None:
    images, masks = write(["a.jpg"], {"a.png": LABELS})
    picture = Image.fromarray(painted())
    # A palette in the order of the quantizer, not of the classes: its indices are not the labels.
    (picture.quantize(4) if mode == "P" else picture.convert(mode)).save(masks / "a.png")
    dataset = FolderDataset(images, masks, ("x", "y", "z"), colors=COLORS)
    assert torch.equal(dataset[0][1], torch.from_numpy(LABELS).long())
    assert dataset.palette == ((10, 20, 30), (200, 0, 0), (0, 0, 9))


def test_black_and_white_needs_colors_since_255_is_void(write: Writer) -> None:
    mask = np.array([[0, 255, 255], [0, 0, 255]], dtype=np.uint8)
    folders = write(["a.jpg"], {"a.png": mask})
    colors = {(0, 0, 0): 0, (255, 255, 255): 1}
    as_colors = FolderDataset(*folders, ("out", "in"), colors=colors)
    as_labels = FolderDataset(*folders, ("out", "in"))
    assert torch.equal(as_colors[0][1], torch.from_numpy(mask // 255).long())
    assert torch.equal(as_labels[0][1], torch.from_numpy(mask).long())
    assert as_colors.fingerprint() != as_labels.fingerprint()


def test_an_unknown_color_is_named(write: Writer) -> None:
    pixels = painted()
    pixels[0, 0] = (1, 2, 3)
    dataset = FolderDataset(*write(["a.jpg"], {"a.png": pixels}), "xyz", colors=COLORS)
    with pytest.raises(LabelValueError, match=r"a\.png has 1 colors .*\(1, 2, 3\), expected"):
        dataset[0]


def test_colors_blurred_by_jpeg_are_recognized_as_such(write: Writer) -> None:
    images, masks = write(["a.png"], {"a.jpg": np.kron(painted(), np.ones((9, 9, 1), np.uint8))})
    dataset = FolderDataset(images, masks, "xyz", colors=COLORS, strict=False)
    Image.new("RGB", (27, 18)).save(images / "a.png")
    with pytest.raises(LabelValueError, match="come from JPEG compression"):
        dataset[0]


def test_lone_files_are_listed_or_left_out(write: Writer) -> None:
    masks = {"a.png": LABELS, "y.png": LABELS}
    folders = write(["a.jpg", "b.jpg", "c.jpg"], masks)
    with pytest.raises(
        ValueError,
        match=r"2 images have no mask \(b\.jpg, c\.jpg\) and 1 masks have no image \(y\.png\)",
    ):
        FolderDataset(*folders, "xyz")
    assert len(FolderDataset(*folders, "xyz", strict=False)) == 1


def test_nothing_that_matches_is_told_with_examples(write: Writer) -> None:
    with pytest.raises(ValueError, match=r"such as a\.jpg and masks such as b\.png"):
        FolderDataset(*write(["a.jpg"], {"b.png": LABELS}), "xyz")


def test_missing_and_empty_folders_are_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no folder .*images"):
        FolderDataset(tmp_path / "images", tmp_path, "xyz")
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(FileNotFoundError, match=r"no images in .*expected files ending in \.bmp"):
        FolderDataset(tmp_path, tmp_path, "xyz")


def test_hidden_files_are_passed_over_and_twins_refused(write: Writer) -> None:
    images, masks = write(["a.jpg"], {"a.png": LABELS})
    (images / "._a.jpg").write_bytes(b"not an image")
    assert len(match_files(images, masks).pairs) == 1
    write(["a.png"], {})
    with pytest.raises(ValueError, match="differ only in their suffix"):
        match_files(images, masks)


def test_sizes_are_compared_before_training(write: Writer) -> None:
    folders = write(["a.jpg", "b.jpg"], {"a.png": LABELS, "b.png": LABELS[:, :2]})
    with pytest.raises(SizeMismatchError, match=r"b\.jpg is 3x2 .*b\.png is 2x2"):
        FolderDataset(*folders, "xyz")
    dataset = FolderDataset(*folders, "xyz", strict=False)
    dataset[0]
    with pytest.raises(SizeMismatchError):
        dataset[1]


@pytest.mark.parametrize(("orientation", "fits"), [(1, True), (3, True), (6, False), (8, False)])
def test_exif_orientation_counts_in_the_comparison(
    write: Writer, orientation: int, fits: bool
) -> None:
    images, masks = write(["a.jpg"], {"a.png": LABELS})
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    Image.new("RGB", (3, 2)).save(images / "a.jpg", exif=exif)
    if fits:
        assert FolderDataset(images, masks, "xyz")[0][0].shape == (3, 2, 3)
    else:
        with pytest.raises(SizeMismatchError, match="EXIF orientation"):
            FolderDataset(images, masks, "xyz")
        Image.fromarray(LABELS).rotate(90, expand=True).save(masks / "a.png")
        assert FolderDataset(images, masks, "xyz")[0][0].shape == (3, 3, 2)


def test_a_color_table_with_a_wrong_label_is_refused(write: Writer) -> None:
    with pytest.raises(ValueError, match=r"labels \{\(0, 0, 9\): 2\}, expected 0 to 1 for 2"):
        FolderDataset(*write(["a.jpg"], {"a.png": LABELS}), "xy", colors=COLORS)


def test_a_class_list_has_names_or_names_and_colors(tmp_path: Path) -> None:
    path = tmp_path / "classes.txt"
    path.write_text("road\n\n traffic sign \n")
    assert read_class_list(path) == (("road", "traffic sign"), None)
    path.write_text("road 1 2 3\nvoid 0 0 0\ntraffic sign 4 5 6\n")
    colors = {(1, 2, 3): 0, (0, 0, 0): 255, (4, 5, 6): 1}
    assert read_class_list(path) == (("road", "traffic sign"), colors)


@pytest.mark.parametrize("text", ["", "road 1 2 3\ncar\n", "road 1 2 256\n", "a 1 1 1\nb 1 1 1"])
def test_a_muddled_class_list_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "classes.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"classes\.txt must have a class a line"):
        read_class_list(path)


def test_pictures_without_masks_are_void_all_over(write: Writer) -> None:
    images, _ = write(["a.jpg", "deep/b.png"], {})
    pictures = PictureFolder(images, ("x", "y"), ((0, 0, 0), (9, 9, 9)))
    assert [pictures.name(index) for index in range(2)] == ["a", "b"]
    image, mask = pictures[1]
    assert image.shape == (3, 2, 3)
    assert mask.dtype == torch.int64
    assert (mask == VOID).all()
    assert mask.shape == (2, 3)
    before = pictures.fingerprint()
    Image.new("RGB", (3, 2), "white").save(images / "a.jpg")
    assert pictures.fingerprint() != before
    with pytest.raises(FileNotFoundError, match="absent"):
        PictureFolder(images / "absent", ("x",), ((0, 0, 0),))
