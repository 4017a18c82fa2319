"""Second-order structure of the normalised problem: the Riemannian Hessian and its eigenvalues."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ncbook.sphere.geometry import check_unit
from ncbook.sphere.model import SphericalUFM


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


def gradient_norm(problem: SphericalUFM, W: Tensor, H: Tensor) -> float:
    """Return the Euclidean norm of the Riemannian gradient at a point."""
    return math.hypot(*(float(g.norm()) for g in problem.riemannian_gradient(W, H)))
