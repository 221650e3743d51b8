"""Make the README's picture of the book out of the built cover page.

Run after `make book`, from the repository's root: `python -m book._ext.screenshot`.
"""

import shutil
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

COVER = Path("_build/html/book/cover.html")
PICTURE = Path("book/_static/readme_cover.png")
SIZE = {"width": 1280, "height": 860}


def main() -> None:
    """Write the picture; raises FileNotFoundError where the book or the browser is missing."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None or not COVER.exists():
        raise FileNotFoundError(f"{COVER} or Chromium is missing: run make book, install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        page.goto(COVER.resolve().as_uri())
        page.wait_for_load_state("networkidle")
        shot = Image.open(BytesIO(page.screenshot()))
        browser.close()
    # 256 colors keep it small enough to commit.
    shot.convert("RGB").quantize(256).save(PICTURE, optimize=True)
    print(f"wrote {PICTURE}, {PICTURE.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
