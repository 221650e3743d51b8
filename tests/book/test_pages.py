"""Every built page, opened in a browser as a reader does: from the disk, with no network.

`make test` opens the pages of a small book; `make inspect` opens those of the real one.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

import axe_playwright_python
import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import Browser, Page, Request

from tests.book.conftest import ROOT, SPECIMEN, parse_toc_yaml

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text("utf-8")
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 900}
HEAVIEST_PAGE = 1_500_000  # bytes beyond what all pages share

# A rule of axe-core that the theme's own parts break on every page, and headers of tables that hold
# one formula: axe-core does not count MathJax's MathML as text, screen readers do.
THEME_FAULTS = ("region",)
FORMULA_HEADERS = "th:has(mjx-assistive-mml)"
COLOR_RULES = ("color-contrast", "link-in-text-block")  # the only ones that a theme can change

# Half the elements of a page are words of its programs, in a dozen colors: axe-core would spend its
# time on them, so of each kind of word the first stays in its element and the others join the text.
ONE_WORD_OF_A_KIND = """
const seen = new Set();
for (const word of document.querySelectorAll(".highlight pre span[class]")) {
  const place = word.closest("[class*=highlight-], .cell_input, .cell_output");
  const kind = word.className + place.className;
  if (seen.has(kind)) word.replaceWith(...word.childNodes);
  seen.add(kind);
}
"""

BOOK_HTML = os.environ.get("BOOK_HTML")
if BOOK_HTML:
    PAGES = [*parse_toc_yaml(ROOT / "_toc.yml"), "search"]
else:
    PAGES = ["book/cover", SPECIMEN, "genindex", "search"]

# One worker visits all of the small book, which it has built, or one page of the real one.
every_page = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.xdist_group(name if BOOK_HTML else "book"))
        for name in PAGES
    ],
)
on_specimen = pytest.mark.xdist_group("book")


@dataclass
class Visit:
    """What a browser met on one page."""

    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    axe: dict[str, list[str]] = field(default_factory=dict)
    phone_overflow: int = 0
    formulas: tuple[int, int] = (0, 0)
    widgets: tuple[int, int] = (0, 0)


def wait_until_drawn(page: Page) -> None:
    """Wait for the formulas and for the figures that scripts draw."""
    page.wait_for_function("!window.MathJax || MathJax.startup?.promise")
    page.evaluate("window.MathJax?.startup?.promise")
    views = page.locator('script[type="application/vnd.jupyter.widget-view+json"]').count()
    if views:
        page.wait_for_function(
            f"document.querySelectorAll('.widget-subarea .lm-Widget').length >= {views}",
            timeout=20_000,
        )


def prepare_axe(page: Page) -> None:
    """Load axe-core, and spare it repetition."""
    # RequireJS would take axe-core for a module of its own.
    page.evaluate("window.hidden_define = window.define; window.define = undefined")
    page.evaluate(AXE)
    page.evaluate("window.define = window.hidden_define")
    page.evaluate(f"() => {{ {ONE_WORD_OF_A_KIND} }}")


def broken_rules(page: Page, only: tuple[str, ...] = ()) -> list[str]:
    """Rules of axe-core that the page breaks, each with the first elements that break it."""
    options = {"resultTypes": ["violations"], "preload": False}
    if only:
        options["runOnly"] = list(only)
    else:
        options["rules"] = {rule: {"enabled": False} for rule in THEME_FAULTS}
    found = page.evaluate(
        "([exclude, options]) => axe.run({exclude}, options)", [[FORMULA_HEADERS], options]
    )
    return [
        f"{rule['id']}: {'; '.join(node['html'][:200] for node in rule['nodes'][:3])}"
        for rule in found["violations"]
    ]


def visit(browser: Browser, address: str) -> Visit:
    """Open the page in light, in dark and on a phone."""
    record = Visit()
    context = browser.new_context(viewport=DESKTOP, color_scheme="light", reduced_motion="reduce")
    page = context.new_page()
    page.on("pageerror", lambda error: record.errors.append(str(error)))
    page.on("console", lambda line: line.type == "error" and record.errors.append(line.text))
    page.on("request", lambda request: record.requests.append(request.url))

    def note_failure(request: Request) -> None:
        record.failed.append(request.url)

    page.on("requestfailed", note_failure)
    page.route("http*://**", lambda route: route.abort())
    page.goto(address)
    wait_until_drawn(page)
    record.formulas = (page.locator(".math").count(), page.locator("mjx-container").count())
    record.widgets = (
        page.locator('script[type="application/vnd.jupyter.widget-view+json"]').count(),
        page.locator(".widget-subarea .lm-Widget").count(),
    )
    prepare_axe(page)
    record.axe["light"] = broken_rules(page)
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    record.axe["dark"] = broken_rules(page, COLOR_RULES)
    page.set_viewport_size(PHONE)
    record.phone_overflow = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    context.close()
    return record


@pytest.fixture(scope="module")
def visited(browser: Browser, site: Path) -> Callable[[str], Visit]:
    """A function that visits a page, once."""
    visits: dict[str, Visit] = {}

    def look(name: str) -> Visit:
        if name not in visits:
            path = site / f"{name}.html"
            assert path.exists(), f"{path} was not built"
            visits[name] = visit(browser, path.as_uri())
        return visits[name]

    return look


@every_page
def test_no_error_on_the_console(visited, name):
    assert visited(name).errors == []


@every_page
def test_asks_for_nothing_off_the_site_and_misses_nothing(visited, name):
    record = visited(name)
    assert [url for url in record.requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert record.failed == []


@every_page
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_is_accessible(visited, name, theme):
    assert visited(name).axe[theme] == []


@every_page
def test_does_not_scroll_sideways_on_a_phone(visited, name):
    assert visited(name).phone_overflow <= 0


@every_page
def test_formulas_and_figures_are_drawn(visited, name):
    formulas, typeset = visited(name).formulas
    assert typeset >= formulas
    views, drawn = visited(name).widgets
    assert drawn >= views


@every_page
def test_page_is_light(visited, site, name):
    local = {unquote(urlsplit(url).path) for url in visited(name).requests if url[:5] == "file:"}
    shared = site / "searchindex.js"
    own = [p for p in map(Path, local) if site / "_static" not in p.parents and p != shared]
    assert sum(path.stat().st_size for path in own) <= HEAVIEST_PAGE


@every_page
def test_tables_are_drawn(site, name):
    """A table in Markdown that a cell makes is one only if its cell says that it is Markdown."""
    soup = BeautifulSoup((site / f"{name}.html").read_text("utf-8"), "html.parser")
    text = " ".join(p.get_text() for p in soup.select("p"))
    assert re.findall(r"\|:?[-–—]+:?\|", text) == []


@every_page
def test_pictures_say_what_they_show(site, name):
    page = BeautifulSoup((site / f"{name}.html").read_text("utf-8"), "html.parser")
    pictures = (page.find("article") or page).find_all("img")
    # Without a text from the author, the text of an output is the path of its file.
    silent = [p["src"][:80] for p in pictures if len(p.get("alt", "")) < 10 or "/" in p["alt"][:12]]
    assert silent == []


@pytest.fixture
def specimen_page(browser: Browser, small_book: Path) -> Callable[..., Page]:
    """A function that opens the specimen with the given options."""

    def show(**options: object) -> Page:
        page = browser.new_page(**options)
        page.goto((small_book / f"{SPECIMEN}.html").as_uri())
        return page

    return show


@on_specimen
def test_figure_answers_without_a_kernel(specimen_page):
    page = specimen_page()
    button = page.locator("button.specimen")
    button.click()
    button.click()
    assert button.inner_text() == "pressed 2 times"
    page.close()


@on_specimen
def test_table_is_sorted_by_mouse_and_by_keyboard(specimen_page):
    page = specimen_page()
    table = page.locator(".tag_sortable table")

    def column(number):
        return table.locator(f"tbody td:nth-child({number})").all_inner_texts()

    table.get_by_role("button", name="score").click()
    assert column(2) == ["76.0 ± 0.4", "9.5 ± 0.1", "–"]
    table.get_by_role("button", name="score").press("Enter")
    assert column(2) == ["9.5 ± 0.1", "76.0 ± 0.4", "–"]
    table.get_by_role("button", name="parameters").press("Space")
    assert column(3) == ["20,000", "1,000", "90"]
    sorted_by = table.locator("th[aria-sort]")
    assert sorted_by.count() == 1
    assert sorted_by.get_attribute("aria-sort") == "descending"
    table.get_by_role("button", name="network").click()
    assert column(1) == ["absent", "deep", "wide"]
    page.close()


@on_specimen
def test_reads_without_scripts(specimen_page):
    page = specimen_page(java_script_enabled=False)
    assert page.locator("article h1").inner_text().startswith("3.2.1.")
    assert page.locator(".exercise").is_visible()
    page.close()
