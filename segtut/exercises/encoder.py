"""Checks of section 3.3.1: principal components, what they leave, angles, counting numbers."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from segtut.exercises.registry import Fault, call, exercise, number


@exercise("3.3.1-pca")
def check_pca(answer: Callable[[Tensor, int], tuple[Tensor, Tensor]]) -> str:
    """answer: (vectors (N, n), E) -> (mean (n,), orthonormal basis (n, E)) of the best E-plane."""
    for rows, columns, kept, seed in ((60, 7, 3, 0), (9, 20, 4, 1)):
        vectors = _cloud(rows, columns, seed)
        mean, basis = _pair(call(answer, vectors.clone(), kept))
        case = f"{rows} vectors of {columns} numbers, E = {kept}"
        if mean.shape != (columns,):
            raise Fault(f"{case}: the mean has the shape {tuple(mean.shape)}, expected "
                        f"({columns},), one number a pixel.")  # fmt: skip
        if not torch.allclose(mean, vectors.mean(dim=0), atol=1e-3):
            raise Fault(f"{case}: the first result is not the mean of the vectors.")
        if basis.shape != (columns, kept):
            raise Fault(f"{case}: the basis is {tuple(basis.shape)}, expected "
                        f"{(columns, kept)}: one direction a column.")  # fmt: skip
        _judge_basis(case, vectors, basis, kept)
    return "mean and plane are those of the principal components."


def _cloud(rows: int, columns: int, seed: int) -> Tensor:
    """Vectors (rows, columns) that vary by very different amounts around a mean far from 0."""
    generator = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(columns, columns, generator=generator)).Q
    spread = 4 * 0.7 ** torch.arange(columns)
    away = 10 * torch.randn(columns, generator=generator)
    return (torch.randn(rows, columns, generator=generator) * spread) @ turn + away


def _pair(found: object) -> tuple[Tensor, Tensor]:
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise Fault("return two tensors, the mean and the basis.")
    mean, basis = (torch.as_tensor(part).detach().float() for part in found)
    return mean, basis


def _judge_basis(case: str, vectors: Tensor, basis: Tensor, kept: int) -> None:
    """Raise a Fault unless the columns of `basis` are orthonormal and span the best plane."""
    gram = basis.T @ basis
    if not torch.allclose(gram, torch.eye(kept), atol=1e-3):
        straight = torch.allclose(gram, gram.diagonal().diag(), atol=1e-3 * float(gram.max()))
        reason = "have other lengths than 1" if straight else "are not orthogonal"
        raise Fault(f"{case}: the columns {reason}; U^T U has to be the identity.")
    centered = vectors - vectors.mean(dim=0)
    directions = torch.linalg.svd(centered, full_matrices=False).Vh
    if _same_plane(basis, directions[:kept].T):
        return
    if _same_plane(basis, torch.linalg.svd(vectors, full_matrices=False).Vh[:kept].T):
        raise Fault(f"{case}: these are directions of the vectors as they are; subtract the mean "
                    "first, or the first direction points at it.")  # fmt: skip
    variance = (centered @ basis).square().sum()
    if variance < 0.2 * (centered @ directions[:kept].T).square().sum():
        raise Fault(f"{case}: the data hardly vary along these directions; eigh lists the "
                    "eigenvalues from the smallest to the largest.")  # fmt: skip
    raise Fault(f"{case}: another plane leaves a smaller squared error: take the {kept} "
                "eigenvectors of the covariance matrix with the largest eigenvalues.")  # fmt: skip


def _same_plane(first: Tensor, second: Tensor) -> bool:
    """Whether two orthonormal bases (n, E) span the same space."""
    return torch.allclose(first @ first.T, second @ second.T, atol=5e-3)


@exercise("3.3.1-left-over")
def check_left_over(answer: Callable[[Tensor, int], float]) -> str:
    """answer: (eigenvalues (n,), in any order, E) -> mean squared error a number of the picture."""
    values = torch.tensor([0.5, 8.0, 0.25, 3.0, 1.0, 0.05])
    for kept in (1, 3, 5):
        found = number(call(answer, values.clone(), kept))
        ordered = values.sort(descending=True).values
        lost, total = float(ordered[kept:].sum()), float(values.sum())
        right = lost / len(values)
        if math.isclose(found, right, rel_tol=1e-4):
            continue
        case = f"eigenvalues {[round(v, 2) for v in values.tolist()]}, E = {kept}: "
        faults = {
            lost: "that is the error of a whole vector; divide by how many numbers it has.",
            math.sqrt(right): "that is the root of the mean squared error; leave it squared.",
            (total - lost) / len(values): "that is what is kept; the rest is lost.",
            lost / total: "that is the share of the variance; divide by the numbers, not by it.",
            lost / (len(values) - kept): "divide by all the numbers of the vector, not only by "
            "those that were left out.",
            float(values[kept:].sum()) / len(values): "the eigenvalues come in no order; the "
            "largest are kept.",
            float(ordered[: len(values) - kept].sum()) / len(values): "the E largest are kept, "
            "not the E smallest.",
        }
        for wrong, reason in faults.items():
            if math.isclose(found, wrong, rel_tol=1e-4):
                raise Fault(case + reason)
        raise Fault(case + f"{right:.4f} is expected, not {found:.4f}: the mean over the n numbers "
                    "of what the left-out directions vary by.")  # fmt: skip
    return "the sum of the eigenvalues left out, divided by n."


@exercise("3.3.1-angle")
def check_angle(answer: Callable[[Tensor, Tensor], float]) -> str:
    """answer: (A (n, E), B (n, E)) -> largest angle, degrees, between their column spaces."""
    for degrees, seed in ((0.0, 0), (30.0, 1), (75.0, 2)):
        first, second = _planes(degrees, seed)
        found = number(call(answer, first.clone(), second.clone()))
        if abs(found - degrees) < 0.2:
            continue
        case = f"two planes at {degrees:g} degrees: you say {found:.2f}. "
        raise Fault(case + _angle_fault(first, second, found))
    return "the same plane in another basis is at 0 degrees, and the widest angle counts."


def _planes(degrees: float, seed: int) -> tuple[Tensor, Tensor]:
    """Skewed bases (8, 3) of two spaces, at a third, a half and all of the angle."""
    generator = torch.Generator().manual_seed(seed)
    axes = torch.linalg.qr(torch.randn(8, 8, generator=generator)).Q
    turns = math.radians(degrees) * torch.tensor([1 / 3, 1 / 2, 1])
    turned = axes[:, :3] * turns.cos() + axes[:, 3:6] * turns.sin()
    skew = [torch.eye(3) + 0.3 * torch.randn(3, 3, generator=generator) for _ in range(2)]
    return axes[:, :3] @ skew[0], 2 * turned @ skew[1]


def _angle_fault(first: Tensor, second: Tensor, found: float) -> str:
    """What a wrong angle was probably computed from."""
    bases = [torch.linalg.qr(basis).Q for basis in (first, second)]
    cosines = torch.linalg.svdvals(bases[0].T @ bases[1]).clamp(0, 1)
    raw = torch.linalg.svdvals(first.T @ second)
    column = torch.cosine_similarity(first[:, 0], second[:, 0], dim=0)
    widest = cosines.min().acos()
    mixed = "The columns are neither orthogonal nor of length 1: make them so first (QR)."
    guesses = (
        (cosines.max().acos().rad2deg(), "That is the smallest angle; the largest is asked for."),
        (widest, "That is in radians."),
        (cosines.min(), "That is the cosine."),
        (column.acos().rad2deg(), "The first columns are two vectors of many; compare spaces."),
        (raw.min().clamp(0, 1).acos().rad2deg(), mixed),
        (raw.max().clamp(0, 1).acos().rad2deg(), mixed),
    )
    for guess, reason in guesses:
        if abs(found - float(guess)) < 1e-2:
            return reason
    if math.isnan(found):
        return mixed
    return "Orthonormal bases first; the singular values of U^T V are the cosines of the angles."


@exercise("3.3.1-narrowest")
def check_narrowest(answer: Callable[[int, int], float]) -> str:
    """answer: (width, depth) -> numbers at the U-Net's last level, relative to a color image."""
    for width, depth in ((16, 4), (64, 5), (8, 3), (32, 1)):
        found = number(call(answer, width, depth))
        halvings = depth - 1
        right = width / (3 * 2**halvings)
        if math.isclose(found, right, rel_tol=1e-3):
            continue
        case = f"width {width}, depth {depth}: {right:.3g} is expected, not {found:.3g}. "
        faults = {
            width / (3 * 2**depth): "A network of depth levels pools depth - 1 times.",
            width / 2**halvings: "A color image has three numbers a pixel.",
            width / (3 * 4**halvings): "The channels double from level to level.",
            width / 3: "A pooling halves both sides, so it leaves a quarter of the places.",
            1 / right: "That is the image relative to the level; turn it over.",
        }
        for wrong, reason in faults.items():
            if math.isclose(found, wrong, rel_tol=1e-3):
                raise Fault(case + reason)
        raise Fault(case + "Count channels times places at the last level, and divide by 3 H W.")
    return "width / (3 * 2**(depth - 1)): each level halves the numbers."
