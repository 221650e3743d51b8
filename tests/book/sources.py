"""The book's own pages as text: Markdown files, and notebooks with their cells."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import nbformat
from sphinx_external_toc.parsing import parse_toc_yaml

ROOT = Path(__file__).parents[2]

ROLE = re.compile(r"\{(?P<role>[a-z:]+)\}`(?P<text>[^`]+)`")
LABEL = re.compile(r"^\((?P<label>[^()\s]+)\)=[ ]*$", re.MULTILINE)
FENCE = re.compile(r"^(?P<fence>`{3,})[^\n]*\n.*?^(?P=fence)[ ]*$", re.MULTILINE | re.DOTALL)
PYTHON = re.compile(r"^```python\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Target:
    """What a role such as {ref}`the text <target>` names, and the page that it stands on."""

    page: str
    role: str
    name: str


@cache
def pages() -> tuple[str, ...]:
    """The pages of the book without their endings, in their order."""
    return tuple(parse_toc_yaml(ROOT / "_toc.yml"))


def path_of(page: str) -> Path:
    """The file of a page."""
    found = [path for end in (".md", ".ipynb") if (path := ROOT / f"{page}{end}").exists()]
    assert len(found) == 1, f"{page} is in _toc.yml, and these are its files: {found}"
    return found[0]


@cache
def cells(page: str) -> tuple[nbformat.NotebookNode, ...]:
    """The cells of a notebook that a reader sees; none of a Markdown file."""
    path = path_of(page)
    if path.suffix == ".md":
        return ()
    notebook = nbformat.read(path, as_version=4)
    return tuple(c for c in notebook.cells if "remove-cell" not in c.metadata.get("tags", []))


@cache
def markdown(page: str) -> str:
    """The Markdown of a page, also that of a notebook's cells."""
    path = path_of(page)
    if path.suffix == ".md":
        return path.read_text("utf-8")
    return "\n\n".join(cell.source for cell in cells(page) if cell.cell_type == "markdown")


def targets(page: str) -> list[Target]:
    """What the roles of a page name, in their order."""
    found = []
    for match in ROLE.finditer(markdown(page)):
        bracket = re.search(r"<([^<>]+)>$", match["text"])
        name = bracket[1] if bracket else match["text"]
        found.append(Target(page, match["role"], re.sub(r"\s+", " ", name.strip())))
    return found


@cache
def labels() -> dict[str, list[str]]:
    """Every label of the book, of a place or of an exercise or figure, and its pages."""
    found: dict[str, list[str]] = {}
    for page in pages():
        text = markdown(page)
        named = re.findall(r"^:(?:label|name):[ ]*(\S+)[ ]*$", text, re.MULTILINE)
        in_cells = [
            (cell.metadata.get("mystnb", {}).get("figure") or {}).get("name")
            for cell in cells(page)
        ]
        for label in (*LABEL.findall(text), *named, *filter(None, in_cells)):
            found.setdefault(label, []).append(page)
    return found


def labeled_cell(label: str) -> nbformat.NotebookNode | None:
    """The code cell that a label stands directly before, if it stands before one."""
    for page in labels().get(label, []):
        for before, cell in zip(cells(page), cells(page)[1:], strict=False):
            ends_so = before.source.rstrip().endswith(f"({label})=")
            if before.cell_type == "markdown" and ends_so and cell.cell_type == "code":
                return cell
    return None
