"""Points and directions on a product of spheres: tangent projection, retraction, geodesics.

A point is a matrix with unit rows, one sphere a row; together they form an oblique manifold. A tangent vector at it
is a matrix whose every row is orthogonal to the same row of the point.
Source: Absil, Mahony and Sepulchre (2008), chapters 3 to 5.
"""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, cos, float64, sinc
from torch.nn.functional import normalize

from ncbook import checks
from ncbook.sphere.formulas import project_rows


def project(points: Tensor, vectors: Tensor) -> Tensor:
    """Return the part of each row of ``vectors`` that is tangent to the sphere at the same row of ``points``.

    ``v - <x, v> x`` for each unit row ``x``: the orthogonal projection onto the tangent space.

    Args:
        points: (m, d), unit rows.
        vectors: (m, d).

    Raises:
        ValueError: for a wrong shape, a non-finite entry, or a row of ``points`` that is not of length 1.

    Source: Absil, Mahony and Sepulchre (2008), section 3.6.1.
    """
    check_unit("points", points)
    checks.tensor("vectors", vectors, "m, d", m=points.shape[0], d=points.shape[1])
    return project_rows(points, vectors)


def retract(points: Tensor, vectors: Tensor) -> Tensor:
    """Return the unit rows reached by stepping along tangent ``vectors`` and scaling back to the sphere.

    ``(x + v) / ||x + v||`` for each row. It agrees with the geodesic up to an error of third order in ``v``.

    Args:
        points: (m, d), unit rows.
        vectors: (m, d), tangent at ``points``.

    Raises:
        ValueError: for a wrong shape, a non-finite entry, a row of ``points`` not of length 1, or ``vectors`` that
            are not tangent.

    Source: Absil, Mahony and Sepulchre (2008), example 4.1.1.
    """
    check_unit("points", points)
    check_tangent("vectors", points, vectors)
    return normalize(points + vectors, dim=1)


def geodesic(points: Tensor, vectors: Tensor, time: float = 1.0) -> Tensor:
    """Return where the great circles that leave ``points`` with velocity ``vectors`` are at ``time``.

    ``cos(t ||v||) x + sin(t ||v||) v / ||v||`` for each row: the path of zero acceleration within the sphere.

    Args:
        points: (m, d), unit rows.
        vectors: (m, d), tangent at ``points``.
        time: any finite number, negative ones included.

    Raises:
        ValueError: as for ``retract``, or if ``time`` is not a finite number.

    Source: Absil, Mahony and Sepulchre (2008), example 5.4.1.
    """
    check_unit("points", points)
    check_tangent("vectors", points, vectors)
    t = checks.number("time", time, signed=True)
    speed = vectors.norm(dim=1, keepdim=True)
    # torch.sinc(x) = sin(pi x) / (pi x) is smooth through a zero velocity.
    return cos(t * speed) * points + t * sinc(t * speed / math.pi) * vectors


def check_unit(name: str, points: Any) -> None:
    """Raise ``ValueError`` unless ``points`` is a finite (m, d) tensor whose rows have length 1."""
    checks.tensor(name, points, "m, d")
    length = points.detach().norm(dim=1)
    # float32 rows are unit only to about 1e-7 sqrt(d); anything further off is another problem.
    bad = (length - 1).abs() > (1e-9 if points.dtype == float64 else 1e-4)
    if bool(bad.any()):
        row = int(bad.nonzero()[0])
        raise ValueError(f"{name} must have rows of length 1, got length {float(length[row]):.6g} at row {row}")


def check_tangent(name: str, points: Tensor, vectors: Any) -> None:
    """Raise ``ValueError`` unless every row of ``vectors`` is orthogonal to the same row of ``points``."""
    checks.tensor(name, vectors, "m, d", m=points.shape[0], d=points.shape[1])
    radial = (points * vectors).sum(dim=1).abs()
    scale = 1 + vectors.norm(dim=1)
    bad = radial > scale * (1e-9 if vectors.dtype == float64 else 1e-4)
    if bool(bad.any()):
        row = int(bad.nonzero()[0])
        raise ValueError(
            f"{name} must be tangent (orthogonal to the point), got inner product {float(radial[row]):.3g} at row {row}"
        )
