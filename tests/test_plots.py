from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from segtut import plots
from segtut.data.palette import VOID_COLOR

PALETTE = ((10, 20, 30), (200, 100, 50), (0, 120, 200))
CLASSES = ("ground", "house", "sky")


def rendered(figure: Figure) -> np.ndarray:
    """The figure as pixels (H, W, 4); drawing raises where a label or a layout is wrong."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def texts(figure: Figure) -> list[str]:
    named = [text for axis in figure.axes for text in (axis.xaxis.label, axis.yaxis.label)]
    named += [axis._left_title for axis in figure.axes]
    legends = [*figure.legends, *(axis.legend_ for axis in figure.axes if axis.legend_)]
    named += [text for legend in legends for text in legend.texts]
    return [text.get_text() for text in named]


@pytest.fixture
def sample() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (3, 12, 16), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, 3, (12, 16), generator=generator)
    labels[0] = 255
    return image, labels


def test_samples_show_picture_and_painted_labels(sample: tuple) -> None:
    figure = plots.show_samples([sample, sample], PALETTE, CLASSES, names=["a", "b"])
    rendered(figure)
    top, bottom = (figure.axes[k].images[0].get_array() for k in (0, 2))
    assert np.array_equal(top, sample[0].permute(1, 2, 0))
    assert np.array_equal(bottom[5, 5], PALETTE[sample[1][5, 5]])
    assert np.array_equal(bottom[0, 0], VOID_COLOR)
    assert {"a", "b", "picture", "labels", *CLASSES, "void"} <= set(texts(figure))


def test_figures_are_shown_once_in_a_notebook(sample: tuple) -> None:
    plots.show_samples([sample], PALETTE)
    plots.legend(PALETTE, CLASSES)
    plots.reliability_diagram([0.5], [0.5], [1.0])
    assert plt.get_fignums() == []  # pyplot would show what it still holds a second time


def test_predictions_mark_what_is_wrong_and_nothing_else(sample: tuple) -> None:
    image, target = sample
    prediction = target.clone()
    prediction[0] = 1
    prediction[4, 7] = (target[4, 7] + 1) % 3
    figure = plots.show_predictions([image / 255], [target], [prediction], PALETTE, CLASSES)
    rendered(figure)
    errors = figure.axes[3].images[0].get_array()
    wrong = (errors == np.array(plots.WRONG)).all(-1)
    assert np.argwhere(wrong).tolist() == [[4, 7]]
    assert (errors[0] == np.array(VOID_COLOR)).all()
    assert np.array_equal(figure.axes[0].images[0].get_array(), image.permute(1, 2, 0))
    assert {"picture", "labels", "prediction", "errors", "wrong"} <= set(texts(figure))


def test_legend_has_a_swatch_for_each_class_and_void() -> None:
    figure = plots.legend(PALETTE, CLASSES)
    rendered(figure)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.texts] == [*CLASSES, "void"]
    colors = [patch.get_facecolor()[:3] for patch in legend.get_patches()]
    assert np.allclose(colors, np.array([*PALETTE, VOID_COLOR]) / 255)


def test_history_smooths_without_shifting() -> None:
    loss = [2.0 - step / 100 for step in range(100)]
    history = SimpleNamespace(loss=loss, validation=[(50, 0.4), (100, 0.75)])
    figure = plots.show_history(history)
    rendered(figure)
    raw, mean = figure.axes[0].lines
    assert np.allclose(raw.get_ydata(), loss)
    assert np.allclose(mean.get_xdata()[0], 4)
    assert np.allclose(mean.get_ydata()[0], np.mean(loss[:4]))
    assert figure.axes[1].lines[0].get_xydata().tolist() == [[50, 0.4], [100, 0.75]]
    assert {"step", "training loss", "validation mean IoU"} <= set(texts(figure))


def test_history_without_validation_has_one_panel() -> None:
    figure = plots.show_history(SimpleNamespace(loss=[1.0], validation=[]))
    rendered(figure)
    assert len(figure.axes) == 1
    with pytest.raises(ValueError, match="no steps"):
        plots.show_history(SimpleNamespace(loss=[], validation=[]))


def test_confusion_rows_are_percent_of_the_true_class() -> None:
    figure = plots.show_confusion(torch.tensor([[3, 1, 0], [0, 8, 0], [0, 0, 0]]), CLASSES)
    rendered(figure)
    axis = figure.axes[0]
    shares = np.ma.filled(axis.images[0].get_array(), np.nan)
    assert np.allclose(shares, [[75, 25, 0], [0, 100, 0], [np.nan] * 3], equal_nan=True)
    assert [text.get_text() for text in axis.texts] == ["75", "25", "100"]
    assert axis.get_xlabel() == "predicted class"
    assert axis.get_ylabel() == "true class"
    with pytest.raises(ValueError, match=r"\(2, 2\) for 3 classes"):
        plots.show_confusion(np.eye(2), CLASSES)


def test_bars_stand_at_the_mean_and_span_the_seeds() -> None:
    table = np.array([[0.2, 0.6, np.nan], [0.4, 0.8, np.nan]])
    figure = plots.per_class_bars({"U-Net": table, "FCN": [0.1, 0.2, 0.3]}, CLASSES)
    rendered(figure)
    axis = figure.axes[0]
    heights = [bar.get_height() for bar in axis.containers[0]]
    assert np.allclose(heights, [0.3, 0.7, 0.5])  # two classes seen, and their mean
    spans = axis.collections[0].get_segments()
    assert np.allclose([span[:, 1] for span in spans], [[0.2, 0.4], [0.6, 0.8], [0.4, 0.6]])
    assert np.allclose([bar.get_height() for bar in axis.containers[1]], [0.1, 0.2, 0.3, 0.2])
    assert {"U-Net", "FCN", "IoU", "class"} <= set(texts(figure))
    with pytest.raises(ValueError, match=r"'x' has scores of shape \(1, 2\) for 3 classes"):
        plots.per_class_bars({"x": [0.1, 0.2]}, CLASSES)


def test_reliability_leaves_out_empty_bins_and_states_the_error() -> None:
    figure = plots.reliability_diagram([np.nan, 0.6, 0.9], [np.nan, 0.5, 0.7], [0.0, 0.25, 0.75])
    rendered(figure)
    above, below = figure.axes
    assert np.allclose(above.lines[1].get_xydata(), [[0.6, 0.5], [0.9, 0.7]])
    assert above.texts[0].get_text() == "expected calibration error 0.175"  # .25 * .1 + .75 * .2
    assert np.allclose([bar.get_height() for bar in below.patches], [0, 25, 75])
    assert {"accuracy", "confidence", "% of pixels"} <= set(texts(figure))


def test_charts_are_dark_on_a_light_card() -> None:
    pixels = rendered(plots.show_confusion(np.eye(3), CLASSES))
    assert pixels[0, 0].tolist() == [251, 250, 246, 255]


@pytest.mark.parametrize("shape", [(12, 16), (1, 12, 16), (12, 16, 3)])
def test_pictures_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected \(3, H, W\)"):
        plots.to_pixels(np.zeros(shape))


def test_wrong_counts_are_named(sample: tuple) -> None:
    image, target = sample
    with pytest.raises(ValueError, match="1 images, 2 targets and 1 predictions"):
        plots.show_predictions([image], [target, target], [target], PALETTE)
    with pytest.raises(ValueError, match="no samples"):
        plots.show_samples([], PALETTE)
    with pytest.raises(ValueError, match="2 names were given for 1 samples"):
        plots.show_samples([sample], PALETTE, names=["a", "b"])
    with pytest.raises(ValueError, match="3 colors were given for 2 classes"):
        plots.legend(PALETTE, CLASSES[:2])
