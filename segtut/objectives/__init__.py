"""What a step of training minimizes, put into the one loop: `fit(..., objective=...)`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from segtut.models.gan import DiscriminatorNorm, PatchDiscriminator
from segtut.objectives.adversarial import (
    AdversarialSegmentation,
    Adversary,
    GanLoss,
    Generation,
    SemiAdversarial,
    Translation,
    discriminator_loss,
    generator_loss,
    r1_penalty,
)
from segtut.objectives.base import Objective, Supervised, one_hot
from segtut.objectives.copy_paste import CopyPaste, copy_paste
from segtut.objectives.distillation import Distillation
from segtut.objectives.reconstruction import (
    Noise,
    Patches,
    Reconstruction,
    VariationalBound,
    kl_to_standard_normal,
)
from segtut.objectives.semi_supervised import CutMix, MeanTeacher, cutmix, rectangles

__all__ = [
    "AdversarialSegmentation",
    "Adversary",
    "CopyPaste",
    "CutMix",
    "Distillation",
    "GanLoss",
    "Generation",
    "MeanTeacher",
    "Noise",
    "Objective",
    "Patches",
    "Reconstruction",
    "SemiAdversarial",
    "Supervised",
    "Translation",
    "VariationalBound",
    "available",
    "build",
    "copy_paste",
    "cutmix",
    "discriminator_loss",
    "generator_loss",
    "kl_to_standard_normal",
    "one_hot",
    "r1_penalty",
    "rectangles",
]


def _supervised(model: nn.Module, num_classes: int, loss: nn.Module) -> Objective:
    return Supervised(loss)


def _autoencoder(model: nn.Module, num_classes: int, loss: nn.Module) -> Objective:
    return Reconstruction()


def _denoising(model: nn.Module, num_classes: int, loss: nn.Module, std: float = 0.2) -> Objective:
    return Reconstruction(Noise(std))


def _masked(model: nn.Module, num_classes: int, loss: nn.Module) -> Objective:
    return Reconstruction(hidden_only=True)


def _judged(
    further: int, make: Callable[[nn.Module, int, nn.Module, dict[str, Any]], Objective]
) -> Callable[..., Objective]:
    """A builder with a `PatchDiscriminator` of the class maps and of `further` channels."""

    def build_judged(
        model: nn.Module,
        num_classes: int,
        loss: nn.Module,
        width: int = 32,
        layers: int = 2,
        norm: DiscriminatorNorm = "batch",
        **options: Any,
    ) -> Objective:
        discriminator = PatchDiscriminator(num_classes + further, width, layers, norm)
        return make(discriminator, num_classes, loss, options)

    return build_judged


_translation = _judged(3, lambda d, classes, loss, options: Translation(d, classes, **options))
_adversarial = _judged(
    3, lambda d, classes, loss, options: AdversarialSegmentation(loss, d, **options)
)
_semi_adversarial = _judged(
    0, lambda d, classes, loss, options: SemiAdversarial(loss, d, **options)
)


def _mean_teacher(model: nn.Module, num_classes: int, loss: nn.Module, **options: Any) -> Objective:
    return MeanTeacher(loss, model, **options)


def _cutmix(model: nn.Module, num_classes: int, loss: nn.Module, **options: Any) -> Objective:
    return CutMix(loss, model, **options)


def _copy_paste(model: nn.Module, num_classes: int, loss: nn.Module, **options: Any) -> Objective:
    return CopyPaste(loss, num_classes=num_classes, **options)


def _distillation(model: nn.Module, num_classes: int, loss: nn.Module, **options: Any) -> Objective:
    return Distillation(loss, **options)


_BUILDERS: dict[str, tuple[Callable[..., Objective], type[Objective] | None]] = {
    "supervised": (_supervised, None),
    "autoencoder": (_autoencoder, None),
    "denoising": (_denoising, None),
    "masked": (_masked, None),
    "translation": (_translation, Translation),
    "adversarial": (_adversarial, AdversarialSegmentation),
    "semi_adversarial": (_semi_adversarial, SemiAdversarial),
    "mean_teacher": (_mean_teacher, MeanTeacher),
    "cutmix": (_cutmix, CutMix),
    "copy_paste": (_copy_paste, CopyPaste),
    "distillation": (_distillation, Distillation),
}
_GIVEN = {"self", "model", "num_classes", "loss", "discriminator", "options"}


def available() -> tuple[str, ...]:
    """The names that `build` knows."""
    return tuple(_BUILDERS)


def build(
    name: str, model: nn.Module, num_classes: int, loss: nn.Module, **options: Any
) -> Objective:
    """Build an objective by name, for `segtut train --objective`.

    Args:
        name: one of `available()`.
        model: the network that is to be trained.
        num_classes: C, of the labels.
        loss: of logits and labels, where the objective has such a term.
        options: of the objective, and `width`, `layers` and `norm` of its `PatchDiscriminator`.

    Raises:
        ValueError: the name or an option is unknown, with the choices; an option is missing that
            the objective cannot do without; or one is out of its range.
    """
    if name not in _BUILDERS:
        raise ValueError(f"Unknown objective {name!r}; choose one of {', '.join(available())}.")
    builder, kind = _BUILDERS[name]
    parameters = dict(inspect.signature(builder).parameters)
    if kind is not None:
        parameters |= inspect.signature(kind).parameters
    choices = parameters.keys() - _GIVEN
    unknown = sorted(options.keys() - choices)
    if unknown:
        raise ValueError(
            f"Objective {name!r} has no option {', '.join(unknown)}; "
            f"its options are: {', '.join(sorted(choices)) or 'none'}."
        )
    needed = {name for name in choices if parameters[name].default is inspect.Parameter.empty}
    if missing := sorted(needed - options.keys()):
        raise ValueError(f"Objective {name!r} needs the option {', '.join(missing)}.")
    return builder(model, num_classes, loss, **options)
