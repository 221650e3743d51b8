"""Print the one-page build of the book with Chromium: `make pdf`.

The page numbers of contents, solutions and index come from a first printing and stand in the next.
What would be wider than the page is set smaller; if something still is, nothing is written.
Run from the repository's root: `python -m book._ext.pdf [PAGE [PDF]]`.
"""

import shutil
import sys
from io import BytesIO
from pathlib import Path

import pikepdf
from playwright.sync_api import Page, sync_playwright

PAGE = Path("_build/singlehtml/index.html")
TARGET = Path("_build/image-segmentation.pdf")
COLUMN = 658  # CSS pixels: A4 less the margins of print.css
MOST_PRINTINGS = 4
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
ABOUT = {
    "/Author": "The segtut authors",
    "/Subject": "A tutorial book on image segmentation, with the PyTorch code of its chapters",
    "/Keywords": "image segmentation, semantic segmentation, deep learning, PyTorch, tutorial",
}

# Sets what is wider than its column smaller; names what is still too wide, or holds no picture.
FIT = """
async () => {
  await window.MathJax?.startup?.promise;
  await document.fonts.ready;
  // In a PDF the picture alone is a figure, since it alone has a text that stands for it.
  for (const figure of document.querySelectorAll("figure")) figure.setAttribute("role", "group");
  const pictures = [...document.querySelectorAll("main img")];
  const faults = [];
  for (const picture of pictures) {
    await picture.decode().catch(() => faults.push(`no picture: ${picture.src.slice(0, 120)}`));
  }
  const main = document.querySelector("main");
  const wide = "table, mjx-container, pre, .sd-card, .text_html > *, svg, iframe";
  for (const box of main.querySelectorAll(wide)) {
    const room = box.parentElement.clientWidth || main.clientWidth;
    const width = Math.max(box.scrollWidth, box.getBoundingClientRect().width);
    if (box.getClientRects().length && width > room + 1) {
      box.style.zoom = Math.max(0.4, (room / width) * 0.99);
    }
  }
  const edge = main.getBoundingClientRect().right;
  for (const box of main.querySelectorAll("*")) {
    if (box.closest("mjx-container > *, script, style")) continue;
    const beyond = box.getBoundingClientRect().right > edge + 2;
    const hides = getComputedStyle(box).overflowX !== "visible";
    const cut = hides && box.scrollWidth > box.clientWidth + 1;
    if (box.getClientRects().length && (beyond || cut)) {
      const start = box.textContent.trim().slice(0, 80);
      faults.push(`too wide: <${box.localName} class="${box.className}"> ${start}`);
    }
  }
  return faults;
}
"""

NUMBER = """
(pages) => {
  for (const link of document.querySelectorAll("a.page-of, a.page-only")) {
    const target = decodeURIComponent(link.hash.slice(1));
    link.dataset.page = pages[target] ?? "";
  }
  for (const paragraph of document.querySelectorAll(".index-entries p")) {
    // In their order, and a page once, however often the term stands on it.
    const links = [...paragraph.querySelectorAll("a")];
    links.sort((one, other) => one.dataset.page - other.dataset.page);
    links.forEach((link, i) => {
      link.classList.toggle("repeated", i > 0 && link.dataset.page === links[i - 1].dataset.page);
      paragraph.append(link);
    });
  }
}
"""

HEADINGS = """
() => [...document.querySelectorAll("main :is(h1, h2, h3, h4, h5, h6)")]
  .map((heading) => heading.textContent.replace(/\\s+/g, " ").trim())
"""


def page_of_anchors(pdf: pikepdf.Pdf) -> dict[str, int]:
    """The page, counted from 1, of every anchor that a link in the document leads to."""
    places = {page.objgen: number for number, page in enumerate(pdf.pages, start=1)}
    return {
        str(name).removeprefix("/"): places[target[0].objgen]
        for name, target in pdf.Root.get("/Dests", {}).items()
    }


def name_bookmarks(pdf: pikepdf.Pdf, headings: list[str]) -> None:
    """Give the bookmarks the texts of the headings, in their order.

    Chromium names a bookmark twice over where its heading stands at a page's top.
    """
    with pdf.open_outline(max_depth=6) as outline:
        waiting = list(outline.root)
        found = []
        while waiting:
            found.append(item := waiting.pop(0))
            waiting[:0] = item.children
        for item, heading in zip(found, headings, strict=True):
            if item.title[:1] != heading[:1]:
                raise ValueError(f"the bookmark {item.title!r} stands for the heading {heading!r}")
            item.title = heading


def printed(page: Page) -> bytes:
    """The page as a PDF with bookmarks and tags."""
    return page.pdf(prefer_css_page_size=True, print_background=True, outline=True, tagged=True)


def settle(page: Page) -> bytes:
    """The PDF whose page numbers are right; raises ValueError where they never are."""
    known: dict[str, int] = {}
    for _ in range(MOST_PRINTINGS):
        data = printed(page)
        with pikepdf.open(BytesIO(data)) as pdf:
            found = page_of_anchors(pdf)
        if found == known:
            return data
        known = found
        page.evaluate(NUMBER, known)
    raise ValueError(f"page numbers still changed at printing {MOST_PRINTINGS}")


def print_book(source: Path, program: str) -> tuple[bytes, list[str]]:
    """The PDF of a one-page build, and its headings.

    Raises ValueError where something does not fit on paper.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": COLUMN, "height": 1000}, color_scheme="light")
        page.set_default_timeout(300_000)
        page.route("http*://**", lambda route: route.abort())
        page.emulate_media(media="print")
        page.goto(source.resolve().as_uri(), wait_until="load")
        if faults := page.evaluate(FIT):
            raise ValueError("the printed book would be damaged:\n" + "\n".join(faults[:20]))
        data, headings = settle(page), page.evaluate(HEADINGS)
        browser.close()
    return data, headings


def finish(data: bytes, headings: list[str], target: Path) -> int:
    """Write the PDF with what it is about; its number of pages."""
    with pikepdf.open(BytesIO(data)) as pdf:
        name_bookmarks(pdf, headings)
        for name, value in ABOUT.items():
            pdf.docinfo[name] = value
        with pdf.open_metadata() as metadata:
            metadata.load_from_docinfo(pdf.docinfo)
        pdf.Root.ViewerPreferences = pikepdf.Dictionary(DisplayDocTitle=True)
        pdf.Root.PageMode = pikepdf.Name.UseOutlines
        pdf.save(target, object_stream_mode=pikepdf.ObjectStreamMode.generate)
        return len(pdf.pages)


def main(source: Path = PAGE, target: Path = TARGET) -> None:
    """Print; raises FileNotFoundError where the page or the browser is missing."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None or not source.exists():
        raise FileNotFoundError(f"{source} or Chromium is missing: run make pdf, install chromium")
    pages = finish(*print_book(source, program), target)
    print(f"The book is printed: {target}, {pages} pages, {target.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
