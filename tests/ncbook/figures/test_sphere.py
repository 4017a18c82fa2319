"""The drawings of chapter 6 say what they were given."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from ncbook.figures import sphere as draw
from ncbook.sphere import SphericalUFM, critical_points, descend


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
    data = squares[1].get_data_3d() if d == 3 else squares[1].get_data()
    assert np.allclose(np.ravel(data), path.W[1])


def test_census_counts_each_kind():
    problem = SphericalUFM(3, 1, 3, 5.0)
    found = critical_points(problem, [problem.optimum().point, *map(problem.random_point, range(10))])
    minima = int((found.value < 0.1).sum())
    assert 0 < minima < len(found.points)
    text = texts(draw.census(problem, found))
    assert f"global minimum: {minima}" in text
    assert f"strict saddle or maximum: {len(found.points) - minima}" in text
    assert "neither" not in text


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


def test_median_of_an_arm_is_drawn_thick():
    figure = draw.speed_curves({"a": [[4.0, 3.0], [2.0, 1.0], [9.0, 9.0]]}, ylabel="NC1")
    thick = [line for line in figure.axes[0].lines if line.get_linewidth() > 2]
    assert [list(line.get_ydata()) for line in thick] == [[4.0, 3.0]]
