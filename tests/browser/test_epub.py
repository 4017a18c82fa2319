"""Two pages of the book as an ePub: `epubcheck` finds nothing, formulas are MathML, links lead somewhere."""

import io
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from tests.browser.built_pages import HTML
from tools import epub
from tools.printing import Part

PAGES = ["chapters/11-unequal-classes", "appendix/notation"]
XHTML = "{http://www.w3.org/1999/xhtml}"
MATH = "{http://www.w3.org/1998/Math/MathML}"


@pytest.fixture(scope="module")
def book(browser, tmp_path_factory):
    pages = {name: epub.read(browser, HTML, name) for name in PAGES}
    out = tmp_path_factory.mktemp("epub") / "book.epub"
    epub.write(epub.pack(HTML, [Part("", PAGES[:1]), Part("Appendix", PAGES[1:])], pages, "An author"), out)
    return out


@pytest.fixture(scope="module")
def documents(book):
    with zipfile.ZipFile(book) as archive:
        return {n: ElementTree.fromstring(archive.read(n)) for n in archive.namelist() if n.endswith(".xhtml")}


def test_epubcheck_finds_nothing(book):
    command = shutil.which("epubcheck")
    if command is None:
        if os.environ.get("CI"):
            pytest.fail("epubcheck is not installed (Debian: apt install epubcheck)")
        pytest.skip("epubcheck is not installed (Debian: apt install epubcheck)")
    jar = Path(command).resolve()
    run = ["java", "-jar", str(jar)] if jar.suffix == ".jar" else [command]
    done = subprocess.run([*run, str(book)], capture_output=True, text=True)
    assert done.returncode == 0 and "0 fatals / 0 errors / 0 warnings" in done.stdout, done.stdout + done.stderr


def test_every_formula_is_mathml_and_nothing_asks_for_a_script(documents):
    for name, tree in documents.items():
        tags = {node.tag.rpartition("}")[2] for node in tree.iter()}
        assert not {"script", "button", "input", "svg", "details", "mjx-container"} & tags, name
    for page in PAGES:
        built = (HTML / f"{page}.html").read_text(encoding="utf-8")
        set_there = len(
            re.findall(r'class="math notranslate', built[built.index("<article") : built.index("</article")])
        )
        tree = documents[f"book/{page.replace('/', '-')}.xhtml"]
        assert len(list(tree.iter(f"{MATH}math"))) == set_there > 50
        assert r"\(" not in "".join(tree.itertext())
    letters = {
        node.text for node in documents["book/chapters-11-unequal-classes.xhtml"].iter() if MATH in str(node.tag)
    }
    assert {"ℝ", "𝟏"} <= letters


def test_every_link_inside_leads_to_a_place(documents):
    places = {name: {node.get("id") for node in tree.iter() if node.get("id")} for name, tree in documents.items()}
    links = [(name, node.get("href")) for name, tree in documents.items() for node in tree.iter(f"{XHTML}a")]
    inside = [(name, link) for name, link in links if not link.startswith("http")]
    assert len(inside) > 20
    for name, link in inside:
        file, _, anchor = link.partition("#")
        target = f"book/{file}" if file else name
        assert target in places and (not anchor or anchor in places[target]), (name, link)


def test_every_picture_is_there_described_and_of_a_kind_that_readers_know(book, documents):
    pictures = [node for tree in documents.values() for node in tree.iter(f"{XHTML}img")]
    assert len(pictures) >= 2 and all(node.get("alt") for node in pictures)
    with zipfile.ZipFile(book) as archive:
        assert archive.namelist()[0] == "mimetype"
        kinds = {Image.open(io.BytesIO(archive.read(f"book/{node.get('src')}"))).format for node in pictures}
    assert kinds == {"PNG"}
