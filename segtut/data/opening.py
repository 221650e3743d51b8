"""Data by name: what ``--data`` may say, a folder or ``streets`` with its options."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from segtut.data.dataset import SegmentationDataset
from segtut.data.layout import open_folder
from segtut.data.streets import Streets

DATA_VARIABLE = "SEGTUT_DATA"
DATA_HELP = (
    "a folder with CamVid, PASCAL VOC, facades, or your own images/ and masks/; or the name of "
    f"such a folder below ${DATA_VARIABLE}; or `streets`, which is drawn and needs no files, with "
    "options such as `streets:2000,size=192x256,classes=4,weather=fog,crowding=2,seed=1`, where "
    "2000 is the number of scenes to train on instead of 400"
)


def open_data(data: str) -> dict[str, SegmentationDataset]:
    """The splits of a data set, by name; see ``DATA_HELP`` for what ``data`` may be.

    Raises ``FileNotFoundError`` where there is no such folder, saying where it was looked for.
    """
    name, _, options = data.partition(":")
    if name == "streets":
        return _streets(options)
    folder = Path(data)
    if not folder.exists() and os.environ.get(DATA_VARIABLE):
        folder = Path(os.environ[DATA_VARIABLE]) / data
    if not folder.exists():
        raise FileNotFoundError(
            f"no data at {data!r}: expected {DATA_HELP}. ${DATA_VARIABLE} is "
            + (os.environ.get(DATA_VARIABLE) or "not set")
        )
    return open_folder(folder)


def _streets(text: str) -> dict[str, SegmentationDataset]:
    """The splits of Streets with the options of `streets:OPTIONS`."""
    scenes, options = 400, {}
    for part in text.split(",") if text else []:
        name, equals, value = part.partition("=")
        try:
            if equals:
                options[name] = _STREETS_OPTIONS[name](value)
            else:
                scenes = _count(part)
        except (KeyError, ValueError) as error:
            raise ValueError(
                f"`streets:{text}`: {part!r} is not understood, expected a number of scenes, or "
                f"{', '.join(_STREETS_OPTIONS)} with a value, as in `streets:2000,size=192x256`"
            ) from error
    return {
        "train": Streets("train", n=scenes, **options),
        "val": Streets("val", n=100, **options),
        "test": Streets("test", n=200, **options),
    }


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    return int(height), int(width)


_STREETS_OPTIONS: dict[str, Callable[[str], Any]] = {
    "size": _size,
    "classes": int,
    "weather": str,
    "crowding": float,
    "seed": int,
}
