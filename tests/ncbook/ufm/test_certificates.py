"""Certificates of global optimality: the bound is always a bound, and tight where it should be."""

import itertools
import math

import mpmath
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ncbook.ufm import UFM, certificate, certificates, inequality_chain, layer_problem

mpmath.mp.dps = 50


def exact_minimum(problem):
    """The closed-form minimum with 50 digits, from the decays exactly as float64 holds them."""
    K, n = problem.num_classes, problem.samples_per_class
    q = mpmath.sqrt(n * mpmath.mpf(problem.weight_decay) * mpmath.mpf(problem.feature_decay))
    if K * q >= 1:
        return mpmath.log(K)
    s = mpmath.log(1 / q - (K - 1))
    return mpmath.log(1 + (K - 1) * mpmath.exp(-s)) + q * (K - 1) * s


def near_optimum(problem, size, seed):
    """A global minimum in a random rotation, each entry moved by about ``size`` times a typical entry."""
    best = problem.optimum(generator=torch.Generator().manual_seed(seed))
    W, H, b = problem.random_point(seed, size)
    return best.W + W * best.W.abs().mean(), best.H + H * best.H.abs().mean(), best.b + b


decays = st.floats(-14, 3).map(lambda e: 10.0**e)
problems = st.builds(
    lambda K, n, extra, lw, lh, lb: UFM(K, n, max(1, K - 1 + extra), lw, lh, lb),
    st.integers(2, 9),
    st.integers(1, 5),
    st.integers(-3, 3),
    decays,
    decays,
    st.one_of(st.just(0.0), decays),
)


@settings(max_examples=1000, deadline=None)
@given(problem=problems, seed=st.integers(0, 10**6), scale=st.floats(-8, 3))
def test_bound_never_exceeds_the_minimum_at_random_points(problem, seed, scale):
    # Any feature_dim: with d < K - 1 the minimum is only larger than the closed form.
    result = certificate(problem, *problem.random_point(seed, 10.0**scale))
    assert 0 <= result.lower_bound <= exact_minimum(problem)


@settings(max_examples=1000, deadline=None)
@given(problem=problems, seed=st.integers(0, 10**6), size=st.floats(-17, 0))
def test_bound_never_exceeds_the_minimum_near_the_optimum(problem, seed, size):
    # Here the bound is tight, so that a missing rounding margin would show.
    if problem.feature_dim < problem.num_classes - 1:
        problem = UFM(problem.num_classes, problem.samples_per_class, problem.num_classes,
                      problem.weight_decay, problem.feature_decay, problem.bias_decay)  # fmt: skip
    result = certificate(problem, *near_optimum(problem, 10.0**size, seed))
    assert 0 <= result.lower_bound <= exact_minimum(problem)


@pytest.mark.parametrize("K", [2, 30, 100])
@pytest.mark.parametrize("bias_decay", [0.0, 1e-4])
def test_bound_is_a_bound_with_many_classes(K, bias_decay):
    for seed, exponent in enumerate((-12, -8, -4, -2, 0)):
        problem = UFM(K, 2, K + 3, 10.0**exponent, 3 * 10.0**exponent, bias_decay)
        for point in (near_optimum(problem, 1e-9, seed), problem.random_point(seed)):
            assert certificate(problem, *point).lower_bound <= exact_minimum(problem)


@pytest.mark.parametrize("share", [1 - 1e-9, 1 - 1e-15, 1.0, 1 + 1e-9])
def test_bound_is_a_bound_on_both_sides_of_the_threshold(share):
    problem = UFM(5, 4, 6, share / 10, 1 / 10)  # K sqrt(n lambda_W lambda_H) = sqrt(share) up to rounding
    for point in (problem.random_point(0, 0.0), problem.random_point(0, 1e-5), near_optimum(problem, 1e-6, 0)):
        assert certificate(problem, *point).lower_bound <= exact_minimum(problem)


@settings(max_examples=100, deadline=None)
@given(
    K=st.integers(2, 20),
    n=st.integers(1, 6),
    extra=st.integers(-1, 3),
    decay=st.floats(-9, 1),
    bias_decay=st.sampled_from([0.0, 1e-6, 1.0]),
    seed=st.integers(0, 10**6),
)
@example(K=3, n=1, extra=-1, decay=-9.0, bias_decay=0.0, seed=0)
def test_certificate_is_tight_at_the_optimum(K, n, extra, decay, bias_decay, seed):
    problem = UFM(K, n, K + extra, 10.0**decay, 2 * 10.0**decay, bias_decay)
    best = problem.optimum(generator=torch.Generator().manual_seed(seed))
    result = certificate(problem, best.W, best.H, best.b)
    assert result.is_global
    # A logit, a rounded sum of d products, is off by eps = (d + 3) u ||w|| ||h||: so is, relatively, each off-class
    # probability. They sum to (K - 1) q a sample, and what leaves a class minus what arrives cancels only up to eps
    # of that. For lambda_b = 0 it is paid for at log K (K + sqrt(2) / mu), with q = sqrt(n) mu and K q <= 1:
    eps = (problem.feature_dim + 3) * 2.0**-53 * float(best.W[0].norm() * best.H[0].norm())
    rounding = (K - 1) * eps * math.log(K) * (1 + math.sqrt(2 * n))
    assert result.gap <= 1e-8 * result.value + rounding
    if problem.collapses:
        # At a nonzero minimum the ratio is 1; tiny decays make the softmax's own rounding the limit.
        assert result.spectral_ratio == pytest.approx(1, abs=1e-6)
    else:
        assert result.spectral_ratio <= 1 + 1e-9


def test_gap_closes_along_a_solver_run():
    problem = UFM(4, 5, 6, 5e-3, 1e-3)
    gaps = [certificate(problem, *problem.solve(3, max_iterations=m).point).gap for m in (1, 10, 20, 30, 50)]
    assert all(later < earlier for earlier, later in itertools.pairwise(gaps))
    assert gaps[-1] < 1e-6  # the gap is of first order in the solver's error, of about 1e-9 / decay


def test_gap_bounds_the_true_suboptimality():
    problem = UFM(3, 4, 5, 1e-2, 3e-3)
    for seed in range(50):
        result = certificate(problem, *problem.random_point(seed, 0.5))
        assert result.gap >= result.value - problem.optimum().value


@pytest.mark.parametrize("d, certified", [(1, False), (2, False), (3, False), (4, True), (5, True), (7, True)])
def test_solver_results_are_certified_exactly_from_d_equal_K_minus_1(d, certified):
    problem = UFM(5, 2, d, 5e-3, 5e-3)
    results = [certificate(problem, *problem.solve(seed).point) for seed in range(3)]
    assert all(r.is_global == certified for r in results)
    assert all((r.spectral_ratio < 1 + 1e-4) == certified for r in results)


def test_the_multiplier_that_every_point_shares_gives_the_minimum():
    # Mixing one-hot and uniform with weight K q is feasible and its entropy is the closed form: strong duality.
    problem = UFM(6, 3, 8, 2e-3, 4e-3)
    q = math.sqrt(3 * 2e-3 * 4e-3)
    off = torch.full((18, 6), q, dtype=torch.float64)
    off = off.scatter(1, problem.labels[:, None], 0.0)
    threshold = problem.num_samples * problem.joint_decay
    # 1e-11: the margins for rounding are about 1e-13 here, and shrinking costs no more than that.
    assert certificates._dual_value(problem, off, threshold) == pytest.approx(problem.optimum().value, abs=1e-11)


@settings(max_examples=100, deadline=None)
@given(rows=st.integers(1, 40), cols=st.integers(2, 9), seed=st.integers(0, 10**6), rank=st.integers(1, 9))
def test_norm_bound_is_above_the_true_norm_and_close(rows, cols, seed, rank):
    g = torch.Generator().manual_seed(seed)
    A = torch.randn(rows, rank, generator=g, dtype=torch.float64)
    B = torch.randn(rank, cols, generator=g, dtype=torch.float64)
    Y = A @ B
    true = max(mpmath.svd_r(mpmath.matrix(Y.tolist()), compute_uv=False))
    assert true <= certificates._norm_bound(Y) <= float(true) * (1 + 1e-11)


def test_norm_bound_survives_underflow():
    Y = torch.full((3, 2), 1e-200, dtype=torch.float64)
    assert certificates._norm_bound(Y) == pytest.approx(math.sqrt(6) * 1e-200, rel=1e-12)


@pytest.mark.parametrize("bias_decay", [0.0, 1e-2])
def test_bound_does_not_depend_on_the_bias_given(bias_decay):
    problem = UFM(4, 3, 5, 5e-3, 5e-3, bias_decay)
    W, H, b = problem.random_point(2)
    bounds = [certificate(problem, W, H, b + shift * torch.arange(4.0)).lower_bound for shift in (0.0, 1.0, -3.0)]
    assert max(bounds) - min(bounds) < 1e-9  # Newton on the bias converges to round-off


def test_certificate_accepts_single_precision():
    problem = UFM(4, 5, 6, 5e-3, 1e-3)
    best = problem.optimum()
    result = certificate(problem, best.W.float(), best.H.float(), best.b.float())
    assert result.lower_bound <= exact_minimum(problem)
    assert result.is_global  # single precision moves the point by 1e-7, the tolerance is 1e-5


@settings(max_examples=200, deadline=None)
@given(problem=problems, seed=st.integers(0, 10**6), scale=st.floats(-3, 1))
def test_chain_never_increases(problem, seed, scale):
    steps = inequality_chain(problem, *problem.random_point(seed, 10.0**scale)).steps
    # Rounding is relative to the largest number in the chain.
    slack = 1e-13 * (1 + steps[0])
    assert all(earlier >= later - slack for earlier, later in itertools.pairwise(steps))
    assert steps[-1] == pytest.approx(float(exact_minimum(problem)), rel=1e-9)


@pytest.mark.parametrize("bias_decay", [0.0, 0.1])
def test_chain_is_flat_at_the_optimum_and_only_there(bias_decay):
    problem = UFM(4, 3, 6, 5e-3, 2e-3, bias_decay)
    best = problem.optimum()
    steps = inequality_chain(problem, best.W, best.H, best.b).steps
    assert max(steps) - min(steps) < 1e-12
    moved = inequality_chain(problem, best.W, 1.1 * best.H, best.b).steps
    assert moved[0] - moved[-1] > 1e-4


def test_each_link_of_the_chain_breaks_alone():
    problem = UFM(4, 3, 6, 5e-3, 5e-3, 0.1)
    best = problem.optimum()

    def drops(*point):
        steps = inequality_chain(problem, *point).steps
        return [a - b for a, b in itertools.pairwise(steps)]

    first = drops(2 * best.W, best.H / 2, best.b)
    assert first[0] > 1e-3 and max(first[1:]) < 1e-12  # unbalanced factors: only the first step has slack
    shifted = drops(best.W, best.H, best.b + 1)
    assert shifted[1] > 1e-3 and max(shifted[:1] + shifted[2:]) < 1e-12  # a constant bias: only its decay
    scaled = drops(1.2 * best.W, 1.2 * best.H, best.b)
    assert scaled[5] > 1e-4 and max(scaled[:5]) < 1e-12  # a wrong length: only the last, the best margin


@pytest.mark.parametrize("name", ["weight_decay", "feature_decay"])
def test_zero_decay_is_refused(name):
    decays = {"weight_decay": 1e-3, "feature_decay": 1e-3} | {name: 0.0}
    problem = UFM(3, 2, 4, **decays)
    with pytest.raises(ValueError, match=name):
        certificate(problem, *problem.random_point())
    with pytest.raises(ValueError, match=name):
        inequality_chain(problem, *problem.random_point())


def test_unsupported_input_is_refused():
    problem = UFM(3, 2, 4, 1e-3, 1e-3)
    W, H, b = problem.random_point()
    with pytest.raises(ValueError, match=r"H must be \(N=6, d=4\), got \(5, 4\)"):
        certificate(problem, W, H[:5], b)  # an unbalanced data set fits no problem
    with pytest.raises(ValueError, match="problem must be"):
        certificate(object(), W, H, b)
    with pytest.raises(ValueError, match="b must be finite"):
        certificate(problem, W, H, b * math.nan)
    with pytest.raises(ValueError, match="tolerance"):
        certificate(problem, W, H, b, tolerance=0.0)


def test_layer_problem_sorts_by_class_and_infers_the_balanced_decay():
    problem = UFM(3, 4, 5, 5e-3, 2e-3)
    best = problem.optimum(generator=torch.Generator().manual_seed(0))
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    found, (W, H, b) = layer_problem(best.H[order].float(), problem.labels[order], best.W.float(), weight_decay=5e-3)
    assert found.feature_decay == pytest.approx(2e-3, rel=1e-6)  # single precision
    assert (found.num_classes, found.samples_per_class, found.feature_dim) == (3, 4, 5)
    assert torch.allclose(H, best.H, atol=1e-6) and H.dtype == torch.float64 and not b.any()
    assert certificate(found, W, H, b).is_global


def test_layer_problem_refuses_what_the_theory_does_not_cover():
    X, y, W = torch.ones(4, 3), torch.tensor([0, 0, 1, 1]), torch.ones(2, 3)
    with pytest.raises(ValueError, match=r"each of the 2 classes, got counts \[4, 0\]"):
        layer_problem(X, 0 * y, W, weight_decay=1e-3)
    with pytest.raises(ValueError, match="weight_decay"):
        layer_problem(X, y, W, weight_decay=0.0)
    with pytest.raises(ValueError, match="feature_decay"):
        layer_problem(X, y, W, weight_decay=1e-3, feature_decay=0.0)
    with pytest.raises(ValueError, match="feature_decay must be given"):
        layer_problem(0 * X, y, W, weight_decay=1e-3)
    with pytest.raises(ValueError, match="labels"):
        layer_problem(X, y + 1, W, weight_decay=1e-3)
    with pytest.raises(ValueError, match="features"):
        layer_problem(X[:, :2], y, W, weight_decay=1e-3)
    with pytest.raises(ValueError, match="bias must be"):
        layer_problem(X, y, W, torch.ones(3), weight_decay=1e-3)


def test_the_chain_ends_in_the_optimum_s_value_at_the_smallest_decays():
    problem = UFM(3, 1, 3, 1e-320, 1e-320)
    assert 0 < inequality_chain(problem, *problem.random_point()).minimum == problem.optimum().value < 1e-316
