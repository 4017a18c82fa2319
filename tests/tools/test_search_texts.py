"""What the search page can show: every section once, formulas readable, nothing of figures and outputs."""

import json
import re

import pytest

from tools import articles, search_texts

PAGE = r"""<html><body><nav>not this</nav><article class="bd-article"><section id="top">
<h1>A title<a class="headerlink">#</a></h1><p>First words, with <span class="math">\(\lambda_W\ge\tfrac12\)</span>.</p>
<div class="cell_output">printed</div>
<section id="part"><h2>A part</h2><div class="math">\[x\]</div><p>More words.</p><pre>a.<span>b</span>(1)</pre>
<div class="proof admonition" id="thm-x"><p class="admonition-title">Theorem 1</p><section id="proof-content">
<p>It holds.</p></section></div></section></section>
<dl class="glossary"><dt id="term-a">a term</dt><dd><p>Its meaning.</p></dd></dl></article></body></html>"""


@pytest.fixture
def site(tmp_path):
    (tmp_path / "one.html").write_text(PAGE, encoding="utf-8")
    index = '<script src="searchindex.js?v=1"></script>\n<script>after()</script>'
    (tmp_path / "search.html").write_text(index, encoding="utf-8")
    return tmp_path


def texts(site):
    return {name: article.sections for name, article in articles.of_site(site).items()}


def test_every_section_theorem_and_term_has_its_own_text(site):
    assert texts(site) == {
        "one": [
            ("top", "A title", "First words, with λ_W≥1/2."),
            ("part", "A part", "More words. a.b(1)"),
            ("thm-x", "Theorem 1", "It holds."),
            ("term-a", "a term", "Its meaning."),
        ]
    }


def test_only_the_search_page_loads_them_and_only_once(site):
    assert search_texts.lay_in(site, texts(site))
    once = (site / "search.html").read_text(encoding="utf-8")
    assert not search_texts.lay_in(site, texts(site))
    assert once == (site / "search.html").read_text(encoding="utf-8")
    assert re.findall(r'src="([^"]+)"', once) == ["searchindex.js?v=1", "searchtexts.js"]
    script = (site / "searchtexts.js").read_text(encoding="utf-8")
    assert json.loads(script[script.rindex('({"one"') + 1 : script.rindex(")")])["one"][1][1] == "A part"


def test_without_a_search_page_nothing_is_written(tmp_path):
    search_texts.lay_in(tmp_path, {})
    assert list(tmp_path.iterdir()) == []
