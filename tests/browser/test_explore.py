"""A choice of two under a stored picture: two buttons that change the picture, what it says, and which is pressed."""

import pytest
from playwright.sync_api import expect

from ncbook.figures import explore, style


def draw(slope, kind):
    fig, ax = style.new(2, 2)
    ax.plot([0, 1], [0, slope], "-" if kind == "solid" else ":")
    return fig


@pytest.fixture
def page(browser, tmp_path):
    html = explore(draw, alt="a line", slope=[1, 2, 3], kind=["solid", "dotted"]).to_html()
    file = tmp_path / "page.html"
    file.write_text(f'<!doctype html><meta charset="utf-8">{html}', encoding="utf-8")
    page = browser.new_page()
    page.goto(file.as_uri())
    yield page
    page.close()


def test_two_buttons_choose(page):
    image = page.get_by_role("img")
    before = image.get_attribute("src")
    page.get_by_role("slider").focus()
    page.keyboard.press("End")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(image).to_have_attribute("alt", "a line (slope = 3, kind = dotted)")
    pressed = page.get_by_role("group", name="kind").get_by_role("button", pressed=True)
    assert pressed.text_content() == "dotted"
    expect(image).not_to_have_attribute("src", before)
    page.get_by_role("button", name="solid").click()
    page.get_by_role("slider").focus()
    page.keyboard.press("Home")
    expect(image).to_have_attribute("alt", "a line (slope = 1, kind = solid)")
    expect(image).to_have_attribute("src", before)
