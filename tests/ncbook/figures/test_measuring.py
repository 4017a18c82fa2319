"""`ncbook.figures.measuring`: the drawings show what they say."""

import math

import pytest
import torch

from ncbook.figures import measuring as drawings


def labels(figure):
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


@pytest.mark.parametrize(
    "cutoff, shown",
    [
        (1e-9, ["2 real, inverted", "3 round-off, inverted"]),
        (1e-4, ["2 real, inverted", "3 round-off, left out"]),
        (1e-6, ["2 real, inverted", "1 round-off, inverted", "2 round-off, left out"]),
        (0.5, ["1 real, inverted", "1 real, thrown away", "3 round-off, left out"]),
    ],
)
def test_spectrum_sorts_eigenvalues_by_truth_and_cutoff(cutoff, shown):
    values = torch.tensor([1.0, 1e-2, 1e-5, -1e-7, 1e-8])
    figure = drawings.spectrum(values, cutoff, 2, -3.2, 1e-3)
    assert labels(figure) == shown
    assert figure.axes[0].get_title() == "NC1 comes out as -3.2; it is 0.001"


def test_floors_puts_what_is_not_positive_at_the_bottom_edge():
    figure = drawings.floors([1e-1, 1e-2], [1e-2, 1e-4], {"a": [1e-2, -5.0]})
    exact, line = figure.axes[0].get_lines()
    assert list(exact.get_ydata()) == [1e-2, 1e-4]
    assert line.get_ydata()[0] == 1e-2 and 0 < line.get_ydata()[1] < 1e-18


def test_two_classes_writes_the_deviations_that_the_formula_gives():
    figure = drawings.two_classes(1e-3, 10)
    assert f"{math.sqrt(9 / 2e-3):.3g} standard deviations" in figure.axes[0].get_title()
    curve = drawings.two_classes(1.0, 3).axes[0].get_lines()[0]
    x, y = curve.get_xdata(), curve.get_ydata()
    # At K = 3, NC1 = 1 the boundary is one standard deviation away: exp(-1/2) there, to the spacing of the grid.
    assert y[abs(x).argmin()] == pytest.approx(math.exp(-0.5), abs=2e-3)


def test_baselines_draws_points_and_lines():
    figure = drawings.baselines([10, 100], {"a": [1.0, 0.1]}, {"a": [1.1, 0.2]})
    told, seen = figure.axes[0].get_lines()[:2]
    assert list(told.get_ydata()) == [1.1, 0.2] and list(seen.get_ydata()) == [1.0, 0.1]


def test_bars_reads_from_top_to_bottom_and_writes_the_values():
    figure = drawings.bars({"first": 0.5, "second": 20.0}, "NC1")
    ax = figure.axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["second", "first"]
    assert {text.get_text() for text in ax.texts} == {"0.5", "20"}
