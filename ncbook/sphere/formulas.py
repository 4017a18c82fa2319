"""A point on the spheres, and the problem's formulas without their checks, so that torch.func can transform them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ncbook._landscape import with_labels

if TYPE_CHECKING:
    from ncbook.sphere.model import SphericalUFM


class Point(NamedTuple):
    """A point of the problem, or a tangent direction at one: ``W, H = point``, or ``f(problem, *point)``.

    Args:
        W: classifier (K, d), unit rows. H: features (N, d), unit rows, ordered by class.
    """

    W: Tensor
    H: Tensor


def value(problem: SphericalUFM, W: Tensor, H: Tensor) -> float:
    """The objective with a small *relative* error even where it is tiny (log1p of the wrong classes' share)."""
    z = problem.temperature * H @ W.T
    z = z - z.gather(1, problem.labels[:, None])
    top = z.amax(dim=1).clamp_min(0.0)
    wrong = torch.exp(z - top[:, None]).scatter(1, problem.labels[:, None], 0.0).sum(dim=1)
    return float((top + torch.log1p(wrong + torch.expm1(-top))).mean())


def residual(problem: SphericalUFM, W: Tensor, H: Tensor) -> tuple[Tensor, Tensor]:
    """``G = (P - one-hot)/N`` and the probabilities ``P``, both (N, K)."""
    labels = problem.labels.to(H.device)
    P = torch.softmax(problem.temperature * H @ W.T, dim=1)
    return with_labels(P.scatter(1, labels[:, None], 0.0), labels) / problem.num_samples, P


def euclidean_gradient(problem: SphericalUFM, W: Tensor, H: Tensor) -> Point:
    G = problem.temperature * residual(problem, W, H)[0]
    return Point(G.T @ H, G @ W)


def gradient(problem: SphericalUFM, W: Tensor, H: Tensor) -> Point:
    return Point(*map(project_rows, (W, H), euclidean_gradient(problem, W, H)))


def gradient_norm(problem: SphericalUFM, W: Tensor, H: Tensor) -> float:
    return math.hypot(*(float(g.norm()) for g in gradient(problem, W, H)))


def euclidean_hessian(
    problem: SphericalUFM, point: Point, direction: Point, known: tuple[Tensor, Tensor] | None = None
) -> Point:
    """``known``: the residual at the point, where many products share it. A direction's leading axes are batched."""
    (W, H), (dW, dH) = point, direction
    G, P = residual(problem, W, H) if known is None else known
    dz = problem.temperature * (dH @ W.T + H @ dW.mT)
    dG = P * (dz - (P * dz).sum(dim=-1, keepdim=True)) / problem.num_samples
    return Point(problem.temperature * (dG.mT @ H + G.T @ dH), problem.temperature * (dG @ W + G @ dW))


def hessian_product(problem: SphericalUFM, point: Point, direction: Point) -> Point:
    """The projected Euclidean Hessian, minus ``<x, grad> v`` on each row: the sphere bends away from its tangent.

    A direction's leading axes are batched.
    """
    rows = zip(point, direction, euclidean_gradient(problem, *point), euclidean_hessian(problem, point, direction))
    return Point(*(project_rows(x, image) - (x * slope).sum(dim=1, keepdim=True) * v for x, v, slope, image in rows))


def project_rows(points: Tensor, vectors: Tensor) -> Tensor:
    """``project`` without its checks; leading axes are batched."""
    return vectors - (points * vectors).sum(dim=-1, keepdim=True) * points
