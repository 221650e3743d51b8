"""Sphinx extension: under each term, the index lists the pages that use it.

The glossary itself puts its terms into the index. Here the first link to a term on a page becomes
an entry below the term, named by the page's title.
"""

from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

PREFIX = "use-"
Uses = dict[str, list[tuple[str, str]]]  # by page: a term as it is written there, and its place


def uses(env: BuildEnvironment) -> Uses:
    """What the pages use; it is kept with the environment from build to build."""
    if not hasattr(env, "term_uses"):
        env.term_uses = {}  # type: ignore[attr-defined]
    return env.term_uses  # type: ignore[attr-defined,no-any-return]


def note(app: Sphinx, doctree: nodes.document) -> None:
    """Mark the first link to each term on a page as a place."""
    docname, found = app.env.docname, {}
    glossaries = list(doctree.findall(addnodes.glossary))
    links = [] if glossaries else list(doctree.findall(addnodes.pending_xref))
    for link in links:
        term = link["reftarget"].lower() if link.get("reftype") == "term" else None
        if term is None or term in found or isinstance(link.parent, nodes.title):
            continue  # a title is copied into the navigation
        place = nodes.make_id(f"{PREFIX}{docname}-{term}")
        found[term] = place
        link.parent.insert(link.parent.index(link), nodes.target("", "", ids=[place]))
    uses(app.env)[docname] = list(found.items())


def forget(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    """Forget what a page used that is read anew or gone."""
    uses(env).pop(docname, None)


def list_uses(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Put the uses into the index, once all terms and titles are known."""
    names = {name.lower(): name for kind, name in env.get_domain("std").objects if kind == "term"}
    for docname, entries in env.get_domain("index").entries.items():
        entries[:] = [entry for entry in entries if not entry[2].startswith(PREFIX)]
        for term, place in uses(env).get(docname, []):
            if term in names:
                title = env.titles[docname].astext().replace(";", ",")
                entries.append(("single", f"{names[term]}; {title}", place, "", None))
    return []


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the steps."""
    app.connect("doctree-read", note)
    app.connect("env-purge-doc", forget)
    app.connect("env-updated", list_uses)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}
