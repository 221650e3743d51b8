"""How an exercise's answer is judged: the register of checks and the verdict they return."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

_CHECKS: dict[str, Callable[[Any], str]] = {}


class Fault(Exception):
    """What is wrong with an answer, in a sentence that a learner can act on."""


@dataclass(frozen=True)
class Verdict:
    """The judgement of one answer; true when the answer is right.

    name: the exercise. passed: right or not. message: what was found, or what is wrong.
    """

    name: str
    passed: bool
    message: str

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        return f"{'✓' if self.passed else '✗'} {self.name}: {self.message}"


def exercise(name: str) -> Callable[[Callable[[Any], str]], Callable[[Any], str]]:
    """Register the decorated function as the check of exercise `name`.

    The function takes the answer, raises `Fault` when it is wrong and returns what was confirmed.
    Raises ValueError when the name is taken.
    """

    def register(judge: Callable[[Any], str]) -> Callable[[Any], str]:
        if name in _CHECKS:
            raise ValueError(f"two checks are named {name!r}; give each exercise a name of its own")
        _CHECKS[name] = judge
        return judge

    return register


def names() -> tuple[str, ...]:
    """The names of all exercises that have a check, in the order of the sections."""
    return tuple(sorted(_CHECKS))


def check(name: str, answer: object) -> Verdict:
    """Judge `answer` to the exercise `name`, for example `check("4.4-iou", my_function)`.

    An exception inside the learner's function makes the verdict negative and is quoted in it.
    Raises ValueError for a name that no exercise has.
    """
    if name not in _CHECKS:
        near = difflib.get_close_matches(name, _CHECKS, n=3, cutoff=0.4) or sorted(_CHECKS)
        raise ValueError(f"no exercise is named {name!r}; did you mean {', '.join(near)}?")
    if answer is None or answer is Ellipsis:
        return Verdict(name, False, "no answer yet: replace the placeholder with your own.")
    with torch.random.fork_rng(devices=[]):  # a check leaves the page's random numbers alone
        try:
            return Verdict(name, True, _CHECKS[name](answer))
        except Fault as fault:
            return Verdict(name, False, str(fault))


def call(answer: Any, *arguments: Any) -> Any:
    """Call the learner's function; turn whatever goes wrong into a Fault that quotes it.

    Raises Fault when `answer` cannot be called, raises an exception or returns None.
    """
    if not callable(answer):
        raise Fault(f"a function is asked for, and this is a {type(answer).__name__}.")
    try:
        result = answer(*arguments)
    except Fault:
        raise
    except Exception as error:
        raise Fault(f"your function raised {type(error).__name__}: {error}") from error
    if result is None or result is Ellipsis:
        raise Fault("no answer yet: your function returns nothing. Does it end with `return`?")
    return result


def number(answer: object) -> float:
    """The answer as a float. Raises Fault when it is not one number."""
    try:
        return float(answer)  # type: ignore[arg-type]
    except (TypeError, ValueError, RuntimeError) as error:
        found = f"{type(answer).__name__} {answer!r}"[:80]
        raise Fault(f"one number is asked for, and this is a {found}.") from error
