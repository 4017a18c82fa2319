"""Critical points of the normalised problem, of any index, found by search; and one known in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ncbook import checks
from ncbook.etf import simplex_etf
from ncbook.sphere.curvature import curvatures, gradient_norm, hessian, tangent_basis
from ncbook.sphere.model import SphericalUFM


@dataclass(frozen=True)
class SphereCriticalPoint:
    """A critical point of any index, with the eigenvalues of its Riemannian Hessian in ascending order."""

    W: Tensor  # (K, d)
    H: Tensor  # (N, d)
    value: float
    gradient_norm: float
    curvatures: Tensor  # ((K + N)(d - 1),)


def critical_point(
    problem: SphericalUFM,
    seed: int = 0,
    *,
    start: tuple[Tensor, Tensor] | None = None,
    max_iterations: int = 300,
    tolerance: float = 1e-10,
) -> SphereCriticalPoint | None:
    """Find a critical point of any kind by driving the gradient's norm, not the loss, to zero.

    A Levenberg-Marquardt iteration on ``grad f = 0``: it is drawn to saddles and maxima as readily as to minima,
    which is what a census needs.

    Args:
        problem: the problem; the Hessian is formed, so keep ``(K + N)(d - 1)`` below a few hundred.
        seed: of the uniform start; ignored when ``start`` is given.
        start: a point ``(W, H)`` to start from.
        max_iterations: after which the search gives up.
        tolerance: a gradient norm that counts as zero.

    Returns:
        SphereCriticalPoint, or None where the search ended at a point whose gradient is not zero.

    Raises:
        ValueError: for a bad start or option.

    Source: Levenberg-Marquardt (Boumal 2023, section 8.4 treats the same idea on manifolds).
    """
    checks.integer("max_iterations", max_iterations)
    checks.number("tolerance", tolerance, positive=True)
    K = problem.num_classes
    point = torch.cat(problem.random_point(seed) if start is None else start)
    problem.check_point(point[:K], point[K:])
    damping, norm = 1e-2, gradient_norm(problem, point[:K], point[K:])
    for _ in range(max_iterations):
        if norm <= tolerance:
            return _describe(problem, point[:K], point[K:], norm)
        basis = tangent_basis(point).flatten(1)
        A = hessian(problem, point[:K], point[K:])
        g = basis @ torch.cat(problem.riemannian_gradient(point[:K], point[K:])).flatten()
        eigenvalues, vectors = torch.linalg.eigh(A)
        # Damping in proportion to the gradient keeps the end quadratic: mu -> 0 as the residual does.
        coefficients = eigenvalues / (eigenvalues.square() + damping * norm) * (vectors.T @ g)
        step = (basis.T @ (vectors @ coefficients)).view_as(point)
        step = step / max(1.0, float(step.norm()) / math.sqrt(len(point)))
        trial = normalize(point - step, dim=1)
        trial_norm = gradient_norm(problem, trial[:K], trial[K:])
        if trial_norm < norm:
            point, norm, damping = trial, trial_norm, damping / 3
        else:
            damping *= 4
            if damping > 1e12:
                return None
    return None


def stranded_point(problem: SphericalUFM, sample: int = 0) -> tuple[Tensor, Tensor]:
    """Return the simplex ETF with one feature moved to the far side, opposite to its own class's row.

    With ``W`` held there, that feature is a critical point of its own loss. In ``d = K - 1`` it is a strict local
    minimum of it exactly when ``temperature > K - 1``; in any larger ``d`` it is a saddle at every temperature.

    Args:
        problem: with ``feature_dim >= num_classes - 1``. sample: which feature, 0 … N - 1.

    Raises:
        ValueError: if no simplex ETF fits, or ``sample`` is out of range.

    Source: derived in chapter 6.
    """
    if checks.integer("sample", sample, minimum=0) >= problem.num_samples:
        raise ValueError(f"sample must be below N = {problem.num_samples}, got {sample}")
    W = simplex_etf(problem.num_classes, problem.feature_dim)
    H = W.repeat_interleave(problem.samples_per_class, dim=0)
    H[sample] = -H[sample]
    return W, H


def _describe(problem: SphericalUFM, W: Tensor, H: Tensor, norm: float) -> SphereCriticalPoint:
    return SphereCriticalPoint(W, H, problem._value(W, H), norm, curvatures(problem, W, H))
