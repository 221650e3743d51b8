"""What the pages refer to is there: other pages, places in them, terms, publications.

These tests read the sources and need no built book; test_links.py follows the links of a built one.
"""

import re
import string
from functools import cache

import pytest
from pybtex.database import Entry, parse_file

from tests.book import terms
from tests.book.sources import FENCE, ROOT, cells, labels, markdown, pages, path_of, targets
from tests.book.terms import ENTERS, glossary

WRITTEN = [page for page in pages() if page != "genindex"]
REFERENCE = ("chapters/6_faq", "chapters/7_conclusion", "book/corrections", "book/concordance")
REFERENCE += ("book/glossary", "book/cheat_sheet")
GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta kappa lambda mu nu xi pi rho sigma tau phi "
    "varphi chi psi omega Gamma Delta Theta Lambda Sigma Phi Psi Omega"
)
LETTERS = {*string.ascii_letters, *(f"\\{name}" for name in GREEK.split())} - {r"\pi"}

each_page = pytest.mark.parametrize("page", WRITTEN)


@cache
def bibliography() -> dict[str, Entry]:
    return dict(parse_file(str(ROOT / "book" / "references.bib"), "bibtex").entries)


def cited(page: str) -> list[str]:
    citing = [target.name for target in targets(page) if target.role.startswith("cite")]
    return [key.strip() for keys in citing for key in keys.split(",")]


# Pages and places


@each_page
def test_pages_that_are_linked_are_in_the_book(page):
    here = path_of(page).parent
    named = [target.name for target in targets(page) if target.role == "doc"]
    resolved = {
        name: name[1:] if name.startswith("/") else (here / name).resolve().relative_to(ROOT)
        for name in named
    }
    assert [name for name, path in resolved.items() if str(path) not in pages()] == []


@each_page
def test_places_that_are_linked_have_a_label(page):
    roles = ("ref", "numref", "eq")
    named = [target.name for target in targets(page) if target.role in roles]
    assert [name for name in named if name not in labels()] == []


@each_page
def test_markdown_links_within_the_book_lead_somewhere(page):
    """Written as [text](target) with a label or the path of a file."""
    text = FENCE.sub("", markdown(page))
    text = re.sub(r"`[^`\n]*`|\$[^$\n]*\$", "", text)
    found = re.findall(r"(?<!\!)\[[^\[\]]*\]\(([^)\s]+)\)", text)
    inside = [link for link in found if not re.match(r"[a-z]+:", link)]
    here = path_of(page).parent
    missing = [
        link
        for link in inside
        if link.removeprefix("#") not in labels() and not (here / link.split("#")[0]).is_file()
    ]
    assert missing == []


POINTER = re.compile(r"(?P<clause>[^\n.;:|?!()]*)\((?P<inside>[^()\n]*\{doc\}`[^`\n]*`[^()\n]*)\)")


def stems(text: str) -> set[str]:
    """The words of a text, names in its code among them, without their endings."""
    text = re.sub(r"\{[a-z:]+\}`([^`<]*)(?:<[^>]*>)?`", r"\1", text)
    return {word.lower()[:6] for word in re.findall(r"[A-Za-z]{4,}", text)}


@cache
def stems_of(page: str) -> set[str]:
    code = (cell.source for cell in cells(page) if cell.cell_type == "code")
    return stems("\n".join([markdown(page), *code]))


def rare(stem: str) -> bool:
    chapters = terms.chapters()
    return 3 * sum(stem in stems_of(page) for page in chapters) <= len(chapters)


@pytest.mark.parametrize("page", [page for page in WRITTEN if page in REFERENCE])
def test_pointers_lead_to_pages_that_speak_of_it(page):
    """A clause with a page in parentheses behind it: of its rarer words the page has one."""
    dead = []
    for pointer in POINTER.finditer(FENCE.sub("", markdown(page))):
        named = re.findall(r"\{doc\}`[^`<]*</([^>]+)>`", pointer["inside"])
        told = {stem for stem in stems(pointer["clause"]) if rare(stem)}
        if told and named and not any(told & stems_of(name) for name in named):
            dead.append((pointer[0], told))
    assert dead == []


def test_a_label_names_one_place():
    assert {label: found for label, found in labels().items() if len(found) > 1} == {}


# Terms


@each_page
def test_terms_that_are_linked_are_in_the_glossary(page):
    known = {term.lower() for term in glossary()}
    named = [target.name for target in targets(page) if target.role == "term"]
    assert [name for name in named if name.lower() not in known] == []


REMEDY = "run python -m tests.book.terms, which writes what the pages say"


@pytest.mark.parametrize("term", glossary())
def test_term_says_where_it_enters(term):
    """On the first page that has its words; see `terms` for what counts."""
    said = ENTERS.search(glossary()[term])
    assert said, "no line `Enters in {doc}`1.2 </chapters/…>`.`"
    assert (said["number"], said["page"]) == (terms.NUMBERS[said["page"]], terms.entering(term)), (
        REMEDY
    )


@pytest.mark.parametrize("term", glossary())
def test_term_says_which_page_treats_it(term):
    said = ENTERS.search(glossary()[term])
    assert (said["treated"] or said["page"]) in terms.treating(term), REMEDY
    assert said["treated"] != said["page"]
    if said["treated"]:
        assert said["treated_number"] == terms.NUMBERS[said["treated"]]


@pytest.mark.parametrize("term", glossary())
def test_term_is_linked_from_a_chapter(term):
    assert [page for page in terms.chapters() if terms.linked(term, page)] != []


def test_reading_of_terms():
    assert terms.pattern("U-Net").findall("one U-Net, two U-Nets, MU-Net") == ["U-Net", "U-Nets"]
    assert terms.pattern("skip connection").search("Skip\nconnections help")
    assert terms.pattern("CAM").findall("a cam, a WEBCAM and CAMs") == ["CAMs"]
    assert not terms.pattern("batch").search("a micro-batch")
    assert terms.names("class activation map") == ["class activation map", "CAM"]


def test_reading_of_prose():
    """The page that defines the term has its words; a page has none of its code."""
    text = terms.prose("chapters/4_practice/1_data_preparation")
    assert "label map" in text
    assert not re.search(r"\{doc\}|cell-4-1|import torch", text)


@pytest.mark.parametrize("term", glossary())
def test_term_is_given_in_chinese_and_explained(term):
    chinese, explained, *_ = glossary()[term].strip().splitlines()
    assert re.fullmatch(r"\s*(\(.+\)|.+)\.", chinese)
    assert len(explained.split()) >= 5


# Symbols


def symbols(text: str) -> set[str]:
    """The Latin and Greek letters of its formulas; words in them, set upright, are none."""
    formulas = " ".join(re.findall(r"\$\$?(.+?)\$\$?", FENCE.sub("", text), re.DOTALL))
    formulas = re.sub(r"\\(?:text|mathrm|operatorname)\{[^}]*\}|\\[hv]space\S*", "", formulas)
    formulas = re.sub(r"\\(?:begin|end)\{\w+\*?\}", "", formulas)
    return {name for name in re.findall(r"\\?[A-Za-z]+", formulas) if name in LETTERS}


@each_page
def test_symbols_stand_in_the_notation(page):
    assert symbols(markdown(page)) - symbols(markdown("book/notation")) == set()


def defined() -> dict[str, list[tuple[str, bool]]]:
    """The rows of the notation that each symbol heads, and whether it is marked there as reused."""
    found: dict[str, list[tuple[str, bool]]] = {}
    for row in re.findall(r"^\| (?=\$)(.*) \|$", markdown("book/notation"), re.MULTILINE):
        head, *_ = re.split(r" \| (?=(?:[^$]*\$[^$]*\$)*[^$]*$)", row)
        for formula, mark in re.findall(r"\$([^$]*)\$( †)?", head):
            plain = re.sub(r"_(?:[ckil]\b|\{[ckil]\})", "", formula)  # without an index
            product = "=" in plain
            parts = re.findall(r"\\mathbf\{\w\}", plain) if product else re.split(r",\\? ?", plain)
            for symbol in filter(lambda part: not re.search(r"[()]", part), parts):
                found.setdefault(symbol.strip(), []).append((row, bool(mark)))
    return found


def test_reused_symbols_are_marked_and_name_their_sections():
    """All but the first row, which holds wherever no other does."""
    reused = {symbol: rows for symbol, rows in defined().items() if len(rows) > 1}
    assert len(reused) > 15
    assert {s for s, rows in reused.items() for _, mark in rows if not mark} == set()
    assert {s for s, rows in reused.items() for row, _ in rows[1:] if "section" not in row} == set()


def test_reading_of_symbols():
    assert symbols(r"Let $\theta$ be, and $$\mathrm{IoU}_c = a / b.$$") == {
        r"\theta",
        "c",
        "a",
        "b",
    }
    assert symbols(r"$\text{where } x_i \in \mathbb{R}$ and a $5 not $k$") >= {"x", "i", "R"}


# Publications


def test_citations_have_an_entry():
    assert {page: [k for k in cited(page) if k not in bibliography()] for page in WRITTEN} == {
        page: [] for page in WRITTEN
    }


def test_entries_are_cited():
    everything = {key for page in WRITTEN for key in cited(page)}
    assert set(bibliography()) - everything == set()


@pytest.mark.parametrize("key", bibliography())
def test_entry_can_be_found(key):
    """By DOI or arXiv number, or by an address where there is neither."""
    entry = bibliography()[key]
    assert {"author", "title", "year"} <= {*entry.fields, *entry.persons}
    doi, arxiv, url = (entry.fields.get(name) for name in ("doi", "eprint", "url"))
    assert doi or arxiv or url
    assert doi is None or re.fullmatch(r"10\.\d{4,9}/\S+", doi)
    assert arxiv is None or re.fullmatch(r"\d{4}\.\d{4,5}|[a-z-]+/\d{7}", arxiv)
    assert arxiv is None or entry.fields.get("archiveprefix") == "arXiv"
    assert url is None or url.startswith("https://")


def test_no_two_entries_are_the_same_publication():
    for name in ("doi", "eprint", "title"):
        values = [e.fields[name].lower() for e in bibliography().values() if name in e.fields]
        assert sorted(values) == sorted(set(values))
