"""VOC's layout, colors and splits."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from segtut.data.dataset import UnreadableFileError
from segtut.data.voc import VOC_CLASSES, VOCSegmentation, voc_colors

LABELS = np.array([[0, 15, 255], [20, 15, 1]], dtype=np.uint8)


def write_voc(devkit: Path, splits: dict[str, list[str]]) -> Path:
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (devkit / folder).mkdir(parents=True)
    for split, names in splits.items():
        (devkit / "ImageSets" / "Segmentation" / f"{split}.txt").write_text("\n".join(names))
        for name in names:
            Image.new("RGB", (3, 2)).save(devkit / "JPEGImages" / f"{name}.jpg")
            mask = Image.fromarray(LABELS)
            mask.putpalette([channel for color in voc_colors(256) for channel in color])
            mask.save(devkit / "SegmentationClass" / f"{name}.png")
    return devkit


def write_sbd(dataset: Path, train: list[str], val: list[str]) -> None:
    for folder in ("img", "cls"):
        (dataset / folder).mkdir(parents=True)
    (dataset / "train.txt").write_text("\n".join(train))
    (dataset / "val.txt").write_text("\n".join(val))
    for name in train + val:
        Image.new("RGB", (3, 2)).save(dataset / "img" / f"{name}.jpg")
        content = {"Segmentation": np.full((2, 3), 7, np.uint8), "CategoriesPresent": 7}
        savemat(dataset / "cls" / f"{name}.mat", {"GTcls": content})


def test_the_colors_are_those_of_the_development_kit() -> None:
    # As printed in VOC's documentation of its label colors.
    known = {0: (0, 0, 0), 1: (128, 0, 0), 15: (192, 128, 128), 20: (0, 64, 128)}
    colors = voc_colors(256)
    assert {label: colors[label] for label in known} == known
    assert colors[255] == (224, 224, 192)
    assert len(set(colors)) == 256


@pytest.mark.parametrize("at", ["VOCdevkit/VOC2012", "VOC2012", "."])
def test_the_root_may_be_any_folder_above_the_images(tmp_path: Path, at: str) -> None:
    write_voc(tmp_path / at, {"train": ["a", "b"], "val": ["c"]})
    dataset = VOCSegmentation(tmp_path, "train")
    assert [dataset.name(i) for i in range(len(dataset))] == ["a", "b"]
    assert torch.equal(dataset[0][1], torch.from_numpy(LABELS).long())
    assert dataset.num_classes == 21
    assert dataset.classes[15] == "person"


def test_trainaug_adds_what_is_in_no_list_of_voc(tmp_path: Path) -> None:
    write_voc(tmp_path / "VOCdevkit" / "VOC2012", {"train": ["a", "b"], "val": ["c"]})
    write_sbd(tmp_path / "benchmark_RELEASE" / "dataset", ["a", "d"], ["c", "e"])
    dataset = VOCSegmentation(tmp_path, "trainaug")
    assert [dataset.name(i) for i in range(len(dataset))] == ["a", "b", "d", "e"]
    assert 255 in dataset[0][1]
    assert torch.equal(dataset[2][1], torch.full((2, 3), 7))


@pytest.mark.parametrize("place", ["benchmark_RELEASE", "sbd/benchmark_RELEASE"])
def test_sbd_is_found_beside_voc_or_where_it_is_said_to_be(tmp_path: Path, place: str) -> None:
    root = write_voc(tmp_path / "voc2012" / "VOCdevkit" / "VOC2012", {"train": ["a"], "val": ["c"]})
    write_sbd(tmp_path / place / "dataset", ["d"], ["e"])
    for top in (tmp_path / "voc2012", root):
        assert len(VOCSegmentation(top, "trainaug", sbd=tmp_path / place)) == 3
    assert len(VOCSegmentation(tmp_path / "voc2012", "trainaug")) == 3


def test_trainaug_without_sbd_says_where_it_was_looked_for(tmp_path: Path) -> None:
    write_voc(tmp_path, {"train": ["a"], "val": ["c"]})
    with pytest.raises(FileNotFoundError, match=r"trainaug needs SBD.*segtut data fetch sbd"):
        VOCSegmentation(tmp_path, "trainaug")


def test_a_damaged_label_file_of_sbd_is_named(tmp_path: Path) -> None:
    write_voc(tmp_path, {"train": ["a"], "val": ["c"]})
    sbd = tmp_path / "benchmark_RELEASE" / "dataset"
    write_sbd(sbd, ["d"], ["e"])
    (sbd / "cls" / "d.mat").write_bytes((sbd / "cls" / "d.mat").read_bytes()[:150])
    savemat(sbd / "cls" / "e.mat", {"something": 1})
    dataset = VOCSegmentation(tmp_path, "trainaug")
    for index, name in ((1, "d"), (2, "e")):
        with pytest.raises(UnreadableFileError, match=rf"{name}\.mat cannot be read"):
            dataset[index]


def test_wrong_folders_splits_and_missing_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="does not look like VOC 2012"):
        VOCSegmentation(tmp_path, "train")
    write_voc(tmp_path, {"train": ["a", "b"]})
    with pytest.raises(FileNotFoundError, match="splits found there: train"):
        VOCSegmentation(tmp_path, "test")
    (tmp_path / "SegmentationClass" / "b.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of the 4 files .* missing, .*b\.png"):
        VOCSegmentation(tmp_path, "train")


@pytest.mark.parametrize(("split", "count"), [("train", 437), ("val", 445)])
def test_the_real_animals_have_their_count(real_data: Path, split: str, count: int) -> None:
    dataset = VOCSegmentation(real_data / "voc2012_animals", split)
    assert len(dataset) == count
    image, mask = dataset[0]
    assert image.shape[1:] == mask.shape
    assert set(mask.unique().tolist()) <= {*range(len(VOC_CLASSES)), 255}
