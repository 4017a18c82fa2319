"""Second-order structure of the normalised problem: the Riemannian Hessian and its smallest eigenvalue."""

from __future__ import annotations

import torch
from torch import Tensor

from ncbook import checks
from ncbook.sphere.formulas import Point, hessian_product
from ncbook.sphere.geometry import check_tangent, check_unit
from ncbook.sphere.model import SphericalUFM, prepare


def hessian_vector_product(problem: SphericalUFM, point: Point, direction: Point) -> Point:
    """Return the Riemannian Hessian of the objective at ``point`` applied to a tangent ``direction``.

    The projected Euclidean Hessian, minus ``<x, grad> v`` on each row: the sphere bends away from its tangent plane,
    and the loss felt on the way down the bend is the radial part of the gradient.

    Args:
        problem: the problem. point, direction: ``(W, H)``, the direction tangent at the point.

    Returns:
        Point: the product, tangent, float64.

    Raises:
        ValueError: for a wrong shape, a non-finite entry, a row not of length 1, or a direction that is not tangent.

    Source: Boumal (2023), section 5.5; checked against second differences along geodesics.
    """
    point = prepare(problem, *checks.sequence("point", point, 2))
    direction = Point(*checks.sequence("direction", direction, 2))
    for name, x, v in zip(("direction's W", "direction's H"), point, direction):
        check_tangent(name, x, v)
    return hessian_product(problem, point, Point(*(v.detach().cpu().double() for v in direction)))


def hessian(problem: SphericalUFM, W: Tensor, H: Tensor) -> Tensor:
    """Return the Riemannian Hessian as a symmetric matrix in an orthonormal basis of the tangent space.

    Returns:
        Tensor (D, D) with ``D = (K + N)(d - 1)``; the basis is that of ``tangent_basis``.

    Raises:
        ValueError: for a wrong shape, a non-finite entry, or a row not of length 1.

    Source: Boumal (2023), section 5.5.
    """
    point = prepare(problem, W, H)
    K = problem.num_classes
    basis = tangent_basis(torch.cat(point))
    images = torch.cat(hessian_product(problem, point, Point(basis[:, :K], basis[:, K:])), dim=1)
    matrix = basis.flatten(1) @ images.flatten(1).T
    return (matrix + matrix.T) / 2


def smallest_curvature(problem: SphericalUFM, W: Tensor, H: Tensor) -> tuple[float, Point]:
    """Return the smallest eigenvalue of the Riemannian Hessian at a point and its unit eigenvector, tangent there.

    Returns:
        ``eigenvalue, (dW, dH)``. The Hessian is formed: keep ``(K + N)(d - 1)`` below a few thousand.

    Raises:
        ValueError: as for ``hessian``.
    """
    values, vectors = torch.linalg.eigh(hessian(problem, W, H))
    v = torch.einsum("i,imd->md", vectors[:, 0], tangent_basis(torch.cat(prepare(problem, W, H))))
    return float(values[0]), Point(v[: problem.num_classes], v[problem.num_classes :])


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
