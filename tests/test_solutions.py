"""The book's exercises: each has a solution, and the code in the solutions runs and is right."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest

from segtut import exercises

ROOT = Path(__file__).parents[1]
# A directive with its fence: the same number of backticks or colons opens and closes it.
DIRECTIVE = re.compile(
    r"^(?P<fence>`{3,}|:{3,})\{(?P<kind>exercise|solution)\}[ ]*(?P<title>[^\n]*)\n"
    r"(?P<body>.*?)^(?P=fence)[ ]*$",
    re.MULTILINE | re.DOTALL,
)
LABEL = re.compile(r"^:label:[ ]*(?P<label>\S+)[ ]*$", re.MULTILINE)
PYTHON = re.compile(
    r"^(?P<fence>`{3,})(?:python|\{code-block\} python)[ ]*\n(?P<code>.*?)^(?P=fence)[ ]*$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Exercise:
    """An exercise of a notebook: its label, its text, and the solution's, if there is one."""

    label: str
    title: str
    text: str
    solution: str | None

    @property
    def code(self) -> str:
        """The Python of the solution."""
        return "\n".join(match["code"] for match in PYTHON.finditer(self.solution or ""))


def exercises_in(markdown: str) -> list[Exercise]:
    found = list(DIRECTIVE.finditer(markdown))
    solutions = {m["title"].strip(): m["body"] for m in found if m["kind"] == "solution"}
    listed = []
    for match in found:
        if match["kind"] == "exercise":
            label = LABEL.search(match["body"])
            name = label["label"] if label else ""
            listed.append(Exercise(name, match["title"], match["body"], solutions.pop(name, None)))
    assert not solutions, f"solutions without an exercise: {', '.join(solutions)}"
    return listed


def markdown_of(path: Path) -> str:
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def is_executed(path: Path) -> bool:
    return any(cell.cell_type == "code" for cell in nbformat.read(path, as_version=4).cells)


NOTEBOOKS = sorted(
    path
    for path in (ROOT / "chapters").rglob("*.ipynb")
    if ".ipynb_checkpoints" not in path.parts and is_executed(path)
)
SOLUTIONS = [
    pytest.param(path, exercise, id=f"{path.stem}-{exercise.label}")
    for path in NOTEBOOKS
    for exercise in exercises_in(markdown_of(path))
    if exercise.code
]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_has_exercises_with_solutions_and_checks(path: Path) -> None:
    found = exercises_in(markdown_of(path))
    assert len(found) >= 4
    assert all(exercise.label for exercise in found), "an exercise has no :label:"
    labels = [exercise.label for exercise in found]
    assert len(set(labels)) == len(labels)
    unsolved = [exercise.label for exercise in found if exercise.solution is None]
    assert not unsolved, f"exercises without a solution: {', '.join(unsolved)}"
    checked = [exercise for exercise in found if "check(" in exercise.code]
    assert len(checked) >= 2
    for exercise in found:
        assert re.search(r"\[(concept|code|experiment)\]", exercise.title), exercise.title
        named = set(re.findall(r'check\("([^"]+)"', exercise.text + exercise.code))
        assert named <= set(exercises.names()), f"{exercise.label} names an unknown check"


@pytest.mark.parametrize(("path", "exercise"), SOLUTIONS)
def test_code_of_a_solution_runs_and_passes_its_checks(
    path: Path, exercise: Exercise, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    checks, verdicts = exercises.check, []

    def recorded(name: str, answer: Any) -> exercises.Verdict:
        verdicts.append((name, checks(name, answer)))
        return verdicts[-1][1]

    monkeypatch.setattr(exercises, "check", recorded)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    program = compile(exercise.code, f"{path.name}:{exercise.label}", "exec")
    exec(program, {"__name__": "__main__"})
    assert len(verdicts) >= ("check(" in exercise.code)
    for name, verdict in verdicts:
        assert verdict, f"{name}: {verdict!r}"


# The reading above, on a page of which everything is known

PAGE = """
````{exercise} One [code]
:label: ex-one

Text with `code`.

```python
start = 1
```
````

````{solution} ex-one
:class: dropdown

```python
x = 1
```

Then

```python
y = x + 1
```
```text
no python
```
````

:::{exercise} Two [concept]
:label: ex-two
:::
"""


def test_reading_of_exercises() -> None:
    one, two = exercises_in(PAGE)
    assert (one.label, one.title) == ("ex-one", "One [code]")
    assert one.code == "x = 1\n\ny = x + 1\n"
    assert "start = 1" in one.text
    assert (two.label, two.solution, two.code) == ("ex-two", None, "")
    with pytest.raises(AssertionError, match="solutions without an exercise: ex-three"):
        exercises_in(PAGE + "\n:::{solution} ex-three\n:::\n")
