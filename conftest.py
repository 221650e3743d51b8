"""What the tests and the notebooks share: one thread, their order, and warm kernels."""

import os

import pytest

from tests.warm_kernel import kernel_for_notebooks

# Before anything imports torch, and for the processes that tests start. Some tests compare bit by
# bit, and threads that share a sum, or a row of pixels, round it elsewhere.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The notebooks take longest: at the end of a run one of them would leave a core idle."""
    items.sort(key=lambda item: item.path.suffix != ".ipynb")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Notebooks run in warm kernels."""
    if item.path.suffix == ".ipynb":
        kernel_for_notebooks(item.config)
