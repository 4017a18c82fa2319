"""Numbers without rounding: enclosures of real numbers, and the definiteness of a matrix, in Arb's ball arithmetic.

A float64 is taken as the exact fraction it is. Every result is an interval that provably holds the real number, and
shrinks as ``digits`` grows. ``python-flint`` is loaded on first use.

Source: Johansson (2017), "Arb: efficient arbitrary-precision midpoint-radius interval arithmetic".
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from types import ModuleType
from typing import Any

from ncbook import checks
from ncbook._lazy import optional


@dataclass(frozen=True)
class Enclosure:
    """A real number lies between ``lower`` and ``upper``: both ends are exact fractions."""

    lower: Fraction
    upper: Fraction

    @property
    def width(self) -> Fraction:
        return self.upper - self.lower

    def __contains__(self, number: Fraction | float) -> bool:
        return self.lower <= Fraction(number) <= self.upper

    def __sub__(self, other: Enclosure) -> Enclosure:
        return Enclosure(self.lower - other.upper, self.upper - other.lower)


def flint() -> ModuleType:
    """Return python-flint, or raise ImportError that says how to install it."""
    return optional("flint")


@contextmanager
def precision(digits: int) -> Iterator[ModuleType]:
    """Work with ``digits`` decimal digits, and leave python-flint's own setting as it was."""
    if checks.integer("digits", digits, minimum=15) > 10_000:
        raise ValueError(f"digits must be at most 10000, got {checks.shown(digits)}")
    module = flint()
    before, module.ctx.prec = module.ctx.prec, math.ceil(digits * math.log2(10)) + 8
    try:
        yield module
    finally:
        module.ctx.prec = before


def rational(number: float) -> Any:
    """Return a finite float as the exact ``fmpq`` it is."""
    return flint().fmpq(*float(number).as_integer_ratio())


def enclose(ball: Any) -> Enclosure:
    """Return the end points of an Arb ball; raise ArithmeticError where it is not finite."""
    if not ball.is_finite():
        raise ArithmeticError(f"the enclosure {ball} is not finite: raise digits")
    return Enclosure(_fraction(ball.lower()), _fraction(ball.upper()))


def _fraction(point: Any) -> Fraction:
    """An Arb number of radius zero as a fraction. ``lower`` and ``upper`` round outwards and are such numbers."""
    mantissa, exponent = (int(x) for x in point.man_exp())
    return Fraction(mantissa) * Fraction(2) ** exponent


def round_down(number: Fraction) -> float:
    """Return the largest float that is not above ``number``."""
    nearest = float(number)
    return nearest if Fraction(nearest) <= number else math.nextafter(nearest, -math.inf)


def round_up(number: Fraction) -> float:
    """Return the smallest float that is not below ``number``."""
    return -round_down(-number)


def inertia(matrix: list[list[Any]]) -> tuple[int, int] | None:
    """Return how many (negative, positive) eigenvalues a symmetric matrix of balls has, or None where undecided.

    ``L D L'`` without exchanges: by Sylvester's law the signs of the pivots are those of the eigenvalues. A pivot whose
    ball holds zero decides nothing. Only the lower triangle is read.
    """
    rows = [list(row) for row in matrix]
    negative = 0
    for k in range(len(rows)):
        pivot = rows[k][k]
        if not (pivot > 0 or pivot < 0):  # a ball compares as less or greater only where every number in it does
            return None
        negative += bool(pivot < 0)
        for i in range(k + 1, len(rows)):
            factor = rows[i][k] / pivot
            for j in range(k + 1, i + 1):
                rows[i][j] -= factor * rows[j][k]
    return negative, len(rows) - negative


def is_positive_definite(matrix: list[list[Any]]) -> bool:
    """Return True only where it is proved that every symmetric matrix in these balls is positive definite."""
    return inertia(matrix) == (0, len(matrix))
