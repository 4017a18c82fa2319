"""What every page owes its readers, seen on one page on a desktop and one on a phone, which its checks share.

The checks of a page run in the order of this file: those that change the page come last.
"""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.built_pages import PAGES, found_by_axe, wait_for_math


def opened(open_page, name, width):
    page = open_page(name, width)
    wait_for_math(page)
    yield page
    page.context.close()


@pytest.fixture(scope="module", params=PAGES)
def desktop(request, open_page):
    yield from opened(open_page, request.param, 1280)


@pytest.fixture(scope="module", params=PAGES)
def phone(request, open_page):
    yield from opened(open_page, request.param, 390)


def test_page_opens_without_a_complaint_and_its_equations_are_set(desktop):
    assert desktop.complaints == []
    formulas = "[...document.querySelectorAll('.math')]"
    raw = desktop.evaluate(f"{formulas}.filter(e => !e.querySelector('mjx-container')).length")
    broken = desktop.evaluate("document.querySelectorAll('mjx-merror, [data-mjx-error]').length")
    assert (raw, broken) == (0, 0)


TOO_WIDE = "[...document.querySelectorAll(%r)].filter(e => e.scrollWidth > e.clientWidth + 1 && !e.matches('.nc-more'))"
BEYOND_ITS_LINE = """[...document.querySelectorAll('p > .math > mjx-container')].filter(e => {
  const line = e.closest('p').getBoundingClientRect(), formula = e.getBoundingClientRect();
  return formula.width > 0 && formula.right > line.right + 2; }).map(e => e.parentElement.outerHTML)"""


def test_what_is_printed_and_every_equation_fit_a_desktop(desktop):
    for kind in (".cell_output pre", "mjx-container[display]"):
        assert desktop.evaluate(f"{TOO_WIDE % kind}.map(e => e.textContent.slice(0, 60))") == [], kind
    assert desktop.locator("mjx-container.nc-more").count() == 0


def test_formulas_are_no_tab_stops_unless_they_scroll(desktop):
    stops = "[...document.querySelectorAll('mjx-container[tabindex]')].filter(e => e.scrollWidth <= e.clientWidth)"
    assert desktop.evaluate(f"{stops}.length") == 0


def test_axe_finds_nothing(axe, desktop):
    assert found_by_axe(desktop, axe) == []


def test_every_slider_changes_its_picture_and_description_by_keyboard(desktop):
    page = desktop
    boxes = page.locator(".ncx")
    for b in range(boxes.count()):
        box = boxes.nth(b)
        image = box.get_by_role("img")
        for s in range(box.locator("input[type=range]").count()):
            slider = box.locator("input[type=range]").nth(s)
            slider.focus()
            drawn, at = image.get_attribute("src"), slider.input_value()
            page.keyboard.press("Home")
            if slider.input_value() != at:  # a frame is unpacked in its own time
                expect(image).not_to_have_attribute("src", str(drawn))
            before = image.get_attribute("src"), image.get_attribute("alt"), slider.get_attribute("aria-valuetext")
            page.keyboard.press("ArrowRight")
            after = image.get_attribute("src"), image.get_attribute("alt"), slider.get_attribute("aria-valuetext")
            assert all(x != y for x, y in zip(before[1:], after[1:])), f"figure {b}, slider {s}: {before[1:]}"
            page.keyboard.press("End")
            expect(image, f"figure {b}, slider {s} shows one picture only").not_to_have_attribute("src", before[0])
            page.wait_for_function("e => e.complete && e.naturalWidth > 100", arg=image.element_handle())
    assert page.complaints == []


PICTURES = "[...document.querySelectorAll('.nc-panels img')].filter(e => e.offsetParent)"


def test_letters_in_pictures_can_be_read_on_a_phone(phone):
    drawn = phone.evaluate(f"{PICTURES}.map(e => e.getBoundingClientRect().height / e.naturalHeight)")
    assert [20 * scale for scale in drawn if 20 * scale < 8.7] == []  # of 10 points, 20 pixels in the picture
    tops_of = "e => [...e.children].map(c => c.getBoundingClientRect().top)"
    windows = phone.evaluate(f"[...document.querySelectorAll('.nc-several')].map({tops_of})")
    assert all(tops == sorted(set(tops)) for tops in windows)


def luminance(colour):
    r, g, b = (int(float(v)) / 255 for v in re.findall(r"[\d.]+", colour)[:3])
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_phone_page_has_the_system_s_colours_and_does_not_scroll_sideways(phone, mode):
    phone.emulate_media(color_scheme=mode)
    phone.wait_for_function(f"document.documentElement.dataset.theme === '{mode}'")
    style = "getComputedStyle(document.querySelector('%s')).%s"
    around = luminance(phone.evaluate(style % ("body", "backgroundColor")))
    text = luminance(phone.evaluate(style % ("article p, article h1", "color")))
    assert around > 0.9 > 0.5 > text if mode == "light" else around < 0.15 < 0.5 < text
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    # An equation that scrolls shows that it goes on; of what cells print only tables scroll, and by keyboard too.
    assert phone.evaluate(f"{TOO_WIDE % 'mjx-container[display]'}.length") == 0
    for text, stop in phone.evaluate(f"{TOO_WIDE % '.cell_output pre'}.map(e => [e.textContent, e.tabIndex])"):
        assert stop == 0 and sum(len(re.split(" {2,}", line.strip())) >= 4 for line in text.splitlines()) >= 3, text
    assert phone.evaluate(BEYOND_ITS_LINE) == []
    assert phone.complaints == []


def test_a_dark_page_shows_dark_pictures_without_a_filter(phone):
    phone.emulate_media(color_scheme="dark")
    frames = "[...document.querySelectorAll('.ncx img')]"
    phone.wait_for_function(f"{frames}.every(e => e.src.startsWith('data:image/png'))")
    look = "[getComputedStyle(e).filter, getComputedStyle(e).padding, /-dark-|^data:image\\/png/.test(e.src)]"
    shown = phone.evaluate(f"{PICTURES}.map(e => {look})")
    assert shown == [["none", "0px", True]] * len(shown)
