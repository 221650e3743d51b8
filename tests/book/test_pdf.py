"""The printed book: the small one, or the one that BOOK_PDF names."""

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pikepdf
import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import Browser, Page
from sphinx_external_toc.parsing import parse_toc_yaml

from book._ext import pdf as printing
from tests.book.conftest import ROOT, title_of

pytestmark = pytest.mark.xdist_group("book")

BOOK_PDF = os.environ.get("BOOK_PDF")
OWN_FONTS = ("SourceSerif4", "SourceSans3", "JetBrainsMono", "NotoSerifSC", "NotoSansSC", "MathJax")
SHOW_TEXT = "Tf Tj TJ ' \""


@pytest.fixture(scope="module")
def one_page(request: pytest.FixtureRequest) -> Path:
    """The page that is printed."""
    if BOOK_PDF:
        return Path(BOOK_PDF).parent / "singlehtml" / "index.html"
    folder = request.getfixturevalue("small_book").parents[1]
    program = Path(sys.executable).with_name("jupyter-book")
    command = [program, "build", folder, "--builder", "singlehtml", "-W", "--keep-going"]
    build = subprocess.run(command, capture_output=True, text=True, check=False)
    assert build.returncode == 0, build.stdout + build.stderr
    return folder / "_build" / "singlehtml" / "index.html"


@pytest.fixture(scope="module")
def paper(one_page: Path, tmp_path_factory: pytest.TempPathFactory) -> pikepdf.Pdf:
    """The printed book."""
    if BOOK_PDF:
        return pikepdf.open(BOOK_PDF)
    if shutil.which("chromium") is None and shutil.which("google-chrome") is None:
        pytest.skip("neither chromium nor google-chrome is installed: nothing was printed")
    path = tmp_path_factory.mktemp("paper") / "book.pdf"
    # In a process of its own: other tests of this one may hold a browser open.
    command = [sys.executable, "-m", "book._ext.pdf", str(one_page), str(path)]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert printed.returncode == 0, printed.stdout + printed.stderr
    return pikepdf.open(path)


@pytest.fixture(scope="module")
def soup(one_page: Path) -> BeautifulSoup:
    return BeautifulSoup(one_page.read_text("utf-8"), "html.parser")


def bookmarks(pdf: pikepdf.Pdf) -> list[tuple[int, str]]:
    """Depth and text of every bookmark, in order."""

    def walk(items: list[pikepdf.OutlineItem], depth: int) -> Iterator[tuple[int, str]]:
        for item in items:
            yield depth, item.title
            yield from walk(item.children, depth + 1)

    with pdf.open_outline(max_depth=6) as outline:
        return list(walk(outline.root, 0))


def chapters() -> list[tuple[int, str]]:
    """Depth and title of every page, in the order of the table of contents."""
    site = parse_toc_yaml(ROOT / "_toc.yml")

    def walk(docname: str, depth: int, number: tuple[int, ...]) -> Iterator[tuple[int, str]]:
        digits = ".".join(map(str, number))
        yield max(depth, 0), (f"{digits}. " if digits else "") + title_of(docname)
        count = 0
        for subtree in site[docname].subtrees:
            for name in map(str, subtree.items):
                numbered = bool(number) or subtree.numbered
                count += numbered
                yield from walk(name, depth + 1, (*number, count) if numbered else ())

    return list(walk(site.root.docname, -1, ()))


def test_bookmarks_are_the_table_of_contents(paper):
    found = bookmarks(paper)
    expected = chapters()
    assert expected[-1] == (0, "Index")
    expected = [(0, "Contents"), *expected[:-1], (0, "Solutions to the exercises"), expected[-1]]
    places = [i for i, entry in enumerate(found) if entry in expected]
    solutions = found.index((0, "Solutions to the exercises"))
    # The appendix repeats the titles of the pages whose solutions it holds, a level below.
    named = [found[i] for i in places if i <= solutions or found[i][0] == 0]
    assert named == expected


def test_has_all_pages(paper):
    assert len(paper.pages) >= (250 if BOOK_PDF else len(list(parse_toc_yaml(ROOT / "_toc.yml"))))


def test_says_what_it_is(paper):
    assert paper.docinfo["/Title"] == "Image segmentation with deep learning"
    assert paper.docinfo["/Author"] == "The segtut authors"
    assert paper.Root.Lang == "en"
    assert paper.Root.MarkInfo.Marked
    assert paper.Root.PageMode == "/UseOutlines"


def test_links_lead_somewhere_and_none_to_a_file(paper):
    inner, outer, dead = 0, 0, []
    for page in paper.pages:
        for note in page.get("/Annots", []):
            if "/Dest" in note:
                inner += 1
                if str(note.Dest) not in paper.Root.Dests:
                    dead.append(str(note.Dest))
            elif "/A" in note:
                outer += 1
                if not str(note.A.URI).startswith(("https://", "http://", "mailto:")):
                    dead.append(str(note.A.URI))
    assert dead == []
    assert inner > 40
    assert outer > (50 if BOOK_PDF else -1)


def test_links_lead_to_anchors_and_no_two_of_these_have_one_name(soup):
    names = Counter(element["id"] for element in soup.find_all(id=True))
    twice = [name for name, count in names.items() if count > 1]
    # sphinx-exercise names the text of every exercise and solution so; no link leads there.
    content = ("exercise-content", "solution-content")
    assert [name for name in twice if not name.endswith(content)] == []
    linked = {link["href"].removeprefix("#") for link in soup.select('a[href^="#"]')}
    assert len(linked) > 40
    assert [name for name in linked if names[name] != 1] == []


def test_contents_lead_to_the_pages_in_their_order(paper, soup):
    places = printing.page_of_anchors(paper)
    links = [link["href"].removeprefix("#") for link in soup.select(".contents a.page-of")]
    assert len(links) == len(chapters())  # the solutions, too, and the cover not
    numbers = [places[name] for name in links]
    assert numbers == sorted(set(numbers))


def test_exercise_and_solution_lead_to_each_other(paper, soup):
    places = printing.page_of_anchors(paper)
    anchors = {element["id"]: element for element in soup.find_all(id=True)}
    exercises = soup.select("div.exercise")
    assert len(exercises) >= (100 if BOOK_PDF else 1)
    for exercise in exercises:
        link = exercise.select_one(".solution-reference a")
        assert link is not None, exercise["id"]
        solution = anchors[link["href"].removeprefix("#")]
        assert "dropdown" not in solution["class"]
        assert solution.find_parent(id="solutions")
        back = solution.select_one(".admonition-title a")["href"].removeprefix("#")
        assert back == exercise["id"]
        assert places[back] < places["solutions"] <= places[solution["id"]]


def fonts(page: pikepdf.Page) -> dict[str, pikepdf.Object]:
    return dict(page.Resources.get("/Font", {}).items())


def full_name(font: pikepdf.Object) -> str:
    descriptor = font.get("/FontDescriptor")
    if descriptor is None:
        descriptor = font.DescendantFonts[0].FontDescriptor
    return str(descriptor.FontName).rpartition("+")[2].removeprefix("/")


def test_all_letters_come_from_the_books_own_fonts(paper):
    names = {full_name(font) for page in paper.pages for font in fonts(page).values()}
    assert [name for name in names if not name.startswith(OWN_FONTS)] == []
    # Letters of the text are letters, not small drawings.
    drawn = {
        full_name(font)
        for page in paper.pages
        for font in fonts(page).values()
        if font.Subtype == "/Type3"
    }
    assert [name for name in drawn if not name.startswith("MathJax")] == []


def missing_glyphs(page: pikepdf.Page) -> list[str]:
    """The names of the fonts in which the page shows the glyph that stands for none."""
    known = fonts(page)
    found, font = [], None
    for instruction in pikepdf.parse_content_stream(page, SHOW_TEXT):
        operands, operator = instruction.operands, str(instruction.operator)
        if operator == "Tf":
            font = known[str(operands[0])]
            continue
        strings = operands[0] if operator == "TJ" else operands[-1:]
        for string in strings:
            if isinstance(string, pikepdf.String) and shows_none(bytes(string), font):
                found.append(full_name(font))
    return found


def shows_none(codes: bytes, font: pikepdf.Object) -> bool:
    if font.Subtype == "/Type0":
        return any(codes[i : i + 2] == b"\0\0" for i in range(0, len(codes), 2))
    return any(code in none_in(font) for code in codes)


def none_in(font: pikepdf.Object) -> set[int]:
    """The codes of glyph 0 in a font of drawn letters."""
    codes, code = set(), 0
    for entry in font.Encoding.Differences:
        if isinstance(entry, int):
            code = entry
        else:
            if str(entry) == "/g0":
                codes.add(code)
            code += 1
    return codes


def test_no_glyph_is_missing(paper):
    assert {n: found for n, p in enumerate(paper.pages, 1) if (found := missing_glyphs(p))} == {}


def structure(pdf: pikepdf.Pdf) -> Iterator[pikepdf.Object]:
    """Every element of the tree that says what is what."""
    waiting = [pdf.Root.StructTreeRoot]
    while waiting:
        element = waiting.pop()
        if isinstance(element, pikepdf.Dictionary):
            yield element
            below = element.get("/K", [])
            waiting += list(below) if isinstance(below, pikepdf.Array) else [below]


def test_pictures_say_what_they_show(paper):
    pictures = [element for element in structure(paper) if element.get("/S") == "/Figure"]
    assert len(pictures) >= (60 if BOOK_PDF else 1)
    assert [p.get("/Alt") for p in pictures if len(str(p.get("/Alt", ""))) < 10] == []


def test_is_light_enough_to_send(paper):
    assert Path(paper.filename).stat().st_size < 60e6


@pytest.fixture
def sheet(browser: Browser) -> Iterator[Page]:
    """An empty page of the width of paper."""
    page = browser.new_page(viewport={"width": printing.COLUMN, "height": 1000})
    page.emulate_media(media="print")
    yield page
    page.close()


def test_wide_table_is_set_smaller(sheet):
    row = "<tr>" + "<td>intersection-over-union</td>" * 12 + "</tr>"
    sheet.set_content(
        f"<style>body{{margin:0}}</style><main><div><table>{row}</table></div></main>"
    )
    assert sheet.evaluate("document.querySelector('table').getBoundingClientRect().width") > 900
    assert sheet.evaluate(printing.FIT) == []
    assert sheet.evaluate("document.querySelector('table').getBoundingClientRect().width") <= 658


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("<p style='width: 900px'>a wide one</p>", "a wide one"),
        ("<div style='overflow: hidden'><p style='width: 900px'>cut</p></div>", "cut"),
        ("<img src='data:image/png;base64,AAAA'>", "no picture"),
    ],
)
def test_what_cannot_be_printed_whole_is_named(sheet, body, fault):
    sheet.set_content(f"<style>body{{margin:0}}</style><main>{body}</main>")
    faults = sheet.evaluate(printing.FIT)
    assert faults
    assert fault in faults[0]


def test_page_numbers_are_those_of_the_printed_pages(sheet):
    far = "<h2 id='far' style='break-before: page'>Far</h2>"
    entries = "<p><a class='page-of' href='#far'>Far</a></p>" * 90  # more than one page of contents
    sheet.set_content(f"<style>@page {{size: A4}}</style><main>{entries}{far}</main>")
    printing.settle(sheet)
    numbers = sheet.evaluate("[...document.links].map((link) => link.dataset.page)")
    assert set(numbers) == {"4"}


def test_missing_glyph_would_be_found(sheet, tmp_path):
    sheet.set_content("<main><p>no font has this: \ue0f3</p></main>")
    path = tmp_path / "glyph.pdf"
    path.write_bytes(printing.printed(sheet))
    with pikepdf.open(path) as pdf:
        assert missing_glyphs(pdf.pages[0]) != []
