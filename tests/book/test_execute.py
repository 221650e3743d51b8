"""The execution ahead of the build: what empties the cache, and what a failing cell does."""

from pathlib import Path

import nbformat
import pytest

from book._ext import execute


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository in small."""
    (tmp_path / "segtut").mkdir()
    (tmp_path / "segtut" / "losses.py").write_text("WEIGHT = 1\n")
    (tmp_path / "constraints.txt").write_text("torch==2.15.0\n")
    return tmp_path


def write_notebook(path: Path, *sources: str) -> Path:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s) for s in sources])
    notebook.metadata.kernelspec = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("segtut/losses.py", "WEIGHT = 2\n"),
        ("segtut/widgets/slider.js", "export default {};\n"),
        ("constraints.txt", "torch==2.15.1\n"),
        ("book/results/camvid.json", "{}\n"),
    ],
)
def test_fingerprint_changes_with_what_notebooks_depend_on(tree, name, content):
    before = execute.fingerprint(tree)
    (tree / name).parent.mkdir(parents=True, exist_ok=True)
    (tree / name).write_text(content)
    assert execute.fingerprint(tree) != before


def test_fingerprint_knows_two_files_from_one(tree):
    (tree / "segtut" / "a.py").write_text("x")
    (tree / "segtut" / "b.py").write_text("y")
    two = execute.fingerprint(tree)
    (tree / "segtut" / "a.py").write_text("xy")
    (tree / "segtut" / "b.py").write_text("")
    assert execute.fingerprint(tree) != two


def test_fingerprint_ignores_prose(tree):
    before = execute.fingerprint(tree)
    (tree / "README.md").write_text("words\n")
    (tree / "segtut" / "notes.txt").write_text("words\n")
    assert execute.fingerprint(tree) == before


def test_cache_and_read_pages_are_forgotten_once_and_only_when_code_changed(tree):
    build = tree / "_build"
    assert execute.forget_outdated(tree, build)
    executed, page = build / ".jupyter_cache" / "executed", build / ".doctrees" / "page"
    for path in (executed, page):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert not execute.forget_outdated(tree, build)
    assert executed.exists()
    assert page.exists()
    (tree / "segtut" / "losses.py").write_text("WEIGHT = 2\n")
    assert execute.forget_outdated(tree, build)
    assert not executed.exists()
    assert not page.exists()


def test_notebooks_come_from_the_table_of_contents(tree):
    (tree / "_toc.yml").write_text(
        "format: jb-book\nroot: cover\nchapters:\n- file: b\n- file: text\n- file: a\n"
    )
    (tree / "text.md").write_text("# Text\n")
    paths = [write_notebook(tree / f"{name}.ipynb") for name in ("b", "a", "stray")]
    assert execute.notebooks_in_toc(tree) == paths[:2]


def test_failing_cell_is_reported_with_its_traceback_and_the_others_run(tree, capfd):
    good = write_notebook(tree / "good.ipynb", "from pathlib import Path", "Path('ran').touch()")
    bad = write_notebook(tree / "bad.ipynb", "width = 0", "1 / width")
    ((path, traceback),) = execute.execute([good, bad], tree / "_build" / ".jupyter_cache")
    assert path == bad
    assert "ZeroDivisionError" in traceback
    assert "1 / width" in traceback
    assert (tree / "ran").exists()

    # The good one is in the cache now, the bad one is tried again.
    (tree / "ran").unlink()
    assert len(execute.execute([good, bad], tree / "_build" / ".jupyter_cache")) == 1
    assert not (tree / "ran").exists()


def test_renamed_notebook_is_no_failure(tree):
    cache = tree / "_build" / ".jupyter_cache"
    old = write_notebook(tree / "old.ipynb", "1 + 1")
    assert execute.execute([old], cache) == []
    assert execute.execute([old.rename(tree / "new.ipynb")], cache) == []
