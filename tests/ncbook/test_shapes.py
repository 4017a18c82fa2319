"""The best scale of a shape is enclosed, shapes are ordered beyond doubt, and a wrong curve is found."""

import itertools
from dataclasses import dataclass, replace
from fractions import Fraction

import flint
import mpmath
import pytest

from ncbook import _intervals as intervals
from ncbook import _shapes as shapes
from ncbook import deep
from ncbook.deep import DeepUFM


@dataclass(frozen=True)
class Problem:
    num_classes: int
    samples_per_class: int
    layers: int
    decay: float


TEN = Problem(10, 1, 2, 1e-3)
SHAPES = ("simplex ETF", "orthoplex", "circle")


def exact_best_scale(problem: Problem, name: str, digits: int = 30) -> shapes.ExactScale:
    K, n, layers, decay = problem.num_classes, problem.samples_per_class, problem.layers, problem.decay
    return shapes.enclosed(name, K, n, layers, decay, digits=digits)


def best(layers: int) -> dict[str, shapes.ExactScale]:
    return {name: exact_best_scale(replace(TEN, layers=layers), name) for name in SHAPES}


@pytest.mark.parametrize(("layers", "order"), [(2, (0, 1, 2)), (3, (1, 0, 2)), (8, (2, 1, 0))])
def test_the_shapes_are_ordered_beyond_doubt(layers: int, order: tuple[int, ...]) -> None:
    found = best(layers)
    values = [found[SHAPES[i]].value for i in order]
    assert all(a.upper < b.lower for a, b in itertools.pairwise(values))
    assert all(x.value.width < Fraction(1, 10**27) and x.scale.width < Fraction(1, 10**20) for x in found.values())


def test_the_enclosures_hold_what_sixty_digits_say() -> None:
    for K, n, layers, decay in ((10, 1, 2, 1e-3), (6, 3, 3, 2e-3), (4, 2, 5, 1e-3), (2, 1, 2, 0.05), (12, 1, 8, 1e-4)):
        problem = Problem(K, n, layers, decay)
        for name in SHAPES:
            proved = exact_best_scale(problem, name)
            at = reference(problem, name, mpmath.mpf(float(proved.scale.lower)))
            assert proved.value.lower <= at <= proved.value.upper + Fraction(1, 10**20)
            for factor in (0.01, 0.5, 0.999, 1.001, 2, 100):
                away = reference(problem, name, mpmath.mpf(factor * float(proved.scale.lower)))
                assert away > proved.value.upper


def reference(problem: Problem, name: str, scale: mpmath.mpf) -> Fraction:
    """The objective in 60 digits, from the Gram matrix of the shape and its singular values."""
    with mpmath.workdps(60):
        K = problem.num_classes
        if name == "simplex ETF":
            row, singular = [mpmath.mpf(1)] + [-mpmath.mpf(1) / (K - 1)] * (K - 1), [mpmath.mpf(K) / (K - 1)] * (K - 1)
        elif name == "orthoplex":
            row, singular = [mpmath.mpf(1), mpmath.mpf(-1)] + [mpmath.mpf(0)] * (K - 2), [mpmath.mpf(2)] * (K // 2)
        else:
            row = [mpmath.cos(2 * mpmath.pi * j / K) for j in range(K)]
            singular = [mpmath.mpf(K) / 2] * 2 if K > 2 else [mpmath.mpf(2)]
        fit = mpmath.log(sum(mpmath.exp(scale * (x - row[0])) for x in row))
        power, root = mpmath.mpf(2) / problem.layers, mpmath.sqrt(problem.samples_per_class)
        penalty = problem.layers * mpmath.mpf(problem.decay) / 2 * sum((scale * s * root) ** power for s in singular)
        sign, mantissa, exponent, _ = (fit + penalty)._mpf_
    return (-1) ** sign * Fraction(int(mantissa)) * Fraction(2) ** exponent


def test_the_value_shrinks_with_the_digits() -> None:
    coarse, fine = (exact_best_scale(replace(TEN, layers=3), "circle", digits=digits) for digits in (20, 40))
    assert fine.value.width < coarse.value.width / 10**15
    assert coarse.value.lower <= fine.value.lower <= fine.value.upper <= coarse.value.upper


def test_where_nothing_pays_nothing_is_proved() -> None:
    with pytest.raises(ArithmeticError, match="better than zero"):
        exact_best_scale(replace(TEN, decay=1.0, layers=3), "circle")


def test_floating_point_agrees() -> None:
    for layers in (2, 3, 8):
        problem = DeepUFM(10, 1, 10, 1e-3, layers)
        for name, proved in best(layers).items():
            assert deep.exact_best_scale(problem, name) == proved
            found = problem.best_scale(deep.shape_vectors(name, 10), name)
            assert abs(found.value - float(proved.value.lower)) < 1e-14
            assert abs(found.scale / float(proved.scale.lower) - 1) < 1e-6


def test_what_cannot_be_asked_is_refused() -> None:
    for wrong in (DeepUFM(4, 1, 4, 1e-3, 3, relu=True), DeepUFM(4, 1, 4, 1e-3, 3, loss="squared error")):
        with pytest.raises(ValueError, match="problem must have linear layers"):
            deep.exact_best_scale(wrong, "circle")
    with pytest.raises(ValueError, match="name must not be an orthoplex"):
        deep.exact_best_scale(DeepUFM(5, 1, 5, 1e-3, 3), "orthoplex")


def test_the_slopes_are_those_of_the_curve() -> None:
    with intervals.precision(40):
        for name in SHAPES:
            curve = shapes._Curve(name, 10, 1, 3, 1e-3)
            t, step = flint.arb(5), flint.arb("1e-12")
            slope = (curve(t + step) - curve(t - step)) / (2 * step)
            bend = (curve.slope(t + step) - curve.slope(t - step)) / (2 * step)
            assert abs(float((slope - curve.slope(t)).mid())) < 1e-20
            assert abs(float((bend - curve.bend(t)).mid())) < 1e-20


def test_a_penalty_four_per_cent_off_moves_every_value(monkeypatch: pytest.MonkeyPatch) -> None:
    right = best(3)
    penalty = shapes._Curve.penalty
    monkeypatch.setattr(shapes._Curve, "penalty", lambda self, t: penalty(self, t) * 26 / 25)
    problem = replace(TEN, layers=3)
    for name, proved in right.items():
        at = reference(problem, name, mpmath.mpf(float(proved.scale.lower)))
        assert not exact_best_scale(problem, name).value.lower <= at
