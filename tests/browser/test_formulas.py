"""The live closed forms: what sliders, hand and keys change, what is said, and what a link keeps."""

import math

import pytest
import torch

from ncbook import etf, sphere, ufm
from tests.browser.live_pages import LAB, settle, state

HANDLES = {  # view: the handle, the state that it moves, a drag in pixels, and whether it raises that number
    "formulas price": ("best margin", "Kq", (40, 0), False),
    "formulas temperature": ("best probability", "tau", (30, 0), True),
    "formulas overlap": ("one standard deviation", "nc1", (-20, 0), False),
    "formulas retraction": ("end of the step", "step", (28, 40), False),
    "formulas phase": ("both decays", "decayH", (20, -30), True),
    "formulas bias": ("bias decay", "bias", (40, 0), True),
    "formulas orthant": ("origin", "share", (0, -25), True),
    "formulas swing": ("feature in the plane", "angle", (30, 0), True),
    "formulas cutoff": ("cut-off", "cutoff", (0, -40), True),
    "frames shadow": ("turn the vectors", "turn", (40, 0), True),
    "frames pull": ("vector 1", "angle", (29, 15), True),
    "frames onto": ("the star", "angle", (-26, 3), True),
    "frames sets": ("turn the view", "yaw", (40, 0), True),
}
GROUND = ("frames shadow", "frames sets")  # what is dragged is the whole picture: it stays where it is
by_handle = pytest.mark.parametrize("view", HANDLES)


def cells(page):
    settle(page)
    rows = page.locator(".nclive-readout tbody tr")
    return [rows.nth(i).locator("td").all_text_contents() for i in range(rows.count())]


def slide(page, name, position):
    page.get_by_role("slider", name=name, exact=True).fill(str(position))
    settle(page)


@by_handle
def test_a_dot_follows_hand_and_keys_and_its_place_travels(show, view):
    label, key, (right, down), grows = HANDLES[view]
    page = show(view)
    settle(page)
    before = state(page)[key]
    box = page.locator(f".nclive-handle[aria-label^='{label}']").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + right, y + down, steps=4)
    page.mouse.up()
    settle(page)
    moved = state(page)[key]
    assert moved > before if grows else moved < before
    now = page.locator(f".nclive-handle[aria-label^='{label}']").bounding_box()
    for way, by in (("x", right), ("y", down)):  # the dot stays under the hand, up to one step of its slider
        assert by == 0 or view in GROUND or now[way] - box[way] == pytest.approx(by, abs=5)
    page.keyboard.press("ArrowRight" if view in GROUND else "ArrowUp")
    assert state(page)[key] > moved
    again = show(view, fragment=page.evaluate("location.hash"))
    assert state(again) == state(page)
    page.get_by_role("button", name="Start again").click()
    assert state(page)[key] == before


@by_handle
def test_a_dot_follows_a_finger(show, view):
    label, key, (right, down), grows = HANDLES[view]
    page = show(view, 390, has_touch=True)
    settle(page)
    before = state(page)[key]
    box = page.locator(f".nclive-handle[aria-label^='{label}']").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch = page.context.new_cdp_session(page)
    for kind, share in (("Start", 0), ("Move", 0.5), ("Move", 1), ("End", None)):
        places = [] if share is None else [{"x": x + share * right, "y": y + share * down}]
        touch.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": places})
        settle(page)
    assert state(page)[key] > before if grows else state(page)[key] < before


@by_handle
def test_a_link_with_nonsense_starts_at_the_beginning(show, view):
    start = state(show(view))
    for nonsense in ("%7B%22K%22:1e9%7D", "%7B%22K%22:3%7D", "%5B%5D", "3", "%7B"):
        ident = show(view).locator(".nclive").get_attribute("id")
        page = show(view, fragment=f"#{ident}={nonsense}")
        assert state(page) == start and page.complaints == []


@by_handle
def test_a_frame_costs_less_than_four_milliseconds(show, view):
    page = show(view)
    page.locator(".nclive-handle").first.focus()
    for key in ["ArrowRight"] * 8 + ["ArrowLeft"] * 8:
        page.keyboard.press(key)
        settle(page)
    costs = page.evaluate(f"{LAB}.costs")
    # The quickest: how busy the machine is has no say. Medians are printed by benchmarks/frames.py.
    assert len(costs) > 10 and min(costs) < 4


def test_the_best_margin_is_the_package_s_at_every_price(show):
    page = show("formulas price")
    for position in (-2, -1, -0.3, 0.1):
        slide(page, "K q", position)
        best = ufm.best_margin(4, 10**position / 4)
        (margin, zero), (loss, chance), (price, _), (total, _) = cells(page)
        assert (margin, total) == (f"{best.margin:.3f}", f"{best.value:.3f}")
        assert float(loss) + float(price) == pytest.approx(float(total), abs=1.1e-3)
        assert (zero, chance) == ("0.000", f"{math.log(4):.3f}")
    page.wait_for_function(f"{LAB}.status.textContent.endsWith('no margin is worth its price.')")


def test_the_threshold_stays_at_one_for_every_number_of_classes(show):
    page = show("formulas price")
    for classes in range(6):
        slide(page, "classes K", classes)
        slide(page, "K q", -0.01)
        assert float(cells(page)[0][0]) > 0
        slide(page, "K q", 0)
        assert cells(page)[0][0] == "0.000"


def test_with_the_decay_as_slider_the_threshold_comes_earlier_for_more_classes(show):
    page = show("formulas margin")
    slide(page, "decay q", -1)
    assert float(cells(page)[0][0]) > 0
    slide(page, "classes K", 8)  # ten classes
    assert state(page)["K"] == 10 and cells(page)[0][0] == "0.000"


def test_probability_and_curvature_are_those_of_the_optimum(show):
    page = show("formulas temperature")
    for position in (-0.5, 0.3, 1.7):
        slide(page, "temperature τ", position)
        best = sphere.SphericalUFM(10, 1, 10, 10**position).optimum()
        assert cells(page)[1][0] == f"{best.probability:.4f}"
    slide(page, "classes K", 0)
    assert state(page)["K"] == 2
    now, most = zip(*cells(page))
    assert float(most[2]) > 0.1 and now[1] == "1.0000"


def test_the_same_nc1_parts_many_classes_better_than_two(show):
    page = show("formulas overlap")
    (many, two), (beyond, beyond_two) = cells(page)
    assert (many, two) == (f"{math.sqrt(4.5):.2f}", f"{math.sqrt(0.5):.2f}")
    assert float(beyond.split()[0]) == pytest.approx(
        100 * float(torch.special.ndtr(torch.tensor(-(4.5**0.5)))), rel=3e-3
    )
    assert float(beyond_two.split()[0]) > 20
    slide(page, "classes K", 0)
    assert cells(page)[0] == [f"{math.sqrt(0.5):.2f}"] * 2


def test_halving_the_step_brings_the_end_points_eight_times_closer(show):
    page = show("formulas retraction")
    gaps = []
    x, v = torch.tensor([[1.0, 0.0]], dtype=torch.float64), torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    for step in (1.6, 0.8, 0.4, 0.2, 0.1):
        assert state(page)["step"] == pytest.approx(step)
        gaps.append(float((sphere.retract(x, step * v) - sphere.geodesic(x, step * v)).norm()))
        assert cells(page)[1][0] == f"{gaps[-1]:.3g}" or "10⁻" in cells(page)[1][0]
        page.get_by_role("button", name="Halve the step").click()
    assert gaps[-2] / gaps[-1] == pytest.approx(8, abs=0.2) and gaps[0] / gaps[1] < 5


def test_the_margin_depends_on_the_product_of_the_decays(show):
    page = show("formulas phase")
    first = state(page)
    best = ufm.UFM(10, 10, 10, first["decayW"], first["decayH"]).optimum()
    assert cells(page)[2] == [f"{best.margin:.2f}", "0"]
    page.locator("[aria-label^='both decays']").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")  # as much less as the other is more
    assert cells(page)[2] == [f"{best.margin:.2f}", "0"] and state(page) != first
    slide(page, "samples a class n", 19)  # a hundred
    product, share, _ = cells(page)
    assert state(page)["n"] == 100 and product[1] == "1.0\u00a0·\u00a010⁻⁴"
    assert float(share[0]) == pytest.approx(10 * math.sqrt(100 * 1e-5), rel=1e-2)


def test_beyond_the_threshold_all_is_zero(show):
    page = show("formulas phase", changes={"weight_decay": 1.0, "feature_decay": 0.01})
    assert cells(page)[2] == ["0.00", "0"]
    page.wait_for_function(f"{LAB}.status.textContent.endsWith('all is zero.')")


def test_the_product_s_dot_moves_both_decays_by_one_factor(show):
    page = show("formulas phase")
    before = state(page)
    page.locator("[aria-label^='product of the decays (']").focus()
    page.keyboard.press("ArrowRight")
    after = state(page)
    for name in ("decayW", "decayH"):
        assert after[name] / before[name] == pytest.approx(10**0.05)


def test_centred_orthogonal_means_are_the_simplex(show):
    page = show("formulas orthant")
    slide(page, "global mean removed", 1)
    assert cells(page) == [["−0.500", "−0.500"], ["120.0°", "120.0°"]]
    slide(page, "global mean removed", 0)
    assert [row[0] for row in cells(page)] == ["0.000", "90.0°"]


def test_the_rows_open_beyond_the_threshold_of_the_bias_decay(show):
    page = show("formulas bias")
    assert cells(page)[1] == ["−0.333", "−0.333"] and page.locator("svg text", has_text="−0.33").count() == 12
    slide(page, "bias decay", 0)
    W = ufm.UFM(4, 5, 4, 5e-3, 5e-3, 1.0, ufm.SquaredError()).optimum().W
    opened = cells(page)[1][0]
    assert opened == f"{float(etf.cosine_matrix(W)[0, 1]):.3f}".replace("-", "−") and opened != "−0.333"
    slide(page, "decay of rows and features", -1)
    assert float(cells(page)[0][1]) > 1 and cells(page)[1][0] == "−0.333"


def test_the_far_side_turns_from_a_ridge_into_a_valley_at_one_less_than_the_classes(show):
    page = show("formulas swing", changes={"angle": 180})
    for classes, position, is_valley in ((0, 0.29, False), (0, 0.32, True), (2, 0.59, False), (2, 0.62, True)):
        slide(page, "classes K", classes)
        slide(page, "temperature τ", position)
        here, far, (within, out) = cells(page)
        assert here == far and ("−" not in within) == is_valley and "−" in out


def test_nc1_is_right_where_the_cut_off_parts_real_from_round_off(show):
    page = show("formulas cutoff")
    assert cells(page) == [["2.9\u00a0·\u00a010³", "7"], ["3", "3"], ["2", "0"]]
    slide(page, "relative cut-off", -6)
    assert cells(page) == [["7", "7"], ["3", "3"], ["0", "0"]]
    slide(page, "relative cut-off", -3)
    assert cells(page) == [["3", "7"], ["2", "3"], ["0", "0"]]
