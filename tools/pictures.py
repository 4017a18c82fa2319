"""Give the pictures of the built pages a second one for dark mode, and panels that a phone shows one below the other.

A page's picture is one PNG on white paper. Beside it comes the same with other inks on dark paper; the page shows
one of the two. PDF and ePub take the light one.
"""

from __future__ import annotations

import html
import re
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from ncbook.figures import dark, panels
from ncbook.figures.in_page import script
from tools.cache import write_whole

# A picture that was laid in by an earlier build has a class of its own.
PICTURE = re.compile(r'<img(?=[^>]* src="([^"]*_images/[0-9a-f]{16,}\.png)")(?![^>]* class="(?:only|dark)-)[^>]*>')
WIDE = 880  # pixels from which on a single picture scrolls on a phone, lest its type be too small: see panels.css
STYLE = '<style class="nc-pictures">{}</style>'


def lay_in(site: Path) -> int:
    """Lay both pictures into every page of ``site``; return how many were laid in."""
    total = 0
    for page in site.rglob("*.html"):
        text, count = PICTURE.subn(lambda found, page=page: _both(found, page), page.read_text(encoding="utf-8"))
        if count:
            style = STYLE.format(script("panels.css"))
            write_whole(page, text if 'class="nc-pictures"' in text else text.replace("</head>", style + "</head>", 1))
        total += count
    return total


def _both(found: re.Match[str], page: Path) -> str:
    file = page.parent / html.unescape(found[1])
    light = np.asarray(Image.open(file).convert("RGB"))
    other = darkened(file, light).name
    alt = re.search(r' alt="[^"]*"', found[0])
    # The dark one is fetched when it is first shown.
    sources = (("only-light", found[1], ""), ("only-dark", found[1].replace(file.name, other), ' loading="lazy"'))

    def image(is_first: bool) -> str:
        words = alt[0] if alt and is_first else ' alt="" aria-hidden="true"'
        return "".join(f'<img class="{name}"{words} src="{source}"{when}>' for name, source, when in sources)

    height, width, _ = light.shape
    shares = panels.cuts([light])
    shown = panels.windows(shares, width, height, image)
    return shown if shares or width <= WIDE else shown.replace('class="nc-panels', 'class="nc-wide nc-panels', 1)


def darkened(file: Path, light: np.ndarray) -> Path:
    """Return the dark picture beside ``file``, made where it is not there; the recipe is part of its name."""
    recipe = zlib.crc32(repr(dark.recipe()).encode())
    other = file.with_name(f"{file.stem}-dark-{recipe:08x}.webp")
    if not other.exists():
        Image.fromarray(dark.on_dark(light)).save(other, "WEBP", lossless=True, method=4)
    return other
