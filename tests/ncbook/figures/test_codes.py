"""The drawings of the chapter on codes say what they were given."""

import math

import numpy as np
import pytest
import torch

from ncbook import codes
from ncbook.figures import codes as draw


def curves(ax):
    return {line.get_label(): np.asarray(line.get_ydata()) for line in ax.lines if not line.get_label().startswith("_")}


def test_the_way_to_the_hull_is_as_long_as_the_margin_and_ends_on_an_edge():
    pentagon = codes.best_code(5, 2).vectors
    figure = draw.margin_as_distance(pentagon, row=2)
    ax = figure.axes[0]
    way = next(line for line in ax.lines if line.get_label().startswith("shortest"))
    (x0, x1), (y0, y1) = way.get_data()
    assert [x0, y0] == pytest.approx(pentagon[2].tolist())
    assert math.hypot(x1 - x0, y1 - y0) == pytest.approx(1 - math.cos(2 * math.pi / 5))
    assert [x1, y1] == pytest.approx(((pentagon[1] + pentagon[3]) / 2).tolist())
    hull = ax.patches[1].get_xy()[:-1]
    assert np.allclose(sorted(map(tuple, hull)), sorted(map(tuple, pentagon[[0, 1, 3, 4]].numpy())))
    assert "0.691" in ax.get_title()


def test_margins_bounds_and_lines_are_told_apart():
    figure = draw.margin_against_classes([4, 5], [0.7, 0.6], [0.8, 0.65], [0.5, 0.4], 3)
    ax = figure.axes[0]
    drawn = curves(ax)
    assert drawn["best code found"].tolist() == [0.7, 0.6]
    assert drawn["no code of vectors lies above"].tolist() == [0.8, 0.65]
    assert drawn["one minus Welch's bound (lines)"].tolist() == [0.5, 0.4]
    assert "d=3" in ax.get_title() and figure.get_size_inches()[0] <= 7
    assert ax.lines[-1].get_xdata()[0] == 6


def test_rival_cosines_are_written_beside_their_names():
    right = torch.tensor([[2.0, 0.0], [0.0, 3.0]]).double()
    flat = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]]).double()
    figure = draw.rival_cosines({"square": right, "line": flat})
    first, second = figure.axes
    assert (first.get_title(), second.get_title()) == ("square", "line")
    assert first.images[0].get_array().tolist() == [[1, 0], [0, 1]]
    assert second.images[0].get_array().tolist() == [[1, -1, 0], [-1, 1, 0], [0, 0, 0]]
