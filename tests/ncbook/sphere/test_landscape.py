"""The census, the certificate and the way out on the spheres; every documented error."""

import math

import pytest
import torch
from hypothesis import given

from ncbook.sphere import (
    SphericalUFM,
    certificate,
    critical_points,
    descend,
    escape_direction,
    geodesic,
    hessian,
    hessian_vector_product,
    project,
    radial_gradient,
    retract,
    smallest_curvature,
    stranded_point,
    tangent_basis,
    temperature_for,
    unused_direction,
)
from tests.ncbook.sphere.random_problems import ROUND_OFF, few, inner, problems, seeds


@pytest.mark.parametrize(("K", "n", "d", "temperature"), [(3, 1, 4, 3.0), (4, 2, 4, 2.0), (3, 1, 3, 8.0)])
def test_every_critical_point_found_is_global_or_a_strict_saddle(K, n, d, temperature):
    problem = SphericalUFM(K, n, d, temperature)
    census = critical_points(problem, 25)
    verdicts = torch.tensor([certificate(problem, *point).is_global for point in census.points])
    assert torch.equal(verdicts, census.value - problem.lower_bound() < 1e-8)
    assert torch.equal(verdicts, census.index == 0)
    assert int((~verdicts).sum()) >= 5 and bool((census.smallest[~verdicts] < -1e-3).all())
    assert bool((census.gradient_norm <= 1e-10).all()) and len(census.points) <= census.starts == 25


def test_a_search_begins_where_it_is_told_and_gives_up_after_its_iterations():
    best = POINT.optimum().point
    census = critical_points(POINT, [best, POINT.random_point(0)], max_iterations=1)
    assert census.starts == 2 and census.value.tolist() == pytest.approx([POINT.lower_bound()])


def test_certificate_matrix_annihilates_a_critical_point():
    problem = SphericalUFM(4, 2, 5, 3.0)
    point = critical_points(problem, 1).points[0]
    S = certificate(problem, *point).matrix
    assert float((S @ torch.cat(point)).abs().max()) < 1e-9  # gradient norm 1e-10


@few
@given(problem=problems, seed=seeds, other=seeds)
def test_certificate_matrix_bounds_the_objective_anywhere(problem, seed, other):
    """The convexity step of the proof: f(W', H') - f(W, H) >= (tr M'S M' - tr M'S M) / 2, at any two points."""
    W, H = problem.random_point(seed)
    W2, H2 = problem.random_point(other)
    S = certificate(problem, W, H).matrix
    M, M2 = torch.cat([W, H]), torch.cat([W2, H2])
    rise = float(problem.objective(W2, H2) - problem.objective(W, H))
    form = lambda X: float((X * (S @ X)).sum())
    assert rise >= (form(M2) - form(M)) / 2 - ROUND_OFF


def test_escape_direction_has_the_curvature_of_the_certificate():
    problem = SphericalUFM(3, 2, 6, 4.0)
    census = critical_points(problem, 20)
    checked = 0
    for i in (census.smallest < -1e-3).nonzero()[:, 0]:
        point = census.points[i]
        out, curvature = escape_direction(problem, *point)
        if unused_direction(*point) is None:
            assert out is None
            continue
        assert inner(out, out) == pytest.approx(1, abs=ROUND_OFF)
        second = inner(hessian_vector_product(problem, point, out), out)
        assert second == pytest.approx(curvature, abs=1e-9) and second < 0
        lower = problem.objective(*(geodesic(x, v, 0.05) for x, v in zip(point, out)))
        assert float(lower) < float(census.value[i])
        checked += 1
    assert checked >= 3


def test_escape_direction_gives_its_reason_where_there_is_no_way_out():
    roomy, tight = SphericalUFM(3, 1, 5, 1.0), SphericalUFM(3, 2, 3, 2.0)
    for problem, point, reason in (
        (roomy, roomy.optimum().point, "the certificate holds: the smallest eigenvalue of S is"),
        (tight, tight.random_point(0), "full rank 3"),
    ):
        escape = escape_direction(problem, *point)
        assert escape.direction is None and math.isnan(escape.curvature) and reason in escape.reason


# Errors

POINT = SphericalUFM(3, 2, 3, 2.0)
W0, H0 = POINT.random_point(0)
NAN = H0.clone()
NAN[1, 2] = math.nan


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SphericalUFM(1, 1, 2, 1.0), "num_classes"),
        (lambda: SphericalUFM(3, 0, 2, 1.0), "samples_per_class"),
        (lambda: SphericalUFM(3, 1, 1, 1.0), "feature_dim must be an integer >= 2, got 1"),
        (lambda: SphericalUFM(3, 1, 2, 0.0), "temperature must be a finite number > 0, got 0.0"),
        (lambda: SphericalUFM(3, 1, 2, math.inf), "temperature"),
        (lambda: SphericalUFM(4, 1, 2, 1.0).optimum(), "feature_dim must be >= num_classes - 1 = 3"),
        (lambda: POINT.objective(W0[:2], H0), r"W must be \(K=3, d=3\), got \(2, 3\)"),
        (lambda: POINT.objective(W0, H0.float().long()), "H must hold real floating-point"),
        (lambda: POINT.objective(W0, NAN), r"H must be finite, got nan at index \(1, 2\)"),
        (lambda: POINT.objective(2 * W0, H0), "W must have rows of length 1, got length 2 at row 0"),
        (lambda: POINT.residual(W0, 0.5 * H0), "H must have rows of length 1"),
        (lambda: POINT.euclidean_gradient(W0, H0[:, :2]), r"H must be \(N=6, d=3\)"),
        (lambda: POINT.gradient(2 * W0, H0), "W must have rows of length 1"),
        (lambda: hessian_vector_product(POINT, (W0, H0), (W0, 0 * H0)), "direction's W must be tangent"),
        (lambda: hessian_vector_product(POINT, (W0, H0), (0 * W0, H0)), "direction's H must be tangent"),
        (lambda: POINT.random_point(-1), "seed must be an integer >= 0"),
        (lambda: POINT.solve(-1), "seed"),
        (lambda: POINT.solve(start=(W0, 2 * H0)), "H must have rows of length 1"),
        (lambda: POINT.solve(max_iterations=0), "max_iterations"),
        (lambda: descend(POINT, (W0, H0), steps=2, step_size=0.0), "step_size must be a finite number > 0"),
        (lambda: descend(POINT, (W0, H0), steps=0, step_size=0.1), "steps"),
        (lambda: descend(POINT, (W0[:1], H0), steps=2, step_size=0.1), r"W must be \(K=3, d=3\)"),
        (lambda: temperature_for(0.2, 3), "probability must lie strictly between 1/num_classes = 0.333333 and 1"),
        (lambda: temperature_for(1.0, 3), "probability must lie strictly"),
        (lambda: temperature_for(0.5, 1), "num_classes"),
        (lambda: project(2 * W0, W0), "points must have rows of length 1"),
        (lambda: project(W0, H0), r"vectors must be \(m=3, d=3\), got \(6, 3\)"),
        (lambda: retract(W0, W0), "vectors must be tangent"),
        (lambda: retract(W0 + 1, 0 * W0), "points must have rows of length 1"),
        (lambda: geodesic(W0, W0), "vectors must be tangent"),
        (lambda: geodesic(W0, 0 * W0, math.inf), "time"),
        (lambda: hessian(POINT, 2 * W0, H0), "W must have rows of length 1"),
        (lambda: smallest_curvature(POINT, W0[:1], H0), r"W must be \(K=3, d=3\)"),
        (lambda: tangent_basis(2 * W0), "points must have rows of length 1"),
        (lambda: certificate(POINT, W0, H0, tolerance=-1.0), "tolerance"),
        (lambda: certificate(POINT, W0, 2 * H0), "H must have rows of length 1"),
        (lambda: radial_gradient(POINT, 2 * W0, H0), "W must have rows of length 1"),
        (lambda: unused_direction(W0, H0[:, :2]), r"H must be \(N, d=3\)"),
        (lambda: unused_direction(W0, H0, tolerance=-1.0), "tolerance"),
        (lambda: escape_direction(POINT, W0, H0, tolerance=-1.0), "tolerance"),
        (lambda: critical_points(POINT, 2, seed=-1), "seed"),
        (lambda: critical_points(POINT, [(2 * W0, H0)]), "W must have rows of length 1"),
        (lambda: critical_points(POINT, []), "starts must be an integer >= 1"),
        (lambda: critical_points(POINT, max_iterations=0), "max_iterations"),
        (lambda: critical_points(POINT, tolerance=0.0), "tolerance"),
        (lambda: stranded_point(POINT, 6), "sample must be below N = 6, got 6"),
        (lambda: stranded_point(SphericalUFM(5, 1, 3, 1.0)), "feature_dim must be >= num_classes - 1 = 4"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
