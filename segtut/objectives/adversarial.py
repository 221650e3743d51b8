"""Learning against a discriminator: pictures from noise or labels, label maps from pictures.

The network that `fit` trains is the generator. The discriminator belongs to the objective, which
trains it after every step of the generator, on the pictures of that step.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segtut.data.dataset import VOID
from segtut.losses import CrossEntropyLoss
from segtut.objectives.base import Objective, one_hot

GanLoss = Literal["minimax", "non_saturating", "hinge", "least_squares"]

DISCRIMINATOR_RATE = 4e-3
"""The least learning rate of a discriminator for which none is asked.

It is the network's where that is higher: a discriminator that learns more slowly than its generator
lets it settle on a few samples (section 3.4.1; Heusel et al. 2017).
"""


def generator_loss(scores: Tensor, kind: GanLoss = "non_saturating") -> Tensor:
    """What the generator minimizes, a mean over the scores of generated samples.

    scores: any shape, logits. With D = sigmoid(score): "minimax" ln(1 - D), "non_saturating"
    -ln D (both Goodfellow et al. 2014), "hinge" -score (Lim and Ye 2017), "least_squares"
    (score - 1)^2 (Mao et al. 2017).
    Raises ValueError: an unknown kind.
    """
    _require_kind(kind)
    scores = scores.float()
    if kind == "minimax":
        return -F.softplus(scores).mean()
    if kind == "non_saturating":
        return F.softplus(-scores).mean()
    return -scores.mean() if kind == "hinge" else (scores - 1).square().mean()


def discriminator_loss(
    real: Tensor, fake: Tensor, kind: GanLoss = "non_saturating", smoothing: float = 0.0
) -> Tensor:
    """What the discriminator minimizes, given its scores of real and of generated samples.

    real, fake: any shapes, logits. "minimax" and "non_saturating" are one here, -ln D(real)
    - ln(1 - D(fake)); "hinge" max(0, 1 - real) + max(0, 1 + fake); "least_squares"
    (real - 1)^2 + fake^2. smoothing: the share by which the target of real samples is lowered, for
    the first two (Salimans et al. 2016, section 3.4).
    Raises ValueError: an unknown kind, or smoothing outside 0-1 or for a kind that has none.
    """
    _require_kind(kind)
    if not 0 <= smoothing < 1 or (smoothing and kind in ("hinge", "least_squares")):
        raise ValueError(f"smoothing={smoothing} does not go with the loss {kind!r}")
    real, fake = real.float(), fake.float()
    if kind == "hinge":
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()
    if kind == "least_squares":
        return (real - 1).square().mean() + fake.square().mean()
    # softplus(-a) is -ln sigmoid(a), softplus(a) is -ln(1 - sigmoid(a)).
    on_real = (1 - smoothing) * F.softplus(-real) + smoothing * F.softplus(real)
    return on_real.mean() + F.softplus(fake).mean()


def r1_penalty(discriminator: nn.Module, samples: Tensor) -> Tensor:
    """Half the squared gradient of the scores by real samples (N, ...), a mean over them.

    Multiply by gamma and add to the discriminator's loss. Scores of several patches are summed.
    Source: Mescheder, Geiger and Nowozin (2018), "Which training methods for GANs do actually
    converge?", equation 9.
    """
    samples = samples.detach().requires_grad_(True)
    (slopes,) = torch.autograd.grad(discriminator(samples).sum(), samples, create_graph=True)
    return slopes.flatten(1).square().sum(1).mean() / 2


def _require_kind(kind: str) -> None:
    if kind not in get_args(GanLoss):
        raise ValueError(f"no GAN loss is called {kind!r}; choose one of {get_args(GanLoss)}")


class Adversary(Objective):
    """An objective with a discriminator, and how that learns: Adam, momentum 0.5 as in DCGAN.

    discriminator: a module that scores samples. learning_rate: its highest; it follows the
    schedule of the network's, and None is the network's or `DISCRIMINATOR_RATE`, whichever is
    higher. kind, smoothing: as of `discriminator_loss`. r1: gamma of `r1_penalty`, 0 for none. The
    mean losses of its steps are kept in `discriminator_losses`.

    Raises ValueError: learning_rate is not positive, r1 is negative, or the loss does not exist.
    """

    def __init__(
        self,
        discriminator: nn.Module,
        kind: GanLoss = "non_saturating",
        learning_rate: float | None = None,
        r1: float = 0.0,
        smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        discriminator_loss(torch.zeros(1), torch.zeros(1), kind, smoothing)  # checks both
        if (learning_rate is not None and not learning_rate > 0) or r1 < 0:
            raise ValueError(f"learning_rate={learning_rate} must be positive, r1={r1} at least 0")
        self.discriminator = discriminator
        self.kind: GanLoss = kind
        self.learning_rate, self.r1, self.smoothing = learning_rate, r1, smoothing
        self.optimizer: torch.optim.Optimizer = torch.optim.Adam(
            discriminator.parameters(), lr=learning_rate or DISCRIMINATOR_RATE, betas=(0.5, 0.999)
        )
        self.discriminator_losses: list[float] = []
        self._samples: list[tuple[Tensor, Tensor]] = []

    def persuade(self, real: Tensor, fake: Tensor) -> Tensor:
        """The generator's loss for `fake`; both are kept for the discriminator's own step."""
        self._samples.append((real.detach(), fake.detach()))
        self.discriminator.requires_grad_(False)
        return generator_loss(self.run(self.discriminator, fake), self.kind)

    def finish_step(self, model: nn.Module, share: float) -> None:
        """One step of the discriminator on the samples that the network has just been judged by."""
        self._learn(share)
        self._samples.clear()

    def _learn(self, share: float) -> None:
        if not self._samples:
            return
        self.discriminator.requires_grad_(True)
        total = torch.zeros((), device=self._samples[0][0].device)
        for real, fake in self._samples:
            of_real, of_fake = (self.run(self.discriminator, seen) for seen in (real, fake))
            loss = discriminator_loss(of_real, of_fake, self.kind, self.smoothing)
            if self.r1:
                loss = loss + self.r1 * r1_penalty(self.discriminator, real)
            (loss / len(self._samples)).backward()
            total += loss.detach() / len(self._samples)
        rate = self.learning_rate or max(DISCRIMINATOR_RATE, self.network_rate)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * share
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.discriminator_losses.append(float(total))


class Generation(Adversary):
    """Pictures from noise: the network is a `Generator`, the real pictures are the data set's.

    The labels are not looked at. discriminator_steps: steps of the discriminator after each of the
    generator's, on the same real pictures and new generated ones. Others as of `Adversary`.
    Source: Goodfellow et al. (2014), "Generative adversarial nets", algorithm 1.
    """

    def __init__(
        self,
        discriminator: nn.Module,
        loss: GanLoss = "non_saturating",
        learning_rate: float | None = None,
        r1: float = 0.0,
        smoothing: float = 0.0,
        discriminator_steps: int = 1,
    ) -> None:
        super().__init__(discriminator, loss, learning_rate, r1, smoothing)
        if discriminator_steps < 1:
            raise ValueError(f"discriminator_steps={discriminator_steps} must be at least 1")
        self.discriminator_steps = discriminator_steps

    def forward(self, network: nn.Module, images: Tensor, target: Tensor) -> Tensor:
        codes = network.codes(len(images))  # type: ignore[operator]
        return self.persuade(images, self.run(network, codes).float())

    def finish_step(self, model: nn.Module, share: float) -> None:
        self._learn(share)
        for _ in range(self.discriminator_steps - 1):
            with torch.no_grad():
                self._samples = [
                    (real, self.run(model, model.codes(len(real))).float())  # type: ignore[operator]
                    for real, _ in self._samples
                ]
            self._learn(share)
        self._samples.clear()


class Translation(Adversary):
    """pix2pix: the network, such as `LabelToImage`, draws the picture of a label map.

    The loss is gan * (the discriminator's verdict on label map and picture) + l1 * the mean
    absolute error of the picture. The discriminator sees both stacked, (N, num_classes + 3, H, W).

    num_classes: channels of the label map. gan, l1: the two weights; gan=0 is plain regression and
    leaves the discriminator alone. start: steps of regression before the discriminator enters.
    Others as of `Adversary`.
    Raises ValueError: both weights are 0, or one is negative, or there is nothing to start with.
    Source: Isola, Zhu, Zhou and Efros (2017), equation 4, with lambda = 100.
    """

    steps: Tensor

    def __init__(
        self,
        discriminator: nn.Module,
        num_classes: int,
        gan: float = 1.0,
        l1: float = 100.0,
        start: int = 0,
        kind: GanLoss = "non_saturating",
        learning_rate: float | None = None,
        r1: float = 0.0,
    ) -> None:
        super().__init__(discriminator, kind, learning_rate, r1)
        if min(gan, l1) < 0 or gan + l1 == 0:
            raise ValueError(f"gan={gan} and l1={l1}: none may be negative, and not both zero")
        if start < 0 or (start and not l1):
            raise ValueError(f"start={start} must not be negative, and needs l1 above 0")
        self.num_classes, self.gan, self.l1, self.start = num_classes, gan, l1, start
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, network: nn.Module, images: Tensor, target: Tensor) -> Tensor:
        labels = one_hot(target, self.num_classes)
        drawn = self.run(network, labels).float()
        loss = self.l1 * (drawn - images).abs().mean()
        if self.gan and int(self.steps) >= self.start:
            real, fake = (torch.cat((labels, picture), 1) for picture in (images, drawn))
            loss = loss + self.gan * self.persuade(real, fake)
        return loss

    def finish_step(self, model: nn.Module, share: float) -> None:
        super().finish_step(model, share)
        self.steps += 1


class AdversarialSegmentation(Adversary):
    """A segmentation loss plus what a discriminator says of the label map beside its picture.

    The discriminator sees pictures (N, 3, H, W) stacked with one-hot labels or with the network's
    probabilities (N, C, H, W), both zero where the label is void.

    loss: of logits and labels, cross-entropy if None. weight: of the verdict. Others as of
    `Adversary`.
    Raises ValueError: a negative weight.
    Source: Luc, Couprie, Chintala and Verbeek (2016), "Semantic segmentation using adversarial
    networks", equation 1.
    """

    def __init__(
        self,
        loss: nn.Module | None,
        discriminator: nn.Module,
        weight: float = 0.1,
        kind: GanLoss = "non_saturating",
        learning_rate: float | None = None,
        r1: float = 0.0,
    ) -> None:
        super().__init__(discriminator, kind, learning_rate, r1)
        _require_weights(weight=weight)
        self.loss = loss or CrossEntropyLoss()
        self.weight = weight

    def forward(self, network: nn.Module, images: Tensor, target: Tensor) -> Tensor:
        logits = self.run(network, images).float()
        labels = one_hot(target, logits.shape[1])
        answer = logits.softmax(1) * labels.sum(1, keepdim=True)
        real, fake = (torch.cat((images, map_), 1) for map_ in (labels, answer))
        loss: Tensor = self.loss(logits, target)
        return loss + self.weight * self.persuade(real, fake)


class SemiAdversarial(Adversary):
    """Learning from few labels with a discriminator that tells label maps from predictions.

    Pictures whose labels are all void have none. The discriminator sees class maps alone,
    (N, C, H, W), and gives a score a pixel or a patch. Three terms move the network: the loss on
    the labeled pictures; the verdict on all; and, on pictures without labels, cross-entropy with
    the network's own answer wherever the discriminator believes it.

    loss: of logits and labels, cross-entropy if None. weight, weight_unlabeled: of the verdict on
    labeled and on other pictures. self_weight: of the third term; threshold: the probability of
    being real above which a pixel is believed; start: steps before the last two terms begin.
    Others as of `Adversary`.
    Raises ValueError: a weight is negative, or the threshold lies outside 0-1.
    Source: Hung, Tsai, Liou, Lin and Yang (2018), "Adversarial learning for semi-supervised
    semantic segmentation", equations 2 to 5, with weights 0.01, 0.001, 0.1 and threshold 0.2.
    """

    steps: Tensor

    def __init__(
        self,
        loss: nn.Module | None,
        discriminator: nn.Module,
        weight: float = 0.01,
        weight_unlabeled: float = 0.001,
        self_weight: float = 0.1,
        threshold: float = 0.2,
        start: int = 100,
        learning_rate: float | None = None,
    ) -> None:
        super().__init__(discriminator, "non_saturating", learning_rate)
        _require_weights(weight=weight, weight_unlabeled=weight_unlabeled, self_weight=self_weight)
        if not 0 <= threshold <= 1:
            raise ValueError(f"threshold={threshold} must lie in 0 to 1")
        self.loss = loss or CrossEntropyLoss()
        self.weight, self.weight_unlabeled = weight, weight_unlabeled
        self.self_weight, self.threshold, self.start = self_weight, threshold, start
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, network: nn.Module, images: Tensor, target: Tensor) -> Tensor:
        logits = self.run(network, images).float()
        labels = one_hot(target, logits.shape[1])
        valid = labels.sum(1, keepdim=True)
        labeled = valid.flatten(1).any(1)
        probabilities = logits.softmax(1)
        loss: Tensor = self.loss(logits, target)
        if bool(labeled.any()):
            answer = (probabilities * valid)[labeled]
            loss = loss + self.weight * self.persuade(labels[labeled], answer)
        if int(self.steps) >= self.start and not bool(labeled.all()):
            loss = loss + self._without_labels(logits[~labeled], probabilities[~labeled])
        return loss

    def _without_labels(self, logits: Tensor, probabilities: Tensor) -> Tensor:
        self.discriminator.requires_grad_(False)
        scores = self.run(self.discriminator, probabilities).float()
        verdict = generator_loss(scores, self.kind)
        size = logits.shape[-2:]
        believed = F.interpolate(scores.detach().sigmoid(), size=size, mode="bilinear")[:, 0]
        own = torch.where(believed > self.threshold, probabilities.argmax(1), VOID)
        return self.weight_unlabeled * verdict + self.self_weight * self.loss(logits, own)

    def finish_step(self, model: nn.Module, share: float) -> None:
        super().finish_step(model, share)
        self.steps += 1


def _require_weights(**weights: float) -> None:
    for name, value in weights.items():
        if value < 0:
            raise ValueError(f"{name}={value} must not be negative")
