"""A data set that takes milliseconds to draw and to learn, for the tests of several rooms."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from multiprocessing.context import ForkServerContext
from pathlib import Path

import torch
from PIL import Image
from torchvision import tv_tensors

from segtut.data.dataset import VOID, SegmentationDataset
from segtut.models import UNet


class Blocks(SegmentationDataset):
    """Blocks of 4x4 pixels whose color, with some noise, is their class; void grows with i.

    `sizes` are the heights and widths of the samples, taken in turn.
    """

    classes = ("red", "green", "blue")
    palette = ((255, 0, 0), (0, 255, 0), (0, 0, 255))

    def __init__(
        self, n: int = 6, sizes: Sequence[tuple[int, int]] = ((16, 16),), seed: int = 0
    ) -> None:
        self.n, self.sizes, self.seed = n, tuple(sizes), seed

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> tuple[tv_tensors.Image, tv_tensors.Mask]:
        generator = torch.Generator().manual_seed(1000 * self.seed + index)
        height, width = self.sizes[index % len(self.sizes)]
        coarse = torch.randint(3, (height // 4 + 1, width // 4 + 1), generator=generator)
        labels = coarse.repeat_interleave(4, 0).repeat_interleave(4, 1)[:height, :width].clone()
        noise = torch.randint(56, (3, height, width), generator=generator)
        image = torch.stack([(labels == color) * 200 for color in range(3)]) + noise
        labels[:, : index * width // (2 * self.n)] = VOID
        return tv_tensors.Image(image.to(torch.uint8)), tv_tensors.Mask(labels)

    def name(self, index: int) -> str:
        return f"blocks-{self.seed}-{index}"

    def fingerprint(self) -> str:
        return repr((self.n, self.sizes, self.seed))


def write_folder(dataset: SegmentationDataset, folder: Path) -> None:
    """Write the samples as images/ and masks/, PNGs."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for index in range(len(dataset)):
        image, mask = dataset[index]
        name = f"{dataset.name(index)}.png"
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / "images" / name)
        Image.fromarray(mask.to(torch.uint8).numpy()).save(folder / "masks" / name)


def small_unet(norm: str = "group", dropout: float = 0.0, seed: int = 0) -> UNet:
    """A U-Net of two levels and some thousand parameters for the blocks."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return UNet(3, width=4, depth=2, norm=norm, dropout=dropout)  # type: ignore[arg-type]


def fresh_processes() -> ForkServerContext:
    """Processes with nothing in common with this one, started from one that has imported torch."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["accelerate", "segtut.training", "tests.blocks"])
    return context
