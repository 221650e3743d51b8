from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import interpolate

from segtut.inference import export_onnx, predict, predict_folder
from segtut.models import UNet

PALETTE = [(0, 0, 0), (200, 30, 30), (30, 200, 30)]


class Constant(nn.Module):
    """The same three logits everywhere, and a record of the sizes it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor([1.0, -2.0, 0.5]))
        self.sizes: list[tuple[int, int]] = []

    def forward(self, images: Tensor) -> Tensor:
        self.sizes.append((images.shape[-2], images.shape[-1]))
        return self.logits.view(1, 3, 1, 1).expand(len(images), 3, *images.shape[-2:])


class RedGreenBlue(nn.Module):
    """The image itself as logits."""

    def forward(self, images: Tensor) -> Tensor:
        return images


def random_image(height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (3, height, width), dtype=torch.uint8, generator=generator)


def random_unet(**options: object) -> UNet:
    torch.manual_seed(0)
    model = UNet(3, width=4, **options)
    # Statistics of a trained network are not 0 and 1; these catch a network left in training.
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.2, 0.5)
    return model.eval()


def test_uint8_and_float_images_are_the_same() -> None:
    model, image = random_unet(), random_image(33, 47)
    logits = predict(model, image)
    assert (logits.shape, logits.dtype) == ((3, 33, 47), torch.float32)
    torch.testing.assert_close(predict(model, image / 255), logits)
    torch.testing.assert_close(logits, model(image[None] / 255)[0].detach())


def test_the_model_predicts_in_evaluation_mode_and_gets_its_mode_back() -> None:
    model, image = random_unet(), random_image(33, 47)
    expected = predict(model, image)
    model.train()
    model.encoder.eval()
    assert torch.equal(predict(model, image), expected)
    assert model.training
    assert not model.encoder.training
    assert model.decoder.training


def test_logits_can_be_used_in_later_computations() -> None:
    logits = predict(random_unet(), random_image(16, 16))
    logits += 1
    assert not logits.is_inference()


def test_size_is_the_shorter_side_the_network_sees() -> None:
    model = Constant()
    assert predict(model, random_image(60, 90), size=20).shape == (3, 60, 90)
    assert predict(model, random_image(90, 60), size=120).shape == (3, 90, 60)
    assert model.sizes == [(20, 30), (180, 120)]


def test_resized_prediction_is_of_the_resized_image() -> None:
    image = random_image(32, 48) / 255
    seen = interpolate(image[None], size=(16, 24), mode="bilinear", antialias=True)
    expected = interpolate(seen, size=(32, 48), mode="bilinear")[0]
    torch.testing.assert_close(predict(RedGreenBlue(), image, size=16), expected)


def test_flip_averages_with_the_mirrored_image() -> None:
    model, image = random_unet(), random_image(33, 47)
    mirrored = predict(model, image.flip(-1)).flip(-1)
    expected = (predict(model, image).softmax(0) + mirrored.softmax(0)) / 2
    torch.testing.assert_close(predict(model, image, flip=True).exp(), expected)
    assert not torch.allclose(expected, mirrored.softmax(0))


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.9])
@pytest.mark.parametrize("tile", [(16, 16), (7, 40), (64, 20), (1, 50)])
def test_tiles_of_a_constant_network_blend_to_the_constant(
    tile: tuple[int, int], overlap: float
) -> None:
    model = Constant()
    logits = predict(model, random_image(37, 53), tile=tile, overlap=overlap)
    expected = model.logits.detach().view(3, 1, 1).expand(3, 37, 53)
    torch.testing.assert_close(logits, expected)
    assert all(height <= tile[0] and width <= tile[1] for height, width in model.sizes)


def test_a_tile_as_large_as_the_image_is_the_image() -> None:
    model = Constant()
    predict(model, random_image(37, 53), tile=(37, 60))
    assert model.sizes == [(37, 53)]


def test_tiles_overlap_as_much_as_was_asked() -> None:
    # Every tile tells where it is: the network returns its input, which numbers the columns.
    columns = torch.arange(200).expand(3, 100, 200) / 200
    starts = []

    class Recorder(RedGreenBlue):
        def forward(self, images: Tensor) -> Tensor:
            starts.append(round(float(images[0, 0, 0, 0]) * 200))
            return images

    torch.testing.assert_close(predict(Recorder(), columns, tile=(100, 64), overlap=0.25), columns)
    assert starts == [0, 32, 64, 96, 128, 160][: len(starts)]
    assert starts[-1] + 64 >= 200


def test_tiled_prediction_equals_the_whole_where_the_receptive_field_allows() -> None:
    # Depth 3 sees 44 pixels, not quite centered: within 26 of an inner rim a tile is unsure.
    model, image = random_unet(depth=3), random_image(96, 500)
    whole = predict(model, image)
    tiled = predict(model, image, tile=(96, 192), overlap=0.25)
    starts = range(0, 400, 128)
    sure = torch.ones(500, dtype=torch.bool)
    for start in starts:
        for rim in (start, start + 192):
            if 0 < rim < 500:
                sure[max(0, rim - 26) : rim + 26] = False
    assert sure.sum() > 100
    torch.testing.assert_close(tiled[..., sure], whole[..., sure], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(tiled, whole)
    # Blending gives the unsure rim little weight.
    assert (tiled - whole).abs().mean() < 0.05 * whole.std()


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (torch.zeros(1, 3, 8, 8), {}, r"\(3, H, W\) and got \(1, 3, 8, 8\)"),
        (torch.zeros(8, 8, 3), {}, r"got \(8, 8, 3\)"),
        (torch.zeros(3, 8, 8, dtype=torch.int64), {}, "int64"),
        (torch.full((3, 8, 8), 200.0), {}, "reaches 200"),
        (torch.zeros(3, 8, 8), {"size": 0}, "size=0"),
        (torch.zeros(3, 8, 8), {"tile": (0, 8)}, "tile="),
        (torch.zeros(3, 8, 8), {"overlap": 1.0}, "overlap=1.0"),
    ],
)
def test_wrong_arguments(image: Tensor, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        predict(Constant(), image, **options)


def save(path: Path, image: Tensor) -> None:
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)


def test_a_folder_with_a_corrupt_image_is_done_but_for_it(tmp_path: Path) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    image = random_image(20, 31)
    save(source / "good.png", image)
    save(source / "other.JPG", image)
    whole = (source / "good.png").read_bytes()
    (source / "cut.png").write_bytes(whole[: len(whole) // 2])
    (source / "text.jpg").write_text("not an image")
    (source / "notes.txt").write_text("not even meant to be one")

    report = predict_folder(RedGreenBlue(), source, output, PALETTE)

    assert {path.name for path in report.failed} == {"cut.png", "text.jpg"}
    assert "cut.png" in str(report)
    assert sorted(path.name for path in output.iterdir()) == [
        "good_labels.png",
        "good_overlay.png",
        "other_labels.png",
        "other_overlay.png",
    ]
    assert sorted(report.written) == sorted(output.iterdir())
    labels = Image.open(output / "good_labels.png")
    assert labels.mode == "P"
    expected = image.numpy().argmax(axis=0)
    assert np.array_equal(np.array(labels), expected)
    colors = np.array(PALETTE, dtype=np.uint8)[expected]
    assert np.array_equal(np.array(labels.convert("RGB")), colors)
    overlay = np.array(Image.open(output / "good_overlay.png")).astype(int)
    mixed = (colors.astype(int) + image.permute(1, 2, 0).numpy()) / 2
    assert np.abs(overlay - mixed).max() <= 1


def test_photographs_are_turned_as_the_camera_noted(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    photo = Image.fromarray(random_image(20, 30).permute(1, 2, 0).numpy())
    exif = photo.getexif()
    exif[0x0112] = 6  # turn by a quarter
    photo.save(source / "portrait.jpg", exif=exif)
    predict_folder(RedGreenBlue(), source, tmp_path / "out", PALETTE)
    with Image.open(tmp_path / "out" / "portrait_labels.png") as labels:
        assert labels.size == (20, 30)


def test_folders_that_cannot_be_done(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no folder"):
        predict_folder(Constant(), tmp_path / "none", tmp_path / "out", PALETTE)
    with pytest.raises(FileNotFoundError, match=r"No image in.*\.png"):
        predict_folder(Constant(), tmp_path, tmp_path / "out", PALETTE)
    save(tmp_path / "a.png", random_image(4, 4))
    with pytest.raises(ValueError, match="folder of its own"):
        predict_folder(Constant(), tmp_path, tmp_path, PALETTE)
    with pytest.raises(ValueError, match="2 colors and the network 3 classes"):
        predict_folder(Constant(), tmp_path, tmp_path / "out", PALETTE[:2])
    assert list((tmp_path / "out").iterdir()) == []
    save(tmp_path / "a.jpg", random_image(4, 4))
    with pytest.raises(ValueError, match=r"a\.jpg and a\.png"):
        predict_folder(Constant(), tmp_path, tmp_path / "out", PALETTE)


@pytest.mark.parametrize(
    "model",
    [random_unet(depth=2), random_unet(depth=2, upsample="transposed", stem_stride=2)],
    ids=["nearest", "transposed"],
)
def test_the_exported_network_answers_as_the_original_at_any_size(
    model: nn.Module, tmp_path: Path
) -> None:
    path = tmp_path / "network.onnx"
    assert export_onnx(model, path, (33, 48)) < 1e-4
    assert [file.name for file in tmp_path.iterdir()] == ["network.onnx"]
    session = onnxruntime.InferenceSession(str(path))
    for size in ((33, 48), (70, 31)):
        image = random_image(*size)
        (logits,) = session.run(["logits"], {"images": (image[None] / 255).numpy()})
        expected = predict(model, image)
        torch.testing.assert_close(torch.from_numpy(logits[0]), expected, rtol=1e-3, atol=1e-4)


def test_a_wrong_export_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Session:
        def __init__(self, *_args: object, **_kwargs: object) -> None:
            pass

        def run(self, _names: object, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
            return [2 * feeds["images"] + 0.01]

    class Doubled(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return 2 * images

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    path = tmp_path / "network.onnx"
    path.write_text("the earlier export")
    with pytest.raises(ValueError, match=r"differs from the original by 0\.01.*not written"):
        export_onnx(Doubled(), path, (8, 8))
    assert path.read_text() == "the earlier export"
    assert [file.name for file in tmp_path.iterdir()] == ["network.onnx"]
