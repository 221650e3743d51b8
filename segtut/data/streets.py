"""Streets: drawn street scenes with exact label maps, the data set that needs no download."""

import hashlib
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision import tv_tensors

from segtut.data.dataset import RGB, VOID, SegmentationDataset, to_sample
from segtut.data.drawing.light import WEATHERS
from segtut.data.drawing.scene import draw_scene, draw_scene_numbers
from segtut.data.drawing.stage import OVERSAMPLING, THINGS
from segtut.data.palette import STREETS_PALETTE, colorize

DRAWING_VERSION = 5
"""Raised whenever the same arguments give other pixels than before."""

Weather = Literal["clear", "fog", "night", "rain", "mixed"]

CLASSES: dict[int, tuple[str, ...]] = {
    8: ("sky", "building", "road", "pavement", "tree", "pole", "car", "person"),
    4: ("sky", "scenery", "ground", "traffic"),
    2: ("background", "traffic"),
}
"""Class names by number of classes. Four: buildings, trees and poles become scenery, road and
pavement ground, cars and people traffic. Two: traffic against all the rest."""

MERGES: dict[int, tuple[int, ...]] = {
    8: (0, 1, 2, 3, 4, 5, 6, 7),
    4: (0, 1, 2, 2, 1, 1, 3, 3),
    2: (0, 0, 0, 0, 0, 0, 1, 1),
}

PALETTES: dict[int, tuple[RGB, ...]] = {
    8: STREETS_PALETTE,
    4: (STREETS_PALETTE[0], STREETS_PALETTE[4], STREETS_PALETTE[2], STREETS_PALETTE[7]),
    2: (STREETS_PALETTE[2], STREETS_PALETTE[7]),
}

SPLITS = ("train", "val", "test")


def draw_street(
    seed: int | str,
    size: tuple[int, int] = (96, 128),
    weather: Weather = "clear",
    *,
    classes: int = 8,
    crowding: float = 1.0,
) -> tuple[tv_tensors.Image, tv_tensors.Mask]:
    """Draw one street scene and its labels.

    size: (H, W) in pixels, each at least 16; weather: "clear", "fog", "night", "rain", or "mixed"
    for any of them; classes: 8, 4 or 2, see CLASSES; crowding: how many people, cars, poles and
    trees there are, as a multiple of the usual. The same seed gives the same scene at every size.
    Returns the image, uint8 (3, H, W), and the labels, int64 (H, W), with a contour of void (255)
    one pixel wide around everything. Raises ValueError for arguments outside these.
    """
    check_arguments(size, weather, classes, crowding)
    picture, sheet = draw_scene(f"street {seed}", size, weather, crowding)
    return to_sample(picture, outline(sheet, MERGES[classes]).astype(np.int64))


def draw_strip(
    seed: int | str, size: tuple[int, int] = (192, 768), weather: Weather = "clear"
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A wide street for a cover: the picture and its label map in class colors, (H, W, 3) each."""
    image, labels = draw_street(seed, size, weather)
    return image.permute(1, 2, 0).contiguous().numpy(), colorize(labels.numpy(), STREETS_PALETTE)


def check_arguments(size: tuple[int, int], weather: str, classes: int, crowding: float) -> None:
    """Raise ValueError that says what was found and what a street can be drawn with."""
    if len(size) != 2 or min(size) < 16:
        raise ValueError(f"size {size} was given, expected (H, W) of at least 16 pixels each")
    if weather not in (*WEATHERS, "mixed"):
        raise ValueError(
            f"weather {weather!r} is unknown, expected one of {', '.join(WEATHERS)}, mixed"
        )
    if classes not in CLASSES:
        raise ValueError(f"{classes} classes were asked for, expected 8, or 4 or 2 by merging")
    if not 0 <= crowding <= 4:
        raise ValueError(f"crowding {crowding} was given, expected 0 (nobody) to 4; 1 is usual")


def outline(sheet: NDArray[np.uint8], merge: Sequence[int] = MERGES[8]) -> NDArray[np.uint8]:
    """Labels (H, W) of an eight-class sheet (2H, 2W), with void contours between merged classes.

    A pixel is void if its four sheet pixels differ in class. Where two whole pixels of different
    classes touch, that of the lower of the eight classes is void, so that poles and people, drawn
    a few pixels wide, keep theirs. A contour is thus one pixel wide, as in VOC at its scale.
    """
    classes = np.array(merge, dtype=np.uint8).take(sheet)
    pairs = classes.view(np.uint16)  # of pixels side by side
    whole = (pairs[0::2] == pairs[1::2]) & (classes[0::2, 0::2] == classes[0::2, 1::2])
    first = classes[0::2, 0::2].copy()
    rows = np.maximum(sheet[0::2], sheet[1::2])
    rank = np.maximum(rows[:, 0::2], rows[:, 1::2]) * whole
    edge = ~whole
    for here, there in (
        (np.s_[:, 1:], np.s_[:, :-1]),
        (np.s_[:, :-1], np.s_[:, 1:]),
        (np.s_[1:], np.s_[:-1]),
        (np.s_[:-1], np.s_[1:]),
    ):
        differs = first[here] != first[there]
        edge[here] |= differs & (rank[here] < rank[there])
    first[edge] = VOID
    return first


def number_pixels(
    sheet: NDArray[np.uint8], labels: NDArray[np.integer], things: Sequence[int]
) -> NDArray[np.uint8]:
    """Instance numbers (H, W) of a sheet of numbers (2H, 2W), 0 where the label is of no thing.

    Where the four sheet pixels show two things of one class, the upper left one decides, as it
    does for the label.
    """
    numbers = sheet[::OVERSAMPLING, ::OVERSAMPLING]
    return np.where(np.isin(labels, things), numbers, 0).astype(np.uint8)


class Streets(SegmentationDataset):
    """Drawn street scenes, kept decoded in memory once drawn.

    split: "train", "val" or "test", which never share a scene; n: number of scenes; size, classes,
    weather and crowding as for `draw_street`; seed: another seed is another town. Sample i depends
    on split, seed and i, not on n or on what was drawn before, and at every size shows the same
    scene. `instances(i)` numbers the things in sample i; `things` are the classes, of those asked
    for, that consist of things. Raises ValueError for arguments out of range.
    """

    def __init__(
        self,
        split: str = "train",
        n: int = 400,
        size: tuple[int, int] = (96, 128),
        classes: int = 8,
        weather: Weather = "clear",
        seed: int = 0,
        crowding: float = 1.0,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"split {split!r} is unknown, expected one of {', '.join(SPLITS)}")
        if n < 1:
            raise ValueError(f"{n} scenes were asked for, expected at least 1")
        check_arguments(size, weather, classes, crowding)
        self.split, self.size, self.weather, self.seed = split, size, weather, seed
        self.crowding = crowding
        self.classes, self.palette = CLASSES[classes], PALETTES[classes]
        self.things = tuple(
            label
            for label in range(classes)
            if all(old in THINGS for old, new in enumerate(MERGES[classes]) if new == label)
        )
        self._samples: list[tuple[torch.Tensor, torch.Tensor] | None] = [None] * n
        self._instances: dict[int, torch.Tensor] = {}

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> tuple[tv_tensors.Image, tv_tensors.Mask]:
        index = range(len(self))[index]
        sample = self._samples[index]
        if sample is None:
            sample = self._samples[index] = self._draw(index)
        image, labels = sample
        return tv_tensors.Image(image.clone()), tv_tensors.Mask(labels.to(torch.int64))

    def instances(self, index: int) -> tv_tensors.Mask:
        """The number of the thing in each pixel of sample `index`, int64 (H, W); 0 where none is.

        A thing is what was drawn as one car, one person or one pole with its lamp or sign: it keeps
        its number when another one cuts it in two, and things that touch differ in theirs. Numbers
        are the same at every size, in all weathers and for 8, 4 or 2 classes. They count from far
        to near, with gaps where a thing is not to be seen: of two that overlap, the higher hides
        the lower. Every pixel labeled as one of `things` has a number, every other one 0, void too.
        With 4 or 2 classes poles are scenery and have none.

        As a third argument of a torchvision.transforms.v2 pipeline the map moves with the sample,
        `pipeline(image, target, dataset.instances(i))`; where `RandomScaledCrop` looks past the
        edge both maps hold 255, which is no thing's number.
        """
        index = range(len(self))[index]
        numbers = self._instances.get(index)
        if numbers is None:
            _, labels = self[index]
            sheet = draw_scene_numbers(self._scene(index), self.size, self.weather, self.crowding)
            numbers = torch.from_numpy(number_pixels(sheet, labels.numpy(), self.things))
            self._instances[index] = numbers
        return tv_tensors.Mask(numbers.to(torch.int64))

    def _scene(self, index: int) -> str:
        return f"street {self.seed} {self.split} {index}"

    def _draw(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        picture, sheet = draw_scene(self._scene(index), self.size, self.weather, self.crowding)
        labels = outline(sheet, MERGES[self.num_classes])
        return torch.from_numpy(picture.transpose(2, 0, 1)), torch.from_numpy(labels)

    def name(self, index: int) -> str:
        """For example "streets-train-000017"."""
        return f"streets-{self.split}-{range(len(self))[index]:06d}"

    def fingerprint(self) -> str:
        """Sha256 (hex) over the arguments and the drawing's version."""
        arguments = (self.split, len(self), tuple(self.size), self.classes, self.weather)
        text = repr((DRAWING_VERSION, arguments, self.seed, float(self.crowding)))
        return hashlib.sha256(text.encode()).hexdigest()
