"""What is reported: scores of predicted label maps, counted over a whole set.

Every metric counts in integers, which add up to the same sums in any order. `update` takes a
batch, `merge` another metric's counts, and `state` gives the count tensors themselves (int64, on
the CPU), which processes may sum in place. Scores are computed from the counts when asked for.
"""

from collections.abc import Iterable
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from segtut.labels import check_label_map


def _merge_states(own: Iterable[Tensor], other: Iterable[Tensor]) -> None:
    for mine, theirs in zip(own, other, strict=True):
        if mine.shape != theirs.shape:
            raise ValueError(
                f"the counts have the shapes {tuple(mine.shape)} and {tuple(theirs.shape)}; "
                "expected two metrics of the same settings"
            )
        mine += theirs


def _check_pair(prediction: Tensor, target: Tensor, num_classes: int, ignore_index: int) -> None:
    if prediction.shape != target.shape:
        raise ValueError(
            f"the prediction has the shape {tuple(prediction.shape)} and the target "
            f"{tuple(target.shape)}; expected the same, (N, H, W): scores are taken at the labels' "
            "size, so resize the logits before argmax"
        )
    check_label_map(prediction, num_classes, None, name="prediction")
    check_label_map(target, num_classes, ignore_index)


def _ratio(part: Tensor, whole: Tensor, counted: Tensor) -> Tensor:
    """Return part / whole in float64; 0 where the whole is 0; NaN where not counted."""
    ratio = part.double() / whole.clamp_min(1).double()
    return ratio.masked_fill(~counted, torch.nan)


class ConfusionMatrix:
    """Pixels by true class (rows) and predicted class (columns), and the scores made of them.

    num_classes: C. ignore_index: the target's void, which is left out.
    `matrix` is (C, C) int64 on the CPU. Scores of a class are (C,) float64 between 0 and 1, NaN
    for a class that neither the target nor the prediction shows, and the mean leaves NaN out.
    Source of IoU over a whole set: Everingham et al., The Pascal Visual Object Classes Challenge:
    A Retrospective, IJCV 2015.
    """

    def __init__(self, num_classes: int, ignore_index: int = 255) -> None:
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.matrix = torch.zeros(num_classes, num_classes, dtype=torch.int64)

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Count a batch. prediction and target: (N, H, W), or any same shape, on any one device.

        Raises ValueError: shapes that differ, types that are not whole numbers, a prediction
        outside 0..C-1 (void cannot be predicted), a target that is neither a class nor void.
        """
        _check_pair(prediction, target, self.num_classes, self.ignore_index)
        cells = self.num_classes**2
        cell = target.long() * self.num_classes + prediction.long()
        # One cell more takes the void: cheaper than picking the other pixels out.
        cell = torch.where(target == self.ignore_index, cells, cell).flatten()
        counts = torch.bincount(cell, minlength=cells + 1)[:cells]
        self.matrix += counts.reshape(self.matrix.shape).cpu()

    def merge(self, other: Self) -> Self:
        """Add the counts of another matrix to this one, and return this one."""
        _merge_states(self.state(), other.state())
        return self

    def state(self) -> list[Tensor]:
        """Return the tensors that hold the counts, not copies of them."""
        return [self.matrix]

    def iou(self) -> Tensor:
        """Return TP / (TP + FP + FN) of each class."""
        return _ratio(self._hits, self._union, self._union > 0)

    def dice(self) -> Tensor:
        """Return 2 TP / (2 TP + FP + FN) of each class, which is its F1 score."""
        return _ratio(2 * self._hits, self._union + self._hits, self._union > 0)

    def precision(self) -> Tensor:
        """Return TP / (TP + FP) of each class; 0 for one that is there and never predicted."""
        return _ratio(self._hits, self.matrix.sum(0), self._union > 0)

    def recall(self) -> Tensor:
        """Return TP / (TP + FN) of each class; 0 for one that is predicted and never there."""
        return _ratio(self._hits, self.matrix.sum(1), self._union > 0)

    def mean_iou(self) -> float:
        """Return the mean IoU of the classes shown; NaN if there are none."""
        return float(self.iou().nanmean())

    def pixel_accuracy(self) -> float:
        """Return the share of pixels that are right; NaN if there are none."""
        total = self.matrix.sum()
        return float(_ratio(self._hits.sum(), total, total > 0))

    @property
    def _hits(self) -> Tensor:
        return self.matrix.diagonal()

    @property
    def _union(self) -> Tensor:
        return self.matrix.sum(0) + self.matrix.sum(1) - self._hits


class BoundaryIoU:
    """IoU of the pixels of a class that lie within d pixels of its contour, from the inside.

    d is dilation_ratio times the image's diagonal, rounded, at least 1. Distance is the larger of
    rows and columns, and the image's edge is a contour, both as in the authors' program. Void is
    outside of every class, in the target and in the prediction: the true contour is somewhere in
    it, and a prediction that is right everywhere else scores 1.
    Counts are summed over the set. Time does not depend on d or on the number of classes: about
    5 ms for 360x480 pixels on one CPU core.
    Source: Cheng et al., Boundary IoU: Improving Object-Centric Image Segmentation Evaluation,
    CVPR 2021.
    """

    def __init__(
        self, num_classes: int, ignore_index: int = 255, dilation_ratio: float = 0.02
    ) -> None:
        if dilation_ratio <= 0:
            raise ValueError(f"dilation_ratio is {dilation_ratio}; expected more than 0")
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.dilation_ratio = dilation_ratio
        self.counts = torch.zeros(3, num_classes, dtype=torch.int64)

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Count a batch. prediction and target: (N, H, W), or (H, W), on any one device.

        Raises ValueError: as ConfusionMatrix.update.
        """
        _check_pair(prediction, target, self.num_classes, self.ignore_index)
        if target.ndim < 2:
            raise ValueError(f"the target has the shape {tuple(target.shape)}; expected (N, H, W)")
        valid = target != self.ignore_index
        labels = torch.stack([prediction.long(), target.long()])
        labels = torch.where(valid, labels, self.num_classes)
        height, width = labels.shape[-2:]
        distance = max(1, round(self.dilation_ratio * (height**2 + width**2) ** 0.5))
        boundary = _near_contour(labels, distance)
        both = boundary.all(0) & (labels[0] == labels[1])
        for count, mask, of in zip(self.counts, (both, *boundary), (1, 0, 1), strict=True):
            shown = torch.where(mask, labels[of], self.num_classes).flatten()
            count += torch.bincount(shown, minlength=self.num_classes + 1)[:-1].cpu()

    def merge(self, other: Self) -> Self:
        """Add the counts of another metric to this one, and return this one."""
        _merge_states(self.state(), other.state())
        return self

    def state(self) -> list[Tensor]:
        """Return the tensor that holds the counts: rows are both, predicted and true boundary."""
        return [self.counts]

    def iou(self) -> Tensor:
        """Return each class's boundary IoU, (C,) float64; NaN where neither has a boundary."""
        both, predicted, true = self.counts
        union = predicted + true - both
        return _ratio(both, union, union > 0)

    def mean_iou(self) -> float:
        """Return the mean over the classes shown; NaN if there are none."""
        return float(self.iou().nanmean())


def _near_contour(labels: Tensor, distance: int) -> Tensor:
    """Return where the square of 2 * distance + 1 pixels around a pixel holds another label.

    labels: (..., H, W) whole numbers, none negative. Beyond the image lies another label.
    A square is of one label when each 2x2 block in it is. Blocks that are not are counted in every
    square by running sums, first along the rows and then along the columns.
    """
    framed = F.pad(labels, (1, 1, 1, 1), value=-1)
    corner = framed[..., :-1, :-1]
    mixed = corner != framed[..., 1:, 1:]
    mixed |= corner != framed[..., 1:, :-1]
    mixed |= corner != framed[..., :-1, 1:]
    margin = (distance, distance - 1)
    sums = F.pad(mixed.int(), margin + margin)
    for dim in (-1, -2):
        sums = sums.cumsum(dim, dtype=torch.int32)
        length = sums.shape[dim] - 2 * distance
        sums = sums.narrow(dim, 2 * distance, length) - sums.narrow(dim, 0, length)
    return sums > 0


class CalibrationError:
    """Does the network know how often it is right? Confidence against accuracy, in bins.

    Confidence is the probability of the predicted class. num_bins bins of equal width split 0 to
    1; each holds its upper edge.
    Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 2.
    """

    # Confidences are summed as whole multiples of this, so that sums do not depend on the order.
    _UNIT = 2.0**-24

    def __init__(self, num_bins: int = 15, ignore_index: int = 255) -> None:
        if num_bins < 1:
            raise ValueError(f"num_bins is {num_bins}; expected 1 or more")
        self.num_bins = num_bins
        self.ignore_index = ignore_index
        self.counts = torch.zeros(3, num_bins, dtype=torch.int64)

    def update(self, logits: Tensor, target: Tensor) -> None:
        """Count a batch. logits: (N, C, H, W), before softmax. target: (N, H, W).

        Raises ValueError: shapes that do not fit, a target that is neither a class nor void,
        logits that are not finite.
        """
        if logits.ndim != 4 or target.shape != (logits.shape[0], *logits.shape[2:]):
            raise ValueError(
                f"the logits have the shape {tuple(logits.shape)} and the target "
                f"{tuple(target.shape)}; expected (N, C, H, W) and (N, H, W)"
            )
        check_label_map(target, logits.shape[1], self.ignore_index)
        confidence, prediction = logits.float().softmax(dim=1).max(dim=1)
        if not confidence.isfinite().all():
            raise ValueError("the logits hold NaN or infinity; expected finite numbers")
        # float64, in which the sums below are exact, is missing on some accelerators.
        confidence = confidence.cpu().double()
        right = (prediction == target).cpu().double()
        bins = (confidence * self.num_bins).ceil().long() - 1
        bins = torch.where((target == self.ignore_index).cpu(), self.num_bins, bins).flatten()
        rows = (torch.ones_like(right), right, (confidence / self._UNIT).round())
        for count, values in zip(self.counts, rows, strict=True):
            sums = torch.bincount(bins, weights=values.flatten(), minlength=self.num_bins + 1)
            count += sums[: self.num_bins].long()

    def merge(self, other: Self) -> Self:
        """Add the counts of another metric to this one, and return this one."""
        _merge_states(self.state(), other.state())
        return self

    def state(self) -> list[Tensor]:
        """Return the tensor that holds the counts: rows are pixels, right pixels, confidence."""
        return [self.counts]

    def reliability(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return each bin's mean confidence, accuracy and share of the pixels.

        Three tensors (num_bins,) float64; confidence and accuracy are NaN in an empty bin.
        """
        pixels, right, units = self.counts
        filled = pixels > 0
        confidence = _ratio(units, pixels, filled) * self._UNIT
        share = _ratio(pixels, pixels.sum(), pixels.sum() > 0)
        return confidence, _ratio(right, pixels, filled), share

    def expected_calibration_error(self) -> float:
        """Return the mean of |accuracy - confidence| over pixels, 0 to 1; NaN if there are none."""
        confidence, accuracy, share = self.reliability()
        return float(((accuracy - confidence).abs().nan_to_num() * share).sum())


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """The Fréchet distance between the normal distributions fitted to two sets of features.

    first: (N, D), second: (M, D), N, M >= 2. Returns |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)),
    at least 0, in squared units of the features. It is biased upward when N or M is small, by about
    a constant over N (Chong and Forsyth 2020): compare at equal numbers only.
    Raises ValueError: shapes that do not fit, or features that are not finite.
    Source: Heusel et al. (2017), "GANs trained by a two time-scale update rule converge to a local
    Nash equilibrium", equation 6, whose features are those of one network, Inception v3.
    """
    for name, features in (("first", first), ("second", second)):
        if features.ndim != 2 or len(features) < 2 or features.shape[1] != first.shape[-1]:
            raise ValueError(
                f"{name} has the shape {tuple(features.shape)}; expected (N, D) with N of at least "
                f"2 and one D for both, as {tuple(first.shape)} and {tuple(second.shape)}"
            )
        if not bool(torch.isfinite(features).all()):
            raise ValueError(f"{name} has features that are not finite")
    means, covariances = zip(*(_moments(features) for features in (first, second)), strict=True)
    return frechet_distance_of_normals(means[0], covariances[0], means[1], covariances[1])


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    features = features.detach().cpu().double()
    return features.mean(0), torch.cov(features.T).reshape(features.shape[1], features.shape[1])


def frechet_distance_of_normals(
    first_mean: Tensor, first_covariance: Tensor, second_mean: Tensor, second_covariance: Tensor
) -> float:
    """The squared 2-Wasserstein distance of normal distributions, means (D,), covariances (D, D).

    The trace of (C1 C2)^(1/2) is the sum of the square roots of the eigenvalues of
    C1^(1/2) C2 C1^(1/2), which is symmetric and has none below zero but for rounding.
    Source: Dowson and Landau (1982), "The Fréchet distance between multivariate normal
    distributions".
    """
    given = (first_mean, first_covariance, second_mean, second_covariance)
    m1, c1, m2, c2 = (torch.as_tensor(value).detach().cpu().double() for value in given)
    values, vectors = torch.linalg.eigh(c1)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    middle = root @ c2 @ root
    cross = torch.linalg.eigvalsh((middle + middle.T) / 2).clamp(min=0).sqrt().sum()
    distance = (m1 - m2).square().sum() + c1.trace() + c2.trace() - 2 * cross
    return max(0.0, float(distance))
