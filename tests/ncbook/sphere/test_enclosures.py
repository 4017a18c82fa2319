"""The bound on spheres without rounding is below the closed form everywhere, and meets it at the optimum."""

from fractions import Fraction

import mpmath
import pytest

from ncbook.sphere import SphericalUFM, exact_lower_bound


def closed_form(problem: SphericalUFM) -> Fraction:
    """``log(1 + (K - 1) exp(-K tau/(K - 1)))`` in 60 digits."""
    with mpmath.workdps(60):
        K, tau = problem.num_classes, mpmath.mpf(problem.temperature)
        sign, mantissa, exponent, _ = mpmath.log1p((K - 1) * mpmath.exp(-K * tau / (K - 1)))._mpf_
    return (-1) ** sign * Fraction(int(mantissa)) * Fraction(2) ** exponent


@pytest.mark.parametrize(("K", "n", "d", "tau"), [(2, 1, 2, 1.0), (3, 2, 3, 2.0), (5, 3, 4, 8.0), (10, 100, 9, 5.0)])
def test_the_optimum_is_certified(K: int, n: int, d: int, tau: float) -> None:
    problem = SphericalUFM(K, n, d, tau)
    best = problem.optimum()
    bound = exact_lower_bound(problem, best.W, best.H).lower_bound
    assert 0 <= closed_form(problem) - bound.lower < Fraction(1, 10**13)


def test_no_point_proves_more_than_the_minimum() -> None:
    for seed in range(50):
        problem = SphericalUFM(2 + seed % 5, 1 + seed % 3, 6, 0.5 + seed % 7)
        bound = exact_lower_bound(problem, *problem.random_point(seed)).lower_bound
        assert bound.lower <= closed_form(problem)


def test_the_enclosure_shrinks_with_the_digits() -> None:
    problem = SphericalUFM(4, 2, 5, 3.0)
    point = problem.random_point(0)
    coarse, fine = (exact_lower_bound(problem, *point, digits=digits).lower_bound for digits in (20, 40))
    assert fine.width < coarse.width / 10**15


def test_bad_input_is_named() -> None:
    problem = SphericalUFM(3, 1, 3, 2.0)
    W, H = problem.random_point(0)
    with pytest.raises(ValueError, match="W"):
        exact_lower_bound(problem, 2 * W, H)
    with pytest.raises(ValueError, match="digits"):
        exact_lower_bound(problem, W, H, digits=2)
