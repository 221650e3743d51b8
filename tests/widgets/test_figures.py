"""What every figure promises, tried on each: light, accessible, readable everywhere."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Error as PlaywrightError

from segtut.data.palette import STREETS_PALETTE
from segtut.widgets import AugmentationExplorer, Figure, MetricsPlayground, NetworkGeometry
from segtut.widgets.base import color_table, state_weight

# All figures are built once, and one page opens them all.
pytestmark = pytest.mark.xdist_group("figures")

PLACE = "node => node.closest('main > div').id"
TOO_WIDE = """() => [...document.querySelectorAll("main > div")]
    .filter((place) => place.scrollWidth > place.clientWidth).map((place) => place.id)"""


def test_state_and_picture_are_light(figure: Figure) -> None:
    assert state_weight(figure) < 300_000
    assert len(figure.static_html()) < 150_000


def test_static_picture_is_png_with_words(figure: Figure) -> None:
    with Image.open(io.BytesIO(figure.static_picture())) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 150
    alternative = re.search(r'<img alt="([^"]+)"', figure.static_html())
    assert alternative is not None
    assert len(alternative[1]) > 40


def test_display_gives_the_figure_then_its_picture(
    figure: Figure, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[object] = []
    monkeypatch.setattr("IPython.display.display", lambda data, **_: shown.append(data))
    figure._ipython_display_()
    widget, static = shown
    view = widget["application/vnd.jupyter.widget-view+json"]
    assert view["model_id"] == figure.model_id
    assert 'class="segtut-static"' in static.data


def test_run_with_the_scripts_of_the_book(figures: dict[str, Figure], open_figure) -> None:
    page = open_figure(figures, embedded=True)
    faults = {}
    for name in figures:
        status = page.locator(f"#{name}").get_by_role("status").filter(has_text=re.compile(r"\w"))
        try:
            status.wait_for(timeout=5_000 if faults else 30_000)
            if page.locator(f"#{name} .segtut-figure").bounding_box()["height"] <= 300:
                faults[name] = "lower than 300 pixels"
        except PlaywrightError as error:
            faults[name] = error.message
    assert faults == {}


def test_readable_by_axe_and_narrow(figures: dict[str, Figure], open_figure) -> None:
    page = open_figure(figures, width=390)
    for name in figures:
        page.locator(f"#{name} .segtut-figure").wait_for()
    faults = []
    for theme in ("light", "dark"):
        page.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
        for item in Axe().run(page, context=".segtut-figure").response["violations"]:
            for node in item["nodes"]:
                place = page.locator(node["target"][0]).evaluate(PLACE)
                faults.append((place, theme, item["id"], node["html"]))
    faults += [(place, "wider than the page") for place in page.evaluate(TOO_WIDE)]
    assert not faults, "\n".join(map(str, faults))
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_card_follows_every_kind_of_theme(open_figure) -> None:
    page = open_figure(MetricsPlayground(), color_scheme="dark")
    card = page.locator(".segtut-figure")
    color = "node => getComputedStyle(node).backgroundColor"
    assert card.evaluate(color) == "rgb(251, 250, 246)"  # the page's own choice goes first
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    assert card.evaluate(color) == "rgb(29, 30, 36)"
    page.evaluate("delete document.documentElement.dataset.theme")
    assert card.evaluate(color) == "rgb(29, 30, 36)"
    page.evaluate("document.body.dataset.jpThemeLight = 'true'")
    assert card.evaluate(color) == "rgb(251, 250, 246)"
    page.evaluate("document.body.dataset.jpThemeLight = 'false'")
    assert card.evaluate(color) == "rgb(29, 30, 36)"


def test_picture_shows_on_paper_only(open_figure) -> None:
    page = open_figure(MetricsPlayground(), static=True)
    picture, live = page.locator(".segtut-static"), page.locator(".segtut-figure")
    assert not picture.is_visible()
    assert live.is_visible()
    page.emulate_media(media="print")
    assert picture.is_visible()
    assert not live.is_visible()


def test_picture_shows_without_scripts(open_figure) -> None:
    page = open_figure(MetricsPlayground(), static=True, java_script_enabled=False)
    assert page.locator(".segtut-static").is_visible()


def test_color_table_has_a_loud_color_for_no_class() -> None:
    table = np.frombuffer(color_table(STREETS_PALETTE), np.uint8).reshape(256, 3)
    assert tuple(table[3]) == STREETS_PALETTE[3]
    assert tuple(table[8]) == tuple(table[254]) not in STREETS_PALETTE
    assert tuple(table[255]) not in (tuple(table[8]), *STREETS_PALETTE)


def test_too_heavy_is_refused(street, colors) -> None:
    with pytest.raises(ValueError, match=r"AugmentationExplorer would put .* kB into the page"):
        AugmentationExplorer(*street(288, 384), **colors)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda a, b, c: AugmentationExplorer(a, b[:, 1:], **c), "one size"),
        (lambda a, b, c: AugmentationExplorer(a / 255, b, **c), "float32"),
        (lambda a, b, c: AugmentationExplorer(a, b, **{**c, "classes": "ab"}), "2 classes and 8"),
        (lambda a, b, c: MetricsPlayground(b[:8, :8] * 0 + 3), "the label 3, expected 0 to 2"),
        (lambda a, b, c: MetricsPlayground(torch.zeros(80, 5, dtype=torch.int64)), "64 cells"),
        (lambda a, b, c: NetworkGeometry(a, **c, depth=9), "depth of 1 to 6"),
    ],
)
def test_what_does_not_fit_is_refused(
    make: Callable[..., Figure], text: str, street, colors
) -> None:
    with pytest.raises(ValueError, match=text):
        make(*street(), colors)
