"""axe-core finds nothing on any page, nor on one of each kind in the dark on a phone; formulas are no tab stops.

axe-core is not part of the book: `npm install --no-save axe-core` puts it where this test looks for it.
"""

import os
from pathlib import Path

import pytest

from tests.browser.test_browser import by_page, visit, wait_for_math  # noqa: F401
from tests.conftest import ROOT

AXE = Path(os.environ.get("AXE_CORE", ROOT / "node_modules" / "axe-core" / "axe.min.js"))
FOUND = """axe.run(document, {resultTypes: ['violations']}).then(found => found.violations.map(
    rule => [rule.id, ...rule.nodes.map(node => node.target.join(' '))]))"""


@pytest.fixture(scope="module")
def axe():
    if not AXE.exists():
        message = "axe-core is not installed: npm install --no-save axe-core, or name its axe.min.js in AXE_CORE"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return AXE.read_text(encoding="utf-8")


def found(axe, visit, name, width, mode):  # noqa: F811
    page = visit(name, width=width, mode=mode)
    wait_for_math(page)
    page.wait_for_timeout(300)
    page.evaluate(f"{axe};0")
    return page.evaluate(FOUND)


@by_page
def test_axe_finds_nothing(axe, visit, name):  # noqa: F811
    assert found(axe, visit, name, 1280, "light") == []


@pytest.mark.parametrize("name", ["index", "chapters/02-simplex-etf", "appendix/notation"])
def test_axe_finds_nothing_in_the_dark_on_a_phone(axe, visit, name):  # noqa: F811
    assert found(axe, visit, name, 390, "dark") == []


@pytest.mark.parametrize("width, mode", [(1280, "light"), (390, "dark")])
def test_axe_finds_nothing_among_what_a_search_has_found(axe, visit, width, mode):  # noqa: F811
    page = visit("search", width=width, mode=mode)
    page.goto(page.url + "?q=simplex")
    page.wait_for_selector("#search-results li .highlighted")
    page.evaluate(f"{axe};0")
    assert page.evaluate(FOUND) == [] and page.evaluate("document.documentElement.scrollWidth") <= width


@by_page
def test_formulas_are_no_tab_stops_unless_they_scroll(visit, name):  # noqa: F811
    page = visit(name)
    wait_for_math(page)
    page.wait_for_timeout(300)
    stops = "[...document.querySelectorAll('mjx-container[tabindex]')].filter(e => e.scrollWidth <= e.clientWidth)"
    assert page.evaluate(f"{stops}.length") == 0
