"""Tests of ncbook.shallow.separable_data: the margins, the generators, and the greedy subset."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ncbook import shallow
from ncbook.etf import simplex_etf


def brute_force_margins(X: torch.Tensor, y: torch.Tensor) -> tuple[float, float]:
    same, different = [], []
    for i in range(len(X)):
        for j in range(i):
            cosine = float(X[i] @ X[j]) / (float(X[i].norm()) * float(X[j].norm()))
            (same if y[i] == y[j] else different).append(cosine)
    return min(same), -max(different)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_separability_agrees_with_a_loop_over_pairs(seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    X = torch.randn(9, 4, generator=g, dtype=torch.float64)
    y = torch.arange(9) % 3
    # Two ways to round the same cosine: a few units in the last place.
    assert shallow.separability(X, y) == pytest.approx(brute_force_margins(X, y), abs=1e-14)


@given(
    K=st.integers(2, 6),
    n=st.integers(2, 12),
    mu_s=st.floats(0.05, 0.6),
    share=st.floats(0.05, 0.99),
    seed=st.integers(0, 999),
)
@settings(max_examples=30, deadline=None)
def test_orthogonal_data_has_exactly_the_margins_asked_for(
    K: int, n: int, mu_s: float, share: float, seed: int
) -> None:
    mu_d = share * (1 + mu_s) / (2 * (K - 1))
    X, y = shallow.orthogonal_data(K, n, 3 * K, mu_s, mu_d, norms=(0.5, 2.0), seed=seed)
    assert X.shape == (K * n, 3 * K) and torch.equal(y.bincount(), torch.full((K,), n))
    assert shallow.separability(X, y) == pytest.approx((mu_s, mu_d), abs=1e-12)
    lengths = X.norm(dim=1)
    assert float(lengths.min()) >= 0.5 - 1e-12 and float(lengths.max()) <= 2.0 + 1e-12


def test_a_simplex_etf_attains_the_largest_possible_margin_between_classes() -> None:
    for K in (2, 3, 5):
        margins = shallow.separability(simplex_etf(K), torch.arange(K))
        assert margins.mu_d == pytest.approx(1 / (K - 1), abs=1e-14)


@given(K=st.integers(2, 6), seed=st.integers(0, 999))
@settings(max_examples=30, deadline=None)
def test_no_data_exceed_the_largest_margin_between_classes(K: int, seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    X = torch.randn(2 * K, 8, generator=g, dtype=torch.float64)
    assert shallow.separability(X, torch.arange(2 * K) % K).mu_d <= 1 / (K - 1) + 1e-12


def test_orthogonal_data_are_reproducible_and_depend_on_the_seed() -> None:
    first, again, other = (shallow.orthogonal_data(3, 4, 9, 0.2, 0.1, seed=s)[0] for s in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_orthogonal_data_say_how_much_room_there_is() -> None:
    with pytest.raises(ValueError, match=r"mu_d must be at most .* = 0\.1833 for 4 classes"):
        shallow.orthogonal_data(4, 5, 12, 0.1, 0.3)


@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("spread", [0.0, 5.0, 14.0, 30.0])
def test_planar_data_have_the_margins_of_their_fans(K: int, spread: float) -> None:
    X, y = shallow.planar_data(K, 6, spread, norms=(0.5, 1.5), seed=3)
    wide = math.cos(math.radians(2 * spread)), -math.cos(math.radians(360 / K - 2 * spread))
    assert shallow.separability(X, y) == pytest.approx(wide, abs=1e-12)


def test_violations_count_pairs_on_the_wrong_side() -> None:
    X = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0], [1.0, -2.0]], dtype=torch.float64)
    found = shallow.violations(X, torch.tensor([0, 0, 1, 1]))
    # Same class: one orthogonal pair and one at +1/sqrt(10). Different classes: -, +, -, -.
    assert found.same == 0.5 and found.different == 0.25
    assert found.separability.mu_s == 0.0 and found.separability.mu_d < 0


def test_a_class_of_one_sample_has_no_pair_to_violate() -> None:
    X = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    assert shallow.violations(X, torch.tensor([0, 1])) == shallow.Violations(shallow.Separability(1.0, 1.0), 0.0, 0.0)


def test_centring_brings_non_negative_images_nearer_to_separability() -> None:
    from sklearn.datasets import load_digits

    data, target = load_digits(n_class=3, return_X_y=True)
    X, y = torch.from_numpy(data), torch.from_numpy(target)
    before, after = shallow.violations(X, y), shallow.violations(shallow.centred(X), y)
    assert before.different == 1.0 and before.same == 0.0
    assert 0 < after.different < 0.25 and 0 < after.same < 0.15
    assert float(shallow.centred(X).mean(dim=0).abs().max()) < 1e-12


def test_separable_subset_is_separable_and_keeps_every_class() -> None:
    from sklearn.datasets import load_digits

    data, target = load_digits(n_class=3, return_X_y=True)
    X, y = shallow.centred(torch.from_numpy(data)), torch.from_numpy(target)
    kept = shallow.separable_subset(X, y)
    margins = shallow.separability(X[kept], y[kept])
    assert margins.mu_s > 0 and margins.mu_d > 0
    assert int(y[kept].bincount(minlength=3).min()) > 20


def test_separable_subset_leaves_separable_data_alone() -> None:
    X, y = shallow.orthogonal_data(3, 5, 9, 0.3, 0.1)
    assert torch.equal(shallow.separable_subset(X, y), torch.arange(15))


def test_separable_subset_reports_a_lost_class() -> None:
    # Both samples of class 1 conflict with all of class 0, which has the first turn.
    X = torch.tensor([[1.0, 0.1], [1.0, -0.1], [1.0, 0.2], [1.0, 0.0], [1.0, 0.3]], dtype=torch.float64)
    with pytest.raises(ValueError, match=r"none of \[1\]"):
        shallow.separable_subset(X, torch.tensor([0, 0, 0, 1, 1]))


GOOD_X = torch.eye(4, dtype=torch.float64)
GOOD_Y = torch.tensor([0, 0, 1, 1])


@pytest.mark.parametrize("function", [shallow.separability, shallow.violations, shallow.separable_subset])
@pytest.mark.parametrize(
    ("inputs", "labels", "message"),
    [
        (GOOD_X[0], GOOD_Y, "inputs must be"),
        (GOOD_X * math.nan, GOOD_Y, "inputs must be finite"),
        (GOOD_X * torch.tensor([[1.0], [0.0], [1.0], [1.0]]), GOOD_Y, "no zero row, got one at index 1"),
        (GOOD_X, GOOD_Y[:3], "labels must have one entry per sample"),
        (GOOD_X, torch.zeros(4, dtype=torch.long), "at least two classes"),
    ],
)
def test_bad_data_are_refused(function, inputs, labels, message) -> None:
    with pytest.raises(ValueError, match=message):
        function(inputs, labels)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_classes": 1}, "num_classes"),
        ({"samples_per_class": 1}, "samples_per_class"),
        ({"input_dim": 8}, "input_dim"),
        ({"mu_s": 1.0}, "mu_s must be < 1"),
        ({"mu_s": 0.0}, "mu_s must be a finite number > 0"),
        ({"mu_d": -0.1}, "mu_d"),
        ({"norms": (2.0, 1.0)}, "norms"),
        ({"norms": (0.0, 1.0)}, "norms"),
        ({"seed": -1}, "seed"),
    ],
)
def test_orthogonal_data_refuse_bad_arguments(change, message) -> None:
    good = {"num_classes": 3, "samples_per_class": 4, "input_dim": 9, "mu_s": 0.2, "mu_d": 0.1}
    with pytest.raises(ValueError, match=message):
        shallow.orthogonal_data(**{**good, **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [({"num_classes": 4}, "2 or 3"), ({"spread": 61.0}, "spread must be at most 60"), ({"spread": -1.0}, "spread")],
)
def test_planar_data_refuse_bad_arguments(change, message) -> None:
    with pytest.raises(ValueError, match=message):
        shallow.planar_data(**{"num_classes": 3, "samples_per_class": 4, "spread": 5.0, **change})


def test_centred_refuses_a_vector() -> None:
    with pytest.raises(ValueError, match="inputs must be"):
        shallow.centred(torch.zeros(3))
