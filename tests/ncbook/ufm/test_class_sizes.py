"""Classes of unequal size: the same model and certificate, checked against a convex programme; no closed form."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from ncbook.ufm import (
    UFM,
    block_eigenvalue,
    certificate,
    critical_points,
    escape_direction,
    gap_budget,
    hessian,
    inequality_chain,
    layer_problem,
    smallest_curvature,
    superclass_saddle,
)

SIZES = [(5, 2, 1), (1, 1, 20), (7, 3), (4, 4, 1, 1)]
uneven = st.builds(
    lambda sizes, extra, decay, bias: UFM(len(sizes), sizes, len(sizes) - 1 + extra, decay, 2 * decay, bias),
    st.lists(st.integers(1, 12), min_size=2, max_size=5),
    st.integers(0, 2),
    st.sampled_from([1e-4, 3e-3, 3e-2]),
    st.sampled_from([0.0, 1e-2]),
)


def convex_programme(problem, steps=4000):
    """The minimum of ``CE(Z + b) + mu ||Z||_*`` over logits, by accelerated proximal steps: no W, no H."""
    N, K, y = problem.num_samples, problem.num_classes, problem.labels
    Z, b = torch.zeros(N, K, dtype=torch.float64), torch.zeros(K, dtype=torch.float64)
    at, t, target = (Z, b), 1.0, torch.nn.functional.one_hot(y, K)
    for _ in range(steps):
        G = (torch.softmax(at[0] + at[1], dim=1) - target) / N
        # The curvature is at most ||dZ||^2 / N + (1 + lambda_b) ||db||^2.
        U, S, V = torch.linalg.svd(at[0] - N * G, full_matrices=False)
        new = (
            (U * (S - N * problem.joint_decay).clamp(min=0)) @ V,
            (at[1] - (G.sum(dim=0) + problem.bias_decay * at[1]) / (1 + problem.bias_decay)),
        )
        ahead = (1 + math.sqrt(1 + 4 * t * t)) / 2
        at = tuple(n + (t - 1) / ahead * (n - o) for n, o in zip(new, (Z, b)))
        (Z, b), t = new, ahead
    value = cross_entropy(Z + b, y) + problem.joint_decay * torch.linalg.svdvals(Z).sum()
    return float(value + problem.bias_decay / 2 * b.square().sum())


def test_equal_sizes_are_the_one_number():
    assert UFM(3, [4, 4, 4], 5, 0.1, 0.1) == UFM(3, 4, 5, 0.1, 0.1)
    assert UFM(2, torch.tensor([2, 2]), 3, 0.1, 0.1).samples_per_class == 2


def test_sizes_labels_and_the_objective_s_weights():
    problem = UFM(3, (3, 1, 2), 4, 0.2, 0.1, 0.3)
    assert problem.class_sizes == (3, 1, 2) and problem.num_samples == 6
    assert problem.labels.tolist() == [0, 0, 0, 1, 2, 2]
    W, H, b = problem.random_point(0)
    each = cross_entropy(H @ W.T + b, torch.tensor([0, 0, 0, 1, 2, 2]), reduction="none")
    decays = 0.1 * W.square().sum() + 0.05 * H.square().sum() + 0.15 * b.square().sum()
    assert float(problem.objective(W, H, b)) == pytest.approx(float(each.sum() / 6 + decays), abs=1e-14)


@settings(max_examples=25, deadline=None)
@given(problem=uneven, seed=st.integers(0, 1000))
def test_gradient_formula_is_autograd(problem, seed):
    point = [t.requires_grad_() for t in problem.random_point(seed)]
    automatic = torch.autograd.grad(problem.objective(*point), point)
    for mine, theirs in zip(problem.gradient(*(t.detach() for t in point)), automatic):
        assert torch.allclose(mine, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("bias_decay", [0.0, 0.05])
@pytest.mark.parametrize("sizes", SIZES)
def test_the_solver_meets_the_convex_programme_and_is_certified(sizes, bias_decay):
    K = len(sizes)
    problem = UFM(K, sizes, K, 0.02, 0.01, bias_decay)
    found = problem.solve(0)
    result = certificate(problem, *found.point)
    assert result.is_global and abs(result.spectral_ratio - 1) < 1e-5
    assert found.value == pytest.approx(convex_programme(problem), abs=1e-8)


@settings(max_examples=15, deadline=None)
@given(problem=uneven, seed=st.integers(0, 10**6), scale=st.sampled_from([0.1, 1.0, 3.0]))
def test_no_point_certifies_more_than_is_reached(problem, seed, scale):
    reached = min(problem.solve(s).value for s in range(2)) + 1e-15  # cross_entropy rounds to about 1e-16
    assert certificate(problem, *problem.random_point(seed, scale)).lower_bound <= reached
    assert certificate(problem, *problem.solve(seed, max_iterations=20).point).lower_bound <= reached


def test_the_exact_certificate_holds_for_unequal_classes():
    pytest.importorskip("flint")
    for sizes, bias_decay in itertools.product(SIZES, (0.0, 0.05)):
        problem = UFM(len(sizes), sizes, len(sizes), 0.02, 0.01, bias_decay)
        point = problem.solve(0).point
        rounded, exact = certificate(problem, *point), certificate(problem, *point, exact=True)
        assert exact.is_global
        assert exact.lower_bound == pytest.approx(rounded.lower_bound, abs=1e-7)


def test_order_of_the_classes_does_not_matter():
    values = [UFM(3, sizes, 4, 0.01, 0.01).solve(1).value for sizes in itertools.permutations((6, 3, 1))]
    assert max(values) - min(values) < 1e-10


@settings(max_examples=8, deadline=None)
@given(problem=uneven, seed=st.integers(0, 10**6))
def test_smallest_curvature_agrees_with_the_dense_hessian(problem, seed):
    point = problem.random_point(seed)
    lowest = float(torch.linalg.eigvalsh(hessian(problem, *point))[0])
    assert smallest_curvature(problem, *point)[0] == pytest.approx(lowest, abs=1e-8)


def test_the_way_out_of_the_origin():
    problem = UFM(3, (6, 3, 1), 4, 0.01, 0.02)
    origin = problem.random_point(0, 0.0)
    sigma = float(torch.linalg.matrix_norm(problem.residual(*origin), 2))
    direction, curvature = escape_direction(problem, *origin)
    assert curvature == pytest.approx(-2 * (sigma - problem.joint_decay), abs=1e-12)
    assert smallest_curvature(problem, *origin)[0] == pytest.approx(block_eigenvalue(problem, sigma), abs=1e-9)
    length = float(sum(d.square().sum() for d in direction))
    assert curvature / length >= block_eigenvalue(problem, sigma) - 1e-12


def test_every_critical_point_found_is_global_or_a_strict_saddle():
    problem = UFM(3, (3, 1, 1), 3, 0.02, 0.02)
    best = problem.solve(0).value
    census = critical_points(problem, 80, seed=1, scale=2.0)
    is_global = (census.value - best).abs() < 1e-8
    assert len(census.points) > 60 and bool(is_global.any()) and not bool(is_global.all())
    assert torch.equal(is_global, census.index == 0)
    assert torch.equal(is_global, census.spectral_ratio < 1 + 1e-6)


def test_rows_of_two_rare_classes_merge_as_their_share_falls():
    # Minority collapse: with enough of class 0 the rare classes get the same row, and no larger share undoes it.
    cosines = []
    for n in (1, 10, 100, 400):
        W = UFM(3, (n, 1, 1), 3, 0.05, 0.05 / n, 0.0).solve(0).W
        cosines.append(float(torch.nn.functional.cosine_similarity(W[1], W[2], dim=0)))
    assert cosines[0] == pytest.approx(-0.5, abs=1e-5)
    assert all(later > earlier for earlier, later in itertools.pairwise(cosines))


def test_a_trained_layer_of_unequal_classes_is_a_problem():
    problem = UFM(3, (4, 2, 1), 4, 0.01, 0.02)
    found = problem.solve(0)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(0))
    posed, point = layer_problem(
        found.H[order], problem.labels[order], found.W, found.b, weight_decay=0.01, feature_decay=0.02
    )
    assert posed == problem
    assert float(posed.objective(*point)) == pytest.approx(found.value, abs=1e-14)
    with pytest.raises(ValueError, match="labels must hold each of the 3 classes, got counts"):
        layer_problem(found.H, problem.labels.clamp(max=1), found.W, weight_decay=0.01)


@pytest.mark.parametrize(
    "call",
    [
        lambda p: p.optimum(),
        lambda p: p.optimum(nonnegative=True),
        lambda p: p.lower_bound(),
        lambda p: p.collapses,
        lambda p: superclass_saddle(p, [[0, 1], [2]]),
        lambda p: gap_budget(p, *p.random_point()),
        lambda p: inequality_chain(p, *p.random_point()),
    ],
)
def test_what_is_proved_for_equal_classes_only_says_so(call):
    with pytest.raises(ValueError, match=r"samples_per_class must be equal: .* with \(3, 1, 2\)"):
        call(UFM(3, (3, 1, 2), 4, 0.01, 0.01))


@pytest.mark.parametrize("sizes", [(1, 2), (1, 2, 0), (1, 2, 2.5), "123", (), math.nan, [[1], [2], [3]]])
def test_bad_sizes_are_refused(sizes):
    with pytest.raises(ValueError, match="samples_per_class must be"):
        UFM(3, sizes, 4, 0.01, 0.01)
