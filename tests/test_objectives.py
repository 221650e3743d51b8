"""Objectives against their definitions, and the one loop that trains networks by them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence
from torch.nn import functional as F

from segtut import objectives
from segtut.data import PartlyLabeled
from segtut.data.dataset import VOID
from segtut.losses import AbsoluteErrorLoss, CrossEntropyLoss
from segtut.models import (
    Discriminator,
    Generator,
    LabelToImage,
    MaskedAutoencoder,
    PatchDiscriminator,
    Reconstructor,
    VariationalAutoencoder,
)
from segtut.objectives import (
    AdversarialSegmentation,
    CopyPaste,
    CutMix,
    Distillation,
    Generation,
    MeanTeacher,
    Noise,
    Objective,
    Patches,
    Reconstruction,
    SemiAdversarial,
    Supervised,
    Translation,
    VariationalBound,
    copy_paste,
    cutmix,
    discriminator_loss,
    generator_loss,
    kl_to_standard_normal,
    one_hot,
    r1_penalty,
    rectangles,
)
from segtut.training import Plan, fit
from tests.blocks import Blocks, small_unet

QUIET: dict[str, Any] = {"precision": "fp32", "device": "cpu", "progress": False}
SMALL: dict[str, Any] = {"width": 4, "depth": 2}
KINDS = ("minimax", "non_saturating", "hinge", "least_squares")


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def labels(*shape: int, classes: int = 3, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(classes, shape, generator=generator)
    target[..., 0] = VOID
    return target


def ready(objective: Objective) -> Any:
    objective.prepare(torch.device("cpu"), "fp32")
    return objective


def weights(model: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


def moved(model: nn.Module, before: list[Tensor]) -> bool:
    return not all(map(torch.equal, before, model.parameters()))


# The losses of the two players


def test_gan_losses_are_their_definitions() -> None:
    scores, other = 3 * random(7) - 1.5, 3 * random(7, seed=1) - 1.5
    d, d_other = scores.sigmoid(), other.sigmoid()
    torch.testing.assert_close(generator_loss(scores, "minimax"), (1 - d).log().mean())
    torch.testing.assert_close(generator_loss(scores, "non_saturating"), -d.log().mean())
    torch.testing.assert_close(generator_loss(scores, "hinge"), -scores.mean())
    torch.testing.assert_close(
        generator_loss(scores, "least_squares"), F.mse_loss(scores, scores * 0 + 1)
    )
    expected = -d.log().mean() - (1 - d_other).log().mean()
    for kind in ("minimax", "non_saturating"):
        torch.testing.assert_close(discriminator_loss(scores, other, kind), expected)
    hinge = (1 - scores).clamp(min=0).mean() + (1 + other).clamp(min=0).mean()
    torch.testing.assert_close(discriminator_loss(scores, other, "hinge"), hinge)
    squares = ((scores - 1) ** 2).mean() + (other**2).mean()
    torch.testing.assert_close(discriminator_loss(scores, other, "least_squares"), squares)


def test_smoothing_lowers_the_target_of_real_samples() -> None:
    real, fake = 4 * random(9) - 2, 4 * random(9, seed=1) - 2
    expected = F.binary_cross_entropy_with_logits(real, torch.full((9,), 0.9))
    expected = expected + F.binary_cross_entropy_with_logits(fake, torch.zeros(9))
    torch.testing.assert_close(discriminator_loss(real, fake, smoothing=0.1), expected)
    for kind, smoothing in (("hinge", 0.1), ("non_saturating", 1.0), ("minimax", -0.1)):
        with pytest.raises(ValueError, match="smoothing"):
            discriminator_loss(real, fake, kind, smoothing)  # type: ignore[arg-type]


@pytest.mark.parametrize("score", [-6.0, 0.0, 4.0])
def test_slopes_of_the_two_losses_of_section_3_4_1(score: float) -> None:
    value = torch.tensor(score, requires_grad=True)
    d = 1 / (1 + math.exp(-score))
    (minimax,) = torch.autograd.grad(generator_loss(value, "minimax"), value)
    (other,) = torch.autograd.grad(generator_loss(value, "non_saturating"), value)
    assert minimax.item() == pytest.approx(-d, rel=1e-5)
    assert other.item() == pytest.approx(-(1 - d), rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_sure_scores_give_finite_losses_and_slopes(kind: Any) -> None:
    scores = torch.tensor([-1e3, 1e3], requires_grad=True)
    loss = generator_loss(scores, kind) + discriminator_loss(scores, scores, kind)
    loss.backward()
    assert loss.isfinite()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()


def test_unknown_loss_is_answered_with_those_that_exist() -> None:
    with pytest.raises(ValueError, match=r"'wasserstein'.*minimax.*hinge"):
        generator_loss(torch.zeros(1), "wasserstein")  # type: ignore[arg-type]


class Bowl(nn.Module):
    """w.x + a |x|^2 / 2, whose slope is w + a x."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(random(6, seed=2))
        self.a = nn.Parameter(torch.tensor(0.7))

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        return x @ self.w + self.a * x.square().sum(1) / 2


def test_r1_is_half_the_squared_slope_by_hand_and_so_is_its_own_slope() -> None:
    bowl, x = Bowl(), random(5, 2, 3)
    penalty = r1_penalty(bowl, x)
    slopes = bowl.w.detach() + bowl.a.detach() * x.flatten(1)
    torch.testing.assert_close(penalty.detach(), slopes.square().sum(1).mean() / 2)
    penalty.backward()
    torch.testing.assert_close(bowl.w.grad, slopes.mean(0))
    torch.testing.assert_close(bowl.a.grad, (slopes * x.flatten(1)).sum(1).mean())


def test_r1_does_not_leave_gradients_on_the_samples() -> None:
    x = random(3, 6)
    r1_penalty(Bowl(), x)
    assert not x.requires_grad
    assert x.grad is None


# Reconstruction


def test_divergence_from_the_standard_normal_is_that_of_torch() -> None:
    mean, log_variance = 4 * random(3, 5) - 2, 4 * random(3, 5, seed=1) - 2
    expected = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(kl_to_standard_normal(mean, log_variance), expected)


def test_noise_and_patches_damage_the_picture_and_the_loss_compares_with_the_original() -> None:
    images, target = random(4, 3, 16, 16), labels(4, 16, 16)
    seen: list[Tensor] = []

    class Echo(nn.Module):
        def forward(self, pictures: Tensor) -> Tensor:
            seen.append(pictures)
            return pictures

    for corrupt in (None, Noise(0.3), Patches(4, 0.5)):
        loss = ready(Reconstruction(corrupt))(Echo(), images, target)
        torch.testing.assert_close(loss, (seen[-1] - images).square().mean())
        assert (loss > 0) == (corrupt is not None)
    assert min(picture.min() for picture in seen) >= 0
    assert max(picture.max() for picture in seen) <= 1
    assert (seen[-1] == 0.5).all(1).float().mean() == 0.5


@pytest.mark.parametrize("make", [lambda: Noise(-1), lambda: Patches(0), lambda: Patches(8, 1.1)])
def test_damage_out_of_range_is_refused(make: Any) -> None:
    with pytest.raises(ValueError, match="got"):
        make()


def test_hidden_only_counts_the_hidden_pixels_alone() -> None:
    model = MaskedAutoencoder(**SMALL, patch=4, share=0.5).train()
    images = random(2, 3, 16, 16)
    torch.manual_seed(3)
    loss = ready(Reconstruction(hidden_only=True))(model, images, labels(2, 16, 16))
    torch.manual_seed(3)
    seen, hidden = model.mask(images)
    errors = (model.reconstruct(seen) - images).square()
    torch.testing.assert_close(loss, errors[hidden.expand_as(errors)].mean())


def test_hidden_only_needs_a_network_that_hides() -> None:
    with pytest.raises(ValueError, match="MaskedAutoencoder"):
        Reconstruction(Noise(), hidden_only=True)
    objective = ready(Reconstruction(hidden_only=True))
    with pytest.raises(ValueError, match="not Reconstructor"):
        objective(Reconstructor(**SMALL), random(1, 3, 8, 8), labels(1, 8, 8))


def test_variational_bound_is_its_two_terms() -> None:
    torch.manual_seed(0)
    model = VariationalAutoencoder((8, 8), 4, **SMALL).eval()
    images = random(5, 3, 8, 8)
    loss = ready(VariationalBound(beta=0.5, sigma=0.2))(model, images, labels(5, 8, 8))
    picture, mean, log_variance = model(images)
    errors = (picture - images).square().sum() / (2 * 0.2**2) / 5
    divergence = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum() / 5
    torch.testing.assert_close(loss, errors + 0.5 * divergence)
    for options in ({"sigma": 0.0}, {"beta": -1.0}):
        with pytest.raises(ValueError, match="sigma above 0"):
            VariationalBound(**options)


# Adversaries


def adversaries() -> dict[str, tuple[nn.Module, Any]]:
    torch.manual_seed(0)
    judge = PatchDiscriminator(6, width=4, layers=1)
    maps = PatchDiscriminator(3, width=4, layers=1)
    noise = Generator((16, 16), 4, width=4, depth=2)
    whole = Discriminator((16, 16), width=4, depth=2)
    return {
        "generation": (noise, ready(Generation(whole, learning_rate=1e-2))),
        "translation": (LabelToImage(3, **SMALL), ready(Translation(judge, 3, l1=1.0))),
        "segmentation": (small_unet(), ready(AdversarialSegmentation(None, judge))),
        "semi": (small_unet(), ready(SemiAdversarial(None, maps, start=0))),
    }


@pytest.mark.parametrize("name", ["generation", "translation", "segmentation", "semi"])
def test_the_players_take_turns(name: str) -> None:
    model, objective = adversaries()[name]
    model.train()
    images, target = random(4, 3, 16, 16), labels(4, 16, 16)
    before, mine = weights(objective.discriminator), weights(model)
    objective(model, images, target).backward()
    slopes = [parameter.grad for parameter in model.parameters()]
    assert any(slope is not None and slope.abs().sum() > 0 for slope in slopes)
    assert all(p.grad is None for p in objective.discriminator.parameters())
    assert not moved(objective.discriminator, before)
    model.zero_grad()
    objective.finish_step(model, 1.0)
    assert moved(objective.discriminator, before)
    assert not moved(model, mine)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert len(objective.discriminator_losses) == 1
    # Nothing is left to learn from until the network has taken another step.
    after = weights(objective.discriminator)
    objective.finish_step(model, 1.0)
    assert not moved(objective.discriminator, after)


def test_a_discriminator_learns_to_tell_and_follows_the_schedule() -> None:
    torch.manual_seed(0)
    objective = ready(Generation(Discriminator((8, 8), width=4, depth=1), learning_rate=1e-2))
    model = Generator((8, 8), 4, width=4, depth=1).eval()
    for _ in range(40):
        objective(model, random(8, 3, 8, 8).round(), labels(8, 8, 8))
        objective.finish_step(model, 1.0)
    losses = objective.discriminator_losses
    assert losses[-1] < 0.5 * losses[0]
    before = weights(objective.discriminator)
    objective(model, random(8, 3, 8, 8), labels(8, 8, 8))
    objective.finish_step(model, 0.0)
    assert not moved(objective.discriminator, before)


def test_further_steps_of_the_discriminator_see_new_samples() -> None:
    torch.manual_seed(0)
    model = Generator((8, 8), 4, width=4, depth=1).eval()
    seen: list[Tensor] = []

    class Watched(Discriminator):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(images.detach().clone())
            return super().forward(images)

    objective = Generation(Watched((8, 8), width=4, depth=1), discriminator_steps=3)
    ready(objective)(model, random(4, 3, 8, 8), labels(4, 8, 8))
    seen.clear()
    objective.finish_step(model, 1.0)
    assert len(objective.discriminator_losses) == 3
    real, fake = seen[0::2], seen[1::2]
    assert all(torch.equal(real[0], other) for other in real[1:])
    assert not any(torch.equal(fake[0], other) for other in fake[1:])


def test_regression_alone_leaves_the_discriminator_alone() -> None:
    torch.manual_seed(0)
    judge = PatchDiscriminator(6, width=4, layers=1)
    objective = ready(Translation(judge, 3, gan=0.0, l1=2.0))
    model = LabelToImage(3, **SMALL).eval()
    images, target = random(2, 3, 16, 16), labels(2, 16, 16)
    loss = objective(model, images, target)
    drawn = model(one_hot(target, 3))
    torch.testing.assert_close(loss, 2 * (drawn - images).abs().mean())
    before = weights(judge)
    objective.finish_step(model, 1.0)
    assert not moved(judge, before)


def test_the_discriminator_enters_after_the_start() -> None:
    torch.manual_seed(0)
    judge = PatchDiscriminator(6, width=4, layers=1)
    objective = ready(Translation(judge, 3, l1=2.0, start=2))
    model = LabelToImage(3, **SMALL).eval()
    images, target = random(2, 3, 16, 16), labels(2, 16, 16)
    regression = 2 * (model(one_hot(target, 3)) - images).abs().mean()
    before = weights(judge)
    for _ in range(2):
        torch.testing.assert_close(objective(model, images, target), regression)
        objective.finish_step(model, 1.0)
    assert not moved(judge, before)
    assert objective(model, images, target) > regression
    objective.finish_step(model, 1.0)
    assert moved(judge, before)


def test_one_hot_leaves_void_empty() -> None:
    target = torch.tensor([[[0, 2], [VOID, 1]]])
    coded = one_hot(target, 3)
    assert coded.dtype == torch.float32
    assert coded[0, :, 0, 0].tolist() == [1, 0, 0]
    assert coded[0, :, 0, 1].tolist() == [0, 0, 1]
    assert coded[0, :, 1, 0].tolist() == [0, 0, 0]


def test_the_discriminator_of_label_maps_learns_nothing_from_void() -> None:
    shown: list[Tensor] = []

    class Watched(PatchDiscriminator):
        def forward(self, images: Tensor) -> Tensor:
            shown.append(images.detach().clone())
            return super().forward(images)

    objective = ready(AdversarialSegmentation(None, Watched(6, width=4, layers=1)))
    target = labels(2, 16, 16)
    target[0, :, 5:] = VOID
    objective(small_unet(), random(2, 3, 16, 16), target)
    objective.finish_step(small_unet(), 1.0)
    for stacked in shown:
        assert (stacked[:, 3:].movedim(1, -1)[target == VOID] == 0).all()
    assert len(shown) == 3  # the network's verdict, then the real and the answered map


def test_without_weight_the_adversary_is_only_supervision() -> None:
    images, target = random(2, 3, 16, 16), labels(2, 16, 16)
    judge = PatchDiscriminator(6, width=4, layers=1)
    with_judge = ready(AdversarialSegmentation(None, judge, weight=0.0))(
        small_unet(), images, target
    )
    torch.testing.assert_close(with_judge, ready(Supervised())(small_unet(), images, target))


def test_pictures_without_labels_count_once_the_discriminator_has_begun() -> None:
    images, target = random(4, 3, 16, 16), labels(4, 16, 16)
    target[2:] = VOID
    judge = PatchDiscriminator(3, width=4, layers=1)
    model = small_unet()
    late = ready(SemiAdversarial(None, judge, weight=0.0, start=2))
    assert torch.equal(late(model, images, target), CrossEntropyLoss()(model(images), target))
    late.finish_step(model, 1.0)
    late.finish_step(model, 1.0)
    assert late(model, images, target) > CrossEntropyLoss()(model(images), target)
    never = {"weight": 0.0, "weight_unlabeled": 0.0, "start": 0}
    strict = ready(SemiAdversarial(None, judge, **never, threshold=1.0))
    assert torch.equal(strict(model, images, target), CrossEntropyLoss()(model(images), target))
    naive = ready(SemiAdversarial(None, judge, **never, threshold=0.0, self_weight=1.0))
    logits = model(images)
    own = F.cross_entropy(logits[2:], logits[2:].argmax(1))
    expected = CrossEntropyLoss()(logits, target) + own
    torch.testing.assert_close(naive(model, images, target), expected)


def test_a_believed_answer_is_scored_as_labels_are_class_weights_included() -> None:
    """By hand: three believed pixels, two answered 0 with odds e^2 and one 1 with odds e."""
    pictures = torch.zeros(2, 3, 1, 4)
    pictures[1, 0, 0] = torch.tensor([2.0, 2.0, 0.0, 0.0])
    pictures[1, 1, 0] = torch.tensor([0.0, 0.0, 1.0, 9.0])
    target = torch.full((2, 1, 4), VOID)
    target[0, 0, 0] = 0

    class BelievesAllButTheLast(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scores = nn.Parameter(torch.tensor([9.0, 9.0, 9.0, -9.0]))

        def forward(self, maps: Tensor) -> Tensor:
            return self.scores.expand(len(maps), 1, 1, 4)

    loss = CrossEntropyLoss(weight=torch.tensor([1.0, 5.0]))
    options: dict[str, Any] = {"weight": 0, "weight_unlabeled": 0, "self_weight": 3, "start": 0}
    goal = ready(SemiAdversarial(loss, BelievesAllButTheLast(), **options))
    wrong = [math.log(1 + math.exp(-odds)) for odds in (2, 2, 1)]
    by_hand = (1 * wrong[0] + 1 * wrong[1] + 5 * wrong[2]) / (1 + 1 + 5)
    expected = math.log(2) + 3 * by_hand
    assert goal(Reader(), pictures, target).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("asked", "network", "expected"),
    [(None, 1e-3, 4e-3), (None, 2e-2, 2e-2), (1e-3, 2e-2, 1e-3), (3e-2, 1e-3, 3e-2)],
)
def test_no_discriminator_is_the_slower_player_unless_asked_to_be(
    asked: float | None, network: float, expected: float
) -> None:
    torch.manual_seed(0)
    judge = PatchDiscriminator(6, width=4, layers=1)
    goal = AdversarialSegmentation(None, judge, learning_rate=asked)
    plan = Plan(2, batch_size=2, learning_rate=network, schedule="constant", warmup=0)
    fit(small_unet("batch"), Blocks(), plan, objective=goal, **QUIET)
    assert [group["lr"] for group in goal.optimizer.param_groups] == [pytest.approx(expected)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda d: Generation(d, learning_rate=0), "learning_rate=0"),
        (lambda d: Generation(d, r1=-1), "r1=-1"),
        (lambda d: Generation(d, loss="wgan"), "wgan"),
        (lambda d: Generation(d, discriminator_steps=0), "discriminator_steps=0"),
        (lambda d: Translation(d, 3, gan=0, l1=0), "not both zero"),
        (lambda d: Translation(d, 3, l1=-1), "l1=-1"),
        (lambda d: Translation(d, 3, l1=0, start=3), "start=3"),
        (lambda d: Translation(d, 3, start=-1), "start=-1"),
        (lambda d: AdversarialSegmentation(None, d, weight=-1), "weight=-1"),
        (lambda d: SemiAdversarial(None, d, self_weight=-1), "self_weight=-1"),
        (lambda d: SemiAdversarial(None, d, threshold=2), "threshold=2"),
    ],
)
def test_adversaries_out_of_range_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(Discriminator((8, 8), **SMALL))


# Teachers


def test_the_teacher_is_the_moving_average_of_the_student() -> None:
    student = small_unet("batch")
    objective = ready(MeanTeacher(None, student, decay=0.6))
    expected = [parameter.detach().clone() for parameter in student.parameters()]
    for step in range(8):
        with torch.no_grad():
            for parameter in student.parameters():
                parameter.add_(0.1 * (step + 1))
        objective.finish_step(student, 1.0)
        # The first update copies; then the decay rises from 2/11 to what was asked for.
        decay = 0.0 if step == 0 else min(0.6, (1 + step) / (10 + step))
        expected = [
            decay * old + (1 - decay) * new.detach()
            for old, new in zip(expected, student.parameters(), strict=True)
        ]
    for taught, value in zip(objective.teacher.module.parameters(), expected, strict=True):
        torch.testing.assert_close(taught, value)
    assert not objective.teacher.training
    assert not any(parameter.requires_grad for parameter in objective.teacher.parameters())


def test_agreement_is_weighed_by_a_ramp() -> None:
    objective = MeanTeacher(None, small_unet(), weight=4.0, ramp=10)
    found = []
    for _ in range(12):
        found.append(objective.current_weight())
        objective.finish_step(small_unet(), 1.0)
    assert found[0] == pytest.approx(4 * math.exp(-5))
    assert found == sorted(found)
    assert found[10:] == [4.0, 4.0]
    assert MeanTeacher(None, small_unet(), weight=4.0, ramp=0).current_weight() == 4.0


def test_a_teacher_that_agrees_adds_nothing_and_another_one_does() -> None:
    images, target = random(2, 3, 16, 16), labels(2, 16, 16)
    student = small_unet()
    objective = ready(MeanTeacher(None, student, weight=2.0, ramp=0, noise=0.0))
    supervised = CrossEntropyLoss()(student(images), target)
    torch.testing.assert_close(objective(student, images, target), supervised)
    other = small_unet(seed=5)
    difference = other(images).softmax(1) - student(images).softmax(1)
    expected = CrossEntropyLoss()(other(images), target) + 2 * difference.square().mean()
    torch.testing.assert_close(objective(other, images, target), expected)
    objective(other, images, target).backward()
    assert all(parameter.grad is None for parameter in objective.teacher.parameters())


class Reader(nn.Module):
    """Logits of two classes are the first two channels of the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(()))

    def forward(self, images: Tensor) -> Tensor:
        return self.factor * images[:, :2]


def test_noise_is_on_what_the_student_sees_of_pictures_without_labels_alone() -> None:
    seen: list[Tensor] = []

    class Watched(Reader):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(images.detach().clone())
            return super().forward(images)

    images, target = random(3, 3, 16, 16), labels(3, 16, 16, classes=2)
    target[1] = VOID
    student = Watched()
    ready(MeanTeacher(None, student, noise=0.2))(student, images, target)
    by_student, by_teacher = seen
    assert torch.equal(by_teacher, images)
    assert torch.equal(by_student[[0, 2]], images[[0, 2]])
    assert (by_student[1] - images[1]).std() == pytest.approx(0.2, rel=0.1)


def test_cutmix_scores_the_teachers_answers_as_labels_class_weights_included() -> None:
    """By hand: pictures that are 0 with odds e^2, 1 with odds e^3, and one left undecided."""
    pictures = torch.zeros(4, 3, 8, 8)
    pictures[1, 0], pictures[2, 1] = 2.0, 3.0
    target = torch.full((4, 8, 8), VOID)
    target[0] = 1
    student = Reader()
    loss = CrossEntropyLoss(weight=torch.tensor([1.0, 5.0]))
    goal = ready(CutMix(loss, student, weight=3.0, ramp=0, threshold=0.7))
    torch.manual_seed(4)
    found = goal(student, pictures, target).item()
    torch.manual_seed(4)
    inside = rectangles(3, (8, 8)).flatten(1).sum(1).tolist()  # pixels from the next picture
    zeros, ones = 64 - inside[0] + inside[2], 64 - inside[1] + inside[0]
    wrong = [math.log(1 + math.exp(-odds)) for odds in (2, 3)]
    weighted = (zeros * wrong[0] + 5 * ones * wrong[1]) / (zeros + 5 * ones)
    expected = math.log(2) + 3 * (zeros + ones) / (3 * 64) * weighted
    assert found == pytest.approx(expected, rel=1e-5)


def test_cutmix_moves_labels_and_pictures_together() -> None:
    target = torch.arange(5).view(5, 1, 1).expand(5, 12, 17).contiguous()
    pictures = torch.stack([target.float(), 10 + target.float()], dim=1)
    mixed, moved_labels = cutmix(pictures, target, torch.Generator().manual_seed(0))
    assert torch.equal(mixed[:, 0], moved_labels.float())
    assert torch.equal(mixed[:, 1], 10 + moved_labels.float())
    for index, found in enumerate(moved_labels):
        assert set(found.unique().tolist()) == {index, (index + 1) % 5}


def test_rectangles_are_whole_and_cover_half_the_picture() -> None:
    found = rectangles(500, (24, 32), torch.Generator().manual_seed(0))
    areas = found.flatten(1).sum(1)
    assert ((areas / (24 * 32) - 0.5).abs() < 0.05).all()
    for mask in found[:50]:
        rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
        box = mask[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert box.all()
        assert box.sum() == mask.sum()
    heights = found.any(2).sum(1)
    assert heights.min() <= 13
    assert heights.max() >= 23
    assert found[:, 0, 0].any()
    assert found[:, -1, -1].any()
    again = rectangles(500, (24, 32), torch.Generator().manual_seed(0))
    assert torch.equal(found, again)


def test_cutmix_teaches_what_a_sure_teacher_says_of_the_parts() -> None:
    images, target = random(4, 3, 16, 16), labels(4, 16, 16)
    target[2:] = VOID
    student = small_unet()
    objective = ready(CutMix(None, student, weight=3.0, ramp=0, threshold=0.0))
    torch.manual_seed(1)
    loss = objective(student, images, target)
    torch.manual_seed(1)
    mixed, wanted = cutmix(images[2:], student(images[2:]).argmax(1))
    logits = student(torch.cat([images[:2], mixed]))
    expected = CrossEntropyLoss()(logits, target) + 3 * F.cross_entropy(logits[2:], wanted)
    torch.testing.assert_close(loss, expected)
    unsure = ready(CutMix(None, student, weight=3.0, ramp=0, threshold=1.0))
    torch.manual_seed(1)
    supervised = CrossEntropyLoss()(logits, target)
    torch.testing.assert_close(unsure(student, images, target), supervised)


def test_cutmix_needs_two_pictures_to_cut() -> None:
    images, target = random(2, 3, 16, 16), labels(2, 16, 16)
    target[1] = VOID
    student = small_unet()
    loss = ready(CutMix(None, student, ramp=0, threshold=0.0))(student, images, target)
    torch.testing.assert_close(loss, CrossEntropyLoss()(student(images), target))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight": -1}, "weight=-1"),
        ({"ramp": -1}, "ramp=-1"),
        ({"decay": 1.0}, "decay=1.0"),
        ({"threshold": 1.5}, "threshold=1.5"),
    ],
)
def test_teachers_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CutMix(None, small_unet(), **options)


# In the loop


def test_reconstruction_is_learned_by_the_same_loop() -> None:
    torch.manual_seed(0)
    model = Reconstructor(**SMALL, skips=True)
    history = fit(
        model, Blocks(), Plan(80, 4, learning_rate=1e-2), objective=Reconstruction(), **QUIET
    )
    assert history.loss[-1] < 0.5 * history.loss[0]


def test_equal_pictures_weigh_equally_whatever_is_void() -> None:
    goal = Reconstruction()
    assert goal.normalizer(labels(4, 8, 8)) == goal.normalizer(torch.full((4, 8, 8), VOID)) == 4


def objective_for(name: str, model: nn.Module) -> Objective:
    torch.manual_seed(1)
    if name == "adversarial":
        judge = PatchDiscriminator(6, width=4, layers=1, norm="spectral")
        return AdversarialSegmentation(None, judge, r1=0.1)
    if name == "semi_adversarial":
        return SemiAdversarial(None, PatchDiscriminator(3, width=4, layers=1), start=2)
    return CutMix(None, model, ramp=4, threshold=0.3)


@pytest.mark.parametrize("name", ["adversarial", "semi_adversarial", "cutmix"])
def test_resumed_run_with_networks_of_its_own_equals_an_uninterrupted_one(
    tmp_path: Path, name: str
) -> None:
    plan = Plan(steps=7, batch_size=4, average=0.9, seed=3)
    data = PartlyLabeled(Blocks(), [1, 4])
    whole = small_unet("batch")
    fit(whole, data, plan, objective=objective_for(name, whole), **QUIET)

    class Stop(Exception):
        pass

    def stop(step: int, model: nn.Module) -> None:
        if step == 5:
            raise Stop

    file = tmp_path / "run"
    parts = small_unet("batch")
    options: dict[str, Any] = {**QUIET, "checkpoint": file, "checkpoint_every": 3}
    with pytest.raises(Stop):
        fit(parts, data, plan, objective=objective_for(name, parts), on_step=stop, **options)
    parts = small_unet("batch", seed=9)
    goal = objective_for(name, parts)
    with torch.no_grad():
        for parameter in goal.parameters():
            parameter.add_(1)
    history = fit(parts, data, plan, objective=goal, resume=True, **options)
    assert len(history.loss) == 7
    for expected, found in zip(
        whole.state_dict().values(), parts.state_dict().values(), strict=True
    ):
        assert torch.equal(expected, found)


def test_a_run_is_not_resumed_with_another_objective(tmp_path: Path) -> None:
    plan = Plan(steps=2, batch_size=2)
    file = tmp_path / "run"
    model = small_unet()
    fit(model, Blocks(), plan, objective=objective_for("cutmix", model), checkpoint=file, **QUIET)
    for other in (None, objective_for("adversarial", model)):
        with pytest.raises(ValueError, match=r"another objective|another model"):
            fit(model, Blocks(), plan, objective=other, checkpoint=file, resume=True, **QUIET)


def test_a_loss_and_an_objective_are_one_too_many() -> None:
    with pytest.raises(ValueError, match="not both"):
        fit(
            small_unet(),
            Blocks(),
            Plan(1),
            loss=CrossEntropyLoss(),
            objective=Supervised(),
            **QUIET,
        )


# By name


@pytest.mark.parametrize("name", objectives.available())
def test_every_name_builds_an_objective_that_trains(name: str) -> None:
    torch.manual_seed(0)
    pictures = {"autoencoder", "denoising"}
    model: nn.Module = small_unet("batch")
    if name in pictures:
        model = Reconstructor(**SMALL)
    elif name == "masked":
        model = MaskedAutoencoder(**SMALL)
    elif name == "translation":
        model = LabelToImage(3, **SMALL)
    needed = {"copy_paste": {"classes": [2]}, "distillation": {"teacher": small_unet("batch")}}
    goal = objectives.build(name, model, 3, AbsoluteErrorLoss(), **needed.get(name, {}))
    history = fit(model, PartlyLabeled(Blocks(), [0, 1]), Plan(3, 4), objective=goal, **QUIET)
    assert all(math.isfinite(loss) for loss in history.loss)


def test_unknown_names_and_options_are_answered_with_those_that_exist() -> None:
    model, loss = small_unet(), CrossEntropyLoss()
    with pytest.raises(ValueError, match=r"'cutmux'.*cutmix"):
        objectives.build("cutmux", model, 3, loss)
    with pytest.raises(ValueError, match=r"no option weigth.*decay.*weight"):
        objectives.build("mean_teacher", model, 3, loss, weigth=1.0)
    with pytest.raises(ValueError, match="options are: none"):
        objectives.build("supervised", model, 3, loss, weight=1.0)
    with pytest.raises(ValueError, match="'copy_paste' needs the option classes"):
        objectives.build("copy_paste", model, 3, loss)
    goal = objectives.build("adversarial", model, 3, loss, weight=0.3, width=8, layers=1)
    assert isinstance(goal, AdversarialSegmentation)
    assert goal.weight == 0.3


# distillation and copy-paste


def test_distillation_by_hand() -> None:
    """Two classes, T = 2: KL of softmax([1, 0]) against softmax([0, 0]), times 4, void left out."""
    student, teacher = torch.zeros(1, 2, 1, 2), torch.zeros(1, 2, 1, 2)
    teacher[0, :, 0, 0] = torch.tensor([2.0, 0.0])
    teacher[0, :, 0, 1] = 50.0 * torch.tensor([1.0, 0.0])
    target = torch.tensor([[[0, VOID]]])
    teacher_at_2 = Distillation(None, _Constant(teacher), temperature=2.0, weight=0.25)
    averaged = Distillation(
        None, _Constant(teacher), temperature=2.0, weight=0.25, labels_weight=0.75
    )
    p = math.exp(1) / (1 + math.exp(1))
    divergence = p * math.log(2 * p) + (1 - p) * math.log(2 * (1 - p))
    images = torch.zeros(1, 3, 1, 2)
    whole = float(teacher_at_2(_Constant(student), images, target))
    assert whole == pytest.approx(math.log(2) + 0.25 * 4 * divergence, rel=1e-5)
    average = float(averaged(_Constant(student), images, target))
    assert average == pytest.approx(0.75 * math.log(2) + 0.25 * 4 * divergence, rel=1e-5)


def test_teacher_leaves_the_labels_loss_as_it_is() -> None:
    """With a teacher that agrees, the gradient is the one of the labels alone, at any weight."""
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    target = torch.randint(0, 3, (2, 4, 4))
    goal = Distillation(None, _Constant(logits.detach()), weight=0.9)
    loss = goal(_Constant(logits), torch.zeros(2, 3, 4, 4), target)
    (gradient,) = torch.autograd.grad(loss, logits)
    (wanted,) = torch.autograd.grad(torch.nn.functional.cross_entropy(logits, target), logits)
    assert torch.allclose(gradient, wanted, atol=1e-7)


def test_distillation_of_equal_networks_moves_nothing() -> None:
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    goal = Distillation(None, _Constant(logits.detach()), weight=1.0, labels_weight=0.0)
    loss = goal(_Constant(logits), torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 4, dtype=torch.long))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert float(loss.detach()) == pytest.approx(0, abs=1e-6)
    assert gradient.abs().max() < 1e-6


def test_teacher_is_a_copy_that_is_not_trained() -> None:
    teacher = torch.nn.Conv2d(3, 2, 1)
    goal = Distillation(None, teacher)
    assert not any(p.requires_grad for p in goal.teacher.parameters())
    assert all(p.requires_grad for p in teacher.parameters())
    assert not goal.teacher.training


def test_teacher_of_other_classes_is_refused() -> None:
    goal = Distillation(None, torch.nn.Conv2d(3, 2, 1))
    with pytest.raises(ValueError, match="both need the same classes"):
        goal(torch.nn.Conv2d(3, 4, 1), torch.zeros(1, 3, 2, 2), torch.zeros(1, 2, 2).long())


@pytest.mark.parametrize(
    "options", [{"temperature": 0.0}, {"weight": -0.5}, {"labels_weight": -1.0}]
)
def test_distillation_out_of_range(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"temperature=.* must be above 0"):
        Distillation(None, torch.nn.Identity(), **options)


def test_copy_paste_by_hand() -> None:
    images = torch.arange(2.0).view(2, 1, 1, 1).expand(2, 1, 1, 4).clone()
    target = torch.tensor([[[0, 1, VOID, 2]], [[3, 3, 3, VOID]]])
    mixed, labels = copy_paste(images, target, torch.tensor([1, 2]))
    assert images[:, 0, 0].tolist() == [[0, 0, 0, 0], [1, 1, 1, 1]]
    assert mixed[:, 0, 0].tolist() == [[0, 0, 0, 0], [1, 0, 1, 0]]
    assert labels[:, 0].tolist() == [[0, 1, VOID, 2], [3, 1, 3, 2]]


def test_copy_paste_reaches_the_given_share() -> None:
    images = torch.arange(400.0).view(400, 1, 1, 1)
    target = torch.zeros(400, 1, 1, dtype=torch.long)
    generator = torch.Generator().manual_seed(0)
    mixed, _ = copy_paste(images, target, torch.tensor([0]), 0.25, generator)
    assert 0.2 < (mixed != images).float().mean() < 0.3


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"classes": []}, r"classes=\[\] are to be pasted"),
        ({"classes": [4], "num_classes": 4}, "at least one of 0 to 3"),
        ({"classes": [1], "share": 2.0}, "share=2.0 must lie in 0 to 1"),
    ],
)
def test_copy_paste_out_of_range(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        CopyPaste(None, **options)


def test_copy_paste_trains_on_what_it_pasted() -> None:
    """The loss of a network that is right on the pasted pictures, and wrong on the bare ones."""
    torch.manual_seed(0)
    target = torch.randint(0, 3, (4, 8, 8))
    images = target.unsqueeze(1).float()

    def right(pictures: torch.Tensor) -> torch.Tensor:
        return 100 * one_hot(pictures[:, 0].long(), 3)

    goal = CopyPaste(None, classes=[1], share=1.0)
    assert float(goal(right, images, target)) == pytest.approx(0, abs=1e-6)
    assert not torch.equal(copy_paste(images, target, torch.tensor([1]))[0], images)


class _Constant(torch.nn.Module):
    """Gives the same logits for any picture."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits
