"""What every notebook keeps to, so that a change shows in review and a cell fits on a screen."""

import ast
import builtins
import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted([*ROOT.glob("chapters/**/[!.]*.ipynb"), *ROOT.glob("book/[!.]*.ipynb")])
LONGEST_CELL = 20  # lines
LONGEST_LINE = 76  # characters that a page shows

pytestmark = pytest.mark.parametrize(
    "notebook",
    [
        pytest.param(nbformat.read(path, as_version=4), id=path.relative_to(ROOT).as_posix())
        for path in NOTEBOOKS
        if ".ipynb_checkpoints" not in path.parts
    ],
)


def visible_code(notebook: nbformat.NotebookNode) -> list[str]:
    """The sources of the code cells that a reader sees, without IPython's own lines."""
    return [
        re.sub(r"^[%!].*", "", cell.source, flags=re.MULTILINE)
        for cell in notebook.cells
        if cell.cell_type == "code" and "remove-cell" not in cell.metadata.get("tags", [])
    ]


def length(code: str) -> int:
    """Lines of a cell; an import counts once, however many lines its names take."""
    imports = (n for n in ast.parse(code).body if isinstance(n, ast.Import | ast.ImportFrom))
    wrapped = sum((node.end_lineno or node.lineno) - node.lineno for node in imports)
    return len(code.splitlines()) - wrapped


def test_is_committed_without_outputs(notebook):
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell for cell in code if cell.outputs or cell.execution_count] == []
    assert "widgets" not in notebook.metadata


def test_cells_are_short(notebook):
    too_long = [code for code in visible_code(notebook) if length(code) > LONGEST_CELL]
    assert too_long == []


def test_lines_fit_the_page(notebook):
    lines = [line for code in visible_code(notebook) for line in code.splitlines()]
    assert [line for line in lines if len(line) > LONGEST_LINE] == []


def test_a_figure_is_described_or_closed_where_it_is_made(notebook):
    """Jupyter shows at a cell's end what is left open, half drawn if the next cell goes on."""
    made = re.compile(r"^\S.*= plt\.(subplots|figure)\(", re.MULTILINE)
    closed = re.compile(r"^plt\.close\(", re.MULTILINE)
    drawn = [c for c in notebook.cells if c.cell_type == "code" and made.search(c.source)]
    silent = [c.source for c in drawn if not c.metadata.get("mystnb", {}).get("image")]
    assert [code for code in silent if not closed.search(code)] == []


def test_imports_stand_in_one_cell(notebook):
    importing = [
        code
        for code in visible_code(notebook)
        if any(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(ast.parse(code)))
    ]
    assert len(importing) == 1


def bound_in(code: str) -> set[str]:
    """The names that a cell binds anywhere: by assignment, definition, parameter or import."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                names.add(name)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.ExceptHandler(name=str(name)):
                names.add(name)
            case ast.alias(name=name, asname=other):
                names.add((other or name).split(".")[0])
    return names


def used_in(code: str) -> set[str]:
    tree = ast.walk(ast.parse(code))
    return {
        node.id for node in tree if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }


def test_a_reader_sees_where_every_name_comes_from(notebook):
    seen = set(dir(builtins))
    for code in visible_code(notebook):
        seen |= bound_in(code)
        assert used_in(code) <= seen, f"{used_in(code) - seen} come from no visible cell: {code}"


def test_pictures_have_alt_text(notebook):
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert re.findall(r"!\[\s*\]\([^)]*\)", text) == []
    directives = re.findall(r"[`:]{3,}\{(?:image|figure)\}.*?\n((?:\s*:.*\n)*)", text)
    assert [options for options in directives if not re.search(r":alt:\s*\S", options)] == []


def test_runs_on_the_kernel_of_the_environment(notebook):
    assert notebook.metadata.kernelspec.name == "python3"
