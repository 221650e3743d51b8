"""What a search engine and a shared link show of the book."""

from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
from bs4 import BeautifulSoup
from docutils import nodes
from PIL import Image
from sphinx_external_toc.parsing import parse_toc_yaml

from book._ext import shared_links, social_card
from tests.book.conftest import ROOT

PAGES = list(parse_toc_yaml(ROOT / "_toc.yml"))
ADDRESS = "https://example.org/book/"
on_built_pages = pytest.mark.xdist_group("book")


def metadata(html: str) -> dict[str, str]:
    """Every named content in the head of a page."""
    tags = BeautifulSoup(html, "html.parser").find_all("meta", content=True)
    return {tag.get("name") or tag.get("property"): tag["content"] for tag in tags}


def test_every_page_has_a_description_of_its_own():
    texts = shared_links.descriptions(ROOT)
    assert [name for name in PAGES if name not in texts] == []
    assert {k: len(text) for k, text in texts.items() if not 70 <= len(text) <= 160} == {}
    assert len(set(texts.values())) == len(texts)


@on_built_pages
@pytest.mark.parametrize("name", ["book/cover", "book/glossary", "chapters/4_practice/2_model"])
def test_built_page_says_what_it_is_about(site, name):
    found = metadata((site / f"{name}.html").read_text("utf-8"))
    assert found["description"] == found["og:description"] == shared_links.descriptions(ROOT)[name]
    assert found["og:site_name"] == "Image segmentation with deep learning"
    if name.startswith("chapters"):
        assert (found["og:title"], found["og:type"]) == ("The model", "article")


@on_built_pages
def test_a_book_without_an_address_claims_none(small_book):
    page = (small_book / "book" / "glossary.html").read_text("utf-8")
    assert {"og:url", "og:image"} & set(metadata(page)) == set()
    assert 'rel="canonical"' not in page
    assert not (small_book / "sitemap.xml").exists()


@pytest.fixture
def application(tmp_path):
    """What the extension reads of Sphinx, for a book of two pages that knows its address."""
    titles = {"book/cover": "Cover", "chapters/4_practice/2_model": 'The "model" & its size'}
    return SimpleNamespace(
        config=SimpleNamespace(html_baseurl=ADDRESS, html_title="A book", root_doc="book/cover"),
        builder=SimpleNamespace(name="html", get_target_uri=lambda name: f"{name}.html"),
        env=SimpleNamespace(
            found_docs=set(titles),
            titles={name: nodes.title("", text) for name, text in titles.items()},
        ),
        srcdir=ROOT,
        outdir=tmp_path,
    )


def tags_of(application: SimpleNamespace, name: str) -> dict[str, str]:
    context = {"metatags": ""}
    shared_links.add_tags(application, name, "page.html", context, None)
    return metadata(context["metatags"])


def test_with_an_address_a_page_names_itself_and_its_picture(application):
    found = tags_of(application, "chapters/4_practice/2_model")
    assert found["og:url"] == f"{ADDRESS}chapters/4_practice/2_model.html"
    assert found["og:title"] == 'The "model" & its size'
    assert found["og:image"] == f"{ADDRESS}_static/social_card.png"
    assert found["twitter:card"] == "summary_large_image"
    assert tags_of(application, "book/cover")["og:type"] == "website"
    assert tags_of(application, "search") == {}


def test_a_description_written_in_the_page_stays_alone(application):
    context = {"metatags": '<meta content="Own." name="description" />'}
    shared_links.add_tags(application, "book/cover", "page.html", context, None)
    assert context["metatags"].count('name="description"') == 1


def test_sitemap_lists_every_page(application):
    shared_links.write_sitemap(application, None)
    tree = ElementTree.parse(application.outdir / "sitemap.xml")
    assert [element.text for element in tree.iter() if element.tag.endswith("loc")] == [
        f"{ADDRESS}book/cover.html",
        f"{ADDRESS}chapters/4_practice/2_model.html",
    ]


@pytest.mark.parametrize(
    ("variable", "setting", "expected"),
    [
        (None, "", ""),
        (None, "https://example.org/book", ADDRESS),
        ("https://example.org/book/", "https://other.org", ADDRESS),
        ("", "https://other.org", ""),
    ],
)
def test_variable_goes_before_the_setting(monkeypatch, variable, setting, expected):
    monkeypatch.delenv("BOOK_URL", raising=False)
    if variable is not None:
        monkeypatch.setenv("BOOK_URL", variable)
    config = SimpleNamespace(html_baseurl=setting)
    shared_links.take_address(None, config)
    assert config.html_baseurl == expected


def test_what_is_no_address_is_refused(monkeypatch):
    monkeypatch.setenv("BOOK_URL", "example.org")
    with pytest.raises(ValueError, match=r"'example\.org', expected https"):
        shared_links.take_address(None, SimpleNamespace(html_baseurl=""))


def test_social_card_is_of_the_expected_size_and_light():
    path = ROOT / social_card.PICTURE
    with Image.open(path) as card:
        assert card.size == shared_links.CARD_SIZE
    assert path.stat().st_size < social_card.HEAVIEST
    assert Path(shared_links.CARD).name == path.name
