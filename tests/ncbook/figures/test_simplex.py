"""`ncbook.figures.simplex`: the drawings show what they say."""

import math

import pytest
import torch
from matplotlib.figure import Figure

from ncbook import etf
from ncbook.figures import simplex as drawings


def written(figure: Figure) -> list[str]:
    return [text.get_text() for ax in figure.axes for text in ax.texts]


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


def test_frame_and_cosines_writes_the_cosines_of_small_frames_only():
    assert written(drawings.frame_and_cosines(etf.simplex_etf(4, 3))).count("-0.33") == 12
    assert not any("." in text for text in written(drawings.frame_and_cosines(etf.simplex_etf(6, 5))))


def test_packed_names_the_smallest_angle_and_joins_the_pairs_at_it():
    square = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    figure = drawings.packed(square)
    assert figure.axes[0].get_title() == "closest pair 90.0°"
    assert "simplex 109.5°" in written(figure)
    assert len(figure.axes[0].lines) == 4  # the sides, not the diagonals


def test_pulled_marks_both_curves_at_the_angle():
    figure = drawings.pulled(etf.simplex_etf(3, 2), 20.0)
    marked = [line.get_xydata()[0] for line in figure.axes[1].lines if line.get_marker() == "o"]
    pulled = drawings.pull(etf.simplex_etf(3, 2), 20.0)
    values = [etf.coherence(pulled), etf.largest_cosine(pulled)]
    assert [tuple(point) for point in marked] == [pytest.approx((20.0, value), abs=1e-12) for value in values]


def test_lines_go_both_ways_and_no_drawing_is_too_wide():
    W = etf.best_packing(6, 3, lines=True)
    figure = drawings.lines(W)
    tails = [a for a in figure.axes[0].texts if not a.get_text()]  # annotations without text are the arrows
    assert sorted(tuple(a.xyann) for a in tails) == sorted(tuple(-v for v in a.xy) for a in tails)
    star = etf.simplex_etf(3, 2)
    room = drawings.price_of_room({3: {1: 1.0, 2: -0.5, 3: -0.5}})
    for drawing in (figure, room, drawings.turned_onto(star, star, 30.0)):
        assert drawing.get_size_inches()[0] <= 7


def test_price_of_room_draws_angles():
    (line, *_) = drawings.price_of_room({3: {1: 1.0, 2: -0.5, 3: -0.5}}).axes[0].lines
    assert line.get_xdata().tolist() == [1, 2, 3]
    assert line.get_ydata() == pytest.approx([0, 120, 120], abs=1e-10)


def test_distance_curve_of_a_turned_star_reaches_zero_where_it_fits():
    star = etf.simplex_etf(3, 2)
    figure = drawings.turned_onto(star, star @ drawings.rotation(60), 60.0)
    marker = next(line for line in figure.axes[1].lines if line.get_marker() == "o")
    assert marker.get_ydata()[0] == pytest.approx(0, abs=1e-14)
