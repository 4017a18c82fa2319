"""The built pages in a real browser, opened from the disk with the network cut off."""

import re

import pytest
import yaml
from playwright.sync_api import expect

from tests.conftest import ROOT

HTML = ROOT / "_build" / "html"
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text())
PAGES = [TOC["root"], *(c["file"] for part in TOC["parts"] for c in part["chapters"])]
by_page = pytest.mark.parametrize("name", PAGES)


@pytest.fixture
def visit(browser):
    """Open a page and note every complaint of the browser on the way."""
    assert (HTML / "index.html").exists(), "no built book: run `make book` first"
    opened = []

    def go(name, width=1280, mode="light", **options):
        size = {"width": width, "height": 900}
        context = browser.new_context(viewport=size, color_scheme=mode, offline=True, **options)
        opened.append(context)
        page = context.new_page()
        page.complaints = []
        page.on("console", lambda m: page.complaints.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: page.complaints.append(str(e)))
        page.on("requestfailed", lambda r: page.complaints.append(f"failed: {r.url}"))
        page.on("request", lambda r: page.complaints.append(f"outside: {r.url}") if r.url.startswith("http") else None)
        page.goto((HTML / f"{name}.html").as_uri())
        page.wait_for_load_state("load")
        return page

    yield go
    for context in opened:
        context.close()


def wait_for_math(page):
    page.wait_for_function(
        "!window.MathJax || !MathJax.startup || MathJax.startup.promise.then(() => true)", timeout=60_000
    )


@by_page
def test_page_opens_without_a_complaint_and_its_equations_are_set(visit, name):
    page = visit(name)
    wait_for_math(page)
    page.wait_for_timeout(300)
    assert page.complaints == []
    raw = page.evaluate("[...document.querySelectorAll('.math')].filter(e => !e.querySelector('mjx-container')).length")
    broken = page.evaluate("document.querySelectorAll('mjx-merror, [data-mjx-error]').length")
    assert (raw, broken) == (0, 0)


@by_page
def test_every_slider_changes_its_picture_and_description_by_keyboard(visit, name):
    page = visit(name)
    boxes = page.locator(".ncx")
    for b in range(boxes.count()):
        box = boxes.nth(b)
        image = box.locator("img")
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
            assert image.evaluate("e => e.decode().then(() => e.naturalWidth)") > 100
    assert page.complaints == []


@pytest.mark.parametrize("mode", ["light", "dark"])
@by_page
def test_phone_page_does_not_scroll_sideways(visit, name, mode):
    page = visit(name, width=390, mode=mode)
    wait_for_math(page)
    page.wait_for_timeout(200)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    printed = "[...document.querySelectorAll('.cell_output pre')]"
    assert page.evaluate(f"{printed}.filter(e => e.scrollWidth > e.clientWidth + 1).length") == 0


def luminance(colour):
    r, g, b = (int(float(v)) / 255 for v in re.findall(r"[\d.]+", colour)[:3])
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


@by_page
def test_light_and_dark_mode_turn_page_and_text_over(visit, name):
    shades = {}
    for mode in ("light", "dark"):
        page = visit(name, mode=mode)
        page.wait_for_function(f"document.documentElement.dataset.theme === '{mode}'")
        style = "getComputedStyle(document.querySelector('%s')).%s"
        shades[mode] = [
            luminance(page.evaluate(style % pair))
            for pair in (("body", "backgroundColor"), ("article p, article h1", "color"))
        ]
    assert shades["light"][0] > 0.9 > 0.5 > shades["light"][1] and shades["dark"][0] < 0.15 < 0.5 < shades["dark"][1]


def test_the_play_button_runs_the_film_and_stops(visit):
    for name in PAGES:
        page = visit(name)
        if page.locator(".ncx-play").count():
            break
    box = page.locator(".ncx:has(.ncx-play)").first
    slider, button = box.locator("input").first, box.locator(".ncx-play")
    slider.focus()
    page.keyboard.press("Home")
    button.click()
    page.wait_for_timeout(900)
    at = int(slider.input_value())
    assert at >= 2 and button.get_attribute("aria-label") == "Pause"
    button.click()
    at = slider.input_value()
    page.wait_for_timeout(600)
    assert slider.input_value() == at and button.get_attribute("aria-label") == "Play"


def test_search_from_the_disk_shows_excerpts_and_chapters_first(visit):
    page = visit("search")
    page.goto((HTML / "search.html").as_uri() + "?q=simplex ETF")
    results = page.locator("#search-results li")
    expect(page.get_by_text("Search finished")).to_be_visible(timeout=20_000)
    places = [link.get_attribute("href") for link in results.locator("a").all()]
    assert len(places) == len(set(places)) > 5
    chapters = [i for i, place in enumerate(places) if place.startswith("chapters/")]
    terms = [i for i, place in enumerate(places) if "glossary" in place]
    assert places[0].startswith("chapters/02") and terms and chapters and max(chapters) < min(terms)
    found = results.first
    assert found.locator(".highlighted").count() >= 1 and len(found.locator("p.context").inner_text()) > 80
    assert page.complaints == []
    found.locator("a").click()
    assert page.locator(page.evaluate("location.hash.split('#')[1] && '#' + location.hash.slice(1)")).count() == 1


def test_the_three_doors_lead_somewhere(visit):
    page = visit("index")
    doors = page.locator("a.sd-stretched-link")
    assert doors.count() == 3
    for i in range(3):
        target = doors.nth(i).get_attribute("href").split("#")[0]
        assert (HTML / target).exists()


def test_a_solution_opens_by_keyboard(visit):
    page = visit(next(p for p in PAGES if p.startswith("chapters/")))
    toggles = page.locator(".solution.dropdown button, .solution details summary, .solution .toggle-button")
    assert toggles.count() >= 4
