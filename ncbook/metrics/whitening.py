"""The map that turns the between-class covariance into the identity, which NC1 measures the variability with."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ncbook.metrics.choices import Averaging
from ncbook.metrics.class_moments import EPS, Moments

MANY = 200  # classes from which on an SVD takes a good part of a report
WELL = 1e-3  # smallest singular value over largest


@dataclass(frozen=True)
class Whitener:
    """The map ``T`` with ``T' T`` the pseudo-inverse of the between-class covariance ``Sigma_B``."""

    matrix: Tensor  # (rank, d)
    singular_values: Tensor  # (min(K - 1, d),) descending, of the weighted, centred class means
    rank: int  # how many of them stand above round-off


def whitener(moments: Moments, between: Averaging) -> Whitener:
    """Factor the pseudo-inverse of ``Sigma_B`` from the centred class means, without squaring their condition number.

    With ``M`` (K, d) the centred class means times the roots of their classes' weights, ``Sigma_B = M' M``.
    """
    roots = moments.class_weights(between).sqrt()
    A = _independent(moments.centred(between).mul_(roots[:, None]), roots)
    rows, d = A.shape
    least = EPS * max(rows + 1, d) * moments.spread
    # QR first: the SVD of the small triangular factor is several times faster than that of the whole.
    if rows > d:
        _, triangle = torch.linalg.qr(A, mode="r")  # the (K - 1, d) basis is not needed
        _, singular_values, right = torch.linalg.svd(triangle)
    else:
        basis, triangle = torch.linalg.qr(A.T)
        if rows >= MANY and (found := _without_svd(basis, triangle, least)) is not None:
            return found
        left, singular_values, _ = torch.linalg.svd(triangle)
        right = (basis @ left).T
    rank = int((singular_values > least).sum())
    return Whitener(right[:rank] / singular_values[:rank, None], singular_values, rank)


def _independent(M: Tensor, roots: Tensor) -> Tensor:
    """Return ``A`` (K - 1, d) with ``A' A = M' M`` for centred means ``M`` (K, d), in the memory of ``M``.

    ``roots' M = 0``: of the K singular values of ``M`` one is zero in exact arithmetic and round-off in ours. A
    reflection that takes ``roots`` to the first axis takes that one out; no cut-off has to catch it, and one that
    missed it would divide by round-off.
    """
    direction = roots.clone()
    direction[0] += 1  # roots is a unit vector of positive numbers: nothing cancels
    return M.addr_(direction, direction @ M, alpha=-2 / float(direction.square().sum()))[1:]


def _without_svd(basis: Tensor, triangle: Tensor, least: float) -> Whitener | None:
    """Return the whitener of ``A`` with ``A' = basis triangle``, or None where ``A`` does not fill its space well.

    The pseudo-inverse of ``A' A`` is ``Q R^-T R^-1 Q'``, as exact as from an SVD. The singular values are square roots
    of the eigenvalues of ``R R'``, whose error is a few ``EPS`` of the largest: the smallest root, which only the
    condition number needs, keeps nine digits at least.
    """
    squares = torch.linalg.eigvalsh(triangle @ triangle.T)
    if not bool(squares[0] > (WELL**2) * squares[-1]) or not bool(squares[0].sqrt() > least):
        return None
    singular_values = squares.sqrt().flip(0)
    return Whitener(torch.linalg.solve_triangular(triangle, basis.T, upper=True), singular_values, len(squares))
