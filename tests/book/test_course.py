"""The table of notebooks and the Chinese part of the index, on a book of two pages."""

import json
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from sphinx.application import Sphinx

from book._ext.chinese_index import chinese_terms
from book._ext.course import exercises

INDEX = """\
# A book

```{toctree}
lesson
```

```{notebook-table}
```

```{glossary}
stride
  (步幅).
  How far a window moves.

dilation
  (空洞, 膨胀率).
  How far apart its weights lie.

CutMix
  (CutMix).
  A rectangle of another picture.

encoder
  编码器.
  What makes a code.
```
"""
LESSON = """\
# Lesson one

A {term}`Stride <stride>`, a {term}`STRIDE <Stride>` and a {term}`dilation`.

````{exercise} One [code]
:label: ex-one
Do it.
````

````{solution} ex-one
```python
assert check("1-one", 1)
```
````

:::{exercise} Two [concept]
:label: ex-two
:::
"""


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The two pages, built without executing the notebook."""
    folder = tmp_path_factory.mktemp("course")
    (folder / "conf.py").write_text("")
    (folder / "index.md").write_text(INDEX)
    cells = [nbformat.v4.new_markdown_cell(LESSON), nbformat.v4.new_code_cell("1 + 1")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "lesson.ipynb")
    extensions = ["myst_nb", "sphinx_exercise", "book._ext.course"]
    extensions += ["book._ext.chinese_index", "book._ext.term_index"]
    settings = {
        "extensions": extensions,
        "nb_execution_mode": "off",
        "myst_enable_extensions": ["colon_fence"],
        "html_theme": "basic",
    }
    out = folder / "out"
    Sphinx(folder, folder, out, out, "html", settings, status=None, warning=None).build()
    return out


def test_notebooks_stand_in_a_table_with_their_exercises(book):
    page = BeautifulSoup((book / "index.html").read_text("utf-8"), "html.parser")
    rows = [[c.get_text(strip=True) for c in row.find_all("td")] for row in page.select("table tr")]
    assert rows[1:] == [["Lesson one", "–", "2", "1"]]
    assert page.select_one("table a")["href"] == "lesson.html"
    assert "without executing" in page.get_text()


def test_chinese_terms_stand_in_the_index_and_lead_to_the_glossary(book):
    page = BeautifulSoup((book / "genindex.html").read_text("utf-8"), "html.parser")
    heading = page.find("h2", string="中文")
    links = {a.get_text(): a["href"] for a in heading.find_next("table").find_all("a")}
    assert sorted(links) == ["步幅", "空洞", "编码器", "膨胀率"]
    assert links["步幅"] == "index.html#term-stride"
    assert page.find("a", string="stride")["href"] == links["步幅"]


def test_pages_that_use_a_term_stand_below_it(book):
    page = BeautifulSoup((book / "genindex.html").read_text("utf-8"), "html.parser")
    below = page.find("a", string="stride").find_parent("li").ul.select("a")
    assert [(a.get_text(), a["href"]) for a in below] == [
        ("Lesson one", "lesson.html#use-lesson-stride")
    ]
    lesson = BeautifulSoup((book / "lesson.html").read_text("utf-8"), "html.parser")
    assert lesson.find(id="use-lesson-stride").find_next("a").get_text() == "Stride"


@pytest.mark.parametrize(
    ("definition", "terms"),
    [
        ("(均方误差（MSE）).\nA mean.", ["均方误差（MSE）"]),
        ("F1 分数.\nTwice.", ["F1 分数"]),
        ("(ONNX).\nA format.", []),
        ("自动编码器 (自编码器).\nA network.", ["自动编码器", "自编码器"]),
        ("(步幅, 步长).\nPixels.", ["步幅", "步长"]),
    ],
)
def test_reading_of_chinese_terms(definition, terms):
    assert chinese_terms(definition) == terms


def test_counting_of_exercises(tmp_path):
    path = tmp_path / "lesson.ipynb"
    path.write_text(json.dumps({"cells": [{"cell_type": "markdown", "source": [LESSON]}]}))
    assert exercises(path) == (2, 1)
