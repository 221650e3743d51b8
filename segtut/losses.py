"""What training minimizes: losses between logits and a label map, and weights for rare classes.

Every loss is called as `loss(logits, target)` with logits (N, C, H, W), before any softmax, and
target (N, H, W) int64 with classes 0..C-1 and void (255). Void pixels do not count. Half precision
is computed in float32 and float64 in float64. Where every pixel is void the loss is exactly zero
and so is its gradient. Out comes a scalar tensor.

`loss.normalizer(target)` is what the mean was divided by, so that unequal micro-batches can be put
together: sum(loss_i * normalizer_i) / sum(normalizer_i).
"""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segtut.labels import check_label_map


class SegmentationLoss(nn.Module):
    """What all losses share: the checks, the precision, and the count of pixels that are not void.

    A subclass implements `_compute(logits, target)` for float32 or float64 logits and a target that
    has passed the checks.
    """

    def __init__(self, ignore_index: int = 255) -> None:
        super().__init__()
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss, a scalar. Raises ValueError on shapes, types or labels that do not fit.

        The values of the target are checked on the CPU only: looking at them on an accelerator
        would make every step wait for the device.
        """
        _check_shapes(logits, target)
        if target.device.type == "cpu":
            check_label_map(target, logits.shape[1], self.ignore_index)
        if logits.dtype != torch.float64:
            logits = logits.float()
        return self._compute(logits, target)

    def _compute(self, logits: Tensor, target: Tensor) -> Tensor:
        raise NotImplementedError

    def normalizer(self, target: Tensor) -> Tensor:
        """Return the number of pixels that are not void, a float32 scalar. target: (N, H, W)."""
        return (target != self.ignore_index).sum().float()


def _check_shapes(logits: Tensor, target: Tensor) -> None:
    if logits.ndim != 4 or not logits.is_floating_point():
        raise ValueError(
            f"the logits have the shape {tuple(logits.shape)} and type {logits.dtype}; "
            "expected floating point numbers (N, C, H, W)"
        )
    if target.shape != (logits.shape[0], *logits.shape[2:]):
        raise ValueError(
            f"the target has the shape {tuple(target.shape)}; expected (N, H, W) = "
            f"{(logits.shape[0], *logits.shape[2:])} as of the logits {tuple(logits.shape)}: "
            "one class number a pixel, not one-hot, at the logits' size"
        )
    if target.dtype != torch.int64:
        raise ValueError(f"the target has the type {target.dtype}; expected int64: use .long()")


class _WeightedLoss(SegmentationLoss):
    """A mean over pixels in which the pixels of a class count `weight[class]` times."""

    weight: Tensor | None

    def __init__(self, weight: Tensor | None, ignore_index: int) -> None:
        super().__init__(ignore_index)
        if weight is not None:
            weight = _checked_weight(weight)
        # Not part of the state: the weights come from the data, not from training.
        self.register_buffer("weight", weight, persistent=False)

    def normalizer(self, target: Tensor) -> Tensor:
        """Return the summed weights of the pixels that are not void, a float32 scalar."""
        if self.weight is None:
            return super().normalizer(target)
        return self._pixel_weights(target, self.weight.to(target.device)).sum()

    def _pixel_weights(self, target: Tensor, weight: Tensor) -> Tensor:
        valid = target != self.ignore_index
        return weight[torch.where(valid, target, 0)] * valid

    def _weight_for(self, logits: Tensor) -> Tensor | None:
        if self.weight is None:
            return None
        if len(self.weight) != logits.shape[1]:
            raise ValueError(
                f"there are {len(self.weight)} class weights for {logits.shape[1]} classes; "
                "expected one a class"
            )
        return self.weight.to(logits)


def _checked_weight(weight: Tensor) -> Tensor:
    weight = torch.as_tensor(weight).detach().float()
    if weight.ndim != 1 or not bool(torch.isfinite(weight).all()) or bool((weight < 0).any()):
        raise ValueError(
            f"the class weights are {weight.tolist()}; expected one finite number a class, none "
            "negative"
        )
    return weight


def _divide(total: Tensor, count: Tensor) -> Tensor:
    """Return total / count, and total where the count is zero, as then the total is zero too."""
    return total / torch.where(count > 0, count, torch.ones_like(count)).to(total.dtype)


class CrossEntropyLoss(_WeightedLoss):
    """Cross-entropy, the mean of -log p(target) over the pixels that are not void.

    weight: (C,) how often a pixel of each class counts; the mean is divided by the summed weights.
    label_smoothing: the share of the target spread evenly over all classes, 0 to 1.
    As `torch.nn.CrossEntropyLoss`, which is NaN where every pixel is void; this one is zero.
    """

    def __init__(
        self, weight: Tensor | None = None, label_smoothing: float = 0.0, ignore_index: int = 255
    ) -> None:
        super().__init__(weight, ignore_index)
        if not 0.0 <= label_smoothing <= 1.0:
            raise ValueError(f"label_smoothing is {label_smoothing}; expected 0 to 1")
        self.label_smoothing = label_smoothing

    def _compute(self, logits: Tensor, target: Tensor) -> Tensor:
        total = F.cross_entropy(
            logits,
            target,
            weight=self._weight_for(logits),
            ignore_index=self.ignore_index,
            reduction="sum",
            label_smoothing=self.label_smoothing,
        )
        return _divide(total, self.normalizer(target))


class FocalLoss(_WeightedLoss):
    """Focal loss, cross-entropy in which pixels that are already right count less.

    The mean of -(1 - p)^gamma log p, p the probability of the target. gamma 0 is cross-entropy.
    weight: (C,) as in CrossEntropyLoss; the mean is divided by the summed weights.
    Source: Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, eq. 4 and 5, where the
    weights are called alpha.
    """

    def __init__(
        self, gamma: float = 2.0, weight: Tensor | None = None, ignore_index: int = 255
    ) -> None:
        super().__init__(weight, ignore_index)
        if gamma < 0:
            raise ValueError(f"gamma is {gamma}; expected 0 or more")
        self.gamma = gamma

    def _compute(self, logits: Tensor, target: Tensor) -> Tensor:
        weight = self._weight_for(logits)
        log_p = -F.cross_entropy(logits, target, ignore_index=self.ignore_index, reduction="none")
        # The slope of x^gamma at 0 is infinite for gamma < 1: stay off zero.
        wrongness = (-torch.expm1(log_p)).clamp_min(torch.finfo(log_p.dtype).tiny)
        losses = -(wrongness**self.gamma) * log_p
        if weight is not None:
            losses = losses * self._pixel_weights(target, weight)
        return _divide(losses.sum(), self.normalizer(target))


class TverskyLoss(SegmentationLoss):
    """One minus the Tversky index TP / (TP + alpha FP + beta FN), a mean over classes.

    TP, FP and FN are sums of probabilities over all pixels of the batch. Only classes that the
    target shows are averaged: of the others the index is 0 whatever the network does.
    alpha: the price of a false positive, 0 or more. beta: of a false negative, above 0.
    beta > alpha favors recall. alpha = beta = 1/2 is the Dice loss, alpha = beta = 1 the Jaccard.
    Source: Salehi et al., Tversky Loss Function for Image Segmentation Using 3D Fully
    Convolutional Deep Networks, MLMI 2017, whose best pair is the default.
    """

    def __init__(self, alpha: float = 0.3, beta: float = 0.7, ignore_index: int = 255) -> None:
        super().__init__(ignore_index)
        if alpha < 0 or beta <= 0:
            raise ValueError(
                f"alpha is {alpha} and beta {beta}; expected alpha of 0 or more and beta above 0"
            )
        self.alpha = alpha
        self.beta = beta

    def _compute(self, logits: Tensor, target: Tensor) -> Tensor:
        probabilities, truth = _probabilities_and_truth(logits, target, self.ignore_index)
        pixels = (0, 2, 3)
        true_positives = (probabilities * truth).sum(pixels)
        truths = truth.sum(pixels).to(logits.dtype)
        false_positives = probabilities.sum(pixels) - true_positives
        false_negatives = truths - true_positives
        denominator = true_positives + self.alpha * false_positives + self.beta * false_negatives
        return _mean_over_present(1 - _divide(true_positives, denominator), truths > 0)


class DiceLoss(TverskyLoss):
    """One minus the Dice coefficient 2 TP / (2 TP + FP + FN), a mean over the classes shown.

    TP, FP and FN are sums of probabilities over all pixels of the batch, in float32: in float16
    they overflow from 256x256 pixels on.
    Source: Milletari et al., V-Net: Fully Convolutional Neural Networks for Volumetric Medical
    Image Segmentation, 3DV 2016, who square the probabilities in the denominator;
    here they are not, so that this is the Tversky loss of alpha = beta = 1/2.
    """

    def __init__(self, ignore_index: int = 255) -> None:
        super().__init__(0.5, 0.5, ignore_index)


def _probabilities_and_truth(
    logits: Tensor, target: Tensor, ignore_index: int
) -> tuple[Tensor, Tensor]:
    """Return softmax, zero at void, and the target one-hot as bool: both (N, C, H, W)."""
    classes = torch.arange(logits.shape[1], device=target.device).view(1, -1, 1, 1)
    valid = (target != ignore_index).unsqueeze(1)
    truth = (target.unsqueeze(1) == classes) & valid
    return logits.softmax(dim=1) * valid, truth


def _mean_over_present(losses: Tensor, present: Tensor) -> Tensor:
    """Return the mean of losses (C,) where present (C,) bool, zero where no class is."""
    return _divide((losses * present).sum(), present.sum())


class LovaszSoftmaxLoss(SegmentationLoss):
    """Lovász-softmax: the Jaccard loss 1 - IoU made continuous, a mean over the classes shown.

    For hard probabilities it equals 1 - IoU; between them it is the Lovász extension, convex and
    piecewise linear in the errors. All pixels of the batch are sorted, once a class shown.
    Source: Berman et al., The Lovász-Softmax Loss: A Tractable Surrogate for the Optimization of
    the Intersection-over-Union Measure in Neural Networks, CVPR 2018, algorithm 1.
    """

    def _compute(self, logits: Tensor, target: Tensor) -> Tensor:
        num_classes = logits.shape[1]
        void = target == self.ignore_index
        pixels = torch.where(void, num_classes, target).flatten()
        counts = torch.bincount(pixels, minlength=num_classes + 1)[:num_classes].tolist()
        probabilities = logits.softmax(dim=1).unbind(dim=1)
        losses = [
            _lovasz_jaccard(probabilities[index].flatten(), pixels == index, void.flatten(), count)
            for index, count in enumerate(counts)
            if count
        ]
        return torch.stack(losses).mean() if losses else logits.mul(0.0).sum()


def _lovasz_jaccard(probabilities: Tensor, truth: Tensor, void: Tensor, count: int) -> Tensor:
    """Return the Lovász extension of one class's Jaccard loss: probabilities, truth, void (P,).

    Going down the sorted errors, the loss of the pixels passed so far is 1 - (G - f) / (G + b),
    with G = count pixels of the class, f of them passed and b others. The slope by an error is what
    its pixel adds. It is written out below, as the difference of two numbers near 1 would leave few
    digits in float32. Void comes last, after all of the class, and so adds nothing.
    """
    errors = (probabilities - truth.to(probabilities.dtype)).abs()
    order = _descending_order(errors.detach(), void)
    foreground = truth[order]
    passed = foreground.cumsum(0)
    ranks = torch.arange(1, len(errors) + 1, device=errors.device)
    union = (count + ranks - passed).to(errors.dtype)
    background_slopes = (count - passed) / (union * (union - 1)).clamp_min(1.0)
    sorted_slopes = torch.where(foreground, 1 / union, background_slopes)
    slopes = torch.empty_like(sorted_slopes).scatter_(0, order, sorted_slopes)
    return (errors * slopes).sum()


def _descending_order(errors: Tensor, void: Tensor) -> Tensor:
    """Return the order that sorts errors (P,), all in 0..1, from large to small, void last.

    The bits of floating point numbers that are not negative are in the order of the numbers.
    PyTorch sorts int32 upward by radix, on the CPU ten times as fast as float32.
    """
    integers = torch.int32 if errors.dtype == torch.float32 else torch.int64
    one = int(torch.ones((), dtype=errors.dtype).view(integers))
    return (one - errors.view(integers)).masked_fill(void, one + 1).argsort()


class AbsoluteErrorLoss(SegmentationLoss):
    """The mean absolute difference between probabilities and one-hot labels, over valid pixels.

    Summed over the classes of a pixel it is 2 (1 - p), p the probability of the target, and so it
    is computed. In pix2pix it is the loss of plain regression from picture to label map.
    """

    def _compute(self, logits: Tensor, target: Tensor) -> Tensor:
        valid = target != self.ignore_index
        index = torch.where(valid, target, 0).unsqueeze(1)
        p = logits.softmax(dim=1).gather(1, index).squeeze(1)
        total = (2 * (1 - p) * valid).sum() / logits.shape[1]
        return _divide(total, valid.sum())


class SumOfLosses(nn.Module):
    """A weighted sum of losses. terms: pairs (factor, loss).

    Its normalizer is that of the first term: with a weighted cross-entropy first, micro-batches
    are put together as that asks.
    Raises ValueError: no terms.
    """

    def __init__(self, terms: Sequence[tuple[float, nn.Module]]) -> None:
        super().__init__()
        if not terms:
            raise ValueError("there are no terms; expected at least one pair (factor, loss)")
        self.factors = tuple(float(factor) for factor, _ in terms)
        self.losses = nn.ModuleList(loss for _, loss in terms)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the sum, a scalar. logits: (N, C, H, W), target: (N, H, W)."""
        values = [
            factor * loss(logits, target)
            for factor, loss in zip(self.factors, self.losses, strict=True)
        ]
        return torch.stack(values).sum()

    def normalizer(self, target: Tensor) -> Tensor:
        """Return the first term's normalizer, a float32 scalar. target: (N, H, W)."""
        normalizer: Tensor = self.losses[0].normalizer(target)  # type: ignore[operator]
        return normalizer

    def extra_repr(self) -> str:
        """Return what print shows beside the losses."""
        return f"factors={self.factors}"


class ThinnedLoss(nn.Module):
    """A loss on one pixel of every block of stride x stride, so that it costs stride**2 times less.

    Neighboring pixels teach much the same. Image n of a batch gives the pixel number n of each of
    its blocks, counted along the rows and then over again, so that a batch gives all of them. The
    rows and columns that fill no block are left out.
    Raises ValueError: a stride below 1, or a target smaller than a block.
    """

    def __init__(self, loss: nn.Module, stride: int) -> None:
        super().__init__()
        if stride < 1:
            raise ValueError(f"the stride is {stride}; expected at least 1")
        self.loss, self.stride = loss, stride

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss, a scalar. logits: (N, C, H, W), target: (N, H, W)."""
        loss: Tensor = self.loss(self._thin(logits), self._thin(target))
        return loss

    def normalizer(self, target: Tensor) -> Tensor:
        """Return the inner loss's normalizer over the pixels that are left. target: (N, H, W)."""
        normalizer: Tensor = self.loss.normalizer(self._thin(target))  # type: ignore[operator]
        return normalizer

    def _thin(self, values: Tensor) -> Tensor:
        k = self.stride
        height, width = values.shape[-2] // k * k, values.shape[-1] // k * k
        if not height or not width:
            raise ValueError(
                f"the target is {tuple(values.shape[-2:])}; expected at least {k} pixels a side"
            )
        values = values[..., :height, :width]
        parts = [
            image[..., number % k**2 // k :: k, number % k :: k]
            for number, image in enumerate(values)
        ]
        return torch.stack(parts)


_WEIGHTED = {"ce": CrossEntropyLoss, "focal": FocalLoss}
_UNWEIGHTED = {
    "dice": DiceLoss,
    "tversky": TverskyLoss,
    "lovasz": LovaszSoftmaxLoss,
    "l1": AbsoluteErrorLoss,
}


def build_loss(name: str, num_classes: int, weight: Tensor | None = None) -> nn.Module:
    """Return a loss by name: "ce", "dice", "focal", "tversky", "lovasz", "l1"; "+" adds.

    weight: (num_classes,) class weights for cross-entropy and focal loss.
    Raises ValueError: an unknown name, a weight that does not fit the classes, or a weight for a
    loss that takes none.
    """
    names = name.split("+")
    known = {**_WEIGHTED, **_UNWEIGHTED}
    unknown = [part for part in names if part not in known]
    if unknown:
        raise ValueError(
            f"no loss is called {unknown[0]!r}; expected one of {', '.join(known)}, "
            'or a sum of them as "ce+dice"'
        )
    if weight is not None and len(weight) != num_classes:
        raise ValueError(f"there are {len(weight)} class weights; expected {num_classes}")
    if weight is not None and not _WEIGHTED.keys() & set(names):
        raise ValueError(
            f"the loss {name!r} takes no class weights; {' and '.join(_WEIGHTED)} do: "
            "leave the weights out or add one of these"
        )
    losses: list[nn.Module] = [
        _WEIGHTED[part](weight=weight) if part in _WEIGHTED else _UNWEIGHTED[part]()
        for part in names
    ]
    return losses[0] if len(losses) == 1 else SumOfLosses([(1.0, loss) for loss in losses])


class LabeledImages(Protocol):
    """What is counted: a sequence of (image, mask) with a number of classes."""

    @property
    def num_classes(self) -> int:
        """C."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[Any, Tensor]: ...


def class_pixel_counts(dataset: LabeledImages) -> Tensor:
    """Return how many pixels each class has in each image: (images, C) int64; void is left out.

    Sum over the images for the whole set's counts: `class_pixel_counts(dataset).sum(0)`.
    Raises ValueError: a mask holds a value that is neither a class nor void (255).
    """
    counts = torch.zeros(len(dataset), dataset.num_classes, dtype=torch.int64)
    for index in range(len(dataset)):
        mask = torch.as_tensor(dataset[index][1]).as_subclass(Tensor)
        check_label_map(mask, dataset.num_classes, 255, name=f"mask of sample {index}")
        counts[index] = torch.bincount(mask.flatten().long(), minlength=256)[: counts.shape[1]]
    return counts


def median_frequency_weights(counts: Tensor) -> Tensor:
    """Return class weights median(f) / f_c, with f_c how frequent a class is where it occurs.

    counts: (images, C) pixels, as of class_pixel_counts; f_c is the class's pixels over all pixels
    of the images that show it. (C,) counts of a whole set are taken as one image.
    Returns (C,) float32; 0 for a class that has no pixel.
    Raises ValueError: no pixel at all, or negative counts.
    Source: Eigen and Fergus, Predicting Depth, Surface Normals and Semantic Labels with a Common
    Multi-Scale Convolutional Architecture, ICCV 2015.
    """
    counts = _checked_counts(counts)
    pixels_where_shown = ((counts > 0) * counts.sum(1, keepdim=True)).sum(0)
    frequency = counts.sum(0) / pixels_where_shown.clamp_min(1)
    shown = frequency > 0
    weights = torch.zeros_like(frequency)
    weights[shown] = frequency[shown].quantile(0.5) / frequency[shown]
    return weights.float()


def inverse_log_weights(counts: Tensor) -> Tensor:
    """Return class weights 1 / ln(1.02 + share of the pixels), between 1.42 and 50.5.

    counts: (C,) pixels a class, or (images, C). Returns (C,) float32.
    Raises ValueError: no pixel at all, or negative counts.
    Source: Paszke et al., ENet: A Deep Neural Network Architecture for Real-Time Semantic
    Segmentation, 2016.
    """
    totals = _checked_counts(counts).sum(0)
    return (1 / torch.log(1.02 + totals / totals.sum())).float()


def _checked_counts(counts: Tensor) -> Tensor:
    """Return counts as (images, C) float64 on the CPU."""
    counts = torch.as_tensor(counts).detach().cpu().double()
    if counts.ndim not in (1, 2) or bool((counts < 0).any()) or float(counts.sum()) == 0:
        raise ValueError(
            f"the pixel counts have the shape {tuple(counts.shape)} and the sum "
            f"{float(counts.sum()):g}; expected (images, C) or (C,), none negative, not all zero"
        )
    return counts.reshape(-1, counts.shape[-1])
