"""Where the real data lie, for the tests that look at them."""

import os
from pathlib import Path

import pytest


@pytest.fixture
def real_data() -> Path:
    folder = os.environ.get("SEGTUT_DATA")
    if not folder:
        pytest.skip("SEGTUT_DATA is not set: nothing was checked on real data")
    return Path(folder)
