"""The questions inside a page: answered by mouse and by keyboard, told to everyone, kept nowhere."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.built_pages import HTML, found_by_axe, wait_for_math

PAGE = "chapters/09-measuring-collapse"


@pytest.fixture
def asked(visit):
    page = visit(PAGE, width=320, mode="dark")
    wait_for_math(page)
    return page


def beginning(text):
    return re.compile(rf"^{re.escape(text)}")


def kept(page):
    return page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie, location.hash])")


def test_each_choice_is_explained_and_nothing_is_kept(asked):
    before = kept(asked)
    choices = asked.locator("ol.nccheck-choices").first.get_by_role("button")
    said = asked.locator(".nccheck-said").first
    assert said.get_attribute("aria-live") == "polite" and said.inner_text() == ""
    told = []
    for i in range(choices.count()):
        choices.nth(i).click()
        told.append(said.inner_text())
        pressed = [choices.nth(j).get_attribute("aria-pressed") for j in range(choices.count())]
        assert pressed == ["true" if j == i else "false" for j in range(choices.count())]
    assert len(set(told)) == choices.count() >= 3
    assert sorted(text.split(".")[0] for text in told) == ["No", "No", "Right"]
    assert kept(asked) == before and asked.complaints == []


def test_the_keyboard_is_enough(asked):
    first = asked.locator("ol.nccheck-choices button").first
    first.focus()
    asked.keyboard.press("Tab")
    asked.keyboard.press("Enter")
    expect(asked.locator("ol.nccheck-choices button").nth(1)).to_have_attribute("aria-pressed", "true")
    expect(asked.locator(".nccheck-said").first).to_have_text(beginning("Right."))


def test_a_number_is_compared_within_its_tolerance(asked):
    form = asked.locator("form.nccheck-number")
    for given, told in (
        ("67", "Right."),
        ("65", "Close"),
        ("67,08", "Right."),
        ("\u221267", "The size is right"),
        ("134/2", "Right."),
        ("50", "Too small."),
        ("6.7e3", "Too large."),
        ("many", "This is not a number."),
        ("6700 %", "Right."),
        ("", "This is not a number."),
    ):
        form.get_by_label("Your number").fill(given)
        asked.keyboard.press("Enter")
        expect(form.locator("+ .nccheck-said"), given).to_have_text(beginning(told))


def test_without_scripts_the_answers_open(browser):
    context = browser.new_context(java_script_enabled=False, viewport={"width": 390, "height": 900})
    page = context.new_page()
    page.goto((HTML / f"{PAGE}.html").as_uri())
    answers = page.locator("details.nccheck").first
    assert page.locator("#check-yourself button, #check-yourself form").count() == 0
    assert not answers.locator("li").first.is_visible()
    answers.locator("summary").click()
    assert answers.locator("li").count() == 3 and answers.get_by_text("Right.").is_visible()
    context.close()


def test_axe_finds_nothing_once_answers_are_given(axe, asked):
    for i in range(2):
        asked.locator("ol.nccheck-choices").nth(i).locator("button").first.click()
    asked.get_by_label("Your number").fill("67")
    asked.keyboard.press("Enter")
    assert asked.evaluate("document.documentElement.scrollWidth") <= 320
    assert found_by_axe(asked, axe, "'#check-yourself'") == []
