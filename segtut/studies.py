"""Studies: comparisons that are declared before they are run.

A study is one TOML file in ``book/studies/``: the question, the variants, what is held equal, which
learning rates each variant may choose from and on which split, at which budgets, with which seeds.
From it follow the runs, each a ``segtut train`` command: those of the role ``selection`` try the
rates and are scored on the validation split; those of the role ``final`` use the rate that did best
there and are scored on the test split, once. Each run leaves its record in
``book/results/STUDY/``, with its study, variant, role, budget, learning rate and seed as fields.

    question = "Which optimizer teaches the U-Net most in 400 steps, and in 1,600?"
    pages = ["4.3"]
    held_equal = "network, data, crops, batch, loss and schedule"
    arguments = "--data streets --model unet --batch-size 8"
    budgets = [400, 1600]                  # optimizer steps
    seeds = [0, 1, 2]
    more_seeds = [3, 4]                    # of compared variants closer than twice their spread
    compare = [["adamw", "muon"]]

    [selection]
    rates = [0.001, 0.004, 0.016]
    seeds = [0]
    budgets = [400, 1600]                  # default: all; a budget uses the nearest one's choice

    [variants.adamw]
    title = "AdamW"
    arguments = "--optimizer adamw"

    [variants.muon]
    title = "Muon"
    arguments = "--optimizer muon"
    rates = [0.004, 0.016, 0.064]          # its own, as many as the others

A `kind = "record"` is an entry of the page of records: one budget, which its rules fix, and five
seeds. A study whose runs are only there for another's (`kind = "preparation"`) ranks nothing: it
has one rate. Arguments may name the network that such a run has left:
``{model:pretext/plain@1000}`` is that of the study *pretext*, variant *plain*, budget 1,000; of the
same seed where it was declared, else of the first. Networks are not kept with the records, and are
made where they are missing.
"""

import functools
import math
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, stdev
from typing import Any, Literal

from segtut import results
from segtut.data.opening import open_data

Role = Literal["selection", "final"]
KINDS = ("comparison", "record", "preparation")
FOLDER = Path("book/studies")
RECORDS = Path("book/results")
MODELS = Path("runs")
_NETWORK = re.compile(r"\{model:(\w+)/(\w+)@(\d+)\}")
_KEYS = {"question", "kind", "pages", "held_equal", "arguments", "budgets", "seeds", "more_seeds"}
_KEYS |= {"compare", "one_budget", "score", "lower_is_better", "selection", "variants", "threads"}


@dataclass(frozen=True)
class Variant:
    """One of the things compared: the arguments that make it, and the rates it may choose from."""

    name: str
    title: str
    arguments: str
    rates: tuple[float, ...]


@dataclass(frozen=True)
class Run:
    """One run that a study asks for; ``budget`` counts optimizer steps."""

    study: str
    variant: str
    role: Role
    budget: int
    rate: float
    seed: int
    command: tuple[str, ...] = field(compare=False)
    needs: tuple["Run", ...] = field(compare=False, default=())

    @property
    def name(self) -> str:
        """Where its record and its network lie, below ``book/results`` and ``runs``."""
        parts = (self.variant, self.role, str(self.budget), f"{self.rate:g}", f"seed{self.seed}")
        return f"{self.study}/" + "_".join(parts)

    @property
    def network(self) -> Path:
        """The file of the network that it leaves."""
        return MODELS / self.name / "model.safetensors"


@dataclass(frozen=True)
class Study:
    """A declared comparison; `read` makes it from its file."""

    name: str
    question: str
    held_equal: str
    arguments: str
    variants: Mapping[str, Variant]
    budgets: tuple[int, ...]
    seeds: tuple[int, ...]
    more_seeds: tuple[int, ...] = ()
    compare: tuple[tuple[str, str], ...] = ()
    pages: tuple[str, ...] = ()
    kind: str = "comparison"
    one_budget: str = ""
    score: str = "mean_iou"
    lower_is_better: bool = False
    selection_seeds: tuple[int, ...] = (0,)
    selection_budgets: tuple[int, ...] = ()
    threads: int = 1
    preparations: Mapping[str, "Study"] = field(default_factory=dict)

    def run(self, variant: str, role: Role, budget: int, rate: float, seed: int) -> Run:
        """The run of these settings, with its whole command."""
        split = "val" if role == "selection" else "test"
        chosen = f"--steps {budget} --learning-rate {rate:g} --seed {seed} --test-split {split}"
        arguments = f"{self.arguments} {self.variants[variant].arguments} {chosen}"
        needs: list[Run] = []

        def network(found: re.Match[str]) -> str:
            needs.append(self._preparation(found, seed))
            return str(needs[-1].network)

        arguments = _NETWORK.sub(network, arguments)
        run = Run(self.name, variant, role, budget, rate, seed, ())
        fields = {"study": self.name, "variant": variant, "role": role, "budget": budget}
        fields |= {"learning_rate": rate}
        noted = [part for key, value in fields.items() for part in ("--field", f"{key}={value}")]
        command = ("segtut", "train", *shlex.split(arguments), *noted, "--record", run.name)
        return Run(self.name, variant, role, budget, rate, seed, command, tuple(needs))

    def _preparation(self, found: "re.Match[str]", seed: int) -> Run:
        study, variant, budget = found.groups()
        prepared = self.preparations[study]
        (rate,) = prepared.variants[variant].rates
        seed = seed if seed in prepared.seeds else prepared.seeds[0]
        return prepared.run(variant, "final", int(budget), rate, seed)

    def selecting(self, variant: str, budget: int) -> list[Run]:
        """The runs that choose a variant's rate for a budget; none where there is no choice."""
        rates = self.variants[variant].rates
        if len(rates) == 1:
            return []
        nearest = min(self.selection_budgets, key=lambda b: abs(math.log(b / budget)))
        return [
            self.run(variant, "selection", nearest, rate, seed)
            for rate in rates
            for seed in self.selection_seeds
        ]

    def rate(self, variant: str, budget: int, records: Mapping[str, Any]) -> float | None:
        """The rate with the best mean on the validation split; None until all were tried.

        ``records`` maps names of runs to records, as `read_records` gives them.
        """
        rates = self.variants[variant].rates
        if len(rates) == 1:
            return rates[0]
        tried = self.selecting(variant, budget)
        if any(run.name not in records for run in tried):
            return None
        sign = -1 if self.lower_is_better else 1

        def quality(rate: float) -> float:
            scores = [records[run.name]["scores"][self.score] for run in tried if run.rate == rate]
            return sign * mean(scores)

        return max(rates, key=quality)

    def final(self, variant: str, budget: int, records: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The final records of a variant at a budget, by seed: what a page may compare."""
        rate = self.rate(variant, budget, records)
        if rate is None:
            return []
        runs = [
            self.run(variant, "final", budget, rate, seed) for seed in self.seeds + self.more_seeds
        ]
        return [records[run.name] for run in runs if run.name in records]

    def wanted(self, records: Mapping[str, Any]) -> list[Run]:
        """Every run that is known to be needed, given what is there: selection, then final.

        Compared variants whose means lie within twice the larger spread get ``more_seeds``.
        """
        found: dict[str, Run] = {}
        for budget in self.budgets:
            close = self._close(budget, records)
            for variant in self.variants:
                found |= {run.name: run for run in self.selecting(variant, budget)}
                rate = self.rate(variant, budget, records)
                if rate is not None:
                    seeds = self.seeds + (self.more_seeds if variant in close else ())
                    runs = [self.run(variant, "final", budget, rate, seed) for seed in seeds]
                    found |= {run.name: run for run in runs}
        return sorted(found.values(), key=lambda run: (run.role == "final", run.budget))

    def _close(self, budget: int, records: Mapping[str, Any]) -> set[str]:
        close: set[str] = set()
        for pair in self.compare:
            scores = [self._scores(variant, budget, records, self.seeds) for variant in pair]
            if any(len(values) < len(self.seeds) for values in scores):
                continue
            spread = max(stdev(values) for values in scores)
            if abs(mean(scores[0]) - mean(scores[1])) < 2 * spread:
                close |= set(pair)
        return close

    def _scores(
        self, variant: str, budget: int, records: Mapping[str, Any], seeds: Sequence[int]
    ) -> list[float]:
        found = self.final(variant, budget, records)
        return [record["scores"][self.score] for record in found if record["seed"] in seeds]


def read(path: str | Path) -> Study:
    """The study that a TOML file declares.

    Raises ``FileNotFoundError`` where there is no such file, and ``ValueError``, naming the file,
    for a key that is missing or unknown and for a comparison that breaks a rule of `rules`.
    """
    path = Path(path)
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.toml"))) or "none"
        raise FileNotFoundError(f"no study {path.stem!r} in {path.parent}; there are: {known}")
    try:
        declared = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is not TOML: {error}") from error
    unknown = sorted(set(declared) - _KEYS)
    if unknown:
        raise ValueError(f"{path}: unknown keys {', '.join(unknown)}; known: {sorted(_KEYS)}")
    named = _NETWORK.findall(repr(declared))
    preparations = {study: read(path.with_name(f"{study}.toml")) for study, _, _ in named}
    try:
        study = _study(path.stem, declared, preparations)
    except KeyError as error:
        raise ValueError(f"{path}: the key {error} is missing") from error
    broken = rules(study)
    if broken:
        raise ValueError(f"{path}: {broken[0]}")
    return study


def _study(name: str, declared: Mapping[str, Any], preparations: Mapping[str, Study]) -> Study:
    selection = declared.get("selection", {})
    budgets = tuple(declared["budgets"])
    variants = {
        key: Variant(
            key,
            value["title"],
            value.get("arguments", ""),
            tuple(map(float, value["rates"] if "rates" in value else selection["rates"])),
        )
        for key, value in declared["variants"].items()
    }
    return Study(
        name=name,
        question=declared["question"],
        held_equal=declared["held_equal"],
        arguments=declared["arguments"],
        variants=variants,
        budgets=budgets,
        seeds=tuple(declared["seeds"]),
        more_seeds=tuple(declared.get("more_seeds", ())),
        compare=tuple((one, other) for one, other in declared.get("compare", ())),
        pages=tuple(declared.get("pages", ())),
        kind=declared.get("kind", "comparison"),
        one_budget=declared.get("one_budget", ""),
        score=declared.get("score", "mean_iou"),
        lower_is_better=declared.get("lower_is_better", False),
        selection_seeds=tuple(selection.get("seeds", (0,))),
        selection_budgets=tuple(selection.get("budgets", budgets)),
        threads=declared.get("threads", 1),
        preparations=preparations,
    )


def read_all(folder: str | Path = FOLDER) -> dict[str, Study]:
    """All studies of a folder, by name, in alphabetical order."""
    return {path.stem: read(path) for path in sorted(Path(folder).glob("*.toml"))}


def read_records(study: str, folder: str | Path = RECORDS) -> dict[str, dict[str, Any]]:
    """The records of a study, by the name of their run; empty where there are none yet."""
    place = Path(folder) / study
    if not place.is_dir():
        return {}
    return {f"{study}/{record['name']}": record for record in results.read(place)}


def rules(study: Study) -> list[str]:
    """What the declaration breaks of the rules that a comparison has to keep; empty if nothing.

    At least three rates, as many for each variant; three seeds, five where a difference is small;
    budgets a factor of four apart, or a reason why the order cannot depend on it.
    """
    broken = []
    if study.kind not in KINDS:
        broken.append(f"kind is {study.kind!r}, expected one of {', '.join(KINDS)}")
    unknown = sorted({name for pair in study.compare for name in pair} - set(study.variants))
    if unknown:
        broken.append(f"compare names {', '.join(unknown)}, which are no variants")
    if study.kind == "preparation":
        return broken
    numbers = {len(variant.rates) for variant in study.variants.values()}
    if len(numbers) > 1 or min(numbers) < 3:
        broken.append(f"the variants have {sorted(numbers)} rates, expected one number, 3 or more")
    least = 5 if study.kind == "record" else 3
    if len(study.seeds) < least:
        broken.append(f"{len(study.seeds)} seeds, expected {least} or more")
    if study.kind == "record":
        return broken
    if study.compare and len(study.seeds + study.more_seeds) < 5:
        broken.append("seeds and more_seeds are fewer than 5, which small differences need")
    if max(study.budgets) < 4 * min(study.budgets) and not study.one_budget:
        broken.append(
            "the budgets are less than a factor of 4 apart: add one, or say in one_budget why the "
            "order cannot depend on it"
        )
    return broken


def faults(study: Study, records: Mapping[str, Any]) -> list[str]:
    """What the records break of the rules: an undeclared run, or one chosen on the test split."""
    wanted = {run.name: run for run in study.wanted(records)}
    found = []
    for name, record in records.items():
        if record.get("role") == "selection" and record["splits"]["test"] != "val":
            found.append(f"{name} chooses a rate on the split {record['splits']['test']}")
        if name not in wanted:
            found.append(f"{name} is no run of the study: remove it, or declare it")
        elif record["command"] != command_line(wanted[name]):
            found.append(f"{name} was made by another command than the study now declares")
    return found


def command_line(run: Run) -> str:
    """The command of a run as its record has it, to be typed again."""
    return shlex.join(run.command)


# Running


def staleness(run: Run, record: Mapping[str, Any]) -> str:
    """Why a record is not what the run would give today, or "" where nothing is known to differ.

    Settings, data and code are compared; data that are not at hand are taken for unchanged.
    """
    if record["command"] != command_line(run):
        return "other settings"
    sources = record.get("sources_sha256", {})
    for part, split in record["splits"].items():
        today = _fingerprint(_argument(run, "--data"), split)
        if today is not None and sources.get(part) != today:
            return "other data"
    changed = [n for n, value in record.get("code", {}).items() if results.code_of(n) != value]
    return f"other code: {', '.join(changed)}" if changed or not record.get("code") else ""


def _argument(run: Run, flag: str) -> str:
    return run.command[run.command.index(flag) + 1]


@functools.cache
def _fingerprint(data: str, split: str) -> str | None:
    try:
        return open_data(data)[split].fingerprint()
    except FileNotFoundError:
        return None


def run_all(
    studies: Sequence[Study], jobs: int = 2, progress: bool = True, records: Path = RECORDS
) -> list[str]:
    """Run what is missing or stale of some studies, on ``jobs`` threads; returns what failed.

    Each run is a process of its own with the study's number of threads, so that one whose time is a
    result has the machine for itself. Its output goes to
    ``log.txt`` beside its network; one that was killed goes on from its checkpoint. A record whose
    code has changed since is kept if the run's first steps still give the recorded losses.
    """
    from tqdm.auto import tqdm

    threads = {study.name: study.threads for study in _with_preparations(studies)}
    failed: dict[str, str] = {}
    done: set[str] = set()
    active: dict[Future[str], Run] = {}
    with ThreadPoolExecutor(jobs) as pool, tqdm(unit="run", disable=not progress) as bar:
        while True:
            known, lacking = _known(studies, records)
            bar.total, bar.n = len(known), len(done) + len(failed)
            bar.refresh()
            taken = done | set(failed) | {run.name for run in active.values()}
            ready = [
                run for run in known.values() if run.name not in taken and _can_begin(run, records)
            ]
            for run in ready:
                room = jobs - sum(threads[other.study] for other in active.values())
                if threads[run.study] > room and active:
                    break
                anew = run.name in lacking
                job = pool.submit(_bring_up_to_date, run, threads[run.study], records, anew)
                active[job] = run
            if not active:
                break
            for future in wait(active, return_when=FIRST_COMPLETED).done:
                run, why = active.pop(future), future.result()
                if why:
                    failed[run.name] = why
                else:
                    done.add(run.name)
    for name in set(known) - done - set(failed):
        failed[name] = "a network that it begins with could not be made"
    return [f"{name}: {why}" for name, why in failed.items()]


def _with_preparations(studies: Iterable[Study]) -> list[Study]:
    found: dict[str, Study] = {}
    for study in studies:
        found |= {study.name: study}
        found |= {one.name: one for one in _with_preparations(study.preparations.values())}
    return list(found.values())


def _known(studies: Sequence[Study], folder: Path) -> tuple[dict[str, Run], set[str]]:
    """All runs that are wanted now, and the names of those whose networks others lack."""
    found: dict[str, Run] = {}
    lacking: set[str] = set()
    for study in studies:
        for run in study.wanted(read_records(study.name, folder)):
            if not (folder / f"{run.name}.json").exists():
                needed = _lacking(run)
                lacking |= set(needed)
                found |= needed
            found.setdefault(run.name, run)
    return found, lacking


def _can_begin(run: Run, folder: Path) -> bool:
    there = all(needed.network.exists() for needed in run.needs)
    return there or (folder / f"{run.name}.json").exists()


def _lacking(run: Run) -> dict[str, Run]:
    found: dict[str, Run] = {}
    for needed in run.needs:
        if not needed.network.exists():
            found |= _lacking(needed) | {needed.name: needed}
    return found


def _bring_up_to_date(run: Run, threads: int, folder: Path, anew: bool) -> str:
    """Make a run's record right, ``anew`` also for its network; returns why that failed, or ""."""
    path = folder / f"{run.name}.json"
    place = run.network.parent
    command = list(run.command)
    if path.exists() and not anew:
        (record,) = [r for r in results.read(path.parent) if r["name"] == path.stem]
        why = staleness(run, record)
        if not why:
            return ""
        if why.startswith("other code") and _same_beginning(command, record, place, threads):
            record = {key: value for key, value in record.items() if key != "name"}
            results.write(path, {**record, "code": {n: results.code_of(n) for n in record["code"]}})
            return ""
        for old in (path, run.network, place / "run.safetensors"):
            old.unlink(missing_ok=True)
    if (place / "run.safetensors").exists():
        command = [*command, "--resume"]
    return _train(command, place, threads)


def _train(command: Sequence[str], place: Path, threads: int) -> str:
    place.mkdir(parents=True, exist_ok=True)
    log = place / "log.txt"
    with log.open("ab") as file:
        finished = subprocess.run(
            [sys.executable, "-m", *command],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=_environment(threads),
        )
    return f"exit status {finished.returncode}, see {log}" if finished.returncode else ""


def _environment(threads: int) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": str(threads)}


def _same_beginning(
    command: Sequence[str], record: Mapping[str, Any], place: Path, threads: int
) -> bool:
    """Whether today's code still gives the losses of a record's first steps."""
    from segtut import checkpoints

    recorded = record.get("first_losses", [])
    if len(recorded) < results.FIRST_LOSSES:
        return False
    trial = place / "trial"
    at = command.index("--record")
    again = [*command[:at], "--stop-after", str(results.FIRST_LOSSES), "--output", str(trial)]
    checkpoint = trial / "run.safetensors"
    checkpoint.unlink(missing_ok=True)
    _train(again, trial, threads)
    if not checkpoint.exists():
        return False
    losses = checkpoints.read(checkpoint)[1]["loss"]
    checkpoint.unlink()
    return all(
        math.isclose(one, other, rel_tol=1e-4) for one, other in zip(losses, recorded, strict=True)
    )


# Reading a study


@dataclass(frozen=True)
class Row:
    """What came out for a variant at a budget: mean and standard deviation over the seeds."""

    variant: Variant
    budget: int
    rate: float
    scores: tuple[float, ...]
    seconds: float

    @property
    def mean(self) -> float:
        return mean(self.scores)

    @property
    def spread(self) -> float:
        return stdev(self.scores) if len(self.scores) > 1 else math.nan

    @property
    def rate_text(self) -> str:
        """The rate, with ≥ or ≤ at the end of those tried: beyond it may be a better one."""
        rates = self.variant.rates
        if len(rates) == 1 or min(rates) < self.rate < max(rates):
            return f"{self.rate:g}"
        return f"{'≥' if self.rate == max(rates) else '≤'} {self.rate:g}"


def rows(study: Study, records: Mapping[str, Any], score: str | None = None) -> list[Row]:
    """The finished part of a study, best first within each budget.

    ``score`` names another score than the study's own; a dot leads into ``also``, as in
    ``also.views.mean_iou``.
    """
    found = []
    for budget in study.budgets:
        here = []
        for variant in study.variants.values():
            runs = study.final(variant.name, budget, records)
            rate = study.rate(variant.name, budget, records)
            if runs and rate is not None:
                values = tuple(_score(run, score or study.score) for run in runs)
                seconds = mean(run["seconds"] for run in runs)
                here.append(Row(variant, budget, rate, values, seconds))
        found += sorted(here, key=lambda row: row.mean, reverse=not study.lower_is_better)
    return found


def _score(record: Mapping[str, Any], name: str) -> float:
    value: Any = record if name.startswith("also.") else record["scores"]
    for part in name.split("."):
        value = value[part]
    return float(value)


def markdown(study: Study, records: Mapping[str, Any], score: str | None = None) -> str:
    """A study as a Markdown table in percent, best at the largest finished budget first.

    A row for each variant; for each budget the mean and standard deviation over the seeds and the
    rate that was chosen, with ≥ or ≤ where it is the largest or smallest of those tried.
    """
    found = {(row.budget, row.variant.name): row for row in rows(study, records, score)}
    budgets = [b for b in study.budgets if any(budget == b for budget, _ in found)]
    if not budgets:
        return "*Not yet recorded.*"
    last = [name for budget, name in found if budget == budgets[-1]]
    order = last + [name for name in study.variants if name not in last]
    head = "| variant |" + "".join(f" {budget:,} steps | rate |" for budget in budgets)
    lines = [head, "|---" * (2 * len(budgets) + 1) + "|"]
    for name in order:
        cells = []
        for budget in budgets:
            row = found.get((budget, name))
            text = f"{100 * row.mean:.1f} ± {100 * row.spread:.1f}" if row else "–"
            cells += [text, row.rate_text if row else "–"]
        lines.append(f"| {study.variants[name].title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def smallest_difference(one: Sequence[float], other: Sequence[float]) -> float:
    """The least difference of two means that Student's two-sample test calls one, at 5 %.

    one, other: the scores of two variants, a number for each seed; equal variances are assumed. A
    difference that is truly as large as this is found every other time.
    """
    from scipy.stats import t

    freedom = len(one) + len(other) - 2
    if freedom < 1:
        return math.inf
    squares = sum((v - mean(values)) ** 2 for values in (one, other) for v in values)
    error = math.sqrt(squares / freedom * (1 / len(one) + 1 / len(other)))
    return float(t.ppf(0.975, freedom)) * error


def describe(study: Study, records: Mapping[str, Any], score: str | None = None) -> str:
    """The study as text: its question, what came out at each budget, what its test could see."""
    lines = [study.question, f"Held equal: {study.held_equal}."]
    found = rows(study, records, score)
    for budget in study.budgets:
        here = [row for row in found if row.budget == budget]
        lines += ["", f"{budget:,} steps", f"{'':28s}{'rate':>9s}{'mean':>9s}{'+-':>8s}  seeds"]
        for row in here:
            title = f"{row.variant.title:28s}{row.rate_text:>9s}{row.mean:9.4f}{row.spread:8.4f}"
            lines.append(title + "  " + " ".join(f"{value:.4f}" for value in row.scores))
        scores = {row.variant.name: row.scores for row in here}
        for one, other in study.compare:
            if one in scores and other in scores:
                gap = mean(scores[one]) - mean(scores[other])
                least = smallest_difference(scores[one], scores[other])
                lines.append(f"  {one} - {other}: {gap:+.4f}; a difference shows from {least:.4f}")
    wanted = study.wanted(records)
    missing = sum(run.name not in records for run in wanted)
    return "\n".join([*lines, "", f"{missing} of {len(wanted)} runs known so far are missing"])
