"""A census of critical points: a search that finds saddles of any index as readily as minima."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ncbook import checks
from ncbook.ufm.formulas import Point, flat, objective, residual, split
from ncbook.ufm.model import UFM, need_decay, need_free_features
from ncbook.ufm.points import prepare

_SEARCH_LIMIT = 400


@dataclass(frozen=True)
class Census:
    """Critical points found by search, M of them, all with a gradient below the tolerance asked for."""

    points: tuple[Point, ...]
    value: Tensor  # (M,) objective
    gradient_norm: Tensor  # (M,)
    index: Tensor  # (M,) number of negative Hessian eigenvalues
    smallest: Tensor  # (M,) smallest Hessian eigenvalue
    spectral_ratio: Tensor  # (M,) ||G||_2 / sqrt(lambda_W lambda_H)
    rank: Tensor  # (M,) rank of W
    starts: int  # searches begun; the others did not converge


def critical_points(
    problem: UFM,
    starts: int | Sequence[Point] = 200,
    *,
    seed: int = 0,
    scale: float = 1.0,
    max_iterations: int = 200,
    tolerance: float = 1e-10,
) -> Census:
    """Search for critical points of any index by driving the norm of the gradient to zero.

    Levenberg-Marquardt steps on ``||grad f||^2``, from all starts at once: unlike descent on ``f`` they are drawn to
    saddles as much as to minima. Random starts are Gaussian; those of rank ``r`` stay in their ``r`` dimensions, so
    every rank from 1 to ``feature_dim`` is used in turn, and each such start first walks downhill for a random while
    (often not at all), since most of space lies in the pull of the origin.

    Args:
        problem: a small model (at most 400 variables), with positive decays on ``W`` and ``H``.
        starts: how many random starts, or the points to start from.
        seed: of the random starts. scale: typical size of their entries.
        max_iterations: steps of each search.
        tolerance: largest gradient norm that counts as critical.

    Returns:
        Census: the points that converged, in the order of their starts.

    Raises:
        ValueError: for an unsupported or too large problem, or a bad option.

    Source: Levenberg (1944) and Marquardt (1963) applied to the gradient.
    """
    need_decay(checks.instance("problem", problem, UFM))
    need_free_features(problem, "critical_points")
    checks.integer("max_iterations", max_iterations)
    checks.integer("seed", seed, minimum=0)
    checks.number("scale", scale, positive=True)
    checks.number("tolerance", tolerance, positive=True)
    size = problem.num_classes * (problem.feature_dim + 1) + problem.num_samples * problem.feature_dim
    if size > _SEARCH_LIMIT:
        raise ValueError(f"problem must have at most {_SEARCH_LIMIT} variables for a search, got {size}")
    value = lambda z: objective(problem, *split(problem, z))
    if isinstance(starts, Sequence) and len(starts) > 0:
        x = torch.stack([flat(prepare(problem, *checks.sequence("starts", point, 3))) for point in starts])
    else:
        x = _walk_downhill(problem, value, _starts(problem, checks.integer("starts", starts), seed, scale), seed)
    count = len(x)
    x = _levenberg_marquardt(value, x, max_iterations, tolerance)
    norm = torch.func.vmap(torch.func.grad(value))(x).norm(dim=1)
    return _describe(problem, value, x[norm <= tolerance], norm[norm <= tolerance], count)


def _starts(problem: UFM, starts: int, seed: int, scale: float) -> Tensor:
    d, rows = problem.feature_dim, []
    generator = torch.Generator().manual_seed(seed)
    for i in range(starts):
        size = scale * math.exp(float(torch.randn((), generator=generator, dtype=torch.float64)) / 2)
        keep = (torch.arange(d) < 1 + i % d).double()
        W, H, b = problem.random_point(int(torch.randint(2**31, (), generator=generator)), size)
        rows.append(flat((W * keep, H * keep, b)))
    return torch.stack(rows)


def _walk_downhill(problem: UFM, value: Callable[[Tensor], Tensor], x: Tensor, seed: int) -> Tensor:
    longest = 300
    share = torch.rand(len(x), generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)
    patience = (longest * share.square()).long() - 1
    gradient = torch.func.vmap(torch.func.grad(value))
    # The loss's Hessian is at most its curvature, which bounds ours by this; the step is safe at the walk's start.
    step = 1 / (problem.loss.curvature * x.square().sum(dim=1) / problem.num_samples + 1)
    for t in range(longest):
        moving = patience > t
        if not bool(moving.any()):
            break
        x[moving] -= step[moving, None] * problem.num_samples * gradient(x[moving])
    return x


def _levenberg_marquardt(value: Callable[[Tensor], Tensor], x: Tensor, iterations: int, tolerance: float) -> Tensor:
    gradient = torch.func.vmap(torch.func.grad(value))
    curvature = torch.func.vmap(torch.func.jacrev(torch.func.grad(value)))
    eye = torch.eye(x.shape[1], dtype=x.dtype)
    damping = torch.full((len(x),), 1e-3, dtype=x.dtype)
    g = gradient(x)
    for _ in range(iterations):
        # Far below the tolerance nothing is left to gain; only the unfinished searches are moved.
        todo = (g.norm(dim=1) > tolerance / 10).nonzero()[:, 0]
        if len(todo) == 0:
            break
        A, now = curvature(x[todo]), g[todo]
        # (A A + damping ||g|| I) step = -A g: Newton's step where A is regular, a short one where it is not.
        size = damping[todo] * now.norm(dim=1) + 1e-14 * A.square().sum(dim=(1, 2))
        normal = A @ A + size[:, None, None] * eye
        step = -torch.linalg.solve(normal, (A @ now[:, :, None]))[:, :, 0]
        trial = x[todo] + step
        new = gradient(trial)
        better = new.norm(dim=1) < now.norm(dim=1)
        x[todo] = torch.where(better[:, None], trial, x[todo])
        g[todo] = torch.where(better[:, None], new, now)
        damping[todo] = torch.where(better, damping[todo] / 4, damping[todo] * 4).clamp(1e-12, 1e8)
    return x


def _describe(problem: UFM, value: Callable[[Tensor], Tensor], x: Tensor, norm: Tensor, starts: int) -> Census:
    if len(x) == 0:
        empty, none = torch.zeros(0, dtype=torch.float64), torch.zeros(0, dtype=torch.long)
        return Census((), empty, empty, none, empty, empty, none, starts)
    eigenvalues = torch.linalg.eigvalsh(torch.func.vmap(torch.func.jacrev(torch.func.grad(value)))(x))
    points = tuple(split(problem, row) for row in x)
    mu = problem.joint_decay
    ratio = torch.stack([torch.linalg.matrix_norm(residual(problem, *p), 2) / mu for p in points])
    return Census(
        points=points,
        value=torch.func.vmap(value)(x),
        gradient_norm=norm,
        # Zero eigenvalues come from rotations and the free shift of b; round-off leaves them below 1e-12.
        index=(eigenvalues < -1e-8).sum(dim=1),
        smallest=eigenvalues[:, 0],
        spectral_ratio=ratio,
        rank=torch.tensor([int(torch.linalg.matrix_rank(W, atol=1e-6)) for W, _, _ in points]),
        starts=starts,
    )
