"""Tests of ncbook.figures.shallow: each drawing shows what it is given, in text large enough to read."""

from __future__ import annotations

import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.text import Text
from pytest import approx

from ncbook import shallow
from ncbook.figures import shallow as drawings
from ncbook.figures import style
from tests.ncbook.figures.artists import axes_said, colour, marks, named, pixels, points, rows, words

X, Y = shallow.planar_data(3, 4, 10.0, norms=(0.7, 1.3))
RUN = shallow.gradient_flow(
    shallow.ShallowReLU.random(9, 2, 3, seed=3), X, Y, torch.linspace(-4, 8, 5, dtype=torch.float64), rtol=1e-4
)
FOUND = [shallow.collapse(RUN.network(i).features(X), Y, RUN.network(i).V) for i in range(5)]
DRAWN = {
    "plane": lambda: drawings.plane(X, Y),
    "film": lambda: drawings.film(RUN, 2, X, Y),
    "broken": lambda: drawings.broken(RUN, X, Y, FOUND[-1]),
    "collapse_curves": lambda: drawings.collapse_curves(RUN.log_times, FOUND, 0.01, 0.0),
    "lazy": lambda: drawings.lazy({0.1: [1.0, 0.1], 1.0: [1.0, 0.5]}, torch.tensor([1.0, 10.0]), 0.1),
    "plateau": lambda: drawings.plateau([("h", 1.0, 2.0), ("n", 3.0, 4.0)], [0.1, 0.2]),
    "correlations": lambda: drawings.correlations(X, -X, Y),
    "images": lambda: drawings.images({"one": torch.eye(3, 4), "two": torch.zeros(3, 4)}, 2),
}


LOG_TIME = "log t (natural logarithm of time)"


@pytest.mark.parametrize("name", DRAWN)
def test_every_drawing_is_narrow_enough_and_legible(name: str) -> None:
    fig = DRAWN[name]()
    assert isinstance(fig, Figure) and fig.get_figwidth() <= 7
    fig.canvas.draw()
    assert [t.get_text() for t in fig.findobj(Text) if t.get_text() and t.get_fontsize() < 10] == []


def test_neurons_take_the_colour_of_their_class_and_grey_while_shared() -> None:
    for index in (0, 4):
        left = drawings.film(RUN, index, X, Y).axes[0]
        dots = [line for line in left.lines if line.get_marker() == "o"]
        kinds = shallow.assignment(RUN.network(index), X, Y).tolist()
        expected = [style.COLORS[k] if k >= 0 else style.GREY for k in kinds]
        assert [dot.get_color() for dot in dots] == expected
    assert shallow.SHARED in shallow.assignment(RUN.network(0), X, Y).tolist()


def test_max_margin_crosses_are_left_out_where_a_class_has_none() -> None:
    wide, labels = shallow.planar_data(2, 4, 90.0)
    net = shallow.ShallowReLU.random(4, 2, 2)
    run = shallow.Flow(torch.zeros(1), net.W[None], net.V[None], torch.zeros(1), 0.0, 1, 0.0, 0.0, True)
    crosses = [line for line in drawings.film(run, 0, wide, labels).axes[0].lines if line.get_marker() == "X"]
    assert crosses == []


def rays(ax) -> list[tuple[str, tuple[float, float]]]:
    """The samples: colour, and where the ray from the origin ends."""
    return [
        (colour(line), points(line)[1]) for line in ax.lines if points(line)[0] == (0, 0) and len(points(line)) == 2
    ]


def test_plane_draws_each_sample_in_its_class_s_colour_and_the_cosines_of_all_pairs() -> None:
    left, right = drawings.plane(X, Y).axes
    longest = float(X.norm(dim=1).max())
    assert rays(left) == [
        (style.COLORS[k].upper(), approx(tuple((x / longest).tolist()))) for x, k in zip(X, Y.tolist())
    ]  # fmt: skip
    unit = torch.nn.functional.normalize(X, dim=1)
    assert pixels(right) == approx((unit @ unit.T).numpy())
    assert (left.get_title(), right.get_title()) == ("samples", "cosines of all pairs")
    mu_s, mu_d = shallow.separability(X, Y)
    assert left.figure.get_suptitle() == f"within a class ≥ {mu_s:.2f}, between classes ≤ {-mu_d:.2f}"


def test_film_draws_the_loss_up_to_now_and_the_neurons_of_now() -> None:
    left, right = drawings.film(RUN, 2, X, Y).axes
    way = list(zip(RUN.log_times.tolist(), RUN.log_loss.tolist()))
    whole, past, now = right.lines
    assert points(whole) == way and points(past) == way[:3] and points(now) == [way[2]]
    directions = torch.nn.functional.normalize(RUN.network(2).W, dim=1)
    assert marks(left, "o") == [approx(tuple(w)) for w in directions.tolist()]
    crosses = [(colour(line), points(line)[0]) for line in left.lines if line.get_marker() == "X"]
    targets = 1.2 * shallow.predicted_limit(X, Y).directions
    assert crosses == [(style.COLORS[k].upper(), approx(tuple(t))) for k, t in enumerate(targets.tolist())]
    assert left.get_title() == f"log t = {way[2][0]:.1f}"
    assert axes_said(right) == (LOG_TIME, "log loss", rf"$\Vert\theta\Vert$ = {RUN.network(2).norm:.2g}")


def test_broken_draws_each_measure_in_its_row_and_says_whether_the_data_separate() -> None:
    left, right = drawings.broken(RUN, X, Y, FOUND[-1]).axes
    ends = {round(bar.get_y() + bar.get_height() / 2): bar.get_width() for bar in right.patches}
    found = {name: approx(max(value, 1e-12)) for name, value in zip(
        ("NC1\ndirectional", "NC2\nframe", "NC3\nprojected"),
        (FOUND[-1].directional_nc1, FOUND[-1].nc2_frame, FOUND[-1].nc3))}  # fmt: skip
    assert {name: ends[row] for name, row in rows(right).items()} == found
    mu_s, mu_d = shallow.separability(X, Y)
    assert left.get_title() == "separable" and right.get_title() == f"μ_s = {mu_s:.2f}, μ_d = {mu_d:.2f}"
    wide = shallow.planar_data(3, 4, 30.0)
    assert drawings.broken(RUN, *wide, FOUND[-1]).axes[0].get_title() == "not separable"


def test_collapse_curves_draw_each_measure_under_its_name_and_the_predicted_limit() -> None:
    ax = drawings.collapse_curves(RUN.log_times, FOUND, 0.01, 0.5).axes[0]
    said = {
        "NC1, raw": "nc1", "NC1, directional": "directional_nc1", "NC2, orthogonal frame": "nc2_frame",
        "NC3, projected": "nc3",
    }  # fmt: skip
    wanted = {
        label: [(t, approx(max(getattr(c, name), 1e-15))) for t, c in zip(RUN.log_times.tolist(), FOUND)]
        for label, name in said.items()
    }
    assert named(ax) == wanted and words(ax.figure.legends[0]) == list(said)
    limit, fitted = ax.lines[4:]
    assert list(limit.get_ydata()) == [0.01, 0.01] and list(fitted.get_xdata()) == [0.5, 0.5]
    assert colour(limit) == colour(ax.lines[0]) == colour(ax.texts[0])  # the limit is that of the raw NC1
    assert [t.get_text() for t in ax.texts] == ["raw NC1 of the exact limit", " loss halved"]
    assert axes_said(ax) == (LOG_TIME, "measure (0 is collapsed)", "")


def test_lazy_names_each_curve_at_its_end_and_draws_the_chosen_start_thick() -> None:
    curves = {0.1: [1.0, 0.1], 1.0: [1.0, 0.5]}
    ax = drawings.lazy(curves, torch.tensor([1.0, 10.0]), 1.0).axes[0]
    assert [points(line) for line in ax.lines] == [list(zip((1.0, 10.0), y)) for y in curves.values()]
    assert {t.get_text(): t.get_position()[1] for t in ax.texts} == {"ε = 0.1": 0.1, "ε = 1": 0.5}
    assert ax.lines[1].get_linewidth() > ax.lines[0].get_linewidth()
    assert axes_said(ax) == (LOG_TIME, "NC1, directional", "") and ax.get_xscale() == ax.get_yscale() == "log"


def test_plateau_draws_each_kind_under_its_name_over_the_bound() -> None:
    ax = drawings.plateau([("h", 1.0, 2.5), ("n", 3.0, 4.0), ("h", 2.0, 3.0)], [0.1, 0.3, 0.2]).axes[0]
    shown = named(ax)
    assert shown["h varied"] == [(1, 2.5), (2, 3)] and shown["n varied"] == [(3, 4)]
    assert shown["proved lower bound"] == [(1, 0.1), (2, 0.2), (3, 0.3)]
    shift = (1.5 + 1 + 1) / 3
    assert shown["slope 1"] == [(1, approx(1 + shift)), (3, approx(3 + shift))]
    assert axes_said(ax)[1] == "plateau length × growth rate" and r"\log" in ax.get_xlabel()


def test_correlations_put_before_on_the_left_and_order_by_class() -> None:
    mixed = torch.arange(len(Y)).flip(0)
    left, right = drawings.correlations(X[mixed], X[mixed] - 1, Y[mixed]).axes[:2]
    order = mixed[torch.argsort(Y[mixed], stable=True)]
    for ax, data in ((left, X[order]), (right, X[order] - 1)):
        unit = torch.nn.functional.normalize(data, dim=1)
        assert pixels(ax) == approx((unit @ unit.T).numpy(), abs=1e-6)
    assert (left.get_title(), right.get_title()) == ("as they come", "global mean removed")


def test_images_put_each_class_in_its_column_and_each_name_at_its_row() -> None:
    fig = drawings.images({"one": torch.eye(3, 4), "two": -2 * torch.eye(3, 4)}, 2)
    for i, ax in enumerate(fig.axes):
        r, k = divmod(i, 3)
        assert pixels(ax).flatten() == approx(([1, -2][r] * torch.eye(3, 4)[k]).numpy())
        assert ax.images[0].get_clim() == ((-1, 1) if r == 0 else (-2, 2)) and ax.images[0].cmap.name == "RdBu_r"
        assert ax.get_ylabel() == (["one", "two"][r] if k == 0 else "")
        assert ax.get_title() == (f"class {k}" if r == 0 else "")
