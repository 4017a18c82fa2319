"""The drawings of chapter 8 carry the numbers they are given: which series, under which name, with which values."""

from types import SimpleNamespace

import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from ncbook.figures import memory as drawings
from ncbook.figures.style import COLORS, GREY
from tests.ncbook.figures.artists import colours, points, rows

MB = 1_000_000
FIRST = SimpleNamespace(parameters=4 * MB, gradients=3 * MB, optimizer_state=5 * MB, activations=20 * MB, peak=35 * MB)
SECOND = SimpleNamespace(parameters=1 * MB, gradients=2 * MB, optimizer_state=6 * MB, activations=7 * MB, peak=9 * MB)
STEP = SimpleNamespace(
    timeline=[("forward", 1 * MB), ("forward", 4 * MB), ("forward", 6 * MB), ("backward", 8 * MB), ("step", 3 * MB)],
    peak=8 * MB,
)
OTHER = SimpleNamespace(timeline=[("forward", 2 * MB), ("step", 5 * MB)], peak=5 * MB)


def bars(ax):
    """Row to its bars, each (colour, left end, length)."""
    found = {}
    for bar in ax.patches:
        row = round(bar.get_y() + bar.get_height() / 2, 3)
        found.setdefault(row, []).append((to_hex(bar.get_facecolor()).upper(), bar.get_x(), bar.get_width()))
    return found


def test_savings_go_left_from_zero_one_colour_a_way_of_counting():
    changes = {"parameters": {"counted": -0.2}, "batch 2": {"counted": -0.1, "resident": -0.05}}
    fig = drawings.savings(changes, title="what is saved")
    ax = fig.axes[0]
    assert rows(ax) == {"parameters": 0, "batch 2": 1} and ax.yaxis_inverted()
    shown = colours(fig.legends[0])
    drawn = {row: [(colour, size) for colour, _, size in found if size] for row, found in bars(ax).items()}
    assert {row: found for row, found in drawn.items() if found} == {
        0: [(shown["counted"], pytest.approx(-20))],
        0.81: [(shown["counted"], pytest.approx(-10))],
        1.19: [(shown["resident"], pytest.approx(-5))],
    }
    assert len(set(shown.values())) == 2 and [t.get_text() for t in ax.texts] == ["−20.0 ", "−10.0 ", "−5.0 "]
    assert ax.get_xlim()[1] == 0 and ax.get_title() == "what is saved"


def test_parameter_bars_pair_each_part_before_and_after_and_write_the_change():
    before, after = {"body": 11 * MB, "head": 5_120_000}, {"body": 11 * MB, "head": 100_000}
    ax = drawings.parameter_bars(before, after, title="heads").axes[0]
    assert rows(ax) == {"body": 0, "head": 1} and ax.yaxis_inverted()
    grey, blue = GREY.upper(), COLORS[0]
    assert bars(ax) == {
        -0.2: [(grey, 0, 11.0)],
        0.2: [(blue, 0, 11.0)],
        0.8: [(grey, 0, pytest.approx(5.12))],
        1.2: [(blue, 0, pytest.approx(0.1))],
    }
    assert [(t.get_text(), *t.get_position()) for t in ax.texts] == [("", 11.0, 0), (" -5.02", pytest.approx(5.12), 1)]
    assert ax.get_xlabel() == "trained parameters (millions)" and ax.get_title() == "heads"


def test_ledger_bars_stack_the_parts_in_order_under_their_names():
    fig = drawings.ledger_bars({"learned": FIRST, "fixed": SECOND}, title="one step")
    ax = fig.axes[0]
    assert rows(ax) == {"learned": 0, "fixed": 1} and ax.yaxis_inverted()
    shown = colours(fig.legends[0])
    named = {colour: name for name, colour in shown.items()}
    stacks = {row: [(named[colour], left, size) for colour, left, size in found] for row, found in bars(ax).items()}
    assert stacks == {
        0: [("parameters", 0, 4), ("gradients", 4, 3), ("momentum", 7, 5), ("activations", 12, 20)],
        1: [("parameters", 0, 1), ("gradients", 1, 2), ("momentum", 3, 6), ("activations", 9, 7)],
    }
    assert len(named) == len(shown) == 5  # four parts and the peak, no colour twice
    assert [points(line) for line in ax.lines] == [[(35, -0.4), (35, 0.4)], [(9, 0.6), (9, 1.4)]]
    assert {to_hex(line.get_color()) for line in ax.lines} == {shown["peak"]} == {"#000000"}
    assert ax.get_xlabel() == "megabytes" and ax.get_xlim()[0] == 0


def test_step_timeline_draws_each_phase_over_its_own_share_of_the_step():
    ax = drawings.step_timeline(STEP, 12, title="a step").axes[0]
    phases = {line.get_label(): points(line) for line in ax.lines[:3]}
    assert phases == {
        "forward": [(0, 1), (pytest.approx(0.2), 4), (pytest.approx(0.4), 6)],
        "backward": [(pytest.approx(0.6), 8)],
        "step": [(pytest.approx(0.8), 3)],
    }
    assert colours(ax.get_legend()) == {"forward": COLORS[0], "backward": COLORS[1], "step": COLORS[2]}
    assert list(ax.lines[3].get_ydata()) == [8, 8]
    assert [(text.get_text(), text.xy[1]) for text in ax.texts] == [("peak 8 MB", 8)]
    assert ax.get_ylim() == (0, 12) and ax.get_xlim() == (0, 1) and ax.get_title() == "a step"
    assert ax.get_ylabel() == "megabytes alive"


def test_step_timeline_draws_what_it_is_compared_with_in_grey_and_without_a_name():
    lines = drawings.step_timeline(STEP, 12, compared=OTHER).axes[0].lines
    assert points(lines[0]) == [(0, 2), (0.5, 5)]
    assert lines[0].get_color() == GREY and lines[0].get_linestyle() == ":" and lines[0].get_label().startswith("_")
    assert points(lines[1])[0] == (0, 1)


ARMS = {
    "learned": {"error": [[0.4, 0.2], [0.6, 0.1]], "nc1": [[3.0, 0.5], [5.0, 0.7]]},
    "fixed": {"error": [[0.8, 0.3], [0.8, 0.5]], "nc1": [[9.0, 0.02], [7.0, 0.04]]},
}


def test_arm_curves_draw_means_and_ranges_of_each_arm_under_its_name():
    fig = drawings.arm_curves(ARMS, [1, 10])
    error, nc1 = fig.axes
    assert (error.get_title(), nc1.get_title()) == ("test error", "NC1, training images")
    assert error.get_yscale() == nc1.get_yscale() == "log"
    named = {colour: name for name, colour in colours(error.get_legend()).items()}
    means = {
        (ax.get_title()[:4], named[line.get_color()]): points(line) for ax in (error, nc1) for line in ax.lines
    }  # fmt: skip
    assert means == {
        ("test", "learned"): [(1, pytest.approx(0.5)), (10, pytest.approx(0.15))],
        ("test", "fixed"): [(1, pytest.approx(0.8)), (10, pytest.approx(0.4))],
        ("NC1,", "learned"): [(1, pytest.approx(4.0)), (10, pytest.approx(0.6))],
        ("NC1,", "fixed"): [(1, pytest.approx(8.0)), (10, pytest.approx(0.03))],
    }
    assert len({line.get_linestyle() for line in error.lines}) == 2  # told apart without colour


@pytest.mark.parametrize("panel, name", enumerate(["error", "nc1"]))
def test_the_shade_of_an_arm_runs_from_the_lowest_seed_to_the_highest(panel, name):
    fig = drawings.arm_curves(ARMS, [1, 10])
    named = {colour: arm for arm, colour in colours(fig.axes[0].get_legend()).items()}
    for shade in fig.axes[panel].collections:
        values = ARMS[named[to_hex(shade.get_facecolor()[0]).upper()]][name]
        corners = set(map(tuple, shade.get_paths()[0].vertices.tolist()))
        expected = {(x, pick(column)) for x, column in zip((1, 10), zip(*values)) for pick in (min, max)}
        assert corners == expected
    assert len(fig.axes[panel].collections) == 2


FRONTIER = {"baseline": (0.0, [0.97, 0.99]), "half": (-0.5, [0.90, 0.96]), "narrow": (-0.22, [0.95, 0.97, 0.99])}


def test_frontier_numbers_each_point_at_its_place_with_its_range():
    ax = drawings.frontier(FRONTIER, highlight="narrow").axes[0]
    dots = [points(line)[0] for line in ax.lines if line.get_marker() == "o"]
    assert dots == [pytest.approx(place) for place in ((0, 98), (-50, 93), (-22, 97))]
    assert [(text.get_text(), text.xy) for text in ax.texts] == [(str(i + 1), dot) for i, dot in enumerate(dots)]
    ranges = [points(line) for line in ax.lines if line.get_marker() == "None" and line.get_linestyle() == "-"]
    seeds = ((0, 97, 99), (-50, 90, 96), (-22, 95, 99))
    assert ranges == [[pytest.approx((x, low)), pytest.approx((x, high))] for x, low, high in seeds]
    marks = [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == "--"]
    assert marks == [-20, -50]
    band = ax.patches[0]
    assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx((97, 99))
    assert ax.get_title() == "3: narrow, -22%"


@pytest.mark.parametrize("highlight, largest", [(None, []), ("half", [1])])
def test_frontier_enlarges_and_names_the_highlight_only(highlight, largest):
    ax = drawings.frontier(FRONTIER, highlight=highlight).axes[0]
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    assert [i for i, dot in enumerate(dots) if dot.get_markersize() > 7] == largest
    assert [i for i, dot in enumerate(dots) if dot.get_color() == COLORS[1]] == largest
    assert ax.get_title() == ("2: half, -50%" if highlight else "")


def test_no_drawing_is_too_wide_for_a_phone():
    figs = [
        drawings.parameter_bars({"a": MB}, {"a": MB}),
        drawings.ledger_bars({"a": FIRST}),
        drawings.step_timeline(STEP, 12),
        drawings.arm_curves(ARMS, [1, 10]),
        drawings.frontier(FRONTIER),
    ]
    assert all(isinstance(fig, Figure) and fig.get_figwidth() <= 7 for fig in figs)
