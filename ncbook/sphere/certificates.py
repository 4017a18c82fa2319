"""A certificate of global optimality on a product of spheres.

With ``G`` the gradient with respect to the logits divided by the temperature, a critical point of the normalised
problem satisfies ``tau G'H = diag(alpha) W`` and ``tau G W = diag(beta) H``. The symmetric matrix

    S = [ -diag(alpha)   tau G'     ]
        [  tau G        -diag(beta) ]

decides: the point is a global minimum if ``S`` has no negative eigenvalue, and where ``[W; H]`` leaves a direction
of space unused, a negative eigenvalue of ``S`` is a negative curvature. Derived in chapter 6, in the manner of
Burer and Monteiro (2003); Yaras et al. (2022) prove a strict-saddle theorem for the same problem by another route.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ncbook import checks
from ncbook.sphere.formulas import euclidean_gradient, gradient_norm, residual
from ncbook.sphere.model import SphericalUFM, prepare


@dataclass(frozen=True)
class Certificate:
    """What ``S`` says about a point: trust ``is_global`` where ``gradient_norm`` is small."""

    smallest_eigenvalue: float  # of S, in units of the loss
    gradient_norm: float  # Euclidean norm of the Riemannian gradient
    is_global: bool  # no eigenvalue of S below minus the tolerance, at a critical point
    matrix: Tensor  # S, (K + N, K + N)


def certificate(problem: SphericalUFM, W: Tensor, H: Tensor, *, tolerance: float = 1e-8) -> Certificate:
    """Decide whether a critical point is a global minimum, from one symmetric matrix.

    Args:
        problem: the problem. W, H: a point, critical for the verdict to mean anything.
        tolerance: an eigenvalue of ``S``, or a gradient norm, up to this times ``temperature / N`` counts as zero.

    Returns:
        Certificate: ``is_global`` is True where the gradient vanishes and ``S`` has no negative eigenvalue.

    Raises:
        ValueError: as for ``hessian``, or for a negative tolerance.

    Source: proved in chapter 6.
    """
    W, H = prepare(problem, W, H)
    slack = checks.number("tolerance", tolerance) * problem.temperature / problem.num_samples
    G = problem.temperature * residual(problem, W, H)[0]
    alpha, beta = radial_gradient(problem, W, H)
    S = torch.cat([torch.cat([-torch.diag(alpha), G.T], dim=1), torch.cat([G, -torch.diag(beta)], dim=1)])
    smallest = float(torch.linalg.eigvalsh(S)[0])
    norm = gradient_norm(problem, W, H)
    return Certificate(smallest, norm, smallest >= -slack and norm <= slack, S)


def radial_gradient(problem: SphericalUFM, W: Tensor, H: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``alpha (K,)`` and ``beta (N,)``: the inner product of each row with its Euclidean gradient.

    They are the multipliers of the constraints ``||w_k|| = 1`` and ``||h_i|| = 1``.

    Raises:
        ValueError: as for ``hessian``.
    """
    W, H = prepare(problem, W, H)
    grad_W, grad_H = euclidean_gradient(problem, W, H)
    return (W * grad_W).sum(dim=1), (H * grad_H).sum(dim=1)
