"""Second-order structure: products, the smallest eigenvalue and the proof's direction against dense Hessians."""

import math
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ncbook.ufm import (
    UFM,
    block_eigenvalue,
    curvature,
    escape_direction,
    hessian,
    hessian_vector_product,
    smallest_curvature,
    superclass_saddle,
)

decays = st.sampled_from([1e-4, 5e-3, 0.3])
small = st.builds(
    UFM, st.integers(2, 4), st.integers(1, 3), st.integers(1, 6), decays, decays, st.sampled_from([0.0, 1e-2])
)


def flat(point):
    return torch.cat([t.flatten() for t in point])


@settings(max_examples=40, deadline=None)
@given(problem=small, seed=st.integers(0, 10**6), scale=st.sampled_from([0.0, 1e-2, 1.0, 3.0]))
def test_smallest_curvature_agrees_with_the_dense_hessian(problem, seed, scale):
    point = problem.random_point(seed, scale)
    eigenvalue, direction = smallest_curvature(problem, *point)
    dense = hessian(problem, *point)
    # 1e-8 of a bound on the Hessian's norm is what was asked for; Lanczos leaves far less.
    size = max(1.0, float(torch.linalg.matrix_norm(dense, 2)))
    assert abs(eigenvalue - float(torch.linalg.eigvalsh(dense)[0])) < 1e-8 * size
    v = flat(direction)
    assert float(v.norm()) == pytest.approx(1, abs=1e-9)
    assert float((dense @ v - eigenvalue * v).norm()) < 1e-7 * size


@settings(max_examples=40, deadline=None)
@given(problem=small, seed=st.integers(0, 10**6))
def test_products_agree_with_the_dense_hessian_and_with_differences_of_gradients(problem, seed):
    point, direction = problem.random_point(seed), problem.random_point(seed + 1)
    product = flat(hessian_vector_product(problem, point, direction))
    assert torch.allclose(product, hessian(problem, *point) @ flat(direction), atol=1e-11)
    # The gradient's own formula, differenced: an error of order h^2 = 1e-10 times third derivatives.
    h = 1e-5
    ahead, behind = ([x + sign * h * d for x, d in zip(point, direction)] for sign in (1, -1))
    difference = (flat(problem.gradient(*ahead)) - flat(problem.gradient(*behind))) / (2 * h)
    assert torch.allclose(product, difference, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(problem=small, seed=st.integers(0, 10**6), scale=st.sampled_from([0.0, 0.1, 1.0]))
def test_escape_direction_has_the_curvature_of_the_formula_wherever_a_null_vector_exists(problem, seed, scale):
    W, H, b = problem.random_point(seed, scale)
    W, H = W.clone(), H.clone()
    W[:, -1], H[:, -1] = 0, 0  # the last axis is a null vector; the point is not critical
    sigma = float(torch.linalg.matrix_norm(problem.residual(W, H, b), 2))
    mu = math.sqrt(problem.weight_decay * problem.feature_decay)
    direction, curvature_ = escape_direction(problem, W, H, b)
    if sigma <= mu:
        assert direction is None and math.isnan(curvature_)
    else:
        assert curvature_ == pytest.approx(-2 * (sigma - mu), abs=1e-12)
        v = flat(direction)
        assert float(v @ hessian(problem, W, H, b) @ v) == pytest.approx(curvature_, abs=1e-12)


def test_escape_direction_gives_its_reason_at_a_minimum():
    problem = UFM(4, 5, 6, 5e-3, 1e-3)
    best = problem.optimum()
    escape = escape_direction(problem, *best.point)
    assert escape.direction is None and "certificate holds: spectral ratio 1.000000" in escape.reason


def test_escape_direction_gives_its_reason_where_the_features_have_too_few_dimensions():
    problem = UFM(5, 2, 3, 5e-3, 5e-3)
    solution = problem.solve(0)
    escape = escape_direction(problem, *solution.point)
    assert escape.direction is None and "full rank 3" in escape.reason


@pytest.mark.parametrize("bias_decay", [0.0, 0.05])
@pytest.mark.parametrize("groups", [[[0, 1, 2, 3]], [[0, 1], [2, 3]], [[0], [1, 2, 3]], [[0, 2], [1], [3]]])
def test_block_eigenvalue_is_the_smallest_of_the_whole_hessian_at_a_superclass_saddle(groups, bias_decay):
    problem = UFM(4, 5, 6, 5e-3, 1e-3, bias_decay)
    point = superclass_saddle(problem, groups)
    sigma = float(torch.linalg.matrix_norm(problem.residual(*point), 2))
    assert sigma == pytest.approx(1 / (4 * math.sqrt(5)), abs=1e-10)  # an un-split group leaves sqrt(n)/N
    predicted = block_eigenvalue(problem, sigma)
    assert float(torch.linalg.eigvalsh(hessian(problem, *point))[0]) == pytest.approx(predicted, abs=1e-10)
    direction, curvature_ = escape_direction(problem, *point)
    assert predicted <= curvature_ / float(flat(direction).square().sum()) + 1e-12


def test_smallest_curvature_is_zero_at_a_minimum_because_rotations_cost_nothing():
    problem = UFM(4, 5, 6, 5e-3, 1e-3)
    best = problem.optimum()
    assert abs(smallest_curvature(problem, *best.point)[0]) < 1e-10


def test_hessian_norm_bound_is_a_bound():
    for seed in range(20):
        problem = UFM(3, 2, 4, 5e-3, 1e-3, 0.1)
        point = problem.random_point(seed, 2.0 ** (seed % 5 - 2))
        assert torch.linalg.matrix_norm(hessian(problem, *point), 2) <= curvature._norm_bound(problem, point)


def test_half_a_million_variables_fit_in_memory():
    code = """
import resource, torch
from ncbook.ufm import UFM
from ncbook.ufm import block_eigenvalue, smallest_curvature, superclass_saddle
problem = UFM(10, 100, 512, 5e-4, 5e-4)
point = superclass_saddle(problem, [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
value, _ = smallest_curvature(problem, *point)
print(value - block_eigenvalue(problem, 1 / 100))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    error, kilobytes = map(float, out)
    assert abs(error) < 1e-8
    assert kilobytes < 1e6


def test_bad_arguments_are_refused():
    problem = UFM(3, 2, 4, 1e-3, 1e-3)
    point = problem.random_point()
    with pytest.raises(ValueError, match="tolerance"):
        smallest_curvature(problem, *point, tolerance=0.0)
    with pytest.raises(ValueError, match="seed"):
        smallest_curvature(problem, *point, seed=-1)
    with pytest.raises(ValueError, match="max_iterations"):
        smallest_curvature(problem, *point, max_iterations=0)
    with pytest.raises(ValueError, match="W must be"):
        smallest_curvature(problem, point[0][:2], point[1], point[2])
    with pytest.raises(ValueError, match="H must be finite"):
        escape_direction(problem, point[0], point[1] * math.inf, point[2])
    with pytest.raises(ValueError, match="tolerance"):
        escape_direction(problem, *point, tolerance=-1.0)
    with pytest.raises(ValueError, match="weight_decay"):
        escape_direction(UFM(3, 2, 4, 0.0, 1e-3), *point)
    with pytest.raises(ValueError, match="W must be"):
        hessian_vector_product(problem, point, (point[0][:1], point[1], point[2]))
    with pytest.raises(ValueError, match="singular_value"):
        block_eigenvalue(problem, -1.0)
    big = UFM(10, 100, 8, 1e-3, 1e-3)
    with pytest.raises(ValueError, match="at most 4000 variables"):
        hessian(big, *big.random_point())


def test_lanczos_says_when_it_did_not_converge():
    problem = UFM(5, 20, 30, 5e-4, 5e-4)
    with pytest.raises(RuntimeError, match="max_iterations"):
        smallest_curvature(problem, *problem.random_point(0), tolerance=1e-14, max_iterations=1)
