"""The losses against PyTorch, hand-worked numbers, the definitions, and gradient checks."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from segtut.losses import (
    AbsoluteErrorLoss,
    CrossEntropyLoss,
    DiceLoss,
    FocalLoss,
    LovaszSoftmaxLoss,
    SumOfLosses,
    ThinnedLoss,
    TverskyLoss,
    build_loss,
    class_pixel_counts,
    inverse_log_weights,
    median_frequency_weights,
)

VOID = 255
WEIGHT = torch.tensor([0.2, 1.0, 3.0, 0.5])
LOSSES: dict[str, nn.Module] = {
    "ce": CrossEntropyLoss(),
    "ce weighted": CrossEntropyLoss(weight=WEIGHT),
    "ce smoothed": CrossEntropyLoss(weight=WEIGHT, label_smoothing=0.1),
    "dice": DiceLoss(),
    "focal": FocalLoss(),
    "focal weighted": FocalLoss(gamma=0.5, weight=WEIGHT),
    "tversky": TverskyLoss(),
    "lovasz": LovaszSoftmaxLoss(),
    "l1": AbsoluteErrorLoss(),
    "ce+dice": build_loss("ce+dice", 4, WEIGHT),
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
quick = settings(max_examples=25, deadline=None, derandomize=True)


def batch(
    seed: int, classes: int = 4, size: tuple[int, int, int] = (2, 5, 6), void: float = 0.2
) -> tuple[Tensor, Tensor]:
    """Random float64 logits (N, C, H, W) and a target of which a share is void."""
    generator = torch.Generator().manual_seed(seed)
    number, height, width = size
    logits = 3 * torch.randn(
        number, classes, height, width, generator=generator, dtype=torch.float64
    )
    target = torch.randint(0, classes, size, generator=generator)
    target[torch.rand(size, generator=generator) < void] = VOID
    return logits, target


def one_row(probabilities: list[float], target: list[int]) -> tuple[Tensor, Tensor]:
    """A picture of one row and two classes, given the probability of class 1."""
    p = torch.tensor(probabilities, dtype=torch.float64)
    logits = torch.stack([1 - p, p]).log()
    return logits.view(1, 2, 1, -1), torch.tensor(target).view(1, 1, -1)


# Four pixels, the last one void, whose sums are worked by hand:
# class 0: TP 0.9, FP 0.2 + 0.6, FN 0.1; class 1: TP 0.8 + 0.4, FP 0.1, FN 0.2 + 0.6.
HAND_WORKED = one_row([0.8, 0.4, 0.1, 0.5], [1, 1, 0, VOID])


@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("ignore_index", [255, -100, 2])
def test_cross_entropy_is_that_of_torch(
    weight: Tensor | None, label_smoothing: float, ignore_index: int
) -> None:
    logits, target = batch(seed=0)
    target[target == VOID] = ignore_index
    expected = F.cross_entropy(
        logits,
        target,
        None if weight is None else weight.double(),
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
    )
    loss = CrossEntropyLoss(weight, label_smoothing, ignore_index)
    torch.testing.assert_close(loss(logits, target), expected)


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_focal_loss_of_gamma_zero_is_cross_entropy(weight: Tensor | None) -> None:
    logits, target = batch(seed=1)
    expected = CrossEntropyLoss(weight)(logits, target)
    torch.testing.assert_close(FocalLoss(gamma=0.0, weight=weight)(logits, target), expected)


def test_focal_loss_worked_by_hand() -> None:
    terms = [0.2**2 * math.log(0.8), 0.6**2 * math.log(0.4), 0.1**2 * math.log(0.9)]
    assert float(FocalLoss(gamma=2.0)(*HAND_WORKED)) == pytest.approx(-sum(terms) / 3)


def test_weighted_focal_loss_worked_by_hand() -> None:
    weight = torch.tensor([5.0, 2.0])
    terms = [2 * 0.2 * math.log(0.8), 2 * 0.6 * math.log(0.4), 5 * 0.1 * math.log(0.9)]
    loss = FocalLoss(gamma=1.0, weight=weight)(*HAND_WORKED)
    assert float(loss) == pytest.approx(-sum(terms) / 9)


def test_dice_loss_worked_by_hand() -> None:
    expected = 1 - (1.8 / (1.8 + 0.8 + 0.1) + 2.4 / (2.4 + 0.1 + 0.8)) / 2
    assert float(DiceLoss()(*HAND_WORKED)) == pytest.approx(expected)


def test_tversky_loss_worked_by_hand() -> None:
    zero = 0.9 / (0.9 + 0.3 * 0.8 + 0.7 * 0.1)
    one = 1.2 / (1.2 + 0.3 * 0.1 + 0.7 * 0.8)
    loss = TverskyLoss(alpha=0.3, beta=0.7)(*HAND_WORKED)
    assert float(loss) == pytest.approx(1 - (zero + one) / 2)


def test_tversky_loss_of_one_and_one_is_the_jaccard_loss_of_hard_predictions() -> None:
    logits, target, expected = hard_predictions(seed=3)
    assert float(TverskyLoss(1.0, 1.0)(logits, target)) == pytest.approx(expected)


def hard_predictions(seed: int) -> tuple[Tensor, Tensor, float]:
    """Logits that are certain, a target, and the mean Jaccard loss of the classes it shows."""
    logits, target = batch(seed)
    prediction = logits.argmax(1)
    certain = 200 * F.one_hot(prediction, 4).permute(0, 3, 1, 2).double()
    seen = target != VOID
    jaccard = []
    for index in target[seen].unique():
        hit = (prediction == index) & (target == index)
        either = ((prediction == index) | (target == index)) & seen
        jaccard.append(1 - int(hit.sum()) / int(either.sum()))
    return certain, target, sum(jaccard) / len(jaccard)


@pytest.mark.parametrize("seed", range(5))
def test_lovasz_loss_of_hard_predictions_is_the_jaccard_loss(seed: int) -> None:
    logits, target, expected = hard_predictions(seed)
    assert float(LovaszSoftmaxLoss()(logits, target)) == pytest.approx(expected)


def lovasz_extension_of_jaccard(errors: list[float], truth: list[bool]) -> float:
    """The definition: errors, sorted down, times what each pixel adds to the set function.

    The set function is the Jaccard loss 1 - |truth without M| / |truth and M| of the set M of
    pixels that are wrong. Only the set's two sizes are carried along, so this is O(n log n).
    """
    wrong_inside = wrong_outside = 0
    inside = sum(truth)
    total = previous = 0.0
    for pixel in sorted(range(len(errors)), key=lambda index: -errors[index]):
        wrong_inside += truth[pixel]
        wrong_outside += not truth[pixel]
        jaccard_loss = 1 - (inside - wrong_inside) / (inside + wrong_outside)
        total += errors[pixel] * (jaccard_loss - previous)
        previous = jaccard_loss
    return total


@given(
    seed=st.integers(0, 2**31),
    classes=st.integers(1, 6),
    void=st.sampled_from([0.0, 0.3, 0.9]),
)
@quick
def test_lovasz_loss_is_the_lovasz_extension(seed: int, classes: int, void: float) -> None:
    logits, target = batch(seed, classes, size=(2, 7, 9), void=void)
    # Repeated numbers: the extension must not depend on how equal errors are ordered.
    logits = logits.round()
    seen = target != VOID
    probabilities = logits.softmax(1).movedim(1, 0)[:, seen]
    values = []
    for index in target[seen].unique().tolist():
        truth = target[seen] == index
        errors = (truth.double() - probabilities[index]).abs()
        values.append(lovasz_extension_of_jaccard(errors.tolist(), truth.tolist()))
    expected = sum(values) / len(values) if values else 0.0
    assert float(LovaszSoftmaxLoss()(logits, target)) == pytest.approx(expected, abs=1e-12)
    assert float(LovaszSoftmaxLoss()(logits.float(), target)) == pytest.approx(expected, abs=1e-5)


def test_lovasz_gradient_keeps_its_digits_in_float32() -> None:
    logits, target = batch(seed=4, size=(1, 200, 300))
    exact = gradient(LovaszSoftmaxLoss(), logits, target)
    rounded = gradient(LovaszSoftmaxLoss(), logits.float(), target).double()
    assert float((rounded - exact).norm() / exact.norm()) < 1e-4


def gradient(loss: nn.Module, logits: Tensor, target: Tensor) -> Tensor:
    logits = logits.detach().clone().requires_grad_()
    loss(logits, target).backward()
    assert logits.grad is not None
    return logits.grad


@every_loss
def test_gradients_are_those_of_finite_differences(loss: nn.Module) -> None:
    logits, target = batch(seed=5, size=(2, 3, 3))
    assert torch.autograd.gradcheck(lambda x: loss(x, target), logits.requires_grad_())


@every_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(loss: nn.Module, dtype: torch.dtype) -> None:
    logits, target = batch(seed=6, size=(1, 512, 512))
    logits = logits.to(dtype)
    value = loss(logits, target)
    assert value.dtype == torch.float32
    assert float(value) == pytest.approx(float(loss(logits.double(), target)), rel=1e-5)
    assert gradient(loss, logits, target).isfinite().all()


@every_loss
def test_autocast_does_not_lower_the_precision(loss: nn.Module) -> None:
    logits, target = batch(seed=6)
    expected = loss(logits.float(), target)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(loss(logits.float(), target), expected)


@every_loss
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_batch_that_is_all_void_costs_nothing(loss: nn.Module, dtype: torch.dtype) -> None:
    logits, target = batch(seed=7, void=2.0)
    logits = logits.to(dtype)
    assert float(loss(logits, target)) == 0.0
    assert torch.equal(gradient(loss, logits, target), torch.zeros_like(logits))
    assert float(loss.normalizer(target)) == 0.0


@every_loss
def test_void_pixels_count_for_nothing(loss: nn.Module) -> None:
    logits, target = batch(seed=8)
    void = (target == VOID).unsqueeze(1)
    changed = torch.where(void, 50 * logits.flip(1), logits)
    torch.testing.assert_close(loss(changed, target), loss(logits, target))
    slopes = gradient(loss, logits, target)
    assert not slopes[void.expand_as(slopes)].any()
    assert slopes[~void.expand_as(slopes)].any()


@every_loss
def test_right_and_certain_costs_nothing_and_wrong_and_certain_is_finite(loss: nn.Module) -> None:
    _, target = batch(seed=9)
    right = F.one_hot(target.where(target != VOID, 0), 4).permute(0, 3, 1, 2).float()
    smoothing = sum(getattr(part, "label_smoothing", 0.0) for part in loss.modules())
    if not smoothing:
        assert float(loss(200 * right, target)) == pytest.approx(0.0, abs=1e-6)
    for scale in (200.0, -200.0):
        assert loss(scale * right, target).isfinite()
        assert gradient(loss, scale * right, target).isfinite().all()


@pytest.mark.parametrize("name", ["ce", "dice", "focal", "tversky", "lovasz"])
def test_a_single_class_is_always_right(name: str) -> None:
    logits, target = batch(seed=10, classes=1)
    assert float(build_loss(name, 1)(logits, target)) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("name", ["dice", "tversky", "lovasz"])
def test_classes_that_are_not_shown_are_not_averaged(name: str) -> None:
    # The same two probabilities; class 2 is neither shown nor predicted.
    logits, target = HAND_WORKED
    absent = torch.full_like(logits[:, :1], -200.0)
    expected = build_loss(name, 2)(logits, target)
    actual = build_loss(name, 3)(torch.cat([logits, absent], dim=1), target)
    torch.testing.assert_close(actual, expected)


@every_loss
@given(seed=st.integers(0, 2**31), order=st.permutations(range(4)))
@quick
def test_renaming_the_classes_changes_nothing(loss: nn.Module, seed: int, order: list[int]) -> None:
    if any(getattr(part, "weight", None) is not None for part in loss.modules()):
        loss = build_loss("ce+focal", 4)
    logits, target = batch(seed)
    # Channel i now holds what channel order[i] held.
    new_name = torch.tensor(order).argsort()
    renamed = torch.where(target == VOID, VOID, new_name[target.where(target != VOID, 0)])
    torch.testing.assert_close(loss(logits[:, order], renamed), loss(logits, target))
    torch.testing.assert_close(
        gradient(loss, logits[:, order], renamed), gradient(loss, logits, target)[:, order]
    )


@pytest.mark.parametrize("name", ["ce", "ce weighted", "ce smoothed", "focal", "focal weighted"])
def test_normalizers_put_unequal_micro_batches_together(name: str) -> None:
    loss = LOSSES[name]
    logits, target = batch(seed=11, size=(4, 5, 6))
    target[1:] = torch.where(target[1:] == 0, VOID, target[1:])
    images = zip(logits.split(1), target.split(1), strict=True)
    parts = [(loss(x, t), loss.normalizer(t)) for x, t in images]
    together = sum(value * count for value, count in parts) / sum(count for _, count in parts)
    torch.testing.assert_close(together.double(), loss(logits, target), rtol=1e-6, atol=0)


def test_the_normalizer_is_the_number_of_pixels_or_the_sum_of_their_weights() -> None:
    target = torch.tensor([[[0, 0, 2], [VOID, 3, VOID]]])
    for name in ("ce", "dice", "focal", "tversky", "lovasz"):
        count = LOSSES[name].normalizer(target)
        assert (count.dtype, count.shape, float(count)) == (torch.float32, (), 4.0)
    for name in ("ce weighted", "focal weighted", "ce+dice"):
        assert float(LOSSES[name].normalizer(target)) == pytest.approx(0.2 + 0.2 + 3.0 + 0.5)


def test_a_sum_of_losses_adds_them_up() -> None:
    logits, target = batch(seed=12)
    loss = SumOfLosses([(1.0, CrossEntropyLoss()), (3.0, DiceLoss())])
    expected = CrossEntropyLoss()(logits, target) + 3 * DiceLoss()(logits, target)
    torch.testing.assert_close(loss(logits, target), expected)


def test_losses_are_built_by_name() -> None:
    for name, cls in {
        "ce": CrossEntropyLoss,
        "dice": DiceLoss,
        "focal": FocalLoss,
        "tversky": TverskyLoss,
        "lovasz": LovaszSoftmaxLoss,
    }.items():
        assert type(build_loss(name, 4)) is cls
    logits, target = batch(seed=13)
    expected = CrossEntropyLoss(WEIGHT)(logits, target) + LovaszSoftmaxLoss()(logits, target)
    torch.testing.assert_close(build_loss("lovasz+ce", 4, WEIGHT)(logits, target), expected)


@pytest.mark.parametrize(
    ("name", "weight", "message"),
    [
        ("jaccard", None, "'jaccard'.*ce, focal, dice, tversky, lovasz"),
        ("ce+", None, "no loss is called ''"),
        ("ce", torch.ones(3), "3 class weights; expected 4"),
        ("dice", torch.ones(4), "'dice' takes no class weights"),
        ("ce", torch.tensor([1.0, -1.0, 1.0, 1.0]), "none negative"),
        ("ce", torch.tensor([1.0, math.inf, 1.0, 1.0]), "finite"),
    ],
)
def test_building_a_loss_that_cannot_be_says_why(
    name: str, weight: Tensor | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        build_loss(name, 4, weight)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: CrossEntropyLoss(label_smoothing=1.5), "label_smoothing is 1.5"),
        (lambda: FocalLoss(gamma=-1), "gamma is -1"),
        (lambda: TverskyLoss(alpha=0.5, beta=0.0), "beta above 0"),
        (lambda: SumOfLosses([]), "no terms"),
        (lambda: ThinnedLoss(CrossEntropyLoss(), 0), "the stride is 0"),
    ],
)
def test_settings_out_of_range_say_what_was_expected(build: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()  # type: ignore[operator]


@every_loss
def test_targets_that_do_not_fit_say_why(loss: nn.Module) -> None:
    logits, target = batch(seed=14)
    with pytest.raises(ValueError, match="holds the value 37"):
        loss(logits, target.where(target != 1, 37))
    with pytest.raises(ValueError, match=r"target has the shape \(2, 4, 6\)"):
        loss(logits, target[:, :4])
    with pytest.raises(ValueError, match=r"uint8; expected int64"):
        loss(logits, target.byte())
    with pytest.raises(ValueError, match=r"logits have the shape \(4, 5, 6\)"):
        loss(logits[0], target)


def test_weights_for_another_number_of_classes_say_so() -> None:
    logits, target = batch(seed=15, classes=5)
    with pytest.raises(ValueError, match="4 class weights for 5 classes"):
        CrossEntropyLoss(WEIGHT)(logits, target)


class TwoImages:
    """Two images of 100 pixels, of 60, 40, 0 and 90, 0, 5 pixels a class and 5 of void."""

    num_classes = 3

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> tuple[None, Tensor]:
        runs = [(0, 60, 1, 40), (0, 90, 2, 5, VOID, 5)][index]
        labels = [torch.full((n,), label) for label, n in zip(runs[::2], runs[1::2], strict=True)]
        return None, torch.cat(labels).view(10, 10)


def test_pixels_are_counted_by_image_and_class() -> None:
    assert class_pixel_counts(TwoImages()).tolist() == [[60, 40, 0], [90, 0, 5]]


def test_counting_names_the_sample_with_a_wrong_label() -> None:
    dataset = TwoImages()
    dataset.num_classes = 2
    with pytest.raises(ValueError, match="mask of sample 1 holds the value 2"):
        class_pixel_counts(dataset)


def test_median_frequency_weights_worked_by_hand() -> None:
    # Frequencies where the class occurs: 150 / 195, 40 / 100, 5 / 95. The median is the second.
    weights = median_frequency_weights(torch.tensor([[60, 40, 0], [90, 0, 5]]))
    assert weights.tolist() == pytest.approx([0.4 * 195 / 150, 1.0, 0.4 * 95 / 5])


def test_median_frequency_weights_of_a_whole_set() -> None:
    # Shares 0.5, 0.3, 0.2 and 0; the median of those that occur is 0.3.
    weights = median_frequency_weights(torch.tensor([50, 30, 20, 0]))
    assert weights.tolist() == pytest.approx([0.6, 1.0, 1.5, 0.0])


@pytest.mark.parametrize("counts", [[75, 25, 0], [[60, 20, 0], [15, 5, 0]]])
def test_inverse_log_weights_worked_by_hand(counts: list[int]) -> None:
    expected = [1 / math.log(1.77), 1 / math.log(1.27), 1 / math.log(1.02)]
    assert inverse_log_weights(torch.tensor(counts)).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("counts", [[0, 0], [3, -1]])
def test_counts_without_pixels_have_no_weights(counts: list[int]) -> None:
    for weights in (median_frequency_weights, inverse_log_weights):
        with pytest.raises(ValueError, match="pixel counts"):
            weights(torch.tensor(counts))


def test_thinned_loss_takes_every_pixel_of_a_block_from_some_image() -> None:
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(5, 4, 6, 10, generator=generator)
    target = torch.randint(0, 4, (5, 6, 10), generator=generator)
    target[:, :2] = 255
    places = [(0, 0), (0, 1), (1, 0), (1, 1), (0, 0)]
    seen = [(logits[n, :, y::2, x::2], target[n, y::2, x::2]) for n, (y, x) in enumerate(places)]
    thin = torch.stack([z for z, _ in seen]), torch.stack([y for _, y in seen])
    inner = CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 0.5, 3.0]))
    loss = ThinnedLoss(inner, 2)
    assert loss(logits, target).item() == pytest.approx(inner(*thin).item())
    assert loss.normalizer(target).item() == pytest.approx(inner.normalizer(thin[1]).item())
    assert ThinnedLoss(inner, 1)(logits, target).item() == inner(logits, target).item()


def test_thinned_loss_leaves_out_what_fills_no_block() -> None:
    logits, target = torch.randn(1, 3, 5, 7), torch.zeros(1, 5, 7, dtype=torch.int64)
    loss = ThinnedLoss(CrossEntropyLoss(), 2)
    assert loss.normalizer(target).item() == 2 * 3
    with pytest.raises(ValueError, match="at least 8 pixels a side"):
        ThinnedLoss(CrossEntropyLoss(), 8)(logits, target)


def test_absolute_error_is_that_of_probabilities_and_one_hot_labels() -> None:
    logits, target = batch(seed=3)
    valid = target != VOID
    wanted = F.one_hot(torch.where(valid, target, 0), 4).movedim(-1, 1)
    errors = (logits.softmax(1) - wanted).abs().mean(1)
    torch.testing.assert_close(AbsoluteErrorLoss()(logits, target), errors[valid].mean())
