"""One headless Chromium for all these tests; without it they are skipped, except in continuous integration."""

import functools
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from ncbook.figures import live
from tests.browser.built_pages import HTML
from tests.browser.live_pages import parameters, still
from tests.conftest import ROOT

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
CHROMIUM = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
AXE = Path(os.environ.get("AXE_CORE", ROOT / "node_modules" / "axe-core" / "axe.min.js"))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Checks that share an open page stay in one process, and so do the tests of any other file."""
    from xdist.scheduler import LoadScopeScheduling

    class ByPage(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            page = re.search(r"test_every_page.*\[(.*?)(-light|-dark)?\]$", nodeid)
            return page[1] if page else nodeid.partition("::")[0]

    return ByPage(config, log)


def missing(message):
    (pytest.fail if os.environ.get("CI") else pytest.skip)(message)


@pytest.fixture(scope="package")
def browser():
    if CHROMIUM is None:
        missing("Chromium is not installed (Debian: apt install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def axe():
    """The source of axe-core, which is not part of the book: `npm install --no-save axe-core` puts it there."""
    if not AXE.exists():
        missing("axe-core is not installed: npm install --no-save axe-core, or name its axe.min.js in AXE_CORE")
    return AXE.read_text(encoding="utf-8")


def listened_to(page):
    """Note every complaint of the browser about a page, and every word with the network."""
    page.complaints = []
    page.on("console", lambda m: page.complaints.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda e: page.complaints.append(str(e)))
    page.on("requestfailed", lambda r: page.complaints.append(f"failed: {r.url}"))
    page.on("request", lambda r: page.complaints.append(f"outside: {r.url}") if r.url.startswith("http") else None)
    return page


@pytest.fixture(scope="package")
def open_page(browser):
    """Open a page of the built book, from the disk and with the network cut off; whoever opens it closes it."""
    assert (HTML / "index.html").exists(), "no built book: run `make book` first"

    def go(name, width=1280, mode="light", **options):
        size = {"width": width, "height": 900}
        context = browser.new_context(viewport=size, color_scheme=mode, offline=True, **options)
        page = listened_to(context.new_page())
        page.goto((HTML / f"{name}.html").as_uri())
        page.wait_for_load_state("load")
        return page

    return go


@pytest.fixture
def visit(open_page):
    """Open pages for one test."""
    opened = []

    def go(*args, **options):
        opened.append(open_page(*args, **options))
        return opened[-1]

    yield go
    for page in opened:
        page.context.close()


@functools.cache
def experiment(name, mode, changes):
    """Return a page with one experiment in it; ``changes`` is a JSON object."""
    script = name.split()[0]  # "formulas price": the script, and which of its views
    html = live(script, alt="A still picture.", still=still, **parameters(name, **json.loads(changes))).to_html()
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    return f'<!doctype html><html data-theme="{mode}">{head}<body>{html}</body></html>'


@pytest.fixture(scope="package")
def idle():
    """Pages that no test is using, by the options of their contexts: opening one takes longer than most tests."""
    return {}


@pytest.fixture
def show(browser, idle, tmp_path):
    """Open one experiment; complaints of the browser are kept on the page."""
    opened = []

    def go(name, width=1280, mode="light", fragment="", changes=None, **context):
        file = tmp_path / f"page-{len(opened)}.html"
        file.write_text(experiment(name, mode, json.dumps(changes or {})), encoding="utf-8")
        size = {"width": width, "height": 900}
        pages = idle.setdefault(tuple(context.items()), [])
        page = pages.pop() if pages else listened_to(browser.new_context(offline=True, **context).new_page())
        opened.append((pages, page))
        page.set_viewport_size(size)
        page.complaints.clear()
        page.goto(file.as_uri() + fragment)
        return page

    yield go
    for pages, page in opened:
        page.goto("about:blank")
        pages.append(page)
