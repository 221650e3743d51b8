"""Make the fonts that the book carries beside its Latin ones, for the screen and for paper.

What the Latin ones lack: Greek, arrows, accents, signs, and the Han characters of the sources, so
that a page shows them on every machine; `characters.css` adds them to the families beside which
they are set. And for paper the Latin ones in two fixed weights, in `print_fonts.css`: Chromium puts
the letters of a variable font into a PDF as drawings, which many readers show badly.
Run from the repository's root, with a folder that holds the unpacked npm packages named below; a
text given after it is covered, too: `python -m book._ext.font_subset FOLDER [TEXT ...]`.
"""

import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont

FONTS = Path("book/_static/vendor/fonts")
LICENSES = Path("book/_static/vendor/licenses")
SCREEN_STYLE = Path("book/_static/characters.css")
PAPER_STYLE = Path("book/_static/print_fonts.css")

# The whole font by the name of the small one: folder of the unpacked npm package, file in it. The
# packages are @expo-google-fonts/..., and @fontsource/noto-sans-math.
PACKAGES = {
    "source-serif-4-signs": ("source-serif-4", "400Regular/SourceSerif4_400Regular.ttf"),
    "source-sans-3-signs": ("source-sans-3", "400Regular/SourceSans3_400Regular.ttf"),
    "jetbrains-mono-signs": ("jetbrains-mono", "400Regular/JetBrainsMono_400Regular.ttf"),
    "noto-sans-math-signs": ("noto-sans-math", "files/noto-sans-math-latin-400-normal.woff2"),
    "noto-serif-sc-book": ("noto-serif-sc", "400Regular/NotoSerifSC_400Regular.ttf"),
    "noto-sans-sc-book": ("noto-sans-sc", "400Regular/NotoSansSC_400Regular.ttf"),
}
# A family's own Latin font, its slopes and weights in fonts.css, and the small fonts that complete
# it; the first that has a sign sets it.
FAMILIES = {
    "Source Serif 4 Variable": (
        "source-serif-4-latin-wght-normal",
        ("normal", "italic"),
        "200 900",
        (
            "source-serif-4-signs",
            "source-sans-3-signs",
            "noto-sans-math-signs",
            "noto-serif-sc-book",
        ),
    ),
    "Source Sans 3 Variable": (
        "source-sans-3-latin-wght-normal",
        ("normal",),
        "200 900",
        ("source-sans-3-signs", "noto-sans-math-signs", "noto-sans-sc-book"),
    ),
    "JetBrains Mono Variable": (
        "jetbrains-mono-latin-wght-normal",
        ("normal",),
        "100 800",
        (
            "jetbrains-mono-signs",
            "source-sans-3-signs",
            "noto-sans-math-signs",
            "noto-sans-sc-book",
        ),
    ),
}
# For paper, each weight of a family and slope: the whole font, as in PACKAGES.
PAPER = {
    ("Source Serif 4 Variable", "normal", 400): PACKAGES["source-serif-4-signs"],
    ("Source Serif 4 Variable", "normal", 600): (
        "source-serif-4",
        "600SemiBold/SourceSerif4_600SemiBold.ttf",
    ),
    ("Source Serif 4 Variable", "italic", 400): (
        "source-serif-4",
        "400Regular_Italic/SourceSerif4_400Regular_Italic.ttf",
    ),
    ("Source Serif 4 Variable", "italic", 600): (
        "source-serif-4",
        "600SemiBold_Italic/SourceSerif4_600SemiBold_Italic.ttf",
    ),
    ("Source Sans 3 Variable", "normal", 400): PACKAGES["source-sans-3-signs"],
    ("Source Sans 3 Variable", "normal", 600): (
        "source-sans-3",
        "600SemiBold/SourceSans3_600SemiBold.ttf",
    ),
    ("JetBrains Mono Variable", "normal", 400): PACKAGES["jetbrains-mono-signs"],
    ("JetBrains Mono Variable", "normal", 600): (
        "jetbrains-mono",
        "600SemiBold/JetBrainsMono_600SemiBold.ttf",
    ),
}
FEATURES = ("kern", "mark", "mkmk", "ccmp", "liga", "tnum", "lnum")
# Accented Latin, Greek, punctuation, super- and subscripts, arrows, mathematics, boxes, marks.
SIGN_RANGES = (
    (0x100, 0x17F), (0x370, 0x3FF), (0x2010, 0x205E), (0x2070, 0x209C), (0x2100, 0x214F),
    (0x2190, 0x22FF), (0x2308, 0x230B), (0x2500, 0x25FF), (0x2605, 0x2612), (0x2713, 0x2718),
)  # fmt: skip
CHINESE_PUNCTUATION = (*range(0x3000, 0x3020), *range(0xFF01, 0xFF5F))
SOURCES = (
    "*.md", "_*.yml", "book/**/*.md", "book/**/*.ipynb", "book/**/*.yml", "book/**/*.bib",
    "chapters/**/*.md", "chapters/**/*.ipynb", "segtut/**/*.py", "segtut/**/*.js",
)  # fmt: skip


def is_han(character: str) -> bool:
    """Whether a character is Chinese, or punctuation that is set as wide as one."""
    return "\u2e80" <= character <= "\u9fff" or "\uff00" <= character <= "\uffef"


def characters(root: Path) -> dict[str, Path]:
    """Every character beyond ASCII that the book's sources hold, with a file that holds it."""
    import json

    found: dict[str, Path] = {}
    for path in sorted(path for pattern in SOURCES for path in root.glob(pattern)):
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".ipynb":
            text = "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])
        for character in set(text):
            if not character.isascii() and character.isprintable():
                found.setdefault(character, path.relative_to(root))
    return found


def covered(name: str) -> set[int]:
    """The code points that a font of the book holds, empty where there is no such font yet."""
    path = FONTS / f"{name}.woff2"
    return set(TTFont(path).getBestCmap()) if path.exists() else set()


def shorten(whole: Path, points: Iterable[int], target: Path) -> None:
    """Write a font with these code points alone, unhinted, as WOFF2."""
    options = subset.Options(hinting=False, layout_features=list(FEATURES))
    options.flavor = "woff2"
    font = subset.load_font(str(whole), options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=list(points))
    subsetter.subset(font)
    subset.save_font(font, str(target), options)
    print(f"wrote {target}, {target.stat().st_size // 1000} kB")


def unicode_range(points: Iterable[int]) -> str:
    """Code points as CSS writes them, neighbors joined."""
    runs: list[list[int]] = []
    for point in sorted(points):
        if runs and point == runs[-1][1] + 1:
            runs[-1][1] = point
        else:
            runs.append([point, point])
    return ", ".join(f"U+{a:X}" if a == b else f"U+{a:X}-{b:X}" for a, b in runs)


def face(family: str, slope: str, weight: str, name: str, points: Iterable[int] = ()) -> str:
    """One rule for a font of the book, for these code points or for all."""
    extent = f"\n  unicode-range: {unicode_range(points)};" if points else ""
    return (
        f'@font-face {{\n  font-family: "{family}"; font-style: {slope}; font-weight: {weight}; '
        f'font-display: swap;\n  src: url(vendor/fonts/{name}.woff2) format("woff2");{extent}\n}}\n'
    )


def small_faces(family: str, slope: str, weight: str) -> Iterator[str]:
    """The rules that complete a family: a browser joins faces of one slope and weight alone."""
    own, _, _, additions = FAMILIES[family]
    done = covered(own)
    for name in additions:
        points = covered(name) - done
        done |= points
        yield face(family, slope, weight, name, points)


def paper_name(file: str) -> str:
    """The name of a font for paper."""
    return f"print-{Path(file).stem.replace('_', '-').lower()}"


def screen_style() -> str:
    """The style sheet that adds the small fonts to the variable ones of `fonts.css`."""
    rules = ["/* Written by book/_ext/font_subset.py: what the fonts of fonts.css lack. */\n"]
    for family, (_, slopes, weights, _) in FAMILIES.items():
        for slope in slopes:
            rules += small_faces(family, slope, weights)
    return "".join(rules)


def paper_style() -> str:
    """The style sheet that gives paper the same families, in fixed weights."""
    rules = [
        "/* Written by book/_ext/font_subset.py: the book's fonts in fixed weights, for paper. */\n"
    ]
    for (family, slope, weight), (_, file) in PAPER.items():
        rules += face(family, slope, str(weight), paper_name(file))
        rules += small_faces(family, slope, str(weight))
    return "".join(rules)


def main(folder: str, *texts: str) -> None:
    """Write the fonts, their licenses and the style sheets."""
    packages = Path(folder)
    used = set(characters(Path.cwd()))
    used |= {character for text in texts for character in Path(text).read_text("utf-8")}
    han = {ord(character) for character in used if is_han(character)} | set(CHINESE_PUNCTUATION)
    signs = {point for low, high in SIGN_RANGES for point in range(low, high + 1)}
    signs |= {ord(character) for character in used if not character.isascii()} - han
    for name, (package, file) in PACKAGES.items():
        chinese = "-sc-" in name
        # A character that is in the font stays: it never loses one to a sentence that was cut.
        wanted = han if chinese else signs - covered(f"{package}-latin-wght-normal")
        shorten(packages / package / file, wanted | covered(name), FONTS / f"{name}.woff2")
        license_text = LICENSES / f"{package}.LICENSE.txt"
        if not license_text.exists():
            (found,) = sorted((packages / package).glob("LICENSE*"))[-1:]
            shutil.copy(found, license_text)
    for (family, _, _), (package, file) in PAPER.items():
        target = FONTS / f"{paper_name(file)}.woff2"
        shorten(packages / package / file, covered(FAMILIES[family][0]), target)
    SCREEN_STYLE.write_text(screen_style(), encoding="utf-8")
    PAPER_STYLE.write_text(paper_style(), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
