"""Checks of section 3.4.3: sampling, the FCN-score, and how unlabeled pictures teach."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from segtut.exercises.registry import Fault, call, exercise, number
from segtut.metrics import ConfusionMatrix

_VOID = 255


@exercise("3.4.3-sampling")
def check_sampling(answer: Callable[[Tensor], float]) -> str:
    """answer: (probabilities (C,)) -> how often a label drawn from them is right if they are."""
    for values in ([0.7, 0.3], [0.5, 0.2, 0.2, 0.1], [1.0, 0.0, 0.0]):
        probabilities = torch.tensor(values)
        found = number(call(answer, probabilities.clone()))
        right = float((probabilities**2).sum())
        if math.isclose(found, right, abs_tol=1e-4):
            continue
        case = f"{values}: {right:.2f}, not {found:.2f}. "
        if math.isclose(found, float(probabilities.max()), abs_tol=1e-4):
            raise Fault(case + "That is how often the likeliest class is right; a sample is not "
                        "always the likeliest class.")  # fmt: skip
        if math.isclose(found, 1 - right, abs_tol=1e-4):
            raise Fault(case + "That is how often the sample is wrong.")
        if math.isclose(found, 1 / len(values), abs_tol=1e-4):
            raise Fault(case + "That is a blind guess; a sample is drawn from the probabilities.")
        raise Fault(case + "With probability p_c the truth is c, and then a sample is right with "
                    "probability p_c.")  # fmt: skip
    return "the sum of the squares: never more than the largest probability."


@exercise("3.4.3-fcn-score")
def check_fcn_score(answer: Callable[[nn.Module, Tensor, Tensor], float]) -> str:
    """answer: (segmenter, drawn images (N, 3, H, W), target (N, H, W)) -> mean IoU, 0-1."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.randint(0, 4, (3, 6, 9), generator=generator)
    truth[0] = torch.where(torch.rand(6, 9, generator=generator) < 0.7, 0, truth[0])
    truth[1:, :3] = 1
    truth[:, 3] = _VOID
    # Pictures of which the stand-in for a segmenter reads the label in the first channel.
    noise = torch.rand(truth.shape, generator=generator)
    other = torch.randint(0, 4, truth.shape, generator=generator)
    drawn = torch.where((noise < 0.35) | (truth == _VOID), other, truth)
    images = torch.stack([drawn / 4, noise, noise], dim=1)
    found = number(call(answer, _Reader(), images.clone(), truth.clone()))
    if not 0 <= found <= 1:
        raise Fault(f"a mean IoU lies between 0 and 1, and this is {found:g}.")
    right, faults = _scores(drawn, truth)
    if math.isclose(found, right, abs_tol=1e-4):
        return "what the segmenter reads in the drawing, against the map that was drawn."
    for value, fault in faults:
        if math.isclose(found, value, abs_tol=1e-4):
            raise Fault(fault)
    raise Fault(f"{right:.4f} is right here, not {found:.4f}: one confusion matrix over all "
                "pictures, void left out, and the mean of the classes' IoU.")  # fmt: skip


class _Reader(nn.Module):
    """A stand-in for a segmenter: reads the label, a quarter of the first channel, as logits."""

    def forward(self, images: Tensor) -> Tensor:
        labels = (images[:, 0] * 4).round().long().clamp(0, 3)
        return one_hot(labels, 4).permute(0, 3, 1, 2).float() * 3 - 1


def _scores(drawn: Tensor, truth: Tensor) -> tuple[float, list[tuple[float, str]]]:
    """The right score, and wrong ones with what went wrong in them."""
    whole = ConfusionMatrix(4)
    whole.update(drawn, truth)
    each = []
    for one, target in zip(drawn, truth, strict=True):
        matrix = ConfusionMatrix(4)
        matrix.update(one, target)
        each.append(matrix.mean_iou())
    background = ConfusionMatrix(4)
    background.update(drawn, torch.where(truth == _VOID, 0, truth))
    hits = whole.matrix.diagonal().sum() / whole.matrix.sum()
    faults = [
        (sum(each) / len(each), "this is the mean over pictures of each one's mean IoU; count all "
         "pictures in one confusion matrix."),
        (whole.pixel_accuracy(), "this is the share of right pixels; the FCN-score asked for is "
         "the mean over classes of IoU."),
        (float(hits / (2 - hits)), "this is the IoU of all classes together; take the mean of the "
         "classes' own."),
        (background.mean_iou(), "void is counted as class 0; leave pixels of 255 out."),
        (1.0, "a score of 1: was the segmenter's answer compared with itself?"),
    ]  # fmt: skip
    return whole.mean_iou(), faults


@exercise("3.4.3-cutmix")
def check_cutmix(
    answer: Callable[[Tensor, Tensor, tuple[int, int, int, int]], tuple[Tensor, Tensor]],
) -> str:
    """answer: (images (2, 3, H, W), labels (2, H, W), box) -> image (3, H, W), labels (H, W).

    box: (top, left, height, width), taken from sample 1 and laid over sample 0.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, 7, 10, generator=generator)
    labels = torch.stack([torch.zeros(7, 10), torch.ones(7, 10)]).long()
    labels[:, 0] = _VOID
    for box in ((1, 2, 3, 5), (0, 6, 4, 4), (4, 0, 3, 2)):
        given, given_labels = images.clone(), labels.clone()
        found = call(answer, given, given_labels, box)
        if not isinstance(found, Sequence) or len(found) != 2:
            raise Fault("return two tensors, the mixed image and its labels.")
        if not (torch.equal(given, images) and torch.equal(given_labels, labels)):
            raise Fault("the pictures you were given have been painted over; work on a clone.")
        _judge_mix(torch.as_tensor(found[0]), torch.as_tensor(found[1]), images, labels, box)
    return "picture and labels come from the same place, inside the box and outside."


def _judge_mix(
    image: Tensor, mixed: Tensor, images: Tensor, labels: Tensor, box: tuple[int, int, int, int]
) -> None:
    if image.shape != images.shape[1:] or mixed.shape != labels.shape[1:]:
        raise Fault(f"the shapes are {tuple(image.shape)} and {tuple(mixed.shape)}, expected "
                    f"{tuple(images.shape[1:])} and {tuple(labels.shape[1:])}.")  # fmt: skip
    if mixed.dtype.is_floating_point:
        raise Fault("labels are whole numbers: they are cut and pasted, never averaged.")
    inside = _inside(box, *labels.shape[1:])
    right, right_labels = _mix(images, labels, inside)
    same, same_labels = torch.allclose(image, right), torch.equal(mixed, right_labels)
    if same and same_labels:
        return
    case = f"box (top, left, height, width) = {box}: "
    if same:
        if torch.equal(mixed, labels[0]) or torch.equal(mixed, labels[1]):
            raise Fault("the picture is mixed and the labels are those of one sample: what is cut "
                        "from the picture is cut from the labels.")  # fmt: skip
        raise Fault(case + "the picture is right, and the labels come from other places.")
    turned = _inside((box[1], box[0], box[3], box[2]), *labels.shape[1:])
    corners = torch.zeros_like(inside)
    corners[box[0] : box[2], box[1] : box[3]] = True
    for other, fault in (
        (~inside, "the box is cut out of sample 0 and laid over sample 1: the other way around."),
        (turned, "rows and columns of the box are exchanged: top and height count rows."),
        (corners, "the box is read as two corners; its last two numbers are height and width."),
        (torch.zeros_like(inside), "nothing has been pasted: this is sample 0 as it was."),
        (torch.ones_like(inside), "this is all of sample 1."),
    ):
        if torch.allclose(image, _mix(images, labels, other)[0]):
            raise Fault(case + fault)
    if torch.allclose(image[:, ~inside], right[:, ~inside]):
        raise Fault(case + "inside the box the pixels are not those of sample 1 at the same place.")
    raise Fault(case + "pixels outside the box should be those of sample 0, unchanged.")


def _inside(box: tuple[int, int, int, int], height: int, width: int) -> Tensor:
    inside = torch.zeros(height, width, dtype=torch.bool)
    top, left, rows, columns = box
    inside[top : top + rows, left : left + columns] = True
    return inside


def _mix(images: Tensor, labels: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    return torch.where(inside, images[1], images[0]), torch.where(inside, labels[1], labels[0])


@exercise("3.4.3-pseudo-labels")
def check_pseudo_labels(answer: Callable[[Tensor, float], Tensor]) -> str:
    """answer: (logits (N, C, H, W), threshold) -> labels (N, H, W), 255 where less sure."""
    generator = torch.Generator().manual_seed(0)
    for classes, threshold in ((4, 0.6), (3, 0.9)):
        logits = 3 * torch.randn(2, classes, 5, 7, generator=generator)
        confidence, labels = logits.softmax(dim=1).max(dim=1)
        right = torch.where(confidence >= threshold, labels, _VOID)
        found = torch.as_tensor(call(answer, logits.clone(), threshold))
        if found.shape != right.shape:
            raise Fault(f"the labels have the shape {tuple(found.shape)}, not "
                        f"{tuple(right.shape)}: one a pixel, the largest over dim 1.")  # fmt: skip
        if torch.equal(found.long(), right):
            continue
        sure = right != _VOID
        if torch.equal(found.long(), labels):
            raise Fault("every pixel has a label: those less sure than the threshold get 255.")
        if torch.equal(found.long()[sure], right[sure]):
            filler = found[~sure].unique()
            if len(filler) == 1:
                raise Fault(f"pixels that are not sure got {filler[0]}; void is 255, which losses "
                            "and scores leave out.")  # fmt: skip
        if torch.equal(found.long(), torch.where(logits.amax(dim=1) >= threshold, labels, _VOID)):
            raise Fault("the threshold was laid on the logits; take the softmax over the classes "
                        "first.")  # fmt: skip
        if torch.equal(found.long(), torch.where(confidence < threshold, labels, _VOID)):
            raise Fault("the sure pixels became void and the others kept their labels: the other "
                        "way around.")  # fmt: skip
        if torch.equal(
            found.long(), torch.where(logits.sigmoid().amax(1) >= threshold, labels, _VOID)
        ):
            raise Fault("a sigmoid of each logit is not the probability of its class: take the "
                        "softmax over the classes.")  # fmt: skip
        raise Fault("the labels differ: the likeliest class where its softmax probability is at "
                    "least the threshold, else 255.")  # fmt: skip
    return "the sure pixels teach, the others are void."


@exercise("3.4.3-ramp-up")
def check_ramp_up(answer: Callable[[int, int], float]) -> str:
    """answer: (step, steps) -> weight exp(-5 (1 - step / steps)^2), 1 from `steps` on."""
    for step, steps in ((0, 100), (50, 100), (99, 100), (100, 100), (30, 40), (180, 100)):
        found = number(call(answer, step, steps))
        share = min(1.0, step / steps)
        right = math.exp(-5 * (1 - share) ** 2)
        if math.isclose(found, right, abs_tol=1e-4):
            continue
        case = f"step {step} of {steps}: {right:.4f}, not {found:.4f}. "
        if step > steps:
            raise Fault(case + "After the ramp the weight stays 1: cut step / steps off at 1.")
        if math.isclose(found, share, abs_tol=1e-4):
            raise Fault(case + "That is a straight line; the ramp is exp(-5 (1 - t)^2).")
        if math.isclose(found, math.exp(-5 * (1 - share)), abs_tol=1e-4):
            raise Fault(case + "The square of 1 - t is missing.")
        if math.isclose(found, math.exp(-5 * share**2), abs_tol=1e-4):
            raise Fault(case + "That falls from 1; the distance to the end of the ramp, 1 - t, "
                        "belongs in the square.")  # fmt: skip
        raise Fault(case + "With t = step / steps, at most 1: exp(-5 (1 - t)^2).")
    return "from 0.0067 up to 1, and 1 from there on."
