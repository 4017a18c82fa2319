"""Live experiments in a real browser, each on a page of its own: their numbers, hands, keys, modes and widths."""

import json
import re

import pytest
import torch

from ncbook import etf, shallow, sphere, ufm
from ncbook.figures import live, style

START = {
    "freefeatures": {"num_classes": 3, "weight_decay": 0.02, "feature_decay": 0.01},
    "neurons": {"log_scale": 4},
    "saddle": {"weight_decay": 0.1},
    "simplex": {"num_classes": 4, "feature_dim": 3},
    "sphere": {"num_classes": 3, "feature_dim": 2, "temperature": 5},
}
by_name = pytest.mark.parametrize("name", START)
of_vectors = pytest.mark.parametrize("name", ["freefeatures", "simplex", "sphere"])
LAB = "Object.values(ncLive.labs)[0]"


def still():
    return style.new(2, 2)[0]


@pytest.fixture
def show(browser, tmp_path):
    """Open one experiment; complaints of the browser are kept on the page."""
    opened = []

    def go(name, width=1280, mode="light", fragment="", **context):
        html = live(name, alt="A still picture.", still=still, **START[name]).to_html()
        file = tmp_path / "page.html"
        head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        file.write_text(f'<!doctype html><html data-theme="{mode}">{head}<body>{html}</body></html>', encoding="utf-8")
        options = {"viewport": {"width": width, "height": 900}, "offline": True, **context}
        opened.append(browser.new_context(**options))
        page = opened[-1].new_page()
        page.complaints = []
        page.on("console", lambda m: page.complaints.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: page.complaints.append(str(e)))
        page.goto(file.as_uri() + fragment)
        return page

    yield go
    for context in opened:
        context.close()


def state(page):
    return json.loads(page.evaluate(f"JSON.stringify({LAB}.experiment.save())"))


def settle(page):
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


@by_name
@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 768, 1600])
def test_it_starts_without_a_complaint_and_fits_the_page(show, name, width, mode):
    page = show(name, width, mode)
    settle(page)
    assert page.complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator(".nclive-still").count() == 0 and page.locator("svg.nclive-stage").count() == 2


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


def test_free_feature_kernels_agree_with_the_package(show):
    page = show("freefeatures")
    for seed, (K, n, decay_w, decay_h) in enumerate([(2, 3, 0.02, 0.01), (3, 4, 0.1, 0.001), (5, 2, 0.3, 0.3)]):
        W, H, b = ufm.UFM(K, n, 2, decay_w, decay_h).random_point(seed)
        value, gradient, best, pieces = page.evaluate(
            "([W, H, w, h]) => { const k = ncLive.kernels.freefeatures; return [k.objective(W, H, w, h),"
            " k.gradient(W, H, w, h), k.optimum(W.length, H.length / W.length, w, h), k.budget(W, H, w, h)]; }",
            [W.tolist(), H.tolist(), decay_w, decay_h],
        )
        problem, zero = ufm.UFM(K, n, 2, decay_w, decay_h), torch.zeros_like(b)
        assert value == pytest.approx(float(problem.objective(W, H, zero)), abs=1e-9)
        for found, expected in zip(gradient, problem.gradient(W, H, zero)):
            assert float((torch.tensor(found, dtype=torch.float64) - expected).abs().max()) < 1e-9
        roomy = ufm.UFM(K, n, K, decay_w, decay_h).optimum()
        assert [best["value"], best["margin"]] == pytest.approx([roomy.value, roomy.margin], abs=1e-9)
        assert best["row"] ** 2 == pytest.approx(float(roomy.W[0].square().sum()), abs=1e-9)
        budget = ufm.gap_budget(problem, W, H, zero)
        wanted = [getattr(budget, p) for p in ("others", "margins", "collapse", "alignment", "balance", "length")]
        assert pieces == pytest.approx(wanted, abs=1e-9)


def test_neuron_kernels_agree_with_the_package(show):
    page = show("neurons")
    X, y = shallow.planar_data(3, 4, 12.0)
    for seed, scale in enumerate([1e-4, 1.0, 3.0]):
        net = shallow.ShallowReLU.random(10, 2, 3, scale=scale, seed=seed)
        value, gW, gV = page.evaluate(
            "([W, V, X, y]) => ncLive.kernels.neurons.lossAndGradient(W, V, X, y)",
            [net.W.tolist(), net.V.tolist(), X.tolist(), y.tolist()],
        )
        expected, dW, dV = shallow.loss_and_gradient(net, X, y)
        assert value == pytest.approx(expected, abs=1e-9)
        for found, wanted in ((gW, dW), (gV, dV)):
            assert float((torch.tensor(found, dtype=torch.float64) - wanted).abs().max()) < 1e-9
        whose = page.evaluate(
            "([W, X, y]) => ncLive.kernels.neurons.assignment(W, X, y)", [net.W.tolist(), X.tolist(), y.tolist()]
        )
        assert whose == shallow.assignment(net, X, y).tolist()


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


def test_saddle_kernels_agree_with_automatic_differentiation(show):
    page = show("saddle")
    for w, h, decay in [(-1.6, 1.7, 0.1), (0.0, 0.0, 0.3), (2.5, -0.4, 0.02), (3.0, 3.0, 0.6)]:
        f = lambda x: torch.log1p(torch.exp(-x[0] * x[1])) + decay / 2 * x.square().sum()  # noqa: B023
        point = torch.tensor([w, h], dtype=torch.float64)
        value, gradient, bend, least = page.evaluate(
            "([w, h, decay]) => { const k = ncLive.kernels.saddle; return [k.value(w, h, decay),"
            " k.gradient(w, h, decay), k.curvature(w, h, decay), k.minimum(decay)]; }",
            [w, h, decay],
        )
        hessian = torch.func.hessian(f)(point)
        assert value == pytest.approx(float(f(point)), abs=1e-9)
        assert gradient == pytest.approx(torch.func.grad(f)(point).tolist(), abs=1e-9)
        assert [bend["low"], bend["high"]] == pytest.approx(torch.linalg.eigvalsh(hessian).tolist(), abs=1e-9)
        direction = torch.tensor(bend["direction"], dtype=torch.float64)
        assert float((hessian @ direction - bend["low"] * direction).abs().max()) < 1e-9
        root = torch.full((2,), least["s"] ** 0.5, dtype=torch.float64)
        assert least["value"] == pytest.approx(float(f(root)), abs=1e-9)
        assert float(torch.func.grad(f)(root).abs().max()) < 1e-9


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


def random_rows(count, d, seed):
    rows = torch.randn(count, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return rows / rows.norm(dim=1, keepdim=True)


def test_simplex_kernels_agree_with_the_package(show):
    page = show("simplex")
    for seed, (K, d) in enumerate([(2, 2), (3, 2), (5, 3), (8, 3)]):
        W = random_rows(K, d, seed)
        found = page.evaluate(
            "([W, d]) => { const k = ncLive.kernels.simplex; return [k.coherence(W), k.largestCosine(W),"
            " k.etfDistance(W), k.welchBound(W.length, d), k.simplexBound(W.length, d)]; }",
            [W.tolist(), d],
        )
        expected = [etf.coherence(W), etf.largest_cosine(W), etf.etf_distance(W), etf.welch_bound(K, d)]
        assert found == pytest.approx([*expected, etf.simplex_bound(K, d)], abs=1e-9)
    frame = torch.tensor(page.evaluate("ncLive.kernels.simplex.simplex(5, 4)"), dtype=torch.float64)
    assert float((frame - etf.simplex_etf(5, 4)).abs().max()) < 1e-12


def test_sphere_kernels_agree_with_the_package(show):
    page = show("sphere")
    for seed, (K, d, n, tau) in enumerate([(2, 2, 3, 0.5), (3, 2, 3, 12.0), (6, 3, 2, 20.0)]):
        W, H = random_rows(K, d, seed), random_rows(K * n, d, seed + 50)
        value, bound, (gW, gH) = page.evaluate(
            "([W, H, tau]) => { const k = ncLive.kernels.sphere;"
            " return [k.objective(W, H, tau), k.lowerBound(W.length, tau), k.gradient(W, H, tau)]; }",
            [W.tolist(), H.tolist(), tau],
        )
        problem = sphere.SphericalUFM(K, n, d, tau)
        assert value == pytest.approx(float(problem.objective(W, H)), abs=1e-9)
        assert bound == pytest.approx(problem.lower_bound(), rel=1e-9)
        for found, expected in zip((gW, gH), problem.gradient(W, H)):
            assert float((torch.tensor(found, dtype=torch.float64) - expected).abs().max()) < 1e-9


@by_name
def test_off_screen_nothing_runs(show, name):
    page = show(name)
    page.evaluate("document.body.insertAdjacentHTML('afterbegin', '<div style=\"height:3000px\"></div>')")
    page.evaluate("window.scrollTo(0, 0)")
    page.wait_for_function(f"{LAB}.visible === false")
    page.evaluate(
        "[...document.querySelectorAll('button')].find(b => /Spread|Descend|Race|Flow/.test(b.textContent)).click()"
    )
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
        ({"name": "none"}, "name must be one of freefeatures, neurons"),
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
