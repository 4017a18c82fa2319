"""Features that are linear in given data: the least objective of a two-layer linear network, by convex optimisation.

Over all factors with ``W A = T`` the two decays charge ``sqrt(lambda_W lambda_A) ||T||_*``: what is left is convex in
``T``. Free features are the case of orthonormal inputs. Derived in chapter 14.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from ncbook import checks
from ncbook.ufm.losses import CrossEntropy, Loss


@dataclass(frozen=True)
class DataOptimum:
    """The best two linear layers ``x -> W A x + b`` on a data set, up to a rotation of the features."""

    map: Tensor  # (K, D): T = W A
    bias: Tensor  # (K,)
    value: float  # loss + sqrt(lambda_W lambda_A) ||T||_*
    spectral_ratio: float  # ||gradient in T||_2 / sqrt(lambda_W lambda_A): at most 1 at the minimum, 1 where T != 0
    steps: int

    def logits(self, inputs: Tensor) -> Tensor:
        """Return ``T x + b``, (N, K), for inputs (N, D)."""
        return checks.tensor("inputs", inputs, "N, D", D=self.map.shape[1]).double() @ self.map.T + self.bias

    def features(self, inputs: Tensor) -> Tensor:
        """Return the features ``A x`` for equal decays, (N, r) with r the rank of ``T``, for inputs (N, D)."""
        X = checks.tensor("inputs", inputs, "N, D", D=self.map.shape[1]).double()
        _, s, right = torch.linalg.svd(self.map, full_matrices=False)
        kept = s > 1e-9 * s[0]  # below that a singular value is rounding
        return X @ right[kept].T * s[kept].sqrt()


def data_optimum(
    inputs: Tensor,
    labels: Tensor,
    joint_decay: float,
    *,
    loss: Loss | None = None,
    max_steps: int = 300,
    tolerance: float = 1e-10,
) -> DataOptimum:
    """Return the minimum of ``loss(X T' + b) + joint_decay ||T||_*`` over ``T`` and a free bias.

    Args:
        inputs: (N, D). labels: (N,), every class ``0 … K - 1`` present, K >= 2.
        joint_decay: ``sqrt(lambda_W lambda_A)`` > 0. loss: convex; by default cross-entropy.
        max_steps: of proximal descent, after a quasi-Newton method on two layers has come close. tolerance: stop when
            the proximal gradient is below this share of ``joint_decay``.

    Raises:
        ValueError: for a wrong shape, a missing class, a number out of range, or a loss that is not convex.

    Source: the proximal step shrinks the singular values (Cai, Candes and Shen 2010); the momentum restarts where it
    points uphill (O'Donoghue and Candes 2015).
    """
    X = checks.tensor("inputs", inputs, "N, D").detach().double()
    y = checks.labels("labels", labels, num_samples=len(X))
    mu = checks.number("joint_decay", joint_decay, positive=True)
    checks.integer("max_steps", max_steps)
    checks.number("tolerance", tolerance)
    loss = checks.instance("loss", CrossEntropy() if loss is None else loss, Loss)
    counts = torch.bincount(y)
    if len(counts) < 2 or bool((counts == 0).any()):
        raise ValueError(f"labels must hold every class 0 … K - 1 with K >= 2, got counts {counts.tolist()}")
    if not loss.convex:
        raise ValueError(f"loss must be convex, got {loss.name}")
    mean = X.mean(dim=0)
    basis = torch.linalg.qr((X - mean).T).Q  # (D, min(D, N)): outside of it T is zero
    T, b, steps = _descend((X - mean) @ basis, y, mu, loss, max_steps, tolerance)
    Z = (X - mean) @ basis @ T.T + b
    slope = loss.gradient(Z, y).T @ (X - mean)
    value = float(loss.value(Z, y)) + mu * float(torch.linalg.matrix_norm(T, "nuc"))
    ratio = float(torch.linalg.matrix_norm(slope, 2)) / mu
    T = T @ basis.T
    return DataOptimum(T, b - T @ mean, value, ratio, steps)


def _two_layers(C: Tensor, y: Tensor, mu: float, loss: Loss) -> tuple[Tensor, Tensor]:
    """Return ``W A`` and ``b`` where L-BFGS on two layers of width K ends: quick where the data are ill-conditioned."""
    K, r = int(y.max()) + 1, C.shape[1]
    shapes = ((K, K), (K, r), (K,))
    sizes = [math.prod(shape) for shape in shapes]

    def split(x: np.ndarray) -> list[Tensor]:
        return [part.view(shape) for part, shape in zip(torch.from_numpy(x).split(sizes), shapes)]

    def evaluate(x: np.ndarray) -> tuple[float, np.ndarray]:
        W, A, b = split(x)
        H = C @ A.T
        Z = H @ W.T + b
        G = loss._gradient(Z, y)
        slopes = (G.T @ H + mu * W, W.T @ (G.T @ C) + mu * A, G.sum(dim=0))
        value = loss._value(Z, y) + mu / 2 * (W.square().sum() + A.square().sum())
        return float(value), torch.cat([slope.flatten() for slope in slopes]).numpy()

    start = torch.randn(sum(sizes), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    options = {"maxiter": 2000, "maxfun": 4000, "ftol": 0.0, "gtol": 1e-8 * mu, "maxcor": 30}
    W, A, b = split(minimize(evaluate, start.numpy(), jac=True, method="L-BFGS-B", options=options).x)
    return W @ A, b


def _descend(
    C: Tensor, y: Tensor, mu: float, loss: Loss, max_steps: int, tolerance: float
) -> tuple[Tensor, Tensor, int]:
    """Run accelerated proximal descent from there: map (K, r), bias (K,) and the steps taken."""
    T, b = _two_layers(C, y, mu, loss)
    # Centred inputs are orthogonal to the bias, so each block may take its own step, one over its own curvature.
    pace_b = 1 / loss.curvature
    pace = pace_b * len(C) / max(float(torch.linalg.matrix_norm(C, 2)) ** 2, 1e-300)
    old_T, old_b, k = T, b, 0
    for step in range(1, max_steps + 1):
        ahead_T, ahead_b = T + k / (k + 3) * (T - old_T), b + k / (k + 3) * (b - old_b)
        G = loss._gradient(C @ ahead_T.T + ahead_b, y)
        u, s, v = torch.linalg.svd(ahead_T - pace * G.T @ C, full_matrices=False)
        new_T, new_b = (u * (s - pace * mu).clamp(min=0)) @ v, ahead_b - pace_b * G.sum(dim=0)
        uphill = ((ahead_T - new_T) * (new_T - T)).sum() / pace + ((ahead_b - new_b) * (new_b - b)).sum() / pace_b
        k = 0 if float(uphill) > 0 else k + 1
        old_T, old_b, T, b = T, b, new_T, new_b
        moved = float((T - old_T).norm() / pace + (b - old_b).norm() / pace_b)
        if moved <= tolerance * mu:
            return T, b, step
    return T, b, max_steps
