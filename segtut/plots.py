"""Every static picture the book shows, in one style.

Each function returns a matplotlib Figure that no window owns: a notebook shows it as the value of
a cell, a script saves it with `figure.savefig(path)`. The style is a light, warm card with dark
ink, which stays legible when the page around it is dark.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import LogFormatter
from numpy.typing import ArrayLike, NDArray

from segtut.data.dataset import RGB, VOID
from segtut.data.palette import VOID_COLOR, colorize

CARD, INK, SOFT, LINE = "#fbfaf6", "#26272e", "#5b5c68", "#dedacf"
SERIES = ("#3c3f97", "#d9480f", "#1c6049", "#b7791f", "#8a4f7d", "#3a86b7")
"""Colors of curves and bars, in the order they are used; their lightness differs as well."""

HATCHES = ("", "///", "...", "\\\\\\", "xxx", "---")
"""What tells bars apart where color does not."""

WRONG: RGB = (158, 22, 104)
"""What wrongly labeled pixels are painted in: no class of the book has this purple."""

SEQUENTIAL = LinearSegmentedColormap.from_list("ink", [CARD, "#c9cbe6", "#6f74bd", "#262a70"])

STYLE: dict[str, Any] = {
    "figure.facecolor": CARD,
    "figure.dpi": 110,
    "figure.constrained_layout.use": True,
    "savefig.facecolor": CARD,
    "savefig.bbox": "tight",
    "savefig.pad_inches": 0.12,
    "axes.facecolor": CARD,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.prop_cycle": cycler(color=SERIES),
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "hatch.color": CARD,
    "hatch.linewidth": 0.8,
}


class History(Protocol):
    """What `show_history` reads of a training run."""

    loss: list[float]
    validation: list[tuple[int, float]]


def use_style() -> None:
    """Give all figures made from now on the book's look. The functions here call it themselves."""
    plt.style.use(STYLE)


def show_samples(
    samples: Sequence[tuple[ArrayLike, ArrayLike]],
    palette: Sequence[RGB],
    classes: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
) -> Figure:
    """Pictures above their label maps, one sample a column.

    samples: pairs of an image (3, H, W), uint8 or float 0-1, and labels (H, W);
    classes: their names, for a legend; names: what to write above each column.
    Raises ValueError when there is no sample or when the names do not fit them.
    """
    if not samples:
        raise ValueError("no samples were given, expected at least one pair of image and labels")
    if names is not None and len(names) != len(samples):
        raise ValueError(f"{len(names)} names were given for {len(samples)} samples")
    figure, axes = _grid(2, len(samples), _ratio(samples[0][1]))
    for column, (image, labels) in enumerate(samples):
        _show(axes[0, column], to_pixels(image))
        _show(axes[1, column], colorize(np.asarray(labels), palette))
        if names is not None:
            axes[0, column].set_title(names[column])
    _name_rows(axes, ("picture", "labels"))
    if classes is not None:
        _add_legend(figure, palette, classes)
    return figure


def show_predictions(
    images: Sequence[ArrayLike],
    targets: Sequence[ArrayLike],
    predictions: Sequence[ArrayLike],
    palette: Sequence[RGB],
    classes: Sequence[str] | None = None,
) -> Figure:
    """Picture, labels, prediction and errors, one sample a row.

    images: (3, H, W) each, uint8 or float 0-1; targets, predictions: labels (H, W) each;
    classes: their names, for a legend. Errors are painted over a pale gray picture, void is left
    out. Raises ValueError when the three do not have the same, positive length.
    """
    if not len(images) == len(targets) == len(predictions) > 0:
        raise ValueError(
            f"{len(images)} images, {len(targets)} targets and {len(predictions)} predictions were "
            "given, expected as many of each, at least one"
        )
    figure, axes = _grid(len(images), 4, _ratio(targets[0]))
    for row, (image, target, prediction) in enumerate(
        zip(images, targets, predictions, strict=True)
    ):
        pixels = to_pixels(image)
        _show(axes[row, 0], pixels)
        _show(axes[row, 1], colorize(np.asarray(target), palette))
        _show(axes[row, 2], colorize(np.asarray(prediction), palette))
        _show(axes[row, 3], error_map(pixels, target, prediction))
    for axis, title in zip(axes[0], ("picture", "labels", "prediction", "errors"), strict=True):
        axis.set_title(title)
    if classes is not None:
        _add_legend(figure, (*palette, WRONG), (*classes, "wrong"))
    return figure


def error_map(
    pixels: NDArray[np.uint8], target: ArrayLike, prediction: ArrayLike
) -> NDArray[np.uint8]:
    """A pale gray picture (H, W, 3), wrongly labeled pixels in `WRONG`, void in its color."""
    truth = np.asarray(target)
    gray = pixels @ np.array([0.299, 0.587, 0.114])
    shown = (0.45 * gray + 0.55 * 245)[..., None].repeat(3, axis=2).astype(np.uint8)
    shown[np.asarray(prediction) != truth] = WRONG
    shown[truth == VOID] = VOID_COLOR
    return shown


def legend(palette: Sequence[RGB], classes: Sequence[str]) -> Figure:
    """The colors of the classes, and of void, on one line."""
    use_style()
    figure = plt.figure(figsize=(8, 0.45))
    plt.close(figure)
    handles = _swatches(palette, classes)
    figure.legend(handles=handles, loc="center", ncols=len(handles), **SWATCHES)
    return figure


def show_history(history: History) -> Figure:
    """Training loss a step, pale, with its running mean, and the validation mean IoU beside it.

    Raises ValueError when no step was taken.
    """
    if not history.loss:
        raise ValueError("the history has no steps: train before drawing it")
    panels = 2 if history.validation else 1
    figure, axes = _panels(1, panels, (4.2 * panels, 3.0))
    _draw_loss(axes[0, 0], np.asarray(history.loss))
    if history.validation:
        steps, scores = zip(*history.validation, strict=True)
        axis = axes[0, 1]
        axis.plot(steps, scores, color=SERIES[1], marker="o", markersize=4)
        axis.annotate(
            f"{scores[-1]:.3f}",
            (steps[-1], scores[-1]),
            (0, -16),
            textcoords="offset points",
            ha="right",
        )
        axis.set(xlabel="step", ylabel="validation mean IoU", ylim=(0, 1))
    return figure


def _draw_loss(axis: Axes, loss: NDArray[np.floating]) -> None:
    steps = np.arange(1, len(loss) + 1)
    axis.plot(steps, loss, color=SERIES[0], alpha=0.28, linewidth=0.9, label="each step")
    window = max(1, len(loss) // 25)
    if window > 1:
        mean = np.convolve(loss, np.full(window, 1 / window), mode="valid")
        axis.plot(steps[window - 1 :], mean, color=SERIES[0], label=f"mean of {window} steps")
        axis.legend(loc="upper right")
    axis.set(xlabel="step", ylabel="training loss")
    if loss.min() > 0:
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1.2, 0.4)))


def show_confusion(confusion: ArrayLike, classes: Sequence[str]) -> Figure:
    """Of each true class, a row, the percentage of its pixels that went to each prediction.

    confusion: (C, C) counts, rows truth, columns prediction; a class without pixels keeps an empty
    row. Raises ValueError when its shape does not fit the classes.
    """
    counts = np.asarray(confusion, dtype=np.float64)
    if counts.shape != (len(classes), len(classes)):
        raise ValueError(f"a confusion matrix of shape {counts.shape} for {len(classes)} classes")
    total = counts.sum(axis=1, keepdims=True)
    percent = np.divide(100 * counts, total, out=np.full_like(counts, np.nan), where=total > 0)
    side = 1.6 + 0.52 * len(classes)
    figure, axes = _panels(1, 1, (side + 0.7, side))
    axis = axes[0, 0]
    image = axis.imshow(percent, cmap=SEQUENTIAL, vmin=0, vmax=100)
    for (row, column), share in np.ndenumerate(percent):
        if share >= 0.05:
            color = CARD if share > 52 else INK
            text = f"{share:.0f}" if share >= 9.95 else f"{share:.1f}"
            axis.text(column, row, text, ha="center", va="center", color=color, fontsize=8)
    axis.set(xlabel="predicted class", ylabel="true class")
    axis.set_xticks(range(len(classes)), classes, rotation=40, ha="right", rotation_mode="anchor")
    axis.set_yticks(range(len(classes)), classes)
    axis.grid(False)
    axis.spines[:].set_visible(False)
    figure.colorbar(image, ax=axis, shrink=0.85, label="% of the true class").outline.set_visible(
        False
    )
    return figure


def per_class_bars(scores: Mapping[str, ArrayLike], classes: Sequence[str]) -> Figure:
    """IoU of every class and their mean, a bar for each method: mean over seeds, and every seed.

    scores: label of a method -> IoU (seeds, C) or (C,), 0-1, NaN for a class never seen. The line
    on a bar spans the seeds. Raises ValueError when a shape does not fit the classes.
    """
    if not 1 <= len(scores) <= len(SERIES):
        raise ValueError(f"{len(scores)} methods were given, expected 1 to {len(SERIES)}")
    tables = {label: _with_mean(label, table, classes) for label, table in scores.items()}
    figure, axes = _panels(1, 1, (1.6 + 0.85 * (len(classes) + 1), 3.2))
    axis = axes[0, 0]
    width = 0.78 / len(tables)
    for number, (label, table) in enumerate(tables.items()):
        places = np.arange(len(classes) + 1) + (number - (len(tables) - 1) / 2) * width
        _draw_bars(axis, places, table, width, number, label)
    axis.axvline(len(classes) - 0.5, color=SOFT, linewidth=0.8)
    axis.set_xticks(
        range(len(classes) + 1), [*classes, "mean"], rotation=30, ha="right", rotation_mode="anchor"
    )
    axis.set(ylabel="IoU", xlabel="class", ylim=(0, 1))
    axis.grid(False, axis="x")
    if len(tables) > 1:
        axis.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=len(tables))
    return figure


def _with_mean(label: str, table: ArrayLike, classes: Sequence[str]) -> NDArray[np.float64]:
    """IoU (seeds, C + 1), the last column the mean over the classes that were seen."""
    values = np.atleast_2d(np.asarray(table, dtype=np.float64))
    if values.ndim != 2 or values.shape[1] != len(classes):
        raise ValueError(f"{label!r} has scores of shape {values.shape} for {len(classes)} classes")
    seen = ~np.isnan(values)
    mean = np.where(seen, values, 0).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
    return np.concatenate((values, mean[:, None]), axis=1)


def _draw_bars(
    axis: Axes,
    places: NDArray[np.floating],
    table: NDArray[np.float64],
    width: float,
    number: int,
    label: str,
) -> None:
    seen = ~np.isnan(table).any(axis=0)
    places, table = places[seen], table[:, seen]
    mean = table.mean(axis=0)
    color, hatch = SERIES[number], HATCHES[number]
    axis.bar(
        places,
        mean,
        0.92 * width,
        color=color,
        hatch=hatch,
        edgecolor=CARD,
        linewidth=0,
        label=label,
    )
    if len(table) > 1:
        axis.vlines(places, table.min(axis=0), table.max(axis=0), color=INK, linewidth=1.4)
        axis.plot(np.tile(places, len(table)), table.ravel(), "_", color=INK, markersize=4)


def reliability_diagram(confidence: ArrayLike, accuracy: ArrayLike, share: ArrayLike) -> Figure:
    """How often the network is right when it says how sure it is; below, how often it says so.

    confidence, accuracy, share: (bins,) mean confidence, accuracy and share of the pixels of each
    bin, 0-1, as `CalibrationError.reliability` returns them; bins without pixels are left out.
    """
    sure, right, part = (np.asarray(x, dtype=np.float64) for x in (confidence, accuracy, share))
    used = part > 0
    edges = np.linspace(0, 1, len(part) + 1)
    use_style()
    figure, (above, below) = plt.subplots(
        2, 1, figsize=(4.2, 4.9), sharex=True, height_ratios=(3, 1)
    )
    plt.close(figure)
    above.plot((0, 1), (0, 1), color=SOFT, linestyle=(0, (4, 3)), linewidth=1.2, label="calibrated")
    above.vlines(
        sure[used], sure[used], right[used], color=SERIES[1], linewidth=5, alpha=0.35, label="gap"
    )
    above.plot(sure[used], right[used], color=SERIES[0], marker="o", markersize=4, label="measured")
    error = float((part[used] * np.abs(right[used] - sure[used])).sum() / part[used].sum())
    above.text(
        0.97, 0.05, f"expected calibration error {error:.3f}", ha="right", color=INK, fontsize=9
    )
    above.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
    above.legend(loc="upper left")
    below.bar(edges[:-1], 100 * part, 0.94 / len(part), align="edge", color=SERIES[0])
    below.set(xlabel="confidence", ylabel="% of pixels")
    return figure


def to_pixels(image: ArrayLike) -> NDArray[np.uint8]:
    """An image (3, H, W), uint8 or float 0-1, as uint8 (H, W, 3). ValueError for another shape."""
    pixels = np.asarray(image)
    if pixels.ndim != 3 or pixels.shape[0] != 3:
        raise ValueError(f"an image of shape {pixels.shape} was given, expected (3, H, W)")
    if pixels.dtype != np.uint8:
        pixels = (255 * pixels.astype(np.float32)).round().clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(1, 2, 0))


SWATCHES: dict[str, Any] = {
    "handlelength": 1.1,
    "handleheight": 1.1,
    "handletextpad": 0.5,
    "columnspacing": 1.3,
}


def _swatches(palette: Sequence[RGB], classes: Sequence[str]) -> list[Patch]:
    if len(palette) != len(classes):
        raise ValueError(f"{len(palette)} colors were given for {len(classes)} classes")
    named = [*zip(palette, classes, strict=True), (VOID_COLOR, "void")]
    return [
        Patch(facecolor=(r / 255, g / 255, b / 255), edgecolor=SOFT, linewidth=0.6, label=name)
        for (r, g, b), name in named
    ]


def _add_legend(figure: Figure, palette: Sequence[RGB], classes: Sequence[str]) -> None:
    handles = _swatches(palette, classes)
    rows = math.ceil(1.05 * len(handles) / figure.get_figwidth())
    columns = math.ceil(len(handles) / rows)
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, **SWATCHES)


def _ratio(labels: ArrayLike) -> float:
    height, width = np.shape(labels)
    return float(height / width)


def _panels(rows: int, columns: int, size: tuple[float, float]) -> tuple[Figure, NDArray[Any]]:
    """A figure that pyplot forgets, so that a notebook shows it once, as the value of its cell."""
    use_style()
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False)
    plt.close(figure)
    return figure, axes


def _grid(rows: int, columns: int, ratio: float) -> tuple[Figure, NDArray[Any]]:
    """Panels for pictures of height / width `ratio`, close together."""
    width = min(2.6, 10.4 / columns)
    figure, axes = _panels(rows, columns, (columns * width, rows * width * ratio + 0.55))
    figure.set_layout_engine("constrained", w_pad=0.03, h_pad=0.03, wspace=0.01, hspace=0.01)
    return figure, axes


def _show(axis: Axes, pixels: NDArray[np.uint8]) -> None:
    axis.imshow(pixels, interpolation="nearest")
    axis.set_xticks([])
    axis.set_yticks([])
    axis.grid(False)
    axis.spines[:].set_visible(False)


def _name_rows(axes: NDArray[Any], names: Sequence[str]) -> None:
    for axis, name in zip(axes[:, 0], names, strict=True):
        axis.set_ylabel(name)
