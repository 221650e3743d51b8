"""Answers to the exercises of section 3.3.2."""

from __future__ import annotations

import torch
from torch.nn.functional import conv1d


def shuffled(maps, r):
    """Block by block, without torch's function."""
    n, channels, height, width = maps.shape
    result = torch.zeros(n, channels // r**2, r * height, r * width)
    for a in range(r):
        for b in range(r):
            result[:, :, a::r, b::r] = maps[:, r * a + b :: r**2]
    return result


def swapped(maps, r):
    """Rows and columns of a block exchanged."""
    n, channels, height, width = maps.shape
    result = torch.zeros(n, channels // r**2, r * height, r * width)
    for a in range(r):
        for b in range(r):
            result[:, :, b::r, a::r] = maps[:, r * a + b :: r**2]
    return result


def far_apart(maps, r):
    """The channels in TensorFlow's order."""
    return shuffled(maps.unflatten(1, (r**2, -1)).transpose(1, 2).flatten(1, 2), r)


def counts(size, kernel, stride):
    """The gradient of the sum of a strided convolution with weights of one."""
    line = torch.zeros(1, 1, size, requires_grad=True)
    conv1d(line, torch.ones(1, 1, kernel), stride=stride).sum().backward()
    return line.grad.flatten().int().tolist()


def overhanging(size, kernel, stride):
    """One output more than fits."""
    outputs = (size - kernel) // stride + 2
    return [sum(0 <= p - stride * t < kernel for t in range(outputs)) for p in range(size)]


def kl(mean, log_variance):
    return (mean**2 + log_variance.exp() - 1 - log_variance).sum(dim=1) / 2


def reverse_kl(mean, log_variance):
    return ((1 + mean**2) / log_variance.exp() - 1 + log_variance).sum(dim=1) / 2


def draw(mean, log_variance, noise):
    return mean + (log_variance / 2).exp() * noise


RIGHT = [
    ("3.3.2-shuffle", shuffled),
    ("3.3.2-icnr", lambda kernels, r: kernels.repeat_interleave(r * r, dim=0)),
    ("3.3.2-gradient-counts", counts),
    ("3.3.2-best-gray", (0.62, 0.8)),
    ("3.3.2-kl", kl),
    ("3.3.2-reparameterize", draw),
]

WRONG = [
    ("3.3.2-shuffle", swapped, "exchanged"),
    ("3.3.2-shuffle", far_apart, "follow each other"),
    ("3.3.2-shuffle", lambda m, r: m.view(len(m), -1, r * m.shape[2], r * m.shape[3]), "in memory"),
    ("3.3.2-shuffle", lambda m, r: shuffled(m, r).flip(2), "not where they belong"),
    ("3.3.2-shuffle", lambda m, r: shuffled(m, r).mT, "r times as high"),
    ("3.3.2-shuffle", lambda m, r: m, "r times as high"),
    ("3.3.2-icnr", lambda k, r: k.repeat(r * r, 1, 1, 1), "repeat_interleave"),
    ("3.3.2-icnr", lambda k, r: k.repeat_interleave(r * r, dim=0) / r**2, "divided by"),
    ("3.3.2-icnr", lambda k, r: k.repeat_interleave(r, dim=0), "r * r kernels"),
    ("3.3.2-icnr", lambda k, r: torch.randn(len(k) * r * r, *k.shape[1:]), "differs by up to"),
    ("3.3.2-gradient-counts", lambda n, k, s: [len(range(p % s, k, s)) for p in range(n)], "fewer"),
    ("3.3.2-gradient-counts", lambda n, k, s: [k] * n, "an output reads"),
    ("3.3.2-gradient-counts", lambda n, k, s: counts(n, k, 1), "stride is missing"),
    ("3.3.2-gradient-counts", overhanging, "too many"),
    ("3.3.2-gradient-counts", lambda n, k, s: [1] * ((n - k) // s + 1), "one for each"),
    ("3.3.2-gradient-counts", lambda n, k, s: [0] * n, "expected ["),
    ("3.3.2-best-gray", (0.8, 0.62), "exchanged"),
    ("3.3.2-best-gray", (0.5, 0.8), "middle"),
    ("3.3.2-best-gray", (0.38, 0.8), "weights"),
    ("3.3.2-best-gray", (0.7, 0.8), "set the derivative"),
    ("3.3.2-best-gray", (0.62, 0.62), "seven"),
    ("3.3.2-best-gray", 0.62, "two numbers"),
    ("3.3.2-kl", lambda m, v: -kl(m, v), "never negative"),
    ("3.3.2-kl", lambda m, v: kl(m, v) / m.shape[1], "add up"),
    ("3.3.2-kl", lambda m, v: 2 * kl(m, v), "one half"),
    ("3.3.2-kl", reverse_kl, "exchanged"),
    ("3.3.2-kl", lambda m, v: kl(m, 2 * v), "standard deviation"),
    ("3.3.2-kl", lambda m, v: (m**2 + v.exp() - 1).sum(dim=1) / 2, "is missing"),
    ("3.3.2-kl", lambda m, v: (m**2 + v.exp() - 1 - v) / 2, "for each latent"),
    ("3.3.2-kl", lambda m, v: kl(m, v).sum(), "shape"),
    ("3.3.2-kl", lambda m, v: kl(m, v) + 1, "values differ"),
    ("3.3.2-reparameterize", lambda m, v, e: m + v.exp() * e, "multiplied by the variance"),
    ("3.3.2-reparameterize", lambda m, v, e: m + v * e, "log variance itself"),
    ("3.3.2-reparameterize", lambda m, v, e: m + e, "not scaled"),
    ("3.3.2-reparameterize", lambda m, v, e: (m + e) * (v / 2).exp(), "mean is scaled"),
    ("3.3.2-reparameterize", lambda m, v, e: m * 1, "noise is missing"),
    ("3.3.2-reparameterize", lambda m, v, e: draw(m, v, torch.randn_like(m)), "two calls"),
    ("3.3.2-reparameterize", lambda m, v, e: draw(m, v, -e), "are not mean +"),
    ("3.3.2-reparameterize", lambda m, v, e: draw(m, v, e).detach(), "detached"),
    ("3.3.2-reparameterize", lambda m, v, e: draw(m, v.detach(), e), "reaches the log variance"),
    ("3.3.2-reparameterize", lambda m, v, e: draw(m, v, e)[:1], "shape of the mean"),
]
