"""Views show the samples of the set behind them, and draw the same ones whoever asks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision import tv_tensors

from segtut.data import (
    Augmented,
    InMemory,
    PartlyLabeled,
    Redrawn,
    Subset,
    standard_augmentation,
)
from segtut.data.dataset import VOID
from segtut.data.transforms import resize_image, resize_mask
from tests.blocks import Blocks

Parts = tuple[Tensor, Tensor]


def same(first: Parts, second: Parts) -> bool:
    return all(map(torch.equal, first, second))


class CountedReads(Blocks):
    reads = 0

    def __getitem__(self, index: int) -> tuple[tv_tensors.Image, tv_tensors.Mask]:
        self.reads += 1
        return super().__getitem__(index)


def test_memory_reads_each_sample_once_and_gives_it_unchanged() -> None:
    source = CountedReads(4, sizes=((16, 20), (12, 9)))
    memory = InMemory(source)
    assert source.reads == len(memory) == 4
    for index in (0, 1, 2, 3, 3):
        image, mask = memory[index]
        assert isinstance(image, tv_tensors.Image)
        assert isinstance(mask, tv_tensors.Mask)
        assert mask.dtype == torch.int64
        assert same((image, mask), Blocks(4, sizes=source.sizes)[index])
    assert source.reads == 4
    assert memory[3][1].max() == VOID
    assert (memory.classes, memory.palette) == (source.classes, source.palette)
    assert memory.name(2) == source.name(2)
    assert memory.fingerprint() == source.fingerprint()
    assert memory.smallest_size() == (12, 9)


def test_memory_is_not_changed_through_its_samples() -> None:
    memory = InMemory(Blocks(1))
    memory[0][1].fill_(2)
    assert same(memory[0], Blocks(1)[0])


def test_memory_resizes_to_the_shorter_side() -> None:
    source = Blocks(2, sizes=((16, 24), (30, 20)))
    memory = InMemory(source, shorter=8)
    for index, size in enumerate([(8, 12), (12, 8)]):
        image, mask = source[index]
        assert same(memory[index], (resize_image(image, size), resize_mask(mask, size)))


def test_memory_of_nothing_and_of_no_size() -> None:
    with pytest.raises(ValueError, match="no samples"):
        InMemory(Blocks(0))
    with pytest.raises(ValueError, match="at least 1 pixel, not 0"):
        InMemory(Blocks(1), shorter=0)


def test_subset_keeps_order_names_and_repeats() -> None:
    source = Blocks(5)
    part = Subset(source, [3, 0, 3])
    assert len(part) == 3
    assert [part.name(index) for index in range(3)] == [source.name(i) for i in (3, 0, 3)]
    assert same(part[0], source[3])
    assert part.classes == source.classes
    assert part.num_classes == 3
    with pytest.raises(IndexError):
        part[3]


def test_subset_fingerprint_depends_on_the_set_and_on_the_choice() -> None:
    prints = [
        Subset(Blocks(5, seed=seed), indices).fingerprint()
        for seed in (0, 1)
        for indices in ([0, 1], [1, 0], [0])
    ]
    assert len(set(prints)) == 6
    assert Subset(Blocks(5), (0, 1)).fingerprint() == prints[0]


@pytest.mark.parametrize("wrong", [[5], [-1], [0, 7]])
def test_subset_names_the_indices_outside(wrong: list[int]) -> None:
    with pytest.raises(ValueError, match=rf"{wrong[-1]}.* outside 0\.\.4"):
        Subset(Blocks(5), wrong)


def test_draws_depend_on_seed_and_number_alone() -> None:
    transform = standard_augmentation((12, 12))
    augmented = Augmented(Blocks(), transform, seed=4)
    torch.manual_seed(1)
    first = augmented[7, 2]
    augmented[8, 3]
    torch.manual_seed(2)
    assert same(augmented[7, 2], first)
    assert same(Augmented(Blocks(), transform, seed=4)[7, 2], first)
    others = [augmented[number, 2] for number in range(20) if number != 7]
    others += [Augmented(Blocks(), transform, seed=seed)[7, 2] for seed in range(4)]
    assert not any(same(other, first) for other in others)


def test_neighboring_draws_and_seeds_have_nothing_in_common() -> None:
    class FirstNumber:
        def __call__(self, image: Tensor, mask: Tensor) -> Parts:
            return torch.rand(()), mask

    first = torch.tensor(
        [
            [Augmented(Blocks(1), FirstNumber(), seed)[number, 0][0] for number in range(40)]  # type: ignore[arg-type]
            for seed in range(40)
        ]
    )
    assert len(first.unique()) == 1600
    assert abs(first.mean() - 0.5) < 0.05
    for shifted in (first[1:] - first[:-1], first[:, 1:] - first[:, :-1]):
        # The difference of two independent even draws has variance 1/6.
        assert abs(shifted.var() - 1 / 6) < 0.03


def test_drawing_leaves_the_global_random_state() -> None:
    before = torch.get_rng_state()
    Augmented(Blocks(), standard_augmentation((12, 12)), seed=0)[0, 0]
    assert torch.equal(torch.get_rng_state(), before)


def test_without_a_transform_the_sample_itself() -> None:
    augmented = Augmented(Blocks(4), None, seed=0)
    assert len(augmented) == 4
    assert same(augmented[9, 1], Blocks(4)[1])


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_draws_do_not_depend_on_workers() -> None:
    augmented = Augmented(InMemory(Blocks()), standard_augmentation((12, 12)), seed=0)
    draws = [[(number, number % 6), (number + 1, 0)] for number in range(0, 8, 2)]
    runs = [
        list(DataLoader(augmented, batch_sampler=draws, num_workers=workers))  # type: ignore[arg-type]
        for workers in (0, 2)
    ]
    assert all(same(ours, theirs) for ours, theirs in zip(*runs, strict=True))


def test_labeled_samples_and_others_take_turns() -> None:
    source = Blocks(7)
    partly = PartlyLabeled(source, [4, 1])
    assert len(partly) == 2 * 5
    for number in range(0, 10, 2):
        kept = (4, 1)[number // 2 % 2]
        assert same(partly[number], source[kept])
        assert partly.name(number) == source.name(kept)
    for number, other in zip(range(1, 10, 2), (0, 2, 3, 5, 6), strict=True):
        image, mask = partly[number]
        assert torch.equal(image, source[other][0])
        assert (mask == VOID).all()
        assert mask.dtype == torch.int64
        assert partly.name(number) == source.name(other)
    assert (partly.classes, partly.palette) == (source.classes, source.palette)
    assert partly.fingerprint() != PartlyLabeled(source, [4, 2]).fingerprint()
    assert partly.fingerprint() == PartlyLabeled(Blocks(7), [4, 1]).fingerprint()


def test_few_unlabeled_samples_take_turns_too() -> None:
    partly = PartlyLabeled(Blocks(4), [0, 1, 2])
    assert len(partly) == 6
    assert [partly.name(number) for number in (1, 3, 5)] == [Blocks(4).name(3)] * 3


def test_further_pictures_come_after_the_others_and_without_their_labels() -> None:
    partly = PartlyLabeled(Blocks(3), [0, 1, 2], Blocks(2, seed=5))
    assert len(partly) == 6
    for number in (1, 5):
        assert torch.equal(partly[number][0], Blocks(2, seed=5)[0][0])
        assert (partly[number][1] == VOID).all()
    assert partly.name(3) == Blocks(2, seed=5).name(1)
    both = PartlyLabeled(Blocks(3), [0, 1], Blocks(2, seed=5))
    assert [both.name(number) for number in (1, 3, 5)] == ["blocks-0-2", "blocks-5-0", "blocks-5-1"]
    assert both.fingerprint() != PartlyLabeled(Blocks(3), [0, 1]).fingerprint()
    other = Blocks(2)
    other.classes = ("red", "green", "violet")
    with pytest.raises(ValueError, match="differ in their classes: red, green, blue and red"):
        PartlyLabeled(Blocks(3), [0], other)


@pytest.mark.parametrize("labeled", [[], [0, 1, 2, 3]])
def test_some_samples_are_labeled_and_not_all(labeled: list[int]) -> None:
    with pytest.raises(ValueError, match=f"{len(labeled)} of 4 samples are labeled"):
        PartlyLabeled(Blocks(4), labeled)


def test_redrawn_pictures_stand_beside_the_same_labels() -> None:
    source = Blocks(3)
    negative = Redrawn(source, lambda image, mask: 1 - image)
    assert len(negative) == 3
    for index in range(3):
        image, mask = source[index]
        assert same(negative[index], (255 - image, mask))
        assert negative[index][0].dtype == torch.uint8
        assert negative.name(index) == source.name(index)
    assert negative.fingerprint() == source.fingerprint()
    assert (negative.classes, negative.palette) == (source.classes, source.palette)
    painted = Redrawn(source, lambda image, mask: mask.expand(3, -1, -1) / 2)
    image, mask = painted[2]
    assert torch.equal(image[1], (mask.clamp(max=2) * 127.5).round().to(torch.uint8))


def test_redrawn_picture_of_another_size_is_refused() -> None:
    smaller = Redrawn(Blocks(1), lambda image, mask: image[:, ::2])
    with pytest.raises(ValueError, match=r"\(3, 8, 16\) for one of \(3, 16, 16\)"):
        smaller[0]
