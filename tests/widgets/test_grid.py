"""Counts and scores of the painted grids are those of scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, jaccard_score

from segtut.widgets import GridScores


def test_scores_are_those_of_another_library(run_script) -> None:
    generator = np.random.default_rng(0)
    pairs = [generator.integers(0, 2, (2, 16)) for _ in range(8)]
    found = run_script(GridScores, "counts", [[a.tolist(), b.tolist()] for a, b in pairs])
    results = run_script(GridScores, "scores", [[counts] for counts in found])
    for (truth, prediction), counts, result in zip(pairs, found, results, strict=True):
        tn, fp, fn, tp = confusion_matrix(truth, prediction).ravel()
        assert counts == {"TP": tp, "FP": fp, "FN": fn, "TN": tn}
        assert result["accuracy"]["value"] == pytest.approx(accuracy_score(truth, prediction))
        assert result["iou"]["value"] == pytest.approx(jaccard_score(truth, prediction))
        assert result["dice"]["value"] == pytest.approx(f1_score(truth, prediction))


def test_nothing_against_nothing_is_undefined(run_script) -> None:
    (result,) = run_script(GridScores, "scores", [[{"TP": 0, "FP": 0, "FN": 0, "TN": 16}]])
    assert result["iou"]["value"] is result["dice"]["value"] is None
    assert result["accuracy"]["value"] == 1


def sums(page) -> dict[str, list[str]]:
    return {
        row.locator("th").inner_text(): row.locator("td").all_inner_texts()
        for row in page.locator("tbody tr").all()
    }


def test_opens_with_the_arithmetic_of_the_text(open_figure) -> None:
    page = open_figure(GridScores())
    assert sums(page) == {
        "Accuracy": ["(TP + TN) / all = (4 + 8) / 16 = 12 / 16", "0.750"],
        "IoU": ["TP / (TP + FP + FN) = 4 / (4 + 2 + 2) = 4 / 8", "0.500"],
        "Dice": ["2 TP / (2 TP + FP + FN) = 2·4 / (2·4 + 2 + 2) = 8 / 12", "0.667"],
    }


def test_mouse_paints_both_grids(open_figure) -> None:
    page = open_figure(GridScores())
    cell = page.get_by_role("button", name="Prediction, row 2, column 2")
    assert cell.get_attribute("aria-pressed") == "false"
    cell.click()
    assert cell.get_attribute("aria-pressed") == "true"
    assert sums(page)["IoU"][1] == "0.625"
    page.get_by_role("button", name="Truth, row 1, column 1", exact=True).click()
    assert sums(page)["IoU"][1] == "0.556"
    assert page.get_by_role("img", name="Comparison").inner_text().split()[0] == "FN"


def test_keys_move_and_paint(open_figure) -> None:
    page = open_figure(GridScores())
    page.get_by_role("button", name="Prediction, row 1, column 1", exact=True).focus()
    for key in ("ArrowLeft", "ArrowUp", "ArrowRight", "ArrowDown", "Space"):
        page.keyboard.press(key)
    assert sums(page)["IoU"][1] == "0.625"
    focused = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert focused == "Prediction, row 2, column 2"
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == focused


def test_presets_and_goals(open_figure) -> None:
    page = open_figure(GridScores(torch.eye(4, dtype=torch.int64)))
    goals = page.locator(".st-goals li")
    assert "reached" not in goals.nth(0).inner_text()
    page.get_by_role("button", name="nothing").click()
    assert sums(page)["Accuracy"][1] == "0.750"
    assert sums(page)["IoU"][1] == "0.000"
    assert "reached" in goals.nth(0).inner_text()
    page.get_by_role("button", name="as the truth").click()
    assert sums(page)["Dice"][1] == "1.000"
    page.get_by_role("button", name="everything").click()
    assert sums(page)["IoU"][1] == "0.250"
    page.get_by_role("button", name="shifted").click()
    assert sums(page)["IoU"][1] == "0.000"
    assert "reached" in goals.nth(0).inner_text()  # once reached, it stays


def paintable(met) -> bool:
    """Whether some truth and prediction of 16 cells meet a goal."""
    counts = [(a, b, c) for a in range(17) for b in range(17 - a) for c in range(17 - a - b)]
    return any(
        met((tp + 16 - tp - fp - fn) / 16, tp / (tp + fp + fn), 2 * tp / (2 * tp + fp + fn))
        for tp, fp, fn in counts
        if tp + fp + fn
    )


@pytest.mark.parametrize(
    "met",
    [
        lambda accuracy, iou, dice: accuracy >= 0.75 and iou == 0,
        lambda accuracy, iou, dice: iou == 0.5,
        lambda accuracy, iou, dice: accuracy < 0.5 and iou > 0.4,
        lambda accuracy, iou, dice: dice - iou >= 0.17,
    ],
)
def test_every_goal_can_be_reached(met) -> None:
    assert paintable(met)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((torch.zeros(4, 5, dtype=torch.int64),), "two squares of the same side"),
        ((torch.zeros(9, 9, dtype=torch.int64),) * 2, "two squares of the same side"),
        ((torch.full((4, 4), 255),), "holds void"),
        ((torch.full((4, 4), 2),), "the label 2, expected 0 to 1"),
    ],
)
def test_what_does_not_fit_is_refused(arguments: tuple[torch.Tensor, ...], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        GridScores(*arguments)
    with pytest.raises(ValueError, match="expected two: not it, and it"):
        GridScores(classes=("a", "b", "c"))
