"""How much faster the book's way of training its U-Net is than a plain PyTorch loop.

One step is forward, cross-entropy, backward and AdamW on 16 images of 96x128. Every variant
changes one thing against the line above it, and all of them take turns, one step each, so
that whatever else the machine does slows all of them alike. Printed are the median time of a
step and the median over the rounds of the ratio to the plain loop in the same round.

    python benchmarks/training_step.py [--rounds 30] [--threads 2]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy

from segtut.models.unet import UNet, Upsampling

BATCH, HEIGHT, WIDTH, CLASSES = 16, 96, 128, 8


@dataclass(frozen=True)
class Variant:
    name: str
    upsample: Upsampling = "nearest"
    channels_last: bool = True
    bf16: bool = True
    fused: bool = True


VARIANTS = (
    Variant("plain: fp32, NCHW, transposed", "transposed", False, False, False),
    Variant("fp32, NCHW, bilinear", "bilinear", False, False, False),
    Variant("fp32, NCHW, nearest", "nearest", False, False, False),
    Variant("+ channels_last", "nearest", True, False, False),
    Variant("+ bf16 autocast", "nearest", True, True, False),
    Variant("+ fused AdamW (the book's)", "nearest", True, True, True),
    Variant("the book's, but bilinear", "bilinear", True, True, True),
    Variant("the book's, but transposed", "transposed", True, True, True),
)


def training_step(variant: Variant) -> Callable[[], None]:
    """A function that trains one step of its own network on its own fixed batch."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(BATCH, 3, HEIGHT, WIDTH, generator=generator)
    target = torch.randint(CLASSES, (BATCH, HEIGHT, WIDTH), generator=generator)
    torch.manual_seed(0)
    model = UNet(CLASSES, upsample=variant.upsample)
    if variant.channels_last:
        model = model.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), fused=variant.fused)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16) if variant.bf16 else nullcontext():
            logits = model(images)
        loss = cross_entropy(logits.float(), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def measure(steps: list[Callable[[], None]], rounds: int) -> list[list[float]]:
    """Seconds of every step in every round, after two rounds that are not counted."""
    seconds: list[list[float]] = [[] for _ in steps]
    for turn in range(rounds + 2):
        for step, times in zip(steps, seconds, strict=True):
            start = time.perf_counter()
            step()
            if turn >= 2:
                times.append(time.perf_counter() - start)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    seconds = measure([training_step(variant) for variant in VARIANTS], arguments.rounds)
    print(f"U-Net, {BATCH} images of {HEIGHT}x{WIDTH} a step, {arguments.threads} threads,")
    print(f"medians over {arguments.rounds} interleaved rounds, torch {torch.__version__}")
    print(f"{'variant':32} {'ms a step':>9} {'images/s':>9} {'ratio':>6}")
    for variant, times in zip(VARIANTS, seconds, strict=True):
        median = statistics.median(times)
        ratio = statistics.median(p / t for p, t in zip(seconds[0], times, strict=True))
        print(f"{variant.name:32} {1000 * median:9.1f} {BATCH / median:9.1f} {ratio:6.2f}")


if __name__ == "__main__":
    main()
