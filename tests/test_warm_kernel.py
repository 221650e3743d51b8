"""What a notebook would show in a kernel of its own, it shows in a warm one."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient.exceptions import DeadKernelError
from nbmake.nb_result import NotebookError
from nbmake.nb_run import NotebookRun

from tests.warm_kernel import kernel_for_notebooks

# In its own folder, as of now, and with nothing of the package under test.
INSIDE = """
import os, signal, sys
assert os.environ["PLACE"] == os.getcwd()
assert "torch" in sys.modules
assert not [name for name in sys.modules if name.startswith("segtut")]
try:
    os.kill(os.getpid(), signal.SIGINT)
    signal.pause()
except KeyboardInterrupt:
    interrupted = True
assert interrupted
"""


@pytest.fixture
def run(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """A function that runs a notebook of one cell as the notebooks of the book are run."""
    kernel = kernel_for_notebooks(request.config)
    if kernel != "warm":
        pytest.skip("notebooks run in another kernel")
    monkeypatch.setenv("PLACE", str(tmp_path))

    def run(source: str, seconds: int = 60) -> NotebookError | None:
        path = tmp_path / "one.ipynb"
        kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        cells = [nbformat.v4.new_code_cell(source)]
        metadata = {"kernelspec": kernelspec}
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), path)
        return NotebookRun(path, seconds, kernel=kernel).execute().error

    return run


def test_a_notebook_finds_what_it_would_find_elsewhere(run) -> None:
    assert run(INSIDE) is None


def test_a_failing_cell_fails(run) -> None:
    assert "AssertionError" in run("assert 1 == 2").summary


def test_the_end_of_a_kernel_is_noticed(run) -> None:
    with pytest.raises(DeadKernelError):
        run("import os; os._exit(0)")


def test_a_cell_may_not_run_forever(run) -> None:
    assert "timed out" in run("while True: pass", seconds=1).summary
