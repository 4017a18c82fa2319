"""What references open: one text for every term, theorem and equation that is referred to, without links or names."""

import json

from tools import articles, cards

CHAPTER = r"""<article><p>See <a class="reference internal" href="../appendix/words.html#term-a">a</a>,
<a class="reference internal" href="#thm-x">Theorem 1</a>, <a class="reference internal" href="#eq-1">(1)</a>.</p>
<div class="proof theorem admonition" id="thm-x"><p class="admonition-title"><span>Theorem 1</span></p>
<section id="proof-content"><p>It <a class="reference" href="#thm-y">holds</a>.</p></section></div>
<div class="proof theorem admonition" id="thm-y"><p class="admonition-title">Theorem 2</p><p>Unused.</p></div>
<div class="math notranslate" id="eq-1"><span class="eqno">(1)<a class="headerlink">#</a></span>\[x&lt;1\]</div>
</article>"""
WORDS = """<article><dl class="glossary"><dt id="term-a">a term<a class="headerlink" href="#term-a">#</a></dt>
<dd><p>Its <em id="m">meaning</em>.</p></dd></dl></article>"""


def test_what_is_referred_to_is_written_once_and_bare(tmp_path):
    pages = {"chapters/1": articles.read(CHAPTER), "appendix/words": articles.read(WORDS)}
    cards.lay_in(tmp_path, pages)
    script = (tmp_path / cards.FILE).read_text(encoding="utf-8")
    assert json.loads(script.removeprefix("ncCards(").removesuffix(");\n")) == {
        "chapters/1.html#thm-x": ["<span>Theorem 1</span>", "<p>It holds.</p>"],
        "chapters/1.html#eq-1": ["Equation (1)", r'<div class="math notranslate nohighlight">\[x&lt;1\]</div>'],
        "appendix/words.html#term-a": ["a term", "<p>Its <em>meaning</em>.</p>"],
    }
