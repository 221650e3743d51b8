"""Checks of section 3.4.2: what a score sees, smoothed labels, hinge, spectral norm, R1, Dirac."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor, nn

from segtut.exercises.registry import Fault, call, exercise, number
from segtut.models.gan import PatchDiscriminator


@exercise("3.4.2-window")
def check_window(answer: Callable[[int, int], tuple[int, int]]) -> str:
    """answer: (index, layers) -> first and last pixel row that a PatchGAN's score row can see."""
    for layers, index in product((1, 2, 3), (0, 3, 7)):
        found = call(answer, index, layers)
        try:
            first, last = (number(value) for value in found)
        except TypeError as error:
            raise Fault("return two numbers, the first row and the last.") from error
        except ValueError as error:
            raise Fault(f"two numbers are asked for; these are {len(found)}.") from error
        right: tuple[float, float] = _measured_window(index, layers)
        if (first, last) == right:
            continue
        text = (f"{layers} layers of stride 2: score {index} sees the rows {right[0]} to "
                f"{right[1]}, you say {first:g} to {last:g}. ")  # fmt: skip
        stride, field = 2**layers, right[1] - right[0] + 1
        if (first, last) == (index * stride, index * stride + field - 1):
            raise Fault(text + "Every layer pads by one, and that moves the window up and left: by "
                        "one step of its own input, j pixels.")  # fmt: skip
        if (first, last) == (max(0, right[0]), right[1]):
            raise Fault(text + "Rows of padding count: a negative row is one above the picture.")
        if last - first == field:
            raise Fault(text + "From the first row to the last there are r - 1 steps, not r.")
        if last - first + 1 != field:
            raise Fault(text + f"The window is {field} rows high, by r <- r + (K - 1) j.")
        if first == right[0] - index * stride:
            raise Fault(text + "The window is that of score 0: each score's lies j rows further.")
        raise Fault(text + "The height is right and the place is not: add up -P j over the layers.")
    return "the rows that the gradient of a real network reaches, padding included."


def _measured_window(index: int, layers: int) -> tuple[int, int]:
    """Rows with a gradient, in a network far from every rim; then moved to where it belongs."""
    network = PatchDiscriminator(channels=1, width=1, layers=layers).double()
    for parameter in network.parameters():
        nn.init.constant_(parameter, 0.1)
    stride = 2**layers
    shift = 16
    picture = torch.ones(1, 1, 80 * stride, 12 * stride, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(picture)[0, 0, index + shift].sum(), picture)
    rows = gradient[0, 0].abs().sum(dim=1).nonzero().flatten() - shift * stride
    return int(rows.min()), int(rows.max())


@exercise("3.4.2-smoothed")
def check_smoothed(answer: Callable[[Tensor, Tensor, float], Tensor]) -> str:
    """answer: (q, q', t) -> the best D where real samples get the label t, generated ones 0."""
    q, other = torch.tensor([0.6, 0.2, 1.0, 0.0, 0.3]), torch.tensor([0.2, 0.6, 0.0, 1.0, 0.3])
    for t in (0.9, 1.0, 0.75):
        found = torch.as_tensor(call(answer, q.clone(), other.clone(), t)).float()
        if found.shape != q.shape:
            raise Fault(f"five points give {tuple(found.shape)}, expected one value each.")
        ratio = q / (q + other)
        right = t * ratio
        if torch.allclose(found, right, atol=1e-5):
            continue
        faults = (
            (ratio, "that is the best D without smoothing: the label t has to enter."),
            (t * (1 - ratio), "q and q' are exchanged: D is large where the data are."),
            (t * q / (t * q + other), "the data are not rarer, only their label is lower: the "
             "samples in the denominator are q + q' as before."),
            (t * ratio + (1 - t) * (1 - ratio), "that smooths both sides: here generated samples "
             "keep the label 0."),
            (torch.logit(right), "that is the logit; D itself is asked for."),
            ((1 - t) * ratio, "the label of a real sample is t, not 1 - t."),
        )  # fmt: skip
        for wrong, reason in faults:
            if torch.allclose(found, wrong, atol=1e-5):
                raise Fault(f"t = {t}: " + reason)
        raise Fault(f"t = {t}: set the derivative of q [t ln D + (1 - t) ln(1 - D)] + q' ln(1 - D) "
                    "by D to zero.")  # fmt: skip
    return "t q / (q + q'): smoothing caps the verdict and leaves its order alone."


@exercise("3.4.2-hinge")
def check_hinge(answer: Callable[[Tensor, Tensor], Tensor]) -> str:
    """answer: (scores of real samples (N,), of generated ones (M,)) -> the hinge loss of D."""
    real = torch.tensor([2.0, 0.5, -1.5, 1.0, 0.0])
    fake = torch.tensor([-3.0, 0.25, 2.0])
    above, below = 1 - real, 1 + fake
    right = above.relu().mean() + below.relu().mean()
    found = number(call(answer, real.clone(), fake.clone()))
    faults = (
        (above.mean() + below.mean(), "nothing is cut off: a score beyond the margin costs 0, "
         "not less."),
        (above.relu().sum() + below.relu().sum(), "these are sums; take the mean of each group."),
        (torch.cat([above, below]).relu().mean(), "one mean over all samples: the groups weigh "
         "the same however large they are, so take two means and add them."),
        ((above.relu().mean() + below.relu().mean()) / 2, "the two means are added, not averaged."),
        ((-real).relu().mean() + fake.relu().mean(), "the margin of 1 is missing."),
        ((1 + real).relu().mean() + (1 - fake).relu().mean(), "the signs are turned: real samples "
         "should score above 1, generated ones below -1."),
        (-fake.mean(), "that is what the generator minimizes; the discriminator's loss is asked "
         "for."),
    )  # fmt: skip
    if abs(found - right.item()) < 1e-5:
        return "zero beyond the margins, a straight line before them."
    for wrong, reason in faults:
        if abs(found - wrong.item()) < 1e-5:
            raise Fault(reason)
    raise Fault(f"{found:g}, expected {right.item():g}: mean of max(0, 1 - a) over the real "
                "samples plus mean of max(0, 1 + a) over the generated ones.")  # fmt: skip


@exercise("3.4.2-spectral-norm")
def check_spectral_norm(answer: Callable[[Tensor, int], Tensor]) -> str:
    """answer: (matrix (m, n), steps) -> its largest singular value, by power iteration."""
    generator = torch.Generator().manual_seed(0)
    for rows, columns, scale in ((5, 9, 1.0), (8, 3, 30.0), (4, 4, 0.01)):
        matrix = torch.randn(rows, columns, generator=generator) * scale
        singular = torch.linalg.svdvals(matrix)
        right = singular[0].item()
        case = f"a {rows}x{columns} matrix"
        try:
            found = number(call(answer, matrix.clone(), 400))
        except Fault as fault:
            if rows != columns and "size mismatch" in str(fault):
                raise Fault(f"{case}: it need not be square; multiply by the matrix and by its "
                            "transpose in turn.") from fault  # fmt: skip
            raise
        if abs(found - right) < 1e-3 * right:
            continue
        if not abs(found) < float("inf"):
            raise Fault(f"{case}: {found:g}. Bring the vector back to length 1 in every step.")
        faults = (
            (right**2, "that is its square: the matrix and its transpose have both acted."),
            (matrix.norm().item(), "that is the root of the sum of all squares (Frobenius norm)."),
            (matrix.abs().max().item(), "that is the largest entry."),
            (matrix.abs().sum(dim=1).max().item(), "that is the largest row sum."),
            (singular[-1].item(), "that is the smallest singular value."),
        )
        for wrong, reason in faults:
            if abs(found - wrong) < 1e-3 * wrong:
                raise Fault(f"{case}: {reason}")
        raise Fault(f"{case}: {found:.4g}, and the largest singular value is {right:.4g}.")
    matrix = torch.diag(torch.tensor([1.0, 0.999, 0.5]))
    rough = number(call(answer, matrix, 1))
    if abs(rough - 1) < 1e-6:
        raise Fault("the answer is exact after one step: the number of steps is not used.")
    return "what SVD gives, from products with a vector alone."


@exercise("3.4.2-r1")
def check_r1(answer: Callable[[nn.Module, Tensor], Tensor]) -> str:
    """answer: (discriminator, samples (N, ...)) -> half the mean squared slope by a sample."""
    torch.manual_seed(0)
    first = nn.Linear(12, 7)
    network = nn.Sequential(nn.Flatten(), first, nn.Tanh(), nn.Linear(7, 1))
    network.append(nn.Flatten(0))
    samples = torch.randn(5, 3, 2, 2)
    leaf = samples.clone().requires_grad_()
    gradient = torch.stack([torch.autograd.grad(network(leaf)[i], leaf)[0][i] for i in range(5)])
    squares = gradient.square().flatten(1).sum(dim=1)
    right = squares.mean().item() / 2
    result = call(answer, network, samples.clone())
    found = number(result.detach() if isinstance(result, Tensor) else result)
    faults = (
        (squares.sum().item() / 2, "that is the sum over the samples; the mean is asked for."),
        (2 * right, "the factor of one half is missing."),
        (right / 12, "that is the mean over the numbers of a sample too; their squares are added."),
        (squares.sqrt().mean().item() / 2, "these are norms; they are to be squared."),
        ((squares.sqrt() - 1).square().mean().item() / 2, "that asks for a norm of 1, as WGAN-GP "
         "does; R1 asks for 0."),
        (right / 25, "the scores were averaged before the gradient was taken, which divides it by "
         "N: take the gradient of their sum."),
        (right / 5, "the scores were averaged before the gradient was taken, which divides it by "
         "N: take the gradient of their sum."),
        (squares.max().item() / 2, "that is the largest; the mean is asked for."),
    )  # fmt: skip
    if abs(found - right) > 1e-4 * right:
        for wrong, reason in faults:
            if abs(found - wrong) < 1e-4 * wrong:
                raise Fault(reason)
        raise Fault(f"{found:.5g}, expected {right:.5g}: half the squared length of each sample's "
                    "own gradient, then the mean.")  # fmt: skip
    if not (isinstance(result, Tensor) and result.requires_grad):
        raise Fault("the value is right, but no gradient leads from it to the weights: a penalty "
                    "has to be minimized. Take the gradient with create_graph=True.")  # fmt: skip
    leaf = samples.clone().requires_grad_()
    (inner,) = torch.autograd.grad(network(leaf).sum(), leaf, create_graph=True)
    truth = torch.autograd.grad(inner.square().sum() / 10, first.weight)[0]
    (slope,) = torch.autograd.grad(result, first.weight, allow_unused=True)
    if slope is None or not torch.allclose(slope, truth, rtol=1e-3, atol=1e-7):
        raise Fault("the value is right, but its gradient by the weights is not: is a part of it "
                    "detached?")  # fmt: skip
    return "value and gradient by the weights agree with one sample at a time."


@exercise("3.4.2-dirac")
def check_dirac(answer: object) -> str:
    """answer: the weight of R1 with which the Dirac-GAN comes to rest soonest."""
    found = number(answer)
    faults = {
        0.0: "without the penalty it circles for ever.",
        0.5: "below 1 the eigenvalues are complex with real part -lambda / 2: with 0.5 it still "
             "swings, and decays half as fast as it could.",
        0.25: "that is lambda squared over four where it equals one quarter; solve for lambda.",
        2.0: "at 2 one eigenvalue is -1 + sqrt(3) / 2 = -0.13: too much friction is slow as well.",
        4.0: "the slope of the sigmoid's logarithm at 0 is one half, not one: the eigenvalues are "
             "-lambda / 2 +- sqrt(lambda**2 / 4 - 1 / 4).",
    }  # fmt: skip
    if abs(found - 1) < 1e-6:
        return "both eigenvalues are -1/2 there: with less it swings, with more it creeps."
    raise Fault(faults.get(found, f"with {found:g} the slowest of the two eigenvalues "
                "-lambda / 2 +- sqrt(lambda**2 / 4 - 1 / 4) has a real part closer to 0 than it "
                "need be."))  # fmt: skip
