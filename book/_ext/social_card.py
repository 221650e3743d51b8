"""Make the picture that shared links show, out of the cover's picture and the book's fonts.

Run from the repository's root: `python -m book._ext.social_card`.
"""

import shutil
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from book._ext.shared_links import CARD, CARD_SIZE

STATIC = Path("book/_static")
PICTURE = Path("book") / CARD
HEAVIEST = 300_000  # bytes; some services show no heavier picture

CARD_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<base href="{folder}/">
<link rel="stylesheet" href="fonts.css">
<style>
body { margin: 0; padding: 60px; background: #fffefb; color: #26272e; }
h1 { font: 680 80px/1.05 "Source Sans 3 Variable"; letter-spacing: -0.02em; margin: 0; }
p { font: 34px/1.3 "Source Serif 4 Variable"; color: #5b5c68; margin: 16px 0 0; }
img { position: absolute; bottom: 54px; width: 1080px; }
</style>
</head>
<body>
<h1>Image segmentation<br>with deep learning</h1>
<p>A tutorial book with PyTorch code and figures that move</p>
<img src="cover_strip.png" alt="">
</body>
</html>
"""


def main() -> None:
    """Write the picture; raises FileNotFoundError without a browser."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        raise FileNotFoundError("neither chromium nor google-chrome is installed")
    width, height = CARD_SIZE
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme="light")
        page.goto((STATIC / "style.css").resolve().as_uri())  # so that the card's links are local
        page.set_content(
            CARD_PAGE.replace("<head>", f'<head><base href="{STATIC.resolve().as_uri()}/">')
        )
        page.evaluate("document.fonts.ready")
        shot = Image.open(BytesIO(page.screenshot()))
        browser.close()
    shot.convert("RGB").quantize(256).save(PICTURE, optimize=True)
    if PICTURE.stat().st_size > HEAVIEST:
        raise ValueError(f"{PICTURE} has {PICTURE.stat().st_size} bytes, expected {HEAVIEST}")
    print(f"wrote {PICTURE}, {PICTURE.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
