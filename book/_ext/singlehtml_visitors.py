"""Sphinx extension: lets the one-page build show what the other extensions draw.

sphinx-exercise registers visitors for the name "singlehtml", and Sphinx then no longer falls back
to the "html" visitors of any other extension for that builder. Here they are put back.
"""

from typing import Any

from sphinx.application import Sphinx


def add_html_visitors(app: Sphinx) -> None:
    """Give the singlehtml builder every visitor that the html builder has."""
    handlers = app.registry.translation_handlers
    handlers["singlehtml"] = {**handlers.get("html", {}), **handlers.get("singlehtml", {})}


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the step."""
    app.connect("builder-inited", add_html_visitors)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
