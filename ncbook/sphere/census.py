"""A census of critical points on the spheres, of any index, found by search; and one point in closed form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ncbook import checks
from ncbook.etf import simplex_etf
from ncbook.sphere.curvature import hessian, tangent_basis
from ncbook.sphere.formulas import Point, gradient, gradient_norm, value
from ncbook.sphere.model import SphericalUFM, prepare


@dataclass(frozen=True)
class Census:
    """Critical points found by search, M of them, all with a gradient below the tolerance asked for."""

    points: tuple[Point, ...]
    value: Tensor  # (M,) objective
    gradient_norm: Tensor  # (M,)
    index: Tensor  # (M,) number of negative eigenvalues of the Riemannian Hessian
    smallest: Tensor  # (M,) its smallest eigenvalue
    starts: int  # searches begun; the others did not converge


def critical_points(
    problem: SphericalUFM,
    starts: int | Sequence[Point] = 200,
    *,
    seed: int = 0,
    max_iterations: int = 300,
    tolerance: float = 1e-10,
) -> Census:
    """Search for critical points of any index by driving the norm of the gradient to zero.

    Levenberg-Marquardt steps on ``grad f = 0``, from one start after the other: unlike descent on ``f`` they are drawn
    to saddles and maxima as much as to minima.

    Args:
        problem: the problem; Hessians are formed, so keep ``(K + N)(d - 1)`` below a few hundred.
        starts: how many random starts, or the points to start from.
        seed: of the first random start; the next ones take the seeds that follow.
        max_iterations: steps of each search. tolerance: largest gradient norm that counts as critical.

    Returns:
        Census: the points that converged, in the order of their starts.

    Raises:
        ValueError: for a bad start or option.

    Source: Levenberg-Marquardt (Boumal 2023, section 8.4 treats the same idea on manifolds).
    """
    checks.instance("problem", problem, SphericalUFM)
    checks.integer("seed", seed, minimum=0)
    checks.integer("max_iterations", max_iterations)
    checks.number("tolerance", tolerance, positive=True)
    if isinstance(starts, Sequence) and len(starts) > 0:
        given = [prepare(problem, *checks.sequence("starts", point, 2)) for point in starts]
    else:
        given = [problem.random_point(s) for s in range(seed, seed + checks.integer("starts", starts))]
    ends = (_levenberg_marquardt(problem, torch.cat(point), max_iterations, tolerance) for point in given)
    found = [end for end in ends if end is not None]
    spectra = [torch.linalg.eigvalsh(hessian(problem, *point)) for point in found]
    row = lambda numbers: torch.tensor(list(numbers), dtype=torch.float64)
    return Census(
        points=tuple(found),
        value=row(value(problem, *point) for point in found),
        gradient_norm=row(gradient_norm(problem, *point) for point in found),
        # Rotations of the whole point cost nothing; round-off leaves their eigenvalues below 1e-12.
        index=row((spectrum < -1e-8).sum() for spectrum in spectra).long(),
        smallest=row(spectrum[0] for spectrum in spectra),
        starts=len(given),
    )


def _levenberg_marquardt(problem: SphericalUFM, x: Tensor, iterations: int, tolerance: float) -> Point | None:
    parts = lambda rows: Point(rows[: problem.num_classes], rows[problem.num_classes :])
    damping, norm = 1e-2, gradient_norm(problem, *parts(x))
    for _ in range(iterations):
        if norm <= tolerance:
            return parts(x)
        basis = tangent_basis(x).flatten(1)
        g = basis @ torch.cat(gradient(problem, *parts(x))).flatten()
        eigenvalues, vectors = torch.linalg.eigh(hessian(problem, *parts(x)))
        # Damping in proportion to the gradient keeps the end quadratic: mu -> 0 as the residual does.
        coefficients = eigenvalues / (eigenvalues.square() + damping * norm) * (vectors.T @ g)
        step = (basis.T @ (vectors @ coefficients)).view_as(x)
        step = step / max(1.0, float(step.norm()) / math.sqrt(len(x)))
        trial = normalize(x - step, dim=1)
        trial_norm = gradient_norm(problem, *parts(trial))
        if trial_norm < norm:
            x, norm, damping = trial, trial_norm, damping / 3
        else:
            damping *= 4
            if damping > 1e12:
                return None
    return None


def stranded_point(problem: SphericalUFM, sample: int = 0) -> Point:
    """Return the simplex ETF with one feature moved to the far side, opposite to its own class's row.

    With ``W`` held there, that feature is a critical point of its own loss. In ``d = K - 1`` it is a strict local
    minimum of it exactly when ``temperature > K - 1``; in any larger ``d`` it is a saddle at every temperature.

    Args:
        problem: with ``feature_dim >= num_classes - 1``. sample: which feature, 0 … N - 1.

    Raises:
        ValueError: if no simplex ETF fits, or ``sample`` is out of range.

    Source: derived in chapter 6.
    """
    checks.instance("problem", problem, SphericalUFM)
    if checks.integer("sample", sample, minimum=0) >= problem.num_samples:
        raise ValueError(f"sample must be below N = {problem.num_samples}, got {sample}")
    W = simplex_etf(problem.num_classes, problem.feature_dim)
    H = W[problem.labels]
    H[sample] = -H[sample]
    return Point(W, H)
