"""Exact saddles of the unconstrained feature model."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.sparse.linalg import LinearOperator, minres
from torch import Tensor

from ncbook import checks
from ncbook.ufm.formulas import Point, gradient
from ncbook.ufm.model import UFM, need_cross_entropy, need_decay, need_free_features


def superclass_saddle(problem: UFM, groups: Iterable[Iterable[int]], *, seed: int = 0) -> Point:
    """Return an exact critical point that tells groups of classes apart but not the classes within a group.

    The point is optimal among those that treat the classes of each group alike; because the objective does not
    change when classes trade places, it is then critical among all points. One group of all classes gives the
    origin. With ``feature_dim >= K - 1`` it is a strict saddle.

    Args:
        problem: the model, with equal classes and positive decays below the threshold (``problem.collapses``).
        groups: a partition of ``0 … K - 1``, for instance ``[[0, 1], [2, 3]]``; at least one group has two classes.
        seed: of the rotation the solver happens to land in.

    Returns:
        Point: with a gradient below 1e-10 in every entry.

    Raises:
        ValueError: for an unsupported problem, groups that are no partition, groups of one class each (that point is
            a minimum), or decays so large that the origin is the only critical point.
        RuntimeError: if the gradient could not be brought below 1e-10.

    Source: symmetric criticality (chapter 5).
    """
    need_decay(checks.instance("problem", problem, UFM))
    need_cross_entropy(problem, "superclass_saddle")
    need_free_features(problem, "superclass_saddle")
    checks.integer("seed", seed, minimum=0)
    parts = _partition(problem.num_classes, groups)
    if not problem.collapses:
        raise ValueError("problem must satisfy K sqrt(n lambda_W lambda_H) < 1: otherwise the origin is the minimum")
    m, d = len(parts), problem.feature_dim
    member = torch.zeros(problem.num_classes, dtype=torch.long)
    for g, part in enumerate(parts):
        member[list(part)] = g
    # The reduced problem needs no more than m dimensions; the others stay zero at the critical point.
    r = min(d, m)
    reduced = _Reduced(problem, torch.tensor([float(len(p)) for p in parts], dtype=torch.float64), r)
    R, T, beta = reduced.solve(seed)
    embed = lambda rows: torch.nn.functional.pad(rows, (0, d - r))
    point = Point(embed(R[member]), embed(T[member][problem.labels]), beta[member])
    worst = max(float(g.abs().max()) for g in gradient(problem, *point))
    if worst > 1e-10:
        raise RuntimeError(f"the saddle was found only to a gradient of {worst:.1e}; try another seed")
    return point


def _partition(num_classes: int, groups: Iterable[Iterable[int]]) -> list[tuple[int, ...]]:
    given = [checks.sequence("groups", group) for group in checks.sequence("groups", groups)]
    parts = [tuple(checks.integer("groups", k, minimum=0) for k in group) for group in given]
    if sorted(itertools.chain(*parts)) != list(range(num_classes)) or not all(parts):
        raise ValueError(f"groups must split 0 … {num_classes - 1} into non-empty groups, got {parts}")
    if len(parts) == num_classes:
        raise ValueError("groups must join at least two classes: groups of one class each give the minimum")
    return parts


@dataclass(frozen=True)
class _Reduced:
    """The objective on points that treat the classes of a group alike: rows R, T and bias beta, one per group."""

    problem: UFM
    sizes: Tensor  # (m,) classes per group
    dim: int

    def split(self, x: Tensor) -> Point:
        m, r = len(self.sizes), self.dim
        R, T, beta = x.split([m * r, m * r, m])
        # Scaled so that all penalties curve alike: by the group sizes, and with W and H balanced.
        c = (self.problem.feature_decay / self.problem.weight_decay) ** 0.25
        scale = self.sizes.sqrt()[:, None]
        T = T.view(m, r) / (c * math.sqrt(self.problem.class_sizes[0]) * scale)
        return Point(c * R.view(m, r) / scale, T, beta / scale[:, 0])

    def objective(self, x: Tensor) -> Tensor:
        p, s = self.problem, self.sizes
        R, T, beta = self.split(x)
        logits = T @ R.T + beta
        fit = (s / p.num_classes * (torch.logsumexp(logits + s.log(), dim=1) - torch.diagonal(logits))).sum()
        decay = p.weight_decay * R.square().sum(1) + p.class_sizes[0] * p.feature_decay * T.square().sum(1)
        return fit + (s * (decay + p.bias_decay * beta.square())).sum() / 2

    def solve(self, seed: int) -> Point:
        m, r = len(self.sizes), self.dim
        if m == 1:  # one group: the origin, exactly
            return self.split(torch.zeros(2 * r + 1, dtype=torch.float64))
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(2 * m * r + m, generator=generator, dtype=torch.float64)
        value_and_gradient: Callable = torch.func.grad_and_value(self.objective)

        def evaluate(z: np.ndarray) -> tuple[float, np.ndarray]:
            gradient, value = value_and_gradient(torch.from_numpy(z))
            return float(value), gradient.numpy()

        options = {"maxiter": 20_000, "maxfun": 40_000, "maxcor": 30, "ftol": 0.0, "gtol": 1e-9}
        result = minimize(evaluate, x.numpy(), jac=True, method="L-BFGS-B", options=options)
        return self.split(torch.from_numpy(_newton(self.objective, result.x)))


def _newton(objective: Callable[[Tensor], Tensor], x: np.ndarray, steps: int = 12) -> np.ndarray:
    """Polish a critical point by Newton's method, with MINRES because rotations make the Hessian singular."""
    slope = torch.func.grad(objective)
    best, best_norm = x, math.inf
    for _ in range(steps):
        point = torch.from_numpy(x)
        # The Hessian is symmetric: pulling back through the gradient multiplies by it.
        g, pull_back = torch.func.vjp(slope, point)[:2]
        norm = float(g.abs().max())
        if not norm < best_norm:
            break
        best, best_norm = x, norm
        apply = functools.partial(_apply, pull_back)
        operator = LinearOperator((len(x), len(x)), matvec=apply, dtype=np.float64)
        step, _ = minres(operator, -g.numpy(), rtol=1e-12, maxiter=20 * len(x))
        x = x + step
    return best


def _apply(pull_back: Callable, z: np.ndarray) -> np.ndarray:
    return pull_back(torch.from_numpy(np.array(z, dtype=np.float64).reshape(-1)))[0].numpy()
