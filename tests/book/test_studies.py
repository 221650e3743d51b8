"""The book's comparisons keep their rules, and their records are the runs that they declare."""

import pytest

from segtut import studies
from tests.book.sources import ROOT

STUDIES = studies.read_all(ROOT / "book" / "studies")
RECORDS = ROOT / "book" / "results"


@pytest.mark.parametrize("name", STUDIES)
def test_records_are_runs_of_their_study(name: str) -> None:
    records = studies.read_records(name, RECORDS)
    assert studies.faults(STUDIES[name], records) == []


def test_every_folder_of_records_has_its_study() -> None:
    assert {path.name for path in RECORDS.iterdir() if path.is_dir()} <= set(STUDIES)
