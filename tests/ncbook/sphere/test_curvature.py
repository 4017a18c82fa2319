"""Gradients and Hessians against autograd and differences along geodesics, and curvatures known in closed form."""

import math

import pytest
import torch
from hypothesis import given

from ncbook.sphere import (
    SphericalUFM,
    formulas,
    geodesic,
    hessian,
    hessian_vector_product,
    project,
    radial_gradient,
    smallest_curvature,
    stranded_point,
    tangent_basis,
)
from tests.ncbook.sphere.random_problems import ROUND_OFF, few, inner, problems, seeds, tangent


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
    gradient = problem.gradient(W, H)
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
    product = hessian_vector_product(problem, (W, H), (dW, dH))
    # Truncation step^2 tau^4 / 12 < 1e-4 at tau = 12 (loose); round-off 4e-16 tau / step^2 < 1e-7.
    assert inner(product, (dW, dH)) == pytest.approx(second, abs=1e-4)


@few
@given(problem=problems, seed=seeds)
def test_hessian_is_symmetric_and_tangent(problem, seed):
    W, H = problem.random_point(seed)
    a, b = tangent(problem, W, H, seed + 1), tangent(problem, W, H, seed + 2)
    image_a, image_b = (hessian_vector_product(problem, (W, H), v) for v in (a, b))
    assert inner(image_a, b) == pytest.approx(inner(a, image_b), abs=ROUND_OFF)
    assert (W * image_a[0]).sum(dim=1).abs().max() < ROUND_OFF


def test_hessian_without_the_curvature_term_is_wrong():
    """The naive projection of the Euclidean Hessian misses ``-<x, grad>``: the correction is what is tested above."""
    problem = SphericalUFM(3, 2, 3, 4.0)
    W, H = problem.random_point(0)
    dW, dH = tangent(problem, W, H, 1)
    naive = [project(x, v) for x, v in zip((W, H), formulas.euclidean_hessian(problem, (W, H), (dW, dH)))]
    full = hessian_vector_product(problem, (W, H), (dW, dH))
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
    product = torch.cat(hessian_vector_product(problem, (W, H), (basis[4, :3], basis[4, 3:])))
    assert torch.allclose(hessian(problem, W, H)[4], basis.flatten(1) @ product.flatten(), atol=ROUND_OFF)


@pytest.mark.parametrize(("K", "n", "temperature"), [(3, 2, 2.0), (4, 3, 5.0), (5, 1, 1.0), (3, 1, 20.0)])
def test_curvature_out_of_the_plane_of_the_optimum_in_closed_form(K, n, temperature):
    """With one spare dimension: tau eps (1 + 1/n) K - 1 times, tau eps once, tau eps / n K (n - 1) + 1 times."""
    problem = SphericalUFM(K, n, K, temperature)
    best = problem.optimum()
    epsilon = 1 / (math.exp(best.margin) + K - 1)  # probability of each wrong class
    values = torch.linalg.eigvalsh(hessian(problem, *best.point)) / (temperature * epsilon)
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
        gradient = problem.gradient(W, H)[1][0]
        assert float(gradient.norm()) < ROUND_OFF


def test_equal_classifier_rows_are_left_by_a_mixed_direction():
    """Where all rows of W agree S may miss the way out; a step in W coupled with one in H still finds it."""
    problem = SphericalUFM(3, 2, 3, 5.0)
    w = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64).expand(3, 3).contiguous()
    H = problem.random_point(4)[1].reshape(3, 2, 3)
    H = H.mean(dim=(0, 1), keepdim=True).expand_as(H).reshape(6, 3)
    H = torch.nn.functional.normalize(H, dim=1)
    assert max(float(g.norm()) for g in problem.gradient(w, H)) < ROUND_OFF
    assert float(radial_gradient(problem, w, H)[1].abs().max()) < ROUND_OFF
    assert smallest_curvature(problem, w, H)[0] < -0.1


@few
@given(problem=problems, seed=seeds)
def test_smallest_curvature_is_an_eigenvalue_with_its_direction(problem, seed):
    point = problem.random_point(seed)
    eigenvalue, direction = smallest_curvature(problem, *point)
    assert inner(direction, direction) == pytest.approx(1, abs=ROUND_OFF)
    product = hessian_vector_product(problem, point, direction)
    assert max(float((p - eigenvalue * d).abs().max()) for p, d in zip(product, direction)) < 1e-10
    assert eigenvalue == pytest.approx(float(torch.linalg.eigvalsh(hessian(problem, *point))[0]), abs=ROUND_OFF)
