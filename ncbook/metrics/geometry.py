"""How class means and a classifier's rows are arranged: NC2, NC3 and CDNV, a tile of pairs of classes at a time.

A table of all pairs of a vocabulary's 50 000 classes would take 20 GB; no such table is ever held.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from ncbook import etf
from ncbook.metrics.unit_rows import row_squares

TILE = 256  # half a megabyte of pairs, which a dozen operations pass over while it is in the caches


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


def cdnv(means: Tensor, variances: Tensor) -> tuple[float, Tensor, Tensor]:
    """Return the mean over pairs of the class-distance normalised variance; each class's largest, and with whom."""
    K, total = len(means), 0.0
    worst, partner = torch.full_like(variances, -math.inf), torch.zeros_like(variances, dtype=torch.int64)
    for i, j, squares in squared_distances(means):
        values = (variances[i, None] + variances[j]).div_(squares.mul_(2))
        total += _sum(values, i, j)
        if i == j:
            values.fill_diagonal_(-math.inf)
        for own, other, axis in ((i, j, 1), (j, i, 0)):
            high, where = values.max(axis)
            better = high > worst[own]
            worst[own] = torch.where(better, high, worst[own])
            partner[own] = torch.where(better, where + other.start, partner[own])
    return (total / (K * (K - 1) / 2) if K > 1 else math.nan), worst, partner


FRAME = ("nc2", "equinorm", "equiangularity", "max_angle", "uniformity")


def frame(vectors: Tensor, defined: bool) -> dict[str, float]:
    """NC2 of a set of vectors (K, d): distance to an ETF, equal norms, equal and largest angles, uniformity."""
    if not defined:
        return dict.fromkeys(FRAME, math.nan)
    K = len(vectors)
    norms = torch.linalg.vector_norm(vectors, dim=1)
    units = vectors / norms[:, None]  # a zero vector gives nan: its angles are not defined
    mean = float(row_squares(units.sum(0)) - K) / (K * (K - 1))  # of all pairs' cosines
    at_etf = -math.log(2 * K / (K - 1)) / 2  # the kernel of a pair of a simplex ETF
    squares = angles = first = second = 0.0
    for i, j, distances in squared_distances(units):
        cosines = 1 - distances / 2
        squares += _sum((cosines - mean).square(), i, j)
        angles += _sum((cosines + 1 / (K - 1)).abs_(), i, j)
        kernel = distances.log_().mul_(-0.5).sub_(at_etf)  # log(1 / distance)
        first += _sum(kernel, i, j)
        second += _sum(kernel.square_(), i, j)
    pairs = K * (K - 1) / 2
    spread = math.sqrt(max(0.0, second / pairs - (first / pairs) ** 2)) if second < math.inf else math.inf
    centre = abs(first / pairs + at_etf)
    return {
        "nc2": etf.etf_distance(vectors),
        "equinorm": float(norms.std(correction=0) / norms.mean()),
        "equiangularity": math.sqrt(squares / pairs),
        "max_angle": angles / pairs,
        "uniformity": math.inf if spread == math.inf else spread / centre if centre else math.nan,
    }


DUALITY = ("nc3", "nc3_product", "uniform_duality")


def duality(centred: Tensor, defined: bool, weight: Tensor | None) -> dict[str, float | None]:
    """NC3: self-duality in its two forms, and its relative for many classes."""
    if weight is None:
        return dict.fromkeys(DUALITY)
    if not defined or not bool(weight.any()):
        return dict.fromkeys(DUALITY, math.nan)
    cosines = aligned(centred, weight)
    uniform = float(cosines.std(correction=0) / cosines.mean().abs()) if bool(cosines.any()) else math.nan
    nc3 = norm((weight / norm(weight)).sub_(centred, alpha=1 / norm(centred)))
    return {"nc3": nc3, "nc3_product": _product(centred, weight), "uniform_duality": uniform}


def aligned(centred: Tensor, weight: Tensor) -> Tensor:
    """Return the cosine of each class mean and its row (K,); nan where one of them is zero."""
    lengths = torch.linalg.vector_norm(weight, dim=1) * torch.linalg.vector_norm(centred, dim=1)
    return (weight * centred).sum(1) / lengths


def _product(centred: Tensor, weight: Tensor) -> float:
    """Return the distance of ``W M'`` from a simplex ETF's Gram matrix, both normalised."""
    K, d = weight.shape
    if d + 1 < K:
        # As in `etf.etf_distance`: no ETF is near, and W M' need not be formed; ||W M'|| = ||W R'|| for M = Q R.
        size = norm(weight @ torch.linalg.qr(centred, mode="r")[1].T)
        overlap = float((weight * centred).sum() - weight.sum(0) @ centred.sum(0) / K) / math.sqrt(K - 1)
        return math.sqrt(max(0.0, 2 - 2 * overlap / size)) if size else math.nan
    product = weight @ centred.T
    if not bool(product.any()):
        return math.nan
    product /= norm(product)
    product += 1 / (K * math.sqrt(K - 1))  # in place, as in `etf.etf_distance`
    product.diagonal().sub_(1 / math.sqrt(K - 1))
    return norm(product)


def norm(tensor: Tensor) -> float:
    """Return the Euclidean norm of all entries."""
    return float(torch.linalg.vector_norm(tensor))
