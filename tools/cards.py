"""Lay the texts that references open: a term's definition, a theorem's statement, a numbered equation.

A page may not fetch another from the disk. So all of them, from every page, are written into one file, which
``_static/cards.js`` loads as a script when the first reference is pointed at.
"""

from __future__ import annotations

import copy
import json
import posixpath
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bs4 import Tag

from tools.cache import write_whole

if TYPE_CHECKING:
    from tools.articles import Article

FILE = "cardtexts.js"
TARGETS = "dl.glossary > dt[id], div.proof[id], div.math[id]"
WRAPPERS = "a, section"  # a card holds no links: the reference itself leads on


def bare(node: Tag) -> str:
    """Return the inside of a node without links, names, or signs that belong to its page."""
    for extra in node.select("a.headerlink, .cell, img, script, style"):
        extra.decompose()
    for wrapper in node.select(WRAPPERS):
        wrapper.unwrap()
    for named in node.select("[id]"):
        del named["id"]
    return node.decode_contents().strip()


def cards(article: Tag) -> Iterator[tuple[str, str, str]]:
    """Yield the identifier, the heading and the text of everything in an article that a card can show, as HTML."""
    for target in article.select(TARGETS):
        node = copy.copy(target)
        if node.name == "dt":
            meaning = target.find_next_sibling("dd")
            if meaning is not None:
                yield str(target["id"]), bare(node), bare(copy.copy(meaning))
        elif "proof" in node["class"]:
            heading = node.select_one(".admonition-title")
            if heading is not None:
                heading.extract()
                yield str(target["id"]), bare(heading), bare(node)
        else:
            number = node.select_one(".eqno")
            if number is not None:
                number.extract()
                formula = f'<div class="math notranslate nohighlight">{bare(node)}</div>'
                yield str(target["id"]), f"Equation {bare(number)}", formula


def references(article: Tag) -> list[str]:
    """Return the links of an article to places of this book, as the page has them."""
    return [str(link["href"]) for link in article.select("a.reference.internal[href*='#']")]


def lay_in(site: Path, articles: Mapping[str, Article]) -> None:
    """Write the cards that some page of ``site`` refers to."""
    wanted = set()
    for name, article in articles.items():
        for link in article.references:
            page, _, anchor = link.partition("#")
            place = (Path(name).parent / page).as_posix() if page else f"{name}.html"
            wanted.add(f"{posixpath.normpath(place)}#{anchor}")
    found = {
        key: [heading, text]
        for name, article in articles.items()
        for anchor, heading, text in article.cards
        if (key := f"{name}.html#{anchor}") in wanted
    }
    data = json.dumps(found, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
    write_whole(site / FILE, f"ncCards({data});\n")
