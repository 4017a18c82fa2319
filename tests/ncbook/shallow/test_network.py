"""The shallow network at its start, and what its neurons are active on."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ncbook import shallow
from ncbook.shallow import ShallowReLU
from tests.ncbook.shallow.test_gradient_flows import problem


@given(seed=st.integers(0, 999), outputs=st.integers(1, 4), scale=st.floats(1e-6, 10))
@settings(max_examples=15, deadline=None)
def test_random_start_is_balanced_and_of_the_size_asked_for(seed: int, outputs: int, scale: float) -> None:
    net = ShallowReLU.random(400, 10, outputs, scale=scale, seed=seed)
    assert float(net.imbalance.abs().max()) < 1e-12 * scale**2 * 30
    # The mean of 400 chi-square variables of 10 degrees over 10 has standard deviation 0.022.
    assert float(net.W.square().sum(dim=1).mean()) == pytest.approx(scale**2, rel=0.12)


def test_unbalanced_start_is_not_balanced() -> None:
    assert float(ShallowReLU.random(5, 4, 2, balanced=False).imbalance.abs().min()) > 0


def test_semi_local_start_takes_samples_and_their_pseudo_labels() -> None:
    X, y = problem(3)
    net = ShallowReLU.semi_local(X, y, 12, scale=0.1, seed=5)
    unit = torch.nn.functional.normalize(X, dim=1)
    cosines = (net.W / 0.1) @ unit.T
    source = cosines.argmax(dim=1)
    assert torch.allclose(cosines.amax(dim=1), torch.ones(12, dtype=torch.float64), atol=1e-12)
    assert torch.allclose(net.V / 0.1, shallow.pseudo_labels(3)[:, y[source]], atol=1e-12)
    assert shallow.assignment(net, X, y)[:3].tolist() == [0, 1, 2]
    assert float(net.imbalance.abs().max()) < 1e-15


def test_assignment_tells_classes_dead_and_shared_apart() -> None:
    X, y = torch.eye(3, dtype=torch.float64), torch.tensor([0, 1, 2])
    W = torch.tensor([[1.0, -1, -1], [-1, -1, 2], [-1, -1, -1], [1, 1, -1]], dtype=torch.float64)
    V = torch.tensor([[1.0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]], dtype=torch.float64)
    net = ShallowReLU(W, V)
    assert shallow.assignment(net, X, y).tolist() == [0, 2, shallow.DEAD, shallow.SHARED]
    assert shallow.in_cone(net, X, y).tolist() == [True, False, False, False]


def test_in_cone_of_one_output_goes_by_the_sign() -> None:
    X, y = torch.tensor([[1.0], [-1.0]], dtype=torch.float64), torch.tensor([0, 1])
    net = ShallowReLU(torch.tensor([[1.0], [1.0], [-1.0]]).double(), torch.tensor([[-1.0, 1.0, 1.0]]).double())
    assert shallow.in_cone(net, X, y).tolist() == [True, False, True]


def test_outputs_are_homogeneous_of_degree_two() -> None:
    X, _ = problem(3)
    net = ShallowReLU.random(6, 9, 3, scale=2.0)
    assert net.direction().norm == pytest.approx(1, abs=1e-14)
    assert torch.allclose(net(X), net.norm**2 * net.direction()(X), atol=1e-12)
