"""What the tests and the notebooks under test share: one thread, and their order."""

import os

import pytest

# Before anything imports torch, and for the processes that tests start. Some tests compare bit by
# bit, and threads that share a sum, or a row of pixels, round it elsewhere.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The notebooks take longest: at the end of a run one of them would leave a core idle."""
    items.sort(key=lambda item: item.path.suffix != ".ipynb")
