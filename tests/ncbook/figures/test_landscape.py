"""The drawings of chapters 4 and 5 carry the numbers they are given: which series, which name, which values."""

import numpy as np
import torch
from matplotlib.figure import Figure
from pytest import approx

from ncbook import ufm
from ncbook.figures import landscape as drawings
from ncbook.figures.style import COLORS
from ncbook.ufm import UFM
from tests.ncbook.figures.artists import axes_said, colour, marks, named, points, rows, words

BLUE, ORANGE, GREEN = (color.upper() for color in COLORS[:3])
PROBLEM = UFM(4, 1, 4, 1e-2, 1e-2, 1e-2)
CHAINS = [ufm.inequality_chain(PROBLEM, *PROBLEM.random_point(seed, 0.5)) for seed in range(3)]
LINKS = ["objective", "factors balanced", "no bias decay", "equal rivals", "equal margins", "aligned", "best margin"]


def test_chain_bars_have_the_lengths_of_the_proof_and_clip_at_the_top():
    chain, top = CHAINS[0], 1.0
    ax = drawings.proof_chain(chain, 0.1, top=top).axes[0]
    at = {place: name for name, place in rows(ax).items()}
    bars = {at[round(bar.get_y() + bar.get_height() / 2, 6)]: bar for bar in ax.patches}
    values = dict(zip([*LINKS, "certified bound"], [*chain.steps, 0.1]))
    assert min(values.values()) < top < max(values.values())  # both cases are seen
    assert {name: bar.get_width() for name, bar in bars.items()} == approx({n: min(v, top) for n, v in values.items()})
    said = {at[text.get_position()[1]]: text.get_text() for text in ax.texts}
    assert said == {name: f"{value:.4f}" for name, value in values.items()}
    assert [colour(bars[name]) for name in ("objective", "aligned", "best margin")] == [ORANGE, BLUE, GREEN]
    assert list(at) == sorted(at, reverse=True)  # the proof reads from top to bottom
    assert list(ax.lines[0].get_xdata()) == approx([chain.minimum] * 2) and axes_said(ax) == ("value", "", "")


def test_links_lose_what_separates_neighbours_of_the_chain_and_idle_ones_are_left_out():
    ax = drawings.links_closing([0, 5, 9], CHAINS, [0.1, -0.2, 0.3]).axes[0]
    wanted = {
        name: [(t, approx(max(c.steps[i] - c.steps[i + 1], 1e-12))) for t, c in zip((0, 5, 9), CHAINS)]
        for i, name in enumerate(LINKS[1:])
    }
    below = [(t, approx(max(c.minimum - b, 1e-12))) for t, c, b in zip((0, 5, 9), CHAINS, (0.1, -0.2, 0.3))]
    assert named(ax) == wanted | {"bound below minimum": below}
    assert words(ax.get_legend()) == list(named(ax)) and ax.get_yscale() == "log"
    assert axes_said(ax) == ("step of gradient descent", "loss of the step", "")
    free = UFM(4, 1, 4, 1e-2, 1e-2)  # no bias decay: that link holds with equality
    chain = ufm.inequality_chain(free, *free.random_point(0, 0.5))
    assert "no bias decay" not in named(drawings.links_closing([0], [chain], [0.1]).axes[0])


def test_squeeze_draws_the_objective_above_the_bound_and_the_minimum_between():
    ax = drawings.squeeze([0, 4], [0.5, 0.46], [0.1, 0.4], 0.45).axes[0]
    shown = named(ax)
    assert [y for _, y in shown.pop("minimum")] == [0.45, 0.45]
    assert shown == {"objective": [(0, 0.5), (4, 0.46)], "certified bound": [(0, 0.1), (4, 0.4)]}
    assert axes_said(ax) == ("step of gradient descent", "value", "")


def test_layer_bars_put_both_numbers_of_a_layer_in_its_row():
    ax = drawings.layer_bars(["a", "b"], [0.4, 0.2], [0.1, 0.19], 0.195).axes[0]
    assert rows(ax) == {"a": 0, "b": -1}
    dots = {c.get_label(): [tuple(place) for place in c.get_offsets().tolist()] for c in ax.collections}
    assert dots == {"the layer's objective": [(0.4, 0), (0.2, -1)], "its certified bound": [(0.1, 0), (0.19, -1)]}
    said = {text.get_text(): (text.xy, colour(text)) for text in ax.texts}
    assert said == {
        "0.400": ((0.4, 0), ORANGE), "0.200": ((0.2, -1), ORANGE),
        "0.100": ((0.1, 0), BLUE), "0.190": ((0.19, -1), BLUE),
    }  # fmt: skip
    assert [colour(c) for c in ax.collections] == [ORANGE, BLUE]
    assert [points(line) for line in ax.lines[:2]] == [[(0.1, 0), (0.4, 0)], [(0.19, -1), (0.2, -1)]]
    assert [x for x, _ in named(ax)["minimum"]] == [0.195, 0.195]


def test_saddle_surface_has_each_direction_on_its_axis_and_the_path_from_white_to_orange():
    along, across = torch.linspace(-1, 1, 9), torch.linspace(-2, 2, 17)
    surface = along[None, :] + 3 * across[:, None]
    path = torch.tensor([[0.1, -1.0], [0.2, 0.5], [0.9, 1.5]])
    fig = drawings.saddle_surface(along, across, surface, path, xlabel="out", ylabel="up", title="t")
    ax = fig.axes[0]
    filled, outline = ax.collections
    for level, way in zip(outline.levels, outline.get_paths()):
        assert way.vertices @ [1, 3] == approx(np.full(len(way.vertices), level), abs=1e-6)
    assert list(filled.levels) == list(outline.levels) and filled.levels[0] == -7
    assert filled.cmap.name == "viridis"  # high is light
    assert points(ax.lines[0]) == points(ax.lines[1]) == [approx(tuple(p)) for p in path.tolist()]
    start, end = ax.lines[2:4]
    assert (points(start), colour(start)) == ([approx((0.1, -1.0))], "#FFFFFF")
    assert (points(end), colour(end)) == ([approx((0.9, 1.5))], ORANGE)
    assert marks(ax, "x") == [(0, 0)]
    assert axes_said(ax) == ("out", "up", "t") and fig.axes[1].get_ylabel() == "objective"
    assert ax.get_xlim() == (-1, 1) and ax.get_ylim() == (-2, 2)


def test_spectrum_ranks_the_eigenvalues_and_counts_signs():
    ax = drawings.spectrum(torch.tensor([-0.3, -0.1, 0.0, 0.25], dtype=torch.float64), [-0.3, 0.2]).axes[0]
    assert named(ax) == {"2 negative": [(1, -0.3), (2, -0.1)], "1 zero": [(3, 0)], "1 positive": [(4, 0.25)]}
    assert [line.get_marker() for line in ax.lines if line.get_label()[0] != "_"] == ["v", "s", "o"]
    levels = [line.get_ydata()[0] for line in ax.lines if line.get_linestyle() == "--"]
    assert list(ax.lines[-1].get_ydata()) == [0, 0]
    assert levels == [-0.3, 0.2] and axes_said(ax) == ("eigenvalue number", "eigenvalue", "")


def test_leaving_draws_each_run_under_its_name_and_its_prediction_up_to_distance_one():
    runs = {
        "near": (torch.tensor([1e-8, 1e-3, 1.5]), torch.tensor([1e-8, 1e-2, 3.0])),
        "on it": (torch.tensor([0.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 0.0])),
    }
    ax = drawings.leaving(runs).axes[0]
    near, theory, on_it, none = (line.get_ydata().tolist() for line in ax.lines)
    assert near == approx([1e-8, 1e-3, 1.5]) and theory == approx([1e-8, 1e-2])
    assert on_it == approx([3e-17] * 3) and none == [0, 0, 0]
    assert words(ax.get_legend()) == ["near", "theory", "on it"]
    assert [line.get_linestyle() for line in ax.lines] == ["-", "--", "-", "--"]
    assert axes_said(ax) == ("step of gradient descent", "distance from the saddle", "")


def test_census_sorts_points_into_saddles_certified_minima_and_others():
    census = ufm.critical_points(PROBLEM, 30, seed=1, scale=2.0)
    stable = census.index == 0
    assert 2 <= int(stable.sum()) < 30
    census.spectral_ratio[stable.nonzero()[0]] = 2.0  # as if one stable point were not certified
    ax = drawings.census_map(census, 0.7, max_index=15, max_value=1.5).axes[0]
    certified = stable & (census.spectral_ratio < 1.5)
    kinds = {
        "strict saddles": ~stable,
        "certified global minima": certified,
        "stable, not certified": stable & ~certified,
    }
    assert words(ax.get_legend()) == [f"{int(mask.sum())} {name}" for name, mask in kinds.items()]
    for drawn, (name, mask) in zip(ax.collections, kinds.items()):
        assert drawn.get_label() == f"{int(mask.sum())} {name}"
        assert drawn.get_offsets()[:, 0].round().tolist() == census.index[mask].tolist()
        assert drawn.get_offsets()[:, 1].tolist() == approx(census.value[mask].tolist())
    assert list(ax.lines[0].get_ydata()) == [0.7, 0.7]
    assert axes_said(ax) == ("index: independent ways down", "objective", "")
    assert ax.get_xlim() == (-0.7, 15.7) and ax.get_ylim() == (0, 1.5)
    assert not drawings.census_map(census, None, max_index=15, max_value=1.5).axes[0].lines


def test_escape_times_draw_dots_measured_and_lines_of_their_colour_predicted():
    times = {"plain": ([60, 30], [61.0, 30.5]), "momentum": ([12, 7], [12.5, 7.5])}
    ax = drawings.escape_times([0.1, 0.2], times).axes[0]
    assert named(ax) == {"plain": [(0.1, 60), (0.2, 30)], "momentum": [(0.1, 12), (0.2, 7)]}
    told = {colour(line): points(line) for line in ax.lines if line.get_linestyle() == "--"}
    assert told == {BLUE: [(0.1, 61), (0.2, 30.5)], ORANGE: [(0.1, 12.5), (0.2, 7.5)]}
    assert {line.get_label(): colour(line) for line in ax.lines[::2]} == {"plain": BLUE, "momentum": ORANGE}
    assert axes_said(ax) == ("size of the smallest eigenvalue", "steps to leave", "")
    assert ax.get_legend().get_title().get_text() == "dots: measured, lines: theory"


def test_final_values_put_each_run_in_its_row_and_count_the_stuck():
    ax = drawings.final_values({"a": [1.0, 1.25, 1.5], "b": [0.0]}, {"a": 1.0, "b": 0.0}, xlabel="above").axes[0]
    assert rows(ax) == {"a": 0, "b": -1} and axes_said(ax) == ("above", "", "")
    found = [
        (colour(c), [(x, round(y)) for x, y in c.get_offsets().tolist()])
        for c in ax.collections
        if len(c.get_offsets())
    ]
    assert found == [
        (GREEN, [(approx(1e-14), 0)]), (ORANGE, [(approx(0.25), 0), (approx(0.5), 0)]), (GREEN, [(approx(1e-14), -1)])
    ]  # fmt: skip
    assert [(t.get_text(), t.get_position()[1]) for t in ax.texts] == [("2 of 3\nstuck", 0), ("0 of 1\nstuck", -1)]


def test_every_drawing_is_a_figure_no_wider_than_seven_inches():
    axis = torch.linspace(-1, 1, 9)
    figs = [
        drawings.proof_chain(CHAINS[0], 0.1, top=1.0),
        drawings.saddle_surface(axis, axis, axis[None, :] * axis[:, None], torch.zeros(3, 2), xlabel="x", ylabel="y"),
        drawings.squeeze([0, 1], [1.0, 0.5], [0.1, 0.4], 0.45),
        drawings.final_values({"a": [1.0]}, {"a": 1.0}, xlabel="x"),
    ]
    assert all(isinstance(fig, Figure) and fig.get_figwidth() <= 7 for fig in figs)
