"""Tests of ncbook.shallow.limit: the convex problem, the predicted limit, and the measures of collapse."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ncbook import metrics, shallow


def cone(seed: int, n: int = 8, D: int = 5) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    X = torch.randn(n, D, generator=g, dtype=torch.float64)
    X[:, 0] = X[:, 0].abs() + 0.5
    return X


@given(seed=st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_max_margin_satisfies_the_optimality_conditions(seed: int) -> None:
    X = cone(seed)
    u, gamma = shallow.max_margin(X)
    slack = X @ u - gamma
    assert float(u.norm()) == pytest.approx(1, abs=1e-12)
    assert float(slack.min()) > -1e-10
    # u lies in the cone of its support vectors: the two facts together prove optimality (KKT of a convex problem).
    support = X[slack < 1e-8].T.numpy()
    from scipy.optimize import nnls

    assert nnls(support, u.numpy())[1] < 1e-7


@given(seed=st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_no_random_direction_has_a_larger_margin(seed: int) -> None:
    X = cone(seed)
    u, gamma = shallow.max_margin(X)
    g = torch.Generator().manual_seed(seed)
    near = torch.nn.functional.normalize(u + 0.3 * torch.randn(500, 5, generator=g, dtype=torch.float64), dim=1)
    assert float((near @ X.T).amin(dim=1).max()) <= gamma + 1e-12


def test_max_margin_agrees_with_a_support_vector_machine() -> None:
    from sklearn.svm import LinearSVC

    X = cone(3)
    u, gamma = shallow.max_margin(X)
    # Without an intercept, separating {x} from {-x} is the one-class hard-margin problem.
    both = np.vstack([X.numpy(), -X.numpy()])
    svm = LinearSVC(C=1e6, fit_intercept=False, loss="hinge", tol=1e-10, max_iter=10**6)
    w = svm.fit(both, np.repeat([1, -1], len(X))).coef_[0]
    # liblinear's dual coordinate descent stops at about this accuracy.
    assert 1 / np.linalg.norm(w) == pytest.approx(gamma, rel=1e-4)
    assert w @ u.numpy() / np.linalg.norm(w) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("scale", [1e-150, 1.0, 1e150])
def test_max_margin_is_equivariant_to_scale(scale: float) -> None:
    u, gamma = shallow.max_margin(cone(0))
    v, delta = shallow.max_margin(scale * cone(0))
    assert torch.allclose(u, v, atol=1e-12) and delta == pytest.approx(scale * gamma, rel=1e-12)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), "open half-space"),
        (torch.zeros(2, 2), "all zero"),
        (torch.zeros(2), "inputs must be"),
        (torch.full((2, 2), math.inf), "finite"),
    ],
)
def test_max_margin_refuses_data_without_a_margin(inputs, message) -> None:
    with pytest.raises(ValueError, match=message):
        shallow.max_margin(inputs)


@pytest.mark.parametrize(("K", "outputs"), [(2, 1), (2, 2), (3, 3), (5, 5)])
def test_predicted_limit_has_unit_norm_and_equal_class_margins(K: int, outputs: int) -> None:
    X, y = shallow.orthogonal_data(K, 6, 3 * K, 0.2, 0.15 / (K - 1), norms=(0.5, 2.0), seed=K)
    limit = shallow.predicted_limit(X, y)
    assert 2 * float(limit.scales.square().sum()) == pytest.approx(1, abs=1e-14)
    logits = limit.features(X, y) @ limit.classifier(outputs).T
    if outputs == 1:
        margins = logits[:, 0] * torch.where(y == 1, 1.0, -1.0)
    else:
        others = logits.masked_fill(torch.nn.functional.one_hot(y, K).bool(), -math.inf)
        margins = logits.gather(1, y[:, None])[:, 0] - others.amax(dim=1)
    smallest = torch.stack([margins[y == k].min() for k in range(K)])
    assert torch.allclose(smallest, smallest[0].expand(K), atol=1e-12)
    # s_k^2 gamma_k = 1 / (2 sum 1/gamma), times the gap between two pseudo-label entries.
    gap = 1.0 if outputs == 1 else math.sqrt(K / (K - 1))
    assert float(smallest[0]) == pytest.approx(gap / (2 * float((1 / limit.margins).sum())), rel=1e-12)


def test_a_class_with_half_the_margin_gets_twice_the_squared_scale() -> None:
    X = torch.tensor([[2.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    limit = shallow.predicted_limit(X, torch.tensor([0, 1]))
    assert limit.margins.tolist() == [2.0, 1.0]
    assert float(limit.scales[1] ** 2 / limit.scales[0] ** 2) == pytest.approx(2, rel=1e-14)


@pytest.mark.parametrize("K", [2, 3, 6])
def test_pseudo_labels_are_a_simplex_etf_of_unit_columns(K: int) -> None:
    E = shallow.pseudo_labels(K)
    target = (K * torch.eye(K, dtype=torch.float64) - 1) / (K - 1)
    assert torch.allclose(E.T @ E, target, atol=1e-14)


@pytest.mark.parametrize(("K", "outputs"), [(3, 1), (3, 2), (2, 3), (2, 0)])
def test_pseudo_labels_refuse_a_wrong_number_of_outputs(K, outputs) -> None:
    with pytest.raises(ValueError, match="num_outputs"):
        shallow.pseudo_labels(K, outputs)


@pytest.mark.parametrize(("K", "outputs"), [(2, 1), (2, 2), (4, 4)])
def test_the_exact_limit_is_collapsed_in_direction_but_not_in_length(K: int, outputs: int) -> None:
    X, y = shallow.orthogonal_data(K, 8, 3 * K, 0.2, 0.15 / (K - 1), norms=(0.5, 2.0), seed=1)
    limit = shallow.predicted_limit(X, y)
    found = shallow.collapse(limit.features(X, y), y, limit.classifier(outputs))
    # Sums of a few dozen rounded terms.
    assert max(found.directional_nc1, found.nc2_frame, found.nc2_etf, found.nc3) < 1e-13
    assert found.nc1 > 1e-3


def test_raw_nc1_vanishes_where_all_projections_agree() -> None:
    X, y = shallow.planar_data(3, 2, 10.0)  # two samples a class, mirror images about the max-margin direction
    limit = shallow.predicted_limit(X, y)
    assert shallow.collapse(limit.features(X, y), y, limit.classifier()).nc1 < 1e-25


@given(seed=st.integers(0, 10_000), K=st.integers(2, 5))
@settings(max_examples=25, deadline=None)
def test_nc1_agrees_with_the_book_s_metrics(seed: int, K: int) -> None:
    g = torch.Generator().manual_seed(seed)
    H = torch.randn(4 * K, 7, generator=g, dtype=torch.float64).relu() + 0.1
    H[0] = 0.0  # a sample on which every neuron is off
    y = (torch.arange(4 * K) % (2 * K)).clamp(max=K - 1)  # the last class is larger than the others
    V = torch.randn(K, 7, generator=g, dtype=torch.float64)
    found, report = shallow.collapse(H, y, V), metrics.neural_collapse(H, y)
    assert found.nc1 == pytest.approx(report.nc1, rel=1e-9)
    assert found.directional_nc1 == pytest.approx(report.directional_nc1, abs=1e-12)


def test_measures_do_not_depend_on_scale_or_on_the_order_of_neurons() -> None:
    X, y = shallow.orthogonal_data(3, 5, 9, 0.2, 0.1)
    g = torch.Generator().manual_seed(0)
    H, V = (
        (X @ torch.randn(9, 11, generator=g, dtype=torch.float64)).relu(),
        torch.randn(3, 11, generator=g, dtype=torch.float64),
    )
    order = torch.randperm(11, generator=g)
    first, second = shallow.collapse(H, y, V), shallow.collapse(1e3 * H[:, order], y, 1e-3 * V[:, order])
    for name in ("nc1", "directional_nc1", "nc2_frame", "nc2_etf", "nc3"):
        assert getattr(second, name) == pytest.approx(getattr(first, name), rel=1e-9)
        assert getattr(first, name) > 1e-3


def test_a_class_without_features_has_no_measures() -> None:
    H = torch.tensor([[1.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    found = shallow.collapse(H, torch.tensor([0, 1]), torch.eye(2, dtype=torch.float64))
    assert math.isnan(found.nc1) and math.isnan(found.nc3)


@pytest.mark.parametrize("function", [shallow.predicted_limit, shallow.class_directions])
def test_a_missing_class_is_refused(function) -> None:
    with pytest.raises(ValueError, match=r"every class 0 … K - 1"):
        function(torch.eye(3, dtype=torch.float64), torch.tensor([0, 0, 2]))


def test_collapse_refuses_a_classifier_of_another_width() -> None:
    with pytest.raises(ValueError, match="classifier must be"):
        shallow.collapse(torch.eye(2, dtype=torch.float64), torch.tensor([0, 1]), torch.ones(2, 3, dtype=torch.float64))


def test_limit_features_refuse_a_label_without_a_direction() -> None:
    X, y = shallow.planar_data(2, 3, 5.0)
    with pytest.raises(ValueError, match="labels must lie in"):
        shallow.predicted_limit(X, y).features(X, y + 1)
