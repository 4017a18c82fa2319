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
    """Factor the pseudo-inverse of ``Sigma_B`` from a thin SVD of the centred class means; many by a QR alone.

    The centred means are linearly dependent by construction, so of their K singular values one is zero in exact
    arithmetic and round-off in ours. It is left out because of that, not because a cut-off happens to catch it:
    a cut-off that misses it divides by round-off.
    """
    roots = moments.class_weights(between).sqrt()
    M = roots[:, None] * moments.centred(between)
    K, d = M.shape
    least = EPS * max(K, d) * moments.spread
    if MANY < K <= d and (found := _without_svd(M, roots, least)) is not None:
        return found
    # QR first: the SVD of the small triangular factor is several times faster than that of the (K, d) matrix.
    if d >= K:
        basis, triangle = torch.linalg.qr(M.T)
        left, singular_values, _ = torch.linalg.svd(triangle)
        right = (basis @ left).T
    else:
        _, triangle = torch.linalg.qr(M, mode="r")  # the (K, d) basis is not needed
        _, singular_values, right = torch.linalg.svd(triangle)
    singular_values = singular_values[: min(K - 1, d)]
    rank = int((singular_values > least).sum())
    return Whitener(right[:rank] / singular_values[:rank, None], singular_values, rank)


def _without_svd(M: Tensor, roots: Tensor, least: float) -> Whitener | None:
    """Return the whitener of centred means (K, d) that fill K - 1 <= d dimensions well, or None where they do not.

    ``roots' M = 0``. So a reflection that takes ``roots`` to the first axis leaves K - 1 independent rows ``A``; with
    ``A' = Q R``, the pseudo-inverse of ``M' M`` is ``Q R^-T R^-1 Q'``, as exact as from an SVD. The singular values
    are square roots of the eigenvalues of ``R R'``, whose error is a few ``EPS`` of the largest: the smallest root,
    which only the condition number needs, keeps nine digits at least.
    """
    direction = roots.clone()
    direction[0] += 1  # all roots are positive, so nothing cancels
    A = (M - direction[:, None] * (direction @ M) * (2 / direction.square().sum()))[1:]
    basis, triangle = torch.linalg.qr(A.T)
    squares = torch.linalg.eigvalsh(triangle @ triangle.T)
    if not bool(squares[0] > (WELL**2) * squares[-1]) or not bool(squares[0].sqrt() > least):
        return None
    singular_values = squares.sqrt().flip(0)
    T = torch.linalg.solve_triangular(triangle, basis.T, upper=True)
    return Whitener(T, singular_values, len(T))
