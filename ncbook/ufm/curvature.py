"""Second-order structure of the unconstrained feature model: Hessian products and the smallest curvature."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh
from torch import Tensor

from ncbook import checks
from ncbook.ufm.formulas import Point, flat, objective, residual, split
from ncbook.ufm.model import UFM, need_free_features
from ncbook.ufm.points import prepare

_DENSE_LIMIT = 4000


def hessian_vector_product(problem: UFM, point: Point, direction: Point) -> Point:
    """Return the Hessian of the objective at ``point`` applied to ``direction``, without forming it.

    Args:
        problem: the model. point, direction: ``(W, H, b)``.

    Returns:
        Point: the product, float64.

    Raises:
        ValueError: for an unsupported problem, a wrong shape or a non-finite entry in the point or the direction.

    Source: reverse over reverse differentiation (``torch.func.vjp`` of ``torch.func.grad``).
    """
    point = prepare(problem, *checks.sequence("point", point, 3))
    direction = prepare(problem, *checks.sequence("direction", direction, 3))
    gradient = torch.func.grad(functools.partial(objective, problem), argnums=(0, 1, 2))
    # The Hessian is symmetric, so pulling a vector back through the gradient multiplies it by the Hessian.
    return Point(*torch.func.vjp(gradient, *point)[1](tuple(direction)))


def hessian(problem: UFM, W: Tensor, H: Tensor, b: Tensor) -> Tensor:
    """Return the dense Hessian, ``(P, P)`` with ``P = K d + N d + K``, in the order of ``pack``.

    Raises:
        ValueError: as ``smallest_curvature`` does, and where ``P`` exceeds 4000 (use the matrix-free functions).
    """
    point = prepare(problem, W, H, b)
    size = sum(t.numel() for t in point)
    if size > _DENSE_LIMIT:
        raise ValueError(f"problem must have at most {_DENSE_LIMIT} variables for a dense Hessian, got {size}")
    gradient = torch.func.grad(lambda x: objective(problem, *split(problem, x)))
    full = torch.func.jacrev(gradient)(flat(point))
    return (full + full.T) / 2


def smallest_curvature(
    problem: UFM,
    W: Tensor,
    H: Tensor,
    b: Tensor,
    *,
    tolerance: float = 1e-10,
    seed: int = 0,
    max_iterations: int = 5000,
) -> tuple[float, Point]:
    """Return the smallest eigenvalue of the Hessian at a point and its unit eigenvector, without forming the Hessian.

    Args:
        problem: the model, with positive ``weight_decay`` and ``feature_decay``.
        W: classifier (K, d). H: features (N, d), ordered by class. b: bias (K,).
        tolerance: of the residual ``||A v - lambda v||``, relative to a bound on the norm of the Hessian.
        seed: of the random start.
        max_iterations: of the restarted Lanczos method.

    Returns:
        ``eigenvalue, (dW, dH, db)``; the three directions together have Euclidean norm 1.

    Raises:
        ValueError: for an unsupported problem, a wrong shape, a non-finite entry or a bad option.
        RuntimeError: if Lanczos has not converged after ``max_iterations``.

    Source: implicitly restarted Lanczos (ARPACK) on Hessian-vector products of ``torch.func``, in the invariant
    subspace that holds the smallest eigenvalue (chapter 5).
    """
    checks.number("tolerance", tolerance, positive=True)
    checks.integer("seed", seed, minimum=0)
    checks.integer("max_iterations", max_iterations)
    point = prepare(problem, W, H, b)
    need_free_features(problem, "smallest_curvature")
    shift, small = _norm_bound(problem, point), _Reduced.build(problem, point)
    multiply = small.operator()

    def shifted(x: np.ndarray) -> np.ndarray:
        return multiply(x) - shift * x.reshape(-1)

    # A - shift I is negative, so the eigenvalue sought is also the largest in size and tolerances are relative to
    # the size of A; ARPACK measures them against the eigenvalue itself, hopeless for one that is nearly zero.
    start = np.random.default_rng(seed).standard_normal(small.size)
    operator = LinearOperator((small.size, small.size), matvec=shifted, dtype=np.float64)
    options = {"v0": start, "tol": tolerance, "maxiter": max_iterations, "ncv": min(small.size, 40)}
    try:
        values, vectors = eigsh(operator, k=1, which="SA", **options)
    except ArpackNoConvergence as error:
        raise RuntimeError(f"Lanczos did not converge in {max_iterations} iterations: raise max_iterations") from error
    return float(values[0]) + shift, small.lift(torch.from_numpy(vectors[:, 0].copy()))


@dataclass(frozen=True)
class _Reduced:
    """The invariant subspace of the Hessian that holds its smallest eigenvalue, in orthonormal coordinates.

    Turn the axes so that the rows of ``W`` lie in the first ``r``. A change of ``H`` along the other axes moves no
    logit; it meets the rest of the Hessian only through ``G``. So it splits into a part in the column space of ``G``
    (kept: ``U Y``) and a part that the Hessian multiplies by ``lambda_H`` (dropped: the kept part holds a Rayleigh
    quotient ``lambda_H`` too, so nothing smaller is lost). Half a million variables become some twenty thousand.
    """

    problem: UFM
    turn: Tensor  # (d, d) orthogonal, rows of W in the span of the first r columns
    W: Tensor  # (K, r)
    H: Tensor  # (N, d), turned
    b: Tensor  # (K,)
    U: Tensor  # (N, c) orthonormal, spans the columns of G

    @classmethod
    def build(cls, problem: UFM, point: Point) -> _Reduced:
        W, H, b = point
        turn = torch.linalg.qr(W.T, mode="complete")[0]
        U = torch.linalg.svd(residual(problem, W, H, b), full_matrices=False)[0]
        return cls(problem, turn, (W @ turn)[:, : min(W.shape)], H @ turn, b, U)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        (K, r), (N, d) = self.W.shape, self.H.shape
        return (K, d), (N, r), (self.U.shape[1], d - r), (K,)

    @property
    def size(self) -> int:
        return sum(math.prod(shape) for shape in self.shapes)

    def split(self, x: Tensor) -> list[Tensor]:
        parts = x.split([math.prod(shape) for shape in self.shapes])
        return [part.view(shape) for part, shape in zip(parts, self.shapes)]

    def objective(self, x: Tensor) -> Tensor:
        """The objective after a step ``x``, up to terms of first order that no Hessian sees."""
        p, r = self.problem, self.W.shape[1]
        dW, X, Y, db = self.split(x)
        W = torch.nn.functional.pad(self.W, (0, self.H.shape[1] - r)) + dW
        logits = self.H @ W.T + X @ W[:, :r].T + self.U @ (Y @ W[:, r:].T) + self.b
        logits = logits + db if p.has_bias else logits
        decay = p.weight_decay * dW.square().sum() + p.feature_decay * (X.square().sum() + Y.square().sum())
        return p.loss._value(logits, p.labels) + (decay + p.bias_stiffness * db.square().sum()) / 2

    def operator(self) -> Callable[[np.ndarray], np.ndarray]:
        gradient = torch.func.grad(self.objective)
        # The gradient is recorded once and shared by all products.
        pull_back = torch.func.vjp(gradient, torch.zeros(self.size, dtype=torch.float64))[1]
        return lambda x: pull_back(torch.from_numpy(np.array(x).reshape(-1)))[0].numpy()

    def lift(self, x: Tensor) -> Point:
        dW, X, Y, db = self.split(x)
        return Point(dW @ self.turn.T, torch.cat([X, self.U @ Y], dim=1) @ self.turn.T, db)


def _norm_bound(problem: UFM, point: Point) -> float:
    """An upper bound on the norm of the Hessian."""
    # The loss's Hessian is at most its curvature, and a step D moves the logits by at most ||(W, H, 1)|| ||D||.
    W, H, b = point
    N = problem.num_samples
    squares = float(torch.linalg.matrix_norm(W, 2)) ** 2 + float(torch.linalg.matrix_norm(H.T @ H, 2)) + N
    largest_decay = max(problem.weight_decay, problem.feature_decay, problem.bias_stiffness)
    return problem.loss.curvature * squares / N + top_singular(residual(problem, W, H, b))[0] + largest_decay


def top_singular(G: Tensor) -> tuple[float, Tensor, Tensor]:
    """Largest singular value of ``G (N, K)`` and its unit vectors ``v (N,)`` and ``u (K,)``."""
    if float(G.abs().max()) == 0:
        return 0.0, torch.eye(len(G), dtype=G.dtype)[0], torch.eye(G.shape[1], dtype=G.dtype)[0]
    left, values, right = torch.linalg.svd(G, full_matrices=False)
    return float(values[0]), left[:, 0], right[0]
