"""Class colors that people with any color vision, and a gray printer, can tell apart."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segtut.data.dataset import RGB, VOID

STREETS_PALETTE: tuple[RGB, ...] = (
    (131, 209, 252),  # sky
    (203, 134, 116),  # building
    (51, 52, 64),  # road
    (189, 171, 184),  # pavement
    (32, 111, 84),  # tree
    (254, 229, 115),  # pole
    (60, 63, 151),  # car
    (233, 57, 22),  # person
)
"""The book's colors of the eight Streets classes, found by a search that raised the smallest
CIEDE2000 difference between any two of them, for normal and for color-deficient vision, and
kept their lightness apart; tests/data/test_palette.py holds the figures."""

VOID_COLOR: RGB = (247, 244, 238)
"""What void is drawn in: nearly white and warm, so that contours read as paper between shapes."""


def colorize(mask: NDArray[np.integer], palette: Sequence[RGB]) -> NDArray[np.uint8]:
    """Paint a label map in its class colors, void in `VOID_COLOR`.

    mask: integers (H, W) (a tensor on the CPU will do), values 0..len(palette)-1 or 255.
    Returns uint8 (H, W, 3). Raises ValueError for any other label or shape.
    """
    labels = np.asarray(mask)
    if labels.ndim != 2:
        raise ValueError(f"a label map of shape {labels.shape} was given, expected (H, W)")
    wrong = labels[(labels != VOID) & ((labels < 0) | (labels >= len(palette)))]
    if wrong.size:
        raise ValueError(
            f"label {int(wrong.flat[0])} has no color in a palette of {len(palette)}, expected "
            f"0 to {len(palette) - 1} or {VOID} for void: pass the palette of the data set"
        )
    colors = np.empty((VOID + 1, 3), dtype=np.uint8)
    colors[: len(palette)] = palette
    colors[VOID] = VOID_COLOR
    return colors[labels]
