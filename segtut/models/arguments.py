"""Checks of what a network is built with, so that a wrong number fails where it is typed."""

from __future__ import annotations

import math
from collections.abc import Sequence


def require_positive(network: str, **values: int) -> None:
    """Raise ValueError, naming the network and the argument, unless all are at least 1."""
    for name, value in values.items():
        if value < 1:
            raise ValueError(f"{network} got {name}={value}; it must be at least 1.")


def require_choice(network: str, name: str, value: object, choices: Sequence[object]) -> None:
    """Raise ValueError, listing the choices, unless `value` is one of them."""
    if value not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"{network} got {name}={value!r}; choose one of {listed}.")


def level_channels(width: int, depth: int, max_width: int | None = None) -> list[int]:
    """Channels of `depth` levels: `width`, doubled from level to level, at most `max_width`."""
    return [int(min(width * 2**level, max_width or math.inf)) for level in range(depth)]
