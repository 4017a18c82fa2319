"""The way out of a critical point on the spheres that is not a minimum."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ncbook import checks
from ncbook._landscape import Escape
from ncbook.sphere.certificates import certificate
from ncbook.sphere.formulas import Point
from ncbook.sphere.model import SphericalUFM, prepare


def escape_direction(problem: SphericalUFM, W: Tensor, H: Tensor, *, tolerance: float = 1e-8) -> Escape:
    """Return the proof's explicit direction of negative curvature at a point, or None and the reason.

    It is ``u a'`` with ``a`` a unit vector for which ``W a = 0`` and ``H a = 0``, and ``u`` the eigenvector of ``S``
    at its smallest eigenvalue; the second derivative of the loss along ``(u_W a', u_H a')`` is that eigenvalue.

    Args:
        problem: the problem. W: classifier (K, d). H: features (N, d), ordered by class; unit rows.
        tolerance: an eigenvalue of ``S`` above minus this times ``temperature / N`` counts as not negative.

    Returns:
        Escape: of unit length, with ``direction`` None where the certificate holds, or where ``W`` and ``H`` leave no
        direction of space unused.

    Raises:
        ValueError: as for ``certificate``.

    Source: proved in chapter 6.
    """
    point = prepare(problem, W, H)
    slack = checks.number("tolerance", tolerance) * problem.temperature / problem.num_samples
    values, vectors = torch.linalg.eigh(certificate(problem, *point).matrix)
    smallest, a = float(values[0]), unused_direction(*point)
    if smallest >= -slack:
        return Escape(None, math.nan, f"the certificate holds: the smallest eigenvalue of S is {smallest:.3g}")
    if a is None:
        return Escape(None, math.nan, f"no null vector: W and H together have full rank {problem.feature_dim}")
    direction = vectors[:, :1] * a
    K = problem.num_classes
    return Escape(Point(direction[:K], direction[K:]), smallest, f"S has an eigenvalue {smallest:.3g} below 0")


def unused_direction(W: Tensor, H: Tensor, *, tolerance: float = 1e-7) -> Tensor | None:
    """Return a unit vector (d,) orthogonal to every row of ``W`` and ``H``, or None where they span the space.

    Args:
        W, H: (K, d) and (N, d). tolerance: a singular value of ``[W; H]`` below this counts as zero.

    Raises:
        ValueError: for a wrong shape, a non-finite entry, or a negative tolerance.
    """
    checks.tensor("W", W, "K, d")
    checks.tensor("H", H, "N, d", d=W.shape[1])
    limit = checks.number("tolerance", tolerance)
    _, values, directions = torch.linalg.svd(torch.cat([W, H]), full_matrices=True)
    if len(values) == W.shape[1] and values[-1] > limit:
        return None
    return directions[-1]
