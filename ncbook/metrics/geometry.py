"""How class means and a classifier's rows are arranged: NC2, NC3 and CDNV, a tile of pairs of classes at a time.

A table of all pairs of a vocabulary's 50 000 classes would take 20 GB; no such table is ever held.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from ncbook import etf
from ncbook.metrics.class_moments import row_squares

TILE = 1024  # 8 MB of pairs


def squared_distances(rows: Tensor) -> Iterator[tuple[slice, slice, Tensor]]:
    """Yield (i, j, squared distances of rows i to rows j), tiles on and above the diagonal.

    A row is infinitely far from itself.
    """
    norms = row_squares(rows)
    for first in range(0, len(rows), TILE):
        for second in range(first, len(rows), TILE):
            i, j = slice(first, first + TILE), slice(second, second + TILE)
            scale = norms[i, None] + norms[j]
            squares = torch.addmm(scale, rows[i], rows[j].T, alpha=-2)
            if first == second:
                squares.fill_diagonal_(math.inf)
            # The difference of two close rows loses its digits in the product: take it first there.
            for pairs in (squares < 1e-5 * scale).nonzero().split(4096):
                a, b = pairs.unbind(1)
                squares[a, b] = row_squares(rows[i][a] - rows[j][b])
            yield i, j, squares


def _sum(values: Tensor, i: slice, j: slice) -> float:
    """Return the sum over a tile, each pair once."""
    return float((values.triu(1) if i == j else values).sum())


def cdnv(means: Tensor, variances: Tensor) -> float:
    """Return the mean over pairs of classes of the class-distance normalised variance."""
    K, total = len(means), 0.0
    for i, j, squares in squared_distances(means):
        total += _sum((variances[i, None] + variances[j]) / (2 * squares), i, j)
    return total / (K * (K - 1) / 2) if K > 1 else math.nan


def frame(vectors: Tensor, defined: bool) -> dict[str, float]:
    """NC2 of a set of vectors (K, d): distance to an ETF, equal norms, equal angles, largest angles."""
    if not defined:
        return dict.fromkeys(("nc2", "equinorm", "equiangularity", "max_angle"), math.nan)
    K = len(vectors)
    norms = torch.linalg.vector_norm(vectors, dim=1)
    units = vectors / norms[:, None]  # a zero vector gives nan: its angles are not defined
    mean = float(row_squares(units.sum(0)) - K) / (K * (K - 1))  # of all pairs' cosines
    squares = angles = 0.0
    for i, j, distances in squared_distances(units):
        cosines = 1 - distances / 2
        squares += _sum((cosines - mean).square(), i, j)
        angles += _sum((cosines + 1 / (K - 1)).abs(), i, j)
    pairs = K * (K - 1) / 2
    return {
        "nc2": etf.etf_distance(vectors),
        "equinorm": float(norms.std(correction=0) / norms.mean()),
        "equiangularity": math.sqrt(squares / pairs),
        "max_angle": angles / pairs,
    }


def duality(centred: Tensor, defined: bool, weight: Tensor | None) -> tuple[float | None, float | None]:
    """NC3 in its two forms."""
    if weight is None:
        return None, None
    if not defined or not bool(weight.any()):
        return math.nan, math.nan
    K, d = weight.shape
    nc3 = norm(weight / norm(weight) - centred / norm(centred))
    if d + 1 < K:
        # As in `etf.etf_distance`: no ETF is near, and W M' need not be formed; ||W M'|| = ||W R'|| for M = Q R.
        size = norm(weight @ torch.linalg.qr(centred, mode="r")[1].T)
        overlap = float((weight * centred).sum() - weight.sum(0) @ centred.sum(0) / K) / math.sqrt(K - 1)
        return nc3, math.sqrt(max(0.0, 2 - 2 * overlap / size)) if size else math.nan
    product = weight @ centred.T
    target = (torch.eye(K, dtype=weight.dtype, device=weight.device) - 1 / K) / math.sqrt(K - 1)
    return nc3, norm(product / norm(product) - target) if bool(product.any()) else math.nan


def norm(tensor: Tensor) -> float:
    """Return the Euclidean norm of all entries."""
    return float(torch.linalg.vector_norm(tensor))
