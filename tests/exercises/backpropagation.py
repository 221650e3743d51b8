"""Answers to the exercises of section 3.1.3."""

from __future__ import annotations

from itertools import pairwise

import torch


def backward_order(entering, loss):
    """Depth first, each node written down after its sources; then turned around."""
    done = []

    def visit(name):
        for source in entering[name]:
            if source not in done:
                visit(source)
        if name not in done:
            done.append(name)

    visit(loss)
    return done[::-1]


def breadth_first(entering, loss):
    order = [loss]
    for name in order:
        order += [source for source in dict.fromkeys(entering[name]) if source not in order]
    return order


def every_path(entering, loss):
    return [loss] + [name for source in entering[loss] for name in every_path(entering, source)]


def with_bystanders(entering, loss):
    return [*backward_order(entering, loss), *(entering.keys() - {*backward_order(entering, loss)})]


def conv1x1_backward(g, v, weight):
    by_v = torch.einsum("nmhw,mc->nchw", g, weight)
    return by_v, torch.einsum("nmhw,nchw->mc", g, v), g.sum((0, 2, 3))


def change(index, function):
    """conv1x1_backward with one of its answers changed."""

    def changed(g, v, weight):
        found = list(conv1x1_backward(g, v, weight))
        found[index] = function(found[index])
        return found

    return changed


def kept_bytes(pixels, widths):
    return 4 * pixels * sum(widths) + 8 * pixels + 4


def parameter_bytes(widths):
    return 4 * sum((n + 1) * m for n, m in pairwise(widths))


RIGHT = [
    ("3.1.3-two-paths", 42),
    ("3.1.3-two-paths", torch.tensor(42.0)),
    ("3.1.3-order", backward_order),
    ("3.1.3-sigmoid-backward", lambda g, h: g * h * (1 - h)),
    ("3.1.3-conv1x1-backward", conv1x1_backward),
    ("3.1.3-kept-bytes", kept_bytes),
]

WRONG = [
    ("3.1.3-two-paths", 18, "through w x alone"),
    ("3.1.3-two-paths", 24, "through the square alone"),
    ("3.1.3-two-paths", 30, "2 w, not w"),
    ("3.1.3-two-paths", 21, "the 2 is missing"),
    ("3.1.3-two-paths", 7, "multiply by the outer"),
    ("3.1.3-two-paths", 432, "not multiplied"),
    ("3.1.3-two-paths", 5, "add what comes back"),
    ("3.1.3-order", lambda e, loss: backward_order(e, loss)[::-1], "the way forward"),
    ("3.1.3-order", breadth_first, "before all of it has arrived"),
    ("3.1.3-order", every_path, "comes twice"),
    ("3.1.3-order", with_bystanders, "does not depend on 'aside'"),
    ("3.1.3-order", lambda e, loss: [loss, *e[loss]], "'s' is missing"),
    ("3.1.3-order", lambda e, loss: [loss], "is missing"),
    ("3.1.3-order", lambda e, loss: 3, "a list of names"),
    ("3.1.3-sigmoid-backward", lambda g, h: h * (1 - h), "chain rule"),
    ("3.1.3-sigmoid-backward", lambda g, h: g * h.sigmoid() * (1 - h.sigmoid()), "once more"),
    ("3.1.3-sigmoid-backward", lambda g, h: g * (1 - h * h), "tanh"),
    ("3.1.3-sigmoid-backward", lambda g, h: g * h, "only half"),
    ("3.1.3-sigmoid-backward", lambda g, h: g * (h > 0), "ReLU's rule"),
    ("3.1.3-sigmoid-backward", lambda g, h: g + h * (1 - h), "not added"),
    ("3.1.3-sigmoid-backward", lambda g, h: g * h * (h - 1), "sign"),
    ("3.1.3-sigmoid-backward", lambda g, h: (g * h * (1 - h)).sum(), "the shape"),
    ("3.1.3-sigmoid-backward", lambda g, h: 0.25, "should be a tensor"),
    ("3.1.3-conv1x1-backward", lambda g, v, w: g, "three tensors"),
    ("3.1.3-conv1x1-backward", change(1, lambda t: t.T), "by the weights has the shape (3, 6)"),
    ("3.1.3-conv1x1-backward", change(1, lambda t: t / 40), "number of pixels of the batch"),
    ("3.1.3-conv1x1-backward", change(2, lambda t: t / 40), "by the biases: divided"),
    ("3.1.3-conv1x1-backward", change(2, lambda t: t[:, None]), "the biases has the shape"),
    (
        "3.1.3-conv1x1-backward",
        lambda g, v, w: (*conv1x1_backward(g, v, w)[:2], g[0].sum((1, 2))),
        "only the first image",
    ),
    ("3.1.3-conv1x1-backward", change(0, torch.neg), "sign"),
    ("3.1.3-conv1x1-backward", change(0, lambda t: t * 1.5), "all the ways"),
    ("3.1.3-kept-bytes", lambda n, w: kept_bytes(n, w) - 4, "number of labeled pixels"),
    ("3.1.3-kept-bytes", lambda n, w: kept_bytes(n, w) - 4 * n, "integers of 8 bytes"),
    ("3.1.3-kept-bytes", lambda n, w: kept_bytes(n, w) - 8 * n, "labels are kept too"),
    ("3.1.3-kept-bytes", lambda n, w: kept_bytes(n, w) - 4 * n * w[0], "first layer's input"),
    ("3.1.3-kept-bytes", lambda n, w: kept_bytes(n, w[:-1]), "logarithms"),
    ("3.1.3-kept-bytes", lambda n, w: kept_bytes(n, w) + 4 * n * sum(w[1:-1]), "one tensor"),
    ("3.1.3-kept-bytes", lambda n, w: kept_bytes(n, w) + parameter_bytes(w), "exist anyway"),
    ("3.1.3-kept-bytes", lambda n, w: kept_bytes(n, w) / 4, "4 bytes"),
    ("3.1.3-kept-bytes", lambda n, w: 0, "each backward rule"),
]
