"""The normalised problem: its objective, the bound, the optimum, and the solver."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ncbook.etf import etf_distance
from ncbook.sphere import SphericalUFM, certificate, descend, retract, smallest_curvature, temperature_for
from tests.ncbook.sphere.random_problems import ROUND_OFF, few, problems, seeds


@few
@given(problem=problems, seed=seeds)
def test_no_point_lies_below_the_bound(problem, seed):
    W, H = problem.random_point(seed)
    assert float(problem.objective(W, H)) >= problem.lower_bound() - ROUND_OFF


@few
@given(problem=problems, seed=seeds)
def test_each_step_of_the_proof_of_the_bound_holds_at_random_points(problem, seed):
    K, tau = problem.num_classes, problem.temperature
    W, H = problem.random_point(seed)
    y = problem.labels
    phi = lambda t: torch.log1p((K - 1) * torch.exp(-t))
    centred = W - W.mean(dim=0)
    t = tau * K / (K - 1) * (centred[y] * H).sum(dim=1)
    step_1 = phi(t).mean()
    step_2 = phi(t.mean())
    step_3 = phi(tau * K / (K - 1) * centred.norm(dim=1).square().mean().sqrt())
    chain = [problem.objective(W, H), step_1, step_2, step_3, torch.tensor(problem.lower_bound())]
    assert all(a >= b - ROUND_OFF for a, b in itertools.pairwise(chain))


@pytest.mark.parametrize(("K", "n", "d"), [(2, 1, 2), (3, 4, 2), (4, 2, 7), (10, 3, 9)])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 5.0, 25.0])
def test_optimum_attains_the_bound(K, n, d, temperature):
    problem = SphericalUFM(K, n, d, temperature)
    best = problem.optimum(generator=torch.Generator().manual_seed(5))
    assert float(problem.objective(best.W, best.H)) == pytest.approx(problem.lower_bound(), abs=1e-13)
    logits = temperature * best.H @ best.W.T
    right = torch.softmax(logits, dim=1).gather(1, problem.labels[:, None])
    assert torch.allclose(right, torch.full_like(right, best.probability), atol=ROUND_OFF)
    assert best.margin == pytest.approx(float(logits[0, 0] - logits[0, 1]), abs=1e-10)
    assert certificate(problem, best.W, best.H).is_global


def test_objective_is_the_cross_entropy_written_out():
    problem = SphericalUFM(3, 1, 2, 2.0)
    W = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
    H = torch.tensor([[0.0, 1.0], [0.0, 1.0], [0.6, 0.8]], dtype=torch.float64)
    e = math.exp
    by_hand = [
        math.log(e(0) + e(2) + e(0)) - 0,
        math.log(e(0) + e(2) + e(0)) - 2,
        math.log(e(1.2) + e(1.6) + e(-1.2)) + 1.2,
    ]
    assert float(problem.objective(W, H)) == pytest.approx(sum(by_hand) / 3, abs=ROUND_OFF)


@pytest.mark.parametrize(
    ("K", "temperature", "probability"), [(10, 1, 0.25), (10, 5, 0.966), (100, 1, 0.027), (100, 10, 0.996)]
)
def test_temperature_sets_the_reachable_probability(K, temperature, probability):
    assert SphericalUFM(K, 1, K, temperature).optimum().probability == pytest.approx(probability, abs=5e-4 + 2e-3)


@few
@given(K=st.integers(2, 200), p=st.floats(0.01, 0.99))
def test_temperature_for_a_probability_reaches_it(K, p):
    p = 1 / K + (1 - 1 / K) * p
    reached = SphericalUFM(K, 1, K, temperature_for(p, K)).optimum().probability
    assert reached == pytest.approx(p, rel=1e-10)


@pytest.mark.parametrize(
    ("K", "n", "d", "temperature"),
    [(2, 3, 3, 2.0), (3, 2, 3, 1.0), (3, 2, 3, 10.0), (4, 2, 4, 20.0), (4, 3, 8, 5.0), (10, 2, 10, 10.0)],
)
@pytest.mark.parametrize("seed", range(3))
def test_solver_closes_the_gap_from_any_seed_for_d_at_least_K(K, n, d, temperature, seed):
    solution = SphericalUFM(K, n, d, temperature).solve(seed)
    assert -1e-13 < solution.gap < 1e-10
    assert solution.gradient_norm < 1e-10


def test_solution_is_a_simplex_etf_with_features_on_their_classifier_rows():
    problem = SphericalUFM(4, 3, 5, 5.0)
    solution = problem.solve(seed=2)
    # Gap g means squared distance of order g / curvature: gradient 1e-11 over curvature 2e-3 leaves about 1e-8.
    assert etf_distance(solution.W) < 1e-7
    assert torch.allclose(solution.H, solution.W[problem.labels], atol=1e-7)


def test_without_room_for_an_etf_the_gap_stays():
    gaps = [SphericalUFM(5, 1, 3, 3.0).solve(seed).gap for seed in range(4)]
    assert min(gaps) > 1e-2


def test_corner_d_equal_K_minus_1_has_local_minima_at_large_temperature():
    """Some of these runs stop at a point that is critical, has no negative curvature, and is not global."""
    problem = SphericalUFM(3, 2, 2, 10.0)
    solutions = [problem.solve(seed) for seed in range(20)]
    stuck = [s for s in solutions if s.gap > 1e-3]
    assert 1 <= len(stuck) < 20
    for s in stuck:
        assert s.gradient_norm < 1e-9
        assert smallest_curvature(problem, *s.point)[0] > -1e-9
        assert not certificate(problem, *s.point).is_global


def test_descend_is_projected_gradient_then_retraction():
    problem = SphericalUFM(3, 2, 3, 4.0)
    W, H = problem.random_point(1)
    run = descend(problem, (W, H), steps=25, step_size=0.3)
    assert len(run.path) == len(run.values) == 26
    for reached in run.path[1:]:
        grad_W, grad_H = problem.gradient(W, H)
        W, H = retract(W, -0.3 * grad_W), retract(H, -0.3 * grad_H)
        assert torch.allclose(reached.W, W, atol=1e-11) and torch.allclose(reached.H, H, atol=1e-11)
    assert torch.equal(run.W, run.path[-1].W) and torch.equal(run.H, run.path[-1].H)
    assert float(run.values[-1]) == pytest.approx(float(problem.objective(*run.point)), abs=1e-11)


def test_descend_keeps_going_from_a_critical_point():
    problem = SphericalUFM(3, 1, 2, 1.0)
    assert len(descend(problem, problem.optimum().point, steps=5, step_size=0.1).values) == 6
