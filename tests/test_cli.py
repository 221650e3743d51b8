"""The command line as its users meet it: what works, what a mistake says, what Ctrl-C leaves."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from segtut import checkpoints, inference, training
from segtut.cli import main, open_data
from segtut.data import InMemory, Streets
from segtut.data.dataset import VOID, read_image
from tests.blocks import Blocks, write_folder

SMALL = ["--option", "width=4", "--option", "depth=2", "--batch-size", "2", "--device", "cpu"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of drawn blocks with three splits."""
    folder = tmp_path_factory.mktemp("data") / "blocks"
    for seed, (split, n) in enumerate((("train", 4), ("val", 2), ("test", 3))):
        write_folder(Blocks(n, sizes=((20, 24), (24, 16)), seed=seed), folder / split)
    (folder / "classes.txt").write_text("\n".join(Blocks.classes))
    return folder


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file."""
    output = tmp_path_factory.mktemp("run")
    arguments = ["--data", str(data), "--steps", "3", "--shorter", "16", *SMALL]
    assert main(["train", *arguments, "--output", str(output)]) == 0
    return output / "model.safetensors"


@pytest.fixture
def copied(data: Path, tmp_path: Path) -> Path:
    """The folder of blocks, to be damaged."""
    return Path(shutil.copytree(data, tmp_path / "copied"))


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """Standard output of a command that must succeed."""
    capsys.readouterr()
    status = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert status == 0, captured.err
    return captured.out


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """What a command that must fail says: one line, with exit status 1 and no traceback."""
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 1
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith("segtut: ")
    return line


def no_training(*arguments: Any, **options: Any) -> None:
    raise AssertionError("training began before the mistake was found")


# Help


@pytest.mark.parametrize(
    "command",
    [
        *("", "data", "data fetch", "data check", "data convert", "data show"),
        *("train", "evaluate", "predict", "export"),
    ],
)
def test_every_command_has_help(capsys: pytest.CaptureFixture[str], command: str) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([*command.split(), "--help"])
    assert exit_.value.code == 0
    assert f"usage: segtut {command}".strip() in capsys.readouterr().out


def test_no_command_is_a_mistake_of_use(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([])
    assert exit_.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


# Data


def test_data_are_found_by_path_and_below_the_variable(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SEGTUT_DATA", raising=False)
    assert list(open_data(str(data))) == ["train", "val", "test"]
    assert "not set" in complaint(capsys, "data", "check", "blocks")
    monkeypatch.setenv("SEGTUT_DATA", str(data.parent))
    assert len(open_data("blocks")["train"]) == 4
    text = complaint(capsys, "data", "check", "absent")
    assert "no data at 'absent'" in text
    assert str(data.parent) in text


def test_streets_need_no_files() -> None:
    splits = open_data("streets")
    assert {name: len(split) for name, split in splits.items()} == {
        "train": 400,
        "val": 100,
        "test": 200,
    }
    assert splits["train"].fingerprint() != splits["test"].fingerprint()


def test_check_passes_a_clean_folder(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = run(capsys, "data", "check", data)
    assert all(split in out.splitlines() for split in ("train", "val", "test"))


def test_check_names_the_faults_of_a_folder(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged, lonely = sorted((copied / "train" / "images").iterdir())[:2]
    damaged.write_bytes(damaged.read_bytes()[:200])
    (copied / "train" / "masks" / lonely.name).unlink()
    wrong = sorted((copied / "test" / "masks").iterdir())[0]
    Image.fromarray(np.full((20, 24), 7, np.uint8)).save(wrong)
    assert main(["data", "check", str(copied)]) == 1
    captured = capsys.readouterr()
    for path in (damaged, lonely, wrong):
        assert path.stem in captured.out
    assert captured.err == ""


def test_show_draws_samples(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "samples.png"
    out = run(capsys, "data", "show", data, "--number", "9", "--output", picture)
    assert out.strip() == str(picture)
    assert len(np.unique(read_image(picture).reshape(-1, 3), axis=0)) > 10
    assert "no split 'dev'; the data have train, val, test" in complaint(
        capsys, "data", "show", data, "--split", "dev"
    )


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--model", "vnet"], "Unknown model 'vnet'; choose one of pixel_mlp, unet"),
        (["--option", "breadth=3"], "no option breadth; its options are: width"),
        (["--option", "width"], "not NAME=VALUE"),
        (["--option", "width=wide"], "unet cannot be built with {'width': 'wide'}"),
        (["--option", "norm=layer"], "choose one of 'batch'"),
        (["--loss", "hinge"], "no loss is called 'hinge'"),
        (["--weights", "median", "--loss", "dice"], "takes no class weights"),
        (["--score", "red,violet"], "--score names ['violet']; the classes are red, green"),
        (["--train-split", "dev"], "no split 'dev'"),
        (["--test-split", "dev"], "no split 'dev'"),
        (["--shorter", "0"], "at least 1 pixel"),
        (["--crop", "0", "8"], "height, width"),
        (["--scale", "2", "1"], "low <= high"),
        (["--steps", "0"], "steps must be at least 1"),
        (["--validate-every", "0"], "validate_every must be at least 1"),
        (["--device", "abacus"], "--device abacus cannot be used here"),
        (["--objective", "magic"], "Unknown objective 'magic'; choose one of supervised"),
        (
            ["--objective", "adversarial", "--objective-option", "wait=1"],
            "no option wait; its options",
        ),
        (
            ["--objective", "adversarial", "--objective-option", "weight"],
            "--objective-option 'weight'",
        ),
        (["--labels", "0"], "--labels 0 is not among 1 to 4"),
        (["--labels", "4", "--objective", "cutmix"], "give --labels N below 4, or --unlabeled"),
        (["--unlabeled", "absent"], "--objective supervised has no use for --unlabeled pictures"),
        (["--unlabeled", "absent", "--objective", "cutmix"], "absent"),
        (["--objective", "autoencoder"], "--model unet does not go with --objective autoencoder"),
        (["--model", "reconstructor"], "does not go with --objective supervised"),
        (["--model", "reconstructor", "--objective", "masked"], "masked_autoencoder go together"),
        (["--model", "label_to_image"], "label_to_image go together"),
        (["--initial", "absent.safetensors"], "no checkpoint at absent.safetensors"),
        (
            ["--model", "label_to_image", "--objective", "translation", "--judge", "absent"],
            "no checkpoint at absent",
        ),
    ],
)
def test_mistakes_of_training_are_told_in_one_line(
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    text: str,
) -> None:
    output = tmp_path / "out"
    line = complaint(
        capsys, "train", "--data", data, "--output", output, "--steps", "1", *arguments
    )
    assert text in line
    assert not list(output.glob("*"))


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("0", "0"),
        ("many", "many"),
        ("-3", "-3"),
        ("2000,size=96", "size=96"),
        ("fog=1", "fog=1"),
        ("crowding=", "crowding="),
    ],
)
def test_options_of_streets_that_make_no_sense(
    text: str, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line = complaint(capsys, "train", "--data", f"streets:{text}", "--steps", "1")
    assert f"`streets:{text}`: {part!r} is not understood, expected a number of scenes" in line


def test_options_of_streets_reach_the_drawing() -> None:
    splits = open_data("streets:7,size=32x48,classes=4,weather=fog,crowding=2,seed=3")
    expected = Streets("train", 7, (32, 48), 4, "fog", seed=3, crowding=2)
    assert splits["train"].fingerprint() == expected.fingerprint()
    assert splits["test"].num_classes == 4


def test_as_many_streets_as_asked_for() -> None:
    few, many = open_data("streets"), open_data("streets:2000")
    assert len(many["train"]) == 2000
    assert few["test"].fingerprint() == many["test"].fingerprint()
    assert torch.equal(few["train"][7][0], many["train"][7][0])


def test_validation_needs_its_split(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(copied / "val")
    line = complaint(capsys, "train", "--data", copied, "--validate-every", "1")
    assert "needs a split val; the data have train, test" in line


@pytest.mark.parametrize("command", ["evaluate", "predict", "export"])
def test_model_file_that_is_not_there(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rest = {"evaluate": ["--data", "streets"], "predict": [tmp_path], "export": []}[command]
    line = complaint(capsys, command, tmp_path / "absent.safetensors", *rest)
    assert "absent.safetensors" in line


def test_masks_with_more_classes_than_listed(
    copied: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "fit", no_training)
    (copied / "classes.txt").write_text("red\ngreen")
    line = complaint(capsys, "train", "--data", copied, *SMALL)
    assert re.search(r"masks/blocks-0-\d\.png has label values 2 in \d+ of \d+ pixels", line)


def test_corrupt_image_is_named_before_training(
    copied: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "fit", no_training)
    image = copied / "train" / "images" / "blocks-0-2.png"
    image.write_bytes(image.read_bytes()[:300])
    assert str(image) in complaint(capsys, "train", "--data", copied, *SMALL)


def test_corrupt_test_image_does_not_cost_the_trained_model(
    copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = copied / "test" / "images" / "blocks-2-1.png"
    image.write_bytes(image.read_bytes()[:300])
    output = tmp_path / "out"
    arguments = ["--data", str(copied), "--steps", "1", "--output", str(output), *SMALL]
    assert main(["train", *arguments]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("segtut: ")
    assert str(image) in last
    assert checkpoints.load_model(output / "model.safetensors")[1].classes == Blocks.classes


def test_model_of_another_data_set(
    copied: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (copied / "classes.txt").write_text("red\ngreen\nviolet")
    line = complaint(capsys, "evaluate", trained, "--data", copied)
    assert "trained on the classes red, green, blue" in line
    assert "has red, green, violet" in line


def test_run_on_other_data_is_not_resumed(
    data: Path, copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    interrupted_run(data, output)
    extra = copied / "train" / "masks" / "blocks-0-0.png"
    labels = np.array(Image.open(extra))
    Image.fromarray(np.where(labels == 1, 0, labels).astype(np.uint8)).save(extra)
    arguments = ["--data", copied, "--steps", "4", "--output", output, *SMALL]
    assert "run on other data" in complaint(capsys, "train", *arguments, "--resume")
    arguments = ["--data", data, "--steps", "5", "--output", output, *SMALL]
    assert "steps=4, this one has steps=5" in complaint(capsys, "train", *arguments, "--resume")


def interrupted_run(data: Path, output: Path) -> None:
    """Train 4 steps, and ask for an end in the second."""
    before = training._require_finite

    def interrupt(loss: torch.Tensor, step: int) -> None:
        before(loss, step)
        if step == 0:
            signal.raise_signal(signal.SIGINT)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "_require_finite", interrupt)
        arguments = ["--data", str(data), "--steps", "4", "--output", str(output), *SMALL]
        assert main(["train", *arguments]) == 130


def test_folder_that_holds_a_run_is_not_overwritten(
    data: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    interrupted_run(data, output)
    before = (output / "run.safetensors").read_bytes()
    arguments = ["train", "--data", data, "--steps", "4", *SMALL]
    line = complaint(capsys, *arguments, "--output", output)
    assert "holds a run already: add --resume" in line
    assert (output / "run.safetensors").read_bytes() == before
    for more in ([], ["--resume"]):
        line = complaint(capsys, *arguments, "--output", trained.parent, *more)
        assert "holds a finished run, model.safetensors" in line


def test_output_that_cannot_be_written_is_found_before_training(
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(training, "fit", no_training)
    arguments = ["train", "--data", data, *SMALL, "--output"]
    (tmp_path / "file").touch()
    for output in (tmp_path / "file", tmp_path / "file" / "out"):
        assert str(output) in complaint(capsys, *arguments, output)
    if os.geteuid() != 0:  # nothing is read-only to root
        (tmp_path / "locked").mkdir(mode=0o555)
        assert "Permission denied" in complaint(capsys, *arguments, tmp_path / "locked" / "out")


def test_full_disk(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    output = tmp_path / "out"
    arguments = ["--data", str(data), "--steps", "1", "--output", str(output), *SMALL]
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
        status = main(["train", *arguments])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert status == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == f"segtut: File too large ({output / 'run.safetensors'})"
    assert list(output.iterdir()) == []


# From pictures to labels


def scores_in(out: str) -> list[str]:
    return [line for line in out.splitlines() if re.search(r" \d\.\d+$", line)]


def test_scores_after_training_are_those_of_evaluation(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    arguments = ["--data", data, "--steps", "2", "--shorter", "16", "--output", output, *SMALL]
    first = run(capsys, "train", *arguments, "--validate-every", "1", "--weights", "log")
    assert [path.name for path in output.iterdir()] == ["model.safetensors"]
    file = tmp_path / "scores.json"
    model = output / "model.safetensors"
    second = run(capsys, "evaluate", model, "--data", data, "--json", file, "--device", "cpu")
    assert len(scores_in(first)) == 7
    assert scores_in(first) == scores_in(second)
    summary = json.loads(file.read_text())
    assert f"{summary['mean_iou']:.4f}" in second
    alone = run(capsys, "evaluate", model, "--data", data, "--score", "green", "--device", "cpu")
    iou = summary["per_class_iou"]["green"]
    assert re.search(rf"^mean iou +{iou:.4f}$", alone, re.MULTILINE)


def test_folder_without_splits_lends_a_part_for_the_test(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(data / "classes.txt", data / "train")
    arguments = ["--data", data / "train", "--steps", "1", "--output", tmp_path / "out", *SMALL]
    assert "mean iou" in run(capsys, "train", *arguments)
    model = tmp_path / "out" / "model.safetensors"
    again = run(capsys, "evaluate", model, "--data", data / "train", "--device", "cpu")
    assert "mean iou" in again


def test_record_is_complete(
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from segtut import results

    monkeypatch.chdir(tmp_path)
    arguments = ["--data", str(data), "--steps", "2", "--accumulate", "2", "--seed", "5", *SMALL]
    run(capsys, "train", *arguments, "--record", "a-run")
    (record,) = results.read("book/results", seed=5)
    assert record["name"] == "a-run"
    assert record["data"] == "blocks"
    assert record["samples"] == {"train": 4, "test": 3}
    assert record["splits"] == {"train": "train", "test": "test"}
    assert record["images"] == 2 * 2 * 2
    assert record["command"] == " ".join(["segtut", "train", *arguments, "--record", "a-run"])
    assert record["hardware"]["device"] == "cpu"
    assert (tmp_path / "runs" / "a-run" / "model.safetensors").exists()
    # A run into its default folder may be repeated.
    run(capsys, "train", *arguments, "--record", "a-run")


def small_streets(*arguments: str) -> list[str]:
    model = ["--model", "unet", "--option", "depth=2", "--option", "width=4"]
    plan = ["--steps", "1", "--batch-size", "2"]
    return ["train", "--data", "streets:2,size=16x16", *model, *plan, *arguments]


def test_network_is_scored_on_further_data_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    data = {"same": "streets:size=16x16", "empty": "streets:size=16x16,crowding=0"}
    further = [part for pair in data.items() for part in ("--also-score", "=".join(pair))]
    out = run(capsys, *small_streets(*further, "--record", "r"))
    record = json.loads(Path("book/results/r.json").read_text())
    assert record["also"]["same"] == record["scores"] != record["also"]["empty"]
    model = "runs/r/model.safetensors"
    run(capsys, "evaluate", model, "--data", data["empty"], "--json", "empty.json")
    evaluated = json.loads(Path("empty.json").read_text())
    assert evaluated["mean_iou"] == pytest.approx(record["also"]["empty"]["mean_iou"], abs=1e-9)
    assert re.search(rf"empty: mean iou +{evaluated['mean_iou']:.4f}", out)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--also-score", "fog"], "'fog' is not NAME=DATA"),
        (["--also-score", "few=streets:classes=2"], "the classes are background, traffic"),
        (["--also-score", "x=nowhere"], "no data at 'nowhere'"),
        (["--objective", "distillation"], "--objective distillation and --teacher FILE go"),
        (["--teacher", "model.safetensors"], "--objective distillation and --teacher FILE go"),
        (
            ["--objective", "copy_paste", "--objective-option", "classes=[8]"],
            "classes=[8] are to be pasted, expected at least one of 0 to 7",
        ),
    ],
)
def test_mistakes_of_further_options(
    arguments: list[str],
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("segtut.training.fit", no_training)
    assert text in complaint(capsys, *small_streets(*arguments))


def test_network_learns_from_a_teacher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run(capsys, *small_streets("--output", "teacher"))
    taught = ("--objective", "distillation", "--teacher", "teacher/model.safetensors")
    run(capsys, *small_streets(*taught, "--output", "student"))
    assert Path("student/model.safetensors").exists()
    few = small_streets(*taught)
    few[2] = "streets:2,size=16x16,classes=2"
    assert "was trained on the classes sky" in complaint(capsys, *few)


def record_of(
    data: Path, capsys: pytest.CaptureFixture[str], folder: Path, name: str, *arguments: str
) -> dict[str, Any]:
    """The record of a short run in ``folder``."""
    given = ["--data", str(data), "--steps", "2", "--shorter", "16", *SMALL, *arguments]
    run(capsys, "train", *given, "--record", name)
    record: dict[str, Any] = json.loads((folder / "book" / "results" / f"{name}.json").read_text())
    return record


def test_encoder_trained_on_pictures_is_where_the_next_run_begins(
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    pictures = ("--model", "masked_autoencoder", "--objective", "masked", "--option", "patch=4")
    record = record_of(data, capsys, tmp_path, "pretrained", *pictures)
    assert set(record["scores"]) == {"mean_squared_error", "mean_absolute_error"}
    assert record["objective"] == "masked"
    initial = tmp_path / "runs" / "pretrained" / "model.safetensors"
    begun: list[dict[str, torch.Tensor]] = []
    fit = training.fit

    def watched(model: torch.nn.Module, *arguments: Any, **options: Any) -> Any:
        begun.append({name: value.clone() for name, value in model.state_dict().items()})
        return fit(model, *arguments, **options)

    monkeypatch.setattr(training, "fit", watched)
    record = record_of(data, capsys, tmp_path, "tuned", "--initial", str(initial), "--labels", "2")
    assert record["samples"]["train"] == 2
    taught, _ = checkpoints.load_model(initial)
    encoder = {f"encoder.{name}": value for name, value in taught.encoder.state_dict().items()}
    assert all(torch.equal(begun[0][name], value) for name, value in encoder.items())


@pytest.mark.parametrize("objective", ["semi_adversarial", "mean_teacher", "cutmix"])
def test_few_labels_and_the_other_pictures(
    objective: str,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ("--labels", "1", "--objective", objective, "--objective-option")
    option = "start=0" if objective == "semi_adversarial" else "ramp=1"
    record = record_of(data, capsys, tmp_path, "few", *arguments, option)
    assert record["samples"]["train"] == 2 * 3  # the other three, and the one as often
    assert record["objective_options"] == {option[:-2]: int(option[-1])}
    assert 0 <= record["scores"]["mean_iou"] <= 1


def test_pictures_without_label_maps_are_used(
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(5):
        picture = np.random.default_rng(number).integers(0, 256, (20, 24, 3), dtype=np.uint8)
        (tmp_path / "more").mkdir(exist_ok=True)
        Image.fromarray(picture).save(tmp_path / "more" / f"{number}.png")
    cut = ("--objective", "cutmix", "--unlabeled", "more")
    assert record_of(data, capsys, tmp_path, "cut", *cut)["samples"]["train"] == 2 * 5
    assert record_of(data, capsys, tmp_path, "few", *cut, "--labels", "1")["samples"]["train"] == 16
    pictures = ("--model", "reconstructor", "--objective", "denoising", "--unlabeled", "more")
    assert record_of(data, capsys, tmp_path, "pictures", *pictures)["samples"]["train"] == 5


def test_drawn_pictures_are_read_by_a_judge(
    data: Path,
    trained: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ("--model", "label_to_image", "--objective", "translation", "--color", "0")
    layers = ("--objective-option", "layers=1")
    record = record_of(
        data, capsys, tmp_path, "drawn", *arguments, *layers, "--judge", str(trained)
    )
    scores = record["scores"]
    assert 0 < scores["mean_absolute_error"] < 1
    judge, _ = checkpoints.load_model(trained)
    test = InMemory(open_data(str(data))["test"], 16)
    real = training.evaluate(judge, test, device="cpu").summary()
    assert scores["real"]["mean_iou"] == pytest.approx(real["mean_iou"])
    name = "expected_calibration_error"  # moves even where the judge always gives one class
    assert scores[name] != scores["real"][name]
    other = tmp_path / "runs" / "drawn" / "model.safetensors"
    text = complaint(
        capsys, "train", "--data", "streets", "--steps", "1", *arguments, "--judge", other
    )
    assert "trained on the classes red, green, blue; the data have sky" in text


def test_prediction_of_a_folder_and_of_one_image(
    data: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = data / "test" / "images"
    run(capsys, "predict", trained, source, "--output", tmp_path / "all")
    names = {f"blocks-2-{i}_{what}.png" for i in range(3) for what in ("labels", "overlay")}
    assert {path.name for path in (tmp_path / "all").iterdir()} == names
    model, description = checkpoints.load_model(trained)
    pixels = torch.from_numpy(read_image(source / "blocks-2-1.png")).permute(2, 0, 1)
    expected = inference.predict(model, pixels, size=description.shorter).argmax(0)
    with Image.open(tmp_path / "all" / "blocks-2-1_labels.png") as labels:
        assert labels.mode == "P"
        assert np.array_equal(np.array(labels), expected.cpu().numpy())

    run(capsys, "predict", trained, source / "blocks-2-1.png", "--output", tmp_path / "one")
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == [
        "blocks-2-1_labels.png",
        "blocks-2-1_overlay.png",
    ]
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "all" / path.name).read_bytes()
    absent = complaint(capsys, "predict", trained, source / "absent.png")
    assert "absent.png" in absent


def test_prediction_names_the_image_that_is_damaged(
    copied: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = copied / "test" / "images"
    (images / "blocks-2-0.png").write_bytes(b"no picture")
    assert main(["predict", str(trained), str(images), "--output", str(tmp_path / "out")]) == 1
    assert "blocks-2-0.png" in capsys.readouterr().out
    assert len(list((tmp_path / "out").iterdir())) == 4


def test_export_computes_what_the_model_computes(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    path = tmp_path / "model.onnx"
    run(capsys, "export", trained, "--output", path, "--size", "16", "24")
    images = torch.rand(1, 3, 19, 11, generator=torch.Generator().manual_seed(0))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"images": images.numpy()})
    model, _ = checkpoints.load_model(trained)
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(logits), model(images), rtol=1e-3, atol=1e-4)


# Signals


def start_training(arguments: list[str]) -> subprocess.Popen[str]:
    """``python -m segtut train`` in a process group of its own; returns once steps are taken."""
    process = subprocess.Popen(
        [sys.executable, "-m", "segtut", "train", *arguments],
        cwd=Path(__file__).parents[1],
        # As many as here: sums over other threads have other last bits.
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    shown = ""
    while "loss=" not in shown:
        shown += (more := process.stderr.read(1))
        assert more, shown
    return process


def test_ctrl_c_leaves_a_checkpoint_that_leads_to_the_same_model(
    data: Path, tmp_path: Path
) -> None:
    options = [*SMALL, "--batch-size", "1", "--crop", "8", "8", "--steps", "200"]
    options += ["--precision", "fp32", "--option", "dropout=0.2"]
    arguments = ["--data", str(data), *options, "--output", str(tmp_path / "parts")]
    # With a worker, and to the whole group: so Ctrl-C in a terminal does it.
    process = start_training([*arguments, "--workers", "1"])
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 130, err
    assert "--resume` continues" in err.splitlines()[-1]
    assert "Traceback" not in err
    assert [path.name for path in (tmp_path / "parts").iterdir()] == ["run.safetensors"]
    step = checkpoints.read(tmp_path / "parts" / "run.safetensors")[1]["step"]
    assert 0 < step < 200

    assert main(["train", *arguments, "--resume"]) == 0
    whole = ["--data", str(data), *options, "--output", str(tmp_path / "whole")]
    assert main(["train", *whole]) == 0
    ours, theirs = (tmp_path / name / "model.safetensors" for name in ("parts", "whole"))
    assert ours.read_bytes() == theirs.read_bytes()


def test_sigterm_leaves_a_checkpoint(data: Path, tmp_path: Path) -> None:
    arguments = ["--data", str(data), *SMALL, "--steps", "1000000", "--output", str(tmp_path)]
    # As a cluster's scheduler does it: to every process of the run, workers included.
    process = start_training([*arguments, "--workers", "1"])
    os.killpg(process.pid, signal.SIGTERM)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["run.safetensors"]
    assert checkpoints.read(tmp_path / "run.safetensors")[1]["step"] > 0


def test_interruption_outside_of_training_exits_with_130(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(data: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("segtut.cli.open_data", interrupted)
    assert main(["data", "check", "streets"]) == 130
    assert capsys.readouterr().err == "segtut: interrupted\n"


# Real data


@pytest.mark.parametrize("name", ["camvid", "voc2012_animals", "facades"])
def test_real_data_are_read(name: str) -> None:
    root = os.environ.get("SEGTUT_DATA")
    if not root:
        pytest.skip("SEGTUT_DATA is not set: no real data were read")
    if not (Path(root) / name).is_dir():
        pytest.skip(f"there is no {name} below SEGTUT_DATA: it was not read")
    splits = open_data(name)
    assert {"train", "val"} <= splits.keys()
    for dataset in splits.values():
        for index in (0, len(dataset) - 1):
            image, mask = dataset[index]
            assert image.shape == (3, *mask.shape)
            assert image.dtype == torch.uint8
            assert set(mask.unique().tolist()) <= {*range(dataset.num_classes), VOID}
            assert len(mask.unique()) > 1
