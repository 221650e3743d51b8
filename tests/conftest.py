"""What tests of several rooms share: a browser, a warm kernel, one thread, the order."""

import os
import shutil
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.warm_kernel import WarmKernels

# Before anything imports torch, and for the processes that tests start. Some tests compare bit by
# bit, and threads that share a sum, or a row of pixels, round it elsewhere.
os.environ.setdefault("OMP_NUM_THREADS", "1")

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The notebooks take longest: at the end of a run one of them would leave a core idle."""
    items.sort(key=lambda item: item.path.suffix != ".ipynb")


def kernel_for_notebooks(config: pytest.Config) -> str | None:
    """The kernel that notebooks run in: the one asked for, or a warm one; None is their own."""
    # Elsewhere than on Linux, what torch has loaded may not survive a fork.
    if config.option.nbmake_kernel is None and sys.platform == "linux":
        kernels = WarmKernels()
        config.add_cleanup(kernels.close)
        config.option.nbmake_kernel = "warm"
    return config.option.nbmake_kernel


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.path.suffix == ".ipynb":
        kernel_for_notebooks(item.config)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The system's Chromium; its tests are skipped where there is none, but never in CI."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        message = "neither chromium nor google-chrome is installed: no page was opened"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield chromium
        chromium.close()
