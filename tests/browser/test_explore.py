"""Stored pictures under sliders and buttons: what they change, on a dark page and on a phone, too."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from ncbook.figures import dark, explore, style


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


def two_panels(slope):
    fig, (left, right) = style.new(6, 2.5, cols=2)
    left.plot([0, slope], color=style.COLORS[0])
    right.plot([slope, 0], color=style.COLORS[1])
    return fig


def pixels(uri):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).convert("RGB"))


@pytest.fixture
def panels(browser, tmp_path):
    html = explore(two_panels, alt="lines", slope=[1, 2, 3]).to_html()
    file = tmp_path / "page.html"
    file.write_text(f'<!doctype html><meta charset="utf-8">{html}', encoding="utf-8")
    page = browser.new_page(viewport={"width": 1000, "height": 900})
    page.goto(file.as_uri())
    yield page
    page.close()


def test_a_dark_page_has_the_package_s_inks(panels):
    image = panels.get_by_role("img", name="lines")
    light = {}
    for key, slope in (("End", 3), ("Home", 1)):
        before = image.get_attribute("src")
        panels.get_by_role("slider").press(key)
        expect(image).to_have_attribute("alt", f"lines (slope = {slope})")
        expect(image).not_to_have_attribute("src", before)
        light[slope] = pixels(image.get_attribute("src"))
    before = image.get_attribute("src")
    panels.evaluate("document.documentElement.dataset.theme = 'dark'")
    for key, slope in (("Home", 1), ("End", 3)):
        panels.get_by_role("slider").press(key)
        expect(image).not_to_have_attribute("src", before)
        before = image.get_attribute("src")
        shown = pixels(before).astype(int)
        assert shown[0, 0].tolist() == [0x12] * 3
        assert np.abs(shown - dark.on_dark(light[slope])).max() <= 1  # two ways of rounding a half
    panels.get_by_role("slider").press("Home")
    panels.evaluate("document.documentElement.dataset.theme = 'light'")
    expect(image).to_have_attribute("src", re.compile("^data:image/webp"))


def test_panels_stand_side_by_side_and_one_below_the_other_on_a_phone(panels):
    windows = panels.locator(".nc-panels > span")
    for width, is_stacked in ((1000, False), (390, True), (320, True)):
        panels.set_viewport_size({"width": width, "height": 900})
        left, right = windows.nth(0).bounding_box(), windows.nth(1).bounding_box()
        assert (right["y"] >= left["y"] + left["height"] - 1) == is_stacked
        assert (right["x"] >= left["x"] + left["width"] - 1) == (not is_stacked)
        assert panels.evaluate("document.documentElement.scrollWidth") <= width
        if is_stacked:  # letters of 10 points are 20 pixels high in the picture
            drawn = windows.nth(0).locator("img").evaluate("e => e.getBoundingClientRect().height / e.naturalHeight")
            assert 20 * drawn >= 9
    sources = {windows.nth(i).locator("img").get_attribute("src") for i in (0, 1)}
    assert len(sources) == 1


def test_a_single_panel_keeps_readable_letters_on_a_phone(page):
    page.set_viewport_size({"width": 390, "height": 900})
    drawn = page.get_by_role("img").evaluate("e => e.getBoundingClientRect().height / e.naturalHeight")
    assert 20 * drawn >= 8.7
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
