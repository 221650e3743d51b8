"""What turns gradients into steps: AdamW or SGD for every weight, or Muon for the kernels."""

from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor, nn

OptimizerName = Literal["adamw", "sgd", "muon"]

MOMENTUM = 0.9
"""Of stochastic gradient descent, as most published recipes of segmentation have it."""


def make_optimizers(
    model: nn.Module, name: OptimizerName, learning_rate: float, weight_decay: float
) -> dict[str, torch.optim.Optimizer]:
    """The optimizers that together train ``model``, on the device it is on.

    ``adamw``: AdamW (Loshchilov and Hutter 2019) for all weights; kernels decay, biases and
    normalizations do not. ``sgd``: stochastic gradient descent with Nesterov's momentum of 0.9
    (Sutskever et al. 2013), with the same decay added to the gradient. ``muon``: `Muon` for the
    kernels whose filters see several channels, and AdamW for the rest, both at ``learning_rate``.
    """
    weights = [p for p in model.parameters() if p.requires_grad]
    kernels = [p for p in weights if name == "muon" and p.ndim > 1 and p.shape[1] > 1]
    chosen = {id(p) for p in kernels}
    others = [p for p in weights if id(p) not in chosen]
    device = others[0].device.type if others else "none"
    groups = [
        {"params": [p for p in others if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0},
    ]
    fused = device in ("cpu", "cuda")
    if name == "sgd":
        return {
            "optimizer": torch.optim.SGD(
                groups, lr=learning_rate, momentum=MOMENTUM, nesterov=True, fused=fused
            )
        }
    found: dict[str, torch.optim.Optimizer] = {
        "optimizer": torch.optim.AdamW(groups, lr=learning_rate, fused=fused)
    }
    if kernels:
        found["muon"] = Muon(kernels, learning_rate, weight_decay)
    return found


class Muon(torch.optim.Muon):
    """Orthogonalized momentum (Jordan et al. 2024) for kernels (C_out, C_in, ...).

    Each kernel is taken as the matrix (C_out, C_in * ...) that maps a window to its outputs. The
    step is the momentum of its gradient with all singular values brought near 1, so that rare
    directions are learned as fast as common ones. The step's size is that of AdamW at the same
    rate, 0.2 a weight in root mean square (Liu et al. 2025, arXiv:2502.16982). torch's own Muon,
    which does the work, knows matrices only.
    """

    def __init__(self, kernels: Iterable[Tensor], lr: float, weight_decay: float) -> None:
        self.kernels = list(kernels)
        matrices = [nn.Parameter(_matrix(kernel)) for kernel in self.kernels]
        super().__init__(matrices, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step of every kernel that has a gradient."""
        matrices = self.param_groups[0]["params"]
        pairs = list(zip(self.kernels, matrices, strict=True))
        for kernel, matrix in pairs:
            matrix.copy_(kernel.flatten(1))
            matrix.grad = None if kernel.grad is None else _matrix(kernel.grad)
        value = super().step(closure)
        for kernel, matrix in pairs:
            kernel.copy_(matrix.view(kernel.shape))
        return value

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the kernels' gradients."""
        for kernel in self.kernels:
            if set_to_none:
                kernel.grad = None
            elif kernel.grad is not None:
                kernel.grad.zero_()


def _matrix(kernel: Tensor) -> Tensor:
    """A copy (C_out, C_in * ...) of a kernel or its gradient, whatever its memory format."""
    return kernel.detach().flatten(1).clone(memory_format=torch.contiguous_format)
