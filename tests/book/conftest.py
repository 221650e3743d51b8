"""The pages under test: a small book built for the occasion, or the one that BOOK_HTML names."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sphinx_external_toc.parsing import parse_toc_yaml

ROOT = Path(__file__).parents[2]
SPECIMEN = "chapters/3_2_cnn/1_convolution_layer"
CHEAT_SHEET = "book/cheat_sheet"  # whole, since it must fit on one sheet of paper

FRONT_MATTER = """---
file_format: mystnb
kernelspec:
  name: python3
---
"""


def title_of(docname: str) -> str:
    """The first heading of a page of the book, Markdown or notebook."""
    import nbformat

    notebook = ROOT / f"{docname}.ipynb"
    if notebook.exists():
        text = "\n".join(cell.source for cell in nbformat.read(notebook, as_version=4).cells)
    else:
        text = (ROOT / f"{docname}.md").read_text(encoding="utf-8")
    return next(line[2:] for line in text.splitlines() if line.startswith("# "))


@pytest.fixture(scope="session")
def small_book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The HTML of a book with the real settings, order and titles, and nearly empty pages.

    Each page has a heading of its own, since those must not take the number of a page below. One
    page is the specimen, which holds everything that a page may hold.
    """
    folder = tmp_path_factory.mktemp("book")
    for name in ("_config.yml", "_toc.yml", "genindex.md"):
        shutil.copy(ROOT / name, folder)
    for name in ("_ext", "_static", "_templates"):
        shutil.copytree(ROOT / "book" / name, folder / "book" / name)
    for name in ("references.bib", "descriptions.yml"):
        shutil.copy(ROOT / "book" / name, folder / "book")
    for docname in parse_toc_yaml(ROOT / "_toc.yml"):
        page = folder / f"{docname}.md"
        page.parent.mkdir(parents=True, exist_ok=True)
        heading = f"# {title_of(docname)}\n\n"
        if docname == SPECIMEN:
            specimen = (Path(__file__).parent / "specimen.md").read_text(encoding="utf-8")
            page.write_text(FRONT_MATTER + heading + specimen, encoding="utf-8")
        elif docname == CHEAT_SHEET:
            shutil.copy(ROOT / f"{docname}.md", page)
        elif docname != "genindex":
            page.write_text(heading + "## A heading\n\nText.\n", encoding="utf-8")
    program = Path(sys.executable).with_name("jupyter-book")
    command = [str(program), "build", str(folder), "-W", "--keep-going"]
    build = subprocess.run(command, capture_output=True, text=True, check=False)
    assert build.returncode == 0, build.stdout + build.stderr
    return folder / "_build" / "html"


@pytest.fixture(scope="session")
def site(request: pytest.FixtureRequest) -> Path:
    """The folder of the built pages."""
    built = os.environ.get("BOOK_HTML")
    return Path(built).resolve() if built else request.getfixturevalue("small_book")
