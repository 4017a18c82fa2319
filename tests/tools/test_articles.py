"""What is read of the built pages is kept as long as an article, and the code that reads it, are the same."""

import json

import pytest

from tools import articles
from tools.cache import Remembered

PAGE = """<html><body><article class="bd-article"><section id="a"><h1>A title</h1><p>{}</p>
<pre><span class="n">of</span> <span class="nn">code</span></pre>
<script>const a = "<p>not this</p>";</script></section></article>{}</body></html>"""


@pytest.fixture
def site(tmp_path):
    site = tmp_path / "html"
    site.mkdir()
    for name in ("one", "two"):
        (site / f"{name}.html").write_text(PAGE.format(f"Words of {name}.", ""), encoding="utf-8")
    (site / "bare.html").write_text("<html><body><p>No article.</p></body></html>", encoding="utf-8")
    return site


@pytest.fixture
def read(monkeypatch):
    """The articles that were really read, by what is in them."""
    seen, real = [], articles.read
    monkeypatch.setattr(articles, "read", lambda html: (seen.append(html), real(html))[1])
    return seen


def build(site):
    remembered = Remembered(site.parent / "remembered.json")
    found = articles.of_site(site, remembered)
    remembered.save()
    return {name: [tuple(section) for section in article.sections] for name, article in found.items()}


def test_only_an_article_that_changed_is_read_again(site, read):
    first = build(site)
    assert first == {name: [("a", "A title", f"Words of {name}. of code")] for name in ("one", "two")}
    assert len(read) == 2 and build(site) == first and len(read) == 2
    # Around the article everything may change.
    (site / "one.html").write_text(PAGE.format("Words of one.", "<footer>new</footer>"), encoding="utf-8")
    assert build(site) == first and len(read) == 2
    (site / "two.html").write_text(PAGE.format("Other words.", ""), encoding="utf-8")
    assert build(site) == first | {"two": [("a", "A title", "Other words. of code")]} and len(read) == 3


def test_another_way_of_reading_reads_everything_again(site, read, monkeypatch):
    build(site)
    monkeypatch.setattr(articles, "RECIPE", articles.RECIPE + "# an edit")
    build(site)
    assert len(read) == 4


def test_what_is_no_longer_there_is_forgotten(site):
    build(site)
    (site / "two.html").unlink()
    build(site)
    assert len(json.loads((site.parent / "remembered.json").read_text(encoding="utf-8"))) == 1


@pytest.mark.parametrize("damage", ["", "[1]", '{"a": '])
def test_a_damaged_file_is_made_again(site, read, damage):
    first = build(site)
    (site.parent / "remembered.json").write_text(damage, encoding="utf-8")
    assert build(site) == first and len(read) == 4
    assert build(site) == first and len(read) == 4
