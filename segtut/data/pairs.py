"""Pairs in one file: a photograph on the left, its label colors on the right."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torchvision import tv_tensors

from segtut.data.dataset import (
    RGB,
    ImageMaskFiles,
    LabelValueError,
    SizeMismatchError,
    read_image,
    to_sample,
)

FACADE_CLASSES: tuple[str, ...] = (
    "background",
    "facade",
    "window",
    "door",
    "cornice",
    "sill",
    "balcony",
    "blind",
    "deco",
    "molding",
    "pillar",
    "shop",
)

FACADE_PALETTE: tuple[RGB, ...] = (
    (0, 0, 223),
    (0, 48, 255),
    (0, 128, 255),
    (0, 207, 255),
    (32, 255, 223),
    (112, 255, 143),
    (192, 255, 63),
    (255, 239, 0),
    (255, 159, 0),
    (255, 80, 0),
    (255, 0, 0),
    (175, 0, 0),
)
"""The colors in the pix2pix files, which are not those of the CMP database.

Found as the twelve most frequent colors of the flat regions (3x3 pixels equal within 1) of the 400
training pairs: MATLAB's jet map again, but sampled at other places than in CMP's own PNGs, where
background is (0, 0, 170), facade (0, 0, 255), window (0, 85, 255) and so on. Looked up in CMP's
table 59 % of the pixels get the wrong class: background turns into facade, facade into window.
"""

PURE_DISTANCE = 40.0
"""Farther than this (Euclidean, in RGB levels) from every class color, a pixel is a mixture."""


class FacadePairs(ImageMaskFiles):
    """CMP facades as pix2pix ships them: 400 train, 100 val, 106 test, 12 classes, no void.

    `root` holds train/, val/ and test/ with one JPEG of 512x256 a pair. The labels are colors that
    JPEG has blurred, so each pixel takes the class of the nearest color; `nearest_class` tells how.
    Raises FileNotFoundError for a missing or empty split.
    Source: Tylecek and Sara 2013 (CMP Facade Database); Isola et al. 2017 (pix2pix).
    """

    def __init__(self, root: str | Path, split: str) -> None:
        folder = Path(root) / split
        files = sorted(folder.glob("*.jpg"), key=lambda path: (len(path.stem), path.stem))
        if not files:
            raise FileNotFoundError(
                f"no *.jpg in {folder}: expected {root} to hold train/, val/ and test/; "
                "`segtut data fetch facades` gets them"
            )
        super().__init__([(path, path) for path in files], FACADE_CLASSES, FACADE_PALETTE)

    def __getitem__(self, index: int) -> tuple[tv_tensors.Image, tv_tensors.Mask]:
        path = self.files[index][0]
        photo, colors = _halves(path)
        labels = nearest_class(colors, self.palette, path)
        return to_sample(photo, labels)

    def read_labels(self, path: Path) -> NDArray[np.integer]:
        """Labels (H, W) of the right half of a pair."""
        return nearest_class(_halves(path)[1], self.palette, path)


def _halves(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    both = read_image(path)
    height, width = both.shape[:2]
    if width != 2 * height:
        raise SizeMismatchError(
            f"{path} is {width}x{height} pixels, expected a photo and its labels side by side, "
            "twice as wide as high",
            path,
        )
    return both[:, :height], both[:, height:]


def nearest_class(
    pixels: NDArray[np.uint8], palette: tuple[RGB, ...], path: Path
) -> NDArray[np.int64]:
    """Classes (H, W) of label colors (H, W, 3) that JPEG has blurred.

    The nearest color alone is wrong at borders: these colors lie along one path, so that halfway
    between two classes is the color of a third, and a thin false rim appears. Therefore only pixels
    near a class color count (see PURE_DISTANCE), and the others take the class of the closest such
    pixel. Maps painted in these colors, compressed as the files are and read back, have 4.0 % wrong
    pixels by nearest color and 0.6 % this way.

    Raises LabelValueError when no pixel is near a class color.
    """
    from scipy.ndimage import distance_transform_edt

    points, centers = pixels.astype(np.float32), np.array(palette, dtype=np.float32)
    # |p - c|^2 = |p|^2 - 2 p.c + |c|^2, without an array of every difference.
    distance = (points**2).sum(-1)[..., None] - 2 * points @ centers.T + (centers**2).sum(-1)
    mixed = distance.min(axis=-1) > PURE_DISTANCE**2
    if mixed.all():
        raise LabelValueError(
            f"{path} has none of the {len(palette)} label colors in its right half: expected the "
            "photo left and the labels right",
            path,
        )
    rows, columns = distance_transform_edt(mixed, return_distances=False, return_indices=True)
    return distance.argmin(axis=-1)[rows, columns]
