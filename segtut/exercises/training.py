"""Checks of section 4.3: the loss and its bugs, micro-batches, averaged weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from segtut.data.dataset import VOID
from segtut.exercises.registry import Fault, call, exercise, number


@exercise("4.3-softmax-floor")
def check_softmax_floor(answer: object) -> str:
    """answer: the lowest cross-entropy that probabilities taken for logits allow, 8 classes."""
    found = number(answer)
    right = math.log(math.e + 7) - 1
    faults = (
        (0.0, "0 is out of reach: probabilities end at 1, and as logits (1, 0, ..., 0) leave the "
         "second softmax far from certain."),
        (math.log(8), "ln 8 is the loss of the uniform guess; a certain network does better."),
        (math.log(math.e + 20) - 1, "that is the floor with 21 classes; here there are 8."),
        (math.log(math.e + 8) - 1, "one class is right and 7 are wrong: e + 7 under the fraction."),
        (math.log2(math.e + 7) - math.log2(math.e), "that is in bits; cross-entropy here uses ln."),
        (math.e / (math.e + 7), "that is the probability of the right class; the loss is its "
         "negative logarithm."),
        (-right, "the sign: cross-entropy is the negative logarithm."),
    )  # fmt: skip
    if abs(found - right) < 0.006:
        return f"ln(e + 7) - 1 = {right:.3f}: the loss stops there, however sure the network is."
    for value, text in faults:
        if abs(found - value) < 0.006:
            raise Fault(text)
    raise Fault(f"{found:g} is not it. Write down the best first softmax, (1, 0, ..., 0), and take "
                "it for the logits of the second.")  # fmt: skip


@exercise("4.3-masked-loss")
def check_masked_loss(answer: Callable[[Tensor, Tensor], Tensor]) -> str:
    """answer: (logits (N, C, H, W), target (N, H, W)) -> mean over the labeled pixels."""
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(2, 4, 3, 5, generator=generator)
    target = torch.randint(0, 4, (2, 3, 5), generator=generator)
    target[:, 0, :3] = VOID
    right = functional.cross_entropy(logits, target, ignore_index=VOID)
    found = _scalar(call(answer, logits.clone(), target.clone()))
    if not torch.isclose(found, right, atol=1e-5):
        raise Fault(_masked_loss_fault(logits, target, found.detach(), right))
    huge = _scalar(call(answer, 1000 * logits, target))
    if not torch.isfinite(huge):
        raise Fault(f"with logits of some thousands the loss is {huge.item()}: exp overflows. "
                    "Subtract the largest logit first, or use log_softmax.")  # fmt: skip
    leaf = logits.clone().requires_grad_()
    empty = _scalar(call(answer, leaf, torch.full_like(target, VOID)))
    if not torch.isfinite(empty) or empty != 0:
        raise Fault(f"on a crop that is all void the loss is {empty.item()}; it should be 0, "
                    "so that one such crop does not ruin the weights.")  # fmt: skip
    if empty.requires_grad:
        empty.backward()
    if leaf.grad is not None and leaf.grad.abs().sum() != 0:
        raise Fault("on a crop that is all void the loss is 0 but its gradient is not.")
    return "the mean over labeled pixels, finite for large logits and for all-void crops."


def _scalar(value: object) -> Tensor:
    """The answer's loss as a tensor of no dimensions. Raises Fault when it is not one number."""
    loss = torch.as_tensor(value)
    if loss.numel() != 1:
        raise Fault(f"the loss is one number; this has the shape {tuple(loss.shape)}.")
    return loss.reshape(()).float()


def _masked_loss_fault(logits: Tensor, target: Tensor, found: Tensor, right: Tensor) -> str:
    """What a wrong value of the masked cross-entropy was probably computed from."""
    labeled = target != VOID
    share = labeled.float().mean()
    as_background = torch.where(labeled, target, 0)
    candidates = {
        "void pixels were trained as class 0; they belong to no class, leave them out.":
            functional.cross_entropy(logits, as_background),
        "the sum runs over labeled pixels but was divided by all of them.": right * share,
        "the softmax was taken twice: cross-entropy wants logits.":
            functional.cross_entropy(logits.softmax(1), target, ignore_index=VOID),
        "this is the sum; divide by the number of labeled pixels.": right * labeled.sum(),
        "the sign is wrong: the loss is the negative log-probability.": -right,
    }  # fmt: skip
    for text, value in candidates.items():
        if torch.isclose(found, value, atol=1e-5):
            return text
    if not torch.isfinite(found):
        return "the loss is not finite: is the label 255 used as an index, or log taken of 0?"
    return f"expected {right.item():.4f}, found {found.item():.4f}."


@exercise("4.3-accumulation")
def check_accumulation(answer: Callable[[Tensor, Tensor], Tensor]) -> str:
    """answer: (mean losses (K,), labeled pixels (K,)) -> loss of the whole batch."""
    losses, valid = torch.tensor([2.0, 0.5, 1.0]), torch.tensor([100, 900, 0])
    found = _scalar(call(answer, losses.clone(), valid.clone()))
    right = torch.tensor(0.65)
    faults = {
        "each micro-batch counts alike, however few labeled pixels it has.": losses.mean(),
        "micro-batches without a labeled pixel are left out, the others count alike.":
            losses[:2].mean(),
        "the losses are added; one step would grow with the number of micro-batches.": losses.sum(),
        "this is the sum over all pixels; divide by the number of labeled ones.": right * 1000,
        "the weighted sum is divided by the number of micro-batches, not of pixels.":
            right * 1000 / 3,
    }  # fmt: skip
    if not torch.isclose(found, right, atol=1e-5):
        for text, value in faults.items():
            if torch.isclose(found, value, atol=1e-4):
                raise Fault(text)
        raise Fault(f"losses {losses.tolist()} over {valid.tolist()} pixels make 0.65, "
                    f"and you say {found.item():.4f}.")  # fmt: skip
    empty = _scalar(call(answer, torch.zeros(2), torch.zeros(2, dtype=torch.int64)))
    if empty != 0:
        raise Fault(f"when every pixel is void the loss is {empty.item()}; it should be 0.")
    return "weighted by labeled pixels, as if the batch had been whole."


@exercise("4.3-ema")
def check_ema(answer: Callable[[nn.Module, nn.Module, float], object]) -> str:
    """answer: (average, model, decay) -> None; moves `average` towards `model` in place."""
    average, model = _network(1.0), _network(2.0)
    before = copy.deepcopy(model.state_dict())
    call(lambda *arguments: (answer(*arguments), True)[1], average, model, 0.9)
    for name, value in model.state_dict().items():
        if not torch.equal(value, before[name]):
            raise Fault(f"{name} of the model changed; only the average may.")
    for name, parameter in average.named_parameters():
        found = float(parameter.detach().mean())
        if not parameter.is_leaf or parameter.grad_fn is not None:
            raise Fault(f"{name} carries a graph now: update it under torch.no_grad().")
        if abs(found - 1.9) < 1e-5:
            raise Fault("the roles are swapped: decay belongs to the average, 1 - decay to the "
                        "model.")  # fmt: skip
        if abs(found - 1.0) < 1e-6:
            raise Fault(f"{name} did not change: update the average in place.")
        if abs(found - 1.1) > 1e-5:
            raise Fault(f"{name}: 0.9 x 1 + 0.1 x 2 = 1.1, and yours is {found:.3f}.")
    running = dict(average.named_buffers())["1.running_mean"].mean().item()
    if abs(running - 1.0) < 1e-6:
        raise Fault("BatchNorm's running statistics stayed behind: averaged weights with old "
                    "statistics predict worse than either. Update the buffers too.")  # fmt: skip
    return "the average moves a tenth of the way, and its running statistics with it."


def _network(value: float) -> nn.Sequential:
    """A convolution and a BatchNorm whose every floating-point number is `value`."""
    network = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3))
    with torch.no_grad():
        for tensor in network.state_dict().values():
            tensor.fill_(value)
    return network
