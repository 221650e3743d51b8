"""Guessing layouts and classes."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtut.data.camvid import CamVid
from segtut.data.folder import FolderDataset
from segtut.data.layout import open_folder
from segtut.data.pairs import FacadePairs
from segtut.data.voc import VOCSegmentation

LABELS = np.array([[0, 1, 2], [2, 255, 0]], dtype=np.uint8)


def write(folder: Path, name: str, pixels: np.ndarray = LABELS) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(folder / name)


@pytest.mark.parametrize(
    ("layout", "splits"),
    [
        ([("images", "masks")], ["all"]),
        ([("img", "labels")], ["all"]),
        ([("train/images", "train/masks"), ("val/images", "val/masks")], ["train", "val"]),
        (
            [("images/train", "annotations/train"), ("images/test", "annotations/test")],
            ["train", "test"],
        ),
    ],
)
def test_images_beside_masks(
    tmp_path: Path, layout: list[tuple[str, str]], splits: list[str]
) -> None:
    for images, masks in layout:
        write(tmp_path / images, "a.jpg")
        write(tmp_path / masks, "a.png")
    found = open_folder(tmp_path)
    assert list(found) == splits
    for dataset in found.values():
        assert isinstance(dataset, FolderDataset)
        assert dataset.classes == ("class 0", "class 1", "class 2")
        assert np.array_equal(dataset[0][1].numpy(), LABELS)


def test_a_class_list_is_used(tmp_path: Path) -> None:
    write(tmp_path / "images", "a.jpg")
    write(tmp_path / "masks", "a.png", np.dstack([LABELS] * 3))
    names = ["low 0 0 0", "mid 1 1 1", "high 2 2 2", "void 255 255 255"]
    (tmp_path / "classes.txt").write_text("\n".join(names))
    dataset = open_folder(tmp_path)["all"]
    assert dataset.classes == ("low", "mid", "high")
    assert np.array_equal(dataset[0][1].numpy(), LABELS)


def test_black_and_white_masks_are_two_classes(tmp_path: Path) -> None:
    write(tmp_path / "images", "a.jpg")
    write(tmp_path / "masks", "a.png", (LABELS > 0).astype(np.uint8) * 255)
    dataset = open_folder(tmp_path)["all"]
    assert dataset.classes == ("black", "white")
    assert np.array_equal(dataset[0][1].numpy(), LABELS > 0)


def test_colored_masks_ask_for_a_class_list_and_begin_it(tmp_path: Path) -> None:
    write(tmp_path / "images", "a.jpg")
    colors = np.array([(9, 0, 0), (0, 9, 0), (0, 0, 9)], dtype=np.uint8)
    write(tmp_path / "masks", "a.png", colors[np.array([[0, 0, 0], [1, 1, 2]])])
    with pytest.raises(ValueError, match=r"a\.png holds colors: write .*classes\.txt") as caught:
        open_folder(tmp_path)
    lines = [line.strip() for line in str(caught.value).splitlines()[1:]]
    assert lines == ["name0 9 0 0", "name1 0 9 0", "name2 0 0 9"]
    (tmp_path / "classes.txt").write_text("\n".join(lines))
    assert open_folder(tmp_path)["all"].num_classes == 3


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.full((2, 3), 255, np.uint8), "cannot be guessed"),
        (np.full((2, 3), 26_001, np.uint16), "labels up to 26001"),
    ],
)
def test_masks_that_tell_no_classes(tmp_path: Path, mask: np.ndarray, message: str) -> None:
    write(tmp_path / "images", "a.jpg")
    write(tmp_path / "masks", "a.png", mask)
    with pytest.raises(ValueError, match=message):
        open_folder(tmp_path)


def test_a_folder_of_another_kind_is_told_the_layouts(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no folder .*gone"):
        open_folder(tmp_path / "gone")
    write(tmp_path / "pictures", "a.jpg")
    with pytest.raises(
        FileNotFoundError, match=r"not known, expected one of\n  images/ and masks/"
    ):
        open_folder(tmp_path)


def test_voc_leaves_out_trainval(tmp_path: Path) -> None:
    lists = tmp_path / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for split in ("train", "val", "trainval"):
        (lists / f"{split}.txt").write_text("a")
    write(tmp_path / "JPEGImages", "a.jpg")
    write(tmp_path / "SegmentationClass", "a.png")
    found = open_folder(tmp_path)
    assert list(found) == ["train", "val"]
    assert isinstance(found["val"], VOCSegmentation)


def test_camvid_is_known_by_its_names(tmp_path: Path) -> None:
    (tmp_path / "splits").mkdir()
    for split, name in (("train", "0001TP_1"), ("val", "0016E5_2"), ("test", "Seq05VD_3")):
        write(tmp_path / "images", f"{name}.jpg")
        write(tmp_path / "masks", f"{name}.png", np.full((2, 3), 11, np.uint8))
        (tmp_path / "splits" / f"{split}.txt").write_text(name)
    found = open_folder(tmp_path)
    assert [type(dataset) for dataset in found.values()] == [CamVid] * 3
    assert (found["test"][0][1] == 255).all()


def test_pairs_are_known_by_their_shape(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write(tmp_path / split, "1.jpg", np.zeros((8, 16), np.uint8))
    found = open_folder(tmp_path)
    assert list(found) == ["train", "val"]
    assert isinstance(found["train"], FacadePairs)


@pytest.mark.parametrize(
    ("folder", "counts"),
    [
        ("camvid", {"train": 367, "val": 101, "test": 233}),
        ("voc2012_animals", {"train": 437, "val": 445}),
        ("facades", {"train": 400, "val": 100, "test": 106}),
        ("isbi2012_membrane", {"all": 30}),
    ],
)
def test_the_real_folders_are_known(real_data: Path, folder: str, counts: dict[str, int]) -> None:
    found = open_folder(real_data / folder)
    assert {split: len(dataset) for split, dataset in found.items()} == counts
