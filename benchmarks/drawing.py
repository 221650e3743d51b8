"""How many street scenes a second one core draws.

python benchmarks/drawing.py [--scenes 200]
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from segtut.data import Streets

WEATHERS = ("clear", "fog", "night", "rain", "mixed")


def scenes_a_second(weather: str, scenes: int) -> float:
    """Speed of drawing new scenes of 96x128, measured over one data set of them."""
    dataset = Streets("train", n=scenes, size=(96, 128), weather=weather)
    start = time.perf_counter()
    for index in range(len(dataset)):
        dataset[index]
    return scenes / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    print(f"Streets of 96x128, medians over {arguments.rounds} rounds of {arguments.scenes} scenes")
    print(f"{'weather':10} {'scenes/s':>9}")
    rates: dict[str, list[float]] = {weather: [] for weather in WEATHERS}
    for _ in range(arguments.rounds):
        for weather in WEATHERS:
            rates[weather].append(scenes_a_second(weather, arguments.scenes))
    for weather, measured in rates.items():
        print(f"{weather:10} {statistics.median(measured):9.0f}")


if __name__ == "__main__":
    main()
