"""The checks behind the book's exercises: `check("4.4-iou", answer)` says what is wrong."""

from segtut.exercises import (
    convolution_layer,
    data_preparation,
    evaluation,
    loss_functions,
    model,
    training,
)
from segtut.exercises.registry import Verdict, check, names

__all__ = [
    "Verdict",
    "check",
    "convolution_layer",
    "data_preparation",
    "evaluation",
    "loss_functions",
    "model",
    "names",
    "training",
]
