"""Sphinx extension: what search engines and shared links show of a page.

The descriptions stand in `book/descriptions.yml`. Where the book knows its own address, from `html:
baseurl:` in `_config.yml` or from the environment variable BOOK_URL, pages also name their address
and the picture that stands for the book, and there is a `sitemap.xml`; both ask for full addresses.
"""

import os
from functools import cache
from html import escape
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape as escape_xml

import yaml
from sphinx.application import Sphinx
from sphinx.config import Config

DESCRIPTIONS = Path("book/descriptions.yml")
CARD = "_static/social_card.png"
CARD_SIZE = (1200, 630)
CARD_TEXT = (
    "A drawn street, its label map, and the label map that a small network predicted, "
    "under the title Image segmentation with deep learning"
)


@cache
def descriptions(root: Path) -> dict[str, str]:
    """The description of each page, by its name in the table of contents."""
    return yaml.safe_load((root / DESCRIPTIONS).read_text(encoding="utf-8"))


def take_address(app: Sphinx, config: Config) -> None:
    """Let BOOK_URL say where the book will stand; raise ValueError for what is no address."""
    address = os.environ.get("BOOK_URL", config.html_baseurl)
    if address and not address.startswith(("http://", "https://")):
        raise ValueError(f"the book's address is {address!r}, expected https://...")
    config.html_baseurl = f"{address.rstrip('/')}/" if address else ""


def tag(kind: str, name: str, content: str) -> str:
    """One meta element."""
    return f'<meta {kind}="{name}" content="{escape(content)}" />'


def add_tags(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    """Add the description, and what Open Graph asks for, to a page of the table of contents."""
    if pagename not in app.env.found_docs or app.builder.name == "singlehtml":
        return
    config, name = app.config, app.config.html_title
    start = pagename == config.root_doc
    properties = {
        "og:title": name if start else app.env.titles[pagename].astext(),
        "og:type": "website" if start else "article",
        "og:site_name": name,
    }
    names: dict[str, str] = {}
    written = context.get("metatags", "")
    if text := descriptions(Path(app.srcdir)).get(pagename):
        properties["og:description"] = text
        if 'name="description"' not in written:
            names["description"] = text
    if config.html_baseurl:
        properties |= {
            "og:url": config.html_baseurl + app.builder.get_target_uri(pagename),
            "og:image": config.html_baseurl + CARD,
            "og:image:width": str(CARD_SIZE[0]),
            "og:image:height": str(CARD_SIZE[1]),
            "og:image:alt": CARD_TEXT,
        }
        names["twitter:card"] = "summary_large_image"
    context["metatags"] = "\n".join(
        [written]
        + [tag("name", key, value) for key, value in names.items()]
        + [tag("property", key, value) for key, value in properties.items()]
    )


def write_sitemap(app: Sphinx, exception: Exception | None) -> None:
    """List the address of every page."""
    address = app.config.html_baseurl
    if exception is not None or app.builder.name != "html" or not address:
        return
    pages = sorted(app.builder.get_target_uri(name) for name in app.env.found_docs)
    lines = [f"  <url><loc>{escape_xml(address + page)}</loc></url>" for page in pages]
    (Path(app.outdir) / "sitemap.xml").write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n'
        + "\n".join([*lines, "</urlset>"])
        + "\n",
        encoding="utf-8",
    )


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the steps."""
    app.connect("config-inited", take_address)
    app.connect("html-page-context", add_tags)
    app.connect("build-finished", write_sitemap)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
