"""Print the built book into one PDF: bookmarks, contents, page numbers, running heads, links that stay inside.

    python -m tools.pdf [--site _build/html] [--out _build/neural-collapse.pdf]

Chromium prints each page; no TeX. The pieces are put together by pypdf.
"""

from __future__ import annotations

import html
import io
import sys
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from pypdf import PdfReader, PdfWriter
from pypdf.generic import ArrayObject, DictionaryObject, Fit, FloatObject, NameObject, NullObject, NumberObject

from tools import downloads, pdf_tags, printing
from tools.printing import TITLE

PAPER = {"format": "A4", "print_background": True, "prefer_css_page_size": False}
MARGIN = {"top": "22mm", "bottom": "20mm", "left": "20mm", "right": "20mm"}
# Chromium names the places that something on the page links to: link to all of them, out of sight.
NAME_PLACES = """() => {
  const box = document.createElement("div");
  box.hidden = true;
  for (const node of document.querySelectorAll("article [id]")) {
    box.appendChild(document.createElement("a")).href = "#" + encodeURIComponent(node.id);
  }
  document.querySelector("article").append(box);
  const title = document.querySelector("article h1").cloneNode(true);
  title.querySelectorAll(".headerlink").forEach((node) => node.remove());
  return title.textContent.trim();
}"""
STYLE = """<meta charset="utf-8"><style>
  body { margin: 0; font: 10pt/1.5 system-ui, sans-serif; color: #222; }
  h1 { font-size: 26pt; line-height: 1.2; margin: 60mm 0 6mm; } h2 { font-size: 16pt; } .small { max-width: 120mm; }
  table { width: 100%; border-collapse: collapse; } td { padding: 1mm 0; } td + td { text-align: right; }
  td.part { font-weight: 700; padding-top: 4mm; text-align: left; } a { color: inherit; text-decoration: none; }
  section { height: 297mm; position: relative; break-after: page; overflow: hidden; font-size: 8.5pt; color: #555; }
  section:last-child { break-after: auto; }
  .head { position: absolute; top: 11mm; left: 20mm; right: 20mm; display: flex; justify-content: space-between; }
  .foot { position: absolute; bottom: 9mm; left: 0; right: 0; text-align: center; }
</style>"""
COVER = """<h1>{title}</h1><p>{author}</p><p class="small">Figures that compute or move on the book's own pages are
still pictures here, and code that only draws or only checks is left out: it is in the notebooks.</p>
<h2 style="break-before: page">Contents</h2><table>{rows}</table>"""


SCALE = 0.82
WIDTH = round((210 - 40) / 25.4 * 96 / SCALE)  # of the text on the sheet, in the page's own pixels
# A formula that would run over the edge, or over its number, is set smaller.
FIT = """() => {
  for (const node of document.querySelectorAll("mjx-container[display]")) {
    const number = node.parentElement.querySelector(".eqno");
    const room = node.clientWidth - (number ? number.offsetWidth + 10 : 0);
    const wide = node.firstElementChild.scrollWidth;
    if (wide > room) node.style.fontSize = (parseFloat(getComputedStyle(node).fontSize) * room) / wide + "px";
  }
}"""


class Piece(NamedTuple):
    """One printed page of the book: its name, its title, the part that it opens or an empty text, and its PDF."""

    name: str
    title: str
    opens: str
    file: PdfReader


def printed(chromium: Any, site: Path, name: str, opens: str) -> Piece:
    """Print one page of the book."""
    with printing.opened(chromium, site / f"{name}.html") as page:
        title = page.evaluate(NAME_PLACES)
        page.set_viewport_size({"width": WIDTH, "height": 1100})
        page.emulate_media(media="print")
        page.evaluate(
            "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )  # book.js is done
        page.evaluate(FIT)
        page.evaluate(pdf_tags.NAME_FORMULAS)
        data = page.pdf(**PAPER, margin=MARGIN, scale=SCALE, outline=True, tagged=True)
    return Piece(name, title, opens, PdfReader(io.BytesIO(data)))


def drawn(chromium: Any, text: str, margin: dict[str, str] | None = None) -> PdfReader:
    """Print a text of our own, with tags where it has a margin: what lies on another page has none."""
    page = chromium.new_page()
    page.set_content(STYLE + text)
    data = page.pdf(**PAPER, margin=margin or {}, tagged=margin is not None)
    page.close()
    return PdfReader(io.BytesIO(data))


def cover(chromium: Any, site: Path, pieces: list[Piece], author: str, before: int) -> PdfReader:
    """Draw the title and the contents, which take ``before`` pages themselves."""
    rows, at = [], before + 1
    for piece in pieces:
        if piece.opens:
            rows.append(f'<tr><td class="part" colspan="2">{html.escape(piece.opens)}</td></tr>')
        link = (site / f"{piece.name}.html").resolve().as_uri()
        rows.append(f'<tr><td><a href="{link}">{html.escape(piece.title)}</a></td><td>{at}</td></tr>')
        at += len(piece.file.pages)
    return drawn(chromium, COVER.format(title=TITLE, author=html.escape(author), rows="".join(rows)), MARGIN)


def bookmarks(writer: PdfWriter, reader: PdfReader, entries: list[Any], first: int, parent: Any) -> None:
    """Copy the bookmarks of a piece below ``parent``."""
    last = parent
    for entry in entries:
        if isinstance(entry, list):
            bookmarks(writer, reader, entry, first, last)
        else:
            page = reader.get_destination_page_number(entry)
            fit = Fit.xyz(left=0, top=float(entry.top or 842))
            last = writer.add_outline_item(
                title=str(entry.title), page_number=first + (page or 0), parent=parent, fit=fit
            )


def keep_links_inside(writer: PdfWriter, site: Path, starts: dict[str, int], pieces: list[Piece]) -> None:
    """Turn links to pages of the book into places of the PDF, and drop links to other files beside them."""
    root = site.resolve().as_uri() + "/"
    places = {piece.name: piece.file.named_destinations for piece in pieces}
    for page in writer.pages:
        kept = ArrayObject()
        for reference in page.get("/Annots") or []:
            note = reference.get_object()
            address = str(note.get("/A", {}).get("/URI", ""))
            if address.startswith("file:"):
                file, _, anchor = unquote(address.removeprefix(root)).partition("#")
                name = file.removesuffix(".html")
                if name not in starts:
                    continue
                note[NameObject("/A")] = goto(writer, starts[name], places[name].get(anchor), places_of(pieces, name))
            kept.append(reference)
        page[NameObject("/Annots")] = kept


def places_of(pieces: list[Piece], name: str) -> PdfReader:
    return next(piece.file for piece in pieces if piece.name == name)


def goto(writer: PdfWriter, first: int, place: Any, reader: PdfReader) -> DictionaryObject:
    """Return the action that shows a place, or a piece's first page where the place has no name."""
    within = reader.get_destination_page_number(place) if place is not None else 0
    page = writer.pages[first + (within or 0)]
    top = FloatObject(float(place.top)) if place is not None and place.top is not None else NullObject()
    to = ArrayObject([page.indirect_reference, NameObject("/XYZ"), NumberObject(0), top, NullObject()])
    return DictionaryObject({NameObject("/S"): NameObject("/GoTo"), NameObject("/D"): to})


def heads(pieces: list[Piece], before: int) -> str:
    """Return one sheet for every page: the book's name and the chapter's above, the number below."""
    sheets, at = ["<section></section>" * before], before
    for piece in pieces:
        for i in range(len(piece.file.pages)):
            at += 1
            head = f"<span>{html.escape(TITLE)}</span><span>{html.escape(piece.title)}</span>" if i else ""
            sheets.append(f'<section><div class="head">{head}</div><div class="foot">{at}</div></section>')
    return "".join(sheets)


def put_together(chromium: Any, site: Path, pieces: list[Piece], author: str) -> PdfWriter:
    """Return the whole book."""
    before = len(cover(chromium, site, pieces, author, 9).pages)
    front = cover(chromium, site, pieces, author, before)
    writer, starts, parent = PdfWriter(), {}, None
    writer.append(front, import_outline=False)
    for piece in pieces:
        starts[piece.name] = len(writer.pages)
        writer.append(piece.file, import_outline=False)
        if piece.opens:
            parent = writer.add_outline_item(title=piece.opens, page_number=starts[piece.name])
        own = writer.add_outline_item(title=piece.title, page_number=starts[piece.name], parent=parent)
        below = next((entry for entry in piece.file.outline if isinstance(entry, list)), [])
        bookmarks(writer, piece.file, below, starts[piece.name], own)
    keep_links_inside(writer, site, starts, pieces)
    tags = pdf_tags.Tree(writer)
    tags.add(front, 0)
    for piece in pieces:
        tags.add(piece.file, starts[piece.name])
    tags.close("en")
    for page, sheet in zip(writer.pages, drawn(chromium, heads(pieces, before)).pages, strict=True):
        page.merge_page(pdf_tags.aside(sheet))
        page.compress_content_streams()
    writer.compress_identical_objects()
    writer.add_metadata({"/Title": TITLE, "/Author": author})
    writer.page_mode = "/UseOutlines"
    return writer


def book(site: Path, out: Path, parts: list[printing.Part], author: str) -> int:
    """Print the pages of ``parts`` into ``out`` and return how many sheets that takes.

    Raises:
        FileNotFoundError: if a page was not built, or there is no Chromium.
    """
    with printing.browser() as chromium:
        pieces = []
        for part in parts:
            for i, name in enumerate(part.pages):
                pieces.append(printed(chromium, site, name, "" if i else part.caption))
                print(f"{name}: {len(pieces[-1].file.pages)} pages", flush=True)
        writer = put_together(chromium, site, pieces, author)
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = out.with_name(out.name + ".part")
    writer.write(beside)
    beside.replace(out)
    return len(writer.pages)


def main() -> None:
    args = printing.options(__doc__, "pdf")
    try:
        count = book(args.site, args.out, printing.parts(args.toc), printing.AUTHOR)
    except FileNotFoundError as error:
        sys.exit(str(error))
    downloads.put(args.out, args.site)
    print(f"{args.out}: {count} pages, {args.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
