"""Projection, retraction and geodesics on a product of spheres."""

import math

import pytest
import torch
from hypothesis import given

from ncbook.etf import simplex_etf
from ncbook.sphere import SphericalUFM, geodesic, project, retract
from tests.ncbook.sphere.random_problems import ROUND_OFF, few, problems, seeds, tangent


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
