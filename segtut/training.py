"""One loop: fit a segmentation network, evaluate it, stop, resume.

The loop is the one that chapter 4.3 writes out, with what a long run needs around it. Devices and
processes come from Hugging Face ``accelerate``: the same call runs on a laptop, on one GPU, or as
one of many processes under ``accelerate launch``.
"""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from segtut import checkpoints
from segtut.averaging import moving_average
from segtut.data.dataset import SegmentationDataset
from segtut.data.transforms import resize_image, shorter_side
from segtut.data.views import Augmented
from segtut.inference import evaluating
from segtut.metrics import BoundaryIoU, CalibrationError, ConfusionMatrix
from segtut.objectives.base import Objective, Supervised
from segtut.optimizers import OptimizerName, make_optimizers
from segtut.precision import Precision, autocast

Schedule = Literal["one_cycle", "cosine", "constant"]


@dataclass
class History:
    """What happened in a run: ``loss`` a step, ``validation`` as (step, mean IoU) pairs.

    ``seconds`` and ``images`` count this call alone, also where it resumed an earlier run;
    ``interrupted`` is true when Ctrl-C or SIGTERM ended it before its last step.
    """

    loss: list[float] = field(default_factory=list)
    validation: list[tuple[int, float]] = field(default_factory=list)
    seconds: float = 0.0
    images: int = 0
    interrupted: bool = False

    @property
    def images_per_second(self) -> float:
        """Training images a second, waiting for data, validation and checkpoints included."""
        return self.images / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Plan:
    """The numbers that decide a run; two runs of the same plan take the same steps.

    ``batch_size`` counts the images of a step over all processes, in one forward pass each;
    ``accumulate`` such batches make one step of the optimizer. ``average`` is the decay of the
    exponential moving average of the weights (0: none); ``warmup`` the share of the steps in which
    the learning rate rises; ``optimizer`` is one of `segtut.optimizers`.
    """

    steps: int
    batch_size: int = 16
    accumulate: int = 1
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    optimizer: OptimizerName = "adamw"
    schedule: Schedule = "one_cycle"
    warmup: float = 0.1
    average: float = 0.99
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "accumulate"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("warmup", "average"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must lie in [0, 1), not {getattr(self, name)}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be positive, not {self.learning_rate}")
        if self.optimizer not in get_args(OptimizerName):
            choices = ", ".join(get_args(OptimizerName))
            raise ValueError(f"optimizer must be one of {choices}, not {self.optimizer!r}")
        if self.schedule not in ("one_cycle", "cosine", "constant"):
            raise ValueError(
                f"schedule must be 'one_cycle', 'cosine' or 'constant', not {self.schedule!r}"
            )

    def rate(self, step: int) -> float:
        """Learning rate of step ``step``, counted from 0.

        ``one_cycle`` rises and falls on half cosines (Smith and Topin 2018), ``cosine`` rises on a
        straight line and falls on a half cosine (Loshchilov and Hutter 2017), ``constant`` rises on
        a straight line and stays. All rise from zero, which would be step -1. With r warm-up steps
        of n, ``one_cycle`` is torch's OneCycleLR of n + 2 steps and ``pct_start=(r + 2) / (n + 2)``
        without its first and last step, where the rate is zero: torch's own start factor,
        ``div_factor``, is 25, and here it is infinite. ``cosine`` is torch's CosineAnnealingLR with
        ``T_max=n - r``, after a LinearLR from 1 / (r + 1) over r steps.
        """
        rising = round(self.warmup * self.steps)
        if step < rising:
            share = (step + 1) / (rising + 1)
            if self.schedule == "one_cycle":
                share = (1 - math.cos(math.pi * share)) / 2
            return self.learning_rate * share
        if self.schedule == "constant":
            return self.learning_rate
        share = (step - rising) / max(1, self.steps - rising)
        return self.learning_rate * (1 + math.cos(math.pi * share)) / 2


def to_network(images: Tensor, device: torch.device) -> Tensor:
    """uint8 or float images (N, 3, H, W) as float32, 0-1, channels_last, on ``device``."""
    moved = images.to(device, non_blocking=True)
    values = moved if moved.is_floating_point() else moved.float().div_(255)
    return values.contiguous(memory_format=torch.channels_last)


def fit(
    model: nn.Module,
    train_set: SegmentationDataset,
    plan: Plan,
    *,
    loss: nn.Module | None = None,
    objective: Objective | None = None,
    transform: v2.Transform | None = None,
    validation_set: SegmentationDataset | None = None,
    validate_every: int | None = None,
    shorter: int | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 200,
    resume: bool = False,
    stop_after: int | None = None,
    precision: Precision = "auto",
    compile: bool = False,
    workers: int = 0,
    device: str | None = None,
    progress: bool = True,
    on_step: Callable[[int, nn.Module], None] | None = None,
) -> History:
    """Train ``model`` in place on ``train_set`` as ``plan`` says, and return the history.

    Afterwards ``model`` holds the averaged weights if the plan averages, on the device it was
    trained on. ``loss`` (default: cross-entropy) is called as ``loss(logits, target)``; an
    ``objective`` of `segtut.objectives` takes its place where there is more to minimize, such as a
    reconstruction or the verdict of a discriminator.
    ``transform`` draws what a step sees, and must give all samples one size. Every
    ``validate_every`` steps the (averaged) network is scored on ``validation_set``, its input
    resized to ``shorter``. ``checkpoint`` is a file that a later call with ``resume=True``
    continues from, to the same weights as an uninterrupted run; Ctrl-C and SIGTERM end the run
    after the step in progress, with the checkpoint written, and ``stop_after`` ends it in the same
    way after that many steps in all. ``on_step`` is called with the number of finished steps and
    the network being trained.

    Raises ``ValueError`` for an empty set, a loss and an objective together, an objective with
    networks of its own in several processes, a checkpoint of another plan or other data, samples
    of differing sizes, and a loss that is no longer finite.
    """
    from accelerate import Accelerator
    from tqdm.auto import tqdm

    if len(train_set) == 0:
        raise ValueError("the training set has no samples")
    if loss is not None and objective is not None:
        raise ValueError("give a loss or an objective, which has its own, not both")
    if resume and checkpoint is None:
        raise ValueError("resume=True needs the checkpoint file to resume from")
    positive = {"validate_every": validate_every, "checkpoint_every": checkpoint_every}
    for name, every in (positive | {"stop_after": stop_after}).items():
        if every is not None and every < 1:
            raise ValueError(f"{name} must be at least 1 step, not {every}")
    accelerator = Accelerator(cpu=device == "cpu")
    device_ = torch.device(device) if device else accelerator.device
    goal = objective or Supervised(loss)
    goal.prepare(device_, precision)
    goal.network_rate = plan.learning_rate
    if accelerator.num_processes > 1 and any(True for _ in goal.parameters()):
        raise ValueError(
            f"{type(goal).__name__} has networks of its own, which several processes would train "
            "apart: run it in one process"
        )
    model.to(device_, memory_format=torch.channels_last)  # type: ignore[call-overload]
    data = train_set.fingerprint() if checkpoint is not None else ""
    run = _Run(model, goal, plan, data)
    if resume and checkpoint is not None and Path(checkpoint).exists():
        run.load(checkpoint)
    network = accelerator.prepare_model(model) if accelerator.num_processes > 1 else model
    if compile and device_.type != "cpu":
        network = torch.compile(network)

    history = run.history
    first = run.step
    bar = tqdm(
        total=plan.steps,
        initial=first,
        unit="step",
        disable=not (progress and accelerator.is_main_process),
    )
    start = time.perf_counter()
    with bar, _Interruption() as interruption, _private_randomness(device_):
        batches = _batches(train_set, transform, plan, first, accelerator, workers)
        for step in range(first, plan.steps):
            torch.manual_seed(_step_seed(plan.seed, step, accelerator.process_index))
            run.set_rate(plan.rate(step))
            network.train()
            micro = [next(batches) for _ in range(plan.accumulate)]
            value = _gradients(network, goal, micro, accelerator, device_)
            run.take_step()
            goal.finish_step(model, plan.rate(step) / plan.learning_rate)
            run.finish_step(value)
            bar.update()
            if on_step is not None:
                on_step(step + 1, model)
            if validation_set is not None and _due(step + 1, validate_every, plan.steps):
                scores = evaluate(
                    run.averaged, validation_set, shorter=shorter, device=device_, quick=True
                )
                history.validation.append((step + 1, scores.mean_iou))
            stop = _agreed(interruption.requested, step, accelerator) or step + 1 == stop_after
            due = stop or _due(step + 1, checkpoint_every, plan.steps)
            if step % 10 == 0 or due:
                _require_finite(value, step)
            if checkpoint is not None and due and accelerator.is_main_process:
                run.save(checkpoint)
            if step % 10 == 0:
                _describe(bar, value, history, plan, step + 1 - first, start)
            if stop:
                history.interrupted = step + 1 < plan.steps
                break
    history.loss = run.losses()
    history.seconds = time.perf_counter() - start
    history.images = (run.step - first) * plan.batch_size * plan.accumulate
    run.finish()
    return history


class _Run:
    """All that changes from step to step, and how it is written and read back."""

    def __init__(self, model: nn.Module, goal: Objective, plan: Plan, data: str) -> None:
        self.model = model
        self.goal = goal
        self.plan = plan
        self.data = data
        self.step = 0
        self.history = History()
        self._losses: list[Tensor] = []
        self.optimizers = make_optimizers(
            model, plan.optimizer, plan.learning_rate, plan.weight_decay
        )
        self._average = moving_average(model, plan.average) if plan.average else None

    @property
    def averaged(self) -> nn.Module:
        """The network to validate and to keep."""
        return self._average.module if self._average is not None else self.model

    def set_rate(self, rate: float) -> None:
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = rate

    def take_step(self) -> None:
        """Move the weights, and forget the gradients."""
        for optimizer in self.optimizers.values():
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def finish_step(self, loss: Tensor) -> None:
        if self._average is not None:
            self._average.update_parameters(self.model)
        self._losses.append(loss.detach())
        self.step += 1

    def losses(self) -> list[float]:
        """Mean loss of every step so far, earlier calls included."""
        new = torch.stack(self._losses).tolist() if self._losses else []
        self._losses = []
        self.history.loss += new
        return self.history.loss

    def finish(self) -> None:
        if self._average is not None:
            self.model.load_state_dict(self._average.module.state_dict())

    def _optimizers(self) -> dict[str, torch.optim.Optimizer]:
        own = self.goal.optimizer
        return self.optimizers | ({} if own is None else {"adversary": own})

    def save(self, path: str | Path) -> None:
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        if self._average is not None:
            average = self._average.module.state_dict()
            tensors |= {f"average.{name}": value for name, value in average.items()}
        goal = self.goal.state_dict()
        tensors |= {f"objective.{name}": value for name, value in goal.items()}
        for part, optimizer in self._optimizers().items():
            for index, state in optimizer.state_dict()["state"].items():
                tensors |= {f"{part}.{index}.{key}": value for key, value in state.items()}
        header = {
            "kind": "unfinished run",
            "plan": asdict(self.plan),
            "data_sha256": self.data,
            "step": self.step,
            "loss": self.losses(),
            "validation": self.history.validation,
        }
        checkpoints.write(path, tensors, header)

    def load(self, path: str | Path) -> None:
        tensors, header = checkpoints.read(path)
        if header.get("kind") != "unfinished run":
            raise ValueError(
                f"{path} holds a {header.get('kind')}, not a run that could be resumed"
            )
        wanted = asdict(self.plan)
        changed = [key for key in wanted if wanted[key] != header["plan"].get(key)]
        if changed:
            was = ", ".join(f"{key}={header['plan'].get(key)!r}" for key in changed)
            now = ", ".join(f"{key}={wanted[key]!r}" for key in changed)
            raise ValueError(
                f"{path} belongs to a run with {was}, this one has {now}: "
                "resume with the same plan, or start anew with another checkpoint file"
            )
        if header["data_sha256"] != self.data:
            raise ValueError(
                f"{path} belongs to a run on other data: resume with the same data, or start anew "
                "with another checkpoint file"
            )
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "average": {}, "objective": {}}
        parts |= {part: {} for part in self._optimizers()}
        for name, value in tensors.items():
            part, _, key = name.partition(".")
            parts.setdefault(part, {})[key] = value
        if set(parts) != {"model", "average", "objective", *self._optimizers()}:
            raise ValueError(f"{path} belongs to a run with another objective")
        checkpoints.load_weights(self.model, parts["model"], source=str(path))
        checkpoints.load_weights(self.goal, parts["objective"], source=str(path))
        if self._average is not None:
            checkpoints.load_weights(self._average.module, parts["average"], source=str(path))
            self._average.n_averaged.fill_(header["step"])
        for part, optimizer in self._optimizers().items():
            _load_optimizer(optimizer, parts[part])
        self.step = header["step"]
        self.history.loss = header["loss"]
        self.history.validation = [(int(step), iou) for step, iou in header["validation"]]


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, _, key = name.partition(".")
        like = parameters[int(index)]
        if value.shape == like.shape:
            # The fused step goes through memory in order, and weights are channels_last there.
            value = torch.empty_like(like).copy_(value)
        state.setdefault(int(index), {})[key] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


class _Order:
    """The order of the samples: one shuffled pass after another, cut into global batches.

    Draw number k is sample ``permutation(seed, k // n)[k % n]``, whoever asks for it: a process
    takes its share of every batch, and a resumed run continues at its step.
    """

    def __init__(self, n: int, plan: Plan, first: int, process: int, processes: int) -> None:
        self.n, self.plan, self.first = n, plan, first
        self.process, self.processes = process, processes

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        size = self.plan.batch_size
        epoch, order = -1, torch.empty(0)
        for batch in range(self.first * self.plan.accumulate, len(self)):
            draws = []
            for number in range(batch * size, (batch + 1) * size):
                if number // self.n != epoch:
                    epoch = number // self.n
                    generator = torch.Generator().manual_seed(_step_seed(self.plan.seed, epoch, 0))
                    order = torch.randperm(self.n, generator=generator)
                draws.append((number, int(order[number % self.n])))
            yield draws[self.process :: self.processes]

    def __len__(self) -> int:
        return self.plan.steps * self.plan.accumulate


def _step_seed(seed: int, step: int, process: int) -> int:
    return (seed * 1_000_003 + step) * 1_009 + process


def _batches(
    dataset: SegmentationDataset,
    transform: v2.Transform | None,
    plan: Plan,
    first: int,
    accelerator: Any,
    workers: int,
) -> Iterator[tuple[Tensor, Tensor]]:
    if plan.batch_size % accelerator.num_processes:
        raise ValueError(
            f"batch_size {plan.batch_size} cannot be shared by {accelerator.num_processes} "
            "processes: choose a multiple"
        )
    order = _Order(len(dataset), plan, first, accelerator.process_index, accelerator.num_processes)
    loader = DataLoader(
        Augmented(dataset, transform, plan.seed),
        batch_sampler=order,
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=_leave_signals_to_the_parent,
        pin_memory=accelerator.device.type == "cuda",
        persistent_workers=False,
    )
    return iter(loader)


def _leave_signals_to_the_parent(worker: int) -> None:
    """Ctrl-C and Slurm signal every process of a run; the last step still needs its samples."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def collate(samples: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Samples of one size as images (N, 3, H, W) and target (N, H, W).

    Raises ``ValueError`` where the sizes differ, with the sizes found.
    """
    sizes = {tuple(image.shape[-2:]) for image, _ in samples}
    if len(sizes) > 1:
        raise ValueError(
            f"the samples of one batch have sizes {sorted(sizes)}: give `transform` a step that "
            "brings them to one size, such as RandomScaledCrop((height, width))"
        )
    images = torch.stack([image.as_subclass(Tensor) for image, _ in samples])
    return images, torch.stack([mask.as_subclass(Tensor) for _, mask in samples]).long()


def _gradients(
    network: nn.Module,
    goal: Objective,
    micro: Sequence[tuple[Tensor, Tensor]],
    accelerator: Any,
    device: torch.device,
) -> Tensor:
    """Add up the gradients of one step, and return its loss, a mean over the step's valid pixels.

    Each batch's loss is a mean over its own valid pixels. Averaging those means would weigh a
    pixel by how few valid neighbors it has; each mean is weighed by what it was divided by.
    """
    targets = [target.to(device, non_blocking=True) for _, target in micro]
    shares = torch.stack([goal.normalizer(target) for target in targets])
    total = accelerator.reduce(shares.sum(), reduction="sum").clamp(min=1e-12)
    step_loss = torch.zeros((), device=device)
    for index, ((images, _), target) in enumerate(zip(micro, targets, strict=True)):
        last = index == len(micro) - 1
        with nullcontext() if last else accelerator.no_sync(network):
            loss = goal(network, to_network(images, device), target)
            part = loss * (shares[index] / total)
            # DistributedDataParallel averages over the processes; the parts are to be summed.
            (part * accelerator.num_processes).backward()
        step_loss += part.detach()
    return accelerator.reduce(step_loss, reduction="sum")


def _require_finite(loss: Tensor, step: int) -> None:
    if not torch.isfinite(loss):
        raise ValueError(
            f"the loss is {loss.item()} at step {step}: lower the learning rate, try "
            "precision='fp32', and look at the labels with `segtut data check`"
        )


def _due(step: int, every: int | None, last: int) -> bool:
    return step == last or (every is not None and step % every == 0)


def _agreed(requested: bool, step: int, accelerator: Any) -> bool:
    """Whether to stop now; several processes ask each other every tenth step."""
    if accelerator.num_processes == 1:
        return requested
    if step % 10:
        return False
    votes = torch.tensor(float(requested), device=accelerator.device)
    return bool(accelerator.reduce(votes, reduction="sum") > 0)


def _describe(
    bar: Any, loss: Tensor, history: History, plan: Plan, steps: int, start: float
) -> None:
    if bar.disable:
        return
    rate = steps * plan.batch_size * plan.accumulate / (time.perf_counter() - start)
    shown = {"loss": f"{loss.item():.3f}", "img/s": f"{rate:.0f}"}
    if history.validation:
        shown["mIoU"] = f"{history.validation[-1][1]:.3f}"
    bar.set_postfix(shown)


class _Interruption:
    """Turns the first Ctrl-C or SIGTERM into a request to stop after the step in progress.

    A second Ctrl-C interrupts at once. Signals can be caught in the main thread only; elsewhere
    this does nothing.
    """

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "_Interruption":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._request)
        return self

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


@contextmanager
def _private_randomness(device: torch.device) -> Iterator[None]:
    """Give the caller's random state back as it was."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield


@dataclass
class Scores:
    """The scores of a network on a data set, each from counts summed over the whole set.

    ``boundary`` and ``calibration`` are ``None`` after a quick evaluation.
    """

    classes: tuple[str, ...]
    confusion: ConfusionMatrix
    boundary: BoundaryIoU | None = None
    calibration: CalibrationError | None = None

    @property
    def mean_iou(self) -> float:
        """Mean over the classes of intersection over union, 0-1."""
        return float(self.confusion.mean_iou())

    def summary(self, scored: Sequence[str] | None = None) -> dict[str, Any]:
        """All scores as plain numbers, 0-1, ready for JSON; a class that is absent scores None.

        ``scored`` names the classes that ``mean_iou`` and ``boundary_iou`` average over; others
        still count as errors in ``confusion``, pixels with the truth in rows.
        """
        unknown = set(scored or ()) - set(self.classes)
        if unknown:
            raise ValueError(f"no class named {sorted(unknown)} among {list(self.classes)}")
        keep = [index for index, name in enumerate(self.classes) if not scored or name in scored]
        iou = self.confusion.iou()
        summary: dict[str, Any] = {
            "mean_iou": float(iou[keep].nanmean()),
            "pixel_accuracy": float(self.confusion.pixel_accuracy()),
            "per_class_iou": _named(self.classes, iou),
            "mean_over": [self.classes[index] for index in keep],
            "confusion": self.confusion.matrix.tolist(),
        }
        if self.boundary is not None:
            per_class = self.boundary.iou()
            summary["boundary_iou"] = float(per_class[keep].nanmean())
            summary["per_class_boundary_iou"] = _named(self.classes, per_class)
        if self.calibration is not None:
            summary["expected_calibration_error"] = float(
                self.calibration.expected_calibration_error()
            )
        return summary


def _named(classes: Sequence[str], values: Tensor) -> dict[str, float | None]:
    return {
        name: None if math.isnan(value) else value
        for name, value in zip(classes, values.tolist(), strict=True)
    }


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    dataset: SegmentationDataset,
    *,
    shorter: int | None = None,
    flip: bool = False,
    scales: Sequence[float] = (1.0,),
    batch_size: int = 8,
    precision: Precision = "auto",
    device: str | torch.device | None = None,
    quick: bool = False,
) -> Scores:
    """Score ``model`` on every sample of ``dataset``, at the labels' own size.

    Images are resized to the shorter side ``shorter`` for the network, and its logits are brought
    back to the size of the labels; the labels are never resized. ``scales`` are further factors of
    that size, and with ``flip`` every picture is also seen mirrored: the probabilities of all views
    are averaged. ``quick`` counts the confusion matrix only. Raises ``ValueError`` for no scale or
    one that is not positive.
    Several processes share the samples, each taking every n-th, and sum their counts; all score
    the network of the first one, whose running statistics of normalization are the ones kept.
    """
    from accelerate import PartialState

    if not scales or min(scales) <= 0:
        raise ValueError(f"scales must be one or more factors above 0, not {tuple(scales)}")
    state = PartialState()
    device_ = torch.device(device) if device else state.device
    model.to(device_)
    if state.num_processes > 1:
        for buffer in model.buffers():
            torch.distributed.broadcast(buffer, src=0)
    confusion = ConfusionMatrix(dataset.num_classes)
    boundary = None if quick else BoundaryIoU(dataset.num_classes)
    calibration = None if quick else CalibrationError()
    with evaluating(model):
        for images, target in _equal_sizes(dataset, batch_size, state):
            with autocast(device_, precision):
                logits = _averaged_logits(model, to_network(images, device_), shorter, scales, flip)
            target = target.to(device_)
            prediction = logits.max(1).indices  # on a CPU several times faster than argmax
            confusion.update(prediction, target)
            if boundary is not None and calibration is not None:
                boundary.update(prediction, target)
                calibration.update(logits, target)
    metrics = [metric for metric in (confusion, boundary, calibration) if metric is not None]
    for metric in metrics:
        _sum_over_processes(metric.state(), state)
    return Scores(dataset.classes, confusion, boundary, calibration)


def _averaged_logits(
    model: nn.Module, images: Tensor, shorter: int | None, scales: Sequence[float], flip: bool
) -> Tensor:
    """Float32 logits (N, C, H, W) of images (N, 3, H, W), seen at all scales and both ways round.

    Those of several views are the logarithm of their mean probability, up to a constant.
    """
    size = (images.shape[-2], images.shape[-1])
    height, width = size if shorter is None else shorter_side(size, shorter)
    views = []
    for scale in scales:
        small = (max(1, round(height * scale)), max(1, round(width * scale)))
        seen = resize_image(images, small).contiguous(memory_format=torch.channels_last)
        views.append(model(seen).float())
        if flip:
            views.append(model(seen.flip(-1)).float().flip(-1))
    if len(views) > 1:
        views = [logits.log_softmax(1) for logits in views]
    whole = [
        logits
        if logits.shape[-2:] == size
        else F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
        for logits in views
    ]
    return whole[0] if len(whole) == 1 else torch.stack(whole).logsumexp(0)


def _equal_sizes(
    dataset: SegmentationDataset, batch_size: int, state: Any
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of neighboring samples of one size, this process's share of them."""
    waiting: list[tuple[Tensor, Tensor]] = []
    for index in range(state.process_index, len(dataset), state.num_processes):
        sample = dataset[index]
        if waiting and (len(waiting) == batch_size or sample[0].shape != waiting[0][0].shape):
            yield collate(waiting)
            waiting = []
        waiting.append(sample)
    if waiting:
        yield collate(waiting)


def _sum_over_processes(counts: Sequence[Tensor], state: Any) -> None:
    if state.num_processes == 1:
        return
    for count in counts:
        moved = count.to(state.device)
        torch.distributed.all_reduce(moved)
        count.copy_(moved)
