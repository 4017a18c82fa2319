"""The pieces of ``f - f*``: they add up, none is negative, and each vanishes where it says."""

import math
from dataclasses import asdict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ncbook.ufm import UFM, GapBudget, best_margin, gap_budget, loss_of_margin, mean_margins


@st.composite
def problems(draw):
    return UFM(
        draw(st.integers(2, 6)),
        draw(st.integers(1, 5)),
        draw(st.integers(1, 7)),  # any dimension: the bound holds in all of them
        10 ** draw(st.floats(-4.0, 0.5)),
        10 ** draw(st.floats(-4.0, 0.5)),
        draw(st.sampled_from([0.0, 0.1])),
    )


@given(problem=problems(), seed=st.integers(0, 1000), scale=st.sampled_from([0.0, 0.1, 1.0, 5.0]), nn=st.booleans())
@settings(max_examples=80, deadline=None)
def test_pieces_are_nonnegative_and_add_up_to_the_gap(problem, seed, scale, nn):
    W, H, b = problem.random_point(seed, scale)
    H = H.abs() if nn else H
    budget, value = gap_budget(problem, W, H, b, nonnegative=nn), float(problem.objective(W, H, b))
    round_off = 1e-13 * max(1.0, value)
    assert budget.total == pytest.approx(value - problem.lower_bound(nonnegative=nn), abs=10 * round_off)
    assert min(asdict(budget).values()) > -round_off


@pytest.mark.parametrize("nonnegative", [False, True])
@pytest.mark.parametrize("decay", [0.01, 2.0])
def test_every_piece_vanishes_at_the_optimum(decay, nonnegative):
    problem = UFM(4, 3, 5, decay, 0.5 * decay, 0.1)
    best = problem.optimum(nonnegative=nonnegative)
    budget = gap_budget(problem, best.W, best.H, best.b, nonnegative=nonnegative)
    assert max(map(abs, asdict(budget).values())) < 1e-14
    assert problem.lower_bound(nonnegative=nonnegative) == pytest.approx(best.value, abs=1e-15)


def spoiled(W, H, b, how):
    """The optimum with one property of collapse broken."""
    if how == "collapse":  # two samples of one class pushed apart, across the span of the means
        H = H.clone()
        H[0, -1], H[1, -1] = 0.5, -0.5
    if how == "alignment":  # all features turned away from the classifier
        H = H.roll(1, dims=1)
    if how == "balance":
        W, H = 2 * W, H / 2
    if how == "bias":
        b = b + 1.0
    if how == "length":
        W, H = 1.1 * W, 1.1 * H
    return W, H, b


@pytest.mark.parametrize("how", ["collapse", "balance", "bias", "length"])
def test_breaking_one_property_fills_its_piece_alone(how):
    problem = UFM(4, 2, 6, 0.01, 0.02, 0.1)
    best = problem.optimum()
    pieces = asdict(gap_budget(problem, *spoiled(best.W, best.H, best.b, how)))
    assert pieces.pop(how) > 1e-4
    # Moving two samples apart also lengthens the features, which the balance of the two decays notices.
    pieces.pop("balance") if how == "collapse" else None
    assert max(map(abs, pieces.values())) < 1e-13


def test_turning_the_features_fills_the_alignment():
    problem = UFM(4, 2, 6, 0.01, 0.02, 0.1)
    best = problem.optimum()
    assert gap_budget(problem, *spoiled(best.W, best.H, best.b, "alignment")).alignment > 1e-3


def test_a_bias_that_is_not_constant_costs_even_without_decay():
    problem = UFM(3, 2, 3, 0.01, 0.02)
    best = problem.optimum()
    assert gap_budget(problem, best.W, best.H, torch.tensor([1.0, 0, 0]).double()).total > 1e-3
    assert gap_budget(problem, best.W, best.H, best.b + 1).total == pytest.approx(0, abs=1e-14)


def test_too_few_dimensions_leave_unequal_wrong_logits():
    problem = UFM(5, 2, 3, 0.01, 0.01)
    found = problem.solve(0)
    budget = gap_budget(problem, found.W, found.H, found.b)
    assert budget.others > 0.5 * budget.total > 1e-3


def test_orthogonality_is_zero_for_free_features_and_counts_overlap_in_the_orthant():
    problem = UFM(3, 2, 4, 0.01, 0.01)
    W, H, b = problem.random_point(0)
    assert gap_budget(problem, W, H.abs(), b).orthogonality == 0
    assert gap_budget(problem, W, H.abs(), b, nonnegative=True).orthogonality > 1e-3


def test_budget_of_a_margin_of_zero_is_the_gap_to_log_K():
    problem = UFM(5, 2, 4, 0.01, 0.01)
    budget = gap_budget(problem, *problem.random_point(scale=0.0))
    assert budget.length == pytest.approx(math.log(5) - problem.optimum().value, abs=1e-14)
    assert budget.total == pytest.approx(budget.length, abs=1e-14)


def test_mean_margins_and_their_loss_by_hand():
    problem = UFM(3, 1, 3, 0.1, 0.1)
    eye, b = torch.eye(3, dtype=torch.float64), torch.tensor([0.0, 0.0, 3.0]).double()
    # logits: rows of I + b, so the margins are 1 - 3/2, 1 - 3/2 and 4 - 0.
    assert mean_margins(problem, eye, eye, b).tolist() == pytest.approx([-0.5, -0.5, 4.0])
    assert float(loss_of_margin(torch.tensor(1.5).double(), 3)) == pytest.approx(math.log(1 + 2 * math.exp(-1.5)))


def test_bound_does_not_depend_on_the_dimension_and_charges_more_in_the_orthant():
    one, many = UFM(4, 5, 1, 0.01, 0.02), UFM(4, 5, 9, 0.01, 0.02)
    for nonnegative, price in ((False, 3), (True, math.sqrt(12))):
        bound = one.lower_bound(nonnegative=nonnegative)
        assert bound == many.lower_bound(nonnegative=nonnegative) == many.optimum(nonnegative=nonnegative).value
        q = math.sqrt(5 * 0.01 * 0.02)
        best = best_margin(4, q, nonnegative=nonnegative)
        assert best == pytest.approx((bound, many.optimum(nonnegative=nonnegative).margin, price * q), rel=1e-14)


@pytest.mark.parametrize("nonnegative", [False, True])
def test_best_margin_is_the_lowest_of_all_margins(nonnegative):
    s = torch.linspace(0, 40, 400_001, dtype=torch.float64)
    for K, q in ((2, 0.3), (3, 1e-9), (10, 0.05), (4, 0.25), (4, 0.4)):
        value, margin, price = best_margin(K, q, nonnegative=nonnegative)
        every = loss_of_margin(s, K) + price * s
        assert value <= float(every.min()) + 1e-15
        assert margin == pytest.approx(float(s[every.argmin()]), abs=1e-4)  # the grid's step


def test_bad_input_is_refused():
    problem = UFM(3, 2, 4, 0.1, 0.1)
    W, H, b = problem.random_point()
    with pytest.raises(ValueError, match=r"^W must be"):
        gap_budget(problem, W[:2], H, b)
    with pytest.raises(ValueError, match=r"^H must be finite"):
        mean_margins(problem, W, H * math.nan, b)
    with pytest.raises(ValueError, match="H must be >= 0 with nonnegative=True, got a smallest entry of -"):
        gap_budget(problem, W, H, b, nonnegative=True)
    for decays in ((0.0, 0.1), (0.1, 0.0)):
        with pytest.raises(ValueError, match="must be > 0"):
            UFM(3, 2, 4, *decays).lower_bound()
    for margin in (torch.tensor(math.nan), torch.tensor([0.0, math.inf]), torch.ones(2, device="meta"), 1.5):
        with pytest.raises(ValueError, match=r"^margin must be a finite floating tensor"):
            loss_of_margin(margin, 3)
    with pytest.raises(ValueError, match=r"^q must be"):
        best_margin(3, 0.0)
    with pytest.raises(ValueError, match=r"^num_classes must be"):
        loss_of_margin(torch.tensor(1.0), 1)
    assert isinstance(gap_budget(problem, W, H, b), GapBudget)
