"""Lay the live experiment into the book's first page, around the picture that stays for readers without scripts.

The page's source marks the place by two comments around the picture, so that the page is whole without this step.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from tools.cache import write_whole

PLACE = re.compile(r"(<!-- begin live -->).*?(<img\b[^>]*>).*?(<!-- end live -->)", re.S)


def experiment(picture: str) -> str:
    """Return the experiment as HTML around the ``<img>`` that readers without scripts keep."""
    from ncbook import data
    from ncbook.figures import phenomenon, style

    digits = data.load("digits", classes=[0, 1, 2])
    train, test = (digits.images, digits.labels), (digits.test_images, digits.test_labels)
    live = phenomenon.train_it(train, test, digits.class_names, lambda: style.new(1, 1)[0], table=False)
    return live.to_html(picture)


def lay_in(page: Path, experiment: Callable[[str], str] = experiment) -> None:
    """Write the experiment between the marks of a page; without marks, or done already, it stays as it is."""
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    if not (found := PLACE.search(text)):
        return
    laid = text[: found.start()] + "\n".join([found[1], experiment(found[2]), found[3]]) + text[found.end() :]
    if laid != text:
        write_whole(page, laid)
