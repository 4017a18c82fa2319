"""axe-core finds nothing on one page of each kind in the dark on a phone, nor among the results of a search."""

import pytest

from tests.browser.built_pages import found_by_axe, wait_for_math


@pytest.mark.parametrize("name", ["index", "chapters/02-simplex-etf", "appendix/notation"])
def test_axe_finds_nothing_in_the_dark_on_a_phone(axe, visit, name):
    page = visit(name, width=390, mode="dark")
    wait_for_math(page)
    assert found_by_axe(page, axe) == []


@pytest.mark.parametrize("width, mode", [(1280, "light"), (390, "dark")])
def test_axe_finds_nothing_among_what_a_search_has_found(axe, visit, width, mode):
    page = visit("search", width=width, mode=mode)
    page.goto(page.url + "?q=simplex")
    page.wait_for_selector("#search-results li .highlighted")
    assert found_by_axe(page, axe) == [] and page.evaluate("document.documentElement.scrollWidth") <= width
