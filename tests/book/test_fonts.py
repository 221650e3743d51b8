"""Every character of the book is in a font that the book carries, on the screen and on paper."""

from pathlib import Path

import pytest

from book._ext import font_subset as fonts
from tests.book.conftest import ROOT

STATIC = ROOT / "book" / "_static"
REMEDY = "run python -m book._ext.font_subset, see book/_static/vendor/README.md"


@pytest.fixture(scope="module")
def used() -> dict[str, Path]:
    return fonts.characters(ROOT)


def test_finds_the_characters_of_pages_notebooks_and_code(tmp_path):
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "glossary.md").write_text("池化", "utf-8")
    (tmp_path / "chapters").mkdir()
    cells = '{"cells": [{"source": ["a", "卷积"], "outputs": ["不"]}]}'
    (tmp_path / "chapters" / "1_a.ipynb").write_text(cells, "utf-8")
    (tmp_path / "segtut").mkdir()
    (tmp_path / "segtut" / "a.js").write_text("const arrow = '→';", "utf-8")
    assert set(fonts.characters(tmp_path)) == set("池化卷积→")


@pytest.mark.parametrize("family", fonts.FAMILIES)
def test_family_shows_every_character_of_the_sources(family, used):
    own, _, _, additions = fonts.FAMILIES[family]
    shown = set().union(*(fonts.covered(name) for name in (own, *additions)))
    missing = {c: str(p) for c, p in used.items() if ord(c) not in shown}
    assert missing == {}, REMEDY


def test_there_is_chinese_to_show(used):
    han = [character for character in used if fonts.is_han(character)]
    assert len(han) > 300
    # A font with every Chinese character would weigh megabytes.
    assert all(len(fonts.covered(name)) < 1500 for name in fonts.PACKAGES if "-sc-" in name)


def test_style_sheets_belong_to_the_fonts():
    assert (STATIC / "characters.css").read_text("utf-8") == fonts.screen_style(), REMEDY
    assert (STATIC / "print_fonts.css").read_text("utf-8") == fonts.paper_style(), REMEDY


def test_neighbors_are_joined_in_a_range():
    assert fonts.unicode_range([0x4E03, 0x4E01, 0x4E02, 0x9]) == "U+9, U+4E01-4E03"


def test_fonts_are_licensed_and_light():
    readme = (STATIC / "vendor" / "README.md").read_text("utf-8")
    for path in (STATIC / "vendor" / "fonts").iterdir():
        assert path.stat().st_size < 150_000
        assert any(f"`fonts/{path.stem[:n]}" in readme for n in range(12, len(path.stem) + 1))
    licenses = {path.name for path in (STATIC / "vendor" / "licenses").iterdir()}
    assert {f"{package}.LICENSE.txt" for package, _ in fonts.PACKAGES.values()} <= licenses
