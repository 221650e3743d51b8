"""Answers to the exercises of section 5.1, right and wrong."""

from __future__ import annotations

import torch


def multiply_adds(channels, height, width, quarter=True, both=True):
    total, before = 0, 3
    for level, after in enumerate(channels):
        places = height * width / (4**level if quarter else 1)
        total += 9 * before * after * places
        total += 9 * after * after * places if both else 0
        before = after
    return total


def halves(channels, height, width):
    """A level has half the places of the one above, not a quarter."""
    return sum(
        9 * (before + after) * after * height * width / 2**level
        for level, (before, after) in enumerate(zip([3, *channels], channels, strict=False))
    )


def gray(channels, height, width):
    first = 9 * channels[0] * height * width
    return multiply_adds(channels, height, width) + first * (channels[0] - 3)


def tiles(length, tile, overlap):
    starts = range(0, max(1, length - overlap), tile - overlap)
    return [(start, min(start + tile, length)) for start in starts]


def tiles_too_many(length, tile, overlap):
    return [(start, min(start + tile, length)) for start in range(0, length, tile - overlap)]


def tiles_uncut(length, tile, overlap):
    return [(start, start + tile) for start, _ in tiles(length, tile, overlap)]


def tiles_whole_only(length, tile, overlap):
    starts = range(0, length - tile + 1, tile - overlap)
    return [(start, start + tile) for start in starts]


def tiles_moved_back(length, tile, overlap):
    found = tiles(length, tile, overlap)
    return [*found[:-1], (max(0, length - tile), length)]


def tiles_apart(length, tile, overlap):
    return tiles(length, tile, 0)


def tiles_half_overlap(length, tile, overlap):
    return tiles(length, tile, overlap // 2)


def blend(strips, places, window, length, *, divide="weights", weigh=True, chances=False):
    total, weights = torch.zeros(strips[0].shape[0], length), torch.zeros(length)
    counts = torch.zeros(length)
    for strip, (start, stop) in zip(strips, places, strict=True):
        values = strip.softmax(0) if chances else strip
        total[:, start:stop] += (window if weigh else 1) * values
        weights[start:stop] += window
        counts[start:stop] += 1
    return total / {"weights": weights, "counts": counts, "nothing": torch.ones(length)}[divide]


def overwrite(strips, places, window, length):
    whole = torch.zeros(strips[0].shape[0], length)
    for strip, (start, stop) in zip(strips, places, strict=True):
        whole[:, start:stop] = strip
    return whole


def blend_in_place(strips, places, window, length):
    for strip in strips:
        strip *= window
    return blend(strips, places, window, length, weigh=False)


RIGHT = [
    ("5.1-multiply-adds", multiply_adds),
    ("5.1-tiles", tiles),
    ("5.1-blend", blend),
    ("5.1-tile-work", lambda tile, margin: tile**2 / (tile - 2 * margin) ** 2),
]

WRONG = [
    ("5.1-multiply-adds", lambda c, h, w: 2 * multiply_adds(c, h, w), "multiply-add is one"),
    ("5.1-multiply-adds", lambda c, h, w: multiply_adds(c, h, w, quarter=False), "at full size"),
    ("5.1-multiply-adds", halves, "a quarter of the places"),
    ("5.1-multiply-adds", lambda c, h, w: multiply_adds(c, h, w) / 9, "9 weights"),
    ("5.1-multiply-adds", lambda c, h, w: multiply_adds(c, h, w, both=False), "two convolutions"),
    ("5.1-multiply-adds", gray, "3 channels of the picture"),
    ("5.1-multiply-adds", lambda c, h, w: multiply_adds(c, 1, 1), "cost of one pixel"),
    ("5.1-multiply-adds", lambda c, h, w: 17.0, "9 C_in C_out"),
    ("5.1-tiles", tiles_too_many, "see nothing new"),
    ("5.1-tiles", tiles_uncut, "beyond the picture"),
    ("5.1-tiles", tiles_whole_only, "leave the rest without labels"),
    ("5.1-tiles", tiles_moved_back, "all begin on one grid"),
    ("5.1-tiles", tiles_apart, "share nothing"),
    ("5.1-tiles", tiles_half_overlap, "one that shares 32 pixels"),
    ("5.1-tiles", lambda length, tile, overlap: 3, "pairs (start, stop)"),
    ("5.1-blend", lambda *a: blend(*a, divide="nothing"), "not divided"),
    ("5.1-blend", lambda *a: blend(*a, divide="counts"), "not by how many"),
    ("5.1-blend", lambda *a: blend(*a, divide="counts", weigh=False), "plain mean"),
    ("5.1-blend", lambda *a: blend(*a, divide="nothing", weigh=False), "plain sum"),
    ("5.1-blend", overwrite, "only the last one"),
    ("5.1-blend", lambda *a: blend(*a, chances=True), "probabilities are blended"),
    ("5.1-blend", blend_in_place, "work on copies"),
    ("5.1-blend", lambda *a: blend(*a).T, "expected (C, length)"),
    ("5.1-blend", lambda *a: blend(*a) + 1, "should be"),
    ("5.1-tile-work", lambda tile, margin: tile / (tile - 2 * margin), "a tile has two"),
    ("5.1-tile-work", lambda tile, margin: (tile / (tile - margin)) ** 2, "at both ends of a side"),
    ("5.1-tile-work", lambda tile, margin: tile / (tile - margin), "of both sides"),
    ("5.1-tile-work", lambda tile, margin: ((tile - 2 * margin) / tile) ** 2, "its inverse"),
    ("5.1-tile-work", lambda tile, margin: (1 + 2 * margin / tile) ** 2, "part of the tile"),
    ("5.1-tile-work", lambda tile, margin: 9.0, "Divide the tile's area"),
]
