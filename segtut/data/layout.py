"""Guessing how a folder of images and masks is laid out."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from segtut.data.camvid import CamVid
from segtut.data.dataset import (
    RGB,
    VOID,
    LabelValueError,
    SampleError,
    SegmentationDataset,
    open_picture,
    read_label_map,
)
from segtut.data.folder import FolderDataset, match_files, read_class_list
from segtut.data.pairs import FacadePairs
from segtut.data.voc import VOCSegmentation, find_devkit

SPLITS = ("train", "val", "test")
IMAGE_FOLDERS = ("images", "image", "imgs", "img")
MASK_FOLDERS = ("masks", "mask", "labels", "label", "annotations", "annotation", "gt")
CAMVID_STEMS = ("0001TP", "0006R0", "0016E5", "Seq05VD")
BLACK_AND_WHITE: dict[RGB, int] = {(0, 0, 0): 0, (255, 255, 255): 1}

MASKS_LOOKED_AT = 200
"""How many masks of a split are read to guess the classes."""

LAYOUTS = """\
  images/ and masks/, or train/images/ and train/masks/, or images/train/ and masks/train/,
    best with a classes.txt: a class a line, "car", or "car 64 0 128" when masks are colored
  PASCAL VOC: JPEGImages/, SegmentationClass/, ImageSets/Segmentation/train.txt
  CamVid: images/, masks/, splits/ or train/, trainannot/, train.txt
  pairs in one picture, photo left and CMP facade colors right: train/1.jpg
labelme's JSON files are converted first: segtut data convert FOLDER --output NEW"""


def open_folder(path: str | Path) -> dict[str, SegmentationDataset]:
    """The data sets found in a folder, by split; without splits there is one, called "all".

    Known layouts: PASCAL VOC, CamVid, facade pairs, and folders of images and masks, whose classes
    stand in classes.txt (see `read_class_list`) or, failing that, are counted from the masks.
    Files that stand alone are left out, and sizes are not compared: `doctor.check` reports both.
    Raises FileNotFoundError when the folder is missing or its layout is not known, ValueError when
    the classes cannot be told.
    """
    root = Path(path)
    if not root.is_dir():
        raise FileNotFoundError(f"no folder {root}")
    if _is_voc(root):
        return _open_voc(root)
    if _is_camvid(root):
        return {split: CamVid(root, split) for split in SPLITS}
    folders = _image_and_mask_folders(root)
    if folders:
        return _open_folders(root, folders)
    if _is_facades(root):
        return {s: FacadePairs(root, s) for s in SPLITS if (root / s).is_dir()}
    raise FileNotFoundError(f"the layout of {root} is not known, expected one of\n{LAYOUTS}")


def _is_voc(root: Path) -> bool:
    try:
        return (find_devkit(root) / "ImageSets" / "Segmentation").is_dir()
    except FileNotFoundError:
        return False


def _open_voc(root: Path) -> dict[str, SegmentationDataset]:
    lists = find_devkit(root) / "ImageSets" / "Segmentation"
    found = {path.stem for path in lists.glob("*.txt")}
    # trainval is train and val again: every image of it would be reported as a duplicate.
    splits = [split for split in SPLITS if split in found] or sorted(found)
    return {split: VOCSegmentation(root, split) for split in splits}


def _is_camvid(root: Path) -> bool:
    if (root / "CamVid").is_dir() or (root / "trainannot").is_dir():
        return True
    stems = (path.stem for path in (root / "masks").glob("*.png"))
    return (root / "splits").is_dir() and next(stems, "").startswith(CAMVID_STEMS)


def _is_facades(root: Path) -> bool:
    first = next((root / "train").glob("*.jpg"), None)
    if first is None:
        return False
    with open_picture(first) as picture:
        return picture.width == 2 * picture.height


def _image_and_mask_folders(root: Path) -> dict[str, tuple[Path, Path]]:
    """Image folder and mask folder of each split."""
    folders = {}
    for split in SPLITS:
        pair = _pair_in(root / split)
        if pair:
            folders[split] = pair
    whole = _pair_in(root)
    if folders or whole is None:
        return folders
    images, masks = whole
    inner = {s: (images / s, masks / s) for s in SPLITS if (images / s).is_dir()}
    return {s: pair for s, pair in inner.items() if pair[1].is_dir()} or {"all": whole}


def _pair_in(folder: Path) -> tuple[Path, Path] | None:
    images = [folder / name for name in IMAGE_FOLDERS if (folder / name).is_dir()]
    masks = [folder / name for name in MASK_FOLDERS if (folder / name).is_dir()]
    return (images[0], masks[0]) if images and masks else None


def _open_folders(
    root: Path, folders: dict[str, tuple[Path, Path]]
) -> dict[str, SegmentationDataset]:
    listed = root / "classes.txt"
    if listed.is_file():
        classes, colors = read_class_list(listed)
    else:
        masks = [mask for pair in folders.values() for _, mask in match_files(*pair).pairs]
        classes, colors = guess_classes(masks[:: max(1, len(masks) // MASKS_LOOKED_AT)], listed)
    return {
        split: FolderDataset(images, masks, classes, colors=colors, strict=False)
        for split, (images, masks) in folders.items()
    }


def guess_classes(
    masks: Iterable[Path], class_list: Path
) -> tuple[tuple[str, ...], dict[RGB, int] | None]:
    """Names and colors of the classes that the labels in these masks call for.

    Masks of 0 and 255 alone are black and white; else the largest label but 255 is the last class.
    Damaged masks are passed over. Raises ValueError when masks hold colors, or labels above 255, or
    when none can be read; the text says what to write into `class_list`.
    """
    values: set[int] = set()
    for path in masks:
        try:
            values.update(np.unique(read_label_map(path)).tolist())
        except LabelValueError as error:
            raise ValueError(
                f"{path} holds colors: write the classes into {class_list}, a line each, name and "
                f"color, for example\n{_color_lines(path)}"
            ) from error
        except SampleError:
            continue
    labels = values - {VOID}
    if not labels:
        raise ValueError(
            f"the classes cannot be guessed, no mask could be read or all of them are {VOID}: "
            f"write them into {class_list}, a name a line"
        )
    if labels == {0} and VOID in values:
        return ("black", "white"), BLACK_AND_WHITE
    if max(labels) > VOID:
        raise ValueError(
            f"the masks hold labels up to {max(labels)}, expected class numbers below {VOID}: are "
            "they instance numbers, or 16-bit gray?"
        )
    return tuple(f"class {label}" for label in range(max(labels) + 1)), None


def _color_lines(path: Path) -> str:
    """The commonest colors of a mask, as lines for a list of classes."""
    with Image.open(path) as picture:
        pixels = np.array(picture.convert("RGB")).reshape(-1, 3)
    colors, counts = np.unique(pixels, axis=0, return_counts=True)
    common = colors[np.argsort(-counts, kind="stable")[:8]]
    return "\n".join(f"  name{i} {r} {g} {b}" for i, (r, g, b) in enumerate(common.tolist()))
