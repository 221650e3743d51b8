"""Answers to the exercises of chapter 4."""

from __future__ import annotations

import math
import random

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from segtut.data.dataset import VOID


def one_hot(target, classes):
    known = target != VOID
    return functional.one_hot(target * known, classes).permute(2, 0, 1).float() * known


def read_palette(path):
    return torch.from_numpy(np.array(Image.open(path))).long()


def joint_flip(image, mask, generator):
    flip = torch.rand((), generator=generator) < 0.5
    return (image.flip(-1), mask.flip(-1)) if flip else (image, mask)


def two_coins(image, mask, generator):
    first, second = (torch.rand(2, generator=generator) < 0.5).tolist()
    return image.flip(-1) if first else image, mask.flip(-1) if second else mask


def picture_only(image, mask, generator):
    return joint_flip(image, mask, generator)[0], mask


def upside_down(image, mask, generator):
    flip = torch.rand((), generator=generator) < 0.5
    return (image.flip(-2), mask.flip(-2)) if flip else (image, mask)


def global_coin(image, mask, generator):
    return (image.flip(-1), mask.flip(-1)) if random.random() < 0.5 else (image, mask)


def counts(masks, classes):
    every = torch.cat([mask[mask != VOID] for mask in masks])
    return torch.bincount(every, minlength=classes).float()


def interpolate(mode):
    def resize(mask, size):
        return functional.interpolate(mask[None, None].double(), size, mode=mode)[0, 0].long()

    return resize


def pointwise(linear, transpose=False, bias=True):
    convolution = nn.Conv2d(linear.in_features, linear.out_features, 1, bias=bias)
    weight = linear.weight.detach()
    convolution.weight.data = (weight.T if transpose else weight)[:, :, None, None].clone()
    if bias:
        convolution.bias.data = linear.bias.detach().clone()
    return convolution


def forget_bias_values(linear):
    convolution = pointwise(linear)
    nn.init.zeros_(convolution.bias)
    return convolution


def receptive_field(layers):
    size = jump = 1
    for kernel, stride in layers:
        size, jump = size + (kernel - 1) * jump, jump * stride
    return size


def early_stride(layers):
    size = jump = 1
    for kernel, stride in layers:
        jump *= stride
        size += (kernel - 1) * jump
    return size


def masked_loss(logits, target):
    known = target != VOID
    log_probabilities = logits.log_softmax(1)
    picked = log_probabilities.gather(1, (target * known)[:, None])[:, 0]
    return -(picked * known).sum() / known.sum().clamp(min=1)


def overflowing(logits, target):
    known = target != VOID
    probabilities = logits.exp() / logits.exp().sum(1, keepdim=True)
    picked = probabilities.gather(1, (target * known)[:, None])[:, 0].log()
    return -picked[known].sum() / known.sum().clamp(min=1)


def void_as_background(logits, target):
    return functional.cross_entropy(logits, target * (target != VOID))


def over_all_pixels(logits, target):
    return functional.cross_entropy(logits, target, ignore_index=VOID, reduction="none").mean()


def torch_mean(logits, target):
    return functional.cross_entropy(logits, target, ignore_index=VOID)


def accumulate(losses, valid):
    return (losses * valid).sum() / valid.sum().clamp(min=1)


@torch.no_grad()
def update_average(average, model, decay):
    ours, theirs = average.state_dict(), model.state_dict()
    for name, value in ours.items():
        if value.is_floating_point():
            value.lerp_(theirs[name], 1 - decay)


def parameters_only(average, model, decay):
    with torch.no_grad():
        for ours, theirs in zip(average.parameters(), model.parameters(), strict=True):
            ours.lerp_(theirs, 1 - decay)


def swapped_roles(average, model, decay):
    update_average(average, model, 1 - decay)


def backwards(average, model, decay):
    update_average(model, average, decay)


def keeps_graph(average, model, decay):
    for name, layer in average.named_children():
        other = getattr(model, name)
        for key in ("weight", "bias"):
            mixed = decay * getattr(layer, key) + (1 - decay) * getattr(other, key)
            del layer._parameters[key]
            layer._parameters[key] = mixed


def iou(confusion):
    hits = confusion.diagonal().double()
    return hits / (confusion.sum(0) + confusion.sum(1) - hits)


def precision(confusion):
    return confusion.diagonal().double() / confusion.sum(0)


def recall(confusion):
    return confusion.diagonal().double() / confusion.sum(1)


RIGHT = [
    ("4.1-one-hot", one_hot),
    ("4.1-palette", read_palette),
    ("4.1-joint-flip", joint_flip),
    (
        "4.1-class-share",
        lambda masks, classes: counts(masks, classes) / counts(masks, classes).sum(),
    ),
    ("4.1-resize-mask", interpolate("nearest-exact")),
    ("4.2-dense-parameters", sum(p.numel() for p in nn.Linear(64 * 54 * 54, 64).parameters())),
    ("4.2-output-size", lambda n, k, s, p, d: (n + 2 * p - d * (k - 1) - 1) // s + 1),
    ("4.2-conv1x1", pointwise),
    ("4.2-receptive-field", receptive_field),
    (
        "4.3-softmax-floor",
        float(
            functional.cross_entropy(torch.eye(8)[:1], torch.tensor([0])),
        ),
    ),
    ("4.3-masked-loss", masked_loss),
    ("4.3-accumulation", accumulate),
    ("4.3-ema", update_average),
    ("4.4-iou", iou),
    ("4.4-mean-iou", lambda confusion: iou(confusion).nanmean()),
    ("4.4-all-background", 0.0349),
    ("4.4-precision-recall", lambda confusion: (precision(confusion), recall(confusion))),
    ("4.4-micro-iou", lambda accuracy: accuracy / (2 - accuracy)),
]

WRONG = [
    ("4.1-one-hot", lambda t, c: one_hot(t, c).permute(1, 2, 0), "last dimension"),
    ("4.1-one-hot", lambda t, c: functional.one_hot(t % VOID, c).permute(2, 0, 1).float(), "void"),
    ("4.1-one-hot", lambda t, c: one_hot(t, c).long(), "float"),
    ("4.1-one-hot", lambda t, c: one_hot(t, c).flip(0), "wrong channel"),
    ("4.1-palette", lambda p: torch.from_numpy(np.array(Image.open(p).convert("RGB"))), "RGB"),
    ("4.1-palette", lambda p: torch.from_numpy(np.array(Image.open(p).convert("L"))), "gray"),
    ("4.1-palette", lambda p: read_palette(p) / 255, "ToTensor"),
    ("4.1-palette", lambda p: read_palette(p) % VOID, "void became 0"),
    ("4.1-palette", lambda p: torch.from_numpy(np.array(Image.open(p))), "int64"),
    ("4.1-joint-flip", picture_only, "its mask is not"),
    ("4.1-joint-flip", two_coins, "two separate coins"),
    ("4.1-joint-flip", upside_down, "upside down"),
    ("4.1-joint-flip", global_coin, "same generator"),
    ("4.1-joint-flip", lambda i, m, g: (i, m), "of 64 calls 0"),
    ("4.1-class-share", lambda m, c: counts(m, c) / sum(x.numel() for x in m), "denominator"),
    ("4.1-class-share", counts, "divide by their sum"),
    (
        "4.1-class-share",
        lambda m, c: torch.stack([counts([x], c) / counts([x], c).sum() for x in m]).mean(0),
        "averaged the shares",
    ),
    ("4.1-resize-mask", interpolate("bilinear"), "were not in the mask"),
    ("4.1-resize-mask", interpolate("nearest"), "half a pixel off"),
    ("4.1-resize-mask", lambda m, s: interpolate("nearest-exact")(m, s[::-1]), "swapped"),
    ("4.2-dense-parameters", 11_943_936, "bias"),
    ("4.2-dense-parameters", 64 * 56 * 56 * 64 + 64, "not padded"),
    ("4.2-dense-parameters", 54 * 54 * 64 + 64, "channels"),
    ("4.2-dense-parameters", 12, "12 is not it"),
    ("4.2-dense-parameters", "many", "one number"),
    ("4.2-output-size", lambda n, k, s, p, d: (n + 2 * p - k) // s + 1, "dilation"),
    ("4.2-output-size", lambda n, k, s, p, d: (n - d * (k - 1) - 1) // s + 1, "padding"),
    ("4.2-output-size", lambda n, k, s, p, d: (n + 2 * p - d * (k - 1) - 1) / s + 1, "int"),
    (
        "4.2-output-size",
        lambda n, k, s, p, d: math.ceil((n + 2 * p - d * (k - 1) - 1) / s) + 1,
        "round down",
    ),
    ("4.2-conv1x1", lambda linear: nn.Conv2d(5, 5, 1), "weights"),
    ("4.2-conv1x1", lambda linear: pointwise(linear, bias=False), "bias is lost"),
    ("4.2-conv1x1", lambda linear: pointwise(linear, transpose=True), "transposed"),
    ("4.2-conv1x1", forget_bias_values, "biases are not"),
    ("4.2-conv1x1", lambda linear: nn.Conv2d(5, 5, 3, padding=1), "1x1"),
    ("4.2-receptive-field", lambda ls: 1 + sum(k - 1 for k, _ in ls), "strides are missing"),
    ("4.2-receptive-field", lambda ls: sum(k for k, _ in ls), "added up the kernels"),
    ("4.2-receptive-field", early_stride, "own stride"),
    ("4.3-softmax-floor", 0, "out of reach"),
    ("4.3-softmax-floor", math.log(8), "uniform guess"),
    ("4.3-softmax-floor", 2.12, "21 classes"),
    ("4.3-masked-loss", void_as_background, "class 0"),
    ("4.3-masked-loss", over_all_pixels, "divided by all"),
    ("4.3-masked-loss", torch_mean, "all void"),
    ("4.3-masked-loss", lambda x, t: masked_loss(x.softmax(1), t), "twice"),
    ("4.3-masked-loss", overflowing, "overflows"),
    ("4.3-accumulation", lambda losses, valid: losses.mean(), "counts alike"),
    ("4.3-accumulation", lambda losses, valid: losses.sum(), "added"),
    ("4.3-accumulation", lambda losses, valid: (losses * valid).sum() / valid.sum(), "void"),
    ("4.3-ema", parameters_only, "running statistics"),
    ("4.3-ema", swapped_roles, "swapped"),
    ("4.3-ema", backwards, "only the average"),
    ("4.3-ema", keeps_graph, "no_grad"),
    ("4.3-ema", lambda a, m, d: None, "did not change"),
    ("4.4-iou", precision, "precision"),
    ("4.4-iou", recall, "recall"),
    ("4.4-iou", lambda c: 2 * c.diagonal().double() / (c.sum(0) + c.sum(1)), "Dice"),
    ("4.4-iou", lambda c: iou(c).nan_to_num(0), "NaN"),
    ("4.4-mean-iou", lambda c: iou(c).nan_to_num(0).mean(), "as 0"),
    ("4.4-mean-iou", lambda c: iou(c).nan_to_num(1).mean(), "as 1"),
    ("4.4-mean-iou", lambda c: iou(c).mean(), "NaN"),
    ("4.4-mean-iou", lambda c: c.trace() / c.sum(), "pixel accuracy"),
    ("4.4-mean-iou", lambda c: c.trace() / (2 * c.sum() - c.trace()), "micro"),
    ("4.4-all-background", 0.733, "pixel accuracy"),
    ("4.4-all-background", 3.49, "percent"),
    ("4.4-all-background", 0.03665, "21 in the mean"),
    ("4.4-precision-recall", lambda c: (recall(c), precision(c)), "swapped"),
    ("4.4-precision-recall", lambda c: (precision(c), precision(c)), "recall should be"),
    ("4.4-precision-recall", lambda c: (precision(c).nan_to_num(0), recall(c)), "NaN"),
    ("4.4-micro-iou", lambda a: a, "twice"),
    ("4.4-micro-iou", lambda a: 2 * a / (1 + a), "Dice"),
]
