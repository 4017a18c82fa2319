"""Put the book's one-file editions beside its pages, and let the pages' download button give them.

An edition that was not made is not offered: without a PDF the theme's button prints the page at hand.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tools.cache import write_whole

NAME = "neural-collapse"
EDITIONS = {"pdf": "The whole book as one PDF", "epub": "The whole book as one ePub"}
PRINT = re.compile(r'<li>\s*<button onclick="window\.print\(\)".*?</button>\s*</li>', re.S)
LABELS = {False: ">.pdf</span>", True: ">print</span>"}  # of the theme's button, by whether there is a real PDF
OFFERED = re.compile(r'<li class="nc-edition">.*?</li>\s*', re.S)
ENTRY = """<li class="nc-edition"><a href="{link}" download class="btn btn-sm dropdown-item" title="{title}"
  data-bs-placement="left" data-bs-toggle="tooltip">
<span class="btn__icon-container"><i class="fas fa-{icon}"></i></span>
<span class="btn__text-container">.{kind}</span></a></li>
"""
ICONS = {"pdf": "file-pdf", "epub": "book"}


def offer(site: Path) -> None:
    """Write what is beside the pages of ``site`` into their download menus; done again, the menus are the same."""
    there = [kind for kind in EDITIONS if (site / f"{NAME}.{kind}").exists()]
    for page in site.rglob("*.html"):
        if {"_static", "_sources"} & set(page.relative_to(site).parts):
            continue
        text = page.read_text(encoding="utf-8")
        up = "/".join([".."] * (len(page.relative_to(site).parts) - 1)) or "."
        entries = "".join(
            ENTRY.format(link=f"{up}/{NAME}.{kind}", title=EDITIONS[kind], icon=ICONS[kind], kind=kind)
            for kind in there
        )
        found = PRINT.search(bare := OFFERED.sub("", text))
        if found is None:
            continue
        button = found[0].replace(LABELS["pdf" not in there], LABELS["pdf" in there])
        changed = bare[: found.start()] + entries + button + bare[found.end() :]
        if changed != text:
            write_whole(page, changed)


def withdraw(site: Path) -> None:
    """Remove editions of pages that have changed since."""
    for kind in EDITIONS:
        (site / f"{NAME}.{kind}").unlink(missing_ok=True)


def put(edition: Path, site: Path) -> None:
    """Copy an edition beside the pages and offer it there."""
    shutil.copyfile(edition, site / f"{NAME}{edition.suffix}")
    offer(site)
