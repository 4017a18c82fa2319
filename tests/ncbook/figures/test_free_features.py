"""The drawings of chapter 3 carry the numbers they are given: which series, under which name, with which values."""

import math

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from pytest import approx

from ncbook.figures import free_features as drawings
from ncbook.figures.style import COLORS
from ncbook.ufm import UFM, gap_budget
from tests.ncbook.figures.artists import arrows, axes_said, colour, marks, named, points, words, written

PROBLEM = UFM(3, 4, 2, 0.01, 0.02, 0.1)
POINT = PROBLEM.random_point(0)
PIECES = gap_budget(PROBLEM, *POINT)


def test_every_drawing_fits_the_page_and_draws():
    figures = {
        "peeled": drawings.peeled_network(),
        "price": drawings.price_of_margin(4, 0.1),
        "plane of decays": drawings.phase_plane(10, 10),
        "optimum": drawings.optimum_in_the_plane(PROBLEM, limit=4),
        "budget": drawings.geometry_and_budget(*POINT[:2], PIECES, step=3, limit=3, least=1e-8),
        "descent": drawings.descent_to_bound([1, 10], {"a": [2, 1]}, 0.9, bound_label="f*", ylabel="f"),
        "orthant": drawings.orthant(0.5),
    }
    for name, figure in figures.items():
        figure.canvas.draw()
        assert isinstance(figure, Figure) and figure.get_size_inches()[0] <= 7, name


def test_peeled_network_reads_from_input_to_logits_with_the_cut_before_the_features():
    ax = drawings.peeled_network().axes[0]
    at = {text.get_text(): text.get_position()[0] for text in ax.texts if text.get_text() not in ("", "layer")}
    order = ["input\n$x_i$", "peeled away", "features\n$h_i$", "$W,\\ b$", "logits"]
    assert [at[name] for name in order] == sorted(at[name] for name in order)
    cut = ax.lines[0].get_xdata()[0]
    assert at["peeled away"] < cut < at["features\n$h_i$"] < at["kept: the last layer"]
    below = {text.get_text(): colour(text) for text in ax.texts if "pays" in text.get_text()}
    assert below["a free variable,\npays decay $\\lambda_H$"] == COLORS[0].upper()
    assert below["pays $\\lambda_W$, $\\lambda_b$"] == COLORS[1].upper()
    assert [box.get_linestyle() for box in ax.patches[:5]] == ["--", "--", "--", "-", "-"]


@pytest.mark.parametrize(("K", "Kq"), [(2, 0.1), (4, 0.9), (10, 0.01), (4, 1.0), (4, 1.5)])
def test_price_of_margin_draws_both_parts_and_marks_the_minimum_of_their_sum(K, Kq):
    best = UFM(K, 1, K, Kq / K, Kq / K).optimum()
    ax = drawings.price_of_margin(K, Kq, top=12).axes[0]
    shown = {name: np.array(curve) for name, curve in named(ax).items()}
    s = shown["sum"][:, 0]
    assert (s[0], s[-1]) == (0, 12)
    loss, price = np.log(1 + (K - 1) * np.exp(-s)), (K - 1) * Kq / K * s
    wanted = {"cross-entropy": loss, "price $(K-1)\\,q\\,s$": price, "sum": loss + price}
    assert {name: curve[:, 1] for name, curve in shown.items()} == {n: approx(y, abs=1e-12) for n, y in wanted.items()}
    assert marks(ax, "o") == [approx((best.margin, best.value), abs=1e-12)]
    assert best.value <= wanted["sum"].min() + 1e-12
    verdict = f"best margin {best.margin:.2f}, loss {best.value:.3f}" if Kq < 1 else "no margin is worth its price"
    assert axes_said(ax) == ("margin $s$", "loss", f"$K$ = {K},  $Kq$ = {Kq:g}:  {verdict}")
    assert words(ax.figure.legends[0]) == list(wanted)


def test_phase_plane_has_its_line_at_the_threshold_and_equal_margins_on_straight_lines():
    K, n = 10, 100
    ax = drawings.phase_plane(K, n).axes[0]
    x, y = ax.lines[0].get_data()
    assert np.sqrt(n * 10 ** (x + y)) * K == approx(np.ones(len(x)))
    filled = ax.collections[0]
    for level, way in zip(filled.levels[2:8], filled.get_paths()[2:8]):
        a, b = way.vertices[40]
        margin = UFM(K, n, K, 10**a, 10**b).optimum().margin
        assert level - 0.1 <= margin <= level + 1.1  # between this level line and the next, up to the grid
    assert axes_said(ax) == ("weight decay $\\lambda_W$", "feature decay $\\lambda_H$", "K = 10, n = 100")
    assert ax.figure.axes[1].get_ylabel() == "margin $s$" and written(ax.figure) == ["all zero"]


def test_optimum_in_the_plane_names_each_decay_and_length():
    best = PROBLEM.optimum()
    title = drawings.optimum_in_the_plane(PROBLEM, limit=4).axes[0].get_title()
    assert title == (
        "$\\lambda_W$ = 0.01,  $\\lambda_H$ = 0.02\n"
        f"margin {best.margin:.2f},  $|w|$ = {best.W[0].norm():.2f},  $|h|$ = {best.H[0].norm():.2f}"
    )


def test_rows_are_arrows_and_features_marks_of_their_class_s_colour():
    W, H, _ = POINT
    ax = drawings.new(4, 4)[1]
    drawings.draw_plane(ax, W, H, 3.0)
    shades = [color.upper() for color in COLORS[:3]]
    assert arrows(ax) == [(shades[k], (0, 0), approx(tuple(W[k].tolist()))) for k in range(3)]
    own = {colour(line): points(line) for line in ax.lines[:3]}
    assert own == {shades[k]: [approx(tuple(h)) for h in H[4 * k : 4 * k + 4].tolist()] for k in range(3)}


def test_bars_have_the_pieces_lengths_under_the_pieces_names():
    fig = drawings.geometry_and_budget(*POINT[:2], PIECES, step=7, limit=3, least=1e-8)
    plane, bars = fig.axes
    said = {
        "others": "wrong logits unequal", "margins": "margins unequal", "collapse": "classes not collapsed",
        "alignment": "W and H not aligned", "balance": "decays not balanced", "bias": "bias not zero",
        "length": "length not right",
    }  # fmt: skip
    ends = {round(bar.get_y() + bar.get_height() / 2): bar.get_x() + bar.get_width() for bar in bars.patches}
    names = {round(text.get_position()[1] + 0.5): text.get_text() for text in bars.texts}
    assert {names[row]: end for row, end in ends.items()} == {said[n]: approx(getattr(PIECES, n)) for n in said}
    assert plane.get_title() == "step 7" and bars.get_title() == f"$f - f^\\ast$ = {PIECES.total:.1e}"


def test_descent_draws_each_objective_under_its_name_above_the_bound():
    ax = drawings.descent_to_bound([1, 10], {"a": [4, 1], "b": [5, 2]}, 0.9, bound_label="f*", ylabel="f").axes[0]
    assert named(ax) == {"a": [(1, 4), (10, 1)], "b": [(1, 5), (10, 2)]}
    assert list(ax.lines[2].get_ydata()) == [0.9, 0.9] and [(t.get_text(), t.xy[1]) for t in ax.texts] == [("f*", 0.9)]
    assert axes_said(ax) == ("optimiser step", "f", "") and ax.get_xscale() == ax.get_yscale() == "log"


@pytest.mark.parametrize(("share", "cosine"), [(0.0, 0.0), (0.5, -1 / 3), (1.0, -0.5)])
def test_orthant_runs_from_orthogonal_to_the_simplex(share, cosine):
    view, scale = drawings.orthant(share).axes
    assert marks(scale, "o") == [approx((share, cosine), abs=1e-12)]
    t, along = scale.lines[0].get_data()
    assert along == approx((t * t - 2 * t) / (3 - 2 * t + t * t), abs=1e-12)
    assert axes_said(scale) == (
        "share of the global mean removed",
        "cosine of two class means",
        f"cosine {cosine:+.2f}",
    )
    origin = marks(view, "o")[0]
    assert [(a, start) for a, start, _ in arrows(view)] == [(c.upper(), approx(origin)) for c in COLORS[:3]]
    tips = torch.tensor([tip for *_, tip in arrows(view)])
    centre = tips.mean(dim=0)
    assert torch.dist(torch.tensor(origin), share * centre) < 1e-6 and math.hypot(*centre.tolist()) > 0.1
