"""The landscape on a product of spheres: curvature, a certificate of global optimality, ways out, critical points.

With ``G`` the gradient with respect to the logits divided by the temperature, a critical point of the normalised
problem satisfies ``tau G'H = diag(alpha) W`` and ``tau G W = diag(beta) H``. The symmetric matrix

    S = [ -diag(alpha)   tau G'     ]
        [  tau G        -diag(beta) ]

decides: the point is a global minimum if ``S`` has no negative eigenvalue, and where ``[W; H]`` leaves a direction
of space unused, a negative eigenvalue of ``S`` is a negative curvature. Derived in chapter 6, in the manner of
Burer and Monteiro (2003); Yaras et al. (2022) prove a strict-saddle theorem for the same problem by another route.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ncbook import checks
from ncbook.etf import simplex_etf
from ncbook.sphere import SphericalUFM
from ncbook.sphere_geometry import check_unit


@dataclass(frozen=True)
class SphereCertificate:
    """What ``S`` says about a point: trust ``is_global`` where ``gradient_norm`` is small."""

    smallest_eigenvalue: float  # of S, in units of the loss
    gradient_norm: float  # Euclidean norm of the Riemannian gradient
    is_global: bool  # no eigenvalue of S below minus the tolerance, at a critical point
    matrix: Tensor  # S, (K + N, K + N)


@dataclass(frozen=True)
class Escape:
    """A tangent direction of unit length along which the loss falls to second order."""

    dW: Tensor  # (K, d)
    dH: Tensor  # (N, d)
    curvature: float  # second derivative of the loss along it, negative


@dataclass(frozen=True)
class SphereCriticalPoint:
    """A critical point of any index, with the eigenvalues of its Riemannian Hessian in ascending order."""

    W: Tensor  # (K, d)
    H: Tensor  # (N, d)
    value: float
    gradient_norm: float
    curvatures: Tensor  # ((K + N)(d - 1),)


def hessian(problem: SphericalUFM, W: Tensor, H: Tensor) -> Tensor:
    """Return the Riemannian Hessian as a symmetric matrix in an orthonormal basis of the tangent space.

    Args:
        problem: the problem. W, H: a point.

    Returns:
        Tensor (D, D) with ``D = (K + N)(d - 1)``; the basis is that of ``tangent_basis``.

    Raises:
        ValueError: for a wrong shape, a non-finite entry, or a row not of length 1.

    Source: Boumal (2023), section 5.5.
    """
    problem.check_point(W, H)
    K = problem.num_classes
    basis = tangent_basis(torch.cat([W, H]))
    apply = lambda v: torch.cat(problem._riemannian_hessian(W, H, v[:K], v[K:]))
    images = torch.func.vmap(apply)(basis)
    matrix = basis.flatten(1) @ images.flatten(1).T
    return (matrix + matrix.T) / 2


def tangent_basis(points: Tensor) -> Tensor:
    """Return an orthonormal basis of the tangent space at ``points`` (m, d): a tensor (m (d - 1), m, d).

    Raises:
        ValueError: for a wrong shape, a non-finite entry, or a row not of length 1.
    """
    check_unit("points", points)
    m, d = points.shape
    # The last d - 1 columns of a complete QR of one unit vector span its orthogonal complement.
    complement = torch.linalg.qr(points[:, :, None], mode="complete").Q[:, :, 1:]
    basis = torch.zeros(m, d - 1, m, d, dtype=points.dtype)
    basis[torch.arange(m), :, torch.arange(m)] = complement.transpose(1, 2)
    return basis.reshape(m * (d - 1), m, d)


def curvatures(problem: SphericalUFM, W: Tensor, H: Tensor) -> Tensor:
    """Return the eigenvalues (D,) of the Riemannian Hessian in ascending order, ``D = (K + N)(d - 1)``.

    Raises:
        ValueError: as for ``hessian``.
    """
    return torch.linalg.eigvalsh(hessian(problem, W, H))


def certificate(problem: SphericalUFM, W: Tensor, H: Tensor, *, tolerance: float = 1e-8) -> SphereCertificate:
    """Decide whether a critical point is a global minimum, from one symmetric matrix.

    Args:
        problem: the problem. W, H: a point, critical for the verdict to mean anything.
        tolerance: an eigenvalue of ``S``, or a gradient norm, up to this times ``temperature / N`` counts as zero.

    Returns:
        SphereCertificate: ``is_global`` is True where the gradient vanishes and ``S`` has no negative eigenvalue.

    Raises:
        ValueError: as for ``hessian``, or for a negative tolerance.

    Source: proved in chapter 6.
    """
    slack = checks.number("tolerance", tolerance) * problem.temperature / problem.num_samples
    G = problem.temperature * problem.residual(W, H)
    alpha, beta = radial_gradient(problem, W, H)
    S = torch.cat([torch.cat([-torch.diag(alpha), G.T], dim=1), torch.cat([G, -torch.diag(beta)], dim=1)])
    smallest = float(torch.linalg.eigvalsh(S)[0])
    norm = _gradient_norm(problem, W, H)
    return SphereCertificate(smallest, norm, smallest >= -slack and norm <= slack, S)


def radial_gradient(problem: SphericalUFM, W: Tensor, H: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``alpha (K,)`` and ``beta (N,)``: the inner product of each row with its Euclidean gradient.

    They are the multipliers of the constraints ``||w_k|| = 1`` and ``||h_i|| = 1``.

    Raises:
        ValueError: as for ``hessian``.
    """
    grad_W, grad_H = problem.euclidean_gradient(W, H)
    return (W * grad_W).sum(dim=1), (H * grad_H).sum(dim=1)


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
    damping, norm = 1e-2, _gradient_norm(problem, point[:K], point[K:])
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
        trial_norm = _gradient_norm(problem, trial[:K], trial[K:])
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


def _gradient_norm(problem: SphericalUFM, W: Tensor, H: Tensor) -> float:
    return math.hypot(*(float(g.norm()) for g in problem.riemannian_gradient(W, H)))
