"""Enclosures hold the number, floats round outwards, and pivots count eigenvalues."""

import math
from fractions import Fraction

import flint
import numpy as np
import pytest

from ncbook import _intervals as intervals


def test_floats_round_away_from_the_number() -> None:
    third = Fraction(1, 3)
    down, up = intervals.round_down(third), intervals.round_up(third)
    assert Fraction(down) < third < Fraction(up) and math.nextafter(down, 1) == up
    assert intervals.round_down(Fraction(1, 2)) == intervals.round_up(Fraction(1, 2)) == 0.5


def test_precision_is_put_back_even_after_an_error() -> None:
    before = flint.ctx.prec
    with pytest.raises(ZeroDivisionError), intervals.precision(50):
        assert flint.ctx.prec > 160
        raise ZeroDivisionError
    assert flint.ctx.prec == before
    with pytest.raises(ValueError, match="digits"), intervals.precision(3):
        pass


def test_pivots_count_the_eigenvalues() -> None:
    rng = np.random.default_rng(0)
    for size in (1, 2, 5, 9):
        A = rng.standard_normal((size, size))
        A = A + A.T
        with intervals.precision(30):
            found = intervals.inertia([[flint.arb(x) for x in row] for row in A.tolist()])
        assert found == (int((np.linalg.eigvalsh(A) < 0).sum()), int((np.linalg.eigvalsh(A) > 0).sum()))


def test_a_pivot_that_may_be_zero_decides_nothing() -> None:
    with intervals.precision(30):
        wide = flint.arb(0, 1e-3)  # the ball around 0 of radius 0.001
        assert intervals.inertia([[wide]]) is None
        one = flint.arb(1)
        assert intervals.inertia([[one, one], [one, one]]) is None  # singular
        assert not intervals.is_positive_definite([[one, one], [one, one]])


def test_an_enclosure_that_is_not_finite_is_refused() -> None:
    with intervals.precision(30), pytest.raises(ArithmeticError, match="digits"):
        intervals.enclose(flint.arb(0).log())
