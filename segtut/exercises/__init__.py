"""The checks behind the book's exercises: `check("4.4-iou", answer)` says what is wrong."""

from segtut.exercises import (
    background,
    backpropagation,
    cnn_segmentation,
    convolution_layer,
    core_concepts,
    data_preparation,
    decoder,
    encoder,
    evaluation,
    forward_propagation,
    fully_connected_layer,
    gan_segmentation,
    loss_functions,
    model,
    pooling_layer,
    training,
)
from segtut.exercises.registry import Verdict, check, names

__all__ = [
    "Verdict",
    "background",
    "backpropagation",
    "check",
    "cnn_segmentation",
    "convolution_layer",
    "core_concepts",
    "data_preparation",
    "decoder",
    "encoder",
    "evaluation",
    "forward_propagation",
    "fully_connected_layer",
    "gan_segmentation",
    "loss_functions",
    "model",
    "names",
    "pooling_layer",
    "training",
]
