"""The way out of a critical point on the spheres that is not a minimum."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ncbook import checks
from ncbook.sphere.certificates import certificate
from ncbook.sphere.model import SphericalUFM


@dataclass(frozen=True)
class Escape:
    """A tangent direction of unit length along which the loss falls to second order."""

    dW: Tensor  # (K, d)
    dH: Tensor  # (N, d)
    curvature: float  # second derivative of the loss along it, negative


def escape_direction(problem: SphericalUFM, W: Tensor, H: Tensor) -> Escape:
    """Return the way out that the proof gives: ``u a'`` with ``a`` an unused direction of space.

    ``a`` is a unit vector with ``W a = 0`` and ``H a = 0``, and ``u`` the eigenvector of ``S`` at its smallest
    eigenvalue; the second derivative of the loss along ``(u_W a', u_H a')`` is that eigenvalue.

    Raises:
        ValueError: if the rows of ``W`` and ``H`` span the whole space, or if ``S`` has no negative eigenvalue.

    Source: proved in chapter 6.
    """
    a = unused_direction(W, H)
    if a is None:
        raise ValueError(
            f"W and H must leave a direction of the {problem.feature_dim}-dimensional space unused, "
            "got rows that span it"
        )
    values, vectors = torch.linalg.eigh(certificate(problem, W, H).matrix)
    if values[0] > -1e-8 * problem.temperature / problem.num_samples:  # round-off, as in the certificate
        raise ValueError(f"S must have a negative eigenvalue at (W, H), got {float(values[0]):.3g} as its smallest")
    direction = vectors[:, :1] * a
    K = problem.num_classes
    return Escape(direction[:K], direction[K:], float(values[0]))


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
