"""The built book in a real browser, opened from the disk with the network cut off: what some of its pages do."""

import re

from playwright.sync_api import expect

from tests.browser.built_pages import HTML, PAGES


def test_the_play_button_runs_the_film_and_stops(visit):
    page = visit(next(n for n in PAGES if 'class="ncx-play"' in (HTML / f"{n}.html").read_text(encoding="utf-8")))
    box = page.locator(".ncx:has(.ncx-play)").first
    slider, button = box.locator("input").first, box.locator(".ncx-play")
    slider.focus()
    page.keyboard.press("Home")
    button.click()
    page.wait_for_function("slider => Number(slider.value) >= 2", arg=slider.element_handle())
    assert button.get_attribute("aria-label") == "Pause"
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
    page.wait_for_url(re.compile("/chapters/02.*#"))
    expect(page.locator(f"[id='{page.url.partition('#')[2]}']")).to_have_count(1)


def test_a_printed_table_keeps_its_rows_on_a_phone_and_other_print_wraps(visit):
    page = visit("chapters/09-measuring-collapse", width=390)
    table = page.locator(".cell_output pre", has_text="nearest_mean_accuracy  confusion")
    expect(table).to_have_attribute("tabindex", "0")
    scrolls, lines = "e => e.scrollWidth > e.clientWidth", len(table.text_content().strip().splitlines())
    assert table.evaluate(scrolls) and lines == 11 and table.evaluate("e => e.clientHeight") < 25 * lines
    table.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("e => e.scrollLeft > 0", arg=table.element_handle())
    sentence = page.locator(".cell_output pre", has_text="the class means span 8 of 9 directions")
    assert not sentence.evaluate(scrolls)
    page.set_viewport_size({"width": 1280, "height": 900})
    expect(table).not_to_have_attribute("tabindex", "0")


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
