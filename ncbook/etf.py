"""Simplex equiangular tight frames: construction, bounds, the distance to one, and what is left without room for one.

A simplex ETF of ``K`` unit vectors has every pairwise inner product equal to ``-1/(K - 1)``: no ``K`` vectors
can all point further apart. It needs ``K - 1`` dimensions and no more. Chapter 2 proves what is computed here.
"""

from __future__ import annotations

import math

import numpy as np
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
        generator: if given, the frame is turned by a Haar-random orthogonal map of the d-dimensional space
            (drawn on the generator's device); if not, the result is deterministic and lies in the first
            K - 1 axes.
        dtype: a floating dtype of the result; the work is done in float64.
        device: where the result lives; the CPU by default.

    Returns:
        Tensor (K, d) whose rows have unit norm and whose Gram matrix is ``(K I - 1 1') / (K - 1)``.

    Raises:
        ValueError: if ``num_classes < 2``, if ``feature_dim < num_classes - 1``, where no such frame exists, if
            ``generator`` is not a ``torch.Generator``, if ``dtype`` is not a floating dtype, or if there is no such
            ``device``.

    Source: Papyan, Han and Donoho (2020), definition of the simplex ETF; Strohmer and Heath (2003) for frames.
    """
    K = checks.integer("num_classes", num_classes, minimum=2)
    d = K if feature_dim is None else checks.integer("feature_dim", feature_dim)
    if d < K - 1:
        raise ValueError(f"feature_dim must be >= num_classes - 1 = {K - 1} for a simplex ETF, got {d}")
    if generator is not None:
        checks.instance("generator", generator, torch.Generator)
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise ValueError(f"dtype must be a floating dtype, got {dtype}")
    place = torch.device("cpu") if device is None else checks.device("device", device)
    axes = torch.eye(d, K - 1, dtype=torch.float64) if generator is None else _haar(d, K - 1, generator)
    frame = math.sqrt(K / (K - 1)) * helmert(K) @ axes.T
    return frame.to(device=place, dtype=dtype)


def helmert(num_classes: int) -> Tensor:
    """Return an orthonormal basis of the vectors with zero sum: the Helmert contrasts.

    Column j is proportional to ``(1, …, 1, -j, 0, …, 0)`` with j ones.

    Args:
        num_classes: K >= 2.

    Returns:
        Tensor (K, K - 1), float64: ``B`` with ``B' B = I`` and ``B B' = I - 1 1' / K``.

    Raises:
        ValueError: if ``num_classes < 2``.
    """
    K = checks.integer("num_classes", num_classes, minimum=2)
    j = torch.arange(1, K, dtype=torch.float64)
    basis = torch.triu(torch.ones(K, K - 1, dtype=torch.float64))
    basis[1:] -= torch.diag(j)
    return basis / torch.sqrt(j * (j + 1))


def _haar(d: int, k: int, generator: torch.Generator) -> Tensor:
    """Draw (d, k) orthonormal columns from the uniform law (Mezzadri 2007: QR, with the signs of R put back)."""
    normal = torch.randn(d, k, dtype=torch.float64, generator=generator, device=generator.device)
    q, r = torch.linalg.qr(normal)
    return (q * torch.sign(torch.diagonal(r))).cpu()


def etf_distance(weight: Tensor) -> float:
    """Return how far the Gram matrix of ``weight`` is from a simplex ETF's: 0 exactly at one, up to scale.

    ``|| G / ||G||_F - (I - 1 1' / K) / sqrt(K - 1) ||_F`` with ``G = weight weight'``. It lies between 0 and
    ``sqrt(2)``, is unchanged by scaling, rotating or reordering the rows, and is at least
    ``sqrt(2 - 2 sqrt(d / (K - 1)))`` where ``d < K - 1``.

    Args:
        weight: (K, d) with K >= 2, any scale, not all zero; taken as it is, not centred.

    Raises:
        ValueError: for another shape, a non-finite entry, fewer than two rows, no column, or an all-zero matrix.

    Source: Zhu et al. (2021), the measure called NC2 there; range and lower bound proved in chapter 2.
    """
    W = _rows("weight", weight)
    K = len(W)
    least, greatest = W.aminmax()
    scale = torch.maximum(-least, greatest)
    if scale == 0:
        raise ValueError("weight must not be all zero: its direction is undefined")
    W = W / scale
    if W.shape[1] + 1 < K:
        # No ETF is near, so ||A - B||^2 = 2 - 2 <A, B> of unit matrices keeps its digits, and needs nothing K x K.
        overlap = (W.square().sum() - W.sum(0).square().sum() / K) / torch.linalg.matrix_norm(W.T @ W)
        return math.sqrt(2 - 2 * float(overlap) / math.sqrt(K - 1))
    gram = W @ W.T
    gram /= torch.linalg.matrix_norm(gram)
    gram += 1 / (K * math.sqrt(K - 1))  # in place: of many classes, fresh memory costs more than the arithmetic
    gram.diagonal().sub_(1 / math.sqrt(K - 1))
    return float(torch.linalg.matrix_norm(gram))


def cosine_matrix(weight: Tensor) -> Tensor:
    """Return the (K, K) matrix of cosines between the rows of ``weight``, in float64.

    Args:
        weight: (K, d) with K >= 2 and no zero row; rows need not have unit norm.

    Raises:
        ValueError: for another shape, a non-finite entry, fewer than two rows, no column, or a zero row.
    """
    W = _rows("weight", weight)
    largest = W.abs().amax(dim=1, keepdim=True)
    if bool((largest == 0).any()):
        row = int((largest[:, 0] == 0).nonzero()[0])
        raise ValueError(f"weight must have no zero row, got one at index {row}")
    # Divide by the largest entry first: squares of very small or very large entries would under- or overflow.
    unit = torch.nn.functional.normalize(W / largest, dim=1)
    return (unit @ unit.T).clamp(-1.0, 1.0)  # only ever removes round-off: Cauchy-Schwarz


def coherence(weight: Tensor) -> float:
    """Return the largest absolute cosine between two different rows of ``weight``, a number in [0, 1].

    It tells the rows apart as lines: ``w`` and ``-w`` count as one. For points see `largest_cosine`.

    Args:
        weight: (K, d) with K >= 2 and no zero row; rows need not have unit norm.

    Raises:
        ValueError: for another shape, a non-finite entry, fewer than two rows, no column, or a zero row.

    Source: Welch (1974); Strohmer and Heath (2003), the maximum frame correlation.
    """
    return float(_off_diagonal(cosine_matrix(weight)).abs().max())


def largest_cosine(weight: Tensor) -> float:
    """Return the largest signed cosine between two different rows: the cosine of the smallest angle.

    Args:
        weight: (K, d) with K >= 2 and no zero row; rows need not have unit norm.

    Raises:
        ValueError: for another shape, a non-finite entry, fewer than two rows, no column, or a zero row.
    """
    return float(_off_diagonal(cosine_matrix(weight)).max())


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


def simplex_bound(num_classes: int, feature_dim: int) -> float:
    """Return Rankin's lower bound on the largest cosine of ``num_classes`` vectors in ``feature_dim`` dimensions.

    ``-1/(K - 1)`` for ``d >= K - 1``, attained by simplex ETFs and nothing else; 0 for ``d < K - 1``, attained
    exactly when ``K <= 2 d``.

    Raises:
        ValueError: if ``num_classes < 2`` or ``feature_dim < 1``.

    Source: Rankin (1955); both halves are proved in chapter 2.
    """
    K = checks.integer("num_classes", num_classes, minimum=2)
    d = checks.integer("feature_dim", feature_dim)
    return -1 / (K - 1) if d >= K - 1 else 0.0


def align(weight: Tensor, target: Tensor) -> Tensor:
    """Return the orthogonal matrix that turns the rows of ``weight`` as close to those of ``target`` as can be.

    ``Q`` minimises ``||weight Q - target||_F`` over all orthogonal matrices, reflections included. It is unique
    where ``weight' target`` is invertible.

    Args:
        weight: (K, d) with K >= 2.
        target: (K, d), the same shape.

    Returns:
        Tensor (d, d), float64.

    Raises:
        ValueError: for another shape, a non-finite entry, fewer than two rows, no column, or shapes that differ.

    Source: Schönemann (1966), the orthogonal Procrustes problem; proved in chapter 2.
    """
    W, V = _rows("weight", weight), _rows("target", target)
    if W.shape != V.shape:
        raise ValueError(f"target must have the shape {tuple(W.shape)} of weight, got {tuple(V.shape)}")
    tiny = torch.finfo(W.dtype).tiny  # scaling changes no minimiser, and keeps the product from overflowing
    left, _, right = torch.linalg.svd((W / W.abs().max().clamp_min(tiny)).T @ (V / V.abs().max().clamp_min(tiny)))
    return left @ right


def best_packing(
    num_classes: int, feature_dim: int, *, lines: bool = False, restarts: int = 8, seed: int = 0
) -> Tensor:
    """Search for unit vectors whose largest cosine is as small as possible: the best found, in any dimension.

    Minimises ``t`` subject to ``<w_j, w_k> <= t`` for every pair by sequential quadratic programming, from several
    random starts. The problem is not convex: the result is a candidate, to be compared with `simplex_bound` or
    `welch_bound`. Meant for a few dozen entries (``K d`` up to about 100).

    Args:
        num_classes: K >= 2 vectors.
        feature_dim: d >= 1.
        lines: minimise the largest *absolute* cosine (the coherence) instead.
        restarts: how many random starts.
        seed: of the random starts.

    Returns:
        Tensor (K, d), float64, with unit rows.

    Raises:
        ValueError: if ``num_classes < 2``, ``feature_dim < 1``, ``restarts < 1`` or ``seed < 0``.
    """
    K = checks.integer("num_classes", num_classes, minimum=2)
    d = checks.integer("feature_dim", feature_dim)
    rng = np.random.default_rng(checks.integer("seed", seed, minimum=0))
    score = coherence if checks.flag("lines", lines) else largest_cosine
    found = [_spread(rng.standard_normal((K, d)), lines) for _ in range(checks.integer("restarts", restarts))]
    return min(found, key=score)


def _spread(start: np.ndarray, lines: bool) -> Tensor:
    """Run the search of `best_packing` from one start (K, d); the unknowns are the K d entries, then t."""
    from scipy.optimize import minimize

    K, d = start.shape
    first, second = np.triu_indices(K, 1)
    pairs, rows = np.arange(len(first)), np.arange(K)
    signs = (1, -1) if lines else (1,)

    def slack(x: np.ndarray) -> np.ndarray:
        X = x[:-1].reshape(K, d)
        return np.concatenate([x[-1] - s * (X[first] * X[second]).sum(1) for s in signs])

    def slack_gradient(x: np.ndarray) -> np.ndarray:
        X, J = x[:-1].reshape(K, d), np.zeros((len(pairs), K, d))
        J[pairs, first], J[pairs, second] = X[second], X[first]
        return np.concatenate([np.insert(-s * J.reshape(len(pairs), -1), K * d, 1, axis=1) for s in signs])

    def norms(x: np.ndarray) -> np.ndarray:
        return (x[:-1].reshape(K, d) ** 2).sum(1) - 1

    def norms_gradient(x: np.ndarray) -> np.ndarray:
        J = np.zeros((K, K, d))
        J[rows, rows] = 2 * x[:-1].reshape(K, d)
        return np.insert(J.reshape(K, -1), K * d, 0, axis=1)

    only_t = np.append(np.zeros(K * d), 1.0)
    constraints = [
        {"type": "ineq", "fun": slack, "jac": slack_gradient},
        {"type": "eq", "fun": norms, "jac": norms_gradient},
    ]
    unit = start / np.linalg.norm(start, axis=1, keepdims=True)
    result = minimize(
        lambda x: x[-1], np.append(unit, 1.0), jac=lambda x: only_t, method="SLSQP", constraints=constraints,
        options={"maxiter": 300, "ftol": 1e-14},
    )  # fmt: skip
    return torch.nn.functional.normalize(torch.from_numpy(result.x[:-1].reshape(K, d)), dim=1)


def _off_diagonal(matrix: Tensor) -> Tensor:
    return matrix[~torch.eye(len(matrix), dtype=torch.bool, device=matrix.device)]


def _rows(name: str, value: Tensor) -> Tensor:
    """Return ``value`` (K, d), K >= 2 and d >= 1, in float64, on its own device where that device has float64."""
    W = checks.tensor(name, value, "K, d").detach()
    if len(W) < 2 or W.shape[1] < 1:
        raise ValueError(f"{name} must have at least 2 rows and 1 column, got {tuple(W.shape)}")
    return W.to("cpu" if W.device.type == "mps" else W.device).double()
