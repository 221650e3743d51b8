"""Answers to the exercises of section 5.4."""

from __future__ import annotations

import numpy as np
import torch
from scipy.special import softmax


def attention(queries, keys, values):
    """By loops and numpy."""
    result = np.zeros((*queries.shape[:3], values.shape[-1]), np.float32)
    for index in np.ndindex(*queries.shape[:3]):
        query, head = queries[index].numpy(), index[:2]
        scores = keys[head].numpy() @ query / np.sqrt(len(query))
        result[index] = softmax(scores) @ values[head].numpy()
    return torch.tensor(result)


def weighted(queries, keys, values, *, scale=2.0, dim=-1, squash=torch.softmax):
    return squash(queries @ keys.mT / scale, dim) @ values


def count_by_layers(before, after, kernel):
    """Multiply-adds a pixel, from the weights of the layers."""
    full = torch.nn.Conv2d(before, after, kernel, bias=False).weight.numel()
    around = torch.nn.Conv2d(before, before, kernel, groups=before, bias=False).weight.numel()
    between = torch.nn.Conv2d(before, after, 1, bias=False).weight.numel()
    return full / (around + between)


def quantize(weight, bits, *, dims=(1, 2, 3), limit=None, turn=np.rint):
    limit = limit or 2 ** (bits - 1) - 1
    largest = np.abs(weight.numpy()).max(axis=dims, keepdims=True)
    step = np.where(largest > 0, largest / limit, 1.0)
    whole = turn(weight.numpy() / step).astype(np.int64)
    return torch.tensor(whole), torch.tensor(step.reshape(-1))


def without_care(weight, bits):
    step = weight.abs().amax((1, 2, 3), keepdim=True) / (2 ** (bits - 1) - 1)
    return torch.nan_to_num(weight / step, nan=7).round().long(), step.flatten()


def floats(weight, bits):
    whole, step = quantize(weight, bits)
    return whole.float(), step


def frontier(points):
    """By a sweep from the cheapest on."""
    order = sorted(range(len(points)), key=lambda k: (points[k][0], -points[k][1]))
    kept, best = [], None
    for k in order:
        if best is None or points[k][1] > best[1] or tuple(points[k]) == best:
            kept.append(k)
            best = tuple(points[k])
    return kept


def sloppy_frontier(points):
    """Only points that are better and cheaper at once beat another."""
    return sorted(
        (
            k
            for k, (cost, score) in enumerate(points)
            if not any(c < cost and s > score for c, s in points)
        ),
        key=lambda k: points[k][0],
    )


def first_of_equals(points):
    return [points.index(point) for point in dict.fromkeys(points[k] for k in frontier(points))]


RIGHT = [
    ("5.4-attention", attention),
    ("5.4-attention", weighted),
    ("5.4-separable", count_by_layers),
    ("5.4-quantize", quantize),
    ("5.4-frontier", frontier),
]

WRONG = [
    ("5.4-attention", lambda q, k, v: weighted(q, k, v, scale=1.0), "not divided by the square"),
    ("5.4-attention", lambda q, k, v: weighted(q, k, v, scale=4.0), "not by d itself"),
    ("5.4-attention", lambda q, k, v: weighted(q, k, v, scale=7**0.5), "not the number of keys"),
    ("5.4-attention", lambda q, k, v: weighted(q, k, v, dim=-2), "over the queries"),
    ("5.4-attention", lambda q, k, v: weighted(q, k, v, squash=lambda s, _: s), "is missing"),
    ("5.4-attention", lambda q, k, v: q @ k.mT, "expected (2, 3, 5, 6)"),
    ("5.4-attention", lambda q, k, v: attention(q, k, v) + 1, "differs from softmax"),
    ("5.4-separable", lambda i, o, k: 1 / count_by_layers(i, o, k), "other way around"),
    ("5.4-separable", lambda i, o, k: k * o / (k + o), "K * K weights"),
    ("5.4-separable", lambda i, o, k: k * k * i / (k * k + i), "exchanged"),
    ("5.4-separable", lambda i, o, k: k * k, "costs something, too"),
    ("5.4-separable", lambda i, o, k: o, "depthwise half alone"),
    ("5.4-separable", lambda i, o, k: 1.0, "K * K * C * C'"),
    ("5.4-quantize", lambda w, b: quantize(w, b)[0], "two tensors"),
    ("5.4-quantize", lambda w, b: quantize(w, b, dims=(0, 1, 2, 3)), "one step for the whole"),
    ("5.4-quantize", lambda w, b: quantize(w, b, dims=(0, 2, 3)), "3 steps for 4 output"),
    ("5.4-quantize", floats, "holds floats"),
    ("5.4-quantize", without_care, "stay zero"),
    ("5.4-quantize", lambda w, b: quantize(w, b, limit=2 ** (b - 1)), "the range is -127 to 127"),
    ("5.4-quantize", lambda w, b: quantize(w, b, limit=2 ** (b - 2)), "part of the range"),
    ("5.4-quantize", lambda w, b: quantize(w, b, turn=np.trunc), "half a step at most"),
    ("5.4-frontier", lambda p: frontier(p)[::-1], "another order"),
    ("5.4-frontier", lambda p: frontier([(-c, -s) for c, s in p]), "worst points"),
    ("5.4-frontier", lambda p: frontier([(-c, s) for c, s in p]), "higher cost were better"),
    ("5.4-frontier", lambda p: [max(range(len(p)), key=lambda k: p[k][1])], "one point"),
    ("5.4-frontier", sloppy_frontier, "is beaten by another"),
    ("5.4-frontier", first_of_equals, "No point beats"),
]
