"""Averages of a network's weights over the steps of its training."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def moving_average(model: nn.Module, decay: float) -> AveragedModel:
    """A copy of ``model`` whose weights and running statistics follow it, late and smoothly.

    ``update_parameters(model)`` after a step moves the copy, ``module``, by ``1 - decay`` toward
    ``model``, and by more in the first steps, so that useless first weights are forgotten quickly.
    """
    return AveragedModel(model, multi_avg_fn=_following(decay), use_buffers=True)


def _following(decay: float) -> Callable[..., None]:
    """An exponential moving average of a decay that rises from 0.1 to ``decay``."""

    def update(averaged: Any, current: Any, count: Tensor | int) -> None:
        warm = min(decay, (1 + int(count)) / (10 + int(count)))
        get_ema_multi_avg_fn(warm)(averaged, current, count)

    return update
