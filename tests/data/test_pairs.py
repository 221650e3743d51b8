"""Facade pairs: halves, colors, and what JPEG does to them."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.cluster import KMeans

from segtut.data.dataset import LabelValueError, SizeMismatchError
from segtut.data.pairs import FACADE_PALETTE, FacadePairs, nearest_class

CMP_PALETTE = np.array(
    [
        (0, 0, 170),
        (0, 0, 255),
        (0, 85, 255),
        (0, 170, 255),
        (0, 255, 255),
        (85, 255, 170),
        (170, 255, 85),
        (255, 255, 0),
        (255, 170, 0),
        (255, 85, 0),
        (255, 0, 0),
        (170, 0, 0),
    ]
)


def facade(seed: int) -> np.ndarray:
    """A label map (256, 256) of rectangles on rectangles, as in the data."""
    rng, side = np.random.default_rng(seed), 256
    labels = np.full((side, side), 1)
    for label in rng.integers(0, 12, 60):
        (top, left), (height, width) = rng.integers(0, side, 2), rng.integers(8, 48, 2)
        labels[top : top + height, left : left + width] = label
    return labels


def compressed(pixels: np.ndarray) -> np.ndarray:
    buffer = io.BytesIO()
    # As the data: quality 95, color at half the resolution.
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95, subsampling="4:2:0")
    return np.array(Image.open(buffer))


def test_labels_survive_jpeg_far_better_than_by_nearest_color() -> None:
    palette = np.array(FACADE_PALETTE, dtype=np.uint8)
    wrong, wrong_by_nearest = [], []
    for seed in range(4):
        labels = facade(seed)
        pixels = compressed(palette[labels])
        distance = np.linalg.norm(pixels[:, :, None].astype(float) - palette, axis=-1)
        wrong.append((nearest_class(pixels, FACADE_PALETTE, Path("x.jpg")) != labels).mean())
        wrong_by_nearest.append((distance.argmin(-1) != labels).mean())
    assert np.mean(wrong) < 0.01
    assert np.mean(wrong) < np.mean(wrong_by_nearest) / 4


def test_a_pair_is_cut_in_the_middle(tmp_path: Path) -> None:
    labels = np.kron(np.arange(12).reshape(3, 4), np.ones((32, 24), int))
    right = np.array(FACADE_PALETTE, dtype=np.uint8)[labels]
    left = np.full((96, 96, 3), 128, dtype=np.uint8)
    (tmp_path / "train").mkdir()
    for name in ("10", "9"):
        path = tmp_path / "train" / f"{name}.jpg"
        Image.fromarray(np.hstack([left, right])).save(path, quality=95)
    dataset = FacadePairs(tmp_path, "train")
    image, mask = dataset[0]
    assert [dataset.name(i) for i in range(2)] == ["9", "10"]
    assert image.shape == (3, 96, 96)
    assert np.abs(image[:, :, :90].numpy().astype(int) - 128).max() <= 3
    assert (mask.numpy() != labels).mean() < 0.02
    assert np.array_equal(dataset.read_labels(dataset.files[0][1]), mask.numpy())


def test_other_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no \*\.jpg in .*fetch facades"):
        FacadePairs(tmp_path, "train")
    (tmp_path / "train").mkdir()
    Image.new("RGB", (60, 64)).save(tmp_path / "train" / "1.jpg")
    Image.new("RGB", (128, 64), "gray").save(tmp_path / "train" / "2.jpg")
    dataset = FacadePairs(tmp_path, "train")
    with pytest.raises(SizeMismatchError, match=r"1\.jpg is 60x64 .*twice as wide"):
        dataset[0]
    with pytest.raises(LabelValueError, match=r"2\.jpg has none of the 12 label colors"):
        dataset[1]


@pytest.mark.parametrize(("split", "count"), [("train", 400), ("val", 100), ("test", 106)])
def test_the_real_splits_have_their_count(real_data: Path, split: str, count: int) -> None:
    dataset = FacadePairs(real_data / "facades", split)
    assert len(dataset) == count
    image, mask = dataset[0]
    assert image.shape == (3, 256, 256)
    assert 0 <= int(mask.min()) <= int(mask.max()) <= 11


def flat_pixels(colors: np.ndarray) -> np.ndarray:
    """Pixels (N, 3) whose eight neighbors have their color within 2."""
    colors = colors.astype(int)
    center = colors[1:-1, 1:-1]
    height, width = center.shape[:2]
    flat = np.ones((height, width), dtype=bool)
    for dy in range(3):
        for dx in range(3):
            flat &= np.abs(colors[dy : dy + height, dx : dx + width] - center).max(-1) <= 2
    return center[flat]


def test_the_palette_is_what_clustering_finds_in_the_real_pairs(real_data: Path) -> None:
    files = FacadePairs(real_data / "facades", "train").files[::16]
    pixels = np.concatenate([flat_pixels(np.array(Image.open(p))[:, 256:]) for p, _ in files])
    # Each color once, or the rare classes drown; then the centers of twelve clusters.
    found = KMeans(12, n_init=3, random_state=0).fit(np.unique(pixels, axis=0)).cluster_centers_
    distance = np.linalg.norm(np.array(FACADE_PALETTE)[:, None] - found, axis=-1)
    assert sorted(distance.argmin(1).tolist()) == list(range(12))
    assert distance.min(1).max() < 6
    pixels = pixels[::100]
    nearest_of_cmp = np.linalg.norm(pixels[:, None] - CMP_PALETTE, axis=-1).argmin(1)
    nearest_of_ours = np.linalg.norm(pixels[:, None] - FACADE_PALETTE, axis=-1).argmin(1)
    assert (nearest_of_cmp == nearest_of_ours).mean() < 0.5
