"""The built pages as files: complete, self-contained, described. Needs a built book (make test builds it first)."""

import html.parser
import importlib
import inspect
import json
import re

import pytest
import yaml

from tests.conftest import ROOT

HTML = ROOT / "_build" / "html"
PAGES = sorted(p for p in HTML.rglob("*.html") if not {"_static", "_sources"} & set(p.relative_to(HTML).parts))
ROOMS = {f"ncbook.{p.parent.name}" for p in (ROOT / "ncbook").glob("*/__init__.py")}
LOADING = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "link": "href",
    "source": "src",
    "video": "src",
    "object": "data",
}


class Page(html.parser.HTMLParser):
    """What a page loads, and which pictures lack a description."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.undescribed, self.ids = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if (
            tag in LOADING
            and values.get(LOADING[tag])
            and values.get("rel") not in ("canonical", "next", "prev", "search", "index")
        ):
            self.loads.append(values[LOADING[tag]])
        if tag == "img" and not (values.get("alt") or "").strip() and "aria-hidden" not in values:
            self.undescribed.append((values.get("src") or "")[:80])


@pytest.fixture(scope="module")
def pages():
    assert PAGES, "no built book: run `make book` first"
    return {p.relative_to(HTML).as_posix(): Page(p.read_text()) for p in PAGES}


def test_every_page_of_the_contents_was_built(pages):
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    files = [toc["root"], *(c["file"] for part in toc["parts"] for c in part["chapters"])]
    assert [f for f in files if f"{f}.html" not in pages] == []


def test_no_page_loads_anything_from_outside(pages):
    outside = {n: [u for u in page.loads if re.match(r"(https?:)?//", u)] for n, page in pages.items()}
    assert {n: urls for n, urls in outside.items() if urls} == {}


def test_every_file_that_a_page_loads_exists(pages):
    missing = {}
    for name, page in pages.items():
        for url in page.loads:
            target = (HTML / name).parent / url.split("?")[0].split("#")[0]
            if not url.startswith(("data:", "#")) and not target.exists():
                missing.setdefault(name, []).append(url)
    assert missing == {}


def test_every_picture_is_described(pages):
    assert {n: page.undescribed for n, page in pages.items() if page.undescribed} == {}


def test_every_exploration_is_under_a_megabyte():
    sizes = []
    for page in PAGES:
        for block in re.findall(r'<div class="ncx" id="[^"]+">.*?</script></div>', page.read_text(), re.S):
            sizes.append(len(block))
    assert sizes and max(sizes) < 1_000_000


def test_every_chapter_has_a_figure_that_moves():
    chapters = [p for p in PAGES if p.parent.name == "chapters"]
    moving = re.compile(r'class="(ncx|nclive)"')  # over drawn frames, or computed in the page
    assert [p.stem for p in chapters if not moving.search(p.read_text())] == []


def test_no_cell_of_the_built_book_failed():
    assert [p.stem for p in PAGES if re.search(r'class="output traceback', p.read_text())] == []


def test_pages_show_no_progress_bars():
    assert [p.stem for p in PAGES if "output stderr" in p.read_text()] == []


def test_colab_buttons_appear_only_with_an_address():
    from tools.repository import address

    shown = [p.stem for p in PAGES if "colab.research.google.com" in p.read_text() and p.parent.name == "chapters"]
    assert bool(shown) == bool(address())


def public_names():
    """Every public name as (room, name, object): a face's ``__all__``, or what a single file defines."""
    for path in sorted((ROOT / "ncbook").iterdir()):
        room = path.stem
        if room.startswith("_") or not (path.suffix == ".py" or (path / "__init__.py").exists()):
            continue
        face = importlib.import_module(f"ncbook.{room}")
        own = (n for n, v in vars(face).items() if n[0] != "_" and getattr(v, "__module__", "") == face.__name__)
        for name in getattr(face, "__all__", own):
            yield room, name, getattr(face, name)


def test_every_public_name_is_on_the_api_page_exactly_once():
    page = (HTML / "appendix" / "api.html").read_text()
    ids = re.findall(r'id="((?:module-)?ncbook\.[\w.]+)"', page)
    wanted = []
    for room, name, value in public_names():
        if not inspect.ismodule(value):
            wanted.append(f"ncbook.{room}.{name}")
        elif room != "figures":  # a topic's drawings are not listed
            wanted.append(f"module-ncbook.{room}.{name}")
    assert len(wanted) > 100
    assert {name: ids.count(name) for name in wanted if ids.count(name) != 1} == {}
    inner = {name for name in ids if name.count(".") > 1 and name.rsplit(".", 1)[0].removeprefix("module-") in ROOMS}
    assert inner - set(wanted) == set(), "documented but not public"


def test_every_public_name_has_a_docstring_and_hints():
    lacking = []
    for room, name, value in public_names():
        function = inspect.isfunction(value)
        if (function or inspect.isclass(value) or inspect.ismodule(value)) and not value.__doc__:
            lacking.append(f"{room}.{name} has no docstring")
        hints = value.__annotations__ if function else {}
        if function and set(inspect.signature(value).parameters) | {"return"} != set(hints):
            lacking.append(f"{room}.{name} lacks hints")
    assert lacking == []


def test_every_recorded_result_is_described():
    described = (ROOT / "results" / "README.md").read_text()
    assert [p.name for p in (ROOT / "results").glob("**/*.json") if p.name not in described] == []


def test_every_citation_key_is_used_or_gone():
    keys = re.findall(r"(?m)^@\w+\{([^,]+),", (ROOT / "references.bib").read_text())
    sources = [*(ROOT / "chapters").glob("*.ipynb"), *(ROOT / "appendix").glob("*.md"), ROOT / "index.md"]
    text = "\n".join(p.read_text() for p in sources)
    assert [k for k in keys if not re.search(rf"\b{re.escape(k)}\b", text)] == []


def test_every_reference_to_a_term_a_theorem_or_an_equation_has_its_card():
    script = (HTML / "cardtexts.js").read_text(encoding="utf-8")
    texts = json.loads(script.removeprefix("ncCards(").removesuffix(");\n"))
    kinds = "term|equation|thm|prop|lem|def|cor"
    count = 0
    for page in PAGES:
        article = page.read_text(encoding="utf-8").partition("<article")[2].rpartition("</article>")[0]
        for file, anchor in re.findall(rf'<a class="reference internal" href="([^"#]*)#((?:{kinds})-[^"]+)"', article):
            place = (page.parent / file).resolve() if file else page.resolve()
            assert f"{place.relative_to(HTML.resolve()).as_posix()}#{anchor}" in texts, (page.name, file, anchor)
            count += 1
    assert count > 200
