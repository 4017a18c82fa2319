"""The closed forms: critical, of the value they say, met by the solver, and accurate at extreme decays."""

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ncbook.etf import etf_distance
from ncbook.ufm import UFM
from tests.ncbook.ufm.test_model import EXACT, small_problems

# Free features


def test_optimum_of_the_worked_example():
    optimum = UFM(4, 5, 4, 5e-3, 1e-3).optimum()
    assert optimum.value == pytest.approx(0.0943616937, abs=5e-11)
    assert optimum.squared_weight_norm == pytest.approx(3.96240, abs=5e-6)


@given(problem=small_problems(), nonnegative=st.booleans())
@settings(max_examples=40, deadline=None)
def test_optimum_is_a_critical_point_with_the_value_and_margin_it_says(problem, nonnegative):
    assume(problem.feature_dim >= problem.num_classes - (not nonnegative))
    best = problem.optimum(nonnegative=nonnegative)
    assert float(problem.objective(best.W, best.H, best.b)) == pytest.approx(best.value, abs=EXACT)
    dW, dH, db = problem.gradient(best.W, best.H, best.b)
    if nonnegative:  # a coordinate held at zero may want to go below it, none may want to rise
        assert bool((best.H >= 0).all()) and bool((dH[best.H == 0] >= -EXACT).all())
        dH = dH[best.H > 0]
    assert max(float(g.abs().max()) if g.numel() else 0.0 for g in (dW, dH, db)) < EXACT
    logits = best.H @ best.W.T + best.b
    own = logits.gather(1, problem.labels[:, None])
    wrong = logits.scatter(1, problem.labels[:, None], -math.inf).max(dim=1, keepdim=True).values
    assert torch.allclose(own - wrong, torch.full_like(own, best.margin), rtol=0, atol=1e-11)
    assert torch.allclose(
        best.W.square().sum(dim=1), torch.tensor(best.squared_weight_norm, dtype=torch.float64), atol=1e-10
    )


@given(problem=small_problems(), seed=st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_solver_meets_the_closed_form_on_both_sides_of_the_threshold(problem, seed):
    best, found = problem.optimum(), problem.solve(seed)
    # 1e-10 is what the book promises; the solver stops at gradients near 1e-11.
    assert found.value == pytest.approx(best.value, abs=1e-10)
    assert (best.margin > 0) == problem.collapses
    if best.margin > 0.1:  # away from the threshold the minimum is sharp and the point itself is found
        assert etf_distance(found.W) < 1e-4
        assert torch.allclose(found.b, found.b.mean().expand_as(found.b), atol=1e-4)


@pytest.mark.parametrize("bias_decay", [0.0, 0.1])
@pytest.mark.parametrize("below", [-1e-9, -1e-3, 0.0, 1e-3])
def test_solver_meets_the_closed_form_next_to_the_threshold(below, bias_decay):
    # K q = 1 + below; the minimum is flat to fourth order here, which is where a solver has it hardest.
    decay = (1 + below) / (3 * math.sqrt(4))
    problem = UFM(3, 4, 5, decay, decay, bias_decay)
    assert problem.collapses == (below < 0)
    for seed in range(4):
        assert problem.solve(seed).value == pytest.approx(problem.optimum().value, abs=1e-10)


@pytest.mark.parametrize(
    ("K", "n", "decays"),
    [(5, 2, (1e-8, 1.0)), (5, 2, (1.0, 1e-8)), (10, 3, (1e-8, 1e-8)), (2, 50, (1e-2, 1e-5)), (100, 1, (1e-4, 1e-3))],
)
def test_solver_meets_the_closed_form_for_extreme_decays_and_many_classes(K, n, decays):
    problem = UFM(K, n, K - 1, *decays)
    assert problem.solve(1).value == pytest.approx(problem.optimum().value, abs=1e-10)


def test_margin_is_accurate_just_above_the_threshold():
    # K q = 1 - 1e-9: s = log(1 + (1 - K q)/q) = K (1 - K q) to first order.
    q = (1 - 1e-9) / 4
    margin = UFM(4, 1, 3, q, q).optimum().margin
    assert margin == pytest.approx(4e-9, rel=1e-6)


@pytest.mark.parametrize("nonnegative", [False, True])
def test_optimum_survives_decays_whose_product_underflows(nonnegative):
    best = UFM(3, 2, 3, 1e-200, 1e-200).optimum(nonnegative=nonnegative)
    # s = -log q up to terms far below round-off, with q = sqrt(2) 1e-200 (and the price's constant in the orthant).
    constant = math.log(2 / math.sqrt(6)) if nonnegative else 0.0
    assert best.margin == pytest.approx(200 * math.log(10) - math.log(2) / 2 + constant, rel=1e-14)
    assert bool(torch.isfinite(best.W).all()) and bool(torch.isfinite(best.H).all())


def test_margin_formula_has_no_seam():
    # Two expressions meet at q = 1e-8; the margin must fall smoothly through it.
    margins = [UFM(3, 1, 2, q, q).optimum().margin for q in (0.999999e-8, 1.000001e-8)]
    assert margins[0] - margins[1] == pytest.approx(2e-6, rel=1e-6)


@pytest.mark.parametrize("d", [3, 4, 8])
def test_value_does_not_depend_on_the_dimension_beyond_the_frame_s(d):
    assert UFM(4, 5, d, 5e-3, 1e-3).optimum().value == UFM(4, 5, 3, 5e-3, 1e-3).optimum().value


def test_below_the_frame_s_dimension_the_solver_stays_above_the_value():
    # Five vectors cannot form a simplex ETF in three dimensions: the values of a separate calculation, six digits.
    values = [min(UFM(5, 2, d, 0.01, 0.01).solve(seed).value for seed in range(5)) for d in (3, 4)]
    assert values[0] > values[1] + 1e-3
    assert values[1] == pytest.approx(UFM(5, 2, 4, 0.01, 0.01).optimum().value, abs=1e-10)


@pytest.mark.parametrize("nonnegative", [False, True])
def test_generator_turns_the_frame_and_keeps_the_value(nonnegative):
    problem = UFM(3, 2, 6, 0.01, 0.02)
    draw = lambda seed: problem.optimum(nonnegative=nonnegative, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(draw(0).W, draw(0).W) and not torch.allclose(draw(0).W, draw(1).W)
    for seed in (0, 1):
        turned = draw(seed)
        assert float(problem.objective(turned.W, turned.H, turned.b)) == pytest.approx(turned.value, abs=EXACT)
        assert not nonnegative or bool((turned.H >= 0).all())


# Non-negative features


@given(
    K=st.integers(2, 5),
    n=st.integers(1, 4),
    log_decay=st.floats(-3.0, -0.3),
    log_ratio=st.floats(-1.0, 1.0),
    bias_decay=st.sampled_from([0.0, 0.01]),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=25, deadline=None)
def test_nonnegative_solver_meets_the_closed_form_unless_a_class_dies(K, n, log_decay, log_ratio, bias_decay, seed):
    decay, ratio = 10**log_decay, 10**log_ratio
    problem = UFM(K, n, K + 3, decay * ratio, decay / ratio, bias_decay)
    best, found = problem.optimum(nonnegative=True).value, problem.solve(seed, nonnegative=True)
    # The lower bound is proved; that the only way to miss it is a class whose features are all zero is observed.
    assert found.value >= best - 1e-12
    largest = found.H.view(K, n, -1).amax(dim=(1, 2))
    assert found.value == pytest.approx(best, abs=1e-9) or float(largest.min()) < 1e-6


@pytest.mark.parametrize("bias_decay", [0.0, 0.01])
@pytest.mark.parametrize("K", [2, 3, 6])
def test_nonnegative_solver_reaches_the_closed_form(K, bias_decay):
    problem = UFM(K, 2, K + 3, 0.01, 0.003, bias_decay)
    best = problem.optimum(nonnegative=True).value
    assert min(problem.solve(seed, nonnegative=True).value for seed in range(5)) == pytest.approx(best, abs=1e-10)


def test_a_dead_class_is_freed_by_one_axis_that_no_other_class_uses():
    problem = UFM(4, 3, 4, 0.01, 0.01)
    best = problem.optimum(nonnegative=True).value
    stuck = next(s for s in (problem.solve(i, nonnegative=True) for i in range(40)) if s.value > best + 1e-3)
    assert float(stuck.H.view(4, 3, 4).amax(dim=(1, 2)).min()) == 0.0
    wider = UFM(4, 3, 5, 0.01, 0.01)
    W, H, b = wider.random_point(0, scale=1e-3)
    W[:, :4], H[:, :4], b = stuck.W, stuck.H, stuck.b
    freed = wider.solve(start=(W, H.abs(), b), nonnegative=True)
    assert freed.value == pytest.approx(best, abs=1e-10)


def test_nonnegative_class_means_are_orthogonal_and_centred_ones_an_etf():
    best = UFM(4, 3, 6, 0.01, 0.01).optimum(nonnegative=True)
    means = best.H.view(4, 3, 6).mean(dim=1)
    gram = means @ means.T
    assert torch.allclose(gram, gram[0, 0] * torch.eye(4, dtype=torch.float64), atol=EXACT)
    assert etf_distance(means - means.mean(dim=0)) < EXACT
    assert etf_distance(best.W) < EXACT


@pytest.mark.parametrize("K", [2, 3, 10])
def test_nonnegative_threshold_is_lower(K):
    # Zero is optimal from K q = sqrt((K - 1)/K) on: q = decay for one sample and equal decays.
    edge = math.sqrt((K - 1) / K) / K
    assert UFM(K, 1, K, edge * (1 - 1e-6), edge * (1 - 1e-6)).optimum(nonnegative=True).margin > 0
    beyond = UFM(K, 1, K, edge * (1 + 1e-6), edge * (1 + 1e-6))
    nothing = beyond.optimum(nonnegative=True)
    assert nothing.margin == 0 and nothing.value == pytest.approx(math.log(K), abs=EXACT)
    assert beyond.collapses  # the free problem still does


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_two_nonnegative_classes_with_a_free_bias_have_a_family_of_optima(share):
    # b_0 - b_1 = t s moves the margin from one class's feature to the other's; at t = 1 class 0 has no feature at all.
    problem = UFM(2, 3, 2, 0.01, 0.02)
    best = problem.optimum(nonnegative=True)
    s, length2 = best.margin, float(best.H[0].square().sum())
    squared = torch.tensor([1 - share, 1 + share], dtype=torch.float64) * length2
    M = torch.diag(squared.sqrt())
    alpha = s / length2
    W, H = alpha * (M - M.mean(dim=0)), M.repeat_interleave(3, dim=0)
    b = torch.tensor([share * s / 2, -share * s / 2], dtype=torch.float64)
    assert float(problem.objective(W, H, b)) == pytest.approx(best.value, abs=EXACT)
