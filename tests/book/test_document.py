"""Every part of the document has its place in the book: concordance and corrections are complete.

Their evidence is cells: each is named by a label, and a cell that is not run shows nothing.
"""

import re

import pytest

from tests.book.document import OPENINGS, PROGRAM, STANDING
from tests.book.sources import PYTHON, labeled_cell, markdown, pages, path_of
from tests.book.test_numbering import ADDED, HEADINGS

CONCORDANCE, CORRECTIONS = "book/concordance", "book/corrections"
CELL = re.compile(r"\{ref\}`[^`<]+<(cell-[a-z0-9-]+)>`")
VERDICTS = ("wrong", "half right", "incomplete", "out of date")
VERDICT = re.compile(r"^\*([^*]+)\.\*$", re.MULTILINE)

LISTED = [opening for openings in OPENINGS.values() for opening in openings]


def corrections() -> dict[str, str]:
    """What follows each quotation, up to the next one or the next heading."""
    parts = re.split(r"^(?=> |#)", markdown(CORRECTIONS), flags=re.MULTILINE)
    quoting = [part for part in parts if part.startswith("> ")]
    return {part.partition("\n")[0]: part.partition("\n")[2] for part in quoting}


def said_too_briefly() -> list[str]:
    """The entries of the one list of sentences by which no program goes wrong."""
    (listed,) = re.findall(
        r"^## Said too briefly$(.*?)^\(", markdown(CORRECTIONS), flags=re.MULTILINE | re.DOTALL
    )
    return re.split(r"^- ", listed, flags=re.MULTILINE)[1:]


def rows(text: str) -> list[list[str]]:
    """The cells of all table rows, headers and rules left out."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    found = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]
    return [row for row in found if row[0] not in ("section", "page", "line")]


def code_in(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def program() -> str:
    """The concordance's own program, put together."""
    return "\n".join(match["code"] for match in PYTHON.finditer(markdown(CONCORDANCE)))


def lines_of_the_program() -> list[list[str]]:
    _, listings = markdown(CONCORDANCE).split("## The program")
    return rows(listings)


# Sections


@pytest.mark.parametrize("number", HEADINGS)
def test_section_of_the_document_has_a_place_in_the_book(number):
    heading, page, _ = HEADINGS[number]
    (row,) = [row for row in rows(markdown(CONCORDANCE)) if f"`{number} </chapters/" in row[0]]
    assert row[0] == f"{{doc}}`{number} </chapters/{page}>`"
    assert row[1] == heading
    assert f"chapters/{page}" in pages()
    assert all(row)


def test_concordance_names_what_the_document_has_no_section_for():
    for number, page in ADDED.items():
        assert f"{{doc}}`{number} </chapters/{page}>`" in markdown(CONCORDANCE)


# The program


def test_every_line_of_the_documents_program_has_its_row():
    quoted = [line for row in lines_of_the_program() for line in code_in(row[1])]
    assert quoted == PROGRAM


def test_lines_are_numbered():
    numbered = [row[0] for row in lines_of_the_program() if row[1]]
    expected, line = [], 1
    for row in lines_of_the_program():
        if count := len(code_in(row[1])):
            expected.append(f"{line}–{line + count - 1}" if count > 1 else f"{line}")
            line += count
    assert numbered == expected


def test_what_stands_in_place_of_a_line_is_in_the_program():
    for row in lines_of_the_program():
        assert row[2] == "…" or code_in(row[2]), row
        for code in code_in(row[2]):
            assert code in program(), code


def test_the_program_segments(tmp_path, monkeypatch, capsys):
    constants = "SCENES, EPOCHS, BATCH = 400, 10, 32"
    assert program().count(constants) == 1
    monkeypatch.chdir(tmp_path)
    shortened = program().replace(constants, "SCENES, EPOCHS, BATCH = 8, 1, 4")
    space = {"__name__": "__main__"}
    exec(compile(shortened, "concordance.md", "exec"), space)
    assert space["confusion"].matrix.sum() > 0.8 * 2 * 96 * 128
    printed = capsys.readouterr().out
    assert all(name in printed for name in space["train_set"].classes)
    assert (tmp_path / "segmenter.pt").exists()


# Corrections


@pytest.mark.parametrize("opening", LISTED)
def test_every_sentence_is_corrected_or_stands(opening):
    assert (opening in markdown(CORRECTIONS)) != (opening in STANDING)


def test_only_sentences_of_the_document_stand():
    assert set(STANDING) < set(LISTED)


@pytest.mark.parametrize("quote", corrections())
def test_correction_says_what_kind_of_fault_it_is_and_shows_it_in_a_cell(quote):
    text = corrections()[quote]
    (verdict,) = VERDICT.findall(text)
    assert verdict.lower() in VERDICTS
    assert CELL.search(text), "no link to a cell"


def test_the_kinds_of_fault_are_announced():
    opening, _, _ = markdown(CORRECTIONS).partition("\n## ")
    assert tuple(re.findall(r"\*([^*]+)\*", opening)) == VERDICTS


@pytest.mark.parametrize("entry", said_too_briefly())
def test_what_is_said_too_briefly_is_quoted_and_goes_on_in_a_cell(entry):
    assert re.search(r"[\u4e00-\u9fff]", entry), "not quoted in Chinese"
    assert CELL.search(entry), "no link to a cell"


def test_marks_are_for_what_would_lead_a_program_astray():
    """All else that could be said of a sentence stands in the list, which accuses nothing."""
    assert len(corrections()) < 30


@pytest.mark.parametrize("label", sorted(set(CELL.findall(markdown(CORRECTIONS)))))
def test_evidence_is_a_cell_that_runs(label):
    cell = labeled_cell(label)
    assert cell is not None, f"({label})= does not stand directly before a visible code cell"
    assert not {"skip-execution", "raises-exception"} & set(cell.metadata.get("tags", []))


def test_notebooks_of_the_evidence_are_executed():
    """By make book and by make test: neither leaves a notebook of the book out."""
    assert [page for page in pages() if path_of(page).suffix == ".ipynb"]
    configuration = (path_of("book/cover").parents[1] / "_config.yml").read_text("utf-8")
    assert "raise_on_error: true" in configuration
    assert 'exclude_patterns: [".*", _build, "**.ipynb_checkpoints"]' in configuration
