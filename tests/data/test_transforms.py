"""Images and label maps move together, and no label appears that was not there."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F
from torchvision import tv_tensors
from torchvision.transforms import v2

from segtut.data.dataset import VOID
from segtut.data.transforms import (
    RandomScaledCrop,
    Resize,
    resize_image,
    resize_mask,
    shorter_side,
    standard_augmentation,
)

SIDES = st.integers(1, 70)


@settings(max_examples=150, deadline=None)
@given(SIDES, SIDES, SIDES, SIDES)
def test_masks_are_resized_by_nearest_exact(
    height: int, width: int, new_height: int, new_width: int
) -> None:
    # Every pixel has a value of its own, exact in float64: the result shows which was taken.
    mask = torch.arange(height * width).reshape(height, width)
    expected = F.interpolate(
        mask[None, None].double(), (new_height, new_width), mode="nearest-exact"
    )
    found = resize_mask(mask, (new_height, new_width))
    # Where the exact place is the border of two pixels, rounding decides in torch: both are near.
    rows, columns = (
        (torch.arange(new) + 0.5) * old / new
        for old, new in ((height, new_height), (width, new_width))
    )
    clear = (rows != rows.round())[:, None] & (columns != columns.round())
    assert torch.equal(found[clear], expected[0, 0].long()[clear])
    for picked, exact in ((found // width, rows[:, None]), (found % width, columns)):
        assert ((picked + 0.5 - exact).abs() <= 0.5).all()


@pytest.mark.parametrize("shape", [(7, 9), (2, 7, 9)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_masks_keep_their_dtype_and_their_values(
    shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    mask = torch.tensor([0, 3, VOID]).to(dtype)[torch.arange(7 * 9).reshape(7, 9) % 3].expand(shape)
    found = resize_mask(mask, (5, 23))
    assert found.dtype == dtype
    assert found.shape == (*shape[:-2], 5, 23)
    assert set(found.unique().tolist()) == {0, 3, VOID}


@pytest.mark.parametrize("size", [(4, 5), (13, 20), (8, 10)])
def test_images_are_resized_bilinearly_with_antialias(size: tuple[int, int]) -> None:
    image = torch.randint(256, (3, 8, 10), generator=torch.Generator().manual_seed(0)).byte()
    expected = v2.functional.resize(image.float(), list(size), antialias=True)
    found = resize_image(image, size)
    assert found.dtype == torch.uint8
    assert found.shape == (3, *size)
    assert (found.float() - expected).abs().max() <= 0.5001
    torch.testing.assert_close(resize_image(image.float() / 255, size), expected / 255)
    assert torch.equal(resize_image(image.expand(2, 3, 8, 10), size)[1], found)


def test_shorter_side_keeps_proportions() -> None:
    assert shorter_side((360, 480), 180) == (180, 240)
    assert shorter_side((480, 360), 90) == (120, 90)
    assert shorter_side((3, 3000), 1) == (1, 1000)


def test_resize_moves_both_parts_of_a_sample() -> None:
    image, mask = labeled_picture(40, 60)
    small, labels = Resize((20, 30))(image, mask)
    assert isinstance(small, tv_tensors.Image)
    assert isinstance(labels, tv_tensors.Mask)
    assert small.shape == (3, 20, 30)
    assert labels.dtype == torch.int64
    assert assert_aligned(small, labels) > 0.25


def labeled_picture(height: int, width: int) -> tuple[tv_tensors.Image, tv_tensors.Mask]:
    """Blocks of 10x10 pixels of 6 classes; red is 40 times the class and 20 more."""
    generator = torch.Generator().manual_seed(1)
    coarse = torch.randint(6, (-(-height // 10), -(-width // 10)), generator=generator)
    labels = coarse.repeat_interleave(10, 0).repeat_interleave(10, 1)[:height, :width]
    image = torch.zeros(3, height, width, dtype=torch.uint8)
    image[0] = (labels * 40 + 20).byte()
    return tv_tensors.Image(image), tv_tensors.Mask(labels)


def assert_aligned(image: Tensor, labels: Tensor) -> float:
    """Away from contours and rim, where colors mix, red still tells the class; outside is black.

    Returns the share of the pixels that were compared.
    """
    expected = torch.where(labels == VOID, 0, labels * 40 + 20)
    around = expected[None, None].double()
    flat = F.max_pool2d(around, 3, 1, 1) == -F.max_pool2d(-around, 3, 1, 1)
    flat = flat[0, 0].as_subclass(Tensor)
    flat[[0, -1]] = False
    flat[:, [0, -1]] = False
    red = image[0].as_subclass(Tensor).long()
    wrong = (red - expected).abs() > 12
    assert not (wrong & flat).any()
    return float(flat.double().mean())


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    height=st.integers(8, 90),
    width=st.integers(8, 90),
    # Beyond 2, three neighbors can lie in one pixel of the source and still mix in the next one.
    scale=st.sampled_from([(0.4, 0.9), (1.0, 1.0), (0.7, 1.5), (1.0, 2.0)]),
)
def test_crop_moves_image_and_labels_together(
    seed: int, height: int, width: int, scale: tuple[float, float]
) -> None:
    picture = labeled_picture(height, width)
    torch.manual_seed(seed)
    image, labels = RandomScaledCrop((24, 32), scale)(*picture)
    assert isinstance(image, tv_tensors.Image)
    assert isinstance(labels, tv_tensors.Mask)
    assert image.shape == (3, 24, 32)
    assert image.dtype == torch.uint8
    assert labels.shape == (24, 32)
    assert labels.dtype == torch.int64
    assert_aligned(image, labels)
    inside = labels != VOID
    # A window larger than the picture shows all of it: what is void is a frame, not a hole.
    rows, columns = inside.any(1), inside.any(0)
    assert torch.equal(inside.as_subclass(Tensor), (rows[:, None] & columns).as_subclass(Tensor))


def test_outside_of_the_picture_is_black_and_void_and_its_share_is_exact() -> None:
    image, labels = RandomScaledCrop((40, 40), (1.0, 1.0))(*labeled_picture(30, 20))
    outside = labels == VOID
    assert int((~outside).sum()) == 30 * 20
    assert int(image[:, outside].sum()) == 0
    assert int((image[0] > 0).sum()) == 30 * 20


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_scale_is_the_magnification(factor: float) -> None:
    # One stripe a pixel wide in every ten: how far apart they are afterwards is the scale.
    mask = tv_tensors.Mask((torch.arange(400) // 10).expand(400, 400).contiguous())
    image = tv_tensors.Image(torch.zeros(3, 400, 400, dtype=torch.uint8))
    _, labels = RandomScaledCrop((80, 80), (factor, factor))(image, mask)
    seen = labels[0].unique()
    assert len(seen) == pytest.approx(8 / factor, abs=1)


def test_crops_reach_every_corner() -> None:
    mask = torch.zeros(12, 12, dtype=torch.int64)
    corners = [(0, 0), (0, 11), (11, 0), (11, 11)]
    for value, (row, column) in enumerate(corners, start=1):
        mask[row, column] = value
    image = tv_tensors.Image(torch.zeros(3, 12, 12, dtype=torch.uint8))
    crop = RandomScaledCrop((10, 10), (1.0, 1.0))
    torch.manual_seed(0)
    seen = set()
    for _ in range(100):
        seen.update(crop(image, tv_tensors.Mask(mask))[1].unique().tolist())
    assert seen == {0, 1, 2, 3, 4}


def test_same_seed_same_sample() -> None:
    sample = labeled_picture(50, 60)
    transform = standard_augmentation((32, 32))

    def drawn(seed: int) -> tuple[Tensor, Tensor]:
        torch.manual_seed(seed)
        image, labels = transform(*sample)
        return image, labels

    assert all(map(torch.equal, drawn(5), drawn(5)))
    assert not torch.equal(drawn(5)[0], drawn(6)[0])


def test_augmentation_flips_half_the_samples_and_colors_the_image_alone() -> None:
    image, mask = labeled_picture(20, 20)
    augment = standard_augmentation((20, 20), scale=(1.0, 1.0), color=0.4)
    flips, colors = 0, set()
    for seed in range(60):
        torch.manual_seed(seed)
        jittered, labels = augment(image, mask)
        mirrored = torch.equal(labels, mask.flip(-1))
        assert mirrored or torch.equal(labels, mask)
        flips += mirrored
        colors.add(int(jittered.long().sum()))
        # A flipped picture with labels that stayed would not tell classes by their brightness.
        means = [jittered[0][labels == label].double().mean() for label in labels.unique()]
        assert means == sorted(means)
    assert 15 <= flips <= 45
    assert len(colors) > 50
    torch.manual_seed(0)
    plain, _ = standard_augmentation((20, 20), scale=(1.0, 1.0), color=0)(image, mask)
    assert set(plain.unique().tolist()) == set(image.unique().tolist())


@pytest.mark.parametrize("size", [(0, 4), (4, -1), (4,), (1, 2, 3)])
def test_sizes_that_are_none(size: tuple[int, ...]) -> None:
    for transform in (Resize, RandomScaledCrop):
        with pytest.raises(ValueError, match="height, width"):
            transform(size)  # type: ignore[arg-type]


@pytest.mark.parametrize("scale", [(0.0, 1.0), (2.0, 1.0), (-1.0, 1.0)])
def test_scales_that_are_none(scale: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="0 < low <= high"):
        RandomScaledCrop((4, 4), scale)
