"""The command line: segtut data | train | evaluate | predict | export | study."""

import argparse
import json
import shlex
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import torch

from segtut import checkpoints, inference, objectives, results, scoring, training
from segtut.data import InMemory, PartlyLabeled, PictureFolder, Subset, doctor
from segtut.data.dataset import SegmentationDataset
from segtut.data.opening import DATA_HELP, open_data
from segtut.objectives import Objective
from segtut.optimizers import OptimizerName
from segtut.precision import Precision

INTERRUPTED = 130
"""What a shell expects of a command that Ctrl-C has ended."""


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
    _add_study(commands)
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
    data = commands.add_parser("data", help="fetch, check, convert or show a data set")
    actions = data.add_subparsers(title="actions", required=True, metavar="ACTION")
    fetch = _command(actions, "fetch", _fetch, "Download a data set, check it and unpack it.")
    fetch.add_argument("name", help="voc2012, sbd, camvid, facades or pets")
    fetch.add_argument("--root", type=Path, default=Path("data"), help="folder to put it in")
    check = _command(actions, "check", _check, "Look at a data set and say what is wrong with it.")
    check.add_argument("data", help=DATA_HELP)
    _add_convert(actions)
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


def _add_convert(actions: Any) -> None:
    convert = _command(
        actions, "convert", _convert, "Turn outlines drawn with labelme into images/ and masks/."
    )
    convert.add_argument("folder", type=Path, help="labelme's JSON files and their pictures")
    convert.add_argument("--output", type=Path, required=True, help="new folder to write")
    convert.add_argument(
        "--classes",
        type=Path,
        help="file with a class a line, class 0 first, as labelme's --labels takes it; a class "
        "background holds what no outline covers (default: the labels found)",
    )


def _convert(options: argparse.Namespace) -> int:
    from segtut.data import labelme

    classes = labelme.read_class_names(options.classes) if options.classes else None
    conversion = labelme.convert(options.folder, options.output, classes)
    print(conversion)
    return int(conversion.has_errors)


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
    _add_objective(train)
    train.add_argument(
        "--loss", default="ce", help="ce, dice, focal, tversky, lovasz, l1, or a sum: ce+dice"
    )
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
    train.add_argument(
        "--also-score",
        action="append",
        default=[],
        metavar="NAME=DATA",
        help="further data of the same classes to score on when training is over, each under a "
        "name of your own; may be repeated",
    )
    train.add_argument(
        "--also-views",
        action="store_true",
        help="score plain pictures, and a second time with --flip and --test-scales, under `views`",
    )
    train.add_argument("--validate-every", type=int, help="steps between scores on the val split")
    train.add_argument("--output", type=Path, help="folder to write (default: runs/NAME of record)")
    train.add_argument("--resume", action="store_true", help="continue the run in --output")
    train.add_argument(
        "--stop-after",
        type=int,
        metavar="N",
        help="stop after N steps; --resume goes on from there",
    )
    train.add_argument("--record", metavar="NAME", help="write book/results/NAME.json")
    train.add_argument(
        "--field",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a further field of the record, such as study=optimizers; may be repeated",
    )
    train.add_argument("--precision", default="auto", choices=get_args(Precision))
    train.add_argument("--compile", action="store_true", help="torch.compile, on an accelerator")
    train.add_argument("--workers", type=int, default=0, help="processes that prepare samples")
    train.add_argument("--device", help="cpu, cuda or mps (default: the best there is)")


def _add_objective(train: argparse.ArgumentParser) -> None:
    train.add_argument(
        "--objective",
        default="supervised",
        help="what a step minimizes, see segtut.objectives.available()",
    )
    train.add_argument(
        "--objective-option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the objective, such as weight=0.1; may be repeated",
    )
    train.add_argument(
        "--labels",
        type=int,
        metavar="N",
        help="keep the labels of N samples, drawn by --seed; those without labels are used by "
        "semi_adversarial, mean_teacher and cutmix, and left out by the others",
    )
    train.add_argument(
        "--unlabeled",
        type=Path,
        metavar="DIR",
        help="a folder of further pictures, without label maps, for the same three; or, for "
        "autoencoder, denoising and masked, the pictures to train on",
    )
    train.add_argument(
        "--initial", type=Path, help="model.safetensors whose encoder the network begins with"
    )
    train.add_argument(
        "--teacher",
        type=Path,
        help="model.safetensors of the network that --objective distillation learns from",
    )
    train.add_argument(
        "--judge",
        type=Path,
        help="model.safetensors that labels the pictures a label_to_image network draws",
    )


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
    train.add_argument(
        "--optimizer",
        default="adamw",
        choices=get_args(OptimizerName),
        help="muon orthogonalizes the steps of the kernels: more is learned in few steps",
    )
    train.add_argument("--schedule", default="one_cycle", choices=get_args(training.Schedule))
    train.add_argument("--warmup", type=float, default=0.1, help="share of steps that warm up")
    train.add_argument("--average", type=float, default=0.99, help="decay of averaged weights")
    train.add_argument("--seed", type=int, default=0, help="of weights, order and augmentation")


def _train(options: argparse.Namespace) -> int:
    from accelerate import PartialState

    from segtut.data.transforms import standard_augmentation
    from segtut.models import count_parameters, transfer_encoder

    plan = _plan(options)
    fields = _record_fields(options)
    _require_device(options.device)
    splits = open_data(options.data)
    train_set, test_set = _training_and_test(
        splits, options.train_split, options.test_split, options.seed
    )
    if len(splits) > 1:
        options.test_split = options.test_split or _test_split(splits, options.train_split)
    if options.validate_every is not None and "val" not in splits:
        raise ValueError(f"--validate-every needs a split val; the data have {', '.join(splits)}")
    model_file, checkpoint = _output_files(options)
    score = _scoring(options, train_set, test_set)
    also = _also_scored(options, train_set)
    teacher = _teacher(options, train_set)
    sources = {"train": train_set.fingerprint(), "test": test_set.fingerprint()}
    train_set = _labeled(options, train_set)
    description = _description(options, train_set)
    torch.manual_seed(options.seed)
    try:
        model = description.build()
    except TypeError as error:
        raise ValueError(
            f"the model {options.model} cannot be built with {description.options}: {error}"
        ) from error
    if options.initial:
        transfer_encoder(checkpoints.load_model(options.initial)[0], model)
    decoded = InMemory(train_set, options.shorter)
    crop = tuple(options.crop) if options.crop else decoded.smallest_size()
    objective = _objective(options, model, decoded, teacher)
    _require_writable(options.output)
    history = training.fit(
        model,
        decoded,
        plan,
        objective=objective,
        transform=standard_augmentation(crop, tuple(options.scale), options.color),
        validation_set=splits.get("val") if options.validate_every else None,
        validate_every=options.validate_every,
        shorter=options.shorter,
        checkpoint=checkpoint,
        resume=options.resume,
        stop_after=options.stop_after,
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
    summary = score(model)
    further = {name: _segmentation_scores(options, dataset)(model) for name, dataset in also}
    if options.also_views:
        further["views"] = _segmentation_scores(options, test_set, views=True)(model)
    if is_main:
        _print_scores(summary)
        for name, scores in further.items():
            print(f"{name + ': mean iou':28s} {scores['mean_iou']:.4f}")
        print(f"{count_parameters(model):,} parameters, {history.seconds:.0f} s, {model_file}")
        if options.record:
            record = _record(options, model, train_set, test_set, history, summary)
            record |= {
                "sources_sha256": sources,
                "code": results.code([*model.modules(), *objective.modules()]),
                **fields,
            }
            if further:
                record["also"] = further
            path = Path("book/results") / f"{options.record}.json"
            results.write(path, record)
            print(path)
        checkpoint.unlink(missing_ok=True)
    return 0


def _labeled(options: argparse.Namespace, train_set: SegmentationDataset) -> SegmentationDataset:
    """The training set with the labels of ``--labels`` samples, the others without or left out."""
    uses_unlabeled = options.objective in _USES_UNLABELED
    further: SegmentationDataset | None = None
    if options.unlabeled is not None:
        if not uses_unlabeled and options.objective not in _FROM_PICTURES:
            raise ValueError(
                f"--objective {options.objective} has no use for --unlabeled pictures; "
                f"{', '.join(_USES_UNLABELED + _FROM_PICTURES)} have"
            )
        further = PictureFolder(options.unlabeled, train_set.classes, train_set.palette)
        if not uses_unlabeled:
            return further
    labels = len(train_set) if options.labels is None else options.labels
    if not 1 <= labels <= len(train_set):
        raise ValueError(f"--labels {labels} is not among 1 to {len(train_set)} samples")
    generator = torch.Generator().manual_seed(options.seed)
    order = torch.randperm(len(train_set), generator=generator).tolist()
    chosen = sorted(order[:labels])
    if uses_unlabeled:
        if further is None and labels == len(train_set):
            raise ValueError(
                f"--objective {options.objective} needs pictures without labels: give --labels N "
                f"below {labels}, or --unlabeled DIR"
            )
        return PartlyLabeled(train_set, chosen, further)
    return train_set if options.labels is None else Subset(train_set, chosen)


def _description(
    options: argparse.Namespace, train_set: SegmentationDataset
) -> checkpoints.Description:
    classes, palette = train_set.classes, train_set.palette
    if options.model in _RETURNS_ITS_PICTURE:
        classes, palette = _COLORS, ((255, 0, 0), (0, 255, 0), (0, 0, 255))
    return checkpoints.Description(
        model=options.model,
        classes=classes,
        palette=palette,
        options=_options("--option", options.option),
        shorter=options.shorter,
    )


_COLORS = ("red", "green", "blue")
_RETURNS_ITS_PICTURE = ("reconstructor", "masked_autoencoder")
_FROM_PICTURES = ("autoencoder", "denoising", "masked")
_USES_UNLABELED = ("semi_adversarial", "mean_teacher", "cutmix")


def _scoring(
    options: argparse.Namespace, train_set: SegmentationDataset, test_set: SegmentationDataset
) -> Callable[[torch.nn.Module], dict[str, Any]]:
    """How the trained network will be scored; what does not fit is said before it is trained."""
    pictures = options.model in _RETURNS_ITS_PICTURE
    if pictures != (options.objective in _FROM_PICTURES):
        raise ValueError(
            f"--model {options.model} does not go with --objective {options.objective}: "
            f"{', '.join(_FROM_PICTURES)} train {' or '.join(_RETURNS_ITS_PICTURE)}"
        )
    if (options.model == "masked_autoencoder") != (options.objective == "masked"):
        raise ValueError("--objective masked and --model masked_autoencoder go together")
    if (options.model == "label_to_image") != (options.objective == "translation"):
        raise ValueError("--objective translation and --model label_to_image go together")
    if pictures:
        return lambda model: scoring.reconstruction(model, test_set, options.shorter)
    judge = _trained_on(options.judge, test_set) if options.judge else None
    if options.model == "label_to_image":
        return lambda model: scoring.translation(
            model, judge, test_set, options.shorter, options.device
        )
    return _segmentation_scores(options, test_set)


def _segmentation_scores(
    options: argparse.Namespace, dataset: SegmentationDataset, views: bool | None = None
) -> Callable[[torch.nn.Module], dict[str, Any]]:
    scored = _names(options.score)
    _require_classes(scored, dataset.classes)
    views = not options.also_views if views is None else views
    return lambda model: training.evaluate(
        model,
        dataset,
        shorter=options.shorter,
        flip=options.flip and views,
        scales=options.test_scales if views else [1.0],
        precision=options.precision,
        device=options.device,
    ).summary(scored)


def _also_scored(
    options: argparse.Namespace, train_set: SegmentationDataset
) -> list[tuple[str, SegmentationDataset]]:
    """What `--also-score` names: the split of each that `evaluate` would score."""
    if options.also_score and options.objective in (*_FROM_PICTURES, "translation"):
        raise ValueError(f"--also-score does not go with --objective {options.objective}")
    further = []
    for pair in options.also_score:
        name, equals, data = pair.partition("=")
        if not (name and equals and data):
            raise ValueError(
                f"--also-score {pair!r} is not NAME=DATA, as in fog=streets:weather=fog"
            )
        splits = open_data(data)
        dataset = splits[_split_to_score(splits)]
        if dataset.classes != train_set.classes:
            raise ValueError(
                f"--also-score {pair}: the classes are {', '.join(dataset.classes)}; those to "
                f"train on are {', '.join(train_set.classes)}"
            )
        further.append((name, dataset))
    return further


def _teacher(options: argparse.Namespace, train_set: SegmentationDataset) -> torch.nn.Module | None:
    """The network of `--teacher`, which distillation needs and nothing else takes."""
    if (options.teacher is not None) != (options.objective == "distillation"):
        raise ValueError("--objective distillation and --teacher FILE go together")
    return options.teacher and _trained_on(options.teacher, train_set)


def _trained_on(file: Path, dataset: SegmentationDataset) -> torch.nn.Module:
    """A trained network; raises ValueError if its classes are not those of the data."""
    model, description = checkpoints.load_model(file)
    if description.classes != dataset.classes:
        raise ValueError(
            f"{file} was trained on the classes {', '.join(description.classes)}; "
            f"the data have {', '.join(dataset.classes)}"
        )
    return model


def _plan(options: argparse.Namespace) -> training.Plan:
    return training.Plan(
        steps=options.steps,
        batch_size=options.batch_size,
        accumulate=options.accumulate,
        learning_rate=options.learning_rate,
        weight_decay=options.weight_decay,
        optimizer=options.optimizer,
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


def _options(flag: str, pairs: Sequence[str]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"{flag} {pair!r} is not NAME=VALUE, such as width=32")
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


def _objective(
    options: argparse.Namespace,
    model: torch.nn.Module,
    dataset: SegmentationDataset,
    teacher: torch.nn.Module | None,
) -> Objective:
    chosen = _options("--objective-option", options.objective_option)
    if teacher is not None:
        chosen["teacher"] = teacher
    loss = _loss(options, dataset)
    return objectives.build(options.objective, model, dataset.num_classes, loss, **chosen)


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
        "model_options": _options("--option", options.option),
        "objective": options.objective,
        "objective_options": _options("--objective-option", options.objective_option),
        "seed": options.seed,
        "command": options.command_line.removesuffix(" --resume"),
        "first_losses": history.loss[: results.FIRST_LOSSES],
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


def _record_fields(options: argparse.Namespace) -> dict[str, Any]:
    """What `--field` adds to the record; a run that measured something may not be renamed."""
    fields = _options("--field", options.field)
    taken = sorted(set(fields) & {*results.FIELDS, "first_losses", "code", "sources_sha256"})
    if taken:
        raise ValueError(f"--field {taken[0]}: every record has that field, measured by the run")
    return fields


def _print_scores(summary: dict[str, Any]) -> None:
    for name, value in summary.get("per_class_iou", {}).items():
        print(f"  {name:20s} {'absent' if value is None else f'{value:.3f}'}")
    for name, value in summary.items():
        if isinstance(value, float):
            print(f"{name.replace('_', ' '):28s} {value:.4f}")


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


# study


def _add_study(commands: Any) -> None:
    study = commands.add_parser("study", help="run declared comparisons, and read them")
    actions = study.add_subparsers(title="actions", required=True, metavar="ACTION")
    run = _command(actions, "run", _study_run, "Run what is missing of some studies, or of all.")
    run.add_argument("name", nargs="*", help="file names in book/studies without .toml")
    run.add_argument("--jobs", type=int, default=2, help="threads in use; most runs take one")
    show = _command(actions, "show", _study_show, "Print what came out, with the rates chosen.")
    show.add_argument("name", help="a file name in book/studies without .toml")
    show.add_argument("--score", help="another score, such as also.views.mean_iou")
    _command(actions, "list", _study_list, "List the studies, and what is missing of each.")


def _study_run(options: argparse.Namespace) -> int:
    from segtut import studies

    if options.name:
        chosen = [studies.read(studies.FOLDER / f"{name}.toml") for name in options.name]
    else:
        chosen = list(studies.read_all().values())
    failed = studies.run_all(chosen, options.jobs)
    for line in failed:
        print(f"segtut: {line}", file=sys.stderr)
    return int(bool(failed))


def _study_show(options: argparse.Namespace) -> int:
    from segtut import studies

    study = studies.read(studies.FOLDER / f"{options.name}.toml")
    records = studies.read_records(study.name)
    print(studies.describe(study, records, options.score))
    return 0


def _study_list(options: argparse.Namespace) -> int:
    from segtut import studies

    for study in studies.read_all().values():
        records = studies.read_records(study.name)
        wanted = study.wanted(records)
        there = sum(run.name in records for run in wanted)
        print(
            f"{study.name:24s} {there:3d} of {len(wanted):3d} runs known so far  {study.question}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
