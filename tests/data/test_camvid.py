"""CamVid's two layouts and its void."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from segtut.data.camvid import CamVid

LABELS = np.array([[0, 10, 11], [11, 5, 3]], dtype=np.uint8)
EXPECTED = torch.tensor([[0, 10, 255], [255, 5, 3]])


def write_pair(image: Path, mask: Path) -> None:
    for path in (image, mask):
        path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (3, 2)).save(image)
    Image.fromarray(LABELS).save(mask)


def test_folders_of_images_masks_and_splits(tmp_path: Path) -> None:
    for name in ("0001TP_1", "0001TP_2"):
        write_pair(tmp_path / "images" / f"{name}.jpg", tmp_path / "masks" / f"{name}.png")
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits" / "val.txt").write_text("0001TP_2\n")
    dataset = CamVid(tmp_path, "val")
    assert len(dataset) == 1
    assert dataset.name(0) == "0001TP_2"
    assert torch.equal(dataset[0][1], EXPECTED)


@pytest.mark.parametrize("inside", ["CamVid", "."])
def test_the_segnet_archive_with_its_authors_paths(tmp_path: Path, inside: str) -> None:
    folder = tmp_path / inside
    for split in ("train", "test"):
        write_pair(folder / split / "x1.png", folder / f"{split}annot" / "x1.png")
        line = f"/SegNet/CamVid/{split}/x1.png /SegNet/CamVid/{split}annot/x1.png\n"
        (folder / f"{split}.txt").write_text(line)
    dataset = CamVid(tmp_path, "test")
    assert dataset.files[0][1] == folder / "testannot" / "x1.png"
    assert torch.equal(dataset[0][1], EXPECTED)


def test_another_folder_and_another_split_are_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="does not look like CamVid"):
        CamVid(tmp_path, "train")
    write_pair(tmp_path / "images" / "a.jpg", tmp_path / "masks" / "a.png")
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits" / "train.txt").write_text("a\nb\n")
    with pytest.raises(FileNotFoundError, match="splits found there: train"):
        CamVid(tmp_path, "val")
    with pytest.raises(FileNotFoundError, match=r"2 of the 4 files .*b\.jpg.*b\.png"):
        CamVid(tmp_path, "train")


@pytest.mark.parametrize(("split", "count"), [("train", 367), ("val", 101), ("test", 233)])
def test_the_real_splits_have_their_count_and_shape(
    real_data: Path, split: str, count: int
) -> None:
    dataset = CamVid(real_data / "camvid", split)
    assert len(dataset) == count
    image, mask = dataset[count // 2]
    assert image.shape == (3, 360, 480)
    assert mask.shape == (360, 480)
    assert set(mask.unique().tolist()) <= {*range(11), 255}


def test_the_real_class_shares_are_those_published(real_data: Path) -> None:
    pixels = np.zeros(12, dtype=np.int64)
    for split in ("train", "val", "test"):
        dataset = CamVid(real_data / "camvid", split)
        for _, mask in dataset.files:
            pixels += np.bincount(dataset.read_labels(mask).ravel(), minlength=12)
    # In percent, from the data's own description, void last.
    published = [15.8, 24.1, 1.0, 29.3, 6.7, 11.2, 1.1, 1.4, 4.6, 0.6, 0.5, 3.6]
    assert np.allclose(100 * pixels / pixels.sum(), published, atol=0.06)
