"""The drawings of chapter 2 carry the numbers they are given: which vector, under which name, with which values."""

import math

import pytest
import torch
from pytest import approx

from ncbook import etf
from ncbook.figures import simplex as drawings
from ncbook.figures.style import COLORS, GREY
from tests.ncbook.figures.artists import arrows, axes_said, colour, marks, named, pixels, points, written


@pytest.mark.parametrize("angle", [-60.0, 0.0, 17.0])
def test_pull_turns_only_the_first_row_and_towards_the_second(angle):
    W = etf.simplex_etf(4, 5, generator=torch.Generator().manual_seed(0))
    pulled = drawings.pull(W, angle)
    assert torch.equal(pulled[1:], W[1:])
    # Cosines of rotated unit vectors: round-off of a few units in the last place.
    assert float(pulled[0].norm()) == pytest.approx(1, abs=1e-14)
    assert float(pulled[0] @ W[0]) == pytest.approx(math.cos(math.radians(angle)), abs=1e-14)
    between = math.degrees(math.acos(float(pulled[0] @ W[1])))
    assert between == pytest.approx(math.degrees(math.acos(-1 / 3)) - angle, abs=1e-10)


def test_rotation_turns_rows_anticlockwise():
    east = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    north = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    assert torch.allclose(east @ drawings.rotation(90), north, rtol=0, atol=1e-15)


@pytest.mark.parametrize("K", [5, 8, 11])
def test_flat_shadow_of_a_simplex_is_a_regular_polygon(K):
    W = etf.simplex_etf(K, K + 2, generator=torch.Generator().manual_seed(K))
    tips, depth = drawings._seen(W, turn=0.0)
    radii = (tips**2).sum(axis=1) ** 0.5
    steps = ((tips - tips[[*range(1, K), 0]]) ** 2).sum(axis=1) ** 0.5
    assert radii == pytest.approx([math.sqrt(2 / (K - 1))] * K, abs=1e-12)
    assert steps == pytest.approx([2 * math.sin(math.pi / K) * radii[0]] * K, abs=1e-12)
    assert not depth.any()


@pytest.mark.parametrize("turn", [0.0, 40.0, 250.0])
def test_view_in_space_is_a_rotation(turn):
    tips, depth = drawings._seen(torch.eye(3, dtype=torch.float64), turn)
    seen = torch.cat([torch.from_numpy(tips), torch.from_numpy(depth)[:, None]], dim=1)
    assert torch.allclose(seen @ seen.T, torch.eye(3, dtype=torch.float64), rtol=0, atol=1e-14)


def test_frame_and_cosines_puts_each_vector_and_each_cosine_in_its_place():
    W = etf.simplex_etf(3, 2, generator=torch.Generator().manual_seed(4))
    W[1] = drawings.rotation(30.0)[0]  # no two cosines the same
    left, right = drawings.frame_and_cosines(W).axes
    tips = {shade: (start, tip) for shade, start, tip in arrows(left)}
    assert tips == {COLORS[k].upper(): ((0, 0), approx(tuple(W[k].tolist()))) for k in range(3)}
    numbers = {t.get_text(): (torch.tensor(t.get_position()), colour(t)) for t in left.texts if t.get_text()}
    for k in range(3):
        place, shade = numbers[str(k + 1)]
        assert float(place @ W[k].float() / place.norm()) == approx(1, abs=1e-6) and shade == COLORS[k].upper()
    cells = {tuple(t.get_position())[::-1]: t.get_text() for t in right.texts}
    assert cells == {(i, j): f"{float(W[i] @ W[j]) + 0.0:.2f}" for i in range(3) for j in range(3)}
    assert pixels(right) == approx((W @ W.T).numpy(), abs=5e-3)
    assert (left.get_title(), right.get_title()) == ("3 vectors, in the plane", "cosines")
    assert right.images[0].cmap.name == "RdBu_r" and right.images[0].get_clim() == (-2.4, 2.4)  # red is positive


def test_large_frames_carry_no_numbers():
    figure = drawings.frame_and_cosines(etf.simplex_etf(6, 5))
    assert not any("." in text for text in written(figure))
    assert figure.axes[0].get_title() == "6 vectors, flat shadow"


def test_packed_names_the_smallest_angle_and_joins_the_pairs_at_it():
    square = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    figure = drawings.packed(square)
    assert [ax.get_title() for ax in figure.axes] == ["closest pair 90.0°", "cosines"]
    assert "simplex 109.5°" in written(figure)
    joined = {frozenset(points(line)) for line in figure.axes[0].lines}
    corners = [tuple(row) for row in square.tolist()]
    assert joined == {frozenset((corners[k], corners[k - 1])) for k in range(4)}  # the sides, not the diagonals


def test_pulled_draws_both_measures_under_their_names_and_marks_them_at_the_angle():
    W = etf.simplex_etf(3, 2)
    left, right = drawings.pulled(W, 20.0).axes
    measures = {"coherence": etf.coherence, "largest cosine": etf.largest_cosine}
    at = range(-60, 61)
    assert named(right) == {
        name: [(a, approx(measure(drawings.pull(W, float(a))), abs=1e-12)) for a in at]
        for name, measure in measures.items()
    }
    shades = {line.get_label(): colour(line) for line in right.lines}
    dots = {colour(line): points(line) for line in right.lines if line.get_marker() == "o"}
    pulled = drawings.pull(W, 20.0)
    assert dots == {shades[n]: [approx((20.0, measure(pulled)), abs=1e-12)] for n, measure in measures.items()}
    bounds = [line.get_ydata()[0] for line in right.lines if line.get_linestyle() == ":"]
    heights = {t.get_text(): t.get_position()[1] + 0.04 for t in right.texts}
    assert heights == approx({"Welch bound": etf.welch_bound(3, 2), "simplex bound": etf.simplex_bound(3, 2)})
    assert bounds == approx(list(heights.values()))
    assert left.get_title() == "vector 1 turned by +20°" and right.get_xlabel() == "turn of vector 1 (degrees)"
    tips = {shade: tip for shade, _, tip in arrows(left)}
    assert [tips[c.upper()] for c in COLORS[:3]] == [approx(tuple(row)) for row in pulled.tolist()]


def test_lines_go_both_ways_and_no_drawing_is_too_wide():
    W = etf.best_packing(6, 3, lines=True)
    figure = drawings.lines(W)
    assert all(start == approx((-x, -y)) for _, start, (x, y) in arrows(figure.axes[0]))
    assert [ax.get_title() for ax in figure.axes] == ["6 lines in 3 dimensions", f"cosines: ± {math.sqrt(0.2):.3f}"]
    star = etf.simplex_etf(3, 2)
    room = drawings.price_of_room({3: {1: 1.0, 2: -0.5, 3: -0.5}})
    for drawing in (figure, room, drawings.turned_onto(star, star, 30.0)):
        assert drawing.get_size_inches()[0] <= 7


def test_price_of_room_draws_the_angles_of_each_k_and_names_them_at_their_end():
    ax = drawings.price_of_room({3: {1: 1.0, 2: -0.5, 3: -0.5}, 4: {1: 1.0, 2: 0.0}}).axes[0]
    ends = {t.get_text(): (t.xy, colour(t)) for t in ax.texts}
    lines = {colour(line): points(line) for line in ax.lines[:2]}
    assert {name: lines[shade] for name, (_, shade) in ends.items()} == {
        "K = 3": [(1, 0), (2, approx(120)), (3, approx(120))], "K = 4": [(1, 0), (2, approx(90))]
    }  # fmt: skip
    assert all(place == lines[shade][-1] for place, shade in ends.values())
    assert axes_said(ax) == ("dimension d", "best smallest angle (degrees)", "")
    assert list(ax.lines[2].get_ydata()) == [90, 90]


def test_turned_onto_draws_the_distance_of_every_turn_with_and_without_a_reflection():
    star = etf.simplex_etf(3, 2)
    target = star @ drawings.rotation(60)
    left, right = drawings.turned_onto(star, target, 45.0).axes
    curves = {name: dict(curve) for name, curve in named(right).items()}
    assert curves["rotation"][60] == approx(0, abs=1e-12) and curves["rotation"][0] > 1
    flipped = star * torch.tensor([1.0, -1.0])
    for angle in (0, 45, 90, 300):
        for name, start in (("rotation", star), ("reflected first", flipped)):
            assert curves[name][angle] == approx(float((start @ drawings.rotation(angle) - target).norm()), abs=1e-12)
    assert marks(right, "o") == [approx((45.0, curves["rotation"][45]))]
    assert axes_said(right) == ("turn (degrees)", "Frobenius distance", "") and left.get_title() == "target in grey"
    shown = sorted(tip for shade, _, tip in arrows(left) if shade == GREY.upper())
    assert shown == [approx(row) for row in sorted(map(tuple, target.tolist()))]
