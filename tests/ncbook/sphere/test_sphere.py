"""The normalised problem: formulas against autograd and finite differences, the bound, the solver, the landscape."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ncbook.etf import etf_distance, simplex_etf
from ncbook.sphere import (
    SphericalUFM,
    certificate,
    critical_point,
    curvatures,
    escape_direction,
    geodesic,
    hessian,
    project,
    radial_gradient,
    retract,
    stranded_point,
    tangent_basis,
    temperature_for,
    unused_direction,
)

ROUND_OFF = 1e-12  # a few hundred operations on numbers of order 1 to 10, in float64

problems = st.builds(
    SphericalUFM,
    num_classes=st.integers(2, 5),
    samples_per_class=st.integers(1, 3),
    feature_dim=st.integers(2, 6),
    temperature=st.floats(0.1, 12),
)
seeds = st.integers(0, 10_000)
few = settings(max_examples=40, deadline=None)


def tangent(problem, W, H, seed):
    """A random tangent vector of unit length."""
    g = torch.Generator().manual_seed(seed)
    vectors = [project(x, torch.randn(x.shape, generator=g, dtype=torch.float64)) for x in (W, H)]
    length = math.hypot(*(float(v.norm()) for v in vectors))
    return tuple(v / length for v in vectors)


def inner(a, b):
    return float(sum((x * y).sum() for x, y in zip(a, b)))


# Geometry ------------------------------------------------------------------------------------------------------


@few
@given(problem=problems, seed=seeds)
def test_projection_is_orthogonal_and_idempotent(problem, seed):
    W, _ = problem.random_point(seed)
    vectors = torch.randn(W.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    tangent_part = project(W, vectors)
    assert (W * tangent_part).sum(dim=1).abs().max() < ROUND_OFF
    assert torch.allclose(project(W, tangent_part), tangent_part, atol=ROUND_OFF)
    # What was removed is normal to the sphere: a multiple of the point.
    normal = vectors - tangent_part
    assert torch.allclose(normal, (normal * W).sum(dim=1, keepdim=True) * W, atol=ROUND_OFF)


def test_geodesic_stays_on_the_sphere_keeps_its_speed_and_comes_round():
    problem = SphericalUFM(4, 2, 3, 2.0)
    W, H = problem.random_point(1)
    dW, _ = tangent(problem, W, H, 2)
    for time in (-1.3, 0.0, 0.4, 2.0):
        assert torch.allclose(geodesic(W, dW, time).norm(dim=1), torch.ones(4, dtype=torch.float64))
    h = 1e-6
    velocity = (geodesic(W, dW, 0.7 + h) - geodesic(W, dW, 0.7 - h)) / (2 * h)
    assert torch.allclose(velocity.norm(dim=1), dW.norm(dim=1), atol=1e-8)  # central difference: error h^2
    one = dW / dW.norm(dim=1, keepdim=True)
    assert torch.allclose(geodesic(W, one, 2 * math.pi), W, atol=ROUND_OFF)


def test_retraction_leaves_the_geodesic_at_third_order():
    problem = SphericalUFM(3, 1, 4, 1.0)
    W, H = problem.random_point(0)
    dW, _ = tangent(problem, W, H, 1)
    errors = [float((retract(W, t * dW) - geodesic(W, dW, t)).norm()) for t in (0.1, 0.05)]
    assert errors[0] / errors[1] == pytest.approx(8, rel=0.05)  # 2^3, up to the next order in t


def test_geodesic_with_no_velocity_stays():
    W = simplex_etf(3, 3)
    assert torch.equal(geodesic(W, torch.zeros_like(W), 3.0), W)


# Objective, bound, optimum -------------------------------------------------------------------------------------


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


# Derivatives ---------------------------------------------------------------------------------------------------


@few
@given(problem=problems, seed=seeds)
def test_euclidean_gradient_matches_autograd(problem, seed):
    W, H = (x.requires_grad_() for x in problem.random_point(seed))
    auto = torch.autograd.grad(problem.objective(W, H), (W, H))
    for formula, reference in zip(problem.euclidean_gradient(W.detach(), H.detach()), auto):
        assert torch.allclose(formula, reference, atol=ROUND_OFF)


@few
@given(problem=problems, seed=seeds)
def test_riemannian_gradient_is_the_slope_along_geodesics(problem, seed):
    W, H = problem.random_point(seed)
    dW, dH = tangent(problem, W, H, seed + 1)
    f = lambda t: float(problem.objective(geodesic(W, dW, t), geodesic(H, dH, t)))
    step = 1e-4
    slope = (f(step) - f(-step)) / (2 * step)
    gradient = problem.riemannian_gradient(W, H)
    # Truncation step^2 tau^3 / 6 < 3e-6 at tau = 12; round-off 1e-16 / step.
    assert inner(gradient, (dW, dH)) == pytest.approx(slope, abs=1e-5)
    assert max(float((x * g).sum(dim=1).abs().max()) for x, g in zip((W, H), gradient)) < ROUND_OFF


@few
@given(problem=problems, seed=seeds)
def test_hessian_is_the_second_derivative_along_geodesics(problem, seed):
    W, H = problem.random_point(seed)
    dW, dH = tangent(problem, W, H, seed + 1)
    f = lambda t: float(problem.objective(geodesic(W, dW, t), geodesic(H, dH, t)))
    step = 2e-4
    second = (f(step) - 2 * f(0.0) + f(-step)) / step**2
    product = problem.hessian_vector_product(W, H, dW, dH)
    # Truncation step^2 tau^4 / 12 < 1e-4 at tau = 12 (loose); round-off 4e-16 tau / step^2 < 1e-7.
    assert inner(product, (dW, dH)) == pytest.approx(second, abs=1e-4)


@few
@given(problem=problems, seed=seeds)
def test_hessian_is_symmetric_and_tangent(problem, seed):
    W, H = problem.random_point(seed)
    a, b = tangent(problem, W, H, seed + 1), tangent(problem, W, H, seed + 2)
    image_a, image_b = (problem.hessian_vector_product(W, H, *v) for v in (a, b))
    assert inner(image_a, b) == pytest.approx(inner(a, image_b), abs=ROUND_OFF)
    assert (W * image_a[0]).sum(dim=1).abs().max() < ROUND_OFF


def test_hessian_without_the_curvature_term_is_wrong():
    """The naive projection of the Euclidean Hessian misses ``-<x, grad>``: the correction is what is tested above."""
    problem = SphericalUFM(3, 2, 3, 4.0)
    W, H = problem.random_point(0)
    dW, dH = tangent(problem, W, H, 1)
    naive = [project(x, v) for x, v in zip((W, H), problem._euclidean_hessian(W, H, dW, dH))]
    full = problem.hessian_vector_product(W, H, dW, dH)
    alpha, beta = radial_gradient(problem, W, H)
    missing = -float((alpha * dW.square().sum(dim=1)).sum() + (beta * dH.square().sum(dim=1)).sum())
    assert abs(missing) > 1e-2
    assert inner(full, (dW, dH)) - inner(naive, (dW, dH)) == pytest.approx(missing, abs=ROUND_OFF)


def test_hessian_matrix_agrees_with_the_product_in_its_basis():
    problem = SphericalUFM(3, 2, 4, 3.0)
    W, H = problem.random_point(3)
    basis = tangent_basis(torch.cat([W, H]))
    D = (3 + 6) * 3
    assert basis.shape == (D, 9, 4)
    assert torch.allclose(basis.flatten(1) @ basis.flatten(1).T, torch.eye(D, dtype=torch.float64), atol=ROUND_OFF)
    dW, dH = basis[4, :3], basis[4, 3:]
    product = torch.cat(problem.hessian_vector_product(W, H, dW, dH))
    assert torch.allclose(hessian(problem, W, H)[4], basis.flatten(1) @ product.flatten(), atol=ROUND_OFF)


# Solver --------------------------------------------------------------------------------------------------------


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
        assert float(curvatures(problem, s.W, s.H)[0]) > -1e-9
        assert not certificate(problem, s.W, s.H).is_global


def test_descend_is_projected_gradient_then_retraction():
    problem = SphericalUFM(3, 2, 3, 4.0)
    path = problem.descend(seed=1, step=0.3, iterations=25)
    assert path.W.shape == (26, 3, 3) and path.H.shape == (26, 6, 3) and path.values.shape == (26,)
    W, H = problem.random_point(1)
    for t in range(25):
        grad_W, grad_H = problem.riemannian_gradient(W, H)
        W, H = retract(W, -0.3 * grad_W), retract(H, -0.3 * grad_H)
        assert torch.allclose(path.W[t + 1], W, atol=1e-11) and torch.allclose(path.H[t + 1], H, atol=1e-11)
    assert float(path.values[-1]) == pytest.approx(float(problem.objective(W, H)), abs=1e-11)


def test_descend_keeps_going_from_a_critical_point():
    problem = SphericalUFM(3, 1, 2, 1.0)
    best = problem.optimum()
    path = problem.descend(start=(best.W, best.H), iterations=5)
    assert len(path.values) == 6


# Landscape -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("K", "n", "d", "temperature"), [(3, 1, 4, 3.0), (4, 2, 4, 2.0), (3, 1, 3, 8.0)])
def test_every_critical_point_found_is_global_or_a_strict_saddle(K, n, d, temperature):
    problem = SphericalUFM(K, n, d, temperature)
    found = [point for seed in range(25) if (point := critical_point(problem, seed)) is not None]
    saddles = 0
    for point in found:
        verdict = certificate(problem, point.W, point.H)
        assert verdict.is_global == (point.value - problem.lower_bound() < 1e-8)
        if not verdict.is_global:
            saddles += 1
            assert float(point.curvatures[0]) < -1e-3
    assert saddles >= 5


def test_certificate_matrix_annihilates_a_critical_point():
    problem = SphericalUFM(4, 2, 5, 3.0)
    point = critical_point(problem, seed=0)
    S = certificate(problem, point.W, point.H).matrix
    assert float((S @ torch.cat([point.W, point.H])).abs().max()) < 1e-9  # gradient norm 1e-10


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
    saddles = [p for s in range(20) if (p := critical_point(problem, s)) and float(p.curvatures[0]) < -1e-3]
    checked = 0
    for p in saddles:
        if unused_direction(p.W, p.H) is None:
            continue
        out = escape_direction(problem, p.W, p.H)
        assert inner((out.dW, out.dH), (out.dW, out.dH)) == pytest.approx(1, abs=ROUND_OFF)
        second = inner(problem.hessian_vector_product(p.W, p.H, out.dW, out.dH), (out.dW, out.dH))
        assert second == pytest.approx(out.curvature, abs=1e-9) and second < 0
        lower = problem.objective(geodesic(p.W, out.dW, 0.05), geodesic(p.H, out.dH, 0.05))
        assert float(lower) < p.value
        checked += 1
    assert checked >= 3


@pytest.mark.parametrize(("K", "n", "temperature"), [(3, 2, 2.0), (4, 3, 5.0), (5, 1, 1.0), (3, 1, 20.0)])
def test_curvature_out_of_the_plane_of_the_optimum_in_closed_form(K, n, temperature):
    """With one spare dimension: tau eps (1 + 1/n) K - 1 times, tau eps once, tau eps / n K (n - 1) + 1 times."""
    problem = SphericalUFM(K, n, K, temperature)
    best = problem.optimum()
    epsilon = 1 / (math.exp(best.margin) + K - 1)  # probability of each wrong class
    values = curvatures(problem, best.W, best.H) / (temperature * epsilon)
    assert float(values[0]) > -1e-9
    for value, multiplicity in ((1 + 1 / n, K - 1), (1.0, 1), (1 / n, K * (n - 1) + 1)):
        assert int(((values - value).abs() < 1e-9).sum()) >= multiplicity


@pytest.mark.parametrize("K", [3, 4, 6])
@pytest.mark.parametrize(("factor", "sign"), [(0.9, -1), (1.1, 1)])
def test_stranded_feature_is_a_local_minimum_of_its_loss_above_temperature_K_minus_1(K, factor, sign):
    """In d = K - 1; one extra dimension makes it a saddle at any temperature."""
    for d, expected in ((K - 1, sign), (K, -1)):
        problem = SphericalUFM(K, 1, d, factor * (K - 1))
        W, H = stranded_point(problem)
        basis = tangent_basis(torch.cat([W, H]))
        block = slice(K * (d - 1), (K + 1) * (d - 1))  # moves of the stranded feature alone
        values = torch.linalg.eigvalsh(hessian(problem, W, H)[block, block])
        assert basis.shape[0] == 2 * K * (d - 1)
        assert math.copysign(1, float(values[0])) == expected
        gradient = problem.riemannian_gradient(W, H)[1][0]
        assert float(gradient.norm()) < ROUND_OFF


def test_equal_classifier_rows_are_left_by_a_mixed_direction():
    """Where all rows of W agree S may miss the way out; a step in W coupled with one in H still finds it."""
    problem = SphericalUFM(3, 2, 3, 5.0)
    w = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64).expand(3, 3).contiguous()
    H = problem.random_point(4)[1].reshape(3, 2, 3)
    H = H.mean(dim=(0, 1), keepdim=True).expand_as(H).reshape(6, 3)
    H = torch.nn.functional.normalize(H, dim=1)
    assert max(float(g.norm()) for g in problem.riemannian_gradient(w, H)) < ROUND_OFF
    assert float(radial_gradient(problem, w, H)[1].abs().max()) < ROUND_OFF
    assert float(curvatures(problem, w, H)[0]) < -0.1


# Errors --------------------------------------------------------------------------------------------------------

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
        (lambda: POINT.riemannian_gradient(2 * W0, H0), "W must have rows of length 1"),
        (lambda: POINT.hessian_vector_product(W0, H0, W0, 0 * H0), "dW must be tangent"),
        (lambda: POINT.hessian_vector_product(W0, H0, 0 * W0, H0), "dH must be tangent"),
        (lambda: POINT.random_point(-1), "seed must be an integer >= 0"),
        (lambda: POINT.solve(-1), "seed"),
        (lambda: POINT.solve(start=(W0, 2 * H0)), "H must have rows of length 1"),
        (lambda: POINT.solve(max_iterations=0), "max_iterations"),
        (lambda: POINT.descend(step=0.0), "step must be a finite number > 0"),
        (lambda: POINT.descend(iterations=0), "iterations"),
        (lambda: POINT.descend(start=(W0[:1], H0)), r"W must be \(K=3, d=3\)"),
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
        (lambda: curvatures(POINT, W0[:1], H0), r"W must be \(K=3, d=3\)"),
        (lambda: tangent_basis(2 * W0), "points must have rows of length 1"),
        (lambda: certificate(POINT, W0, H0, tolerance=-1.0), "tolerance"),
        (lambda: certificate(POINT, W0, 2 * H0), "H must have rows of length 1"),
        (lambda: radial_gradient(POINT, 2 * W0, H0), "W must have rows of length 1"),
        (lambda: unused_direction(W0, H0[:, :2]), r"H must be \(N, d=3\)"),
        (lambda: unused_direction(W0, H0, tolerance=-1.0), "tolerance"),
        (lambda: escape_direction(POINT, W0, H0), "unused, got rows that span it"),
        (lambda: critical_point(POINT, -1), "seed"),
        (lambda: critical_point(POINT, start=(2 * W0, H0)), "W must have rows of length 1"),
        (lambda: critical_point(POINT, max_iterations=0), "max_iterations"),
        (lambda: critical_point(POINT, tolerance=0.0), "tolerance"),
        (lambda: stranded_point(POINT, 6), "sample must be below N = 6, got 6"),
        (lambda: stranded_point(SphericalUFM(5, 1, 3, 1.0)), "feature_dim must be >= num_classes - 1 = 4"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_escape_from_a_global_minimum_is_refused():
    problem = SphericalUFM(3, 1, 5, 1.0)
    best = problem.optimum()
    with pytest.raises(ValueError, match="S must have a negative eigenvalue"):
        escape_direction(problem, best.W, best.H)


def test_critical_point_gives_up_after_its_iterations():
    assert critical_point(POINT, seed=0, max_iterations=1) is None
