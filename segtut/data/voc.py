"""PASCAL VOC 2012 segmentation, with or without SBD's extra labels."""

import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segtut.data.dataset import (
    RGB,
    ImageMaskFiles,
    UnreadableFileError,
    read_label_map,
    read_split,
    require_files,
)

VOC_CLASSES: tuple[str, ...] = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)


def voc_colors(n: int) -> tuple[RGB, ...]:
    """The first n colors of VOC's color map (VOCcolormap.m of the development kit).

    The bits of the label are dealt to red, green and blue in turn, highest color bit first, so that
    any two labels below 256 get different colors.
    """
    colors = []
    for label in range(n):
        channels = [0, 0, 0]
        for bit in range(8):
            for channel in range(3):
                channels[channel] |= (label >> (3 * bit + channel) & 1) << (7 - bit)
        colors.append((channels[0], channels[1], channels[2]))
    return tuple(colors)


class VOCSegmentation(ImageMaskFiles):
    """VOC 2012 with its 21 classes; the masks' palette indices are the labels, 255 is void.

    `root` is the folder that holds VOCdevkit/VOC2012, or VOC2012 itself, or any folder with
    JPEGImages/, SegmentationClass/ and ImageSets/Segmentation/{split}.txt. The split "trainaug" is
    VOC's train with the images of SBD (Hariharan et al. 2011), less VOC's val: 10,582 images, VOC's
    own mask where there are two. SBD's folder (benchmark_RELEASE) is looked for in `sbd`, `root`
    and beside it; its .mat files are read with SciPy.
    Raises FileNotFoundError for an unknown layout or split and for missing files.
    """

    def __init__(self, root: str | Path, split: str, sbd: str | Path | None = None) -> None:
        root = Path(root)
        devkit = find_devkit(root)
        if split == "trainaug":
            benchmark = _find_sbd(Path(sbd) if sbd is not None else None, root, devkit)
            files = _train_with_sbd(devkit, benchmark)
        else:
            files = _listed_files(devkit, split)
        super().__init__(files, VOC_CLASSES, voc_colors(len(VOC_CLASSES)))

    def read_labels(self, path: Path) -> NDArray[np.integer]:
        """Labels (H, W) of a palette PNG, or of a .mat file of SBD."""
        return _read_sbd_labels(path) if path.suffix == ".mat" else read_label_map(path)


def find_devkit(root: Path) -> Path:
    """The folder with JPEGImages/ at or under `root`; FileNotFoundError when there is none."""
    for folder in (root, root / "VOC2012", root / "VOCdevkit" / "VOC2012"):
        if (folder / "JPEGImages").is_dir():
            return folder
    raise FileNotFoundError(
        f"{root} does not look like VOC 2012: expected JPEGImages/ in it or in VOCdevkit/VOC2012; "
        "`segtut data fetch voc2012` gets it"
    )


def _listed_files(devkit: Path, split: str) -> list[tuple[Path, Path]]:
    split_list = devkit / "ImageSets" / "Segmentation" / f"{split}.txt"
    files = [
        (devkit / "JPEGImages" / f"{name}.jpg", devkit / "SegmentationClass" / f"{name}.png")
        for name in read_split(split_list)
    ]
    require_files(files, str(split_list))
    return files


def _find_sbd(given: Path | None, root: Path, devkit: Path) -> Path:
    places = [given] if given else [root, root.parent, devkit.parent, devkit.parent.parent]
    for place in places:
        for folder in (place, place / "benchmark_RELEASE", place / "sbd" / "benchmark_RELEASE"):
            if (folder / "dataset" / "cls").is_dir():
                return folder / "dataset"
    raise FileNotFoundError(
        "the split trainaug needs SBD: no benchmark_RELEASE/dataset/cls in "
        f"{', '.join(str(place) for place in places)}; `segtut data fetch sbd` gets it"
    )


def _train_with_sbd(devkit: Path, benchmark: Path) -> list[tuple[Path, Path]]:
    train = _listed_files(devkit, "train")
    left_out = {image.stem for image, _ in train + _listed_files(devkit, "val")}
    lists = [benchmark / "train.txt", benchmark / "val.txt"]
    names = [name for path in lists for name in read_split(path) if name not in left_out]
    extra = [
        (benchmark / "img" / f"{name}.jpg", benchmark / "cls" / f"{name}.mat") for name in names
    ]
    require_files(extra, str(benchmark))
    return train + extra


def _read_sbd_labels(path: Path) -> NDArray[np.integer]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        content = loadmat(path, mat_dtype=False, squeeze_me=True, struct_as_record=False)
        labels: NDArray[np.integer] = content["GTcls"].Segmentation
    except (KeyError, AttributeError, ValueError, OSError, MatReadError, zlib.error) as error:
        raise UnreadableFileError(
            f"{path} cannot be read as a label file of SBD ({error}): fetch SBD again", path
        ) from error
    return labels
