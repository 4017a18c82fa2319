"""Two pages of the book as a PDF: bookmarks, numbers, running heads, links that stay inside, no dead controls."""

import pytest
from pypdf import PdfReader

from tests.browser.built_pages import HTML, TOC
from tools import pdf
from tools.printing import Part, opened, parts

PAGES = ["chapters/11-unequal-classes", "appendix/notation"]


@pytest.fixture(scope="module")
def book(browser, tmp_path_factory):
    pieces = [pdf.printed(browser, HTML, name, opens) for name, opens in zip(PAGES, ["Beyond", ""])]
    out = tmp_path_factory.mktemp("pdf") / "book.pdf"
    pdf.put_together(browser, HTML, pieces, "An author").write(out)
    return PdfReader(out)


def flat(outline):
    for entry in outline:
        yield from flat(entry) if isinstance(entry, list) else [entry]


def test_the_order_is_that_of_the_contents():
    assert parts()[0] == Part("", [TOC["root"]])
    assert [page for part in parts()[1:] for page in part.pages] == [
        entry["file"] for part in TOC["parts"] for entry in part["chapters"]
    ]


def test_every_page_has_its_number_and_every_chapter_its_running_head(book):
    assert len(book.pages) > 20 and book.metadata.title == pdf.TITLE
    for at, page in enumerate(book.pages[2:12], 3):
        lines = page.extract_text().split("\n")
        assert str(at) in [line.strip() for line in lines[-3:]], at
    assert "Unequal classes" in book.pages[5].extract_text()


def test_bookmarks_lead_to_what_they_name(book):
    entries = list(flat(book.outline))
    titles = [entry.title for entry in entries]
    assert titles[0] == "Beyond" and len(titles) > 12
    for entry in entries[1:-1:6]:
        page = book.pages[book.get_destination_page_number(entry)]
        assert "".join(entry.title.split())[:12] in "".join(page.extract_text().split())


def test_links_between_pages_of_the_book_stay_inside_and_no_other_file_is_named(book):
    actions = [note.get_object().get("/A", {}) for page in book.pages for note in page.get("/Annots") or []]
    assert not [a for a in actions if str(a.get("/URI", "")).startswith("file:")]
    assert [a for a in actions if a.get("/S") == "/GoTo"]


def test_what_folds_out_is_open_and_what_asks_for_a_hand_is_gone(book):
    text = "\n".join(page.extract_text() for page in book.pages)
    assert "Solution" in text and "Right. " in text
    assert not [
        word for word in ("Show code cell", "Click to show", "Copy to clipboard", "Your number") if word in text
    ]


def elements(node):
    """Yield the elements of the tree of tags, each with the marks and links that it holds itself."""
    inside = node.get("/K", [])
    own = [k.get_object() for k in (inside if isinstance(inside, list) else [inside.get_object()])]
    own = [{"/Type": "/MCR", "/Pg": node["/Pg"], "/MCID": k} if isinstance(k, int) else k for k in own]
    yield node, [k for k in own if "/S" not in k]
    for kid in own:
        if "/S" in kid:
            assert kid["/P"] == node
            yield from elements(kid)


def test_it_is_tagged_and_formulas_are_read_out(book):
    root = book.root_object
    assert root["/MarkInfo"]["/Marked"] and root["/Lang"] == "en" and root["/ViewerPreferences"]["/DisplayDocTitle"]
    tree = list(elements(root["/StructTreeRoot"]["/K"]))
    kinds = [str(node["/S"]) for node, _ in tree]
    assert kinds.count("/H1") == 3 and kinds.count("/Part") == 3 and "/NonStruct" not in kinds
    assert min(kinds.count(f"/{kind}") for kind in ("H2", "L", "Table", "TH", "Link", "Code")) >= 1
    formulas = [node["/Alt"] for node, _ in tree if node["/S"] == "/Formula"]
    built = "".join((HTML / f"{page}.html").read_text(encoding="utf-8") for page in PAGES)
    assert len(formulas) == built.count('class="math notranslate') > 300
    assert r"H\in\mathbb R^{d\times N}" in formulas and all(text.strip() == text != "" for text in formulas)
    described = [node["/Alt"] for node, _ in tree if node["/S"] == "/Figure" and "/Alt" in node]
    assert len(described) >= 2 and min(map(len, described)) > 20


def test_every_tagged_mark_and_link_names_its_element(book):
    tree = book.root_object["/StructTreeRoot"]
    numbers = tree["/ParentTree"]["/Nums"]
    owner = {key: value.get_object() for key, value in zip(numbers[::2], numbers[1::2])}
    assert list(owner) == sorted(owner) == list(range(tree["/ParentTreeNextKey"]))
    marks = links = 0
    for node, own in elements(tree["/K"]):
        for mark in own:
            if mark["/Type"] == "/MCR":
                assert owner[mark["/Pg"]["/StructParents"]][mark["/MCID"]].get_object() == node
                marks += 1
            else:
                assert owner[mark["/Obj"]["/StructParent"]] == node
                links += 1
    notes = [note.get_object() for page in book.pages for note in page.get("/Annots") or []]
    assert marks > 1000 and links == len(notes) > 5
    for page in book.pages[2:6]:  # what lies on the page besides is marked as no part of the text
        content = page.get_contents().get_data()
        assert content.count(b"/Artifact BMC") == 1 and content.rindex(b"/Artifact BMC") > content.rindex(b"/MCID")


def test_a_live_experiment_is_its_still_picture(browser):
    with opened(browser, HTML / "index.html") as page:
        assert page.locator(".nclive-still img").is_visible() and page.locator(".nclive-panel").count() == 0
