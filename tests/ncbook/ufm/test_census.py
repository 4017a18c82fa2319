"""The search finds critical points of many indices, and each is global or has negative curvature."""

import math

import pytest
import torch

from ncbook.ufm import UFM, certificate, critical_points, hessian


@pytest.fixture(scope="module")
def problem():
    return UFM(4, 1, 4, 1e-2, 1e-2)


@pytest.fixture(scope="module")
def census(problem):
    return critical_points(problem, 150, seed=3, scale=2.0)


def test_most_searches_converge_to_critical_points_of_many_indices(problem, census):
    assert census.starts == 150 and len(census.value) > 130
    assert set(census.index.tolist()) >= {0, 2, 3, 6, 8, 12}
    for point in census.points:
        assert math.sqrt(sum(float(g.square().sum()) for g in problem.gradient(*point))) <= 1e-10


def test_every_critical_point_is_global_or_a_strict_saddle(problem, census):
    best = problem.optimum().value
    is_global = (census.value - best).abs() < 1e-9
    assert bool(is_global.any()) and not bool(is_global.all())
    assert torch.equal(is_global, census.index == 0)
    assert torch.equal(is_global, census.spectral_ratio < 1 + 1e-6)
    assert torch.equal(is_global, census.smallest > -1e-8)
    for point, flag in zip(census.points, is_global):
        assert certificate(problem, *point).is_global == bool(flag)


def test_index_counts_negative_eigenvalues(problem, census):
    for i in range(0, len(census.value), 10):
        eigenvalues = torch.linalg.eigvalsh(hessian(problem, *census.points[i]))
        assert int((eigenvalues < -1e-8).sum()) == int(census.index[i])


def test_too_few_dimensions_leave_minima_without_a_certificate():
    census = critical_points(UFM(4, 1, 1, 1e-2, 1e-2), 60, scale=2.0)
    stable = census.index == 0
    assert bool(stable.any()) and bool((census.spectral_ratio[stable] > 1.01).all())


def test_search_is_reproducible(problem):
    a, b = (critical_points(problem, 10, seed=5) for _ in range(2))
    assert all(torch.equal(x, y) for p, q in zip(a.points, b.points, strict=True) for x, y in zip(p, q))


def test_a_search_begins_where_it_is_told(problem):
    best = problem.optimum().point
    near = type(best)(*(x + 1e-4 for x in best))
    census = critical_points(problem, [best, near])
    assert census.starts == 2 and census.index.tolist() == [0, 0]
    assert all(torch.equal(x, y) for x, y in zip(census.points[0], best))


def test_a_search_that_finds_nothing_returns_an_empty_census(problem):
    assert len(critical_points(problem, 3, scale=5.0, max_iterations=1, tolerance=1e-14).value) == 0


@pytest.mark.parametrize(
    "name, options",
    [
        ("starts", {"starts": 0}),
        ("seed", {"seed": -1}),
        ("scale", {"scale": 0.0}),
        ("starts", {"starts": [(1.0,)]}),
        ("starts", {"starts": []}),
        ("max_iterations", {"max_iterations": 0}),
        ("tolerance", {"tolerance": 0.0}),
    ],
)
def test_bad_options_are_refused(problem, name, options):
    with pytest.raises(ValueError, match=name):
        critical_points(problem, **options)


def test_a_problem_too_large_for_dense_hessians_is_refused():
    with pytest.raises(ValueError, match="at most 400 variables"):
        critical_points(UFM(4, 50, 8, 1e-3, 1e-3), 2)
