"""A point of the model, and the model's formulas without their checks, so that torch.func can transform them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from ncbook.ufm.model import UFM


class Point(NamedTuple):
    """A point of the model, or a direction at one: ``W, H, b = point``, or ``f(problem, *point)``.

    Args:
        W: classifier (K, d). H: features (N, d), ordered by class. b: bias (K,).
    """

    W: Tensor
    H: Tensor
    b: Tensor


def logits(problem: UFM, W: Tensor, H: Tensor, b: Tensor) -> Tensor:
    return H @ W.T + b if problem.has_bias else H @ W.T


def objective(problem: UFM, W: Tensor, H: Tensor, b: Tensor) -> Tensor:
    fit = problem.loss._value(logits(problem, W, H, b), problem.labels.to(H.device))
    decay = problem.weight_decay * W.square().sum() + problem.feature_decay * H.square().sum()
    return fit + (decay + problem.bias_stiffness * b.square().sum()) / 2


def residual(problem: UFM, W: Tensor, H: Tensor, b: Tensor) -> Tensor:
    return problem.loss._gradient(logits(problem, W, H, b), problem.labels.to(H.device))


def gradient(problem: UFM, W: Tensor, H: Tensor, b: Tensor) -> Point:
    G = residual(problem, W, H, b)
    return Point(
        G.T @ H + problem.weight_decay * W,
        G @ W + problem.feature_decay * H,
        G.sum(dim=0) * problem.has_bias + problem.bias_stiffness * b,
    )


def flat(point: tuple[Tensor, ...]) -> Tensor:
    """``W``, ``H``, ``b`` as one vector, in this order."""
    return torch.cat([t.reshape(-1) for t in point])


def split(problem: UFM, vector: Tensor) -> Point:
    """The inverse of ``flat``."""
    K, N, d = problem.num_classes, problem.num_samples, problem.feature_dim
    W, H, b = vector.split([K * d, N * d, K])
    return Point(W.view(K, d), H.view(N, d), b)
