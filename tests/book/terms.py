"""Where the glossary's terms stand: the first page with a term's words, and those that treat it.

A page treats a term if it is the first to link it, if a heading of it has the term's words, or if
it has them at least half as often as the page that has them most. As a program, `python -m
tests.book.terms`, it writes the lines `Enters in …` of the glossary anew, and keeps the page that
treats a term where it still does.
"""

import re
from functools import cache

from tests.book.sources import FENCE, cells, markdown, pages, path_of, targets
from tests.book.test_numbering import ADDED, HEADINGS

GLOSSARY = "book/glossary"
ENTERS = re.compile(
    r"Enters in \{doc\}`(?P<number>[\d.]+) </(?P<page>[^>]+)>`"
    r"(?: and is treated in \{doc\}`(?P<treated_number>[\d.]+) </(?P<treated>[^>]+)>`)?\.$",
    re.MULTILINE,
)
NUMBERS = {f"chapters/{page}": number for number, (_, page, _) in HEADINGS.items()}
NUMBERS |= {f"chapters/{page}": number for number, page in ADDED.items()}

EVERYDAY = {"code"}
"""Terms whose words have another meaning, too: only links to them count."""


@cache
def glossary() -> dict[str, str]:
    """What is said of each term."""
    (listing,) = re.findall(
        r"```\{glossary\}\n:sorted:\n(.*?)^```$", markdown(GLOSSARY), re.M | re.S
    )
    entries = re.split(r"\n(?=\S)", listing.strip("\n"))
    return {entry.partition("\n")[0].strip(): entry.partition("\n")[2] for entry in entries}


def chapters() -> list[str]:
    return [page for page in pages() if page.startswith("chapters/")]


@cache
def prose(page: str) -> str:
    """What a reader reads on a page: no code, no formula, no name of a link's target."""
    captions = (cell.metadata.get("mystnb", {}).get("figure") or {} for cell in cells(page))
    text = "\n".join([markdown(page), *(figure.get("caption", "") for figure in captions)])
    text = re.sub(r"^\([^()\s]+\)=[ ]*$", "", FENCE.sub("", text), flags=re.MULTILINE)
    text = re.sub(r"\$\$.*?\$\$|\$[^$\n]*\$", " ", text, flags=re.DOTALL)
    text = re.sub(r"\{(?:glue:\w+|cite\w*(?::\w+)?)\}`[^`]*`", " ", text)
    text = re.sub(r"\{[a-z]+\}`([^`<]*)(?:<[^>]*>)?`", r"\1", text)
    return re.sub(r"\]\([^)\s]*\)|`[^`\n]*`", " ", text)


def names(term: str) -> list[str]:
    """A term and what its entry says that it is called for short."""
    return [term, *re.findall(r"([\w-]+) for short", glossary()[term])]


def pattern(name: str) -> re.Pattern[str]:
    """A name as a word of its own, in the plural, too, whatever joins its parts."""
    words = r"[\s-]+".join(re.escape(word) for word in re.split(r"[\s-]+", name))
    return re.compile(rf"(?<![\w-]){words}(?:e?s)?(?!\w)", 0 if name.isupper() else re.IGNORECASE)


def linked(term: str, page: str) -> int:
    """How often a page links a term."""
    found = (target.name.lower() for target in targets(page) if target.role == "term")
    return sum(name == term.lower() for name in found)


@cache
def occurrences(term: str, page: str) -> int:
    """How often a page has a term's words, or links it."""
    if term in EVERYDAY:
        return linked(term, page)
    written = sum(len(pattern(name).findall(prose(page))) for name in names(term))
    return max(written, linked(term, page))


def entering(term: str) -> str | None:
    """The first page that has a term's words."""
    return next((page for page in chapters() if occurrences(term, page)), None)


def in_heading(term: str, page: str) -> bool:
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", markdown(page)), re.MULTILINE)
    return any(pattern(name).search(heading) for name in names(term) for heading in headings)


def treating(term: str) -> list[str]:
    """The pages that treat a term, those that have it most often first."""
    often = max(occurrences(term, page) for page in chapters())
    linking = next((page for page in chapters() if linked(term, page)), None)

    def treats(page: str) -> bool:
        return page == linking or 2 * occurrences(term, page) >= often or in_heading(term, page)

    return sorted(filter(treats, chapters()), key=lambda page: -occurrences(term, page))


def place(term: str) -> str:
    """The line of an entry that says where its term enters and where it is treated."""
    first, candidates = entering(term), treating(term)
    said = ENTERS.search(glossary()[term])
    kept = [said["treated"] or said["page"]] if said else []
    treated = next(page for page in [*kept, *candidates] if page in candidates)
    line = f"Enters in {{doc}}`{NUMBERS[first]} </{first}>`"
    if treated != first:
        line += f" and is treated in {{doc}}`{NUMBERS[treated]} </{treated}>`"
    return f"{line}."


def main() -> None:
    """Write the lines of the glossary anew, and print those that change."""
    path = path_of(GLOSSARY)
    text = path.read_text("utf-8")
    for term, entry in glossary().items():
        if entering(term) is None:
            print(f"{term}: on no page")
        elif place(term) not in entry:
            print(f"{term}: {place(term)}")
            old = f"\n{term}\n{entry}"
            assert text.count(old) == 1, term
            text = text.replace(old, f"\n{term}\n{ENTERS.sub(place(term), entry)}")
    path.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
