"""The way out of a critical point that is not a minimum: the proof's explicit direction of negative curvature."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ncbook import checks
from ncbook._landscape import Escape
from ncbook.ufm.curvature import hessian_vector_product, top_singular
from ncbook.ufm.formulas import Point, residual
from ncbook.ufm.model import UFM, need_free_features
from ncbook.ufm.points import prepare


def block_eigenvalue(problem: UFM, singular_value: float) -> float:
    """Return the smaller Hessian eigenvalue of the 2 x 2 block that a singular value of ``G`` and a null vector span.

    Where ``W a = 0`` and ``H a = 0``, the directions ``(u a', 0)`` and ``(0, v a')`` are mapped into each other by
    ``[[lambda_W, s], [s, lambda_H]]``; its smaller eigenvalue is negative exactly when ``s > sqrt(lambda_W lambda_H)``.

    Args:
        problem: the model. singular_value: s >= 0, of ``problem.residual``.

    Raises:
        ValueError: for a problem that is not a ``UFM``, or a negative or non-finite singular value.

    Source: chapter 5; it is at most the Rayleigh quotient of the direction used by Zhu et al. (2021).
    """
    checks.instance("problem", problem, UFM)
    s = checks.number("singular_value", singular_value)
    mean, half = (problem.weight_decay + problem.feature_decay) / 2, (problem.weight_decay - problem.feature_decay) / 2
    return mean - math.hypot(half, s)


def escape_direction(problem: UFM, W: Tensor, H: Tensor, b: Tensor, *, tolerance: float = 1e-6) -> Escape:
    """Return the proof's explicit direction of negative curvature at a point, or None and the reason.

    With ``G = residual``, top singular pair ``(v, u)``, a unit ``a`` with ``W a = 0`` and ``H a = 0``, and
    ``c = (lambda_H / lambda_W)^(1/4)``: ``dW = c u a'``, ``dH = -v a' / c``, ``db = 0``. The second derivative along it
    is ``-2 (||G||_2 - sqrt(lambda_W lambda_H))``, for any loss and at any point that has such an ``a``; what is
    returned is measured.

    Args:
        problem: the model, with positive ``weight_decay`` and ``feature_decay``.
        W: classifier (K, d). H: features (N, d), ordered by class. b: bias (K,).
        tolerance: the certificate counts as holding where ``||G||_2 <= (1 + tolerance) sqrt(lambda_W lambda_H)``.

    Returns:
        Escape: with ``direction`` None where the certificate holds, or where no null vector ``a`` exists.

    Raises:
        ValueError: for an unsupported problem, a wrong shape, a non-finite entry or a bad tolerance.

    Source: Zhu et al. (2021), proof of the strict-saddle property; derived in chapter 5.
    """
    checks.number("tolerance", tolerance)
    W, H, b = point = prepare(problem, W, H, b)
    need_free_features(problem, "escape_direction")
    sigma, v, u = top_singular(residual(problem, W, H, b))
    mu = problem.joint_decay
    if sigma <= (1 + tolerance) * mu:
        if not problem.loss.convex:
            reason = (
                f"spectral ratio {sigma / mu:.6f} is not above 1; {problem.loss.name} is not convex, so this proves"
            )
            return Escape(None, math.nan, reason + " nothing about other points")
        return Escape(None, math.nan, f"the certificate holds: spectral ratio {sigma / mu:.6f} is not above 1")
    energy = problem.weight_decay * W.T @ W + problem.feature_decay * H.T @ H
    a = torch.linalg.eigh(energy)[1][:, 0]
    c = (problem.feature_decay / problem.weight_decay) ** 0.25
    direction = Point(c * torch.outer(u, a), -torch.outer(v, a) / c, torch.zeros_like(b))
    product = hessian_vector_product(problem, point, direction)
    curvature = sum(float((p * q).sum()) for p, q in zip(product, direction))
    if curvature >= 0:
        return Escape(None, math.nan, f"no null vector: W and H together have full rank {problem.feature_dim}")
    return Escape(direction, curvature, f"spectral ratio {sigma / mu:.6f} is above 1")
