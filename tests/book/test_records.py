"""The recorded runs are of networks that this package still builds: the sizes agree."""

import itertools
import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from segtut.models import available_for_pictures, build, count_parameters

FOLDER = Path(__file__).parents[2] / "book" / "results"


def groups() -> Iterator[tuple[str, list[Path]]]:
    """Records that differ in the seed alone, by the name that they share."""
    found: dict[str, list[Path]] = {}
    for path in sorted(FOLDER.rglob("*.json")):
        name = path.relative_to(FOLDER).with_suffix("").as_posix()
        found.setdefault(name.rpartition("seed")[0] or name, []).append(path)
    yield from found.items()


def classes_of(record: dict[str, Any]) -> int:
    """Of what `build` calls classes: of labels, or the channels of a picture."""
    if record["model"] in ("reconstructor", "masked_autoencoder"):
        return 3
    return len(record["scores"]["per_class_iou"])


each_group = pytest.mark.parametrize("paths", [pytest.param(p, id=name) for name, p in groups()])


@each_group
def test_network_of_a_record_has_the_parameters_that_were_recorded(paths: list[Path]) -> None:
    """Whoever computes a cost from `model_options` computes it for the network that was trained."""
    records = [json.loads(path.read_text("utf-8")) for path in paths]
    first = records[0]
    if "per_class_iou" not in first["scores"] and first["model"] not in available_for_pictures():
        pytest.skip("the record does not say how many classes there were")
    with torch.device("meta"):
        options = {k: v for k, v in first["model_options"].items() if k != "pretrained"}
        network = build(first["model"], classes_of(first), **options)
    for record in records:
        assert record["model_options"] == first["model_options"]
        assert record["parameters"] == count_parameters(network)


@each_group
def test_options_of_a_record_are_those_of_its_command(paths: list[Path]) -> None:
    for path in paths:
        record = json.loads(path.read_text("utf-8"))
        words = shlex.split(record["command"])
        given = [word for option, word in itertools.pairwise(words) if option == "--option"]
        assert {word.partition("=")[0] for word in given} == record["model_options"].keys()
