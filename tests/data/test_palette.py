import itertools

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from segtut.data.palette import STREETS_PALETTE, VOID_COLOR, colorize

# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
VISIONS = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def seen(vision: str) -> np.ndarray:
    """CIELAB (C, 3) of the class colors as somebody with this vision sees them."""
    color = np.array(STREETS_PALETTE) / 255
    linear = np.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)
    shifted = np.clip(linear @ np.array(VISIONS[vision]).T, 0, 1)
    back = np.where(shifted <= 0.0031308, 12.92 * shifted, 1.055 * shifted ** (1 / 2.4) - 0.055)
    return rgb2lab(back[None])[0]


@pytest.mark.parametrize("vision", VISIONS)
def test_any_two_classes_differ_for_any_color_vision(vision: str) -> None:
    lab = seen(vision)
    for a, b in itertools.combinations(range(len(lab)), 2):
        assert deltaE_ciede2000(lab[a], lab[b]) > 14, (a, b)


def test_any_two_classes_differ_in_gray() -> None:
    lightness = np.sort(seen("normal")[:, 0])
    assert np.diff(lightness).min() > 8


def test_colorize_paints_each_label() -> None:
    palette = [(1, 2, 3), (40, 50, 60)]
    painted = colorize(np.array([[0, 1], [255, 0]]), palette)
    assert painted.dtype == np.uint8
    assert painted.tolist() == [[[1, 2, 3], [40, 50, 60]], [list(VOID_COLOR), [1, 2, 3]]]


@pytest.mark.parametrize("label", [2, 254, -1])
def test_colorize_names_a_label_without_color(label: int) -> None:
    with pytest.raises(ValueError, match=f"label {label} has no color in a palette of 2"):
        colorize(np.array([[0, label]]), [(0, 0, 0), (9, 9, 9)])


def test_colorize_wants_one_map() -> None:
    with pytest.raises(ValueError, match=r"shape \(1, 2, 2\)"):
        colorize(np.zeros((1, 2, 2), dtype=int), [(0, 0, 0)])
