"""What the single live experiments show: each ends where its chapter's theorem says."""

import pytest
import torch

from ncbook import etf, sphere, ufm
from tests.browser.live_pages import LAB, settle, state


def test_the_ball_follows_hand_and_keys_and_its_place_travels(show):
    page = show("saddle")
    box = page.locator(".nclive-handle[aria-label*='ball']").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 40, y, steps=3)
    page.mouse.up()
    moved = state(page)["start"]
    assert moved[0] > -1.6 and moved[1] == pytest.approx(1.7, abs=0.02)
    page.keyboard.press("ArrowDown")
    assert state(page)["start"][1] == pytest.approx(moved[1] - 0.1, abs=1e-6)
    page.get_by_role("button", name="One step").click()
    kept = state(page)
    assert state(show("saddle", fragment=page.evaluate("location.hash"))) == kept and kept["steps"] == 1


def test_on_the_saddle_nothing_moves_until_it_is_nudged(show):
    page = show("saddle", reduced_motion="reduce")
    page.get_by_role("button", name="Stand on the saddle").click()
    page.get_by_role("button", name="Race").click()
    settle(page)
    value = page.locator(".nclive-readout tbody tr").first.locator("td").first
    assert value.text_content() == "0.69315"
    page.get_by_role("button", name="Nudge").click()
    page.get_by_role("button", name="Race").click()
    settle(page)
    assert value.text_content() == page.locator(".nclive-readout tbody tr").first.locator("td").nth(1).text_content()


def test_free_features_descend_to_the_closed_form(show):
    page = show("freefeatures", reduced_motion="reduce")
    page.get_by_role("button", name="Descend").click()
    found = state(page)
    problem = ufm.UFM(3, 4, 2, found["decayW"], found["decayH"], bias_decay=1.0)
    W, H = (torch.tensor(found[name], dtype=torch.float64) for name in "WH")
    value = float(problem.objective(W, H, torch.zeros(3, dtype=torch.float64)))
    assert value == pytest.approx(problem.optimum().value, abs=1e-8)


def test_neurons_align_before_the_loss_falls(show):
    page = show("neurons", reduced_motion="reduce")
    page.get_by_role("button", name="Flow").click()
    page.wait_for_function(f"{LAB}.status.textContent.includes('24 of 24')")
    lines = page.evaluate(
        "[...document.querySelectorAll('svg polyline')].map(l => l.getAttribute('points').split(' ')"
        ".map(p => Number(p.split(',')[1])))"
    )
    aligned, loss = ([(292 - y) / 262 for y in line] for line in lines)  # the chart's height is from 0 to 1
    halfway = next(i for i, value in enumerate(loss) if value < 0.5)
    assert aligned[halfway // 2] > 0.9 and loss[halfway // 2] > 0.9


def test_spreading_ends_in_the_simplex(show):
    page = show("simplex", reduced_motion="reduce")
    page.get_by_role("button", name="Throw them").click()
    page.get_by_role("button", name="Spread them").click()
    W = torch.tensor(state(page)["W"], dtype=torch.float64)
    assert etf.largest_cosine(W) == pytest.approx(-1 / 3, abs=2e-3)


def test_descending_on_the_sphere_ends_at_the_bound(show):
    page = show("sphere", reduced_motion="reduce")
    page.get_by_role("button", name="a sphere").click()
    page.get_by_role("button", name="Descend").click()
    found = state(page)
    point = (torch.tensor(found[name], dtype=torch.float64) for name in "WH")
    W, H = (rows / rows.norm(dim=1, keepdim=True) for rows in point)
    problem = sphere.SphericalUFM(3, 3, 3, found["tau"])
    assert float(problem.objective(W, H)) == pytest.approx(problem.lower_bound(), rel=0.2)


def test_the_trap_holds_on_the_circle(show):
    """One feature opposite its row: descent stops at a critical point that is not the minimum."""
    page = show("sphere", reduced_motion="reduce")
    page.get_by_role("button", name="The trap").click()
    page.get_by_role("button", name="Descend").click()
    found = state(page)
    point = (torch.tensor(found[name], dtype=torch.float64) for name in "WH")
    W, H = (rows / rows.norm(dim=1, keepdim=True) for rows in point)
    problem = sphere.SphericalUFM(3, 3, 2, found["tau"])
    assert float(problem.objective(W, H)) > 100 * problem.lower_bound()


def test_the_etf_loses_the_race_with_one_more_layer(show):
    page = show("race", changes={"layers": 2})
    first = page.locator(".nclive-readout th[scope=col]").first
    settle(page)
    assert first.text_content() == "simplex ETF"
    page.get_by_role("button", name="One more layer").click()
    settle(page)
    assert first.text_content() == "orthoplex"
    again = show("race", fragment=page.evaluate("location.hash"))
    assert state(again) == state(page) == {"K": 10, "L": 3, "decay": 0.001}


def test_the_number_of_layers_follows_the_hand_and_the_keys(show):
    page = show("race")
    box = page.locator("[aria-label^='number of layers']").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 120, y, steps=4)
    page.mouse.up()
    layers = state(page)["L"]
    assert layers > 5
    page.keyboard.press("ArrowLeft")
    assert state(page)["L"] == layers - 1
    assert page.get_by_role("slider", name="layers L").input_value() == str(layers - 1)


def test_under_strong_decay_every_shape_gives_up(show):
    page = show("race", changes={"decay": 0.1, "layers": 12})
    settle(page)
    assert page.locator(".nclive-readout th[scope=col]").first.text_content() == "all give up"
    assert page.locator("svg text", has_text="gives up").count() == 4
