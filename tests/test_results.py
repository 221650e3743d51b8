"""Recorded runs: complete or refused, written whole or not at all."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from segtut import results

RECORD: dict[str, Any] = {
    "data": "camvid",
    "model": "unet",
    "seed": 0,
    "command": "segtut train --data camvid",
    "commit": "abc",
    "versions": {"torch": "2.15.0"},
    "hardware": {"device": "cpu"},
    "data_sha256": "0123",
    "parameters": 487_000,
    "seconds": 61.5,
    "images_per_second": 40,
    "peak_memory_bytes": 10**9,
    "scores": {"mean_iou": 0.5, "per_class_iou": {"car": 1.0, "sky": 0, "pole": None}},
}


def with_scores(**scores: Any) -> dict[str, Any]:
    return {**RECORD, "scores": scores}


def test_record_comes_back_with_its_name_in_the_order_of_names(tmp_path: Path) -> None:
    for name, seed in (("b", 2), ("a", 1), ("c", 3)):
        results.write(tmp_path / "new" / f"{name}.json", {**RECORD, "seed": seed, "more": "kept"})
    found = results.read(tmp_path / "new")
    assert [(record["name"], record["seed"]) for record in found] == [("a", 1), ("b", 2), ("c", 3)]
    assert found[0] == {**RECORD, "seed": 1, "more": "kept", "name": "a"}


def test_reading_selects_by_fields(tmp_path: Path) -> None:
    for seed in range(3):
        results.write(tmp_path / f"{seed}.json", {**RECORD, "seed": seed})
    assert [r["seed"] for r in results.read(tmp_path, seed=1, model="unet")] == [1]
    assert results.read(tmp_path, model="fcn8s") == []
    assert results.read(tmp_path, no_such_field=1) == []


@pytest.mark.parametrize("field", sorted(results.FIELDS))
def test_each_field_is_required_and_has_its_type(tmp_path: Path, field: str) -> None:
    path = tmp_path / "r.json"
    with pytest.raises(ValueError, match=f"lacks the field '{field}'"):
        results.write(path, {k: v for k, v in RECORD.items() if k != field})
    for wrong in (None, True, [1]):
        with pytest.raises(ValueError, match=f"field '{field}' is "):
            results.write(path, {**RECORD, field: wrong})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("scores", "name"),
    [
        ({"mean_iou": 1.01}, "mean_iou"),
        ({"mean_iou": -0.1}, "mean_iou"),
        ({"mean_iou": 73}, "mean_iou"),
        ({"mean_iou": math.nan}, "mean_iou"),
        ({"mean_iou": 0.5, "per_class_iou": {"car": 101.0}}, r"per_class_iou\.car"),
    ],
)
def test_scores_lie_between_0_and_1(tmp_path: Path, scores: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=f"score {name} is .*from 0 to 1"):
        results.write(tmp_path / "r.json", with_scores(**scores))
    assert list(tmp_path.iterdir()) == []


def test_scores_at_the_ends_of_the_range_and_words_among_them(tmp_path: Path) -> None:
    results.write(tmp_path / "r.json", with_scores(a=0, b=1, c=None, mean_over=["car"]))
    assert len(results.read(tmp_path)) == 1


@pytest.mark.parametrize(
    "unwritable", [{"more": {1, 2}}, {"more": math.nan}, {"more": torch.zeros(1)}]
)
def test_failed_write_leaves_the_old_record(tmp_path: Path, unwritable: dict[str, Any]) -> None:
    path = tmp_path / "r.json"
    results.write(path, RECORD)
    before = path.read_bytes()
    with pytest.raises((TypeError, ValueError)):
        results.write(path, {**RECORD, **unwritable})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("{", r"bad\.json is not JSON"),
        ("[]", r"bad\.json is a list, not a JSON object"),
        ("{}", r"bad\.json lacks the field 'data'"),
        (json.dumps({**RECORD, "seed": "0"}), r"bad\.json: field 'seed' is '0'"),
    ],
)
def test_reading_names_the_file_that_is_no_record(tmp_path: Path, content: str, text: str) -> None:
    results.write(tmp_path / "good.json", RECORD)
    (tmp_path / "bad.json").write_text(content)
    with pytest.raises(ValueError, match=text):
        results.read(tmp_path)


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no folder .*absent"):
        results.read(tmp_path / "absent")


def test_mean_and_spread() -> None:
    records = [with_scores(mean_iou=value) for value in (0.5, 0.6, 0.7)]
    assert results.mean_and_spread(records, "mean_iou") == pytest.approx((0.6, 0.1))
    average, spread = results.mean_and_spread(records[:1], "mean_iou")
    assert average == 0.5
    assert math.isnan(spread)
    with pytest.raises(ValueError, match="no records to average 'mean_iou'"):
        results.mean_and_spread([], "mean_iou")


# Where and what a run ran on


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder outside any checkout in which the package seems to lie."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    package = tmp_path / "site" / "segtut"
    package.mkdir(parents=True)
    monkeypatch.setattr(results, "__file__", str(package / "results.py"))
    return package


def test_commit_is_unknown_outside_a_checkout(elsewhere: Path) -> None:
    assert results.commit() == "unknown"


def test_commit_is_unknown_without_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert results.commit() == "unknown"


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_commit_and_its_changes(elsewhere: Path) -> None:
    def git(*arguments: str) -> str:
        identity = {
            f"GIT_{who}_{what}": "nobody@example.org"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        }
        command = ["git", "-C", str(elsewhere), *arguments]
        environment = {**os.environ, **identity, "GIT_CONFIG_GLOBAL": os.devnull}
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    code = elsewhere / "results.py"
    code.write_text("x = 1\n")
    git("init", "--quiet")
    git("add", "results.py")
    git("commit", "--quiet", "-m", "a commit")
    head = git("rev-parse", "HEAD")
    (elsewhere / "untracked.json").write_text("{}")
    assert results.commit() == head
    code.write_text("x = 2\n")
    assert results.commit() == head + "+changes"


def test_hardware_versions_and_memory_can_be_recorded() -> None:
    cpu = torch.device("cpu")
    found = results.versions()
    assert found["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert found["segtut"] != "not installed"
    hardware = results.hardware(cpu)
    assert hardware["device"] == "cpu"
    assert hardware["threads"] == torch.get_num_threads()
    assert hardware["processor"]
    json.dumps([found, hardware])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc to compare with")
def test_peak_memory_is_that_of_the_kernel() -> None:
    status = Path("/proc/self/status").read_text().splitlines()
    (peak,) = (int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    assert results.peak_memory_bytes(torch.device("cpu")) == pytest.approx(peak, rel=0.05)
