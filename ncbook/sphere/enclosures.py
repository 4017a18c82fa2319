"""A lower bound on the normalised problem without rounding, from any point: rational and ball arithmetic.

With any probabilities ``P``, ``Y = (P - one-hot)/N`` and positive numbers ``a (K,)``, ``c (N,)`` for which

    [ diag(a)   tau Y'  ]
    [ tau Y     diag(c) ]   has no negative eigenvalue,

unit rows give ``2 tau <Y, H W'> >= -sum(a) - sum(c)``, so that every point has a loss of at least
``mean entropy(p_i) - (sum(a) + sum(c))/2``. At a critical point with a non-negative ``S`` the choice ``a = -alpha``,
``c = -beta`` of chapter 6 makes this the loss itself. The Schur complement leaves a K x K matrix to decide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ncbook import checks
from ncbook._intervals import Enclosure, enclose, flint, is_positive_definite, precision, rational
from ncbook.sphere.model import SphericalUFM


@dataclass(frozen=True)
class ExactBound:
    """A proved lower bound on the loss of every point, as an interval that holds the dual value."""

    lower_bound: Enclosure


def exact_lower_bound(problem: SphericalUFM, W: Tensor, H: Tensor, *, digits: int = 30) -> ExactBound:
    """Return a lower bound on the global minimum that is proved, rounding included.

    Args:
        problem: the problem. W: unit rows (K, d). H: unit rows (N, d). Any point serves; critical ones serve best.
        digits: of the arithmetic, at least 15.

    Raises:
        ValueError: for a wrong shape, a row that is not a unit vector, or ``digits`` below 15.
        ArithmeticError: where no shift of the multipliers is proved to fit.
        ImportError: without python-flint.

    Source: the dual of the semidefinite relaxation (Burer and Monteiro, 2003), chapter 6.
    """
    checks.instance("problem", problem, SphericalUFM)
    Y = problem.residual(W, H).detach().double()  # also checks the point
    W, H = W.detach().double(), H.detach().double()
    rows, features = problem.temperature * (Y.T @ H).norm(dim=1), problem.temperature * (Y @ W).norm(dim=1)
    off = (problem.num_samples * Y).clamp(min=0).scatter(1, problem.labels[:, None], 0.0)
    features = features.clamp(min=2.0**-200)
    shift = _shift(problem, off, rows, features)
    with precision(digits):
        exact = [[rational(x) for x in row] for row in off.tolist()]
        c = [rational(x) for x in features.tolist()]
        complement = _complement(problem, exact, c)
        for _ in range(40):
            a = [rational(x) + rational(shift) for x in rows.tolist()]
            ball = flint().arb
            matrix = [
                [(ball(a[i]) if i == j else ball(0)) - x for j, x in enumerate(r)] for i, r in enumerate(complement)
            ]
            if is_positive_definite(matrix):
                return ExactBound(enclose(_entropy(problem, exact) - ball(sum(a) + sum(c)) / 2))
            shift = 4 * shift
    raise ArithmeticError(f"no shift up to {shift:.3g} is proved to fit: raise digits")


def _shift(problem: SphericalUFM, off: Tensor, rows: Tensor, features: Tensor) -> float:
    """A first guess, in floating point, of what must be added to ``rows``."""
    Y = off.scatter(1, problem.labels[:, None], -off.sum(dim=1, keepdim=True)) / problem.num_samples
    complement = problem.temperature**2 * (Y.T / features) @ Y
    largest = float(torch.linalg.eigvalsh(complement - torch.diag(rows))[-1])
    return max(largest, 0.0) + 2.0**-48 * float(rows.max() + complement.diagonal().max())


def _complement(problem: SphericalUFM, off: list[list[Any]], c: list[Any]) -> list[list[Any]]:
    """``tau^2 Y' diag(c)^-1 Y`` in balls: exact fractions would grow with every sample."""
    ball, ball_mat = flint().arb, flint().arb_mat
    Y = [list(row) for row in off]
    for row, label in zip(Y, problem.labels.tolist()):
        row[label] = -sum(row)
    factor = rational(problem.temperature) ** 2 / problem.num_samples**2
    divided = ball_mat([[ball(y * factor / divisor) for y in row] for row, divisor in zip(Y, c)])
    return (ball_mat([[ball(y) for y in row] for row in Y]).transpose() * divided).tolist()


def _entropy(problem: SphericalUFM, off: list[list[Any]]) -> Any:
    """The mean entropy of the answers as a ball."""
    ball = flint().arb
    total = ball(0)
    for row in off:
        answers = [x for x in row if x]
        answers.append(1 - sum(answers))
        total -= sum((ball(p) * ball(p).log() for p in answers), ball(0))
    return total / problem.num_samples
