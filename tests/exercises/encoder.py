"""Answers to the exercises of section 3.3.1."""

from __future__ import annotations

import numpy as np
import torch
from scipy.linalg import subspace_angles
from sklearn.decomposition import PCA


def pca(vectors, size):
    """Mean and directions, by scikit-learn."""
    fitted = PCA(size).fit(vectors.numpy())
    return torch.tensor(fitted.mean_), torch.tensor(fitted.components_.T)


def directions(vectors, order):
    """Eigenvectors of the covariance matrix, as columns."""
    return torch.linalg.eigh(torch.cov(vectors.T)).eigenvectors[:, order]


def left_over(values, size):
    return float(np.sort(values.numpy())[::-1][size:].sum()) / len(values)


def angle(first, second):
    """The largest principal angle in degrees, by scipy."""
    return float(np.degrees(subspace_angles(first.numpy(), second.numpy()).max()))


def cosines(first, second, *, orthonormal=True):
    if orthonormal:
        first, second = torch.linalg.qr(first).Q, torch.linalg.qr(second).Q
    return torch.linalg.svdvals(first.T @ second).clamp(0, 1)


def narrowest(width, depth):
    return width / (3 * 2 ** (depth - 1))


def turned(vectors, size):
    mean, basis = pca(vectors, size)
    generator = torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(size, size, generator=generator)).Q
    return mean, basis @ turn


RIGHT = [
    ("3.3.1-pca", turned),  # any basis of the best plane will do
    ("3.3.1-pca", pca),
    ("3.3.1-left-over", left_over),
    ("3.3.1-angle", angle),
    ("3.3.1-narrowest", narrowest),
]

WRONG = [
    ("3.3.1-pca", lambda v, e: pca(v, e)[1], "two tensors"),
    ("3.3.1-pca", lambda v, e: (torch.zeros(v.shape[1]), pca(v, e)[1]), "not the mean"),
    ("3.3.1-pca", lambda v, e: (v.mean(dim=1), pca(v, e)[1]), "one number a pixel"),
    ("3.3.1-pca", lambda v, e: (pca(v, e)[0], pca(v, e)[1].T), "one direction a column"),
    ("3.3.1-pca", lambda v, e: (pca(v, e)[0], 3 * pca(v, e)[1]), "other lengths than 1"),
    ("3.3.1-pca", lambda v, e: (pca(v, e)[0], v[:e].T), "not orthogonal"),
    ("3.3.1-pca", lambda v, e: (pca(v, e)[0], torch.linalg.svd(v).Vh[:e].T), "as they are"),
    ("3.3.1-pca", lambda v, e: (pca(v, e)[0], directions(v, slice(e))), "from the smallest"),
    ("3.3.1-pca", lambda v, e: (pca(v, e)[0], pca(v, e + 1)[1][:, 1:]), "another plane"),
    ("3.3.1-pca", lambda v, e: None, "no answer yet"),
    ("3.3.1-left-over", lambda v, e: left_over(v, e) * len(v), "of a whole vector"),
    ("3.3.1-left-over", lambda v, e: left_over(v, e) ** 0.5, "leave it squared"),
    ("3.3.1-left-over", lambda v, e: float(v.mean()) - left_over(v, e), "what is kept"),
    ("3.3.1-left-over", lambda v, e: left_over(v, e) / float(v.mean()), "share of the variance"),
    ("3.3.1-left-over", lambda v, e: left_over(v, e) * 6 / (6 - e), "only by those"),
    ("3.3.1-left-over", lambda v, e: float(v[e:].sum()) / 6, "come in no order"),
    ("3.3.1-left-over", lambda v, e: float(v.sort().values[e:].sum()) / 6, "not the E smallest"),
    ("3.3.1-left-over", lambda v, e: 0.0, "is expected"),
    ("3.3.1-left-over", lambda v, e: v, "one number"),
    ("3.3.1-angle", lambda a, b: cosines(a, b).max().acos().rad2deg(), "smallest angle"),
    ("3.3.1-angle", lambda a, b: cosines(a, b).min().acos(), "radians"),
    ("3.3.1-angle", lambda a, b: cosines(a, b).min(), "cosine"),
    ("3.3.1-angle", lambda a, b: cosines(a, b, orthonormal=False).min().acos().rad2deg(), "(QR)"),
    ("3.3.1-angle", lambda a, b: torch.linalg.svdvals(a.T @ b).max().acos().rad2deg(), "(QR)"),
    (
        "3.3.1-angle",
        lambda a, b: torch.cosine_similarity(a[:, 0], b[:, 0], dim=0).acos().rad2deg(),
        "compare spaces",
    ),
    ("3.3.1-angle", lambda a, b: 45.0, "Orthonormal bases first"),
    ("3.3.1-narrowest", lambda w, d: narrowest(w, d + 1), "depth - 1 times"),
    ("3.3.1-narrowest", lambda w, d: 3 * narrowest(w, d), "three numbers a pixel"),
    ("3.3.1-narrowest", lambda w, d: narrowest(w, 2 * d - 1), "channels double"),
    ("3.3.1-narrowest", lambda w, d: w / 3, "a quarter of the places"),
    ("3.3.1-narrowest", lambda w, d: 1 / narrowest(w, d), "turn it over"),
    ("3.3.1-narrowest", lambda w, d: 1.0, "Count channels"),
]
