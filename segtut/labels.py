"""The label map: whole numbers a pixel, classes 0 to C-1, one more value for void."""

import torch
from torch import Tensor


def check_label_map(
    labels: Tensor, num_classes: int, ignore_index: int | None, name: str = "target"
) -> None:
    """Raise if a label map holds anything but classes and void.

    labels: whole numbers, any shape. ignore_index: the value of void, None where there may be none.
    name: what the message calls the label map.
    Raises ValueError: labels of a floating or boolean type, or a value outside 0..num_classes-1
    that is not ignore_index; the message names the value.
    """
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise ValueError(
            f"the {name} has the type {labels.dtype}; expected whole numbers (int64 or uint8), "
            "one class a pixel: take logits.argmax(dim=1) first"
        )
    classes = labels if ignore_index is None else torch.where(labels == ignore_index, 0, labels)
    # Two looks at the extremes cost a quarter of comparing every pixel.
    if classes.min() >= 0 and classes.max() < num_classes:
        return
    stray = (classes < 0) | (classes >= num_classes)
    void = "" if ignore_index is None else f", or {ignore_index} for void"
    raise ValueError(
        f"the {name} holds the value {int(labels[stray][0])} in {int(stray.sum())} of "
        f"{labels.numel()} pixels; expected the classes 0 to {num_classes - 1}{void}: "
        "check the number of classes, and translate the data set's own void"
    )
