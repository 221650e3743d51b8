"""The merged and shifted confusion is that of scikit-learn, from the logits themselves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix, jaccard_score, precision_score, recall_score

from segtut.data.streets import MERGES
from segtut.widgets import ConfusionExplorer
from segtut.widgets.confusion import confusion_at, pixels_by_shift


@pytest.fixture
def scene() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits that know the truth half the time, labels with void, and a picture of the first."""
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(0, 8, (3, 12, 16), generator=generator)
    logits = 1.5 * torch.randn(3, 8, 12, 16, generator=generator)
    logits += 2 * torch.nn.functional.one_hot(target, 8).movedim(-1, 1)
    target[:, 4] = 255
    image = torch.randint(0, 256, (3, 12, 16), generator=generator, dtype=torch.uint8)
    return logits, target, image


@pytest.fixture
def explorer(scene, colors) -> ConfusionExplorer:
    merges = {"four classes": MERGES[4], "two classes": MERGES[2]}
    return ConfusionExplorer(*scene, **colors, merges=merges)


def answered(scene, shifted: int = 0, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Truth and answers of the labeled pixels, one logit raised."""
    logits, target, _ = scene
    raised = logits.clone()
    raised[:, shifted] += shift
    valid = target != 255
    return target[valid].numpy(), raised.argmax(dim=1)[valid].numpy()


def counted(explorer: ConfusionExplorer) -> tuple[list[int], int, int]:
    counts = np.frombuffer(explorer.counts, "<u4")
    return counts.tolist(), len(explorer.classes), len(explorer.shifts)


@pytest.mark.parametrize(("shifted", "step"), [(0, 16), (5, 20), (7, 32)])
def test_shifted_confusion_is_that_of_the_shifted_logits(
    shifted: int, step: int, scene, explorer, run_script
) -> None:
    truth, said = answered(scene, shifted, explorer.shifts[step])
    expected = confusion_matrix(truth, said, labels=range(8))
    shifts = torch.tensor(explorer.shifts)
    counts = pixels_by_shift(scene[0], scene[1], shifts)
    assert np.array_equal(confusion_at(counts, shifted, step), expected)
    case = [*counted(explorer), shifted, step]
    (found,) = run_script(ConfusionExplorer, "confusionAt", [case])
    assert np.array_equal(found, expected)


def test_no_pixel_is_lost_at_the_ends(scene) -> None:
    """Leads beyond the slider's reach stay with the other class, however far it is pushed."""
    logits, target = scene[0].clone(), scene[1]
    logits[:, 3] -= 100
    counts = pixels_by_shift(logits, target, torch.linspace(-4, 4, 33))
    assert counts.shape == (8, 8, 8, 34)
    assert (counts.sum((1, 2, 3)) == int((target != 255).sum())).all()
    assert confusion_at(counts, 3, 32)[:, 3].sum() == 0


def test_merged_scores_are_those_of_merged_labels(scene, run_script) -> None:
    truth, said = answered(scene)
    matrix = confusion_matrix(truth, said, labels=range(8)).tolist()
    merge = np.array(MERGES[4])
    groups = [[label for label in range(8) if merge[label] == group] for group in range(4)]
    (small,) = run_script(ConfusionExplorer, "merged", [[matrix, groups]])
    assert np.array_equal(small, confusion_matrix(merge[truth], merge[said]))
    (result,) = run_script(ConfusionExplorer, "scores", [[small]])
    for key, score in (
        ("iou", jaccard_score),
        ("precision", precision_score),
        ("recall", recall_score),
    ):
        expected = score(merge[truth], merge[said], average=None)
        assert [one[key] for one in result["each"]] == pytest.approx(expected)
    mean = jaccard_score(merge[truth], merge[said], average="macro")
    assert result["meanIoU"] == pytest.approx(mean)
    assert result["accuracy"] == pytest.approx((merge[truth] == merge[said]).mean())


def test_a_class_nowhere_has_no_score(run_script) -> None:
    (result,) = run_script(ConfusionExplorer, "scores", [[[[5, 1, 0], [2, 4, 0], [0, 0, 0]]]])
    assert result["each"][2] == {"iou": None, "precision": None, "recall": None}
    assert result["meanIoU"] == pytest.approx((5 / 8 + 4 / 7) / 2)


def test_best_pair_is_the_best_of_all(run_script) -> None:
    generator = np.random.default_rng(1)
    matrix = generator.integers(1, 50, (5, 5)) + 100 * np.eye(5, dtype=int)
    matrix[1, 4] = 90
    groups = [[label] for label in range(5)]
    (found,) = run_script(ConfusionExplorer, "bestPair", [[matrix.tolist(), groups]])

    def after(i: int, j: int) -> float:
        merge = np.arange(5)
        merge[j] = i
        rows, columns = np.indices((5, 5)).reshape(2, -1)
        weights = matrix.ravel()
        return jaccard_score(merge[rows], merge[columns], sample_weight=weights, average="macro")

    values = {(i, j): after(i, j) for i in range(5) for j in range(i + 1, 5)}
    assert tuple(found["pair"]) == max(values, key=values.__getitem__) == (1, 4)
    assert found["meanIoU"] == pytest.approx(max(values.values()))
    (none,) = run_script(ConfusionExplorer, "bestPair", [[[[3, 1], [1, 3]], [[0], [1]]]])
    assert none is None


def test_answers_of_the_street_follow_the_shift(scene, explorer, run_script) -> None:
    distances = list(explorer.distances)
    for shifted, shift in ((0, 0.0), (4, 1.5), (4, -4.0)):
        raised = scene[0][0].clone()
        raised[shifted] += shift
        (found,) = run_script(ConfusionExplorer, "answers", [[distances, 8, shifted, shift]])
        # Kept in sixteenths: at most a few pixels of a near tie may differ.
        same = np.equal(found, raised.argmax(dim=0).flatten().numpy())
        assert same.mean() > 0.95


def tiles(page) -> dict[str, str]:
    names = page.locator(".st-tiles dt").all_inner_texts()
    return dict(zip(names, page.locator(".st-tiles dd").all_inner_texts(), strict=True))


def mean_iou(scene, merge, shifted: int = 0, shift: float = 0.0) -> str:
    truth, said = answered(scene, shifted, shift)
    table = np.array(merge)
    return f"{jaccard_score(table[truth], table[said], average='macro'):.3f}"


def test_mouse_merges_and_takes_apart(scene, explorer, open_figure) -> None:
    page = open_figure(explorer)
    assert tiles(page)["Classes"] == "8"
    assert tiles(page)["Mean IoU"] == mean_iou(scene, MERGES[8])
    chips = page.get_by_role("group", name="Classes")
    chips.get_by_role("button", name="pole").click()
    assert chips.get_by_role("button", name="pole").get_attribute("aria-pressed") == "true"
    chips.get_by_role("button", name="building").click()
    assert tiles(page)["Classes"] == "7"
    assert tiles(page)["Mean IoU"] == mean_iou(scene, (0, 1, 2, 3, 4, 1, 6, 7))
    both = chips.get_by_role("button", name="building + pole")
    both.click()
    both.click()
    assert tiles(page)["Classes"] == "8"
    page.get_by_role("button", name="two classes").click()
    assert tiles(page)["Mean IoU"] == mean_iou(scene, MERGES[2])
    assert page.get_by_role("button", name="merge the pair").is_disabled()
    page.get_by_role("button", name="all apart").click()
    page.get_by_role("button", name="merge the pair").click()
    assert tiles(page)["Classes"] == "7"


def test_keys_merge_and_shift(scene, explorer, open_figure) -> None:
    page = open_figure(explorer)
    chips = page.get_by_role("group", name="Classes")
    chips.get_by_role("button", name="road").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")  # to pavement, the next
    page.keyboard.press("Enter")
    assert tiles(page)["Classes"] == "7"
    focused = page.evaluate("document.activeElement.textContent")
    assert focused.strip() == "road + pavement"
    page.get_by_role("radio", name="car").focus()
    page.keyboard.press("Space")
    page.get_by_role("slider").focus()
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    assert tiles(page)["Mean IoU"] == mean_iou(scene, (0, 1, 2, 2, 4, 5, 6, 7), 6, 1.5)
    says = page.get_by_role("status").inner_text()
    truth, said = answered(scene, 6, 1.5)
    assert says.startswith("car raised by 1.50")
    assert f"recall {recall_score(truth == 6, said == 6):.2f}" in says
    row = page.locator(".st-figures tbody tr").filter(has_text="car").locator("td")
    assert row.nth(1).inner_text() == f"{precision_score(truth == 6, said == 6):.3f}"


def test_opens_with_the_worst_class_or_the_one_asked_for(scene, colors) -> None:
    truth, said = answered(scene)
    worst = int(jaccard_score(truth, said, average=None).argmin())
    assert ConfusionExplorer(*scene, **colors).opening == worst
    assert ConfusionExplorer(*scene, **colors, raised=4).opening == 4


def test_rows_of_the_table_are_shares(scene, explorer, open_figure) -> None:
    page = open_figure(explorer)
    truth, said = answered(scene)
    matrix = confusion_matrix(truth, said, labels=range(8), normalize="true")
    cells = page.locator(".st-confusion tbody tr").nth(3).locator("td").all_inner_texts()
    for text, share in zip(cells, matrix[3], strict=True):
        assert float(text or 0) == pytest.approx(100 * share, abs=0.5)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"logits": torch.zeros(3, 7, 12, 16)}, r"expected \(3, 8, 12, 16\)"),
        ({"logits": torch.full((3, 8, 12, 16), torch.nan)}, "NaN or infinity"),
        ({"image": torch.zeros(3, 12, 15, dtype=torch.uint8)}, r"the image \(12, 15\)"),
        ({"target": torch.zeros(12, 16, dtype=torch.int64)}, r"expected \(K, H, W\)"),
        ({"raised": 8}, "expected a class, 0 to 7"),
        ({"merges": {"odd": (0, 1)}}, "'odd' names 2 classes, expected 8"),
    ],
)
def test_what_does_not_fit_is_refused(change, text: str, scene, colors) -> None:
    given = dict(zip(("logits", "target", "image"), scene, strict=True))
    with pytest.raises(ValueError, match=text):
        ConfusionExplorer(**{**given, **change}, **colors)
