"""The network that trains in the page: it is the package's network, it collapses, and the reader may interfere."""

import json

import pytest
import torch

from ncbook import models
from ncbook.metrics import neural_collapse
from tests.browser.live_pages import LAB, settle, state, three_digits

NET = "const k = ncLive.kernels.train, net = k.network([64, 5, 4, 2, 3], y.length), P = Float64Array.from(p);"
MEASURES = ("nc1", "nc2_means", "nc2_weight", "nc3", "nc4", "accuracy")


def small(seed):
    """The package's network and a batch: images of few grey levels, as the page holds them, and uneven labels."""
    model = models.mlp(64, 3, hidden=(5, 4), feature_dim=2, seed=seed).double()
    g = torch.Generator().manual_seed(seed)
    X = torch.randint(0, 17, (21, 64), generator=g).double() / 16
    return model, X, torch.tensor([0] * 5 + [1] * 9 + [2] * 7)


def flat(tensors):
    return torch.cat([t.detach().reshape(-1) for t in tensors])


@pytest.mark.parametrize("seed", range(3))
def test_its_kernels_agree_with_the_package(show, seed):
    page = show("train")
    model, X, y = small(seed)
    given = [flat(model.parameters()).tolist(), X.flatten().tolist(), y.tolist()]
    loss, slope, H, z, found, unseen = page.evaluate(
        f"([p, x, y]) => {{ {NET} const X = Float64Array.from(x), G = new Float64Array(net.count);"
        " const out = net.forward(P, X), loss = net.slope(P, X, y, G), H = out.features;"
        " return [loss, [...G], [...H], [...out.logits], k.collapse(H, y, net.rows(P), net.bias(P)),"
        " [...net.predict(P, X.slice(64), y.length - 1)]]; }",
        given,
    )
    features = model.features(X)
    logits = model.classifier(features)
    expected = torch.nn.functional.cross_entropy(logits, y)
    assert loss == pytest.approx(float(expected.detach()), abs=1e-9)
    gradient = flat(torch.autograd.grad(expected, list(model.parameters())))
    for mine, package in (
        (slope, gradient),
        (H, features.flatten()),
        (z, logits.flatten()),
        (unseen, logits[1:].flatten()),
    ):
        assert float((torch.tensor(mine, dtype=torch.float64) - package.detach()).abs().max()) < 1e-9
    report = neural_collapse(features.detach(), y, model.classifier.weight, model.classifier.bias)
    for name in MEASURES:
        assert found[name] == pytest.approx(getattr(report, name), rel=1e-9, abs=1e-9), name


def test_ten_steps_are_those_of_pytorchs_optimiser(show):
    page = show("train")
    model, X, y = small(5)
    after = page.evaluate(
        f"([p, x, y]) => {{ {NET} const X = Float64Array.from(x), zero = () => new Float64Array(net.count);"
        " const G = zero(), V = zero(); for (let t = 0; t < 10; t += 1) {"
        " net.forward(P, X); net.slope(P, X, y, G); k.descend(P, V, G, 0.1, 0.9, 0.01); } return [...P]; }",
        [flat(model.parameters()).tolist(), X.flatten().tolist(), y.tolist()],
    )
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    for _ in range(10):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model.classifier(model.features(X)), y).backward()
        optimiser.step()
    assert float((torch.tensor(after, dtype=torch.float64) - flat(model.parameters())).abs().max()) < 1e-9


def test_measures_of_means_on_one_line_use_the_pseudo_inverse(show):
    page = show("train")
    y = [0, 0, 1, 1, 2, 2]
    H = torch.tensor([[0, 0], [0.25, 1], [2, 4], [2.25, 5], [5, 10], [5.25, 11]], dtype=torch.float64)
    H[1::2] = H[::2] + torch.tensor([0.0, 1.0], dtype=torch.float64)
    W = torch.eye(3, 2, dtype=torch.float64)
    found = page.evaluate(
        "([H, y, W]) => ncLive.kernels.train.collapse(H, y, Float64Array.from(W), new Float64Array(3)).nc1",
        [H.flatten().tolist(), y, W.flatten().tolist()],
    )
    assert found == pytest.approx(neural_collapse(H, torch.tensor(y), W).nc1, rel=1e-9)


def numbers(page):
    cells = page.locator(".nclive-readout tbody tr td:nth-child(2)").all_text_contents()
    return [number(text) for text in cells]


def number(text):
    """The number that a cell shows: 93.1 %, −2, or 2.5 · 10⁻⁶."""
    digits, _, power = text.replace("−", "-").replace("%", "").partition("\u00a0·\u00a010")
    raised = "".join("-0123456789"["⁻⁰¹²³⁴⁵⁶⁷⁸⁹".index(sign)] for sign in power)
    return float(digits) * 10.0 ** int(raised or 0)


def test_it_collapses(show):
    page = show("train", reduced_motion="reduce")
    page.get_by_role("button", name="Play").click()
    settle(page)
    nc1, nc2, nc3, nc4, training, _ = numbers(page)
    assert nc1 < 1e-3 and nc2 < 1e-2 and nc3 < 0.05 and nc4 == 1 and training == 100
    assert state(page)["steps"] == 600


def test_wrong_labels_collapse_too_and_new_images_pay(show):
    page = show("train", reduced_motion="reduce")
    noise = page.get_by_role("slider", name="wrong labels")
    noise.focus()
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    page.get_by_role("button", name="Play").click()
    settle(page)
    nc1, *_, training, fresh = numbers(page)
    assert training > 95 and nc1 < 0.2 and fresh < 90


def test_it_plays_pauses_and_steps(show):
    page = show("train")
    page.get_by_role("button", name="Play").click()
    page.wait_for_function(f"{LAB}.experiment.save().steps > 10")
    page.get_by_role("button", name="Pause").click()
    settle(page)
    before = state(page)["steps"]
    settle(page)
    assert state(page)["steps"] == before
    page.get_by_role("button", name="One step").click()
    assert state(page)["steps"] == before + 1


def test_the_past_can_be_looked_at_again(show):
    page = show("train", reduced_motion="reduce")
    page.get_by_role("button", name="Play").click()
    settle(page)
    end = numbers(page)
    step = page.get_by_role("slider", name="step")
    step.focus()
    page.keyboard.press("Home")
    settle(page)
    begin = numbers(page)
    assert step.input_value() == "0" and begin[0] > 0.5 > 1e-3 > end[0] and begin[4] < 90
    page.keyboard.press("End")
    settle(page)
    assert numbers(page) == end


def test_it_starts_by_itself_and_leaves_the_address_alone(show):
    page = show("train", changes={"autoplay": True}, reduced_motion="reduce")
    settle(page)
    assert state(page)["steps"] == 600 and page.evaluate("location.hash") == ""


def test_a_run_travels_in_the_address(show):
    page = show("train", reduced_motion="reduce")
    for _ in range(3):
        page.get_by_role("button", name="One step").click()
    page.get_by_role("slider", name="weight decay").focus()
    page.keyboard.press("ArrowRight")
    page.get_by_role("button", name="One step").click()
    settle(page)
    kept, shown, address = state(page), numbers(page), page.evaluate("location.hash")
    assert kept["steps"] == 4 and kept["log"][0][0] == 3
    again = show("train", fragment=address, reduced_motion="reduce")
    settle(again)
    assert state(again) == kept and numbers(again) == shown
    for nonsense in (
        address[:-9],
        address.replace("steps", "stops"),
        address.replace("%22seed%22%3A", "%22seed%22%3A-"),
    ):
        page = show("train", fragment=nonsense)
        assert page.complaints == [] and state(page)["steps"] == 0


def test_a_dot_shows_its_image(show):
    page = show("train")
    stage = page.locator("svg.nclive-stage [aria-label^='see the image']")
    stage.focus()
    page.keyboard.press("ArrowRight")
    settle(page)
    words = page.locator("svg.nclive-stage g[visibility=visible] text")
    assert words.text_content() == "a 0"
    shades = page.locator("svg.nclive-stage g[visibility=visible] rect").evaluate_all(
        "squares => squares.map(s => Number(s.getAttribute('fill-opacity')))"
    )
    image = three_digits()["images"][:64]
    assert shades == pytest.approx([(ord(letter) - 97) / 16 for letter in image], abs=0.01)


def test_its_data_is_small():
    assert len(json.dumps(three_digits())) < 60_000
