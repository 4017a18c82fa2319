"""The best codes where no simplex ETF fits: K unit vectors in too few dimensions, exact where a proof is known.

Two questions are asked of K unit vectors. *Tammes*: how small can the largest cosine be? *Softmax*: how large can the
smallest margin be, when each class has the feature that suits it best? The chapter on codes proves where the answers
agree.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from ncbook import checks
from ncbook.etf import largest_cosine, simplex_etf

# Smallest angles in degrees of the best arrangements known in space, by number of vectors: Sloane's tables of spherical
# codes (neilsloane.com/packings); and the ten in four dimensions whose optimality Bachoc and Vallentin (2009) prove.
BEST_KNOWN = {
    **{(K, 3): angle for K, angle in zip(range(7, 25), (77.8695421, 74.8584922, 70.5287794, 66.1468220, 63.4349488,
       63.4349488, 57.1367031, 55.6705700, 53.6578501, 52.2443957, 51.0903285, 49.5566548, 47.6919141, 47.4310362,
       45.6132231, 44.7401612, 43.7099642, 43.6907671))},
    (10, 4): math.degrees(math.acos(1 / 6)),
}  # fmt: skip
_TEMPERATURES = (5.0, 20.0, 80.0, 320.0)


@dataclass(frozen=True)
class Code:
    """K unit vectors that are as far apart as is known, and how far that is.

    Attributes:
        vectors: (K, d), float64, unit rows.
        margin: the smallest distance from a row to the convex hull of the others: the lead that every class's logit
            can have at temperature 1. At least one minus the largest cosine, and equal to it at every best code here.
        name: what the arrangement is; for a numerical one, the best value known.
        proved: whether it is exact and the chapter on codes proves that no vectors have a smaller largest cosine.
    """

    vectors: Tensor
    margin: float
    name: str
    proved: bool


def best_code(num_classes: int, feature_dim: int, *, restarts: int = 48, seed: int = 0) -> Code:
    """Return K unit vectors in d dimensions whose largest cosine is as small as is known, and their margin.

    Exact are simplex ETFs (``d >= K - 1``), regular polygons (``d = 2``), subsets of the orthoplex (``K <= 2 d``) and
    the icosahedron (``K = 12, d = 3``). All else is searched for: the largest cosine is replaced by a log-sum-exp whose
    temperature grows, minimised by L-BFGS from several starts, and then sharpened by updating one weight a pair (the
    exponential method of multipliers) until the temperature need not grow further. Such a result is a candidate.

    Args:
        num_classes: K >= 2.
        feature_dim: d >= 1, and d >= 2 for three classes or more: on a line two of them would coincide.
        restarts: how many random starts of a search.
        seed: of the random starts.

    Raises:
        ValueError: if ``num_classes < 2``, ``feature_dim`` is too small, ``restarts < 1`` or ``seed < 0``.

    Source: Rankin (1955) and Delsarte, Goethals and Seidel (1977) for the proofs; Jiang et al. (2024) for the margin.
    """
    K, d = checks.integer("num_classes", num_classes, minimum=2), checks.integer("feature_dim", feature_dim)
    restarts, seed = checks.integer("restarts", restarts), checks.integer("seed", seed, minimum=0)
    if d == 1 and K > 2:
        raise ValueError(f"feature_dim must be >= 2 for {K} classes: on a line two of them coincide, got 1")
    exact = _exact(K, d)
    if exact is not None:
        vectors, name = exact
    else:
        vectors = torch.from_numpy(_search(K, d, restarts, seed))
        known = f"best known angle {BEST_KNOWN[K, d]:.4f}°" if (K, d) in BEST_KNOWN else "no record kept here"
        name = f"numerical, {known}"
    return Code(vectors, float(best_features(vectors)[1].min()), name, exact is not None)


def best_features(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return, for each row, the unit feature that leads all other classes by the most, and that lead.

    ``max over ||h|| = 1 of min_j <w_k - w_j, h>`` is the distance from ``w_k`` to the convex hull of the other rows,
    and ``h`` points along the shortest way. Where ``w_k`` lies in that hull the lead is 0 and ``h`` is zero.

    Args:
        weight: (K, d) with K >= 2; rows need not have unit norm.

    Returns:
        ``(H, margins)``, (K, d) and (K,), float64.

    Raises:
        ValueError: for another shape, a non-finite entry, or fewer than two rows.

    Source: the one-versus-rest margin of Jiang et al. (2024); the minimax identity is proved in the chapter on codes.
    """
    from scipy.optimize import nnls

    W = checks.tensor("weight", weight, "K, d").detach().double().cpu().numpy()
    if len(W) < 2 or W.shape[1] < 1:
        raise ValueError(f"weight must have at least 2 rows and 1 column, got {W.shape}")
    ways = np.empty_like(W)
    for k, w in enumerate(W):
        steps = (w - np.delete(W, k, axis=0)).T
        scale = np.abs(steps).max() or 1.0
        # Non-negative least squares of [steps; 1] u = [0; 1]: its solution, scaled to sum 1, is the point of the hull
        # nearest to w, since for every direction u the best length leaves |steps u|^2 / (1 + |steps u|^2).
        u = nnls(np.vstack([steps / scale, np.ones(len(W) - 1)]), np.append(np.zeros(W.shape[1]), 1.0))[0]
        way = steps @ (u / u.sum())
        ways[k] = way if np.abs(way).max() > 1e-12 * scale else 0.0  # what round-off leaves of nothing has no direction
    shortest = torch.from_numpy(ways)
    return normalize(shortest, dim=1), shortest.norm(dim=1)


def icosahedron() -> Tensor:
    """Return the 12 corners of a regular icosahedron, unit rows (12, 3); the cosines are -1 and plus or minus 1/sqrt 5.

    The cyclic shifts of ``(0, ±1, ±golden ratio)``.
    """
    golden = (1 + math.sqrt(5)) / 2
    corners = [[0.0, a, b * golden] for a in (1, -1) for b in (1, -1)]
    return normalize(torch.tensor([c[s:] + c[:s] for s in range(3) for c in corners], dtype=torch.float64), dim=1)


def _exact(K: int, d: int) -> tuple[Tensor, str] | None:
    """The proved best code and its name, where there is one."""
    if d >= K - 1:
        return simplex_etf(K, d), "simplex ETF"
    if d == 2:
        angles = 2 * math.pi / K * torch.arange(K, dtype=torch.float64)
        return torch.stack([angles.cos(), angles.sin()], dim=1), "regular polygon"
    if 2 * d >= K:
        axes = torch.eye(d, dtype=torch.float64)
        return torch.cat([axes, -axes[: K - d]]), "orthoplex" if 2 * d == K else "part of an orthoplex"
    return (icosahedron(), "icosahedron") if (K, d) == (12, 3) else None


def _search(K: int, d: int, restarts: int, seed: int) -> np.ndarray:
    """The best of several searches, (K, d): all are sharpened a little, the best one to the end."""
    rng = np.random.default_rng(seed)
    found = []
    for start in range(restarts):
        # Which valley a start falls into depends on the first temperature: low ones see all pairs, high ones the worst.
        temperatures = _TEMPERATURES[start % 3 :]
        found.append(_sharpened(*_smoothed(rng.standard_normal((K, d)), temperatures), rounds=6))
    best = min(found, key=lambda pair: _largest(pair[0]))
    return _sharpened(*best, rounds=60)[0]


def _smoothed(X: np.ndarray, temperatures: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    even = np.zeros((len(X), len(X)))
    for temperature in temperatures:
        X = _descend(X, even, temperature)
    return X, even


def _sharpened(X: np.ndarray, log_weights: np.ndarray, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """Repeat: weigh each pair by its share in the log-sum-exp, and minimise again, until the largest cosine rests."""
    tau, best = _TEMPERATURES[-1], _largest(X)
    for _ in range(rounds):
        shares = log_weights + tau * (X @ X.T)
        np.fill_diagonal(shares, -np.inf)
        weights = np.maximum(shares - np.logaddexp.reduce(shares, axis=None), -60.0)  # -60: e^-60 is nothing
        moved = _descend(X, weights, tau)
        now = _largest(moved)
        if abs(now - best) < 1e-13:
            break
        if now < best:
            X, log_weights, best = moved, weights, now
        else:  # the weights went too far at once; a higher temperature holds the vectors closer to where they are
            tau *= 2
    return X, log_weights


def _descend(X: np.ndarray, log_weights: np.ndarray, temperature: float) -> np.ndarray:
    """Minimise ``log sum exp(log_weights + temperature * cosines) / temperature`` over pairs, by L-BFGS."""
    from scipy.optimize import minimize

    def value_and_gradient(x: np.ndarray) -> tuple[float, np.ndarray]:
        lengths = np.linalg.norm(x.reshape(X.shape), axis=1, keepdims=True)
        U = x.reshape(X.shape) / lengths
        z = temperature * (U @ U.T) + log_weights
        np.fill_diagonal(z, -np.inf)
        top = z.max()
        shares = np.exp(z - top)
        total = shares.sum()
        g = 2 / total * (shares @ U)
        g -= (g * U).sum(axis=1, keepdims=True) * U
        return (top + math.log(total)) / temperature, (g / lengths).ravel()

    options = {"maxiter": 200, "maxcor": 20, "gtol": 1e-12, "ftol": 0.0}
    x = minimize(value_and_gradient, X.ravel(), jac=True, method="L-BFGS-B", options=options).x.reshape(X.shape)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def _largest(X: np.ndarray) -> float:
    return largest_cosine(torch.from_numpy(X))
