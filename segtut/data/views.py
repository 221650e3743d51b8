"""Views of a data set: kept in memory, a part of it, its samples drawn with random transforms."""

import hashlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from segtut.data.dataset import VOID, SegmentationDataset
from segtut.data.transforms import resize_image, resize_mask, shorter_side

Sample = tuple[tv_tensors.Image, tv_tensors.Mask]


class InMemory(SegmentationDataset):
    """A data set decoded once and kept as bytes in memory.

    ``shorter``: if given, every sample is resized to this shorter side on the way in, images
    antialiased, label maps by nearest-exact. Reading ``dataset`` once at the start also means that
    a corrupt file is reported before training begins, not after an hour of it.
    """

    def __init__(self, dataset: SegmentationDataset, shorter: int | None = None) -> None:
        if len(dataset) == 0:
            raise ValueError("the data set has no samples; nothing can be kept in memory")
        if shorter is not None and shorter < 1:
            raise ValueError(f"shorter must be at least 1 pixel, not {shorter}")
        self.source = dataset
        self.classes = dataset.classes
        self.palette = dataset.palette
        self._samples = [self._decoded(dataset[index], shorter) for index in range(len(dataset))]

    @staticmethod
    def _decoded(sample: Sample, shorter: int | None) -> tuple[Tensor, Tensor]:
        image, mask = (part.as_subclass(Tensor) for part in sample)
        if shorter is not None:
            height, width = image.shape[-2:]
            size = shorter_side((height, width), shorter)
            image, mask = resize_image(image, size), resize_mask(mask, size)
        return image, mask.to(torch.uint8)

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Sample:
        image, mask = self._samples[index]
        return tv_tensors.Image(image), tv_tensors.Mask(mask.long())

    def smallest_size(self) -> tuple[int, int]:
        """The largest (H, W) that fits into every sample."""
        sizes = [image.shape[-2:] for image, _ in self._samples]
        return min(size[0] for size in sizes), min(size[1] for size in sizes)

    def name(self, index: int) -> str:
        """The name of the sample in the set behind this one."""
        return self.source.name(index)

    def fingerprint(self) -> str:
        """The fingerprint of the set behind this one, before any resizing."""
        return self.source.fingerprint()


class Subset(SegmentationDataset):
    """The samples of ``dataset`` whose numbers stand in ``indices``, in that order."""

    def __init__(self, dataset: SegmentationDataset, indices: Sequence[int]) -> None:
        wrong = [index for index in indices if not 0 <= index < len(dataset)]
        if wrong:
            raise ValueError(f"indices {wrong[:5]} lie outside 0..{len(dataset) - 1}")
        self.source = dataset
        self.indices = tuple(indices)
        self.classes = dataset.classes
        self.palette = dataset.palette

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Sample:
        return self.source[self.indices[index]]

    def name(self, index: int) -> str:
        """The name of the sample in the whole set."""
        return self.source.name(self.indices[index])

    def fingerprint(self) -> str:
        """Sha256 (hex) over the fingerprint of the whole set and the numbers that were chosen."""
        text = f"{self.source.fingerprint()} {self.indices}"
        return hashlib.sha256(text.encode()).hexdigest()


class PartlyLabeled(SegmentationDataset):
    """A data set of which only the samples ``labeled`` keep their label maps.

    Labeled samples (even numbers, over and over again) and the others (odd numbers, their maps all
    void) take turns, so that a shuffled batch holds about as many of each, however few labels there
    are. ``unlabeled`` is a further set whose pictures are used without their labels, after the
    others. Raises ``ValueError`` where no sample is labeled, none is without labels, or the two
    sets differ in their classes.
    """

    def __init__(
        self,
        dataset: SegmentationDataset,
        labeled: Sequence[int],
        unlabeled: SegmentationDataset | None = None,
    ) -> None:
        kept = set(labeled)
        rest = [index for index in range(len(dataset)) if index not in kept]
        self._with = [(dataset, index) for index in Subset(dataset, labeled).indices]
        self._without = [(dataset, index) for index in rest]
        if unlabeled is not None:
            if unlabeled.classes != dataset.classes:
                raise ValueError(
                    f"the sets differ in their classes: {', '.join(dataset.classes)} and "
                    f"{', '.join(unlabeled.classes)}"
                )
            self._without += [(unlabeled, index) for index in range(len(unlabeled))]
        if not self._with or not self._without:
            raise ValueError(
                f"{len(kept)} of {len(dataset)} samples are labeled; expected some, and not all"
            )
        self._sources = [dataset] if unlabeled is None else [dataset, unlabeled]
        self.classes = dataset.classes
        self.palette = dataset.palette

    def __len__(self) -> int:
        return 2 * max(len(self._with), len(self._without))

    def __getitem__(self, index: int) -> Sample:
        source, position = self._place(index)
        image, mask = source[position]
        if index % 2:
            mask = tv_tensors.Mask(torch.full_like(mask, VOID))
        return image, mask

    def _place(self, index: int) -> tuple[SegmentationDataset, int]:
        half = self._without if index % 2 else self._with
        return half[index // 2 % len(half)]

    def name(self, index: int) -> str:
        """The name of the sample in the set it comes from."""
        source, position = self._place(index)
        return source.name(position)

    def fingerprint(self) -> str:
        """Sha256 (hex) over those of the sets and which samples are labeled."""
        prints = [source.fingerprint() for source in self._sources]
        text = f"{prints} {[index for _, index in self._with]}"
        return hashlib.sha256(text.encode()).hexdigest()


class Redrawn(SegmentationDataset):
    """The label maps of ``dataset`` with other pictures, such as a network's.

    ``draw`` takes a picture, float (3, H, W), 0-1, and its labels (H, W), and returns the picture
    to show instead, float (3, H, W), 0-1. Whoever scores a fixed segmentation network on such a set
    learns how much of the labels the new pictures still show. Raises ``ValueError``, at the sample,
    for a picture of another shape.
    """

    def __init__(
        self, dataset: SegmentationDataset, draw: Callable[[Tensor, Tensor], Tensor]
    ) -> None:
        self.source = dataset
        self.draw = draw
        self.classes = dataset.classes
        self.palette = dataset.palette

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Sample:
        image, mask = (part.as_subclass(Tensor) for part in self.source[index])
        drawn = self.draw(image / 255, mask)
        if drawn.shape != image.shape:
            raise ValueError(
                f"draw returned a picture {tuple(drawn.shape)} for one of {tuple(image.shape)}; "
                "expected the same size and channels"
            )
        levels = (drawn.clamp(0, 1) * 255).round().to(torch.uint8).cpu()
        return tv_tensors.Image(levels), tv_tensors.Mask(mask)

    def name(self, index: int) -> str:
        """The name of the sample in the set behind this one."""
        return self.source.name(index)

    def fingerprint(self) -> str:
        """The fingerprint of the set behind this one; of the drawing nothing is known."""
        return self.source.fingerprint()


class Augmented(Dataset[Sample]):
    """Samples with a random transform whose draws depend on ``seed`` and the number of the draw.

    It is indexed by ``(number, index)``: sample ``index``, transformed with the random numbers that
    belong to draw ``number``. So a run gives the same samples however many workers or processes
    share them, and a resumed run continues with the same ones. The global random state of torch is
    left as it was.
    """

    def __init__(
        self, dataset: SegmentationDataset, transform: v2.Transform | None, seed: int
    ) -> None:
        self.dataset = dataset
        self.transform = transform
        self.seed = seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, draw: tuple[int, int]) -> Sample:
        number, index = draw
        sample = self.dataset[index]
        if self.transform is None:
            return sample
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(_mixed(self.seed, number))
            image, mask = self.transform(*sample)
        return image, mask


def _mixed(seed: int, number: int) -> int:
    """A 63-bit seed in which neighboring draws have nothing in common (splitmix64 finalizer)."""
    mask = (1 << 64) - 1
    value = (seed * 0x9E3779B97F4A7C15 + number + 1) * 0xBF58476D1CE4E5B9 & mask
    value = (value ^ (value >> 31)) * 0x94D049BB133111EB & mask
    return (value ^ (value >> 29)) >> 1
