"""What tests of several rooms share: one browser, and one beginning of all random numbers."""

import os
import shutil
from collections.abc import Iterator

import pytest
import torch
from playwright.sync_api import Browser, sync_playwright

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


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


@pytest.fixture(autouse=True)
def _the_same_random_numbers() -> None:
    """No test's outcome hangs on which tests came before it."""
    torch.manual_seed(0)
