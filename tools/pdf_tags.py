"""Carry the tags of printed pieces into the whole PDF, for readers who hear it or let it flow anew.

Chromium tags what it prints; joining the pieces loses that. Here each piece's tree is written again below one root,
without the wrappers that have no meaning (nine elements in ten), and formulas become formulas, read out as TeX.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pypdf import PageObject, PdfReader, PdfWriter
from pypdf.generic import (
    ArrayObject,
    BooleanObject,
    DictionaryObject,
    IndirectObject,
    NameObject,
    NumberObject,
    TextStringObject,
)

FORMULA = "\u2063"  # begins the description of a formula: an invisible separator
# The glyphs of a formula are drawn by style sheets, which Chromium does not tag: it tags the all but clear background.
NAME_FORMULAS = f"""() => {{
  for (const item of window.MathJax ? MathJax.startup.document.math : []) {{
    const node = item.typesetRoot;
    node.querySelectorAll("mjx-assistive-mml").forEach((hidden) => hidden.remove());
    node.setAttribute("role", "img");
    node.setAttribute("aria-label", "{FORMULA}" + item.math.trim());
    node.style.background = "rgba(255, 255, 255, 0.02)";
  }}
}}"""
PLAIN = {"/Em": "/Span", "/Strong": "/Span", "/Form": "/Span"}  # kinds that readers may not know, or that are dead here
# A cell spans one row and column if nothing is said, and the scope of its headers says what their names would.
SAID_ALREADY = [{"/O": "/Table", "/RowSpan": 1}, {"/O": "/Table", "/ColSpan": 1}]
COPIED = ("/Alt", "/ActualText", "/Lang", "/T", "/E")


def kids(element: Any) -> list[Any]:
    """Return what is inside an element: marks on its page, links, other elements."""
    inside = element.get("/K")
    inside = inside.get_object() if inside is not None else []
    return list(inside) if isinstance(inside, list) else [inside]


class Tree:
    """The tags of the whole PDF: one root, and for each page and each link the elements that they belong to."""

    def __init__(self, writer: PdfWriter) -> None:
        self.writer, self.owners, self.parts = writer, ArrayObject(), ArrayObject()
        self.root = writer._add_object(DictionaryObject({NameObject("/Type"): NameObject("/StructTreeRoot")}))
        document = DictionaryObject({NameObject("/S"): NameObject("/Document"), NameObject("/P"): self.root})
        document[NameObject("/K")] = self.parts
        self.document = writer._add_object(document)
        self.pages: dict[int, PageObject] = {}  # of the piece at hand, by the number of the piece's own page
        self.marks: dict[int, dict[int, IndirectObject]] = {}
        self.links: dict[int, IndirectObject] = {}

    def key(self, owner: Any) -> NumberObject:
        """Enter an owner, and return the number by which its page or link names it."""
        number = NumberObject(len(self.owners) // 2)
        self.owners += [number, owner]
        return number

    def element(self, source: Any, parent: IndirectObject) -> Iterator[Any]:
        """Write an element of a piece below ``parent``, or what it holds where it has no meaning of its own."""
        kind = source["/S"]
        if kind in ("/NonStruct", "/Document"):
            yield from self.inside(source, parent)
            return
        new = DictionaryObject({NameObject("/S"): NameObject(PLAIN.get(kind, kind)), NameObject("/P"): parent})
        for name in COPIED:
            if name in source:
                new[NameObject(name)] = TextStringObject(str(source[name]))
        if str(new.get("/Alt", "")).startswith(FORMULA):
            new[NameObject("/S")] = NameObject("/Formula")
            new[NameObject("/Alt")] = TextStringObject(new["/Alt"].removeprefix(FORMULA))
        attributes = [a.get_object() for a in source.get("/A", []) if a.get_object() not in SAID_ALREADY]
        kept = [a.clone(self.writer) for a in attributes if "/Headers" not in a and a["/O"] != "/PrintField"]
        if kept:
            new[NameObject("/A")] = ArrayObject(kept)
        reference = self.writer._add_object(new)
        self.fill(reference, source)
        if new["/K"] or "/Alt" in new:
            yield reference

    def fill(self, reference: IndirectObject, source: Any) -> None:
        """Write what is inside ``source`` into an element; marks on the page of its first one are plain numbers."""
        element, content = reference.get_object(), ArrayObject(self.inside(source, reference))
        first = next((kid.raw_get("/Pg") for kid in content if "/MCID" in kid.get_object()), None)
        if first is not None:
            element[NameObject("/Pg")] = first
        here = [kid.get_object() for kid in content]
        short = [kid["/MCID"] if "/MCID" in kid and kid.raw_get("/Pg") == first else None for kid in here]
        element[NameObject("/K")] = ArrayObject(kid if n is None else n for kid, n in zip(content, short))

    def inside(self, source: Any, owner: IndirectObject) -> Iterator[Any]:
        for kid in map(lambda kid: kid.get_object(), kids(source)):
            if isinstance(kid, int) or kid.get("/Type") == "/MCR":
                page = (source if isinstance(kid, int) else kid).raw_get("/Pg").idnum
                number = kid if isinstance(kid, int) else kid["/MCID"]
                self.marks.setdefault(page, {})[number] = owner
                yield self.reference("/MCR", page, "/MCID", NumberObject(number))
            elif kid.get("/Type") == "/OBJR":
                link = self.links.get(kid["/Obj"].get("/StructParent", -1))
                if link is not None:
                    link.get_object()[NameObject("/StructParent")] = self.key(owner)
                    yield self.reference("/OBJR", kid.raw_get("/Pg").idnum, "/Obj", link)
            elif kid is not None:
                yield from self.element(kid, owner)

    def reference(self, kind: str, page: int, name: str, value: Any) -> DictionaryObject:
        on = self.pages[page].indirect_reference
        return DictionaryObject({NameObject("/Type"): NameObject(kind), NameObject("/Pg"): on, NameObject(name): value})

    def add(self, piece: PdfReader, first: int) -> None:
        """Take over the tags of a piece whose pages were appended at ``first``."""
        pages = self.writer.pages[first : first + len(piece.pages)]
        self.pages = {old.indirect_reference.idnum: new for old, new in zip(piece.pages, pages, strict=True)}
        notes = [note for page in pages for note in page.get("/Annots") or []]
        numbers = [note.get_object().get("/StructParent", -1) for note in notes]
        self.links, self.marks = dict(zip(numbers, notes)), {}
        for note in notes:  # a number that is not given anew belongs to another piece
            note.get_object().pop("/StructParent", None)
        tree = piece.root_object["/StructTreeRoot"]
        part = DictionaryObject({NameObject("/S"): NameObject("/Part"), NameObject("/P"): self.document})
        self.parts.append(reference := self.writer._add_object(part))
        self.fill(reference, tree)
        for number, page in self.pages.items():
            marks = self.marks.get(number, {})
            row = ArrayObject(marks.get(i, reference) for i in range(max(marks, default=-1) + 1))
            page[NameObject("/StructParents")] = self.key(self.writer._add_object(row))
            page[NameObject("/Tabs")] = NameObject("/S")

    def close(self, language: str) -> None:
        """Hang the tree into the PDF."""
        root = self.root.get_object()
        root[NameObject("/K")] = self.document
        root[NameObject("/ParentTree")] = DictionaryObject({NameObject("/Nums"): self.owners})
        root[NameObject("/ParentTreeNextKey")] = NumberObject(len(self.owners) // 2)
        catalogue = self.writer.root_object
        catalogue[NameObject("/StructTreeRoot")] = self.root
        catalogue[NameObject("/MarkInfo")] = DictionaryObject({NameObject("/Marked"): BooleanObject(True)})
        catalogue[NameObject("/Lang")] = TextStringObject(language)
        self.writer.create_viewer_preferences().display_doctitle = True


def aside(sheet: PageObject) -> PageObject:
    """Mark all that is on a sheet as no part of the text: running heads and numbers."""
    content = sheet.get_contents()
    content.set_data(b"/Artifact BMC\n" + content.get_data() + b"\nEMC\n")
    sheet[NameObject("/Contents")] = content
    return sheet
