"""Tests of ncbook.ufm.data_optimum: closed forms where inputs are free, the certificate, and another solver."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.optimize import minimize

from ncbook import metrics, shallow, ufm

LOSSES = [ufm.CrossEntropy(), ufm.SquaredError(), ufm.LabelSmoothing(0.1)]
X, Y = shallow.Mixture.simplex(3, 7, 1.5, seed=0).draw(6, seed=1)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_orthonormal_inputs_are_free_features(loss: ufm.Loss) -> None:
    problem = ufm.UFM(4, 3, 6, 5e-3, 1e-3, bias_decay=0.0, loss=loss)
    found = ufm.data_optimum(torch.eye(12).double(), problem.labels, math.sqrt(5e-6), loss=loss)
    # Centring takes one direction from the inputs, and the free optimum does not use it.
    assert found.value == pytest.approx(problem.optimum().value, rel=1e-9)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_minimum_carries_its_certificate(loss: ufm.Loss) -> None:
    found = ufm.data_optimum(X, Y, 0.01, loss=loss)
    assert found.spectral_ratio == pytest.approx(1, abs=1e-8)
    gradient = loss.gradient(found.logits(X), Y)
    assert float(gradient.sum(0).abs().max()) < 1e-10  # the bias is free
    # <gradient, T> = -mu ||T||_*: together with the ratio, the optimality condition.
    inner = float((gradient.T @ X * found.map).sum())
    assert inner == pytest.approx(-0.01 * float(torch.linalg.matrix_norm(found.map, "nuc")), rel=1e-7)


def test_two_layers_trained_by_another_solver_end_there() -> None:
    mu, d = 0.02, 3

    def objective(z):
        z = torch.tensor(z, requires_grad=True)
        W, A, b = z[:9].view(3, d), z[9:30].view(d, 7), z[30:]
        f = torch.nn.functional.cross_entropy(X @ (W @ A).T + b, Y) + mu / 2 * (W.square().sum() + A.square().sum())
        f.backward()
        return float(f.detach()), z.grad.numpy()

    start = torch.randn(33, generator=torch.Generator().manual_seed(0), dtype=torch.float64).numpy()
    options = {"ftol": 1e-15, "gtol": 1e-10, "maxiter": 5000}
    other = minimize(objective, start, jac=True, method="L-BFGS-B", options=options)
    found = ufm.data_optimum(X, Y, mu)
    assert found.value == pytest.approx(other.fun, rel=1e-8)
    A = torch.from_numpy(other.x[9:30]).view(d, 7)
    theirs = metrics.neural_collapse(X @ A.T, Y).nc1_trace_quotient
    assert metrics.neural_collapse(found.features(X), Y).nc1_trace_quotient == pytest.approx(theirs, rel=1e-3)


def test_strong_decay_leaves_zero_with_a_ratio_below_one() -> None:
    found = ufm.data_optimum(X, Y, 10.0)
    assert float(found.map.norm()) == 0 and found.spectral_ratio < 1
    assert found.value == pytest.approx(math.log(3))
    assert found.features(X).shape == (18, 0)


def test_what_the_convex_problem_cannot_take_is_refused() -> None:
    with pytest.raises(ValueError, match="loss must be convex, got focal"):
        ufm.data_optimum(X, Y, 0.1, loss=ufm.Focal(2.0))
    with pytest.raises(ValueError, match="every class"):
        ufm.data_optimum(X, 2 * Y, 0.1)
