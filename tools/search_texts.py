"""Let the search page show excerpts without asking for pages, which a browser refuses from the disk.

Sphinx's search fetches every page that it has found. Here the text of all pages, section by section, is written into
one file beside the index, which the search page alone loads as a script; ``search_page.js`` shows and ranks by it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from bs4 import Tag
from docutils.utils.math import tex2unichar

from tools.cache import write_whole

FILE = "searchtexts.js"
SCRIPT = Path(__file__).with_name("search_page.js")
PLACE = re.compile(r'(<script src="searchindex\.js[^>]*></script>)(\s*<script src="searchtexts\.js"></script>)?')
NOT_TEXT = "script, style, svg, canvas, .headerlink, .nclive, .ncx, .cell_output, div.math, .highlight-coq"
SIGNS = {
    name: sign
    for kind in ("mathalpha", "mathbin", "mathrel", "mathop", "mathord", "space")
    for name, sign in getattr(tex2unichar, kind).items()
} | {"dots": "…", "ldots": "…", "cdots": "…", "bigl": "", "bigr": ""}
HEADING = ", ".join(f":scope > {name}" for name in ("h1", "h2", "h3", "h4", ".admonition-title"))


def readable(formula: str) -> str:
    """Return a short formula as plain text: signs for their names, no braces."""
    formula = formula.strip().removeprefix(r"\(").removesuffix(r"\)").replace(r"\|", "‖")
    formula = re.sub(r"\\[dt]?frac\s*(\w|\{[^{}]*\})\s*(\w|\{[^{}]*\})", r"\1/\2", formula)
    formula = re.sub(r"\\([A-Za-z]+)\s*", lambda found: SIGNS.get(found[1], ""), formula)
    return re.sub(r"[{}\\$]", "", formula)


def sections(article: Tag) -> Iterator[tuple[str, str, str]]:
    """Yield identifier, heading and text of sections, theorems and terms, each without what has an entry of its own.

    The last comes first. What is left of the article is of no use.
    """
    for node in article.select(NOT_TEXT):
        node.decompose()
    for node in article.select("span.math"):
        node.replace_with(readable(node.get_text()))
    for term in article.select("dl.glossary > dt[id]"):
        if (meaning := term.find_next_sibling("dd")) is not None:
            yield str(term["id"]), plain(term), plain(meaning)
    for code in article.select("pre"):
        code.replace_with(code.get_text())
    for part in reversed(article.select("section[id], div.proof[id], div.exercise[id]")):
        if (heading := part.select_one(HEADING)) is not None:
            title = plain(heading)
            heading.decompose()
            yield str(part["id"]), title, plain(part)
            part.decompose()


def plain(node: Tag) -> str:
    return " ".join(node.get_text(" ").split()).replace(" ,", ",").replace(" .", ".")


def lay_in(site: Path, texts: dict[str, list[Sequence[str]]]) -> bool:
    """Write the sections of every page by its name; return whether they are others than before.

    The search page of ``site`` then loads them.
    """
    search = site / "search.html"
    if not search.exists():
        return False
    data = json.dumps(
        {name: own for name, own in texts.items() if own}, ensure_ascii=False, separators=(",", ":")
    ).replace("</", "<\\/")
    script = SCRIPT.read_text(encoding="utf-8").rstrip().removesuffix(";") + f"({data});\n"
    page = search.read_text(encoding="utf-8")
    write_whole(search, PLACE.sub(rf'\1\n  <script src="{FILE}"></script>', page, count=1))
    before = (site / FILE).read_text(encoding="utf-8") if (site / FILE).exists() else ""
    write_whole(site / FILE, script)
    return script != before
