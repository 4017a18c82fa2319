"""Certificates without rounding hold what 60 digits say, shrink with the digits, and never exceed the minimum."""

import random
from fractions import Fraction

import mpmath
import pytest
import torch

from ncbook import _intervals as intervals
from ncbook._landscape import off_class
from ncbook.ufm import UFM, certificate, enclosures, exact_certificate


@pytest.fixture(autouse=True)
def sixty_digits():
    with mpmath.workdps(60):
        yield


def fraction(x: mpmath.mpf) -> Fraction:
    sign, mantissa, exponent, _ = x._mpf_
    return (-1) ** sign * Fraction(int(mantissa)) * Fraction(2) ** exponent


def instances(count: int, seed: int = 0):
    rng = random.Random(seed)
    for i in range(count):
        K, n, d = rng.randint(2, 6), rng.randint(1, 4), rng.randint(1, 7)
        lw, lh, lb = (10 ** rng.uniform(-4, -1) for _ in range(3))
        problem = UFM(K, n, d, lw, lh, rng.choice([0.0, lb]))
        yield problem, problem.random_point(i, rng.choice([0.1, 1.0, 3.0]))


def objective(problem: UFM, W, H, b) -> mpmath.mpf:
    """The objective in 60 digits, written out anew."""
    W, H, b = W.tolist(), H.tolist(), b.tolist()
    total = mpmath.mpf(0)
    for i, h in enumerate(H):
        z = [mpmath.fdot(w, h) + shift for w, shift in zip(W, b)]
        total += mpmath.log(sum(map(mpmath.exp, z))) - z[i // problem.samples_per_class]
    squares = [sum(mpmath.mpf(x) ** 2 for row in M for x in row) for M in (W, H, [b])]
    decays = (problem.weight_decay, problem.feature_decay, problem.bias_decay)
    return total / len(H) + sum(mpmath.mpf(decay) * s for decay, s in zip(decays, squares)) / 2


def minimum(problem: UFM) -> mpmath.mpf:
    """The bound of chapter 3 in 60 digits; with d < K - 1 the minimum is above it."""
    K = problem.num_classes
    q = mpmath.sqrt(mpmath.mpf(problem.weight_decay) * problem.feature_decay * problem.samples_per_class)
    if K * q >= 1:
        return mpmath.log(K)
    return -sum(p * mpmath.log(p) for p in [1 - (K - 1) * q] + (K - 1) * [q])


def test_enclosures_hold_sixty_digit_values_on_200_instances() -> None:
    for problem, point in instances(200):
        proved = exact_certificate(problem, *point)
        assert fraction(objective(problem, *point)) in proved.value
        assert proved.value.width < Fraction(1, 10**25)
        assert proved.lower_bound.lower <= fraction(minimum(problem))
        assert proved.gap.lower > 0


def test_the_dual_value_holds_sixty_digit_values() -> None:
    rng = random.Random(1)
    for problem, _ in instances(50, seed=1):
        N, K = problem.num_samples, problem.num_classes
        off = [[0.0 if j == y else rng.random() / (2 * K) for j in range(K)] for y in problem.labels.tolist()]
        scale = rng.random()
        with intervals.precision(30):
            exact = [[intervals.rational(x) for x in row] for row in off]
            found = intervals.enclose(enclosures._dual_value(problem, exact, intervals.rational(scale)))
        total, out = mpmath.mpf(0), [mpmath.mpf(0)] * K
        for row, y in zip(off, problem.labels.tolist()):
            p = [mpmath.mpf(x) * scale for x in row]
            p[y] = 1 - sum(p)
            total -= sum(x * mpmath.log(x) for x in p)
            out = [o + x - (j == y) for j, (o, x) in enumerate(zip(out, p))]
        price = sum((o / N) ** 2 for o in out) / (2 * mpmath.mpf(problem.bias_decay)) if problem.bias_decay else 0
        assert fraction(total / N - price) in found


def test_enclosures_shrink_with_the_digits() -> None:
    for problem, point in instances(10, seed=2):
        coarse, fine = (exact_certificate(problem, *point, digits=digits) for digits in (20, 40))
        for a, b in ((coarse.value, fine.value), (coarse.lower_bound, fine.lower_bound)):
            assert b.width < a.width / 10**15
            assert a.lower <= b.lower <= b.upper <= a.upper  # both enclose one number


def test_without_bias_decay_the_answers_are_balanced_exactly() -> None:
    problem = UFM(5, 3, 4, 1e-3, 1e-2)
    off = torch.rand(15, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) / 10
    exact = [[intervals.rational(x) for x in row] for row in off.scatter(1, problem.labels[:, None], 0.0).tolist()]
    assert any(enclosures._imbalance(problem, exact))
    enclosures._balance(problem, exact)
    assert not any(enclosures._imbalance(problem, exact))
    assert all(x >= 0 for row in exact for x in row)


def test_an_infeasible_multiplier_is_refused() -> None:
    problem = UFM(3, 2, 2, 1e-2, 1e-2)
    best = problem.optimum()
    off = off_class(best.H @ best.W.T, problem.labels)
    with intervals.precision(30):
        M = enclosures._gram(problem, [[intervals.rational(x) for x in row] for row in off.tolist()])
        assert enclosures._feasible(problem, M, intervals.rational(0.999))
        assert not enclosures._feasible(problem, M, intervals.rational(1.001))


def test_the_optimum_of_ten_classes_is_certified_to_fourteen_digits() -> None:
    problem = UFM(10, 100, 9, 5e-3, 1e-5)
    best = problem.optimum()
    proved = exact_certificate(problem, best.W, best.H, best.b)
    assert proved.lower_bound.lower <= fraction(minimum(problem)) <= proved.value.upper
    assert proved.gap.upper < Fraction(1, 10**14)


def test_certificate_in_exact_mode_rounds_outwards() -> None:
    for problem, point in instances(20, seed=3):
        floats, proved = certificate(problem, *point, exact=True), exact_certificate(problem, *point)
        assert Fraction(floats.value) >= proved.value.upper
        assert Fraction(floats.lower_bound) <= max(proved.lower_bound.lower, 0)
        assert Fraction(floats.gap) >= proved.gap.upper
