"""Make the cover's picture: a drawn street, its label map, and what a small network predicts.

It trains the book's U-Net for a minute or two. Run from the repository's root:
`python -m book._ext.cover_strip`.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from segtut.data import InMemory, Streets, colorize, draw_street, standard_augmentation
from segtut.data.palette import STREETS_PALETTE
from segtut.inference import predict
from segtut.losses import build_loss, class_pixel_counts, median_frequency_weights
from segtut.models import UNet
from segtut.training import Plan, fit

PICTURE = Path("book/_static/cover_strip.png")
PANEL = (360, 480)  # pixels
SHORTER = 120  # what the network is shown, near the size that it was trained on
GAP = 16  # transparent pixels between two panels
STREET = "a street for the cover"


def panels(steps: int) -> list[np.ndarray]:
    """The street, its label map and the prediction, uint8 (H, W, 3) each."""
    torch.manual_seed(0)
    model = UNet(num_classes=8)
    streets = InMemory(Streets("train", n=400))
    weight = median_frequency_weights(class_pixel_counts(streets)).sqrt()
    history = fit(
        model,
        streets,
        Plan(steps=steps, learning_rate=6e-3, average=0.97),
        loss=build_loss("ce+lovasz", 8, weight=weight),
        transform=standard_augmentation((96, 128), (0.8, 1.3)),
    )
    if history.interrupted:
        raise SystemExit(f"stopped after {len(history.loss)} of {steps} steps: no picture written")
    image, target = draw_street(STREET, PANEL)
    predicted = predict(model, image, size=SHORTER).argmax(dim=0)
    painted = [colorize(labels.cpu().numpy(), STREETS_PALETTE) for labels in (target, predicted)]
    return [image.permute(1, 2, 0).numpy(), *painted]


def main(steps: int = 500) -> None:
    """Write the picture."""
    height, width = PANEL
    strip = Image.new("RGBA", (3 * width + 2 * GAP, height))
    for place, panel in enumerate(panels(steps)):
        strip.paste(Image.fromarray(panel), (place * (width + GAP), 0))
    strip.quantize(256, method=Image.Quantize.FASTOCTREE).save(PICTURE, optimize=True)
    print(f"wrote {PICTURE}, {PICTURE.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
