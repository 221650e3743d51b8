"""The reference shows all of the package, and its docstrings are read as they were meant."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator, Sequence
from types import ModuleType

import numpy as np
import pytest
from docutils.core import publish_doctree
from docutils.utils import SystemMessage
from numpy.typing import ArrayLike, NDArray
from sphinx.ext.napoleon import Config, GoogleDocstring
from sphinx.util.inspect import signature, stringify_signature

import segtut
from book._ext.docstrings import as_items, as_markup, short_types, spell_out
from tests.book.sources import ROOT, markdown, pages

REFERENCE = [page for page in pages() if page.startswith("book/api/")]
MODULES = [
    f"segtut.{module.name}"
    for module in pkgutil.iter_modules(segtut.__path__)
    if module.name != "__main__"
]
MODULES += ["segtut.data.doctor", "segtut.data.labelme"]


def shown() -> list[str]:
    return re.findall(
        r"^\.\. automodule:: (\S+)\n   :members:$", "".join(map(markdown, REFERENCE)), re.M
    )


@pytest.mark.parametrize("module", MODULES)
def test_reference_shows_the_module(module):
    assert module in shown()


def test_reference_shows_what_exists():
    for name in shown():
        assert importlib.import_module(name).__doc__


def test_pages_of_the_reference_are_in_the_book():
    files = {f"book/api/{path.stem}" for path in (ROOT / "book" / "api").glob("*.md")}
    assert files == set(REFERENCE)


def docstrings(module: ModuleType) -> Iterator[tuple[str, str]]:
    """The docstrings of a module, and of what it shows, by name."""
    yield module.__name__, module.__doc__ or ""
    names = getattr(module, "__all__", None)
    for name, thing in vars(module).items():
        own = name in names if names else getattr(thing, "__module__", "") == module.__name__
        if (
            name.startswith("_")
            or not own
            or not (inspect.isclass(thing) or inspect.isfunction(thing))
        ):
            continue
        yield f"{module.__name__}.{name}", thing.__doc__ or ""
        for member, value in vars(thing).items() if inspect.isclass(thing) else ():
            if not member.startswith("_") and inspect.isfunction(value):
                yield f"{module.__name__}.{name}.{member}", value.__doc__ or ""


@pytest.mark.parametrize("module", MODULES)
def test_docstrings_are_read_without_a_complaint(module):
    for name, text in docstrings(importlib.import_module(module)):
        lines = inspect.cleandoc(text).splitlines()
        spell_out(None, "function", name, None, None, lines)  # type: ignore[arg-type]
        markup = str(GoogleDocstring(lines, Config(), what="function", name=name))
        try:
            publish_doctree(markup, settings_overrides={"halt_level": 2, "report_level": 5})
        except SystemMessage as complaint:
            pytest.fail(f"{name}: {complaint}")


@pytest.mark.parametrize(
    ("line", "markup"),
    [
        ("`a * b` of (N, *size)", r"``a * b`` of (N, \*size)"),
        ("``|V|`` and |V|", r"``|V|`` and \|V\|"),
        ("num_classes, weight_", r"num_classes, weight\_"),
    ],
)
def test_plain_text_stays_plain(line, markup):
    assert as_markup(line) == markup


def test_signatures_name_numpys_types_as_the_code_does():
    def paint(pixels: NDArray[np.uint8], labels: Sequence[ArrayLike]) -> NDArray[np.bool_]: ...

    text = stringify_signature(signature(paint), unqualified_typehints=True)
    assert short_types(text) == (
        "(pixels: NDArray[~numpy.uint8], labels: ~collections.abc.Sequence[ArrayLike]) "
        "-> NDArray[~numpy.bool]"
    )
    assert short_types(None) is None


def test_names_that_run_on_below_become_a_list():
    lines = ["What it is.", "", "first: one", "    more of it", "second: two", "", "size: alone."]
    expected = [
        "What it is.",
        "",
        "",
        "- first: one",
        "    more of it",
        "- second: two",
        "",
        "size: alone.",
    ]
    assert as_items(lines) == expected
