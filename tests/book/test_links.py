"""The links of the built book lead to a page, a place on it or a file; a crawl of all its pages.

`make test` crawls a small book; `make inspect` crawls the real one. Links that leave the book need
a network, and `make links` follows them.
"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.book.conftest import SPECIMEN

pytestmark = pytest.mark.xdist_group("book")

COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
SCRIPT = re.compile(r"(<(script|style)\b[^>]*>).*?</\2>", re.DOTALL)
TAG = re.compile(
    r"<([a-zA-Z][\w-]*)((?:\s+[^\s=>\"'/]+(?:\s*=\s*(?:\"[^\"]*\"|'[^']*'|[^\s>]+))?)*)\s*/?>"
)
ATTRIBUTE = re.compile(r"([^\s=>\"'/]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")

# sphinx-exercise gives all of its boxes these, and nothing links to them.
NAMELESS = ("exercise-content", "solution-content")


@dataclass
class Links:
    """What a page names (its places) and what it links to."""

    places: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)


def links_of(html: str) -> Links:
    """Read a page. The contents of scripts and comments are no part of it."""
    found = Links()
    for tag in TAG.finditer(SCRIPT.sub(r"\1", COMMENT.sub("", html))):
        for name, *values in ATTRIBUTE.findall(tag[2]):
            value = unescape("".join(values))
            if name == "id" or (name == "name" and tag[1] == "a"):
                found.places.append(value)
            elif name in ("href", "src"):
                found.addresses.append(value)
            elif tag[1] == "meta" and (forward := re.match(r"\d+;\s*url=(.+)", value)):
                found.addresses.append(forward[1])
    return found


@pytest.fixture(scope="module")
def crawled(site: Path) -> dict[Path, Links]:
    """The links of every page of the book."""
    pages = [path for path in site.rglob("*.html") if "_static" not in path.relative_to(site).parts]
    return {page: links_of(page.read_text("utf-8")) for page in pages}


def dead_links(crawled: dict[Path, Links]) -> list[str]:
    """The links within the book that lead nowhere, as `page: address`."""
    dead = []
    places = {page: set(links.places) for page, links in crawled.items()}
    for page, links in crawled.items():
        for address in dict.fromkeys(links.addresses):
            split = urlsplit(address)
            if split.scheme or split.netloc:
                continue
            target = page.parent / unquote(split.path) if split.path else page
            target = Path(*target.parts).resolve()
            known = places.get(target)
            there = target.is_file() and (
                split.fragment in ("", "top") or known is None or unquote(split.fragment) in known
            )
            if not there:
                dead.append(f"{page.name}: {address}")
    return dead


def test_every_page_is_crawled(crawled, site):
    assert site / f"{SPECIMEN}.html" in crawled
    assert site / "genindex.html" in crawled
    assert min(len(links.addresses) for links in crawled.values()) >= 1


def test_links_lead_somewhere(crawled):
    assert dead_links(crawled) == []


def test_a_place_is_named_once_on_a_page(crawled):
    twice = {
        page.name: [p for p, n in Counter(links.places).items() if n > 1 and p not in NAMELESS]
        for page, links in crawled.items()
    }
    assert {name: places for name, places in twice.items() if places} == {}


def test_no_link_leads_to_the_machine_that_built_the_book(crawled):
    local = re.compile(r"file:|https?://(localhost|127\.|0\.0\.0\.0)|/(home|root|tmp|work)/")
    assert [a for links in crawled.values() for a in links.addresses if local.match(a)] == []


# The crawl itself, on pages of which everything is known


@pytest.fixture
def two_pages(tmp_path: Path) -> Callable[[str], list[str]]:
    """A function that crawls a page, given as HTML, beside another with one place."""

    def crawl(html: str) -> list[str]:
        texts = {"one.html": html, "two.html": '<p id="here">text</p>'}
        for name, text in texts.items():
            (tmp_path / name).write_text(text)
        return dead_links({(tmp_path / n).resolve(): links_of(t) for n, t in texts.items()})

    return crawl


@pytest.mark.parametrize(
    "html",
    [
        '<a href="two.html#here">',
        "<a class=x href='two.html?q=1'>",
        '<a href="https://example.org/nowhere">',
        '<a id="a&amp;b" href="#a%26b">',
        '<script>const text = "<a href=nowhere.html>";</script>',
        "<!-- <a href='nowhere.html'> -->",
        '<a href="#">',
        '<meta http-equiv="Refresh" content="0; url=two.html" />',
    ],
)
def test_a_good_link_is_found_good(two_pages, html):
    assert two_pages(html) == []


@pytest.mark.parametrize(
    "html",
    [
        '<a href="two.html#there">',
        '<img alt="a > b" src="picture.png">',
        '<a href="#nowhere">',
        '<script src="script.js"></script>',
        "<a\n  class='wide'\n  href='three.html'>",
        '<meta http-equiv="Refresh" content="0; url=three.html" />',
    ],
)
def test_a_dead_link_is_found_dead(two_pages, html):
    assert len(two_pages(html)) == 1
