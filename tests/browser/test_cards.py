"""References that open: by pointer and by keyboard, typeset, inside the window; a tap still follows the link."""

import pytest
from playwright.sync_api import expect

from tests.browser.built_pages import found_by_axe, wait_for_math

PAGE = "chapters/03-unconstrained-features"
THEOREM = "article a.reference[href='#thm-ufm-optimum']"
TERM = "article a.reference[href$='#term-balance']"


@pytest.fixture
def read(visit):
    def go(width=1280, mode="light", **context):
        page = visit(PAGE, width=width, mode=mode, **context)
        wait_for_math(page)
        return page

    return go


def point_at(page, selector):
    """Rest the mouse on a reference until its card is there and its formulas are set."""
    page.locator(selector).first.hover()
    card = page.locator(".nc-card:popover-open")
    expect(card.locator("mjx-container").first).to_be_visible()
    return card


def test_a_term_shows_its_definition_and_the_pointer_may_enter_the_card(read):
    page = read()
    card = point_at(page, TERM)
    assert card.get_attribute("role") == "tooltip"
    assert page.locator(TERM).first.get_attribute("aria-describedby") == card.get_attribute("id")
    expect(card).to_contain_text("the two factors share their singular values")
    assert r"\(" not in card.inner_text() and card.locator("a, [id]").count() == 0
    card.hover()
    page.wait_for_timeout(500)
    expect(card).to_be_visible()
    page.mouse.move(2, 2)
    expect(card).to_have_count(0)
    assert page.complaints == []


def test_the_keyboard_opens_scrolls_and_closes(read):
    page = read()
    page.set_viewport_size({"width": 1280, "height": 500})
    link, card = page.locator(THEOREM).first, page.locator(".nc-card:popover-open")
    page.keyboard.press("Tab")  # from here on focus is shown
    link.focus()
    expect(card).to_contain_text("Theorem 3.1")
    expect(card).to_have_attribute("tabindex", "0")  # the statement is longer than the window
    page.keyboard.press("Tab")
    expect(card).to_be_focused()
    page.keyboard.press("End")
    page.wait_for_function("document.querySelector('.nc-card').scrollTop > 0")
    page.keyboard.press("Escape")
    expect(card).to_have_count(0)
    expect(link).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    expect(card).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.locator(".nc-card").get_by_text("Theorem 3.1 (")).to_have_count(0)


def test_a_tap_follows_the_link(read):
    page = read(390, has_touch=True)
    page.locator(TERM).first.tap()
    page.wait_for_url("**/glossary.html#term-balance")
    assert page.locator(".nc-card").count() == 0


@pytest.mark.parametrize("width, mode", [(1280, "light"), (390, "dark")])
def test_a_card_fits_the_window_and_axe_finds_nothing(axe, read, width, mode):
    page = read(width, mode)
    card = point_at(page, THEOREM)
    box = card.bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= width and box["y"] >= 0 and box["y"] + box["height"] <= 900
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert card.evaluate("card => card.scrollWidth - card.clientWidth") <= 1
    assert found_by_axe(page, axe, "'.nc-card'") == []


def test_a_page_without_formulas_of_its_own_sets_those_of_a_card(visit):
    page = visit("appendix/run")
    assert page.evaluate("!window.MathJax")
    page.evaluate(
        "document.querySelector('article p').insertAdjacentHTML('beforeend',"
        ' \'<a class="reference internal" href="glossary.html#term-balance">balance</a>\')'
    )
    point_at(page, TERM)
    assert page.complaints == []
