"""Simplex equiangular tight frames: construction, coherence, the Welch bound, distance to an ETF.

A simplex ETF of ``K`` unit vectors has every pairwise inner product equal to ``-1/(K - 1)``: no ``K`` vectors
can all point further apart. It needs ``K - 1`` dimensions and no more.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ncbook import checks


def simplex_etf(
    num_classes: int,
    feature_dim: int | None = None,
    *,
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str | None = None,
) -> Tensor:
    """Return ``num_classes`` unit vectors with pairwise inner product ``-1/(num_classes - 1)``.

    Args:
        num_classes: K >= 2.
        feature_dim: d >= K - 1, the dimension the vectors live in; K by default.
        generator: if given, the frame is turned by a Haar-random rotation of the d-dimensional space (drawn
            on the generator's device); if not, the result is deterministic and lies in the first K - 1 axes.
        dtype: a floating dtype of the result; the work is done in float64.
        device: where the result lives.

    Returns:
        Tensor (K, d) whose rows have unit norm and whose Gram matrix is ``(K I - 1 1') / (K - 1)``.

    Raises:
        ValueError: if ``num_classes < 2`` or ``feature_dim < num_classes - 1``, where no such frame exists.

    Source: Papyan, Han and Donoho (2020), Definition of the simplex ETF; Strohmer and Heath (2003) for frames.
    """
    K = checks.integer("num_classes", num_classes, minimum=2)
    d = K if feature_dim is None else checks.integer("feature_dim", feature_dim)
    if d < K - 1:
        raise ValueError(f"feature_dim must be >= num_classes - 1 = {K - 1} for a simplex ETF, got {d}")
    if not dtype.is_floating_point:
        raise ValueError(f"dtype must be a floating dtype, got {dtype}")
    frame = torch.zeros(K, d, dtype=torch.float64)
    frame[:, : K - 1] = _helmert(K) * math.sqrt(K / (K - 1))
    if generator is not None:
        frame = frame @ _haar_orthogonal(d, generator)
    return frame.to(device=device, dtype=dtype)


def _helmert(K: int) -> Tensor:
    """Orthonormal basis (K, K - 1) of the vectors that sum to zero: the Helmert contrasts."""
    n = torch.arange(1, K, dtype=torch.float64)
    basis = torch.triu(torch.ones(K, K - 1, dtype=torch.float64))
    basis[1:] -= torch.diag(n)
    # Row i, column j: 1 for i <= j, -(j + 1) for i = j + 1, 0 below; the columns have norm sqrt(n (n + 1)).
    basis[1:] = torch.triu(basis[1:])
    return basis / torch.sqrt(n * (n + 1))


def _haar_orthogonal(d: int, generator: torch.Generator) -> Tensor:
    """Draw an orthogonal (d, d) matrix from the Haar measure (Mezzadri 2007: QR with the signs of R put back)."""
    normal = torch.randn(d, d, dtype=torch.float64, generator=generator, device=generator.device)
    q, r = torch.linalg.qr(normal)
    return (q * torch.sign(torch.diagonal(r))).cpu()


def etf_distance(weight: Tensor) -> float:
    """Return how far the Gram matrix of ``weight`` is from a simplex ETF's, 0 exactly at one (up to scale).

    ``|| G / ||G||_F - (I - 1 1' / K) / sqrt(K - 1) ||_F`` with ``G = weight weight'``; between 0 and 2, and
    unchanged by scaling or rotating the rows.

    Args:
        weight: (K, d) with K >= 2, any scale, not all zero; taken as it is, not centred.

    Raises:
        ValueError: for another shape, a non-finite entry, fewer than two rows, or an all-zero matrix.

    Source: Zhu et al. (2021), section 4, the measure called NC2 there.
    """
    W = _rows(weight, minimum=2)
    K = len(W)
    scale = W.abs().max()
    if scale == 0:
        raise ValueError("weight must not be all zero: its direction is undefined")
    gram = (W / scale) @ (W / scale).T
    target = (torch.eye(K, dtype=W.dtype, device=W.device) - 1 / K) / math.sqrt(K - 1)
    return float(torch.linalg.matrix_norm(gram / torch.linalg.matrix_norm(gram) - target))


def coherence(weight: Tensor) -> float:
    """Return the largest absolute cosine between two different rows of ``weight``, a number in [0, 1].

    Args:
        weight: (K, d) with K >= 2 and no zero row; rows need not have unit norm.

    Raises:
        ValueError: for another shape, a non-finite entry, fewer than two rows, or a zero row.

    Source: Welch (1974); Strohmer and Heath (2003), equation for the maximum frame correlation.
    """
    cosines = cosine_matrix(weight)
    cosines.fill_diagonal_(0.0)
    return min(1.0, float(cosines.abs().max()))


def cosine_matrix(weight: Tensor) -> Tensor:
    """Return the (K, K) matrix of cosines between the rows of ``weight``, in float64.

    Args:
        weight: (K, d) with K >= 2 and no zero row.

    Raises:
        ValueError: for another shape, a non-finite entry, fewer than two rows, or a zero row.
    """
    W = _rows(weight, minimum=2)
    largest = W.abs().amax(dim=1, keepdim=True)
    if bool((largest == 0).any()):
        row = int((largest[:, 0] == 0).nonzero()[0])
        raise ValueError(f"weight must have no zero row, got one at index {row}")
    # Divide by the largest entry first: squares of very small or very large entries would under- or overflow.
    unit = torch.nn.functional.normalize(W / largest, dim=1)
    return unit @ unit.T


def welch_bound(num_classes: int, feature_dim: int) -> float:
    """Return Welch's lower bound on the coherence of ``num_classes`` vectors in ``feature_dim`` dimensions.

    ``sqrt((K - d) / (d (K - 1)))`` for ``d < K``, and 0 for ``d >= K``, where an orthonormal set exists. A simplex
    ETF attains it in its own span, ``d = K - 1``, where it equals ``1/(K - 1)``.

    Raises:
        ValueError: if ``num_classes < 2`` or ``feature_dim < 1``.

    Source: Welch (1974); the bound is proved in chapter 2.
    """
    K = checks.integer("num_classes", num_classes, minimum=2)
    d = checks.integer("feature_dim", feature_dim)
    return math.sqrt(max(0, K - d) / (d * (K - 1)))


def _rows(weight: Tensor, minimum: int) -> Tensor:
    W = checks.tensor("weight", weight, "K, d").detach().double()
    if len(W) < minimum:
        raise ValueError(f"weight must have at least {minimum} rows, got {len(W)}")
    return W
