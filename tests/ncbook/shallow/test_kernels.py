"""Tests of ncbook.shallow.kernels: against sampled layers, autograd's tangents, and the metric of explicit features."""

from __future__ import annotations

import math

import pytest
import torch

from ncbook import metrics, shallow

MIXTURE = shallow.Mixture.simplex(3, 6, 2.0, seed=1)
X, Y = MIXTURE.draw(5, seed=2)


def test_nngp_is_the_mean_over_random_neurons() -> None:
    W = torch.randn(200_000, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    features = torch.relu(X @ W.T)
    # An entry's standard error is about sqrt(5 / 200 000) of the lengths; six of them.
    assert float((2 * features @ features.T / len(W) - shallow.nngp_kernel(X)).abs().max()) < 0.03 * float(
        X.square().sum(1).max()
    )


def test_tangent_kernel_is_the_mean_inner_product_of_gradients() -> None:
    h, g = 200_000, torch.Generator().manual_seed(1)
    W = torch.randn(h, 6, generator=g, dtype=torch.float64, requires_grad=True)
    v = torch.randn(h, generator=g, dtype=torch.float64, requires_grad=True)
    gradients = []
    for x in X[[0, 3, 7]]:
        output = math.sqrt(2 / h) * torch.relu(W @ x) @ v
        gradients.append(torch.cat([part.flatten() for part in torch.autograd.grad(output, (W, v))]))
    J = torch.stack(gradients)
    wanted = shallow.tangent_kernel(X[[0, 3, 7]])
    assert float((J @ J.T - wanted).abs().max()) < 0.03 * float(wanted.max())


def test_kernels_of_parallel_opposite_and_orthogonal_inputs() -> None:
    x = torch.tensor([[2.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 3.0]]).double()
    assert shallow.nngp_kernel(x)[0].tolist() == pytest.approx([4, 2, 0, 6 / math.pi])
    assert shallow.tangent_kernel(x)[0].tolist() == pytest.approx([8, 4, 0, 6 / math.pi])


def test_trace_quotient_of_a_kernel_is_that_of_its_features() -> None:
    for inputs, labels in ((X, Y), (X[:12], Y[:12])):  # the second: unequal classes
        found = shallow.kernel_trace_quotient(inputs @ inputs.T, labels)
        report = metrics.neural_collapse(inputs, labels, within="class")
        assert found == pytest.approx(report.nc1_trace_quotient, rel=1e-10)


def test_kernel_without_class_means_is_refused() -> None:
    twice, labels = torch.eye(2).double().repeat(2, 1), torch.tensor([0, 0, 1, 1])
    with pytest.raises(ValueError, match="tell the class means apart"):
        shallow.kernel_trace_quotient(twice @ twice.T, labels)
    with pytest.raises(ValueError, match=r"kernel must be \(N, N\)"):
        shallow.kernel_trace_quotient(torch.ones(4, 3).double(), labels)
    with pytest.raises(ValueError, match="every class"):
        shallow.kernel_trace_quotient(torch.eye(3).double(), torch.tensor([0, 0, 2]))
    with pytest.raises(ValueError, match="zero row"):
        shallow.nngp_kernel(torch.zeros(1, 2).double())
