"""What search engines and messengers read of a published book: a site map, and a card for every page.

Only a copy that knows its address has them; see ``python -m tools.repository``. The pages of github.com/OWNER/NAME are
at OWNER.github.io/NAME, where the publish workflow puts them.
"""

from __future__ import annotations

import html
import re
from pathlib import Path
from urllib.parse import quote

from tools.articles import Article
from tools.cache import write_whole

HERO = Path(__file__).resolve().parent.parent / "_static" / "hero.webp"
CARD = "_static/card.png"
ALT = "Features of three classes of digits end in three points that form an equilateral triangle."
OURS = re.compile(r"<!-- begin card -->.*?<!-- end card -->\n?", re.S)
BOOK = "Neural Collapse: an executable textbook"
MAP = """<?xml version="1.0" encoding="UTF-8"?>
<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">
{urls}
</urlset>
"""


def pages_address(repository: str) -> str:
    """Return where a repository's pages are published, or an empty text where that is not known."""
    found = re.fullmatch(r"https://github\.com/([A-Za-z0-9-]+)/([A-Za-z0-9._-]+)", repository)
    return f"https://{found[1].lower()}.github.io/{found[2]}/" if found else ""


def description(text: str) -> str:
    """Return the first sentences of a page, as many as a card shows."""
    text = text.split(" This chapter ")[0]
    return text if len(text) <= 200 else text[:200].rpartition(" ")[0] + " …"


def head(address: str, name: str, title: str, text: str) -> str:
    """Return what a page's head says to others about it."""
    said = {"og:type": "article", "og:site_name": BOOK, "og:title": title, "og:description": description(text)}
    said |= {"og:url": f"{address}{quote(name)}.html", "og:image": address + CARD, "og:image:alt": ALT}
    lines = [f'<meta property="{key}" content="{html.escape(value)}">' for key, value in said.items()]
    lines.append('<meta name="twitter:card" content="summary_large_image">')
    lines.append(f'<meta name="description" content="{html.escape(said["og:description"])}">')
    return "\n".join(["<!-- begin card -->", *lines, "<!-- end card -->", ""])


def draw_card(out: Path) -> None:
    """Draw the picture that messengers show, 1200 by 630 pixels."""
    from matplotlib.figure import Figure
    from PIL import Image

    figure = Figure(figsize=(12, 6.3), facecolor="white")
    picture = figure.add_axes((0.5, 0.04, 0.48, 0.92))
    picture.imshow(Image.open(HERO).convert("RGB"))
    picture.axis("off")
    figure.text(0.05, 0.52, "Neural\nCollapse", fontsize=58, weight="bold", va="bottom", color="#222222")
    figure.text(0.05, 0.44, "An executable textbook", fontsize=27, va="top", color="#222222")
    figure.text(0.05, 0.31, "every theorem proved in steps,\nevery step run", fontsize=19, va="top", color="#555555")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=100, metadata={"Software": None})


def lay_in(site: Path, repository: str, articles: dict[str, Article]) -> None:
    """Write the cards and the site map of ``site``; without an address, remove those that are there."""
    if not (address := pages_address(repository)):
        for file in ("sitemap.xml", CARD):
            (site / file).unlink(missing_ok=True)
        heads = dict.fromkeys((page.relative_to(site).as_posix() for page in site.rglob("*.html")), "")
    else:
        texts = {name: article.sections[0] for name, article in articles.items() if article.sections}
        heads = {f"{name}.html": head(address, name, title, text) for name, (_, title, text) in texts.items()}
        urls = "\n".join(f"<url><loc>{address}{quote(name)}</loc></url>" for name in heads)
        write_whole(site / "sitemap.xml", MAP.format(urls=urls))
        draw_card(site / CARD)
    for name, said in heads.items():
        text = (site / name).read_text(encoding="utf-8")
        if (laid := OURS.sub("", text).replace("</head>", said + "</head>", 1)) != text:
            write_whole(site / name, laid)
