"""The doctor's findings: each disease is planted, and must be found by its name."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from segtut.data.doctor import Finding, Report, check, check_splits
from segtut.data.folder import FolderDataset

CLASSES = ("ground", "house", "mast")
Maker = Callable[..., FolderDataset]


def labels(seed: int) -> np.ndarray:
    """A healthy mask: 10x20 pixels, a third each, with two pixels void."""
    mask = np.random.default_rng(seed).permutation(np.arange(200) % 3).astype(np.uint8)
    mask[:2] = 255
    return mask.reshape(10, 20)


def photo(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (10, 20, 3), dtype=np.uint8)


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    """A folder of samples, healthy but for what `images` and `masks` put in their places."""

    def make(
        images: dict[str, np.ndarray] | None = None,
        masks: dict[str, np.ndarray] | None = None,
        folder: str = "set",
        seed: int = 0,
    ) -> FolderDataset:
        names = ("a", "b", "c", "d")
        pictures = {f"{name}.png": photo(seed + i) for i, name in enumerate(names)}
        truths = {f"{name}.png": labels(seed + i) for i, name in enumerate(names)}
        for kind, files in (("i", pictures | (images or {})), ("m", truths | (masks or {}))):
            (tmp_path / folder / kind).mkdir(parents=True)
            for name, pixels in files.items():
                Image.fromarray(pixels).save(tmp_path / folder / kind / name)
        return reopen(tmp_path / folder)

    return make


def reopen(folder: Path) -> FolderDataset:
    return FolderDataset(folder / "i", folder / "m", CLASSES, strict=False)


def only(report: Report) -> Finding:
    assert len(report.findings) == 1, str(report)
    return report.findings[0]


def test_a_healthy_set_gets_its_counts_and_no_finding(make: Maker) -> None:
    report = check(make())
    masks = np.stack([labels(seed) for seed in range(4)])
    assert report.findings == ()
    assert not report.has_errors
    assert report.samples == 4
    assert report.class_pixels.tolist() == [int((masks == k).sum()) for k in range(3)]
    assert report.class_images.tolist() == [4, 4, 4]
    assert (report.void_pixels, report.void_images) == (8, 4)
    assert report.void_share == pytest.approx(0.01)
    assert report.class_shares.sum() == pytest.approx(1)
    assert report.sizes == {(20, 10): 4}
    text = str(report)
    assert text.startswith("4 samples, 3 classes, 20x10 pixels")
    assert "Nothing wrong was found." in text
    assert f"{'ground':6}  {float((masks == 0).sum() / 792):11.2%}  {4:6d}" in text


def test_a_truncated_image_is_named_and_the_rest_still_counted(make: Maker, tmp_path: Path) -> None:
    dataset = make()
    path = tmp_path / "set" / "i" / "b.png"
    path.write_bytes(path.read_bytes()[:60])
    report = check(dataset)
    finding = only(report)
    assert report.has_errors
    assert finding.text == "1 file cannot be read"
    assert finding.examples == ("b.png",)
    assert str(path) in finding.advice
    assert report.sizes == {(20, 10): 3}


def test_a_wrong_label_and_a_wrong_size_are_told_apart(make: Maker) -> None:
    wrong = labels(1)
    wrong[5] = 37
    report = check(make(masks={"b.png": wrong, "c.png": labels(2)[:5]}))
    sizes, values = report.findings
    assert (sizes.examples, values.examples) == (("c.png",), ("b.png",))
    assert "20x10" in sizes.advice
    assert "20x5" in sizes.advice
    assert "37" in values.advice


def test_lone_files_are_listed(make: Maker) -> None:
    report = check(make(images={"x.png": photo(9)}, masks={"y.png": labels(9)}))
    assert [(f.severity, f.examples) for f in report.findings] == [
        ("error", ("x.png",)),
        ("error", ("y.png",)),
    ]


def test_an_image_in_two_splits_is_an_error_even_if_encoded_anew(make: Maker) -> None:
    train = make()
    image = make(folder="other", seed=50).files[1][0]
    image.unlink()
    Image.fromarray(photo(3)).save(image.with_suffix(".bmp"))
    test = reopen(image.parent.parent)
    finding = only(check(test, train))
    assert finding.severity == "error"
    assert finding.text == "1 image also in the other set"
    assert finding.examples == ("b = d",)
    reports = check_splits({"train": train, "test": test})
    assert reports["train"].findings == ()
    assert only(reports["test"]).text == "1 image also in train"


def test_an_image_twice_in_one_set_is_a_warning(make: Maker) -> None:
    finding = only(check(make(images={"c.png": photo(0)})))
    assert (finding.severity, finding.examples) == ("warning", ("a = c",))


@pytest.mark.parametrize(
    ("mask", "severity", "text"),
    [
        (np.full((10, 20), 255, np.uint8), "warning", "1 sample with nothing but void"),
        (np.where(np.arange(200) < 120, 255, 1), "warning", "1 sample more than 50% void"),
        (np.full((10, 20), 1, np.uint8), "note", "1 sample at least 99.9% one class"),
    ],
)
def test_odd_masks_are_told(make: Maker, mask: np.ndarray, severity: str, text: str) -> None:
    finding = only(check(make(masks={"b.png": mask.astype(np.uint8).reshape(10, 20)})))
    assert (finding.severity, finding.text) == (severity, text)
    assert finding.examples[0].startswith("b")


def test_an_image_of_one_color_is_told(make: Maker) -> None:
    finding = only(check(make(images={"d.png": np.zeros((10, 20, 3), np.uint8)})))
    assert (finding.severity, finding.examples) == ("warning", ("d",))
    assert "single color" in finding.text


def test_absent_and_rare_classes_are_told(make: Maker) -> None:
    rare = np.zeros((10, 20), np.uint8)
    rare[0, 0] = 2
    masks = {f"{name}.png": rare for name in "abcd"}
    masks["a.png"] = np.zeros((10, 20), np.uint8)
    findings = check(make(masks=masks)).findings
    assert [(f.severity, f.examples) for f in findings if "class" in f.text.split()[1]] == [
        ("warning", ("house",)),
        ("note", ("mast 0.38%",)),
    ]


def test_black_and_white_masks_read_as_labels_are_an_error(make: Maker) -> None:
    masks = {
        f"{name}.png": np.where(labels(i) == 1, 255, 0).astype(np.uint8)
        for i, name in enumerate("abcd")
    }
    report = check(make(masks=masks))
    assert report.findings[0].severity == "error"
    assert "(255, 255, 255): 1" in report.findings[0].advice


def test_masks_stored_as_jpeg_are_told(make: Maker, tmp_path: Path) -> None:
    dataset = make()
    flat = Image.fromarray(np.repeat(np.array([[0, 1, 2, 1]], np.uint8), 10, 0).repeat(5, 1))
    dataset.files[0][1].unlink()
    flat.save(tmp_path / "set" / "m" / "a.jpg", quality=100)
    texts = [finding.text for finding in check(reopen(tmp_path / "set")).findings]
    assert "1 mask stored as JPEG" in texts


def test_several_sizes_are_noted(make: Maker) -> None:
    finding = only(check(make(images={"a.png": photo(0)[:8]}, masks={"a.png": labels(0)[:8]})))
    assert (finding.severity, finding.text) == ("note", "2 different sizes")


def test_the_worst_comes_first_and_long_lists_are_cut(make: Maker) -> None:
    images = {f"x{i}.png": photo(60 + i) for i in range(6)}
    report = check(make(images=images, masks={"b.png": np.ones((10, 20), np.uint8)}))
    assert [finding.severity for finding in report.findings] == ["error", "note"]
    lines = str(report).splitlines()
    assert "error    6 files without a mask: x0.png, x1.png, x2.png, x3.png and 2 more" in lines
    assert lines[-1].startswith("         -> fine as examples")


def test_a_set_of_which_nothing_can_be_read_still_gets_a_report(make: Maker) -> None:
    dataset = make()
    for image, _ in dataset.files:
        image.write_bytes(b"")
    report = check(dataset)
    assert only(report).text == "4 files cannot be read"
    assert torch.equal(report.class_pixels, torch.zeros(3, dtype=torch.int64))
    assert "none of them readable" in str(report)
