"""Sphinx extension: no line ends between a number and its percent sign.

A number that a run gave is a node of its own, and the text after it begins with the space.
"""

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

NO_BREAK = "\N{NO-BREAK SPACE}"
BEFORE_PERCENT = re.compile(r"(?:(?<=\d)|^) (?=%)")
AS_WRITTEN = (nodes.literal, nodes.FixedTextElement, nodes.math, nodes.math_block, nodes.raw)


def keep_together(app: Sphinx, doctree: nodes.document) -> None:
    """Put a no-break space before each percent sign that belongs to a number."""
    for text in list(doctree.findall(nodes.Text)):
        joined = BEFORE_PERCENT.sub(NO_BREAK, text)
        if joined != text and not isinstance(text.parent, AS_WRITTEN):
            text.parent.replace(text, nodes.Text(joined))


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the step."""
    app.connect("doctree-read", keep_together)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
