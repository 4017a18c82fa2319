"""Pack the built book into one ePub: the same pages, formulas as MathML, figures as still pictures.

    python -m tools.epub [--site _build/html] [--out _build/neural-collapse.epub]

Chromium sets each page and hands over what it shows; what it hands over is checked by `epubcheck` in the tests.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import html
import io
import re
import sys
import uuid
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from PIL import Image
from pygments.formatters import HtmlFormatter

from tools import downloads, printing
from tools.printing import TITLE

SCRIPT = Path(__file__).with_name("epub_page.js")
STYLE = """
body { line-height: 1.5; } img { max-width: 100%; height: auto; } figure { margin: 1em 0; text-align: center; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 0.8em; background: #f4f4f4; padding: 0.6em; }
pre, code { font-family: monospace; } .cell_output pre { background: none; border-left: 3px solid #ccc; }
.admonition, .sd-card { border-left: 4px solid #0072b2; padding: 0.1em 0.8em; margin: 1em 0; }
.admonition-title, .opened { font-weight: bold; } .shown { font-size: 0.9em; text-align: center; }
.eqno { float: right; } div.math { overflow-x: auto; margin: 1em 0; } figcaption { font-size: 0.9em; }
table { border-collapse: collapse; margin: 1em 0; font-size: 0.9em; }
th, td { border: 1px solid #bbb; padding: 0.2em 0.5em; }
"""
DOCUMENT = """<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE html>
<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops" lang="en" xml:lang="en">
<head><meta charset="utf-8"/><title>{title}</title><link rel="stylesheet" href="book.css"/></head>
<body>{body}</body></html>
"""
CONTAINER = """<?xml version="1.0"?>
<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>
<rootfile full-path="book/book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>
"""
PACKAGE = """<?xml version="1.0" encoding="utf-8"?>
<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id" xml:lang="en">
<metadata xmlns:dc="http://purl.org/dc/elements/1.1/">
<dc:identifier id="id">urn:uuid:{identifier}</dc:identifier><dc:title>{title}</dc:title><dc:language>en</dc:language>
<dc:creator>{author}</dc:creator><dc:rights>CC BY 4.0 (text and figures), MIT (code)</dc:rights>
<meta property="dcterms:modified">{modified}</meta>
<meta property="schema:accessMode">textual</meta><meta property="schema:accessMode">visual</meta>
<meta property="schema:accessModeSufficient">textual</meta>
<meta property="schema:accessibilityFeature">MathML</meta>
<meta property="schema:accessibilityFeature">alternativeText</meta>
<meta property="schema:accessibilityFeature">tableOfContents</meta>
<meta property="schema:accessibilityHazard">none</meta>
<meta property="schema:accessibilitySummary">Formulas are MathML; every figure is described; no scripts.</meta>
</metadata>
<manifest>
<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>
<item id="style" href="book.css" media-type="text/css"/>
{manifest}
</manifest>
<spine><itemref idref="nav"/>
{spine}
</spine></package>
"""
KINDS = {"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "svg": "image/svg+xml", "gif": "image/gif"}


@dataclass(frozen=True)
class Page:
    """One page: its name on the site, title, headings (identifier, text), all identifiers, and its XHTML."""

    name: str
    title: str
    headings: list[tuple[str, str]]
    ids: set[str]
    text: str

    @property
    def file(self) -> str:
        return self.name.replace("/", "-") + ".xhtml"


@dataclass
class Pictures:
    """The pictures of a book by the name of their file; the same picture is kept once."""

    site: Path
    files: dict[str, bytes] = field(default_factory=dict)

    def keep(self, source: str, page: str) -> str:
        """Return the file that the ePub has for a picture, which every reader of books can show."""
        if source.startswith("data:"):
            kind, data = re.match(r"data:image/([\w+]+);base64,(.*)", source, re.S).groups()  # type: ignore[union-attr]
            content = base64.b64decode(data)
        else:
            file = (self.site / page).parent / unquote(source.split("?")[0])
            kind, content = file.suffix[1:], file.read_bytes()
        kind = kind.split("+")[0]
        if kind not in KINDS:
            buffer = io.BytesIO()
            Image.open(io.BytesIO(content)).save(buffer, "png", optimize=True)
            kind, content = "png", buffer.getvalue()
        name = f"picture-{hashlib.sha256(content).hexdigest()[:12]}.{kind}"
        self.files[name] = content
        return name


def read(chromium: Any, site: Path, name: str) -> Page:
    """Let the browser set one page of the book, and take it over."""
    with printing.opened(chromium, site / f"{name}.html") as page:
        found = page.evaluate(SCRIPT.read_text(encoding="utf-8"))
    return Page(name, found["title"], [tuple(h) for h in found["headings"]], set(found["ids"]), found["text"])


def linked(page: Page, pages: dict[str, Page]) -> str:
    """Return the page's text with links to places that the ePub has, and none to files that it has not."""

    def one(found: re.Match[str]) -> str:
        target, inside = html.unescape(found[1]), found[2]
        if re.match(r"https?:|mailto:", target):
            return found[0]
        path, _, anchor = target.partition("#")
        parts = (*Path(page.name).parent.parts, *Path(unquote(path)).parts)
        name = page.name if not path else _resolved(parts).removesuffix(".html")
        if name not in pages:
            return inside
        anchor = f"#{unquote(anchor)}" if unquote(anchor) in pages[name].ids else ""
        return f'<a href="{pages[name].file}{anchor}">{inside}</a>'

    return re.sub(r'<a\b[^>]*?\bhref="([^"]*)"[^>]*>(.*?)</a>', one, page.text, flags=re.S)


def _resolved(parts: tuple[str, ...]) -> str:
    out: list[str] = []
    for part in parts:
        if part == "..":
            out = out[:-1]
        elif part != ".":
            out.append(part)
    return "/".join(out)


def contents(parts: list[printing.Part], pages: dict[str, Page]) -> str:
    """Return the table of contents: parts, chapters, sections."""

    def entry(page: Page) -> str:
        below = "".join(f'<li><a href="{page.file}#{i}">{html.escape(t)}</a></li>' for i, t in page.headings)
        inner = f"<ol>{below}</ol>" if below else ""
        return f'<li><a href="{page.file}">{html.escape(page.title)}</a>{inner}</li>'

    rows = []
    for part in parts:
        inside = "".join(entry(pages[name]) for name in part.pages)
        rows.append(f"<li><span>{html.escape(part.caption)}</span><ol>{inside}</ol></li>" if part.caption else inside)
    body = f'<h1>{TITLE}</h1><nav epub:type="toc" id="toc"><h2>Contents</h2><ol>{"".join(rows)}</ol></nav>'
    return DOCUMENT.format(title=TITLE, body=body)


def pack(site: Path, parts: list[printing.Part], pages: dict[str, Page], author: str) -> dict[str, bytes]:
    """Return every file of the ePub by its name."""
    pictures, files = Pictures(site), {}
    for page in pages.values():
        shown = re.sub(
            r'(<img\b[^>]*?\bsrc=")([^"]*)(")',
            lambda found, name=page.name: found[1] + pictures.keep(html.unescape(found[2]), name) + found[3],
            linked(page, pages),
        )
        files[page.file] = DOCUMENT.format(title=html.escape(page.title), body=shown).encode()
    manifest, spine = [], []
    for i, (file, content) in enumerate(files.items()):
        properties = ' properties="mathml"' if b"<math" in content else ""
        manifest.append(f'<item id="p{i}" href="{file}" media-type="application/xhtml+xml"{properties}/>')
        spine.append(f'<itemref idref="p{i}"/>')
    for i, file in enumerate(sorted(pictures.files)):
        manifest.append(f'<item id="i{i}" href="{file}" media-type="{KINDS[file.rpartition(".")[2]]}"/>')
    files |= pictures.files
    files["nav.xhtml"] = contents(parts, pages).encode()
    files["book.css"] = (STYLE + HtmlFormatter(style="tango").get_style_defs(".highlight")).encode()
    digest = hashlib.sha256(b"".join(files[name] for name in sorted(files))).hexdigest()
    files["book.opf"] = PACKAGE.format(
        identifier=uuid.uuid5(uuid.NAMESPACE_OID, digest),
        title=TITLE,
        author=html.escape(author),
        modified=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        manifest="\n".join(manifest),
        spine="\n".join(spine),
    ).encode()
    return files


def write(files: dict[str, bytes], out: Path) -> None:
    """Write the files of an ePub into ``out``."""
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = out.with_name(out.name + ".part")
    with zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("mimetype", "application/epub+zip", zipfile.ZIP_STORED)  # first, and as it is
        archive.writestr("META-INF/container.xml", CONTAINER)
        for name, content in files.items():
            archive.writestr(f"book/{name}", content)
    beside.replace(out)


def main() -> None:
    args = printing.options(__doc__, "epub")
    parts = printing.parts(args.toc)
    try:
        with printing.browser() as chromium:
            names = [name for part in parts for name in part.pages]
            pages = {name: read(chromium, args.site, name) for name in names}
    except FileNotFoundError as error:
        sys.exit(str(error))
    write(pack(args.site, parts, pages, printing.AUTHOR), args.out)
    downloads.put(args.out, args.site)
    print(f"{args.out}: {len(pages)} pages, {args.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
