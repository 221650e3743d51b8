"""Sphinx extension: pages that load everything from the book itself.

sphinx-thebe writes a script with a network address into each page, twice, although the book does
not use it; the second copy is a JavaScript error. It is dropped. The script that shows anywidget
figures is copied from the installed package, so that it has the version that wrote the figures.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

# What the representations of sphinx-thebe's scripts and style sheet contain.
THEBE = ("THEBE_JS_URL", "sphinx-thebe")


def drop_thebe(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    """Remove sphinx-thebe's scripts and styles from the page."""
    for files in ("script_files", "css_files"):
        context[files] = [
            file
            for file in context.get(files, [])
            if not any(mark in f"{file} {getattr(file, 'attributes', {})}" for mark in THEBE)
        ]


def copy_anywidget(app: Sphinx, exception: Exception | None) -> None:
    """Put anywidget's AMD module where widgets-config.js makes RequireJS look for it."""
    if exception is not None or app.builder.format != "html":
        return
    package = find_spec("anywidget")
    if package is None or package.origin is None:
        raise RuntimeError("anywidget is not installed: run `pip install -e '.[book]'`")
    source = Path(package.origin).parent / "nbextension" / "index.js"
    target = Path(app.outdir) / "_static" / "vendor" / "anywidget.js"
    target.write_bytes(source.read_bytes())


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the two steps."""
    app.connect("html-page-context", drop_thebe, priority=900)
    app.connect("build-finished", copy_anywidget)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
