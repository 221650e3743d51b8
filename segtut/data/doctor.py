"""Looking a data set over before time is spent on training with it."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor
from tqdm import tqdm

from segtut.data.dataset import (
    VOID,
    ImageMaskFiles,
    LabelValueError,
    SegmentationDataset,
    SizeMismatchError,
    UnreadableFileError,
)
from segtut.data.folder import FolderDataset
from segtut.data.layout import open_folder

__all__ = ["Finding", "Report", "check", "check_splits", "open_folder"]

Severity = Literal["error", "warning", "note"]

EXAMPLES = 4
RARE_SHARE = 0.005
UNIFORM_SHARE = 0.999
MOSTLY_VOID_SHARE = 0.5


@dataclass(frozen=True)
class Finding:
    """Something to know about a data set: what, where for example, and what to do about it."""

    severity: Severity
    text: str
    advice: str
    examples: tuple[str, ...] = ()

    def __str__(self) -> str:
        shown = ", ".join(self.examples[:EXAMPLES])
        more = f" and {len(self.examples) - EXAMPLES} more" * (len(self.examples) > EXAMPLES)
        where = f": {shown}{more}" if shown else ""
        return f"{self.severity:8} {self.text}{where}\n{'':8} -> {self.advice}"


@dataclass(frozen=True)
class Report:
    """What `check` found; as a string, a table of the classes and the findings, worst first.

    `class_pixels` (C,) counts pixels and `class_images` (C,) the images that have any, int64;
    `void_pixels` and `void_images` likewise; `sizes` counts images by (width, height). Samples that
    cannot be read are in none of these.
    """

    samples: int
    classes: tuple[str, ...]
    class_pixels: Tensor
    class_images: Tensor
    void_pixels: int
    void_images: int
    sizes: Counter[tuple[int, int]]
    findings: tuple[Finding, ...]

    @property
    def has_errors(self) -> bool:
        """Whether something must be put right before training."""
        return any(finding.severity == "error" for finding in self.findings)

    @property
    def class_shares(self) -> Tensor:
        """Share of each class in the pixels that are not void, (C,) float64, 0-1."""
        return self.class_pixels.double() / self.class_pixels.sum().clamp(min=1)

    @property
    def void_share(self) -> float:
        """Share of void in all pixels, 0-1."""
        return self.void_pixels / max(1, self.void_pixels + int(self.class_pixels.sum()))

    def __str__(self) -> str:
        head = f"{self.samples} samples, {len(self.classes)} classes, {_sizes_in_words(self.sizes)}"
        body = [str(finding) for finding in self.findings] or ["Nothing wrong was found."]
        return "\n".join([head, "", *self._table(), "", *body])

    def _table(self) -> list[str]:
        width = max(len(name) for name in (*self.classes, "class", "(void)"))
        rows = zip(
            self.classes, self.class_shares.tolist(), self.class_images.tolist(), strict=True
        )
        return [
            f"{'class':{width}}  % of pixels  images",
            *(f"{name:{width}}  {share:11.2%}  {images:6d}" for name, share, images in rows),
            f"{'(void)':{width}}  {self.void_share:11.2%}  {self.void_images:6d}",
        ]


@dataclass
class _Survey:
    """What one pass over a data set collects; lists hold names of samples or files."""

    dataset: SegmentationDataset
    class_pixels: Tensor
    class_images: Tensor
    void_pixels: int = 0
    void_images: int = 0
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    failures: list[tuple[str, Exception]] = field(default_factory=list)
    all_void: list[str] = field(default_factory=list)
    mostly_void: list[str] = field(default_factory=list)
    uniform: list[str] = field(default_factory=list)
    blank: list[str] = field(default_factory=list)
    names_by_pixels: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))


def check(dataset: SegmentationDataset, other: SegmentationDataset | None = None) -> Report:
    """Read every sample and report what would harm training or falsify its scores.

    With `other`, say the training set, images that both sets contain are an error.
    """
    others = {} if other is None else {"the other set": _survey(other)}
    return _report(_survey(dataset), others)


def check_splits(datasets: Mapping[str, SegmentationDataset]) -> dict[str, Report]:
    """`check` for each split, reading each once; images shared with an earlier split are errors."""
    surveys: dict[str, _Survey] = {}
    reports = {}
    for split, dataset in datasets.items():
        survey = _survey(dataset)
        reports[split] = _report(survey, surveys)
        surveys[split] = survey
    return reports


def _survey(dataset: SegmentationDataset) -> _Survey:
    zeros = torch.zeros(dataset.num_classes, dtype=torch.int64)
    survey = _Survey(dataset, zeros, zeros.clone())
    for index in tqdm(range(len(dataset)), desc="looking", unit="image", leave=False, disable=None):
        name = dataset.name(index)
        try:
            image, mask = dataset[index]
        except (ValueError, OSError) as error:
            path = getattr(error, "path", None)
            survey.failures.append((path.name if path else name, error))
            continue
        _look_at(survey, name, image.as_subclass(Tensor), mask.as_subclass(Tensor))
    return survey


def _look_at(survey: _Survey, name: str, image: Tensor, mask: Tensor) -> None:
    counts = torch.bincount(mask.flatten(), minlength=VOID + 1)
    classes, void = counts[: len(survey.class_pixels)], int(counts[VOID])
    survey.class_pixels += classes
    survey.class_images += classes > 0
    survey.void_pixels += void
    survey.void_images += void > 0
    survey.sizes[mask.shape[1], mask.shape[0]] += 1
    valid = int(classes.sum())
    if valid == 0:
        survey.all_void.append(name)
    elif void > MOSTLY_VOID_SHARE * mask.numel():
        survey.mostly_void.append(name)
    elif int(classes.max()) >= UNIFORM_SHARE * valid:
        survey.uniform.append(f"{name} ({survey.dataset.classes[int(classes.argmax())]})")
    if image.min() == image.max():
        survey.blank.append(name)
    digest = hashlib.sha256(image.numpy().tobytes()).hexdigest()
    survey.names_by_pixels[digest].append(name)


def _report(survey: _Survey, others: Mapping[str, _Survey]) -> Report:
    findings = [
        *_broken_files(survey),
        *_lone_files(survey.dataset),
        *_shared_images(survey, others),
        *_repeated_images(survey),
        *_odd_samples(survey),
        *_class_balance(survey),
        *_compressed_masks(survey.dataset),
        *_many_sizes(survey),
    ]
    order: tuple[Severity, ...] = ("error", "warning", "note")
    return Report(
        samples=len(survey.dataset),
        classes=survey.dataset.classes,
        class_pixels=survey.class_pixels,
        class_images=survey.class_images,
        void_pixels=survey.void_pixels,
        void_images=survey.void_images,
        sizes=survey.sizes,
        findings=tuple(sorted(findings, key=lambda finding: order.index(finding.severity))),
    )


def _broken_files(survey: _Survey) -> Iterable[Finding]:
    kinds: tuple[tuple[type[Exception], str], ...] = (
        (UnreadableFileError, "{} cannot be read"),
        (SizeMismatchError, "{} differ in size from their mask"),
        (LabelValueError, "{} hold labels or colors of no class"),
        (Exception, "{} fail to load"),
    )
    left = survey.failures
    for kind, text in kinds:
        failed = [(name, error) for name, error in left if isinstance(error, kind)]
        left = [item for item in left if item not in failed]
        if failed:
            names = tuple(name for name, _ in failed)
            advice = f"the first: {failed[0][1]}"
            yield Finding("error", text.format(_count(names, "file")), advice, names)


def _lone_files(dataset: SegmentationDataset) -> Iterable[Finding]:
    if not isinstance(dataset, FolderDataset):
        return
    for files, text, advice in (
        (
            dataset.matching.images_without_mask,
            "{} without a mask",
            "label them or move them away; they are not used",
        ),
        (
            dataset.matching.masks_without_image,
            "{} without an image",
            "rename them as their images are named, or move them away; they are not used",
        ),
    ):
        if files:
            names = tuple(path.name for path in files)
            yield Finding("error", text.format(_count(names, "file")), advice, names)


def _shared_images(survey: _Survey, others: Mapping[str, _Survey]) -> Iterable[Finding]:
    for split, other in others.items():
        both = survey.names_by_pixels.keys() & other.names_by_pixels.keys()
        pairs = sorted(
            f"{survey.names_by_pixels[key][0]} = {other.names_by_pixels[key][0]}" for key in both
        )
        if pairs:
            yield Finding(
                "error",
                f"{_count(pairs, 'image')} also in {split}",
                "take them out of one set: a score on images seen in training says nothing",
                tuple(pairs),
            )


def _repeated_images(survey: _Survey) -> Iterable[Finding]:
    repeated = sorted(
        " = ".join(names) for names in survey.names_by_pixels.values() if len(names) > 1
    )
    if repeated:
        yield Finding(
            "warning",
            f"{_count(repeated, 'image')} more than once",
            "keep one of each, and compare their masks: they may contradict each other",
            tuple(repeated),
        )


def _odd_samples(survey: _Survey) -> Iterable[Finding]:
    kinds: tuple[tuple[list[str], Severity, str, str], ...] = (
        (
            survey.all_void,
            "warning",
            "with nothing but void",
            f"nothing can be learned from them: label them or move them away, or is {VOID} a class "
            "in them?",
        ),
        (
            survey.mostly_void,
            "warning",
            f"more than {MOSTLY_VOID_SHARE:.0%} void",
            "look whether they were labeled to the end",
        ),
        (
            survey.blank,
            "warning",
            "of a single color",
            "look at them: a picture without contrast is mostly a failed export",
        ),
        (
            survey.uniform,
            "note",
            f"at least {UNIFORM_SHARE:.1%} one class",
            "fine as examples of absence; look whether something was left unlabeled",
        ),
    )
    for names, severity, text, advice in kinds:
        if names:
            yield Finding(severity, f"{_count(names, 'sample')} {text}", advice, tuple(names))


def _class_balance(survey: _Survey) -> Iterable[Finding]:
    classes, total = survey.dataset.classes, int(survey.class_pixels.sum())
    if total == 0:
        return
    shares = {
        name: n / total for name, n in zip(classes, survey.class_pixels.tolist(), strict=True)
    }
    absent = tuple(name for name, share in shares.items() if share == 0)
    rare = tuple(f"{name} {share:.2%}" for name, share in shares.items() if 0 < share < RARE_SHARE)
    present = len(classes) - len(absent)
    if present == 1 and survey.void_pixels:
        yield Finding(
            "error",
            "all pixels are of one class or void",
            f"if the masks are black and white, {VOID} is a class in them and not void: pass "
            "colors={(0, 0, 0): 0, (255, 255, 255): 1} to FolderDataset",
        )
    if absent:
        yield Finding(
            "warning",
            f"{_count(absent, 'class')} never seen",
            "check the order of the class list; a class that is absent here cannot be learned "
            "from this set, nor scored on it",
            absent,
        )
    if rare:
        yield Finding(
            "note",
            f"{_count(rare, 'class')} below {RARE_SHARE:.1%} of the pixels",
            "weigh the loss (median_frequency_weights) or add a Dice term, and read the IoU of "
            "each class, not the accuracy",
            rare,
        )


def _compressed_masks(dataset: SegmentationDataset) -> Iterable[Finding]:
    if not isinstance(dataset, ImageMaskFiles):
        return
    names = tuple(
        mask.name
        for image, mask in dataset.files
        if mask.suffix.lower() in (".jpg", ".jpeg") and mask != image
    )
    if names:
        yield Finding(
            "warning",
            f"{_count(names, 'mask')} stored as JPEG",
            "JPEG changes label values near borders: export the masks again as PNG",
            names,
        )


def _many_sizes(survey: _Survey) -> Iterable[Finding]:
    if len(survey.sizes) > 1:
        yield Finding(
            "note",
            f"{len(survey.sizes)} different sizes",
            "train on crops of one size (RandomScaledCrop); score at each image's own size",
        )


def _sizes_in_words(sizes: Counter[tuple[int, int]]) -> str:
    if not sizes:
        return "none of them readable"
    low, high = (min(sizes, key=_area), max(sizes, key=_area))
    smallest, largest = (f"{width}x{height}" for width, height in (low, high))
    return f"{smallest} pixels" if len(sizes) == 1 else f"{smallest} to {largest} pixels"


def _area(size: tuple[int, int]) -> int:
    return size[0] * size[1]


def _count(things: Iterable[str], noun: str) -> str:
    n = len(tuple(things))
    return f"{n} {noun}" if n == 1 else f"{n} {noun}{'es' if noun.endswith('s') else 's'}"
