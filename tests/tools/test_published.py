"""The cards of a published book: with an address on every page and once, without one nowhere."""

import re
import xml.etree.ElementTree as ElementTree

import pytest
from PIL import Image

from tools import articles, published

PAGE = """<html><head><title>x</title></head><body><article class="bd-article"><section id="a"><h1>A "title"</h1>
<p>First words. This chapter takes an hour.</p></section></article></body></html>"""
URL = "https://github.com/Owner/name"


@pytest.fixture
def site(tmp_path):
    for name in ("index", "chapters/01"):
        file = tmp_path / f"{name}.html"
        file.parent.mkdir(exist_ok=True)
        file.write_text(PAGE, encoding="utf-8")
    return tmp_path


def said(page):
    return dict(re.findall(r'<meta property="([^"]+)" content="([^"]*)">', page.read_text(encoding="utf-8")))


def test_every_page_says_what_and_where_it_is(site):
    for _ in range(2):
        published.lay_in(site, URL, articles.of_site(site))
    card = said(site / "chapters" / "01.html")
    assert card["og:url"] == "https://owner.github.io/name/chapters/01.html"
    assert card["og:title"] == "A &quot;title&quot;" and card["og:description"] == "First words."
    assert (site / "index.html").read_text(encoding="utf-8").count("og:title") == 1
    assert Image.open(site / published.CARD).size == (1200, 630)
    assert card["og:image"] == "https://owner.github.io/name/" + published.CARD


def test_the_site_map_names_every_page(site):
    published.lay_in(site, URL, articles.of_site(site))
    places = [
        node.text for node in ElementTree.parse(site / "sitemap.xml").getroot().iter() if node.tag.endswith("loc")
    ]
    assert sorted(places) == [f"https://owner.github.io/name/{name}.html" for name in ("chapters/01", "index")]


@pytest.mark.parametrize("url", ["", "https://example.org/owner/name"])
def test_without_a_known_address_there_is_nothing(site, url):
    published.lay_in(site, URL, articles.of_site(site))
    published.lay_in(site, url, articles.of_site(site))
    assert (site / "index.html").read_text(encoding="utf-8") == PAGE
    assert not (site / "sitemap.xml").exists() and not (site / published.CARD).exists()
