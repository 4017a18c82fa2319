"""The live frames of unit vectors: what is turned, what follows, and that their kernels are the package's to 1e-9."""

import math

import pytest
import torch

from ncbook import etf
from ncbook.figures import simplex
from tests.browser.live_pages import LAB, settle, state


def cells(page):
    settle(page)
    rows = page.locator(".nclive-readout tbody tr")
    return [rows.nth(i).locator("td").all_text_contents() for i in range(rows.count())]


def asked(page, code, *given):
    both = "{ ...ncLive.vectors, ...ncLive.kernels.frames }"
    return page.evaluate(f"(given) => {{ const k = {both}; return {code}; }}", list(given))


def test_kernels_agree_with_the_package(show):
    page = show("frames sets")
    for seed, (K, d) in enumerate([(2, 2), (3, 2), (5, 3), (12, 3)]):
        W = torch.randn(K, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        found = asked(
            page,
            "[k.cosines(given[0]), k.largestCosine(given[0]), k.coherence(given[0]), k.welchBound(...given[1])]",
            W.tolist(),
            [K, d],
        )
        assert float((torch.tensor(found[0], dtype=torch.float64) - etf.cosine_matrix(W)).abs().max()) < 1e-9
        assert found[1:] == pytest.approx([etf.largest_cosine(W), etf.coherence(W), etf.welch_bound(K, d)], abs=1e-9)


def test_a_pulled_vector_has_the_package_s_cosines(show):
    page = show("frames pull")
    for K, degrees in [(3, 20), (3, -60), (4, 45), (10, -7)]:
        near, rest = asked(page, "k.pulled(...given)", K, math.radians(degrees))
        pulled = etf.cosine_matrix(simplex.pull(etf.simplex_etf(K, K - 1), degrees))[0]
        assert near == pytest.approx(float(pulled[1]), abs=1e-9)
        assert [rest] * (K - 2) == pytest.approx(pulled[2:].tolist(), abs=1e-9)


def test_a_turned_star_is_as_far_away_as_the_package_says(show):
    page = show("frames onto")
    star = etf.simplex_etf(3, 2)
    for angle in (0, 25, 130, 359):
        gap = asked(page, "k.gap(k.rotated(given[0], given[1]), given[0])", star.tolist(), math.radians(angle))
        expected = torch.linalg.matrix_norm(star @ simplex.rotation(angle) - star)
        assert gap == pytest.approx(float(expected), abs=1e-9)


def test_the_shadow_is_as_long_as_the_package_s(show):
    page = show("frames shadow")
    for K in (4, 7, 12):
        W = etf.simplex_etf(K, K - 1)
        angle = 2 * math.pi * torch.arange(K, dtype=torch.float64) / K
        plane, _ = torch.linalg.qr(W.T @ torch.stack([angle.cos(), angle.sin()], dim=1))
        assert [asked(page, "k.shadow(given[0])", K)] * K == pytest.approx((W @ plane).norm(dim=1).tolist(), abs=1e-9)


def test_turning_the_vectors_changes_no_cosine(show):
    page = show("frames shadow")
    before, tiles = cells(page), page.locator("svg[aria-label='cosines of all pairs']").inner_html()
    page.locator("[aria-label^='turn the vectors']").focus()
    page.keyboard.press("ArrowRight")
    assert state(page)["turn"] > math.pi / 2 and cells(page) == before
    assert page.locator("svg[aria-label='cosines of all pairs']").inner_html() == tiles
    page.get_by_role("slider", name="classes K").fill("9")
    assert cells(page)[0][0] == "−0.100" and page.locator(".nclive-number").count() == 11


def test_a_pull_either_way_raises_both_curves(show):
    page = show("frames pull", changes={"angle": 0})
    assert [row[0] for row in cells(page)] == [row[1] for row in cells(page)]
    for key in ("ArrowRight", "ArrowLeft"):
        page.get_by_role("button", name="Start again").click()
        page.get_by_role("slider", name="turn of vector 1").focus()
        page.keyboard.press(key)
        (_, _), (largest, least), (coherence, bound) = cells(page)
        assert float(largest.replace("−", "-")) > float(least.replace("−", "-")) and float(coherence) > float(bound)


def test_only_a_reflection_brings_the_mirrored_star_home(show):
    page = show("frames onto")
    for turn in (0, 77, 200):
        page.get_by_role("slider", name="turn of the star").fill(str(turn))
        assert cells(page) == [[f"{math.sqrt(6):.3f}"] * 2]
    page.get_by_role("button", name="reflected first").click()
    assert cells(page)[0][1] == "0.000" and float(cells(page)[0][0]) > 1
    page.wait_for_function(f"{LAB}.status.textContent.startsWith('The star reflected')")


def test_the_sets_are_those_that_were_given(show):
    page = show("frames sets")
    assert cells(page) == [["90.0°", "120.0°"], ["0.000", "−0.500"]]
    page.get_by_role("slider", name="vectors K").fill("1")
    assert cells(page)[1] == ["0.600", "−0.333"]
    page.get_by_role("button", name="the plane").click()
    assert cells(page)[0] == ["90.0°", "109.5°"] and state(page)["d"] == 2


def test_lines_meet_at_the_angle_of_their_coherence(show):
    cross = [[1.0, 0.0], [-0.5, 0.75**0.5], [-0.5, -(0.75**0.5)]]
    page = show("frames sets", changes={"sets": [cross], "lines": True, "feature_dim": 2})
    assert cells(page) == [["60.0°", "60.0°"], ["0.500", "0.500"]]
    assert page.get_by_role("slider").count() == 0
