"""Answers to the exercises of section 3.3.3."""

from __future__ import annotations

from itertools import permutations
from math import ceil

import torch
from scipy.optimize import linear_sum_assignment
from torch.nn.functional import mse_loss

from segtut.models.autoencoder import MaskedAutoencoder


def stored_bits(channels, height, width, up=ceil, windows_of="level", bits=2, value=32, last=False):
    indices = skips = 0
    for level, count in enumerate(channels):
        coarsest = level == len(channels) - 1
        if not coarsest or last:
            skips += value * count * height * width
        if not coarsest:
            height, width = up(height / 2), up(width / 2)
            indices += bits * channels[level + (windows_of == "next")] * height * width
    return indices, skips


def hide(n, height, width, patch, share, generator):
    """By an order of the patches, drawn for each image."""
    rows, columns = height // patch, width // patch
    count = round(share * rows * columns)
    hidden = torch.zeros(n, rows * columns, dtype=torch.bool)
    for image in hidden:
        image[torch.randperm(rows * columns, generator=generator)[:count]] = True
    return patched(hidden.view(n, 1, rows, columns), patch)


def patched(grid, patch):
    return grid.repeat_interleave(patch, 2).repeat_interleave(patch, 3)


def hide_as_the_package_does(n, height, width, patch, share, generator):
    network = MaskedAutoencoder(width=2, depth=1, patch=patch, share=share)
    return network.mask(torch.zeros(n, 3, height, width), generator)[1]


def by_coins(n, height, width, patch, share, generator):
    grid = torch.rand(n, 1, height // patch, width // patch, generator=generator) < share
    return patched(grid, patch)


def pixels(n, height, width, patch, share, generator):
    return torch.rand(n, 1, height, width, generator=generator) < share


def alike(n, height, width, patch, share, generator):
    return hide(1, height, width, patch, share, generator).repeat(n, 1, 1, 1)


def with_other_randomness(seed):
    def answer(n, height, width, patch, share, generator):
        own = torch.Generator()
        own.seed() if seed is None else own.manual_seed(seed)
        return hide(n, height, width, patch, share, own)

    return answer


def hidden_error(guess, images, hidden):
    total = ((guess - images).square() * hidden).sum()
    return total / (3 * hidden.sum()).clamp(min=1)


def by_mse_loss(guess, images, hidden):
    where = hidden.expand_as(images)
    return mse_loss(guess[where], images[where]) if where.any() else torch.tensor(0.0)


def mean_of_means(guess, images, hidden):
    inside = ((guess - images).square() * hidden).sum(dim=(1, 2, 3))
    return (inside / (3 * hidden.sum(dim=(1, 2, 3))).clamp(min=1)).mean()


def match(counts):
    """By trying all orders."""
    size = len(counts)
    best = max(permutations(range(size)), key=lambda order: sum(counts[range(size), order]))
    return list(best)


def greedy(counts):
    counts, classes = counts.clone(), [0] * len(counts)
    for _ in range(len(counts)):
        k, c = divmod(counts.argmax().item(), len(counts))
        classes[k] = c
        counts[k], counts[:, c] = -1, -1
    return classes


RIGHT = [
    ("3.3.3-stored-bits", stored_bits),
    ("3.3.3-stored-bits", lambda *a: torch.tensor(stored_bits(*a), dtype=torch.float64)),
    ("3.3.3-hide", hide),
    ("3.3.3-hide", hide_as_the_package_does),
    ("3.3.3-hidden-error", hidden_error),
    ("3.3.3-hidden-error", by_mse_loss),
    ("3.3.3-match", match),
    ("3.3.3-match", lambda counts: linear_sum_assignment(-counts)[1]),
]

WRONG = [
    ("3.3.3-stored-bits", lambda *a: stored_bits(*a)[::-1], "exchanged"),
    ("3.3.3-stored-bits", lambda *a: stored_bits(*a, last=True), "the coarsest level"),
    ("3.3.3-stored-bits", lambda *a: stored_bits(*a, value=1), "counted in values"),
    ("3.3.3-stored-bits", lambda *a: stored_bits(*a, value=4), "counted in bytes"),
    ("3.3.3-stored-bits", lambda *a: stored_bits(*a, bits=1), "not their bits"),
    ("3.3.3-stored-bits", lambda *a: stored_bits(*a, bits=64), "what PyTorch spends"),
    ("3.3.3-stored-bits", lambda *a: stored_bits(*a, bits=4), "not 4"),
    ("3.3.3-stored-bits", lambda *a: stored_bits(*a, bits=8), "one index for each window"),
    ("3.3.3-stored-bits", lambda *a: stored_bits(*a, windows_of="next"), "channels of the level"),
    ("3.3.3-stored-bits", lambda *a: stored_bits(*a, up=int), "7 becomes 4"),
    ("3.3.3-stored-bits", lambda *a: stored_bits(*a)[0], "two numbers"),
    ("3.3.3-stored-bits", lambda *a: (1, 2), "expected (768, 49152)"),
    ("3.3.3-hide", lambda *a: ~hide(*a), "the other way round"),
    ("3.3.3-hide", by_coins, "a coin for each patch"),
    ("3.3.3-hide", pixels, "in part"),
    ("3.3.3-hide", alike, "the same patches; draw for each"),
    ("3.3.3-hide", with_other_randomness(None), "the same seed hid other"),
    ("3.3.3-hide", with_other_randomness(3), "another seed hid the same"),
    ("3.3.3-hide", lambda *a: hide(*a).float(), "a mask of booleans"),
    ("3.3.3-hide", lambda *a: hide(*a)[:, 0], "the mask is (6, 12, 20)"),
    ("3.3.3-hide", lambda n, h, w, p, s, g: hide(n, h, w, p, s / 2, g), "expected round"),
    ("3.3.3-hidden-error", lambda g, x, h: (g - x).square().mean(), "over all pixels"),
    ("3.3.3-hidden-error", lambda g, x, h: ((g - x).square() * h).mean(), "divided by all"),
    ("3.3.3-hidden-error", lambda g, x, h: hidden_error(g, x, ~h), "can be seen"),
    ("3.3.3-hidden-error", lambda g, x, h: 3 * hidden_error(g, x, h), "three times"),
    ("3.3.3-hidden-error", lambda g, x, h: ((g - x).square() * h).sum(), "it is the sum"),
    ("3.3.3-hidden-error", mean_of_means, "images' means"),
    ("3.3.3-hidden-error", lambda g, x, h: hidden_error(g, x, h).sqrt(), "the root"),
    ("3.3.3-hidden-error", lambda g, x, h: hidden_error(g, x, h) + 1, "instead of"),
    ("3.3.3-hidden-error", lambda g, x, h: (g - x).square() * h, "one number"),
    (
        "3.3.3-hidden-error",
        lambda g, x, h: (g - x).square()[h.expand_as(x)].mean(),
        "divided by zero",
    ),
    (
        "3.3.3-hidden-error",
        lambda g, x, h: hidden_error(g, x, h) if h.any() else torch.tensor(1.0),
        "nothing to be wrong about",
    ),
    ("3.3.3-match", lambda counts: counts.argmax(dim=1), "to two clusters"),
    ("3.3.3-match", greedy, "taking the largest count first"),
    ("3.3.3-match", lambda counts: linear_sum_assignment(counts)[1], "the worst assignment"),
    ("3.3.3-match", lambda counts: torch.tensor(match(counts)).argsort(), "of each class"),
    ("3.3.3-match", lambda counts: match(counts)[:-1], "2 classes for 3 clusters"),
    ("3.3.3-match", lambda counts: 3, "a list of 3 classes"),
]
