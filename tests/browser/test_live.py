"""Live experiments in a real browser, each on its own page: what all owe to hands, keys, modes and widths."""

import json
import re

import pytest
import torch

from ncbook.figures import live
from tests.browser.live_pages import LAB, ONE_PANEL, START, STILL, by_name, of_vectors, settle, state, still


@by_name
@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 768, 1600])
def test_it_starts_without_a_complaint_and_fits_the_page(show, name, width, mode):
    page = show(name, width, mode)
    settle(page)
    assert page.complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator(".nclive-still").count() == 0 and page.locator("svg.nclive-stage").count() == 2 - (
        name in ONE_PANEL
    )


@by_name
def test_without_scripts_the_still_picture_is_there(show, name):
    page = show(name, java_script_enabled=False)
    assert page.get_by_role("img", name="A still picture.").is_visible()


@by_name
def test_every_control_has_a_name(show, name):
    page = show(name)
    nameless = page.evaluate(
        "[...document.querySelectorAll('button, input, [tabindex]')]"
        ".filter(e => !(e.getAttribute('aria-label') || e.textContent).trim()).length"
    )
    assert nameless == 0
    assert page.locator("[aria-live=polite]").count() == 1


@of_vectors
def test_a_vector_follows_the_mouse(show, name):
    page = show(name)
    before = state(page)["W"]
    box = page.locator(".nclive-handle[aria-label*='1 (drag']").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 25, y + 30, steps=4)
    page.mouse.up()
    after = state(page)["W"]
    assert after[0] != before[0] and after[1:] == before[1:]
    if name != "freefeatures":
        assert torch.tensor(after[0]).norm() == pytest.approx(1, abs=1e-5)


@of_vectors
def test_a_vector_follows_a_finger(show, name):
    page = show(name, 390, has_touch=True)
    before = state(page)
    box = page.locator(".nclive-handle[aria-label*='2 (drag']").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch = page.context.new_cdp_session(page)
    way = [("Start", [(x, y)]), ("Move", [(x + 15, y - 20)]), ("Move", [(x + 25, y - 30)]), ("End", [])]
    for kind, points in way:
        places = [{"x": a, "y": b} for a, b in points]
        touch.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": places})
        settle(page)
    assert state(page) != before


@of_vectors
def test_a_vector_follows_the_arrow_keys(show, name):
    page = show(name)
    before = state(page)["W"]
    page.locator(".nclive-handle[aria-label*='1 (drag']").first.focus()
    page.keyboard.press("ArrowLeft")
    assert state(page)["W"][0] != before[0]


@of_vectors
def test_the_state_travels_in_the_address(show, name):
    page = show(name)
    page.get_by_role("button", name="Throw them").click()
    page.get_by_role("button", name="One step").click()
    kept, address = state(page), page.evaluate("location.hash")
    assert address
    again = state(show(name, fragment=address))
    for key, value in kept.items():  # written to six decimals
        assert float((torch.tensor(again[key]) - torch.tensor(value)).abs().max()) < 3e-6
    for nonsense in ("#nc=1", re.sub("%22W%22", "%22V%22", address), address[:-9]):
        assert show(name, fragment=nonsense).complaints == []


@of_vectors
def test_start_again_returns_to_the_beginning(show, name):
    page = show(name)
    before = state(page)
    page.get_by_role("button", name="Throw them").click()
    assert state(page) != before
    page.get_by_role("button", name="Start again").click()
    assert {k: v for k, v in state(page).items() if k not in "WH"} == {k: v for k, v in before.items() if k not in "WH"}


@pytest.mark.parametrize("name", [name for name in START if name.split()[0] not in STILL])
def test_off_screen_nothing_runs(show, name):
    page = show(name)
    page.evaluate("document.body.insertAdjacentHTML('afterbegin', '<div style=\"height:3000px\"></div>')")
    page.evaluate("window.scrollTo(0, 0)")
    page.wait_for_function(f"{LAB}.visible === false")
    begins = "/Spread|Descend|Race|Flow|Play/.test(b.textContent)"
    page.evaluate(f"[...document.querySelectorAll('button')].find(b => {begins}).click()")
    settle(page)
    before = page.evaluate(f"JSON.stringify({LAB}.experiment.save())")
    settle(page)
    assert page.evaluate(f"JSON.stringify({LAB}.experiment.save())") == before
    page.evaluate("window.scrollTo(0, 3000)")
    page.wait_for_function(f"{LAB}.visible === true")
    page.wait_for_function(
        f"JSON.stringify({LAB}.experiment.save()) !== {json.dumps(json.dumps(before, separators=(',', ':')))}"
    )


@pytest.mark.parametrize(
    "change, words",
    [
        ({"name": "none"}, "name must be one of formulas, frames, freefeatures, neurons"),
        ({"alt": " "}, "alt must say"),
        ({"still": 3}, "still must be a function"),
        ({"num_classes": float("nan")}, "num_classes must be a finite number"),
        ({"num_classes": object()}, "num_classes must be a finite number"),
    ],
)
def test_bad_input_is_named(change, words):
    given = {"name": "simplex", "alt": "x", "still": still, "num_classes": 3} | change
    with pytest.raises(ValueError, match=words):
        live(given.pop("name"), **given)


def test_a_still_that_is_no_figure_is_named():
    with pytest.raises(ValueError, match="still must draw a matplotlib Figure, got int"):
        live("simplex", alt="x", still=lambda: 3).to_html()
