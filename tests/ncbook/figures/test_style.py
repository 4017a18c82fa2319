"""The house style stays in the figure and nowhere else."""

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot as plt

from ncbook.figures import style


def test_style_leaves_the_session_alone():
    before = dict(matplotlib.rcParams)
    style.curves([1, 2], {"a": [1, 2], "b": [2, 1]}, xlabel="x", ylabel="y")
    assert dict(matplotlib.rcParams) == before


def test_pyplot_keeps_no_figure():
    style.heat_map(np.eye(3))
    assert plt.get_fignums() == []


def test_curves_draws_one_named_line_for_each_entry():
    fig = style.curves([1, 2], {"a": [1, 2], "b": [2, 1]}, xlabel="x", ylabel="y", logy=True, mark=1.5, mark_label="m")
    ax = fig.axes[0]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["a", "b"]
    assert ax.get_yscale() == "log" and ax.get_xlabel() == "x"


def test_heat_map_is_symmetric_about_zero():
    image = style.heat_map([[0.2, -0.5], [0.1, 0.3]]).axes[0].images[0]
    assert image.get_clim() == (-0.5, 0.5)


def test_heat_map_of_zeros_draws():
    assert style.heat_map(np.zeros((2, 2))).axes[0].images[0].get_clim() == (-1.0, 1.0)


def test_neighbouring_colours_differ_in_lightness_or_hue():
    rgb = np.array([matplotlib.colors.to_rgb(c) for c in style.COLORS])
    distances = np.linalg.norm(rgb[:, None] - rgb[None], axis=-1)[np.triu_indices(len(rgb), 1)]
    assert distances.min() > 0.25


def test_figures_too_wide_for_a_phone_are_refused():
    with pytest.raises(ValueError, match="width must be at most 7 inches, got 9"):
        style.new(9)
