"""The loop: the same bits after an interruption, on two processes, in smaller batches."""

from __future__ import annotations

import math
import os
import signal
import socket
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.metrics import confusion_matrix
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, OneCycleLR, SequentialLR
from torchvision import tv_tensors

from segtut import checkpoints
from segtut.data import InMemory, Subset, standard_augmentation
from segtut.data.dataset import VOID, SegmentationDataset
from segtut.data.transforms import resize_image
from segtut.labels import check_label_map
from segtut.losses import CrossEntropyLoss
from segtut.metrics import ConfusionMatrix
from segtut.optimizers import OptimizerName
from segtut.precision import autocast
from segtut.training import Plan, Scores, collate, evaluate, fit, to_network
from tests.blocks import Blocks, fresh_processes, small_unet

QUIET: dict[str, Any] = {"precision": "fp32", "device": "cpu", "progress": False}
CPU: dict[str, Any] = {"precision": "fp32", "device": "cpu"}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


def descend_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain gradient descent shows the gradients: Adam hides their scale and enlarges rounding."""
    monkeypatch.setattr(
        torch.optim, "AdamW", lambda groups, lr, fused: torch.optim.SGD(groups, lr=lr)
    )


class AllVoid(Blocks):
    """Nothing to learn from: what still moves the weights is not the loss."""

    def __getitem__(self, index: int) -> tuple[tv_tensors.Image, tv_tensors.Mask]:
        image, mask = super().__getitem__(index)
        return image, tv_tensors.Mask(torch.full_like(mask, VOID))


# Interruption and resumption


@pytest.mark.parametrize(
    ("number", "optimizer"),
    [(signal.SIGINT, "adamw"), (signal.SIGTERM, "muon"), (signal.SIGINT, "sgd")],
)
def test_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    tmp_path: Path, number: signal.Signals, optimizer: OptimizerName
) -> None:
    plan = Plan(steps=7, batch_size=4, optimizer=optimizer, average=0.9, seed=3)
    options = {**QUIET, "transform": standard_augmentation((12, 12)), "validate_every": 2}
    options["validation_set"] = Blocks(2, seed=9)
    whole = small_unet("batch", dropout=0.3)
    uninterrupted = fit(whole, Blocks(), plan, checkpoint=tmp_path / "whole", **options)

    def interrupt(step: int, model: nn.Module) -> None:
        if step == 3:
            signal.raise_signal(number)

    parts = small_unet("batch", dropout=0.3)
    file = tmp_path / "parts"
    first = fit(parts, Blocks(), plan, checkpoint=file, on_step=interrupt, **options)
    assert first.interrupted
    assert len(first.loss) == 3
    # Another network and another random state: everything must come from the file.
    parts = small_unet("batch", dropout=0.3, seed=8)
    torch.manual_seed(99)
    second = fit(parts, Blocks(), plan, checkpoint=file, resume=True, **options)

    assert not second.interrupted
    assert second.loss == uninterrupted.loss
    assert second.validation == uninterrupted.validation
    assert second.images == 4 * 4
    assert same(parts.state_dict(), whole.state_dict())
    (ours, our_header), (theirs, their_header) = (
        checkpoints.read(path) for path in (file, tmp_path / "whole")
    )
    assert same(ours, theirs)
    assert our_header == their_header
    assert any(name.startswith("optimizer.") for name in ours)
    assert any(name.startswith("muon.") for name in ours) == (optimizer == "muon")
    assert any(
        not torch.equal(ours[f"model.{name}"], value) for name, value in whole.state_dict().items()
    )


def test_second_interruption_is_immediate_and_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

    def interrupt_twice(step: int, model: nn.Module) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        fit(small_unet(), Blocks(), Plan(steps=3), on_step=interrupt_twice, **QUIET)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_training_leaves_the_random_state_of_the_caller() -> None:
    before = torch.get_rng_state()
    fit(small_unet(dropout=0.5), Blocks(), Plan(steps=1), **QUIET)
    assert torch.equal(torch.get_rng_state(), before)


def test_what_cannot_be_resumed(tmp_path: Path) -> None:
    file, plan = tmp_path / "run", Plan(steps=1, batch_size=2)
    fit(small_unet(), Blocks(), plan, checkpoint=file, **QUIET)
    again: dict[str, Any] = {"checkpoint": file, "resume": True, **QUIET}
    with pytest.raises(ValueError, match=r"steps=1, .*steps=2"):
        fit(small_unet(), Blocks(), Plan(steps=2, batch_size=2), **again)
    with pytest.raises(ValueError, match="other data"):
        fit(small_unet(), Blocks(seed=1), plan, **again)
    with pytest.raises(ValueError, match="checkpoint of another model"):
        fit(small_unet("none"), Blocks(), plan, **again)
    with pytest.raises(ValueError, match="needs the checkpoint"):
        fit(small_unet(), Blocks(), plan, resume=True, **QUIET)
    checkpoints.write(file, {}, {"kind": "model"})
    with pytest.raises(ValueError, match="holds a model, not a run"):
        fit(small_unet(), Blocks(), plan, **again)


class FiniteFor(CrossEntropyLoss):
    """Cross-entropy that becomes infinite after some calls."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self.calls = calls

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        self.calls -= 1
        return super().forward(logits, target) * (1.0 if self.calls >= 0 else math.inf)


def test_infinite_loss_ends_the_run_and_the_last_good_checkpoint_stays(tmp_path: Path) -> None:
    file = tmp_path / "run"
    with pytest.raises(ValueError, match=r"loss is inf at step 2.*learning rate"):
        fit(
            small_unet(),
            Blocks(),
            Plan(steps=9),
            loss=FiniteFor(2),
            checkpoint=file,
            checkpoint_every=1,
            **QUIET,
        )
    tensors, header = checkpoints.read(file)
    assert header["step"] == 2
    assert all(value.isfinite().all() for value in tensors.values())


def test_infinite_loss_is_found_without_checkpoints() -> None:
    with pytest.raises(ValueError, match="loss is nan at step 10"):
        fit(small_unet(), Blocks(), Plan(steps=30, batch_size=1), loss=FiniteFor(4), **QUIET)


# What a step is


@pytest.mark.parametrize("norm", ["group", "none"])
@pytest.mark.parametrize("weight", [None, torch.tensor([0.2, 1.0, 5.0])])
def test_accumulated_batches_of_unequal_void_equal_the_large_batch(
    monkeypatch: pytest.MonkeyPatch, norm: str, weight: Tensor | None
) -> None:
    descend_plainly(monkeypatch)
    runs = []
    for batch_size, accumulate in ((6, 1), (2, 3), (1, 6)):
        model = small_unet(norm)
        plan = Plan(
            steps=3, batch_size=batch_size, accumulate=accumulate, average=0, learning_rate=0.1
        )
        history = fit(model, Blocks(), plan, loss=CrossEntropyLoss(weight), **QUIET)
        runs.append((model.state_dict(), torch.tensor(history.loss)))
    for weights, losses in runs[1:]:
        torch.testing.assert_close(losses, runs[0][1], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(weights, runs[0][0], rtol=1e-4, atol=1e-6)


def test_loss_of_a_step_is_that_of_the_network_before_it() -> None:
    model, dataset = small_unet(), Blocks(4)
    images, target = collate([dataset[index] for index in range(4)])
    with torch.no_grad():
        expected = F.cross_entropy(model(images / 255), target, ignore_index=VOID)
    history = fit(model, dataset, Plan(steps=1, batch_size=4), **QUIET)
    assert history.loss == [pytest.approx(float(expected), rel=1e-5)]


def test_every_pass_shows_every_sample_once() -> None:
    class Counted(Blocks):
        def __getitem__(self, index: int) -> tuple[tv_tensors.Image, tv_tensors.Mask]:
            seen.append(index)
            return super().__getitem__(index)

    seen: list[int] = []
    fit(small_unet(), Counted(6), Plan(steps=3, batch_size=4), **QUIET)
    assert Counter(seen[:6]) == Counter(seen[6:12]) == Counter(range(6))
    assert seen[:6] != seen[6:12]


def test_moving_average_is_the_one_worked_by_hand() -> None:
    states: list[dict[str, Tensor]] = []

    def keep(step: int, model: nn.Module) -> None:
        states.append({name: value.clone() for name, value in model.state_dict().items()})

    model = small_unet("batch")
    # Long enough for the decay to reach its final value, 0.25: (1 + 3) / (10 + 3) is above it.
    fit(model, Blocks(), Plan(steps=6, batch_size=2, average=0.25), on_step=keep, **QUIET)
    average = states[0]
    for count, state in enumerate(states[1:], start=1):
        decay = min(0.25, (1 + count) / (10 + count))
        average = {
            name: value
            if not value.is_floating_point()
            else decay * value + (1 - decay) * state[name]
            for name, value in average.items()
        }
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, average[name], rtol=1e-5, atol=1e-7)


def test_without_average_the_last_weights_are_kept() -> None:
    last: dict[str, Tensor] = {}

    def keep(step: int, model: nn.Module) -> None:
        last.update({name: value.clone() for name, value in model.state_dict().items()})

    model = small_unet()
    fit(model, Blocks(), Plan(steps=2, average=0), on_step=keep, **QUIET)
    assert same(model.state_dict(), last)


def test_weight_decay_pulls_at_kernels_alone() -> None:
    model = small_unet("batch")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(0.5, 1.0)
    before = {name: value.clone() for name, value in model.named_parameters()}
    plan = Plan(
        steps=1, average=0, schedule="constant", warmup=0, learning_rate=0.1, weight_decay=0.5
    )
    fit(model, AllVoid(), plan, **QUIET)
    for name, value in model.named_parameters():
        is_kernel = value.ndim == 4
        assert is_kernel == ("weight" in name and before[name].ndim == 4)
        torch.testing.assert_close(value.detach(), before[name] * (0.95 if is_kernel else 1.0))


# Schedules


def rates_of(scheduler_of: Any, steps: int) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SequentialLR steps its parts in a deprecated way
        scheduler = scheduler_of(optimizer)
        rates = []
        for _ in range(steps):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
    return rates


@pytest.mark.parametrize(("steps", "warmup"), [(20, 0.1), (50, 0.3), (7, 0.5)])
def test_one_cycle_is_that_of_torch_but_for_the_start_factor(steps: int, warmup: float) -> None:
    plan = Plan(steps=steps, warmup=warmup, learning_rate=0.3)
    rising = round(warmup * steps)
    expected = rates_of(
        lambda optimizer: OneCycleLR(
            optimizer,
            max_lr=0.3,
            total_steps=steps + 2,
            pct_start=(rising + 2) / (steps + 2),
            div_factor=1e12,
            cycle_momentum=False,
        ),
        steps + 1,
    )
    rates = [plan.rate(step) for step in range(steps)]
    assert rates == pytest.approx(expected[1:], abs=1e-9)
    assert max(rates) == 0.3


@pytest.mark.parametrize(("steps", "warmup"), [(20, 0.0), (20, 0.25)])
def test_cosine_is_that_of_torch(steps: int, warmup: float) -> None:
    rising = round(warmup * steps)

    def scheduler(optimizer: torch.optim.Optimizer) -> Any:
        cosine = CosineAnnealingLR(optimizer, T_max=steps - rising)
        if not rising:
            return cosine
        linear = LinearLR(optimizer, 1 / (rising + 1), total_iters=rising)
        return SequentialLR(optimizer, [linear, cosine], [rising])

    plan = Plan(steps=steps, warmup=warmup, schedule="cosine", learning_rate=0.3)
    rates = [plan.rate(step) for step in range(steps)]
    assert rates == pytest.approx(rates_of(scheduler, steps), abs=1e-9)


def test_constant_rises_and_stays() -> None:
    plan = Plan(steps=8, warmup=0.25, schedule="constant", learning_rate=3.0)
    assert [plan.rate(step) for step in range(8)] == pytest.approx([1, 2, *[3] * 6])


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"batch_size": 0},
        {"accumulate": 0},
        {"warmup": 1.0},
        {"average": 1.0},
        {"optimizer": "lion"},
        {"average": -0.1},
        {"learning_rate": 0.0},
        {"learning_rate": math.nan},
        {"schedule": "step"},
    ],
)
def test_plan_names_the_number_that_is_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Plan(**{"steps": 1, **wrong})


@pytest.mark.parametrize("name", ["validate_every", "checkpoint_every"])
def test_intervals_are_at_least_a_step(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1"):
        fit(small_unet(), Blocks(), Plan(steps=1), **{name: 0}, **QUIET)


def test_empty_set_is_refused() -> None:
    with pytest.raises(ValueError, match="no samples"):
        fit(small_unet(), Blocks(0), Plan(steps=1), **QUIET)


# Batches


def test_collate_names_the_sizes_that_differ() -> None:
    dataset = Blocks(2, sizes=((16, 16), (12, 20)))
    with pytest.raises(ValueError, match=r"\(12, 20\), \(16, 16\).*RandomScaledCrop"):
        collate([dataset[0], dataset[1]])


def test_differing_sizes_stop_training_with_advice() -> None:
    dataset = Blocks(4, sizes=((16, 16), (12, 20)))
    with pytest.raises(ValueError, match="RandomScaledCrop"):
        fit(small_unet(), dataset, Plan(steps=1, batch_size=4), **QUIET)


def test_network_sees_0_to_1_and_channels_last() -> None:
    pixels = torch.arange(0, 240, dtype=torch.uint8).reshape(1, 3, 8, 10)
    values = to_network(pixels, torch.device("cpu"))
    assert values.dtype == torch.float32
    assert torch.equal(values, pixels.double().div(255).float())
    assert values.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(to_network(values, torch.device("cpu")), values)


def test_unknown_precision_is_refused() -> None:
    with pytest.raises(ValueError, match="'auto', 'bf16' or 'fp32'"):
        autocast(torch.device("cpu"), "fp16")  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_workers_change_nothing() -> None:
    plan = Plan(steps=2, batch_size=3)
    models = [small_unet(), small_unet()]
    for workers, model in enumerate(models):
        transform = standard_augmentation((12, 12))
        fit(model, Blocks(), plan, transform=transform, workers=workers, **QUIET)
    assert same(models[0].state_dict(), models[1].state_dict())


# Evaluation


class ColorIsClass(nn.Module):
    """Logits that follow the colors of the blocks; `lean` favors class 0 on the right side."""

    def __init__(self, lean: float = 0.0) -> None:
        super().__init__()
        self.lean = lean
        self.seen: list[torch.Size] = []

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(images.shape)
        ramp = torch.zeros_like(images)
        ramp[:, 0] = torch.linspace(0, self.lean, images.shape[-1])
        return 20 * images + ramp


class Halves(SegmentationDataset):
    """Left half red, right half green; the labels also have a line, one pixel wide, of blue."""

    classes, palette = Blocks.classes, Blocks.palette

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> tuple[tv_tensors.Image, tv_tensors.Mask]:
        labels = torch.zeros(32, 48, dtype=torch.int64)
        labels[:, 24:] = 1
        image = torch.stack([(labels == color) * 255 for color in range(3)]).to(torch.uint8)
        labels[3] = 2
        labels[0] = VOID
        return tv_tensors.Image(image), tv_tensors.Mask(labels)

    def name(self, index: int) -> str:
        return str(index)

    def fingerprint(self) -> str:
        return "halves"


def test_labels_are_scored_at_their_own_size_whatever_the_network_sees() -> None:
    model = ColorIsClass()
    scores = evaluate(model, Halves(), shorter=16, **CPU)
    assert model.seen == [torch.Size([2, 3, 16, 24])]
    # 32 rows less one of void and one of the line that the picture does not show; two samples.
    expected = torch.tensor([[1440, 0, 0], [0, 1440, 0], [48, 48, 0]])
    assert torch.equal(scores.confusion.matrix, expected)


def test_evaluation_equals_a_plain_count() -> None:
    dataset, model = Blocks(5, sizes=((16, 24), (21, 13))), ColorIsClass()
    truths, predictions = [], []
    for index in range(5):
        image, mask = dataset[index]
        height, width = mask.shape
        size = (8, round(width * 8 / height)) if height < width else (round(height * 8 / width), 8)
        with torch.no_grad():
            logits = model(resize_image(image.as_subclass(Tensor), size)[None] / 255)
        logits = F.interpolate(logits, (height, width), mode="bilinear")
        valid = mask != VOID
        truths.append(mask[valid].as_subclass(Tensor))
        predictions.append(logits.argmax(1)[0][valid])
    expected = confusion_matrix(torch.cat(truths), torch.cat(predictions), labels=[0, 1, 2])
    assert 0.5 < expected.trace() / expected.sum() < 1
    found = evaluate(model, dataset, shorter=8, **CPU).confusion.matrix
    assert found.tolist() == expected.tolist()


def test_batches_and_sizes_do_not_change_the_scores() -> None:
    dataset, model = Blocks(7, sizes=((16, 16), (16, 16), (20, 12))), small_unet("batch", seed=4)
    modes = [module.train(index % 2 == 0).training for index, module in enumerate(model.modules())]
    results = [evaluate(model, dataset, batch_size=size, **CPU) for size in (1, 3, 8)]
    assert [module.training for module in model.modules()] == modes
    for other in results[1:]:
        assert torch.equal(other.confusion.matrix, results[0].confusion.matrix)
        assert other.boundary is not None
        assert results[0].boundary is not None
        assert all(map(torch.equal, other.boundary.state(), results[0].boundary.state()))
        summaries = other.summary(), results[0].summary()
        errors = [summary["expected_calibration_error"] for summary in summaries]
        assert errors[0] == pytest.approx(errors[1], abs=1e-6)


class Mirrored(Blocks):
    def __getitem__(self, index: int) -> tuple[tv_tensors.Image, tv_tensors.Mask]:
        image, mask = super().__getitem__(index)
        return tv_tensors.Image(image.flip(-1)), tv_tensors.Mask(mask.flip(-1))


def test_flip_makes_the_scores_of_a_set_and_of_its_mirror_image_equal() -> None:
    model = ColorIsClass(lean=40.0)
    plain = [evaluate(model, data(4), quick=True, **CPU) for data in (Blocks, Mirrored)]
    assert not torch.equal(plain[0].confusion.matrix, plain[1].confusion.matrix)
    flipped = [
        evaluate(model, data(4), quick=True, flip=True, **CPU) for data in (Blocks, Mirrored)
    ]
    assert torch.equal(flipped[0].confusion.matrix, flipped[1].confusion.matrix)


def test_flip_averages_probabilities() -> None:
    class LeftIsSure(nn.Module):
        """Class 0 by far on the left, class 1 by a little on the right."""

        def forward(self, images: Tensor) -> Tensor:
            logits = torch.zeros_like(images)
            middle = images.shape[-1] // 2
            logits[:, 2] = -100.0
            logits[:, 0, :, :middle] = 9.0
            logits[:, 1, :, middle:] = 1.0
            return logits

    scores = evaluate(LeftIsSure(), Blocks(1), flip=True, **CPU)
    assert scores.calibration is not None
    confidence, _, _ = scores.calibration.reliability()
    certain, unsure = 1 / (1 + math.exp(-9)), 1 / (1 + math.exp(1))
    known = confidence[confidence.isfinite() & (confidence > 0)]
    assert known.tolist() == [pytest.approx((certain + unsure) / 2, abs=1e-5)]


def test_scales_average_the_probabilities_of_resized_pictures() -> None:
    dataset, model = Blocks(3, sizes=((16, 24),)), ColorIsClass(lean=40.0)
    scores = evaluate(model, dataset, scales=(0.5, 1.0), flip=True, **CPU)
    predictions, truths = [], []
    for image, mask in (dataset[index] for index in range(3)):
        total = torch.zeros(1, 3, 16, 24)
        for size in ((8, 12), (16, 24)):
            seen = resize_image(image.as_subclass(Tensor), size)[None] / 255
            for mirror in (False, True):
                with torch.no_grad():
                    view = model(seen.flip(-1)).flip(-1) if mirror else model(seen)
                total += F.interpolate(view.log_softmax(1), (16, 24), mode="bilinear").exp()
        valid = mask != VOID
        truths.append(mask[valid].as_subclass(Tensor))
        predictions.append(total.argmax(1)[0][valid])
    expected = confusion_matrix(torch.cat(truths), torch.cat(predictions), labels=[0, 1, 2])
    assert scores.confusion.matrix.tolist() == expected.tolist()
    plain = evaluate(model, dataset, **CPU)
    assert not torch.equal(plain.confusion.matrix, scores.confusion.matrix)


@pytest.mark.parametrize("scales", [(), (1.0, 0.0), (-1.0,)])
def test_scales_have_to_be_positive(scales: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="above 0"):
        evaluate(ColorIsClass(), Blocks(1), scales=scales, **CPU)


def test_quick_evaluation_counts_the_confusion_alone() -> None:
    scores = evaluate(ColorIsClass(), Blocks(2), quick=True, **CPU)
    assert scores.boundary is None
    assert scores.calibration is None
    expected = {"mean_iou", "pixel_accuracy", "per_class_iou", "mean_over", "confusion"}
    assert set(scores.summary()) == expected


def test_summary_averages_over_the_named_classes_and_keeps_their_errors() -> None:
    confusion = ConfusionMatrix(3)
    confusion.update(torch.tensor([[[0, 0, 1, 1]]]), torch.tensor([[[0, 1, 1, 1]]]))
    scores = Scores(("red", "green", "blue"), confusion)
    summary = scores.summary()
    assert summary["per_class_iou"] == {"red": 0.5, "green": pytest.approx(2 / 3), "blue": None}
    assert summary["mean_iou"] == pytest.approx(7 / 12)
    assert summary["pixel_accuracy"] == 0.75
    assert summary["confusion"] == [[1, 0, 0], [1, 2, 0], [0, 0, 0]]
    assert scores.summary(["green"])["mean_iou"] == pytest.approx(2 / 3)
    assert scores.summary(["green"])["mean_over"] == ["green"]
    with pytest.raises(ValueError, match=r"no class named .'violet'"):
        scores.summary(["violet"])


# Two processes


def _be_one_of_two(rank: int, port: int, folder: Path) -> None:
    """Train and score as process `rank` of 2, and write what came out."""
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE="2",
        LOCAL_WORLD_SIZE="2",
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
        ACCELERATE_USE_CPU="true",
        OMP_NUM_THREADS="1",
    )
    torch.set_num_threads(1)
    found, losses = _train_and_score("group", accumulate=2)
    batch_norm = _train_and_score("batch", accumulate=1)[0]
    found |= {f"batch.{name}": value for name, value in batch_norm.items()}
    checkpoints.write(folder / str(rank), found, {"loss": losses})
    torch.distributed.destroy_process_group()


def _train_and_score(norm: str, accumulate: int) -> tuple[dict[str, Tensor], list[float]]:
    model = small_unet(norm)
    plan = Plan(steps=3, batch_size=4, accumulate=accumulate, average=0.5, learning_rate=0.1)
    with pytest.MonkeyPatch.context() as patch:
        descend_plainly(patch)
        history = fit(model, Blocks(), plan, transform=standard_augmentation((12, 12)), **QUIET)
    # An odd number of samples: the processes have unequal shares.
    trained = counts_of(evaluate(model, Blocks(5, seed=2), **CPU))
    fixed = evaluate(small_unet("batch", seed=6), Blocks(5, seed=2), **CPU)
    found = {f"model.{name}": value for name, value in model.state_dict().items()}
    found |= {f"fixed.{index}": value for index, value in enumerate(counts_of(fixed))}
    found |= {f"trained.{index}": value for index, value in enumerate(trained)}
    return found, history.loss


def counts_of(scores: Scores) -> list[Tensor]:
    """All that was counted; the confidences show the least difference between networks."""
    assert scores.boundary is not None
    assert scores.calibration is not None
    return [*scores.confusion.state(), *scores.boundary.state(), *scores.calibration.state()]


one_worker = pytest.mark.xdist_group("two processes")  # they are started once


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("processes")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = fresh_processes()
    processes = [
        context.Process(target=_be_one_of_two, args=(rank, port, folder)) for rank in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=300)
    assert [process.exitcode for process in processes] == [0, 0]
    results = [checkpoints.read(folder / str(rank)) for rank in range(2)]
    return [{**tensors, "loss": header["loss"]} for tensors, header in results]


@one_worker
def test_two_processes_train_what_one_trains(two_processes: list[dict[str, Any]]) -> None:
    alone, losses = _train_and_score("group", accumulate=2)
    for found in two_processes:
        assert found["loss"] == pytest.approx(losses, rel=1e-4)
        for name, value in alone.items():
            if name.startswith("model."):
                torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6)
    first, second = (
        {name: value for name, value in found.items() if name.startswith("model.")}
        for found in two_processes
    )
    assert same(first, second)


@one_worker
def test_two_processes_score_what_one_scores(two_processes: list[dict[str, Any]]) -> None:
    alone, _ = _train_and_score("group", accumulate=2)
    for found in two_processes:
        for name in (name for name in alone if name.startswith("fixed.")):
            torch.testing.assert_close(found[name], alone[name], rtol=1e-6, atol=1e-6)


@one_worker
def test_two_processes_score_the_network_that_the_first_one_keeps(
    two_processes: list[dict[str, Any]],
) -> None:
    first, second = two_processes
    kept = small_unet("batch")
    prefix = "batch.model."
    state = {k.removeprefix(prefix): v for k, v in first.items() if k.startswith(prefix)}
    kept.load_state_dict(state)
    expected = counts_of(evaluate(kept, Blocks(5, seed=2), **CPU))
    for found in (first, second):
        for index, value in enumerate(expected):
            torch.testing.assert_close(found[f"batch.trained.{index}"], value, rtol=1e-6, atol=1e-6)


def test_batch_that_processes_cannot_share_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from segtut import training

    class OneOfTwo:
        num_processes, process_index = 2, 0

    with pytest.raises(ValueError, match="batch_size 3 cannot be shared by 2"):
        training._batches(Blocks(), None, Plan(steps=1, batch_size=3), 0, OneOfTwo(), 0)


def test_memory_and_subset_train_like_the_set_they_show() -> None:
    models = [small_unet(), small_unet()]
    fit(models[0], Blocks(4), Plan(steps=2, batch_size=2), **QUIET)
    view = Subset(InMemory(Blocks(4)), range(4))
    fit(models[1], view, Plan(steps=2, batch_size=2), **QUIET)
    assert same(models[0].state_dict(), models[1].state_dict())
    check_label_map(view[0][1], 3, VOID)
