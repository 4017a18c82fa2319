"""The drawings of chapter 9 carry the numbers they are given: which series, under which name, with which values."""

import math

import numpy as np
import pytest
import torch
from pytest import approx

from ncbook.figures import measuring as drawings
from ncbook.figures.style import COLORS
from tests.ncbook.figures.artists import axes_said, colour, named, points, rows, words

VALUES = torch.tensor([1.0, 1e-2, 1e-5, -1e-7, 1e-8], dtype=torch.float64)
REAL, NOISE = [(1, 1.0), (2, approx(1e-2))], [(3, approx(1e-5)), (4, approx(1e-7)), (5, approx(1e-8))]


@pytest.mark.parametrize(
    "cutoff, shown",
    [
        (1e-9, {"2 real, inverted": REAL, "3 round-off, inverted": NOISE}),
        (1e-4, {"2 real, inverted": REAL, "3 round-off, left out": NOISE}),
        (1e-6, {"2 real, inverted": REAL, "1 round-off, inverted": NOISE[:1], "2 round-off, left out": NOISE[1:]}),
        (0.5, {"1 real, inverted": REAL[:1], "1 real, thrown away": REAL[1:], "3 round-off, left out": NOISE}),
    ],
)
def test_spectrum_sorts_eigenvalues_by_truth_and_cutoff(cutoff, shown):
    ax = drawings.spectrum(VALUES, cutoff, 2, -3.2, 1e-3).axes[0]
    assert named(ax) == shown and words(ax.get_legend()) == list(shown)
    assert list(ax.lines[-1].get_ydata()) == [cutoff, cutoff]
    assert [(text.get_text(), text.xy[1]) for text in ax.texts] == [("cut-off", cutoff)]
    assert axes_said(ax) == ("eigenvalue number", "size", "NC1 comes out as -3.2; it is 0.001")
    assert ax.get_xscale() == ax.get_yscale() == "log"


def test_floors_draws_each_recipe_and_puts_what_is_not_positive_at_the_bottom_edge():
    ax = drawings.floors([1e-1, 1e-2], [1e-2, 1e-4], {"a": [1e-2, -5.0], "b": [0.3, 0.2]}).axes[0]
    assert named(ax) == {
        "exact": [(1e-1, 1e-2), (1e-2, 1e-4)],
        "a": [(1e-1, 1e-2), (1e-2, 1e-19)],
        "b": [(1e-1, 0.3), (1e-2, 0.2)],
    }
    assert words(ax.get_legend()) == ["exact", "a", "b"] and ax.xaxis_inverted()
    assert axes_said(ax)[0] == "noise in the classes / distance of means" and "trace quotient" in axes_said(ax)[1]
    assert ax.get_ylim()[0] < 1e-19


def test_baselines_draws_points_measured_on_lines_of_their_colour_predicted():
    seen, told = {"a": [1.0, 0.1], "b": [3.0, 4.0]}, {"a": [1.1, 0.2], "b": [3.5, 4.5]}
    ax = drawings.baselines([10, 100], seen, told).axes[0]
    assert named(ax) == {"a": [(10, 1.0), (100, 0.1)], "b": [(10, 3.0), (100, 4.0)]}
    lines = {colour(line): points(line) for line in ax.lines[:-1] if line.get_linestyle() == "-"}
    dots = {line.get_label(): colour(line) for line in ax.lines if line.get_marker() != "None"}
    assert {name: lines[shade] for name, shade in dots.items()} == {
        "a": [(10, 1.1), (100, 0.2)], "b": [(10, 3.5), (100, 4.5)]
    }  # fmt: skip
    assert list(ax.lines[-1].get_ydata()) == [1, 1]
    assert axes_said(ax) == ("feature dimension $d$", "value on pure noise", "")


def test_two_classes_puts_the_boundary_where_the_formula_says():
    title = drawings.two_classes(1e-3, 10).axes[0].get_title()
    assert title == f"NC1 = 0.001, K = 10: {math.sqrt(9 / 2e-3):.3g} standard deviations to the boundary"
    ax = drawings.two_classes(1.0, 3).axes[0]
    at = dict(zip((t.get_text() for t in ax.get_xticklabels()), ax.get_xticks()))
    assert at == {"$\\mu_j$": -1, "boundary": 0, "$\\mu_k$": 1} and list(ax.lines[2].get_xdata()) == [0, 0]
    # At K = 3, NC1 = 1 the boundary is one standard deviation away.
    for curve, mean in zip(ax.lines, (-1, 1)):
        x, y = curve.get_data()
        assert y == approx(np.exp(-((x - mean) ** 2) / 2), abs=1e-12)
    said = {text.get_text(): (text.xy[0], colour(text)) for text in ax.texts}
    assert said == {"class $j$": (-1, colour(ax.lines[0])), "class $k$": (1, colour(ax.lines[1]))}


def test_bars_reads_from_top_to_bottom_and_writes_the_values():
    ax = drawings.bars({"first": 0.5, "second": 20.0}, "NC1").axes[0]
    assert rows(ax) == {"second": 0, "first": 1} and axes_said(ax) == ("NC1", "", "")
    assert {round(bar.get_y() + bar.get_height() / 2): bar.get_width() for bar in ax.patches} == {1: 0.5, 0: 20.0}
    assert {text.get_text(): text.xy for text in ax.texts} == {"0.5": (0.5, 1), "20": (20.0, 0)}
    assert {colour(bar) for bar in ax.patches} == {COLORS[0].upper()}
