"""Sphinx extension: what each notebook asks of its reader, counted and timed as the book is built.

`{notebook-table}` makes a table of the notebooks of the book: how long the last execution took, as
the execution cache remembers it, and how many exercises and checks there are.
"""

import json
import platform
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

BOX = re.compile(
    r"^(?P<fence>`{3,}|:{3,})\{(?P<kind>exercise|solution)\}(?P<body>.*?)^(?P=fence)[ ]*$",
    re.MULTILINE | re.DOTALL,
)
HEAD = ("notebook", "seconds", "exercises", "with a check")


class Placeholder(nodes.General, nodes.Element):
    """Where the table goes once all pages are read."""


class NotebookTable(Directive):
    """The directive; it takes neither arguments nor content."""

    def run(self) -> list[nodes.Node]:
        """Leave a mark."""
        env = self.state.document.settings.env
        env.metadata[env.docname]["notebook-table"] = "here"
        return [Placeholder()]


def processor() -> str:
    """The name of this machine's processor."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def exercises(notebook: Path) -> tuple[int, int]:
    """How many exercises a notebook has, and how many of their solutions call a check."""
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    boxes = list(BOX.finditer("\n\n".join(texts)))
    solutions = [box["body"] for box in boxes if box["kind"] == "solution"]
    return len(boxes) - len(solutions), sum("check(" in solution for solution in solutions)


def seconds(env: BuildEnvironment, docname: str) -> float | None:
    """How long the notebook took when it was executed last; None if it was not."""
    data = NbMetadataCollector.get_exec_data(env, docname)
    return data["runtime"] if data else None


def row(*cells: nodes.Node | str) -> nodes.row:
    """A row of the table."""
    found = nodes.row()
    for cell in cells:
        content = cell if isinstance(cell, nodes.Node) else nodes.Text(cell)
        found += nodes.entry("", nodes.paragraph("", "", content))
    return found


def in_order(env: BuildEnvironment) -> list[str]:
    """The pages in the order of the table of contents."""
    found: list[str] = []

    def walk(docname: str) -> None:
        found.append(docname)
        for child in env.toctree_includes.get(docname, []):
            walk(child)

    walk(env.config.root_doc)
    return found


def table(app: Sphinx, fromdocname: str) -> list[nodes.Node]:
    """The table, and a sentence on where the times are from."""
    env = app.env
    body, times = nodes.tbody(), []
    for docname in in_order(env):
        path = Path(env.doc2path(docname))
        if path.suffix != ".ipynb":
            continue
        took = seconds(env, docname)
        count, checked = exercises(path)
        number = ".".join(map(str, env.titles[docname].get("secnumber", ())))
        uri = app.builder.get_relative_uri(fromdocname, docname)
        title = f"{number} {env.titles[docname].astext()}".strip()
        link = nodes.reference("", title, refuri=uri, internal=True)
        body += row(link, "–" if took is None else f"{took:.0f}", f"{count}", f"{checked}")
        times += [] if took is None else [took]
    group = nodes.tgroup("", *(nodes.colspec(colwidth=w) for w in (55, 15, 15, 15)), cols=4)
    group += [nodes.thead("", row(*HEAD)), body]
    said = "These pages were made without executing the notebooks, so there are no times."
    if times:
        minutes = sum(times) / 60
        said = (
            f"When these pages were made, the {len(times)} notebooks took {minutes:.1f} minutes in "
            f"all, one thread each, on this processor: {processor()}."
        )
    return [nodes.table("", group, classes=["notebook-table"]), nodes.paragraph("", said)]


def fill(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put the table where its mark is."""
    for mark in list(doctree.findall(Placeholder)):
        mark.replace_self(table(app, docname))


def write_again(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """The pages with a table: they are written anew whatever has changed."""
    return [name for name, data in env.metadata.items() if "notebook-table" in data]


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive."""
    app.add_node(Placeholder)
    app.add_directive("notebook-table", NotebookTable)
    app.connect("env-updated", write_again)
    app.connect("doctree-resolved", fill)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
