"""Answers to the exercises of section 3.2.3."""

from __future__ import annotations

import torch
from torch import nn


def parameters(channels, height, width, outputs):
    return (channels * height * width + 1) * outputs, (channels + 1) * outputs


def convolution_of(linear, weight, bias=True, padding=0):
    made = nn.Conv2d(weight.shape[1], weight.shape[0], tuple(weight.shape[2:]), padding=padding)
    with torch.no_grad():
        made.weight.copy_(weight)
        made.bias.copy_(linear.bias if bias else torch.zeros(len(weight)))
    return made


def to_convolution(linear, size, **options):
    return convolution_of(linear, linear.weight.view(-1, *size), **options)


def channels_last(linear, size):
    channels, height, width = size
    weight = linear.weight.view(-1, height, width, channels).permute(0, 3, 1, 2)
    return convolution_of(linear, weight)


def sides_exchanged(linear, size):
    channels, height, width = size
    return convolution_of(linear, linear.weight.view(-1, channels, width, height).transpose(2, 3))


def activation_map(features, weight, bias, label):
    return (weight[label][:, None, None] * features).sum(0) + bias[label]


RIGHT = [
    ("3.2.3-parameters", parameters),
    ("3.2.3-dense-to-convolution", to_convolution),
    ("3.2.3-activation-map", activation_map),
]

WRONG = [
    ("3.2.3-parameters", lambda c, h, w, k: (c * h * w * k, (c + 1) * k), "a bias too"),
    ("3.2.3-parameters", lambda c, h, w, k: (c * h * w * (k + 1), (c + 1) * k), "each input"),
    ("3.2.3-parameters", lambda c, h, w, k: (c * h * w * k + 1, (c + 1) * k), "its own bias"),
    ("3.2.3-parameters", lambda c, h, w, k: ((h * w + 1) * k, (c + 1) * k), "all channels"),
    (
        "3.2.3-parameters",
        lambda *sizes: (parameters(*sizes)[0],) * 2,
        "one number for each channel",
    ),
    ("3.2.3-parameters", lambda c, h, w, k: ((c * h * w + 1) * k, c * k), "a bias too"),
    ("3.2.3-parameters", lambda c, h, w, k: ((c * h * w + 1) * k, c * (k + 1)), "each channel"),
    (
        "3.2.3-parameters",
        lambda c, h, w, k: ((c * h * w + 1) * k, 0),
        "One number for each channel",
    ),
    ("3.2.3-parameters", lambda *sizes: parameters(*sizes)[0], "two numbers"),
    ("3.2.3-dense-to-convolution", channels_last, "channels last"),
    ("3.2.3-dense-to-convolution", sides_exchanged, "exchanged"),
    ("3.2.3-dense-to-convolution", lambda n, s: to_convolution(n, s, bias=False), "biases"),
    ("3.2.3-dense-to-convolution", lambda n, s: to_convolution(n, s, padding=1), "no padding"),
    ("3.2.3-dense-to-convolution", lambda n, s: nn.Conv2d(60, 2, 1), "the weights should be"),
    ("3.2.3-dense-to-convolution", lambda n, s: nn.Conv2d(3, 2, (4, 5)), "not the linear"),
    ("3.2.3-dense-to-convolution", lambda n, s: n, "an nn.Conv2d"),
    (
        "3.2.3-dense-to-convolution",
        lambda n, s: convolution_of(n, n.weight.view(-1, *s).flip(2, 3)),
        "turned around",
    ),
    ("3.2.3-activation-map", lambda f, w, b, k: activation_map(f, w, 0 * b, k), "bias is missing"),
    ("3.2.3-activation-map", lambda f, w, b, k: activation_map(f, w.T, b, k), "a column"),
    ("3.2.3-activation-map", lambda f, w, b, k: activation_map(f, w, b, k).relu(), "negative"),
    ("3.2.3-activation-map", lambda f, w, b, k: activation_map(f, w, b, 0), "map of class 0"),
    ("3.2.3-activation-map", lambda f, w, b, k: f.mean(0), "mean of the features"),
    ("3.2.3-activation-map", lambda f, w, b, k: f.sum(0), "sum over the channels"),
    ("3.2.3-activation-map", lambda f, w, b, k: activation_map(f, w, b, k).mean(), "should be"),
    ("3.2.3-activation-map", lambda f, w, b, k: [1.0], "a tensor"),
    (
        "3.2.3-activation-map",
        lambda f, w, b, k: (torch.einsum("kc,chw->khw", w, f) + b[:, None, None]).softmax(0)[k],
        "probabilities",
    ),
]
