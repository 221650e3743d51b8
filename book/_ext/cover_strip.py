"""Make the cover's picture: a drawn street, its label map, and what a small network predicts.

The network is that of the record `streets_unet_muon_seed0`, which says how it was trained.
Run that command, then this one from the repository's root:
`python -m book._ext.cover_strip runs/streets_unet_muon_seed0/model.safetensors`.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from segtut.checkpoints import load_model
from segtut.data import colorize, draw_street
from segtut.data.palette import STREETS_PALETTE
from segtut.inference import predict

PICTURE = Path("book/_static/cover_strip.png")
PANEL = (360, 480)  # pixels
SHORTER = 120  # what the network is shown, near the size that it was trained on
GAP = 16  # transparent pixels between two panels
STREET = "cover 14"


def panels(model_file: str) -> list[np.ndarray]:
    """The street, its label map and the prediction, uint8 (H, W, 3) each."""
    model, _ = load_model(model_file)
    image, target = draw_street(STREET, PANEL)
    predicted = predict(model, image, size=SHORTER, flip=True).argmax(dim=0)
    painted = [colorize(labels.cpu().numpy(), STREETS_PALETTE) for labels in (target, predicted)]
    return [image.permute(1, 2, 0).numpy(), *painted]


def main(model_file: str) -> None:
    """Write the picture."""
    height, width = PANEL
    strip = Image.new("RGBA", (3 * width + 2 * GAP, height))
    for place, panel in enumerate(panels(model_file)):
        strip.paste(Image.fromarray(panel), (place * (width + GAP), 0))
    strip.quantize(256, method=Image.Quantize.FASTOCTREE).save(PICTURE, optimize=True)
    print(f"wrote {PICTURE}, {PICTURE.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main(*sys.argv[1:])
