"""The best scale of a shape of logits without rounding: where the global minimum lies, and how low it is.

For the logits ``t`` times a shape's Gram matrix the objective is ``fit(t) + penalty(t)``, the first falling in ``t``,
the second rising. So ``fit(b) + penalty(a)`` is below it all over ``[a, b]``: pieces where this exceeds a value that is
reached elsewhere are left out, the others halved, until the second derivative is positive on what is left. There the
sign of the first derivative says on which side the minimum lies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ncbook._intervals import Enclosure, enclose, flint, precision


@dataclass(frozen=True)
class ExactScale:
    """A shape at its best: every best ``scale`` lies in an interval, and so does the ``value`` there."""

    scale: Enclosure
    value: Enclosure


def enclosed(name: str, classes: int, samples: int, layers: int, decay: float, *, digits: int) -> ExactScale:
    """Return intervals that provably hold the best multiple of a shape's Gram matrix, and the objective there.

    Args:
        name: "simplex ETF", "orthoplex" (an even number of classes) or "circle".
        classes: K. samples: n of each class. layers: L >= 2 factors, each with the given ``decay``.
        digits: of the arithmetic, at least 15.

    Raises:
        ArithmeticError: where no scale is proved to be better than zero.
        ImportError: without python-flint.

    Source: branch and bound; the least penalty of the chapter on depth.
    """
    with precision(digits):
        curve = _Curve(name, classes, samples, layers, decay)
        low, high = curve.narrow()
        for _ in range(4 * digits):
            middle = ((low + high) / 2).mid()
            slope = curve.slope(middle)
            if not (slope > 0 or slope < 0):
                break
            low, high = (low, middle) if slope > 0 else (middle, high)
        value = Enclosure(enclose(curve.below(low, high)).lower, enclose(curve(low)).upper)
        return ExactScale(enclose(low.union(high)), value)


class _Curve:
    """``log(1 + sum of e^(-t m)) + L decay/2 sum of (t s)^(2/L)`` with a shape's margins ``m`` and singular values."""

    def __init__(self, name: str, classes: int, samples: int, layers: int, decay: float) -> None:
        arb, K = flint().arb, classes
        if name == "simplex ETF":
            margins, singular, rank = [arb(K) / (K - 1)] * (K - 1), arb(K) / (K - 1), K - 1
        elif name == "orthoplex":
            margins, singular, rank = [arb(1)] * (K - 2) + [arb(2)], arb(2), K // 2
        else:  # two vectors on a circle have one dimension between them
            margins = [1 - (2 * arb(j) / K).cos_pi() for j in range(1, K)]
            singular, rank = (arb(K) / 2, 2) if K > 2 else (arb(2), 1)
        self.margins, self.power, self.zero = margins, arb(2) / layers, arb(K).log()
        self.unit = arb(decay) * layers / 2 * rank * (singular * arb(samples).sqrt()) ** self.power

    def weights(self, t: Any) -> list[Any]:
        """The probabilities of the other classes."""
        terms = [(-t * m).exp() for m in self.margins]
        total = 1 + sum(terms)
        return [x / total for x in terms]

    def fit(self, t: Any) -> Any:
        return (1 + sum((-t * m).exp() for m in self.margins)).log()

    def penalty(self, t: Any) -> Any:
        return self.unit * t**self.power if t > 0 else flint().arb(0)

    def __call__(self, t: Any) -> Any:
        return self.fit(t) + self.penalty(t)

    def below(self, low: Any, high: Any) -> Any:
        return self.fit(high) + self.penalty(low)

    def slope(self, t: Any) -> Any:
        fit = -sum(w * m for w, m in zip(self.weights(t), self.margins))
        return fit + self.unit * self.power * t ** (self.power - 1)

    def bend(self, t: Any) -> Any:
        """The second derivative. The first term is a variance: of the margins, and 0 for the class itself."""
        w = self.weights(t)
        mean = sum(p * m for p, m in zip(w, self.margins))
        variance = sum(p * (m - mean) * (m - mean) for p, m in zip(w, self.margins)) + (1 - sum(w)) * mean * mean
        return variance + self.unit * self.power * (self.power - 1) * t ** (self.power - 2)

    def narrow(self) -> tuple[Any, Any]:
        """Return an interval that holds every global minimum, on which the curve is strictly convex."""
        arb = flint().arb
        best, pieces = self.zero, [(arb(0), arb(1))]
        while not self.penalty(pieces[-1][1]) > best:  # beyond, the penalty alone costs more than nothing does
            pieces.append((pieces[-1][1], 2 * pieces[-1][1]))
        for _ in range(60):
            halves = []
            for low, high in pieces:
                middle = (low + high) / 2
                best = _lesser(best, self(middle))
                halves += [(low, middle), (middle, high)]
            pieces = [(low, high) for low, high in halves if not self.below(low, high) > best]
            low, high = pieces[0][0], pieces[-1][1]
            if low > 0 and self.bend(low.union(high)) > 0 and self.slope(low) < 0 and self.slope(high) > 0:
                return low, high
            if len(pieces) > 20_000:
                break
        raise ArithmeticError(f"no scale is proved to be better than zero, which costs {float(self.zero):.4g}")


def _lesser(a: Any, b: Any) -> Any:
    """An upper bound of the smaller of two values, as one of them."""
    return a if a.upper() < b.upper() else b
