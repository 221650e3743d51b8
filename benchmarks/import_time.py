"""What importing segtut costs beyond importing torch.

Every import runs in a Python of its own, and the statements take turns, so that a busy moment
of the machine touches all of them.

    python benchmarks/import_time.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys

STATEMENTS = (
    "import torch",
    "import torch, segtut",
    "import torch, segtut.models",
    "import torch, segtut.data",
    "import torch, segtut.training",
)

_PROGRAM = """
import time
start = time.perf_counter()
{statement}
print(time.perf_counter() - start)
"""


def seconds(statement: str) -> float:
    """Time one import statement in a new Python."""
    program = _PROGRAM.format(statement=statement)
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds

    for statement in STATEMENTS:  # fills the caches of files and of compiled modules
        seconds(statement)
    measured = [[seconds(statement) for statement in STATEMENTS] for _ in range(rounds)]
    print(f"medians over {rounds} interleaved rounds")
    print(f"{'statement':32} {'seconds':>8} {'beyond torch':>13}")
    for column, statement in enumerate(STATEMENTS):
        median = statistics.median(row[column] for row in measured)
        beyond = statistics.median(row[column] - row[0] for row in measured)
        print(f"{statement:32} {median:8.3f} {beyond:13.3f}")


if __name__ == "__main__":
    main()
