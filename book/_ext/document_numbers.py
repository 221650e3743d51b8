"""Sphinx extension: only pages carry section numbers, and they are the document's.

Sphinx numbers the headings inside a page together with the pages below it, so that a heading in the
index page of 3.2 would become 3.2.1 and push the convolution layer to 3.2.2. Here each numbered
page gets the number of its place in `_toc.yml`, and headings inside pages get none.
"""

from typing import Any

from docutils import nodes
from sphinx.addnodes import toctree
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

Number = tuple[int, ...]


def page_numbers(env: BuildEnvironment) -> dict[str, Number]:
    """The number of every page that Sphinx numbered, by its place among the pages alone."""
    numbers: dict[str, Number] = {}

    def walk(docname: str, above: Number) -> None:
        count = 0
        for child in env.toctree_includes.get(docname, []):
            if child in env.toc_secnumbers:
                count += 1
                numbers[child] = (*above, count)
                walk(child, numbers[child])

    walk(env.config.root_doc, ())
    return numbers


def renumber(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Replace Sphinx's section numbers once it has assigned them."""
    for docname, number in page_numbers(env).items():
        title, *inside = [
            reference
            for reference in env.tocs[docname].findall(nodes.reference)
            if not isinstance(reference.parent, toctree)
        ]
        env.titles[docname]["secnumber"] = number
        title["secnumber"] = number
        env.toc_secnumbers[docname] = {title["anchorname"]: number}
        for reference in inside:
            reference.attributes.pop("secnumber", None)
            # For the HTML writer a missing entry means the page's own number, None no number.
            env.toc_secnumbers[docname][reference["anchorname"]] = None  # type: ignore[assignment]
    return []


def setup(app: Sphinx) -> dict[str, Any]:
    """Run after Sphinx's own numbering, which has the default priority of 500."""
    app.connect("env-get-updated", renumber, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
