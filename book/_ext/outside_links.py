"""Sphinx extension for `make links`: a DOI is asked for where DOIs are kept.

Followed to the end it leads to a publisher, and many publishers turn programs away. The registry
answers everybody, with 404 for a DOI that does not exist.
"""

from typing import Any

from sphinx.application import Sphinx

RESOLVER, REGISTRY = "https://doi.org/", "https://doi.org/api/handles/"


def ask_the_registry(app: Sphinx, uri: str) -> str | None:
    """The address to check in place of a DOI's; None leaves others as they are."""
    if uri.startswith(RESOLVER) and not uri.startswith(REGISTRY):
        return REGISTRY + uri.removeprefix(RESOLVER)
    return None


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the step."""
    app.connect("linkcheck-process-uri", ask_the_registry)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
