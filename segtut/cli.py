"""The command line: segtut data | train | evaluate | predict | export."""

import argparse
import json
import os
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import torch

from segtut import checkpoints, inference, results, training
from segtut.data import Subset, doctor
from segtut.data.dataset import SegmentationDataset

DATA_VARIABLE = "SEGTUT_DATA"
INTERRUPTED = 130
"""What a shell expects of a command that Ctrl-C has ended."""

DATA_HELP = (
    "a folder with CamVid, PASCAL VOC, facades, or your own images/ and masks/; or the name of "
    f"such a folder below ${DATA_VARIABLE}; or `streets`, which is drawn and needs no files"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0, 1 for bad input, 130 after Ctrl-C."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(given)
    options.command_line = shlex.join(["segtut", *given])
    try:
        return int(options.run(options))
    except (ValueError, FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        print(f"segtut: {error}", file=sys.stderr)
    except ModuleNotFoundError as error:
        print(
            f"segtut: this command needs the package {error.name!r}; "
            f"install it with: pip install {error.name}",
            file=sys.stderr,
        )
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        print(f"segtut: {error.strerror or error}{where}", file=sys.stderr)
    except KeyboardInterrupt:
        print("segtut: interrupted", file=sys.stderr)
        return INTERRUPTED
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="segtut",
        description="Fetch and check segmentation data, train a network, score it, use it.",
        epilog="A first try that needs no data: segtut train --data streets --steps 300",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_data(commands)
    _add_train(commands)
    _add_evaluate(commands)
    _add_predict(commands)
    _add_export(commands)
    return parser


def _command(commands: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=text,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    command.set_defaults(run=run)
    return command


# data


def _add_data(commands: Any) -> None:
    data = commands.add_parser("data", help="fetch, check or show a data set")
    actions = data.add_subparsers(title="actions", required=True, metavar="ACTION")
    fetch = _command(actions, "fetch", _fetch, "Download a data set, check it and unpack it.")
    fetch.add_argument("name", help="voc2012, sbd, camvid, facades or pets")
    fetch.add_argument("--root", type=Path, default=Path("data"), help="folder to put it in")
    check = _command(actions, "check", _check, "Look at a data set and say what is wrong with it.")
    check.add_argument("data", help=DATA_HELP)
    show = _command(actions, "show", _show, "Draw some samples with their label maps.")
    show.add_argument("data", help=DATA_HELP)
    show.add_argument("--split", help="which split (the first one by default)")
    show.add_argument("--number", type=int, default=4, help="how many samples")
    show.add_argument("--output", type=Path, default=Path("samples.png"), help="picture to write")


def _fetch(options: argparse.Namespace) -> int:
    from segtut.data.download import fetch

    print(fetch(options.name, options.root))
    return 0


def _check(options: argparse.Namespace) -> int:
    reports = doctor.check_splits(open_data(options.data))
    for name, report in reports.items():
        print(f"{name}\n{report}\n")
    return int(any(report.has_errors for report in reports.values()))


def _show(options: argparse.Namespace) -> int:
    from segtut import plots

    splits = open_data(options.data)
    split = options.split or next(iter(splits))
    dataset = _split(splits, split)
    samples = [dataset[index] for index in range(min(options.number, len(dataset)))]
    plots.use_style()
    figure = plots.show_samples(samples, dataset.palette, dataset.classes)
    figure.savefig(options.output)
    print(options.output)
    return 0


def open_data(data: str) -> dict[str, SegmentationDataset]:
    """The splits of a data set, by name; see ``DATA_HELP`` for what ``data`` may be.

    Raises ``FileNotFoundError`` where there is no such folder, saying where it was looked for.
    """
    if data == "streets":
        return _streets()
    folder = Path(data)
    if not folder.exists() and os.environ.get(DATA_VARIABLE):
        folder = Path(os.environ[DATA_VARIABLE]) / data
    if not folder.exists():
        raise FileNotFoundError(
            f"no data at {data!r}: expected {DATA_HELP}. ${DATA_VARIABLE} is "
            + (os.environ.get(DATA_VARIABLE) or "not set")
        )
    return doctor.open_folder(folder)


def _streets() -> dict[str, SegmentationDataset]:
    from segtut.data.streets import Streets

    return {
        "train": Streets("train", n=400),
        "val": Streets("val", n=100),
        "test": Streets("test", n=200),
    }


def _names(text: str | None) -> tuple[str, ...] | None:
    return tuple(name.strip() for name in text.split(",")) if text else None


def _split(splits: dict[str, SegmentationDataset], name: str) -> SegmentationDataset:
    if name not in splits:
        raise ValueError(f"no split {name!r}; the data have {', '.join(splits)}")
    return splits[name]


def _training_and_test(
    splits: dict[str, SegmentationDataset], train: str, test: str | None, seed: int
) -> tuple[SegmentationDataset, SegmentationDataset]:
    """The sets to train and to score on; a folder without splits lends a fifth of itself."""
    if len(splits) == 1 and test is None and train not in splits:
        (whole,) = splits.values()
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(whole), generator=generator).tolist()
        held = max(1, len(whole) // 5)
        if len(whole) < 2:
            raise ValueError("one sample cannot be split into training and test: add images")
        return Subset(whole, sorted(order[held:])), Subset(whole, sorted(order[:held]))
    return _split(splits, train), _split(splits, test or _test_split(splits, train))


def _split_to_score(splits: dict[str, SegmentationDataset]) -> str:
    """The test split, else the validation split, else the only one there is."""
    return next((name for name in ("test", "val") if name in splits), next(iter(splits)))


def _test_split(splits: dict[str, SegmentationDataset], train: str) -> str:
    for name in ("test", "val"):
        if name in splits and name != train:
            return name
    raise ValueError(f"no split to score on among {', '.join(splits)}: give --test-split")


# train


def _add_train(commands: Any) -> None:
    train = _command(commands, "train", _train, "Train a network and score it on the test split.")
    train.add_argument("--data", required=True, help=DATA_HELP)
    train.add_argument("--train-split", default="train", help="split to train on")
    train.add_argument("--test-split", help="split to score (default: test, else val)")
    train.add_argument("--model", default="unet", help="see segtut.models.available()")
    train.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the model, such as width=32; may be repeated",
    )
    _add_plan(train)
    train.add_argument("--loss", default="ce", help="ce, dice, focal, tversky, lovasz, or a sum")
    train.add_argument(
        "--weights", default="none", choices=("none", *_WEIGHTS), help="class weights of the loss"
    )
    train.add_argument(
        "--weight-power", type=float, default=1.0, help="exponent that softens the class weights"
    )
    train.add_argument(
        "--loss-stride", type=int, default=1, help="compute the loss on every n-th row and column"
    )
    train.add_argument("--shorter", type=int, help="resize images to this shorter side")
    train.add_argument(
        "--crop", type=int, nargs=2, metavar=("H", "W"), help="size of a training crop"
    )
    train.add_argument(
        "--scale",
        type=float,
        nargs=2,
        default=(0.7, 1.5),
        metavar=("LOW", "HIGH"),
        help="range of the random magnification of a crop",
    )
    train.add_argument("--color", type=float, default=0.3, help="strength of the color jitter")
    _add_views(train)
    train.add_argument("--score", help="class names that the mean IoU averages over")
    train.add_argument("--validate-every", type=int, help="steps between scores on the val split")
    train.add_argument("--output", type=Path, help="folder to write (default: runs/NAME of record)")
    train.add_argument("--resume", action="store_true", help="continue the run in --output")
    train.add_argument("--record", metavar="NAME", help="write book/results/NAME.json")
    train.add_argument("--precision", default="auto", choices=get_args(training.Precision))
    train.add_argument("--compile", action="store_true", help="torch.compile, on an accelerator")
    train.add_argument("--workers", type=int, default=0, help="processes that prepare samples")
    train.add_argument("--device", help="cpu, cuda or mps (default: the best there is)")


def _add_views(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--flip", action="store_true", help="average over mirrored pictures at test"
    )
    command.add_argument(
        "--test-scales",
        type=float,
        nargs="+",
        default=[1.0],
        metavar="FACTOR",
        help="average over pictures resized by these factors at test",
    )


def _add_plan(train: argparse.ArgumentParser) -> None:
    train.add_argument("--steps", type=int, default=1000, help="optimizer steps")
    train.add_argument("--batch-size", type=int, default=16, help="images a step, all processes")
    train.add_argument("--accumulate", type=int, default=1, help="batches that make one step")
    train.add_argument("--learning-rate", type=float, default=3e-3, help="its highest value")
    train.add_argument("--weight-decay", type=float, default=1e-2, help="of kernels, not biases")
    train.add_argument("--schedule", default="one_cycle", choices=get_args(training.Schedule))
    train.add_argument("--warmup", type=float, default=0.1, help="share of steps that warm up")
    train.add_argument("--average", type=float, default=0.99, help="decay of averaged weights")
    train.add_argument("--seed", type=int, default=0, help="of weights, order and augmentation")


def _train(options: argparse.Namespace) -> int:
    from accelerate import PartialState

    from segtut.data.transforms import standard_augmentation
    from segtut.data.views import InMemory
    from segtut.models import count_parameters

    plan = _plan(options)
    _require_device(options.device)
    splits = open_data(options.data)
    train_set, test_set = _training_and_test(
        splits, options.train_split, options.test_split, options.seed
    )
    if len(splits) > 1:
        options.test_split = options.test_split or _test_split(splits, options.train_split)
    scored = _names(options.score)
    _require_classes(scored, test_set.classes)
    if options.validate_every is not None and "val" not in splits:
        raise ValueError(f"--validate-every needs a split val; the data have {', '.join(splits)}")
    model_file, checkpoint = _output_files(options)
    description = checkpoints.Description(
        model=options.model,
        classes=train_set.classes,
        palette=train_set.palette,
        options=_model_options(options.option),
        shorter=options.shorter,
    )
    torch.manual_seed(options.seed)
    try:
        model = description.build()
    except TypeError as error:
        raise ValueError(
            f"the model {options.model} cannot be built with {description.options}: {error}"
        ) from error
    decoded = InMemory(train_set, options.shorter)
    crop = tuple(options.crop) if options.crop else decoded.smallest_size()
    _require_writable(options.output)
    history = training.fit(
        model,
        decoded,
        plan,
        loss=_loss(options, decoded),
        transform=standard_augmentation(crop, tuple(options.scale), options.color),
        validation_set=splits.get("val") if options.validate_every else None,
        validate_every=options.validate_every,
        shorter=options.shorter,
        checkpoint=checkpoint,
        resume=options.resume,
        precision=options.precision,
        compile=options.compile,
        workers=options.workers,
        device=options.device,
    )
    is_main = PartialState().is_main_process
    if history.interrupted:
        if is_main:
            print(f"stopped early; `{options.command_line} --resume` continues", file=sys.stderr)
        return INTERRUPTED
    if is_main:
        checkpoints.save_model(model_file, model, description)
    scores = training.evaluate(
        model,
        test_set,
        shorter=options.shorter,
        flip=options.flip,
        scales=options.test_scales,
        precision=options.precision,
        device=options.device,
    )
    if is_main:
        summary = scores.summary(scored)
        _print_scores(summary)
        print(f"{count_parameters(model):,} parameters, {history.seconds:.0f} s, {model_file}")
        if options.record:
            record = _record(options, model, train_set, test_set, history, summary)
            path = Path("book/results") / f"{options.record}.json"
            results.write(path, record)
            print(path)
        checkpoint.unlink(missing_ok=True)
    return 0


def _plan(options: argparse.Namespace) -> training.Plan:
    return training.Plan(
        steps=options.steps,
        batch_size=options.batch_size,
        accumulate=options.accumulate,
        learning_rate=options.learning_rate,
        weight_decay=options.weight_decay,
        schedule=options.schedule,
        warmup=options.warmup,
        average=options.average,
        seed=options.seed,
    )


def _output_files(options: argparse.Namespace) -> tuple[Path, Path]:
    """The model file and the checkpoint to write; only a default folder may be written anew."""
    chosen = options.output is not None
    if not chosen:
        options.output = Path("runs") / (options.record or "latest")
    model_file, checkpoint = (
        options.output / "model.safetensors",
        options.output / "run.safetensors",
    )
    if checkpoint.exists() and not options.resume:
        raise ValueError(
            f"{options.output} holds a run already: add --resume to continue it, or choose another "
            "--output"
        )
    if chosen and model_file.exists() and not checkpoint.exists():
        raise ValueError(
            f"{options.output} holds a finished run, {model_file.name}: choose another --output, "
            "or remove it to train anew"
        )
    return model_file, checkpoint


def _require_writable(folder: Path) -> None:
    """Make the folder and write there once: better to fail now than at the first checkpoint."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def _require_device(name: str | None) -> None:
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"--device {name} cannot be used here: {reason}") from error


def _require_classes(names: Sequence[str] | None, classes: Sequence[str]) -> None:
    unknown = sorted(set(names or ()) - set(classes))
    if unknown:
        raise ValueError(f"--score names {unknown}; the classes are {', '.join(classes)}")


def _model_options(pairs: Sequence[str]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"--option {pair!r} is not NAME=VALUE, such as width=32")
        try:
            options[name] = json.loads(value.lower() if value in ("True", "False") else value)
        except json.JSONDecodeError:
            options[name] = value
    return options


_WEIGHTS = ("median", "log")


def _loss(options: argparse.Namespace, dataset: SegmentationDataset) -> torch.nn.Module:
    from segtut.losses import (
        ThinnedLoss,
        build_loss,
        class_pixel_counts,
        inverse_log_weights,
        median_frequency_weights,
    )

    weight = None
    if options.weights != "none":
        formula = {"median": median_frequency_weights, "log": inverse_log_weights}[options.weights]
        weight = formula(class_pixel_counts(dataset)).pow(options.weight_power)
    loss = build_loss(options.loss, dataset.num_classes, weight=weight)
    return ThinnedLoss(loss, options.loss_stride) if options.loss_stride != 1 else loss


def _record(
    options: argparse.Namespace,
    model: torch.nn.Module,
    train_set: SegmentationDataset,
    test_set: SegmentationDataset,
    history: training.History,
    summary: dict[str, Any],
) -> dict[str, Any]:
    from segtut.models import count_parameters

    device = next(model.parameters()).device
    return {
        "data": Path(options.data).name,
        "splits": {"train": options.train_split, "test": options.test_split},
        "data_sha256": f"{train_set.fingerprint()} {test_set.fingerprint()}",
        "samples": {"train": len(train_set), "test": len(test_set)},
        "model": options.model,
        "model_options": _model_options(options.option),
        "seed": options.seed,
        "command": options.command_line,
        "commit": results.commit(),
        "versions": results.versions(),
        "hardware": results.hardware(device),
        "parameters": count_parameters(model),
        "images": history.images,
        "seconds": history.seconds,
        "images_per_second": history.images_per_second,
        "peak_memory_bytes": results.peak_memory_bytes(device),
        "scores": summary,
    }


def _print_scores(summary: dict[str, Any]) -> None:
    for name, value in summary["per_class_iou"].items():
        print(f"  {name:20s} {'absent' if value is None else f'{value:.3f}'}")
    for name in ("mean_iou", "boundary_iou", "pixel_accuracy", "expected_calibration_error"):
        if name in summary:
            print(f"{name.replace('_', ' '):28s} {summary[name]:.4f}")


# evaluate, predict, export


def _add_evaluate(commands: Any) -> None:
    evaluate = _command(commands, "evaluate", _evaluate, "Score a trained network on a data set.")
    evaluate.add_argument("model", type=Path, help="model.safetensors, as `segtut train` writes it")
    evaluate.add_argument("--data", required=True, help=DATA_HELP)
    evaluate.add_argument("--split", help="split to score (default: test, else val, else all)")
    _add_views(evaluate)
    evaluate.add_argument("--score", help="class names that the mean IoU averages over")
    evaluate.add_argument("--json", type=Path, help="write the scores to this file, too")
    evaluate.add_argument("--device", help="cpu, cuda or mps (default: the best there is)")


def _evaluate(options: argparse.Namespace) -> int:
    _require_device(options.device)
    model, description = checkpoints.load_model(options.model)
    splits = open_data(options.data)
    dataset = _split(splits, options.split or _split_to_score(splits))
    if dataset.classes != description.classes:
        raise ValueError(
            f"{options.model} was trained on the classes {', '.join(description.classes)}; "
            f"{options.data} has {', '.join(dataset.classes)}"
        )
    scored = _names(options.score)
    _require_classes(scored, dataset.classes)
    scores = training.evaluate(
        model,
        dataset,
        shorter=description.shorter,
        flip=options.flip,
        scales=options.test_scales,
        device=options.device,
    )
    summary = scores.summary(scored)
    _print_scores(summary)
    if options.json:
        options.json.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return 0


def _add_predict(commands: Any) -> None:
    predict = _command(
        commands, "predict", _predict, "Label images: an indexed PNG and an overlay for each."
    )
    predict.add_argument("model", type=Path, help="model.safetensors, as `segtut train` writes it")
    predict.add_argument("source", type=Path, help="an image, or a folder of images")
    predict.add_argument("--output", type=Path, default=Path("predictions"), help="folder to write")
    predict.add_argument(
        "--tile", type=int, nargs=2, metavar=("H", "W"), help="predict in overlapping tiles"
    )
    predict.add_argument("--flip", action="store_true", help="average over mirrored pictures")


def _predict(options: argparse.Namespace) -> int:
    model, description = checkpoints.load_model(options.model)
    report = inference.predict_folder(
        model,
        options.source,
        options.output,
        description.palette,
        size=description.shorter,
        tile=tuple(options.tile) if options.tile else None,
        flip=options.flip,
    )
    print(report)
    return int(bool(report.failed))


def _add_export(commands: Any) -> None:
    export = _command(commands, "export", _export, "Write a trained network as ONNX, and check it.")
    export.add_argument("model", type=Path, help="model.safetensors, as `segtut train` writes it")
    export.add_argument("--output", type=Path, default=Path("model.onnx"), help="file to write")
    export.add_argument(
        "--size", type=int, nargs=2, default=(192, 256), metavar=("H", "W"), help="input size"
    )


def _export(options: argparse.Namespace) -> int:
    model, _ = checkpoints.load_model(options.model)
    difference = inference.export_onnx(model, options.output, tuple(options.size))
    print(f"{options.output}: logits differ from PyTorch's by at most {difference:.1e}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
