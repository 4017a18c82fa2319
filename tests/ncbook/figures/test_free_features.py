"""The drawings of chapter 3 show the numbers they are given, at a size that fits the page."""

import math

import pytest
import torch
from matplotlib.figure import Figure

from ncbook.figures import free_features as drawings
from ncbook.ufm import UFM, gap_budget


def all_figures() -> dict[str, Figure]:
    problem = UFM(3, 4, 2, 0.01, 0.02, 0.1)
    W, H, b = problem.random_point(0)
    pieces = gap_budget(problem, W, H, b)
    return {
        "peeled": drawings.peeled_network(),
        "price": drawings.price_of_margin(4, 0.1),
        "plane of decays": drawings.phase_plane(10, 10),
        "optimum": drawings.optimum_in_the_plane(problem, limit=4),
        "budget": drawings.geometry_and_budget(W, H, pieces, step=3, limit=3, least=1e-8),
        "descent": drawings.descent_to_bound([1, 10], {"a": [2, 1]}, 0.9, bound_label="f*", ylabel="f"),
        "orthant": drawings.orthant(0.5),
    }


def test_every_drawing_fits_the_page_and_draws():
    for name, figure in all_figures().items():
        figure.canvas.draw()
        assert figure.get_size_inches()[0] <= 7, name


@pytest.mark.parametrize(("K", "Kq"), [(2, 0.1), (4, 0.9), (10, 0.01), (4, 1.0), (4, 1.5)])
def test_price_of_margin_marks_the_closed_form(K, Kq):
    best = UFM(K, 1, K, Kq / K, Kq / K).optimum()
    axes = drawings.price_of_margin(K, Kq).axes[0]
    (margin,), (value,) = axes.lines[3].get_data()
    assert margin == pytest.approx(best.margin, abs=1e-12) and value == pytest.approx(best.value, abs=1e-12)
    total = axes.lines[2].get_ydata()
    assert value <= total.min() + 1e-12


def test_phase_plane_s_line_is_the_threshold():
    K, n = 10, 100
    x, y = drawings.phase_plane(K, n).axes[0].lines[0].get_data()
    q = math.sqrt(n * 10 ** (x[40] + y[40]))
    assert K * q == pytest.approx(1, rel=1e-12)


def test_bars_have_the_pieces_lengths():
    problem = UFM(3, 4, 2, 0.01, 0.02, 0.1)
    W, H, b = problem.random_point(0)
    pieces = gap_budget(problem, W, H, b)
    bars = drawings.geometry_and_budget(W, H, pieces, step=0, limit=3, least=1e-8).axes[1].patches
    ends = [bar.get_x() + bar.get_width() for bar in bars]
    drawn = [getattr(pieces, name) for name in drawings.PIECES if name != "orthogonality"]
    assert ends == pytest.approx(drawn, rel=1e-12)


@pytest.mark.parametrize(("share", "cosine"), [(0.0, 0.0), (1.0, -0.5)])
def test_orthant_runs_from_orthogonal_to_the_simplex(share, cosine):
    (_, marked) = drawings.orthant(share).axes[1].lines[1].get_data()
    assert marked[0] == pytest.approx(cosine, abs=1e-12)


def test_rows_are_drawn_where_they_are():
    problem = UFM(3, 2, 2, 0.01, 0.02)
    best = problem.optimum(generator=torch.Generator().manual_seed(0))
    axes = drawings.new(4, 4)[1]
    drawings.draw_plane(axes, best.W, best.H, 3.0)
    tips = [text.xy for text in axes.texts]
    assert torch.allclose(torch.tensor(tips, dtype=torch.float64), best.W)
