"""Studies: what a declaration asks for, what breaks its rules, and what is run again."""

from __future__ import annotations

import json
import shlex
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import ttest_ind

from segtut import results, studies
from segtut.studies import Run, Study

COMPARISON = """
question = "Which?"
held_equal = "all else"
arguments = "--data streets:8,size=32x32 --model unet"
budgets = [4, 16]
seeds = [0, 1, 2]
more_seeds = [3, 4]
compare = [["a", "b"]]

[selection]
rates = [0.1, 0.2, 0.4]

[variants.a]
title = "A"

[variants.b]
title = "B"
arguments = "--option 'name=two words'"
rates = [1, 2, 4]
"""

PREPARATION = """
kind = "preparation"
question = "Networks"
held_equal = "all"
arguments = "--data streets:8,size=32x32 --model unet"
budgets = [100]
seeds = [0]

[variants.plain]
title = "plain"
rates = [0.003]
"""


def declared(folder: Path, text: str = COMPARISON, name: str = "first") -> Study:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.toml").write_text(text)
    return studies.read(folder / f"{name}.toml")


def record_of(run: Run, score: float) -> dict[str, Any]:
    """What a run would leave, had it scored this."""
    return {
        "data": "streets",
        "model": "unet",
        "seed": run.seed,
        "command": studies.command_line(run),
        "commit": "abc",
        "versions": {},
        "hardware": {},
        "data_sha256": "0",
        "splits": {"train": "train", "test": "val" if run.role == "selection" else "test"},
        "sources_sha256": {},
        "code": {"segtut.optimizers": results.code_of("segtut.optimizers")},
        "first_losses": [3.0, 2.0, 1.0],
        "parameters": 1,
        "seconds": 1.0,
        "images_per_second": 1.0,
        "peak_memory_bytes": 1,
        "scores": {"mean_iou": score},
        "study": run.study,
        "variant": run.variant,
        "role": run.role,
        "budget": run.budget,
        "learning_rate": run.rate,
    }


def answer(study: Study, score: Callable[[Run], float], rounds: int = 3) -> dict[str, Any]:
    """Records of all that a study asks for, asked again until it asks for no more."""
    records: dict[str, Any] = {}
    for _ in range(rounds):
        for run in study.wanted(records):
            records.setdefault(run.name, record_of(run, score(run)))
    return records


def test_selection_is_scored_on_val_and_the_final_runs_once_on_test(tmp_path: Path) -> None:
    study = declared(tmp_path)
    first = study.wanted({})
    assert {run.role for run in first} == {"selection"}
    assert len(first) == 2 * 2 * 3
    records = answer(study, lambda run: 0.5 + run.seed / 10)
    for run in study.wanted(records):
        split = run.command[run.command.index("--test-split") + 1]
        assert split == ("val" if run.role == "selection" else "test")
    assert studies.faults(study, records) == []


def test_rate_is_the_best_of_each_variant_at_each_budget_by_its_mean_on_val(tmp_path: Path) -> None:
    text = COMPARISON.replace("rates = [0.1", "seeds = [0, 1]\nrates = [0.1")
    study = declared(tmp_path, text)
    best = {("a", 4): 0.4, ("a", 16): 0.1, ("b", 4): 2, ("b", 16): 4}

    def score(run: Run) -> float:
        if run.role == "final":
            return 0.5 + run.seed / 100
        lucky = 0.09 if run.seed == 0 and run.rate != best[run.variant, run.budget] else 0.0
        return 0.1 * (run.rate == best[run.variant, run.budget]) + lucky

    records = answer(study, score)
    for (variant, budget), rate in best.items():
        assert study.rate(variant, budget, records) == rate
        finals = study.final(variant, budget, records)
        assert {record["learning_rate"] for record in finals} == {rate}
    del records[study.selecting("a", 4)[0].name]
    assert study.rate("a", 4, records) is None
    assert study.final("a", 4, records) == []


def test_lower_is_better_turns_the_choice_round(tmp_path: Path) -> None:
    text = 'score = "mean_iou"\nlower_is_better = true\n' + COMPARISON
    study = declared(tmp_path, text)
    records = answer(study, lambda run: run.rate / 10)
    assert study.rate("a", 4, records) == 0.1
    assert study.rate("b", 4, records) == 1


@pytest.mark.parametrize(("gap", "seeds"), [(0.3, 3), (0.01, 5)])
def test_close_pairs_get_five_seeds(tmp_path: Path, gap: float, seeds: int) -> None:
    study = declared(tmp_path)
    records = answer(study, lambda run: 0.4 + gap * (run.variant == "b") + run.seed / 50)
    assert len(study.final("a", 16, records)) == seeds
    assert len(study.final("b", 16, records)) == seeds


def test_a_budget_without_selection_takes_the_choice_of_the_nearest_by_ratio(
    tmp_path: Path,
) -> None:
    text = COMPARISON.replace("budgets = [4, 16]", "budgets = [4, 15, 64]")
    study = declared(tmp_path, text.replace("[selection]", "[selection]\nbudgets = [4, 64]"))
    assert {run.budget for run in study.selecting("a", 15)} == {4}
    assert {run.budget for run in study.selecting("a", 17)} == {64}


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("rates = [1, 2, 4]", "rates = [1, 2]", r"the variants have \[2, 3\] rates"),
        ("rates = [1, 2, 4]", "rates = [1, 2, 4, 8]", r"the variants have \[3, 4\] rates"),
        ("seeds = [0, 1, 2]", "seeds = [0, 1]", "2 seeds, expected 3"),
        ("more_seeds = [3, 4]", "more_seeds = [3]", "fewer than 5"),
        ("budgets = [4, 16]", "budgets = [4, 8]", "less than a factor of 4 apart"),
        ('["a", "b"]', '["a", "c"]', "compare names c"),
        ("question", "qestion", "unknown keys qestion"),
        ('held_equal = "all else"\n', "", "the key 'held_equal' is missing"),
        ('"Which?"', '"Which', "is not TOML"),
    ],
)
def test_a_declaration_that_breaks_a_rule_is_refused(
    tmp_path: Path, old: str, new: str, text: str
) -> None:
    assert old in COMPARISON
    with pytest.raises(ValueError, match=rf"first\.toml.*{text}"):
        declared(tmp_path, COMPARISON.replace(old, new))


def test_a_record_needs_five_seeds_and_one_budget_is_enough(tmp_path: Path) -> None:
    text = 'kind = "record"\n' + COMPARISON.replace("budgets = [4, 16]", "budgets = [4]")
    with pytest.raises(ValueError, match="3 seeds, expected 5"):
        declared(tmp_path, text)
    assert declared(tmp_path, text.replace("[0, 1, 2]", "[0, 1, 2, 3, 4]")).kind == "record"
    with pytest.raises(ValueError, match="kind is 'rekord'"):
        declared(tmp_path, text.replace('"record"', '"rekord"'))


def test_one_budget_needs_its_reason(tmp_path: Path) -> None:
    text = COMPARISON.replace("budgets = [4, 16]", "budgets = [4]")
    with pytest.raises(ValueError, match="factor of 4"):
        declared(tmp_path, text)
    assert declared(tmp_path, 'one_budget = "the rules fix it"\n' + text).budgets == (4,)


def test_unknown_study_names_those_there_are(tmp_path: Path) -> None:
    declared(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no study 'second'.*there are: first"):
        studies.read(tmp_path / "second.toml")


def test_records_that_break_the_rules_are_found(tmp_path: Path) -> None:
    study = declared(tmp_path)
    records = answer(study, lambda run: 0.5 + run.seed / 10)
    chosen = study.selecting("a", 4)[0]
    records[chosen.name]["splits"] = {"train": "train", "test": "test"}
    assert studies.faults(study, records) == [f"{chosen.name} chooses a rate on the split test"]
    records[chosen.name]["splits"]["test"] = "val"
    other = study.run("a", "final", 4, 0.2, 0)
    records[other.name] = record_of(other, 0.5)
    assert studies.faults(study, records) == [
        f"{other.name} is no run of the study: remove it, or declare it"
    ]
    del records[other.name]
    records[chosen.name]["command"] += " --flip"
    assert "another command" in studies.faults(study, records)[0]


def test_a_network_of_a_preparation_is_named_by_its_file(tmp_path: Path) -> None:
    declared(tmp_path, PREPARATION, "before")
    text = COMPARISON.replace("--option 'name=two words'", "--initial {model:before/plain@100}")
    study = declared(tmp_path, text)
    run = study.run("b", "final", 4, 1, 2)
    (needed,) = run.needs
    assert needed.name == "before/plain_final_100_0.003_seed0"
    assert run.command[run.command.index("--initial") + 1] == str(needed.network)
    assert study.run("a", "final", 4, 1, 2).needs == ()


# Staleness and running


def test_other_settings_data_or_code_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = declared(tmp_path)
    run = study.run("a", "final", 4, 0.1, 0)
    record = record_of(run, 0.5)
    splits = studies.open_data("streets:8,size=32x32")
    record["sources_sha256"] = {part: splits[part].fingerprint() for part in ("train", "test")}
    assert studies.staleness(run, record) == ""
    assert studies.staleness(study.run("a", "final", 4, 0.1, 1), record) == "other settings"
    drawn_before = {**record["sources_sha256"], "train": "0"}
    assert studies.staleness(run, {**record, "sources_sha256": drawn_before}) == "other data"
    changed = {**record, "code": {"segtut.optimizers": "0"}}
    assert studies.staleness(run, changed) == "other code: segtut.optimizers"


def test_code_is_known_by_what_it_does_and_not_by_its_comments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    module = tmp_path / "a_module_for_this_test.py"
    module.write_text('"""Text."""\n\n\ndef f(x):\n    """Text."""\n    return x + 1\n')
    first = results.code_of("a_module_for_this_test")
    module.write_text('"""Other."""\ndef f(x):  # why\n    """Other text."""\n    return x + 1\n')
    assert results.code_of("a_module_for_this_test") == first
    module.write_text("def f(x):\n    return x + 2\n")
    assert results.code_of("a_module_for_this_test") != first


class Trainer:
    """Stands in for `segtut train`: leaves a record and a network, and counts its calls."""

    def __init__(self, study: Study, fails: str = "") -> None:
        self.study, self.fails = study, fails
        self.calls: list[str] = []

    def __call__(self, command: list[str], place: Path, threads: int) -> str:
        name = command[command.index("--record") + 1]
        self.calls.append(name + (" --resume" if "--resume" in command else ""))
        if self.fails and self.fails in name:
            return "exit status 1"
        if "--initial" in command:
            assert Path(command[command.index("--initial") + 1]).exists()
        fields = dict(
            part.split("=") for part in command if part.startswith(("study", "var", "rol", "bud"))
        )
        seed, budget = command[command.index("--seed") + 1], int(fields["budget"])
        rate = float(command[command.index("--learning-rate") + 1])
        role: studies.Role = "selection" if fields["role"] == "selection" else "final"
        study = self.study
        if fields["study"] != study.name:
            study = study.preparations[fields["study"]]
        run = study.run(fields["variant"], role, budget, rate, int(seed))
        record = record_of(run, 0.3 + 0.3 * (run.variant == "b") + run.seed / 100)
        record["sources_sha256"] = {
            part: studies._fingerprint(studies._argument(run, "--data"), split)
            for part, split in record["splits"].items()
        }
        results.write(studies.RECORDS / f"{name}.json", record)
        place.mkdir(parents=True, exist_ok=True)
        run.network.write_bytes(b"")
        return ""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    studies.FOLDER.mkdir(parents=True)
    return tmp_path


def train_with(monkeypatch: pytest.MonkeyPatch, study: Study, fails: str = "") -> Trainer:
    trainer = Trainer(study, fails)
    monkeypatch.setattr(studies, "_train", trainer)
    return trainer


def test_what_is_missing_is_run_and_nothing_else(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = declared(studies.FOLDER)
    trainer = train_with(monkeypatch, study)
    assert studies.run_all([study], progress=False) == []
    assert len(trainer.calls) == len(set(trainer.calls)) == 2 * 2 * 3 + 2 * 2 * 3
    records = studies.read_records("first")
    assert studies.faults(study, records) == []
    again = train_with(monkeypatch, study)
    assert studies.run_all([study], progress=False) == []
    assert again.calls == []
    gone = study.final("b", 16, records)[1]["name"]
    (studies.RECORDS / "first" / f"{gone}.json").unlink()
    Path("runs/first", gone, "run.safetensors").write_bytes(b"")
    assert studies.run_all([study], progress=False) == []
    assert again.calls == [f"first/{gone} --resume"]


def test_networks_that_are_missing_are_made_first(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared(studies.FOLDER, PREPARATION, "before")
    text = COMPARISON.replace("--option 'name=two words'", "--initial {model:before/plain@100}")
    study = declared(studies.FOLDER, text)
    trainer = train_with(monkeypatch, study)
    assert studies.run_all([study], progress=False) == []
    network = study.run("b", "final", 4, 1, 0).needs[0].network
    assert network.exists()
    assert sum("before/" in call for call in trainer.calls) == 1
    # A record outlives its network, which is made anew when a run begins with it again.
    network.unlink()
    name = study.final("b", 4, studies.read_records("first"))[0]["name"]
    (studies.RECORDS / "first" / f"{name}.json").unlink()
    again = train_with(monkeypatch, study)
    assert studies.run_all([study], progress=False) == []
    assert again.calls == ["before/plain_final_100_0.003_seed0", f"first/{name}"]


def test_a_run_with_as_many_threads_as_there_are_jobs_runs_alone(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = declared(studies.FOLDER, "threads = 2\n" + COMPARISON)
    trainer = train_with(monkeypatch, study)
    together: list[int] = []
    running: set[str] = set()

    def watched(command: list[str], place: Path, threads: int) -> str:
        running.add(str(place))
        together.append(len(running))
        time.sleep(0.01)
        assert threads == 2
        why = trainer(command, place, threads)
        running.remove(str(place))
        return why

    monkeypatch.setattr(studies, "_train", watched)
    assert studies.run_all([study], jobs=2, progress=False) == []
    assert set(together) == {1}


def test_a_run_that_fails_is_named_and_the_others_go_on(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = declared(studies.FOLDER)
    train_with(monkeypatch, study, fails="a_final_4_")
    failed = studies.run_all([study], progress=False)
    assert sorted(line.partition(":")[0] for line in failed) == [
        f"first/a_final_4_0.1_seed{seed}" for seed in range(3)
    ]
    records = studies.read_records("first")
    assert len(study.final("b", 16, records)) == 3


@pytest.mark.parametrize("same", [True, False])
def test_after_a_change_of_code_the_first_losses_decide(
    here: Path, monkeypatch: pytest.MonkeyPatch, same: bool
) -> None:
    study = declared(studies.FOLDER)
    train_with(monkeypatch, study)
    studies.run_all([study], progress=False)
    name = study.final("a", 4, studies.read_records("first"))[0]["name"]
    path = studies.RECORDS / "first" / f"{name}.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "code": {"segtut.optimizers": "0"}}))
    monkeypatch.setattr(studies, "_same_beginning", lambda *arguments: same)
    again = train_with(monkeypatch, study)
    assert studies.run_all([study], progress=False) == []
    assert again.calls == ([] if same else [f"first/{name}"])
    assert json.loads(path.read_text())["code"] == record["code"]


def test_a_real_run_is_recorded_and_known_again_by_its_first_losses(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = "--option width=4 --option depth=2 --batch-size 2 --scale 1 1"
    text = COMPARISON.replace("--model unet", f"--model unet {arguments}")
    study = declared(studies.FOLDER, text)
    run = study.run("a", "selection", 4, 0.1, 0)
    assert studies._bring_up_to_date(run, 1, studies.RECORDS, False) == ""
    (record,) = studies.read_records("first").values()
    assert record["command"] == shlex.join(run.command)
    assert (record["study"], record["variant"], record["role"]) == ("first", "a", "selection")
    assert (record["budget"], record["learning_rate"], record["seed"]) == (4, 0.1, 0)
    assert studies.staleness(run, record) == ""
    assert len(record["first_losses"]) == results.FIRST_LOSSES
    place, command = run.network.parent, list(run.command)
    assert studies._same_beginning(command, record, place, 1)
    other = {**record, "first_losses": [*record["first_losses"][:2], 0.5]}
    assert not studies._same_beginning(command, other, place, 1)


# Reading


def test_rows_are_sorted_by_their_mean_within_each_budget(tmp_path: Path) -> None:
    study = declared(tmp_path)
    better = {4: "a", 16: "b"}
    records = answer(study, lambda run: 0.2 + 0.3 * (run.variant == better[run.budget]))
    found = studies.rows(study, records)
    assert [(row.budget, row.variant.name) for row in found] == [
        (4, "a"),
        (4, "b"),
        (16, "b"),
        (16, "a"),
    ]
    text = studies.describe(study, records)
    assert "4 steps" in text
    assert "a - b: +0.3000" in text
    assert "0 of 24 runs known so far are missing" in text


def test_smallest_difference_is_the_one_at_which_the_t_test_gives_five_percent() -> None:
    one, other = [0.70, 0.73, 0.71, 0.75], [0.72, 0.70, 0.76]
    least = studies.smallest_difference(one, other)
    shift = statistics.mean(one) - statistics.mean(other) + least
    moved = [value + shift for value in other]
    assert statistics.mean(moved) - statistics.mean(one) == pytest.approx(least)
    assert ttest_ind(one, moved).pvalue == pytest.approx(0.05)


def test_markdown_has_a_row_for_each_variant_and_the_last_budget_decides_the_order(
    tmp_path: Path,
) -> None:
    study = declared(tmp_path)
    assert studies.markdown(study, {}) == "*Not yet recorded.*"
    records = answer(study, lambda run: 0.2 + 0.3 * (run.variant == {4: "a", 16: "b"}[run.budget]))
    head, _, first, second = studies.markdown(study, records).split("\n")
    assert head == "| variant | 4 steps | rate | 16 steps | rate |"
    assert first == "| B | 20.0 ± 0.0 | ≤ 1 | 50.0 ± 0.0 | ≤ 1 |"
    assert second == "| A | 50.0 ± 0.0 | ≤ 0.1 | 20.0 ± 0.0 | ≤ 0.1 |"


@pytest.mark.parametrize(("best", "sign"), [(0, "≤ "), (1, ""), (2, "≥ ")])
def test_a_rate_at_the_end_of_those_tried_has_a_sign(tmp_path: Path, best: int, sign: str) -> None:
    study = declared(tmp_path)
    rate = study.variants["a"].rates[best]
    records = answer(study, lambda run: 0.2 + 0.3 * (run.rate == rate))
    texts = {row.rate_text for row in studies.rows(study, records) if row.variant.name == "a"}
    assert texts == {f"{sign}{rate:g}"}
