"""Lay the live experiment into the book's first page, around the picture that stays for readers without scripts.

The page's source marks the place by two comments around the picture, so that the page is whole without this step.
"""

from __future__ import annotations

import re
from pathlib import Path

from tools.cache import write_whole

PLACE = re.compile(r"(<!-- begin live -->).*?(<img\b[^>]*>).*?(<!-- end live -->)", re.S)


def lay_in(page: Path) -> None:
    """Write the experiment between the marks of a page; without marks, or done already, it stays as it is."""
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    if not (found := PLACE.search(text)):
        return
    from ncbook import data
    from ncbook.figures import phenomenon, style

    digits = data.load("digits", classes=[0, 1, 2])
    train, test = (digits.images, digits.labels), (digits.test_images, digits.test_labels)
    experiment = phenomenon.train_it(train, test, digits.class_names, lambda: style.new(1, 1)[0], table=False)
    laid = "\n".join([found[1], experiment.to_html(found[2]), found[3]])
    write_whole(page, text[: found.start()] + laid + text[found.end() :])
