"""Tests of ncbook.figures.shallow: each drawing shows what it is given, in text large enough to read."""

from __future__ import annotations

import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.text import Text

from ncbook import shallow
from ncbook.figures import shallow as drawings
from ncbook.figures import style

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


def test_the_chosen_start_is_the_thick_line() -> None:
    lines = DRAWN["lazy"]().axes[0].lines
    assert lines[0].get_linewidth() > lines[1].get_linewidth()
