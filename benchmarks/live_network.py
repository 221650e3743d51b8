"""How long the page's engine takes to label a street, in headless Chromium on one core.

The network is the book's U-Net at the size of the page on segmentation with a CNN, with random
weights, which cost as much as trained ones. Printed are the median and the fastest of the runs.

    python benchmarks/live_network.py [--rounds 15] [--stem-stride 1 --width 8 --depth 5]
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import torch
from playwright.sync_api import sync_playwright

import segtut.widgets
from segtut.models import UNet, count_parameters
from segtut.program import export_program

HEIGHT, WIDTH, CLASSES = 96, 128, 8
MEASURE = """([engine, operations, weights, height, width, rounds]) => {
    const make = new Function(engine + "; return makeEngine();");
    const network = make().load(operations, Float32Array.from(weights));
    const pixels = Float32Array.from({ length: 3 * height * width }, Math.random);
    const times = [];
    for (let i = 0; i < rounds + 3; i++) {
        const started = performance.now();
        network(pixels, height, width);
        if (i >= 3) times.push(performance.now() - started);
    }
    return times.sort((a, b) => a - b);
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--max-width", type=int, default=32)
    parser.add_argument("--stem-stride", type=int, default=2, choices=(1, 2))
    arguments = parser.parse_args()
    torch.manual_seed(0)
    model = UNet(
        CLASSES,
        arguments.width,
        arguments.depth,
        max_width=arguments.max_width,
        stem_stride=arguments.stem_stride,
    )
    program = export_program(model)
    engine = (Path(segtut.widgets.__file__).parent / "engine.js").read_text(encoding="utf-8")
    values = [engine, program.operations, program.weights.tolist()]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page()
        times = page.evaluate(MEASURE, [*values, HEIGHT, WIDTH, arguments.rounds])
        print(f"{count_parameters(model):,} parameters, {HEIGHT}x{WIDTH}, Chromium")
        print(f"median {times[len(times) // 2]:.0f} ms, fastest {times[0]:.0f} ms")
        browser.close()


if __name__ == "__main__":
    main()
