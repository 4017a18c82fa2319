"""What search and cards read of the built pages: sections, cards and references of every article.

Reading all of them takes longer than writing one page. So what an article holds is kept from build to build.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bs4 import BeautifulSoup

from tools import cards, search_texts
from tools.cache import Remembered

INSIDE = re.compile(r'<article class="bd-article".*</article>', re.S)
# What neither of them shows, left out before the slow part: scripts with a figure's data, colours of code.
UNREAD = re.compile(r"<(script|style|svg)\b.*?</\1\s*>", re.S)
COLOURS = re.compile(r'<span class="[a-z]\w?">([^<]*)</span>')
RECIPE = "".join(Path(str(of)).read_text(encoding="utf-8") for of in (__file__, cards.__file__, search_texts.__file__))


@dataclass(frozen=True)
class Article:
    """What was read of one page."""

    sections: list[Sequence[str]]  # identifier, heading, text
    cards: list[Sequence[str]]  # identifier, heading, HTML
    references: list[str]  # links to places of this book, as the page has them


def read(html: str) -> Article:
    """Return what an article holds."""
    article = BeautifulSoup(COLOURS.sub(r"\1", UNREAD.sub("", html)), "html.parser")
    found, links = list(cards.cards(article)), cards.references(article)
    return Article(list(search_texts.sections(article))[::-1], found, links)  # the sections last: they use it up


def of_site(site: Path, remembered: Remembered | None = None) -> dict[str, Article]:
    """Return every article by the name that the index has for its page."""
    kept, found = remembered or Remembered(None), {}
    for page in sorted(site.rglob("*.html")):
        name = page.relative_to(site)
        if {"_static", "_sources"} & set(name.parts):
            continue
        if (inside := INSIDE.search(page.read_text(encoding="utf-8"))) is not None:
            values = kept.get(RECIPE + inside[0], lambda html=inside[0]: asdict(read(html)))
            found[name.with_suffix("").as_posix()] = Article(**values)
    return found
