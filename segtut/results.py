"""Recorded runs: one JSON each, written by ``segtut train --record``, read by the book's pages.

A record says what was run, on what, and what came out, so that a page never types a number and a
reader can run the same command. Scores are 0-1.
"""

import ast
import hashlib
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch

FIELDS: dict[str, type | tuple[type, ...]] = {
    "data": str,
    "model": str,
    "seed": int,
    "command": str,
    "commit": str,
    "versions": dict,
    "hardware": dict,
    "data_sha256": str,
    "parameters": int,
    "seconds": (int, float),
    "images_per_second": (int, float),
    "peak_memory_bytes": int,
    "scores": dict,
}
"""The fields that every record has, and their types; a record may have more."""

FIRST_LOSSES = 3
"""How many losses a record keeps, by which a run is known again after a change of the code."""


def write(path: str | Path, record: Mapping[str, Any]) -> None:
    """Write one record, checked, aside first and then renamed.

    Raises ``ValueError`` for a missing field, a field of a wrong type, or a score outside 0-1.
    """
    validate(record, source="the record")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(record, file, indent=1, sort_keys=True, allow_nan=False)
            file.write("\n")
        Path(aside).chmod(0o644)
        Path(aside).replace(path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise


def read(folder: str | Path, **wanted: Any) -> list[dict[str, Any]]:
    """All records of a folder whose fields equal ``wanted``, in the order of their file names.

    ``read("book/results", data="camvid", model="unet")`` gives the U-Net's runs on CamVid. Each
    record gets its file's stem as ``"name"``. Raises ``FileNotFoundError`` for a missing folder and
    ``ValueError``, naming the file, for a record that is not one.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder} to read recorded runs from")
    records = []
    for path in sorted(folder.glob("*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise ValueError(f"{path} is not JSON: {error}") from error
        validate(record, source=str(path))
        if all(record.get(key) == value for key, value in wanted.items()):
            records.append({"name": path.stem, **record})
    return records


def validate(record: Any, source: str) -> None:
    """Raise ``ValueError``, saying what is wrong, unless ``record`` is a complete record."""
    if not isinstance(record, Mapping):
        raise ValueError(f"{source} is a {type(record).__name__}, not a JSON object")
    for name, kind in FIELDS.items():
        if name not in record:
            raise ValueError(f"{source} lacks the field {name!r}")
        if not isinstance(record[name], kind) or isinstance(record[name], bool):
            raise ValueError(f"{source}: field {name!r} is {record[name]!r}, expected {kind}")
    for name, value in _scores(record["scores"]):
        if value is not None and not 0 <= value <= 1:
            raise ValueError(f"{source}: score {name} is {value}, expected a number from 0 to 1")


def _scores(scores: Mapping[str, Any], prefix: str = "") -> list[tuple[str, float | None]]:
    found: list[tuple[str, float | None]] = []
    for name, value in scores.items():
        if isinstance(value, Mapping):
            found += _scores(value, f"{prefix}{name}.")
        elif value is None or isinstance(value, (int, float)):
            found.append((prefix + name, value))
    return found


def mean_and_spread(records: Sequence[Mapping[str, Any]], score: str) -> tuple[float, float]:
    """Mean and sample standard deviation of one score over records; NaN spread for one record."""
    values = [record["scores"][score] for record in records]
    if not values:
        raise ValueError(f"no records to average {score!r} over")
    return mean(values), stdev(values) if len(values) > 1 else math.nan


def hardware(device: torch.device) -> dict[str, Any]:
    """What the run ran on: processor, its threads in use, accelerator, operating system."""
    found: dict[str, Any] = {
        "device": device.type,
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "system": platform.system(),
    }
    if device.type == "cuda":
        found["accelerator"] = torch.cuda.get_device_name(device)
        found["accelerators"] = int(os.environ.get("WORLD_SIZE", "1"))
    return found


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide a result."""
    found = {"python": platform.python_version()}
    for package in ("segtut", "torch", "torchvision", "numpy", "accelerate"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def commit() -> str:
    """The commit of the code that runs, with ``+changes`` where files differ from it.

    ``unknown`` outside a git checkout. Recorded results themselves do not count as changes.
    """
    here = Path(__file__).resolve().parent
    try:
        head = _git(here, "rev-parse", "HEAD")
        changes = _git(here, "status", "--porcelain", "--untracked-files=no", "--", ".")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+changes" if changes else "")


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def peak_memory_bytes(device: torch.device) -> int:
    """Most memory used so far: of the GPU on CUDA, else of this process (resident set)."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


_DECIDING = [
    *("training", "optimizers", "averaging", "precision", "losses", "metrics", "inference"),
    *("data.transforms", "data.views", "objectives.base"),
]


def code(parts: Iterable[object] = ()) -> dict[str, str]:
    """Hashes of the modules that decide a run, without their comments and docstrings.

    Those of training and scoring, and those that define ``parts``: the network's layers, say. The
    data are known by their own fingerprint.
    """
    names = {f"segtut.{name}" for name in _DECIDING}
    names |= {type(part).__module__ for part in parts}
    return {name: code_of(name) for name in sorted(names) if name.startswith("segtut.")}


def code_of(module: str) -> str:
    """Hash of one module's code, without comments and docstrings; "unknown" if there is none."""
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        return "unknown"
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            node.body = [part for part in node.body if not _is_text(part)] or [ast.Pass()]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
