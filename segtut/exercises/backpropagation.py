"""Checks of section 3.1.3: the chain rule, backward rules, and what they keep in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional

from segtut.exercises.registry import Fault, call, exercise, number

Graph = Mapping[str, Sequence[str]]


@exercise("3.1.3-two-paths")
def check_two_paths(answer: object) -> str:
    """answer: the derivative of (w x + w^2 - y)^2 by w at w = 2, x = 3, y = 7."""
    found = number(answer)
    faults = {
        18: "that is the path through w x alone; w also acts through its square.",
        24: "that is the path through the square alone; w also acts through w x.",
        30: "the square of w has the derivative 2 w, not w.",
        21: "the outer square has the derivative 2 (...), and the 2 is missing.",
        7: "that is the derivative of what stands in the outer square; "
        "multiply by the outer square's own.",
        432: "the two paths are added, not multiplied.",
        -42: "the size is right and the sign is not: the loss grows with w here.",
        9: "that is the value of the loss.",
    }
    if abs(found - 42) < 1e-6:
        return "42: both paths of w, 3 and 4, are added and then multiplied by 2 * 3."
    for value, text in faults.items():
        if abs(found - value) < 1e-6:
            raise Fault(text)
    raise Fault(f"{found:g} is not it. w is used in w x and in w^2: add what comes back from both.")


_GRAPHS: tuple[tuple[dict[str, list[str]], str], ...] = (
    ({"x": [], "L": ["x"]}, "L"),
    # h is used twice, by a short way and by a long one
    ({"w": [], "h": ["w"], "s": ["h"], "t": ["s"], "L": ["h", "t"]}, "L"),
    ({"w": [], "h": ["w"], "s": ["h"], "t": ["s"], "L": ["t", "h"]}, "L"),
    # the same number twice in one product, and a node that the loss does not need
    ({"x": [], "q": ["x", "x"], "aside": ["q", "x"], "L": ["q", "x"]}, "L"),
    ({"L": ["d", "b"], "b": ["a"], "c": ["b", "a"], "d": ["c"], "a": []}, "L"),
)


@exercise("3.1.3-order")
def check_order(answer: Callable[[Graph, str], Sequence[str]]) -> str:
    """answer: (what enters each node, the loss) -> nodes in an order fit for a backward pass."""
    for graph, loss in _GRAPHS:
        found = call(answer, {name: list(sources) for name, sources in graph.items()}, loss)
        try:
            order = list(found)
        except TypeError as error:
            raise Fault(f"return a list of names, not a {type(found).__name__}.") from error
        _judge_order(graph, loss, order)
    return "every node comes once, after all that are computed from it."


def _judge_order(graph: Graph, loss: str, order: list[str]) -> None:
    """Raise a Fault unless `order` lets a backward pass visit each ancestor of the loss once."""
    needed, waiting = {loss}, [loss]
    while waiting:
        new = set(graph[waiting.pop()]) - needed
        needed |= new
        waiting += new
    text = f"for the graph {dict(graph)} you give {order}: "
    if repeated := [name for name, times in Counter(order).items() if times > 1]:
        raise Fault(f"{text}{repeated[0]!r} comes twice, and would pass its gradient on twice.")
    if extra := [name for name in order if name not in needed]:
        raise Fault(f"{text}the loss does not depend on {extra[0]!r}, so it has no part in it.")
    if missing := sorted(needed - set(order)):
        raise Fault(f"{text}{missing[0]!r} is missing, and would get no gradient.")
    if len(order) > 1 and order[-1] == loss:
        raise Fault(f"{text}that is the way forward; the backward pass starts at the loss.")
    place = {name: index for index, name in enumerate(order)}
    for name in order:
        for source in graph[name]:
            if place[source] < place[name]:
                raise Fault(
                    f"{text}{source!r} stands before {name!r}, which is computed from it: it "
                    "would pass its gradient on before all of it has arrived."
                )


@exercise("3.1.3-sigmoid-backward")
def check_sigmoid_backward(answer: Callable[[Tensor, Tensor], Tensor]) -> str:
    """answer: (gradient by the outputs, outputs of a sigmoid) -> gradient by its inputs."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(3, 4, generator=generator, dtype=torch.float64) * 2
    outputs = inputs.sigmoid()
    gradient = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    found = _tensor(call(answer, gradient.clone(), outputs.clone()), gradient.shape)
    again = outputs.sigmoid()
    wrong = (
        (outputs * (1 - outputs), "multiply by the incoming gradient: that is the chain rule."),
        (gradient * again * (1 - again), "the second argument is the sigmoid's output already; "
         "you took the sigmoid of it once more."),
        (gradient * (1 - outputs**2), "that is tanh's derivative; the sigmoid's is h (1 - h)."),
        (gradient * outputs, "only half of h (1 - h) is there."),
        (gradient * (outputs > 0), "that is ReLU's rule; the sigmoid's derivative is h (1 - h)."),
        (gradient + outputs * (1 - outputs), "along a path derivatives are multiplied, not added."),
    )  # fmt: skip
    _compare(found, gradient * outputs * (1 - outputs), wrong, "Multiply each entry by h (1 - h)")
    return "g h (1 - h): the outputs are enough, the inputs need not be kept."


@exercise("3.1.3-conv1x1-backward")
def check_conv1x1_backward(
    answer: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]],
) -> str:
    """answer: (g (N, M, H, W), v (N, C, H, W), weight (M, C)) -> gradients by v, weight, bias."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        drawn = torch.randn(*shape, generator=generator, dtype=torch.float64)
        return drawn.requires_grad_()

    v, weight, bias, g = normal(2, 3, 4, 5), normal(6, 3), normal(6), normal(2, 6, 4, 5).detach()
    output = functional.conv2d(v, weight[:, :, None, None], bias)
    right = torch.autograd.grad(output, (v, weight, bias), g)
    found = call(answer, g.clone(), v.detach().clone(), weight.detach().clone())
    if not isinstance(found, tuple | list) or len(found) != 3:
        raise Fault("return three tensors: the gradients by v, by the weights, by the biases.")
    for name, one, expected in zip(("v", "the weights", "the biases"), found, right, strict=True):
        _tensor(one, expected.shape, f"the gradient by {name}")
        places = {2: "images", 20: "pixels of an image", 40: "pixels of the batch"}
        wrong = tuple(
            (expected / count, f"divided by the number of {what}: each adds its part, "
             "and a mean is the loss's business.")
            for count, what in places.items()
        )  # fmt: skip
        if name != "v":
            parts = torch.autograd.grad(
                functional.conv2d(v[:1], weight[:, :, None, None], bias), (weight, bias), g[:1]
            )
            only = parts[0] if name == "the weights" else parts[1]
            wrong += ((only, "only the first image of the batch is in it."),)
        _compare(one, expected, wrong, "Sum over all the ways in which it acts on the loss", name)
    return "equal to PyTorch's three gradients; the shapes follow from what each belongs to."


@exercise("3.1.3-kept-bytes")
def check_kept_bytes(answer: Callable[[int, Sequence[int]], int]) -> str:
    """answer: (pixels, widths of all layers, first the inputs') -> bytes kept for the backward."""
    cases: tuple[tuple[int, tuple[int, ...]], ...] = (
        (10, (3, 8)),
        (10, (3, 16, 8)),
        (7, (3, 32, 32, 8)),
        (50, (5, 4, 6, 2, 3)),
    )
    for pixels, widths in cases:
        right = _measure_kept(pixels, widths)
        found = number(call(answer, pixels, list(widths)))
        if found == right:
            continue
        hidden = sum(widths[1:-1])
        weights = sum((n + 1) * m for n, m in pairwise(widths))
        wrong = {
            right - 4: "the number of labeled pixels, 4 bytes, is missing.",
            right - 4 * pixels: "the labels are integers of 8 bytes, not of 4.",
            right - 8 * pixels: "the labels are kept too, 8 bytes each.",
            right - 4 * pixels * widths[0]: "the first layer's input is kept as well.",
            right - 4 * pixels * widths[-1]: "cross-entropy keeps the logarithms of the "
            "probabilities.",
            right + 4 * pixels * hidden: "what leaves a ReLU and enters the next layer is one "
            "tensor, and a ReLU does not need what entered it.",
            right + 4 * weights: "the parameters exist anyway; count what the pass adds.",
            right / 4: "these are numbers, each of 4 bytes.",
        }
        text = f"{pixels} pixels and widths {widths} keep {right:,} bytes, and you say {found:,.0f}"
        raise Fault(f"{text}: {wrong.get(found, 'go through what each backward rule asks for.')}")
    return "equal to what PyTorch put away, to the byte."


def _measure_kept(pixels: int, widths: Sequence[int]) -> int:
    """What PyTorch keeps for a ReLU network and its cross-entropy, parameters not counted."""
    layers: list[nn.Module] = []
    for n, m in pairwise(widths):
        layers += [nn.Linear(n, m), nn.ReLU()]
    network = nn.Sequential(*layers[:-1])
    own = {parameter.data_ptr() for parameter in network.parameters()}
    kept: dict[int, int] = {}

    def put_away(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in own:
            kept[tensor.data_ptr()] = tensor.nbytes
        return tensor

    with torch.enable_grad(), saved_tensors_hooks(put_away, lambda tensor: tensor):
        logits = network(torch.zeros(pixels, widths[0]))
        functional.cross_entropy(logits, torch.zeros(pixels, dtype=torch.int64))
    return sum(kept.values())


def _tensor(found: object, shape: torch.Size, name: str = "the answer") -> Tensor:
    """`found`, if it is a tensor of that shape. Raises Fault when it is not."""
    if not isinstance(found, Tensor):
        raise Fault(f"{name} should be a tensor, and is a {type(found).__name__}.")
    if found.shape != shape:
        raise Fault(
            f"{name} has the shape {tuple(found.shape)}; a gradient has the shape of what it "
            f"belongs to, {tuple(shape)}."
        )
    return found


def _compare(
    found: Tensor, right: Tensor, wrong: Sequence[tuple[Tensor, str]], hint: str, name: str = ""
) -> None:
    """Raise a Fault that names the mistake, unless `found` is `right`."""
    found = found.to(right.dtype)
    if torch.allclose(found, right, rtol=1e-5, atol=1e-7):
        return
    prefix = f"the gradient by {name}: " if name else ""
    for value, text in wrong:
        if torch.allclose(found, value, rtol=1e-5, atol=1e-7):
            raise Fault(prefix + text)
    if torch.allclose(found, -right, rtol=1e-5, atol=1e-7):
        raise Fault(f"{prefix}the size is right and the sign is not.")
    raise Fault(f"{prefix}the numbers are not right. {hint}.")
