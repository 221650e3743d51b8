"""Outlines drawn with labelme, turned into the folder of images and masks that training takes."""

import base64
import binascii
import difflib
import io
import json
import math
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segtut.data.dataset import VOID, SampleError, open_picture, upright_size
from segtut.data.doctor import Finding
from segtut.data.folder import IMAGE_SUFFIXES
from segtut.data.voc import voc_colors

BACKGROUND = "background"
"""The class of the pixels outside all outlines, where it is among the classes."""

_NAMES_OF_BACKGROUND = (BACKGROUND, "_background_")
_NAMES_OF_VOID = ("__ignore__", "void")
RARE_NAME = 0.2
"""A label that looks like another is reported if it has at most this share of its outlines."""

_WITHOUT_AREA = ("line", "linestrip", "point", "points")
_SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "BMP": ".bmp", "TIFF": ".tif", "WEBP": ".webp"}


class AnnotationError(ValueError):
    """A labelme file that cannot be turned into a label map; the text says why."""


@dataclass(frozen=True)
class Conversion:
    """What `convert` wrote, and what it found on the way; as a string, both in words."""

    output: Path
    classes: tuple[str, ...]
    written: tuple[Path, ...]
    """The label maps, one for each picture."""
    outlines: int
    findings: tuple[Finding, ...]

    @property
    def has_errors(self) -> bool:
        """Whether a picture that somebody outlined was left out."""
        return any(finding.severity == "error" for finding in self.findings)

    def __str__(self) -> str:
        numbered = ", ".join(f"{number} {name}" for number, name in enumerate(self.classes))
        head = (
            f"{len(self.written)} pictures with {self.outlines} outlines written to {self.output}\n"
            f"classes: {numbered}"
        )
        return "\n".join([head, *(f"\n{finding}" for finding in self.findings)])


def convert(
    folder: str | Path, output: str | Path, classes: Sequence[str] | None = None
) -> Conversion:
    """Write the pictures and outlines of a labelme folder as images/, masks/ and classes.txt.

    A mask is a PNG of class numbers. Outlines are painted in the order of the file, later ones
    over earlier ones; the label __ignore__ (or void) is 255. Pixels in no outline are of the class
    background (or _background_) if that is among the classes, else 255.

    Args:
        folder: labelme's JSON files, subfolders searched, beside their pictures or with the
            pictures inside.
        output: a folder that does not exist yet, or is empty; `segtut.data.doctor.open_folder`
            and `segtut train --data` read it.
        classes: their names, class 0 first; an outline of any other name is an error, and its
            picture is left out. Without them the classes are the names found, background first.

    Raises:
        FileNotFoundError: there is no such folder, or no JSON file in it.
        ValueError: `output` holds files already, or no picture could be converted.
    """
    folder, output = Path(folder), Path(output)
    files = _json_files(folder)
    if output.exists() and any(output.iterdir()):
        raise ValueError(f"{output} is not empty: choose a folder that does not exist yet")
    survey = _Survey(folder)
    annotations = {path: found for path in files if (found := survey.read(path)) is not None}
    names = classes_of(annotations.values()) if classes is None else _listed(classes)
    written, outlines = [], 0
    for path, annotation in annotations.items():
        mask = survey.label_map(path, annotation, names)
        picture = survey.picture(path, annotation)
        if mask is None or picture is None:
            continue
        written.append(_write(output, path.relative_to(folder), picture, mask))
        outlines += len(annotation["shapes"])
    if not written:
        raise ValueError(
            f"none of the {len(files)} JSON files in {folder} could be converted\n"
            + "\n".join(map(str, survey.findings(classes)))
        )
    (output / "classes.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    return Conversion(output, names, tuple(written), outlines, survey.findings(classes))


def read_class_names(path: Path) -> tuple[str, ...]:
    """Names of a text file with one class a line, as labelme's --labels takes it."""
    lines = map(str.strip, path.read_text(encoding="utf-8-sig").splitlines())
    return _listed(list(filter(None, lines)))


def classes_of(annotations: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """The names of all outlines, sorted, background first and void left out."""
    found = {_plain(shape["label"]) for one in annotations for shape in one["shapes"]} - {"void"}
    return tuple(sorted(found, key=lambda name: (name != BACKGROUND, name)))


def label_map(annotation: Mapping[str, Any], classes: Sequence[str]) -> NDArray[np.uint8]:
    """Class numbers (H, W), 255 for void, of what a labelme file holds.

    annotation: the parsed JSON, with "shapes", "imageHeight" and "imageWidth".
    Raises AnnotationError for a label that is not among the classes and for a broken shape.
    """
    return _paint(annotation, classes)[0]


def polygon_mask(points: Sequence[Sequence[float]], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Which pixels (H, W) have their middle inside a polygon; even-odd rule.

    points: corners (x, y), in pixels from the upper left corner of the picture, so that the first
    pixel reaches from 0 to 1 and its middle is 0.5. Polygons that share an edge leave no pixel
    out and have none in common.
    """
    height, width = size
    inside = np.zeros(size, dtype=bool)
    rows, columns = np.arange(height) + 0.5, np.arange(width) + 0.5
    corners = [(float(x), float(y)) for x, y in points]
    for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], *corners[:1]], strict=True):
        if y0 == y1:
            continue
        crossed = np.flatnonzero((y0 <= rows) != (y1 <= rows))
        crossing = x0 + (rows[crossed] - y0) * (x1 - x0) / (y1 - y0)
        inside[crossed] ^= columns < crossing[:, None]
    return inside


@dataclass
class _Survey:
    """What went wrong, by kind, while a folder is converted."""

    folder: Path
    failed: dict[str, list[str]] = field(default_factory=dict)
    """Files left out, by the reason."""
    covered: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    without_area: list[str] = field(default_factory=list)
    without_outline: list[str] = field(default_factory=list)
    partly_outlined: dict[str, float] = field(default_factory=dict)
    """The share of pixels in no outline, by name."""
    names: Counter[str] = field(default_factory=Counter)
    pictures: set[Path] = field(default_factory=set)

    def fail(self, path: Path, reason: object) -> None:
        name = path.relative_to(self.folder).as_posix()
        self.failed.setdefault(str(reason), []).append(name)

    def read(self, path: Path) -> dict[str, Any] | None:
        try:
            annotation = _read_annotation(path)
        except AnnotationError as error:
            self.fail(path, error)
            return None
        self.names.update(_plain(shape["label"]) for shape in annotation["shapes"])
        return annotation

    def label_map(
        self, path: Path, annotation: Mapping[str, Any], classes: Sequence[str]
    ) -> NDArray[np.uint8] | None:
        try:
            labels, owner = _paint(annotation, classes)
        except AnnotationError as error:
            self.fail(path, error)
            return None
        name = path.relative_to(self.folder).with_suffix("").as_posix()
        seen = set(np.unique(owner).tolist())
        shapes: list[dict[str, Any]] = annotation["shapes"]
        for number, shape in enumerate(shapes):
            where = f"{name} ({shape['label']})"
            if shape["shape_type"] in _WITHOUT_AREA:
                self.without_area.append(where)
            elif number not in seen:
                alone = shape_mask(shape, labels.shape).any()
                (self.covered if alone else self.empty).append(where)
        if not shapes:
            self.without_outline.append(name)
        elif BACKGROUND not in classes and (owner < 0).any():
            self.partly_outlined[name] = float((owner < 0).mean())
        return labels

    def picture(self, path: Path, annotation: Mapping[str, Any]) -> Path | bytes | None:
        """The file of the picture, or its bytes where it lies in the JSON file."""
        try:
            found = _find_picture(path, annotation)
            expected = (annotation["imageWidth"], annotation["imageHeight"])
            _require_size(found, expected)
        except (AnnotationError, SampleError) as error:
            self.fail(path, error)
            return None
        if isinstance(found, Path):
            self.pictures.add(found.resolve())
        return found

    def findings(self, classes: Sequence[str] | None) -> tuple[Finding, ...]:
        found = []
        for reason, names in self.failed.items():
            if len(names) == 1:
                found.append(Finding("error", f"{names[0]} was left out", reason))
            else:
                text = f"{len(names)} files were left out"
                found.append(Finding("error", text, reason, tuple(names)))
        if classes is None:
            found += _similar_names(self.names)
        kinds: tuple[tuple[list[str], str, str], ...] = (
            (
                self.covered,
                "outlines lie wholly under later ones",
                "later outlines are painted over earlier ones: in labelme's list of polygons, move "
                "large things up and small ones down",
            ),
            (self.empty, "outlines contain no pixel", "remove them, or draw them larger"),
            (
                self.without_area,
                "shapes are lines or points and cover nothing",
                "outline the thing itself",
            ),
            (
                self.without_outline,
                "files without an outline",
                "right for a picture of background alone; else outline what is in it",
            ),
        )
        for names, text, advice in kinds:
            if names:
                found.append(Finding("warning", f"{len(names)} {text}", advice, tuple(names)))
        left_out = {
            Path(name).with_suffix("").as_posix()
            for names in self.failed.values()
            for name in names
        }
        partly = [
            f"{name} ({share:.0%})"
            for name, share in self.partly_outlined.items()
            if name not in left_out
        ]
        if partly:
            found.append(
                Finding(
                    "note",
                    f"{len(partly)} pictures have pixels in no outline, which are void",
                    f"to make them a class, list {BACKGROUND} among the classes",
                    tuple(partly),
                )
            )
        lone = sorted(path.name for path in _pictures_in(self.folder) - self.pictures)
        named = {Path(name).stem for names in self.failed.values() for name in names}
        lone = [name for name in lone if Path(name).stem not in named]
        if lone:
            advice = "fine if you have not come to them yet"
            text = f"{len(lone)} pictures without a JSON file were left out"
            found.append(Finding("note", text, advice, tuple(lone)))
        return tuple(found)


def shape_mask(shape: Mapping[str, Any], size: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which pixels (H, W) a shape of a labelme file covers; lines and points cover none.

    Raises AnnotationError for a kind of shape that is not known and for missing points.
    """
    height, width = size
    kind, points = shape.get("shape_type") or "polygon", shape["points"]
    needed = {"polygon": 3, "oriented_rectangle": 4, "rectangle": 2, "circle": 2, "mask": 2}
    if kind in _WITHOUT_AREA:
        return np.zeros((height, width), dtype=bool)
    if kind not in needed:
        raise AnnotationError(f"a shape of {shape['label']!r} is of the unknown kind {kind!r}")
    if len(points) < needed[kind]:
        raise AnnotationError(
            f"a {kind} of {shape['label']!r} has {len(points)} points, expected at least "
            f"{needed[kind]}: finish it or delete it"
        )
    if kind == "circle":
        (x, y), (on_x, on_y) = points
        rows, columns = np.ogrid[0.5:height, 0.5:width]
        return np.hypot(columns - x, rows - y) <= math.hypot(on_x - x, on_y - y)
    if kind == "mask":
        return _pasted(shape, (height, width))
    if kind == "rectangle":
        (left, top), (right, bottom) = points
        points = [(left, top), (right, top), (right, bottom), (left, bottom)]
    return polygon_mask(points, (height, width))


def _pasted(shape: Mapping[str, Any], size: tuple[int, int]) -> NDArray[np.bool_]:
    """A mask shape: a small black-and-white PNG whose upper left pixel is the first point."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(shape["mask"]))) as picture:
            patch = np.array(picture.convert("L")) > 0
    except (KeyError, TypeError, OSError, binascii.Error) as error:
        raise AnnotationError(f"the mask of {shape['label']!r} cannot be read: {error}") from error
    (left, top), mask = np.round(shape["points"][0]).astype(int), np.zeros(size, dtype=bool)
    rows, columns = np.nonzero(patch)
    rows, columns = rows + top, columns + left
    kept = (rows >= 0) & (columns >= 0) & (rows < size[0]) & (columns < size[1])
    mask[rows[kept], columns[kept]] = True
    return mask


def _paint(
    annotation: Mapping[str, Any], classes: Sequence[str]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Class numbers (H, W), and which shape each pixel is from, -1 for none."""
    size = (annotation["imageHeight"], annotation["imageWidth"])
    numbers = {_plain(name): number for number, name in enumerate(classes)} | {"void": VOID}
    labels = np.full(size, numbers.get(BACKGROUND, VOID), dtype=np.uint8)
    owner = np.full(size, -1, dtype=np.int64)
    for number, shape in enumerate(annotation["shapes"]):
        name = _plain(shape["label"])
        if name not in numbers:
            near = difflib.get_close_matches(name, list(numbers), n=1, cutoff=0.6)
            raise AnnotationError(
                f"an outline is labeled {shape['label']!r}, expected one of {', '.join(classes)}"
                + (f"; is it {near[0]}?" if near else "")
            )
        mask = shape_mask(shape, size)
        labels[mask], owner[mask] = numbers[name], number
    return labels, owner


def _plain(name: str) -> str:
    """The name with labelme's own names of background and void replaced by the package's."""
    if name in _NAMES_OF_VOID:
        return "void"
    return BACKGROUND if name in _NAMES_OF_BACKGROUND else name


def _listed(classes: Sequence[str]) -> tuple[str, ...]:
    names = tuple(_plain(name) for name in classes if name not in _NAMES_OF_VOID)
    if not names or len(set(names)) < len(names) or len(names) > VOID:
        raise ValueError(
            f"the classes are {', '.join(names) or 'none'}, expected 1 to {VOID} different names"
        )
    return names


def _json_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}")
    files = [path for path in sorted(folder.rglob("*.json")) if not path.name.startswith(".")]
    if not files:
        raise FileNotFoundError(
            f"no JSON file in {folder}: expected labelme's, one beside each picture"
        )
    return files


def _pictures_in(folder: Path) -> set[Path]:
    found = (path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    return {path.resolve() for path in found if not path.name.startswith(".")}


def _read_annotation(path: Path) -> dict[str, Any]:
    try:
        annotation = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:  # of the text's encoding, or of the JSON
        raise AnnotationError(f"it is not JSON ({error}): was it saved to the end?") from error
    shapes = annotation.get("shapes") if isinstance(annotation, dict) else None
    if not isinstance(shapes, list) or not all(map(_is_shape, shapes)):
        raise AnnotationError("it is JSON and not labelme's: expected shapes with label and points")
    sides = [annotation.get(side) for side in ("imageHeight", "imageWidth")]
    if not all(isinstance(side, int) and side > 0 for side in sides):
        raise AnnotationError(
            f"imageHeight and imageWidth are {sides[0]} and {sides[1]}, expected the picture's size"
        )
    shapes = [{**one, "shape_type": one.get("shape_type") or "polygon"} for one in shapes]
    return {**annotation, "shapes": shapes}


def _is_shape(shape: Any) -> bool:
    if not isinstance(shape, dict) or not isinstance(shape.get("label"), str):
        return False
    points = shape.get("points")
    return isinstance(points, list) and all(map(_is_point, points))


def _is_point(point: Any) -> bool:
    return (
        isinstance(point, list)
        and len(point) == 2
        and all(isinstance(value, (int, float)) and math.isfinite(value) for value in point)
    )


def _find_picture(path: Path, annotation: Mapping[str, Any]) -> Path | bytes:
    """The picture at `imagePath`, else the one of the JSON file's name, else the one inside it."""
    named = annotation.get("imagePath")
    # A path written on Windows has backslashes, which mean nothing elsewhere.
    given = path.parent / PureWindowsPath(named).as_posix() if isinstance(named, str) else None
    if given is not None and given.is_file():
        return given
    beside = (p for p in sorted(path.parent.glob(f"{_escaped(path.stem)}.*")))
    for other in beside:
        if other.suffix.lower() in IMAGE_SUFFIXES:
            return other
    if annotation.get("imageData"):
        try:
            return base64.b64decode(annotation["imageData"], validate=True)
        except (binascii.Error, TypeError) as error:
            raise AnnotationError(f"the picture inside it cannot be decoded: {error}") from error
    raise AnnotationError(
        f"its picture {named!r} is missing: put it back, or beside {path.name} under that name"
    )


def _escaped(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _require_size(picture: Path | bytes, expected: tuple[int, int]) -> None:
    """AnnotationError for a picture, upright, that is not as wide and high as when outlined."""
    if isinstance(picture, bytes):
        size = _opened(picture).size
    else:
        with open_picture(picture) as opened:
            size = upright_size(opened)
    if size != expected:
        raise AnnotationError(
            f"its picture is {size[0]}x{size[1]} pixels and was {expected[0]}x{expected[1]} when "
            "it was outlined: put the original back, and let the program resize"
        )


def _opened(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data))
    except OSError as error:
        raise AnnotationError(f"the picture inside it cannot be read: {error}") from error


def _write(output: Path, name: Path, picture: Path | bytes, labels: NDArray[np.uint8]) -> Path:
    """Write the picture, unchanged, and its label map under the JSON file's name."""
    if isinstance(picture, bytes):
        suffix = _SUFFIXES.get(_opened(picture).format or "", ".png")
    else:
        suffix = picture.suffix
    image = output / "images" / name.with_name(name.stem + suffix)
    mask = output / "masks" / name.with_name(name.stem + ".png")
    for path in (image, mask):
        path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(picture, bytes):
        image.write_bytes(picture)
    else:
        shutil.copyfile(picture, image)
    indexed = Image.fromarray(labels)
    # All 256 colors: Pillow packs a mask with a short palette into too few bits for 255.
    indexed.putpalette([value for color in voc_colors(256) for value in color])
    indexed.save(mask)
    return mask


def _similar_names(names: Counter[str]) -> list[Finding]:
    """Warnings for a rare label that looks like a frequent one: "Car" 2 times, "car" 190 times."""
    found = []
    common: dict[str, str] = {}  # as it is compared: as it is written
    for name, count in names.most_common():
        key = "".join(name.lower().split())
        near = difflib.get_close_matches(key, list(common), n=1, cutoff=0.66)
        other = common[near[0]] if near else ""
        if near and (near[0] == key or count <= RARE_NAME * names[other]):
            examples = tuple(f"{one} ({names[one]} outlines)" for one in (other, name))
            advice = (
                "if they are one class, correct the label in labelme; give the list of classes "
            )
            advice += "to be told where"
            found.append(Finding("warning", "labels that look alike", advice, examples))
        common.setdefault(key, name)
    return found
