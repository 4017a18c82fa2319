"""A certificate without rounding: the bound of chapter 4 in rational and ball arithmetic.

The point and the decays are the float64 numbers that they are. The multiplier is a matrix of exact fractions, made
from the point's answers; that it is feasible is decided by an ``L D L'`` in balls; its dual value is enclosed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ncbook._intervals import Enclosure, enclose, flint, is_positive_definite, precision, rational
from ncbook._landscape import off_class, with_labels
from ncbook.ufm.model import UFM, need_cross_entropy, need_free_features
from ncbook.ufm.multipliers import best_bias
from ncbook.ufm.points import Point, prepare


@dataclass(frozen=True)
class ExactCertificate:
    """What one point proves, as intervals: the minimum lies between ``lower_bound.lower`` and ``value.upper``."""

    value: Enclosure  # the objective at the point
    lower_bound: Enclosure  # the dual value of a feasible multiplier: at most the minimum
    gap: Enclosure  # value - lower_bound


def exact_certificate(problem: UFM, W: Tensor, H: Tensor, b: Tensor, *, digits: int = 30) -> ExactCertificate:
    """Return a lower bound on the global minimum that is proved, rounding included.

    Args:
        problem: the model; both ``weight_decay`` and ``feature_decay`` must be positive. Any ``feature_dim``.
        W: classifier (K, d). H: features (N, d), ordered by class. b: bias (K,).
        digits: of the arithmetic, at least 15. The enclosures shrink with it; the gap keeps what the point leaves.

    Raises:
        ValueError: as for ``certificate``, or for ``digits`` below 15.
        ImportError: without python-flint.

    Source: the dual of the nuclear-norm problem, chapter 4.
    """
    W, H, b = point = prepare(problem, W, H, b)
    need_cross_entropy(problem, "exact_certificate")
    need_free_features(problem, "exact_certificate")
    with precision(digits):
        value = _value(problem, point)
        off = off_class(H @ W.T + best_bias(problem, H @ W.T, b), problem.labels)
        exact = [[rational(x) for x in row] for row in off.tolist()]
        if problem.bias_decay == 0:
            _balance(problem, exact)
        candidates = [_dual_value(problem, exact, scale) for scale in _scales(problem, off, exact)]
        best = max(candidates, key=lambda ball: float(ball.lower()))
        return ExactCertificate(enclose(value), enclose(best), enclose(value - best))


def _value(problem: UFM, point: Point) -> Any:
    """The objective as a ball."""
    arb, arb_mat = flint().arb, flint().arb_mat
    W, H, b = (t.tolist() for t in point)
    logits = (arb_mat(H) * arb_mat(W).transpose()).tolist()
    total = arb(0)
    for row, label in zip(logits, problem.labels.tolist()):
        right = row[label] + b[label]
        total += sum(((z + shift - right).exp() for z, shift in zip(row, b)), arb(0)).log()
    decays = zip((problem.weight_decay, problem.feature_decay, problem.bias_decay), point)
    decay_cost = sum((arb(decay) * _square(t) for decay, t in decays), arb(0))
    return total / problem.num_samples + decay_cost / 2


def _square(tensor: Tensor) -> Any:
    arb = flint().arb
    return sum((arb(x) * arb(x) for x in tensor.reshape(-1).tolist()), arb(0))


def _balance(problem: UFM, off: list[list[Any]]) -> None:
    """Raise a few off-class answers so that as much leaves each class as arrives in it: ``Y'1 = 0`` exactly.

    Raising the answer ``j`` of a sample of class ``k`` moves its amount from the balance of ``k`` to that of ``j``.
    """
    first = [problem.labels.tolist().index(k) for k in range(problem.num_classes)]
    left = [-x for x in _imbalance(problem, off)]
    while any(left):
        giver, taker = left.index(min(left)), left.index(max(left))
        amount = min(-left[giver], left[taker])
        off[first[giver]][taker] += amount
        left[giver] += amount
        left[taker] -= amount


def _imbalance(problem: UFM, off: list[list[Any]]) -> list[Any]:
    """``N Y'1``: what arrives in each class minus what leaves it."""
    columns = [sum(row[k] for row in off) for k in range(problem.num_classes)]
    for row, label in zip(off, problem.labels.tolist()):
        columns[label] -= sum(row)
    return columns


def _scales(problem: UFM, off: Tensor, exact: list[list[Any]]) -> list[Any]:
    """Fractions ``t`` for which ``t Y`` is proved feasible: as the point has it where that fits, and the largest."""
    largest = max(sum(row) for row in exact)
    if largest == 0:
        return [rational(1.0)]
    sigma = float(
        torch.linalg.matrix_norm(with_labels(off, problem.labels), 2)
    )  # a guess: what counts is checked below
    guess = problem.num_samples * problem.joint_decay / sigma
    room = 1 - 2.0**-20
    slack, M = 2.0**-51, _gram(problem, exact)
    while slack < 1:
        fits = min(rational(guess * (1 - slack)), rational(room) / largest)
        scales = {min(rational(1.0), fits), fits}
        if all(_feasible(problem, M, scale) for scale in scales):
            return sorted(scales)
        slack *= 4
    return [rational(0.0)]


def _gram(problem: UFM, off: list[list[Any]]) -> list[list[Any]]:
    """``N^2 Y'Y`` in exact fractions."""
    fmpq_mat = flint().fmpq_mat
    rows = [list(row) for row in off]
    for row, label in zip(rows, problem.labels.tolist()):
        row[label] = -sum(row)
    Y = fmpq_mat(rows)
    return (Y.transpose() * Y).tolist()


def _feasible(problem: UFM, gram: list[list[Any]], scale: Any) -> bool:
    """Whether it is proved that ``lambda_W lambda_H N^2 I - scale^2 N^2 Y'Y`` is positive definite."""
    arb = flint().arb
    top = rational(problem.weight_decay) * rational(problem.feature_decay) * problem.num_samples**2
    rest = [[(top if i == j else 0) - scale * scale * x for j, x in enumerate(row)] for i, row in enumerate(gram)]
    return is_positive_definite([[arb(x) for x in row] for row in rest])


def _dual_value(problem: UFM, off: list[list[Any]], scale: Any) -> Any:
    """The dual objective of ``scale * off`` as a ball."""
    arb = flint().arb
    entropy = arb(0)
    for row in off:
        answers = [scale * x for x in row if x]
        answers.append(1 - sum(answers))
        entropy -= sum((arb(p) * arb(p).log() for p in answers), arb(0))
    price = arb(0)
    if problem.bias_decay > 0:
        square = sum((scale * y / problem.num_samples) ** 2 for y in _imbalance(problem, off))
        price = arb(square / (2 * rational(problem.bias_decay)))
    return entropy / problem.num_samples - price
