"""A strict local minimum, proved: around a point every curvature is enclosed, and the symmetries are taken out.

Turning ``W`` and ``H`` together moves no value, so no minimum is strict before these moves are taken out. A *slice*
does so: some variables are held at their values, as many as there are moves, so that near the point each orbit meets
the slice. The others are free. Let ``c`` be a point, ``g`` its gradient and ``m > 0`` a number for which

    the Hessian in the free variables is at least m all over the ball of radius r around c,   and   ||g(c)|| < m r.

Then ``f`` grows outwards on the edge of the ball, so that it has a critical point inside, and only one, with
``f(c) - ||g||^2/(2m) <= f <= f(c)``. Along an orbit the gradient is zero, so it is a critical point of ``f`` itself.

Non-negative features: what is zero stays held at zero. Where the derivative by each of these is positive all over the
ball, ``f`` grows at first order in their direction. Small turns keep it so, and the minimum is a strict one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
from torch import Tensor

from ncbook import checks
from ncbook._intervals import Enclosure, enclose, flint, is_positive_definite, precision, round_down, round_up
from ncbook.ufm.formulas import Point
from ncbook.ufm.model import UFM, need_cross_entropy
from ncbook.ufm.points import pack, prepare

_LIMIT = 400
_NEAR = 1e-3  # how far from the point, for its size, the minimum may lie that is called its own


@dataclass(frozen=True)
class LocalMinimum:
    """What is proved: near the point lies a critical point that is a strict minimum up to symmetries."""

    radius: float  # its Euclidean distance from the point is at most this
    value: Enclosure  # the objective at the minimum, not at the point
    curvature: float  # the second derivative along any unit direction of the slice is larger
    multiplier: float  # the derivative by each feature held at zero is at least this; inf without any
    free: int  # variables of the slice
    symmetries: int  # variables held because turns, or a shift of the bias, move them


def prove_local_minimum(
    problem: UFM, W: Tensor, H: Tensor, b: Tensor, *, nonnegative: bool = False, digits: int = 30
) -> LocalMinimum:
    """Prove that a strict local minimum, up to turns and a free bias's shift, lies next to a point.

    A solver's point will do: Newton's steps in full precision take it to its minimum first. They are refused where they
    lead further than 0.001 of the point's norm.

    Args:
        problem: the model with at most 400 variables; both decays must be positive.
        W: classifier (K, d). H: features (N, d), ordered by class. b: bias (K,).
        nonnegative: among features ``H >= 0`` only. Entries that are exactly zero are taken as held there.
        digits: of the arithmetic, at least 15.

    Raises:
        ValueError: for a wrong problem, shape or option, a non-finite entry, or a negative one with ``nonnegative``.
        ArithmeticError: where nothing is proved: at a saddle, at a minimum that is not strict, or too far away.
        ImportError: without python-flint.

    Source: strong convexity on a ball; the ball arithmetic of Johansson (2017). Used in chapter 5.
    """
    W, H, b = point = prepare(problem, W, H, b)
    need_cross_entropy(problem, "prove_local_minimum")
    nonnegative = checks.flag("nonnegative", nonnegative) or problem.nonnegative
    size = sum(t.numel() for t in point)
    if size > _LIMIT:
        raise ValueError(f"problem must have at most {_LIMIT} variables for a proof, got {size}")
    if nonnegative and bool((H < 0).any()):
        raise ValueError(f"H must be >= 0 with nonnegative, got {float(H.min())}")
    with precision(digits):
        return _prove(problem, point, (H == 0) & nonnegative)


@dataclass(frozen=True)
class _Symmetries:
    """Moves that leave the objective as it is, at first order: turns of two axes, and a shift of a free bias.

    Variables are numbered as ``W``, ``H``, ``b`` packed. The ``held`` ones are as many as the moves, or as combinations
    of them that move the point at all; where the held part of these combinations is a regular matrix, every point of an
    orbit nearby is one turn away from the slice.
    """

    problem: UFM
    pairs: list[tuple[int, int]]  # axes that may turn into each other: with non-negative features, with equal zeros
    held: list[int]
    combinations: np.ndarray  # (moves, held)

    @classmethod
    def build(cls, problem: UFM, point: Point, zero: Tensor) -> _Symmetries:
        every = range(problem.feature_dim)
        pairs = [(a, b) for a in every for b in every if a < b and bool((zero[:, a] == zero[:, b]).all())]
        moves = np.array(cls(problem, pairs, [], np.zeros(0)).moves(pack(point).tolist()), dtype=np.float64)
        if len(moves) == 0:
            return cls(problem, pairs, [], np.zeros((0, 0)))
        turn, triangle, order = scipy.linalg.qr(moves, mode="economic", pivoting=True)
        sizes = np.abs(np.diag(triangle))
        rank = int((sizes > 1e-6 * sizes[0]).sum())
        return cls(problem, pairs, order[:rank].tolist(), turn[:, :rank])

    def moves(self, x: list[Any]) -> list[list[Any]]:
        """How each move changes each variable at ``x``."""
        K, d = self.problem.num_classes, self.problem.feature_dim
        rows = (len(x) - K) // d * d
        found = []
        for a, b in self.pairs:
            change: list[Any] = [0] * len(x)
            change[a:rows:d] = [-y for y in x[b:rows:d]]
            change[b:rows:d] = x[a:rows:d]
            found.append(change)
        return found + [[0] * rows + [1] * K] * (self.problem.bias_decay == 0)

    def are_regular(self, x: list[Any]) -> bool:
        """Whether it is proved that the combinations move the held variables in independent ways, at every ``x``."""
        if not self.held:
            return True
        part = flint().arb_mat([[row[i] for i in self.held] for row in self.moves(x)])
        return not (part.transpose() * flint().arb_mat(self.combinations.tolist())).det().contains(0)


def _prove(problem: UFM, point: Point, zero: Tensor) -> LocalMinimum:
    symmetries = _Symmetries.build(problem, point, zero)
    given = [flint().arb(x) for x in pack(point).tolist()]
    fixed = (zero.reshape(-1).nonzero()[:, 0] + point[0].numel()).tolist()
    free = sorted(set(range(len(given))) - set(fixed) - set(symmetries.held))
    middle, _ = _middle(_Balls(problem, given, free))
    x = _polish(problem, given, free, middle)
    at = _Balls(problem, x, free)
    (middle, curvature), steepness = _middle(at), at.steepness()
    moved = _norm([y - z for y, z in zip(x, given)])
    # Twice the distance that strong convexity allows, and more than nothing where the gradient is zero.
    radius = round_up(enclose(2 * steepness / curvature).upper) + 2.0**-200
    distance = round_up(enclose(moved).upper) + radius
    if not distance <= _NEAR * max(1.0, float(np.linalg.norm(pack(point)))):
        raise ArithmeticError(f"no minimum is proved: the nearest candidate is {distance:.3g} away from the point")
    around = _Balls(problem, x, free, radius)
    if not _curvature_exceeds(around.hessian(), curvature, middle) or not symmetries.are_regular(around.x):
        raise ArithmeticError(f"no minimum is proved within {radius:.3g}: raise digits")
    positive = (~zero).reshape(-1).nonzero()[:, 0] + point[0].numel()
    if fixed and not all(around.x[i] > 0 for i in positive.tolist()):
        raise ArithmeticError(f"no minimum is proved within {radius:.3g}: a positive feature may be zero")
    slope = around.gradient()
    multiplier = min((round_down(enclose(slope[i]).lower) for i in fixed), default=math.inf)
    if not multiplier > 0:
        raise ArithmeticError(f"no strict minimum is proved: a feature held at zero has the slope {multiplier:.3g}")
    value = at.objective()
    enclosure = Enclosure(enclose(value - steepness * steepness / (2 * curvature)).lower, enclose(value).upper)
    return LocalMinimum(distance, enclosure, curvature, multiplier, len(free), len(symmetries.held))


def _middle(at: _Balls) -> tuple[np.ndarray, float]:
    """The Hessian in floating point, and half its smallest eigenvalue: what is then to be proved."""
    middle = np.array([[float(x.mid()) for x in row] for row in at.hessian().tolist()])
    smallest = float(np.linalg.eigvalsh(middle)[0])
    if not smallest > 0:
        raise ArithmeticError(f"no strict minimum: the smallest curvature in the slice is {smallest:.3g}")
    return middle, smallest / 2


def _polish(problem: UFM, x: list[Any], free: list[int], hessian: np.ndarray) -> list[Any]:
    """Newton's steps with one Hessian, in full precision, while they more than halve the gradient."""
    best = _Balls(problem, x, free).steepness()
    for _ in range(200):
        slope = _Balls(problem, x, free).gradient()
        size = max((abs(float(slope[i].mid())) for i in free), default=0.0)
        if size == 0:
            break
        # Scaled to 1 before it becomes a float, so that a gradient of 1e-300 is a vector too.
        step = np.linalg.solve(hessian, np.array([float((slope[i] / size).mid()) for i in free]))
        trial = list(x)
        for i, change in zip(free, step.tolist()):
            trial[i] = (trial[i] - flint().arb(change) * size).mid()
        new = _Balls(problem, trial, free).steepness()
        if not new < best / 2:
            break
        x, best = trial, new
    return x


def _curvature_exceeds(hessian: Any, bound: float, middle: np.ndarray) -> bool:
    """Whether it is proved that every symmetric matrix in ``hessian`` has only eigenvalues above ``bound``.

    Decided for ``T (hessian - bound I) T'``, which has the same signs for any regular ``T``. With the inverse of the
    middle's Cholesky factor it is nearly the identity: the pivots' balls then stay as narrow as the entries'.
    """
    for i in range(len(middle)):
        hessian[i, i] -= bound
    factor = np.linalg.cholesky(middle - bound * np.eye(len(middle)))
    T = flint().arb_mat(scipy.linalg.solve_triangular(factor, np.eye(len(middle)), lower=True).tolist())
    return is_positive_definite((T * hessian * T.transpose()).tolist())


def _norm(vector: list[Any]) -> Any:
    """An upper bound on the Euclidean norm. A ball that holds zero has no ``**``."""
    return sum((x * x for x in vector), flint().arb(0)).abs_upper().sqrt().abs_upper()


class _Balls:
    """The objective and its derivatives where the free variables are within ``radius`` of those of ``x``."""

    def __init__(self, problem: UFM, x: list[Any], free: list[int], radius: float = 0.0) -> None:
        arb, arb_mat = flint().arb, flint().arb_mat
        self.problem, self.free, self.x = problem, free, list(x)
        for i in free:
            self.x[i] += arb(0, radius)
        K, N, d = problem.num_classes, problem.num_samples, problem.feature_dim
        self.W, self.H = arb_mat(K, d, self.x[: K * d]), arb_mat(N, d, self.x[K * d : (K + N) * d])
        b = self.x[(K + N) * d :]
        self.logits = [[z + shift for z, shift in zip(row, b)] for row in (self.H * self.W.transpose()).tolist()]
        self.p = [[1 / sum(((y - z).exp() for y in row), arb(0)) for z in row] for row in self.logits]
        self.decay = [problem.weight_decay] * (K * d) + [problem.feature_decay] * (N * d) + [problem.bias_decay] * K

    def objective(self) -> Any:
        fit = sum((-row[y].log() for row, y in zip(self.p, self.problem.labels.tolist())), flint().arb(0))
        return fit / self.problem.num_samples + sum(c * x * x for c, x in zip(self.decay, self.x)) / 2

    def residual(self) -> Any:
        """``G = (softmax - one-hot)/N``, as a matrix (N, K)."""
        labels = self.problem.labels.tolist()
        return flint().arb_mat([[p - (k == y) for k, p in enumerate(r)] for r, y in zip(self.p, labels)]) / len(labels)

    def gradient(self) -> list[Any]:
        G = self.residual()
        ones = flint().arb_mat([[1] * G.nrows()])
        fit = [x for M in (G.transpose() * self.H, G * self.W, ones * G) for x in M.entries()]
        return [g + c * x for g, c, x in zip(fit, self.decay, self.x)]

    def steepness(self) -> Any:
        """A bound on the norm of the gradient in the free variables."""
        slope = self.gradient()
        return _norm([slope[i] for i in self.free])

    def hessian(self) -> Any:
        """Second derivatives in the free variables: ``sum of J_i' S_i J_i``, ``G`` between ``W`` and ``H``, decays."""
        arb_mat, (K, d) = flint().arb_mat, (self.problem.num_classes, self.problem.feature_dim)
        size, N, G = len(self.free), self.problem.num_samples, self.residual()
        total = arb_mat(size, size)
        for i, p in enumerate(self.p):
            J = arb_mat([[self._slope(i, k, v) for v in self.free] for k in range(K)])
            S = arb_mat([[((k == j) * p[k] - p[k] * q) / N for j, q in enumerate(p)] for k in range(K)])
            total += J.transpose() * (S * J)
        place = {v: s for s, v in enumerate(self.free)}
        for v, s in place.items():
            total[s, s] += self.decay[v]
            for i in range(N if v < K * d else 0):
                t = place.get(K * d + i * d + v % d)
                if t is not None:
                    total[s, t] += G[i, v // d]
                    total[t, s] += G[i, v // d]
        return total

    def _slope(self, i: int, k: int, v: int) -> Any:
        """The derivative of logit ``k`` of sample ``i`` by variable ``v``."""
        K, N, d = self.problem.num_classes, self.problem.num_samples, self.problem.feature_dim
        if v < K * d:
            return self.H[i, v % d] if v // d == k else 0
        if v < (K + N) * d:
            return self.W[k, v % d] if v // d - K == i else 0
        return int(v - (K + N) * d == k)
