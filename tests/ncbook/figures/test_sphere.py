"""The drawings of chapter 6 carry the numbers they are given: which series, under which name, with which values."""

import math

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from pytest import approx

from ncbook.etf import simplex_etf
from ncbook.figures import sphere as draw
from ncbook.figures.style import COLORS
from ncbook.sphere import SphericalUFM, critical_points, descend, geodesic, project, retract
from tests.ncbook.figures.artists import arrows, axes_said, colour, marks, named, points, words

BLUE, ORANGE, GREEN = (color.upper() for color in COLORS[:3])
X = torch.tensor([[math.cos(math.radians(35)), math.sin(math.radians(35))]], dtype=torch.float64)


def said(ax):
    """Each text with words, to its place and colour."""
    return {t.get_text(): (t.get_position(), colour(t)) for t in ax.texts if t.get_text()}


def test_tangent_plane_splits_the_gradient_into_its_two_parts():
    ax = draw.tangent_plane((0.5, 0.75)).axes[0]
    g = torch.tensor([[0.5, 0.75]], dtype=torch.float64)
    foot, end = (X + project(X, g))[0].tolist(), (X + g)[0].tolist()
    at = approx(X[0].tolist())
    assert arrows(ax) == [(ORANGE, at, approx(end)), (BLUE, at, approx(foot))]
    assert marks(ax, "o") == [at]
    radial = next(line for line in ax.lines if line.get_linestyle() == ":")
    assert points(radial) == [approx(foot), approx(end)]
    texts = said(ax)
    assert texts["gradient"] == ((approx(end[0] + 0.05), approx(end[1])), ORANGE)
    assert texts["tangent part"] == ((approx(foot[0] - 0.06), approx(foot[1] + 0.05)), BLUE)


def test_retraction_marks_the_step_its_retraction_and_the_end_of_the_geodesic():
    ax = draw.retraction(0.8).axes[0]
    v = 0.8 * torch.tensor([[-X[0, 1], X[0, 0]]], dtype=torch.float64)
    back, along = retract(X, v)[0], geodesic(X, v)[0]
    shown = {(line.get_marker(), colour(line)): points(line)[0] for line in ax.lines if line.get_marker() != "None"}
    assert shown[("o", BLUE)] == approx(back.tolist()) and shown[("s", GREEN)] == approx(along.tolist())
    assert shown[("o", ORANGE)] == approx((X + v)[0].tolist())
    assert arrows(ax) == [(ORANGE, approx(X[0].tolist()), approx((X + v)[0].tolist()))]
    arc = points(next(line for line in ax.lines if colour(line) == GREEN))
    assert arc[0] == approx(X[0].tolist()) and arc[-1] == approx(along.tolist())
    texts = said(ax)
    assert texts["● retraction"][1] == BLUE and texts["■ end of the geodesic"][1] == GREEN
    gap = float((back - along).norm())
    assert f"step 0.8: retraction and geodesic are {gap:.4f} apart" in texts


def test_temperature_draws_the_best_probability_left_and_the_curvature_right():
    left, right = draw.temperature(5).axes
    taus, best = left.lines[0].get_data()
    assert (taus.min(), taus.max()) == approx((0.3, 50)) and list(right.lines[0].get_xdata()) == list(taus)
    for i in (0, 40, 79):
        problem = SphericalUFM(5, 1, 4, float(taus[i]))
        W, H = problem.optimum().point
        probabilities = torch.softmax(problem.temperature * H @ W.T, dim=1)
        assert best[i] == approx(float(probabilities[0, 0]), rel=1e-9)
        assert right.lines[0].get_ydata()[i] == approx(float(taus[i] * probabilities[0, 1]), rel=1e-9)
    assert list(left.lines[1].get_ydata()) == [0.2, 0.2] and "chance" in said(left)
    peak = int(right.lines[0].get_ydata().argmax())
    assert marks(right, "o") == [(taus[peak], right.lines[0].get_ydata()[peak])]
    tau = r"temperature $\tau$"
    assert axes_said(left) == (tau, "", "best probability, 5 classes")
    assert axes_said(right) == (tau, "", "curvature at the optimum") and right.get_yscale() == "log"


@pytest.mark.parametrize("tau", [1.0, 6.0])
def test_stranded_feature_draws_the_loss_of_both_ways_round(tau):
    ax = draw.stranded_feature(3, tau).axes[0]
    shown = {name: np.array(curve) for name, curve in named(ax).items()}
    W = simplex_etf(3, 3)
    within = torch.nn.functional.normalize(project(W[:1], W[1:2]), dim=1)
    out = torch.linalg.svd(W).Vh[-1:]
    for name, side in (("in the plane of the rows", within), ("out of it", out)):
        assert shown[name][[0, -1], 0].tolist() == [0, approx(360)]
        for degrees, loss in shown[name][::30]:
            h = math.cos(math.radians(degrees)) * W[:1] + math.sin(math.radians(degrees)) * side
            fit = torch.nn.functional.cross_entropy(tau * h @ W.T, torch.tensor([0]))
            assert loss == approx(float(fit), abs=1e-12)
    assert words(ax.get_legend()) == ["in the plane of the rows", "out of it"]
    assert axes_said(ax)[:2] == ("angle between the feature and its class's row (degrees)", "loss of the feature")


def test_sticking_draws_each_share_in_per_cent_under_its_name():
    ax = draw.sticking([1.0, 2.0], {"a": [0.0, 0.5], "b": [0.25, 1.0]}).axes[0]
    assert named(ax) == {"a": [(1, 0), (2, 50)], "b": [(1, 25), (2, 100)]} and words(ax.get_legend()) == ["a", "b"]
    assert axes_said(ax) == (r"temperature $\tau$", "runs that stick (percent)", "")


def test_two_parametrisations_draw_level_lines_of_each_loss_around_one_star():
    tau = 2.0
    decayed, unit = draw.two_parametrisations(tau).axes
    assert (decayed.get_title(), unit.get_title()) == ("with decay", "normalised")
    W = math.sqrt(tau) * torch.tensor([[1.0, 0.0], [-0.5, math.sqrt(0.75)], [-0.5, -math.sqrt(0.75)]]).double()
    fit = lambda h: torch.logsumexp(h @ W.T, dim=1) - h @ W[0]
    with_decay = lambda h: fit(h) + draw.feature_decay(tau) / 2 * h.square().sum(dim=1)
    normalised = lambda h: fit(math.sqrt(tau) * torch.nn.functional.normalize(h, dim=1))
    for ax, loss in ((decayed, with_decay), (unit, normalised)):
        lines = ax.collections[0]
        for level, way in list(zip(lines.levels, lines.get_paths()))[2:11]:
            # To the spacing of the grid: its lines are straight between neighbours.
            here = torch.from_numpy(way.vertices)
            assert float((loss(here[here.norm(dim=1) > 1]) - level).abs().max()) < 0.02
        assert marks(ax, "*") == [approx((math.sqrt(tau), 0))]
        for (_, start, tip), row in zip(arrows(ax), W.tolist()):
            assert start == (0, 0) and tip == approx([0.8 * x for x in row])


def texts(figure: Figure) -> str:
    parts = []
    for ax in figure.axes:
        parts += [ax.get_title(), ax.get_xlabel(), ax.get_ylabel(), *(t.get_text() for t in ax.texts)]
        legend = ax.get_legend()
        parts += [t.get_text() for t in legend.get_texts()] if legend else []
    return "\n".join(parts)


def test_every_figure_fits_a_page():
    circle = SphericalUFM(3, 2, 2, 2.0)
    figures = [
        draw.tangent_plane(),
        draw.retraction(0.5),
        draw.paths(circle, descend(circle, circle.random_point(), steps=5, step_size=0.1)),
        draw.temperature(2),
        draw.census(circle, critical_points(circle, 3)),
        draw.stranded_feature(3, 4.0),
        draw.sticking([1.0, 2.0], {"a": [0.0, 0.5]}),
        draw.two_parametrisations(2.0),
        draw.speed_curves({"a": [[1.0, 0.5]]}, ylabel="NC1", target=0.6),
    ]
    assert all(isinstance(f, Figure) and f.get_size_inches()[0] <= 7 for f in figures)


@pytest.mark.parametrize("d", [2, 3])
def test_paths_end_where_the_descent_ends_and_say_whether_it_arrived(d):
    problem = SphericalUFM(3, 1, d, 2.0)
    path, early = (descend(problem, problem.random_point(), steps=steps, step_size=0.5) for steps in (300, 2))
    figure = draw.paths(problem, path)
    assert "at the bound" in texts(figure)
    assert "above the bound" in texts(draw.paths(problem, early))
    squares = [line for line in figure.axes[0].lines if line.get_marker() == "s"]
    assert len(squares) == 3
    end = lambda line: np.ravel(line.get_data_3d() if d == 3 else line.get_data())
    open_dots = [line for line in figure.axes[0].lines if line.get_markerfacecolor() == "white"]
    for k in range(3):
        assert np.allclose(end(squares[k]), path.W[k]) and np.allclose(end(open_dots[k]), path.H[k])
        assert colour(squares[k]) == colour(open_dots[k]) == COLORS[k].upper()
        (number,) = [t for t in figure.axes[0].texts if t.get_text() == str(k)]
        assert colour(number) == COLORS[k].upper()
    way = next(line for line in figure.axes[0].lines if colour(line) == COLORS[1].upper() and line.get_linewidth() == 3)
    first = np.array([x[0] for x in (way.get_data_3d() if d == 3 else way.get_data())])
    assert np.allclose(first, path.path[0].W[1] * (0.35 if d == 2 else 1))  # time runs outwards on the circle


def test_census_counts_each_kind():
    problem = SphericalUFM(3, 1, 3, 5.0)
    found = critical_points(problem, [problem.optimum().point, *map(problem.random_point, range(10))])
    minima = int((found.value < 0.1).sum())
    assert 0 < minima < len(found.points)
    ax = draw.census(problem, found).axes[0]
    at = list(zip((found.value - problem.lower_bound()).tolist(), found.smallest.tolist()))
    low = [p for p, v in zip(at, found.value.tolist()) if v < 0.1]
    assert named(ax) == {
        f"global minimum: {minima}": low,
        f"strict saddle or maximum: {len(found.points) - minima}": [p for p in at if p not in low],
    }
    assert axes_said(ax) == ("loss above the bound", "smallest curvature", r"$K=3$, $d=3$, $\tau=5$")


def test_far_side_is_named_by_the_threshold():
    assert "ridge" in texts(draw.stranded_feature(4, 2.9))
    assert "valley" in texts(draw.stranded_feature(4, 3.1))


def test_matched_decay_puts_the_minimum_on_the_circle():
    """The left panel's lowest contour value lies at the star: the decay is chosen so that the slope vanishes there."""
    tau = 2.0
    W = np.sqrt(tau) * np.array([[1.0, 0.0], [-0.5, np.sqrt(0.75)], [-0.5, -np.sqrt(0.75)]])
    h = torch.tensor([np.sqrt(tau), 0.0], requires_grad=True, dtype=torch.float64)
    logits = torch.from_numpy(W) @ h
    (torch.logsumexp(logits, 0) - logits[0] + draw.feature_decay(tau) / 2 * h.square().sum()).backward()
    assert float(h.grad.norm()) < 1e-12


def test_speed_curves_draw_every_seed_thin_and_the_median_of_each_arm_thick_under_its_name():
    runs = {"a": [[4.0, 3.0], [2.0, 1.0], [9.0, 9.0]], "b": [[0.5, 0.2]] * 3}
    ax = draw.speed_curves(runs, ylabel="NC1", target=0.6).axes[0]
    assert named(ax) == {"a": [(1, 4.0), (2, 3.0)], "b": [(1, 0.5), (2, 0.2)]}
    shade = {line.get_label(): colour(line) for line in ax.lines if line.get_linewidth() > 2}
    for name, values in runs.items():
        thin = [line for line in ax.lines if line.get_linewidth() < 1 and colour(line) == shade[name]]
        assert [points(line) for line in thin] == [[(1, first), (2, second)] for first, second in values]
    assert list(ax.lines[-1].get_ydata()) == [0.6, 0.6] and [t.get_position()[1] for t in ax.texts] == [0.6]
    assert axes_said(ax) == ("epoch", "NC1", "") and ax.get_yscale() == "log"
