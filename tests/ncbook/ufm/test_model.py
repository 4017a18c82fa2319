"""The unconstrained feature model: objective, gradients, the solver as a tool, every documented error."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ncbook.ufm import UFM

EXACT = 1e-12  # float64 sums of at most a few thousand terms of order one


def small_problems(extra_dims=3):
    """Random problems on both sides of the threshold: K q from about 1e-3 to about 10."""

    @st.composite
    def build(draw):
        K, n = draw(st.integers(2, 6)), draw(st.integers(1, 5))
        d = draw(st.integers(K - 1, K + extra_dims))
        decay = 10 ** draw(st.floats(-3.0, 0.0))
        ratio = 10 ** draw(st.floats(-2.0, 2.0))
        bias_decay = draw(st.sampled_from([0.0, 0.02]))
        return UFM(K, n, d, decay * ratio, decay / ratio, bias_decay)

    return build()


# The objective and its gradient


def test_objective_is_the_written_formula():
    problem = UFM(3, 2, 4, 0.2, 0.03, 0.5)
    W, H, b = (t.numpy() for t in problem.random_point(1))
    logits = H @ W.T + b
    own = logits[np.arange(6), [0, 0, 1, 1, 2, 2]]
    cross_entropy = np.mean(np.log(np.exp(logits).sum(axis=1)) - own)
    by_hand = cross_entropy + 0.1 * (W**2).sum() + 0.015 * (H**2).sum() + 0.25 * (b**2).sum()
    assert float(problem.objective(*map(torch.from_numpy, (W, H, b)))) == pytest.approx(by_hand, abs=EXACT)


def test_objective_at_zero_is_log_of_the_number_of_classes():
    problem = UFM(7, 3, 2, 0.2, 0.03)
    assert float(problem.objective(*problem.random_point(scale=0.0))) == pytest.approx(math.log(7), abs=EXACT)


@given(problem=small_problems(), seed=st.integers(0, 1000), scale=st.sampled_from([0.1, 1.0, 4.0]))
@settings(max_examples=25, deadline=None)
def test_gradient_formula_is_autograd(problem, seed, scale):
    point = [t.requires_grad_() for t in problem.random_point(seed, scale)]
    automatic = torch.autograd.grad(problem.objective(*point), point)
    formula = problem.gradient(*(t.detach() for t in point))
    for mine, theirs in zip(formula, automatic):
        assert torch.allclose(mine, theirs, rtol=0, atol=EXACT)


def test_residual_keeps_its_digits_when_the_fit_is_almost_perfect():
    # Margin 40: 1 - p_y = 2 e^-40 is far below the spacing of floats near 1, and must not be rounded to zero.
    problem = UFM(3, 1, 3, 1e-3, 1e-3)
    W, H = math.sqrt(40) * torch.eye(3, dtype=torch.float64), math.sqrt(40) * torch.eye(3, dtype=torch.float64)
    G = problem.residual(W, H, torch.zeros(3, dtype=torch.float64))
    assert G[0, 0].item() == pytest.approx(-2 * math.exp(-40) / 3, rel=1e-12)


@given(problem=small_problems(), seed=st.integers(0, 100))
@settings(max_examples=15, deadline=None)
def test_objective_is_unchanged_by_rotation_and_class_relabelling(problem, seed):
    W, H, b = problem.random_point(seed)
    rotation, _ = torch.linalg.qr(torch.randn(problem.feature_dim, problem.feature_dim, dtype=torch.float64))
    order = torch.randperm(problem.num_classes)
    by_class = H.view(problem.num_classes, problem.samples_per_class, -1)[order].flatten(0, 1)
    f = float(problem.objective(W, H, b))
    assert float(problem.objective(W @ rotation, H @ rotation, b)) == pytest.approx(f, abs=EXACT)
    assert float(problem.objective(W[order], by_class, b[order])) == pytest.approx(f, abs=EXACT)


# The solver as a tool


def test_solve_is_reproducible_and_its_history_descends():
    problem = UFM(3, 4, 3, 0.01, 0.01)
    one, two = problem.solve(3), problem.solve(3)
    assert torch.equal(one.W, two.W) and one.history == two.history
    assert one.history[0] == pytest.approx(float(problem.objective(*problem.random_point(3))), abs=EXACT)
    assert all(later <= earlier + 1e-15 for earlier, later in zip(one.history, one.history[1:]))
    assert one.value == pytest.approx(float(problem.objective(one.W, one.H, one.b)), abs=EXACT)
    assert one.gradient_norm < 1e-8


def test_solve_stays_at_a_critical_start_and_leaves_any_other():
    problem = UFM(3, 4, 3, 0.01, 0.01)
    assert problem.solve(start=problem.random_point(scale=0.0)).value == pytest.approx(math.log(3), abs=EXACT)
    assert problem.solve(start=problem.random_point(scale=1e-3)).value < 1.0


def test_max_iterations_bounds_the_work():
    assert len(UFM(4, 4, 4, 1e-3, 1e-3).solve(max_iterations=5).history) <= 6


def test_nonnegative_start_is_reflected():
    problem = UFM(3, 2, 4, 0.01, 0.01)
    found = problem.solve(0, nonnegative=True, max_iterations=1)
    W, H, b = problem.random_point(0)
    assert found.history[0] == pytest.approx(float(problem.objective(W, H.abs(), b)), abs=EXACT)
    assert bool((found.H >= 0).all())


def test_labels_and_counts():
    problem = UFM(3, 2, 4, 0.1, 0.1)
    assert problem.labels.tolist() == [0, 0, 1, 1, 2, 2] and problem.labels.dtype == torch.int64
    assert problem.num_samples == 6


# Every documented error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, 2, 3, 0.1, 0.1), "num_classes must be an integer >= 2, got 1"),
        ((2.5, 2, 3, 0.1, 0.1), "num_classes must be an integer"),
        ((3, 0, 3, 0.1, 0.1), "samples_per_class must be an integer >= 1, got 0"),
        ((3, 2, 0, 0.1, 0.1), "feature_dim must be an integer >= 1, got 0"),
        ((3, 2, 3, -0.1, 0.1), "weight_decay must be a finite number >= 0, got -0.1"),
        ((3, 2, 3, 0.1, math.nan), "feature_decay must be a finite number >= 0"),
        ((3, 2, 3, 0.1, 0.1, math.nan), "bias_decay must be a finite number >= 0"),
    ],
)
def test_bad_problems_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        UFM(*arguments)


@pytest.mark.parametrize("method", ["objective", "gradient", "residual", "check_point"])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_bad_points_are_refused_by_name(method, at):
    problem = UFM(3, 2, 4, 0.1, 0.1)
    name = "WHb"[at]
    point = list(problem.random_point())
    point[at] = point[at][:-1]
    with pytest.raises(ValueError, match=f"^{name} must be"):
        getattr(problem, method)(*point)
    point = list(problem.random_point())
    point[at].view(-1)[0] = math.nan
    with pytest.raises(ValueError, match=f"^{name} must be finite, got nan"):
        getattr(problem, method)(*point)


def test_optimum_refuses_a_dimension_without_room():
    with pytest.raises(ValueError, match="feature_dim must be >= 4 for a simplex ETF of 5 classes, got 3"):
        UFM(5, 2, 3, 0.01, 0.01).optimum()
    with pytest.raises(ValueError, match="feature_dim must be >= 5 for an orthogonal frame of 5 classes, got 4"):
        UFM(5, 2, 4, 0.01, 0.01).optimum(nonnegative=True)


@pytest.mark.parametrize("method", ["optimum", "solve"])
def test_zero_decay_is_refused_where_no_minimum_is_attained(method):
    for decays, name in (((0.0, 0.1), "weight_decay"), ((0.1, 0.0), "feature_decay")):
        with pytest.raises(ValueError, match=f"{name} must be > 0 for {method}"):
            getattr(UFM(3, 2, 4, *decays), method)()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": -1}, "seed must be an integer >= 0"),
        ({"scale": math.inf}, "scale must be a finite number"),
        ({"scale": 1e200}, "start must have a finite objective"),
        ({"max_iterations": 0}, "max_iterations must be an integer >= 1"),
        ({"start": (torch.zeros(3, 4), torch.zeros(6, 4), torch.zeros(2))}, r"b must be \(K=3\), got \(2,\)"),
    ],
)
def test_bad_solver_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        UFM(3, 2, 4, 0.1, 0.1).solve(**options)
