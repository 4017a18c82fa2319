"""The drawings of chapters 4 and 5 show the numbers they are given, at a width a phone can read."""

import math

import pytest
import torch
from matplotlib.figure import Figure

from ncbook import ufm
from ncbook.figures import landscape as drawings
from ncbook.ufm import UFM

PROBLEM = UFM(4, 1, 4, 1e-2, 1e-2)
POINTS = [PROBLEM.random_point(seed, 0.5) for seed in range(3)]
CHAINS = [ufm.inequality_chain(PROBLEM, *point) for point in POINTS]


def test_chain_bars_have_the_lengths_of_the_proof_and_clip_at_the_top():
    chain = CHAINS[0]
    fig = drawings.proof_chain(chain, 0.1, top=1.0)
    lengths = [bar.get_width() for bar in fig.axes[0].patches]
    assert lengths == pytest.approx([min(x, 1.0) for x in chain.steps] + [0.1])
    assert f"{chain.minimum:.4f}" in [text.get_text() for text in fig.axes[0].texts]


def test_links_without_loss_are_left_out():
    fig = drawings.links_closing([0, 1, 2], CHAINS, [0.1, 0.1, 0.1])
    names = [text.get_text() for text in fig.axes[0].get_legend().get_texts()]
    assert "no bias decay" not in names  # lambda_b = 0 in this problem
    assert "equal rivals" in names


@pytest.mark.parametrize("q, marked", [(0.05, math.log(1 / 0.05 - 3)), (0.3, 0.0)])
def test_margin_problem_marks_its_minimum(q, marked):
    ax = drawings.margin_problem(4, q).axes[0]
    total = next(line for line in ax.lines if line.get_label() == "sum")
    lowest = total.get_xdata()[total.get_ydata().argmin()]
    dot = next(line for line in ax.lines if line.get_marker() == "o")
    assert dot.get_xdata()[0] == pytest.approx(marked)
    assert lowest == pytest.approx(marked, abs=12 / 399)  # the grid of the curve


def test_census_sorts_points_into_saddles_and_certified_minima():
    census = ufm.critical_points(PROBLEM, 30, seed=1, scale=2.0)
    stable = int((census.index == 0).sum())
    fig = drawings.census_map(census, PROBLEM.optimum().value, max_index=15, max_value=1.5)
    names = [text.get_text() for text in fig.axes[0].get_legend().get_texts()]
    assert names[0] == f"{len(census.index) - stable} strict saddles"
    assert names[1:] == ([f"{stable} certified global minima"] if stable else [])


def test_spectrum_counts_signs():
    fig = drawings.spectrum(torch.tensor([-0.3, -0.1, 0.0, 0.2]), [-0.3])
    names = [text.get_text() for text in fig.axes[0].get_legend().get_texts()]
    assert names == ["2 negative", "1 zero", "1 positive"]


def test_stuck_runs_are_counted():
    fig = drawings.final_values({"a": [1.0, 1.0, 1.5], "b": [0.0]}, {"a": 1.0, "b": 0.0}, xlabel="x")
    assert [text.get_text() for text in fig.axes[0].texts] == ["1 of 3\nstuck", "0 of 1\nstuck"]


def test_every_drawing_is_a_figure_no_wider_than_seven_inches():
    axis = torch.linspace(-1, 1, 9)
    surface = axis[None, :] ** 2 - axis[:, None] ** 2
    path = torch.zeros(3, 2)
    distances = torch.logspace(-8, -2, 5)
    figs = [
        drawings.saddle_surface(axis, axis, surface, path, xlabel="x", ylabel="y", title="t"),
        drawings.squeeze([0, 1], [1.0, 0.5], [0.1, 0.4], 0.45),
        drawings.layer_bars(["a", "b"], [0.4, 0.2], [0.1, 0.19], 0.195),
        drawings.leaving({"run": (distances, distances)}),
        drawings.escape_times([0.1, 0.2], {"gradient descent": ([60, 30], [61.0, 30.5])}),
    ]
    assert all(isinstance(fig, Figure) and fig.get_figwidth() <= 7 for fig in figs)
