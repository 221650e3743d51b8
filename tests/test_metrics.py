"""The metrics against scikit-learn, torchmetrics, slow references and hand-worked numbers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from segtut.metrics import (
    BoundaryIoU,
    CalibrationError,
    ConfusionMatrix,
    frechet_distance,
    frechet_distance_of_normals,
)

VOID = 255
quick = settings(max_examples=40, deadline=None, derandomize=True)
DEVICES = ["cpu"]
if torch.cuda.is_available():
    DEVICES.append("cuda")
if torch.backends.mps.is_available():
    DEVICES.append("mps")


def label_maps(
    seed: int,
    classes: int = 5,
    size: tuple[int, ...] = (2, 12, 15),
    void: float = 0.1,
    shown: tuple[int, ...] = (0, 1, 2, 3, 4),
    predicted: tuple[int, ...] = (0, 1, 2, 3, 4),
) -> tuple[Tensor, Tensor]:
    """A random prediction, right about half of the time where it can be, and a target with void."""
    generator = torch.Generator().manual_seed(seed)
    names = [name for name in shown if name < classes]
    target = torch.tensor(names)[torch.randint(0, len(names), size, generator=generator)]
    names = [name for name in predicted if name < classes]
    prediction = torch.tensor(names)[torch.randint(0, len(names), size, generator=generator)]
    right = (torch.rand(size, generator=generator) < 0.5) & torch.isin(target, torch.tensor(names))
    prediction = torch.where(right, target, prediction)
    target[torch.rand(size, generator=generator) < void] = VOID
    return prediction, target


CASES: dict[str, tuple[Tensor, Tensor]] = {
    "random": label_maps(0),
    "no void": label_maps(1, void=0.0),
    "almost all void": label_maps(2, void=0.97),
    "a class never shown": label_maps(3, shown=(0, 1, 3, 4)),
    "a class never predicted": label_maps(4, predicted=(0, 1, 2, 4)),
    "a class absent from both": label_maps(5, shown=(0, 3, 4), predicted=(0, 1, 3, 4)),
    "one class": label_maps(6, shown=(2,), predicted=(2,)),
    "all wrong": label_maps(7, shown=(0, 1), predicted=(2, 3)),
    "one pixel": label_maps(8, size=(1, 1, 1), void=0.0),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def confusion(prediction: Tensor, target: Tensor, classes: int = 5) -> ConfusionMatrix:
    matrix = ConfusionMatrix(classes)
    matrix.update(prediction, target)
    return matrix


def seen(prediction: Tensor, target: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The pixels that are not void, truth first, as scikit-learn asks."""
    keep = target != VOID
    return target[keep].numpy(), prediction[keep].numpy()


@every_case
def test_confusion_matrix_is_that_of_scikit_learn(case: tuple[Tensor, Tensor]) -> None:
    from sklearn.metrics import confusion_matrix

    matrix = confusion(*case).matrix
    assert matrix.dtype == torch.int64
    assert np.array_equal(matrix.numpy(), confusion_matrix(*seen(*case), labels=range(5)))


@every_case
def test_class_scores_are_those_of_scikit_learn(case: tuple[Tensor, Tensor]) -> None:
    from sklearn.metrics import f1_score, jaccard_score, precision_score, recall_score

    matrix = confusion(*case)
    truth, guess = seen(*case)
    shown = np.isin(range(5), np.union1d(truth, guess))
    for score, reference in [
        (matrix.iou(), jaccard_score),
        (matrix.dice(), f1_score),
        (matrix.precision(), precision_score),
        (matrix.recall(), recall_score),
    ]:
        assert score.dtype == torch.float64
        expected = reference(truth, guess, labels=range(5), average=None, zero_division=0)
        np.testing.assert_allclose(score.numpy(), np.where(shown, expected, np.nan))


@every_case
def test_pixel_accuracy_is_that_of_scikit_learn(case: tuple[Tensor, Tensor]) -> None:
    from sklearn.metrics import accuracy_score

    assert confusion(*case).pixel_accuracy() == pytest.approx(accuracy_score(*seen(*case)))


@every_case
def test_mean_iou_is_that_of_torchmetrics(case: tuple[Tensor, Tensor]) -> None:
    from torchmetrics.classification import MulticlassJaccardIndex

    expected = MulticlassJaccardIndex(5, average="macro", ignore_index=VOID)(*case)
    assert confusion(*case).mean_iou() == pytest.approx(float(expected), rel=1e-6)


@given(
    seed=st.integers(0, 2**31),
    classes=st.integers(2, 5),
    size=st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)),
    void=st.floats(0, 1),
)
@quick
def test_confusion_matrix_counts_pixel_by_pixel(
    seed: int, classes: int, size: tuple[int, int, int], void: float
) -> None:
    prediction, target = label_maps(seed, classes, size, void)
    expected = torch.zeros(classes, classes, dtype=torch.int64)
    for guess, truth in zip(prediction.flatten().tolist(), target.flatten().tolist(), strict=True):
        if truth != VOID:
            expected[truth, guess] += 1
    assert torch.equal(confusion(prediction, target, classes).matrix, expected)


def test_scores_worked_by_hand() -> None:
    # Truth 0 0 0 1 1 2 and void, predicted 0 0 1 1 1 0 and 2; class 3 is nowhere.
    target = torch.tensor([[[0, 0, 0, 1, 1, 2, VOID]]])
    prediction = torch.tensor([[[0, 0, 1, 1, 1, 0, 2]]])
    matrix = confusion(prediction, target, classes=4)
    nan = float("nan")
    assert matrix.iou().tolist() == pytest.approx([2 / 4, 2 / 3, 0, nan], nan_ok=True)
    assert matrix.dice().tolist() == pytest.approx([4 / 6, 4 / 5, 0, nan], nan_ok=True)
    assert matrix.precision().tolist() == pytest.approx([2 / 3, 2 / 3, 0, nan], nan_ok=True)
    assert matrix.recall().tolist() == pytest.approx([2 / 3, 2 / 2, 0, nan], nan_ok=True)
    assert matrix.mean_iou() == pytest.approx((2 / 4 + 2 / 3 + 0) / 3)
    assert matrix.pixel_accuracy() == pytest.approx(4 / 6)


def test_a_class_that_is_only_predicted_has_recall_zero_and_one_only_shown_precision_zero() -> None:
    matrix = confusion(torch.tensor([0, 1]), torch.tensor([0, 2]), classes=3)
    assert matrix.recall().tolist() == [1.0, 0.0, 0.0]
    assert matrix.precision().tolist() == [1.0, 0.0, 0.0]


def test_another_void_is_left_out_too() -> None:
    matrix = ConfusionMatrix(2, ignore_index=11)
    matrix.update(torch.tensor([0, 1, 1]), torch.tensor([0, 11, 0]))
    assert matrix.matrix.tolist() == [[1, 1], [0, 0]]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("prediction_type", [torch.int64, torch.uint8])
@pytest.mark.parametrize("target_type", [torch.int64, torch.uint8])
def test_types_and_devices_give_the_same_counts(
    device: str, prediction_type: torch.dtype, target_type: torch.dtype
) -> None:
    # 20 classes: a cell's number does not fit in uint8.
    generator = torch.Generator().manual_seed(9)
    prediction = torch.randint(0, 20, (2, 30, 40), generator=generator)
    target = torch.where(prediction < 18, prediction.roll(1, -1), VOID)
    for metric in (ConfusionMatrix(20), BoundaryIoU(20)):
        reference = type(metric)(20)
        reference.update(prediction, target)
        metric.update(prediction.to(device, prediction_type), target.to(device, target_type))
        for counts, expected in zip(metric.state(), reference.state(), strict=True):
            assert counts.device.type == "cpu"
            assert torch.equal(counts, expected)


@pytest.mark.parametrize("metric", [ConfusionMatrix(3), BoundaryIoU(3)])
@pytest.mark.parametrize(
    ("prediction", "target", "message"),
    [
        (
            torch.full((1, 2, 2), VOID),
            torch.full((1, 2, 2), VOID),
            "prediction holds the value 255",
        ),
        (torch.zeros(1, 2, 2).long(), torch.full((1, 2, 2), 3), "target holds the value 3 in 4"),
        (torch.zeros(1, 3, 2, 2), torch.zeros(1, 2, 2).long(), "at the labels' size"),
        (torch.zeros(1, 2, 2), torch.zeros(1, 2, 2).long(), "prediction has the type.*argmax"),
    ],
)
def test_label_maps_that_do_not_fit_say_why_and_count_nothing(
    metric: ConfusionMatrix | BoundaryIoU, prediction: Tensor, target: Tensor, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        metric.update(prediction, target)
    assert not any(counts.any() for counts in metric.state())


def test_all_void_scores_nothing() -> None:
    void = torch.full((2, 4, 4), VOID)
    for metric in (ConfusionMatrix(3), BoundaryIoU(3)):
        metric.update(torch.zeros_like(void), void)
        assert metric.iou().isnan().all()
        assert np.isnan(metric.mean_iou())
    assert np.isnan(confusion(torch.zeros_like(void), void).pixel_accuracy())
    calibration = CalibrationError()
    calibration.update(torch.randn(2, 3, 4, 4), void)
    assert np.isnan(calibration.expected_calibration_error())


def boundary_iou_by_erosion(
    pairs: list[tuple[Tensor, Tensor]], classes: int, dilation_ratio: float
) -> list[float]:
    """As the authors' program does it: each mask less its erosion, d times by 3x3, edge outside."""
    from scipy.ndimage import binary_erosion

    hits, union = np.zeros(classes), np.zeros(classes)
    for prediction, target in pairs:
        diagonal = np.hypot(*target.shape)
        steps = max(1, round(dilation_ratio * diagonal))
        for index in range(classes):
            rings = []
            for labels in (prediction, target):
                mask = ((labels == index) & (target != VOID)).numpy()
                inside = binary_erosion(mask, np.ones((3, 3)), iterations=steps, border_value=0)
                rings.append(mask & ~inside)
            hits[index] += (rings[0] & rings[1]).sum()
            union[index] += (rings[0] | rings[1]).sum()
    return [float(h / u) if u else float("nan") for h, u in zip(hits, union, strict=True)]


def blobs(seed: int, size: tuple[int, int], classes: int, void: float) -> tuple[Tensor, Tensor]:
    """Label maps of connected regions, as boundaries of pure noise are all pixels."""
    from scipy.ndimage import gaussian_filter

    random = np.random.default_rng(seed)
    fields = np.stack([gaussian_filter(random.normal(size=size), 3) for _ in range(classes)])
    noise = np.stack([gaussian_filter(random.normal(size=size), 3) for _ in range(classes)])
    target = torch.from_numpy(fields.argmax(0))
    prediction = torch.from_numpy((fields + 0.4 * noise).argmax(0))
    hidden = gaussian_filter(random.normal(size=size), 3)
    target[torch.from_numpy(hidden < np.quantile(hidden, void)) & (void > 0)] = VOID
    return prediction, target


@given(
    seed=st.integers(0, 2**31),
    height=st.integers(1, 40),
    width=st.integers(1, 60),
    classes=st.integers(1, 4),
    void=st.sampled_from([0.0, 0.1, 0.5]),
    dilation_ratio=st.sampled_from([0.02, 0.05, 0.2, 0.9]),
)
@quick
def test_boundary_iou_is_that_of_eroded_masks(
    seed: int, height: int, width: int, classes: int, void: float, dilation_ratio: float
) -> None:
    pairs = [blobs(seed + i, (height, width), classes, void) for i in range(2)]
    metric = BoundaryIoU(classes, dilation_ratio=dilation_ratio)
    metric.update(*(torch.stack(maps) for maps in zip(*pairs, strict=True)))
    expected = boundary_iou_by_erosion(pairs, classes, dilation_ratio)
    np.testing.assert_allclose(metric.iou().numpy(), expected)


def test_boundary_iou_at_camvid_size_takes_twelve_pixels() -> None:
    # 2 % of the diagonal of 360 x 480, which is 600: the strip along the edge is 12 wide.
    whole = torch.zeros(360, 480, dtype=torch.int64)
    metric = BoundaryIoU(1)
    metric.update(whole, whole)
    assert metric.counts.tolist() == [[360 * 480 - 336 * 456]] * 3


def test_boundary_iou_worked_by_hand() -> None:
    # A 3x3 square in 7x7 pixels, predicted one to the right; d is 1. Of the square, each map has
    # a ring of 8 of which 4 agree. Of the ground, the target has 40 (all of it), the prediction
    # 35 (all but 5 in the column it left behind), and 32 agree.
    target = torch.zeros(1, 7, 7, dtype=torch.int64)
    target[:, 2:5, 2:5] = 1
    prediction = target.roll(1, -1)
    metric = BoundaryIoU(2)
    metric.update(prediction, target)
    assert metric.counts.tolist() == [[32, 4], [35, 8], [40, 8]]
    assert metric.iou().tolist() == pytest.approx([32 / 43, 4 / 12])
    assert metric.mean_iou() == pytest.approx((32 / 43 + 4 / 12) / 2)


def test_what_is_predicted_in_void_does_not_move_the_boundary() -> None:
    _, target = blobs(3, (40, 50), classes=3, void=0.2)
    elsewhere, _ = blobs(5, (40, 50), classes=3, void=0.0)
    prediction = torch.where(target == VOID, elsewhere, target)
    metric = BoundaryIoU(3)
    metric.update(prediction, target)
    assert metric.mean_iou() == 1.0


def test_one_image_is_as_a_batch_of_one() -> None:
    prediction, target = blobs(4, (30, 20), classes=3, void=0.1)
    one, batch = BoundaryIoU(3), BoundaryIoU(3)
    one.update(prediction, target)
    batch.update(prediction[None], target[None])
    assert torch.equal(one.counts, batch.counts)


def test_boundaries_of_pixels_in_a_row_are_an_error() -> None:
    prediction, target = blobs(4, (30, 20), classes=3, void=0.1)
    with pytest.raises(ValueError, match=r"shape \(600,\); expected \(N, H, W\)"):
        BoundaryIoU(3).update(prediction.flatten(), target.flatten())


def test_a_boundary_of_no_width_is_an_error() -> None:
    with pytest.raises(ValueError, match="dilation_ratio is 0"):
        BoundaryIoU(2, dilation_ratio=0)


def logits_and_target(seed: int, void: float = 0.1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(2, 4, 20, 25, generator=generator)
    target = torch.where(
        torch.rand(2, 20, 25, generator=generator) < 0.4,
        logits.argmax(1),
        torch.randint(0, 4, (2, 20, 25), generator=generator),
    )
    target[torch.rand(2, 20, 25, generator=generator) < void] = VOID
    return logits, target


@pytest.mark.parametrize("num_bins", [1, 10, 15, 100])
@pytest.mark.parametrize("void", [0.0, 0.1, 0.99])
def test_calibration_error_is_that_of_torchmetrics(num_bins: int, void: float) -> None:
    from torchmetrics.classification import MulticlassCalibrationError

    logits, target = logits_and_target(10, void)
    metric = CalibrationError(num_bins)
    metric.update(logits, target)
    reference = MulticlassCalibrationError(4, n_bins=num_bins, norm="l1", ignore_index=VOID)
    expected = float(reference(logits, target))
    assert metric.expected_calibration_error() == pytest.approx(expected, abs=2e-6)


def test_calibration_worked_by_hand() -> None:
    # Confidences 0.6 right, 0.6 wrong, 0.5 right (a tie, in the first of two bins), 0.9 void.
    p = torch.tensor([0.6, 0.6, 0.5, 0.9])
    logits = torch.stack([p, 1 - p]).log().view(1, 2, 1, 4)
    metric = CalibrationError(num_bins=2)
    metric.update(logits, torch.tensor([[[0, 1, 0, VOID]]]))
    confidence, accuracy, share = metric.reliability()
    assert confidence.tolist() == pytest.approx([0.5, 0.6])
    assert accuracy.tolist() == pytest.approx([1.0, 0.5])
    assert share.tolist() == pytest.approx([1 / 3, 2 / 3])
    assert metric.expected_calibration_error() == pytest.approx(0.5 / 3 + 0.1 * 2 / 3)


def test_certainty_falls_into_the_last_bin_and_empty_bins_are_nan() -> None:
    logits = torch.tensor([200.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 1, 2)
    metric = CalibrationError(num_bins=4)
    metric.update(logits, torch.tensor([[[0, 1]]]))
    confidence, accuracy, share = metric.reliability()
    assert confidence[:3].isnan().all()
    assert accuracy[:3].isnan().all()
    assert share.tolist() == [0, 0, 0, 1]
    assert (float(confidence[3]), float(accuracy[3])) == (1.0, 0.5)
    assert metric.expected_calibration_error() == 0.5


def test_half_precision_logits_are_taken() -> None:
    logits, target = logits_and_target(11)
    half, full = CalibrationError(), CalibrationError()
    half.update(logits.bfloat16(), target)
    full.update(logits.bfloat16().float(), target)
    assert torch.equal(half.counts, full.counts)


@pytest.mark.parametrize(
    ("logits", "target", "message"),
    [
        (torch.zeros(1, 2, 3, 3), torch.zeros(1, 3, 4).long(), r"\(1, 3, 4\)"),
        (torch.zeros(1, 2, 3, 3), torch.full((1, 3, 3), 2), "value 2 in 9"),
        (torch.full((1, 2, 3, 3), torch.nan), torch.zeros(1, 3, 3).long(), "NaN"),
    ],
)
def test_logits_that_do_not_fit_say_why(logits: Tensor, target: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CalibrationError().update(logits, target)


def test_calibration_needs_a_bin() -> None:
    with pytest.raises(ValueError, match="num_bins is 0"):
        CalibrationError(num_bins=0)


@pytest.mark.parametrize(
    ("build", "batches"),
    [
        (lambda: ConfusionMatrix(5), [label_maps(seed) for seed in range(3)]),
        (lambda: BoundaryIoU(3), [blobs(seed, (30, 40), 3, 0.1) for seed in range(3)]),
        (CalibrationError, [logits_and_target(seed) for seed in range(3)]),
    ],
)
def test_merging_is_the_same_in_any_order(
    build: Callable[[], Any], batches: list[tuple[Tensor, Tensor]]
) -> None:
    def counted(*indices: int) -> Any:
        metric = build()
        for index in indices:
            metric.update(*batches[index])
        return metric

    whole = counted(0, 1, 2).state()
    assert all(counts.dtype == torch.int64 for counts in whole)
    left = counted(0).merge(counted(1)).merge(counted(2))
    right = counted(2).merge(counted(1).merge(counted(0)))
    for counts, merged, turned in zip(whole, left.state(), right.state(), strict=True):
        assert torch.equal(counts, merged)
        assert torch.equal(counts, turned)


def test_calibration_counts_a_batch_as_its_images() -> None:
    logits, target = logits_and_target(12)
    together, one_by_one = CalibrationError(), CalibrationError()
    together.update(logits, target)
    for image in range(len(target)):
        one_by_one.update(logits[image : image + 1], target[image : image + 1])
    assert torch.equal(together.counts[:2], one_by_one.counts[:2])
    # A pixel's softmax may differ in its last two bits: which pixels torch takes at once, depends
    # on the size of the batch and on the threads.
    apart = (together.counts[2] - one_by_one.counts[2]).abs()
    assert (apart <= 2 * together.counts[0]).all()


def test_the_state_is_the_metric_itself() -> None:
    matrix = confusion(torch.tensor([0, 1]), torch.tensor([0, 0]), classes=2)
    for counts in matrix.state():
        counts.copy_(torch.tensor([[3, 1], [0, 4]]))
    assert matrix.pixel_accuracy() == pytest.approx(7 / 8)


def test_merging_metrics_of_other_settings_is_an_error() -> None:
    with pytest.raises(ValueError, match="same settings"):
        ConfusionMatrix(3).merge(ConfusionMatrix(4))


# Fréchet distance


def normal_features(seed: int, n: int, dimensions: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(dimensions, dimensions, generator=generator)
    return torch.randn(n, dimensions, generator=generator) @ mix + seed


@pytest.mark.parametrize("seed", range(5))
def test_frechet_distance_is_that_of_scipy_s_matrix_root(seed: int) -> None:
    first, second = normal_features(seed, 50), normal_features(seed + 1, 60)
    c1, c2 = (np.cov(features.numpy().astype(float).T) for features in (first, second))
    root = scipy.linalg.sqrtm(c1 @ c2)
    means = (first.double().mean(0) - second.double().mean(0)).square().sum().item()
    expected = means + np.trace(c1 + c2 - 2 * np.real(root))
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(second, first) == pytest.approx(expected, rel=1e-6)


def test_frechet_distance_by_hand_in_one_dimension() -> None:
    # (m1 - m2)^2 + (s1 - s2)^2, of deviations 2 and 5.
    one = [torch.tensor([value]) for value in (1.0, 4.0)]
    distance = frechet_distance_of_normals(
        one[0], torch.tensor([[4.0]]), one[1], torch.tensor([[25.0]])
    )
    assert distance == pytest.approx(9 + 9)
    first = torch.tensor([[0.0], [2.0]])  # mean 1, variance 2
    assert frechet_distance(first, first + 3) == pytest.approx(9)


def test_frechet_distance_of_a_set_to_itself_is_zero_even_with_few_samples() -> None:
    features = normal_features(0, 3, dimensions=8)  # covariances of rank 2
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-5)


def test_few_samples_make_two_equal_populations_look_different() -> None:
    few, many = (
        frechet_distance(*normal_features(0, size).split(size // 2)) for size in (20, 2000)
    )
    assert few > 5 * many


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (torch.zeros(1, 3), torch.zeros(5, 3), "first has the shape"),
        (torch.zeros(5, 3), torch.zeros(5, 4), "second has the shape"),
        (torch.zeros(5), torch.zeros(5, 1), "first has the shape"),
        (torch.zeros(5, 3), torch.full((5, 3), float("nan")), "second has features"),
    ],
)
def test_features_that_do_not_fit_are_refused(first: Tensor, second: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        frechet_distance(first, second)
