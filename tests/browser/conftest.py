"""One headless Chromium for the tests of a module; without it they are skipped, except in continuous integration."""

import os
import shutil

import pytest

from ncbook.figures import live
from tests.browser.live_pages import parameters, still

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
CHROMIUM = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        message = "Chromium is not installed (Debian: apt install chromium)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def show(browser, tmp_path):
    """Open one experiment; complaints of the browser are kept on the page."""
    opened = []

    def go(name, width=1280, mode="light", fragment="", changes=None, **context):
        script = name.split()[0]  # "formulas price": the script, and which of its views
        html = live(script, alt="A still picture.", still=still, **parameters(name, **(changes or {}))).to_html()
        file = tmp_path / "page.html"
        head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        file.write_text(f'<!doctype html><html data-theme="{mode}">{head}<body>{html}</body></html>', encoding="utf-8")
        options = {"viewport": {"width": width, "height": 900}, "offline": True, **context}
        opened.append(browser.new_context(**options))
        page = opened[-1].new_page()
        page.complaints = []
        page.on("console", lambda m: page.complaints.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: page.complaints.append(str(e)))
        page.goto(file.as_uri() + fragment)
        return page

    yield go
    for context in opened:
        context.close()
